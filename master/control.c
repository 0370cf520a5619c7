#include "master/control.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/log.h"
#include "master/master.h"
#include "master/router.h"

#define READ_SIZE 1024

/* Lines of a long answer are produced while less than this waits to be read. */
#define ANSWER_CHUNK (64u * 1024)

/* For an answer of the session manager's, which hashes a password meanwhile. */
#define ANSWER_TIMEOUT 10000

/* Until a connection is accepted again when descriptors have run out. */
#define ACCEPT_PAUSE 1000

/* ---- a connection ---- */

static void
on_connection_flush(struct job *job);

static void
connection_queue(struct control_connection *connection)
{
	job_queue(&connection->control->master->loop, &connection->flush, on_connection_flush);
}

static void
connection_close(struct control_connection *connection)
{
	connection->closed = true;
	connection_queue(connection);
}

static void
connection_free(struct control_connection *connection)
{
	struct control *control = connection->control;
	struct loop *loop = &control->master->loop;
	int fd = connection->watch.fd;

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

static void sessions_produce(struct control_connection *connection);

static void
on_connection_flush(struct job *job)
{
	struct control_connection *connection = container_of(job, struct control_connection, flush);
	struct loop *loop = &connection->control->master->loop;

	while (!connection->closed && buffer_length(&connection->out) > 0) {
		ssize_t length = send(connection->watch.fd, buffer_bytes(&connection->out), buffer_length(&connection->out),
		    MSG_NOSIGNAL | MSG_DONTWAIT);

		if (length < 0 && errno == EAGAIN) {
			watch_change(loop, &connection->watch, (connection->ended ? 0 : EPOLLIN) | EPOLLOUT);
			return;
		}
		if (length < 0 && errno != EINTR)
			connection->closed = true;
		if (length > 0)
			buffer_consume(&connection->out, (size_t)length);
		if (connection->waiting == CONTROL_WAITS_READER)
			sessions_produce(connection);
	}
	if (connection->closed || connection->out.failed || connection->waiting == CONTROL_WAITS_FLUSH)
		connection_free(connection);
	else
		watch_change(loop, &connection->watch, connection->ended ? 0 : EPOLLIN);
}

/* One line; takes the object over, which may be NULL (no memory). */
static void
connection_say(struct control_connection *connection, json_t *object)
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
connection_done(struct control_connection *connection)
{
	timer_clear(&connection->control->master->loop, &connection->timeout);
	connection_say(connection, json_pack("{s:b}", "done", 1));
	connection->waiting = CONTROL_WAITS_FLUSH;
}

static void
connection_refuse(struct control_connection *connection, const char *error)
{
	timer_clear(&connection->control->master->loop, &connection->timeout);
	connection_say(connection, json_pack("{s:s}", "error", error));
	connection->waiting = CONTROL_WAITS_FLUSH;
}

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

static json_t *
worker_json(const struct master *master, const struct worker_process *worker)
{
	static const char *const states[] = { "absent", "starting", "ready" };
	const struct slot_table *table = &master->directory.tables[worker->number];

	return json_pack("{s:i, s:i, s:s, s:i, s:i, s:i, s:b, s:I, s:I, s:I, s:I, s:o}",
	    "number", (int)worker->number, "pid", (int)worker->pid, "state", states[worker->state],
	    "starts", (int)worker->starts, "clients", (int)table->count, "sessions", (int)sessions_of(table),
	    "full", worker->full,
	    "bytes_in", (json_int_t)worker->counters.bytes_in, "bytes_out", (json_int_t)worker->counters.bytes_out,
	    "packets_from_clients", (json_int_t)worker->counters.packets_in,
	    "packets_to_clients", (json_int_t)worker->counters.packets_out,
	    "packets", packets_json(&master->keeper.workers[worker->number]));
}

static json_t *
link_json(const struct master *master)
{
	const struct link *link = &master->link;
	uint64_t up = link->state == LINK_UP ? (loop_now(&master->loop) - link->up_since) / 1000 : 0;

	return json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:b}",
	    "state", link_state_name(link->state), "name", link->name, "dialect", link->dialect->name,
	    "type", link->spawn != NULL ? "embedded" : "connect", "up_seconds", (json_int_t)up,
	    "queued_bytes", (json_int_t)link->queued, "reading", !link->unread);
}

static json_t *
status_json(const struct master *master)
{
	json_t *workers = json_array();
	uint64_t bytes_in = 0, bytes_out = 0, sessions = 0;

	for (uint32_t i = 0; i < master->pool.count; i++) {
		bytes_in += master->pool.workers[i].counters.bytes_in;
		bytes_out += master->pool.workers[i].counters.bytes_out;
		sessions += sessions_of(&master->directory.tables[i]);
		json_array_append_new(workers, worker_json(master, &master->pool.workers[i]));
	}
	return json_pack("{s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:o}",
	    "link", link_json(master), "packets", packets_json(&master->keeper.total),
	    "clients", (json_int_t)master->directory.count, "sessions", (json_int_t)sessions,
	    "bytes_in", (json_int_t)bytes_in, "bytes_out", (json_int_t)bytes_out,
	    "held_bytes", (json_int_t)master->keeper.held_bytes, "workers", workers);
}

