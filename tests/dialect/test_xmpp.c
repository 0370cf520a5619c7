/* The xmpp dialect, call by call. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dialect/dialect.h"
#include "tests/dialect/call.h"
#include "tests/dialect/starve.h"
#include "tests/dialect/tap.h"

#define ADDRESS "a@foo.com/r"
#define FRAMING "urn:ietf:params:xml:ns:xmpp-framing"
#define SASL " xmlns='urn:ietf:params:xml:ns:xmpp-sasl'"
#define SASL2 " xmlns='urn:xmpp:sasl:2'"
#define OURS "sto='id1@som' sfrom='" ADDRESS "'"
#define FROM_HOST "sto='id1@som' sfrom='foo.com'"
#define E510 "<error code='510'>Disconnected</error>"
#define UP_HOST " sto='foo.com' sfrom='id1@som'"
#define UP_SESSION " sto='" ADDRESS "' sfrom='id1@som'"
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct dialect_context context = {
	.id = "id1", .name = "som", .stream_id = "1", .registration = true,
};

static const struct dialect_context context_closed = { .id = "id1", .name = "som", .stream_id = "1" };

static void
assert_text(struct buffer *buffer, const char *expected)
{
	buffer_append(buffer, "", 1);
	ck_assert_str_eq((char *)buffer_bytes(buffer), expected);
	buffer_deinit(buffer);
}

/* ---- link half ---- */

static const struct {
	const char *text;
	enum packet_kind kind;
	bool expendable, disconnect, certain;
} packets[] = {
	{ "<message " OURS "/>", PACKET_DATA, false, false, false },
	{ "<presence " FROM_HOST "/>", PACKET_DATA, false, false, false },
	{ "<iq type='set' " OURS "/>", PACKET_DATA, false, false, false },
	{ "<iq type='result' " FROM_HOST "/>", PACKET_DATA, false, false, false },
	/* What makes a session comes from the whole of its address. */
	{ "<iq type='result' id='b' " OURS "/>", PACKET_LOGIN, false, false, false },
	{ "<iq type='result' sto='id1@som' sfrom='a@foo.com'/>", PACKET_DATA, false, false, false },
	{ "<iq type='result' sto='id1@som' sfrom='a@foo.com/'/>", PACKET_DATA, false, false, false },
	{ "<iq type='result' sto='id1@som' sfrom='foo.com/r'/>", PACKET_DATA, false, false, false },
	{ "<iq type='error' " OURS "/>", PACKET_DATA, false, false, false },
	{ "<iq type='result' " OURS ">\xff</iq>", PACKET_DATA, false, false, false },
	{ "<success" SASL2 " " OURS "/>", PACKET_LOGIN, true, false, false },
	{ "<success" SASL " " OURS "/>", PACKET_DATA, true, false, false },
	{ "<success" SASL2 " " FROM_HOST "/>", PACKET_DATA, true, false, false },
	{ "<resumed xmlns='urn:xmpp:sm:3' " OURS "/>", PACKET_LOGIN, true, false, false },
	{ "<resumed xmlns='urn:xmpp:sm:2' " OURS "/>", PACKET_DATA, true, false, false },
	/* The stream's own business is no loss to anybody. */
	{ "<open xmlns='" FRAMING "' " FROM_HOST "/>", PACKET_DATA, true, false, false },
	{ "<stream:features " FROM_HOST "/>", PACKET_DATA, true, false, false },
	{ "<challenge" SASL " " FROM_HOST "/>", PACKET_DATA, true, false, false },
	{ "<r xmlns='urn:xmpp:sm:3' " OURS "/>", PACKET_DATA, true, false, false },
	{ "<close xmlns='" FRAMING "' " FROM_HOST "/>", PACKET_DISCONNECT, true, true, true },
	{ "<close xmlns='" FRAMING "' sto='id1@som'/>", PACKET_DISCONNECT, true, true, true },
	{ "<close xmlns='urn:x' " FROM_HOST "/>", PACKET_DATA, true, false, false },
	{ "<close " FROM_HOST "/>", PACKET_DATA, true, false, false },
	{ "<close xmlns='" FRAMING "' " FROM_HOST ">\xff</close>", PACKET_DATA, false, true, false },
	{ "<stream:error " OURS "><reset xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>", PACKET_DISCONNECT,
	    true, true, true },
	{ "<stream:error>x</stream:error>", PACKET_LOST, false, false, false },
	{ "<message type='error' " OURS ">" E510 "</message>", PACKET_DISCONNECT, true, true, false },
	{ "<message type='error' to='x' " OURS ">" E510 "</message>", PACKET_DISCONNECT, false, true, false },
	{ "<message sto='som' " FROM_HOST "/>", PACKET_OWN, false, false, false },
	{ "<close xmlns='" FRAMING "' sto='som' sfrom='foo.com'/>", PACKET_OWN, false, false, false },
	{ "<message sfrom='a@b'/>", PACKET_LOST, false, false, false },
	{ "", PACKET_LOST, false, false, false },
};

START_TEST(link_read)
{
	struct packet packet;

	dialect_xmpp.link_read(&packet, packets[_i].text, strlen(packets[_i].text));
	ck_assert_int_eq(packet.kind, packets[_i].kind);
	ck_assert_int_eq(packet.expendable, packets[_i].expendable);
	ck_assert_int_eq(packet.disconnect, packets[_i].disconnect);
	ck_assert_int_eq(packet.certain, packets[_i].certain);
}
END_TEST

