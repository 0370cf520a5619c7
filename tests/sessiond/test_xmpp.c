/* The dialect xmpp: opening, features, SASL, binding, and every way in which that ends. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base64.h"
#include "tests/sessiond/fake.h"
#include "tests/sessiond/scram_client.h"

#define FRAMING "xmlns='urn:ietf:params:xml:ns:xmpp-framing'"
#define SASL "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'"
#define BIND "xmlns='urn:ietf:params:xml:ns:xmpp-bind'"
#define STREAM_ERROR "xmlns='urn:ietf:params:xml:ns:xmpp-streams'"
#define STANZA_ERROR "xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'"
#define UP(id) "sto='localhost' sfrom='" id "'"
#define DOWN(id) "sto='" id "' sfrom='localhost'"
#define CONNECTION(content) "<connection xmlns='urn:x-c2sd:connection:0' ip='192.0.2.7' port='50123' transport='tcp'" content

/* As they come of TLS: 32 bytes of each, "0123456789abcdef" and "fedcba9876543210" twice. */
#define EXPORTER "0123456789abcdef0123456789abcdef"
#define END_POINT "fedcba9876543210fedcba9876543210"
#define EXPORTER_64 "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
#define END_POINT_64 "ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA="
#define WITH_TLS CONNECTION(" tls='TLSv1.3' cipher='X'/>")
#define WITH_BINDINGS CONNECTION(" tls='TLSv1.3' cipher='X'><channel-binding type='tls-exporter'>" EXPORTER_64 \
    "</channel-binding><channel-binding type='tls-server-end-point'>" END_POINT_64 "</channel-binding>" \
    "<channel-binding type='tls-unique'>AAAA</channel-binding></connection>")
#define IN_CLEAR CONNECTION("/>")

#define CLOSE(id) "<close " DOWN(id) " " FRAMING "/>"
#define STREAM_END(id, condition) "<stream:error " DOWN(id) "><" condition " " STREAM_ERROR "/></stream:error>" CLOSE(id)
#define FAILURE(id, condition) "<failure " DOWN(id) " " SASL "><" condition "/></failure>"

static struct fake *fake;

static void
setup(void)
{
	fake = fake_new("dialect=xmpp\n");
}

static void
teardown(void)
{
	fake_free(fake);
}

static const char *
open_with(const char *id, const char *attributes, const char *connection)
{
	return fake_sendf(fake, "<open sto='localhost' sfrom='%s' " FRAMING " to='localhost' %s>%s</open>", id, attributes,
	    connection);
}

static const char *
open_modern(const char *id)
{
	return open_with(id, "version='1.0'", WITH_TLS);
}

static const char *
auth(const char *id, const char *mechanism, const char *text)
{
	return fake_sendf(fake, "<auth sto='localhost' sfrom='%s' " SASL " mechanism='%s'>%s</auth>", id, mechanism, text);
}

static const char *
open_again(const char *id)
{
	return fake_sendf(fake, "<open sto='localhost' sfrom='%s' " FRAMING " to='localhost' version='1.0'/>", id);
}

static const char *
bind(const char *id, const char *resource)
{
	return fake_sendf(fake, "<iq sto='localhost' sfrom='%s' type='set' id='b'><bind " BIND "><resource>%s</resource>"
	    "</bind></iq>", id, resource);
}

/* base64 of NUL alice NUL pw */
#define ALICE_PW "AGFsaWNlAHB3"

/* An account of that name, "alice" mostly, that anybody may make before login. */
static void
make_account(const char *user)
{
	open_with("maker@" FAKE_NAME, "version='1.0'", IN_CLEAR);
	ck_has(fake_sendf(fake, "<iq type='set' id='r' sto='localhost' sfrom='maker@" FAKE_NAME "'>"
	    "<query xmlns='jabber:iq:register'><username>%s</username><password>pw</password></query></iq>", user),
	    "type='result'");
	ck_assert_str_eq(fake_sendf(fake, "<close sto='localhost' sfrom='maker@" FAKE_NAME "' " FRAMING "/>"), "");
}

static void
log_in(const char *id, const char *resource)
{
	open_modern(id);
	ck_has(auth(id, "PLAIN", ALICE_PW), "<success ");
	open_again(id);
	ck_has(bind(id, resource), "type='result'");
}

/* ---- the link itself ---- */

