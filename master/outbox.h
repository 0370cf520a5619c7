/*
 * outbox: what goes to the session manager: packets that wait, the one that was written in part, and those that were
 * written and are kept until they are acknowledged: by the session manager itself, or, where it does not do that, by its
 * TCP (doc/link.md).
 *
 * Pure: it knows no descriptor; the link writes what outbox_gather names. It is not bounded itself: `queued` and
 * `unacknowledged` say how much it holds, and the link has the rules for that (link.h).
 *
 * What was sent again after the session manager had died may be what it dies of, so it goes in small numbers that are
 * doubled with each answer (`window`); what was alone on its way when the session manager died, or is the first that it
 * had not handled when it complained of the stream, is given up the third time: it is in `given_up` then, from where the
 * owner takes it. Meanwhile it is suspected: the owner may hold it back until the session manager has shown that it does not
 * die without it.
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
	uint64_t from;		/* whose it is, in the words of who queued it */
	uint64_t end;		/* of a written one: how many bytes the connection had been given with it */
	unsigned breaks;	/* how often the link may have been lost because of it */
	bool counted;		/* an element; else the stream's end */
	uint8_t bytes[];
};

STAILQ_HEAD(outbox_queue, outbox_packet);

/* Of elements: in = acknowledged + waiting + lost, always. */
struct outbox_counters {
	uint64_t in;			/* what was to go to the session manager */
	uint64_t acknowledged;		/* by it, or by its TCP */
	uint64_t waiting;		/* to be written, or acknowledged */
	uint64_t lost;			/* could not be queued, or was given up */
	uint64_t again;			/* how often one was queued again that had been written: what may come twice */
};

struct outbox {
	struct outbox_queue queue;	/* not written wholly */
	struct outbox_queue sent;	/* written and not acknowledged */
	struct outbox_queue given_up;	/* see above */
	size_t queued;			/* bytes in the one */
	size_t unacknowledged;		/* and in the other */
	uint32_t waiting;		/* packets in `sent` */
	size_t head_written;		/* bytes of the first in `queue` that were written */
	bool touched;			/* a part of it was, on a connection that is gone */
	uint32_t window;		/* most that may be in `sent`; 0: any number */
	bool held;			/* nothing is to be written for now */
	struct outbox_counters counters;
};

void outbox_init(struct outbox *outbox);
void outbox_deinit(struct outbox *outbox);

/* Queue a copy. False: no memory. `counted`: an element. */
bool outbox_add(struct outbox *outbox, uint64_t from, const void *bytes, size_t length, bool counted);

/* One that was not queued: it is counted as lost. */
void outbox_refuse(struct outbox *outbox);

/* True when nothing has vanished. */
bool outbox_balances(const struct outbox *outbox);

/*
 * What may be written next, as the vectors of at most `most` packets; *bytes_r in all. 0: nothing may be. *end_r: there is
 * no more behind them, for now.
 */
unsigned outbox_gather(const struct outbox *outbox, struct iovec *vectors, unsigned most, size_t *bytes_r, bool *end_r);

/* Is there anything that may be written? */
bool outbox_has_more(const struct outbox *outbox);

/*
 * So many bytes of that were written, on a connection that had been given `offset` bytes before. Whole packets are kept, and
 * counted where ack->on.
 */
void outbox_written(struct outbox *outbox, struct ack *ack, uint64_t offset, size_t length);

/* The first `count` of those that were sent are acknowledged. */
void outbox_acknowledged(struct outbox *outbox, uint32_t count);

/* Those whose last byte is among the first `offset` of this connection are. */
void outbox_arrived(struct outbox *outbox, uint64_t offset);

/* The connection is gone. A part of a packet was never a packet: it is to be written again as a whole. */
void outbox_cut(struct outbox *outbox);

/*
 * Everything that was sent and not acknowledged goes first again. `blamed`: by a session manager that is still there and
 * has complained of the stream. `died`: it is not there any more, perhaps because of what it was sent.
 */
void outbox_requeue(struct outbox *outbox, bool blamed, bool died);

/* The packet that would be written next, when the session manager may have died of it before; else NULL. */
const struct outbox_packet *outbox_suspect(const struct outbox *outbox);

/* The next packet that was given up, taken out, or NULL; to be freed with outbox_packet_free. */
struct outbox_packet *outbox_take_given_up(struct outbox *outbox);
void outbox_packet_free(struct outbox_packet *packet);

#endif
