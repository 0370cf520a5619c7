/* ledger: acknowledgement at the session manager's end: links that are cut behind every byte, in both directions. */
#include <stdio.h>
#include <string.h>

#include "tests/sessiond/fake.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define SM " xmlns='urn:xmpp:sm:3'"
#define HEADER "<stream:stream xmlns='jabber:sockets' xmlns:stream='http://etherx.jabber.org/streams'>"
#define TO_BOB(n) "<message to='bob@localhost/w' sto='alice@localhost/home' sfrom='" FAKE_A "'><body>" n "</body></message>"

static struct fake *fake;

static void
setup(void)
{
	fake = fake_new("acknowledge=yes\n");
	fake_register(fake, "alice");
	fake_register(fake, "bob");
	fake_login(fake, FAKE_A, "alice", "home");
	fake_login(fake, FAKE_B, "bob", "w");
	fake_available(fake, FAKE_B, "bob@localhost/w", 0);
}

static void
teardown(void)
{
	fake_free(fake);
}

static const char *
stream_name(void)
{
	return fake->sd.link.ledger.ack.id;
}

static void
enable(void)
{
	char expected[ACK_ID_MAX + 100];
	const char *answer = fake_send(fake, "<enable" SM " resume='true'/>");

	snprintf(expected, sizeof expected, "<enabled" SM " id='%s' resume='true'/>", stream_name());
	ck_assert_str_eq(answer, expected);
	ck_assert_uint_eq(strlen(stream_name()), 32);
}

/* The link is lost, and another one is there. */
static void
reconnect(void)
{
	sessiond_lost(&fake->sd);
	fake_send(fake, HEADER);
	ck_has(fake_send(fake, fake_handshake(fake)), "<handshake/>");
}

/* What comes behind the answer to a resumption; *h_r is what they say they have. */
static const char *
resume(unsigned h, unsigned *h_r)
{
	const char *answer;
	char expected[ACK_ID_MAX + 100];

	reconnect();
	answer = fake_sendf(fake, "<resume" SM " previd='%s' h='%u'/>", stream_name(), h);
	snprintf(expected, sizeof expected, "<resumed" SM " previd='%s' h='", stream_name());
	ck_assert_msg(strncmp(answer, expected, strlen(expected)) == 0, "%s", answer);
	ck_assert_int_eq(sscanf(answer + strlen(expected), "%u", h_r), 1);
	answer = strstr(answer, "/>") + 2;
	return answer;
}

START_TEST(counts)
{
	enable();
	ck_assert_str_eq(fake_send(fake, "<r" SM "/>"), "<a" SM " h='0'/>");
	ck_has(fake_send(fake, TO_BOB("1") TO_BOB("2") "<r" SM "/><iq/>"), "</message><a" SM " h='3'/><r" SM "/>");
	ck_assert_uint_eq(ack_waiting(&fake->sd.link.ledger.ack), 2);
	/* It was asked already. */
	ck_has_not(fake_send(fake, TO_BOB("3")), "<r");
	ck_assert_str_eq(fake_send(fake, "<a" SM " h='2'/>"), "<r" SM "/>");
	ck_assert_str_eq(fake_send(fake, "<a" SM " h='3'/>"), "");
	ck_assert(STAILQ_EMPTY(&fake->sd.link.ledger.kept));
	ck_assert_uint_eq(fake->sd.link.ledger.kept_bytes, 0);
}
END_TEST

/* What stored messages wait for: this element of this stream has been acknowledged. */
START_TEST(is_through)
{
	const struct ledger *ledger = &fake->sd.link.ledger;

	enable();
	fake_send(fake, TO_BOB("1") TO_BOB("2"));
	ck_assert(ledger_is_through(ledger, ledger->streams, 0) && !ledger_is_through(ledger, ledger->streams, 1));
	fake_send(fake, "<a" SM " h='1'/>");
	ck_assert(ledger_is_through(ledger, ledger->streams, 1) && !ledger_is_through(ledger, ledger->streams, 2));
	fake_send(fake, "<a" SM " h='2'/>");
	ck_assert(ledger_is_through(ledger, ledger->streams, 2));
	ck_assert(!ledger_is_through(ledger, ledger->streams - 1, 2) && !ledger_is_through(ledger, ledger->streams + 1, 2));
}
END_TEST

