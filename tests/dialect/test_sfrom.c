/* The sfrom dialect, call by call; whole conversations are in test_recordings.c. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dialect/dialect.h"
#include "tests/dialect/call.h"
#include "tests/dialect/tap.h"

#define ADDRESS "a@foo.com/r"
#define OURS "sto='id1@som' sfrom='" ADDRESS "'"
#define E510 "<error code='510'>Disconnected</error>"
#define UP_HOST " sto='foo.com' sfrom='id1@som'"
#define UP_SESSION " sto='o&apos;b@foo.com/r' sfrom='id1@som'"
#define STANZAS "xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
#define AUTH "<query xmlns='jabber:iq:auth'>"
#define REGISTER "<query xmlns='jabber:iq:register'/>"

static const struct dialect_context context_plain = { .id = "id1", .name = "som", .stream_id = "S'1" };
static const struct dialect_context context_full = {
	.id = "id1", .name = "som", .stream_id = "S'1", .digest = true, .registration = true,
};

static void
assert_text(struct buffer *buffer, const char *expected)
{
	buffer_append(buffer, "", 1);
	ck_assert_str_eq((char *)buffer_bytes(buffer), expected);
	buffer_deinit(buffer);
}

static void
assert_range(struct range range, const char *expected)
{
	if (expected == NULL)
		ck_assert_ptr_null(range.at);
	else
		ck_assert_msg(range_equals(range, expected), "'%.*s' is not '%s'", (int)range.length, range.at,
		    expected);
}

/* ---- link half ---- */

static const struct {
	const char *text;
	enum packet_kind kind;
	const char *id, *name, *address, *from;
	bool expendable, disconnect;
} packets[] = {
	{ "<message " OURS "/>", PACKET_DATA, "id1", "som", ADDRESS, NULL, false, false },
	{ "<message from=\"x@y\" sfrom=\"o'b@c\" to='z' sto='9.z-1@som'><body/></message>", PACKET_DATA, "9.z-1", "som",
	    "o'b@c", "x@y", false, false },
	{ "<foo:bar " OURS "/>", PACKET_DATA, "id1", "som", ADDRESS, NULL, false, false },
	/* Who it is from is not said: deliverable all the same. */
	{ "<message sto='id1@som'/>", PACKET_DATA, "id1", "som", NULL, NULL, false, false },
	{ "<message sto='id1@som' sfrom=''/>", PACKET_DATA, "id1", "som", NULL, NULL, false, false },
	/* A resource behind the id: never issued. */
	{ "<message sto='id1@som/1F' sfrom='a@b'/>", PACKET_DATA, "id1@som/1F", "som", "a@b", NULL, false, false },
	{ "<message sto='id1@som/' sfrom='a@b'/>", PACKET_DATA, "id1@som/", "som", "a@b", NULL, false, false },
	{ "<message sto='som' sfrom='a@b'/>", PACKET_OWN, NULL, "som", "a@b", NULL, false, false },
	{ "<message sto='som/x@y' sfrom='a@b'/>", PACKET_OWN, NULL, "som", "a@b", NULL, false, false },
	{ "<message sfrom='a@b'/>", PACKET_LOST, NULL, NULL, "a@b", NULL, false, false },
	{ "<message sto='' sfrom='a@b'/>", PACKET_LOST, NULL, NULL, "a@b", NULL, false, false },
	{ "<message sto='@som' sfrom='a@b'/>", PACKET_LOST, NULL, NULL, "a@b", NULL, false, false },
	{ "<message sto='id1@' sfrom='a@b'/>", PACKET_LOST, NULL, NULL, "a@b", NULL, false, false },
	{ "not an element", PACKET_LOST, NULL, NULL, NULL, NULL, false, false },
	{ "", PACKET_LOST, NULL, NULL, NULL, NULL, false, false },

	{ "<iq type='result' id='a' " OURS "/>", PACKET_LOGIN, "id1", "som", ADDRESS, NULL, false, false },
	{ "<iq type='&#114;esult' " OURS "/>", PACKET_LOGIN, "id1", "som", ADDRESS, NULL, false, false },
	{ "<iq type='result' sto='id1@som' sfrom='foo.com'/>", PACKET_DATA, "id1", "som", "foo.com", NULL, false,
	    false },
	{ "<iq type='result' sto='id1@som'/>", PACKET_DATA, "id1", "som", NULL, NULL, false, false },
	{ "<iq type='set' " OURS "/>", PACKET_DATA, "id1", "som", ADDRESS, NULL, false, false },
	{ "<message type='result' " OURS "/>", PACKET_DATA, "id1", "som", ADDRESS, NULL, false, false },
	{ "<iq type='result' " OURS ">" E510 "</iq>", PACKET_DATA, "id1", "som", ADDRESS, NULL, false, true },

	{ "<message type='error' " OURS ">" E510 "</message>", PACKET_DISCONNECT, "id1", "som", ADDRESS, NULL, true,
	    true },
	{ "<message type='error' " OURS "> \n " E510 "</message>", PACKET_DISCONNECT, "id1", "som", ADDRESS, NULL, true,
	    true },
	/* What is not well-formed, or holds a comment, ends nothing. */
	{ "<message type='error' " OURS "><!-- x -->" E510 "</message>", PACKET_DATA, "id1", "som", ADDRESS, NULL, false,
	    true },
	{ "<message type='error' " OURS ">\xff" E510 "</message>", PACKET_DATA, "id1", "som", ADDRESS, NULL, false, true },
	{ "<message type='error' " OURS "><error code='&#53;10'/></message>", PACKET_DISCONNECT, "id1", "som",
	    ADDRESS, NULL, true, true },
	{ "<message type='error' " OURS "><body/>" E510 "</message>", PACKET_DISCONNECT, "id1", "som", ADDRESS, NULL,
	    false, true },
	{ "<message type='error' id='' " OURS ">" E510 "</message>", PACKET_DISCONNECT, "id1", "som", ADDRESS, NULL,
	    false, true },
	{ "<message type='error' to='x' " OURS ">" E510 "</message>", PACKET_DISCONNECT, "id1", "som", ADDRESS, NULL,
	    false, true },
	{ "<message type='error' from='x' " OURS ">" E510 "</message>", PACKET_DISCONNECT, "id1", "som", ADDRESS, "x",
	    false, true },
	{ "<message type='error' " OURS "><error code='404'/>" E510 "</message>", PACKET_DISCONNECT, "id1", "som",
	    ADDRESS, NULL, false, true },
	/* A 510 inside, but no error. */
	{ "<message type='chat' " OURS ">" E510 "</message>", PACKET_DATA, "id1", "som", ADDRESS, NULL, false, true },
	{ "<message " OURS ">" E510 "</message>", PACKET_DATA, "id1", "som", ADDRESS, NULL, false, true },
	{ "<message type='error' sto='som' sfrom='a@b'>" E510 "</message>", PACKET_OWN, NULL, "som", "a@b", NULL, false,
	    true },
	{ "<message type='error'>" E510 "</message>", PACKET_LOST, NULL, NULL, NULL, NULL, false, true },
	/* No 510. */
	{ "<message type='error' " OURS "><error code='5100'/></message>", PACKET_DATA, "id1", "som", ADDRESS, NULL,
	    false, false },
	{ "<message type='error' " OURS "><errors code='510'/><x:error code='510'/></message>", PACKET_DATA, "id1",
	    "som",
	    ADDRESS, NULL, false, false },
	{ "<message type='error' " OURS "><x>" E510 "</x><!-- " E510 " --></message>", PACKET_DATA, "id1", "som",
	    ADDRESS, NULL, false, false },
	{ "<error type='error' code='510' " OURS "/>", PACKET_DATA, "id1", "som", ADDRESS, NULL, false, false },
};

