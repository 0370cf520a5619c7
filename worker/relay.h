/*
 * relay: between a client and the link: what it sends goes to the dialect's worker half and up to the master, what the
 * master hands down goes through the same half to the client's output; and what the dialect says that this means for the
 * client is done here, whichever dialect it is (dialect.h).
 */
#ifndef C2SD_WORKER_RELAY_H
#define C2SD_WORKER_RELAY_H

#include <stdbool.h>

struct client;
struct client_message;
struct stream_event;
struct stream_header;

/* The client's header has come, and is one that may be answered (greeting.h). */
void relay_header(struct client *client, const struct stream_header *header);

/* The client has sent a complete element. */
void relay_element(struct client *client, const struct stream_event *element);

/* A packet for the client came from the link. */
void relay_packet(struct client *client, const struct client_message *message);

/* The client is not to be read before the session manager has answered. */
bool relay_waits(const struct client *client);

#endif
