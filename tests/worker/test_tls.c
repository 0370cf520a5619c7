/* tls: against a client of plain OpenSSL, over a pair of sockets. */
#include <errno.h>
#include <openssl/err.h>
#include <string.h>
#include <sys/socket.h>

#include "tests/dialect/tap.h"
#include "tests/worker/tls_peer.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct made ec, rsa;
static struct tls_tickets *tickets;
static SSL_CTX *client;

static void
set_version(int version)
{
	SSL_CTX_set_min_proto_version(client, version);
	SSL_CTX_set_max_proto_version(client, version);
}

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

static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };

START_TEST(versions_and_keys)
{
	struct made *made = _i % 2 ? &ec : &rsa;
	struct tls_context *context = peer_context(&peer_settings, tickets, made, NULL);
	struct peer_pair pair;

	set_version(versions[_i / 2]);
	pair_init(&pair, context, NULL, client);
	tls_context_free(&context);
	pair_ready(&pair);
	ck_assert_uint_eq(tls_facts(pair.tls)->version, _i / 2 ? 13 : 12);
	ck_assert_uint_eq(tls_version(pair.tls), _i / 2 ? 13 : 12);
	exchange(&pair);
	pair_deinit(&pair);
}
END_TEST

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

int
main(void)
{
	Suite *suite = suite_create("tls");
	TCase *tests = tcase_create("tls");

	if (tls_init() < 0)
		return EXIT_FAILURE;
	made_init(&ec, MADE_EC, "ec.example", "DNS:ec.example");
	made_init(&rsa, MADE_RSA, "rsa.example", "DNS:rsa.example");
	tcase_add_checked_fixture(tests, begin, end);
	tcase_add_loop_test(tests, versions_and_keys, 0, 4);
	suite_add_tcase(suite, tests);
	return tap_run(suite);
}
