/* tls: against a client of plain OpenSSL, over a pair of sockets. */
#include <errno.h>
#include <malloc.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ipc/contract.h"
#include "tests/dialect/tap.h"
#include "tests/worker/tls_peer.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct made ec, rsa, wild, both, weak, odd, hidden, common, srv, client_made;
static struct tls_tickets *tickets;
static SSL_CTX *client;
static uint8_t large[200000];

static void
set_version(int version)
{
	SSL_CTX_set_min_proto_version(client, version);
	SSL_CTX_set_max_proto_version(client, version);
}

static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };

/* What the server reads next, which must be that much at once. */
static void
expect(struct tls *tls, const void *bytes, size_t length)
{
	static uint8_t got[1 << 17];

	ck_assert_int_eq(tls_read(tls, got, sizeof got), (ssize_t)length);
	ck_assert_mem_eq(got, bytes, length);
}

/* Both say a word to each other. */
static void
exchange(struct peer_pair *pair)
{
	char got[32];

	ck_assert_int_eq(SSL_write(pair->client, "<from/>", 7), 7);
	expect(pair->tls, "<from/>", 7);
	ck_assert(!tls_has_more(pair->tls));
	ck_assert_int_eq(tls_read(pair->tls, got, sizeof got), -EAGAIN);
	ck_assert_int_eq(tls_write(pair->tls, "<to/>", 5), 5);
	ck_assert_int_eq(SSL_read(pair->client, got, sizeof got), 5);
	ck_assert_mem_eq(got, "<to/>", 5);
	ck_assert_uint_eq(tls_sent(pair->tls), pair->client_read);
	ck_assert_uint_eq(tls_received(pair->tls), pair->client_written);
}

/* ---- handshakes ---- */

START_TEST(versions_and_keys)
{
	struct made *made = _i % 2 ? &ec : &rsa;
	struct tls_context *context = peer_context(&peer_settings, tickets, made, NULL);
	struct peer_pair pair;

	set_version(versions[_i / 2]);
	pair_init(&pair, context, NULL, client);
	tls_context_free(&context);
	ck_assert_ptr_null(tls_facts(pair.tls));
	ck_assert_uint_eq(tls_version(pair.tls), 0);
	pair_ready(&pair);
	ck_assert_uint_eq(tls_facts(pair.tls)->version, _i / 2 ? 13 : 12);
	ck_assert_uint_eq(tls_version(pair.tls), _i / 2 ? 13 : 12);
	ck_assert_str_eq(tls_facts(pair.tls)->cipher, SSL_CIPHER_get_name(SSL_get_current_cipher(pair.client)));
	ck_assert(!tls_facts(pair.tls)->resumed);
	ck_assert_ptr_null(tls_facts(pair.tls)->sni);
	ck_assert_ptr_null(tls_facts(pair.tls)->certificate);
	exchange(&pair);
	ck_assert_ptr_null(tls_error(pair.tls));
	pair_deinit(&pair);
}
END_TEST

/* Who has no AES in hardware says so by putting ChaCha20 first (PRIORITIZE_CHACHA). */
static const struct choice {
	int version;
	const char *ciphers, *chosen;
} choices[] = {
	{ TLS1_3_VERSION, "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256" },
	{ TLS1_3_VERSION, "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256" },
	{ TLS1_3_VERSION, "TLS_AES_128_CCM_SHA256", NULL },
	{ TLS1_2_VERSION, "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256" },
	{ TLS1_2_VERSION, "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305" },
	{ TLS1_2_VERSION, "ECDHE-RSA-AES128-GCM-SHA256", NULL },	/* the key is another */
	{ TLS1_2_VERSION, "ECDHE-ECDSA-AES128-SHA256", NULL },		/* CBC */
	{ TLS1_2_VERSION, "ECDHE-ECDSA-AES128-CCM", NULL },
	{ TLS1_2_VERSION, "AES128-GCM-SHA256:@SECLEVEL=0", NULL },	/* RSA key exchange */
	{ TLS1_2_VERSION, "ADH-AES128-GCM-SHA256:@SECLEVEL=0", NULL },
};

START_TEST(ciphers)
{
	const struct choice *choice = &choices[_i];
	struct tls_context *context = peer_context(&peer_settings, tickets, &ec, NULL);
	struct peer_pair pair;

	set_version(choice->version);
	if (choice->version == TLS1_3_VERSION)
		SSL_CTX_set_ciphersuites(client, choice->ciphers);
	else
		SSL_CTX_set_cipher_list(client, choice->ciphers);
	pair_init(&pair, context, NULL, client);
	if (choice->chosen != NULL) {
		pair_ready(&pair);
		ck_assert_str_eq(tls_facts(pair.tls)->cipher, choice->chosen);
	} else {
		ck_assert_int_eq(pair_shake(&pair), TLS_FAILED);
		ck_assert_str_eq(tls_error(pair.tls), "no shared cipher");
	}
	pair_deinit(&pair);
	tls_context_free(&context);
}
END_TEST

/* What the operator chose holds, and what OpenSSL does not know is an error. */
START_TEST(settings_hold)
{
	struct tls_settings settings = peer_settings;
	struct tls_context *context;
	struct peer_pair pair;

	settings.ciphersuites = (char[]){ "TLS_AES_256_GCM_SHA384" };
	settings.groups = (char[]){ "P-384" };
	settings.min_version = 13;
	context = peer_context(&settings, tickets, &ec, NULL);
	memset(settings.ciphersuites, 'x', 10);
	pair_init(&pair, context, NULL, client);
	pair_ready(&pair);
	ck_assert_str_eq(tls_facts(pair.tls)->cipher, "TLS_AES_256_GCM_SHA384");
	pair_deinit(&pair);
	set_version(TLS1_2_VERSION);
	pair_init(&pair, context, NULL, client);
	ck_assert_int_eq(pair_shake(&pair), TLS_FAILED);
	ck_assert_str_eq(tls_error(pair.tls), "unsupported protocol");
	pair_deinit(&pair);
	tls_context_free(&context);
	errno = 0;
	ck_assert_ptr_null(tls_context_new(&settings, tickets));
	ck_assert_int_eq(errno, EINVAL);
}
END_TEST

/* ---- which certificate ---- */

static const struct chosen {
	const char *sni, *host, *name;
} chosen[] = {
	{ NULL, NULL, "ec.example" },		/* the first */
	{ "rsa.example", NULL, "rsa.example" },
	{ "RSA.Example", NULL, "rsa.example" },
	{ NULL, "rsa.example", "rsa.example" },
	{ NULL, "rsa.EXAMPLE", "rsa.example" },
	{ "rsa.example", "ec.example", "rsa.example" },	/* SNI goes before the stream's header */
	{ "unknown.example", "rsa.example", "rsa.example" },
	{ "unknown.example", NULL, "ec.example" },
	{ NULL, "unknown.example", "ec.example" },
	{ "a.wild.example", NULL, "wild" },
	{ NULL, "A.WILD.example", "wild" },
	{ "wild.example", NULL, "ec.example" },		/* a star is one label, no less */
	{ "a.b.wild.example", NULL, "ec.example" },	/* and no more */
	{ "exact.wild.example", NULL, "both" },	/* the whole name goes before the star */
	{ NULL, ".wild.example", "ec.example" },
	{ NULL, "", "ec.example" },
	{ "xmpp.example", NULL, "both" },		/* xmppAddr */
	{ "common.example", NULL, "common.example" },	/* no alternative names */
	{ "hidden", NULL, "ec.example" },		/* there are some, so that the common name does not count */
	{ "seen.example", NULL, "hidden" },
	{ "srv.example", NULL, "srv" },		/* RFC 4985 */
	{ "other.example", NULL, "ec.example" },	/* of another service */
};

