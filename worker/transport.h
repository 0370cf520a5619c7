/*
 * transport: what a client's bytes travel on: its socket. Nothing above this file reads, writes or shuts a client's
 * descriptor.
 */
#ifndef C2SD_WORKER_TRANSPORT_H
#define C2SD_WORKER_TRANSPORT_H

#include <stddef.h>
#include <sys/types.h>

struct client;

/* Bytes read; 0: the other side has closed its half; -EAGAIN: nothing has come; other: the connection is lost. */
ssize_t transport_read(struct client *client, void *bytes, size_t size);

/* The same, but the bytes stay where they are: what has come so far. */
ssize_t transport_peek(struct client *client, void *bytes, size_t size);

/* Bytes written; -EAGAIN: none are taken now; other: the connection is lost. */
ssize_t transport_write(struct client *client, const void *bytes, size_t length);

/* Read what still comes to a client that is ending, and throw it away; as transport_read. */
ssize_t transport_discard(struct client *client);

/* Everything was written: close our half. */
void transport_shut(struct client *client);

#endif
