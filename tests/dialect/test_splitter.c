/* The splitter, fed with every message of its tables whole, cut in two at every byte, and byte by byte. */
#include <stdint.h>
#include <string.h>

#include "common/buffer.h"
#include "dialect/splitter.h"
#include "tests/dialect/tap.h"

#define ROOT "<s:s a='1'>"
#define HEAD "H" ROOT

static const char letters[] = {
	[SPLITTER_HEADER] = 'H', [SPLITTER_ELEMENT] = 'E', [SPLITTER_END] = 'X', [SPLITTER_BROKEN] = 'B',
	[SPLITTER_TOO_LONG] = 'T',
};

struct run {
	struct splitter splitter;
	struct buffer input;
	struct buffer output;	/* a letter for each event, and its bytes */
	bool consume_skip;	/* on MORE too, which is left to the caller */
	bool bytewise;
	bool dead;
};

static void
run_begin(struct run *run, size_t element_max, bool consume_skip)
{
	*run = (struct run){ .consume_skip = consume_skip };
	splitter_init(&run->splitter, element_max);
}

static void
run_feed(struct run *run, const char *bytes, size_t length)
{
	struct splitter_event event;

	buffer_append(&run->input, bytes, length);
	for (;;) {
		size_t waiting = buffer_length(&run->input);
		const void *bytes_waiting = buffer_bytes(&run->input);
		enum splitter_event_type type = splitter_next(&run->splitter, bytes_waiting, waiting, &event);

		ck_assert_int_eq(type, event.type);
		if (type == SPLITTER_MORE)
			break;
		if (run->dead)
			return;
		buffer_append(&run->output, &letters[type], 1);
		run->dead = type == SPLITTER_BROKEN || type == SPLITTER_TOO_LONG;
		if (run->dead)
			continue;
		ck_assert_uint_le(event.skip + event.length, waiting);
		/* It came with its last byte, not later. */
		if (run->bytewise)
			ck_assert_uint_eq(event.skip + event.length, waiting);
		buffer_append(&run->output, buffer_bytes(&run->input) + event.skip, event.length);
		buffer_consume(&run->input, event.skip + event.length);
	}
	ck_assert(!run->dead);
	ck_assert_uint_eq(event.length, 0);
	ck_assert_uint_le(event.skip, buffer_length(&run->input));
	if (run->consume_skip)
		buffer_consume(&run->input, event.skip);
}

static void
run_end(struct run *run, const char *expected)
{
	buffer_append(&run->output, "", 1);
	ck_assert_str_eq((char *)buffer_bytes(&run->output), expected);
	buffer_deinit(&run->input);
	buffer_deinit(&run->output);
}

static void
check_cuts(const char *input, const char *expected, size_t element_max, bool consume_skip)
{
	size_t length = strlen(input);
	struct run run;

	for (size_t cut = 0; cut <= length; cut++) {
		run_begin(&run, element_max, consume_skip);
		run_feed(&run, input, cut);
		run_feed(&run, input + cut, length - cut);
		run_end(&run, expected);
	}
	run_begin(&run, element_max, consume_skip);
	run.bytewise = true;
	for (size_t i = 0; i < length; i++)
		run_feed(&run, input + i, 1);
	run_end(&run, expected);
}

struct row {
	const char *input;
	const char *expected;
};

static void
check_row(const struct row *row, size_t element_max)
{
	check_cuts(row->input, row->expected, element_max, true);
	check_cuts(row->input, row->expected, element_max, false);
}

static const struct row good[] = {
	{ "", "" },
	{ ROOT, HEAD },
	{ "<?xml version='1.0'?>" ROOT, HEAD },
	{ " \r\n<?xml version=\"1.0\"?>\n<!-- <a> -->" ROOT, HEAD },
	{ "<root>", "H<root>" },
	{ ROOT "<handshake/>", HEAD "E<handshake/>" },
	{ ROOT "<handshake/><a/> <b/>", HEAD "E<handshake/>E<a/>E<b/>" },
	{ ROOT "<message to='a'><body>hi</body></message>", HEAD "E<message to='a'><body>hi</body></message>" },
	{ ROOT "\n<a><b><c/><d></d></b></a>\t</s:s>", HEAD "E<a><b><c/><d></d></b></a>X</s:s>" },
	{ ROOT "</s:s> \n", HEAD "X</s:s>" },
	{ ROOT "<a b='>' c=\"/>\" d='</a>' e='\"'/>", HEAD "E<a b='>' c=\"/>\" d='</a>' e='\"'/>" },
	{ ROOT "<a b='/'>x</a>", HEAD "E<a b='/'>x</a>" },
	{ ROOT "<a><!-- </a> -- > --></a>", HEAD "E<a><!-- </a> -- > --></a>" },
	{ ROOT "<a><!--> </a> --></a>", HEAD "E<a><!--> </a> --></a>" },
	{ ROOT "<a><!----></a>", HEAD "E<a><!----></a>" },
	{ ROOT "<a><![CDATA[</a>]>]]]></a>", HEAD "E<a><![CDATA[</a>]>]]]></a>" },
	{ ROOT "<a><![CDATA[]]></a>", HEAD "E<a><![CDATA[]]></a>" },
	{ ROOT "<a><?p </a>?></a>", HEAD "E<a><?p </a>?></a>" },
	{ ROOT "<a><?> </a>?></a>", HEAD "E<a><?> </a>?></a>" },
	{ ROOT "<!-- <a/> --><?p <a/>?><b/>", HEAD "E<b/>" },
	{ ROOT "<a>x > y</a >", HEAD "E<a>x > y</a >" },
	{ ROOT "<\xc3\xa9/><_/><x:y/>", HEAD "E<\xc3\xa9/>E<_/>E<x:y/>" },
	{ ROOT "<a", HEAD },
	{ ROOT "<a>", HEAD },
	{ ROOT "<a><!--", HEAD },
	{ ROOT "<a><![CDATA[ </a>", HEAD },
	{ ROOT "<a b='", HEAD },
};

