/* What worker/stream lets through, and how the session manager reads it: case by case. */
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "tests/sessiond/agreement.h"
#include "tests/sessiond/fake.h"
#include "tests/stream/transcript.h"

#define HEADER "<stream:stream to='foo.com' version='1.0' xmlns='jabber:client' " \
    "xmlns:stream='http://etherx.jabber.org/streams' xmlns:h='urn:header' xml:lang='en'>"

static const struct stream_limits limits = {
	.header_bytes = 4096, .element_bytes = 65536, .depth = 64, .attributes = 64, .elements = 1000,
};

/* How many elements the worker has let through, all of them agreed upon. */
static unsigned
agree_on(const char *stanzas)
{
	struct agreement agreement = { 0 };
	struct transcript_listener listener = { .element = agreement_check, .argument = &agreement };
	struct buffer input = { 0 }, out = { 0 };

	buffer_append_string(&input, HEADER);
	buffer_append_string(&input, stanzas);
	transcript_write(&out, &limits, buffer_bytes(&input), buffer_length(&input), &cutting_whole, &listener);
	buffer_deinit(&input);
	buffer_deinit(&out);
	ck_assert_msg(!agreement.failed, "%s", stanzas);
	return agreement.count;
}

/* No URIs, or strange ones, but of the characters of URIs; then what has other characters, and is refused. */
static const struct {
	const char *name;
	bool passes;
} namespaces[] = {
	{ "%", true }, { ":", true }, { "a?[b]", true }, { "#a#b", true }, { "urn:[a]", true }, { "1:2", true },
	{ "http://a:b/", true }, { "http://[", true }, { "a:b:%zz", true }, { "//", true }, { "http://@@/", true },
	{ "http://a:99999999999/", true }, { "urn:a?b#c", true }, { "vcard-temp", true }, { "&amp;", true },
	{ "&#37;", true }, { "&apos;", true }, { "stream", true }, { "jabber:client", true },
	{ "http://etherx.jabber.org/streams", true },
	{ "a b", false }, { "a|b", false }, { "a&#10;b", false }, { "&lt;", false }, { "\xc3\xa4", false },
	{ "&quot;", false },
	{ "http://www.w3.org/2000/xmlns/", false }, { "http://www.w3.org/XML/1998/namespace", false },
};

START_TEST(namespaces_are_read_alike)
{
	char text[512];

	snprintf(text, sizeof text, "<message><x xmlns='%s'><y/><z xmlns=''/></x></message>", namespaces[_i].name);
	ck_assert_uint_eq(agree_on(text), namespaces[_i].passes ? 1 : 0);
	snprintf(text, sizeof text, "<message xmlns:p='%s'><a p:b='1'><p:c p:d='' e=''/></a></message>",
	    namespaces[_i].name);
	ck_assert_uint_eq(agree_on(text), namespaces[_i].passes ? 1 : 0);
}
END_TEST

static const char *const stanzas[] = {
	"<message to='a'><body>'\"&lt;&gt;&amp;]]&gt;</body></message>",
	"<message a='&#10;&#9;&#13;&lt;&gt;&quot;&apos;'>&#10;&#9;&#13;\t\n</message>",
	"<message><![CDATA[<&>]]]]><![CDATA[>\r\n]]></message>",
	"<message>\xc2\x85\xe2\x80\xa8\xef\xbb\xbf\xf0\x9f\x98\x80&#x10FFFF;&#xE000;</message>",
	"<message xml:lang=''><b xml:lang='e n' xml:space='foo' xml:id='1 2' xml:base='%'/></message>",
	"<message xmlns:q='urn:1' xmlns:r='urn:2' q:a='1' r:a='2' a='3'><c q:b='2' xmlns:q='urn:3'/></message>",
	"<message xmlns:XML='urn:q' XML:a='1' xmlns:xmlx='urn:q' xmlx:b='1'/>",
	"<message xmlns:stream='urn:z' stream:a='1'/>", "<message stream:a='1' h:b='2'/>",
	"<message><stream:x/><h:y/></message>",
	"<message xmlns:q='jabber:client' q:a='1' a='2'><q:b/><x xmlns='x'><q:c/></x></message>",
	"<message><\xc3\xa9 \xc3\xa9='1'/></message>",
	"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGE=</auth>",
	"<iq type='set'><query xmlns='jabber:iq:auth'><username>x</username><x xmlns='%'/></query></iq>",
};

START_TEST(stanzas_are_read_alike)
{
	ck_assert_uint_eq(agree_on(stanzas[_i]), 1);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("agreement");
	TCase *tests = tcase_create("agreement");

	tcase_add_loop_test(tests, namespaces_are_read_alike, 0, sizeof namespaces / sizeof namespaces[0]);
	tcase_add_loop_test(tests, stanzas_are_read_alike, 0, sizeof stanzas / sizeof stanzas[0]);
	suite_add_tcase(suite, tests);
	return fake_run(suite);
}
