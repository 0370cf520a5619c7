/*
 * control: the UNIX socket of c2sctl (doc/control.md).
 *
 * A request is one line, a JSON object with "command"; the answer is lines of JSON objects, the last of them
 * {"done":true} or {"error":"..."}. Only root and the user that the service runs as may open the socket; the kernel says
 * who asks (SO_PEERCRED), whatever became of the file's mode. What may be asked: control_command.h.
 *
 * Overflow: a request longer than CONTROL_REQUEST_MAX ends the connection; long answers are produced as the reader
 * takes them; more than CONTROL_CONNECTIONS at once are refused.
 */
#ifndef C2SD_MASTER_CONTROL_H
#define C2SD_MASTER_CONTROL_H

#include <bsd/sys/queue.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/buffer.h"
#include "common/loop.h"
#include "ipc/contract.h"

#define CONTROL_REQUEST_MAX 8192
#define CONTROL_CONNECTIONS 32

struct control_connection;
struct entry;
struct master;

struct control {
	struct master *master;
	struct watch watch;
	struct timer pause;		/* no descriptor is left to accept with */
	char *path;
	uint64_t questions;		/* asked of the session manager so far */
	uint32_t surveys;		/* asked of workers so far */
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

/* W2M_SURVEY, from that worker; W2M_TRACE, about that client. */
enum contract_breach control_survey(struct control *control, uint32_t worker, const struct frame *frame);
enum contract_breach control_trace(struct control *control, const struct entry *entry, const struct frame *frame);

/* A client is gone; its entry is about to be freed. */
void control_ended(struct control *control, const struct entry *entry);

/* It had this serial number before, and may be looked at under that. */
void control_renewed(struct control *control, const struct entry *entry, uint64_t before);

#endif
