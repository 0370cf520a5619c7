/*
 * tls_peer: the other side of worker/tls in tests: certificates made on the spot, and a client of plain OpenSSL.
 */
#ifndef C2SD_TESTS_WORKER_TLS_PEER_H
#define C2SD_TESTS_WORKER_TLS_PEER_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "worker/tls.h"

enum made_kind {
	MADE_EC,	/* P-256 */
	MADE_RSA,	/* 2048 bits */
	MADE_RSA_WEAK,	/* 1024 bits */
	MADE_ED25519,
};

/* A certificate signed by itself, as frames bring it. */
struct made {
	uint8_t *chain, *key;
	size_t chain_length, key_length;
};

/* `alternatives` as in openssl.cnf ("DNS:a.example"), NULL for none; `name` is the common one. Aborts where it cannot. */
void made_init(struct made *made, enum made_kind kind, const char *name, const char *alternatives);
void made_deinit(struct made *made);

/* Settings and tickets that most tests use. */
extern const struct tls_settings peer_settings;
struct tls_tickets *peer_tickets(uint8_t first, uint8_t second);

/* A context with these certificates, up to a NULL. */
struct tls_context *peer_context(const struct tls_settings *settings, struct tls_tickets *tickets, ...)
    __attribute__((sentinel));

/* A pair of sockets, both not waiting, with the server on one and the client on the other. */
struct peer_pair {
	int fds[2];		/* ours, the client's */
	struct tls *tls;
	SSL *client;
	uint64_t client_read;	/* bytes that the client had from its socket, and put into it */
	uint64_t client_written;
	int client_error;	/* the last reason that its OpenSSL gave for not shaking hands; 0: none */
};

/* The client's context: it verifies nothing, and offers what OpenSSL has. */
SSL_CTX *peer_client(void);

/* The name that a client asks for. */
void peer_ask(SSL *client, const char *host);

void pair_init(struct peer_pair *pair, struct tls_context *context, const char *host, SSL_CTX *client);
void pair_deinit(struct peer_pair *pair);

/* Both go on as far as they can. What tls_handshake said last. */
int pair_shake(struct peer_pair *pair);

/* pair_shake, which must come to TLS_READY on both sides. */
void pair_ready(struct peer_pair *pair);

/* The subject's common name of the certificate that the client was given. */
const char *pair_certificate_name(const struct peer_pair *pair);

/* A client without a socket, whose bytes the test passes on. */
struct wire {
	struct tls *tls;
	SSL *client;
	BIO *in, *out;		/* the client's */
	int fds[2];		/* ours; where the test speaks for the client */
	int result;		/* of tls_handshake */
	size_t sent;		/* bytes passed on to the server */
};

/* On a new pair of sockets where `fds` is NULL. */
void wire_init(struct wire *wire, struct tls_context *context, SSL_CTX *client, const int *fds);
void wire_deinit(struct wire *wire);

/* What the server has said goes to the client. */
void wire_down(struct wire *wire);

/* At most `size` bytes of the client go to the server; false: it has none. */
bool wire_up(struct wire *wire, size_t size);

/* The server goes on, and is heard. */
void wire_step(struct wire *wire);

#endif