START_TEST(is_refused_where_it_is_off)
{
	fake->settings.acknowledge = false;
	ck_has(fake_send(fake, "<enable" SM " resume='true'/>"), "<failed" SM "><feature-not-implemented");
	ck_has(fake_send(fake, TO_BOB("1")), "<body>1</body>");
	ck_assert(!sessiond_outlives_link(&fake->sd));
}
END_TEST

START_TEST(without_resumption)
{
	ck_assert_str_eq(fake_send(fake, "<enable" SM "/>"), "<enabled" SM "/>");
	ck_has(fake_send(fake, TO_BOB("1") "<r" SM "/>"), "<a" SM " h='1'/>");
	ck_assert(!sessiond_outlives_link(&fake->sd));
}
END_TEST

/* Theirs: each is handled once, however much of it had come. */
START_TEST(cut_behind_every_byte_that_comes)
{
	static const char all[] = TO_BOB("0") TO_BOB("1") TO_BOB("2");
	size_t one = strlen(TO_BOB("0"));

	enable();
	for (size_t cut = 0; cut < sizeof all; cut++) {
		unsigned before = fake->sd.link.ledger.ack.received, sent = fake->sd.link.ledger.ack.sent, h;
		struct buffer got = { 0 };
		char part[sizeof all] = "";

		memcpy(part, all, cut);
		buffer_append_string(&got, fake_send(fake, part));
		/* Of their answers everything has come. */
		ck_assert_str_eq(resume(sent + (unsigned)(cut / one), &h), "");
		ck_assert_uint_eq(h, before + cut / one);
		buffer_append_string(&got, fake_send(fake, all + cut / one * one));
		buffer_append(&got, "", 1);
		for (char n = '0'; n <= '2'; n++)
			ck_assert_uint_eq(fake_count((const char *)buffer_bytes(&got), (char[]){ '<', 'b', 'o', 'd', 'y', '>', n, '<', 0 }), 1);
		buffer_deinit(&got);
		fake_sendf(fake, "<a" SM " h='%u'/>", fake->sd.link.ledger.ack.sent);
	}
}
END_TEST

/* Ours: what they have not got comes again, whole and once. */
START_TEST(cut_behind_every_element_that_goes)
{
	enable();
	for (unsigned got = 0; got <= 3; got++) {
		unsigned sent = fake->sd.link.ledger.ack.sent, h;
		const char *again;

		fake_send(fake, TO_BOB("0") TO_BOB("1") TO_BOB("2"));
		again = resume(sent + got, &h);
		for (unsigned n = 0; n < 3; n++)
			ck_assert_uint_eq(fake_count(again, (char[]){ '<', 'b', 'o', 'd', 'y', '>', (char)('0' + n), '<', 0 }), n >= got);
		ck_assert_uint_eq(fake->sd.link.ledger.ack.sent, sent + 3);
		/* And again, as nothing is acknowledged. */
		again = resume(sent + got, &h);
		ck_assert_uint_eq(fake_count(again, "<message "), 3 - got);
		fake_sendf(fake, "<a" SM " h='%u'/>", sent + 3);
		ck_assert(STAILQ_EMPTY(&fake->sd.link.ledger.kept));
	}
}
END_TEST

START_TEST(counters_go_round)
{
	struct ack *ack = &fake->sd.link.ledger.ack;
	unsigned h;

	enable();
	ack->sent = ack->acknowledged = ack->received = UINT32_MAX;
	ck_has(fake_send(fake, TO_BOB("0") TO_BOB("1") "<r" SM "/>"), "<a" SM " h='1'/>");
	ck_assert_str_eq(fake_send(fake, "<a" SM " h='0'/>"), "<r" SM "/>");
	ck_has(resume(0, &h), "<body>1</body>");
	ck_assert_uint_eq(h, 1);
	ck_has_not(resume(1, &h), "<message");
}
END_TEST

