/*
 * sasl and binding, element by element; and what the dialect sfrom makes of them: a login from the features to the session, with
 * whatever may come in between, and with each allocation failing.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base64.h"
#include "dialect/binding.h"
#include "dialect/dialect.h"
#include "dialect/sasl.h"
#include "tests/dialect/call.h"
#include "tests/dialect/starve.h"
#include "tests/dialect/tap.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define SASL "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'"
#define STANZAS "xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"

static void
assert_text(struct buffer *buffer, const char *expected)
{
	buffer_append(buffer, "", 1);
	ck_assert_str_eq((char *)buffer_bytes(buffer), expected);
	buffer_deinit(buffer);
}

static struct element
element_of(const char *text)
{
	struct element element;

	ck_assert_msg(element_read_complete(&element, text, strlen(text)), "%s", text);
	return element;
}

/* ---- what a client may say ---- */

#define LONG64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define LONG1023 LONG64 LONG64 LONG64 LONG64 LONG64 LONG64 LONG64 LONG64 LONG64 LONG64 LONG64 LONG64 LONG64 LONG64 LONG64 \
	"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde"

/* Messages, with | for a zero. */
static const struct {
	const char *message;
	enum sasl_condition condition;
	const char *user, *password;
} messages[] = {
	{ "|juliet|r0m30myr0m30", SASL_FINE, "juliet", "r0m30myr0m30" },
	/* RFC 4616 4 */
	{ "|tim|tanstaaftanstaaf", SASL_FINE, "tim", "tanstaaftanstaaf" },
	{ "Ursel|Kurt|xipj3plmq", SASL_INVALID_AUTHZID, "kurt", NULL },
	{ "tim|tim|x", SASL_FINE, "tim", "x" },
	{ "TIM@foo.com|tim|x", SASL_FINE, "tim", "x" },
	{ "tim@FOO.com|Tim|x", SASL_FINE, "tim", "x" },
	{ "tim@bar.com|tim|x", SASL_INVALID_AUTHZID, "tim", NULL },
	{ "tim@|tim|x", SASL_INVALID_AUTHZID, "tim", NULL },
	{ "@foo.com|tim|x", SASL_INVALID_AUTHZID, "tim", NULL },
	{ "foo.com|tim|x", SASL_INVALID_AUTHZID, "tim", NULL },
	{ "tim@foo.com/r|tim|x", SASL_INVALID_AUTHZID, "tim", NULL },
	{ "tim@foo.com@foo.com|tim|x", SASL_INVALID_AUTHZID, "tim", NULL },
	{ "t im|tim|x", SASL_INVALID_AUTHZID, "tim", NULL },
	{ "|T\xc3\x84st|x", SASL_FINE, "t\xc3\xa4st", "x" },
	{ "|tim|\xf0\x9f\x92\xa9 <&'\">\t\n ", SASL_FINE, "tim", "\xf0\x9f\x92\xa9 <&'\">\t\n " },
	{ "|tim@foo.com|x", SASL_NOT_AUTHORIZED, "tim@foo.com", NULL },
	{ "|t im|x", SASL_NOT_AUTHORIZED, "t im", NULL },
	{ "|\xc2\xad|x", SASL_NOT_AUTHORIZED, "\xc2\xad", NULL },
	{ "||x", SASL_NOT_AUTHORIZED, "", NULL },
	{ "|tim|", SASL_NOT_AUTHORIZED, "tim", NULL },
	{ "||", SASL_NOT_AUTHORIZED, "", NULL },
	{ "|" LONG1023 "|x", SASL_FINE, LONG1023, "x" },
	{ "|x" LONG1023 "|x", SASL_NOT_AUTHORIZED, "x" LONG1023, NULL },
	/* 4096 bytes, and one more. */
	{ LONG1023 "|a|" LONG1023 LONG1023 LONG1023 "|", SASL_MALFORMED_REQUEST, NULL, NULL },
	{ "|a|" LONG1023 LONG1023 LONG1023 LONG1023 "x", SASL_FINE, "a", LONG1023 LONG1023 LONG1023 LONG1023 "x" },
	{ "|a|" LONG1023 LONG1023 LONG1023 LONG1023 "xy", SASL_MALFORMED_REQUEST, NULL, NULL },
	{ "", SASL_MALFORMED_REQUEST, NULL, NULL },
	{ "tim", SASL_MALFORMED_REQUEST, NULL, NULL },
	{ "|tim", SASL_MALFORMED_REQUEST, NULL, NULL },
	{ "tim|x", SASL_MALFORMED_REQUEST, NULL, NULL },
	{ "|", SASL_MALFORMED_REQUEST, NULL, NULL },
	{ "|tim|x|", SASL_MALFORMED_REQUEST, NULL, NULL },
	{ "|tim|x|y", SASL_MALFORMED_REQUEST, NULL, NULL },
	{ "|||", SASL_MALFORMED_REQUEST, NULL, NULL },
	/* What XML cannot hold, or changes; what is no UTF-8, also in two halves. */
	{ "|tim|\x01", SASL_MALFORMED_REQUEST, NULL, NULL },
	{ "|tim|a\rb", SASL_MALFORMED_REQUEST, NULL, NULL },
	{ "|tim|\xef\xbf\xbe", SASL_MALFORMED_REQUEST, NULL, NULL },
	{ "|tim|\xff", SASL_MALFORMED_REQUEST, NULL, NULL },
	{ "|tim|\xc0\x80", SASL_MALFORMED_REQUEST, NULL, NULL },
	{ "|tim|\xed\xa0\x80", SASL_MALFORMED_REQUEST, NULL, NULL },
	{ "|tim\xc3|\xa4", SASL_MALFORMED_REQUEST, NULL, NULL },
	{ "\xff|tim|x", SASL_MALFORMED_REQUEST, NULL, NULL },
};

