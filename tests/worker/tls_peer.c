#include "tests/worker/tls_peer.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pkcs12.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

const struct tls_settings peer_settings = { .min_version = 12, .ticket_lifetime = 3600 };

static void
must(bool condition)
{
	if (condition)
		return;
	ERR_print_errors_fp(stderr);
	abort();
}

/* ---- certificates ---- */

/* To find primes takes long: all certificates have the same one, and tests that fork inherit it. */
static EVP_PKEY *
key_rsa(void)
{
	static EVP_PKEY *key;

	if (key == NULL)
		key = EVP_RSA_gen(2048);
	must(key != NULL && EVP_PKEY_up_ref(key) == 1);
	return key;
}

static EVP_PKEY *
key_make(enum made_kind kind)
{
	switch (kind) {
	case MADE_EC:
		return EVP_EC_gen("P-256");
	case MADE_RSA:
		return key_rsa();
	case MADE_RSA_WEAK:
		return EVP_RSA_gen(1024);
	case MADE_ED25519:
		return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	}
	return NULL;
}

static void
certificate_fill(X509 *certificate, EVP_PKEY *key, const char *name, const char *alternatives)
{
	X509_NAME *subject = X509_get_subject_name(certificate);
	X509_EXTENSION *extension;

	must(X509_set_version(certificate, X509_VERSION_3) == 1);
	must(ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1) == 1);
	must(X509_gmtime_adj(X509_getm_notBefore(certificate), 0) != NULL);
	must(X509_gmtime_adj(X509_getm_notAfter(certificate), 86400) != NULL);
	must(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const uint8_t *)name, -1, -1, 0) == 1);
	must(X509_set_issuer_name(certificate, subject) == 1);
	must(X509_set_pubkey(certificate, key) == 1);
	if (alternatives == NULL)
		return;
	extension = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, alternatives);
	must(extension != NULL && X509_add_ext(certificate, extension, -1) == 1);
	X509_EXTENSION_free(extension);
}

void
made_init(struct made *made, enum made_kind kind, const char *name, const char *alternatives)
{
	EVP_PKEY *key = key_make(kind);
	X509 *certificate = X509_new();
	PKCS8_PRIV_KEY_INFO *information;
	int length;

	*made = (struct made){ 0 };
	must(key != NULL && certificate != NULL);
	certificate_fill(certificate, key, name, alternatives);
	must(X509_sign(certificate, key, kind == MADE_ED25519 ? NULL : EVP_sha256()) > 0);
	length = i2d_X509(certificate, &made->chain);
	must(length > 0);
	made->chain_length = (size_t)length;
	information = EVP_PKEY2PKCS8(key);
	length = i2d_PKCS8_PRIV_KEY_INFO(information, &made->key);
	must(length > 0);
	made->key_length = (size_t)length;
	PKCS8_PRIV_KEY_INFO_free(information);
	X509_free(certificate);
	EVP_PKEY_free(key);
}

void
made_deinit(struct made *made)
{
	OPENSSL_free(made->chain);
	OPENSSL_free(made->key);
	*made = (struct made){ 0 };
}

/* ---- what a worker would have ---- */

struct tls_tickets *
peer_tickets(uint8_t first, uint8_t second)
{
	struct tls_tickets *tickets = tls_tickets_new();
	uint8_t keys[2 * TICKET_KEY_SIZE];

	must(tickets != NULL);
	memset(keys, first, TICKET_KEY_SIZE);
	memset(keys + TICKET_KEY_SIZE, second, TICKET_KEY_SIZE);
	tls_tickets_set(tickets, keys, second == 0 ? 1 : 2);
	return tickets;
}

struct tls_context *
peer_context(const struct tls_settings *settings, struct tls_tickets *tickets, ...)
{
	struct tls_context *context = tls_context_new(settings, tickets);
	const struct made *made;
	va_list list;

	must(context != NULL);
	va_start(list, tickets);
	while ((made = va_arg(list, const struct made *)) != NULL)
		must(tls_context_add(context, made->chain, made->chain_length, made->key, made->key_length) == 0);
	va_end(list);
	return context;
}

/* ---- the client ---- */

static long
on_client(BIO *bio, int operation, const char *bytes, size_t size, int argument, long number, int result, size_t *done)
{
	struct peer_pair *pair = (struct peer_pair *)(void *)BIO_get_callback_arg(bio);

	(void)bytes, (void)size, (void)argument, (void)number;
	if (result > 0 && operation == (BIO_CB_READ | BIO_CB_RETURN))
		pair->client_read += *done;
	if (result > 0 && operation == (BIO_CB_WRITE | BIO_CB_RETURN))
		pair->client_written += *done;
	return result;
}

