/*
 * output: what is on its way to one client: bytes that were not written to its socket, and the packets of the session
 * manager among them and behind them whose fate is not known (unsettled.h).
 *
 * Exists only while there is something of either: a client that has everything owns none; worker->outputs counts them.
 * From it the worker tells the master which packets have arrived (W2M_SETTLED). It asks the socket for that
 * (SIOCOUTQ, tcp(7)) once in `settle-seconds` while anything is unsettled, however much is sent, since no event tells of
 * an acknowledgement. Of one for which more waits than its socket takes it says, too, that it takes something: a
 * W2M_SETTLED with the number 0.
 *
 * Overflow: who puts in asks output_length() against the client's hard bound, and ends the client. Above the soft bound
 * one whose TCP acknowledges nothing for `stall-seconds` is lost (output_on_stall); below it TCP decides
 * (`dead-seconds`).
 */
#ifndef C2SD_WORKER_OUTPUT_H
#define C2SD_WORKER_OUTPUT_H

#include "common/buffer.h"
#include "common/loop.h"
#include "worker/unsettled.h"

struct client;

struct output {
	struct client *client;
	struct buffer bytes;
	struct buffer marks;		/* struct unsettled_mark of packets not wholly written; `end` as output_total counts */
	struct unsettled unsettled;	/* those that were; `end` as transport_sent counts */
	uint64_t written;		/* bytes written since this output was made */
	uint64_t shown;			/* output_total() when the client was last traced */
	uint64_t given;			/* what TCP was given in all, from the end of our half on */
	uint64_t looked;		/* acknowledged at the last look */
	uint64_t taken;			/* acknowledged when `stall` was set */
	struct deadline stall;		/* set while it is above the soft bound */
	struct deadline settle;		/* set while anything is unsettled or not written */
	bool blocked;			/* the socket did not take everything */
};

/* Where to append what the client is to get; NULL without memory. output_queued() must follow, or output_tidy(). */
struct buffer *output_get(struct client *client);

/* Something complete was appended: it is written at the end of this turn. */
void output_queued(struct client *client);

/* Say that what was appended to `bytes` until now completes the packet of that number. */
void output_mark(struct output *output, uint64_t number);

/*
 * Write what the socket takes. 0, or a negative errno: the connection is lost (-EPIPE and its kind) or memory was missing
 * (-ENOMEM).
 */
int output_flush(struct client *client) __attribute__((warn_unused_result));

/* Our half is closed behind everything that was written; TCP was given so many bytes in all. */
void output_shut(struct client *client, uint64_t given);

/* The client has closed its half: what it has acknowledged is settled. */
void output_finish(struct client *client);

/*
 * Something was not settled, and is to be sent back. Where the connection is closed it should not arrive after all; nor is
 * anything settled by that: when a reset came nobody knows, and a worker that was kept from running hears of it late.
 */
bool output_is_owed(const struct client *client);

/* Forget what was not written. */
void output_discard(struct client *client);

/* Forget everything; there may be nothing. */
void output_drop(struct client *client);

/* Give it back when there is nothing in it. */
void output_tidy(struct client *client);

/* Bytes that wait; of NULL 0. */
size_t output_length(const struct output *output);

/* Bytes ever put in. */
uint64_t output_total(const struct output *output);

/* It waits until its socket takes something. */
bool output_is_blocked(const struct output *output);

/* Of the worker's lists of those that have taken nothing for too long, and of those that are to be asked. */
void output_on_stall(struct deadline *deadline);
void output_on_settle(struct deadline *deadline);

#endif