START_TEST(certificate_is_chosen)
{
	const struct chosen *row = &chosen[_i];
	struct tls_context *context = peer_context(&peer_settings, tickets, &ec, &rsa, &wild, &both, &common, &hidden, &srv,
	    NULL);
	struct peer_pair pair;

	pair_init(&pair, context, row->host, client);
	if (row->sni != NULL)
		peer_ask(pair.client, row->sni);
	pair_ready(&pair);
	ck_assert_str_eq(pair_certificate_name(&pair), row->name);
	ck_assert_pstr_eq(tls_facts(pair.tls)->sni, row->sni);
	exchange(&pair);
	pair_deinit(&pair);
	tls_context_free(&context);
}
END_TEST

/* Of one name, in either order; the one with more names serves those with its own kind alone. */
START_TEST(kinds_side_by_side)
{
	struct made one, two;
	struct tls_context *context;
	struct peer_pair pair;

	made_init(&one, _i % 2 ? MADE_EC : MADE_RSA, "one", "DNS:A.example");
	made_init(&two, _i % 2 ? MADE_RSA : MADE_EC, "two", _i / 2 ? "DNS:a.example" : "DNS:a.example,DNS:b.example");
	context = _i / 4 ? peer_context(&peer_settings, tickets, &two, &one, NULL) :
	    peer_context(&peer_settings, tickets, &one, &two, NULL);
	set_version(TLS1_2_VERSION);
	for (int i = 0; i < 2; i++) {
		SSL_CTX_set_cipher_list(client, i == _i % 2 ? "ECDHE-RSA-AES128-GCM-SHA256" : "ECDHE-ECDSA-AES128-GCM-SHA256");
		pair_init(&pair, context, NULL, client);
		peer_ask(pair.client, "a.example");
		pair_ready(&pair);
		ck_assert_str_eq(pair_certificate_name(&pair), i ? "two" : "one");
		pair_deinit(&pair);
	}
	tls_context_free(&context);
	made_deinit(&one);
	made_deinit(&two);
}
END_TEST

START_TEST(chain_is_sent)
{
	struct made chain = { 0 };
	struct tls_context *context;
	struct peer_pair pair;

	chain.chain_length = ec.chain_length + rsa.chain_length;
	chain.chain = OPENSSL_malloc(chain.chain_length);
	memcpy(chain.chain, ec.chain, ec.chain_length);
	memcpy(chain.chain + ec.chain_length, rsa.chain, rsa.chain_length);
	chain.key_length = ec.key_length;
	chain.key = OPENSSL_memdup(ec.key, ec.key_length);
	context = peer_context(&peer_settings, tickets, &chain, NULL);
	pair_init(&pair, context, NULL, client);
	pair_ready(&pair);
	ck_assert_int_eq(sk_X509_num(SSL_get_peer_cert_chain(pair.client)), 2);
	pair_deinit(&pair);
	tls_context_free(&context);
	made_deinit(&chain);
}
END_TEST

START_TEST(bad_certificates)
{
	struct tls_context *context = tls_context_new(&peer_settings, tickets);

	ck_assert(!tls_context_usable(NULL));
	ck_assert(!tls_context_usable(context));
	ck_assert_ptr_null(tls_context_error(context));
	ck_assert_int_eq(tls_context_add(context, ec.chain, ec.chain_length, rsa.key, rsa.key_length), -EINVAL);
	ck_assert_str_eq(tls_context_error(context), "private key mismatch");
	ck_assert_int_eq(tls_context_add(context, ec.chain, ec.chain_length, both.key, both.key_length), -EINVAL);
	ck_assert_str_eq(tls_context_error(context), "private key mismatch");
	ck_assert_int_eq(tls_context_add(context, weak.chain, weak.chain_length, weak.key, weak.key_length), -EINVAL);
	ck_assert_str_eq(tls_context_error(context), "ee key too small");
	for (size_t length = 0; length < ec.chain_length; length++)
		ck_assert_int_eq(tls_context_add(context, ec.chain, length, ec.key, ec.key_length), -EINVAL);
	for (size_t length = 0; length < ec.key_length; length++)
		ck_assert_int_eq(tls_context_add(context, ec.chain, ec.chain_length, ec.key, length), -EINVAL);
	ck_assert(!tls_context_usable(context));
	ck_assert_uint_eq(ERR_peek_error(), 0);
	ck_assert_int_eq(tls_context_add(context, odd.chain, odd.chain_length, odd.key, odd.key_length), 0);
	ck_assert(tls_context_usable(context));
	tls_context_free(&context);
	tls_context_free(&context);
}
END_TEST

/* ---- facts ---- */

static void
check_exporter(struct peer_pair *pair)
{
	uint8_t bytes[TLS_EXPORTER_SIZE];

	ck_assert_int_eq(SSL_export_keying_material(pair->client, bytes, sizeof bytes, "EXPORTER-Channel-Binding", 24,
	    (const uint8_t *)"", 0, 1), 1);
	ck_assert_int_eq(tls_bind(pair->tls), 0);
	ck_assert_mem_eq(bytes, tls_facts(pair->tls)->exporter, sizeof bytes);
}

static void
check_end_point(struct peer_pair *pair, const EVP_MD *digest)
{
	uint8_t bytes[EVP_MAX_MD_SIZE];
	unsigned length;

	ck_assert_int_eq(X509_digest(SSL_get0_peer_certificate(pair->client), digest, bytes, &length), 1);
	ck_assert_int_eq(tls_bind(pair->tls), 0);
	ck_assert_uint_eq(tls_facts(pair->tls)->end_point_length, length);
	ck_assert_mem_eq(tls_facts(pair->tls)->end_point, bytes, length);
}

START_TEST(facts_are_the_clients)
{
	struct tls_context *context = peer_context(&peer_settings, tickets, &ec, &rsa, NULL);
	struct peer_pair pair;

	set_version(versions[_i]);
	pair_init(&pair, context, NULL, client);
	peer_ask(pair.client, "rsa.example");
	pair_ready(&pair);
	ck_assert(tls_facts(pair.tls)->has_exporter);
	check_exporter(&pair);
	check_end_point(&pair, EVP_sha256());
	tls_forget(pair.tls);
	ck_assert_ptr_null(tls_facts(pair.tls));
	tls_forget(pair.tls);
	ck_assert_uint_eq(tls_version(pair.tls), _i ? 13 : 12);
	exchange(&pair);
	pair_deinit(&pair);
	tls_context_free(&context);
}
END_TEST

/* RFC 5929 knows no digest for it. */
START_TEST(no_end_point_for_ed25519)
{
	struct tls_context *context = peer_context(&peer_settings, tickets, &odd, NULL);
	struct peer_pair pair;

	pair_init(&pair, context, NULL, client);
	pair_ready(&pair);
	ck_assert_int_eq(tls_bind(pair.tls), 0);
	ck_assert_uint_eq(tls_facts(pair.tls)->end_point_length, 0);
	exchange(&pair);
	pair_deinit(&pair);
	tls_context_free(&context);
}
END_TEST

