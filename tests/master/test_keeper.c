/* keeper: nothing vanishes, whatever comes in whatever order; and numbers that a worker cannot have. */
#include <stdio.h>
#include <string.h>

#include "master/keeper.h"
#include "tests/dialect/tap.h"

#define WORKERS 3
#define CLIENTS 40

static struct directory directory;
static struct keeper keeper;

static void
setup(void)
{
	ck_assert_int_eq(directory_init(&directory, WORKERS), 0);
	ck_assert_int_eq(keeper_init(&keeper, WORKERS, 1000), 0);
}

static void
teardown(void)
{
	keeper_deinit(&keeper);
	directory_deinit(&directory);
}

static struct entry *
add(uint32_t worker)
{
	struct entry *entry = directory_add(&directory, worker);

	ck_assert_ptr_nonnull(entry);
	return entry;
}

static void
keep_ask(struct entry *entry, const char *packet)
{
	uint64_t before = entry->numbers;

	keeper_count(&keeper, entry, FATE_IN);
	ck_assert_uint_eq(keeper_keep_ask(&keeper, entry, packet, strlen(packet)), before + 1);
}

/* What the router does with a packet for a client. */
static void
keep(struct entry *entry, const char *packet)
{
	uint64_t before = entry->numbers;

	keeper_count(&keeper, entry, FATE_IN);
	ck_assert_uint_eq(keeper_keep(&keeper, entry, packet, strlen(packet)), before + 1);
}

static void
assert_fates(const struct packet_counters *counters, uint64_t in, uint64_t settled, uint64_t consumed, uint64_t held)
{
	ck_assert_uint_eq(counters->of[FATE_IN], in);
	ck_assert_uint_eq(counters->of[FATE_SETTLED], settled);
	ck_assert_uint_eq(counters->of[FATE_CONSUMED], consumed);
	ck_assert_uint_eq(counters->of[FATE_HELD], held);
	ck_assert(packet_counters_balance(counters));
}

static void
assert_first(const struct entry *entry, const char *packet)
{
	const struct kept *first = keeper_first(entry);

	if (packet == NULL) {
		ck_assert_ptr_null(first);
		return;
	}
	ck_assert_ptr_nonnull(first);
	ck_assert_uint_eq(first->length, strlen(packet));
	ck_assert_mem_eq(first->bytes, packet, first->length);
}

START_TEST(settled_up_to_a_number)
{
	struct entry *entry = add(1);

	keep(entry, "one");
	keep(entry, "two");
	keep(entry, "three");
	assert_fates(&keeper.total, 3, 0, 0, 3);
	ck_assert(keeper_settle(&keeper, entry, 2));
	assert_first(entry, "three");
	assert_fates(&keeper.total, 3, 2, 0, 1);
	assert_fates(&keeper.workers[1], 3, 2, 0, 1);
	assert_fates(&keeper.workers[0], 0, 0, 0, 0);
	ck_assert_uint_eq(entry->held, 5);
	ck_assert_uint_eq(keeper.held_bytes, 5);
	/* Said again, it changes nothing. */
	ck_assert(keeper_settle(&keeper, entry, 2));
	ck_assert(keeper_settle(&keeper, entry, 3));
	assert_first(entry, NULL);
	assert_fates(&keeper.total, 3, 3, 0, 0);
	ck_assert_uint_eq(keeper.held_bytes, 0);
}
END_TEST

START_TEST(consumed_in_the_middle)
{
	struct entry *entry = add(0);

	keep(entry, "one");
	keep(entry, "two");
	keep(entry, "three");
	ck_assert(keeper_consume(&keeper, entry, 2));
	ck_assert(keeper_consume(&keeper, entry, 2));
	assert_fates(&keeper.total, 3, 0, 1, 2);
	ck_assert(keeper_settle(&keeper, entry, 1));
	ck_assert(keeper_consume(&keeper, entry, 1));
	assert_fates(&keeper.total, 3, 1, 1, 1);
	assert_first(entry, "three");
	keep(entry, "four");
	ck_assert(keeper_consume(&keeper, entry, 4));
	assert_first(entry, "three");
	/* The tail is gone, and another can be hung on. */
	keep(entry, "five");
	keeper_finish(&keeper, entry, FATE_BOUNCED);
	assert_first(entry, "five");
}
END_TEST