/* The counters of every worker that is alive are fresh. */
static bool
pongs_complete(const struct master *master)
{
	for (uint32_t i = 0; i < master->pool.count; i++) {
		if (master->pool.workers[i].state == WORKER_READY && master->pool.workers[i].pinged != 0)
			return false;
	}
	return true;
}

static void
status_check(struct control_connection *connection)
{
	if (!pongs_complete(connection->control->master))
		return;
	connection_say(connection, status_json(connection->control->master));
	connection_done(connection);
}

static void
command_status(struct control_connection *connection)
{
	connection->waiting = CONTROL_WAITS_PONGS;
	pool_ping(&connection->control->master->pool);
	status_check(connection);
}

static void
ready_check(struct control_connection *connection)
{
	if (master_is_ready(connection->control->master))
		connection_done(connection);
}

static void
command_wait(struct control_connection *connection)
{
	connection->waiting = CONTROL_WAITS_READY;
	ready_check(connection);
}

void
control_notice(struct control *control)
{
	struct control_connection *connection;

	TAILQ_FOREACH(connection, &control->connections, entry) {
		if (connection->waiting == CONTROL_WAITS_PONGS)
			status_check(connection);
		else if (connection->waiting == CONTROL_WAITS_READY)
			ready_check(connection);
	}
}

/* ---- sessions ---- */

/* What a session manager gives as an address need not be UTF-8, and JSON is. */
static json_t *
account_json(const struct entry *entry)
{
	json_t *account = entry->confirmed ? json_string(entry->address) : json_null();

	return account != NULL ? account : json_string("(not UTF-8)");
}

static json_t *
session_json(const struct master *master, const struct entry *entry)
{
	char id[DIRECTORY_ID_SIZE], address[INET6_ADDRSTRLEN];

	return json_pack("{s:s, s:o, s:s, s:i, s:i, s:I, s:I, s:I}",
	    "id", directory_id(&master->directory, entry, id),
	    "account", account_json(entry),
	    "address", peer_format(&entry->peer, address), "port", (int)entry->peer.port, "worker", (int)entry->worker,
	    "seconds", (json_int_t)((loop_now(&master->loop) - entry->since) / 1000),
	    "held", (json_int_t)entry->held, "packets", (json_int_t)entry->numbers);
}

/* One that was told to go, and only has not closed its connection yet, is nobody's session any more. */
static bool
is_listed(const struct entry *entry)
{
	return entry != NULL && !entry->closing && !entry->ended_upstream;
}

static void
sessions_produce(struct control_connection *connection)
{
	const struct master *master = connection->control->master;

	while (connection->worker < master->directory.workers) {
		const struct slot_table *table = &master->directory.tables[connection->worker];

		for (; connection->slot < table->size; connection->slot++) {
			if (buffer_length(&connection->out) >= ANSWER_CHUNK)
				return;
			if (is_listed(table->entries[connection->slot]))
				connection_say(connection, session_json(master, table->entries[connection->slot]));
		}
		connection->slot = 0;
		connection->worker++;
	}
	connection_done(connection);
}

static void
command_sessions(struct control_connection *connection)
{
	connection->waiting = CONTROL_WAITS_READER;
	sessions_produce(connection);
}

static void
command_kick(struct control_connection *connection, const char *id)
{
	struct master *master = connection->control->master;
	struct entry *entry;

	if (id == NULL) {
		connection_refuse(connection, "kick whom?");
		return;
	}
	entry = directory_find(&master->directory, (struct range){ id, strlen(id) });
	if (entry == NULL) {
		connection_refuse(connection, "no such client");
		return;
	}
	router_close(master, entry, END_KICKED);
	connection_done(connection);
}

/* ---- accounts: the embedded session manager's business ---- */

static void
on_answer_timeout(struct timer *timer)
{
	connection_refuse(container_of(timer, struct control_connection, timeout), "the session manager does not answer");
}

/* The question of `user` commands (doc/link.md, "Accounts"). */
static void
user_question(struct buffer *packet, const struct control_connection *connection, const char *action, const char *name,
    const char *host, const char *password)
{
	buffer_append_format(packet, "<iq type='set' id='%" PRIu64 "' sto='", connection->id);
	buffer_append_escaped(packet, host, strlen(host));
	buffer_append_string(packet, "' sfrom='");
	buffer_append_escaped(packet, connection->control->master->link.name, strlen(connection->control->master->link.name));
	buffer_append_format(packet, "'><user xmlns='urn:x-c2sd:admin:0' action='%s' name='", action);
	buffer_append_escaped(packet, name, strlen(name));
	if (password != NULL) {
		buffer_append_string(packet, "' password='");
		buffer_append_escaped(packet, password, strlen(password));
	}
	buffer_append_string(packet, "'/></iq>");
}

