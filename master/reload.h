/*
 * reload: a new configuration for the running master (doc/design.md, "Signals, configuration, control").
 *
 * In two steps. First everything that can fail: the file is read and checked as a whole, new listeners are bound, the
 * link's address is looked up, a new log is opened. If anything of that goes wrong nothing changes, and all of it is
 * named. Then everything is taken over at once, in which nothing can fail, and workers and session manager are told.
 * A reload is done when every worker has said that it has taken its settings.
 *
 * A certificate whose files are bad, and that was in force before, stays as it was and is named, too: certificates.h.
 *
 * What only a restart changes (the column `reload` of the option's row) keeps its value and is named. `-w`, `-v` and `-f`
 * beat the file, as at the start.
 *
 * Reloads do not wait for each other: the one that was asked for later is applied later, and each is done when the
 * workers have come as far as its own settings.
 */
#ifndef C2SD_MASTER_RELOAD_H
#define C2SD_MASTER_RELOAD_H

#include <bsd/sys/queue.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/log.h"

struct master;

/* What the command line said, and what is read again. The strings are main's. */
struct reload_source {
	const char *file;	/* absolute; NULL: there is none, and no reload */
	uint32_t workers;	/* -w; 0: as the file says */
	bool verbose;		/* -v */
	bool foreground;	/* -f */
};

/* Somebody who waits for a reload. Its owner sets `done`, and it is the owner's again from then on. */
struct reload_request {
	/*
	 * Called once, perhaps before reload_start has returned. `changed`: the configuration is in force; `lines` are what
	 * only a restart would change. Else nothing has changed; the errors are among the lines ("FILE:LINE: what").
	 */
	void (*done)(struct reload_request *request, bool changed);
	struct buffer lines;	/* each ends in a line feed; freed by reload_request_deinit */

	TAILQ_ENTRY(reload_request) entry;
	uint64_t number;	/* of all reloads since the start, in the log */
	uint64_t generation;	/* of the pool's settings that it waits for */
	bool waiting;
};

TAILQ_HEAD(reload_queue, reload_request);

/* Read the configuration again. Everything in `lines` is logged, too. */
void reload_start(struct master *master, struct reload_request *request);

/* Its owner goes away: `done` is not called any more. Frees the lines; may be called at any time, and twice. */
void reload_request_deinit(struct master *master, struct reload_request *request);

/* A worker has answered, or has died: tell those whose reload is done. */
void reload_check(struct master *master);

/* Those who still wait are told; frees what a reload has put in place. */
void reload_deinit(struct master *master);

/* Let everything that follows from master->options be so; at the start, too. */
void reload_apply(struct master *master);

#endif