/* It is never settled: its owner lets go of it, and goes on. */
START_TEST(ask_stays_until_its_turn)
{
	struct entry *entry = add(0);

	keep(entry, "one");
	keep_ask(entry, "ask");
	keep(entry, "three");
	ck_assert_uint_eq(entry->held, 11);
	for (int i = 0; i < 2; i++) {
		ck_assert(keeper_settle(&keeper, entry, 3));
		assert_first(entry, "ask");
		ck_assert(keeper_first(entry)->asks);
		assert_fates(&keeper.total, 3, 1, 0, 2);
	}
	keeper_finish(&keeper, entry, FATE_CONSUMED);
	assert_first(entry, "three");
	ck_assert(!keeper_first(entry)->asks);
	ck_assert(keeper_settle(&keeper, entry, 3));
	assert_first(entry, NULL);
	assert_fates(&keeper.total, 3, 2, 1, 0);
	ck_assert_uint_eq(keeper.held_bytes, 0);
}
END_TEST

/* What it never got it cannot have settled: a worker that says so is not believed in anything. */
START_TEST(numbers_it_never_got)
{
	static const uint64_t numbers[] = { 0, 3, 4, UINT64_MAX };
	struct entry *entry = add(0);

	keep(entry, "one");
	keep(entry, "two");
	ck_assert(!keeper_settle(&keeper, entry, numbers[_i]));
	ck_assert(!keeper_consume(&keeper, entry, numbers[_i]));
	assert_first(entry, "one");
	assert_fates(&keeper.total, 2, 0, 0, 2);
}
END_TEST

START_TEST(finished_one_by_one)
{
	struct entry *entry = add(2);

	keep(entry, "one");
	keep(entry, "two");
	keeper_finish(&keeper, entry, FATE_BOUNCED);
	assert_first(entry, "two");
	keeper_finish(&keeper, entry, FATE_DROPPED);
	assert_first(entry, NULL);
	keeper_finish(&keeper, entry, FATE_DROPPED);
	ck_assert_uint_eq(keeper.total.of[FATE_BOUNCED], 1);
	ck_assert_uint_eq(keeper.total.of[FATE_DROPPED], 1);
	assert_fates(&keeper.workers[2], 2, 0, 0, 0);
}
END_TEST

START_TEST(full_and_room_again)
{
	char packet[251];
	struct entry *entry = add(0);

	memset(packet, 'p', 250);
	packet[250] = '\0';
	for (unsigned i = 0; i < 4; i++)
		keep(entry, packet);
	ck_assert(!keeper_is_full(&keeper));
	ck_assert(!keeper_has_room(&keeper));
	keep(entry, "x");
	ck_assert(keeper_is_full(&keeper));
	keeper_settle(&keeper, entry, 1);
	/* Not at once again: a quarter has to go first. */
	ck_assert(!keeper_is_full(&keeper) && !keeper_has_room(&keeper));
	keeper_settle(&keeper, entry, 2);
	ck_assert(keeper_has_room(&keeper));
}
END_TEST

START_TEST(fates_have_names)
{
	for (unsigned i = 0; i < FATE_COUNT; i++) {
		ck_assert_ptr_nonnull(fate_name((enum fate)i));
		for (unsigned k = 0; k < i; k++)
			ck_assert_str_ne(fate_name((enum fate)i), fate_name((enum fate)k));
	}
}
END_TEST

