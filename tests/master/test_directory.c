/* directory: ids that are never used again and cannot be forged, addresses, moves, growth. */
#include <stdio.h>
#include <string.h>

#include "master/directory.h"
#include "tests/dialect/tap.h"

#define MANY 100000

static struct directory directory;

static void
setup(void)
{
	ck_assert_int_eq(directory_init(&directory, 3), 0);
}

static void
teardown(void)
{
	directory_deinit(&directory);
	directory_deinit(&directory);
}

static struct entry *
add(uint32_t worker)
{
	struct entry *entry = directory_add(&directory, worker);

	ck_assert_ptr_nonnull(entry);
	ck_assert_uint_eq(entry->worker, worker);
	ck_assert_int_eq(entry->fd, -1);
	return entry;
}

static struct range
range_of(const char *text)
{
	return (struct range){ text, strlen(text) };
}

static struct entry *
find(const char *id)
{
	return directory_find(&directory, range_of(id));
}

static bool
set_address(struct entry *entry, const char *address)
{
	return directory_set_address(&directory, entry, range_of(address));
}

START_TEST(ids_are_of_these_characters)
{
	struct entry entry = { .worker = UINT32_MAX, .slot = UINT32_MAX, .serial = UINT64_MAX };
	char id[DIRECTORY_ID_SIZE];

	directory_id(&directory, &entry, id);
	ck_assert_uint_le(strlen(id), 64);
	ck_assert_uint_eq(strspn(id, "0123456789abcdefghijklmnopqrstuvwxyz.-"), strlen(id));
	/* Nothing was cut off. */
	ck_assert_str_eq(strrchr(id, '.'), ".18446744073709551615");
	ck_assert_uint_eq(strlen(directory.nonce), DIRECTORY_NONCE_SIZE - 1);
}
END_TEST

START_TEST(every_start_has_its_own_nonce)
{
	struct directory other;

	ck_assert_int_eq(directory_init(&other, 1), 0);
	ck_assert_str_ne(other.nonce, directory.nonce);
	directory_deinit(&other);
}
END_TEST

START_TEST(found_by_its_id)
{
	char id[DIRECTORY_ID_SIZE];

	for (uint32_t i = 0; i < 200; i++) {
		struct entry *entry = add(i % 3);

		ck_assert_ptr_eq(find(directory_id(&directory, entry, id)), entry);
		ck_assert_ptr_eq(directory_at(&directory, entry->worker, entry->slot, entry->serial), entry);
	}
	ck_assert_uint_eq(directory.count, 200);
}
END_TEST

START_TEST(never_used_again)
{
	char id[DIRECTORY_ID_SIZE], again[DIRECTORY_ID_SIZE];
	struct entry *entry = add(1);
	uint32_t slot = entry->slot;
	uint64_t serial = entry->serial;

	directory_id(&directory, entry, id);
	directory_remove(&directory, entry);
	ck_assert_ptr_null(find(id));
	entry = add(1);
	/* The same place, and another client. */
	ck_assert_uint_eq(entry->slot, slot);
	ck_assert_str_ne(directory_id(&directory, entry, again), id);
	ck_assert_ptr_null(find(id));
	ck_assert_ptr_null(directory_at(&directory, 1, slot, serial));
}
END_TEST

/* %s is the nonce; the client that exists is 1.0.1. */
static const char *const forged[] = {
	"", ".", "%s", "%s.", "%s.1", "%s.1.0", "%s.1.0.", "%s..0.1", "%s.1..1", "%s.1.0.1.", "%s.1.0.1.1", "%s.1.0.1x", "x%s.1.0.1",
	"%s.01.0.1", "%s.1.00.1", "%s.1.0.01", "%s.+1.0.1", "%s.1.-0.1", "%s.1.0. 1", "%s.0x1.0.1", "%s-1.0.1", "%s.1-0.1",
	"%s.4294967297.0.1", "%s.1.4294967296.1", "%s.1.0.18446744073709551617", "%s.1.0.36893488147419103233",
	"%s.1.0.2", "%s.0.0.1", "%s.1.1.1", "%s.3.0.1", "%s.4294967295.4294967295.1", "%s.1.0.100000000000000000000000000001",
	"aaaaaaaaaaaaa.1.0.1", "1.0.1",
};