START_TEST(link_read)
{
	struct packet packet;

	dialect_sfrom.link_read(&packet, packets[_i].text, strlen(packets[_i].text));
	ck_assert_int_eq(packet.kind, packets[_i].kind);
	assert_range(packet.id, packets[_i].id);
	assert_range(packet.name, packets[_i].name);
	assert_range(packet.address, packets[_i].address);
	assert_range(packet.from, packets[_i].from);
	ck_assert_int_eq(packet.expendable, packets[_i].expendable);
	ck_assert_int_eq(packet.disconnect, packets[_i].disconnect);
}
END_TEST

static const struct {
	const char *packet, *bounced;
} bounces[] = {
	{ "<message sto='i@s' sfrom='a@b'><body>x</body></message>",
	    "<message sto='a@b' sfrom='i@s' type='error'><body>x</body>" E510 "</message>" },
	{ "<presence to='t' from='f' sto='i@s' sfrom='a@b'/>",
	    "<presence sto='a@b' sfrom='i@s' type='error' to='t' from='f'>" E510 "</presence>" },
	{ "<presence  sto='i@s' to='t' sfrom='a@b' />",
	    "<presence sto='a@b' sfrom='i@s' type='error' to='t' >" E510 "</presence>" },
	{ "<message type='chat' sto=\"i@s\" id='1'\n\tsfrom=\"o'b@c\" x='>'>a<b/>&amp;</message >",
	    "<message sto=\"o'b@c\" sfrom=\"i@s\" type='error' id='1' x='>'>a<b/>&amp;"
	    "<error code='510' type='chat'>Disconnected</error></message >" },
	{ "<iq type=\"it's\" sto='i@s' sfrom='a&amp;b@c'></iq>",
	    "<iq sto='a&amp;b@c' sfrom='i@s' type='error'><error code='510' type=\"it's\">Disconnected</error></iq>" },
	/* An ordinary error is bounced too, and then holds two. */
	{ "<message type='error' id='4' sto='i@s' sfrom='a@b'><error code='404'>Not Found</error></message>",
	    "<message sto='a@b' sfrom='i@s' type='error' id='4'><error code='404'>Not Found</error>"
	    "<error code='510' type='error'>Disconnected</error></message>" },
	{ "<x:y sto='i@s' xmlns:x='urn:x' sfrom='a@b'/>",
	    "<x:y sto='a@b' sfrom='i@s' type='error' xmlns:x='urn:x'>" E510 "</x:y>" },
	/* Not well-formed: it would cost the link that it comes back on. */
	{ "<x:y sto='i@s' sfrom='a@b'/>", "" },
	{ "<message sto='i@s' sfrom='a@b'><a></b></message>", "" },
	{ "<message sto='i@s' sfrom='a@b'><body>\xc0\xbc</body></message>", "" },
	{ "<message sto='i@s/res' sfrom='a@b'/>",
	    "<message sto='a@b' sfrom='i@s/res' type='error'>" E510 "</message>" },
	/* Nobody to bounce it to. */
	{ "<message sto='i@s'/>", "" },
	{ "<message sto='i@s' sfrom=''/>", "" },
	{ "<message sto='i@s' sfrom='a@b'>", "" },
};

START_TEST(link_bounce)
{
	struct buffer out = { 0 };
	struct packet packet;

	dialect_sfrom.link_bounce(&out, bounces[_i].packet, strlen(bounces[_i].packet));
	if (bounces[_i].bounced[0] != '\0') {
		dialect_sfrom.link_read(&packet, buffer_bytes(&out), buffer_length(&out));
		ck_assert(packet.disconnect);
	}
	assert_text(&out, bounces[_i].bounced);
}
END_TEST

START_TEST(link_header_and_end)
{
	struct buffer out = { 0 };

	dialect_sfrom.link_header(&out, "som");
	assert_text(&out, "<stream:stream xmlns='jabber:sockets' xmlns:stream='http://etherx.jabber.org/streams'>");
	dialect_sfrom.link_end(&out, "id1", "som", "o'b@foo.com/<r>", false);
	assert_text(&out, "<message sto='o&apos;b@foo.com/&lt;r&gt;' sfrom='id1@som' type='error'>" E510 "</message>");
}
END_TEST

