/*
 * c2sctl: asks a running c2sd (doc/control.md). One request, a JSON object on a line; the answer is lines of JSON,
 * printed as they are with --json, else for people. Only `cert` asks nobody.
 */
#include <bsd/readpassphrase.h>
#include <bsd/stdlib.h>
#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/ask.h"
#include "ctl/balance.h"
#include "ctl/cert.h"
#include "ctl/print.h"
#include "ctl/top.h"

#define WAIT_DEFAULT 10
#define WAIT_MAX 86400
#define TRACE_MAX 3600
#define PASSWORD_MAX 1023

struct request {
	const char *socket;
	const char *command;
	const char *worker, *account, *address, *tls;	/* --worker and so on */
	const char *configuration, *folder, *days;	/* -c, --folder, --days */
	bool force;		/* --force */
	bool json;
	bool throttled;		/* --throttled */
	long long wait;		/* seconds; 0: the service must be there already */
	unsigned refresh;	/* seconds, of top */
	json_t *object;
	struct cert_order cert;	/* `folder` NULL: no certificate is wanted */
};

static void __attribute__((noreturn))
usage(int status)
{
	fprintf(status == EXIT_OK ? stdout : stderr,
	    "usage: c2sctl [-s SOCKET] [--json] COMMAND\n"
	    "  status                what the service is doing\n"
	    "  workers               its workers\n"
	    "  sessions              its clients\n"
	    "      [--worker NUMBER] [--account ACCOUNT|HOST] [--address IP] [--tls VERSION|none]\n"
	    "      [--throttled]\n"
	    "  top [SECONDS]         the clients with the most traffic; q ends it\n"
	    "  trace ID|ACCOUNT [SECONDS]    what a client sends and gets\n"
	    "  kick ID               end a client\n"
	    "  drain WORKER          replace a worker when its clients have gone\n"
	    "  reload                read the configuration again\n"
	    "  config                the configuration in force\n"
	    "  loglevel [LEVEL]      error, warning, info or debug, until the next reload\n"
	    "  wait [SECONDS]        until clients can log in\n"
	    "  user add NAME[@HOST]      make an account; the password is read from standard input\n"
	    "  user passwd NAME[@HOST]   change its password\n"
	    "  user del NAME[@HOST]      remove it, its roster and its messages\n"
	    "  user list [HOST]          all accounts\n"
	    "  cert [HOST...]        make a self-signed certificate, without a service; by default for its hosts\n"
	    "      [-c FILE] [--folder FOLDER] [--days DAYS] [--force]\n");
	exit(status);
}

/* ---- the arguments of commands ---- */

static void
set_string(struct request *request, const char *name, const char *value)
{
	if (json_object_set_new(request->object, name, json_string(value)) < 0)
		ask_fail(EXIT_USAGE, "%s: not UTF-8", value);
}

static long long
number_read(const char *what, const char *text, long long least, long long most)
{
	const char *error;
	long long number = strtonum(text, least, most, &error);

	if (error != NULL)
		ask_fail(EXIT_USAGE, "%s %s: %s", what, text, error);
	return number;
}

static void
set_number(struct request *request, const char *name, const char *text, long long least, long long most)
{
	json_object_set_new(request->object, name, json_integer(number_read(name, text, least, most)));
}

static void
read_nothing(struct request *request, int argc, char **argv)
{
	(void)request;
	(void)argv;
	if (argc != 0)
		usage(EXIT_USAGE);
}

static void
read_filters(struct request *request)
{
	if (request->worker != NULL)
		set_number(request, "worker", request->worker, 0, UINT32_MAX);
	if (request->account != NULL)
		set_string(request, "account", request->account);
	if (request->address != NULL)
		set_string(request, "address", request->address);
	if (request->tls != NULL)
		set_string(request, "tls", request->tls);
	if (request->throttled)
		json_object_set_new(request->object, "throttled", json_true());
	request->worker = request->account = request->address = request->tls = NULL;
	request->throttled = false;
}

