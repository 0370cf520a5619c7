/*
 * c2sctl: asks a running c2sd (doc/control.md). One request, a JSON object on a line; the answer is lines of JSON,
 * printed as they are with --json, else for people.
 */
#include <bsd/readpassphrase.h>
#include <bsd/stdlib.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "ctl/print.h"

/* Exit codes: c2sctl(1). */
enum {
	EXIT_OK = 0,
	EXIT_REFUSED = 1,	/* c2sd said no */
	EXIT_USAGE = 2,
	EXIT_ABSENT = 3,	/* no c2sd answers */
};

#define WAIT_DEFAULT 10
#define WAIT_MAX 86400

struct request {
	const char *socket;
	const char *command;
	bool json;
	bool password;		/* is to be read */
	long long wait;		/* seconds; 0: the service must be there already */
	json_t *object;
};

static void __attribute__((noreturn))
usage(int status)
{
	fprintf(status == EXIT_OK ? stdout : stderr,
	    "usage: c2sctl [-s SOCKET] [--json] COMMAND\n"
	    "  status                what the service is doing\n"
	    "  sessions              its clients\n"
	    "  kick ID               end a client\n"
	    "  wait [SECONDS]        until clients can log in\n"
	    "  user add NAME[@HOST]      make an account; the password is read from standard input\n"
	    "  user passwd NAME[@HOST]   change its password\n"
	    "  user del NAME[@HOST]      remove it, its roster and its messages\n"
	    "  user list [HOST]          all accounts\n");
	exit(status);
}

static void __attribute__((noreturn, format(printf, 2, 3)))
fail(int status, const char *format, ...)
{
	va_list arguments;

	fputs("c2sctl: ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	exit(status);
}

/* ---- the request ---- */

static const char *
password_read(void)
{
	static char password[1024];

	if (readpassphrase("Password: ", password, sizeof password, RPP_STDIN | RPP_ECHO_OFF) == NULL || password[0] == '\0')
		fail(EXIT_USAGE, "no password");
	return password;
}

static void
request_user(struct request *request, int argc, char **argv)
{
	const char *action = argc > 0 ? argv[0] : "", *at;
	bool list = strcmp(action, "list") == 0;

	if (argc != 2 && !(list && argc == 1))
		usage(EXIT_USAGE);
	json_object_set_new(request->object, "action", json_string(action));
	if (list && argc == 2)
		json_object_set_new(request->object, "host", json_string(argv[1]));
	if (list)
		return;
	at = strchr(argv[1], '@');
	json_object_set_new(request->object, "name", at == NULL ? json_string(argv[1]) :
	    json_stringn(argv[1], (size_t)(at - argv[1])));
	if (at != NULL)
		json_object_set_new(request->object, "host", json_string(at + 1));
	if (strcmp(action, "add") == 0 || strcmp(action, "passwd") == 0)
		json_object_set_new(request->object, "password", json_string(password_read()));
	else if (strcmp(action, "del") != 0)
		usage(EXIT_USAGE);
}

static void
request_wait(struct request *request, int argc, char **argv)
{
	const char *error = NULL;

	request->wait = argc == 0 ? WAIT_DEFAULT : strtonum(argv[0], 1, WAIT_MAX, &error);
	if (argc > 1)
		usage(EXIT_USAGE);
	if (error != NULL)
		fail(EXIT_USAGE, "wait %s: %s", argv[0], error);
}

static void
request_command(struct request *request, int argc, char **argv)
{
	if (argc == 0)
		usage(EXIT_USAGE);
	request->command = argv[0];
	json_object_set_new(request->object, "command", json_string(request->command));
	argc--;
	argv++;
	if (strcmp(request->command, "user") == 0)
		request_user(request, argc, argv);
	else if (strcmp(request->command, "wait") == 0)
		request_wait(request, argc, argv);
	else if (strcmp(request->command, "kick") == 0 && argc == 1)
		json_object_set_new(request->object, "id", json_string(argv[0]));
	else if ((strcmp(request->command, "status") != 0 && strcmp(request->command, "sessions") != 0) || argc != 0)
		usage(EXIT_USAGE);
}

/* Options may stand before and behind the command; they are taken out of argv. */
static int
request_options(struct request *request, int argc, char **argv)
{
	int kept = 0;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0)
			request->json = true;
		else if (strcmp(argv[i], "-s") == 0 && i + 1 < argc)
			request->socket = argv[++i];
		else if (strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "--help") == 0)
			usage(EXIT_OK);
		else if (argv[i][0] == '-')
			usage(EXIT_USAGE);
		else
			argv[kept++] = argv[i];
	}
	return kept;
}

