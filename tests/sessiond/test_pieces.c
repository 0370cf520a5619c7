/* The parts that need no link: tables, addresses, nodes, settings, and the states of a subscription. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sessiond/jid.h"
#include "sessiond/node.h"
#include "sessiond/roster.h"
#include "sessiond/subscription.h"
#include "sessiond/table.h"
#include "tests/sessiond/fake.h"

struct thing {
	struct table_entry entry;
	char name[16];
};

static struct thing *
thing_find(const struct table *table, const char *name)
{
	struct table_entry *entry = table_first(table, table_hash(name));

	while (entry != NULL && strcmp(((struct thing *)(void *)entry)->name, name) != 0)
		entry = table_next(entry);
	return (struct thing *)(void *)entry;
}

START_TEST(table_holds_thousands_and_forgets_them)
{
	enum { COUNT = 5000 };
	struct table table = { 0 };
	struct thing *things = calloc(COUNT, sizeof *things);

	ck_assert_ptr_nonnull(things);
	ck_assert_ptr_null(thing_find(&table, "0"));
	for (int i = 0; i < COUNT; i++) {
		bool inserted;

		snprintf(things[i].name, sizeof things[i].name, "%d", i);
		inserted = table_insert(&table, &things[i].entry, table_hash(things[i].name));
		ck_assert(inserted);
	}
	for (int i = 0; i < COUNT; i += 2)
		table_remove(&table, &things[i].entry);
	ck_assert_uint_eq(table.count, COUNT / 2);
	for (int i = 0; i < COUNT; i++)
		ck_assert_ptr_eq(thing_find(&table, things[i].name), i % 2 == 0 ? NULL : &things[i]);
	table_deinit(&table);
	free(things);
}
END_TEST

START_TEST(jid_is_prepared_or_refused)
{
	static const struct {
		const char *text, *full;
	} cases[] = {
		{ "localhost", "localhost" },
		{ "Alice@LOCALHOST", "alice@localhost" },
		{ "alice@localhost/Home Alone@/x", "alice@localhost/Home Alone@/x" },
		{ "alice@example.org.", "alice@example.org" },
		{ "\xc3\x89lan@localhost", "\xc3\xa9lan@localhost" },
		{ "", NULL }, { "@localhost", NULL }, { "alice@", NULL }, { "alice@localhost/", NULL },
		{ "al ice@localhost", NULL }, { "al'ice@localhost", NULL }, { "a@b@c", NULL }, { "a@ho st", NULL },
		{ "a@localhost/\x07", NULL }, { ".", NULL },
	};
	char full[JID_SIZE];
	struct jid jid;

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		bool good = jid_parse(&jid, cases[i].text);

		ck_assert_msg(good == (cases[i].full != NULL), "%s", cases[i].text);
		if (!good)
			continue;
		jid_write_full(&jid, full);
		ck_assert_str_eq(full, cases[i].full);
	}
}
END_TEST

START_TEST(jid_part_of_more_than_1023_bytes_is_refused)
{
	char text[1100];
	struct jid jid;
	bool good;

	memset(text, 'a', sizeof text);
	strcpy(text + 1023, "@localhost");
	good = jid_parse(&jid, text);
	ck_assert(good);
	memset(text, 'a', sizeof text);
	strcpy(text + 1024, "@localhost");
	good = jid_parse(&jid, text);
	ck_assert(!good);
}
END_TEST

START_TEST(node_is_written_as_it_was_meant)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{ "<a/>", "<a/>" },
		{ "<a b=\"1\" c='&lt;&amp;&#39;&#10;&#9;'>x&gt;&#13;</a>",
		  "<a b='1' c='&lt;&amp;&apos;&#10;&#9;'>x&gt;&#13;</a>" },
		{ "<a b=\"'\" c='\"'>'\"\t\n</a>", "<a b='&apos;' c='\"'>'\"\t\n</a>" },
		{ "<a xmlns='jabber:client'><b xmlns='x'><c/><d xmlns='jabber:client'/><e xmlns=''/></b></a>",
		  "<a><b xmlns='x'><c/><d xmlns='jabber:client'/><e xmlns=''/></b></a>" },
		{ "<a xmlns:p='urn:p' p:q='1'><p:r xml:lang='de'/></a>",
		  "<a xmlns:p='urn:p' p:q='1'><r xmlns='urn:p' xml:lang='de'/></a>" },
		{ "<a>1<![CDATA[<2>]]>3<!-- 4 --><b/>5</a>", "<a>1&lt;2&gt;3<b/>5</a>" },
		{ "<stream:error/>", "<error xmlns='http://etherx.jabber.org/streams'/>" },
	};
	struct arena arena = { 0 };
	struct buffer text = { 0 };
	struct node *node;

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		int result = node_parse(&arena, cases[i].in, strlen(cases[i].in), &node);

		ck_assert_int_eq(result, NODE_READ);
		buffer_clear(&text);
		node_write(&text, node, NULL, NULL);
		buffer_append(&text, "", 1);
		ck_assert_str_eq((const char *)buffer_bytes(&text), cases[i].out);
		arena_reset(&arena);
	}
	buffer_deinit(&text);
	arena_deinit(&arena);
}
END_TEST

START_TEST(node_of_broken_text_is_refused)
{
	static const char *const cases[] = {
		"", "x", "<a>", "<a></b>", "<a b='1' b='2'/>", "<p:a/>", "<a>&x;</a>", "<a>\x01</a>", "<a>\xff</a>",
		"<!DOCTYPE a><a/>", "<a b=1/>", "</s><s>",
	};
	struct arena arena = { 0 };
	struct node *node;

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		int result = node_parse(&arena, cases[i], strlen(cases[i]), &node);

		ck_assert_msg(result == NODE_MALFORMED, "%s: %d", cases[i], result);
		arena_reset(&arena);
	}
	arena_deinit(&arena);
}
END_TEST

/* The tables of RFC 6121 appendix A: state before, state after, passed on or not. */
struct transition {
	enum subscription what;
	unsigned before, after;
	bool passed;
};