/* Nothing that is cut off logs anybody in, or ends anything. */
START_TEST(link_read_cut)
{
	for (size_t length = 0; length < strlen(packets[_i].text); length++) {
		char *copy = malloc(length > 0 ? length : 1);
		struct packet packet;

		ck_assert_ptr_nonnull(copy);
		memcpy(copy, packets[_i].text, length);
		dialect_xmpp.link_read(&packet, copy, length);
		ck_assert(packet.kind == PACKET_LOST || packet.kind == PACKET_DATA);
		free(copy);
	}
}
END_TEST

START_TEST(link_header_and_end)
{
	struct buffer out = { 0 };

	dialect_xmpp.link_header(&out, "s'm");
	assert_text(&out, "<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' "
	    "to='s&apos;m' xml:lang=''>");
	dialect_xmpp.link_end(&out, "id1", "som", "o'b@foo.com/<r>", false);
	assert_text(&out, "<message sto='o&apos;b@foo.com/&lt;r&gt;' sfrom='id1@som' type='error'>" E510 "</message>");
	dialect_xmpp.link_end(&out, "id1", "som", "o'b@foo.com/<r>", true);
	assert_text(&out, "<close sto='o&apos;b@foo.com/&lt;r&gt;' sfrom='id1@som' xmlns='" FRAMING "'/>");
}
END_TEST

START_TEST(link_bounce)
{
	static const char packet[] = "<message sto='id1@som' sfrom='a@foo.com' type='chat'><body>x</body></message>";
	struct buffer out = { 0 };

	dialect_xmpp.link_bounce(&out, packet, strlen(packet));
	assert_text(&out, "<message sto='a@foo.com' sfrom='id1@som' type='error'><body>x</body>"
	    "<error code='510' type='chat'>Disconnected</error></message>");
}
END_TEST

#define CONNECTION "<connection xmlns='urn:x-c2sd:connection:0' ip='192.0.2.7'>"
#define OPEN "<open" UP_HOST " xmlns='" FRAMING "' to='foo.com'>"

static const struct {
	const char *text;
	enum dialect_verdict before, in_session;
} sent[] = {
	{ "<iq" UP_HOST " type='get'/>", VERDICT_PACKET, VERDICT_FORGED },
	{ "<iq" UP_SESSION " type='get'/>", VERDICT_FORGED, VERDICT_PACKET },
	{ "<auth" UP_HOST SASL ">x</auth>", VERDICT_PACKET, VERDICT_FORGED },
	{ "<r" UP_SESSION " xmlns='urn:xmpp:sm:3'/>", VERDICT_FORGED, VERDICT_PACKET },
	{ OPEN "</open>", VERDICT_OPENS, VERDICT_FORGED },
	{ OPEN CONNECTION "</connection></open>", VERDICT_OPENS, VERDICT_FORGED },
	{ OPEN CONNECTION "</connection>" CONNECTION "</connection></open>", VERDICT_FORGED, VERDICT_FORGED },
	{ OPEN "<connection/></open>", VERDICT_FORGED, VERDICT_FORGED },
	{ OPEN "<x/></open>", VERDICT_FORGED, VERDICT_FORGED },
	{ "<open" UP_SESSION " xmlns='" FRAMING "'/>", VERDICT_FORGED, VERDICT_FORGED },
	{ "<open" UP_HOST " xmlns='urn:x'/>", VERDICT_PACKET, VERDICT_FORGED },
	{ "<open" UP_HOST " xmlns='urn:ietf:params:xml:ns:xmpp-framin&#103;'/>", VERDICT_OPENS, VERDICT_FORGED },
	/* The end of a stream is the master's to say. */
	{ "<close" UP_HOST " xmlns='" FRAMING "'/>", VERDICT_FORGED, VERDICT_FORGED },
	{ "<close" UP_SESSION " xmlns='urn:ietf:params:xml:ns:xmpp-fr&#x61;ming'/>", VERDICT_FORGED, VERDICT_FORGED },
	{ "<x" UP_HOST " xmlns='" FRAMING "'/>", VERDICT_FORGED, VERDICT_FORGED },
	{ "<connection" UP_HOST " xmlns='urn:x-c2sd:connection:0'/>", VERDICT_FORGED, VERDICT_FORGED },
	{ "<channel-binding" UP_HOST " xmlns='urn:x-c2sd:connection:0'/>", VERDICT_FORGED, VERDICT_FORGED },
	{ "<iq" UP_SESSION " xmlns='urn:x-c2sd:admin:0'/>", VERDICT_FORGED, VERDICT_FORGED },
	{ "<iq" UP_SESSION " xmlns='urn:x&#45;c2sd:admin:0'/>", VERDICT_FORGED, VERDICT_FORGED },
	/* In a stanza it is what somebody has written. */
	{ "<message" UP_SESSION ">" CONNECTION "</connection></message>", VERDICT_FORGED, VERDICT_PACKET },
	/* Of the link itself. */
	{ "<stream:error" UP_HOST "/>", VERDICT_FORGED, VERDICT_FORGED },
	{ "<error" UP_SESSION " xmlns='http://etherx.jabber.org/streams'/>", VERDICT_FORGED, VERDICT_FORGED },
	{ "<handshake" UP_SESSION "/>", VERDICT_FORGED, VERDICT_FORGED },
	{ "<route" UP_SESSION "/>", VERDICT_FORGED, VERDICT_FORGED },
	/* Of somebody else. */
	{ "<iq sto='foo.com' sfrom='id2@som'/>", VERDICT_FORGED, VERDICT_FORGED },
	{ "<iq sto='foo.com' sfrom='id1@other'/>", VERDICT_FORGED, VERDICT_FORGED },
	{ "<iq sto='foo.com' sfrom='id1@som/x'/>", VERDICT_FORGED, VERDICT_FORGED },
	{ "<open sto='foo.com' sfrom='id2@som' xmlns='" FRAMING "'/>", VERDICT_FORGED, VERDICT_FORGED },
	{ "<iq" UP_HOST "><a></b></iq>", VERDICT_FORGED, VERDICT_FORGED },
	{ OPEN "</open><iq/>", VERDICT_FORGED, VERDICT_FORGED },
};

