/*
 * The route dialect: what its link half reads, believes and sends back; and its worker half without memory. Whole conversations
 * are in test_route_recordings.c and tests/system/test_route.py.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dialect/dialect.h"
#include "dialect/notice.h"
#include "dialect/route_memo.h"
#include "tests/dialect/starve.h"
#include "tests/dialect/tap.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define ADDRESS "a@foo.com/5a"
#define TO "to='id1@som' from='" ADDRESS "'"

static void
assert_range(struct range range, const char *expected)
{
	if (expected == NULL)
		ck_assert_ptr_null(range.at);
	else
		ck_assert_msg(range_equals(range, expected), "'%.*s' is not '%s'", (int)range.length, range.at, expected);
}

/* ---- link half ---- */

static const struct {
	const char *text;
	enum packet_kind kind;
	const char *id, *address;
	bool expendable, disconnect;
} packets[] = {
	{ "<route " TO "><message/></route>", PACKET_DATA, "id1", ADDRESS, false, false },
	{ "<route " TO "/>", PACKET_DATA, "id1", ADDRESS, true, false },
	{ "<route to='id1@som'><message/></route>", PACKET_DATA, "id1", NULL, false, false },
	{ "<route to='id1@som/r' from='" ADDRESS "'><message/></route>", PACKET_DATA, "id1@som/r", ADDRESS, false, false },
	{ "<route to='som' from='" ADDRESS "'><message/></route>", PACKET_DATA, "som", ADDRESS, false, false },
	{ "<route from='" ADDRESS "'><message/></route>", PACKET_LOST, NULL, ADDRESS, false, false },
	{ "<route to='@' from='" ADDRESS "'/>", PACKET_LOST, NULL, ADDRESS, false, false },
	{ "<route type='auth' " TO "><iq type='result'/></route>", PACKET_LOGIN, "id1", ADDRESS, true, false },
	{ "<route type='auth' " TO "><iq type='error'/></route>", PACKET_DATA, "id1", ADDRESS, true, false },
	{ "<route type='auth' to='id1@som' from='a@foo.com'><iq type='result'/></route>", PACKET_DATA, "id1", "a@foo.com", true,
	    false },
	{ "<route type='auth' " TO "><iq type='result'/><iq type='result'/></route>", PACKET_DATA, "id1", ADDRESS, true, false },
	{ "<route type='session' " TO "/>", PACKET_SESSION, "id1", ADDRESS, false, false },
	{ "<route type='session' " TO "><iq type='result'/></route>", PACKET_SESSION, "id1", ADDRESS, false, false },
	{ "<route type='session' to='id1@som' from='a@foo.com'/>", PACKET_DATA, "id1", "a@foo.com", false, false },
	{ "<route type='session' to='id1@som' from='a@foo.com/'/>", PACKET_DATA, "id1", "a@foo.com/", false, false },
	{ "<route type='session' to='id1@som'/>", PACKET_DATA, "id1", NULL, false, false },
	{ "<route type='error' " TO "/>", PACKET_DISCONNECT, "id1", ADDRESS, true, true },
	{ "<route type='error' error='Disconnected' " TO "/>", PACKET_DISCONNECT, "id1", ADDRESS, true, true },
	{ "<route type='error' error='Invalid Session' " TO "><message/></route>", PACKET_DISCONNECT, "id1", ADDRESS, false, true },
	{ "<route type='error' error=\"delivery to 'x': Internal Timeout\" " TO "><iq/></route>", PACKET_DATA, "id1", ADDRESS, false,
	    true },
	/* Not well-formed: it neither gives an address nor ends anything. */
	{ "<route type='session' " TO "><x></y></route>", PACKET_DATA, "id1", ADDRESS, false, false },
	{ "<route type='error' " TO ">\xff</route>", PACKET_DATA, "id1", ADDRESS, false, true },
	/* Not of a route. */
	{ "<message " TO "/>", PACKET_DATA, "id1@som", ADDRESS, false, false },
	{ "<iq type='get' to='som' from='x@y'/>", PACKET_DATA, "som", "x@y", false, false },
	{ "<iq type='result' to='som' from='x@y'/>", PACKET_DATA, "som", "x@y", true, true },
	{ "<presence " TO "/>", PACKET_DATA, "id1@som", ADDRESS, true, false },
	{ "not an element", PACKET_LOST, NULL, NULL, false, false },
};

