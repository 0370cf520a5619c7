#include "common/log.h"

#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

/* Longer lines are cut: what an operator reads fits, what a client sends does not fill the disk. */
#define LOG_LINE_MAX 1024

static const char *log_role = "";
static enum log_level log_level = LOG_LEVEL_INFO;
static void (*log_sink)(enum log_level level, const char *role, const char *line, void *argument) = log_sink_stderr;
static void *log_sink_argument;

void
log_init(const char *role, enum log_level level)
{
	log_role = role;
	log_level = level;
}

void
log_set_sink(void (*sink)(enum log_level level, const char *role, const char *line, void *argument), void *argument)
{
	log_sink = sink;
	log_sink_argument = argument;
}

void
log_set_level(enum log_level level)
{
	log_level = level;
}

const char *
log_level_name(enum log_level level)
{
	static const char *const names[] = { "error", "warning", "info", "debug" };

	return (unsigned)level < sizeof names / sizeof names[0] ? names[level] : "?";
}

void
log_sink_stderr(enum log_level level, const char *role, const char *line, void *argument)
{
	char text[LOG_LINE_MAX + 64];
	struct pollfd ready = { .fd = STDERR_FILENO, .events = POLLOUT };
	int length;

	(void)argument;
	length = snprintf(text, sizeof text, "c2sd: %s: %s%s\n", role, level <= LOG_LEVEL_WARNING ? "! " : "", line);
	if (length >= (int)sizeof text) {
		length = sizeof text - 1;
		text[length - 1] = '\n';
	}
	/*
	 * Lossy on purpose: a reader of our log that is gone or slow must not stop the service. A pipe that is writable has
	 * room for PIPE_BUF bytes (pipe(7)), more than a line.
	 */
	if (length > 0 && poll(&ready, 1, 0) == 1 && (ready.revents & POLLOUT) != 0 &&
	    write(STDERR_FILENO, text, (size_t)length) < 0)
		return;
}

void
log_sink_syslog(enum log_level level, const char *role, const char *line, void *argument)
{
	static const int priorities[] = { LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

	(void)argument;
	syslog(LOG_DAEMON | priorities[level], "%s: %s", role, line);
}

void
log_relay(enum log_level level, const char *role, const char *line)
{
	if (level <= log_level)
		log_sink(level, role, line, log_sink_argument);
}

static void
line_make_safe(char *line)
{
	for (unsigned char *p = (unsigned char *)line; *p != '\0'; p++) {
		if (*p < 0x20 || *p == 0x7f)
			*p = '?';
	}
}

void
log_write(enum log_level level, const char *format, ...)
{
	char line[LOG_LINE_MAX];
	va_list arguments;

	if (level > log_level)
		return;
	va_start(arguments, format);
	vsnprintf(line, sizeof line, format, arguments);
	va_end(arguments);
	line_make_safe(line);
	log_sink(level, log_role, line, log_sink_argument);
}