START_TEST(link_verify)
{
	struct range to = { 0 };
	enum dialect_verdict verdict = dialect_xmpp.link_verify(sent[_i].text, strlen(sent[_i].text), "id1", "som", NULL, &to);

	ck_assert_int_eq(verdict, sent[_i].before);
	if (verdict == VERDICT_OPENS)
		ck_assert(range_decodes_to(to, "foo.com"));
	ck_assert_int_eq(dialect_xmpp.link_verify(sent[_i].text, strlen(sent[_i].text), "id1", "som", ADDRESS, &to),
	    sent[_i].in_session);
}
END_TEST

/* ---- worker half: how it is used ---- */

struct talk {
	struct dialect_client client;
	struct buffer up, down, features;
	struct dialect_answer answer;
};

static void
begin(struct talk *talk)
{
	talk->answer = (struct dialect_answer){ .up = &talk->up, .down = &talk->down, .features = &talk->features };
	buffer_clear(&talk->up);
	buffer_clear(&talk->down);
	buffer_clear(&talk->features);
}

static int
header(struct talk *talk, const struct dialect_connection *connection)
{
	const struct dialect_header told = {
		.from = "a@foo.com", .lang = "de", .version_major = 1, .connection = connection,
	};

	begin(talk);
	return dialect_xmpp.client_header(&talk->client, &context, &told, &talk->answer);
}

static int
element(struct talk *talk, const char *text)
{
	begin(talk);
	return dialect_xmpp.client_element(&talk->client, &context, text, strlen(text), strcspn(text, " />"), &talk->answer);
}

static int
packet(struct talk *talk, const char *text)
{
	begin(talk);
	return dialect_xmpp.client_packet(&talk->client, &context, text, strlen(text), &talk->answer);
}

static void
end(struct talk *talk)
{
	buffer_deinit(&talk->up);
	buffer_deinit(&talk->down);
	buffer_deinit(&talk->features);
	dialect_client_deinit(&talk->client);
}

#define THEIR_OPEN "<open xmlns='" FRAMING "' " FROM_HOST " from='foo.com' id='S&amp;1' version='1.0' xml:lang='fr'/>"

/* One whose header both sides have said. */
static void
open_stream(struct talk *talk)
{
	*talk = (struct talk){ .client.host = strdup("foo.com") };
	ck_assert_int_eq(header(talk, NULL), 0);
	ck_assert_int_eq(packet(talk, THEIR_OPEN), 0);
	ck_assert_uint_eq(talk->answer.effects, DIALECT_HEADER);
}

static void
assert_down(struct talk *talk, const char *expected)
{
	buffer_append(&talk->down, "", 1);
	ck_assert_str_eq((char *)buffer_bytes(&talk->down), expected);
}

static void
assert_up(struct talk *talk, const char *expected)
{
	buffer_append(&talk->up, "", 1);
	ck_assert_str_eq((char *)buffer_bytes(&talk->up), expected);
}

/* ---- headers ---- */

START_TEST(headers)
{
	static const struct dialect_connection plain = { .ip = "2001:db8::1", .port = 5, .transport = "tcp" };
	static const struct dialect_connection full = {
		.ip = "192.0.2.7", .port = 65535, .transport = "tcp", .tls = "TLSv1.3", .cipher = "C", .sni = "<s>",
		.exporter = "RQ==", .end_point = "UA==", .certificate = "Qw==",
	};
	struct talk talk = { .client.host = strdup("foo.com") };

	ck_assert_int_eq(header(&talk, &plain), 0);
	ck_assert_uint_eq(talk.answer.effects, 0);
	ck_assert(talk.client.asked && !talk.client.waits);
	assert_up(&talk, "<open" UP_HOST " xmlns='" FRAMING "' to='foo.com' from='a@foo.com' xml:lang='de' version='1.0'>"
	    "<connection xmlns='urn:x-c2sd:connection:0' ip='2001:db8::1' port='5' transport='tcp'></connection></open>");
	ck_assert_int_eq(header(&talk, &full), 0);
	assert_up(&talk, "<open" UP_HOST " xmlns='" FRAMING "' to='foo.com' from='a@foo.com' xml:lang='de' version='1.0'>"
	    "<connection xmlns='urn:x-c2sd:connection:0' ip='192.0.2.7' port='65535' transport='tcp' tls='TLSv1.3' cipher='C' "
	    "sni='&lt;s&gt;'><channel-binding type='tls-exporter'>RQ==</channel-binding>"
	    "<channel-binding type='tls-server-end-point'>UA==</channel-binding><certificate>Qw==</certificate>"
	    "</connection></open>");
	begin(&talk);
	ck_assert_int_eq(dialect_xmpp.client_header(&talk.client, &context, &(struct dialect_header){ 0 }, &talk.answer), 0);
	assert_up(&talk, "<open" UP_HOST " xmlns='" FRAMING "' to='foo.com'></open>");
	end(&talk);
}
END_TEST

