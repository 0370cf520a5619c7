/* karma: the burst, the rate for long, what a read costs, other limits, and no overflow. Time is a number here. */
#include "tests/dialect/tap.h"
#include "worker/karma.h"

static const struct karma_limit limit = { .rate = 1000, .burst = 10000 };

/* So that one read costs so many bytes in all. */
static void
charge(struct karma *karma, const struct karma_limit *of, uint64_t now, size_t bytes)
{
	karma_charge(karma, of, now, bytes - KARMA_READ_COST);
}

START_TEST(burst)
{
	struct karma karma = { 0 };

	ck_assert(!karma_is_over(&karma, &limit, 5000));
	charge(&karma, &limit, 5000, 9999);
	ck_assert(!karma_is_over(&karma, &limit, 5000));
	charge(&karma, &limit, 5001, KARMA_READ_COST);
	ck_assert(karma_is_over(&karma, &limit, 5001));
}
END_TEST

START_TEST(exactly_the_burst_is_not_over)
{
	struct karma karma = { 0 };

	charge(&karma, &limit, 5000, 10000);
	ck_assert(!karma_is_over(&karma, &limit, 5000));
	karma = (struct karma){ 0 };
	charge(&karma, &limit, 5000, 10001);
	ck_assert(karma_is_over(&karma, &limit, 5000));
	ck_assert(!karma_is_over(&karma, &limit, 5001));
}
END_TEST

/* What is above the burst is paid at the rate, to the millisecond. */
START_TEST(debt_is_paid)
{
	struct karma karma = { 0 };

	charge(&karma, &limit, 1000000, 12500);
	ck_assert(karma_is_over(&karma, &limit, 1000000));
	ck_assert(karma_is_over(&karma, &limit, 1002499));
	ck_assert(!karma_is_over(&karma, &limit, 1002500));
	/* Now all of the burst is owed, so there is nothing to spare. */
	charge(&karma, &limit, 1002500, KARMA_READ_COST);
	ck_assert(karma_is_over(&karma, &limit, 1002500));
}
END_TEST

/* However long it was silent, no more than the burst has come back. */
START_TEST(silence_saves_no_more_than_the_burst)
{
	struct karma karma = { 0 };

	charge(&karma, &limit, 1, 10000);
	charge(&karma, &limit, UINT64_C(1) << 42, 10001);
	ck_assert(karma_is_over(&karma, &limit, UINT64_C(1) << 42));
}
END_TEST

/* One that always has more to send, for an hour: what it gets through is the burst, the rate, and one read. */
static uint64_t
flood(const struct karma_limit *of, size_t read, uint64_t milliseconds, unsigned *reads_r)
{
	struct karma karma = { 0 };
	uint64_t sent = 0, now = 7;

	*reads_r = 0;
	while (now < 7 + milliseconds) {
		while (!karma_is_over(&karma, of, now)) {
			karma_charge(&karma, of, now, read);
			sent += read + KARMA_READ_COST;
			++*reads_r;
		}
		now += karma_pause(of, read);
	}
	return sent;
}

START_TEST(for_long)
{
	static const struct karma_limit usual = { 65536, 524288 }, slow = { 1024, 65536 }, fast = { 10000000, 65536 };
	static const struct { const struct karma_limit *limit; size_t read; unsigned reads; } cases[] = {
		{ &usual, 16384, 14500 },	/* four a second: what one that never ends costs */
		{ &usual, 1, 3640000 },		/* a byte at a time: a thousand */
		{ &slow, 16384, 230 },
		{ &fast, 16384, 2200000 },
	};

	for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		const struct karma_limit *of = cases[i].limit;
		unsigned reads;
		uint64_t sent = flood(of, cases[i].read, 3600000, &reads);

		ck_assert_uint_ge(sent, (uint64_t)of->rate * 3600 * 99 / 100);
		ck_assert_uint_le(sent, (uint64_t)of->rate * 3600 + of->burst + cases[i].read + KARMA_READ_COST);
		ck_assert_uint_le(reads, cases[i].reads);
	}
}
END_TEST

