/*
 * sink: where lines of the log end: standard error, syslog or a file.
 *
 * None of them blocks (only a disk does, for as long as the kernel waits for it). A line that cannot be taken now, because
 * a pipe is full, a disk is full, nobody reads the socket of syslog, is not taken: a service that waits for its log serves
 * nobody.
 *
 * What a line looks like in each of them; before the TEXT of an error stands "error: ", of a warning "warning: ":
 *
 *	standard error		c2sd: worker 2: TEXT
 *	below systemd		<6>worker 2: TEXT		(sd-daemon(3): the level, which the journal keeps)
 *	syslog			<30>Nov 21 17:40:02 c2sd[712]: worker 2: TEXT	(RFC 3164; no host, as syslog(3) does it)
 *	file			2026-11-21T17:40:02.117+01:00 c2sd[712]: worker 2: TEXT		(RFC 3339)
 *
 * A zeroed struct is a sink that is closed and takes nothing. The sink owns its descriptor and its path.
 */
#ifndef C2SD_COMMON_SINK_H
#define C2SD_COMMON_SINK_H

#include <stdbool.h>

/* Longest line: longer ones are cut. What an operator reads fits, what a client sends does not fill the disk. */
#define SINK_LINE_MAX 1024

/* Where syslog listens. */
#define SINK_SYSLOG_PATH "/dev/log"

enum sink_kind {
	SINK_CLOSED,
	SINK_STDERR,
	SINK_JOURNAL,	/* standard error, and systemd reads it */
	SINK_SYSLOG,
	SINK_FILE,
};

struct sink {
	enum sink_kind kind;
	int fd;
	char *path;
	bool torn;	/* the last line stands there in part: what follows begins on a line of its own */
};

/* Standard error; that of a service of systemd is known by $JOURNAL_STREAM (systemd.exec(5)). Cannot fail. */
void sink_open_stderr(struct sink *sink);

/* Nobody has to listen there yet, or for ever. 0 or a negative errno. */
int sink_open_syslog(struct sink *sink, const char *path) __attribute__((warn_unused_result));

/* Append to this file, made with mode 0640. 0 or a negative errno. */
int sink_open_file(struct sink *sink, const char *path) __attribute__((warn_unused_result));

/*
 * Open anew what has a name, for a file that was moved away or a syslog that was started anew. 0 or a negative errno: then
 * everything is as it was.
 */
int sink_reopen(struct sink *sink) __attribute__((warn_unused_result));

/* One line without its line feed; `priority` is one of syslog(3). 0, or the errno for which it was not taken. */
int sink_write(struct sink *sink, int priority, const char *role, const char *line);

/* May be called twice. Standard error stays open. */
void sink_close(struct sink *sink);

#endif