static const struct {
	const char *text, *address;
	bool ends;
} ends[] = {
	{ "<message type='error' " OURS ">" E510 "</message>", ADDRESS, true },
	{ "<iq type='error' id='1' to='x' from='a@foo.com/r' " OURS "><query/>" E510 "</iq>", ADDRESS, true },
	{ "<message type='error' from='a@foo.com' " OURS ">" E510 "</message>", ADDRESS, true },
	{ "<message type='error' sto='i@s' sfrom='o&apos;b@c/&#114;'>" E510 "</message>", "o'b@c/r", true },
	{ "<iq type='error' id='a' sto='i@s' sfrom='no.host'>" E510 "</iq>", "no.host", true },
	{ "<iq type='error' id='a' from='no.host' sto='i@s' sfrom='no.host'>" E510 "</iq>", "no.host", true },
	{ "<message type='error' from='b@foo.com' " OURS ">" E510 "</message>", ADDRESS, false },
	{ "<message type='error' from='a@foo.com/' " OURS ">" E510 "</message>", ADDRESS, false },
	{ "<message type='error' from='a@foo.com/r2' " OURS ">" E510 "</message>", ADDRESS, false },
	{ "<message type='error' from='' " OURS ">" E510 "</message>", ADDRESS, false },
	{ "<message type='error' " OURS ">" E510 "</message>", "a@foo.com", false },
	{ "<message type='error' " OURS ">" E510 "</message>", "a@foo.com/R", false },
	{ "<message type='error' sto='i@s' sfrom='a@foo.com'>" E510 "</message>", ADDRESS, false },
	{ "<message type='error' sto='i@s'>" E510 "</message>", ADDRESS, false },
	{ "<message type='chat' " OURS ">" E510 "</message>", ADDRESS, false },
	{ "<message type='error' " OURS "/>", ADDRESS, false },
};

START_TEST(ends_session)
{
	struct packet packet;

	dialect_sfrom.link_read(&packet, ends[_i].text, strlen(ends[_i].text));
	ck_assert_int_eq(dialect_ends_session(&packet, ends[_i].address), ends[_i].ends);
}
END_TEST

START_TEST(dialects_are_found)
{
	ck_assert_ptr_eq(dialect_find("sfrom"), &dialect_sfrom);
	ck_assert_ptr_null(dialect_find("sfro"));
	ck_assert_ptr_null(dialect_find(""));
}
END_TEST

/* ---- worker half ---- */

static int
element_from(struct dialect_client *client, const struct dialect_context *context, const char *text, struct buffer *up,
    struct buffer *down)
{
	return call_element(&dialect_sfrom, client, context, text, strlen(text), strcspn(text, " />"), up, down);
}

START_TEST(features)
{
	struct buffer down = { 0 };
	struct dialect_header header = { .version_major = 1 };
	struct dialect_answer answer = { .features = &down };
	struct dialect_client client = { 0 };

	ck_assert_int_eq(dialect_sfrom.client_header(&client, &context_plain, &header, &answer), 0);
	ck_assert_uint_eq(answer.effects, DIALECT_HEADER | DIALECT_FEATURES);
	assert_text(&down, "<auth xmlns='http://jabber.org/features/iq-auth'/>");
	ck_assert_int_eq(dialect_sfrom.client_header(&client, &context_full, &header, &answer), 0);
	assert_text(&down, "<register xmlns='http://jabber.org/features/iq-register'/>"
	    "<auth xmlns='http://jabber.org/features/iq-auth'/>");
}
END_TEST

#define U "<username>a</username>"
#define REFUSED_406(id) "<iq type='error' id='" id "'><error code='406' type='modify'><not-acceptable " STANZAS