static void
read_sessions(struct request *request, int argc, char **argv)
{
	read_nothing(request, argc, argv);
	read_filters(request);
}

static void
read_top(struct request *request, int argc, char **argv)
{
	if (argc > 1)
		usage(EXIT_USAGE);
	request->refresh = argc == 0 ? TOP_SECONDS : (unsigned)number_read("top", argv[0], 1, TOP_SECONDS_MAX);
	set_string(request, "command", "sessions");
	read_filters(request);
}

static void
read_trace(struct request *request, int argc, char **argv)
{
	if (argc < 1 || argc > 2)
		usage(EXIT_USAGE);
	set_string(request, "client", argv[0]);
	if (argc == 2)
		set_number(request, "seconds", argv[1], 1, TRACE_MAX);
	setvbuf(stdout, NULL, _IOLBF, 0);
}

static void
read_kick(struct request *request, int argc, char **argv)
{
	if (argc != 1)
		usage(EXIT_USAGE);
	set_string(request, "id", argv[0]);
}

static void
read_drain(struct request *request, int argc, char **argv)
{
	if (argc != 1)
		usage(EXIT_USAGE);
	set_number(request, "worker", argv[0], 0, UINT32_MAX);
}

static void
read_loglevel(struct request *request, int argc, char **argv)
{
	if (argc > 1)
		usage(EXIT_USAGE);
	if (argc == 1)
		set_string(request, "level", argv[0]);
}

static void
read_wait(struct request *request, int argc, char **argv)
{
	if (argc > 1)
		usage(EXIT_USAGE);
	request->wait = argc == 0 ? WAIT_DEFAULT : number_read("wait", argv[0], 1, WAIT_MAX);
}

static const char *
password_read(void)
{
	/* What does not fit is cut without a word: one byte more is read than is taken. */
	static char password[PASSWORD_MAX + 2];

	if (readpassphrase("Password: ", password, sizeof password, RPP_STDIN | RPP_ECHO_OFF) == NULL || password[0] == '\0')
		ask_fail(EXIT_USAGE, "no password");
	if (strlen(password) > PASSWORD_MAX)
		ask_fail(EXIT_USAGE, "more than %d bytes of password", PASSWORD_MAX);
	return password;
}

static void
read_user(struct request *request, int argc, char **argv)
{
	const char *action = argc > 0 ? argv[0] : "", *at;
	bool list = strcmp(action, "list") == 0;

	if (argc != 2 && !(list && argc == 1))
		usage(EXIT_USAGE);
	set_string(request, "action", action);
	if (list && argc == 2)
		set_string(request, "host", argv[1]);
	if (list)
		return;
	at = strchr(argv[1], '@');
	json_object_set_new(request->object, "name", at == NULL ? json_string(argv[1]) :
	    json_stringn(argv[1], (size_t)(at - argv[1])));
	if (at != NULL)
		set_string(request, "host", at + 1);
	if (strcmp(action, "add") == 0 || strcmp(action, "passwd") == 0)
		json_object_set_new(request->object, "password", json_string(password_read()));
	else if (strcmp(action, "del") != 0)
		usage(EXIT_USAGE);
}

static void
read_cert(struct request *request, int argc, char **argv)
{
	request->cert = (struct cert_order){
		.configuration = request->configuration,
		.folder = request->folder != NULL ? request->folder : CERT_FOLDER,
		.hosts = argv,
		.host_count = (size_t)argc,
		.days = request->days == NULL ? CERT_DAYS : (unsigned)number_read("days", request->days, 1, CERT_DAYS_MAX),
		.force = request->force,
		.json = request->json,
	};
	request->configuration = request->folder = request->days = NULL;
	request->force = false;
}

