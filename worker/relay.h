/*
 * relay: between a client and the link: what it sends goes to the dialect's worker half and up to the master, what the
 * master hands down goes through the same half to the client's output (dialect.h).
 */
#ifndef C2SD_WORKER_RELAY_H
#define C2SD_WORKER_RELAY_H

#include "dialect/dialect.h"

struct client;
struct client_message;
struct stream_event;

/* What a dialect is told about a client; `id` and `stream_id` (room for 17) are where its strings lie. */
struct dialect_context relay_context(const struct client *client, char *id, char *stream_id);

/* The client has sent a complete element. */
void relay_element(struct client *client, const struct stream_event *element);

/* A packet for the client came from the link. */
void relay_packet(struct client *client, const struct client_message *message);

#endif