static const struct {
	const char *text;
	int outcome;
	const char *up, *down, *asked_id;
} before_login[] = {
	{ "<iq type='get' id='1'>" REGISTER "</iq>", CALL_SENT,
	    "<iq" UP_HOST " type='get' id='1'>" REGISTER "</iq>", "", "1" },
	{ "<iq type='set'><query xmlns='jabber:iq:register'><digest/></query></iq>", CALL_SENT,
	    "<iq" UP_HOST " id='c2sd-register' type='set'><query xmlns='jabber:iq:register'><digest/></query></iq>", "",
	    "c2sd-register" },
	{ "<iq type='set' sto='x' id='1' sfrom=\"y\">" REGISTER "</iq>", CALL_SENT,
	    "<iq" UP_HOST " type='set' id='1'>" REGISTER "</iq>", "", "1" },
	{ "<iq type='get' id=\"it's\">" AUTH U "</query></iq>", CALL_ANSWERED, "",
	    "<iq type='result' id=\"it's\">" AUTH U "<password/><digest/><resource/></query></iq>", NULL },
	{ "<iq type='get'>" AUTH "<password>p</password></query></iq>", CALL_ANSWERED, "",
	    "<iq type='result'>" AUTH "<username/><password/><digest/><resource/></query></iq>", NULL },
	{ "<iq type='set' id='a&amp;1'>" AUTH U "<password>p</password><resource>r</resource></query></iq>",
	    CALL_SENT,
	    "<iq" UP_HOST " type='set' id='a&amp;1'>" AUTH U
	    "<password>p</password><resource>r</resource></query></iq>",
	    "", "a&1" },
	{ "<iq type='set'>" AUTH U "<digest>d</digest></query></iq>", CALL_SENT,
	    "<iq" UP_HOST " id='c2sd-login' type='set'>" AUTH U "<digest sid='S&apos;1'>d</digest></query></iq>",
	    "", "c2sd-login" },
	{ "<iq id='' type='set'>" AUTH U "<digest x='1' sid='forged' y='2'/></query></iq>", CALL_SENT,
	    "<iq" UP_HOST " id='c2sd-login' type='set'>" AUTH U "<digest sid='S&apos;1' x='1' y='2'/></query></iq>",
	    "", "c2sd-login" },
	{ "<iq type='set' id='1'>" AUTH U "</query><error code='510'/></iq>", CALL_SENT,
	    "<iq" UP_HOST " type='set' id='1'>" AUTH U "</query><error/></iq>", "", "1" },
	{ "<iq type='set' id='1'>" REGISTER "<error code='510' a='b'/></iq>", CALL_SENT,
	    "<iq" UP_HOST " type='set' id='1'>" REGISTER "<error a='b'/></iq>", "", "1" },

	{ "<iq type='set' id='1'>" AUTH "</query></iq>", CALL_ANSWERED, "", REFUSED_406("1"), NULL },
	{ "<iq type='set'>" AUTH "<username/></query></iq>", CALL_ANSWERED, "",
	    "<iq type='error'><error code='406' type='modify'><not-acceptable " STANZAS, NULL },
	{ "<iq type='set' id='2'>" AUTH U U "</query></iq>", CALL_ANSWERED, "", REFUSED_406("2"), NULL },
	{ "<iq type='set' id='3'>" AUTH "<username>a@b</username></query></iq>", CALL_ANSWERED, "", REFUSED_406("3"),
	    NULL },
	{ "<iq type='set' id='4'>" AUTH "<username>a/b</username></query></iq>", CALL_ANSWERED, "", REFUSED_406("4"),
	    NULL },
	{ "<iq type='set' id='5'>" AUTH "<username>a<b/>c</username></query></iq>", CALL_ANSWERED, "",
	    REFUSED_406("5"),
	    NULL },
	{ "<iq type='set' id='6'>" AUTH "<username>a\xff</username></query></iq>", CALL_ANSWERED, "", REFUSED_406("6"),
	    NULL },
	/* U+00AD alone: nodeprep maps it to nothing. */
	{ "<iq type='set' id='7'>" AUTH "<username>\xc2\xad</username></query></iq>", CALL_ANSWERED, "",
	    REFUSED_406("7"), NULL },
	{ "<iq type='set' id='8'>" AUTH U "<resource/></query></iq>", CALL_ANSWERED, "", REFUSED_406("8"), NULL },
	{ "<iq type='set' id='9'>" AUTH U "<resource>a&#xe000;</resource></query></iq>", CALL_ANSWERED, "",
	    REFUSED_406("9"), NULL },
	{ "<iq type='set' id='10'>" AUTH U "<resource>a</resource><resource>a</resource></query></iq>", CALL_ANSWERED,
	    "",
	    REFUSED_406("10"), NULL },
	{ "<iq type='set' id='11'>" AUTH U "<digest/><digest/></query></iq>", CALL_ANSWERED, "", REFUSED_406("11"),
	    NULL },
	{ "<iq type='set' id='12'>" AUTH U "<password/><password/></query></iq>", CALL_ANSWERED, "",
	    REFUSED_406("12"), NULL },

	{ "<message to='x'/>", CALL_NOT_AUTHORIZED, "", "", NULL },
	{ "<presence/>", CALL_NOT_AUTHORIZED, "", "", NULL },
	{ "<iq type='get' id='1'><query xmlns='jabber:iq:version'/></iq>", CALL_NOT_AUTHORIZED, "", "", NULL },
	{ "<iq type='get' id='1'/>", CALL_NOT_AUTHORIZED, "", "", NULL },
	{ "<iq type='result' id='1'>" AUTH "</query></iq>", CALL_NOT_AUTHORIZED, "", "", NULL },
	{ "<iq type='error' id='1'>" AUTH "</query></iq>", CALL_NOT_AUTHORIZED, "", "", NULL },
	{ "<iq id='1'>" AUTH U "</query></iq>", CALL_NOT_AUTHORIZED, "", "", NULL },
	{ "<message type='set' id='1'>" AUTH U "</query></message>", CALL_NOT_AUTHORIZED, "", "", NULL },
	{ "<iq xmlns='other' type='set'>" AUTH U "</query></iq>", CALL_NOT_AUTHORIZED, "", "", NULL },
	{ "<iq type='set'><x>" AUTH U "</query></x></iq>", CALL_NOT_AUTHORIZED, "", "", NULL },
	/* Which of two queries counts is nothing to be guessed at. */
	{ "<iq type='set'>" AUTH U "</query>" AUTH U "</query></iq>", CALL_NOT_AUTHORIZED, "", "", NULL },
	{ "<iq type='set'><query/>" AUTH U "</query></iq>", CALL_NOT_AUTHORIZED, "", "", NULL },
	{ "no element", -EINVAL, "", "", NULL },
};

START_TEST(element_before_login)
{
	struct dialect_client client = { .host = strdup("foo.com") };
	struct buffer up = { 0 }, down = { 0 };

	ck_assert_int_eq(element_from(&client, &context_full, before_login[_i].text, &up, &down),
	    before_login[_i].outcome);
	assert_text(&up, before_login[_i].up);
	assert_text(&down, before_login[_i].down);
	ck_assert_pstr_eq(client.asked_id, before_login[_i].asked_id);
	ck_assert_ptr_null(client.address);
	dialect_client_deinit(&client);
	dialect_client_deinit(&client);
}
END_TEST

START_TEST(what_is_not_offered)
{
	struct dialect_client client = { .host = strdup("foo.com") };
	struct buffer up = { 0 }, down = { 0 };

	ck_assert_int_eq(element_from(&client, &context_plain, "<iq type='get' id='1'>" REGISTER "</iq>", &up, &down),
	    CALL_ANSWERED);
	assert_text(&down, "<iq type='error' id='1'><error code='405' type='cancel'><not-allowed " STANZAS);
	ck_assert_int_eq(element_from(&client, &context_plain, "<iq type='get' id='2'>" AUTH "</query></iq>", &up,
	    &down),
	    CALL_ANSWERED);
	assert_text(&down, "<iq type='result' id='2'>" AUTH "<username/><password/><resource/></query></iq>");
	assert_text(&up, "");
	dialect_client_deinit(&client);
}
END_TEST

