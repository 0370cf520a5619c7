/* trim: the heap is walked when a busy moment is over, not during one, and not for little. */
#include "common/trim.h"
#include "tests/common/turn.h"
#include "tests/dialect/tap.h"

static struct loop loop;
static struct trim trim;

static void
setup(void)
{
	ck_assert_int_eq(loop_init(&loop), 0);
	trim_init(&trim, &loop);
}

static void
teardown(void)
{
	trim_deinit(&trim);
	trim_deinit(&trim);
	ck_assert(!timer_is_set(&trim.timer));
	loop_deinit(&loop);
}

static void
time_passes(void)
{
	timer_is_due(&loop, &trim.timer);
	loop_turn(&loop);
}

START_TEST(little_is_not_worth_it)
{
	for (size_t busy = 0; busy <= 16; busy++)
		trim_note(&trim, busy);
	trim_note(&trim, 0);
	ck_assert(!timer_is_set(&trim.timer));
}
END_TEST

START_TEST(trimmed_once_when_it_is_over)
{
	trim_note(&trim, 1000);
	trim_note(&trim, 3);
	ck_assert(timer_is_set(&trim.timer));
	ck_assert_uint_eq(trim.count, 0);
	time_passes();
	ck_assert_uint_eq(trim.count, 1);
	ck_assert(!timer_is_set(&trim.timer));
	trim_note(&trim, 2);
	ck_assert(!timer_is_set(&trim.timer));
}
END_TEST

START_TEST(not_while_it_lasts)
{
	trim_note(&trim, 1000);
	for (int i = 0; i < 5; i++) {
		trim_note(&trim, 900);
		trim_note(&trim, 800);
		time_passes();
		ck_assert_uint_eq(trim.count, 0);
		ck_assert(timer_is_set(&trim.timer));
	}
	trim_note(&trim, 0);
	time_passes();
	ck_assert_uint_eq(trim.count, 1);
	ck_assert(!timer_is_set(&trim.timer));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("trim");
	TCase *tests = tcase_create("trim");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, little_is_not_worth_it);
	tcase_add_test(tests, trimmed_once_when_it_is_over);
	tcase_add_test(tests, not_while_it_lasts);
	suite_add_tcase(suite, tests);
	return tap_run(suite);
}
