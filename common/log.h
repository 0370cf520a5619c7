/*
 * log: one line for the operator.
 *
 * Grammar of a line (doc/design.md, "Log"): role, then the id of the client where there is one, then object, verb and
 * key=value pairs, for instance
 *
 *	c2sd: worker 2: 8k2fjq0z3m1pa.2.17.4711 client closed reason=idle-timeout in=512 out=90211
 *
 * The role is set once per process; where the line goes is a sink: standard error, syslog, or (in a worker, which has
 * no descriptor of its own for it) a frame to the master. A sink must not block. Text from the network is written with
 * control characters replaced, so that nobody can forge a line.
 */
#ifndef C2SD_COMMON_LOG_H
#define C2SD_COMMON_LOG_H

#include <stdbool.h>

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

/* `role` must live as long as the process; lines above `level` are not even formatted. */
void log_init(const char *role, enum log_level level);

/* A sink takes one line without its line feed, and must not block. */
void log_set_sink(void (*sink)(enum log_level level, const char *role, const char *line, void *argument),
    void *argument);

void log_set_level(enum log_level level);

/* The sinks of the master and of programs on a terminal. */
void log_sink_stderr(enum log_level level, const char *role, const char *line, void *argument);
void log_sink_syslog(enum log_level level, const char *role, const char *line, void *argument);

/* Pass on a line that another process wrote: same sink, its role in place of ours. */
void log_relay(enum log_level level, const char *role, const char *line);

#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)

void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

const char *log_level_name(enum log_level level);

#endif
