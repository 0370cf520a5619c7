#include "worker/tls_context.h"

#include <bsd/string.h>
#include <bsd/sys/queue.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pkcs12.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/wiping.h"
#include "worker/tls_openssl.h"

/*
 * Our own choice: what is not forward secret or not authenticated encryption is out (RFC 9325 4.2). AES first, 128 bits
 * before 256, except for clients that say they have no AES in hardware by preferring ChaCha20.
 */
#define CIPHERS \
	"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:" \
	"ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
#define SUITES "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define GROUPS "X25519:P-256:P-384"

/* 112 bits: RSA from 2048 bits on, no SHA-1. */
#define SECURITY_LEVEL 2

/* A client's certificate with its chain. */
#define CLIENT_CHAIN_MAX 16384

/* A ticket is good for those who give it, whichever worker and start of it: they share its keys. */
static const uint8_t session_context[] = "c2sd";

static const uint8_t protocol[] = "\x0bxmpp-client";

/* RFC 4985: an SRV name of our service. */
static const char srv_prefix[] = "_xmpp-client.";

/* Kinds of keys that OpenSSL keeps side by side; more than there are. */
#define KINDS_MAX 8

struct certificate {
	STAILQ_ENTRY(certificate) entry;
	X509 *leaf;
	STACK_OF(X509) *chain;	/* what follows it */
	EVP_PKEY *key;
	size_t count;
	char **names;
};

/* Certificates for the same names, of different kinds. */
struct group {
	STAILQ_ENTRY(group) entry;
	SSL_CTX *ssl_context;
	const struct certificate *first;	/* whose names it has */
	unsigned count;
	int kinds[KINDS_MAX];
};

struct tls_context {
	unsigned references;
	const struct tls_tickets *tickets;
	struct tls_settings settings;	/* with strings of its own */
	SSL_CTX *spare;			/* for the next group */
	const char *error;
	STAILQ_HEAD(, certificate) certificates;
	STAILQ_HEAD(, group) groups;
};

/* ---- names ---- */

/* RFC 6125 6.4.3: a star is a whole label, the first, and stands for one. */
static bool
name_matches(const char *pattern, const char *host)
{
	const char *dot;

	if (strcasecmp(pattern, host) == 0)
		return true;
	dot = strchr(host, '.');
	return strncmp(pattern, "*.", 2) == 0 && dot != NULL && dot > host && strcasecmp(pattern + 1, dot) == 0;
}

static bool
certificate_names(const struct certificate *certificate, const char *host, bool exactly)
{
	for (size_t i = 0; i < certificate->count; i++) {
		const char *name = certificate->names[i];

		if (exactly ? strcasecmp(name, host) == 0 : name_matches(name, host))
			return true;
	}
	return false;
}

static bool
certificate_covers(const struct certificate *certificate, const struct certificate *other)
{
	for (size_t i = 0; i < other->count; i++) {
		if (!certificate_names(certificate, other->names[i], false))
			return false;
	}
	return true;
}

/* A name with a zero in it is an attempt to be two names. */
static int
names_add_text(struct certificate *certificate, const char *text, size_t length)
{
	char **names;

	if (length == 0 || memchr(text, '\0', length) != NULL)
		return 0;
	names = reallocarray(certificate->names, certificate->count + 1, sizeof *names);
	if (names == NULL)
		return -ENOMEM;
	certificate->names = names;
	names[certificate->count] = strndup(text, length);
	if (names[certificate->count] == NULL)
		return -ENOMEM;
	certificate->count++;
	return 0;
}

static int
names_add(struct certificate *certificate, const ASN1_STRING *string)
{
	return names_add_text(certificate, (const char *)ASN1_STRING_get0_data(string),
	    (size_t)ASN1_STRING_length(string));
}

