/*
 * outbox: what goes to the session manager: packets that wait, the one that was written in part, and, on a link with
 * acknowledgement, those that were written and are kept until they are acknowledged (doc/link.md).
 *
 * Pure: it knows no descriptor; the link writes what outbox_gather names. It is not bounded itself: `queued` and
 * `unacknowledged` say how much it holds, and the link has the rules for that (link.h).
 *
 * What was sent again after the session manager had died may be what it dies of, so it goes in small numbers that are
 * doubled with each answer (`window`); what was alone on its way when the session manager died, or is the first that it
 * had not handled when it complained of the stream, is given up the third time, and said so.
 */
#ifndef C2SD_MASTER_OUTBOX_H
#define C2SD_MASTER_OUTBOX_H

#include <bsd/sys/queue.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct ack;

struct outbox_packet {
	STAILQ_ENTRY(outbox_packet) entry;
	size_t length;
	unsigned breaks;	/* how often the link may have been lost because of it */
	bool counted;		/* an element; else the stream's end */
	uint8_t bytes[];
};

STAILQ_HEAD(outbox_queue, outbox_packet);

struct outbox {
	struct outbox_queue queue;	/* not written wholly */
	struct outbox_queue sent;	/* written and not acknowledged */
	size_t queued;			/* bytes in the one */
	size_t unacknowledged;		/* and in the other */
	size_t head_written;		/* bytes of the first in `queue` that were written */
	bool touched;			/* a part of it was, on a connection that is gone */
	uint32_t window;		/* most that may be in `sent`; 0: any number */
};

void outbox_init(struct outbox *outbox);
void outbox_deinit(struct outbox *outbox);

/* Queue a copy. False: no memory. */
bool outbox_add(struct outbox *outbox, const void *bytes, size_t length, bool counted);

/*
 * What may be written next, as the vectors of at most `most` packets; *bytes_r in all. 0: nothing may be. *end_r: there is
 * no more behind them, for now. `ack` as in outbox_written.
 */
unsigned outbox_gather(const struct outbox *outbox, const struct ack *ack, struct iovec *vectors, unsigned most,
    size_t *bytes_r, bool *end_r);

/* Is there anything that may be written? */
bool outbox_has_more(const struct outbox *outbox, const struct ack *ack);

/* So many bytes of that were written. Whole packets are counted and kept where ack->on, else they are gone. */
void outbox_written(struct outbox *outbox, struct ack *ack, size_t length);

/* The first `count` of those that were sent are acknowledged. */
void outbox_acknowledged(struct outbox *outbox, uint32_t count);

/*
 * The connection is gone. A part of a packet was never a packet: it is written again as a whole. Without
 * acknowledgement (`counts` false) that may be because of the packet: it is given up when that was the third time.
 */
void outbox_cut(struct outbox *outbox, bool counts);

/*
 * Everything that was sent and not acknowledged goes first again. `blamed`: by a session manager that is still there and
 * has complained of the stream. `lost`: it is not there any more.
 */
void outbox_requeue(struct outbox *outbox, bool blamed, bool lost);

#endif
