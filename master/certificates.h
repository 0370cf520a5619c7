/*
 * certificates: those of the configuration, in its order; the first is for clients that ask for no host that has one.
 *
 * They are read at the start, before the privileges of root are given up, and again at each reload, also when the
 * configuration is the same: that is how a renewed one comes into force. One whose files are bad then stays as it was read
 * last, if the same files were in force before, and the reload goes on: it would be no help to refuse the new listeners
 * because a key can be read by root only. A bad one that is new is an error like any other.
 *
 * Those that expire are named in the log at the start, after each reload, and once a day.
 */
#ifndef C2SD_MASTER_CERTIFICATES_H
#define C2SD_MASTER_CERTIFICATES_H

#include "common/config.h"
#include "common/loop.h"
#include "master/certificate.h"
#include "master/options.h"

struct certificate_entry {
	struct certificate certificate;
	char *chain_file;
	char *key_file;			/* NULL: the chain's */
	char *complaint;		/* why it is still the one that was read before; NULL: it is not */
	int kept;			/* until certificates_take: its place among those in force; -1: none */
};

struct certificates {
	struct certificate_entry entries[SETTINGS_CERTIFICATES_MAX];
	unsigned count;
	const struct options *options;	/* in force: the owner's */
	struct loop *loop;
	struct timer daily;
};

/* Where what is wrong stands, and who is told. */
struct certificates_source {
	const char *file;
	const struct config_lines *lines;
	const struct config_report *errors;
	const struct config_report *kept;	/* certificates of before that stay; NULL: there are none */
};

/*
 * Read those of `options` into `set` (zeroed). `running` (NULL: none) are in force, and are not changed. Listeners
 * with TLS need one at least. The number of errors, each reported, or -ENOMEM; certificates_deinit in any case.
 */
int certificates_read(struct certificates *set, const struct certificates *running, const struct options *options,
    const struct certificates_source *source) __attribute__((warn_unused_result));

/* Let `set` be in force instead: what it keeps moves there, the rest is wiped, `set` is empty afterwards. */
void certificates_take(struct certificates *running, struct certificates *set);

/* Report what is doubtful about those of `options`, and hosts that none is for. */
void certificates_review(const struct certificates *set, const struct options *options,
    const struct certificates_source *source);

/* The same to the log, now and each day from now on; again after each certificates_take. */
void certificates_watch(struct certificates *certificates, struct loop *loop);

/* Wipes them. May be called twice. */
void certificates_deinit(struct certificates *certificates);

#endif