static void
append_message(struct buffer *text, const char *message, size_t length)
{
	struct buffer bytes = { 0 };

	buffer_append(&bytes, message, length);
	for (size_t i = 0; i < length; i++)
		if (buffer_bytes(&bytes)[i] == '|')
			buffer_bytes(&bytes)[i] = '\0';
	if (length == 0)
		buffer_append_string(text, "=");
	else
		base64_encode(text, buffer_bytes(&bytes), length);
	buffer_deinit(&bytes);
}

static char *
auth_of(const char *message, size_t length)
{
	struct buffer text = { 0 };
	char *string;

	buffer_append_string(&text, "<auth " SASL " mechanism='PLAIN'>");
	append_message(&text, message, length);
	buffer_append_string(&text, "</auth>");
	string = strndup((char *)buffer_bytes(&text), buffer_length(&text));
	buffer_deinit(&text);
	return string;
}

static char *
failure_of(enum sasl_condition condition)
{
	struct buffer text = { 0 };
	char *string;

	sasl_put_failure(&text, condition);
	string = strndup((char *)buffer_bytes(&text), buffer_length(&text));
	buffer_deinit(&text);
	return string;
}

START_TEST(message_is_read)
{
	char *auth = auth_of(messages[_i].message, strlen(messages[_i].message));
	char *failure = failure_of(messages[_i].condition);
	const struct element element = element_of(auth);
	enum sasl_condition condition;
	struct buffer down = { 0 };
	struct sasl_login login;
	bool fine = messages[_i].condition == SASL_FINE;

	ck_assert_int_eq(sasl_take(&element, "foo.com", true, false, &login, &condition, &down),
	    fine ? SASL_LOGIN : SASL_FAILED);
	ck_assert_str_eq(sasl_condition_name(condition), sasl_condition_name(messages[_i].condition));
	ck_assert_pstr_eq(login.user, messages[_i].user);
	ck_assert_pstr_eq(login.password, messages[_i].password);
	assert_text(&down, fine ? "" : failure);
	sasl_login_deinit(&login);
	sasl_login_deinit(&login);
	free(failure);
	free(auth);
}
END_TEST

/* However much of it has come: it is whole only when nothing is missing but bytes of the password. */
START_TEST(message_is_cut)
{
	const char *message = messages[_i].message;
	size_t length = strlen(message);
	const char *first = strchr(message, '|'), *second = first == NULL ? NULL : strchr(first + 1, '|');

	for (size_t cut = 0; cut < length; cut++) {
		char *auth = auth_of(message, cut);
		const struct element element = element_of(auth);
		enum sasl_condition condition;
		struct buffer down = { 0 };
		struct sasl_login login;
		int step = sasl_take(&element, "foo.com", true, false, &login, &condition, &down);

		ck_assert(step == SASL_FAILED || (step == SASL_LOGIN && second != NULL && message + cut > second));
		ck_assert((step == SASL_FAILED) == (condition != SASL_FINE));
		ck_assert((step == SASL_FAILED) == (buffer_length(&down) > 0));
		sasl_login_deinit(&login);
		buffer_deinit(&down);
		free(auth);
	}
}
END_TEST

#define TIM "AHRpbQB4"	/* |tim|x */

static const struct {
	const char *text;
	bool plain, challenged;
	enum sasl_step step;
	enum sasl_condition condition;
} elements[] = {
	{ "<auth " SASL " mechanism='PLAIN'>" TIM "</auth>", true, false, SASL_LOGIN, SASL_FINE },
	{ "<auth mechanism=\"&#80;LAIN\" xml:lang='de' " SASL ">&#65;HRpbQB4</auth>", true, false, SASL_LOGIN, SASL_FINE },
	{ "<auth " SASL " mechanism='PLAIN'>" TIM "</auth>", true, true, SASL_LOGIN, SASL_FINE },
	{ "<auth " SASL " mechanism='PLAIN'/>", true, false, SASL_CHALLENGED, SASL_FINE },
	{ "<auth " SASL " mechanism='PLAIN'></auth>", true, true, SASL_CHALLENGED, SASL_FINE },
	{ "<response " SASL ">" TIM "</response>", true, true, SASL_LOGIN, SASL_FINE },
	/* @xmpp/client says it twice. */
	{ "<response " SASL " mechanism='PLAIN'>" TIM "</response>", true, true, SASL_LOGIN, SASL_FINE },
	{ "<response " SASL ">" TIM "</response>", true, false, SASL_FAILED, SASL_MALFORMED_REQUEST },
	{ "<response " SASL "/>", true, true, SASL_FAILED, SASL_MALFORMED_REQUEST },
	{ "<response " SASL ">=</response>", true, true, SASL_FAILED, SASL_MALFORMED_REQUEST },
	{ "<abort " SASL "/>", true, true, SASL_FAILED, SASL_ABORTED },
	{ "<abort " SASL "/>", true, false, SASL_FAILED, SASL_ABORTED },
	{ "<auth " SASL " mechanism='PLAIN'>" TIM "</auth>", false, false, SASL_FAILED, SASL_ENCRYPTION_REQUIRED },
	{ "<auth " SASL " mechanism='PLAIN'/>", false, false, SASL_FAILED, SASL_ENCRYPTION_REQUIRED },
	{ "<auth " SASL " mechanism='plain'>" TIM "</auth>", true, false, SASL_FAILED, SASL_INVALID_MECHANISM },
	{ "<auth " SASL " mechanism='SCRAM-SHA-1'>" TIM "</auth>", false, false, SASL_FAILED, SASL_INVALID_MECHANISM },
	{ "<auth " SASL ">" TIM "</auth>", true, false, SASL_FAILED, SASL_INVALID_MECHANISM },
	{ "<auth " SASL " mechanism='PLAIN'>=</auth>", true, false, SASL_FAILED, SASL_MALFORMED_REQUEST },
	/* RFC 6120 13.9.1 */
	{ "<auth " SASL " mechanism='PLAIN'>==</auth>", true, false, SASL_FAILED, SASL_INCORRECT_ENCODING },
	{ "<auth " SASL " mechanism='PLAIN'> " TIM "</auth>", true, false, SASL_FAILED, SASL_INCORRECT_ENCODING },
	{ "<auth " SASL " mechanism='PLAIN'>AHRp\nbQB4</auth>", true, false, SASL_FAILED, SASL_INCORRECT_ENCODING },
	{ "<auth " SASL " mechanism='PLAIN'>" TIM "=</auth>", true, false, SASL_FAILED, SASL_INCORRECT_ENCODING },
	{ "<auth " SASL " mechanism='PLAIN'>" TIM "====</auth>", true, false, SASL_FAILED, SASL_INCORRECT_ENCODING },
	{ "<auth " SASL " mechanism='PLAIN'>AHRpbQB</auth>", true, false, SASL_FAILED, SASL_INCORRECT_ENCODING },
	{ "<auth " SASL " mechanism='PLAIN'>AHRp-_B4</auth>", true, false, SASL_FAILED, SASL_INCORRECT_ENCODING },
	{ "<auth " SASL " mechanism='PLAIN'> </auth>", true, false, SASL_FAILED, SASL_INCORRECT_ENCODING },
	{ "<auth " SASL " mechanism='PLAIN'><x/>" TIM "</auth>", true, false, SASL_FAILED, SASL_MALFORMED_REQUEST },
	{ "<auth " SASL " mechanism='PLAIN'>AHRp<x>bQB4</x></auth>", true, false, SASL_FAILED, SASL_MALFORMED_REQUEST },
	{ "<auth mechanism='PLAIN'>" TIM "</auth>", true, false, SASL_OTHER, SASL_FINE },
	{ "<auth xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'/>", true, false, SASL_OTHER, SASL_FINE },
	{ "<iq type='set' id='1'><auth " SASL " mechanism='PLAIN'/></iq>", true, false, SASL_OTHER, SASL_FINE },
	{ "<success " SASL "/>", true, true, SASL_OTHER, SASL_FINE },
	{ "<challenge " SASL "/>", true, true, SASL_OTHER, SASL_FINE },
	{ "<x:auth xmlns:x='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'/>", true, false, SASL_OTHER, SASL_FINE },
};