START_TEST(their_header)
{
	struct talk talk;

	open_stream(&talk);
	ck_assert(range_equals(talk.answer.header_id, "S&amp;1"));
	ck_assert(range_equals(talk.answer.header_from, "foo.com"));
	ck_assert(range_equals(talk.answer.header_lang, "fr"));
	ck_assert_uint_eq(buffer_length(&talk.down), 0);
	/* Once for each of ours. */
	ck_assert_int_eq(packet(&talk, THEIR_OPEN), 0);
	ck_assert_uint_eq(talk.answer.effects, DIALECT_UNREADABLE);
	ck_assert_int_eq(packet(&talk, "<stream:features " FROM_HOST "><a xmlns='b'/></stream:features>"), 0);
	ck_assert_uint_eq(talk.answer.effects, DIALECT_FEATURES);
	buffer_append(&talk.features, "", 1);
	ck_assert_str_eq((char *)buffer_bytes(&talk.features), "<a xmlns='b'/>");
	ck_assert_uint_eq(buffer_length(&talk.down), 0);
	ck_assert_int_eq(packet(&talk, "<stream:features xmlns:x='urn:x' " FROM_HOST "><x:a/></stream:features>"), 0);
	ck_assert_uint_eq(talk.answer.effects, DIALECT_UNREADABLE);
	end(&talk);
}
END_TEST

/* Before their header nothing but the end can come. */
static const char *const too_early[] = {
	"<stream:features " FROM_HOST "/>", "<message " FROM_HOST "/>", "<iq type='result' " OURS "/>",
	"<success" SASL " " FROM_HOST "/>", "<close xmlns='" FRAMING "x' " FROM_HOST "/>", "<open xmlns='" FRAMING "x' " FROM_HOST "/>",
	"<x xmlns='" FRAMING "' " FROM_HOST "/>", "nothing", "<message sto='som' sfrom='foo.com'/>",
};

START_TEST(before_their_header)
{
	struct talk talk = { .client.host = strdup("foo.com") };

	ck_assert_int_eq(header(&talk, NULL), 0);
	ck_assert_int_eq(packet(&talk, too_early[_i]), 0);
	ck_assert_uint_eq(talk.answer.effects, DIALECT_UNREADABLE);
	ck_assert_uint_eq(buffer_length(&talk.down), 0);
	ck_assert_ptr_null(talk.client.address);
	end(&talk);
}
END_TEST

/* ---- ends ---- */

#define STREAMS " xmlns='urn:ietf:params:xml:ns:xmpp-streams'"

static const struct {
	const char *text, *down;
	enum stream_condition condition;
	bool told;
} ends[] = {
	{ "<close xmlns='" FRAMING "' " FROM_HOST "/>", "", CONDITION_NONE, false },
	{ "<close xmlns='" FRAMING "' sto='id1@som'/>", "", CONDITION_NONE, false },
	{ "<stream:error " FROM_HOST "><see-other-host" STREAMS ">[::1]:5</see-other-host></stream:error>",
	    "<stream:error><see-other-host" STREAMS ">[::1]:5</see-other-host></stream:error>", CONDITION_SEE_OTHER_HOST, true },
	{ "<stream:error " FROM_HOST "><host-unknown" STREAMS "/><text" STREAMS " xml:lang='de'>nein</text><why xmlns='urn:w'/>"
	    "</stream:error>", "<stream:error><host-unknown" STREAMS "/><text" STREAMS " xml:lang='de'>nein</text>"
	    "<why xmlns='urn:w'/></stream:error>", CONDITION_HOST_UNKNOWN, true },
	{ "<stream:error " FROM_HOST "><reset xmlns='urn:w'/><conflict" STREAMS "/></stream:error>",
	    "<stream:error><reset xmlns='urn:w'/><conflict" STREAMS "/></stream:error>", CONDITION_CONFLICT, true },
	{ "<stream:error " FROM_HOST "><new-one" STREAMS "/></stream:error>", "<stream:error><new-one" STREAMS
	    "/></stream:error>", CONDITION_UNDEFINED_CONDITION, true },
	{ "<stream:error " FROM_HOST ">text</stream:error>", "<stream:error>text</stream:error>",
	    CONDITION_UNDEFINED_CONDITION, true },
	{ "<message type='error' " FROM_HOST ">" E510 "</message>", "", CONDITION_UNDEFINED_CONDITION, false },
};