/* A stream that is not known, or that never was so far: everything that is kept comes again, in another one. */
START_TEST(other_stream)
{
	const char *answer;

	enable();
	fake_send(fake, TO_BOB("0") TO_BOB("1"));
	fake_send(fake, "<a" SM " h='1'/>");
	reconnect();
	if (_i == 0)
		answer = fake_send(fake, "<resume" SM " previd='other' h='1'/>");
	else
		answer = fake_sendf(fake, "<resume" SM " previd='%s' h='%d'/>", stream_name(), _i == 1 ? 0 : 3);
	ck_has(answer, "<failed" SM "><item-not-found");
	answer = fake_send(fake, "<enable" SM " resume='true'/>");
	ck_has(answer, "<body>1</body></message><r" SM "/>");
	ck_has_not(answer, "<body>0</body>");
	ck_assert_uint_eq(fake->sd.link.ledger.ack.sent, 1);
	/* The sessions were there all the time. */
	ck_has(fake_send(fake, TO_BOB("2")), "<body>2</body>");
}
END_TEST

static const char *const breaches[] = {
	"<a" SM " h='1'/>", "<a" SM " h='4294967295'/>", "<a" SM "/>", "<a" SM " h='-1'/>", "<enable" SM "/>", "<enabled" SM "/>",
	"<resume" SM " previd='x' h='0'/>", "<resume" SM " previd='x'/>", "<resumed" SM " h='0'/>", "<failed" SM "/>",
};

START_TEST(what_cannot_be_ends_the_link)
{
	enable();
	ck_has(fake_send(fake, breaches[_i]), "</stream:error></stream:stream>");
	ck_assert(sessiond_is_over(&fake->sd) && fake->sd.link.refused);
	/* The complaint is no packet. */
	ck_assert(STAILQ_EMPTY(&fake->sd.link.ledger.kept));
	reconnect();
	enable();
	ck_has(fake_send(fake, TO_BOB("2")), "<body>2</body>");
}
END_TEST

static const char *const early[] = { "<a" SM " h='0'/>", "<r" SM "/>", "<enable" SM "/><enable" SM "/>" };

START_TEST(not_before_it_was_asked_for)
{
	ck_has(fake_send(fake, early[_i]), "</stream:error></stream:stream>");
	ck_assert(fake->sd.link.refused);
}
END_TEST

/* A client's own stream management is none of the link's. */
START_TEST(clients_have_their_own)
{
	enable();
	ck_has(fake_send(fake, "<r" SM " sto='alice@localhost/home' sfrom='" FAKE_A "'/><r" SM "/>"), "<a" SM " h='1'/>");
	ck_assert(!sessiond_is_over(&fake->sd));
}
END_TEST

static void
take_message(const char *message)
{
	ck_assert_int_eq(sessiond_input(&fake->sd, message, strlen(message)), 0);
	ck_assert_int_eq(sessiond_turn(&fake->sd), 0);
}

/* Who reads nothing cannot acknowledge; who has read all that, and does not, has broken the rules. */
START_TEST(too_much_that_was_given)
{
	struct buffer message = { 0 };
	static char body[256 * 1024];

	enable();
	memset(body, 'x', sizeof body - 1);
	buffer_append_format(&message, TO_BOB("%s"), body);
	buffer_append(&message, "", 1);
	while (fake->sd.link.ledger.kept_bytes <= LEDGER_MAX + sizeof body)
		take_message((const char *)buffer_bytes(&message));
	ck_assert(!sessiond_is_over(&fake->sd));
	ck_assert_uint_gt(buffer_length(sessiond_output(&fake->sd)), LEDGER_MAX);
	buffer_clear(sessiond_output(&fake->sd));
	take_message((const char *)buffer_bytes(&message));
	ck_assert(sessiond_is_over(&fake->sd) && fake->sd.link.refused);
	buffer_deinit(&message);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("ledger");
	TCase *tests = tcase_create("ledger");

	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, counts);
	tcase_add_test(tests, is_through);
	tcase_add_test(tests, is_refused_where_it_is_off);
	tcase_add_test(tests, without_resumption);
	tcase_add_test(tests, cut_behind_every_byte_that_comes);
	tcase_add_test(tests, cut_behind_every_element_that_goes);
	tcase_add_test(tests, counters_go_round);
	tcase_add_loop_test(tests, other_stream, 0, 3);
	tcase_add_loop_test(tests, what_cannot_be_ends_the_link, 0, COUNT(breaches));
	tcase_add_loop_test(tests, not_before_it_was_asked_for, 0, COUNT(early));
	tcase_add_test(tests, clients_have_their_own);
	tcase_add_test(tests, too_much_that_was_given);
	suite_add_tcase(suite, tests);
	return fake_run(suite);
}