START_TEST(element_is_taken)
{
	const struct element element = element_of(elements[_i].text);
	char *failure = failure_of(elements[_i].condition);
	enum sasl_condition condition;
	struct buffer down = { 0 };
	struct sasl_login login;

	ck_assert_int_eq(sasl_take(&element, "foo.com", elements[_i].plain, elements[_i].challenged, &login, &condition, &down),
	    elements[_i].step);
	ck_assert_str_eq(sasl_condition_name(condition), sasl_condition_name(elements[_i].condition));
	ck_assert_pstr_eq(login.user, elements[_i].step == SASL_LOGIN ? "tim" : NULL);
	ck_assert_pstr_eq(login.password, elements[_i].step == SASL_LOGIN ? "x" : NULL);
	assert_text(&down, elements[_i].step == SASL_FAILED ? failure :
	    elements[_i].step == SASL_CHALLENGED ? "<challenge " SASL "/>" : "");
	sasl_login_deinit(&login);
	free(failure);
}
END_TEST

START_TEST(element_without_memory)
{
	const struct element element = element_of(elements[_i].text);
	enum sasl_condition condition;
	struct sasl_login login;

	for (unsigned nth = 0; starve_begin(nth); nth++) {
		struct buffer down = { 0 };
		int step = sasl_take(&element, "foo.com", elements[_i].plain, elements[_i].challenged, &login, &condition, &down);

		starve_end();
		if (step != (int)elements[_i].step) {
			ck_assert_int_eq(step, -ENOMEM);
			ck_assert_ptr_null(login.user);
			ck_assert_ptr_null(login.password);
		}
		ck_assert(starve_missed() || step == -ENOMEM);
		sasl_login_deinit(&login);
		buffer_deinit(&down);
	}
}
END_TEST

static const struct {
	const char *error;
	enum sasl_condition condition;
} meanings[] = {
	{ "<error code='401'>Unauthorized</error>", SASL_NOT_AUTHORIZED },
	{ "<error code='402'/>", SASL_NOT_AUTHORIZED },
	{ "<error code='403'/>", SASL_NOT_AUTHORIZED },
	{ "<error code='404'/>", SASL_NOT_AUTHORIZED },
	{ "<error code='405'/>", SASL_NOT_AUTHORIZED },
	{ "<error code='407'/>", SASL_NOT_AUTHORIZED },
	{ "<error type='auth'><not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>", SASL_NOT_AUTHORIZED },
	{ "<error code='400'/>", SASL_MALFORMED_REQUEST },
	{ "<error code='406'/>", SASL_MALFORMED_REQUEST },
	{ "<error code='408'/>", SASL_TEMPORARY_AUTH_FAILURE },
	{ "<error code='409'/>", SASL_TEMPORARY_AUTH_FAILURE },
	{ "<error code='500'/>", SASL_TEMPORARY_AUTH_FAILURE },
	{ "<error code='501'/>", SASL_TEMPORARY_AUTH_FAILURE },
	{ "<error code='502'/>", SASL_TEMPORARY_AUTH_FAILURE },
	{ "<error code='503'/>", SASL_TEMPORARY_AUTH_FAILURE },
	{ "<error code='504'/>", SASL_TEMPORARY_AUTH_FAILURE },
	{ "<error code='999'/>", SASL_TEMPORARY_AUTH_FAILURE },
	{ "<error><internal-server-error xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>", SASL_TEMPORARY_AUTH_FAILURE },
	{ "", SASL_TEMPORARY_AUTH_FAILURE },
};

