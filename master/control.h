/*
 * control: the UNIX socket of c2sctl (doc/control.md).
 *
 * A request is one line, a JSON object with "command"; the answer is lines of JSON objects, the last of them
 * {"done":true} or {"error":"..."}. Only root and the user that the service runs as may open the socket; the kernel says
 * who asks (SO_PEERCRED), whatever became of the file's mode.
 *
 * Overflow: a request longer than CONTROL_REQUEST_MAX ends the connection; long answers are produced as the reader
 * takes them; more than CONTROL_CONNECTIONS at once are refused.
 */
#ifndef C2SD_MASTER_CONTROL_H
#define C2SD_MASTER_CONTROL_H

#include <bsd/sys/queue.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/loop.h"

#define CONTROL_REQUEST_MAX 8192
#define CONTROL_CONNECTIONS 32

struct master;

enum control_waiting {
	CONTROL_WAITS_REQUEST,	/* for the request's line */
	CONTROL_WAITS_PONGS,	/* status: for the counters of all workers */
	CONTROL_WAITS_READY,	/* wait: until clients can log in */
	CONTROL_WAITS_READER,	/* sessions: until there is room for more of the answer */
	CONTROL_WAITS_ANSWER,	/* user: for the session manager's */
	CONTROL_WAITS_FLUSH,	/* the answer is complete */
};

struct control_connection {
	TAILQ_ENTRY(control_connection) entry;
	struct control *control;
	struct watch watch;
	struct job flush;
	struct timer timeout;
	struct buffer in, out;
	enum control_waiting waiting;
	uint64_t id;			/* of the question to the session manager */
	uint32_t worker, slot;		/* how far the list of sessions has come */
	bool ended;			/* the other side has said all it will say */
	bool closed;
};

struct control {
	struct master *master;
	struct watch watch;
	struct timer pause;		/* no descriptor is left to accept with */
	char *path;
	uint64_t ids;
	unsigned count;
	TAILQ_HEAD(, control_connection) connections;
};

/* Make the socket, for the user that will own it. 0 or a negative errno. */
int control_open(struct control *control, const char *path, uid_t uid, gid_t gid) __attribute__((warn_unused_result));

/* Begin to listen. 0 or a negative errno. */
int control_start(struct control *control, struct master *master) __attribute__((warn_unused_result));
void control_deinit(struct control *control);

/* Something has changed that a connection may be waiting for: a pong, a worker's start or end, the link. */
void control_notice(struct control *control);

/* The session manager has answered one of our own packets. */
void control_answer(struct control *control, const void *bytes, size_t length);

#endif