static int
names_add_srv(struct certificate *certificate, const ASN1_STRING *string)
{
	const char *text = (const char *)ASN1_STRING_get0_data(string);
	size_t length = (size_t)ASN1_STRING_length(string), prefix = sizeof srv_prefix - 1;

	if (length <= prefix || strncasecmp(text, srv_prefix, prefix) != 0)
		return 0;
	return names_add_text(certificate, text + prefix, length - prefix);
}

static int
names_add_other(struct certificate *certificate, const OTHERNAME *other)
{
	if (OBJ_obj2nid(other->type_id) == NID_XmppAddr && other->value->type == V_ASN1_UTF8STRING)
		return names_add(certificate, other->value->value.utf8string);
	if (OBJ_obj2nid(other->type_id) == NID_SRVName && other->value->type == V_ASN1_IA5STRING)
		return names_add_srv(certificate, other->value->value.ia5string);
	return 0;
}

static int
names_add_alternatives(struct certificate *certificate, const GENERAL_NAMES *alternatives)
{
	int result = 0;

	for (int i = 0; i < sk_GENERAL_NAME_num(alternatives) && result == 0; i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(alternatives, i);

		if (name->type == GEN_DNS)
			result = names_add(certificate, name->d.dNSName);
		else if (name->type == GEN_OTHERNAME)
			result = names_add_other(certificate, name->d.otherName);
	}
	return result;
}

/* RFC 6125 6.4.4: the common name counts only where nothing better stands beside it. */
static int
names_add_common(struct certificate *certificate)
{
	X509_NAME *subject = X509_get_subject_name(certificate->leaf);
	int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);

	return at < 0 ? 0 : names_add(certificate, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
}

static int
names_read(struct certificate *certificate)
{
	GENERAL_NAMES *alternatives = X509_get_ext_d2i(certificate->leaf, NID_subject_alt_name, NULL, NULL);
	int result = alternatives == NULL ? 0 : names_add_alternatives(certificate, alternatives);

	if (alternatives == NULL)
		result = names_add_common(certificate);
	GENERAL_NAMES_free(alternatives);
	return result;
}

/* ---- certificates ---- */

static void
certificate_free(struct certificate *certificate)
{
	X509_free(certificate->leaf);
	sk_X509_pop_free(certificate->chain, X509_free);
	EVP_PKEY_free(certificate->key);
	for (size_t i = 0; i < certificate->count; i++)
		free(certificate->names[i]);
	free(certificate->names);
	free(certificate);
}

static bool
chain_read(struct certificate *certificate, const uint8_t *bytes, size_t length)
{
	const uint8_t *at = bytes, *end = bytes + length;

	certificate->leaf = d2i_X509(NULL, &at, (long)length);
	certificate->chain = sk_X509_new_null();
	if (certificate->leaf == NULL || certificate->chain == NULL)
		return false;
	while (at < end) {
		X509 *next = d2i_X509(NULL, &at, (long)(end - at));

		if (next == NULL)
			return false;
		if (sk_X509_push(certificate->chain, next) == 0) {
			X509_free(next);
			return false;
		}
	}
	return true;
}

static bool
key_read(struct certificate *certificate, const uint8_t *bytes, size_t length)
{
	const uint8_t *at = bytes;
	PKCS8_PRIV_KEY_INFO *information = d2i_PKCS8_PRIV_KEY_INFO(NULL, &at, (long)length);

	if (information == NULL)
		return false;
	certificate->key = EVP_PKCS82PKEY(information);
	PKCS8_PRIV_KEY_INFO_free(information);
	return certificate->key != NULL;
}

/* ---- groups ---- */

static bool
group_has(const struct group *group, const struct certificate *certificate)
{
	for (unsigned i = 0; i < group->count; i++) {
		if (group->kinds[i] == EVP_PKEY_get_base_id(certificate->key))
			return true;
	}
	return group->count == KINDS_MAX;
}

