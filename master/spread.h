/*
 * spread: ends clients one after another over a time, so that they do not all come back at once: those whose session is
 * gone, and those who were held without a link for too long (doc/link.md, "When the link is away").
 *
 * They are ended at an even pace: that of the most that ever waited together, divided by the time; so nobody waits for
 * longer than that, and whoever comes on top makes it faster only as far as that needs. Who waits stays as he is.
 *
 * What waits is an id, not a client: who has ended meanwhile is passed over. A client waits once (entry->due, and
 * entry->close_reason says what for). Bounded by the clients that there are, and those that have ended within that time;
 * without memory a client ends at once.
 */
#ifndef C2SD_MASTER_SPREAD_H
#define C2SD_MASTER_SPREAD_H

#include "common/loop.h"
#include "ipc/reason.h"
#include "master/directory.h"

struct spread_place {
	uint64_t serial;
	uint32_t worker;
	uint32_t slot;
};

struct spread {
	struct loop *loop;
	const struct directory *directory;
	uint64_t time;			/* milliseconds */
	void (*on_due)(struct spread *spread, struct entry *entry, enum end_reason reason);

	struct spread_place *places;	/* in order, from `first` on */
	size_t first, count, size;
	size_t most;			/* of those that waited together since somebody does */
	uint64_t credit;		/* what is due of the next, in parts of `time` */
	uint64_t last;			/* loop_now() when that was counted */
	struct timer timer;
};

/* The owner sets the loop, the directory and the callback, and then the time (spread_change). */
void spread_deinit(struct spread *spread);

/* Another time, for those who wait, too. */
void spread_change(struct spread *spread, uint64_t time);

/* This client is to end for that reason. Once it waits another reason changes nothing; nor is who is told to go added. */
void spread_add(struct spread *spread, struct entry *entry, enum end_reason reason);

/* It stays after all. */
void spread_drop(struct spread *spread, struct entry *entry);

/* It has another id. */
void spread_renewed(struct spread *spread, struct entry *entry);

/* All stay who wait for this reason. How many that are. */
size_t spread_cancel(struct spread *spread, enum end_reason reason);

/* Nobody waits any more: all are ended in another way. */
void spread_clear(struct spread *spread);

#endif