/* At any time: before their header, behind it, between two, in a session. */
START_TEST(the_end)
{
	struct talk talk = { .client.host = strdup("foo.com") };

	for (unsigned stage = 0; stage < 4; stage++) {
		ck_assert_int_eq(packet(&talk, ends[_i].text), 0);
		ck_assert_uint_eq(talk.answer.effects, DIALECT_END);
		ck_assert_int_eq(talk.answer.condition, ends[_i].condition);
		ck_assert_int_eq(talk.answer.told, ends[_i].told);
		assert_down(&talk, ends[_i].down);
		if (stage == 0)
			ck_assert_int_eq(header(&talk, NULL), 0);
		else if (stage == 1)
			ck_assert_int_eq(packet(&talk, THEIR_OPEN), 0);
		else if (stage == 2)
			ck_assert_int_eq(packet(&talk, "<success" SASL " " FROM_HOST "/>"), 0);
	}
	end(&talk);
}
END_TEST

START_TEST(the_end_of_a_session)
{
	struct talk talk;
	bool is_510 = strncmp(ends[_i].text, "<message", 8) == 0;

	open_stream(&talk);
	ck_assert_int_eq(packet(&talk, "<iq type='result' " OURS "/>"), 0);
	ck_assert_int_eq(packet(&talk, ends[_i].text), 0);
	/* A 510 is believed of the session itself alone. */
	ck_assert_uint_eq(talk.answer.effects, is_510 ? DIALECT_DELIVERED : DIALECT_END);
	ck_assert_int_eq(packet(&talk, "<message type='error' " OURS ">" E510 "</message>"), 0);
	ck_assert_uint_eq(talk.answer.effects, DIALECT_END);
	ck_assert_str_eq(talk.answer.text, "Disconnected");
	end(&talk);
}
END_TEST

/* ---- before login, up ---- */

#define QUERY(kind, rest) "<query xmlns='jabber:iq:" kind "'>" rest "</query>"
#define BIND "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>"

static const struct {
	const char *text, *up, *asked_id, *asked_user;
	bool waits;
} before[] = {
	{ "<auth" SASL " mechanism='PLAIN'>AGFsaWNlAHNlY3JldA==</auth>",
	    "<auth" UP_HOST SASL " mechanism='PLAIN'>AGFsaWNlAHNlY3JldA==</auth>", NULL, "alice", true },
	/* n=al=2Cic=3De */
	{ "<auth" SASL " mechanism='SCRAM-SHA-256-PLUS'>cD10bHMtZXhwb3J0ZXIsLG49YWw9MkNpYz0zRGUscj14</auth>",
	    "<auth" UP_HOST SASL " mechanism='SCRAM-SHA-256-PLUS'>cD10bHMtZXhwb3J0ZXIsLG49YWw9MkNpYz0zRGUscj14</auth>", NULL,
	    "al,ic=e", true },
	{ "<auth" SASL " mechanism='PLAIN'>=</auth>", "<auth" UP_HOST SASL " mechanism='PLAIN'>=</auth>", NULL, NULL, true },
	{ "<auth" SASL " mechanism='PLAIN'>%%</auth>", "<auth" UP_HOST SASL " mechanism='PLAIN'>%%</auth>", NULL, NULL, true },
	{ "<auth" SASL " mechanism='PLAIN'>YWxpY2U=</auth>", "<auth" UP_HOST SASL " mechanism='PLAIN'>YWxpY2U=</auth>", NULL, NULL,
	    true },
	{ "<auth" SASL " mechanism='SCRAM-SHA-1'>AGFsaWNlAHNlY3JldA==</auth>",
	    "<auth" UP_HOST SASL " mechanism='SCRAM-SHA-1'>AGFsaWNlAHNlY3JldA==</auth>", NULL, NULL, true },
	{ "<auth" SASL " mechanism='EXTERNAL'>YWxpY2U=</auth>", "<auth" UP_HOST SASL " mechanism='EXTERNAL'>YWxpY2U=</auth>", NULL,
	    NULL, true },
	{ "<auth" SASL "/>", "<auth" UP_HOST SASL "/>", NULL, NULL, true },
	{ "<response" SASL ">x</response>", "<response" UP_HOST SASL ">x</response>", NULL, NULL, true },
	{ "<abort" SASL "/>", "<abort" UP_HOST SASL "/>", NULL, NULL, true },
	{ "<authenticate" SASL2 " mechanism='PLAIN'><initial-response>AGFsaWNlAHNlY3JldA==</initial-response></authenticate>",
	    "<authenticate" UP_HOST SASL2
	    " mechanism='PLAIN'><initial-response>AGFsaWNlAHNlY3JldA==</initial-response></authenticate>", NULL, "alice", true },
	{ "<iq type='set' id='a&amp;b'>" BIND "</iq>", "<iq" UP_HOST " type='set' id='a&amp;b'>" BIND "</iq>", "a&b", NULL, true },
	{ "<iq type='set'>" BIND "</iq>", "<iq" UP_HOST " type='set'>" BIND "</iq>", NULL, NULL, false },
	{ "<iq type='result' id='1'/>", "<iq" UP_HOST " type='result' id='1'/>", NULL, NULL, false },
	{ "<presence sto='x' sfrom='y'/>", "<presence" UP_HOST "/>", NULL, NULL, false },
	{ "<message><error code=' 510' x='1'/></message>", "<message" UP_HOST "><error x='1'/></message>", NULL, NULL, false },
	{ "<enable xmlns='urn:xmpp:sm:3'/>", "<enable" UP_HOST " xmlns='urn:xmpp:sm:3'/>", NULL, NULL, false },
	{ "<iq type='set' id='1'>" QUERY("auth", "<username>b&amp;b</username>") "</iq>",
	    "<iq" UP_HOST " type='set' id='1'>" QUERY("auth", "<username>b&amp;b</username>") "</iq>", "1", "b&b", true },
	{ "<iq type='set'>" QUERY("auth", "<username>b</username>") "</iq>",
	    "<iq" UP_HOST " id='c2sd-login' type='set'>" QUERY("auth", "<username>b</username>") "</iq>", "c2sd-login", "b", true },
	{ "<iq type='set' id=''>" QUERY("register", "") "</iq>",
	    "<iq" UP_HOST " id='c2sd-login' type='set'>" QUERY("register", "") "</iq>", "c2sd-login", NULL, true },
	{ "<iq type='get' id='7'>" QUERY("auth", "") "</iq>", "<iq" UP_HOST " type='get' id='7'>" QUERY("auth", "") "</iq>", "7",
	    NULL, true },
};

