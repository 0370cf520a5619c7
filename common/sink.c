#include "common/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

/* What stands before the text: a time, our name, a role. */
#define HEAD_MAX 128

void
sink_open_stderr(struct sink *sink)
{
	const char *journal = getenv("JOURNAL_STREAM");
	uintmax_t device, inode;
	struct stat status;

	*sink = (struct sink){ .kind = SINK_STDERR, .fd = STDERR_FILENO };
	/* It may have been directed elsewhere since systemd set it: it names the socket. */
	if (journal != NULL && sscanf(journal, "%ju:%ju", &device, &inode) == 2 && fstat(STDERR_FILENO, &status) == 0 &&
	    status.st_dev == (dev_t)device && status.st_ino == (ino_t)inode)
		sink->kind = SINK_JOURNAL;
}

/* ---- syslog ---- */

/* A connected socket, or a negative errno. */
static int
syslog_connect(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd, error;

	if (strlen(path) >= sizeof address.sun_path)
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)&address, sizeof address) == 0)
		return fd;
	error = -errno;
	close(fd);
	return error;
}

static void
fd_replace(struct sink *sink, int fd)
{
	if (sink->fd >= 0)
		close(sink->fd);
	sink->fd = fd;
}

int
sink_open_syslog(struct sink *sink, const char *path)
{
	char *copy = strdup(path);
	int fd;

	if (copy == NULL)
		return -ENOMEM;
	tzset();
	fd = syslog_connect(path);
	*sink = (struct sink){ .kind = SINK_SYSLOG, .fd = fd < 0 ? -1 : fd, .path = copy };
	return 0;
}

/* Said by send(2) of a socket whose other end was closed: whoever listens there now is somebody else. */
static bool
is_disconnected(int error)
{
	return error == ECONNREFUSED || error == ECONNRESET || error == ENOTCONN || error == EPIPE || error == EDESTADDRREQ;
}

/* 0 or an errno. */
static int
syslog_send(struct sink *sink, const char *text, size_t length)
{
	int fd;

	if (sink->fd >= 0) {
		if (send(sink->fd, text, length, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
			return 0;
		if (!is_disconnected(errno))
			return errno;
	}
	fd = syslog_connect(sink->path);
	fd_replace(sink, fd < 0 ? -1 : fd);
	if (fd < 0)
		return -fd;
	return send(fd, text, length, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? errno : 0;
}

/* ---- file ---- */

static int
file_open(const char *path)
{
	/* O_NONBLOCK is for a FIFO without a reader, which would hold us here. */
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);

	return fd < 0 ? -errno : fd;
}

int
sink_open_file(struct sink *sink, const char *path)
{
	char *copy = strdup(path);
	int fd;

	if (copy == NULL)
		return -ENOMEM;
	tzset();
	fd = file_open(path);
	if (fd < 0) {
		free(copy);
		return fd;
	}
	*sink = (struct sink){ .kind = SINK_FILE, .fd = fd, .path = copy };
	return 0;
}

/* 0 or an errno. */
static int
bytes_write(struct sink *sink, const char *text, size_t length)
{
	struct pollfd ready = { .fd = sink->fd, .events = POLLOUT };
	ssize_t written;

	/*
	 * Standard error is shared with others and may not be made non-blocking. A pipe that is writable has room for
	 * PIPE_BUF bytes (pipe(7)), more than a line.
	 */
	if (sink->kind != SINK_FILE && (poll(&ready, 1, 0) != 1 || (ready.revents & POLLOUT) == 0))
		return EAGAIN;
	if (sink->torn) {
		written = write(sink->fd, "\n", 1);
		if (written != 1)
			return written < 0 ? errno : ENOSPC;
		sink->torn = false;
	}
	written = write(sink->fd, text, length);
	if (written < 0)
		return errno;
	/* A disk that is full takes what it still has room for. */
	sink->torn = (size_t)written < length;
	return sink->torn ? ENOSPC : 0;
}

/* ---- lines ---- */

static size_t
head_syslog(char *head, size_t size, int priority, const struct tm *local)
{
	static const char months[][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };

	return (size_t)snprintf(head, size, "<%d>%s %2d %02d:%02d:%02d c2sd[%d]: ", LOG_DAEMON | priority,
	    months[(unsigned)local->tm_mon % 12], local->tm_mday, local->tm_hour, local->tm_min, local->tm_sec, (int)getpid());
}

static size_t
head_file(char *head, size_t size, const struct timespec *now, const struct tm *local)
{
	char date[32];
	long minutes = local->tm_gmtoff / 60;

	strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", local);
	return (size_t)snprintf(head, size, "%s.%03ld%c%02ld:%02ld c2sd[%d]: ", date, now->tv_nsec / 1000000,
	    minutes < 0 ? '-' : '+', labs(minutes) / 60, labs(minutes) % 60, (int)getpid());
}

/* What stands before the role; its length. */
static size_t
head_put(const struct sink *sink, char *head, size_t size, int priority)
{
	struct timespec now;
	struct tm local;

	switch (sink->kind) {
	case SINK_STDERR:
		return (size_t)snprintf(head, size, "c2sd: ");
	case SINK_JOURNAL:
		return (size_t)snprintf(head, size, "<%d>", priority);
	case SINK_SYSLOG:
	case SINK_FILE:
		clock_gettime(CLOCK_REALTIME, &now);
		localtime_r(&now.tv_sec, &local);
		return sink->kind == SINK_SYSLOG ? head_syslog(head, size, priority, &local) :
		    head_file(head, size, &now, &local);
	case SINK_CLOSED:
		break;
	}
	return 0;
}

/* What an operator looks for in any of them. */
static const char *
priority_word(int priority)
{
	return priority <= LOG_ERR ? "error: " : priority == LOG_WARNING ? "warning: " : "";
}

int
sink_write(struct sink *sink, int priority, const char *role, const char *line)
{
	char text[HEAD_MAX + SINK_LINE_MAX + 1];
	size_t length = head_put(sink, text, HEAD_MAX, priority);
	int more = snprintf(text + length, sizeof text - length - 1, "%s: %s%s", role, priority_word(priority),
	    line);

	if (more < 0 || sink->kind == SINK_CLOSED)
		return EBADF;
	length = length + (size_t)more < sizeof text - 1 ? length + (size_t)more : sizeof text - 2;
	if (sink->kind == SINK_SYSLOG)
		return syslog_send(sink, text, length);
	text[length++] = '\n';
	return bytes_write(sink, text, length);
}

int
sink_reopen(struct sink *sink)
{
	int fd;

	if (sink->kind != SINK_SYSLOG && sink->kind != SINK_FILE)
		return 0;
	fd = sink->kind == SINK_SYSLOG ? syslog_connect(sink->path) : file_open(sink->path);
	if (fd < 0)
		return fd;
	fd_replace(sink, fd);
	sink->torn = false;
	return 0;
}

void
sink_close(struct sink *sink)
{
	if (sink->kind == SINK_SYSLOG || sink->kind == SINK_FILE)
		fd_replace(sink, -1);
	free(sink->path);
	*sink = (struct sink){ .fd = -1 };
}
