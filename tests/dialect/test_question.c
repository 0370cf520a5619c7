/* question: is a session still there? What sfrom and route ask, and what is an answer to it; and what xmpp says of its queue. */
#include <string.h>

#include "dialect/dialect.h"
#include "tests/dialect/tap.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define SFROM " sto='1@som' sfrom='a@foo.com'"
#define ROUTE "<route to='1@som' from='a@foo.com/5a'"
#define ERROR_510 "<error code='510'>Disconnected</error>"

static const struct {
	const struct dialect *dialect;
	const char *text;
	enum probe_answer answer;
	const char *out;
} answers[] = {
	/* As recorded. */
	{ &dialect_sfrom, "<iq type='result' to='a@foo.com/r' id='p1' from='foo.com'" SFROM "><query xmlns='jabber:iq:time'/></iq>",
	    PROBE_KNOWN, "" },
	{ &dialect_sfrom, "<iq type='error' id='p1'" SFROM "><error code='404'>Not Found</error></iq>", PROBE_KNOWN, "" },
	{ &dialect_sfrom, "<iq type='error' id='p1'" SFROM ">" ERROR_510 "</iq>", PROBE_GONE, "" },
	{ &dialect_sfrom, "<iq type='error' id='&#112;1'" SFROM "/>", PROBE_KNOWN, "" },
	{ &dialect_sfrom, "<iq type='result' id='p2'" SFROM "/>", PROBE_NONE, "" },
	{ &dialect_sfrom, "<iq type='result'" SFROM "/>", PROBE_NONE, "" },
	{ &dialect_sfrom, "<iq type='get' id='p1'" SFROM "/>", PROBE_NONE, "" },
	{ &dialect_sfrom, "<message type='error' id='p1'" SFROM "/>", PROBE_NONE, "" },
	{ &dialect_sfrom, "<message type='error'" SFROM ">" ERROR_510 "</message>", PROBE_NONE, "" },
	{ &dialect_route, ROUTE "><iq type='result' id='p1'/></route>", PROBE_KNOWN, "" },
	{ &dialect_route, ROUTE "><iq type='error' id='p1'><error code='501'/></iq></route>", PROBE_KNOWN, "" },
	{ &dialect_route, ROUTE " type='error' error='Invalid Session'><iq type='get' id='p1'><query xmlns='jabber:iq:time'/></iq></route>",
	    PROBE_AGAIN, ROUTE " type='error' error='Invalid Session'></route>" },
	{ &dialect_route, ROUTE " type='error' error='Invalid Session'><iq type='get' id='p2'/></route>", PROBE_NONE, "" },
	{ &dialect_route, ROUTE " type='error' error='Invalid Session'><presence id='p1'/></route>", PROBE_NONE, "" },
	{ &dialect_route, ROUTE " type='error' error='Disconnected'/>", PROBE_NONE, "" },
	{ &dialect_route, ROUTE "><iq type='get' id='p1'/></route>", PROBE_NONE, "" },
	{ &dialect_route, ROUTE "><iq type='result' id='p1'/><iq/></route>", PROBE_NONE, "" },
	{ &dialect_route, ROUTE " type='session'><iq type='result' id='p1'/></route>", PROBE_NONE, "" },
	{ &dialect_route, "<iq type='result' id='p1' to='1@som'/>", PROBE_NONE, "" },
};

START_TEST(answer)
{
	struct buffer out = { 0 };

	ck_assert_int_eq(answers[_i].dialect->link_probe_answer(&out, answers[_i].text, strlen(answers[_i].text), "p1"),
	    answers[_i].answer);
	buffer_append(&out, "", 1);
	ck_assert_str_eq((char *)buffer_bytes(&out), answers[_i].out);
	buffer_deinit(&out);
}
END_TEST

