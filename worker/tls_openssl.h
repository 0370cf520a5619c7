/*
 * tls_openssl: what the files behind tls.h share, and nobody else includes, since OpenSSL stands in it.
 *
 * OpenSSL keeps a queue of errors for each thread. Every call into it stands between tls_errors_clear and, where it
 * failed, tls_errors_take, so that what is in the queue belongs to that call and to no other connection.
 */
#ifndef C2SD_WORKER_TLS_OPENSSL_H
#define C2SD_WORKER_TLS_OPENSSL_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tls;
struct tls_context;
struct tls_tickets;

/* ---- errors ---- */

void tls_errors_clear(void);

/*
 * What the calls since tls_errors_clear failed of: -ENOMEM, or -EINVAL and the first reason in words (static; never
 * NULL). The queue is empty then.
 */
int tls_errors_take(const char **reason_r);

/*
 * An allocation has failed since tls_errors_clear. OpenSSL puts up with that here and there, and makes a context that
 * does less than it was told to.
 */
bool tls_errors_of_memory(void);

/* ---- memory (tls_memory.c) ---- */

/*
 * What OpenSSL and worker/tls have for a connection, packed by size into runs of pages, as common/slab does it for
 * clients. In malloc's heap those blocks, which stay for days, come to lie between the buffers of handshakes, and keep
 * a third more pages than they fill when two thousand clients have come at once. Larger blocks are malloc's: they come
 * and go.
 *
 * An idle connection with TLS 1.3 and AES-128-GCM, OpenSSL 3.0.22, in KiB, by what is left out one after the other:
 *
 *	46.6	library defaults
 *	14.0	SSL_MODE_RELEASE_BUFFERS
 *	13.9	no session cache, one ticket
 *	13.6	one BIO for all (tls_bio.c), with struct tls in it
 *	13.3	these runs, in pages; when 2000 shook hands at once 13.8, and without them 20.3
 *
 * What is left is OpenSSL's: SSL 7.4, ciphers 2.4, SSL_SESSION 0.9, CERT 0.5, keys of the key exchange 0.6, digests 0.4,
 * locks 0.4. There is no call by which any of it could be had back.
 */

/* Once, before anything is allocated. Without the address space for it everything is malloc's. */
void tls_memory_prepare(void);

/* While an SSL is made, so that its size is known. */
void tls_memory_learn(bool learning);

/* As malloc, realloc and free; sizes are not 0. Not for anything that others free. */
void *tls_memory_new(size_t size);
void *tls_memory_resize(void *before, size_t size);
void tls_memory_free(void *block);

/* Longest block for one connection; nothing that TLS needs is longer. */
#define TLS_MEMORY_MAX 32768

/*
 * Between the two a client is at work, and nothing longer is given: a handshake message says its length before it is
 * there, and OpenSSL would take 175 kB for a ClientHello of five bytes.
 */
void tls_memory_limit(bool limited);

/* ---- tickets ---- */

/* Sessions of this context go into tickets under these keys. False without memory. */
bool tls_tickets_use(const struct tls_tickets *tickets, SSL_CTX *ssl_context);

/* There is a key to give tickets with. */
bool tls_tickets_are_given(const struct tls_tickets *tickets);

/* ---- the certificate that the client was shown (tls_end_point.c) ---- */

/*
 * tls-server-end-point (RFC 5929 4), at most TLS_END_POINT_MAX bytes; none where it is not defined. False without memory.
 * Who resumes is shown no certificate and goes by the one that it was shown when its ticket was first made, which need
 * not be the one that is in use now: it was renewed since, or is of another kind. So the ticket says it.
 */
bool tls_end_point_get(SSL *ssl, uint8_t *bytes_r, size_t *length_r);

/* Tickets of this context say it. False without memory. */
bool tls_end_point_keep(SSL_CTX *ssl_context);

/* ---- contexts ---- */

/* One more, or one fewer, who uses it; the last one frees it. */
struct tls_context *tls_context_hold(struct tls_context *context);
void tls_context_release(struct tls_context **context);

/* The best certificates for the host; NULL: none is. */
SSL_CTX *tls_context_find(const struct tls_context *context, const char *host);

/* The best certificates for the host, which may be NULL, or else the first. NULL: there are none. */
SSL_CTX *tls_context_choose(const struct tls_context *context, const char *host);

/* Whether tickets are given to who connects now. */
bool tls_context_gives_tickets(const struct tls_context *context);

/* ---- connections ---- */

/* The context that its certificate is chosen from; NULL when the handshake is over. */
struct tls_context *tls_of_handshake(const SSL *ssl);

/* ---- between a connection and its socket (tls_bio.c) ---- */

struct tls_rest;

/*
 * One BIO is shared by all connections, since only one of them is in OpenSSL at a time: tls_bio_enter says which, and
 * tls_bio_leave that it is no more. What recv brings goes through one static inbox; what is left over in the end is
 * kept. OpenSSL is shown whole records only, so that it holds no half ones in buffers of its own, which are 17 kB each.
 */
struct tls_bio {
	int fd;
	int error;		/* positive errno: the connection is lost, and for what */
	bool ended;		/* the other side sends no more */
	bool cut;		/* it has done so in the middle of a record */
	bool stopped;		/* somebody has decided to read no more; an error for OpenSSL */
	uint64_t sent, received;
	struct tls_rest *rest;	/* bytes that have come and that OpenSSL has not taken; NULL: none */
};

/* Once. False without memory. */
bool tls_bio_prepare(void);

/* The BIO, one reference to it. */
BIO *tls_bio_share(void);

void tls_bio_enter(struct tls_bio *bio);

/* Within the two: there is something to read for OpenSSL, if need be with one recv for each tls_bio_enter. */
bool tls_bio_fetch(void);

/* 0 or -ENOMEM: what is left could not be kept, and the connection cannot go on. */
int tls_bio_leave(void);

/* What is kept is something to read for OpenSSL. */
bool tls_bio_has_record(const struct tls_bio *bio);

/* Bytes of memory for what is kept. */
size_t tls_bio_held(const struct tls_bio *bio);

void tls_bio_deinit(struct tls_bio *bio);

#endif
