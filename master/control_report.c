#include "master/control_command.h"
#include "master/master.h"

/* Workers answer in a turn; one that has not by then is shown with what it said last. In milliseconds. */
#define PONG_PATIENCE 1000

/* ---- status ---- */

static json_t *
packets_json(const struct packet_counters *counters)
{
	json_t *object = json_object();

	for (unsigned fate = 0; fate < FATE_COUNT; fate++)
		json_object_set_new(object, fate_name((enum fate)fate), json_integer((json_int_t)counters->of[fate]));
	json_object_set_new(object, "balanced", json_boolean(packet_counters_balance(counters)));
	return object;
}

static uint32_t
sessions_of(const struct slot_table *table)
{
	uint32_t sessions = 0;

	for (uint32_t slot = 0; slot < table->size; slot++)
		sessions += table->entries[slot] != NULL && table->entries[slot]->confirmed;
	return sessions;
}

/* Those that there were, from the one with this number on. */
static json_t *
counts_json(const uint64_t *counts, unsigned first, unsigned count, const char *(*name)(unsigned number))
{
	json_t *object = json_object();

	for (unsigned i = first; i < count; i++) {
		if (counts[i] > 0)
			json_object_set_new(object, name(i), json_integer((json_int_t)counts[i]));
	}
	return object;
}

static const char *
reason_of(unsigned number)
{
	return end_reason_name((enum end_reason)number);
}

static const char *
condition_of(unsigned number)
{
	return condition_name((enum stream_condition)number);
}

static const char *
limit_of(unsigned number)
{
	return end_limit_name((enum end_limit)number);
}

/* Of all clients that have ended: of what, with which stream error, above which limit. */
static json_t *
ended_json(const struct ends *ends)
{
	return json_pack("{s:o, s:o, s:o}",
	    "reasons", counts_json(ends->reasons, 0, END_REASON_COUNT, reason_of),
	    "errors", counts_json(ends->conditions, CONDITION_NONE + 1, CONDITION_COUNT, condition_of),
	    "limits", counts_json(ends->limits, LIMIT_NONE + 1, END_LIMIT_COUNT, limit_of));
}

/* What waits between it and us, and whether it has answered our last question. */
static void
worker_add_channel(json_t *object, const struct worker_process *worker)
{
	json_object_set_new(object, "channel_bytes", json_integer((json_int_t)buffer_length(&worker->channel.out)));
	json_object_set_new(object, "answers", json_boolean(worker->state == WORKER_READY && worker->pinged == 0));
}

static json_t *
worker_json(const struct master *master, const struct worker_process *worker)
{
	const struct slot_table *table = &master->directory.tables[worker->number];
	json_t *object = json_pack("{s:i, s:i, s:s, s:i, s:i, s:i, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:i, s:i, s:i, s:I, s:o}",
	    "number", (int)worker->number, "pid", (int)worker->pid, "state", worker_state_name(worker),
	    "starts", (int)worker->starts, "clients", (int)table->count, "sessions", (int)sessions_of(table),
	    "full", worker->full,
	    "bytes_in", (json_int_t)worker->counters.bytes_in, "bytes_out", (json_int_t)worker->counters.bytes_out,
	    "packets_from_clients", (json_int_t)worker->counters.packets_in,
	    "packets_to_clients", (json_int_t)worker->counters.packets_out,
	    "handshakes", (json_int_t)worker->counters.handshakes, "resumed", (json_int_t)worker->counters.resumed,
	    "handshakes_failed", (json_int_t)worker->counters.handshakes_failed,
	    "parsers", (int)worker->counters.parsers, "buffers", (int)worker->counters.buffers,
	    "throttled", (int)worker->counters.throttled, "throttles", (json_int_t)worker->counters.throttles,
	    "packets", packets_json(&master->keeper.workers[worker->number]));

	worker_add_channel(object, worker);
	return object;
}

/* The other way. */
static json_t *
up_json(const struct outbox *outbox)
{
	const struct outbox_counters *counters = &outbox->counters;

	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:b}", "in", (json_int_t)counters->in,
	    "acknowledged", (json_int_t)counters->acknowledged, "waiting", (json_int_t)counters->waiting,
	    "lost", (json_int_t)counters->lost, "again", (json_int_t)counters->again, "balanced", outbox_balances(outbox));
}

static json_t *
link_json(const struct master *master)
{
	const struct link *link = &master->link;
	uint64_t up = link->state == LINK_UP ? (loop_now(&master->loop) - link->up_since) / 1000 : 0;

	return json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:b, s:I, s:I, s:I, s:I, s:b, s:b}",
	    "state", link_state_name(link->state), "name", link->name, "dialect", link->dialect->name,
	    "type", link->spawn != NULL ? "embedded" : "connect", "up_seconds", (json_int_t)up,
	    "queued_bytes", (json_int_t)link->outbox.queued, "acknowledged", link->ack.on,
	    "unacknowledged", (json_int_t)link->outbox.waiting,
	    "unacknowledged_bytes", (json_int_t)link->outbox.unacknowledged, "resumptions", (json_int_t)link->resumptions,
	    "given_up", (json_int_t)link->given_up, "reading", !link->unread, "choked", link->choked);
}

