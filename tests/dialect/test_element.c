/* element: parts, attributes, children, text; and that no text that was cut short is taken for a complete one. */
#include <stdlib.h>
#include <string.h>

#include "dialect/element.h"
#include "tests/dialect/tap.h"

static struct element
read_whole(const char *text)
{
	struct element element;

	ck_assert_msg(element_read(&element, text, strlen(text)), "not read: %s", text);
	return element;
}

static void
assert_range(struct range range, const char *expected)
{
	if (expected == NULL) {
		ck_assert_ptr_null(range.at);
		return;
	}
	ck_assert_ptr_nonnull(range.at);
	ck_assert_msg(range_equals(range, expected), "'%.*s' is not '%s'", (int)range.length, range.at, expected);
}

static const struct {
	const char *text, *name, *tag, *content;
} parts[] = {
	{ "<a/>", "a", "<a/>", "" },
	{ " \n<a></a>rest", "a", "<a>", "" },
	{ "<x:a b='>'>t<c/></x:a>", "x:a", "<x:a b='>'>", "t<c/>" },
	{ "<a b=\"/>\" />", "a", "<a b=\"/>\" />", "" },
	{ "<a><a>x</a></a><a/>", "a", "<a>", "<a>x</a>" },
	{ "<a><![CDATA[</a>]]></a>", "a", "<a>", "<![CDATA[</a>]]>" },
};

START_TEST(parts_are_found)
{
	struct element element = read_whole(parts[_i].text), again;

	assert_range(element.name, parts[_i].name);
	assert_range(element.tag, parts[_i].tag);
	assert_range(element.content, parts[_i].content);
	ck_assert(element_read_complete(&again, element.whole.at, element.whole.length));
	ck_assert(ranges_equal(again.content, element.content));
	/* What is cut short is not complete, wherever it was cut. */
	for (size_t i = 1; i < element.whole.length; i++)
		ck_assert(!element_read(&again, element.whole.at, i));
}
END_TEST

static const char *const refused[] = {
	" ", "a", "<", "<>", "</a>", "< a/>", "<a", "<a>", "<a b='>", "x<a/>", "<!-- -->", "<?xml?>", "<a></>",
	"<a <b/>>",
};

START_TEST(others_are_refused)
{
	struct element element;

	ck_assert(!element_read(&element, refused[_i], strlen(refused[_i])));
	ck_assert(!element_read_complete(&element, refused[_i], strlen(refused[_i])));
	ck_assert_ptr_null(element.whole.at);
}
END_TEST

START_TEST(complete_means_nothing_around)
{
	static const char *const around[] = { " <a/>", "<a/> ", "<a/><b/>", "<a></a> ", "<a>x", "<a><b>" };
	struct element element;

	for (size_t i = 0; i < sizeof(around) / sizeof(around[0]); i++)
		ck_assert_msg(!element_read_complete(&element, around[i], strlen(around[i])), "%s", around[i]);
}
END_TEST

START_TEST(attributes_are_found)
{
	struct element element = read_whole("<a to='x&apos;y' \n id = \"it's\" x:id='no' e='' last='>'/>");
	struct attribute attribute = { 0 };
	struct range range;

	ck_assert(element_attribute(&element, "to", &range));
	assert_range(range, "x&apos;y");
	ck_assert(element_next_attribute(&element, &attribute) && element_next_attribute(&element, &attribute));
	assert_range(attribute.name, "id");
	assert_range(attribute.whole, " \n id = \"it's\"");
	ck_assert(element_attribute_is(&element, "to", "x'y"));
	ck_assert(element_attribute_is(&element, "id", "it's"));
	ck_assert(element_attribute_is(&element, "e", ""));
	ck_assert(element_attribute_is(&element, "last", ">"));
	ck_assert(!element_attribute_is(&element, "last", ">>"));
	ck_assert(!element_attribute(&element, "none", &range));
	assert_range(range, NULL);
	ck_assert(!element_attribute(&element, "t", &range));
}
END_TEST

START_TEST(broken_attributes_end_the_list)
{
	static const char *const tags[] = {
		"<a b c='1'/>", "<a b= c='1'/>", "<a ='1' c='1'/>", "<a b=1 c='1'/>", "<a 'x' c='1'/>",
	};
	struct element element;
	struct range range;

	for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++) {
		element = read_whole(tags[i]);
		ck_assert_msg(!element_attribute(&element, "c", &range), "%s", tags[i]);
	}
}
END_TEST