static bool
group_put(struct group *group, const struct certificate *certificate)
{
	if (SSL_CTX_use_cert_and_key(group->ssl_context, certificate->leaf, certificate->key, certificate->chain, 0) != 1 ||
	    SSL_CTX_check_private_key(group->ssl_context) != 1)
		return false;
	group->kinds[group->count++] = EVP_PKEY_get_base_id(certificate->key);
	return true;
}

static void
group_free(struct group *group)
{
	SSL_CTX_free(group->ssl_context);
	free(group);
}

/* ---- what a handshake asks us ---- */

/* RFC 7301: who offers protocols has to offer ours (XEP-0368 3); who offers none is one of the many that do not know it. */
static int
on_alpn(SSL *ssl, const unsigned char **chosen_r, unsigned char *length_r, const unsigned char *offered, unsigned length,
    void *argument)
{
	unsigned char *chosen;

	(void)ssl, (void)argument;
	if (SSL_select_next_proto(&chosen, length_r, protocol, sizeof protocol - 1, offered, length) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*chosen_r = chosen;
	return SSL_TLSEXT_ERR_OK;
}

static int
on_server_name(SSL *ssl, int *alert_r, void *argument)
{
	const char *host = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	struct tls_context *context = tls_of_handshake(ssl);
	SSL_CTX *found;

	(void)alert_r, (void)argument;
	if (host == NULL || context == NULL)
		return SSL_TLSEXT_ERR_NOACK;
	found = tls_context_find(context, host);
	if (found == NULL)
		return SSL_TLSEXT_ERR_NOACK;
	if (found != SSL_get_SSL_CTX(ssl) && SSL_set_SSL_CTX(ssl, found) == NULL)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	return SSL_TLSEXT_ERR_OK;
}

/* Any is taken: whom it stands for is the session manager's to judge. That the client has its key TLS itself has seen. */
static int
on_client_certificate(X509_STORE_CTX *store, void *argument)
{
	(void)store, (void)argument;
	return 1;
}

/* ---- OpenSSL's contexts ---- */

static const char *
or_own(const char *text, const char *own)
{
	return text == NULL || *text == '\0' ? own : text;
}

static bool
set_algorithms(SSL_CTX *ssl_context, const struct tls_settings *settings)
{
	int lowest = settings->min_version == 13 ? TLS1_3_VERSION : TLS1_2_VERSION;

	SSL_CTX_set_security_level(ssl_context, SECURITY_LEVEL);
	return SSL_CTX_set_min_proto_version(ssl_context, lowest) == 1 &&
	    SSL_CTX_set_cipher_list(ssl_context, or_own(settings->ciphers, CIPHERS)) == 1 &&
	    SSL_CTX_set_ciphersuites(ssl_context, or_own(settings->ciphersuites, SUITES)) == 1 &&
	    SSL_CTX_set1_groups_list(ssl_context, (uintptr_t)or_own(settings->groups, GROUPS)) == 1;
}

/*
 * NO_AUTO_CHAIN: the chain is what the operator gave, and not searched for at each handshake. IGNORE_UNEXPECTED_EOF:
 * who closes without close_notify has closed his half, and can still be answered, as without TLS; XMPP has an end of
 * its own by which it is seen that nothing was cut off (RFC 6120 4.4).
 */
static void
set_behaviour(SSL_CTX *ssl_context)
{
	SSL_CTX_set_options(ssl_context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE |
	    SSL_OP_PRIORITIZE_CHACHA | SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_mode(ssl_context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
	    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_NO_AUTO_CHAIN);
	SSL_CTX_set_session_cache_mode(ssl_context, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_alpn_select_cb(ssl_context, on_alpn, NULL);
	SSL_CTX_set_tlsext_servername_callback(ssl_context, on_server_name);
}

static void
set_client_certificates(SSL_CTX *ssl_context)
{
	SSL_CTX_set_verify(ssl_context, SSL_VERIFY_PEER | SSL_VERIFY_CLIENT_ONCE, NULL);
	SSL_CTX_set_cert_verify_callback(ssl_context, on_client_certificate, NULL);
	SSL_CTX_set_max_cert_list(ssl_context, CLIENT_CHAIN_MAX);
}

static bool
set_tickets(SSL_CTX *ssl_context, const struct tls_context *context)
{
	SSL_CTX_set_timeout(ssl_context, context->settings.ticket_lifetime);
	return SSL_CTX_set_num_tickets(ssl_context, 1) == 1 && tls_tickets_use(context->tickets, ssl_context) &&
	    tls_end_point_keep(ssl_context) &&
	    SSL_CTX_set_session_id_context(ssl_context, session_context, sizeof session_context - 1) == 1;
}

static SSL_CTX *
ssl_context_new(const struct tls_context *context)
{
	SSL_CTX *ssl_context = SSL_CTX_new(TLS_server_method());

	if (ssl_context == NULL)
		return NULL;
	set_behaviour(ssl_context);
	if (context->settings.ask_client_certificates)
		set_client_certificates(ssl_context);
	if (!set_algorithms(ssl_context, &context->settings) || !set_tickets(ssl_context, context)) {
		SSL_CTX_free(ssl_context);
		return NULL;
	}
	return ssl_context;
}

/* ---- contexts ---- */

static bool
text_copy(char **copy_r, const char *text)
{
	*copy_r = text == NULL ? NULL : strdup(text);
	return text == NULL || *copy_r != NULL;
}

static void
context_deinit(struct tls_context *context)
{
	struct certificate *certificate;
	struct group *group;

	while ((group = STAILQ_FIRST(&context->groups)) != NULL) {
		STAILQ_REMOVE_HEAD(&context->groups, entry);
		group_free(group);
	}
	while ((certificate = STAILQ_FIRST(&context->certificates)) != NULL) {
		STAILQ_REMOVE_HEAD(&context->certificates, entry);
		certificate_free(certificate);
	}
	SSL_CTX_free(context->spare);
	free(context->settings.ciphers);
	free(context->settings.ciphersuites);
	free(context->settings.groups);
}

/* What has come of it: the reason with it, where there is one. */
static int
context_result(struct tls_context *context, int result)
{
	int found;

	if (result == 0 && !tls_errors_of_memory())
		return 0;
	found = tls_errors_take(&context->error);
	return result == -ENOMEM ? result : found;
}

static int
context_init(struct tls_context *context, const struct tls_settings *settings)
{
	if (!text_copy(&context->settings.ciphers, settings->ciphers) ||
	    !text_copy(&context->settings.ciphersuites, settings->ciphersuites) ||
	    !text_copy(&context->settings.groups, settings->groups))
		return -ENOMEM;
	tls_errors_clear();
	context->spare = ssl_context_new(context);
	return context_result(context, context->spare == NULL ? -EINVAL : 0);
}

struct tls_context *
tls_context_new(const struct tls_settings *settings, const struct tls_tickets *tickets)
{
	struct tls_context *context = calloc(1, sizeof *context);
	int result;

	if (context == NULL)
		return NULL;
	context->references = 1;
	context->tickets = tickets;
	context->settings = *settings;
	context->settings.ciphers = context->settings.ciphersuites = context->settings.groups = NULL;
	STAILQ_INIT(&context->certificates);
	STAILQ_INIT(&context->groups);
	result = context_init(context, settings);
	if (result < 0) {
		tls_context_free(&context);
		errno = -result;
	}
	return context;
}

struct tls_context *
tls_context_hold(struct tls_context *context)
{
	context->references++;
	return context;
}

void
tls_context_release(struct tls_context **context)
{
	if (*context != NULL && --(*context)->references == 0) {
		context_deinit(*context);
		free(*context);
	}
	*context = NULL;
}

void
tls_context_free(struct tls_context **context)
{
	tls_context_release(context);
}

bool
tls_context_usable(const struct tls_context *context)
{
	return context != NULL && !STAILQ_EMPTY(&context->groups);
}

const char *
tls_context_error(const struct tls_context *context)
{
	return context->error;
}

bool
tls_context_gives_tickets(const struct tls_context *context)
{
	return context->settings.ticket_lifetime > 0 && tls_tickets_are_given(context->tickets);
}

/* Into all groups that have no such kind yet and whose names it has all. True in *joined_r: one of them is its own. */
static int
context_join(struct tls_context *context, const struct certificate *certificate, bool *joined_r)
{
	struct group *group;

	*joined_r = false;
	STAILQ_FOREACH(group, &context->groups, entry) {
		if (group_has(group, certificate) || !certificate_covers(certificate, group->first))
			continue;
		if (!group_put(group, certificate))
			return -EINVAL;
		*joined_r |= certificate_covers(group->first, certificate);
	}
	return 0;
}

/* A group for its names, with those of other kinds that came before it and have these names too. */
static int
context_found(struct tls_context *context, const struct certificate *certificate)
{
	struct group *group = calloc(1, sizeof *group);
	const struct certificate *other;

	if (group == NULL)
		return -ENOMEM;
	if (context->spare == NULL)
		context->spare = ssl_context_new(context);
	group->ssl_context = context->spare;
	context->spare = NULL;
	group->first = certificate;
	if (group->ssl_context == NULL || !group_put(group, certificate)) {
		group_free(group);
		return -EINVAL;
	}
	STAILQ_INSERT_TAIL(&context->groups, group, entry);
	STAILQ_FOREACH(other, &context->certificates, entry) {
		if (!group_has(group, other) && certificate_covers(other, certificate) && !group_put(group, other))
			return -EINVAL;
	}
	return 0;
}

/* 0, or what is to be said of it; the reason is still OpenSSL's, but for memory of our own. */
static int
certificate_read(struct certificate *certificate, const uint8_t *chain, size_t chain_length, const uint8_t *key,
    size_t key_length)
{
	if (!chain_read(certificate, chain, chain_length) || !key_read(certificate, key, key_length))
		return -EINVAL;
	return names_read(certificate);
}

int
tls_context_add(struct tls_context *context, const uint8_t *chain, size_t chain_length, const uint8_t *key,
    size_t key_length)
{
	struct certificate *certificate = calloc(1, sizeof *certificate);
	bool joined;
	int result;

	if (certificate == NULL)
		return -ENOMEM;
	tls_errors_clear();
	/* What the reading of a key leaves behind. */
	wiping_set(true);
	result = certificate_read(certificate, chain, chain_length, key, key_length);
	wiping_set(false);
	if (result < 0) {
		certificate_free(certificate);
		return context_result(context, result);
	}
	result = context_join(context, certificate, &joined);
	if (result == 0 && !joined)
		result = context_found(context, certificate);
	STAILQ_INSERT_TAIL(&context->certificates, certificate, entry);
	return context_result(context, result);
}

SSL_CTX *
tls_context_find(const struct tls_context *context, const char *host)
{
	const struct group *group, *best = NULL;
	bool best_exactly = false;

	STAILQ_FOREACH(group, &context->groups, entry) {
		bool exactly = certificate_names(group->first, host, true);

		if (!exactly && (best_exactly || !certificate_names(group->first, host, false)))
			continue;
		if (best == NULL || exactly > best_exactly || group->count > best->count)
			best = group;
		best_exactly |= exactly;
	}
	return best == NULL ? NULL : best->ssl_context;
}

SSL_CTX *
tls_context_choose(const struct tls_context *context, const char *host)
{
	SSL_CTX *found = host == NULL ? NULL : tls_context_find(context, host);

	if (found != NULL)
		return found;
	return STAILQ_EMPTY(&context->groups) ? NULL : STAILQ_FIRST(&context->groups)->ssl_context;
}