START_TEST(link_read)
{
	struct packet packet;

	dialect_route.link_read(&packet, packets[_i].text, strlen(packets[_i].text));
	ck_assert_int_eq(packet.kind, packets[_i].kind);
	assert_range(packet.id, packets[_i].id);
	assert_range(packet.address, packets[_i].address);
	ck_assert_int_eq(packet.expendable, packets[_i].expendable);
	ck_assert_int_eq(packet.disconnect, packets[_i].disconnect);
	ck_assert_int_eq(packet.asked, packet.kind == PACKET_SESSION);
}
END_TEST

static const struct {
	const char *packet, *bounced;
} bounces[] = {
	{ "<route to='i@s' from='a@b/c'><message type='chat'>x</message></route>",
	    "<route type='error' to='a@b/c' from='i@s'><message type='chat'>x</message></route>" },
	{ "<route error='y' type='session' to='i@s' from=\"a@b/c'\"/>", "<route type='error' to=\"a@b/c'\" from='i@s'/>" },
	/* To jabberd it would mean all sessions of a. */
	{ "<route to='i@s' from='a@b'><message/></route>", "" },
	{ "<route to='i@s' from='a@b/'><message/></route>", "" },
	{ "<route to='i@s'><message/></route>", "" },
	{ "<route type='error' to='i@s' from='a@b/c'><message/></route>", "" },
	{ "<route to='i@s' from='a@b/c'><message></route>", "" },
	{ "<message id='1' to='i@s' from='a@b'/>", "<message to='a@b' from='i@s' type='error' id='1'>"
	    "<error code='503' type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>" },
};

START_TEST(link_bounce)
{
	struct buffer out = { 0 };

	dialect_route.link_bounce(&out, bounces[_i].packet, strlen(bounces[_i].packet));
	buffer_append(&out, "", 1);
	ck_assert_str_eq((char *)buffer_bytes(&out), bounces[_i].bounced);
	buffer_deinit(&out);
}
END_TEST

#define AUTH(type) "<iq type='" type "'><query xmlns='jabber:iq:auth'/></iq>"
#define UP(attributes, child) "<route " attributes " from='id1@som'>" child "</route>"
#define NOTICE(jid) "<message to='w@foo.com' from='id1@som'><update xmlns='http://amessage.info/protocol/connectionstate'><jid>" \
	jid "</jid><login/><ip>::1</ip></update></message>"

