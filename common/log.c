#include "common/log.h"

#include <bsd/string.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "common/fold.h"
#include "common/loop.h"
#include "common/sink.h"

/* How often it is tried to say that lines were dropped, when no other line comes. */
#define DROPPED_TIME 5000

static void log_to_target(enum log_level level, const char *role, const char *line, void *argument);

static const char *log_role = "";
static enum log_level log_level = LOG_LEVEL_INFO;
static void (*log_sink)(enum log_level level, const char *role, const char *line, void *argument) = log_to_target;
static void *log_sink_argument;

static struct sink log_target = { .kind = SINK_STDERR, .fd = STDERR_FILENO };
static struct sink log_echo = { .fd = -1 };
static struct sink log_next = { .fd = -1 };	/* prepared */

/* Lines that the target did not take, since this was said last, and errno of the first of them. */
static uint64_t log_dropped;
static int log_dropped_error;

static struct loop *log_loop;
static struct timer log_timer;
static struct fold *log_fold;

void
log_init(const char *role, enum log_level level)
{
	log_role = role;
	log_level = level;
	if (log_target.kind == SINK_STDERR)
		sink_open_stderr(&log_target);
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

enum log_level
log_get_level(void)
{
	return log_level;
}

const char *
log_level_name(enum log_level level)
{
	static const char *const names[] = { "error", "warning", "info", "debug" };

	return (unsigned)level < sizeof names / sizeof names[0] ? names[level] : "?";
}

bool
log_level_find(const char *name, size_t length, enum log_level *level_r)
{
	for (unsigned level = LOG_LEVEL_ERROR; level <= LOG_LEVEL_DEBUG; level++) {
		const char *known = log_level_name((enum log_level)level);

		if (strlen(known) != length || memcmp(known, name, length) != 0)
			continue;
		*level_r = (enum log_level)level;
		return true;
	}
	return false;
}

static int
level_priority(enum log_level level)
{
	static const int priorities[] = { LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

	return priorities[level];
}

/* ---- the target ---- */

int
log_prepare(enum log_target target, const char *file)
{
	log_rollback();
	switch (target) {
	case LOG_TARGET_STDERR:
		sink_open_stderr(&log_next);
		return 0;
	case LOG_TARGET_SYSLOG:
		return sink_open_syslog(&log_next, SINK_SYSLOG_PATH);
	case LOG_TARGET_FILE:
		return file == NULL ? -EINVAL : sink_open_file(&log_next, file);
	case LOG_TARGET_AUTO:
		break;
	}
	return -EINVAL;
}

void
log_commit(void)
{
	if (log_next.kind == SINK_CLOSED)
		return;
	sink_close(&log_target);
	log_target = log_next;
	log_next = (struct sink){ .fd = -1 };
	log_set_sink(log_to_target, NULL);
}

void
log_rollback(void)
{
	sink_close(&log_next);
}

int
log_open(enum log_target target, const char *file)
{
	int result = log_prepare(target, file);

	if (result == 0)
		log_commit();
	return result;
}

int
log_reopen(void)
{
	return sink_reopen(&log_target);
}

void
log_close(void)
{
	log_rollback();
	sink_close(&log_target);
	sink_open_stderr(&log_target);
}

/* False: still nothing is taken. */
static bool
dropped_say(void)
{
	char line[128], error[80];

	snprintf(line, sizeof line, "log dropped lines=%" PRIu64 " error=%s", log_dropped,
	    log_quote(error, sizeof error, strerror(log_dropped_error)));
	if (sink_write(&log_target, LOG_WARNING, log_role, line) != 0)
		return false;
	log_dropped = 0;
	return true;
}

static void
log_to_target(enum log_level level, const char *role, const char *line, void *argument)
{
	int error;

	(void)argument;
	error = log_dropped > 0 && !dropped_say() ? log_dropped_error :
	    sink_write(&log_target, level_priority(level), role, line);
	if (error != 0 && log_dropped++ == 0)
		log_dropped_error = error;
}

void
log_sink_stderr(enum log_level level, const char *role, const char *line, void *argument)
{
	struct sink sink;

	(void)argument;
	sink_open_stderr(&sink);
	sink_write(&sink, level_priority(level), role, line);
}

void
log_set_echo(int fd)
{
	if (log_echo.kind != SINK_CLOSED)
		close(log_echo.fd);
	log_echo = (struct sink){ .kind = fd >= 0 ? SINK_STDERR : SINK_CLOSED, .fd = fd };
}

/* ---- what is said later ---- */

static uint64_t
now_milliseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void
notice_write(const struct fold_notice *notice)
{
	log_sink((enum log_level)notice->level, notice->role, notice->line, log_sink_argument);
}

static void
counts_write(uint64_t now)
{
	struct fold_notice notice;

	while (log_fold != NULL && fold_next(log_fold, now, &notice))
		notice_write(&notice);
}

static void on_later(struct timer *timer);

/* An idle process is not woken up: the timer runs only while there is something to be said. */
static void
later_arrange(void)
{
	uint64_t now, due;

	if (log_loop == NULL || timer_is_set(&log_timer))
		return;
	now = now_milliseconds();
	due = log_fold == NULL ? UINT64_MAX : fold_due(log_fold);
	if (log_dropped > 0 && due > now + DROPPED_TIME)
		due = now + DROPPED_TIME;
	if (due != UINT64_MAX)
		timer_set(log_loop, &log_timer, due > now ? due - now : 0, on_later);
}

static void
on_later(struct timer *timer)
{
	(void)timer;
	counts_write(now_milliseconds());
	if (log_dropped > 0)
		dropped_say();
	later_arrange();
}

void
log_start(struct loop *loop)
{
	log_loop = loop;
	/* Without memory for it every line is written. */
	if (log_fold == NULL)
		log_fold = calloc(1, sizeof *log_fold);
	later_arrange();
}

void
log_stop(void)
{
	if (log_loop == NULL)
		return;
	timer_clear(log_loop, &log_timer);
	log_loop = NULL;
	counts_write(UINT64_MAX);
	free(log_fold);
	log_fold = NULL;
	if (log_dropped > 0)
		dropped_say();
}

static void
line_put(enum log_level level, const char *role, const char *line)
{
	struct fold_notice notice;
	bool due = false, fresh = log_fold == NULL ||
	    fold_line(log_fold, now_milliseconds(), (int)level, role, line, &notice, &due);

	if (due)
		notice_write(&notice);
	if (fresh)
		log_sink(level, role, line, log_sink_argument);
	if (fresh && level <= LOG_LEVEL_WARNING && log_echo.kind != SINK_CLOSED)
		sink_write(&log_echo, level_priority(level), role, line);
	if (!fresh || log_dropped > 0)
		later_arrange();
}

/* ---- lines ---- */

/* Bytes of the valid UTF-8 character (RFC 3629) that begins here; 0: there is none. `code_r` is what it stands for. */
static size_t
character_read(const unsigned char *text, uint32_t *code_r)
{
	static const uint32_t lowest[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t length = text[0] < 0x80 ? 1 : text[0] < 0xc2 ? 0 : text[0] < 0xe0 ? 2 : text[0] < 0xf0 ? 3 : text[0] < 0xf5 ? 4 : 0;
	uint32_t code = length > 1 ? text[0] & (0x7fu >> length) : text[0];

	for (size_t i = 1; i < length; i++) {
		if ((text[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (text[i] & 0x3f);
	}
	*code_r = code;
	return length > 0 && (code < lowest[length] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) ? 0 : length;
}

/* What ends a line for somebody, or makes what follows look as if it stood elsewhere. */
static bool
is_unsafe(uint32_t code)
{
	return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x61c || code == 0xfeff ||
	    (code >= 0x200b && code <= 0x200f) || (code >= 0x2028 && code <= 0x202e) || (code >= 0x2060 && code <= 0x206f);
}

static void
line_make_safe(char *line)
{
	unsigned char *from = (unsigned char *)line, *to = from;

	while (*from != '\0') {
		uint32_t code = 0;
		size_t length = character_read(from, &code);

		if (length == 0 || is_unsafe(code)) {
			*to++ = '?';
		} else {
			memmove(to, from, length);
			to += length;
		}
		from += length > 0 ? length : 1;
	}
	*to = '\0';
}

void
log_relay(enum log_level level, const char *role, const char *line)
{
	char safe[SINK_LINE_MAX];

	if (level > log_level)
		return;
	strlcpy(safe, line, sizeof safe);
	line_make_safe(safe);
	line_put(level, role, safe);
}

void
log_write(enum log_level level, const char *format, ...)
{
	char line[SINK_LINE_MAX];
	va_list arguments;

	if (level > log_level)
		return;
	va_start(arguments, format);
	vsnprintf(line, sizeof line, format, arguments);
	va_end(arguments);
	line_make_safe(line);
	line_put(level, log_role, line);
}

const char *
log_quote(char *quoted_r, size_t size, const char *value)
{
	size_t length = 0;

	if (size < 3)
		return "\"\"";
	quoted_r[length++] = '"';
	for (const char *p = value == NULL ? "" : value; *p != '\0' && length < size - 2; p++)
		quoted_r[length++] = *p == '"' ? '\'' : *p;
	quoted_r[length++] = '"';
	quoted_r[length] = '\0';
	return quoted_r;
}
