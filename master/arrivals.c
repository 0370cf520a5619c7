#include "master/arrivals.h"

#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/log.h"
#include "master/master.h"
#include "master/router.h"

/* At most one line in this time that a worker is full. */
#define SAY_AGAIN 60000

/* The worker with the fewest clients among those that have room; NULL: none has. */
static struct worker_process *
pick_worker(struct master *master)
{
	struct worker_process *best = NULL;
	uint32_t fewest = UINT32_MAX;

	for (uint32_t i = 0; i < master->pool.count; i++) {
		struct worker_process *worker = &master->pool.workers[i];

		if (!worker_takes_clients(worker) || worker->full || !channel_can_send_descriptor(&worker->channel))
			continue;
		if (master->directory.tables[i].count < fewest) {
			fewest = master->directory.tables[i].count;
			best = worker;
		}
	}
	return best;
}

static struct newcomer
newcomer_of(const struct entry *entry)
{
	return (struct newcomer){ .peer = entry->peer, .tls = entry->tls, .proxied = entry->proxied };
}

static void
hand_over(struct master *master, struct entry *entry)
{
	struct newcomer newcomer = newcomer_of(entry);
	struct channel *channel = &master->pool.workers[entry->worker].channel;
	struct buffer body = { 0 };

	if (entry->counted)
		newcomer.failures = gate_failures(master, &entry->peer);
	message_put_client(&body, &newcomer);
	channel_send_descriptor(channel, M2W_CLIENT, entry->slot, entry->serial, &body, entry->fd);
	buffer_deinit(&body);
	if (entry->closing) {
		router_say_close(master, entry);
	} else if (master->ending || master->hold_expired) {
		router_close(master, entry, master->ending ? END_SHUTDOWN : END_HOLD);
	}
}

bool
arrivals_are_held(const struct master *master)
{
	return master->arrival_count > 0 || timer_is_set(&master->gate.pause);
}

void
arrivals_check(struct master *master)
{
	bool held = arrivals_are_held(master);

	for (unsigned i = 0; i < master->listener_count; i++)
		listener_pause(&master->listeners[i], held);
}

static void
arrival_drop(struct master *master, const struct arrival *arrival)
{
	if (arrival->counted)
		gate_left(master, &arrival->newcomer.peer);
	close(arrival->fd);
}

static void
wait_for_worker(struct master *master, const struct arrival *newcomer)
{
	struct arrival *arrival = master->ending ? NULL : calloc(1, sizeof *arrival);

	if (arrival == NULL) {
		arrival_drop(master, newcomer);
		return;
	}
	*arrival = *newcomer;
	TAILQ_INSERT_TAIL(&master->arrivals, arrival, entry);
	master->arrival_count++;
	arrivals_check(master);
}

/* False: there is no place for it, or no worker has room. */
static bool
place(struct master *master, const struct arrival *arrival)
{
	struct worker_process *worker = gate_has_place(master) ? pick_worker(master) : NULL;
	struct entry *entry = worker == NULL ? NULL : directory_add(&master->directory, worker->number);

	if (entry == NULL)
		return false;
	entry->fd = arrival->fd;
	entry->peer = arrival->newcomer.peer;
	entry->tls = arrival->newcomer.tls;
	entry->proxied = arrival->newcomer.proxied;
	entry->counted = arrival->counted;
	entry->since = loop_now(&master->loop);
	hand_over(master, entry);
	return true;
}

static void
arrival_remove(struct master *master, struct arrival *arrival)
{
	TAILQ_REMOVE(&master->arrivals, arrival, entry);
	master->arrival_count--;
	free(arrival);
}

/* What the gate would say to who has waited meanwhile: a reload may have denied it. */
static enum admission_verdict
arrival_judge(const struct master *master, const struct arrival *arrival)
{
	if (gate_is_full(master))
		return ADMISSION_FULL;
	if (arrival->counted && !address_list_permits(&master->gate.admission.lists, &arrival->newcomer.peer.address))
		return ADMISSION_DENIED;
	return ADMISSION_GRANTED;
}

