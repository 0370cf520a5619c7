/*
 * unsettled: which packets are settled by what is seen of a client's TCP, and when.
 */
#include <stdlib.h>

#include "tests/dialect/tap.h"
#include "worker/unsettled.h"

#define DELAY 1000
#define START 77	/* a clock is never at 0 */

START_TEST(settled_behind_the_delay)
{
	struct unsettled unsettled = { 0 };

	ck_assert(unsettled_is_empty(&unsettled));
	unsettled_add(&unsettled, 1, 100);
	unsettled_add(&unsettled, 2, 150);
	unsettled_add(&unsettled, 5, 300);
	ck_assert_uint_eq(unsettled_look(&unsettled, 299, START, DELAY), 0);
	/* What was seen too short a while ago is neither believed nor forgotten. */
	ck_assert_uint_eq(unsettled_look(&unsettled, 300, START + DELAY - 1, DELAY), 0);
	ck_assert_uint_eq(unsettled_look(&unsettled, 300, START + DELAY, DELAY), 2);
	ck_assert(!unsettled_is_empty(&unsettled));
	ck_assert_uint_eq(unsettled_look(&unsettled, 300, START + 2 * DELAY, DELAY), 5);
	ck_assert(unsettled_is_empty(&unsettled));
	unsettled_deinit(&unsettled);
}
END_TEST

/* A look of long ago says nothing of what was sent since. */
START_TEST(a_stale_look)
{
	struct unsettled unsettled = { 0 };

	unsettled_add(&unsettled, 1, 100);
	unsettled_look(&unsettled, 100, START, DELAY);
	ck_assert_uint_eq(unsettled_look(&unsettled, 100, START + DELAY, DELAY), 1);
	unsettled_add(&unsettled, 2, 200);
	ck_assert_uint_eq(unsettled_look(&unsettled, 200, START + 50 * DELAY, DELAY), 0);
	ck_assert_uint_eq(unsettled_look(&unsettled, 200, START + 51 * DELAY - 1, DELAY), 0);
	ck_assert_uint_eq(unsettled_look(&unsettled, 200, START + 51 * DELAY, DELAY), 2);
	unsettled_deinit(&unsettled);
}
END_TEST

START_TEST(closed_in_good_order)
{
	struct unsettled unsettled = { 0 };

	unsettled_add(&unsettled, 1, 100);
	unsettled_add(&unsettled, 2, 200);
	ck_assert_uint_eq(unsettled_finish(&unsettled, 99), 0);
	ck_assert_uint_eq(unsettled_finish(&unsettled, 199), 1);
	ck_assert_uint_eq(unsettled_finish(&unsettled, 200), 2);
	ck_assert_uint_eq(unsettled_finish(&unsettled, 200), 0);
	ck_assert(unsettled_is_empty(&unsettled));
	unsettled_deinit(&unsettled);
}
END_TEST

START_TEST(no_delay)
{
	struct unsettled unsettled = { 0 };

	unsettled_add(&unsettled, 1, 100);
	ck_assert_uint_eq(unsettled_look(&unsettled, 99, START, 0), 0);
	ck_assert_uint_eq(unsettled_look(&unsettled, 100, START, 0), 1);
	unsettled_deinit(&unsettled);
}
END_TEST

/* Of one record: one mark, and the last number. */
START_TEST(together)
{
	struct unsettled unsettled = { 0 };

	for (uint64_t number = 1; number <= 1000; number++)
		unsettled_add(&unsettled, number, 4096);
	ck_assert_uint_eq(buffer_length(&unsettled.marks), sizeof(struct unsettled_mark));
	ck_assert_uint_eq(unsettled_finish(&unsettled, 4096), 1000);
	unsettled_deinit(&unsettled);
}
END_TEST

/*
 * Held against its law, whatever is sent and acknowledged and however often somebody looks: nothing is settled that was
 * not acknowledged at least DELAY ago; and everything is that was acknowledged two delays and two looks ago.
 */
#define PACKETS 4000

static struct {
	uint64_t end, acknowledged_at;
} packets[PACKETS + 1];

static void
check_law(uint64_t settled, uint64_t now, uint64_t longest)
{
	ck_assert(settled == 0 || now - packets[settled].acknowledged_at >= DELAY);
	if (settled < PACKETS && packets[settled + 1].acknowledged_at != 0)
		ck_assert_uint_le(now - packets[settled + 1].acknowledged_at, 2 * DELAY + 2 * longest);
}

START_TEST(law)
{
	struct unsettled unsettled = { 0 };
	uint64_t now = START, settled = 0, sent = 0, acknowledged = 0, bytes = 0, longest = (uint64_t)_i * 300 + 1;

	srand((unsigned)_i + 1);
	for (unsigned i = 0; i <= PACKETS; i++)
		packets[i].end = packets[i].acknowledged_at = 0;
	while (settled < PACKETS) {
		uint64_t number;

		for (unsigned count = (unsigned)rand() % 5; count > 0 && sent < PACKETS; count--) {
			bytes += 1 + (uint64_t)rand() % 100;
			packets[++sent].end = bytes;
			unsettled_add(&unsettled, sent, bytes);
		}
		for (unsigned count = (unsigned)rand() % 6; count > 0 && acknowledged < sent; count--)
			packets[++acknowledged].acknowledged_at = now;
		number = unsettled_look(&unsettled, packets[acknowledged].end, now, DELAY);
		ck_assert(number == 0 || number > settled);
		settled = number > 0 ? number : settled;
		check_law(settled, now, longest);
		now += 1 + (uint64_t)rand() % longest;
	}
	ck_assert(unsettled_is_empty(&unsettled));
	unsettled_deinit(&unsettled);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("unsettled");
	TCase *tests = tcase_create("unsettled");

	tcase_add_test(tests, settled_behind_the_delay);
	tcase_add_test(tests, a_stale_look);
	tcase_add_test(tests, closed_in_good_order);
	tcase_add_test(tests, no_delay);
	tcase_add_test(tests, together);
	tcase_add_loop_test(tests, law, 0, 10);
	suite_add_tcase(suite, tests);
	return tap_run(suite);
}