START_TEST(nobody_to_ask)
{
	struct dialect_client client = { 0 };
	struct buffer up = { 0 }, down = { 0 };

	ck_assert_int_eq(element_from(&client, &context_full, "<iq type='get' id='1'>" REGISTER "</iq>", &up, &down),
	    CALL_NOT_AUTHORIZED);
	assert_text(&up, "");
	assert_text(&down, "");
}
END_TEST

#define LOGIN(id) "<iq type='set' id='" id "'>" AUTH U "</query></iq>"
#define REGISTRATION(type, id) "<iq type='" type "' id='" id "'>" REGISTER "</iq>"
#define REFUSED_400(id) "<iq type='error' id='" id "'><error code='400' type='wait'><unexpected-request " STANZAS
#define REFUSED_405(id) "<iq type='error' id='" id "'><error code='405' type='cancel'><not-allowed " STANZAS

/* Under way, and what follows before its answer. */
static const struct {
	const char *first, *second;
} pipelined[] = {
	{ LOGIN("1"), LOGIN("2") }, { LOGIN("1"), REGISTRATION("get", "2") }, { LOGIN("1"), REGISTRATION("set", "2") },
	{ REGISTRATION("get", "1"), LOGIN("2") }, { REGISTRATION("set", "1"), LOGIN("2") },
	{ REGISTRATION("get", "1"), REGISTRATION("get", "2") }, { REGISTRATION("set", "1"), REGISTRATION("set", "2") },
};

START_TEST(one_question_at_a_time)
{
	static const char answer[] = "<iq type='error' id='1' sto='id1@som' sfrom='foo.com'><error code='409'/></iq>";
	struct dialect_client client = { .host = strdup("foo.com") };
	struct buffer up = { 0 }, down = { 0 };

	ck_assert_int_eq(element_from(&client, &context_full, pipelined[_i].first, &up, &down), CALL_SENT);
	buffer_clear(&up);
	ck_assert_int_eq(element_from(&client, &context_full, pipelined[_i].second, &up, &down), CALL_ANSWERED);
	ck_assert_str_eq(client.asked_id, "1");
	assert_text(&up, "");
	assert_text(&down, REFUSED_400("2"));
	/* What c2sd answers itself does not wait. */
	ck_assert_int_eq(element_from(&client, &context_full, "<iq type='get' id='3'>" AUTH "</query></iq>", &up,
	    &down), CALL_ANSWERED);
	buffer_clear(&down);
	ck_assert_int_ge(call_packet(&dialect_sfrom, &client, &context_full, answer, strlen(answer), &down),
	    CALL_DELIVERED);
	ck_assert_int_eq(element_from(&client, &context_full, pipelined[_i].second, &up, &down), CALL_SENT);
	ck_assert_str_eq(client.asked_id, "2");
	buffer_deinit(&up);
	buffer_deinit(&down);
	dialect_client_deinit(&client);
}
END_TEST

START_TEST(registrations_are_counted)
{
	static const char answer[] = "<iq type='result' id='1' sto='id1@som' sfrom='foo.com'/>";
	struct dialect_client client = { .host = strdup("foo.com") };
	struct buffer up = { 0 }, down = { 0 };

	for (unsigned i = 0; i < DIALECT_REGISTRATIONS_MAX; i++) {
		ck_assert_int_eq(element_from(&client, &context_full, REGISTRATION("get", "1"), &up, &down),
		    CALL_SENT);
		ck_assert_int_eq(call_packet(&dialect_sfrom, &client, &context_full, answer, strlen(answer), &down),
		    CALL_DELIVERED);
		ck_assert_int_eq(element_from(&client, &context_full, REGISTRATION("set", "1"), &up, &down),
		    CALL_SENT);
		/* One that is not sent up costs nothing. */
		ck_assert_int_eq(element_from(&client, &context_full, REGISTRATION("set", "1"), &up, &down),
		    CALL_ANSWERED);
		ck_assert_int_eq(call_packet(&dialect_sfrom, &client, &context_full, answer, strlen(answer), &down),
		    CALL_DELIVERED);
		ck_assert_ptr_null(client.asked_id);
	}
	buffer_clear(&up);
	buffer_clear(&down);
	ck_assert_int_eq(element_from(&client, &context_full, REGISTRATION("set", "9"), &up, &down), CALL_ANSWERED);
	assert_text(&up, "");
	assert_text(&down, REFUSED_405("9"));
	ck_assert_int_eq(element_from(&client, &context_full, LOGIN("1"), &up, &down), CALL_SENT);
	buffer_deinit(&up);
	dialect_client_deinit(&client);
}
END_TEST

static const struct {
	const char *packet;
	const char *name;
} refusals[] = {
	{ "<iq type='error'><error code='401'>Unauthorized</error></iq>", "not-authorized" },
	{ "<iq type='error'><query><error code='403'/></query><error code='4&#48;4'/></iq>", "item-not-found" },
	{ "<iq type='error'><error code='500'><text/><conflict " STANZAS, "conflict" },
	{ "<iq type='error'><error code='400'/><error code='401'/></iq>", "bad-request" },
	{ "<iq type='error'><error/><error code='401'/></iq>", "not-authorized" },
	{ "<iq type='error'><error code=''/></iq>", "undefined-condition" },
	{ "<iq type='error'><error code='4010'>401</error></iq>", "undefined-condition" },
	{ "<iq type='error'><error code='x reason=not-authorized'><x-1/></error></iq>", "undefined-condition" },
	{ "<iq type='error'/>", "undefined-condition" },
	{ "<iq type='error'>", "undefined-condition" },
	{ "", "undefined-condition" },
};