START_TEST(element_before_login)
{
	struct talk talk;

	open_stream(&talk);
	ck_assert_int_eq(element(&talk, before[_i].text), 0);
	ck_assert_uint_eq(talk.answer.effects, 0);
	assert_up(&talk, before[_i].up);
	assert_down(&talk, "");
	ck_assert_pstr_eq(talk.client.asked_id, before[_i].asked_id);
	ck_assert_pstr_eq(talk.client.asked_user, before[_i].asked_user);
	ck_assert_int_eq(talk.client.waits, before[_i].waits);
	end(&talk);
}
END_TEST

START_TEST(element_cut)
{
	struct talk talk;
	int result;

	open_stream(&talk);
	for (size_t length = 0; length < strlen(before[_i].text); length++) {
		char *copy = malloc(length > 0 ? length : 1);

		ck_assert_ptr_nonnull(copy);
		memcpy(copy, before[_i].text, length);
		begin(&talk);
		/* Where a child ends it is not noticed: the stream gives whole ones. */
		result = dialect_xmpp.client_element(&talk.client, &context, copy, length, length == 0 ? 0 : 1, &talk.answer);
		ck_assert(result == -EINVAL || copy[length - 1] == '>');
		free(copy);
	}
	end(&talk);
}
END_TEST

/* Without a stream upstream there is nobody to ask. */
START_TEST(no_stream)
{
	struct talk talk = { .client.host = strdup("foo.com") };

	ck_assert_int_eq(element(&talk, "<presence/>"), 0);
	ck_assert_uint_eq(talk.answer.effects, DIALECT_END);
	ck_assert_int_eq(talk.answer.condition, CONDITION_NOT_AUTHORIZED);
	assert_up(&talk, "");
	end(&talk);
}
END_TEST

/* Where PLAIN has no initial response, the first response says who it is; the message of another mechanism does not. */
START_TEST(user_of_a_response)
{
	struct talk talk;

	open_stream(&talk);
	ck_assert_int_eq(element(&talk, "<auth" SASL " mechanism='PLAIN'/>"), 0);
	ck_assert_int_eq(packet(&talk, "<challenge" SASL " " FROM_HOST "/>"), 0);
	ck_assert_uint_eq(talk.answer.effects, 0);
	ck_assert(!talk.client.waits);
	assert_down(&talk, "<challenge" SASL "/>");
	ck_assert_int_eq(element(&talk, "<response" SASL ">AGFsaWNlAHNlY3JldA==</response>"), 0);
	ck_assert_str_eq(talk.client.asked_user, "alice");
	ck_assert_int_eq(element(&talk, "<response" SASL ">AGJvYgBzZWNyZXQ=</response>"), 0);
	ck_assert_str_eq(talk.client.asked_user, "alice");
	ck_assert_int_eq(element(&talk, "<auth" SASL " mechanism='DIGEST-MD5'/>"), 0);
	ck_assert_ptr_null(talk.client.asked_user);
	end(&talk);
}
END_TEST

START_TEST(registrations)
{
	struct talk talk;

	open_stream(&talk);
	for (unsigned i = 0; i < DIALECT_REGISTRATIONS_MAX; i++) {
		ck_assert_int_eq(element(&talk, "<iq type='set' id='1'>" QUERY("register", "") "</iq>"), 0);
		ck_assert_uint_gt(buffer_length(&talk.up), 0);
	}
	ck_assert_int_eq(element(&talk, "<iq type='set' id='1'>" QUERY("register", "") "</iq>"), 0);
	ck_assert_uint_eq(buffer_length(&talk.up), 0);
	assert_down(&talk, "<iq type='error' id='1'><error code='405' type='cancel'><not-allowed "
	    "xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>");
	end(&talk);
	open_stream(&talk);
	begin(&talk);
	ck_assert_int_eq(dialect_xmpp.client_element(&talk.client, &context_closed, "<iq type='get'>" QUERY("register", "")
	    "</iq>", strlen("<iq type='get'>" QUERY("register", "") "</iq>"), 3, &talk.answer), 0);
	ck_assert_uint_eq(buffer_length(&talk.up), 0);
	end(&talk);
}
END_TEST

/* ---- before login, down ---- */