static bool
is_action(const char *action)
{
	static const char *const actions[] = { "add", "del", "passwd", "list" };

	for (size_t i = 0; action != NULL && i < sizeof actions / sizeof actions[0]; i++) {
		if (strcmp(action, actions[i]) == 0)
			return true;
	}
	return false;
}

/* XML has no way to carry them all, and folds the others (XML 1.0 2.2 and 3.3.3). */
static bool
has_control_characters(const char *text)
{
	for (const unsigned char *p = (const unsigned char *)text; text != NULL && *p != '\0'; p++) {
		if (*p < 0x20 || *p == 0x7f)
			return true;
	}
	return false;
}

static bool
is_our_host(const struct master *master, const char *host)
{
	for (unsigned i = 0; i < master->options->host_count; i++) {
		if (strcmp(master->options->hosts[i].name, host) == 0)
			return true;
	}
	return false;
}

static const char *
string_of(const json_t *request, const char *name)
{
	return json_string_value(json_object_get(request, name));
}

static void
command_user(struct control_connection *connection, const json_t *request)
{
	struct master *master = connection->control->master;
	const char *action = string_of(request, "action"), *name = string_of(request, "name");
	const char *host = string_of(request, "host");
	struct buffer packet = { 0 };

	if (host == NULL)
		host = master->options->hosts[0].name;
	if (master->link.spawn == NULL) {
		connection_refuse(connection, "accounts are kept by the session manager at the other end of the link");
	} else if (!is_action(action) || !is_our_host(master, host)) {
		connection_refuse(connection, "unknown action or host");
	} else if (has_control_characters(name) || has_control_characters(string_of(request, "password"))) {
		connection_refuse(connection, "control characters in a name or password");
	} else {
		connection->id = ++connection->control->ids;
		user_question(&packet, connection, action, name != NULL ? name : "", host, string_of(request, "password"));
		connection->waiting = CONTROL_WAITS_ANSWER;
		timer_set(&master->loop, &connection->timeout, ANSWER_TIMEOUT, on_answer_timeout);
		if (!master_send(master, &packet))
			connection_refuse(connection, "the link is not up");
		if (buffer_length(&packet) > 0)
			explicit_bzero(buffer_bytes(&packet), buffer_length(&packet));
		buffer_deinit(&packet);
	}
}

/* Names come bare, from the host that was asked. */
static void
say_user(struct control_connection *connection, struct range name, struct range host)
{
	struct buffer jid = { 0 };

	range_append_decoded(&jid, name);
	buffer_append(&jid, "@", 1);
	range_append_decoded(&jid, host);
	connection_say(connection, json_pack("{s:s%}", "name", buffer_bytes(&jid), buffer_length(&jid)));
	buffer_deinit(&jid);
}

static void
say_users(struct control_connection *connection, const struct element *iq, const struct element *users)
{
	struct element user = { 0 };
	struct range name, host;

	if (!element_attribute(iq, "sfrom", &host))
		return;
	while (element_next_child(users, &user)) {
		if (element_attribute(&user, "name", &name))
			say_user(connection, name, host);
	}
}

static void
say_error(struct control_connection *connection, const struct element *iq)
{
	struct element error, text;
	char *reason = NULL;

	if (element_find_child(iq, "error", NULL, &error) && element_find_child(&error, "text", NULL, &text))
		reason = range_strdup_decoded(text.content);
	connection_refuse(connection, reason != NULL ? reason : "refused by the session manager");
	free(reason);
}

static struct control_connection *
connection_of(struct control *control, const struct element *iq)
{
	struct control_connection *connection;
	char id[24];

	TAILQ_FOREACH(connection, &control->connections, entry) {
		snprintf(id, sizeof id, "%" PRIu64, connection->id);
		if (connection->waiting == CONTROL_WAITS_ANSWER && element_attribute_is(iq, "id", id))
			return connection;
	}
	return NULL;
}

void
control_answer(struct control *control, const void *bytes, size_t length)
{
	struct control_connection *connection;
	struct element iq, users;

	if (!element_read_complete(&iq, bytes, length))
		return;
	connection = connection_of(control, &iq);
	if (connection == NULL)
		return;
	if (!element_attribute_is(&iq, "type", "result")) {
		say_error(connection, &iq);
		return;
	}
	if (element_find_child(&iq, "users", NULL, &users))
		say_users(connection, &iq, &users);
	connection_done(connection);
}

/* ---- requests ---- */