START_TEST(forged_ids_match_nobody)
{
	char id[160];
	struct entry *entry = add(1);

	snprintf(id, sizeof id, "%s.1.0.1", directory.nonce);
	ck_assert_ptr_eq(find(id), entry);
	for (size_t i = 0; i < sizeof forged / sizeof forged[0]; i++) {
		const char *place = strstr(forged[i], "%s");

		if (place == NULL)
			snprintf(id, sizeof id, "%s", forged[i]);
		else
			snprintf(id, sizeof id, "%.*s%s%s", (int)(place - forged[i]), forged[i], directory.nonce, place + 2);
		ck_assert_msg(find(id) == NULL, "%s", id);
	}
	/* Upper case is another nonce. */
	snprintf(id, sizeof id, "%s.1.0.1", directory.nonce);
	for (char *p = id; *p != '\0'; p++)
		*p = *p >= 'a' && *p <= 'z' ? (char)(*p - 32) : *p;
	if (strncmp(id, directory.nonce, strlen(directory.nonce)) != 0)
		ck_assert_ptr_null(find(id));
}
END_TEST

/* Every cut of an id, in memory of exactly that size. */
START_TEST(cut_ids_match_nobody)
{
	char id[DIRECTORY_ID_SIZE];
	struct entry *entry = NULL;

	while (directory.serial < 12345)
		entry = add(2);
	directory_id(&directory, entry, id);
	for (size_t length = 0; length <= strlen(id); length++) {
		char *copy = malloc(length + 1);
		const struct entry *found;

		ck_assert_ptr_nonnull(copy);
		memcpy(copy, id, length);
		found = directory_find(&directory, (struct range){ copy, length });
		ck_assert(found == (length == strlen(id) ? entry : NULL));
		free(copy);
	}
}
END_TEST

/* The latest ones, until that is lost. */
START_TEST(managed_and_gone)
{
	char ids[DIRECTORY_MANAGED_MAX + 1][DIRECTORY_ID_SIZE], forgotten[DIRECTORY_ID_SIZE], plain[DIRECTORY_ID_SIZE];
	struct entry *entry = add(0), *lost = add(0);

	directory_id(&directory, entry, plain);
	directory_remove(&directory, entry);
	directory_id(&directory, lost, forgotten);
	lost->managed = lost->forgotten = true;
	directory_remove(&directory, lost);
	for (unsigned i = 0; i <= DIRECTORY_MANAGED_MAX; i++) {
		entry = add(i % 2);
		entry->managed = true;
		directory_id(&directory, entry, ids[i]);
		ck_assert(!directory_was_managed(&directory, range_of(ids[i])));
		directory_remove(&directory, entry);
		ck_assert(directory_was_managed(&directory, range_of(ids[i])));
	}
	ck_assert(!directory_was_managed(&directory, range_of(ids[0])));
	ck_assert(directory_was_managed(&directory, range_of(ids[1])));
	ck_assert(!directory_was_managed(&directory, range_of(plain)));
	ck_assert(!directory_was_managed(&directory, range_of(forgotten)));
	ck_assert(!directory_was_managed(&directory, range_of("")));
	snprintf(plain, sizeof plain, "%s.0.0.0", directory.nonce);
	ck_assert(!directory_was_managed(&directory, range_of(plain)));
	directory_lose_managed(&directory);
	ck_assert(!directory_was_managed(&directory, range_of(ids[1])));
}
END_TEST

START_TEST(move_changes_the_id)
{
	char before[DIRECTORY_ID_SIZE], after[DIRECTORY_ID_SIZE];
	struct entry *other = add(0), *entry = add(0), *there = add(2);

	entry->fd = 77;
	directory_id(&directory, entry, before);
	ck_assert(directory_move(&directory, entry, 2));
	directory_id(&directory, entry, after);
	ck_assert_str_ne(before, after);
	ck_assert_ptr_null(find(before));
	ck_assert_ptr_eq(find(after), entry);
	ck_assert_int_eq(entry->fd, 77);
	ck_assert_uint_eq(directory.tables[0].count, 1);
	ck_assert_uint_eq(directory.tables[2].count, 2);
	ck_assert_uint_eq(directory.count, 3);
	/* Into the same table, too. */
	ck_assert(directory_move(&directory, there, 2));
	ck_assert_ptr_eq(find(directory_id(&directory, there, after)), there);
	ck_assert_uint_eq(directory.tables[2].count, 2);
	directory_remove(&directory, other);
	directory_remove(&directory, entry);
	directory_remove(&directory, there);
	ck_assert_uint_eq(directory.count, 0);
}
END_TEST

