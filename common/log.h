/*
 * log: one line for the operator.
 *
 * One grammar for all lines (doc/log.md, which lists them; the test `docs` holds the code to it):
 *
 *	ROLE: [LEVEL: ] [CLIENT-ID ] OBJECT [NAME ] VERB [KEY=VALUE ...]
 *
 *	worker 2: 8k2fjq0z3m1pa.2.17.4711 client ended reason=idle-timeout address=192.0.2.7 port=50123 in=512 ...
 *	master: error: link broken reason="connection refused"
 *	master: worker 2 started pid=4711
 *
 * Object and verb are one word each, with hyphens; all that varies is in the NAME of the object or behind a key. A value
 * has no spaces or stands in double quotes; what comes from the network always does, by log_quote(), and so does strerror().
 * Keys are words too: error= for strerror(), reason= for a name of ours, address= and port= of a client, account=, pid=,
 * program=, file=, and for numbers what is counted (clients=, lines=, bytes=, seconds=).
 *
 * Errors need the operator, warnings were dealt with. Whatever was passed in, the line that comes out is one line of valid
 * UTF-8 without control characters: nobody can forge another one.
 *
 * The role is set once per process. Where the line goes is a target (log_open), or a sink of the program's own: in a worker,
 * which has no descriptor for it, a frame to the master. Nothing of it blocks.
 */
#ifndef C2SD_COMMON_LOG_H
#define C2SD_COMMON_LOG_H

#include <stdbool.h>
#include <stddef.h>

struct loop;

enum log_level {
	LOG_LEVEL_ERROR,	/* something is broken and needs the operator */
	LOG_LEVEL_WARNING,	/* something failed and was dealt with */
	LOG_LEVEL_INFO,		/* what happens in normal operation, once per event that matters */
	LOG_LEVEL_DEBUG,	/* what a developer wants to know; only with -v */
};

/* Where the log of the service goes. */
enum log_target {
	LOG_TARGET_AUTO,	/* standard error in the foreground, else syslog */
	LOG_TARGET_SYSLOG,
	LOG_TARGET_STDERR,
	LOG_TARGET_FILE,
};

/* `role` must live as long as the process; lines above `level` are not even formatted. To standard error at first. */
void log_init(const char *role, enum log_level level);

void log_set_level(enum log_level level);
enum log_level log_get_level(void);

/*
 * Write to that target from now on; `file` for LOG_TARGET_FILE only, LOG_TARGET_AUTO is for the caller to decide. The new
 * one is opened before the old one is closed. 0, or a negative errno: nothing has changed. A syslog that is not there is no
 * error: it may come yet.
 */
int log_open(enum log_target target, const char *file) __attribute__((warn_unused_result));

/*
 * The same in two steps, for who has other things to try before anything may change: after log_prepare comes log_commit,
 * which cannot fail, or log_rollback. Lines go where they went until then.
 */
int log_prepare(enum log_target target, const char *file) __attribute__((warn_unused_result));
void log_commit(void);
void log_rollback(void);

/* Open the file anew, which was moved away (SIGUSR1). 0, or a negative errno: the old one is still written to. */
int log_reopen(void) __attribute__((warn_unused_result));

/*
 * Count repeated lines instead of writing them (fold.h), and say in time what was counted and what had to be dropped.
 * `loop` must turn until log_stop, which says what is still to be said.
 */
void log_start(struct loop *loop);
void log_stop(void);

/* Close the target; lines go to standard error again. May be called twice. */
void log_close(void);

/* Write to `sink` instead of the target. It takes one line without its line feed, and must not block. */
void log_set_sink(void (*sink)(enum log_level level, const char *role, const char *line, void *argument),
    void *argument);
void log_sink_stderr(enum log_level level, const char *role, const char *line, void *argument);

/*
 * While a service starts: errors and warnings go to this descriptor too, wherever the log goes, until the next call; -1: no
 * more. It becomes the log's, which closes it.
 */
void log_set_echo(int fd);

/* Pass on a line that another process wrote, who may not be trusted: same sink, its role in place of ours. */
void log_relay(enum log_level level, const char *role, const char *line);

#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)

void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/*
 * A value with its quotes, cut to fit `size`; quotes inside become apostrophes, so that it ends where it seems to end.
 * NULL is "". Returns `quoted_r`.
 */
const char *log_quote(char *quoted_r, size_t size, const char *value);

const char *log_level_name(enum log_level level);

/* The level of that name, which is `length` bytes of `name`. False: there is none. */
bool log_level_find(const char *name, size_t length, enum log_level *level_r);

#endif
