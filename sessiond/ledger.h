/*
 * ledger: acknowledgement at the session manager's end of the link (dialect/ack, XEP-0198; doc/link.md): what was sent and
 * is not acknowledged, what was received, and the link's own elements, which nobody else sees.
 *
 * Everything that goes out because of them goes out when the turn is over: an element is acknowledged when what it did is
 * on disk. When the link is lost the ledger stays, and the next one resumes there: what the socket manager has not got is
 * sent again, in order, and nothing twice. When it cannot say where it was, all that was kept is sent again.
 *
 * Overflow: a socket manager that has acknowledged nothing of the last LEDGER_MAX bytes has broken the rules: the link is
 * refused, and what was kept counts as arrived. What it has not been given does not count: it may not be reading, or one turn
 * may have had more to say to all. (While much of that waits nothing is read from it: main.c.)
 */
#ifndef C2SD_SESSIOND_LEDGER_H
#define C2SD_SESSIOND_LEDGER_H

#include <bsd/sys/queue.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"
#include "dialect/ack.h"

#define LEDGER_MAX (64u * 1024 * 1024)

/* One element that was sent. */
struct ledger_entry {
	STAILQ_ENTRY(ledger_entry) entry;
	size_t length;
	char bytes[];
};

STAILQ_HEAD(ledger_entries, ledger_entry);

enum ledger_answer {
	LEDGER_NO_ANSWER,
	LEDGER_ENABLED,		/* a stream begins */
	LEDGER_RESUMED,		/* it goes on */
	LEDGER_FAILED,		/* neither: that stream is not known */
	LEDGER_REFUSED,		/* acknowledgement is switched off */
};

struct ledger {
	struct ack ack;
	struct ledger_entries kept;
	size_t kept_bytes;
	uint64_t dropped;		/* of all that were ever kept, those that are not any more */
	uint32_t streams;		/* that were begun: to which one a number belongs */
	enum ledger_answer answer;	/* with the end of the turn */
	bool resumable;			/* LEDGER_ENABLED: as they have asked for */
	bool count_due;			/* likewise: how much we have */
	bool fresh;			/* they have acknowledged something; the owner resets it */
	bool failed;			/* no memory */
};

void ledger_init(struct ledger *ledger);
void ledger_deinit(struct ledger *ledger);

/*
 * An element has come on a link in order. True: it was the link's own. *breach_r: what cannot be, said in words; NULL if
 * nothing is wrong. `allowed`: acknowledgement is not switched off.
 */
bool ledger_take(struct ledger *ledger, const void *bytes, size_t length, bool allowed, const char **breach_r);

/*
 * The turn is over: these bytes, whole elements, go out, and behind them what the ledger has to say, which is appended to
 * `out`. `unwritten`: bytes that have not left yet, these with them. False: too much is not acknowledged.
 */
bool ledger_release(struct ledger *ledger, const void *bytes, size_t length, size_t unwritten, struct buffer *out);

/* Has the socket manager acknowledged everything up to that number of that stream? */
bool ledger_is_through(const struct ledger *ledger, uint32_t stream, uint32_t number);

/* Is acknowledgement in use: on this link, or on the next one that will resume it? */
bool ledger_is_used(const struct ledger *ledger);

/*
 * What a process before this one has left (recovery.h): whole elements that were sent; and that so many have gone in all,
 * of which the first call learns where to begin. False: these are no elements, or there were not so many.
 */
bool ledger_restore(struct ledger *ledger, const void *bytes, size_t length);
bool ledger_restore_dropped(struct ledger *ledger, uint64_t dropped);

/* The link is gone. */
void ledger_suspend(struct ledger *ledger);

/* What they say cannot be: the stream is not resumed; what is kept is sent again in another one. */
void ledger_forget(struct ledger *ledger);

#endif