START_TEST(refusals_have_names)
{
	ck_assert_str_eq(dialect_error_name(refusals[_i].packet, strlen(refusals[_i].packet)), refusals[_i].name);
}
END_TEST

START_TEST(who_asked_is_known_until_it_is_logged_in)
{
	struct dialect_client client = { .host = strdup("foo.com") };
	struct buffer up = { 0 }, down = { 0 };
	static const char refused[] = "<iq type='error' id='1' sto='id1@som' sfrom='foo.com'><error code='401'/></iq>";
	static const char accepted[] = "<iq type='result' id='1' sto='id1@som' sfrom='bob@foo.com/r'/>";

	ck_assert_int_eq(element_from(&client, &context_full, LOGIN("1"), &up, &down), CALL_SENT);
	ck_assert_str_eq(client.asked_user, "a");
	ck_assert_int_eq(call_packet(&dialect_sfrom, &client, &context_full, refused, strlen(refused), &down),
	    CALL_REFUSED);
	ck_assert_str_eq(client.asked_user, "a");
	ck_assert_int_eq(element_from(&client, &context_full,
	    "<iq type='set' id='1'><query xmlns='jabber:iq:auth'><username>b&#111;b</username><password>x</password>"
	    "<resource>r</resource></query></iq>", &up, &down), CALL_SENT);
	ck_assert_str_eq(client.asked_user, "bob");
	ck_assert_int_eq(call_packet(&dialect_sfrom, &client, &context_full, accepted, strlen(accepted), &down),
	    CALL_LOGGED_IN);
	ck_assert_ptr_null(client.asked_user);
	buffer_deinit(&up);
	buffer_deinit(&down);
	dialect_client_deinit(&client);
}
END_TEST

START_TEST(address_is_bounded)
{
	char text[8192];

	for (int extra = 0; extra < 2; extra++) {
		struct dialect_client client = {
			.host = strdup("foo.com"), .asked_id = strdup("1"), .asked_login = true,
		};
		struct buffer down = { 0 };

		/* Written longer than it is. */
		snprintf(text, sizeof(text), "<iq type='result' id='1' sto='id1@som' sfrom='a@&#98;/%0*d'/>",
		    DIALECT_ADDRESS_MAX - 4 + extra, 0);
		ck_assert_int_eq(call_packet(&dialect_sfrom, &client, &context_full, text, strlen(text), &down),
		    extra == 0 ? CALL_LOGGED_IN : -EMSGSIZE);
		if (extra == 0)
			ck_assert_uint_eq(strlen(client.address), DIALECT_ADDRESS_MAX);
		else
			ck_assert_ptr_null(client.address);
		ck_assert_uint_eq(buffer_length(&down) > 0, extra == 0);
		buffer_deinit(&down);
		dialect_client_deinit(&client);
	}
}
END_TEST

START_TEST(asked_id_is_bounded)
{
	struct dialect_client client = { .host = strdup("foo.com") };
	struct buffer up = { 0 }, down = { 0 };
	char text[2000];

	snprintf(text, sizeof(text), "<iq type='set' id='%01024d'>" AUTH U "</query></iq>", 1);
	ck_assert_int_eq(element_from(&client, &context_full, text, &up, &down), CALL_ANSWERED);
	snprintf(text, sizeof(text), "<iq type='set' id='%01024d'>" REGISTER "</iq>", 1);
	ck_assert_int_eq(element_from(&client, &context_full, text, &up, &down), CALL_ANSWERED);
	ck_assert_uint_eq(buffer_length(&up), 0);
	ck_assert_uint_eq(client.registrations, 0);
	buffer_clear(&down);
	snprintf(text, sizeof(text), "<iq type='set' id='%01023d'>" AUTH U "</query></iq>", 1);
	ck_assert_int_eq(element_from(&client, &context_full, text, &up, &down), CALL_SENT);
	buffer_deinit(&up);
	buffer_deinit(&down);
	dialect_client_deinit(&client);
}
END_TEST

static const struct {
	const char *text, *up;
} in_session[] = {
	{ "<presence/>", "<presence" UP_SESSION "/>" },
	{ "<message to='b' sto='evil' from='c' sfrom='evil'><body>&lt;</body></message>",
	    "<message" UP_SESSION " to='b' from='c'><body>&lt;</body></message>" },
	{ "<iq type='set' id='1'>" AUTH U "<digest sid='x'/></query></iq>",
	    "<iq" UP_SESSION " type='set' id='1'>" AUTH U "<digest sid='x'/></query></iq>" },
	{ "<m><error code='510'/></m>", "<m" UP_SESSION "><error/></m>" },
	{ "<m><a/>t<error a='1' code='510' b='2'>x</error>u</m>", "<m" UP_SESSION
	    "><a/>t<error a='1' b='2'>x</error>u</m>" },
	{ "<m><error code='404'/><error xmlns='x' code='&#53;10'/></m>",
	    "<m" UP_SESSION "><error code='404'/><error xmlns='x'/></m>" },
	{ "<m><error code=' 510'/><error code='0510 '/><error code='+510'/><error code='510x'/></m>",
	    "<m" UP_SESSION "><error/><error/><error/><error/></m>" },
	{ "<m><error code='&#9;&#x35;1&#48;.'/></m>", "<m" UP_SESSION "><error/></m>" },
	{ "<m><error code='4294967806'/><error code='-4294966786'/></m>", "<m" UP_SESSION "><error/><error/></m>" },
	{ "<m><error code='510' code='510'/></m>", "<m" UP_SESSION "><error/></m>" },
	/* None of these is a 510. */
	{ "<m><error code='-510'/><error code='5100'/><error code='x510'/><error code='5 10'/><error x='510'/></m>",
	    "<m" UP_SESSION "><error code='-510'/><error code='5100'/><error code='x510'/><error code='5 10'/>"
	    "<error x='510'/></m>" },
	{ "<m><x><error code='510'/></x><errors code='510'/></m>",
	    "<m" UP_SESSION "><x><error code='510'/></x><errors code='510'/></m>" },
};