static json_t *
admission_json(const struct master *master)
{
	const struct admission *admission = &master->gate.admission;
	json_t *refused = json_object();
	unsigned waiting = 0;
	const struct entry *entry;

	for (unsigned verdict = ADMISSION_GRANTED + 1; verdict < ADMISSION_VERDICT_COUNT; verdict++)
		json_object_set_new(refused, admission_verdict_name((enum admission_verdict)verdict),
		    json_integer((json_int_t)admission->verdicts[verdict]));
	TAILQ_FOREACH(entry, &master->directory.waiting, waiting)
		waiting++;
	return json_pack("{s:I, s:o, s:I, s:I, s:i, s:I, s:I}",
	    "granted", (json_int_t)admission->verdicts[ADMISSION_GRANTED], "refused", refused,
	    "crowded", (json_int_t)master->ends.reasons[END_CROWDED], "delayed", (json_int_t)master->gate.pauses,
	    "waiting", (int)waiting, "networks", (json_int_t)admission->counts.count,
	    "pasts", (json_int_t)admission->pasts.count);
}

static json_t *
status_json(const struct master *master)
{
	json_t *workers = json_array();
	uint64_t bytes_in = 0, bytes_out = 0, sessions = 0, handshakes = 0, resumed = 0, failed = 0,
	    throttled = 0, throttles = 0;

	for (uint32_t i = 0; i < master->pool.count; i++) {
		bytes_in += master->pool.workers[i].counters.bytes_in;
		bytes_out += master->pool.workers[i].counters.bytes_out;
		handshakes += master->pool.workers[i].counters.handshakes;
		resumed += master->pool.workers[i].counters.resumed;
		failed += master->pool.workers[i].counters.handshakes_failed;
		throttled += master->pool.workers[i].counters.throttled;
		throttles += master->pool.workers[i].counters.throttles;
		sessions += sessions_of(&master->directory.tables[i]);
		json_array_append_new(workers, worker_json(master, &master->pool.workers[i]));
	}
	return json_pack("{s:o, s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:o}",
	    "link", link_json(master), "packets", packets_json(&master->keeper.total), "up", up_json(&master->link.outbox),
	    "clients", (json_int_t)master->directory.count, "sessions", (json_int_t)sessions,
	    "bytes_in", (json_int_t)bytes_in, "bytes_out", (json_int_t)bytes_out,
	    "handshakes", (json_int_t)handshakes, "resumed", (json_int_t)resumed, "handshakes_failed", (json_int_t)failed,
	    "held_bytes", (json_int_t)master->keeper.held_bytes,
	    "throttled", (json_int_t)throttled, "throttles", (json_int_t)throttles,
	    "admission", admission_json(master), "ended", ended_json(&master->ends),
	    "certificates", control_certificates_json(&master->certificates), "workers", workers);
}

/* The counters of every worker that is alive are fresh; or have been waited for. */
static bool
pongs_complete(const struct control_connection *connection)
{
	const struct master *master = connection->control->master;

	if (connection->late)
		return true;
	for (uint32_t i = 0; i < master->pool.count; i++) {
		if (master->pool.workers[i].state == WORKER_READY && master->pool.workers[i].pinged != 0)
			return false;
	}
	return true;
}

static void
status_check(struct control_connection *connection)
{
	if (!pongs_complete(connection))
		return;
	balance_check(connection->control->master);
	control_connection_say(connection, status_json(connection->control->master));
	control_connection_done(connection);
}

/* ---- workers ---- */

static void
workers_check(struct control_connection *connection)
{
	const struct master *master = connection->control->master;

	if (!pongs_complete(connection))
		return;
	for (uint32_t i = 0; i < master->pool.count; i++)
		control_connection_say(connection, worker_json(master, &master->pool.workers[i]));
	control_connection_done(connection);
}

/* A worker that hangs is what somebody may be looking for. */
static void
on_late(struct timer *timer)
{
	struct control_connection *connection = container_of(timer, struct control_connection, timeout);

	connection->late = true;
	connection->on_notice(connection);
}

static void
report_when_fresh(struct control_connection *connection, void (*check)(struct control_connection *connection))
{
	struct master *master = connection->control->master;

	connection->on_notice = check;
	pool_ping(&master->pool);
	timer_set(&master->loop, &connection->timeout, PONG_PATIENCE, on_late);
	check(connection);
}

void
control_report_workers(struct control_connection *connection, const json_t *request)
{
	(void)request;
	report_when_fresh(connection, workers_check);
}

void
control_report_status(struct control_connection *connection, const json_t *request)
{
	(void)request;
	report_when_fresh(connection, status_check);
}

/* ---- wait ---- */

static void
ready_check(struct control_connection *connection)
{
	if (master_is_ready(connection->control->master))
		control_connection_done(connection);
}

void
control_report_wait(struct control_connection *connection, const json_t *request)
{
	(void)request;
	connection->on_notice = ready_check;
	ready_check(connection);
}

/* ---- config ---- */

void
control_report_config(struct control_connection *connection, const json_t *request)
{
	struct buffer xml = { 0 };

	(void)request;
	if (config_print(&options_table, connection->control->master->options, &xml) < 0) {
		control_connection_refuse(connection, "out of memory");
	} else {
		control_connection_say(connection, json_pack("{s:o}", "xml",
		    control_command_text((const char *)buffer_bytes(&xml), buffer_length(&xml))));
		control_connection_done(connection);
	}
	buffer_deinit(&xml);
}
