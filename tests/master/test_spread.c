/* spread: nobody waits longer than the time, at an even pace, and whoever has gone or stays is passed over. */
#include <stdlib.h>
#include <string.h>

#include "master/spread.h"
#include "tests/common/turn.h"
#include "tests/dialect/tap.h"

#define MANY 200
#define TIME 30000

static struct loop loop;
static struct directory directory;
static struct spread spread;
static unsigned ended[END_REASON_COUNT];

static void
on_due(struct spread *which, struct entry *entry, enum end_reason reason)
{
	ck_assert_ptr_eq(which, &spread);
	ended[reason]++;
	directory_leaves(&directory, entry, reason);
}

static void
setup(void)
{
	memset(ended, 0, sizeof ended);
	ck_assert_int_eq(loop_init(&loop), 0);
	ck_assert_int_eq(directory_init(&directory, 2), 0);
	spread = (struct spread){ .loop = &loop, .directory = &directory, .on_due = on_due };
	spread_change(&spread, TIME);
}

static void
teardown(void)
{
	spread_deinit(&spread);
	directory_deinit(&directory);
	loop_deinit(&loop);
}

static struct entry *
add(enum end_reason reason)
{
	struct entry *entry = directory_add(&directory, directory.count % 2);

	ck_assert_ptr_nonnull(entry);
	spread_add(&spread, entry, reason);
	return entry;
}

/* As if so much time had gone by since it was looked at. */
static void
pass(uint64_t milliseconds)
{
	spread.last = spread.last > milliseconds ? spread.last - milliseconds : 0;
	timer_is_due(&loop, &spread.timer);
	loop_turn(&loop);
	loop_turn(&loop);
}

/* Real time passes, too; and the first of them is due somewhere in its share. */
static void
assert_ended(unsigned expected)
{
	ck_assert_uint_ge(ended[END_FORGOTTEN] + 2, expected);
	ck_assert_uint_le(ended[END_FORGOTTEN], expected + 2);
}

START_TEST(evenly)
{
	for (unsigned i = 0; i < MANY; i++)
		ck_assert(add(END_FORGOTTEN)->due);
	for (unsigned part = 1; part <= 10; part++) {
		pass(TIME / 10);
		assert_ended(part * MANY / 10);
	}
	pass(TIME / MANY);
	ck_assert_uint_eq(ended[END_FORGOTTEN], MANY);
	ck_assert(!timer_is_set(&spread.timer));
	ck_assert_ptr_null(spread.places);
}
END_TEST

START_TEST(all_together)
{
	spread_change(&spread, 0);
	for (unsigned i = 0; i < MANY; i++)
		add(END_HOLD);
	ck_assert_uint_eq(ended[END_HOLD], 0);
	loop_turn(&loop);
	ck_assert_uint_eq(ended[END_HOLD], MANY);
}
END_TEST

START_TEST(who_has_gone_and_who_stays)
{
	struct entry *entries[MANY];

	for (unsigned i = 0; i < MANY; i++)
		entries[i] = add(i % 4 == 3 ? END_HOLD : END_FORGOTTEN);
	for (unsigned i = 0; i < MANY; i += 4) {
		directory_remove(&directory, entries[i]);
		spread_drop(&spread, entries[i + 1]);
	}
	/* Somebody else in their places. */
	for (unsigned i = 0; i < MANY / 4; i++)
		ck_assert_ptr_nonnull(directory_add(&directory, i % 2));
	ck_assert_uint_eq(spread_cancel(&spread, END_HOLD), MANY / 4);
	ck_assert_uint_eq(spread_cancel(&spread, END_HOLD), 0);
	pass(2 * TIME);
	ck_assert_uint_eq(ended[END_FORGOTTEN], MANY / 4);
	ck_assert_uint_eq(ended[END_HOLD], 0);
	ck_assert_ptr_null(spread.places);
	ck_assert(!entries[1]->due && !entries[3]->due && entries[2]->closing);
}
END_TEST

/* Nobody who was there before waits longer for that. */
START_TEST(one_more_in_the_middle)
{
	for (unsigned i = 0; i < MANY; i++)
		add(END_FORGOTTEN);
	pass(TIME / 2);
	add(END_FORGOTTEN);
	pass(TIME / 2);
	assert_ended(MANY);
	pass(2 * TIME / MANY);
	ck_assert_uint_eq(ended[END_FORGOTTEN], MANY + 1);
}
END_TEST

/* Who is alone waits as well, for some part of the time: else all who are alone would come back at once. */
START_TEST(alone)
{
	for (unsigned i = 0; i < 20; i++) {
		add(END_FORGOTTEN);
		pass(0);
		spread_clear(&spread);
	}
	ck_assert_uint_lt(ended[END_FORGOTTEN], 20);
	add(END_FORGOTTEN);
	pass(2 * TIME);
	ck_assert_ptr_null(spread.places);
}
END_TEST

START_TEST(once)
{
	struct entry *entry = add(END_FORGOTTEN);

	spread_add(&spread, entry, END_HOLD);
	ck_assert_uint_eq(spread.count, 1);
	ck_assert_uint_eq(entry->close_reason, END_FORGOTTEN);
	pass(2 * TIME);
	ck_assert_uint_eq(ended[END_FORGOTTEN], 1);
	/* It is told to go already. */
	spread_add(&spread, entry, END_HOLD);
	ck_assert_uint_eq(spread.count, 0);
}
END_TEST

START_TEST(another_id)
{
	struct entry *entry = add(END_HOLD), *other = directory_add(&directory, 0);

	directory_renew(&directory, entry);
	spread_renewed(&spread, entry);
	spread_renewed(&spread, other);
	ck_assert(entry->due && !other->due);
	pass(3 * TIME);
	pass(3 * TIME);
	ck_assert_uint_eq(ended[END_HOLD], 1);
	ck_assert(entry->closing);
}
END_TEST

START_TEST(another_time)
{
	for (unsigned i = 0; i < MANY; i++)
		add(END_FORGOTTEN);
	spread_change(&spread, 86400000);
	pass(TIME);
	ck_assert_uint_le(ended[END_FORGOTTEN], 2);
	spread_change(&spread, 0);
	loop_turn(&loop);
	ck_assert_uint_eq(ended[END_FORGOTTEN], MANY);
}
END_TEST

START_TEST(nobody_waits_any_more)
{
	struct entry *entry = add(END_FORGOTTEN);

	spread_clear(&spread);
	ck_assert(!entry->due && !timer_is_set(&spread.timer));
	spread_clear(&spread);
	/* And it begins anew. */
	spread_add(&spread, entry, END_HOLD);
	pass(2 * TIME);
	ck_assert_uint_eq(ended[END_HOLD], 1);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("spread");
	TCase *tests = tcase_create("spread");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, evenly);
	tcase_add_test(tests, all_together);
	tcase_add_test(tests, who_has_gone_and_who_stays);
	tcase_add_test(tests, one_more_in_the_middle);
	tcase_add_test(tests, alone);
	tcase_add_test(tests, once);
	tcase_add_test(tests, another_id);
	tcase_add_test(tests, another_time);
	tcase_add_test(tests, nobody_waits_any_more);
	suite_add_tcase(suite, tests);
	return tap_run(suite);
}
