/* tickets: that keys come in and go in order, that they are all different, and that nothing of them stays. */
#include <string.h>

#include "master/tickets.h"
#include "tests/common/remains.h"
#include "tests/common/turn.h"
#include "tests/dialect/tap.h"

#define PERIOD 3600000

static struct loop loop;
static struct tickets tickets;
static unsigned rotated;

static void
on_rotated(struct tickets *told)
{
	ck_assert_ptr_eq(told, &tickets);
	rotated++;
}

static void
setup(void)
{
	rotated = 0;
	ck_assert_int_eq(loop_init(&loop), 0);
	tickets = (struct tickets){ .on_rotated = on_rotated };
	ck_assert_int_eq(tickets_init(&tickets, &loop, PERIOD), 0);
}

static void
teardown(void)
{
	tickets_deinit(&tickets);
	tickets_deinit(&tickets);
	loop_deinit(&loop);
}

static void
rotate(void)
{
	unsigned before = rotated;

	timer_is_due(&loop, &tickets.rotate);
	loop_turn(&loop);
	ck_assert_uint_eq(rotated, before + 1);
}

static const uint8_t *
key(unsigned place)
{
	return tickets.keys.bytes + (size_t)place * TICKET_KEY_SIZE;
}

START_TEST(the_first_ones)
{
	static const uint8_t none[TICKET_KEY_SIZE];

	ck_assert_uint_eq(tickets.count, 2);
	ck_assert_mem_ne(key(0), key(1), TICKET_KEY_SIZE);
	ck_assert_mem_ne(key(0), none, TICKET_KEY_SIZE);
	ck_assert_mem_ne(key(1), none, TICKET_KEY_SIZE);
	ck_assert_mem_eq(key(2), none, TICKET_KEY_SIZE);
	ck_assert(timer_is_set(&tickets.rotate));
}
END_TEST

/* What encrypted goes on to decrypt for one period; what will encrypt is known one period before. */
START_TEST(they_rotate)
{
	uint8_t before[3][TICKET_KEY_SIZE];

	for (unsigned i = 0; i < 5; i++) {
		memcpy(before, tickets.keys.bytes, sizeof before);
		rotate();
		ck_assert_uint_eq(tickets.count, 3);
		ck_assert_mem_eq(key(0), before[1], TICKET_KEY_SIZE);
		ck_assert_mem_eq(key(2), before[0], TICKET_KEY_SIZE);
		for (unsigned k = 0; k < 3; k++)
			ck_assert_mem_ne(key(1), before[k], TICKET_KEY_SIZE);
	}
}
END_TEST

START_TEST(the_period_counts_from_the_rotation)
{
	uint64_t due = tickets.rotate.at;

	ck_assert_uint_eq(due, tickets.since + PERIOD);
	tickets_set_period(&tickets, 2 * PERIOD);
	ck_assert_uint_eq(tickets.rotate.at, due + PERIOD);
	ck_assert_uint_eq(rotated, 0);
	tickets_set_period(&tickets, 0);
	ck_assert(!timer_is_set(&tickets.rotate));
	tickets_set_period(&tickets, PERIOD);
	rotate();
	ck_assert(timer_is_set(&tickets.rotate));
}
END_TEST

START_TEST(nothing_stays)
{
	uint8_t hidden[TICKET_KEY_SIZE];

	remains_turn(hidden, key(0), sizeof hidden);
	ck_assert_uint_eq(remains_count(hidden, sizeof hidden), 1);
	rotate();
	ck_assert_uint_eq(remains_count(hidden, sizeof hidden), 1);
	rotate();
	ck_assert_uint_eq(remains_count(hidden, sizeof hidden), 0);
	remains_turn(hidden, key(1), sizeof hidden);
	ck_assert_uint_eq(remains_count(hidden, sizeof hidden), 1);
	tickets_deinit(&tickets);
	ck_assert_uint_eq(remains_count(hidden, sizeof hidden), 0);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("tickets");
	TCase *tests = tcase_create("tickets");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, the_first_ones);
	tcase_add_test(tests, they_rotate);
	tcase_add_test(tests, the_period_counts_from_the_rotation);
	tcase_add_test(tests, nothing_stays);
	suite_add_tcase(suite, tests);
	return tap_run(suite);
}
