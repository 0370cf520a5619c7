/* vault: what is in it, where it is not, and that nothing stays of it. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/vault.h"
#include "tests/common/remains.h"
#include "tests/dialect/tap.h"

#define SECRET_SIZE 48

/* The flags of the mapping with that address in it, as the kernel tells them. */
static void
flags_find(const uint8_t *place, char *flags_r, size_t size)
{
	FILE *maps = fopen("/proc/self/smaps", "r");
	unsigned long long from, to;
	char line[4096];
	bool here = false;

	flags_r[0] = '\0';
	ck_assert_ptr_nonnull(maps);
	while (fgets(line, sizeof line, maps) != NULL) {
		if (sscanf(line, "%llx-%llx ", &from, &to) == 2)
			here = from <= (uintptr_t)place && (uintptr_t)place < to;
		else if (here && strncmp(line, "VmFlags:", 8) == 0)
			snprintf(flags_r, size, "%s", line);
	}
	fclose(maps);
}

START_TEST(it_is_zeroed_and_kept_out_of_dumps)
{
	struct vault vault;
	char flags[4096];

	ck_assert_int_eq(vault_init(&vault, 5000), 0);
	ck_assert_uint_eq(vault.size, 5000);
	for (size_t i = 0; i < vault.size; i++)
		ck_assert_uint_eq(vault.bytes[i], 0);
	flags_find(vault.bytes, flags, sizeof flags);
	ck_assert_msg(strstr(flags, " dd") != NULL, "%s", flags);
	vault_deinit(&vault);
	ck_assert_ptr_null(vault.bytes);
	vault_deinit(&vault);
}
END_TEST

START_TEST(nothing_stays)
{
	uint8_t hidden[SECRET_SIZE];
	struct vault vault;

	remains_invent(hidden, sizeof hidden);
	ck_assert_int_eq(vault_init(&vault, SECRET_SIZE), 0);
	remains_turn(vault.bytes, hidden, sizeof hidden);
	ck_assert_uint_eq(remains_count(hidden, sizeof hidden), 1);
	vault_deinit(&vault);
	ck_assert_uint_eq(remains_count(hidden, sizeof hidden), 0);
}
END_TEST

START_TEST(too_much)
{
	struct vault vault;

	ck_assert_int_lt(vault_init(&vault, SIZE_MAX / 2), 0);
	ck_assert_ptr_null(vault.bytes);
	vault_deinit(&vault);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("vault");
	TCase *tests = tcase_create("vault");

	tcase_add_test(tests, it_is_zeroed_and_kept_out_of_dumps);
	tcase_add_test(tests, nothing_stays);
	tcase_add_test(tests, too_much);
	suite_add_tcase(suite, tests);
	return tap_run(suite);
}
