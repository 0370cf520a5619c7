/* fold: what is written when lines come and time goes by: "LINE" was written at once, "=LINE" is a count. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/fold.h"
#include "tests/dialect/tap.h"

static struct fold *fold;
static char said[64 * 1024];

static void
say(const char *mark, const char *role, const char *line)
{
	size_t length = strlen(said);

	snprintf(said + length, sizeof said - length, "%s%s:%s|", mark, role, line);
}

static void
line_at(uint64_t now, int level, const char *role, const char *line)
{
	struct fold_notice notice;
	bool due, fresh = fold_line(fold, now, level, role, line, &notice, &due);

	if (due)
		say("=", notice.role, notice.line);
	if (fresh)
		say("", role, line);
}

static void
time_is(uint64_t now)
{
	struct fold_notice notice;

	while (fold_next(fold, now, &notice))
		say("=", notice.role, notice.line);
}

static void
expect(const char *wanted)
{
	ck_assert_str_eq(said, wanted);
	said[0] = '\0';
}

static void
setup(void)
{
	fold = calloc(1, sizeof *fold);
	said[0] = '\0';
}

static void
teardown(void)
{
	free(fold);
}

START_TEST(repeats_are_counted)
{
	line_at(1000, 1, "m", "a");
	line_at(1001, 1, "m", "a");
	line_at(3001, 1, "m", "a");
	expect("m:a|");
	ck_assert_uint_eq(fold_due(fold), 1000 + FOLD_TIME);
	time_is(1000 + FOLD_TIME - 1);
	expect("");
	time_is(1000 + FOLD_TIME);
	expect("=m:a repeated=2 seconds=3|");
	ck_assert_uint_eq(fold_due(fold), UINT64_MAX);
	/* It goes on: the count is told again after the same time. */
	line_at(1000 + FOLD_TIME + 5, 1, "m", "a");
	expect("");
	time_is(1000 + 2 * FOLD_TIME);
	expect("=m:a repeated=1 seconds=1|");
	/* It is over: after that time it is new. */
	line_at(1000 + 3 * FOLD_TIME, 1, "m", "a");
	expect("m:a|");
}
END_TEST

START_TEST(a_line_alone_is_never_told_again)
{
	line_at(0, 1, "m", "a");
	line_at(FOLD_TIME, 1, "m", "a");
	line_at(2 * FOLD_TIME, 1, "m", "a");
	time_is(UINT64_MAX);
	expect("m:a|m:a|m:a|");
	ck_assert_uint_eq(fold_due(fold), UINT64_MAX);
}
END_TEST

START_TEST(others_may_come_in_between)
{
	for (uint64_t now = 0; now < 5; now++) {
		line_at(now, 1, "m", "a");
		line_at(now, 1, "m", "b");
		line_at(now, 1, "m", now == 2 ? "once" : "c");
	}
	expect("m:a|m:b|m:c|m:once|");
	time_is(UINT64_MAX);
	expect("=m:a repeated=4 seconds=1|=m:b repeated=4 seconds=1|=m:c repeated=3 seconds=1|");
}
END_TEST

START_TEST(the_same_is_what_has_the_same_level_and_role)
{
	line_at(0, 1, "m", "a");
	line_at(0, 2, "m", "a");
	line_at(0, 1, "w", "a");
	line_at(0, 1, "ma", "");
	expect("m:a|m:a|w:a|ma:|");
}
END_TEST

/* The timer of the owner may be late: nothing is lost, nothing is written twice. */
START_TEST(told_late)
{
	line_at(0, 1, "m", "a");
	line_at(1, 1, "m", "a");
	line_at(5 * FOLD_TIME, 1, "m", "a");
	expect("m:a|");
	time_is(5 * FOLD_TIME);
	expect("=m:a repeated=2 seconds=150|");
}
END_TEST

static void
number_line(uint64_t now, unsigned number)
{
	char line[16];

	snprintf(line, sizeof line, "%u", number);
	line_at(now, 1, "m", line);
}

/* What has been repeated stays, however many others come; what has not is forgotten, the oldest first. */
START_TEST(many_lines)
{
	line_at(0, 1, "m", "a");
	line_at(1, 1, "m", "a");
	for (unsigned i = 0; i < 1000; i++)
		number_line(2 + i, i);
	said[0] = '\0';
	line_at(2000, 1, "m", "a");
	number_line(2000, 999);
	number_line(2000, 1000 - (FOLD_LINES - 1));
	expect("");
	number_line(2000, 1000 - FOLD_LINES);
	expect("m:936|");
}
END_TEST

/* Each count is told, none twice. */
START_TEST(more_repeats_than_room)
{
	char wanted[64];

	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < FOLD_LINES; i++)
			number_line(i, i);
	}
	said[0] = '\0';
	line_at(1000, 1, "m", "new");
	snprintf(wanted, sizeof wanted, "=m:0 repeated=1 seconds=0|m:new|");
	expect(wanted);
	time_is(UINT64_MAX);
	ck_assert_ptr_null(strstr(said, "=m:0 "));
	ck_assert_ptr_nonnull(strstr(said, "=m:1 repeated=1 seconds=0|"));
	ck_assert_ptr_nonnull(strstr(said, "=m:63 repeated=1 seconds=0|"));
}
END_TEST

/* A line as long as they come has room for its count; one that is longer is written each time. */
START_TEST(long_lines)
{
	char line[SINK_LINE_MAX + 1];

	memset(line, 'x', SINK_LINE_MAX);
	line[SINK_LINE_MAX] = '\0';
	line_at(0, 1, "m", line);
	line_at(0, 1, "m", line);
	ck_assert_uint_eq(strlen(said), 2 * (SINK_LINE_MAX + strlen("m:|")));
	said[0] = '\0';
	line[SINK_LINE_MAX - 1] = '\0';
	line_at(0, 1, "m", line);
	line_at(0, 1, "m", line);
	said[0] = '\0';
	time_is(UINT64_MAX);
	ck_assert_uint_eq(strlen(said), strlen("=m:|") + SINK_LINE_MAX - 1);
	ck_assert_ptr_nonnull(strstr(said, "x repeated=1 seconds=0|"));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("fold");
	TCase *tests = tcase_create("fold");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, repeats_are_counted);
	tcase_add_test(tests, a_line_alone_is_never_told_again);
	tcase_add_test(tests, others_may_come_in_between);
	tcase_add_test(tests, the_same_is_what_has_the_same_level_and_role);
	tcase_add_test(tests, told_late);
	tcase_add_test(tests, many_lines);
	tcase_add_test(tests, more_repeats_than_room);
	tcase_add_test(tests, long_lines);
	suite_add_tcase(suite, tests);
	return tap_run(suite);
}