#define NONE 0u
#define TO SUBSCRIPTION_TO
#define FROM SUBSCRIPTION_FROM
#define BOTH (TO | FROM)
#define OUT SUBSCRIPTION_ASKED
#define IN SUBSCRIPTION_REQUESTED
#define SUBSCRIBE SUBSCRIPTION_SUBSCRIBE
#define SUBSCRIBED SUBSCRIPTION_SUBSCRIBED
#define UNSUBSCRIBE SUBSCRIPTION_UNSUBSCRIBE
#define UNSUBSCRIBED SUBSCRIPTION_UNSUBSCRIBED

static const struct transition outbound[] = {
	{ SUBSCRIBE, NONE, OUT, true }, { SUBSCRIBE, OUT, OUT, true }, { SUBSCRIBE, IN, OUT | IN, true },
	{ SUBSCRIBE, OUT | IN, OUT | IN, true }, { SUBSCRIBE, TO, TO, true }, { SUBSCRIBE, TO | IN, TO | IN, true },
	{ SUBSCRIBE, FROM, FROM | OUT, true }, { SUBSCRIBE, FROM | OUT, FROM | OUT, true }, { SUBSCRIBE, BOTH, BOTH,
	  true },
	{ UNSUBSCRIBE, NONE, NONE, true }, { UNSUBSCRIBE, OUT, NONE, true }, { UNSUBSCRIBE, IN, IN, true },
	{ UNSUBSCRIBE, OUT | IN, IN, true }, { UNSUBSCRIBE, TO, NONE, true }, { UNSUBSCRIBE, TO | IN, IN, true },
	{ UNSUBSCRIBE, FROM, FROM, true }, { UNSUBSCRIBE, FROM | OUT, FROM, true }, { UNSUBSCRIBE, BOTH, FROM, true },
	{ SUBSCRIBED, NONE, NONE, false }, { SUBSCRIBED, OUT, OUT, false }, { SUBSCRIBED, IN, FROM, true },
	{ SUBSCRIBED, OUT | IN, FROM | OUT, true }, { SUBSCRIBED, TO, TO, false }, { SUBSCRIBED, TO | IN, BOTH, true },
	{ SUBSCRIBED, FROM, FROM, false }, { SUBSCRIBED, FROM | OUT, FROM | OUT, false }, { SUBSCRIBED, BOTH, BOTH,
	  false },
	{ UNSUBSCRIBED, NONE, NONE, false }, { UNSUBSCRIBED, OUT, OUT, false }, { UNSUBSCRIBED, IN, NONE, true },
	{ UNSUBSCRIBED, OUT | IN, OUT, true }, { UNSUBSCRIBED, TO, TO, false }, { UNSUBSCRIBED, TO | IN, TO, true },
	{ UNSUBSCRIBED, FROM, NONE, true }, { UNSUBSCRIBED, FROM | OUT, OUT, true }, { UNSUBSCRIBED, BOTH, TO, true },
};