/* XEP-0078 example 6 (as corrected: the digest of that password and that id). */
START_TEST(query)
{
	struct buffer up = { 0 };

	sasl_put_query(&up, "bill", "Calli0pe", "globe", "3EE948B0");
	ck_assert(up.secret);
	assert_text(&up, "<query xmlns='jabber:iq:auth'><username>bill</username>"
	    "<digest sid='3EE948B0'>48fc78be9ec8f86d8ce1c39c320c97c21d62334d</digest><resource>globe</resource></query>");
	sasl_put_query(&up, "o'b", "<&>", "r", NULL);
	assert_text(&up, "<query xmlns='jabber:iq:auth'><username>o&apos;b</username><password>&lt;&amp;&gt;</password>"
	    "<resource>r</resource></query>");
}
END_TEST

START_TEST(mechanisms)
{
	struct buffer out = { 0 };

	sasl_put_mechanisms(&out);
	assert_text(&out, "<mechanisms " SASL "><mechanism>PLAIN</mechanism></mechanisms>");
	sasl_put_success(&out);
	assert_text(&out, "<success " SASL "/>");
	sasl_put_failure(&out, SASL_NOT_AUTHORIZED);
	assert_text(&out, "<failure " SASL "><not-authorized/><text xml:lang='en'>Wrong name or password.</text></failure>");
}
END_TEST

/* ---- binding ---- */

#define BIND "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'"
#define SESSION "<session xmlns='urn:ietf:params:xml:ns:xmpp-session'/>"
#define ERROR(type, code, kind, name) "<iq type='error'" type "><error code='" code "' type='" kind "'><" name " " STANZAS

static const struct {
	const char *text;
	enum binding_request request;
	bool bad;
	const char *id, *resource;
} bindings[] = {
	{ "<iq type='set' id='b1'>" BIND "/></iq>", BINDING_BIND, false, "b1", NULL },
	{ "<iq id='b1' type='set'>" BIND "><resource>a&amp;b</resource></bind></iq>", BINDING_BIND, false, "b1", "a&amp;b" },
	{ "<iq id='b1' type='set'>" BIND "><resource/></bind></iq>", BINDING_BIND, false, "b1", NULL },
	/* libstrophe */
	{ "<iq id='_xmpp_bind1' type='set'>" BIND "><required/><resource>r</resource></bind></iq>", BINDING_BIND, false,
	    "_xmpp_bind1", "r" },
	{ "<iq xmlns='jabber:client' id='b1' type='set'>\n " BIND "/>\n</iq>", BINDING_BIND, false, "b1", NULL },
	{ "<iq id=\"it's\" type='set' to='foo.com'>" BIND "/></iq>", BINDING_BIND, false, "it's", NULL },
	{ "<iq id='1' type='set' to='a@foo.com'>" SESSION "</iq>", BINDING_SESSION, false, "1", NULL },
	{ "<iq id='1' type='set' to='foo.com'>" SESSION "</iq>", BINDING_SESSION, false, "1", NULL },
	{ "<iq id='1' type='set'>" SESSION "</iq>", BINDING_SESSION, false, "1", NULL },
	{ "<iq type='set'>" SESSION "</iq>", BINDING_SESSION, true, NULL, NULL },
	{ "<iq type='set'>" BIND "/></iq>", BINDING_BIND, true, NULL, NULL },
	{ "<iq id='1' type='set'>" BIND "><resource>a</resource><resource>a</resource></bind></iq>", BINDING_BIND, true, "1",
	    "a" },
	{ "<iq id='1' type='set'>" BIND "><resource><x/></resource></bind></iq>", BINDING_BIND, true, "1", "<x/>" },
	{ "<iq id='" LONG1023 "' type='set'>" SESSION "</iq>", BINDING_SESSION, false, LONG1023, NULL },
	{ "<iq id='x" LONG1023 "' type='set'>" SESSION "</iq>", BINDING_SESSION, true, NULL, NULL },
	/* For somebody else. */
	{ "<iq id='1' type='set' to='b@foo.com'>" BIND "/></iq>", BINDING_NONE, false, NULL, NULL },
	{ "<iq id='1' type='set' to='bar.com'>" SESSION "</iq>", BINDING_NONE, false, NULL, NULL },
	{ "<iq id='1' type='set' to=''>" SESSION "</iq>", BINDING_NONE, false, NULL, NULL },
	{ "<iq id='1' type='set' to='a@foo.com/r'>" SESSION "</iq>", BINDING_NONE, false, NULL, NULL },
	{ "<iq id='1' type='get'>" BIND "/></iq>", BINDING_NONE, false, NULL, NULL },
	{ "<iq id='1' type='result'>" SESSION "</iq>", BINDING_NONE, false, NULL, NULL },
	{ "<iq id='1'>" SESSION "</iq>", BINDING_NONE, false, NULL, NULL },
	{ "<iq id='1' type='set'/>", BINDING_NONE, false, NULL, NULL },
	{ "<iq id='1' type='set'><bind xmlns='urn:x'/></iq>", BINDING_NONE, false, NULL, NULL },
	{ "<iq id='1' type='set'><bind/></iq>", BINDING_NONE, false, NULL, NULL },
	{ "<iq id='1' type='set'><x/>" BIND "/></iq>", BINDING_NONE, false, NULL, NULL },
	{ "<iq xmlns='urn:x' id='1' type='set'>" BIND "/></iq>", BINDING_NONE, false, NULL, NULL },
	{ "<message id='1' type='set'>" BIND "/></message>", BINDING_NONE, false, NULL, NULL },
	{ BIND " type='set' id='1'/>", BINDING_NONE, false, NULL, NULL },
};

static void
assert_range(struct range range, const char *expected)
{
	if (expected == NULL)
		ck_assert_ptr_null(range.at);
	else
		ck_assert_msg(range_equals(range, expected), "'%.*s' is not '%s'", (int)range.length, range.at, expected);
}