static void
request_dispatch(struct control_connection *connection, const json_t *request)
{
	const char *command = string_of(request, "command");

	if (command == NULL)
		connection_refuse(connection, "not a request");
	else if (strcmp(command, "status") == 0)
		command_status(connection);
	else if (strcmp(command, "wait") == 0)
		command_wait(connection);
	else if (strcmp(command, "sessions") == 0)
		command_sessions(connection);
	else if (strcmp(command, "kick") == 0)
		command_kick(connection, string_of(request, "id"));
	else if (strcmp(command, "user") == 0)
		command_user(connection, request);
	else
		connection_refuse(connection, "unknown command");
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
	if (request == NULL)
		connection_refuse(connection, "not a request");
	else
		request_dispatch(connection, request);
	json_decref(request);
}

static void
on_connection_ready(struct watch *watch, uint32_t events)
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
	if (length == 0 && connection->waiting != CONTROL_WAITS_REQUEST) {
		/* It has asked, and only reads on. */
		connection->ended = true;
		connection_queue(connection);
	} else if (length == 0 || (length < 0 && errno != EAGAIN && errno != EINTR)) {
		connection_close(connection);
	} else if (length > 0) {
		buffer_commit(&connection->in, (size_t)length);
		/* One request a connection; what follows is not read as another. */
		if (connection->waiting == CONTROL_WAITS_REQUEST)
			request_take(connection);
		else
			buffer_clear(&connection->in);
	}
}

/* ---- the socket ---- */

static bool
may_ask(int fd)
{
	struct ucred peer;
	socklen_t length = sizeof peer;

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 && (peer.uid == 0 || peer.uid == geteuid());
}

static void
on_accept_again(struct timer *timer)
{
	struct control *control = container_of(timer, struct control, pause);

	watch_change(&control->master->loop, &control->watch, EPOLLIN);
}

static void
accept_later(struct control *control)
{
	if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
		return;
	watch_change(&control->master->loop, &control->watch, 0);
	timer_set(&control->master->loop, &control->pause, ACCEPT_PAUSE, on_accept_again);
}

static void
on_connect(struct watch *watch, uint32_t events)
{
	struct control *control = container_of(watch, struct control, watch);
	int fd = accept4(watch->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct control_connection *connection;

	(void)events;
	if (fd < 0) {
		accept_later(control);
		return;
	}
	connection = may_ask(fd) && control->count < CONTROL_CONNECTIONS ? calloc(1, sizeof *connection) : NULL;
	if (connection == NULL || watch_add(&control->master->loop, &connection->watch, fd, EPOLLIN, on_connection_ready) < 0) {
		free(connection);
		close(fd);
		return;
	}
	connection->control = control;
	TAILQ_INSERT_TAIL(&control->connections, connection, entry);
	control->count++;
}

/* A connection to any other file is refused, too, and that file is somebody's. */
static bool
is_socket(const char *path)
{
	struct stat status;

	return lstat(path, &status) == 0 && S_ISSOCK(status.st_mode);
}

int
control_open(struct control *control, const char *path, uid_t uid, gid_t gid)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	mode_t mask;
	int fd, error = 0;

	*control = (struct control){ .watch.fd = -1 };
	TAILQ_INIT(&control->connections);
	if (strlen(path) >= sizeof address.sun_path)
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	/* Only one that refuses was left behind by a killed c2sd; any other belongs to one that runs, however busy it is. */
	if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0 || (errno != ECONNREFUSED && errno != ENOENT)) {
		error = errno == EACCES ? EACCES : EADDRINUSE;
		close(fd);
		return -error;
	}
	if (errno == ECONNREFUSED && is_socket(path))
		unlink(path);
	mask = umask(0177);
	if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, CONTROL_CONNECTIONS) < 0 ||
	    (geteuid() == 0 && lchown(path, uid, gid) < 0))
		error = errno;
	umask(mask);
	control->path = error == 0 ? strdup(path) : NULL;
	control->watch.fd = fd;
	if (control->path == NULL)
		control_deinit(control);
	return error != 0 ? -error : control->path == NULL ? -ENOMEM : 0;
}

int
control_start(struct control *control, struct master *master)
{
	control->master = master;
	return watch_add(&master->loop, &control->watch, control->watch.fd, EPOLLIN, on_connect);
}

void
control_deinit(struct control *control)
{
	int fd = control->watch.fd;

	if (control->master != NULL) {
		while (!TAILQ_EMPTY(&control->connections))
			connection_free(TAILQ_FIRST(&control->connections));
		watch_remove(&control->master->loop, &control->watch);
		timer_clear(&control->master->loop, &control->pause);
	}
	if (control->path != NULL)
		unlink(control->path);
	free(control->path);
	control->path = NULL;
	control->watch.fd = -1;
	if (fd >= 0)
		close(fd);
}