static const struct {
	const char *asks, *text;
	unsigned effects;
	const char *down, *failure;
	bool waits;
} answers[] = {
	{ "<auth" SASL "/>", "<success" SASL " " FROM_HOST ">eA==</success>", DIALECT_RESTART, "<success" SASL ">eA==</success>",
	    NULL, false },
	{ "<auth" SASL "/>", "<failure" SASL " " FROM_HOST "><text>x</text><account-disabled/></failure>", DIALECT_REFUSED,
	    "<failure" SASL "><text>x</text><account-disabled/></failure>", "account-disabled", false },
	{ "<auth" SASL "/>", "<failure" SASL " " FROM_HOST "><other/></failure>", DIALECT_REFUSED,
	    "<failure" SASL "><other/></failure>", "undefined-condition", false },
	{ "<auth" SASL "/>", "<message " FROM_HOST "/>", DIALECT_DELIVERED, "<message/>", NULL, true },
	{ "<authenticate" SASL2 "/>", "<failure" SASL2 " " FROM_HOST "><not-authorized" SASL "/></failure>", DIALECT_REFUSED,
	    "<failure" SASL2 "><not-authorized" SASL "/></failure>", "not-authorized", false },
	/* The same stream goes on (XEP-0388). */
	{ "<authenticate" SASL2 "/>", "<success" SASL2 " " FROM_HOST "/>", 0, "<success" SASL2 "/>", NULL, false },
	{ "<authenticate" SASL2 "/>", "<success" SASL2 " " OURS "/>", DIALECT_LOGGED_IN | DIALECT_BOUND,
	    "<success" SASL2 "/>", NULL, false },
	{ "<resume xmlns='urn:xmpp:sm:3'/>", "<resumed xmlns='urn:xmpp:sm:3' " OURS "/>", DIALECT_LOGGED_IN | DIALECT_BOUND,
	    "<resumed xmlns='urn:xmpp:sm:3'/>", NULL, false },
	{ "<resume xmlns='urn:xmpp:sm:3'/>", "<failed xmlns='urn:xmpp:sm:3' " FROM_HOST "/>", DIALECT_DELIVERED,
	    "<failed xmlns='urn:xmpp:sm:3'/>", NULL, false },
	{ "<iq type='set' id='b'>" BIND "</iq>", "<iq type='result' id='b' " OURS "/>", DIALECT_LOGGED_IN | DIALECT_BOUND,
	    "<iq type='result' id='b'/>", NULL, false },
	{ "<iq type='set' id='b'>" BIND "</iq>", "<iq type='error' id='b' " FROM_HOST "/>", DIALECT_DELIVERED,
	    "<iq type='error' id='b'/>", NULL, false },
	{ "<iq type='set' id='b'>" BIND "</iq>", "<iq type='result' id='c' " FROM_HOST "/>", DIALECT_DELIVERED,
	    "<iq type='result' id='c'/>", NULL, true },
	{ "<iq type='set' id='b'>" BIND "</iq>", "<iq type='set' id='b' " FROM_HOST "/>", DIALECT_DELIVERED,
	    "<iq type='set' id='b'/>", NULL, true },
	{ "<iq type='set' id='b'>" QUERY("auth", "") "</iq>", "<iq type='error' id='b' " FROM_HOST "><error code='401'/></iq>",
	    DIALECT_REFUSED, "<iq type='error' id='b'><error code='401'/></iq>", "not-authorized", false },
	{ "<iq type='set' id='b'>" QUERY("auth", "") "</iq>", "<iq type='result' id='b' " OURS "/>",
	    DIALECT_LOGGED_IN | DIALECT_BOUND, "<iq type='result' id='b'/>", NULL, false },
	{ "<iq type='set' id='b'>" QUERY("register", "") "</iq>", "<iq type='error' id='b' " FROM_HOST "/>", DIALECT_DELIVERED,
	    "<iq type='error' id='b'/>", NULL, false },
};

START_TEST(packet_before_login)
{
	struct talk talk;

	open_stream(&talk);
	ck_assert_int_eq(element(&talk, answers[_i].asks), 0);
	ck_assert_int_eq(packet(&talk, answers[_i].text), 0);
	ck_assert_uint_eq(talk.answer.effects, answers[_i].effects);
	assert_down(&talk, answers[_i].down);
	ck_assert_pstr_eq(talk.answer.failure, answers[_i].failure);
	ck_assert_int_eq(talk.client.waits, answers[_i].waits);
	ck_assert_pstr_eq(talk.client.address, (answers[_i].effects & DIALECT_LOGGED_IN) != 0 ? ADDRESS : NULL);
	end(&talk);
}
END_TEST

/* Behind <success/> a header comes first, from both. */
START_TEST(begun_anew)
{
	struct talk talk;

	open_stream(&talk);
	ck_assert_int_eq(packet(&talk, "<success" SASL " " FROM_HOST "/>"), 0);
	ck_assert_int_eq(packet(&talk, THEIR_OPEN), 0);
	ck_assert_uint_eq(talk.answer.effects, DIALECT_UNREADABLE);
	ck_assert_int_eq(packet(&talk, "<message " FROM_HOST "/>"), 0);
	ck_assert_uint_eq(talk.answer.effects, DIALECT_UNREADABLE);
	ck_assert_int_eq(header(&talk, NULL), 0);
	ck_assert_int_eq(packet(&talk, THEIR_OPEN), 0);
	ck_assert_uint_eq(talk.answer.effects, DIALECT_HEADER);
	end(&talk);
}
END_TEST

