/*
 * output: what is on its way to one client and has not been written to its socket.
 *
 * Exists only while there is something: a client that has everything owns none; worker->outputs counts them. It remembers
 * at which byte each packet of the session manager ends, so that the worker can say which ones have left. (For now a
 * packet is settled when its last byte was written to the socket; doc/design.md "No packet vanishes" says what comes
 * after.)
 *
 * Overflow: who puts in asks output_length() against the client's limit, and ends the client. One that takes nothing for
 * a while is lost (output_on_stall).
 */
#ifndef C2SD_WORKER_OUTPUT_H
#define C2SD_WORKER_OUTPUT_H

#include "common/buffer.h"
#include "common/loop.h"

struct client;

struct output {
	struct client *client;
	struct buffer bytes;
	struct buffer marks;		/* struct output_mark, one for each packet not settled */
	uint64_t written;		/* bytes written since this output was made */
	uint64_t shown;			/* output_total() when the client was last traced */
	struct deadline stall;		/* set while the client does not read */
};

struct output_mark {
	uint64_t number;	/* of the packet */
	uint64_t end;		/* what `written` is when its last byte is */
};

/* Where to append what the client is to get; NULL without memory. output_queued() must follow. */
struct buffer *output_get(struct client *client);

/* Something complete was appended: it is written at the end of this turn. */
void output_queued(struct client *client);

/* Say that what was appended to `bytes` until now completes the packet of that number. */
void output_mark(struct output *output, uint64_t number);

/*
 * Write what the socket takes, and tell the master which packets have left. Once all is written there is no output any
 * more. 0, or a negative errno: the connection is lost (-EPIPE and its kind) or memory was missing (-ENOMEM).
 */
int output_flush(struct client *client) __attribute__((warn_unused_result));

/* Forget what is left; there may be nothing. */
void output_drop(struct client *client);

/* Bytes that wait; of NULL 0. */
size_t output_length(const struct output *output);

/* Bytes ever put in. */
uint64_t output_total(const struct output *output);

/* It waits until its socket takes something. */
bool output_is_stalled(const struct output *output);

/* Of the worker's list of those that have taken nothing for too long. */
void output_on_stall(struct deadline *deadline);

#endif
