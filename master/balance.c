#include "master/balance.h"

#include <inttypes.h>
#include <stdio.h>

#include "common/log.h"
#include "master/master.h"

static void
unbalanced(struct master *master, const char *whose, const struct packet_counters *counters)
{
	const uint64_t *of = counters->of;

	master->balance.lost = true;
	log_error("packets unbalanced of=%s in=%" PRIu64 " settled=%" PRIu64 " bounced=%" PRIu64 " consumed=%" PRIu64
	    " dropped=%" PRIu64 " held=%" PRIu64, whose, of[FATE_IN], of[FATE_SETTLED], of[FATE_BOUNCED], of[FATE_CONSUMED],
	    of[FATE_DROPPED], of[FATE_HELD]);
}

/* What belongs to no worker is in the total alone, and nobody keeps it. */
static bool
workers_fit(const struct keeper *keeper)
{
	bool fit = true;

	for (unsigned fate = FATE_IN; fate <= FATE_HELD; fate++) {
		uint64_t sum = 0;

		for (uint32_t i = 0; i < keeper->worker_count; i++)
			sum += keeper->workers[i].of[fate];
		fit = fit && (fate == FATE_HELD ? sum == keeper->total.of[fate] : sum <= keeper->total.of[fate]);
	}
	return fit;
}

/* The other way. What was handed to the link it has, or has lost with a word. */
static void
check_link(struct master *master)
{
	const struct outbox_counters *counters = &master->link.outbox.counters;
	uint64_t up = master->keeper.total.of[FATE_UP];

	if (outbox_balances(&master->link.outbox) && counters->in == up)
		return;
	master->balance.lost = true;
	log_error("link unbalanced up=%" PRIu64 " in=%" PRIu64 " acknowledged=%" PRIu64 " waiting=%" PRIu64 " lost=%" PRIu64,
	    up, counters->in, counters->acknowledged, counters->waiting, counters->lost);
}

void
balance_check(struct master *master)
{
	const struct keeper *keeper = &master->keeper;
	char whose[16];

	if (master->balance.lost)
		return;
	if (!packet_counters_balance(&keeper->total))
		unbalanced(master, "all", &keeper->total);
	for (uint32_t i = 0; i < keeper->worker_count; i++) {
		snprintf(whose, sizeof whose, "%" PRIu32, i);
		if (!packet_counters_balance(&keeper->workers[i]))
			unbalanced(master, whose, &keeper->workers[i]);
	}
	if (!master->balance.lost && !workers_fit(keeper))
		unbalanced(master, "workers", &keeper->total);
	check_link(master);
}

void
balance_finish(struct master *master)
{
	const struct outbox_counters *up = &master->link.outbox.counters;
	const uint64_t *of = master->keeper.total.of;

	balance_check(master);
	log_info("packets counted in=%" PRIu64 " settled=%" PRIu64 " bounced=%" PRIu64 " consumed=%" PRIu64
	    " dropped=%" PRIu64 " held=%" PRIu64, of[FATE_IN], of[FATE_SETTLED], of[FATE_BOUNCED], of[FATE_CONSUMED],
	    of[FATE_DROPPED], of[FATE_HELD]);
	log_info("packets sent in=%" PRIu64 " acknowledged=%" PRIu64 " waiting=%" PRIu64 " lost=%" PRIu64 " again=%" PRIu64,
	    up->in, up->acknowledged, up->waiting, up->lost, up->again);
}