START_TEST(address_is_bounded)
{
	char text[4200];
	struct talk talk;

	open_stream(&talk);
	snprintf(text, sizeof text, "<iq type='result' sto='id1@som' sfrom='a@b/%0*d'/>", DIALECT_ADDRESS_MAX - 3, 0);
	ck_assert_int_eq(packet(&talk, text), -EMSGSIZE);
	end(&talk);
}
END_TEST

/* ---- in session ---- */

START_TEST(in_session)
{
	struct dialect_client client = { .address = strdup(ADDRESS) };
	struct buffer up = { 0 }, down = { 0 };
	static const char sends[] = "<message sto='x' to='b@c'><error code='510'/></message>";
	static const char gets[] = "<message from='b@c' sto='id1@som' sfrom='a@foo.com'><body/></message>";
	static const char offers[] = "<stream:features sto='id1@som' sfrom='foo.com'><x xmlns='y'/></stream:features>";

	ck_assert_int_eq(call_element(&dialect_xmpp, &client, &context, sends, strlen(sends), 8, &up, &down), CALL_SENT);
	assert_text(&up, "<message" UP_SESSION " to='b@c'><error/></message>");
	ck_assert_int_eq(call_packet(&dialect_xmpp, &client, &context, gets, strlen(gets), &down), CALL_DELIVERED);
	assert_text(&down, "<message from='b@c'><body/></message>");
	/* Behind the <success/> of SASL 2 that has bound it (XEP-0386). */
	ck_assert_int_eq(call_packet(&dialect_xmpp, &client, &context, offers, strlen(offers), &down), CALL_DELIVERED);
	assert_text(&down, "<stream:features><x xmlns='y'/></stream:features>");
	ck_assert_int_eq(call_packet(&dialect_xmpp, &client, &context, THEIR_OPEN, strlen(THEIR_OPEN), &down),
	    CALL_UNREADABLE);
	assert_text(&down, "");
	dialect_client_deinit(&client);
}
END_TEST

/* ---- without memory ---- */

static int
whole_login(struct talk *talk)
{
	int result = header(talk, NULL);

	if (result == 0)
		result = packet(talk, THEIR_OPEN);
	if (result == 0)
		result = element(talk, before[0].text);
	if (result == 0)
		result = element(talk, before[1].text);
	if (result == 0)
		result = packet(talk, "<success" SASL " " FROM_HOST "/>");
	if (result == 0)
		result = header(talk, NULL);
	if (result == 0)
		result = packet(talk, THEIR_OPEN);
	if (result == 0)
		result = packet(talk, "<stream:features " FROM_HOST "><a xmlns='b'/></stream:features>");
	if (result == 0)
		result = element(talk, "<iq type='set'>" QUERY("auth", "<username>b</username>") "</iq>");
	if (result == 0)
		result = element(talk, "<iq type='set' id='b'>" BIND "</iq>");
	if (result == 0)
		result = packet(talk, "<iq type='result' id='b' " OURS "/>");
	return result;
}

/* Each call says so; none logs anybody in for whom there is no memory. (Whose login it is, is only for the log.) */
START_TEST(no_memory)
{
	for (unsigned nth = 0; ; nth++) {
		struct talk talk = { .client.host = strdup("foo.com") };
		bool more = starve_begin(nth);
		int result = whole_login(&talk);

		starve_end();
		ck_assert(result == 0 || (result == -ENOMEM && !starve_missed()));
		ck_assert((talk.client.address != NULL) == (result == 0) || talk.down.failed);
		end(&talk);
		if (!more)
			break;
	}
}
END_TEST

START_TEST(no_memory_for_the_end)
{
	for (unsigned nth = 0; starve_begin(nth); nth++) {
		struct talk talk = { 0 };
		int result = packet(&talk, ends[2].text);

		starve_end();
		ck_assert(result == (starve_missed() ? 0 : -ENOMEM));
		end(&talk);
	}
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("xmpp");
	TCase *tests = tcase_create("xmpp");

	tcase_add_loop_test(tests, link_read, 0, COUNT(packets));
	tcase_add_loop_test(tests, link_read_cut, 0, COUNT(packets));
	tcase_add_test(tests, link_header_and_end);
	tcase_add_test(tests, link_bounce);
	tcase_add_loop_test(tests, link_verify, 0, COUNT(sent));
	tcase_add_test(tests, headers);
	tcase_add_test(tests, their_header);
	tcase_add_loop_test(tests, before_their_header, 0, COUNT(too_early));
	tcase_add_loop_test(tests, the_end, 0, COUNT(ends));
	tcase_add_loop_test(tests, the_end_of_a_session, 0, COUNT(ends));
	tcase_add_loop_test(tests, element_before_login, 0, COUNT(before));
	tcase_add_loop_test(tests, element_cut, 0, COUNT(before));
	tcase_add_test(tests, no_stream);
	tcase_add_test(tests, user_of_a_response);
	tcase_add_test(tests, registrations);
	tcase_add_loop_test(tests, packet_before_login, 0, COUNT(answers));
	tcase_add_test(tests, begun_anew);
	tcase_add_test(tests, address_is_bounded);
	tcase_add_test(tests, in_session);
	tcase_add_test(tests, no_memory);
	tcase_add_test(tests, no_memory_for_the_end);
	suite_add_tcase(suite, tests);
	return tap_run(suite);
}