START_TEST(binding_is_read)
{
	const struct element element = element_of(bindings[_i].text);
	struct binding binding;

	binding_read(&binding, &element, "a@foo.com/r");
	ck_assert_int_eq(binding.request, bindings[_i].request);
	ck_assert_int_eq(binding.bad, bindings[_i].bad);
	assert_range(binding.id, bindings[_i].id);
	assert_range(binding.resource, bindings[_i].resource);
}
END_TEST

static const struct {
	const char *text;
	int result;
	const char *resource;
} resources[] = {
	{ "<resource>Home</resource>", 1, "Home" },
	{ "<resource> a&amp;b </resource>", 1, " a&b " },
	{ "<resource>\xc2\xa0x</resource>", 1, " x" },
	{ "<resource/>", 1, NULL },
	{ "", 1, NULL },
	{ "<resource>\xc2\xad</resource>", 0, NULL },
	{ "<resource>&#xe000;</resource>", 0, NULL },
	{ "<resource>" LONG1023 "</resource>", 1, LONG1023 },
	{ "<resource>x" LONG1023 "</resource>", 0, NULL },
};

START_TEST(resource_is_prepared)
{
	char text[2000], *resource;
	struct element element;
	struct binding binding;

	snprintf(text, sizeof text, "<iq type='set' id='1'>" BIND ">%s</bind></iq>", resources[_i].text);
	element = element_of(text);
	binding_read(&binding, &element, "a@foo.com");
	for (unsigned nth = 0; starve_begin(nth); nth++) {
		int result = binding_read_resource(&binding, &resource);

		starve_end();
		ck_assert(result == resources[_i].result || (result == -ENOMEM && !starve_missed()));
		ck_assert_pstr_eq(resource, result == 1 ? resources[_i].resource : NULL);
		free(resource);
	}
}
END_TEST

START_TEST(resource_is_invented)
{
	char *one = binding_invent_resource("n.0.1.2", "S1"), *same = binding_invent_resource("n.0.1.2", "S1");
	char *other = binding_invent_resource("n.0.1.2", "S2"), *another = binding_invent_resource("n.0.1.3", "S1");

	ck_assert_uint_eq(strlen(one), strlen("c2sd-0123456789abcdef"));
	ck_assert_int_eq(strncmp(one, "c2sd-", 5), 0);
	ck_assert_str_eq(one, same);
	ck_assert_str_ne(one, other);
	ck_assert_str_ne(one, another);
	ck_assert_str_ne(other, another);
	free(one);
	free(same);
	free(other);
	free(another);
	for (unsigned nth = 0; starve_begin(nth); nth++) {
		one = binding_invent_resource("n.0.1.2", "S1");
		starve_end();
		ck_assert((one == NULL) != starve_missed());
		free(one);
	}
}
END_TEST

START_TEST(binding_is_answered)
{
	const struct element element = element_of("<iq type='set' id=\"it's\">" BIND "/></iq>");
	struct buffer out = { 0 };
	struct binding binding;

	binding_read(&binding, &element, "foo.com");
	binding_put_features(&out);
	assert_text(&out, BIND "/><session xmlns='urn:ietf:params:xml:ns:xmpp-session'><optional/></session>");
	binding_put_result(&binding, "o'b@foo.com/<r>", &out);
	assert_text(&out, "<iq type='result' id=\"it's\">" BIND "><jid>o&apos;b@foo.com/&lt;r&gt;</jid></bind></iq>");
	binding_put_error(&binding, BINDING_ERROR_CONFLICT, &out);
	assert_text(&out, ERROR(" id=\"it's\"", "409", "cancel", "conflict"));
	binding.request = BINDING_SESSION;
	binding_put_result(&binding, NULL, &out);
	assert_text(&out, "<iq type='result' id=\"it's\"></iq>");
	binding.id = (struct range){ 0 };
	binding_put_error(&binding, BINDING_ERROR_BAD_REQUEST, &out);
	assert_text(&out, ERROR("", "400", "modify", "bad-request"));
	binding_put_error(&binding, BINDING_ERROR_UNAVAILABLE, &out);
	assert_text(&out, ERROR("", "503", "wait", "service-unavailable"));
	binding_put_error(&binding, BINDING_ERROR_NOT_ALLOWED, &out);
	assert_text(&out, ERROR("", "405", "cancel", "not-allowed"));
}
END_TEST

/* ---- sfrom ---- */

static const struct dialect_context in_tls = { .id = "id1", .name = "som", .stream_id = "S'1", .plain = true };
static const struct dialect_context with_digest = {
	.id = "id1", .name = "som", .stream_id = "S'1", .plain = true, .digest = true, .registration = true,
};

/* What one step comes to; buffers and client are let go by conversation_end. */
struct conversation {
	const struct dialect_context *context;
	struct dialect_client client;
	struct buffer up, down, features;
	struct dialect_answer answer;
};

static void
conversation_begin(struct conversation *conversation, const struct dialect_context *context)
{
	*conversation = (struct conversation){ .context = context };
	conversation->client.host = strdup("foo.com");
}

static void
conversation_clear(struct conversation *conversation)
{
	buffer_deinit(&conversation->up);
	buffer_deinit(&conversation->down);
	buffer_deinit(&conversation->features);
	conversation->answer = (struct dialect_answer){
		.up = &conversation->up, .down = &conversation->down, .features = &conversation->features,
	};
}

static void
conversation_end(struct conversation *conversation)
{
	conversation_clear(conversation);
	dialect_client_deinit(&conversation->client);
}

static int
says(struct conversation *conversation, const char *text)
{
	conversation_clear(conversation);
	return dialect_sfrom.client_element(&conversation->client, conversation->context, text, strlen(text),
	    strcspn(text, " />"), &conversation->answer);
}

