#include <arpa/inet.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "master/control_command.h"
#include "master/master.h"

/* Slots looked at in one turn: a filter may let nobody through, and others wait meanwhile. */
#define SCAN_MAX 16384

/* Who is wanted, and how far the list has come. One survey of at most SURVEY_MAX clients is under way at a time. */
struct session_list {
	uint32_t worker, slot;
	bool one_worker;
	char *account;			/* NULL: any */
	bool has_address;
	struct in6_addr address;
	uint8_t tls;			/* as in struct client_report */
	bool has_tls;
	json_int_t active;		/* something was sent or got in so many seconds; -1: does not matter */
	bool throttled;			/* only those that are */
	unsigned starts;		/* of the worker that was asked: another one will not answer */
};

bool
control_sessions_match(const char *address, const char *wanted)
{
	size_t length = strlen(wanted);
	const char *at = strchr(address, '@');

	if (strncmp(address, wanted, length) == 0 && (address[length] == '\0' || address[length] == '/'))
		return true;
	return at != NULL && strncmp(at + 1, wanted, length) == 0 && (at[1 + length] == '\0' || at[1 + length] == '/');
}

/* ---- one session ---- */

static void
session_add_report(json_t *object, const struct client_report *report)
{
	json_object_set_new(object, "idle", json_integer((json_int_t)(report->idle / 1000)));
	json_object_set_new(object, "bytes_in", json_integer((json_int_t)report->bytes_in));
	json_object_set_new(object, "bytes_out", json_integer((json_int_t)report->bytes_out));
	json_object_set_new(object, "packets_in", json_integer((json_int_t)report->packets_in));
	json_object_set_new(object, "packets_out", json_integer((json_int_t)report->packets_out));
	json_object_set_new(object, "unsent", json_integer(report->unsent));
	json_object_set_new(object, "state", json_string(report_state_name(report->state)));
	json_object_set_new(object, "tls", json_string(tls_version_name(report->tls)));
	json_object_set_new(object, "paused", json_boolean(report->paused));
	json_object_set_new(object, "throttled", json_boolean(report->throttled));
}

static json_t *
session_json(const struct master *master, const struct entry *entry, const struct client_report *report)
{
	char id[DIRECTORY_ID_SIZE], address[INET6_ADDRSTRLEN];
	uint64_t seconds = (loop_now(&master->loop) - entry->since) / 1000;
	json_t *object = json_pack("{s:s, s:o, s:s, s:i, s:i, s:I, s:I, s:I, s:I}",
	    "id", directory_id(&master->directory, entry, id),
	    "account", entry->confirmed ? control_command_text(entry->address, strlen(entry->address)) : json_null(),
	    "address", peer_format(&entry->peer, address), "port", (int)entry->peer.port, "worker", (int)entry->worker,
	    "since", (json_int_t)time(NULL) - (json_int_t)seconds, "seconds", (json_int_t)seconds,
	    "held", (json_int_t)entry->held, "packets", (json_int_t)entry->numbers);

	if (object != NULL)
		session_add_report(object, report);
	return object;
}

/* ---- who is listed ---- */

/* One that was told to go, and only has not closed its connection yet, is nobody's session any more. */
static bool
is_listed(const struct session_list *list, const struct entry *entry)
{
	if (entry == NULL || entry->closing || entry->ended_upstream)
		return false;
	if (list->account != NULL && (!entry->confirmed || !control_sessions_match(entry->address, list->account)))
		return false;
	return !list->has_address || memcmp(&entry->peer.address, &list->address, sizeof list->address) == 0;
}

/* A client that only listens sends nothing; but the master has seen packets leave for it. */
static bool
is_active(const struct session_list *list, const struct master *master, const struct entry *entry,
    const struct client_report *report)
{
	uint64_t milliseconds = (uint64_t)list->active * 1000;

	return list->active < 0 || report->idle <= milliseconds ||
	    (entry->progress != 0 && loop_now(&master->loop) - entry->progress <= milliseconds);
}

/* ---- the list ---- */

static void sessions_produce(struct control_connection *connection);

static void
on_later(struct timer *timer)
{
	sessions_produce(container_of(timer, struct control_connection, timeout));
}

/* The next clients of this worker into a survey's body. How many. */
static unsigned
page_fill(struct session_list *list, const struct slot_table *table, struct buffer *body)
{
	uint32_t end = table->size - list->slot > SCAN_MAX ? list->slot + SCAN_MAX : table->size;
	unsigned count = 0;

	for (; list->slot < end && count < SURVEY_MAX; list->slot++) {
		const struct entry *entry = table->entries[list->slot];

		if (!is_listed(list, entry))
			continue;
		message_put_survey_client(body, entry->slot, entry->serial);
		count++;
	}
	return count;
}

static void
page_ask(struct control_connection *connection)
{
	struct control *control = connection->control;
	struct master *master = control->master;
	struct session_list *list = connection->work;
	struct worker_process *worker = &master->pool.workers[list->worker];
	uint32_t number = control->surveys + 1 == 0 ? 1 : control->surveys + 1;
	struct buffer body = { 0 };

	message_put_survey(&body, number);
	if (page_fill(list, &master->directory.tables[list->worker], &body) > 0 && worker->state == WORKER_READY) {
		control->surveys = connection->survey = number;
		list->starts = worker->starts;
		channel_send(&worker->channel, M2W_SURVEY, 0, 0, &body);
	}
	buffer_deinit(&body);
}