/* RFC 9266 4.2: without it the exporter does not tell one connection from another. */
START_TEST(no_exporter_without_extended_master_secret)
{
	struct tls_context *context = peer_context(&peer_settings, tickets, &ec, NULL);
	struct peer_pair pair;

	set_version(TLS1_2_VERSION);
	SSL_CTX_set_options(client, SSL_OP_NO_EXTENDED_MASTER_SECRET);
	pair_init(&pair, context, NULL, client);
	pair_ready(&pair);
	ck_assert(!tls_facts(pair.tls)->has_exporter);
	check_end_point(&pair, EVP_sha256());
	pair_deinit(&pair);
	tls_context_free(&context);
}
END_TEST

static void
client_has_certificate(void)
{
	const uint8_t *chain = client_made.chain, *key = client_made.key;
	X509 *certificate = d2i_X509(NULL, &chain, (long)client_made.chain_length);
	EVP_PKEY *private = d2i_AutoPrivateKey(NULL, &key, (long)client_made.key_length);

	ck_assert_int_eq(SSL_CTX_use_cert_and_key(client, certificate, private, NULL, 1), 1);
	X509_free(certificate);
	EVP_PKEY_free(private);
}

START_TEST(client_certificate)
{
	struct tls_settings settings = peer_settings;
	struct tls_context *context;
	struct peer_pair pair;

	settings.ask_client_certificates = _i / 2;
	context = peer_context(&settings, tickets, &ec, NULL);
	set_version(versions[_i % 2]);
	if (_i / 4)
		client_has_certificate();
	pair_init(&pair, context, NULL, client);
	pair_ready(&pair);
	if (settings.ask_client_certificates && _i / 4) {
		ck_assert_uint_eq(tls_facts(pair.tls)->certificate_length, client_made.chain_length);
		ck_assert_mem_eq(tls_facts(pair.tls)->certificate, client_made.chain, client_made.chain_length);
	} else {
		ck_assert_ptr_null(tls_facts(pair.tls)->certificate);
	}
	exchange(&pair);
	pair_deinit(&pair);
	tls_context_free(&context);
}
END_TEST

/* ---- ALPN ---- */

static const struct offer {
	const char *protocols;
	bool right;
} offers[] = {
	{ "\x0bxmpp-client", true },
	{ "\x02h2\x0bxmpp-client", true },
	{ "\x0bxmpp-server\x0bxmpp-client", true },
	{ "\x02h2\x08http/1.1", false },
	{ "\x0bxmpp-server", false },
	{ "\x0bXMPP-CLIENT", false },
	{ "\x0axmpp-clien", false },
	{ "\x0cxmpp-clientx", false },
};

START_TEST(application_protocol)
{
	struct tls_context *context = peer_context(&peer_settings, tickets, &ec, NULL);
	const struct offer *offer = &offers[_i / 2];
	struct peer_pair pair;
	const uint8_t *got;
	unsigned length;

	set_version(versions[_i % 2]);
	pair_init(&pair, context, NULL, client);
	SSL_set_alpn_protos(pair.client, (const uint8_t *)offer->protocols, (unsigned)strlen(offer->protocols));
	if (offer->right) {
		pair_ready(&pair);
		SSL_get0_alpn_selected(pair.client, &got, &length);
		ck_assert_uint_eq(length, 11);
		ck_assert_mem_eq(got, "xmpp-client", 11);
	} else {
		ck_assert_int_eq(pair_shake(&pair), TLS_FAILED);
		ck_assert_str_eq(tls_error(pair.tls), "no application protocol");
		ck_assert_int_eq(pair.client_error, SSL_AD_REASON_OFFSET + SSL_AD_NO_APPLICATION_PROTOCOL);
	}
	pair_deinit(&pair);
	tls_context_free(&context);
}
END_TEST

/* ---- tickets ---- */

/* What time OpenSSL believes in: the program's own comes before the library's. */
static time_t ahead;

time_t time(time_t *time_r);

time_t
time(time_t *time_r)
{
	struct timespec now;
	time_t seconds;

	clock_gettime(CLOCK_REALTIME, &now);
	seconds = now.tv_sec + ahead;
	if (time_r != NULL)
		*time_r = seconds;
	return seconds;
}