void
arrivals_retry(struct master *master)
{
	struct arrival *arrival;

	while ((arrival = TAILQ_FIRST(&master->arrivals)) != NULL) {
		enum admission_verdict verdict = arrival_judge(master, arrival);

		if (verdict != ADMISSION_GRANTED) {
			gate_refuse(master, &arrival->newcomer.peer, verdict);
			arrival_drop(master, arrival);
		} else if (!place(master, arrival) && (!gate_make_way(master) || !place(master, arrival))) {
			return;
		}
		arrival_remove(master, arrival);
	}
	arrivals_check(master);
}

void
arrivals_add(struct master *master, int fd, const struct newcomer *newcomer)
{
	struct arrival arrival = { .fd = fd, .newcomer = *newcomer, .counted = !newcomer->proxied };

	if (!gate_enter(master, &newcomer->peer, newcomer->proxied)) {
		close(fd);
		return;
	}
	if (place(master, &arrival))
		return;
	wait_for_worker(master, &arrival);
	arrivals_retry(master);
}

void
arrivals_take_back(struct master *master, struct entry *entry)
{
	struct arrival arrival = { .fd = entry->fd, .newcomer = newcomer_of(entry), .counted = entry->counted };

	/* It has nowhere to go but out: router_ended, which follows, closes it. */
	if (entry->closing) {
		ends_count(&master->ends, &(struct client_end){ .reason = (enum end_reason)entry->close_reason });
		return;
	}
	entry->fd = -1;
	entry->counted = false;
	wait_for_worker(master, &arrival);
}

void
arrivals_close(struct master *master)
{
	struct arrival *arrival;

	while ((arrival = TAILQ_FIRST(&master->arrivals)) != NULL) {
		arrival_drop(master, arrival);
		arrival_remove(master, arrival);
	}
}

enum contract_breach
arrivals_taken(struct master *master, struct entry *entry)
{
	if (entry->fd < 0)
		return BREACH_CLIENT;
	close(entry->fd);
	entry->fd = -1;
	arrivals_retry(master);
	return BREACH_NONE;
}

/* Until it hears this the worker reads nothing of it. */
static void
say_admitted(struct master *master, const struct entry *entry)
{
	struct channel *channel = &master->pool.workers[entry->worker].channel;
	struct buffer body = { 0 };

	message_put_failures(&body, gate_failures(master, &entry->peer));
	channel_send(channel, M2W_ADMITTED, entry->slot, entry->serial, &body);
	buffer_deinit(&body);
}

enum contract_breach
arrivals_address(struct master *master, struct entry *entry, const struct frame *frame)
{
	struct peer peer;

	if (!message_get_address(frame, &peer))
		return BREACH_BODY;
	if (!entry->proxied || entry->address != NULL)
		return BREACH_ADDRESS;
	entry->proxied = false;
	entry->peer = peer;
	gate_identified(master, entry);
	if (entry->counted)
		say_admitted(master, entry);
	return BREACH_NONE;
}

/* How many clients it really has: others may be on their way to it, and will be refused, too. */
static uint32_t
taken(const struct slot_table *table)
{
	uint32_t count = 0;

	for (uint32_t slot = 0; slot < table->size; slot++)
		count += table->entries[slot] != NULL && table->entries[slot]->fd < 0;
	return count;
}

/* Where clients come and go at a full worker it would be a line for each of them. */
static void
full_say(const struct master *master, struct worker_process *worker)
{
	uint64_t now = loop_now(&master->loop);

	if (worker->full_said != 0 && now - worker->full_said < SAY_AGAIN)
		return;
	worker->full_said = now;
	log_warning("worker %" PRIu32 " full clients=%" PRIu32, worker->number,
	    taken(&master->directory.tables[worker->number]));
}

enum contract_breach
arrivals_refused(struct master *master, struct worker_process *worker, struct entry *entry)
{
	struct worker_process *other;

	if (entry->fd < 0)
		return BREACH_CLIENT;
	full_say(master, worker);
	worker->full = true;
	other = pick_worker(master);
	if (other != NULL && directory_move(&master->directory, entry, other->number)) {
		spread_renewed(&master->spread, entry);
		hand_over(master, entry);
		return BREACH_NONE;
	}
	arrivals_take_back(master, entry);
	router_ended(master, entry);
	arrivals_retry(master);
	return BREACH_NONE;
}