SSL_CTX *
peer_client(void)
{
	SSL_CTX *client = SSL_CTX_new(TLS_client_method());

	must(client != NULL);
	SSL_CTX_set_mode(client, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_session_cache_mode(client, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	return client;
}

void
peer_ask(SSL *client, const char *host)
{
	must(SSL_set_tlsext_host_name(client, (uintptr_t)host) == 1);
}

void
pair_init(struct peer_pair *pair, struct tls_context *context, const char *host, SSL_CTX *client)
{
	BIO *bio;

	*pair = (struct peer_pair){ 0 };
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair->fds) == 0);
	pair->tls = tls_new(context, pair->fds[0], host);
	must(pair->tls != NULL);
	if (client == NULL)
		return;
	pair->client = SSL_new(client);
	must(pair->client != NULL);
	SSL_set_fd(pair->client, pair->fds[1]);
	bio = SSL_get_rbio(pair->client);
	BIO_set_callback_arg(bio, (char *)pair);
	BIO_set_callback_ex(bio, on_client);
	SSL_set_connect_state(pair->client);
}

void
pair_deinit(struct peer_pair *pair)
{
	SSL_free(pair->client);
	tls_free(&pair->tls);
	close(pair->fds[0]);
	close(pair->fds[1]);
}

int
pair_shake(struct peer_pair *pair)
{
	uint64_t moved = 1, before = 0;
	int result = TLS_WANTS_READ;

	while (moved != before) {
		before = moved;
		ERR_clear_error();
		SSL_do_handshake(pair->client);
		if (ERR_peek_last_error() != 0)
			pair->client_error = ERR_GET_REASON(ERR_peek_last_error());
		ERR_clear_error();
		if (result == TLS_WANTS_READ || result == TLS_WANTS_WRITE)
			result = tls_handshake(pair->tls);
		moved = tls_sent(pair->tls) + tls_received(pair->tls) + pair->client_read + pair->client_written;
	}
	return result;
}

void
pair_ready(struct peer_pair *pair)
{
	int result = pair_shake(pair);

	if (result != TLS_READY)
		fprintf(stderr, "tls_handshake: %d, %s\n", result, tls_error(pair->tls));
	must(result == TLS_READY && SSL_is_init_finished(pair->client));
}

const char *
pair_certificate_name(const struct peer_pair *pair)
{
	static char name[256];
	X509 *certificate = SSL_get0_peer_certificate(pair->client);

	must(certificate != NULL);
	X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, name, sizeof name);
	return name;
}

/* ---- the wire ---- */

void
wire_init(struct wire *wire, struct tls_context *context, SSL_CTX *client, const int *fds)
{
	*wire = (struct wire){ .result = TLS_WANTS_READ };
	if (fds != NULL)
		memcpy(wire->fds, fds, sizeof wire->fds);
	else
		must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, wire->fds) == 0);
	wire->tls = tls_new(context, wire->fds[0], NULL);
	wire->client = SSL_new(client);
	wire->in = BIO_new(BIO_s_mem());
	wire->out = BIO_new(BIO_s_mem());
	must(wire->tls != NULL && wire->client != NULL && wire->in != NULL && wire->out != NULL);
	SSL_set_bio(wire->client, wire->in, wire->out);
	SSL_set_connect_state(wire->client);
}

void
wire_deinit(struct wire *wire)
{
	SSL_free(wire->client);
	tls_free(&wire->tls);
	close(wire->fds[0]);
	if (wire->fds[1] >= 0)
		close(wire->fds[1]);
}

void
wire_down(struct wire *wire)
{
	uint8_t bytes[16384];
	ssize_t length;

	while ((length = recv(wire->fds[1], bytes, sizeof bytes, MSG_DONTWAIT)) > 0)
		must(BIO_write(wire->in, bytes, (int)length) == length);
}

bool
wire_up(struct wire *wire, size_t size)
{
	uint8_t bytes[16384];
	int length;

	ERR_clear_error();
	SSL_do_handshake(wire->client);
	ERR_clear_error();
	length = BIO_read(wire->out, bytes, (int)(size < sizeof bytes ? size : sizeof bytes));
	if (length <= 0)
		return false;
	must(send(wire->fds[1], bytes, (size_t)length, MSG_NOSIGNAL) == length);
	wire->sent += (size_t)length;
	return true;
}

void
wire_step(struct wire *wire)
{
	if (wire->result == TLS_WANTS_READ || wire->result == TLS_WANTS_WRITE)
		wire->result = tls_handshake(wire->tls);
	wire_down(wire);
}
