#include "master/control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "master/control_connection.h"
#include "master/master.h"

/* Until a connection is accepted again when descriptors have run out. */
#define ACCEPT_PAUSE 1000

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

	(void)events;
	if (fd < 0) {
		accept_later(control);
		return;
	}
	if (control->count >= CONTROL_CONNECTIONS || !may_ask(fd) || !control_connection_open(control, fd))
		close(fd);
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
			control_connection_free(TAILQ_FIRST(&control->connections));
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

void
control_notice(struct control *control)
{
	struct control_connection *connection;

	TAILQ_FOREACH(connection, &control->connections, entry) {
		if (connection->on_notice != NULL)
			connection->on_notice(connection);
	}
}

enum contract_breach
control_survey(struct control *control, uint32_t worker, const struct frame *frame)
{
	struct control_connection *connection;
	struct survey survey;

	if (!message_get_survey_reports(frame, &survey))
		return BREACH_BODY;
	TAILQ_FOREACH(connection, &control->connections, entry) {
		if (connection->survey != 0 && connection->survey == survey.number)
			return connection->on_survey(connection, worker, &survey);
	}
	return BREACH_NONE;	/* who asked has gone */
}

enum contract_breach
control_trace(struct control *control, const struct entry *entry, const struct frame *frame)
{
	struct control_connection *connection;
	struct trace_message trace;

	if (!message_get_trace(frame, &trace))
		return BREACH_BODY;
	TAILQ_FOREACH(connection, &control->connections, entry) {
		if (connection->on_trace != NULL)
			connection->on_trace(connection, entry, &trace);
	}
	return BREACH_NONE;
}

void
control_ended(struct control *control, const struct entry *entry)
{
	struct control_connection *connection;

	TAILQ_FOREACH(connection, &control->connections, entry) {
		if (connection->on_ended != NULL)
			connection->on_ended(connection, entry);
	}
}

void
control_renewed(struct control *control, const struct entry *entry, uint64_t before)
{
	struct control_connection *connection;

	TAILQ_FOREACH(connection, &control->connections, entry) {
		if (connection->on_renewed != NULL)
			connection->on_renewed(connection, entry, before);
	}
}