START_TEST(children_are_stepped_through)
{
	static const char *const expected[] = { "<b/>", "<c><b/></c>", "<b xmlns='n&amp;m'>2</b>" };
	struct element element = read_whole("<a>t<b/><!-- <x/> --><c><b/></c><![CDATA[<x/>]]><?p <x/>?>u "
	    "<b xmlns='n&amp;m'>2</b>v</a>");
	struct element child = { 0 };
	size_t count = 0;

	while (element_next_child(&element, &child)) {
		ck_assert_uint_lt(count, 3);
		assert_range(child.whole, expected[count++]);
	}
	ck_assert_uint_eq(count, 3);
	ck_assert(element_find_child(&element, "b", NULL, &child));
	assert_range(child.whole, "<b/>");
	ck_assert(element_find_child(&element, "b", "n&m", &child));
	assert_range(child.content, "2");
	ck_assert(!element_find_child(&element, "b", "n", &child));
	ck_assert(!element_find_child(&element, "x", NULL, &child));
}
END_TEST

static const struct {
	const char *text, *decoded;
} texts[] = {
	{ "", "" },
	{ "plain", "plain" },
	{ "&lt;&gt;&amp;&apos;&quot;", "<>&'\"" },
	{ "&#65;&#x42;&#x63;&#xe9;&#x20ac;&#x1F600;", "ABc\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80" },
	{ "&#0053;1&#48;", "510" },
	{ "&amp;lt;", "&lt;" },
	/* Not entities of XML, or not characters: as written. */
	{ "&#0;&#xd800;&#x110000;&#99999999999;", "&#0;&#xd800;&#x110000;&#99999999999;" },
	{ "&#;&#x;&;&nbsp;&a", "&#;&#x;&;&nbsp;&a" },
	{ "a<![CDATA[&amp;<b>]]>c", "a&amp;<b>c" },
	{ "a<b>not this</b>c<!-- nor this -->d<?nor this?>e<f/>", "acde" },
	{ "a<![CDATA[unclosed", "a" },
	{ "a<b>unclosed", "a" },
};

START_TEST(text_is_decoded)
{
	struct range range = { texts[_i].text, strlen(texts[_i].text) };
	char *decoded = range_strdup_decoded(range);

	ck_assert_str_eq(decoded, texts[_i].decoded);
	if (memchr(range.at, '<', range.length) == NULL) {
		ck_assert(range_decodes_to(range, texts[_i].decoded));
		ck_assert(!range_decodes_to(range, "something else"));
	}
	free(decoded);
}
END_TEST

static const struct {
	const char *text;
	bool good;
	const char *user, *host, *resource;
} addresses[] = {
	{ "foo.com", true, NULL, "foo.com", NULL },
	{ "a@b", true, "a", "b", NULL },
	{ "a@b/c", true, "a", "b", "c" },
	{ "a@b/c@d/e", true, "a", "b", "c@d/e" },
	{ "b/c@d", true, NULL, "b", "c@d" },
	{ "a@b/", true, "a", "b", "" },
	{ "", false, NULL, "", NULL },
	{ "@b", false, "", "b", NULL },
	{ "a@", false, "a", "", NULL },
	{ "/c", false, NULL, "", "c" },
};

START_TEST(addresses_are_taken_apart)
{
	struct range range = { addresses[_i].text, strlen(addresses[_i].text) };
	struct address address;

	ck_assert_int_eq(address_read(&address, range), addresses[_i].good);
	assert_range(address.user, addresses[_i].user);
	assert_range(address.host, addresses[_i].host);
	assert_range(address.resource, addresses[_i].resource);
	ck_assert(!address_read(&address, (struct range){ 0 }));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("element");
	TCase *tests = tcase_create("element");

	tcase_add_loop_test(tests, parts_are_found, 0, sizeof(parts) / sizeof(parts[0]));
	tcase_add_loop_test(tests, others_are_refused, 0, sizeof(refused) / sizeof(refused[0]));
	tcase_add_test(tests, complete_means_nothing_around);
	tcase_add_test(tests, attributes_are_found);
	tcase_add_test(tests, broken_attributes_end_the_list);
	tcase_add_test(tests, children_are_stepped_through);
	tcase_add_loop_test(tests, text_is_decoded, 0, sizeof(texts) / sizeof(texts[0]));
	tcase_add_loop_test(tests, addresses_are_taken_apart, 0, sizeof(addresses) / sizeof(addresses[0]));
	suite_add_tcase(suite, tests);
	return tap_run(suite);
}
