/*
 * output: what is on its way to one client and has not been written to its socket.
 *
 * Exists only while there is something: a client that has everything owns none. It remembers at which byte each packet
 * of the session manager ends, so that the worker can say which ones have left. (For now a packet is settled when its
 * last byte was written to the socket; doc/design.md "No packet vanishes" says what comes after.)
 *
 * Overflow: who puts in asks output_length() against the client's limit, and ends the client.
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

/* NULL without memory. */
struct output *output_new(struct client *client);

/* The stall deadline must have been cleared. */
void output_free(struct output **output);

size_t output_length(const struct output *output);

/* Bytes ever put in. */
uint64_t output_total(const struct output *output);

/* Say that what was appended to `bytes` until now completes the packet of that number. */
void output_mark(struct output *output, uint64_t number);

/*
 * Write what the socket takes. Bytes written (0: it takes none now), or a negative errno: the connection is lost
 * (-EPIPE and its kind) or memory was missing earlier (-ENOMEM).
 */
ssize_t output_write(struct output *output, int fd);

/* The number of the last packet that has left since the last call; 0: none. */
uint64_t output_settled(struct output *output);

#endif