START_TEST(element_in_session)
{
	struct dialect_client client = { .host = strdup("foo.com"), .address = strdup("o'b@foo.com/r") };
	struct buffer up = { 0 }, down = { 0 };

	ck_assert_int_eq(element_from(&client, &context_full, in_session[_i].text, &up, &down), CALL_SENT);
	assert_text(&up, in_session[_i].up);
	assert_text(&down, "");
	dialect_client_deinit(&client);
}
END_TEST

/* What the client is before the packet: L, R: login or registration "a&1" under way, S: a session, -: nothing. */
static const struct {
	char state;
	const char *text;
	int outcome;
	const char *down, *asked_id, *address;
} arrivals[] = {
	{ 'L', "<iq type='result' id='a&amp;1' sto='id1@som' sfrom='o&apos;b@foo.com/r'/>", CALL_LOGGED_IN,
	    "<iq type='result' id='a&amp;1'/>", NULL, "o'b@foo.com/r" },
	{ 'L', "<iq type='result' id=\"a&#38;1\" sto='id1@som' sfrom='c@d'></iq>", CALL_LOGGED_IN,
	    "<iq type='result' id=\"a&#38;1\"></iq>", NULL, "c@d" },
	{ 'L', "<iq type='error' id='a&amp;1' sto='id1@som' sfrom='foo.com'><error code='401'/></iq>",
	    CALL_REFUSED, "<iq type='error' id='a&amp;1'><error code='401'/></iq>", NULL, NULL },
	/* Not the answer. */
	{ 'L', "<iq type='result' id='b' sto='id1@som' sfrom='c@d'/>", CALL_DELIVERED, "<iq type='result' id='b'/>",
	    "a&1", NULL },
	{ 'L', "<message type='result' id='a&amp;1' sto='id1@som' sfrom='c@d'/>", CALL_DELIVERED,
	    "<message type='result' id='a&amp;1'/>", "a&1", NULL },
	{ 'L', "<iq type='set' id='a&amp;1' sto='id1@som' sfrom='c@d'/>", CALL_DELIVERED,
	    "<iq type='set' id='a&amp;1'/>", "a&1", NULL },
	/* A result that comes from the host makes no session. */
	{ 'L', "<iq type='result' id='a&amp;1' sto='id1@som' sfrom='foo.com'/>", CALL_DELIVERED,
	    "<iq type='result' id='a&amp;1'/>", "a&1", NULL },

	{ 'R', "<iq type='result' id='a&amp;1' sto='id1@som' sfrom='foo.com'/>", CALL_DELIVERED,
	    "<iq type='result' id='a&amp;1'/>", NULL, NULL },
	{ 'R', "<iq type='error' id='a&amp;1' sto='id1@som' sfrom='foo.com'>" REGISTER "</iq>", CALL_DELIVERED,
	    "<iq type='error' id='a&amp;1'>" REGISTER "</iq>", NULL, NULL },
	/* The answer to a registration is no login, whoever is said to have sent it. */
	{ 'R', "<iq type='result' id='a&amp;1' sto='id1@som' sfrom='c@d'/>", CALL_DELIVERED,
	    "<iq type='result' id='a&amp;1'/>", NULL, NULL },
	{ 'R', "<iq type='result' id='b' sto='id1@som' sfrom='foo.com'/>", CALL_DELIVERED,
	    "<iq type='result' id='b'/>", "a&1", NULL },
	{ 'R', "<iq type='get' id='a&amp;1' sto='id1@som' sfrom='foo.com'/>", CALL_DELIVERED,
	    "<iq type='get' id='a&amp;1'/>", "a&1", NULL },
	{ '-', "<iq type='result' id='a&amp;1' sto='id1@som' sfrom='c@d'/>", CALL_DELIVERED,
	    "<iq type='result' id='a&amp;1'/>", NULL, NULL },
	{ 'S', "<iq type='result' id='a&amp;1' sto='id1@som' sfrom='c@d'/>", CALL_DELIVERED,
	    "<iq type='result' id='a&amp;1'/>", NULL, "s@foo.com/r" },

	{ 'S', "<message sfrom=\"x\"  to='a'\n sto='id1@som' from='b' ><body sto='1'>&amp;</body></message>",
	    CALL_DELIVERED, "<message  to='a' from='b' ><body sto='1'>&amp;</body></message>", NULL, "s@foo.com/r" },
	{ 'S', "<message sto='id1@som'/>", CALL_DELIVERED, "<message/>", NULL, "s@foo.com/r" },

	{ 'S', "<message type='error' sto='id1@som' sfrom='s@foo.com/r'>" E510 "</message>", CALL_ENDED, "", NULL,
	    "s@foo.com/r" },
	{ 'S', "<message type='error' from='b' sto='id1@som' sfrom='s@foo.com/r'>" E510 "</message>", CALL_DELIVERED,
	    "<message type='error' from='b'>" E510 "</message>", NULL, "s@foo.com/r" },
	{ 'S', "<message type='error' sto='id1@som' sfrom='s@foo.com'>" E510 "</message>", CALL_DELIVERED,
	    "<message type='error'>" E510 "</message>", NULL, "s@foo.com/r" },
	/* The host may end who has not logged in, and only him. */
	{ '-', "<message type='error' sto='id1@som' sfrom='foo.com'>" E510 "</message>", CALL_ENDED, "", NULL, NULL },
	{ 'L', "<iq type='error' id='a&amp;1' sto='id1@som' sfrom='foo.com'>" AUTH "</query>" E510 "</iq>", CALL_ENDED,
	    "",
	    "a&1", NULL },
	{ 'S', "<message type='error' sto='id1@som' sfrom='foo.com'>" E510 "</message>", CALL_DELIVERED,
	    "<message type='error'>" E510 "</message>", NULL, "s@foo.com/r" },

	{ 'S', "<message sfrom='x'/>", CALL_UNREADABLE, "", NULL, "s@foo.com/r" },
	{ 'S', "<message sto='som' sfrom='x'/>", CALL_UNREADABLE, "", NULL, "s@foo.com/r" },
	{ 'S', "<message sto='id1@som'", CALL_UNREADABLE, "", NULL, "s@foo.com/r" },
};