static const struct {
	const char *name;
	void (*read)(struct request *request, int argc, char **argv);
} commands[] = {
	{ "status", read_nothing },
	{ "workers", read_nothing },
	{ "sessions", read_sessions },
	{ "top", read_top },
	{ "trace", read_trace },
	{ "kick", read_kick },
	{ "drain", read_drain },
	{ "reload", read_nothing },
	{ "config", read_nothing },
	{ "loglevel", read_loglevel },
	{ "wait", read_wait },
	{ "user", read_user },
	{ "cert", read_cert },
};

static void
request_command(struct request *request, int argc, char **argv)
{
	if (argc == 0)
		usage(EXIT_USAGE);
	for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
		if (strcmp(commands[i].name, argv[0]) != 0)
			continue;
		request->command = commands[i].name;
		set_string(request, "command", request->command);
		commands[i].read(request, argc - 1, argv + 1);
	}
	/* A filter for a command that has none is a mistake that must not go unnoticed. */
	if (request->command == NULL || request->worker != NULL || request->account != NULL || request->address != NULL ||
	    request->throttled || request->configuration != NULL || request->folder != NULL || request->days != NULL || request->force)
		usage(EXIT_USAGE);
}

/* An option with a value, which is the next argument; false: it is none. */
static bool
request_value(struct request *request, int argc, char **argv, int *i)
{
	const struct {
		const char *name;
		const char **value;
	} options[] = {
		{ "-s", &request->socket },
		{ "--worker", &request->worker },
		{ "--account", &request->account },
		{ "--address", &request->address },
		{ "--tls", &request->tls },
		{ "-c", &request->configuration },
		{ "--folder", &request->folder },
		{ "--days", &request->days },
	};

	for (size_t k = 0; k < sizeof options / sizeof options[0]; k++) {
		if (strcmp(argv[*i], options[k].name) != 0)
			continue;
		if (*i + 1 == argc)
			usage(EXIT_USAGE);
		*options[k].value = argv[++*i];
		return true;
	}
	return false;
}

/* Options may stand before and behind the command; they are taken out of argv. */
static int
request_options(struct request *request, int argc, char **argv)
{
	int kept = 0;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0)
			request->json = true;
		else if (strcmp(argv[i], "--force") == 0)
			request->force = true;
		else if (strcmp(argv[i], "--throttled") == 0)
			request->throttled = true;
		else if (request_value(request, argc, argv, &i))
			continue;
		else if (strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "--help") == 0)
			usage(EXIT_OK);
		else if (argv[i][0] == '-')
			usage(EXIT_USAGE);
		else
			argv[kept++] = argv[i];
	}
	return kept;
}

/* ---- the answer ---- */

static void
take(const char *line, const json_t *object, void *argument)
{
	const struct request *request = argument;

	balance_check(object);
	if (request->json)
		puts(line);
	else
		print_object(request->command, object);
}

/* An answer that did not get where it was to go is none: a full disk must not look like success. */
static int
output_check(int status)
{
	bool failed = ferror(stdout) != 0;

	errno = 0;
	if (fflush(stdout) == EOF)
		failed = true;
	if (failed && (status == EXIT_OK || status == EXIT_UNBALANCED))
		ask_fail(EXIT_REFUSED, "cannot write the answer%s%s", errno != 0 ? ": " : "", errno != 0 ? strerror(errno) : "");
	return status;
}

int
main(int argc, char **argv)
{
	struct request request = { .socket = C2SD_RUNDIR "/control", .object = json_object() };
	int status;

	argc = request_options(&request, argc, argv);
	request_command(&request, argc, argv);
	if (request.cert.folder != NULL)
		status = cert_run(&request.cert);
	else if (request.refresh > 0)
		status = top_run(request.socket, request.object, request.refresh, request.json);
	else
		status = ask(request.socket, request.object, request.wait, take, &request);
	if (status == EXIT_OK && !request.json && request.cert.folder == NULL)
		print_finish(request.command);
	if (!balance_finish() && status == EXIT_OK)
		status = EXIT_UNBALANCED;
	json_decref(request.object);
	return output_check(status);
}
