#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/log.h"
#include "master/control_command.h"
#include "master/master.h"

#define SECONDS_DEFAULT 60
#define SECONDS_MAX 3600

/* Sessions of one account that are shown together. */
#define CLIENTS_MAX 16

/* What is shown in all, and what waits for a reader who does not keep up: more is left out, and counted. */
#define BYTES_MAX (64u * 1024 * 1024)
#define WAITING_MAX (4 * CONTROL_CHUNK)

struct traced {
	uint32_t worker, slot;
	uint64_t serial;
};

struct trace {
	struct traced clients[CLIENTS_MAX];
	unsigned count;
	size_t bytes;
	uint64_t lost;		/* not shown, and not said yet */
};

static bool
is_it(const struct traced *traced, const struct entry *entry)
{
	return traced->serial == entry->serial && traced->worker == entry->worker && traced->slot == entry->slot;
}

static bool
is_traced(const struct trace *trace, const struct entry *entry)
{
	for (unsigned i = 0; i < trace->count; i++) {
		if (is_it(&trace->clients[i], entry))
			return true;
	}
	return false;
}

/* ---- on and off ---- */

static void
tell(struct master *master, const struct entry *entry, bool on)
{
	struct buffer body = { 0 };

	message_put_switch(&body, on);
	channel_send(&master->pool.workers[entry->worker].channel, M2W_TRACE, entry->slot, entry->serial, &body);
	buffer_deinit(&body);
}

/* Somebody else looks at it, too. */
static bool
is_traced_by_others(const struct control_connection *self, const struct entry *entry)
{
	const struct control_connection *connection;

	TAILQ_FOREACH(connection, &self->control->connections, entry) {
		if (connection != self && connection->on_trace != NULL && is_traced(connection->work, entry))
			return true;
	}
	return false;
}

static void
trace_off(struct control_connection *connection)
{
	struct master *master = connection->control->master;
	struct trace *trace = connection->work;

	for (unsigned i = 0; i < trace->count; i++) {
		const struct traced *traced = &trace->clients[i];
		const struct entry *entry = directory_at(&master->directory, traced->worker, traced->slot, traced->serial);

		if (entry != NULL && !is_traced_by_others(connection, entry))
			tell(master, entry, false);
	}
	trace->count = 0;
}

static void
on_gone(struct control_connection *connection)
{
	trace_off(connection);
	free(connection->work);
}

static void
trace_end(struct control_connection *connection, const char *why)
{
	const struct trace *trace = connection->work;

	trace_off(connection);
	control_connection_say(connection, json_pack("{s:s, s:I}", "ended", why, "lost", (json_int_t)trace->lost));
	control_connection_done(connection);
}

static void
on_time(struct timer *timer)
{
	trace_end(container_of(timer, struct control_connection, timeout), "time");
}

static void
on_ended(struct control_connection *connection, const struct entry *entry)
{
	struct trace *trace = connection->work;

	for (unsigned i = 0; i < trace->count; i++) {
		if (is_it(&trace->clients[i], entry))
			trace->clients[i] = trace->clients[--trace->count];
	}
	if (trace->count == 0)
		trace_end(connection, "client");
}

static void
on_renewed(struct control_connection *connection, const struct entry *entry, uint64_t before)
{
	struct trace *trace = connection->work;

	for (unsigned i = 0; i < trace->count; i++) {
		struct traced *traced = &trace->clients[i];

		if (traced->worker == entry->worker && traced->slot == entry->slot && traced->serial == before)
			traced->serial = entry->serial;
	}
}

/* ---- what is shown ---- */

static const char *
time_text(char *text, size_t size)
{
	struct timespec now;
	struct tm parts;
	size_t length;

	clock_gettime(CLOCK_REALTIME, &now);
	length = strftime(text, size, "%Y-%m-%dT%H:%M:%S", gmtime_r(&now.tv_sec, &parts));
	snprintf(text + length, size - length, ".%03ldZ", now.tv_nsec / 1000000);
	return text;
}