static const struct {
	bool session;
	const char *text;
	enum dialect_verdict verdict;
	const char *to;
} verdicts[] = {
	{ false, UP("type='auth' to='foo.com'", "<iq type='get'><query xmlns='jabber:iq:register'/></iq>"), VERDICT_PACKET, NULL },
	{ false, UP("type='auth' to='a@foo.com'", AUTH("get")), VERDICT_PACKET, NULL },
	{ false, UP("type='auth' to='a@foo.com/r'", AUTH("set")), VERDICT_PACKET, NULL },
	{ false, UP("type='session' to='a@foo.com/r'", ""), VERDICT_STARTS, "a@foo.com" },
	{ false, UP("type='session' to='a@foo.com/r'", "<iq type='result'/>"), VERDICT_STARTS, "a@foo.com" },
	{ true, UP("type='session' to='a@foo.com/r'", ""), VERDICT_STARTS, "a@foo.com" },
	{ true, UP("to='" ADDRESS "'", "<message><x/></message>"), VERDICT_PACKET, NULL },
	{ true, NOTICE("a@foo.com/r"), VERDICT_NOTICE, "w@foo.com" },
	/* Its answer would look like that of a login. */
	{ false, UP("type='auth' to='a@foo.com/r'", AUTH("get")), VERDICT_FORGED, NULL },
	{ false, UP("type='auth' to='a@foo.com'", AUTH("set")), VERDICT_FORGED, NULL },
	{ false, UP("type='auth' to='a@foo.com/r'", "<iq type='set'><query xmlns='jabber:iq:register'/></iq>"), VERDICT_FORGED, NULL },
	{ false, UP("type='auth' to='foo.com'", "<presence/>"), VERDICT_FORGED, NULL },
	{ true, UP("type='auth' to='a@foo.com'", AUTH("get")), VERDICT_FORGED, NULL },
	{ false, UP("to='a@foo.com/r'", "<message/>"), VERDICT_FORGED, NULL },
	{ false, UP("type='session' to='a@foo.com'", ""), VERDICT_FORGED, NULL },
	{ false, NOTICE("a@foo.com/r"), VERDICT_FORGED, NULL },
	{ true, NOTICE("b@foo.com/r"), VERDICT_FORGED, NULL },
	/* It would end sessions. */
	{ true, UP("type='error' to='" ADDRESS "'", ""), VERDICT_FORGED, NULL },
	{ true, UP("type='error' to='a@foo.com'", ""), VERDICT_FORGED, NULL },
	{ true, UP("to='b@foo.com/5a'", "<message/>"), VERDICT_FORGED, NULL },
	{ true, UP("to='" ADDRESS "'", ""), VERDICT_FORGED, NULL },
	{ true, UP("to='" ADDRESS "'", "<message/><message/>"), VERDICT_FORGED, NULL },
	{ true, UP("to='" ADDRESS "'", "text<message/>"), VERDICT_FORGED, NULL },
	{ true, UP("to='" ADDRESS "' x='1'", "<message/>"), VERDICT_FORGED, NULL },
	{ true, UP("to='" ADDRESS "' error='x'", "<message/>"), VERDICT_FORGED, NULL },
	{ true, UP("to='" ADDRESS "'", "<route/>"), VERDICT_FORGED, NULL },
	{ true, UP("to='" ADDRESS "'", "<message xmlns='x'/>"), VERDICT_FORGED, NULL },
	{ true, UP("to='" ADDRESS "'", "<message xmlns:sc='http://jabberd.jabberstudio.org/ns/session/1.0' sc:sm='1'/>"),
	    VERDICT_FORGED, NULL },
	{ true, UP("to='" ADDRESS "'", "<message></x>"), VERDICT_FORGED, NULL },
	{ true, "<route to='" ADDRESS "' from='id2@som'><message/></route>", VERDICT_FORGED, NULL },
	{ true, "<route to='" ADDRESS "' from='id1@som/r'><message/></route>", VERDICT_FORGED, NULL },
	{ true, "<route to='" ADDRESS "'><message/></route>", VERDICT_FORGED, NULL },
	{ true, "<rabbit to='" ADDRESS "' from='id1@som'><message/></rabbit>", VERDICT_FORGED, NULL },
	{ true, "<message to='b@foo.com' from='id1@som'/>", VERDICT_FORGED, NULL },
	{ true, "", VERDICT_FORGED, NULL },
};

START_TEST(link_verify)
{
	const char *text = verdicts[_i].text;
	struct range to = { 0 };

	ck_assert_int_eq(dialect_route.link_verify(text, strlen(text), "id1", "som", verdicts[_i].session ? ADDRESS : NULL, &to),
	    verdicts[_i].verdict);
	if (verdicts[_i].to != NULL)
		assert_range(to, verdicts[_i].to);
}
END_TEST

/* ---- memo ---- */

START_TEST(memo_text)
{
	static const char presence[] = "<presence><show>away</show></presence>", gone[] = "<presence type='unavailable'/>";
	struct route_memo memo = { .jid = { ADDRESS, strlen(ADDRESS) }, .roster = true, .starts = 2 }, again;
	struct element element;
	char *text;

	ck_assert(element_read_complete(&element, presence, strlen(presence)));
	ck_assert(route_memo_note(&memo, &element));
	ck_assert(!route_memo_note(&memo, &element));
	text = route_memo_write(&memo);
	ck_assert(route_memo_read(&again, text));
	assert_range(again.jid, ADDRESS);
	assert_range(again.presence, presence);
	ck_assert(again.roster && !again.swallow && !again.too_long);
	ck_assert_uint_eq(again.starts, 2);
	ck_assert(element_read_complete(&element, gone, strlen(gone)));
	ck_assert(route_memo_note(&again, &element));
	ck_assert_uint_eq(again.presence.length, 0);
	free(text);
	ck_assert(!route_memo_read(&again, NULL) && !route_memo_read(&again, "----x"));
	memo.jid = (struct range){ "a@b/\n", 5 };
	ck_assert_ptr_null(route_memo_write(&memo));
}
END_TEST

/* ---- worker half ---- */

static const struct dialect_context context = {
	.id = "id1", .name = "som", .stream_id = "S1", .digest = true, .registration = true, .plain = true,
	.modern = true,
};

#define SASL "urn:ietf:params:xml:ns:xmpp-sasl"

