/* ack: every element as it is written, read, cut and garbled; and what is counted, also where the counters go round. */
#include <string.h>

#include "dialect/ack.h"
#include "tests/dialect/tap.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define SM " xmlns='urn:xmpp:sm:3'"

static const struct {
	const char *text;
	enum ack_kind kind;
	bool resume, counted;
	uint32_t h;
	const char *id;	/* NULL: absent */
} elements[] = {
	{ "<r" SM "/>", ACK_REQUEST, false, false, 0, NULL },
	{ "<r" SM "></r>", ACK_REQUEST, false, false, 0, NULL },
	{ "<r\n\txmlns = \"urn:xmpp:sm:3\"\r/>", ACK_REQUEST, false, false, 0, NULL },
	{ "<r xmlns='urn&#58;xmpp:sm:3'>text<x/></r>", ACK_REQUEST, false, false, 0, NULL },
	{ "<a" SM " h='0'/>", ACK_ANSWER, false, true, 0, NULL },
	{ "<a h='4294967295'" SM "/>", ACK_ANSWER, false, true, UINT32_MAX, NULL },
	{ "<a h='00000000000012'" SM "/>", ACK_ANSWER, false, true, 12, NULL },
	{ "<a h='1&#50;'" SM "/>", ACK_ANSWER, false, true, 12, NULL },
	{ "<enable" SM "/>", ACK_ENABLE, false, false, 0, NULL },
	{ "<enable" SM " resume='true' max='60'/>", ACK_ENABLE, true, false, 0, NULL },
	{ "<enable" SM " resume='1'/>", ACK_ENABLE, true, false, 0, NULL },
	{ "<enable" SM " resume='false'/>", ACK_ENABLE, false, false, 0, NULL },
	{ "<enabled" SM "/>", ACK_ENABLED, false, false, 0, NULL },
	{ "<enabled" SM " id='some&amp;id' resume='true' location='[::1]:1'/>", ACK_ENABLED, true, false, 0, "some&amp;id" },
	{ "<resume" SM " h='7' previd='x'/>", ACK_RESUME, false, true, 7, "x" },
	{ "<resumed" SM " h='7' previd='x'/>", ACK_RESUMED, false, true, 7, "x" },
	{ "<resumed" SM " h='7'/>", ACK_RESUMED, false, true, 7, NULL },
	{ "<failed" SM "/>", ACK_FAILED, false, false, 0, NULL },
	{ "<failed" SM " h='3'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>", ACK_FAILED, false, true,
	    3, NULL },
	{ "<failed" SM " h='x'/>", ACK_FAILED, false, false, 0, NULL },

	{ "<a" SM "/>", ACK_GARBLED, false, false, 0, NULL },
	{ "<a" SM " h=''/>", ACK_GARBLED, false, false, 0, NULL },
	{ "<a" SM " h='-1'/>", ACK_GARBLED, false, false, 0, NULL },
	{ "<a" SM " h='+1'/>", ACK_GARBLED, false, false, 0, NULL },
	{ "<a" SM " h=' 1'/>", ACK_GARBLED, false, false, 0, NULL },
	{ "<a" SM " h='1x'/>", ACK_GARBLED, false, false, 0, NULL },
	{ "<a" SM " h='0x1'/>", ACK_GARBLED, false, false, 0, NULL },
	{ "<a" SM " h='4294967296'/>", ACK_GARBLED, false, false, 0, NULL },
	{ "<a" SM " h='18446744073709551617'/>", ACK_GARBLED, false, false, 0, NULL },
	{ "<a" SM " h='&#1633;'/>", ACK_GARBLED, false, false, 0, NULL },
	{ "<resume" SM " previd='x'/>", ACK_GARBLED, false, false, 0, "x" },
	{ "<resume" SM " h='7'/>", ACK_GARBLED, false, true, 7, NULL },
	{ "<resumed" SM " previd='x'/>", ACK_GARBLED, false, false, 0, "x" },

	/* Packets: of a client, of another namespace, of none, with another name. */
	{ "<r" SM " sto='a@b/c' sfrom='1@c2s'/>", ACK_NONE, false, false, 0, NULL },
	{ "<a" SM " h='7' sto='1@c2s'/>", ACK_NONE, false, false, 0, NULL },
	{ "<enable" SM " sfrom='1@c2s' resume='true'/>", ACK_NONE, false, false, 0, NULL },
	{ "<a h='7'/>", ACK_NONE, false, false, 0, NULL },
	{ "<a xmlns='urn:xmpp:sm:2' h='7'/>", ACK_NONE, false, false, 0, NULL },
	{ "<r xmlns='urn:xmpp:sm:33'/>", ACK_NONE, false, false, 0, NULL },
	{ "<rr" SM "/>", ACK_NONE, false, false, 0, NULL },
	{ "<auth" SM "/>", ACK_NONE, false, false, 0, NULL },
	{ "<enabl" SM "/>", ACK_NONE, false, false, 0, NULL },
	{ "<enabledx" SM "/>", ACK_NONE, false, false, 0, NULL },
	{ "<R" SM "/>", ACK_NONE, false, false, 0, NULL },
	{ "<message><r" SM "/></message>", ACK_NONE, false, false, 0, NULL },
	{ "<iq/>", ACK_NONE, false, false, 0, NULL },
	{ "<r/>", ACK_NONE, false, false, 0, NULL },
	{ "<r", ACK_NONE, false, false, 0, NULL },
	{ "<", ACK_NONE, false, false, 0, NULL },
	{ "", ACK_NONE, false, false, 0, NULL },
};