static int
hears(struct conversation *conversation, const char *text)
{
	conversation_clear(conversation);
	return dialect_sfrom.client_packet(&conversation->client, conversation->context, text, strlen(text),
	    &conversation->answer);
}

static int
opens(struct conversation *conversation)
{
	static const struct dialect_header header = { .version_major = 1 };

	conversation_clear(conversation);
	return dialect_sfrom.client_header(&conversation->client, conversation->context, &header, &conversation->answer);
}

static void
assert_step(struct conversation *conversation, int result, unsigned effects, const char *up, const char *down)
{
	ck_assert_int_eq(result, 0);
	ck_assert_uint_eq(conversation->answer.effects, effects);
	assert_text(&conversation->up, up);
	assert_text(&conversation->down, down);
}

#define AUTH "<auth " SASL " mechanism='PLAIN'>" TIM "</auth>"
#define UP "<iq sto='foo.com' sfrom='id1@som' type='set' id='c2sd-sasl'><query xmlns='jabber:iq:auth'><username>tim</username>"
#define RESOURCE "c2sd-ce98c6e3c9a26bbd"
#define LOGIN UP "<password>x</password><resource>" RESOURCE "</resource></query></iq>"
#define JID "tim@foo.com/" RESOURCE
#define RESULT "<iq type='result' id='c2sd-sasl' sto='id1@som' sfrom='" JID "'/>"
#define REFUSAL(error) "<iq type='error' id='c2sd-sasl' sto='id1@som' sfrom='foo.com'><query/>" error "</iq>"
#define SUCCESS "<success " SASL "/>"
#define MESSAGE "<message sto='id1@som' sfrom='tim@foo.com'><body>x</body></message>"
#define GONE "<message type='error' sto='id1@som' sfrom='" JID "'><error code='510'>Disconnected</error></message>"

/* Up to its success, in one go. */
static void
log_in(struct conversation *conversation)
{
	ck_assert_int_eq(opens(conversation), 0);
	ck_assert_int_eq(says(conversation, AUTH), 0);
	ck_assert_int_eq(hears(conversation, RESULT), 0);
	ck_assert_uint_eq(conversation->answer.effects, DIALECT_LOGGED_IN | DIALECT_RESTART);
	ck_assert_int_eq(opens(conversation), 0);
}

START_TEST(whole_login)
{
	struct conversation it;
	char *invented = binding_invent_resource("id1", "S'1");

	ck_assert_str_eq(invented, RESOURCE);
	free(invented);
	conversation_begin(&it, &in_tls);
	ck_assert_int_eq(opens(&it), 0);
	assert_text(&it.features, "<mechanisms " SASL "><mechanism>PLAIN</mechanism></mechanisms>"
	    "<auth xmlns='http://jabber.org/features/iq-auth'/>");
	assert_step(&it, says(&it, AUTH), 0, LOGIN, "");
	ck_assert(it.client.waits && it.client.asked);
	ck_assert_str_eq(it.client.asked_user, "tim");
	assert_step(&it, hears(&it, MESSAGE), DIALECT_HELD, "", "");
	assert_step(&it, hears(&it, RESULT), DIALECT_LOGGED_IN | DIALECT_RESTART, "", SUCCESS);
	ck_assert(!it.client.waits && !it.client.asked);
	ck_assert_str_eq(it.client.address, JID);
	assert_step(&it, hears(&it, MESSAGE), DIALECT_HELD, "", "");
	ck_assert_int_eq(opens(&it), 0);
	ck_assert_uint_eq(it.answer.effects, DIALECT_HEADER | DIALECT_FEATURES);
	assert_text(&it.features, BIND "/><session xmlns='urn:ietf:params:xml:ns:xmpp-session'><optional/></session>");
	assert_step(&it, hears(&it, MESSAGE), DIALECT_HELD, "", "");
	/* Even an answer to what was never asked. */
	assert_step(&it, hears(&it, RESULT), DIALECT_HELD, "", "");
	assert_step(&it, says(&it, "<iq type='set' id='1'>" BIND "><resource>mine</resource></bind></iq>"), DIALECT_BOUND, "",
	    "<iq type='result' id='1'>" BIND "><jid>" JID "</jid></bind></iq>");
	conversation_end(&it);
}
END_TEST

START_TEST(in_session)
{
	struct conversation it = { .context = &in_tls, .client.address = strdup("tim@foo.com/r") };

	assert_step(&it, says(&it, "<iq type='set' id='1'>" SESSION "</iq>"), 0, "", "<iq type='result' id='1'></iq>");
	assert_step(&it, says(&it, "<iq type='set' id='1' to='foo.com'>" SESSION "</iq>"), 0, "",
	    "<iq type='result' id='1'></iq>");
	assert_step(&it, says(&it, "<iq type='set'>" SESSION "</iq>"), 0, "", ERROR("", "400", "modify", "bad-request"));
	assert_step(&it, says(&it, "<iq type='set' id='1'>" BIND "/></iq>"), 0, "",
	    ERROR(" id='1'", "405", "cancel", "not-allowed"));
	assert_step(&it, says(&it, "<iq type='set' id='1' to='b@foo.com'>" BIND "/></iq>"), 0,
	    "<iq sto='tim@foo.com/r' sfrom='id1@som' type='set' id='1' to='b@foo.com'>" BIND "/></iq>", "");
	assert_step(&it, says(&it, "<auth " SASL "/>"), 0, "<auth sto='tim@foo.com/r' sfrom='id1@som' " SASL "/>", "");
	conversation_end(&it);
}
END_TEST

START_TEST(digest_goes_up)
{
	struct conversation it;

	conversation_begin(&it, &with_digest);
	assert_step(&it, says(&it, AUTH), 0, UP "<digest sid='S&apos;1'>d629202df560d155e1330c265b6818e223fa8f02</digest>"
	    "<resource>" RESOURCE "</resource></query></iq>", "");
	conversation_end(&it);
}
END_TEST

