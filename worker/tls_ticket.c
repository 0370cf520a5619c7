#include "worker/tls_ticket.h"

#include <bsd/stdlib.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

#include "worker/tls_openssl.h"

#define NAME_SIZE 16
#define AES_SIZE 32
#define HMAC_SIZE 32

_Static_assert(NAME_SIZE + AES_SIZE + HMAC_SIZE == TICKET_KEY_SIZE, "a key is its three parts");

/* What a callback of SSL_CTX_set_tlsext_ticket_key_evp_cb may answer. */
enum answer {
	ANSWER_BROKEN = -1,
	ANSWER_UNKNOWN = 0,	/* a whole handshake instead */
	ANSWER_TAKEN = 1,
	ANSWER_RENEW = 2,	/* it is good, and is to be replaced */
};

struct key {
	uint8_t name[NAME_SIZE];
	uint8_t aes[AES_SIZE];
	uint8_t hmac[HMAC_SIZE];
};

struct tls_tickets {
	EVP_CIPHER *cipher;	/* looked up once: a search for each ticket costs more than its encryption */
	unsigned count;
	struct key keys[TICKET_KEYS_MAX];
};

struct tls_tickets *
tls_tickets_new(void)
{
	struct tls_tickets *tickets = calloc(1, sizeof *tickets);

	if (tickets == NULL)
		return NULL;
	tickets->cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
	if (tickets->cipher == NULL)
		tls_tickets_free(&tickets);
	return tickets;
}

void
tls_tickets_set(struct tls_tickets *tickets, const uint8_t *keys, unsigned count)
{
	if (count > TICKET_KEYS_MAX)
		count = TICKET_KEYS_MAX;
	explicit_bzero(tickets->keys, sizeof tickets->keys);
	tickets->count = count;
	for (unsigned i = 0; i < count; i++)
		memcpy(&tickets->keys[i], keys + (size_t)i * TICKET_KEY_SIZE, TICKET_KEY_SIZE);
}

void
tls_tickets_free(struct tls_tickets **tickets)
{
	if (*tickets == NULL)
		return;
	EVP_CIPHER_free((*tickets)->cipher);
	freezero(*tickets, sizeof **tickets);
	*tickets = NULL;
}

bool
tls_tickets_are_given(const struct tls_tickets *tickets)
{
	return tickets->count > 0;
}

static const struct key *
key_find(const struct tls_tickets *tickets, const uint8_t *name)
{
	for (unsigned i = 0; i < tickets->count; i++) {
		if (memcmp(tickets->keys[i].name, name, NAME_SIZE) == 0)
			return &tickets->keys[i];
	}
	return NULL;
}

static bool
mac_init(EVP_MAC_CTX *mac, const struct key *key)
{
	static char digest[] = "SHA256";
	uint8_t bytes[HMAC_SIZE];
	OSSL_PARAM parameters[] = {
		OSSL_PARAM_octet_string(OSSL_MAC_PARAM_KEY, bytes, sizeof bytes),
		OSSL_PARAM_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, sizeof digest - 1),
		OSSL_PARAM_END,
	};
	bool done;

	memcpy(bytes, key->hmac, sizeof bytes);
	done = EVP_MAC_CTX_set_params(mac, parameters) == 1;
	explicit_bzero(bytes, sizeof bytes);
	return done;
}

static enum answer
ticket_seal(const struct tls_tickets *tickets, uint8_t *name, uint8_t *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
	const struct key *key = &tickets->keys[0];

	if (tickets->count == 0)
		return ANSWER_UNKNOWN;
	if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(tickets->cipher)) != 1)
		return ANSWER_BROKEN;
	memcpy(name, key->name, NAME_SIZE);
	if (EVP_EncryptInit_ex2(cipher, tickets->cipher, key->aes, iv, NULL) != 1 || !mac_init(mac, key))
		return ANSWER_BROKEN;
	return ANSWER_TAKEN;
}

/* With TLS 1.3 a ticket is good for one connection (RFC 8446 C.4), so that each gets a new one. */
static enum answer
ticket_open(const SSL *ssl, const struct tls_tickets *tickets, const uint8_t *name, const uint8_t *iv,
    EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
	const struct key *key = key_find(tickets, name);

	if (key == NULL)
		return ANSWER_UNKNOWN;
	if (!mac_init(mac, key) || EVP_DecryptInit_ex2(cipher, tickets->cipher, key->aes, iv, NULL) != 1)
		return ANSWER_BROKEN;
	return key == &tickets->keys[0] && SSL_version(ssl) < TLS1_3_VERSION ? ANSWER_TAKEN : ANSWER_RENEW;
}

static int
on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int seal)
{
	const struct tls_tickets *tickets = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));

	return seal ? ticket_seal(tickets, name, iv, cipher, mac) : ticket_open(ssl, tickets, name, iv, cipher, mac);
}

bool
tls_tickets_use(const struct tls_tickets *tickets, SSL_CTX *ssl_context)
{
	return SSL_CTX_set_app_data(ssl_context, (void *)(uintptr_t)tickets) == 1 &&
	    SSL_CTX_set_tlsext_ticket_key_evp_cb(ssl_context, on_ticket) == 1;
}
