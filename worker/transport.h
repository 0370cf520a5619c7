/*
 * transport: what a client's bytes travel on: its socket, or TLS over it. Nothing above this file knows which of them,
 * but for the way to TLS (handshake) and what is said of it in the log.
 */
#ifndef C2SD_WORKER_TRANSPORT_H
#define C2SD_WORKER_TRANSPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <stddef.h>
#include <sys/types.h>

struct client;

/*
 * Bytes read; 0: the other side has closed its half; -EAGAIN: nothing has come; -ENOMEM; -EPROTO: its TLS is wrong, and
 * nothing can be told it any more; other: the connection is lost.
 */
ssize_t transport_read(struct client *client, void *bytes, size_t size);

/*
 * The same of the bare socket, but the bytes stay where they are: what has come so far. Of a connection that is lost: what came
 * before that; then 0 when it had been closed in good order before; or the error, -ETIMEDOUT where the client's machine did not
 * answer, and once only.
 */
ssize_t transport_peek(struct client *client, void *bytes, size_t size);

/* There is something to read although the socket may not be readable. To be asked after each read. */
bool transport_has_more(const struct client *client);

/* Reading can go on only when the socket takes bytes. */
bool transport_reads_when_writable(const struct client *client);

/* After a read of 0: the whole connection has ended, and nothing will come, of whatever kind. */
bool transport_has_ended(const struct client *client);

/*
 * Bytes written, of TLS as one record; -EAGAIN: none are taken now, and the next call has the same bytes in front;
 * other as above.
 */
ssize_t transport_write(struct client *client, const void *bytes, size_t length);

/* Read what still comes to a client that is ending, and throw it away; as transport_read of a bare socket. */
ssize_t transport_discard(struct client *client);

/* As much of the handshake of TLS as can be done now: as tls_handshake. */
int transport_handshake(struct client *client);

/* What the kernel keeps on its way, and how long it tries, as the settings say. */
void transport_tune(const struct client *client);

/* Bytes that TCP was given: with TLS records, from the handshake on. Not to be asked once our half is closed. */
uint64_t transport_sent(const struct client *client);

/* Of those, what the client's TCP has not acknowledged; stays to be known when the connection is lost. */
uint64_t transport_unacknowledged(const struct client *client);

/* Everything was written: close our half. transport_sent from now on. */
uint64_t transport_shut(struct client *client);

/* What is under way is not to arrive: closing the socket resets the connection. */
void transport_reset(const struct client *client);

/* Has nothing been heard of its being lost? Who is told that it is ends the client: nobody will be told again. */
bool transport_stands(const struct client *client);

/* Bytes of memory that it holds for what is on its way. */
size_t transport_memory(const struct client *client);

/* Before the socket is closed, without a word. */
void transport_free(struct client *client);

#endif