/* ---- the socket ---- */

static int
try_connect(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd, error;

	if (strlen(path) >= sizeof address.sun_path)
		fail(EXIT_USAGE, "%s: too long for a socket", path);
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
request_send(const struct request *request, int fd)
{
	char *text = json_dumps(request->object, JSON_COMPACT);
	size_t length = text == NULL ? 0 : strlen(text);

	if (text == NULL)
		fail(EXIT_REFUSED, "out of memory");
	text[length] = '\n';	/* in place of the terminating zero */
	if (send(fd, text, length + 1, MSG_NOSIGNAL) != (ssize_t)length + 1)
		fail(EXIT_ABSENT, "cannot ask: %s", strerror(errno));
	explicit_bzero(text, length);
	free(text);
}

/* ---- the answer ---- */

/* -1: more lines follow; else the exit code. */
static int
line_take(const struct request *request, const char *line)
{
	json_error_t error;
	json_t *object = json_loads(line, 0, &error);
	const char *refusal;
	int status = -1;

	if (object == NULL)
		fail(EXIT_ABSENT, "an answer that is not JSON");
	refusal = json_string_value(json_object_get(object, "error"));
	if (refusal != NULL) {
		fprintf(stderr, "c2sctl: %s\n", refusal);
		status = EXIT_REFUSED;
	} else if (json_object_get(object, "done") != NULL) {
		status = EXIT_OK;
	} else if (request->json) {
		puts(line);
	} else {
		print_object(request->command, object);
	}
	json_decref(object);
	return status;
}

static int
answer_read(const struct request *request, int fd, long long until)
{
	struct timeval left = { 0 };
	FILE *stream;
	char *line = NULL;
	size_t size = 0;
	ssize_t length;
	int status = -1;

	if (until != 0) {
		long long milliseconds = until - now_milliseconds();

		left.tv_sec = milliseconds > 0 ? milliseconds / 1000 : 0;
		left.tv_usec = milliseconds > 0 ? milliseconds % 1000 * 1000 : 1;
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &left, sizeof left);
	}
	stream = fdopen(fd, "r");
	if (stream == NULL)
		fail(EXIT_ABSENT, "%s", strerror(errno));
	while (status < 0 && (length = getline(&line, &size, stream)) > 0) {
		if (line[length - 1] == '\n')
			line[length - 1] = '\0';
		status = line_take(request, line);
	}
	free(line);
	fclose(stream);
	if (status < 0)
		fail(EXIT_ABSENT, until != 0 ? "the service is not ready" : "the answer breaks off");
	print_finish(request->command, request->json);
	return status;
}

int
main(int argc, char **argv)
{
	struct request request = { .socket = C2SD_RUNDIR "/control", .object = json_object() };
	long long until = 0;
	int fd, status;

	argc = request_options(&request, argc, argv);
	request_command(&request, argc, argv);
	if (request.wait > 0) {
		until = now_milliseconds() + request.wait * 1000;
		fd = connect_patiently(request.socket, until);
	} else {
		fd = try_connect(request.socket);
	}
	if (fd < 0)
		fail(EXIT_ABSENT, "%s: %s", request.socket, strerror(errno));
	request_send(&request, fd);
	status = answer_read(&request, fd, until);
	json_decref(request.object);
	return status;
}
