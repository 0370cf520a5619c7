/* prefix_table: what was put in is found, what was taken out is not, and the buckets follow. */
#include "common/prefix_table.h"

#include <string.h>

#include "tests/dialect/tap.h"

#define MANY 20000

static struct prefix_table table;
static struct prefix_node nodes[MANY];

static void
setup(void)
{
	memset(nodes, 0, sizeof nodes);
	ck_assert_int_eq(prefix_table_init(&table), 0);
}

static void
teardown(void)
{
	prefix_table_deinit(&table);
	prefix_table_deinit(&table);
}

static struct prefix
prefix_of(unsigned number, uint8_t length)
{
	struct in6_addr address = { .s6_addr = { 0x20, 1, 0xd, 0xb8, (uint8_t)(number >> 16), (uint8_t)(number >> 8),
	    (uint8_t)number } };

	return prefix_around(&address, length);
}

START_TEST(in_and_out)
{
	size_t buckets = table.bucket_count;

	for (unsigned i = 0; i < MANY; i++) {
		nodes[i].prefix = prefix_of(i, 64);
		ck_assert_ptr_null(prefix_table_find(&table, &nodes[i].prefix));
		prefix_table_add(&table, &nodes[i]);
	}
	ck_assert_uint_ge(table.bucket_count, MANY);
	for (unsigned i = 0; i < MANY; i++) {
		struct prefix other = prefix_of(i, 63);

		ck_assert_ptr_eq(prefix_table_find(&table, &nodes[i].prefix), &nodes[i]);
		ck_assert_ptr_null(prefix_table_find(&table, &other));
	}
	for (unsigned i = 0; i < MANY; i++) {
		prefix_table_remove(&table, &nodes[i]);
		ck_assert_ptr_null(prefix_table_find(&table, &nodes[i].prefix));
		if (i + 1 < MANY)
			ck_assert_ptr_eq(prefix_table_find(&table, &nodes[i + 1].prefix), &nodes[i + 1]);
	}
	ck_assert_uint_eq(table.count, 0);
	ck_assert_uint_eq(table.bucket_count, buckets);
}
END_TEST

START_TEST(another_start_another_order)
{
	struct prefix_table other;

	ck_assert_int_eq(prefix_table_init(&other), 0);
	ck_assert(memcmp(&table.key, &other.key, sizeof table.key) != 0);
	prefix_table_deinit(&other);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("prefix_table");
	TCase *tests = tcase_create("prefix_table");

	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, in_and_out);
	tcase_add_test(tests, another_start_another_order);
	suite_add_tcase(suite, tests);
	return tap_run(suite);
}
