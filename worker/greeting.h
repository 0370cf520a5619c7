/*
 * greeting: the answer to a client's header: which of our hosts it means, our own header, the features (RFC 6120 4.3,
 * 4.7); and the end of a stream, which is told in the words of the same RFC.
 */
#ifndef C2SD_WORKER_GREETING_H
#define C2SD_WORKER_GREETING_H

#include <stdbool.h>

struct buffer;
struct client;
struct dialect_answer;
struct stream_header;

/* May this header be answered? Then there is a login. False: the client was ended instead. */
bool greeting_accept(struct client *client, const struct stream_header *header);

/* Answer it, or have it answered by the dialect. The client may end by it. */
void greeting_give(struct client *client, const struct stream_header *header);

/* Append our header, as the dialect's answer says, if this stream has none yet. Memory that is missing shows in the output. */
void greeting_header(struct client *client, const struct dialect_answer *answer);

/* Append the features: those of STARTTLS, `features` (NULL: nothing further is offered now), limits. */
void greeting_features(struct client *client, const struct buffer *features);

/* The host that the client wants to log in to is none of ours any more. */
bool greeting_host_is_gone(const struct client *client);

/* Say the end, with a stream error if there is a client->condition, where it can still be told. `text` may be NULL. */
void greeting_end(struct client *client, const char *text);

#endif
