/*
 * intake: a client's parser while there is one, and what comes out of it.
 *
 * A parser is big; it is made when bytes come and freed a second after the last ones, except in the middle of an element.
 * The client owns its intake; worker->intakes counts them.
 *
 * Overflow: what one read returned is the most that waits in it unparsed; while the worker may not read (the link takes
 * nothing, the channel is full, memory is short) the client is paused, and what is left waits in the parser.
 */
#ifndef C2SD_WORKER_INTAKE_H
#define C2SD_WORKER_INTAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/loop.h"

struct client;

struct intake {
	struct client *client;
	struct stream *stream;
	struct deadline deadline;	/* a second after the last bytes */
};

/* The client has sent these bytes: parse them, and tell its state machine of everything that is complete. */
void intake_take(struct client *client, const uint8_t *bytes, size_t length);

/* Go on with what waits in the parser since the client was paused. */
void intake_go_on(struct client *client);

/*
 * The client's stream begins anew: what has come and was not used belongs to the new one. It is not looked at before
 * intake_go_on. False without memory.
 */
bool intake_begin_anew(struct client *client);

/* Bytes of memory that the parser holds, if there is one. */
size_t intake_memory(const struct client *client);

/* There may be none. */
void intake_free(struct client *client);

/* Of the worker's list of those whose second is over. */
void intake_on_idle(struct deadline *deadline);

#endif