/* What is said by the client (an element), and by the session manager (a route), with the effects that it must have. */
struct step {
	const char *text;
	unsigned effects;
	const char *up, *down;		/* what is in them; NULL: nothing at all */
};

static const struct step legacy[] = {
	{ "<iq type='get' id='g'><query xmlns='jabber:iq:auth'><username>A</username></query></iq>", 0, "to='a@foo.com'", NULL },
	{ "<route type='auth' to='id1@som' from='a@foo.com'><iq type='result' id='g'/></route>", DIALECT_DELIVERED, NULL, "id='g'" },
	{ "<iq type='set' id='l'><query xmlns='jabber:iq:auth'><username>A</username><digest>1</digest><resource>r</resource>"
	    "</query></iq>", 0, "sid='S1'", NULL },
	{ "<route type='auth' to='id1@som' from='a@foo.com/r'><iq type='result' id='l'/></route>", 0,
	    "<route type='session' to='a@foo.com/r' from='id1@som'><iq type='result' id='l'/></route>", NULL },
	{ "<route to='id1@som' from='" ADDRESS "'><message/></route>", DIALECT_HELD, NULL, NULL },
	{ "<route type='session' to='id1@som' from='" ADDRESS "'/>", DIALECT_LOGGED_IN | DIALECT_BOUND | DIALECT_MEMO, NULL,
	    "<iq type='result' id='l'/>" },
	{ "<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>", DIALECT_MEMO, "to='" ADDRESS "'", NULL },
	{ "<presence/>", DIALECT_MEMO, "<presence/>", NULL },
	{ "<presence/>", 0, "<presence/>", NULL },
	{ "<route type='error' error='Invalid Session' " TO "><presence/></route>", DIALECT_MEMO | DIALECT_KEEP,
	    "<route type='session' to='a@foo.com/r' from='id1@som'/>", NULL },
	{ "<route type='error' error='Invalid Session' " TO "><message id='2'/></route>", 0, NULL, NULL },
	{ "<route type='session' to='id1@som' from='a@foo.com/6b'/>",
	    DIALECT_LOGGED_IN | DIALECT_BOUND | DIALECT_MEMO | DIALECT_SEVERAL,
	    "<presence/></route><route to='a@foo.com/6b' from='id1@som'><presence/></route>"
	    "<route to='a@foo.com/6b' from='id1@som'><message id='2'/></route>", NULL },
	{ "<route to='id1@som' from='a@foo.com/6b'><iq type='result' id='c2sd-roster'/></route>", DIALECT_MEMO, NULL, NULL },
	{ "<route to='id1@som' from='a@foo.com/6b'><message/></route>", DIALECT_DELIVERED, NULL, "<message/>" },
	{ "<route to='id1@som' from='b@foo.com/6b'><message/></route>", DIALECT_UNREADABLE, NULL, NULL },
	/* What comes back late from the session before goes to the one that there is. */
	{ "<route type='error' error='Invalid Session' " TO "><message/></route>", 0, "to='a@foo.com/6b'", NULL },
	{ "<route type='error' error='Disconnected' " TO "/>", 0, NULL, NULL },
	{ "<foo/>", DIALECT_END, NULL, NULL },
	{ "<route type='error' error='Internal Timeout' to='id1@som' from='a@foo.com/6b'/>", DIALECT_END, NULL, NULL },
};

static const struct step sasl[] = {
	{ "<auth xmlns='" SASL "' mechanism='PLAIN'>AGEAcHc=</auth>", 0, "to='a@foo.com'", NULL },
	{ "<route type='auth' to='id1@som' from='a@foo.com'><iq type='result' id='c2sd-fields'><query xmlns='jabber:iq:auth'><digest/>"
	    "</query></iq></route>", 0, "<digest", NULL },
	{ "<route type='auth' to='id1@som' from='a@foo.com/x'><iq type='result' id='c2sd-login'/></route>", DIALECT_RESTART, NULL,
	    "<success" },
	{ "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>r</resource></bind></iq>", 0,
	    "to='a@foo.com/r'", NULL },
	{ "<route type='error' error='Session Failed' to='id1@som' from='a@foo.com/r'/>", 0, NULL, "service-unavailable" },
	{ "<iq type='set' id='&lt;'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>r</resource></bind></iq>", 0,
	    "to='a@foo.com/r'", NULL },
	{ "<route type='session' " TO "/>", DIALECT_LOGGED_IN | DIALECT_BOUND | DIALECT_MEMO, NULL,
	    "id='&lt;'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>a@foo.com/r</jid>" },
	{ "<iq type='set' id='s'><session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>", 0, NULL, "result" },
	{ "<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>", DIALECT_MEMO, "to='" ADDRESS "'", NULL },
	/* jabberd signs it with the address of who has asked. */
	{ "<route to='id1@som' from='" ADDRESS "'><iq type='result' id='r' from='a@foo.com/r'><query/></iq></route>",
	    DIALECT_DELIVERED, NULL, "<iq type='result' id='r'><query/></iq>" },
	{ "<route to='id1@som' from='" ADDRESS "'><message from='a@foo.com/r'/></route>", DIALECT_DELIVERED, NULL,
	    "<message from='a@foo.com/r'/>" },
};

