#include "master/keeper.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int
keeper_init(struct keeper *keeper, uint32_t workers, size_t held_max)
{
	*keeper = (struct keeper){ .worker_count = workers, .held_max = held_max };
	keeper->workers = calloc(workers, sizeof keeper->workers[0]);
	return keeper->workers == NULL ? -ENOMEM : 0;
}

void
keeper_deinit(struct keeper *keeper)
{
	free(keeper->workers);
	*keeper = (struct keeper){ 0 };
}

static void
count(struct keeper *keeper, const struct entry *entry, enum fate fate, int64_t change)
{
	keeper->total.of[fate] += (uint64_t)change;
	if (entry != NULL)
		keeper->workers[entry->worker].of[fate] += (uint64_t)change;
}

void
keeper_count(struct keeper *keeper, const struct entry *entry, enum fate fate)
{
	count(keeper, entry, fate, 1);
}

static uint64_t
keep(struct keeper *keeper, struct entry *entry, const void *bytes, size_t length, bool asks)
{
	struct kept *kept = malloc(sizeof *kept + length);

	if (kept == NULL)
		return 0;
	kept->number = ++entry->numbers;
	kept->length = (uint32_t)length;
	/* Nobody but us knows of a question. */
	kept->managed = entry->managed && !asks;
	kept->asks = asks;
	memcpy(kept->bytes, bytes, length);
	STAILQ_INSERT_TAIL(&entry->kept, kept, entry);
	entry->held += length;
	keeper->held_bytes += length;
	count(keeper, entry, FATE_HELD, 1);
	return kept->number;
}

uint64_t
keeper_keep(struct keeper *keeper, struct entry *entry, const void *bytes, size_t length)
{
	return keep(keeper, entry, bytes, length, false);
}

uint64_t
keeper_keep_ask(struct keeper *keeper, struct entry *entry, const void *bytes, size_t length)
{
	return keep(keeper, entry, bytes, length, true);
}

static void
let_go(struct keeper *keeper, struct entry *entry, struct kept *one, enum fate fate)
{
	STAILQ_REMOVE(&entry->kept, one, kept, entry);
	entry->held -= one->length;
	keeper->held_bytes -= one->length;
	count(keeper, entry, FATE_HELD, -1);
	count(keeper, entry, fate, 1);
	free(one);
}

static bool
number_was_given(const struct entry *entry, uint64_t number)
{
	return number >= 1 && number <= entry->numbers;
}

bool
keeper_settle(struct keeper *keeper, struct entry *entry, uint64_t number)
{
	struct kept *first;

	/* A worker that lies about this is not believed in any of it: what it had goes back. */
	if (!number_was_given(entry, number))
		return false;
	while ((first = STAILQ_FIRST(&entry->kept)) != NULL && first->number <= number && !first->asks)
		let_go(keeper, entry, first, FATE_SETTLED);
	return true;
}

bool
keeper_consume(struct keeper *keeper, struct entry *entry, uint64_t number)
{
	struct kept *one;

	STAILQ_FOREACH(one, &entry->kept, entry) {
		if (one->number == number && !one->asks) {
			let_go(keeper, entry, one, FATE_CONSUMED);
			break;
		}
	}
	return number_was_given(entry, number);
}

const struct kept *
keeper_first(const struct entry *entry)
{
	return STAILQ_FIRST(&entry->kept);
}

void
keeper_finish(struct keeper *keeper, struct entry *entry, enum fate fate)
{
	struct kept *first = STAILQ_FIRST(&entry->kept);

	if (first != NULL)
		let_go(keeper, entry, first, fate);
}

bool
keeper_is_full(const struct keeper *keeper)
{
	return keeper->held_bytes > keeper->held_max;
}

bool
keeper_has_room(const struct keeper *keeper)
{
	return keeper->held_bytes <= keeper->held_max - keeper->held_max / 4;
}

const char *
fate_name(enum fate fate)
{
	static const char *const names[FATE_COUNT] = {
		[FATE_IN] = "in",
		[FATE_SETTLED] = "settled",
		[FATE_BOUNCED] = "bounced",
		[FATE_CONSUMED] = "consumed",
		[FATE_DROPPED] = "dropped",
		[FATE_HELD] = "held",
		[FATE_UP] = "up",
	};

	return names[fate];
}

bool
packet_counters_balance(const struct packet_counters *counters)
{
	return counters->of[FATE_IN] == counters->of[FATE_SETTLED] + counters->of[FATE_BOUNCED] +
	    counters->of[FATE_CONSUMED] + counters->of[FATE_DROPPED] + counters->of[FATE_HELD];
}