START_TEST(later_login_supersedes)
{
	struct entry *first = add(0), *second = add(1), *third = add(2);

	ck_assert(set_address(first, "a@b/c"));
	ck_assert(set_address(first, "a@b/c"));
	ck_assert(!first->superseded);
	ck_assert(set_address(third, "a@b/C"));
	ck_assert(!first->superseded);
	ck_assert(set_address(second, "a@b/c"));
	ck_assert(first->superseded);
	ck_assert(!second->superseded && !third->superseded);
	ck_assert_uint_eq(directory.session_count, 3);
	/* The earlier one is gone: nothing of it is left in the later one's way. */
	directory_remove(&directory, first);
	ck_assert_uint_eq(directory.session_count, 2);
	ck_assert(!second->superseded);
	/* It gets another address: the old one is free. */
	ck_assert(set_address(second, "x@b/c"));
	first = add(0);
	ck_assert(set_address(first, "a@b/c"));
	ck_assert(!second->superseded);
	ck_assert_str_eq(second->address, "x@b/c");
}
END_TEST

/* What a worker says is an address may be anything. */
START_TEST(addresses_of_any_bytes)
{
	static const char *const texts[] = { "a\0b", "\0", "a@b/c\0\0", "\xff\xfe", " " };
	static const size_t lengths[] = { 3, 1, 7, 2, 1 };

	for (unsigned i = 0; i < 5; i++) {
		struct entry *entry = add(0), *other = add(0);

		directory_set_address(&directory, entry, (struct range){ texts[i], lengths[i] });
		directory_set_address(&directory, other, (struct range){ texts[i], lengths[i] });
		directory_remove(&directory, entry);
		/* Looks at everything that hangs where the removed one hung. */
		entry = add(0);
		directory_set_address(&directory, entry, (struct range){ texts[i], lengths[i] });
		directory_remove(&directory, other);
		directory_remove(&directory, entry);
		ck_assert_uint_eq(directory.session_count, 0);
	}
	for (size_t i = 0; i < directory.bucket_count; i++)
		ck_assert_ptr_null(directory.buckets[i]);
}
END_TEST

static void
address_of(char address[32], unsigned i)
{
	snprintf(address, 32, "user%u@host/r", i);
}

START_TEST(grows)
{
	static struct entry *entries[MANY];
	char id[DIRECTORY_ID_SIZE], address[32];

	for (unsigned i = 0; i < MANY; i++) {
		entries[i] = add(i % 3);
		address_of(address, i);
		ck_assert(set_address(entries[i], address));
	}
	ck_assert_uint_eq(directory.count, MANY);
	ck_assert_uint_eq(directory.session_count, MANY);
	for (unsigned i = 0; i < MANY; i++) {
		ck_assert(!entries[i]->superseded);
		ck_assert_ptr_eq(find(directory_id(&directory, entries[i], id)), entries[i]);
	}
	/* Every second one goes; those that come take their places, lowest first, and their addresses. */
	for (unsigned i = 0; i < MANY; i += 2)
		directory_remove(&directory, entries[i]);
	for (unsigned i = 0; i < MANY; i += 2) {
		entries[i] = add(i % 3);
		address_of(address, i);
		ck_assert(set_address(entries[i], address));
	}
	for (unsigned worker = 0; worker < 3; worker++)
		ck_assert_uint_le(directory.tables[worker].size, 65536);
	for (unsigned i = 0; i < MANY; i++)
		ck_assert(!entries[i]->superseded);
	/* Each is still found by its address. */
	for (unsigned i = 0; i < MANY; i += 1000) {
		struct entry *later = add(0);

		address_of(address, i);
		ck_assert(set_address(later, address));
		ck_assert(entries[i]->superseded);
	}
}
END_TEST