START_TEST(is_read)
{
	struct ack_element element;
	size_t length = strlen(elements[_i].text);
	char *exact = malloc(length + 1);

	ck_assert_ptr_nonnull(exact);
	memcpy(exact, elements[_i].text, length);
	ack_read(&element, exact, length);
	ck_assert_msg(element.kind == elements[_i].kind, "%s: %d", elements[_i].text, (int)element.kind);
	ck_assert_int_eq(element.resume, elements[_i].resume);
	ck_assert_int_eq(element.counted, elements[_i].counted);
	if (element.counted)
		ck_assert_uint_eq(element.h, elements[_i].h);
	ck_assert_int_eq(element.id.at != NULL, elements[_i].id != NULL);
	if (elements[_i].id != NULL)
		ck_assert(range_equals(element.id, elements[_i].id));
	free(exact);
}
END_TEST

/* No part of an element is taken for it, or for another that says something else. */
START_TEST(is_cut_anywhere)
{
	const char *text = elements[_i].text;
	struct ack_element element;

	for (size_t length = 0; length < strlen(text); length++) {
		char *exact = malloc(length > 0 ? length : 1);

		ck_assert_ptr_nonnull(exact);
		memcpy(exact, text, length);
		ack_read(&element, exact, length);
		ck_assert_msg(element.kind == ACK_NONE || text[length - 1] == '>', "%.*s", (int)length, text);
		free(exact);
	}
}
END_TEST

/* One byte is another: never is a number read that does not stand there. */
START_TEST(is_garbled_anywhere)
{
	static const char bytes[] = "\0 '\"<>/=&;:a09\xff";
	const char *text = elements[_i].text;
	size_t length = strlen(text);
	char *garbled = malloc(length + 1);
	struct ack_element element;

	ck_assert_ptr_nonnull(garbled);
	for (size_t at = 1; at < length; at++) {
		for (size_t byte = 0; byte < sizeof bytes - 1; byte++) {
			memcpy(garbled, text, length);
			garbled[at] = bytes[byte];
			ack_read(&element, garbled, length);
			if (element.id.at != NULL)
				ck_assert(element.id.at >= garbled && range_end(element.id) <= garbled + length);
			ck_assert(element.kind == ACK_NONE || memmem(garbled, length, "sm", 2) != NULL);
		}
	}
	free(garbled);
}
END_TEST

static const char *
text_of(struct buffer *buffer)
{
	buffer_append(buffer, "", 1);
	buffer->end--;
	return (const char *)buffer_bytes(buffer);
}

static struct range
range_of(const char *text)
{
	return (struct range){ text, text == NULL ? 0 : strlen(text) };
}