/* A connection with a context that is made for it, and with what the client has of an earlier one. Its session in exchange. */
static SSL_SESSION *
connect_again(const struct tls_settings *settings, uint8_t first, uint8_t second, SSL_SESSION *session, bool resumed)
{
	struct tls_tickets *keys = peer_tickets(first, second);
	struct tls_context *context = peer_context(settings, keys, &ec, &rsa, NULL);
	struct peer_pair pair;

	pair_init(&pair, context, NULL, client);
	peer_ask(pair.client, "rsa.example");
	if (session != NULL)
		SSL_set_session(pair.client, session);
	SSL_SESSION_free(session);
	pair_ready(&pair);
	ck_assert_int_eq(tls_facts(pair.tls)->resumed, resumed);
	ck_assert_int_eq(SSL_session_reused(pair.client), resumed);
	ck_assert_str_eq(tls_facts(pair.tls)->sni, "rsa.example");
	check_exporter(&pair);
	check_end_point(&pair, EVP_sha256());
	exchange(&pair);
	session = SSL_get1_session(pair.client);
	/* Without this OpenSSL's client believes that something went wrong, and forgets the session. */
	SSL_set_shutdown(pair.client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	pair_deinit(&pair);
	tls_context_free(&context);
	tls_tickets_free(&keys);
	return session;
}

START_TEST(resumption)
{
	SSL_SESSION *session;

	set_version(versions[_i]);
	session = connect_again(&peer_settings, 1, 0, NULL, false);
	ck_assert(SSL_SESSION_has_ticket(session));
	/* Another context with the same keys, as another worker has it, and this one after a reload. */
	session = connect_again(&peer_settings, 1, 0, session, true);
	session = connect_again(&peer_settings, 1, 0, session, true);
	/* The keys have changed, and do so again: each time there is a new ticket. */
	session = connect_again(&peer_settings, 2, 1, session, true);
	session = connect_again(&peer_settings, 3, 2, session, true);
	session = connect_again(&peer_settings, 3, 0, session, true);
	/* Nobody knows them any more. */
	session = connect_again(&peer_settings, 4, 0, session, false);
	session = connect_again(&peer_settings, 4, 0, session, true);
	SSL_SESSION_free(session);
}
END_TEST

/* The certificate was renewed, or one of another kind is in use first: the client has that of its ticket's. */
START_TEST(resumed_end_point)
{
	const struct made *shown[] = { &ec, &rsa, &rsa };
	SSL_SESSION *session = NULL;

	set_version(versions[_i]);
	for (unsigned i = 0; i < 3; i++) {
		struct tls_context *context = peer_context(&peer_settings, tickets, shown[i], NULL);
		struct peer_pair pair;

		pair_init(&pair, context, NULL, client);
		if (session != NULL)
			SSL_set_session(pair.client, session);
		SSL_SESSION_free(session);
		pair_ready(&pair);
		ck_assert_int_eq(tls_facts(pair.tls)->resumed, i > 0);
		check_end_point(&pair, EVP_sha256());
		exchange(&pair);
		session = SSL_get1_session(pair.client);
		SSL_set_shutdown(pair.client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
		pair_deinit(&pair);
		tls_context_free(&context);
	}
	SSL_SESSION_free(session);
}
END_TEST

START_TEST(ticket_has_an_end)
{
	SSL_SESSION *session;

	set_version(versions[_i / 2]);
	session = connect_again(&peer_settings, 1, 0, NULL, false);
	ahead = _i % 2 ? 3500 : 3700;
	SSL_SESSION_set_time(session, (long)time(NULL));	/* as far as the client is concerned it is new */
	session = connect_again(&peer_settings, 1, 0, session, _i % 2);
	ahead = 0;
	SSL_SESSION_free(session);
}
END_TEST

START_TEST(no_tickets)
{
	struct tls_settings settings = peer_settings;
	SSL_SESSION *session;

	set_version(versions[_i]);
	settings.ticket_lifetime = 0;
	session = connect_again(&settings, 1, 0, NULL, false);
	ck_assert(!SSL_SESSION_has_ticket(session));
	session = connect_again(&settings, 1, 0, session, false);
	SSL_SESSION_free(session);
	tls_tickets_free(&tickets);
	tickets = tls_tickets_new();
	session = connect_again(&peer_settings, 1, 0, NULL, false);
	SSL_SESSION_free(session);
}
END_TEST

/* No keys have come yet. */
START_TEST(no_ticket_keys)
{
	struct tls_tickets *none = tls_tickets_new();
	struct tls_context *context = peer_context(&peer_settings, none, &ec, NULL);
	struct peer_pair pair;

	set_version(versions[_i]);
	pair_init(&pair, context, NULL, client);
	pair_ready(&pair);
	exchange(&pair);
	ck_assert(!SSL_SESSION_has_ticket(SSL_get_session(pair.client)));
	pair_deinit(&pair);
	tls_context_free(&context);
	tls_tickets_free(&none);
	tls_tickets_free(&none);
}
END_TEST

/* The client's certificate is in its ticket. */
START_TEST(resumed_client_certificate)
{
	struct tls_settings settings = peer_settings;
	struct tls_context *context;
	SSL_SESSION *session = NULL;
	struct peer_pair pair;

	settings.ask_client_certificates = true;
	context = peer_context(&settings, tickets, &ec, NULL);
	set_version(versions[_i]);
	client_has_certificate();
	for (int i = 0; i < 2; i++) {
		pair_init(&pair, context, NULL, client);
		if (session != NULL)
			SSL_set_session(pair.client, session);
		SSL_SESSION_free(session);
		pair_ready(&pair);
		ck_assert_int_eq(tls_facts(pair.tls)->resumed, i);
		ck_assert_uint_eq(tls_facts(pair.tls)->certificate_length, client_made.chain_length);
		ck_assert_mem_eq(tls_facts(pair.tls)->certificate, client_made.chain, client_made.chain_length);
		exchange(&pair);
		session = SSL_get1_session(pair.client);
		SSL_set_shutdown(pair.client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
		pair_deinit(&pair);
	}
	SSL_SESSION_free(session);
	tls_context_free(&context);
}
END_TEST

/* ---- bytes one by one ---- */

/* A handshake in pieces of `size`, until the client has nothing more to say or said `most` bytes. */
static void
wire_shake(struct wire *wire, size_t size, size_t most)
{
	while (wire->sent < most && wire_up(wire, size))
		wire_step(wire);
}

START_TEST(every_byte_alone)
{
	struct tls_context *context = peer_context(&peer_settings, tickets, &ec, NULL);
	struct wire wire;
	uint8_t bytes[16];

	set_version(versions[_i]);
	wire_init(&wire, context, client, NULL);
	wire_shake(&wire, 1, SIZE_MAX);
	ck_assert_int_eq(wire.result, TLS_READY);
	ck_assert(SSL_is_init_finished(wire.client));
	ck_assert_uint_eq(tls_received(wire.tls), wire.sent);
	SSL_write(wire.client, "<presence/>", 11);
	while (wire_up(&wire, 1)) {
		ssize_t length = tls_read(wire.tls, bytes, sizeof bytes);

		if (length == -EAGAIN) {
			ck_assert(!tls_has_more(wire.tls));
			continue;
		}
		ck_assert_int_eq(length, 11);
		ck_assert_mem_eq(bytes, "<presence/>", 11);
		ck_assert(!wire_up(&wire, 1));
	}
	ck_assert_uint_eq(tls_received(wire.tls), wire.sent);
	wire_deinit(&wire);
	tls_context_free(&context);
}
END_TEST

/* The client goes away, after each of its bytes. */
START_TEST(closed_at_every_byte)
{
	struct tls_context *context = peer_context(&peer_settings, tickets, &ec, NULL);
	struct wire wire;

	set_version(versions[_i]);
	for (size_t cut = 0; ; cut++) {
		wire_init(&wire, context, client, NULL);
		wire_shake(&wire, 1, cut);
		if (wire.result == TLS_READY)
			break;
		ck_assert_uint_eq(wire.sent, cut);
		close(wire.fds[1]);
		wire.fds[1] = -1;
		ck_assert_int_eq(tls_handshake(wire.tls), TLS_CLOSED);
		ck_assert_ptr_null(tls_facts(wire.tls));
		tls_close(wire.tls);
		wire_deinit(&wire);
		ck_assert_uint_eq(ERR_peek_error(), 0);
	}
	ck_assert_uint_gt(wire.sent, 200);
	wire_deinit(&wire);
	tls_context_free(&context);
}
END_TEST

/* One bit is wrong, in each byte of what the client says. */
START_TEST(wrong_at_every_byte)
{
	struct tls_context *context = peer_context(&peer_settings, tickets, &ec, NULL);
	uint8_t hello[2048], got[64];
	struct wire wire;
	int length;

	set_version(versions[_i]);
	wire_init(&wire, context, client, NULL);
	SSL_do_handshake(wire.client);
	length = BIO_read(wire.out, hello, sizeof hello);
	wire_deinit(&wire);
	for (int i = 0; i < length; i++) {
		wire_init(&wire, context, client, NULL);
		hello[i] ^= 1 << i % 8;
		send(wire.fds[1], hello, (size_t)length, 0);
		hello[i] ^= 1 << i % 8;
		wire_step(&wire);
		ck_assert(wire.result == TLS_WANTS_READ || wire.result == TLS_FAILED);
		ck_assert(wire.result != TLS_FAILED || tls_error(wire.tls) != NULL);
		shutdown(wire.fds[1], SHUT_WR);
		wire_step(&wire);
		ck_assert(wire.result == TLS_CLOSED || wire.result == TLS_FAILED);
		ck_assert_int_lt(tls_read(wire.tls, got, sizeof got), 1);
		wire_deinit(&wire);
	}
	tls_context_free(&context);
}
END_TEST

#define BYTES(text) text, sizeof text - 1

static const struct rude {
	const char *bytes;
	size_t length;
	const char *error;
} rudeness[] = {
	{ BYTES("<?xml version='1.0'?><stream:stream xmlns='jabber:client'>"), "wrong version number" },
	{ BYTES("GET / HTTP/1.1\r\nHost: example\r\n\r\n"), "http request" },
	{ BYTES("CONNECT example:443 HTTP/1.1\r\n\r\n"), "https proxy request" },
	/* SSL 2, and its form of a hello for SSL 3 */
	{ BYTES("\x80\x1c\x01\x00\x02\x00\x03\x00\x00\x00\x10\x07\x00\xc0" "0123456789abcdef"), "unknown protocol" },
	{ BYTES("\x80\x1c\x01\x03\x00\x00\x03\x00\x00\x00\x10\x00\x00\x2f" "0123456789abcdef"), "version too low" },
	{ BYTES("\x16\x03\x01\x40\x01\x01"), NULL },			/* too long, but not complete */
	{ BYTES("\x16\x03\x01\x00\x00"), NULL },			/* empty; there may be a few of them */
	{ BYTES("\x17\x03\x03\x00\x01x"), "unexpected message" },	/* data before the handshake */
	{ BYTES("\x16\x03\x01\x00\x04\x02\x00\x00\x00"), "unexpected message" },	/* a ServerHello */
	{ BYTES("\x16\x03\x01\x00\x04\x01\x00\x00\x00"), "length too short" },
	{ BYTES("\x15\x03\x01\x00\x02\x02\x28"), "unexpected message" },
	{ BYTES("\x16\x04\x00\x00\x04\x01\x00\x00\x00"), "wrong version number" },
	{ BYTES("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), "wrong version number" },
};

START_TEST(rude_from_the_start)
{
	struct tls_context *context = peer_context(&peer_settings, tickets, &ec, NULL);
	const struct rude *rude = &rudeness[_i];
	struct wire wire;
	uint8_t byte;

	wire_init(&wire, context, client, NULL);
	send(wire.fds[1], rude->bytes, rude->length, 0);
	wire_step(&wire);
	if (rude->error == NULL) {
		ck_assert_int_eq(wire.result, TLS_WANTS_READ);
	} else {
		ck_assert_int_eq(wire.result, TLS_FAILED);
		ck_assert_str_eq(tls_error(wire.tls), rude->error);
		ck_assert_int_eq(tls_read(wire.tls, &byte, 1), -EPROTO);
		ck_assert_int_eq(tls_write(wire.tls, &byte, 1), -EPROTO);
	}
	ck_assert_uint_eq(ERR_peek_error(), 0);
	wire_deinit(&wire);
	tls_context_free(&context);
}
END_TEST

/* A ClientHello that says that it is 128 kB long, and begins to come. */
START_TEST(endless_hello)
{
	struct tls_context *context = peer_context(&peer_settings, tickets, &ec, NULL);
	static uint8_t record[5 + 16384] = { 0x16, 3, 1, 0x40, 0, 1, 1, 0xff, 0xf0, 3, 3 };
	struct wire wire;
	int sent = 0;

	wire_init(&wire, context, client, NULL);
	while (wire.result == TLS_WANTS_READ && sent < 4) {
		ck_assert_int_eq(send(wire.fds[1], record, sizeof record, 0), sizeof record);
		memset(record + 5, 0, 16);
		sent++;
		wire_step(&wire);
		wire_step(&wire);
	}
	ck_assert_int_eq(wire.result, TLS_FAILED);
	ck_assert_str_eq(tls_error(wire.tls), "message too long");
	wire_deinit(&wire);
	tls_context_free(&context);
}
END_TEST

START_TEST(old_versions)
{
	static const int old[] = { TLS1_VERSION, TLS1_1_VERSION };
	struct tls_context *context = peer_context(&peer_settings, tickets, &ec, NULL);
	struct peer_pair pair;

	SSL_CTX_set_security_level(client, 0);
	SSL_CTX_set_cipher_list(client, "ALL:@SECLEVEL=0");
	set_version(old[_i]);
	pair_init(&pair, context, NULL, client);
	ck_assert_int_eq(pair_shake(&pair), TLS_FAILED);
	ck_assert_str_eq(tls_error(pair.tls), "unsupported protocol");
	pair_deinit(&pair);
	tls_context_free(&context);
}
END_TEST

/* ---- after the handshake ---- */

static struct tls_context *
ready(struct peer_pair *pair, int version)
{
	struct tls_context *context = peer_context(&peer_settings, tickets, &ec, NULL);

	set_version(version);
	pair_init(pair, context, NULL, client);
	pair_ready(pair);
	return context;
}

/* As long as the master lets them through, in many certificates or in one: clients get them. */
START_TEST(longest_chains)
{
	static char names[20000];
	struct tls_context *context;
	struct peer_pair pair;
	struct made made;
	uint8_t *chain;
	size_t length = 0, one;

	for (unsigned i = 0; _i >= 2 && i < 500; i++)
		length += (size_t)snprintf(names + length, sizeof names - length, "%sDNS:%08u.example.org", i > 0 ? "," : "", i);
	made_init(&made, MADE_RSA, "a.example", length > 0 ? names : NULL);
	chain = OPENSSL_malloc(CERTIFICATE_CHAIN_MAX);
	ck_assert(chain != NULL && made.chain_length <= CERTIFICATE_CHAIN_MAX);
	one = made.chain_length;
	for (length = 0; length + one <= CERTIFICATE_CHAIN_MAX; length += one)
		memcpy(chain + length, made.chain, one);
	ck_assert_uint_gt(length, CERTIFICATE_CHAIN_MAX - 1024);
	OPENSSL_free(made.chain);
	made.chain = chain;
	made.chain_length = length;
	context = peer_context(&peer_settings, tickets, &made, NULL);
	set_version(versions[_i % 2]);
	pair_init(&pair, context, NULL, client);
	pair_ready(&pair);
	pair_deinit(&pair);
	made_deinit(&made);
	tls_context_free(&context);
}
END_TEST

START_TEST(renegotiation)
{
	struct peer_pair pair;
	struct tls_context *context;
	uint8_t byte;

	context = ready(&pair, TLS1_2_VERSION);
	ck_assert_int_eq(SSL_renegotiate(pair.client), 1);
	ck_assert_int_lt(SSL_do_handshake(pair.client), 1);
	ck_assert_int_eq(tls_read(pair.tls, &byte, 1), -EAGAIN);
	ck_assert(!tls_has_more(pair.tls));
	ERR_clear_error();
	ck_assert_int_lt(SSL_do_handshake(pair.client), 1);
	ck_assert_int_eq(ERR_GET_REASON(ERR_peek_last_error()), SSL_R_NO_RENEGOTIATION);
	pair_deinit(&pair);
	tls_context_free(&context);
}
END_TEST

START_TEST(key_updates)
{
	struct peer_pair pair;
	struct tls_context *context = ready(&pair, TLS1_3_VERSION);
	uint8_t byte;

	exchange(&pair);
	for (int i = 0; i < 40; i++) {
		SSL_key_update(pair.client, i % 2 ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED);
		exchange(&pair);
	}
	/* Without anything to say. */
	for (int i = 0; i < 17; i++) {
		SSL_key_update(pair.client, SSL_KEY_UPDATE_REQUESTED);
		ck_assert_int_eq(SSL_do_handshake(pair.client), 1);
		if (i < 16)
			ck_assert_int_eq(tls_read(pair.tls, &byte, 1), -EAGAIN);
	}
	ck_assert_int_eq(tls_read(pair.tls, &byte, 1), -EPROTO);
	ck_assert_str_eq(tls_error(pair.tls), "too many records without data");
	ck_assert_int_eq(tls_read(pair.tls, &byte, 1), -EPROTO);
	pair_deinit(&pair);
	tls_context_free(&context);
}
END_TEST

/* All at once: the one that is too much comes to be seen nevertheless. */
START_TEST(key_updates_at_once)
{
	struct peer_pair pair;
	struct tls_context *context = ready(&pair, TLS1_3_VERSION);
	uint8_t byte;

	exchange(&pair);
	for (int i = 0; i < 100; i++) {
		SSL_key_update(pair.client, SSL_KEY_UPDATE_NOT_REQUESTED);
		ck_assert_int_eq(SSL_do_handshake(pair.client), 1);
	}
	ck_assert_int_eq(tls_read(pair.tls, &byte, 1), -EPROTO);
	pair_deinit(&pair);
	tls_context_free(&context);
}
END_TEST

/* What the client asks for has to wait until the socket takes it, and nothing breaks. */
START_TEST(key_update_while_the_socket_is_full)
{
	struct peer_pair pair;
	struct tls_context *context = ready(&pair, TLS1_3_VERSION);
	size_t written = 0, got = 0;
	static uint8_t bytes[65536];
	ssize_t length;

	exchange(&pair);
	while ((length = tls_write(pair.tls, large, 16384)) > 0)
		written += (size_t)length;
	ck_assert_int_eq(length, -EAGAIN);
	SSL_key_update(pair.client, SSL_KEY_UPDATE_REQUESTED);
	ck_assert_int_eq(SSL_do_handshake(pair.client), 1);
	ck_assert_int_eq(SSL_write(pair.client, "x", 1), 1);
	expect(pair.tls, "x", 1);
	while ((length = SSL_read(pair.client, bytes, sizeof bytes)) > 0)
		got += (size_t)length;
	ck_assert_uint_eq(got, written);
	ck_assert_int_eq(tls_write(pair.tls, large, 16384), 16384);
	while ((length = SSL_read(pair.client, bytes, sizeof bytes)) > 0)
		got += (size_t)length;
	ck_assert_uint_eq(got, written + 16384);
	exchange(&pair);
	pair_deinit(&pair);
	tls_context_free(&context);
}
END_TEST

/* Many records in one recv are one tls_read, where there is room; else nothing has to come for the rest to be read. */
START_TEST(records_together)
{
	struct peer_pair pair;
	struct tls_context *context = ready(&pair, versions[_i]);
	static uint8_t got[30000];
	size_t total = 0;

	exchange(&pair);
	for (int i = 0; i < 100; i++)
		ck_assert_int_eq(SSL_write(pair.client, large + 100 * i, 100), 100);
	expect(pair.tls, large, 10000);
	ck_assert(!tls_has_more(pair.tls));
	for (int i = 0; i < 30; i++)
		ck_assert_int_eq(SSL_write(pair.client, large + 500 * i, 500), 500);
	do {
		ssize_t length = tls_read(pair.tls, got + total, 333);

		ck_assert_int_gt(length, 0);
		total += (size_t)length;
	} while (tls_has_more(pair.tls));
	ck_assert_uint_eq(total, 15000);
	ck_assert_mem_eq(got, large, total);
	ck_assert_int_eq(tls_read(pair.tls, got, sizeof got), -EAGAIN);
	exchange(&pair);
	pair_deinit(&pair);
	tls_context_free(&context);
}
END_TEST

/* The longest records, which no single recv brings. */
START_TEST(long_records)
{
	struct peer_pair pair;
	struct tls_context *context = ready(&pair, versions[_i]);
	static uint8_t got[sizeof large];
	size_t sent = 0, total = 0;

	while (total < sizeof large) {
		ssize_t length = SSL_write(pair.client, large + sent, (int)(sizeof large - sent));

		if (length > 0)
			sent += (size_t)length;
		length = tls_read(pair.tls, got + total, sizeof got - total);
		ck_assert(length > 0 || length == -EAGAIN);
		if (length > 0)
			total += (size_t)length;
		ck_assert_uint_eq(tls_has_more(pair.tls), false);
	}
	ck_assert_mem_eq(got, large, sizeof large);
	ck_assert_uint_eq(tls_received(pair.tls), pair.client_written);
	exchange(&pair);
	pair_deinit(&pair);
	tls_context_free(&context);
}
END_TEST

/* The first data comes in one piece with the end of the handshake. */
START_TEST(data_behind_the_handshake)
{
	struct tls_context *context = peer_context(&peer_settings, tickets, &ec, NULL);
	struct wire wire;

	set_version(TLS1_3_VERSION);
	wire_init(&wire, context, client, NULL);
	wire_up(&wire, 16384);
	wire_step(&wire);
	ck_assert_int_eq(SSL_do_handshake(wire.client), 1);
	ck_assert_int_eq(SSL_write(wire.client, "<first/>", 8), 8);
	wire_up(&wire, 16384);
	wire_step(&wire);
	ck_assert_int_eq(wire.result, TLS_READY);
	ck_assert(tls_has_more(wire.tls));
	expect(wire.tls, "<first/>", 8);
	ck_assert(!tls_has_more(wire.tls));
	wire_deinit(&wire);
	tls_context_free(&context);
}
END_TEST

/* The socket fills up in the middle of a record; the caller has moved its bytes, and has more of them, when it goes on. */
START_TEST(write_is_taken_up_again)
{
	struct peer_pair pair;
	struct tls_context *context = ready(&pair, versions[_i]);
	static uint8_t got[1 << 21];
	size_t written = 0, total = 0, refused = 0;
	ssize_t length;

	exchange(&pair);
	while (refused < 5 || total < written) {
		size_t size = 40000 + 100 * refused;
		uint8_t *moved = malloc(size);

		memcpy(moved, large + written % 1000, size);
		length = refused < 5 ? tls_write(pair.tls, moved, size) : -EAGAIN;
		free(moved);
		ck_assert(length > 0 || length == -EAGAIN);
		written += length > 0 ? (size_t)length : 0;
		refused += length < 0;
		while (length < 0 && (length = SSL_read(pair.client, got + total, (int)(sizeof got - total))) > 0) {
			total += (size_t)length;
			length = -1;
		}
	}
	ck_assert_uint_gt(written, 300000);
	for (size_t i = 0; i < total; i++) {
		if (got[i] != large[i % 1000])	/* an assertion writes to a pipe, each time */
			ck_abort_msg("byte %zu is another", i);
	}
	ck_assert_uint_eq(tls_sent(pair.tls), pair.client_read);
	pair_deinit(&pair);
	tls_context_free(&context);
}
END_TEST

/* ---- the end ---- */

START_TEST(closed_by_the_client)
{
	struct peer_pair pair;
	struct tls_context *context = ready(&pair, versions[_i]);
	char bytes[32];

	SSL_read(pair.client, bytes, sizeof bytes);	/* the ticket */
	ck_assert_int_eq(SSL_write(pair.client, "</stream>", 9), 9);
	ck_assert_int_eq(SSL_shutdown(pair.client), 0);
	shutdown(pair.fds[1], SHUT_WR);
	expect(pair.tls, "</stream>", 9);
	ck_assert(tls_has_more(pair.tls));
	ck_assert_int_eq(tls_read(pair.tls, bytes, sizeof bytes), 0);
	ck_assert_int_eq(tls_read(pair.tls, bytes, sizeof bytes), 0);
	ck_assert_ptr_null(tls_error(pair.tls));
	/* The other half goes on. */
	ck_assert_int_eq(tls_write(pair.tls, "</stream>", 9), 9);
	tls_close(pair.tls);
	ck_assert_int_eq(SSL_read(pair.client, bytes, sizeof bytes), 9);
	ck_assert_int_eq(SSL_read(pair.client, bytes, sizeof bytes), 0);
	ck_assert_int_eq(SSL_get_shutdown(pair.client), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	pair_deinit(&pair);
	tls_context_free(&context);
}
END_TEST

START_TEST(closed_without_a_word)
{
	struct peer_pair pair;
	struct tls_context *context = ready(&pair, versions[_i]);
	char bytes[32];

	ck_assert_int_eq(SSL_write(pair.client, "x", 1), 1);
	shutdown(pair.fds[1], SHUT_WR);
	expect(pair.tls, "x", 1);
	ck_assert_int_eq(tls_read(pair.tls, bytes, sizeof bytes), 0);
	ck_assert_str_eq(tls_error(pair.tls), "connection closed without close_notify");
	ck_assert_int_eq(tls_write(pair.tls, "y", 1), 1);
	ck_assert_int_eq(SSL_read(pair.client, bytes, sizeof bytes), 1);
	close(pair.fds[1]);
	pair.fds[1] = dup(pair.fds[0]);
	ck_assert_int_eq(tls_write(pair.tls, "y", 1), -EPIPE);
	pair_deinit(&pair);
	tls_context_free(&context);
}
END_TEST

START_TEST(closed_within_a_record)
{
	struct peer_pair pair;
	struct tls_context *context = ready(&pair, versions[_i]);
	char bytes[32];

	send(pair.fds[1], "\x17\x03\x03\x00\x20 half of it", 16, 0);
	ck_assert_int_eq(tls_read(pair.tls, bytes, sizeof bytes), -EAGAIN);
	ck_assert(!tls_has_more(pair.tls));
	shutdown(pair.fds[1], SHUT_WR);
	ck_assert_int_eq(tls_read(pair.tls, bytes, sizeof bytes), 0);
	ck_assert_str_eq(tls_error(pair.tls), "connection closed within a record");
	pair_deinit(&pair);
	tls_context_free(&context);
}
END_TEST

START_TEST(forged_record)
{
	struct peer_pair pair;
	struct tls_context *context = ready(&pair, versions[_i]);
	char bytes[64];

	ck_assert_int_eq(SSL_write(pair.client, "x", 1), 1);
	send(pair.fds[1], "\x17\x03\x03\x00\x20" "0123456789abcdef0123456789abcdef", 37, 0);
	expect(pair.tls, "x", 1);
	ck_assert(tls_has_more(pair.tls));
	ck_assert_int_eq(tls_read(pair.tls, bytes, sizeof bytes), -EPROTO);
	ck_assert_str_eq(tls_error(pair.tls), "decryption failed or bad record mac");
	ck_assert_int_eq(tls_read(pair.tls, bytes, sizeof bytes), -EPROTO);
	ck_assert_int_eq(tls_write(pair.tls, "y", 1), -EPROTO);
	tls_close(pair.tls);
	ck_assert_uint_eq(ERR_peek_error(), 0);
	pair_deinit(&pair);
	tls_context_free(&context);
}
END_TEST

/* An error of one connection is not found by the next call for another. */
START_TEST(errors_stay_with_their_connection)
{
	struct peer_pair good, bad;
	struct tls_context *context = ready(&good, versions[_i]), *other = ready(&bad, versions[_i]);
	char bytes[64];

	ERR_raise(ERR_LIB_SSL, ERR_R_MALLOC_FAILURE);	/* as if somebody had left it */
	exchange(&good);
	send(bad.fds[1], "\x17\x03\x03\x00\x20" "0123456789abcdef0123456789abcdef", 37, 0);
	ck_assert_int_eq(tls_read(bad.tls, bytes, sizeof bytes), -EPROTO);
	ck_assert_int_eq(tls_read(good.tls, bytes, sizeof bytes), -EAGAIN);
	ck_assert_ptr_null(tls_error(good.tls));
	exchange(&good);
	pair_deinit(&bad);
	exchange(&good);
	pair_deinit(&good);
	tls_context_free(&context);
	tls_context_free(&other);
}
END_TEST

/* ---- without memory ---- */

/* The program is linked with --wrap: what worker/tls asks for, for itself and for OpenSSL, comes by here. */
static long allocations_left = -1;	/* < 0: as many as wanted */

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *before, size_t size);
void *__real_reallocarray(void *before, size_t count, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *before, size_t size);
void *__wrap_reallocarray(void *before, size_t count, size_t size);
void *__real_tls_memory_new(size_t size);
void *__real_tls_memory_resize(void *before, size_t size);
void *__wrap_tls_memory_new(size_t size);
void *__wrap_tls_memory_resize(void *before, size_t size);

static bool
allocation_fails(void)
{
	if (allocations_left < 0 || allocations_left-- > 0)
		return false;
	errno = ENOMEM;
	return true;
}

void *
__wrap_malloc(size_t size)
{
	return allocation_fails() ? NULL : __real_malloc(size);
}

void *
__wrap_calloc(size_t count, size_t size)
{
	return allocation_fails() ? NULL : __real_calloc(count, size);
}

void *
__wrap_realloc(void *before, size_t size)
{
	return allocation_fails() ? NULL : __real_realloc(before, size);
}

void *
__wrap_reallocarray(void *before, size_t count, size_t size)
{
	return allocation_fails() ? NULL : __real_reallocarray(before, count, size);
}

void *
__wrap_tls_memory_new(size_t size)
{
	return allocation_fails() ? NULL : __real_tls_memory_new(size);
}

void *
__wrap_tls_memory_resize(void *before, size_t size)
{
	return allocation_fails() ? NULL : __real_tls_memory_resize(before, size);
}

/* Run `call` with one failure at `*left`, which goes down by the allocations that it made. */
#define SHORT_OF(left, call) do { \
	allocations_left = *(left); \
	call; \
	*(left) = allocations_left; \
	allocations_left = -1; \
} while (0)

static bool
poor_context(long *left, struct tls_context **context_r)
{
	struct tls_context *context;
	int result = 0;

	SHORT_OF(left, context = tls_context_new(&peer_settings, tickets));
	if (context == NULL) {
		ck_assert_int_eq(errno, ENOMEM);
		return false;
	}
	SHORT_OF(left, result = tls_context_add(context, both.chain, both.chain_length, both.key, both.key_length));
	ck_assert(result == 0 || result == -ENOMEM);
	if (result < 0)
		tls_context_free(&context);
	*context_r = context;
	return result == 0;
}

static bool
poor_handshake(long *left, struct tls *tls, SSL *ssl)
{
	int result = TLS_WANTS_READ, bound = 0;

	for (int i = 0; i < 10 && result == TLS_WANTS_READ; i++) {
		SSL_do_handshake(ssl);
		ERR_clear_error();
		SHORT_OF(left, result = tls_handshake(tls));
	}
	ck_assert_msg(result == TLS_READY || result == -ENOMEM, "%d %s", result, tls_error(tls));
	SSL_do_handshake(ssl);
	ERR_clear_error();
	if (result == TLS_READY) {
		SHORT_OF(left, bound = tls_bind(tls));
		ck_assert(bound == 0 || bound == -ENOMEM);
	}
	return result == TLS_READY && bound == 0;
}

static bool
poor_exchange(long *left, struct tls *tls, SSL *ssl)
{
	char bytes[32];
	ssize_t result;

	SSL_write(ssl, "<from/>", 7);
	SHORT_OF(left, result = tls_read(tls, bytes, sizeof bytes));
	ck_assert(result == 7 || result == -ENOMEM);
	if (result < 0)
		return false;
	send(SSL_get_fd(ssl), "\x17\x03", 2, 0);
	SHORT_OF(left, result = tls_read(tls, bytes, sizeof bytes));
	ck_assert(result == -EAGAIN || result == -ENOMEM);
	SHORT_OF(left, result = tls_write(tls, "<to/>", 5));
	ck_assert(result == 5 || result == -ENOMEM);
	SHORT_OF(left, tls_close(tls));
	return result == 5;
}

/* Everything once, and the allocation of that number fails. True: there are not so many. */
static bool
poor_life(long number, struct tls_context *context)
{
	bool own = context == NULL;
	struct peer_pair pair = { 0 };
	long left = number;

	if (own && !poor_context(&left, &context))
		return false;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair.fds) < 0)
		abort();
	SHORT_OF(&left, pair.tls = tls_new(context, pair.fds[0], "ec.example"));
	pair.client = SSL_new(client);
	SSL_set_fd(pair.client, pair.fds[1]);
	peer_ask(pair.client, "xmpp.example");
	SSL_set_connect_state(pair.client);
	if (pair.tls != NULL && poor_handshake(&left, pair.tls, pair.client))
		poor_exchange(&left, pair.tls, pair.client);
	pair_deinit(&pair);
	if (own)
		tls_context_free(&context);
	ck_assert_uint_eq(ERR_peek_error(), 0);
	return left >= 0;
}

START_TEST(connections_without_memory)
{
	struct tls_context *context = peer_context(&peer_settings, tickets, &ec, &both, NULL);
	long number = 0;

	set_version(versions[_i]);
	while (!poor_life(number, context))
		number++;
	ck_assert_int_gt(number, 100);
	tls_context_free(&context);
}
END_TEST

START_TEST(contexts_without_memory)
{
	long number = 0;

	while (!poor_life(number, NULL))
		number += 1 + number / 300;
	ck_assert_int_gt(number, 500);
}
END_TEST

/* ---- all ---- */

static void
begin(void)
{
	tickets = peer_tickets(1, 0);
	client = peer_client();
}

static void
end(void)
{
	SSL_CTX_free(client);
	tls_tickets_free(&tickets);
}

static void
make_all(void)
{
	made_init(&ec, MADE_EC, "ec.example", "DNS:ec.example");
	made_init(&rsa, MADE_RSA, "rsa.example", "DNS:rsa.example");
	made_init(&wild, MADE_EC, "wild", "DNS:*.wild.example");
	made_init(&both, MADE_EC, "both", "DNS:exact.wild.example,otherName:1.3.6.1.5.5.7.8.5;UTF8:xmpp.example");
	made_init(&common, MADE_EC, "common.example", NULL);
	made_init(&hidden, MADE_EC, "hidden", "DNS:seen.example");
	made_init(&srv, MADE_EC, "srv", "otherName:1.3.6.1.5.5.7.8.7;IA5STRING:_xmpp-client.srv.example,"
	    "otherName:1.3.6.1.5.5.7.8.7;IA5STRING:_xmpp-server.other.example");
	made_init(&weak, MADE_RSA_WEAK, "weak.example", NULL);
	made_init(&odd, MADE_ED25519, "odd.example", NULL);
	made_init(&client_made, MADE_EC, "client", NULL);
	for (size_t i = 0; i < sizeof large; i++)
		large[i] = (uint8_t)(i % 1000 * 7 >> 2);
}

int
main(void)
{
	Suite *suite = suite_create("tls");
	TCase *tests = tcase_create("tls");

	if (tls_init() < 0)
		return EXIT_FAILURE;
	make_all();
	tcase_add_checked_fixture(tests, begin, end);
	tcase_set_timeout(tests, 60);
	tcase_add_loop_test(tests, versions_and_keys, 0, 4);
	tcase_add_loop_test(tests, ciphers, 0, COUNT(choices));
	tcase_add_test(tests, settings_hold);
	tcase_add_loop_test(tests, certificate_is_chosen, 0, COUNT(chosen));
	tcase_add_loop_test(tests, kinds_side_by_side, 0, 8);
	tcase_add_test(tests, chain_is_sent);
	tcase_add_test(tests, bad_certificates);
	tcase_add_loop_test(tests, facts_are_the_clients, 0, 2);
	tcase_add_test(tests, no_end_point_for_ed25519);
	tcase_add_test(tests, no_exporter_without_extended_master_secret);
	tcase_add_loop_test(tests, client_certificate, 0, 8);
	tcase_add_loop_test(tests, application_protocol, 0, 2 * COUNT(offers));
	tcase_add_loop_test(tests, resumption, 0, 2);
	tcase_add_loop_test(tests, resumed_end_point, 0, 2);
	tcase_add_loop_test(tests, ticket_has_an_end, 0, 4);
	tcase_add_loop_test(tests, no_tickets, 0, 2);
	tcase_add_loop_test(tests, no_ticket_keys, 0, 2);
	tcase_add_loop_test(tests, resumed_client_certificate, 0, 2);
	tcase_add_loop_test(tests, every_byte_alone, 0, 2);
	tcase_add_loop_test(tests, closed_at_every_byte, 0, 2);
	tcase_add_loop_test(tests, wrong_at_every_byte, 0, 2);
	tcase_add_loop_test(tests, rude_from_the_start, 0, COUNT(rudeness));
	tcase_add_test(tests, endless_hello);
	tcase_add_loop_test(tests, old_versions, 0, 2);
	tcase_add_test(tests, renegotiation);
	tcase_add_loop_test(tests, longest_chains, 0, 4);
	tcase_add_test(tests, key_updates);
	tcase_add_test(tests, key_updates_at_once);
	tcase_add_test(tests, key_update_while_the_socket_is_full);
	tcase_add_loop_test(tests, records_together, 0, 2);
	tcase_add_loop_test(tests, long_records, 0, 2);
	tcase_add_test(tests, data_behind_the_handshake);
	tcase_add_loop_test(tests, write_is_taken_up_again, 0, 2);
	tcase_add_loop_test(tests, closed_by_the_client, 0, 2);
	tcase_add_loop_test(tests, closed_without_a_word, 0, 2);
	tcase_add_loop_test(tests, closed_within_a_record, 0, 2);
	tcase_add_loop_test(tests, forged_record, 0, 2);
	tcase_add_loop_test(tests, errors_stay_with_their_connection, 0, 2);
	tcase_add_loop_test(tests, connections_without_memory, 0, 2);
	tcase_add_test(tests, contexts_without_memory);
	suite_add_tcase(suite, tests);
	return tap_run(suite);
}