START_TEST(handshake_in_the_namespace_of_components)
{
	struct fake *shut = fake_new_shut("dialect=xmpp\n");
	const char *header = fake_send(shut, "<stream:stream xmlns='jabber:component:accept' "
	    "xmlns:stream='http://etherx.jabber.org/streams' to='" FAKE_NAME "' xml:lang=''>");

	ck_has(header, "<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' "
	    "xmlns:stream='http://etherx.jabber.org/streams' from='" FAKE_NAME "' id='");
	ck_assert_str_eq(fake_send(shut, "<message/>"), "<stream:error><not-authorized " STREAM_ERROR "/><text " STREAM_ERROR
	    ">Must send handshake first</text></stream:error>");
	ck_assert_str_eq(fake_send(shut, fake_handshake(shut)), "<handshake/>");
	ck_assert_str_eq(fake_send(shut, "</stream:stream>"), "</stream:stream>");
	fake_free(shut);
}
END_TEST

/* ---- the whole way ---- */

START_TEST(plain_to_session)
{
	const char *text;

	make_account("alice");
	text = open_modern(FAKE_A);
	ck_has(text, "<open " DOWN(FAKE_A) " " FRAMING " from='localhost' id='");
	ck_has(text, "' version='1.0' xml:lang='en'/><stream:features " DOWN(FAKE_A) "><mechanisms " SASL ">"
	    "<mechanism>SCRAM-SHA-256</mechanism><mechanism>SCRAM-SHA-1</mechanism><mechanism>PLAIN</mechanism>"
	    "</mechanisms><auth xmlns='http://jabber.org/features/iq-auth'/>"
	    "<register xmlns='http://jabber.org/features/iq-register'/></stream:features>");
	ck_assert_str_eq(auth(FAKE_A, "PLAIN", ALICE_PW), "<success " DOWN(FAKE_A) " " SASL "/>");
	text = open_again(FAKE_A);
	ck_has(text, "<open " DOWN(FAKE_A) " " FRAMING " from='localhost' id='");
	ck_has(text, "<stream:features " DOWN(FAKE_A) "><bind " BIND "/><session "
	    "xmlns='urn:ietf:params:xml:ns:xmpp-session'><optional/></session></stream:features>");
	ck_assert_str_eq(bind(FAKE_A, "Home"), "<iq sto='" FAKE_A "' sfrom='alice@localhost/Home' type='result' id='b'>"
	    "<bind " BIND "><jid>alice@localhost/Home</jid></bind></iq>");
	ck_assert_uint_eq(fake->sd.guests.by_id.count, 0);
	ck_assert_str_eq(fake_stanza(fake, FAKE_A, "alice@localhost/Home", "iq", "type='set' id='s'",
	    "<session xmlns='urn:ietf:params:xml:ns:xmpp-session'/>"),
	    "<iq sto='" FAKE_A "' sfrom='alice@localhost' type='result' id='s' to='alice@localhost/Home'/>");
	ck_has(fake_stanza(fake, FAKE_A, "alice@localhost/Home", "iq", "type='set' id='s'", "<bind " BIND "/>"),
	    "<not-allowed " STANZA_ERROR "/>");
}
END_TEST

START_TEST(replaced_session_answers_the_new_one_first)
{
	const char *text;

	make_account("alice");
	log_in(FAKE_A, "r");
	open_modern(FAKE_B);
	auth(FAKE_B, "PLAIN", ALICE_PW);
	open_again(FAKE_B);
	text = bind(FAKE_B, "r");
	ck_assert_str_eq(text, "<iq sto='" FAKE_B "' sfrom='alice@localhost/r' type='result' id='b'><bind " BIND ">"
	    "<jid>alice@localhost/r</jid></bind></iq>"
	    "<stream:error sto='" FAKE_A "' sfrom='alice@localhost/r'><conflict " STREAM_ERROR "/><text " STREAM_ERROR
	    ">Replaced by new connection</text></stream:error>"
	    "<close sto='" FAKE_A "' sfrom='alice@localhost/r' " FRAMING "/>");
	/* The old one's end, which c2sd says or does not, is not the new one's. */
	ck_assert_str_eq(fake_send(fake, "<close sto='alice@localhost/r' sfrom='" FAKE_A "' " FRAMING "/>"), "");
	ck_assert_ptr_nonnull(session_find_id(&fake->sd, FAKE_B));
}
END_TEST

#define COUNT(array) ((int)(sizeof(array) / sizeof(array)[0]))

int
main(void)
{
	Suite *suite = suite_create("xmpp");
	TCase *tests = tcase_create("xmpp");

	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, handshake_in_the_namespace_of_components);
	tcase_add_test(tests, plain_to_session);
	tcase_add_test(tests, replaced_session_answers_the_new_one_first);
	suite_add_tcase(suite, tests);
	return fake_run(suite);
}
