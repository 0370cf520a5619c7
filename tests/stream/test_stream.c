/* What a table of bytes and events cannot say about worker/stream: its life, its memory, its contract. */
#include <check.h>
#include <libxml/parser.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "transcript.h"
#include "worker/header.h"
#include "worker/stream.h"

#define HEADER \
	"<stream:stream to='foo.com' from='a@foo.com' xml:lang='en' version='1.0' xmlns='jabber:client' " \
	"xmlns:stream='http://etherx.jabber.org/streams'>"

static const struct stream_limits wide = {
	.header_bytes = 4096, .element_bytes = 300000, .depth = 64, .attributes = 64, .elements = 100000,
};

/* libxml2's memory is counted, and ends when this many more pieces of it were asked for. */
static unsigned allocations_left = UINT_MAX;

static bool
allocation_fails(void)
{
	if (allocations_left == UINT_MAX)
		return false;
	return allocations_left == 0 || allocations_left-- == 0;
}

static void *
counted_malloc(size_t size)
{
	return allocation_fails() ? NULL : xmlMemMalloc(size);
}

static void *
counted_realloc(void *memory, size_t size)
{
	return allocation_fails() ? NULL : xmlMemRealloc(memory, size);
}

static char *
counted_strdup(const char *string)
{
	return allocation_fails() ? NULL : xmlMemoryStrdup(string);
}

static void
feed(struct stream *stream, const char *text)
{
	int r = stream_feed(stream, text, strlen(text));

	ck_assert_int_eq(r, 0);
}

static void
expect(struct stream *stream, enum stream_event_type type, struct stream_event *event_r)
{
	struct stream_event event;
	enum stream_event_type got = stream_next(stream, &event);

	ck_assert_int_eq(got, type);
	ck_assert_int_eq(event.type, type);
	if (event_r != NULL)
		*event_r = event;
}

static void
expect_element(struct stream *stream, const char *text)
{
	struct stream_event event;

	expect(stream, STREAM_ELEMENT, &event);
	ck_assert_uint_eq(event.length, strlen(text));
	ck_assert_mem_eq(event.bytes, text, event.length);
}

static struct stream *
open_stream(struct stream_header *header)
{
	struct stream *stream = stream_new(&wide, NULL);

	ck_assert_ptr_nonnull(stream);
	feed(stream, HEADER);
	expect(stream, STREAM_OPENED, NULL);
	stream_take_header(stream, header);
	return stream;
}

START_TEST(the_header_is_taken_once)
{
	struct stream_header header, again;
	struct stream *stream = open_stream(&header);

	ck_assert_str_eq(header.to, "foo.com");
	ck_assert_str_eq(header.from, "a@foo.com");
	ck_assert_str_eq(header.lang, "en");
	ck_assert_ptr_null(header.declarations);
	ck_assert_uint_eq(header.version_major, 1);
	ck_assert_uint_eq(header.version_minor, 0);
	stream_take_header(stream, &again);
	ck_assert_ptr_null(again.to);
	stream_header_deinit(&header);
	stream_header_deinit(&header);
	ck_assert_ptr_null(header.to);
	/* The stream goes on without the owner's copy. */
	feed(stream, "<iq/>");
	expect_element(stream, "<iq xml:lang='en'/>");
	stream_free(&stream);
	ck_assert_ptr_null(stream);
	stream_free(&stream);
}
END_TEST

START_TEST(a_header_that_nobody_takes_is_freed)
{
	struct stream *stream = stream_new(&wide, NULL);

	feed(stream, HEADER "<iq/>");
	expect(stream, STREAM_OPENED, NULL);
	stream_free(&stream);
}
END_TEST

START_TEST(an_event_says_where_the_name_ends_and_what_it_took)
{
	struct stream_header header;
	struct stream *stream = open_stream(&header);
	struct stream_event event;

	feed(stream, " <message  a='1'></message> <a:x xmlns:a='urn:a'/>");
	expect(stream, STREAM_ELEMENT, &event);
	ck_assert_uint_eq(event.name_end, strlen("<message"));
	ck_assert_uint_eq(event.received, strlen("<message  a='1'></message>"));
	expect(stream, STREAM_ELEMENT, &event);
	ck_assert_uint_eq(event.name_end, strlen("<x"));
	ck_assert_uint_eq(event.received, strlen("<a:x xmlns:a='urn:a'/>"));
	expect(stream, STREAM_NOTHING, NULL);
	stream_header_deinit(&header);
	stream_free(&stream);
}
END_TEST