START_TEST(lowest_slot_first)
{
	struct entry *entries[10];

	for (unsigned i = 0; i < 10; i++) {
		entries[i] = add(0);
		ck_assert_uint_eq(entries[i]->slot, i);
	}
	directory_remove(&directory, entries[7]);
	directory_remove(&directory, entries[2]);
	ck_assert_uint_eq(add(0)->slot, 2);
	ck_assert_uint_eq(add(0)->slot, 7);
	ck_assert_uint_eq(add(0)->slot, 10);
}
END_TEST

START_TEST(nobody_in_no_place)
{
	add(0);
	ck_assert_ptr_null(directory_at(&directory, 3, 0, 1));
	ck_assert_ptr_null(directory_at(&directory, UINT32_MAX, 0, 1));
	ck_assert_ptr_null(directory_at(&directory, 0, UINT32_MAX, 1));
	ck_assert_ptr_null(directory_at(&directory, 0, 1, 1));
	ck_assert_ptr_null(directory_at(&directory, 1, 0, 1));
	ck_assert_ptr_null(directory_at(&directory, 0, 0, 0));
	ck_assert_ptr_null(directory_at(&directory, 0, 1, 0));
}
END_TEST

START_TEST(small_and_given_back)
{
	struct entry *entries[500];
	char address[64];

	ck_assert_uint_le(sizeof(struct entry), ENTRY_SIZE_MAX);
	for (unsigned i = 0; i < 500; i++) {
		snprintf(address, sizeof address, "u%u@foo.com/%.*s", i, (int)(i % 32), "a resource of up to 32 bytes, or");
		entries[i] = add(i % 3);
		ck_assert(directory_set_address(&directory, entries[i], range_of(address)));
		/* As a login does that is repeated with another resource. */
		if (i % 7 == 0)
			ck_assert(directory_set_address(&directory, entries[i], range_of("other@foo.com/r")));
	}
	ck_assert_uint_eq(directory.entries.count, 500);
	for (unsigned i = 0; i < 500; i++)
		directory_remove(&directory, entries[i]);
	ck_assert_uint_eq(directory.entries.count, 0);
	for (unsigned i = 0; i < TEXTS_CLASSES; i++)
		ck_assert_uint_eq(directory.addresses.slabs[i].count, 0);
}
END_TEST

/* Over workers without any, behind gaps, and who comes next may be asked before one goes. */
START_TEST(one_after_another)
{
	struct entry *all[5];

	ck_assert_ptr_null(directory_next(&directory, NULL));
	all[3] = add(2);
	all[0] = add(0);
	all[1] = add(0);
	all[2] = add(0);
	all[4] = add(2);
	directory_remove(&directory, all[1]);
	ck_assert_ptr_eq(directory_next(&directory, NULL), all[0]);
	ck_assert_ptr_eq(directory_next(&directory, all[0]), all[2]);
	ck_assert_ptr_eq(directory_next(&directory, all[2]), all[3]);
	ck_assert_ptr_eq(directory_next(&directory, all[3]), all[4]);
	ck_assert_ptr_null(directory_next(&directory, all[4]));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("directory");
	TCase *tests = tcase_create("directory");

	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, ids_are_of_these_characters);
	tcase_add_test(tests, every_start_has_its_own_nonce);
	tcase_add_test(tests, found_by_its_id);
	tcase_add_test(tests, never_used_again);
	tcase_add_test(tests, forged_ids_match_nobody);
	tcase_add_test(tests, cut_ids_match_nobody);
	tcase_add_test(tests, managed_and_gone);
	tcase_add_test(tests, move_changes_the_id);
	tcase_add_test(tests, later_login_supersedes);
	tcase_add_test(tests, addresses_of_any_bytes);
	tcase_add_test(tests, grows);
	tcase_add_test(tests, lowest_slot_first);
	tcase_add_test(tests, nobody_in_no_place);
	tcase_add_test(tests, small_and_given_back);
	tcase_add_test(tests, one_after_another);
	suite_add_tcase(suite, tests);
	return tap_run(suite);
}