START_TEST(answer_cut)
{
	for (size_t length = 0; length < strlen(answers[_i].text); length++) {
		char *copy = strndup(answers[_i].text, length);
		struct buffer out = { 0 };

		/* No splitter gives it that: it may say anything, and read nothing behind it. */
		answers[_i].dialect->link_probe_answer(&out, copy, length, "p1");
		buffer_deinit(&out);
		free(copy);
	}
}
END_TEST

static const struct {
	const struct dialect *dialect;
	const char *text;
} questions[] = {
	{ &dialect_sfrom, "<iq sto='o&apos;a@foo.com/&lt;' sfrom='1@som' type='get' id='p1' to='foo.com'><query xmlns='jabber:iq:time'/></iq>" },
	{ &dialect_route, "<route to='o&apos;a@foo.com/&lt;' from='1@som'><iq type='get' id='p1' to='foo.com'>"
	    "<query xmlns='jabber:iq:time'/></iq></route>" },
};

START_TEST(question)
{
	const struct dialect *dialect = questions[_i].dialect;
	struct buffer out = { 0 };
	struct range to;

	dialect->link_probe(&out, "1", "som", "o'a@foo.com/<", "p1");
	/* It is what a client itself may send. */
	ck_assert_int_eq(dialect->link_verify(buffer_bytes(&out), buffer_length(&out), "1", "som", "o'a@foo.com/<", &to),
	    VERDICT_PACKET);
	buffer_append(&out, "", 1);
	ck_assert_str_eq((char *)buffer_bytes(&out), questions[_i].text);
	buffer_deinit(&out);
}
END_TEST

/* No session outlives its link there. */
START_TEST(none_in_xmpp)
{
	ck_assert_ptr_null(dialect_xmpp.link_probe);
}
END_TEST

static const struct {
	const char *text;
	bool manages;
} management[] = {
	{ "<enabled xmlns='urn:xmpp:sm:3' id='x'" SFROM "/>", true },
	{ "<resumed xmlns='urn:xmpp:sm:3' h='1' previd='x'" SFROM "/>", true },
	{ "<success xmlns='urn:xmpp:sasl:2'" SFROM "><resumed xmlns='urn:xmpp:sm:3'/></success>", true },
	{ "<success xmlns='urn:xmpp:sasl:2'" SFROM "><bound xmlns='urn:xmpp:bind:0'><enabled xmlns='urn:xmpp:sm:3'/></bound></success>",
	    true },
	{ "<success xmlns='urn:xmpp:sasl:2'" SFROM "><bound xmlns='urn:xmpp:bind:0'/></success>", false },
	{ "<success xmlns='urn:xmpp:sasl:2'" SFROM "/>", false },
	{ "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'" SFROM "><resumed xmlns='urn:xmpp:sm:3'/></success>", false },
	{ "<enabled" SFROM "/>", false },
	{ "<enabled xmlns='urn:x'" SFROM "/>", false },
	{ "<failed xmlns='urn:xmpp:sm:3'" SFROM "/>", false },
	{ "<r xmlns='urn:xmpp:sm:3'" SFROM "/>", false },
	{ "<message" SFROM "><enabled xmlns='urn:xmpp:sm:3'/></message>", false },
};

START_TEST(manages)
{
	struct packet packet;

	dialect_xmpp.link_read(&packet, management[_i].text, strlen(management[_i].text));
	ck_assert_int_eq(packet.manages, management[_i].manages);
	dialect_sfrom.link_read(&packet, management[_i].text, strlen(management[_i].text));
	ck_assert(!packet.manages);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("question");
	TCase *tests = tcase_create("question");

	tcase_add_loop_test(tests, answer, 0, COUNT(answers));
	tcase_add_loop_test(tests, answer_cut, 0, COUNT(answers));
	tcase_add_loop_test(tests, question, 0, COUNT(questions));
	tcase_add_test(tests, none_in_xmpp);
	tcase_add_loop_test(tests, manages, 0, COUNT(management));
	suite_add_tcase(suite, tests);
	return tap_run(suite);
}