START_TEST(refused_and_tried_again)
{
	char *failure = failure_of(meanings[_i].condition), text[400];
	struct conversation it;

	snprintf(text, sizeof text, REFUSAL("%s"), meanings[_i].error);
	conversation_begin(&it, &in_tls);
	ck_assert_int_eq(says(&it, AUTH), 0);
	assert_step(&it, hears(&it, text), DIALECT_REFUSED, "", failure);
	ck_assert_str_eq(sasl_condition_name(sasl_condition_of(it.answer.failure)),
	    sasl_condition_name(meanings[_i].condition));
	ck_assert(!it.client.waits && !it.client.asked);
	ck_assert_ptr_null(it.client.address);
	/* In the same way, and in the other. */
	assert_step(&it, says(&it, AUTH), 0, LOGIN, "");
	ck_assert_int_eq(hears(&it, REFUSAL("<error code='401'/>")), 0);
	ck_assert_str_eq(it.answer.failure, "not-authorized");
	assert_step(&it, says(&it, "<iq type='set' id='1'><query xmlns='jabber:iq:auth'><username>a</username></query></iq>"), 0,
	    "<iq sto='foo.com' sfrom='id1@som' type='set' id='1'><query xmlns='jabber:iq:auth'><username>a</username></query></iq>",
	    "");
	assert_step(&it, hears(&it, "<iq type='result' id='1' sto='id1@som' sfrom='a@foo.com/r'/>"),
	    DIALECT_LOGGED_IN | DIALECT_BOUND, "", "<iq type='result' id='1'/>");
	conversation_end(&it);
	free(failure);
}
END_TEST

/* The client's own fault: who it was is known for the log, if it was said. */
START_TEST(refused_at_once)
{
	static const struct {
		const char *text, *failure, *user;
	} faults[] = {
		{ "<auth " SASL " mechanism='SCRAM-SHA-1'>biws</auth>", "invalid-mechanism", NULL },
		{ "<auth " SASL " mechanism='PLAIN'>!</auth>", "incorrect-encoding", NULL },
		{ "<auth " SASL " mechanism='PLAIN'>YQB0aW0AeA==</auth>", "invalid-authzid", "tim" },	/* a|tim|x */
		{ "<response " SASL ">" TIM "</response>", "malformed-request", NULL },
		{ "<abort " SASL "/>", "aborted", NULL },
	};
	struct conversation it;

	conversation_begin(&it, &in_tls);
	for (unsigned i = 0; i < COUNT(faults); i++) {
		it.client.asked_user = it.client.asked_user != NULL ? it.client.asked_user : strdup("before");
		ck_assert_int_eq(says(&it, faults[i].text), 0);
		ck_assert_uint_eq(it.answer.effects, DIALECT_REFUSED);
		ck_assert_str_eq(it.answer.failure, faults[i].failure);
		ck_assert_pstr_eq(it.client.asked_user, faults[i].user);
		assert_text(&it.up, "");
	}
	conversation_end(&it);
}
END_TEST

START_TEST(challenge_and_response)
{
	struct conversation it;

	conversation_begin(&it, &in_tls);
	assert_step(&it, says(&it, "<auth " SASL " mechanism='PLAIN'/>"), 0, "", "<challenge " SASL "/>");
	assert_step(&it, says(&it, "<response " SASL ">" TIM "</response>"), 0, LOGIN, "");
	ck_assert_int_eq(hears(&it, REFUSAL("")), 0);
	/* That one was answered. */
	ck_assert_int_eq(says(&it, "<response " SASL ">" TIM "</response>"), 0);
	ck_assert_str_eq(it.answer.failure, "malformed-request");
	ck_assert_int_eq(says(&it, "<auth " SASL " mechanism='PLAIN'/>"), 0);
	ck_assert_int_eq(says(&it, "<abort " SASL "/>"), 0);
	ck_assert_str_eq(it.answer.failure, "aborted");
	ck_assert_int_eq(says(&it, "<response " SASL ">" TIM "</response>"), 0);
	ck_assert_str_eq(it.answer.failure, "malformed-request");
	conversation_end(&it);
}
END_TEST

/* A registration is under way; it is answered as ever. */
START_TEST(one_question_at_a_time)
{
	static const char answer[] = "<iq type='result' id='1' sto='id1@som' sfrom='foo.com'/>";
	struct conversation it;

	conversation_begin(&it, &with_digest);
	ck_assert_int_eq(says(&it, "<iq type='get' id='1'><query xmlns='jabber:iq:register'/></iq>"), 0);
	ck_assert_int_eq(says(&it, AUTH), 0);
	ck_assert_uint_eq(it.answer.effects, DIALECT_REFUSED);
	ck_assert_str_eq(it.answer.failure, "temporary-auth-failure");
	assert_text(&it.up, "");
	assert_step(&it, hears(&it, answer), DIALECT_DELIVERED, "", "<iq type='result' id='1'/>");
	ck_assert_int_eq(says(&it, AUTH), 0);
	ck_assert(it.client.waits);
	conversation_end(&it);
}
END_TEST

/* Between success and bind. */
START_TEST(only_bind_comes_next)
{
	static const char *const others[] = {
		"<message to='x'/>", "<presence/>", "<iq type='set' id='1'>" SESSION "</iq>", AUTH, "<abort " SASL "/>",
		"<iq type='get' id='1'>" BIND "/></iq>", "<iq type='set' id='1' to='b@foo.com'>" BIND "/></iq>",
		"<iq type='set' id='1'><query xmlns='jabber:iq:auth'><username>a</username></query></iq>",
		"<iq type='get' id='1'><query xmlns='jabber:iq:register'/></iq>",
	};

	for (unsigned i = 0; i < COUNT(others); i++) {
		struct conversation it;

		conversation_begin(&it, &with_digest);
		log_in(&it);
		assert_step(&it, says(&it, others[i]), DIALECT_END, "", "");
		ck_assert_int_eq(it.answer.condition, CONDITION_NOT_AUTHORIZED);
		conversation_end(&it);
	}
}
END_TEST

