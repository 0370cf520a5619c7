/* heir: a session manager that begins with the journal of another one, and what both must have in common. */
#ifndef C2SD_TESTS_SESSIOND_HEIR_H
#define C2SD_TESTS_SESSIOND_HEIR_H

#include "common/buffer.h"
#include "sessiond/sessiond.h"

struct heir {
	struct journal_area area;	/* a copy */
	struct settings settings;
	struct sessiond sd;
	int error;			/* of recovery_start */
};

/* Zeroed; heir_area_free. */
struct journal_area heir_area(size_t size);
struct journal_area heir_area_copy(const struct journal_area *area);
void heir_area_free(struct journal_area *area);

/*
 * Of `sd`, from that area, in a database of its own, of which the last transaction has the number `turn`. The area is the
 * heir's from then on.
 */
struct heir *heir_new(const struct sessiond *sd, struct journal_area area, uint64_t turn);
void heir_free(struct heir *heir);

/* All that must outlive a process, as lines in order, terminated. The caller deinits it. */
struct buffer heir_likeness(const struct sessiond *sd);

/* Is an heir of what was committed last like that? What differs is in `*a_r` and `*b_r`, static, until the next call. */
bool heir_is_like(const struct sessiond *sd, const struct journal_area *area, const char **a_r, const char **b_r);

#endif