static const struct row bad[] = {
	{ "x", "B" },
	{ "</s>", "B" },
	{ "<root/>", "B" },
	{ "<!DOCTYPE a>" ROOT, "B" },
	{ ROOT "<!DOCTYPE a>", HEAD "B" },
	{ ROOT "<!-x", HEAD "B" },
	{ ROOT "<a><![CDATAx", HEAD "B" },
	{ ROOT "<a/>x", HEAD "E<a/>B" },
	{ ROOT "<a/>\xc2\xa0", HEAD "E<a/>B" },
	{ ROOT "<![CDATA[x]]>", HEAD "B" },
	{ "<![CDATA[x]]>", "B" },
	{ ROOT "<<", HEAD "B" },
	{ ROOT "< a/>", HEAD "B" },
	{ ROOT "<a <b/>", HEAD "B" },
	{ ROOT "<a //>", HEAD "B" },
	{ ROOT "<a / b='1'>", HEAD "B" },
	{ ROOT "<a b=c/d>", HEAD "B" },
	{ ROOT "<a></>", HEAD "B" },
	{ ROOT "<a></a<b>", HEAD "B" },
	{ ROOT "</s:s><a/>", HEAD "X</s:s>B" },
	{ ROOT "</s:s>" ROOT, HEAD "X</s:s>B" },
};

/* With a limit of as many bytes as the header has. */
static const struct row limited[] = {
	{ ROOT "<abc/><de/>", HEAD "E<abc/>E<de/>" },
	{ ROOT "<abcdefgh/>", HEAD "E<abcdefgh/>" },
	{ ROOT "                    <abcdefgh/>", HEAD "E<abcdefgh/>" },
	{ ROOT "<abcdefghi/>", HEAD "T" },
	{ ROOT "<a><b></b></a>", HEAD "T" },
	{ ROOT "<a b='cccccccccccccc", HEAD "T" },
	{ ROOT "<!-- cccccccccccccc", HEAD "T" },
	{ ROOT "<!-- ccc --><a/>", HEAD "T" },
	{ ROOT "<!-- cc --><a/>", HEAD "E<a/>" },
};

START_TEST(good_every_cut)
{
	check_row(&good[_i], SIZE_MAX);
}
END_TEST

START_TEST(bad_every_cut)
{
	check_row(&bad[_i], SIZE_MAX);
}
END_TEST

START_TEST(limits_every_cut)
{
	check_row(&limited[_i], strlen(ROOT));
}
END_TEST

START_TEST(header_is_limited)
{
	static const struct row row = { ROOT, "T" };

	check_row(&row, strlen(ROOT) - 1);
}
END_TEST

/* A zeroed struct with its limit set is a splitter, and white space alone is never kept. */
START_TEST(white_space_is_given_back)
{
	struct splitter splitter = { .element_max = 100 };
	struct splitter_event event;

	ck_assert_int_eq(splitter_next(&splitter, ROOT, strlen(ROOT), &event), SPLITTER_HEADER);
	ck_assert_int_eq(splitter_next(&splitter, " \n ", 3, &event), SPLITTER_MORE);
	ck_assert_uint_eq(event.skip, 3);
	ck_assert_int_eq(splitter_next(&splitter, " <a", 3, &event), SPLITTER_MORE);
	ck_assert_uint_eq(event.skip, 0);
	ck_assert_int_eq(splitter_next(&splitter, " <a/>", 5, &event), SPLITTER_ELEMENT);
	ck_assert_uint_eq(event.skip, 1);
	ck_assert_uint_eq(event.length, 4);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("splitter");
	TCase *tests = tcase_create("splitter");

	tcase_add_loop_test(tests, good_every_cut, 0, sizeof(good) / sizeof(good[0]));
	tcase_add_loop_test(tests, bad_every_cut, 0, sizeof(bad) / sizeof(bad[0]));
	tcase_add_loop_test(tests, limits_every_cut, 0, sizeof(limited) / sizeof(limited[0]));
	tcase_add_test(tests, header_is_limited);
	tcase_add_test(tests, white_space_is_given_back);
	suite_add_tcase(suite, tests);
	return tap_run(suite);
}
