/* rate: so much at once, so much a second, and no overflow. */
#include "common/rate.h"
#include "tests/dialect/tap.h"

static const struct rate_limit limit = { .burst = 100, .per_second = 10 };

START_TEST(at_once_and_for_long)
{
	struct rate rate = { 0 };

	ck_assert(rate_take(&rate, &limit, 5000, 60));
	ck_assert(rate_take(&rate, &limit, 5000, 40));
	ck_assert(!rate_take(&rate, &limit, 5000, 1));
	ck_assert(!rate_take(&rate, &limit, 5099, 1));
	ck_assert(rate_take(&rate, &limit, 5100, 1));
	ck_assert(!rate_take(&rate, &limit, 5100, 1));
	/* What was refused costs nothing. */
	ck_assert(!rate_take(&rate, &limit, 6100, 11));
	ck_assert(rate_take(&rate, &limit, 6100, 10));
	ck_assert(!rate_take(&rate, &limit, 6100, 1));
}
END_TEST

START_TEST(no_more_than_the_burst_comes_back)
{
	struct rate rate = { 0 };

	ck_assert(rate_take(&rate, &limit, 1, 100));
	ck_assert(!rate_take(&rate, &limit, UINT64_MAX - 1, 101));
	ck_assert(rate_take(&rate, &limit, UINT64_MAX - 1, 100));
	ck_assert(!rate_take(&rate, &limit, UINT64_MAX, 1));
}
END_TEST

START_TEST(large_numbers)
{
	static const struct rate_limit large = { UINT32_MAX, UINT32_MAX };
	struct rate rate = { 0 };

	ck_assert(rate_take(&rate, &large, 0, UINT32_MAX));
	ck_assert(!rate_take(&rate, &large, 0, UINT32_MAX));
	ck_assert(rate_take(&rate, &large, 1000, UINT32_MAX));
	ck_assert(rate_take(&rate, &large, UINT64_MAX, UINT32_MAX));
}
END_TEST

START_TEST(nothing_comes_back)
{
	static const struct rate_limit once = { 2, 0 };
	struct rate rate = { 0 };

	ck_assert(rate_take(&rate, &once, 0, 2));
	ck_assert(!rate_take(&rate, &once, UINT64_MAX, 1));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("rate");
	TCase *tests = tcase_create("rate");

	tcase_add_test(tests, at_once_and_for_long);
	tcase_add_test(tests, no_more_than_the_burst_comes_back);
	tcase_add_test(tests, large_numbers);
	tcase_add_test(tests, nothing_comes_back);
	suite_add_tcase(suite, tests);
	return tap_run(suite);
}