START_TEST(quiet_means_that_nothing_is_held)
{
	struct stream_header header;
	struct stream *stream = stream_new(&wide, NULL);

	ck_assert(!stream_is_quiet(stream));
	feed(stream, HEADER "<iq");
	ck_assert(!stream_is_quiet(stream));
	expect(stream, STREAM_OPENED, NULL);
	ck_assert(!stream_is_quiet(stream));
	expect(stream, STREAM_NOTHING, NULL);
	ck_assert(!stream_is_quiet(stream));
	feed(stream, "/>");
	expect_element(stream, "<iq xml:lang='en'/>");
	ck_assert(stream_is_quiet(stream));
	feed(stream, " \n");
	ck_assert(!stream_is_quiet(stream));
	expect(stream, STREAM_NOTHING, NULL);
	ck_assert(stream_is_quiet(stream));
	feed(stream, "<iq><a/>");
	expect(stream, STREAM_NOTHING, NULL);
	ck_assert(!stream_is_quiet(stream));
	feed(stream, "</iq></stream:stream>");
	expect_element(stream, "<iq xml:lang='en'><a/></iq>");
	ck_assert(!stream_is_quiet(stream));
	expect(stream, STREAM_CLOSED, NULL);
	ck_assert(!stream_is_quiet(stream));
	stream_take_header(stream, &header);
	stream_header_deinit(&header);
	stream_free(&stream);
}
END_TEST

START_TEST(after_the_end_nothing_follows)
{
	struct stream_header header;
	struct stream *stream = open_stream(&header);
	struct stream_event event;

	feed(stream, "<iq/>&<iq/>");
	expect_element(stream, "<iq xml:lang='en'/>");
	expect(stream, STREAM_FAILED, &event);
	ck_assert_int_eq(event.condition, CONDITION_BAD_FORMAT);
	ck_assert_ptr_nonnull(event.text);
	expect(stream, STREAM_NOTHING, NULL);
	feed(stream, "<iq/>");
	expect(stream, STREAM_NOTHING, NULL);
	ck_assert(!stream_is_quiet(stream));
	stream_header_deinit(&header);
	stream_free(&stream);
}
END_TEST

START_TEST(a_stream_goes_on_from_its_header)
{
	struct stream_header header;
	struct stream *stream = stream_new(&wide, NULL);
	struct stream *second;

	feed(stream, "<s:stream xmlns:c='jabber:client' xmlns:s='http://etherx.jabber.org/streams' xml:lang='de'>");
	expect(stream, STREAM_OPENED, NULL);
	stream_take_header(stream, &header);
	stream_free(&stream);
	second = stream_new(&wide, &header);
	stream_header_deinit(&header);
	ck_assert(stream_is_quiet(second));
	feed(second, "<c:iq/></s:stream>");
	expect_element(second, "<iq xml:lang='de'/>");
	expect(second, STREAM_CLOSED, NULL);
	stream_free(&second);
}
END_TEST

START_TEST(limits_can_be_exchanged)
{
	static const struct stream_limits narrow = { 100, 20, 2, 2, 2 };
	struct stream_header header;
	struct stream *stream = open_stream(&header);
	struct stream_event event;

	feed(stream, "<iq>12345678901234567890</iq>");
	expect(stream, STREAM_ELEMENT, NULL);
	stream_set_limits(stream, &narrow);
	feed(stream, "<iq>12345678901234567890</iq>");
	expect(stream, STREAM_FAILED, &event);
	ck_assert_int_eq(event.condition, CONDITION_POLICY_VIOLATION);
	stream_header_deinit(&header);
	stream_free(&stream);
}
END_TEST

START_TEST(what_is_behind_an_element_can_be_read_otherwise)
{
	struct stream_header header;
	struct stream *stream = open_stream(&header);
	size_t length;
	const void *unread;

	feed(stream, "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/><?xml version='1.0'?>\x16\x03");
	expect(stream, STREAM_ELEMENT, NULL);
	unread = stream_unread(stream, &length);
	ck_assert_uint_eq(length, strlen("<?xml version='1.0'?>\x16\x03"));
	ck_assert_mem_eq(unread, "<?xml version='1.0'?>\x16\x03", length);
	stream_header_deinit(&header);
	stream_free(&stream);
}
END_TEST

START_TEST(new_names_do_not_stay)
{
	struct stream_header header;
	struct stream *stream = open_stream(&header);
	int used_most = 0;

	/* libxml2 would remember all of these: 20,000 names of 100 bytes. */
	for (int i = 0; i < 20000; i++) {
		char text[300];
		struct stream_event event;

		snprintf(text, sizeof(text), "<iq><%c%0100d xmlns='urn:x'/></iq>", 'a' + i % 26, i);
		feed(stream, text);
		expect(stream, STREAM_ELEMENT, &event);
		if (xmlMemUsed() > used_most)
			used_most = xmlMemUsed();
	}
	ck_assert_int_gt(used_most, 0);
	ck_assert_int_lt(used_most, 1000000);
	stream_header_deinit(&header);
	stream_free(&stream);
}
END_TEST