/* One step of a conversation; what the worker would do with it. */
static int
take_step(struct dialect_client *client, const struct step *step, struct dialect_answer *answer)
{
	size_t length = strlen(step->text);
	char *memo = client->memo;
	int result = strncmp(step->text, "<route", 6) == 0 ?
	    dialect_route.client_packet(client, &context, step->text, length, answer) :
	    dialect_route.client_element(client, &context, step->text, length, 1 + strcspn(step->text + 1, " />"), answer);

	if (client->memo != memo)
		free(memo);
	return result;
}

static bool
is_said(struct buffer *buffer, const char *text)
{
	buffer_append(buffer, "", 1);
	return text == NULL ? buffer_length(buffer) == 1 : strstr((char *)buffer_bytes(buffer), text) != NULL;
}

static const struct {
	const struct step *steps;
	size_t count;
} conversations[] = { { legacy, COUNT(legacy) }, { sasl, COUNT(sasl) } };

START_TEST(conversation)
{
	struct dialect_client client = { .host = strdup("foo.com") };

	for (size_t i = 0; i < conversations[_i].count; i++) {
		const struct step *step = &conversations[_i].steps[i];
		struct buffer up = { 0 }, down = { 0 }, features = { 0 };
		struct dialect_answer answer = { .up = &up, .down = &down, .features = &features };

		ck_assert_int_eq(take_step(&client, step, &answer), 0);
		ck_assert_msg(answer.effects == step->effects, "%s: %x, not %x", step->text, answer.effects, step->effects);
		ck_assert_msg(is_said(&up, step->up), "%s: up '%s'", step->text, (char *)buffer_bytes(&up));
		ck_assert_msg(is_said(&down, step->down), "%s: down '%s'", step->text, (char *)buffer_bytes(&down));
		buffer_deinit(&up);
		buffer_deinit(&down);
		buffer_deinit(&features);
	}
	dialect_client_deinit(&client);
}
END_TEST

/* The whole conversation, until the allocation fails. 0, or what the failed step said. */
static int
converse(const struct step *steps, size_t count)
{
	struct dialect_client client = { 0 };
	int result = 0;

	client.host = strdup("foo.com");
	if (client.host == NULL)
		return -ENOMEM;
	for (size_t i = 0; result == 0 && i < count; i++) {
		struct buffer up = { 0 }, down = { 0 }, features = { 0 };
		struct dialect_answer answer = { .up = &up, .down = &down, .features = &features };

		result = take_step(&client, &steps[i], &answer);
		buffer_deinit(&up);
		buffer_deinit(&down);
		buffer_deinit(&features);
	}
	dialect_client_deinit(&client);
	return result;
}

START_TEST(any_allocation_may_fail)
{
	for (unsigned nth = 0; starve_begin(nth); nth++) {
		int result = converse(conversations[_i].steps, conversations[_i].count);

		starve_end();
		ck_assert_msg(result == (starve_missed() ? 0 : -ENOMEM), "%u: %d", nth, result);
	}
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("route");
	TCase *tests = tcase_create("route");

	tcase_add_loop_test(tests, link_read, 0, COUNT(packets));
	tcase_add_loop_test(tests, link_bounce, 0, COUNT(bounces));
	tcase_add_loop_test(tests, link_verify, 0, COUNT(verdicts));
	tcase_add_test(tests, memo_text);
	tcase_add_loop_test(tests, conversation, 0, COUNT(conversations));
	tcase_add_loop_test(tests, any_allocation_may_fail, 0, COUNT(conversations));
	suite_add_tcase(suite, tests);
	return tap_run(suite);
}