START_TEST(what_is_written_is_read)
{
	struct buffer out = { 0 };
	struct ack ack;
	struct ack_element element;

	ack_begin(&ack, range_of("it&apos;s <x>"));
	ack.received = UINT32_MAX;
	ack_write_enable(&out);
	ack_write_enabled(&out, &ack);
	ack_write_resume(&out, &ack);
	ack_write_resumed(&out, &ack);
	ck_assert(!ack.asked);
	ack_write_request(&out, &ack);
	ck_assert(ack.asked);
	ack_write_answer(&out, &ack);
	ack_write_failed(&out, "item-not-found");
	ck_assert_str_eq(text_of(&out), "<enable" SM " resume='true'/>"
	    "<enabled" SM " id='it&apos;s &lt;x&gt;' resume='true'/>"
	    "<resume" SM " previd='it&apos;s &lt;x&gt;' h='4294967295'/>"
	    "<resumed" SM " previd='it&apos;s &lt;x&gt;' h='4294967295'/>"
	    "<r" SM "/><a" SM " h='4294967295'/>"
	    "<failed" SM "><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>");
	buffer_clear(&out);
	ack_write_resume(&out, &ack);
	ack_read(&element, buffer_bytes(&out), buffer_length(&out));
	ck_assert_int_eq(element.kind, ACK_RESUME);
	ck_assert_uint_eq(element.h, UINT32_MAX);
	ck_assert(range_decodes_to(element.id, ack.id));
	buffer_clear(&out);
	ack_begin(&ack, range_of(NULL));
	ack_write_enabled(&out, &ack);
	ck_assert_str_eq(text_of(&out), "<enabled" SM "/>");
	buffer_deinit(&out);
}
END_TEST

START_TEST(names_of_streams)
{
	char name[ACK_ID_MAX + 2];
	struct ack ack;

	memset(name, 'x', sizeof name);
	name[ACK_ID_MAX] = '\0';
	ack_begin(&ack, range_of(name));
	ck_assert_str_eq(ack.id, name);
	ck_assert(ack.on);
	/* One more, or something that no name holds: then it cannot be resumed, and counts all the same. */
	ack_begin(&ack, (struct range){ memset(name, 'x', sizeof name), sizeof name });
	ck_assert_str_eq(ack.id, "");
	ck_assert(ack.on);
	ack_begin(&ack, (struct range){ "a\0b", 3 });
	ck_assert_str_eq(ack.id, "");
}
END_TEST

/* Everywhere on the circle, its seam above all. */
START_TEST(counts)
{
	static const uint32_t begins[] = { 0, 1, 0x7ffffffe, 0x7fffffff, 0x80000000, UINT32_MAX - 9, UINT32_MAX - 1, UINT32_MAX };
	uint32_t begin = begins[_i], fresh = 99;
	struct ack ack;

	ack_begin(&ack, range_of("x"));
	ack.sent = ack.acknowledged = begin;
	ck_assert(!ack_should_ask(&ack));
	ack.sent += 10;
	ck_assert_uint_eq(ack_waiting(&ack), 10);
	ck_assert(ack_should_ask(&ack));
	ack.asked = true;
	ck_assert(!ack_should_ask(&ack));
	ck_assert(ack_take(&ack, begin, &fresh) && fresh == 0);
	ck_assert(ack_take(&ack, begin + 3, &fresh) && fresh == 3);
	ck_assert(ack_take(&ack, begin + 3, &fresh) && fresh == 0);
	ck_assert_uint_eq(ack_waiting(&ack), 7);
	/* More than was sent, less than was said, nonsense. */
	fresh = 99;
	ck_assert(!ack_take(&ack, begin + 11, &fresh) && !ack_take(&ack, begin + 2, &fresh) && !ack_take(&ack, begin - 1, &fresh));
	ck_assert(!ack_take(&ack, begin + 0x80000000, &fresh));
	ck_assert_uint_eq(fresh, 99);
	ck_assert_uint_eq(ack_waiting(&ack), 7);
	ack_suspend(&ack);
	ck_assert(!ack.on && !ack.asked && !ack_should_ask(&ack));
	ck_assert(!ack_resume(&ack, begin + 11, &fresh));
	ck_assert(!ack.on);
	ck_assert(ack_resume(&ack, begin + 8, &fresh) && fresh == 5);
	ck_assert(ack.on);
	/* The two that it did not get are not sent yet. */
	ck_assert_uint_eq(ack_waiting(&ack), 0);
	ck_assert_uint_eq(ack.sent, begin + 8);
	ck_assert_str_eq(ack.id, "x");
	ack_forget(&ack);
	ck_assert_str_eq(ack.id, "");
	ck_assert_uint_eq(ack.sent, 0);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("ack");
	TCase *tests = tcase_create("ack");

	tcase_add_loop_test(tests, is_read, 0, COUNT(elements));
	tcase_add_loop_test(tests, is_cut_anywhere, 0, COUNT(elements));
	tcase_add_loop_test(tests, is_garbled_anywhere, 0, COUNT(elements));
	tcase_add_test(tests, what_is_written_is_read);
	tcase_add_test(tests, names_of_streams);
	tcase_add_loop_test(tests, counts, 0, 8);
	suite_add_tcase(suite, tests);
	return tap_run(suite);
}