START_TEST(a_big_stanza_leaves_nothing_behind)
{
	struct stream_header header;
	struct stream *stream = open_stream(&header);
	static char big[200001];
	int before;

	feed(stream, "<iq/>");
	expect_element(stream, "<iq xml:lang='en'/>");
	before = xmlMemUsed();
	memset(big, 'a', sizeof(big) - 1);
	feed(stream, "<message>");
	feed(stream, big);
	expect(stream, STREAM_NOTHING, NULL);
	feed(stream, "</message>");
	expect(stream, STREAM_ELEMENT, NULL);
	expect(stream, STREAM_NOTHING, NULL);
	feed(stream, "<iq/>");
	expect_element(stream, "<iq xml:lang='en'/>");
	ck_assert_int_le(xmlMemUsed(), before + 1000);
	stream_header_deinit(&header);
	stream_free(&stream);
}
END_TEST

START_TEST(nothing_of_libxml2_is_made_for_half_a_header)
{
	struct stream *stream = stream_new(&wide, NULL);
	int before = xmlMemUsed();

	feed(stream, "<?xml version='1.0'?><stream:stream to='foo.com'");
	expect(stream, STREAM_NOTHING, NULL);
	ck_assert_int_eq(xmlMemUsed(), before);
	stream_free(&stream);
}
END_TEST

START_TEST(all_memory_comes_back)
{
	struct stream_header header;
	struct stream *stream;
	int before;

	stream = open_stream(&header);
	stream_free(&stream);
	stream_header_deinit(&header);
	before = xmlMemUsed();
	stream = open_stream(&header);
	feed(stream, "<message a='&amp;'><a xmlns:b='urn:b' b:c='1'/>");
	expect(stream, STREAM_NOTHING, NULL);
	stream_free(&stream);
	stream_header_deinit(&header);
	ck_assert_int_eq(xmlMemUsed(), before);
}
END_TEST

/* libxml2 runs out of memory at every place in turn; the stream must end, and must not blame the client. */
START_TEST(without_memory_it_is_our_fault)
{
	bool opened = false;

	for (unsigned n = 0; n < 500 && !opened; n++) {
		struct stream *stream = stream_new(&wide, NULL);
		struct stream_event event;

		allocations_left = n;
		feed(stream, HEADER);
		if (stream_next(stream, &event) == STREAM_FAILED)
			ck_assert_int_eq(event.condition, CONDITION_INTERNAL_SERVER_ERROR);
		else
			opened = event.type == STREAM_OPENED;
		allocations_left = UINT_MAX;
		stream_free(&stream);
	}
	ck_assert(opened);
}
END_TEST

START_TEST(conditions_have_names)
{
	for (int i = 0; i < CONDITION_COUNT; i++) {
		const char *name = condition_name((enum stream_condition)i);

		ck_assert_ptr_nonnull(name);
		ck_assert_uint_gt(strlen(name), 0);
		for (int j = 0; j < i; j++)
			ck_assert_str_ne(name, condition_name((enum stream_condition)j));
	}
	ck_assert_str_eq(condition_name(CONDITION_NOT_WELL_FORMED), "not-well-formed");
}
END_TEST

START_TEST(white_space_is_four_bytes)
{
	ck_assert(stream_is_whitespace(" \t\r\n", 4));
	ck_assert(stream_is_whitespace("", 0));
	ck_assert(!stream_is_whitespace(" \0", 2));
	ck_assert(!stream_is_whitespace(" \v", 2));
	ck_assert(!stream_is_whitespace("\xc2\xa0", 2));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("stream");
	TCase *life = tcase_create("life");
	TCase *memory = tcase_create("memory");
	SRunner *runner = srunner_create(suite);
	int failed;

	/* Must be the first that is done with libxml2. */
	xmlMemSetup(xmlMemFree, counted_malloc, counted_realloc, counted_strdup);
	xmlInitParser();
	tcase_add_test(life, the_header_is_taken_once);
	tcase_add_test(life, a_header_that_nobody_takes_is_freed);
	tcase_add_test(life, an_event_says_where_the_name_ends_and_what_it_took);
	tcase_add_test(life, quiet_means_that_nothing_is_held);
	tcase_add_test(life, after_the_end_nothing_follows);
	tcase_add_test(life, a_stream_goes_on_from_its_header);
	tcase_add_test(life, limits_can_be_exchanged);
	tcase_add_test(life, what_is_behind_an_element_can_be_read_otherwise);
	tcase_add_test(life, conditions_have_names);
	tcase_add_test(life, white_space_is_four_bytes);
	tcase_add_test(memory, new_names_do_not_stay);
	tcase_add_test(memory, a_big_stanza_leaves_nothing_behind);
	tcase_add_test(memory, nothing_of_libxml2_is_made_for_half_a_header);
	tcase_add_test(memory, all_memory_comes_back);
	tcase_add_test(memory, without_memory_it_is_our_fault);
	suite_add_tcase(suite, life);
	suite_add_tcase(suite, memory);
	srunner_set_tap(runner, "-");
	srunner_run_all(runner, CK_SILENT);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed > 0;
}
