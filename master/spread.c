#include "master/spread.h"

#include <bsd/stdlib.h>
#include <string.h>

/* No more often than this, in milliseconds: what became due meanwhile ends together. */
#define TICK 10

#define PLACES_FIRST 64

static void on_tick(struct timer *timer);

void
spread_deinit(struct spread *spread)
{
	if (spread->loop != NULL)
		spread_clear(spread);
}

void
spread_clear(struct spread *spread)
{
	timer_clear(spread->loop, &spread->timer);
	for (size_t i = spread->first; i < spread->first + spread->count; i++) {
		const struct spread_place *place = &spread->places[i];
		struct entry *entry = directory_at(spread->directory, place->worker, place->slot, place->serial);

		if (entry != NULL)
			entry->due = false;
	}
	free(spread->places);
	spread->places = NULL;
	spread->first = spread->count = spread->size = spread->most = 0;
}

static void
wait_for_next(struct spread *spread)
{
	uint64_t left = spread->credit < spread->time ? spread->time - spread->credit : 0;
	uint64_t pause = (left + spread->most - 1) / spread->most;

	timer_set(spread->loop, &spread->timer, spread->time > 0 && pause < TICK ? TICK : pause, on_tick);
}

/* What has become due since that was counted. */
static void
count_credit(struct spread *spread)
{
	spread->credit += spread->most * (loop_now(spread->loop) - spread->last);
	spread->last = loop_now(spread->loop);
}

static struct entry *
take_first(struct spread *spread)
{
	const struct spread_place *place = &spread->places[spread->first++];
	struct entry *entry = directory_at(spread->directory, place->worker, place->slot, place->serial);

	spread->count--;
	return entry != NULL && entry->due ? entry : NULL;
}

static void
on_tick(struct timer *timer)
{
	struct spread *spread = container_of(timer, struct spread, timer);
	struct entry *entry;

	count_credit(spread);
	while (spread->count > 0 && spread->credit >= spread->time) {
		entry = take_first(spread);
		if (entry == NULL)
			continue;
		spread->credit -= spread->time;
		entry->due = false;
		spread->on_due(spread, entry, (enum end_reason)entry->close_reason);
	}
	if (spread->count == 0)
		spread_clear(spread);
	else
		wait_for_next(spread);
}

/* Room for one more at the end. */
static bool
places_reserve(struct spread *spread)
{
	size_t size = spread->size == 0 ? PLACES_FIRST : spread->size * 2;
	struct spread_place *places;

	if (spread->first + spread->count < spread->size)
		return true;
	if (spread->first > spread->count) {
		memcpy(spread->places, spread->places + spread->first, spread->count * sizeof *spread->places);
		spread->first = 0;
		return true;
	}
	places = reallocarray(spread->places, size, sizeof *places);
	if (places == NULL)
		return false;
	spread->places = places;
	spread->size = size;
	return true;
}

static bool
place_add(struct spread *spread, const struct entry *entry)
{
	if (!places_reserve(spread))
		return false;
	spread->places[spread->first + spread->count++] =
	    (struct spread_place){ .serial = entry->serial, .worker = entry->worker, .slot = entry->slot };
	if (spread->count > spread->most)
		spread->most = spread->count;
	return true;
}

/* The first is due somewhere in its share of the time, as if the others had been there before. */
static void
begin(struct spread *spread)
{
	spread->last = loop_now(spread->loop);
	spread->credit = spread->time == 0 ? 0 : arc4random_uniform((uint32_t)spread->time);
}

void
spread_add(struct spread *spread, struct entry *entry, enum end_reason reason)
{
	if (entry->due || entry->closing)
		return;
	if (spread->count == 0)
		begin(spread);
	else
		count_credit(spread);
	if (!place_add(spread, entry)) {
		spread->on_due(spread, entry, reason);
		return;
	}
	entry->due = true;
	entry->close_reason = (uint8_t)reason;
	wait_for_next(spread);
}

void
spread_drop(struct spread *spread, struct entry *entry)
{
	(void)spread;
	entry->due = false;
}

void
spread_renewed(struct spread *spread, struct entry *entry)
{
	if (!entry->due)
		return;
	entry->due = false;
	spread_add(spread, entry, (enum end_reason)entry->close_reason);
}

size_t
spread_cancel(struct spread *spread, enum end_reason reason)
{
	size_t cancelled = 0;

	for (size_t i = spread->first; i < spread->first + spread->count; i++) {
		const struct spread_place *place = &spread->places[i];
		struct entry *entry = directory_at(spread->directory, place->worker, place->slot, place->serial);

		if (entry == NULL || !entry->due || entry->close_reason != reason)
			continue;
		entry->due = false;
		cancelled++;
	}
	return cancelled;
}

void
spread_change(struct spread *spread, uint64_t time)
{
	if (spread->time == time)
		return;
	if (spread->count > 0)
		count_credit(spread);
	/* The share of the next that has passed stays what it is. */
	spread->credit = spread->time == 0 ? 0 : spread->credit * time / spread->time;
	spread->time = time;
	if (spread->count > 0)
		wait_for_next(spread);
}
