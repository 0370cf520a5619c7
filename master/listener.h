/*
 * listener: a socket on which clients come in.
 *
 * Bound while the master is root, read for as long as it lives. When descriptors run out (EMFILE, ENFILE) or no worker
 * has room, accepting pauses; the kernel's backlog holds who comes meanwhile.
 */
#ifndef C2SD_MASTER_LISTENER_H
#define C2SD_MASTER_LISTENER_H

#include "common/loop.h"
#include "ipc/message.h"

struct listener {
	struct watch watch;
	struct loop *loop;
	struct timer pause;
	bool paused;		/* listener_pause */
	bool exhausted;		/* descriptors have run out; said once until one could be accepted again */
	char name[96];		/* "192.0.2.1:5222", for the log */

	/* A connection, non-blocking and close-on-exec; the callee owns it. */
	void (*on_accept)(struct listener *listener, int fd, const struct peer *peer);
	void *owner;
};

/* Bind and listen. 0, or a negative errno. `address` is numeric. */
int listener_open(struct listener *listener, const char *address, uint16_t port, int backlog)
    __attribute__((warn_unused_result));

/* Begin to accept. 0 or a negative errno. */
int listener_start(struct listener *listener, struct loop *loop) __attribute__((warn_unused_result));

/* Accept nothing until told otherwise. */
void listener_pause(struct listener *listener, bool paused);

/* Closes it; may be called twice. */
void listener_close(struct listener *listener);

#endif
