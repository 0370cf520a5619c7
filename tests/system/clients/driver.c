#include "driver.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char input[65536];
static size_t input_length;
static size_t input_taken;	/* of the lines already handed out */
static bool input_ended;
static bool closed_written;

static char *
text_or_die(char *text)
{
	if (text == NULL) {
		perror("out of memory");
		exit(2);
	}
	return text;
}

void
driver_start(struct driver_arguments *arguments_r, int argc, char **argv)
{
	static char full_jid[3072];
	const char *at = argc == 6 ? strchr(argv[3], '@') : NULL;
	const char *tls = getenv("CLIENT_TLS");
	const char *login = getenv("CLIENT_LOGIN");

	if (at == NULL) {
		fprintf(stderr, "usage: %s HOST PORT USER@SERVER PASSWORD RESOURCE\n", argv[0]);
		exit(2);
	}
	snprintf(full_jid, sizeof(full_jid), "%s/%s", argv[3], argv[5]);
	arguments_r->host = argv[1];
	arguments_r->port = (unsigned short)atoi(argv[2]);
	arguments_r->jid = argv[3];
	arguments_r->user = text_or_die(strndup(argv[3], (size_t)(at - argv[3])));
	arguments_r->server = at + 1;
	arguments_r->full_jid = full_jid;
	arguments_r->password = argv[4];
	arguments_r->resource = argv[5];
	arguments_r->starttls = tls != NULL && strcmp(tls, "starttls") == 0;
	arguments_r->direct = tls != NULL && strcmp(tls, "direct") == 0;
	arguments_r->authorities = getenv("CLIENT_CA");
	arguments_r->defaults = login != NULL && strcmp(login, "default") == 0;
	setvbuf(stdout, NULL, _IOLBF, 0);
	fcntl(STDIN_FILENO, F_SETFL, fcntl(STDIN_FILENO, F_GETFL) | O_NONBLOCK);
}

void
driver_feed(void)
{
	ssize_t n;

	memmove(input, input + input_taken, input_length - input_taken);
	input_length -= input_taken;
	input_taken = 0;
	n = read(STDIN_FILENO, input + input_length, sizeof(input) - input_length);
	if (n > 0)
		input_length += (size_t)n;
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		input_ended = true;
}

static enum driver_verb
command_parse(struct driver_command *command_r, char *line)
{
	char *rest = line;
	const char *verb = strsep(&rest, " ");

	if (strcmp(verb, "quit") == 0)
		return DRIVER_QUIT;
	if (strcmp(verb, "presence") == 0) {
		command_r->type = rest == NULL ? NULL : strsep(&rest, " ");
		command_r->to = rest;
		return DRIVER_PRESENCE;
	}
	if (strcmp(verb, "message") == 0 && rest != NULL) {
		command_r->to = strsep(&rest, " ");
		command_r->text = rest == NULL ? "" : rest;
		return DRIVER_MESSAGE;
	}
	if (strcmp(verb, "roster") == 0) {
		command_r->to = rest == NULL ? NULL : strsep(&rest, " ");
		command_r->text = rest == NULL ? "" : rest;
		return DRIVER_ROSTER;
	}
	return DRIVER_UNKNOWN;
}

enum driver_verb
driver_next(struct driver_command *command_r)
{
	char *line = input + input_taken;
	char *end = memchr(line, '\n', input_length - input_taken);

	memset(command_r, 0, sizeof(*command_r));
	if (end != NULL) {
		*end = '\0';
		input_taken = (size_t)(end + 1 - input);
		command_r->verb = command_parse(command_r, line);
	} else if (input_ended) {
		command_r->verb = DRIVER_QUIT;
	}
	return command_r->verb;
}

static void
text_write(const char *text)
{
	for (; text != NULL && *text != '\0'; text++)
		putchar(*text == '\n' || *text == '\r' ? ' ' : *text);
}

static void
line_write(const char *word, const char *from, const char *text)
{
	printf("%s ", word);
	text_write(from == NULL ? "-" : from);
	putchar(' ');
	text_write(text);
	putchar('\n');
}

void
driver_online(const char *jid)
{
	printf("online %s\n", jid);
}

void
driver_message(const char *from, const char *text, bool delayed)
{
	line_write(delayed ? "delayed" : "message", from, text);
}

void
driver_presence(const char *from, const char *type)
{
	line_write("presence", from, type == NULL ? "available" : type);
}

void
driver_item(const char *jid, const char *subscription, const char *name)
{
	printf("roster %s %s ", jid, subscription);
	text_write(name);
	putchar('\n');
}

void
driver_roster_end(bool pushed)
{
	printf("roster %s\n", pushed ? "pushed" : "complete");
}

void
driver_closed(const char *reason)
{
	if (closed_written)
		return;
	closed_written = true;
	printf("closed %s\n", reason);
}