START_TEST(packet_for_client)
{
	struct dialect_client client = { .host = strdup("foo.com") };
	const char *text = arrivals[_i].text;
	struct buffer down = { 0 };

	if (arrivals[_i].state == 'L' || arrivals[_i].state == 'R')
		client.asked_id = strdup("a&1");
	client.asked_login = arrivals[_i].state == 'L';
	if (arrivals[_i].state == 'S')
		client.address = strdup("s@foo.com/r");
	ck_assert_int_eq(call_packet(&dialect_sfrom, &client, &context_full, text, strlen(text), &down),
	    arrivals[_i].outcome);
	assert_text(&down, arrivals[_i].down);
	ck_assert_pstr_eq(client.asked_id, arrivals[_i].asked_id);
	ck_assert_pstr_eq(client.address, arrivals[_i].address);
	dialect_client_deinit(&client);
}
END_TEST

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

/* jabberd signs them with the address of who has asked: clients since RFC 3920 wait for another. */
static const struct {
	const char *text, *modern, *old;
} own_answers[] = {
	{ "<iq type='result' id='1' from='bob@foo.com/r' sto='id1@som' sfrom='bob@foo.com'><q/></iq>",
	    "<iq type='result' id='1'><q/></iq>", "<iq type='result' id='1' from='bob@foo.com/r'><q/></iq>" },
	{ "<iq from=\"bob&#64;foo.com/r\" type='error' id='1' sto='id1@som' sfrom='bob@foo.com'/>",
	    "<iq type='error' id='1'/>", "<iq from=\"bob&#64;foo.com/r\" type='error' id='1'/>" },
	/* Its own, to itself; a question; another's; no answer. */
	{ "<iq type='result' id='1' from='bob@foo.com/r' to='bob@foo.com/r' sto='id1@som' sfrom='bob@foo.com'/>",
	    "<iq type='result' id='1' from='bob@foo.com/r' to='bob@foo.com/r'/>", NULL },
	{ "<iq type='set' id='1' from='bob@foo.com/r' sto='id1@som' sfrom='bob@foo.com'/>",
	    "<iq type='set' id='1' from='bob@foo.com/r'/>", NULL },
	{ "<iq type='result' id='1' from='bob@foo.com/other' sto='id1@som' sfrom='bob@foo.com'/>",
	    "<iq type='result' id='1' from='bob@foo.com/other'/>", NULL },
	{ "<presence from='bob@foo.com/r' sto='id1@som' sfrom='bob@foo.com'/>", "<presence from='bob@foo.com/r'/>", NULL },
};

START_TEST(own_answers_are_nobodys)
{
	const char *old = own_answers[_i].old != NULL ? own_answers[_i].old : own_answers[_i].modern;
	struct dialect_context context = context_full;

	for (int modern = 0; modern < 2; modern++) {
		struct dialect_client client = { .address = strdup("bob@foo.com/r") };
		struct buffer down = { 0 };

		context.modern = modern == 1;
		ck_assert_int_eq(call_packet(&dialect_sfrom, &client, &context, own_answers[_i].text,
		    strlen(own_answers[_i].text), &down), CALL_DELIVERED);
		assert_text(&down, modern == 1 ? own_answers[_i].modern : old);
		dialect_client_deinit(&client);
	}
}
END_TEST

START_TEST(no_memory)
{
	struct dialect_client client = { .host = strdup("foo.com"), .address = strdup("a@b") };
	struct buffer full = { .failed = true };
	static const char packet[] = "<message sto='id1@som' sfrom='x'/>";

	ck_assert_int_eq(element_from(&client, &context_full, "<presence/>", &full, &full), -ENOMEM);
	ck_assert_int_eq(call_packet(&dialect_sfrom, &client, &context_full, packet, strlen(packet), &full), -ENOMEM);
	free(client.address);
	client.address = NULL;
	ck_assert_int_eq(element_from(&client, &context_full, "<iq type='get'>" AUTH "</query></iq>", &full, &full),
	    -ENOMEM);
	dialect_client_deinit(&client);
}
END_TEST


int
main(void)
{
	Suite *suite = suite_create("sfrom");
	TCase *tests = tcase_create("sfrom");

	tcase_add_loop_test(tests, link_read, 0, COUNT(packets));
	tcase_add_loop_test(tests, link_bounce, 0, COUNT(bounces));
	tcase_add_test(tests, link_header_and_end);
	tcase_add_loop_test(tests, ends_session, 0, COUNT(ends));
	tcase_add_test(tests, dialects_are_found);
	tcase_add_test(tests, features);
	tcase_add_loop_test(tests, element_before_login, 0, COUNT(before_login));
	tcase_add_test(tests, what_is_not_offered);
	tcase_add_test(tests, nobody_to_ask);
	tcase_add_loop_test(tests, one_question_at_a_time, 0, COUNT(pipelined));
	tcase_add_test(tests, registrations_are_counted);
	tcase_add_test(tests, address_is_bounded);
	tcase_add_loop_test(tests, refusals_have_names, 0, sizeof(refusals) / sizeof(refusals[0]));
	tcase_add_test(tests, who_asked_is_known_until_it_is_logged_in);
	tcase_add_test(tests, asked_id_is_bounded);
	tcase_add_loop_test(tests, element_in_session, 0, COUNT(in_session));
	tcase_add_loop_test(tests, packet_for_client, 0, COUNT(arrivals));
	tcase_add_loop_test(tests, own_answers_are_nobodys, 0, COUNT(own_answers));
	tcase_add_test(tests, no_memory);
	suite_add_tcase(suite, tests);
	return tap_run(suite);
}