START_TEST(after_the_pause_it_is_paid)
{
	static const uint32_t rates[] = { 20000, 65535, 65536, 1000003, UINT32_MAX };

	for (unsigned i = 0; i < sizeof rates / sizeof rates[0]; i++) {
		const struct karma_limit of = { rates[i], 65536 };
		struct karma karma = { 0 };

		charge(&karma, &of, 100, 65536);
		ck_assert(!karma_is_over(&karma, &of, 100));
		karma_charge(&karma, &of, 100, 16384);
		ck_assert(karma_is_over(&karma, &of, 100));
		ck_assert(!karma_is_over(&karma, &of, 100 + karma_pause(&of, 16384)));
	}
	ck_assert_uint_eq(karma_pause(&(struct karma_limit){ 65536, 65536 }, 16384), 251);
	ck_assert_uint_eq(karma_pause(&(struct karma_limit){ 1024, 65536 }, 16384), 1000);
	ck_assert_uint_eq(karma_pause(&(struct karma_limit){ UINT32_MAX, 65536 }, 16384), 1);
	ck_assert_uint_eq(karma_pause(&(struct karma_limit){ 0, 0 }, 16384), 1);
}
END_TEST

START_TEST(unlimited)
{
	static const struct karma_limit none = { 0, 0 };
	struct karma karma = { 0 };

	for (unsigned i = 0; i < 1000; i++)
		karma_charge(&karma, &none, 1000, SIZE_MAX / 2);
	ck_assert(!karma_is_over(&karma, &none, 1000));
}
END_TEST

START_TEST(large_numbers)
{
	static const struct karma_limit large = { UINT32_MAX, UINT32_MAX }, small = { 1, UINT32_MAX };
	struct karma karma = { 0 };
	uint64_t century = UINT64_C(1000) * 3600 * 24 * 36525;

	karma_charge(&karma, &large, century, UINT32_MAX);
	ck_assert(karma_is_over(&karma, &large, century));
	ck_assert(!karma_is_over(&karma, &large, century + 1));
	karma = (struct karma){ 0 };
	karma_charge(&karma, &small, century, UINT32_MAX);
	ck_assert(karma_is_over(&karma, &small, century));
	ck_assert(karma_is_over(&karma, &small, century + 63999));
	ck_assert(!karma_is_over(&karma, &small, century + 64000));
}
END_TEST

/* The debt is a number of bytes, not a time: neither a faster nor a slower rate makes it more. */
START_TEST(other_limits)
{
	static const struct karma_limit fast = { 100000, 10000 }, slow = { 10, 10000 }, short_burst = { 1000, 2000 },
	    none = { 0, 0 };
	static const struct karma_limit *const others[] = { &fast, &slow };

	for (unsigned i = 0; i < 2; i++) {
		struct karma karma = { 0 };

		charge(&karma, &limit, 5000, 9000);
		karma_change(&karma, &limit, others[i], 5000);
		ck_assert(!karma_is_over(&karma, others[i], 5000));
		charge(&karma, others[i], 5000, 1000);
		ck_assert(!karma_is_over(&karma, others[i], 5000));
		karma_charge(&karma, others[i], 5000, 0);
		ck_assert(karma_is_over(&karma, others[i], 5000));
	}
	{
		struct karma karma = { 0 };

		/* Not over by the change itself; by the next read. */
		charge(&karma, &limit, 5000, 9000);
		karma_change(&karma, &limit, &short_burst, 5000);
		ck_assert(!karma_is_over(&karma, &short_burst, 5000));
		karma_charge(&karma, &short_burst, 5000, 0);
		ck_assert(karma_is_over(&karma, &short_burst, 5000));
		/* Off and on again: all is forgiven. */
		karma_change(&karma, &short_burst, &none, 5000);
		ck_assert(!karma_is_over(&karma, &none, 5000));
		karma_change(&karma, &none, &limit, 5000);
		charge(&karma, &limit, 5000, 10000);
		ck_assert(!karma_is_over(&karma, &limit, 5000));
	}
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("karma");
	TCase *tests = tcase_create("karma");

	tcase_add_test(tests, burst);
	tcase_add_test(tests, exactly_the_burst_is_not_over);
	tcase_add_test(tests, debt_is_paid);
	tcase_add_test(tests, silence_saves_no_more_than_the_burst);
	tcase_add_test(tests, for_long);
	tcase_add_test(tests, after_the_pause_it_is_paid);
	tcase_add_test(tests, unlimited);
	tcase_add_test(tests, large_numbers);
	tcase_add_test(tests, other_limits);
	suite_add_tcase(suite, tests);
	return tap_run(suite);
}
