#include "master/control_connection.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "master/control_command.h"
#include "master/master.h"

#define READ_SIZE 1024

static void on_flush(struct job *job);

static void
connection_queue(struct control_connection *connection)
{
	job_queue(&connection->control->master->loop, &connection->flush, on_flush);
}

static void
connection_close(struct control_connection *connection)
{
	connection->closed = true;
	connection_queue(connection);
}

void
control_connection_free(struct control_connection *connection)
{
	struct control *control = connection->control;
	struct loop *loop = &control->master->loop;
	int fd = connection->watch.fd;

	if (connection->on_gone != NULL)
		connection->on_gone(connection);
	watch_remove(loop, &connection->watch);
	close(fd);
	timer_clear(loop, &connection->timeout);
	job_cancel(loop, &connection->flush);
	buffer_deinit(&connection->in);
	buffer_deinit(&connection->out);
	TAILQ_REMOVE(&control->connections, connection, entry);
	control->count--;
	free(connection);
}

/* False: the reader takes nothing more now. */
static bool
connection_write(struct control_connection *connection)
{
	ssize_t length = send(connection->watch.fd, buffer_bytes(&connection->out), buffer_length(&connection->out),
	    MSG_NOSIGNAL | MSG_DONTWAIT);

	if (length < 0 && errno == EAGAIN)
		return false;
	if (length < 0 && errno != EINTR)
		connection->closed = true;
	if (length > 0)
		buffer_consume(&connection->out, (size_t)length);
	if (connection->on_room != NULL && buffer_length(&connection->out) < CONTROL_CHUNK)
		connection->on_room(connection);
	return true;
}

static void
on_flush(struct job *job)
{
	struct control_connection *connection = container_of(job, struct control_connection, flush);
	struct loop *loop = &connection->control->master->loop;

	while (!connection->closed && !connection->out.failed && buffer_length(&connection->out) > 0) {
		if (!connection_write(connection)) {
			watch_change(loop, &connection->watch, (connection->ended ? 0 : EPOLLIN) | EPOLLOUT);
			return;
		}
	}
	if (connection->closed || connection->out.failed || connection->state == CONTROL_COMPLETE)
		control_connection_free(connection);
	else
		watch_change(loop, &connection->watch, connection->ended ? 0 : EPOLLIN);
}

void
control_connection_say(struct control_connection *connection, json_t *object)
{
	char *line = object == NULL ? NULL : json_dumps(object, JSON_COMPACT);

	if (line == NULL) {
		connection->out.failed = true;
	} else {
		buffer_append_string(&connection->out, line);
		buffer_append(&connection->out, "\n", 1);
	}
	free(line);
	json_decref(object);
	connection_queue(connection);
}

static void
connection_complete(struct control_connection *connection, json_t *object)
{
	timer_clear(&connection->control->master->loop, &connection->timeout);
	connection->on_room = connection->on_notice = NULL;
	connection->on_ended = NULL;
	connection->on_renewed = NULL;
	connection->on_trace = NULL;
	connection->survey = 0;
	connection->question = 0;
	connection->state = CONTROL_COMPLETE;
	control_connection_say(connection, object);
}

void
control_connection_done(struct control_connection *connection)
{
	connection_complete(connection, json_pack("{s:b}", "done", 1));
}

void
control_connection_refuse(struct control_connection *connection, const char *error)
{
	connection_complete(connection, json_pack("{s:s}", "error", error));
}

/* ---- the request ---- */

static void
request_dispatch(struct control_connection *connection, const json_t *request)
{
	const char *name = json_string_value(json_object_get(request, "command"));
	const struct control_command *command = name == NULL ? NULL : control_command_find(name);

	connection->state = CONTROL_ANSWER;
	if (name == NULL)
		control_connection_refuse(connection, "not a request");
	else if (command == NULL)
		control_connection_refuse(connection, "unknown command");
	else
		command->start(connection, request);
}

static void
request_take(struct control_connection *connection)
{
	const char *bytes = (const char *)buffer_bytes(&connection->in);
	const char *end = memchr(bytes, '\n', buffer_length(&connection->in));
	json_error_t error;
	json_t *request;

	if (end == NULL) {
		if (buffer_length(&connection->in) > CONTROL_REQUEST_MAX)
			connection_close(connection);
		return;
	}
	request = json_loadb(bytes, (size_t)(end - bytes), 0, &error);
	/* It may hold a password. */
	explicit_bzero(buffer_bytes(&connection->in), buffer_length(&connection->in));
	buffer_clear(&connection->in);
	request_dispatch(connection, request);
	json_decref(request);
}

static void
on_ready(struct watch *watch, uint32_t events)
{
	struct control_connection *connection = container_of(watch, struct control_connection, watch);
	uint8_t *place;
	ssize_t length;

	if (events & EPOLLOUT)
		connection_queue(connection);
	if (events & (EPOLLHUP | EPOLLERR))
		connection_close(connection);
	if ((events & EPOLLIN) == 0)
		return;
	place = buffer_reserve(&connection->in, READ_SIZE);
	length = place == NULL ? 0 : recv(watch->fd, place, READ_SIZE, MSG_DONTWAIT);
	if (length == 0 && connection->state != CONTROL_REQUEST) {
		/* It has asked, and only reads on. */
		connection->ended = true;
		connection_queue(connection);
	} else if (length == 0 || (length < 0 && errno != EAGAIN && errno != EINTR)) {
		connection_close(connection);
	} else if (length > 0) {
		buffer_commit(&connection->in, (size_t)length);
		/* One request a connection; what follows is not read as another. */
		if (connection->state == CONTROL_REQUEST)
			request_take(connection);
		else
			buffer_clear(&connection->in);
	}
}

bool
control_connection_open(struct control *control, int fd)
{
	struct control_connection *connection = calloc(1, sizeof *connection);

	if (connection == NULL)
		return false;
	if (watch_add(&control->master->loop, &connection->watch, fd, EPOLLIN, on_ready) < 0) {
		free(connection);
		return false;
	}
	connection->control = control;
	TAILQ_INSERT_TAIL(&control->connections, connection, entry);
	control->count++;
	return true;
}