static void
on_trace(struct control_connection *connection, const struct entry *entry, const struct trace_message *message)
{
	const struct master *master = connection->control->master;
	struct trace *trace = connection->work;
	char id[DIRECTORY_ID_SIZE], when[40];

	if (!is_traced(trace, entry))
		return;
	trace->lost += message->lost;
	if (buffer_length(&connection->out) > WAITING_MAX) {
		trace->lost++;
		return;
	}
	control_connection_say(connection, json_pack("{s:s, s:s, s:s, s:I, s:b, s:I, s:o}",
	    "time", time_text(when, sizeof when), "id", directory_id(&master->directory, entry, id),
	    "direction", message->down ? "down" : "up", "length", (json_int_t)message->length, "cut", message->cut,
	    "lost", (json_int_t)trace->lost, "text", control_command_text(message->text, message->text_length)));
	trace->lost = 0;
	trace->bytes += message->text_length;
	if (trace->bytes > BYTES_MAX)
		trace_end(connection, "size");
}

/* ---- the request ---- */

static void
trace_add(struct control_connection *connection, const struct entry *entry)
{
	struct trace *trace = connection->work;

	if (entry->closing || trace->count == CLIENTS_MAX)
		return;
	trace->clients[trace->count++] = (struct traced){ entry->worker, entry->slot, entry->serial };
}

static void
trace_add_account(struct control_connection *connection, const char *account)
{
	const struct directory *directory = &connection->control->master->directory;

	for (const struct entry *entry = NULL; (entry = directory_next(directory, entry)) != NULL;) {
		if (entry->confirmed && control_sessions_match(entry->address, account))
			trace_add(connection, entry);
	}
}

static void
trace_begin(struct control_connection *connection, unsigned seconds)
{
	struct master *master = connection->control->master;
	const struct trace *trace = connection->work;
	char id[DIRECTORY_ID_SIZE];

	connection->on_trace = on_trace;
	connection->on_ended = on_ended;
	connection->on_renewed = on_renewed;
	timer_set(&master->loop, &connection->timeout, (uint64_t)seconds * 1000, on_time);
	for (unsigned i = 0; i < trace->count; i++) {
		const struct traced *traced = &trace->clients[i];
		const struct entry *entry = directory_at(&master->directory, traced->worker, traced->slot, traced->serial);

		directory_id(&master->directory, entry, id);
		log_info("%s client traced seconds=%u", id, seconds);
		control_connection_say(connection, json_pack("{s:s, s:o, s:i}", "id", id,
		    "account", entry->confirmed ? control_command_text(entry->address, strlen(entry->address)) : json_null(),
		    "seconds", (int)seconds));
		tell(master, entry, true);
	}
}

void
control_trace_start(struct control_connection *connection, const json_t *request)
{
	const struct directory *directory = &connection->control->master->directory;
	const char *whom = control_command_string(request, "client");
	const json_t *seconds = json_object_get(request, "seconds");
	json_int_t time = seconds == NULL ? SECONDS_DEFAULT : json_integer_value(seconds);
	struct trace *trace = calloc(1, sizeof *trace);
	const struct entry *entry;

	connection->work = trace;
	if (trace != NULL)
		connection->on_gone = on_gone;
	if (trace == NULL || whom == NULL || time < 1 || time > SECONDS_MAX) {
		control_connection_refuse(connection, trace == NULL ? "out of memory" : whom == NULL ? "trace whom?" :
		    "1 to 3600 seconds");
		return;
	}
	entry = directory_find(directory, (struct range){ whom, strlen(whom) });
	if (entry != NULL)
		trace_add(connection, entry);
	else if (strchr(whom, '@') != NULL)
		trace_add_account(connection, whom);
	if (trace->count == 0)
		control_connection_refuse(connection, "no such client");
	else
		trace_begin(connection, (unsigned)time);
}
