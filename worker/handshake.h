/*
 * handshake: a client on its way to TLS: from its first byte to the end of the handshake, or to its own.
 */
#ifndef C2SD_WORKER_HANDSHAKE_H
#define C2SD_WORKER_HANDSHAKE_H

#include <stdbool.h>

#include "ipc/reason.h"

struct client;

/* It is readable, and its first byte is not known: look at it, and tell the state machine. */
void handshake_look(struct client *client);

/* TLS begins. False: it was ended instead. */
bool handshake_begin(struct client *client);

/* Its socket can do something: go on, and tell the state machine when it is done. */
void handshake_go_on(struct client *client);

/* It will not come to TLS. `why` stands in the log. */
void handshake_fail(struct client *client, enum end_reason reason, const char *why);

#endif
