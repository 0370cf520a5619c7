#include "ctl/ask.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

void
ask_fail(int status, const char *format, ...)
{
	va_list arguments;

	fputs("c2sctl: ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	exit(status);
}

static int
try_connect(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd, error;

	if (strlen(path) >= sizeof address.sun_path)
		ask_fail(EXIT_USAGE, "%s: too long for a socket", path);
	memcpy(address.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
		return fd;
	error = errno;
	close(fd);
	errno = error;
	return -1;
}

static long long
now_milliseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* The folder that the socket is to appear in; "." for a bare name. */
static void
folder_of(const char *path, char *folder, size_t size)
{
	const char *slash = strrchr(path, '/');

	if (slash == NULL)
		snprintf(folder, size, ".");
	else
		snprintf(folder, size, "%.*s", slash == path ? 1 : (int)(slash - path), path);
}

/*
 * Wait until somebody listens. The folder tells when the socket appears; between that and its listen(2) there is a
 * moment without an event, so it is also tried again after a while.
 */
static int
connect_patiently(const char *path, long long until)
{
	char folder[256], events[4096];
	struct pollfd wait = { .fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK), .events = POLLIN };
	int fd;

	folder_of(path, folder, sizeof folder);
	if (wait.fd >= 0)
		inotify_add_watch(wait.fd, folder, IN_CREATE | IN_MOVED_TO | IN_ATTRIB);
	while ((fd = try_connect(path)) < 0 && now_milliseconds() < until) {
		poll(&wait, 1, 100);
		if (wait.fd >= 0 && read(wait.fd, events, sizeof events) < 0 && errno != EAGAIN)
			break;
	}
	if (wait.fd >= 0)
		close(wait.fd);
	return fd;
}

static void
request_send(const json_t *request, int fd)
{
	char *text = json_dumps(request, JSON_COMPACT);
	size_t length = text == NULL ? 0 : strlen(text);
	ssize_t sent;

	if (text == NULL)
		ask_fail(EXIT_REFUSED, "out of memory");
	text[length] = '\n';	/* in place of the terminating zero */
	sent = send(fd, text, length + 1, MSG_NOSIGNAL);
	/* That it was closed already is seen by the answer, which does not come. */
	if (sent != (ssize_t)length + 1 && !(sent < 0 && errno == EPIPE))
		ask_fail(EXIT_ABSENT, "cannot ask: %s", strerror(errno));
	explicit_bzero(text, length);
	free(text);
}

/* Somebody who takes the lines of an answer. */
struct taker {
	void (*take)(const char *line, const json_t *object, void *argument);
	void *argument;
};

/* -1: more lines follow; else the exit code. */
static int
line_take(const struct taker *taker, const char *line)
{
	json_error_t error;
	json_t *object = json_loads(line, 0, &error);
	const char *refusal;
	int status = -1;

	if (object == NULL)
		ask_fail(EXIT_ABSENT, "an answer that is not JSON");
	refusal = json_string_value(json_object_get(object, "error"));
	if (refusal != NULL) {
		fflush(stdout);
		fprintf(stderr, "c2sctl: %s\n", refusal);
		status = EXIT_REFUSED;
	} else if (json_object_get(object, "done") != NULL) {
		status = EXIT_OK;
	} else {
		taker->take(line, object, taker->argument);
	}
	json_decref(object);
	return status;
}

static void
answer_limit(int fd, long long until)
{
	long long milliseconds = until - now_milliseconds();
	struct timeval left = {
		.tv_sec = milliseconds > 0 ? milliseconds / 1000 : 0,
		.tv_usec = milliseconds > 0 ? milliseconds % 1000 * 1000 : 1,
	};

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &left, sizeof left);
}

static int
answer_read(int fd, const struct taker *taker, bool patient)
{
	FILE *stream = fdopen(fd, "r");
	char *line = NULL;
	size_t size = 0;
	ssize_t length;
	int status = -1;
	bool begun = false;

	if (stream == NULL)
		ask_fail(EXIT_ABSENT, "%s", strerror(errno));
	while (status < 0 && (length = getline(&line, &size, stream)) > 0) {
		begun = true;
		if (line[length - 1] == '\n')
			line[length - 1] = '\0';
		status = line_take(taker, line);
	}
	free(line);
	fclose(stream);
	if (status < 0)
		ask_fail(EXIT_ABSENT, patient ? "the service is not ready" : begun ? "the answer breaks off" :
		    "closed without an answer: the service ends, or too many ask at once");
	return status;
}

int
ask(const char *path, const json_t *request, long long seconds,
    void (*take)(const char *line, const json_t *object, void *argument), void *argument)
{
	struct taker taker = { take, argument };
	long long until = now_milliseconds() + seconds * 1000;
	int fd = seconds > 0 ? connect_patiently(path, until) : try_connect(path);

	if (fd < 0)
		ask_fail(EXIT_ABSENT, "%s: %s", path, strerror(errno));
	request_send(request, fd);
	if (seconds > 0)
		answer_limit(fd, until);
	return answer_read(fd, &taker, seconds > 0);
}