static const struct transition inbound[] = {
	{ SUBSCRIBE, NONE, IN, true }, { SUBSCRIBE, OUT, OUT | IN, true }, { SUBSCRIBE, IN, IN, false },
	{ SUBSCRIBE, OUT | IN, OUT | IN, false }, { SUBSCRIBE, TO, TO | IN, true }, { SUBSCRIBE, TO | IN, TO | IN,
	  false },
	{ SUBSCRIBE, FROM, FROM, false }, { SUBSCRIBE, FROM | OUT, FROM | OUT, false }, { SUBSCRIBE, BOTH, BOTH,
	  false },
	{ UNSUBSCRIBE, NONE, NONE, false }, { UNSUBSCRIBE, OUT, OUT, false }, { UNSUBSCRIBE, IN, NONE, true },
	{ UNSUBSCRIBE, OUT | IN, OUT, true }, { UNSUBSCRIBE, TO, TO, false }, { UNSUBSCRIBE, TO | IN, TO, true },
	{ UNSUBSCRIBE, FROM, NONE, true }, { UNSUBSCRIBE, FROM | OUT, OUT, true }, { UNSUBSCRIBE, BOTH, TO, true },
	{ SUBSCRIBED, NONE, NONE, false }, { SUBSCRIBED, OUT, TO, true }, { SUBSCRIBED, IN, IN, false },
	{ SUBSCRIBED, OUT | IN, TO | IN, true }, { SUBSCRIBED, TO, TO, false }, { SUBSCRIBED, TO | IN, TO | IN, false },
	{ SUBSCRIBED, FROM, FROM, false }, { SUBSCRIBED, FROM | OUT, BOTH, true }, { SUBSCRIBED, BOTH, BOTH, false },
	{ UNSUBSCRIBED, NONE, NONE, false }, { UNSUBSCRIBED, OUT, NONE, true }, { UNSUBSCRIBED, IN, IN, false },
	{ UNSUBSCRIBED, OUT | IN, IN, true }, { UNSUBSCRIBED, TO, NONE, true }, { UNSUBSCRIBED, TO | IN, IN, true },
	{ UNSUBSCRIBED, FROM, FROM, false }, { UNSUBSCRIBED, FROM | OUT, FROM, true }, { UNSUBSCRIBED, BOTH, FROM,
	  true },
};

START_TEST(subscription_follows_appendix_a)
{
	const struct transition *row = _i < 36 ? &outbound[_i] : &inbound[_i - 36];
	unsigned state = row->before;
	bool passed = _i < 36 ? subscription_outbound(row->what, &state) : subscription_inbound(row->what, &state);

	ck_assert_uint_eq(state, row->after);
	ck_assert_int_eq(passed, row->passed);
}
END_TEST

START_TEST(settings_say_which_line_is_wrong)
{
	static const struct {
		const char *text;
		unsigned line;
	} cases[] = {
		{ "host=a\nname=n\nsecret=s\ndatabase=d\nregistration=maybe\n", 5 },
		{ "host=a\nname=n\nsecret=s\ndatabase=d\noffline-max=-1\n", 5 },
		{ "log=stderr\n", 1 }, { "log-level=\n", 1 }, { "log-level=loud\n", 1 }, { "log-level=Info\n", 1 },
		{ "dialect=smoke\n", 1 }, { "plain=never\n", 1 }, { "acknowledge=auto\n", 1 }, { "host=a\ncolour=red\n", 2 }, { "host\n", 1 }, { "host=\n", 1 }, { "host=a b\n", 1 },
		{ "name=n\nsecret=s\ndatabase=d\n", 0 }, { "host=a\nname=n\ndatabase=d\n", 0 },
	};
	struct settings settings;
	unsigned line;

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		char text[256];
		int error;

		strcpy(text, cases[i].text);
		error = settings_read(&settings, text, &line);
		ck_assert_int_lt(error, 0);
		ck_assert_uint_eq(line, cases[i].line);
		settings_deinit(&settings);
	}
}
END_TEST