static void
assert_balance(void)
{
	uint64_t of[FATE_COUNT] = { 0 };
	size_t bytes = 0, held = 0;

	ck_assert(packet_counters_balance(&keeper.total));
	for (uint32_t worker = 0; worker < WORKERS; worker++) {
		ck_assert(packet_counters_balance(&keeper.workers[worker]));
		for (unsigned fate = 0; fate < FATE_COUNT; fate++)
			of[fate] += keeper.workers[worker].of[fate];
		for (uint32_t slot = 0; slot < directory.tables[worker].size; slot++) {
			const struct entry *entry = directory.tables[worker].entries[slot];
			const struct kept *kept;

			if (entry == NULL)
				continue;
			bytes += entry->held;
			STAILQ_FOREACH(kept, &entry->kept, entry)
				held++;
		}
	}
	ck_assert_mem_eq(of, keeper.total.of, sizeof of);
	ck_assert_uint_eq(keeper.held_bytes, bytes);
	ck_assert_uint_eq(keeper.total.of[FATE_HELD], held);
}

static struct entry *clients[CLIENTS];

/* One thing that can happen to a client. */
static void
step(uint32_t what, uint32_t which)
{
	struct entry **client = &clients[which % CLIENTS];

	if (*client == NULL) {
		*client = add(what % WORKERS);
		return;
	}
	switch (what % 12) {
	case 0:
		keeper_consume(&keeper, *client, 1 + (*client)->numbers * (which % 7) / 6);
		break;
	case 1:
	case 2:
		keeper_settle(&keeper, *client, (*client)->numbers * (which % 5) / 4);
		break;
	case 3:
		keeper_settle(&keeper, *client, (*client)->numbers + which % 3);
		break;
	case 4:
		while (keeper_first(*client) != NULL)
			keeper_finish(&keeper, *client, which % 2 == 0 ? FATE_BOUNCED : FATE_DROPPED);
		directory_remove(&directory, *client);
		*client = NULL;
		break;
	case 5:
		keep_ask(*client, "<settle/>");
		break;
	case 6:
		while (keeper_first(*client) != NULL && keeper_first(*client)->asks)
			keeper_finish(&keeper, *client, FATE_CONSUMED);
		break;
	default:
		keep(*client, &"<message><body>any</body></message>"[which % 30]);
	}
}

START_TEST(always_in_balance)
{
	uint32_t seed = (uint32_t)_i;

	memset(clients, 0, sizeof clients);
	for (unsigned i = 0; i < 5000; i++) {
		seed = seed * 1664525 + 1013904223;
		step(seed >> 24, seed >> 8);
		if (i % 50 == 0)
			assert_balance();
	}
	assert_balance();
	ck_assert_uint_gt(keeper.total.of[FATE_SETTLED], 0);
	ck_assert_uint_gt(keeper.total.of[FATE_CONSUMED], 0);
	ck_assert_uint_gt(keeper.total.of[FATE_BOUNCED], 0);
}
END_TEST

START_TEST(imbalance_is_seen)
{
	keeper_count(&keeper, NULL, FATE_IN);
	ck_assert(!packet_counters_balance(&keeper.total));
	keeper_count(&keeper, NULL, FATE_DROPPED);
	ck_assert(packet_counters_balance(&keeper.total));
	keeper_count(&keeper, NULL, FATE_UP);
	ck_assert(packet_counters_balance(&keeper.total));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("keeper");
	TCase *tests = tcase_create("keeper");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, settled_up_to_a_number);
	tcase_add_test(tests, consumed_in_the_middle);
	tcase_add_test(tests, ask_stays_until_its_turn);
	tcase_add_loop_test(tests, numbers_it_never_got, 0, 4);
	tcase_add_test(tests, finished_one_by_one);
	tcase_add_test(tests, full_and_room_again);
	tcase_add_test(tests, fates_have_names);
	tcase_add_loop_test(tests, always_in_balance, 0, 10);
	tcase_add_test(tests, imbalance_is_seen);
	suite_add_tcase(suite, tests);
	return tap_run(suite);
}
