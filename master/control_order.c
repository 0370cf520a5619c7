#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "master/control_command.h"
#include "master/master.h"
#include "master/router.h"

void
control_order_kick(struct control_connection *connection, const json_t *request)
{
	struct master *master = connection->control->master;
	const char *id = control_command_string(request, "id");
	struct entry *entry;

	if (id == NULL) {
		control_connection_refuse(connection, "kick whom?");
		return;
	}
	entry = directory_find(&master->directory, (struct range){ id, strlen(id) });
	if (entry == NULL) {
		control_connection_refuse(connection, "no such client");
		return;
	}
	router_close(master, entry, END_KICKED);
	control_connection_done(connection);
}

void
control_order_drain(struct control_connection *connection, const json_t *request)
{
	const json_t *worker = json_object_get(request, "worker");
	json_int_t number = json_integer_value(worker);
	int result = -ESRCH;

	if (json_is_integer(worker) && number >= 0 && number <= UINT32_MAX)
		result = pool_drain(&connection->control->master->pool, (uint32_t)number);
	if (result == -EALREADY)
		control_connection_refuse(connection, "that worker retires already");
	else if (result == -EBUSY)
		control_connection_refuse(connection, "no other worker takes clients");
	else if (result < 0)
		control_connection_refuse(connection, "no such worker, or it is not running");
	else
		control_connection_done(connection);
}

/* ---- loglevel ---- */

void
control_order_loglevel(struct control_connection *connection, const json_t *request)
{
	const json_t *name = json_object_get(request, "level");
	const char *text = json_string_value(name);
	enum log_level level;

	if (name != NULL && (text == NULL || !log_level_find(text, strlen(text), &level))) {
		control_connection_refuse(connection, "levels are error, warning, info and debug");
		return;
	}
	if (name != NULL)
		master_set_log_level(connection->control->master, level);
	control_connection_say(connection, json_pack("{s:s}", "level", log_level_name(log_get_level())));
	control_connection_done(connection);
}

/* ---- reload ---- */

struct reload_order {
	struct reload_request request;
	struct control_connection *connection;
};

static void
say_lines(struct control_connection *connection, const struct buffer *lines)
{
	const char *at = (const char *)buffer_bytes(lines), *end = at + buffer_length(lines);

	while (at < end) {
		const char *line_end = memchr(at, '\n', (size_t)(end - at));
		size_t length = (size_t)((line_end == NULL ? end : line_end) - at);

		control_connection_say(connection, json_pack("{s:o}", "line", control_command_text(at, length)));
		at += length + 1;
	}
}

static void
on_reloaded(struct reload_request *request, bool changed)
{
	struct control_connection *connection = container_of(request, struct reload_order, request)->connection;

	if (buffer_length(&request->lines) > 0)
		say_lines(connection, &request->lines);
	if (changed)
		control_connection_done(connection);
	else
		control_connection_refuse(connection, "nothing has changed");
}

static void
on_reload_gone(struct control_connection *connection)
{
	struct reload_order *order = connection->work;

	reload_request_deinit(connection->control->master, &order->request);
	free(order);
}

void
control_order_reload(struct control_connection *connection, const json_t *request)
{
	struct reload_order *order = calloc(1, sizeof *order);

	(void)request;
	if (order == NULL) {
		control_connection_refuse(connection, "out of memory");
		return;
	}
	order->connection = connection;
	order->request.done = on_reloaded;
	connection->work = order;
	connection->on_gone = on_reload_gone;
	reload_start(connection->control->master, &order->request);
}