static void
sessions_produce(struct control_connection *connection)
{
	struct master *master = connection->control->master;
	struct session_list *list = connection->work;

	if (connection->survey != 0 || buffer_length(&connection->out) >= CONTROL_CHUNK)
		return;
	if (list->worker < master->pool.count && list->slot >= master->directory.tables[list->worker].size) {
		list->slot = 0;
		list->worker = list->one_worker ? master->pool.count : list->worker + 1;
	}
	if (list->worker >= master->pool.count) {
		control_connection_done(connection);
		return;
	}
	page_ask(connection);
	if (connection->survey == 0)
		timer_set(&master->loop, &connection->timeout, 0, on_later);
}

static enum contract_breach
on_survey(struct control_connection *connection, uint32_t worker, struct survey *survey)
{
	const struct master *master = connection->control->master;
	const struct session_list *list = connection->work;
	struct client_report report;

	if (worker != list->worker)
		return BREACH_CLIENT;
	connection->survey = 0;
	while (survey_next_report(survey, &report)) {
		const struct entry *entry = directory_at(&master->directory, worker, report.slot, report.serial);

		if (is_listed(list, entry) && is_active(list, master, entry, &report) &&
		    (!list->has_tls || report.tls == list->tls) && (report.throttled || !list->throttled))
			control_connection_say(connection, session_json(master, entry, &report));
	}
	sessions_produce(connection);
	return survey->left > 0 ? BREACH_BODY : BREACH_NONE;
}

/* The worker that was asked is gone, and its clients with it. */
static void
on_notice(struct control_connection *connection)
{
	const struct session_list *list = connection->work;
	const struct pool *pool = &connection->control->master->pool;

	if (connection->survey == 0)
		return;
	if (list->worker < pool->count && pool->workers[list->worker].state == WORKER_READY &&
	    pool->workers[list->worker].starts == list->starts)
		return;
	connection->survey = 0;
	sessions_produce(connection);
}

static void
on_gone(struct control_connection *connection)
{
	struct session_list *list = connection->work;

	free(list->account);
	free(list);
}

/* ---- the request ---- */

static bool
filter_read_address(struct session_list *list, const char *text)
{
	struct in_addr in;

	list->has_address = true;
	if (inet_pton(AF_INET6, text, &list->address) == 1)
		return true;
	list->address = (struct in6_addr){ .s6_addr = { [10] = 0xff, [11] = 0xff } };
	if (inet_pton(AF_INET, text, &in) != 1)
		return false;
	memcpy(list->address.s6_addr + 12, &in, sizeof in);
	return true;
}

static bool
filter_read_tls(struct session_list *list, const char *text)
{
	static const uint8_t versions[] = { 0, 12, 13 };

	for (size_t i = 0; i < sizeof versions; i++) {
		if (strcmp(tls_version_name(versions[i]), text) != 0)
			continue;
		list->tls = versions[i];
		return list->has_tls = true;
	}
	return false;
}

/* Why not; NULL: it is right. */
static const char *
filters_read(struct session_list *list, const struct master *master, const json_t *request)
{
	const json_t *worker = json_object_get(request, "worker"), *active = json_object_get(request, "active");
	const json_t *throttled = json_object_get(request, "throttled");
	const char *account = control_command_string(request, "account");
	const char *address = control_command_string(request, "address");
	const char *tls = control_command_string(request, "tls");

	list->active = active == NULL ? -1 : json_integer_value(active);
	if (active != NULL && (!json_is_integer(active) || list->active < 0 || list->active > INT32_MAX))
		return "active is a number of seconds";
	if (worker != NULL && (!json_is_integer(worker) || json_integer_value(worker) < 0 ||
	    json_integer_value(worker) >= (json_int_t)master->pool.count))
		return "no such worker";
	if (throttled != NULL && !json_is_boolean(throttled))
		return "throttled is true or false";
	list->throttled = json_is_true(throttled);
	list->one_worker = worker != NULL;
	list->worker = worker == NULL ? 0 : (uint32_t)json_integer_value(worker);
	if (address != NULL && !filter_read_address(list, address))
		return "not an IP address";
	if (tls != NULL && !filter_read_tls(list, tls))
		return "tls is none, TLSv1.2 or TLSv1.3";
	list->account = account == NULL ? NULL : strdup(account);
	return account != NULL && list->account == NULL ? "out of memory" : NULL;
}

void
control_sessions_list(struct control_connection *connection, const json_t *request)
{
	struct session_list *list = calloc(1, sizeof *list);
	const char *error = "out of memory";

	connection->work = list;
	if (list != NULL) {
		connection->on_gone = on_gone;
		error = filters_read(list, connection->control->master, request);
	}
	if (error != NULL) {
		control_connection_refuse(connection, error);
		return;
	}
	connection->on_room = sessions_produce;
	connection->on_notice = on_notice;
	connection->on_survey = on_survey;
	sessions_produce(connection);
}
