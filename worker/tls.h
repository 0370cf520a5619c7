/*
 * tls: one connection under TLS 1.2 or 1.3 (RFC 8446, RFC 7590, XEP-0368), over a descriptor that is the caller's.
 *
 * This is the border to OpenSSL: nothing outside worker/tls* includes it or keeps a pointer into it. What is outside
 * sees a connection that can read, write, say how many bytes TCP was given, hand over what channel binding needs, and
 * close.
 *
 * There is no session cache (tickets: tls_ticket.h), no renegotiation, no compression, no early data, no authentication
 * after the handshake. A client that offers application protocols (ALPN) has to offer xmpp-client.
 *
 * While nothing is on its way a connection has no buffers. What can come to lie in it: bytes of a record that is not
 * complete, at most one; what one recv brought beyond what the caller had room for; and one record that the socket has
 * not taken. Nobody can make it hold more.
 *
 * Everything is for one thread. The order of life: tls_init, [sandbox], tickets, context, connections.
 */
#ifndef C2SD_WORKER_TLS_H
#define C2SD_WORKER_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "worker/tls_context.h"
#include "worker/tls_ticket.h"

struct tls;

/*
 * Once, first of all, before the sandbox is entered: everything for which OpenSSL would open a file or ask the machine.
 * No openssl.cnf is read. 0 or -ENOMEM.
 */
int tls_init(void) __attribute__((warn_unused_result));

/*
 * A connection whose client speaks next, with its ClientHello. `host` is that of the stream's header (STARTTLS), or
 * NULL. The context must be usable; it may be freed while the connection goes on. NULL without memory.
 */
struct tls *tls_new(struct tls_context *context, int fd, const char *host);

/* What the handshake came to. */
enum tls_progress {
	TLS_READY = 1,		/* it is over: tls_facts. Ask tls_has_more: plain text may have come with the last bytes */
	TLS_WANTS_READ,		/* again when the socket is readable */
	TLS_WANTS_WRITE,	/* again when it takes bytes */
	TLS_FAILED,		/* the client was rude, or we have nothing in common: tls_error. The alert was written */
	TLS_CLOSED,		/* the connection was closed, or lost, half-way */
};

/* Go on with the handshake. An enum tls_progress, or -ENOMEM. */
int tls_handshake(struct tls *tls) __attribute__((warn_unused_result));

/*
 * Plain text that has come, with one recv at most. Bytes; 0: the other side has closed its half (with close_notify or,
 * which tls_error says, without); -EAGAIN: nothing now; -EPROTO: it was rude (tls_error); -ENOMEM; any other: the
 * connection is lost. After an end or an error of its own, it says the same again.
 */
ssize_t tls_read(struct tls *tls, void *bytes, size_t size);

/*
 * tls_read has something to say without the socket being readable. Always to be asked after tls_read and before waiting
 * for the socket.
 */
bool tls_has_more(const struct tls *tls);

/*
 * tls_read has something to answer (a KeyUpdate, RFC 8446 4.6.3) that the socket did not take: call it again when it
 * does.
 */
bool tls_read_wants_write(const struct tls *tls);

/*
 * Give plain text to the connection. Bytes of it that TCP has taken, in one record, which may be fewer than `length`;
 * -EAGAIN: it takes none now, and the call has to be made again with the same bytes in front, from wherever they are by
 * then, and any number behind them; errors as tls_read has them. `length` is not 0.
 */
ssize_t tls_write(struct tls *tls, const void *bytes, size_t length);

/* Bytes that TCP was given, and has brought, from the handshake on: records, not plain text. */
uint64_t tls_sent(const struct tls *tls);
uint64_t tls_received(const struct tls *tls);

/* Longest digest of a certificate (SHA-512). */
#define TLS_END_POINT_MAX 64

#define TLS_EXPORTER_SIZE 32

/* What the handshake has settled. */
struct tls_facts {
	uint8_t version;		/* 12, 13 */
	bool resumed;
	bool has_exporter;		/* TLS 1.3, or 1.2 with the extended master secret (RFC 9266 4.2) */
	bool is_bound;			/* tls_bind: the next three are there */
	uint8_t exporter[TLS_EXPORTER_SIZE];	/* channel binding tls-exporter (RFC 9266) */
	uint8_t end_point[TLS_END_POINT_MAX];	/* tls-server-end-point (RFC 5929 4) */
	uint8_t end_point_length;	/* 0: not defined for this certificate */
	const char *cipher;		/* "TLS_AES_128_GCM_SHA256"; static */
	const char *sni;		/* the name that the client asked for; NULL: it has not */
	const uint8_t *certificate;	/* the client's own, in DER; it has the key, nothing else was verified. NULL: none */
	size_t certificate_length;
};

/* Made when the handshake is over. NULL before, and after tls_forget. */
const struct tls_facts *tls_facts(const struct tls *tls);

/*
 * Make the channel bindings, once, while there are facts: they are part of a handshake's cost that a login without channel
 * binding does not pay. 0 or -ENOMEM.
 */
int tls_bind(struct tls *tls) __attribute__((warn_unused_result));

/* The login is over: the facts are wiped, and with them all that only a login needs. */
void tls_forget(struct tls *tls);

/* 12 or 13; 0: the handshake is not over. Stays when the facts are forgotten. */
unsigned tls_version(const struct tls *tls);

/* Say that nothing will be sent any more (close_notify), as far as the socket takes it; reading goes on. */
void tls_close(struct tls *tls);

/* Without a word to the other side; the descriptor stays open. May be called twice. */
void tls_free(struct tls **tls);

/* Bytes of memory that it holds for what has come and was not read; not what the handshake takes. */
size_t tls_held(const struct tls *tls);

/* What was wrong, in a few words (OpenSSL's or ours, never the client's); NULL: nothing. Static. */
const char *tls_error(const struct tls *tls);

#endif