START_TEST(bind_that_is_none)
{
	struct conversation it;

	conversation_begin(&it, &in_tls);
	log_in(&it);
	assert_step(&it, says(&it, "<iq type='set'>" BIND "/></iq>"), 0, "", ERROR("", "400", "modify", "bad-request"));
	ck_assert_int_eq(says(&it, "<iq type='set' id='2'>" BIND "/></iq>"), 0);
	ck_assert_uint_eq(it.answer.effects, DIALECT_BOUND);
	conversation_end(&it);
}
END_TEST

/* What may come from the link instead of the answer, or behind it. */
START_TEST(other_packets)
{
	struct conversation it;

	conversation_begin(&it, &in_tls);
	ck_assert_int_eq(says(&it, AUTH), 0);
	assert_step(&it, hears(&it, "<iq type='get' id='c2sd-sasl' sto='id1@som' sfrom='" JID "'/>"), DIALECT_HELD, "", "");
	assert_step(&it, hears(&it, "<iq type='result' id='c2sd-login' sto='id1@som' sfrom='" JID "'/>"), DIALECT_HELD, "", "");
	assert_step(&it, hears(&it, "<message sto='id1@som' sfrom='x'><!-- --></message>"), DIALECT_UNREADABLE, "", "");
	ck_assert(it.client.waits);
	/* A result without an address makes no session. */
	ck_assert_int_eq(hears(&it, "<iq type='result' id='c2sd-sasl' sto='id1@som' sfrom='foo.com'/>"), 0);
	ck_assert_uint_eq(it.answer.effects, DIALECT_REFUSED);
	ck_assert_str_eq(it.answer.failure, "undefined-condition");
	ck_assert_int_eq(says(&it, AUTH), 0);
	assert_step(&it, hears(&it, "<message type='error' sto='id1@som' sfrom='foo.com'><error code='510'/></message>"),
	    DIALECT_END, "", "");
	conversation_end(&it);
	conversation_begin(&it, &in_tls);
	log_in(&it);
	assert_step(&it, hears(&it, GONE), DIALECT_END, "", "");
	conversation_end(&it);
}
END_TEST

START_TEST(not_offered)
{
	static const struct dialect_context in_clear = { .id = "id1", .name = "som", .stream_id = "S'1" };
	struct conversation it;

	conversation_begin(&it, &in_clear);
	ck_assert_int_eq(opens(&it), 0);
	assert_text(&it.features, "<auth xmlns='http://jabber.org/features/iq-auth'/>");
	ck_assert_int_eq(says(&it, AUTH), 0);
	ck_assert_str_eq(it.answer.failure, "encryption-required");
	assert_text(&it.up, "");
	conversation_end(&it);
}
END_TEST

/* A login with everything that may come, until something fails. */
static int
log_in_starving(struct conversation *it)
{
	int result = opens(it);

	if (result == 0)
		result = says(it, "<auth " SASL " mechanism='PLAIN'/>");
	if (result == 0)
		result = says(it, "<response " SASL ">" TIM "</response>");
	if (result == 0)
		result = hears(it, REFUSAL("<error code='401'/>"));
	if (result == 0)
		result = says(it, AUTH);
	if (result == 0)
		result = hears(it, RESULT);
	if (result == 0)
		result = opens(it);
	if (result == 0)
		result = says(it, "<iq type='set' id='1'>" BIND "/></iq>");
	return result;
}

START_TEST(login_without_memory)
{
	unsigned nth;

	for (nth = 0; starve_begin(nth); nth++) {
		struct conversation it = { .context = _i == 0 ? &in_tls : &with_digest };
		int result;

		it.client.host = strdup("foo.com");
		result = it.client.host == NULL ? -ENOMEM : log_in_starving(&it);
		starve_end();
		ck_assert_msg(result == (starve_missed() ? 0 : -ENOMEM), "%u: %d", nth, result);
		ck_assert(result < 0 || it.answer.effects == DIALECT_BOUND);
		conversation_end(&it);
	}
	ck_assert_uint_gt(nth, 20);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("sasl");
	TCase *tests = tcase_create("sasl");

	tcase_add_loop_test(tests, message_is_read, 0, COUNT(messages));
	tcase_add_loop_test(tests, message_is_cut, 0, COUNT(messages));
	tcase_add_loop_test(tests, element_is_taken, 0, COUNT(elements));
	tcase_add_loop_test(tests, element_without_memory, 0, COUNT(elements));
	tcase_add_test(tests, query);
	tcase_add_test(tests, mechanisms);
	tcase_add_loop_test(tests, binding_is_read, 0, COUNT(bindings));
	tcase_add_loop_test(tests, resource_is_prepared, 0, COUNT(resources));
	tcase_add_test(tests, resource_is_invented);
	tcase_add_test(tests, binding_is_answered);
	tcase_add_test(tests, whole_login);
	tcase_add_test(tests, in_session);
	tcase_add_test(tests, digest_goes_up);
	tcase_add_loop_test(tests, refused_and_tried_again, 0, COUNT(meanings));
	tcase_add_test(tests, refused_at_once);
	tcase_add_test(tests, challenge_and_response);
	tcase_add_test(tests, one_question_at_a_time);
	tcase_add_test(tests, only_bind_comes_next);
	tcase_add_test(tests, bind_that_is_none);
	tcase_add_test(tests, other_packets);
	tcase_add_test(tests, not_offered);
	tcase_add_loop_test(tests, login_without_memory, 0, 2);
	suite_add_tcase(suite, tests);
	return tap_run(suite);
}
