/*
 * starttls: how a client asks for TLS in its stream (RFC 6120 5): the feature, <starttls/>, <proceed/> or <failure/>.
 *
 * Whatever the dialect, this is between c2sd and the client: nothing of that namespace is sent up. Nothing of the clear
 * stream is used after it: when <proceed/> has been written, the client begins anew (client.h).
 */
#ifndef C2SD_WORKER_STARTTLS_H
#define C2SD_WORKER_STARTTLS_H

#include <stdbool.h>

#include "common/buffer.h"

struct client;
struct stream_event;

/* The client is offered TLS: its listener does, it has none yet, and there is a certificate (or we insist on TLS). */
bool starttls_is_offered(const struct client *client);

/* It must not do anything else before that. */
bool starttls_is_required(const struct client *client);

/* Append the feature, if it is offered. */
void starttls_append_feature(const struct client *client, struct buffer *down);

/*
 * What the client has sent is between it and us: it was answered, or the client was ended. False: it is the dialect's.
 * CLIENT_STARTTLS is said to the state machine when <proceed/> is on its way.
 */
bool starttls_take(struct client *client, const struct stream_event *element);

#endif