static void __attribute__((format(printf, 2, 3)))
settings_of(struct settings *settings_r, const char *format, ...)
{
	char text[4096];
	unsigned line;
	va_list arguments;
	size_t length = (size_t)snprintf(text, sizeof text, "name=n\nsecret=s\ndatabase=d\n");

	va_start(arguments, format);
	vsnprintf(text + length, sizeof text - length, format, arguments);
	va_end(arguments);
	ck_assert_int_eq(settings_read(settings_r, text, &line), 0);
}

START_TEST(settings_change_but_for_those_of_the_start)
{
	struct settings settings, next;
	unsigned line;
	char text[] = "host=b\nhost=c\nname=other\nsecret=other\ndatabase=other\nregistration=yes\noffline-max=7\n"
	    "plain=always\nacknowledge=yes\nlog-level=error\n";

	settings_of(&settings, "host=a\nhost=B\n");
	settings.iterations = 1;
	ck_assert_int_eq(settings_read(&next, text, &line), 0);
	settings_change(&settings, &next);
	settings_deinit(&next);
	ck_assert(settings_is_open(&settings, "b") && settings_is_open(&settings, "c"));
	ck_assert(!settings_is_open(&settings, "a"));
	ck_assert(settings_has_host(&settings, "a") && settings_has_host(&settings, "c"));
	ck_assert(!settings_has_host(&settings, "d"));
	ck_assert_str_eq(settings.name, "n");
	ck_assert_str_eq(settings.secret, "s");
	ck_assert_str_eq(settings.database, "d");
	ck_assert(settings.registration);
	ck_assert(settings.plain_always);
	ck_assert(settings.acknowledge);
	ck_assert_str_eq(settings.dialect->name, "sfrom");
	ck_assert_uint_eq(settings.offline_max, 7);
	ck_assert_int_eq(settings.log_level, LOG_LEVEL_ERROR);
	ck_assert_uint_eq(settings.iterations, 1);
	settings_of(&next, "host=a\n");
	settings_change(&settings, &next);
	settings_deinit(&next);
	ck_assert(settings_is_open(&settings, "a"));
	ck_assert_uint_eq(settings.host_count, 1);
	ck_assert_uint_eq(settings.closed_count, 2);
	ck_assert(!settings.registration);
	settings_deinit(&settings);
}
END_TEST

/* However often hosts are exchanged: what is served is served, and the oldest of the rest are forgotten. */
START_TEST(closed_hosts_are_bounded)
{
	struct settings settings, next;
	char name[16];

	settings_of(&settings, "host=h0\n");
	for (unsigned i = 1; i < 300; i++) {
		settings_of(&next, "host=h%u\n", i);
		settings_change(&settings, &next);
		settings_deinit(&next);
	}
	ck_assert_uint_eq(settings.host_count, 1);
	ck_assert_uint_eq(settings.closed_count, 2 * SETTINGS_HOSTS_MAX - 1);
	for (unsigned i = 0; i < 300; i++) {
		snprintf(name, sizeof name, "h%u", i);
		ck_assert_int_eq(settings_is_open(&settings, name), i == 299);
		ck_assert_int_eq(settings_has_host(&settings, name), i >= 300 - 2 * SETTINGS_HOSTS_MAX);
	}
	settings_deinit(&settings);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("pieces");
	TCase *tests = tcase_create("pieces");

	tcase_add_test(tests, table_holds_thousands_and_forgets_them);
	tcase_add_test(tests, jid_is_prepared_or_refused);
	tcase_add_test(tests, jid_part_of_more_than_1023_bytes_is_refused);
	tcase_add_test(tests, node_is_written_as_it_was_meant);
	tcase_add_test(tests, node_of_broken_text_is_refused);
	tcase_add_loop_test(tests, subscription_follows_appendix_a, 0,
	    sizeof outbound / sizeof outbound[0] + sizeof inbound / sizeof inbound[0]);
	tcase_add_test(tests, settings_say_which_line_is_wrong);
	tcase_add_test(tests, settings_change_but_for_those_of_the_start);
	tcase_add_test(tests, closed_hosts_are_bounded);
	suite_add_tcase(suite, tests);
	return fake_run(suite);
}
