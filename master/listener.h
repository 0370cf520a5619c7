/*
 * listener: a socket on which clients come in.
 *
 * Bound while the master is root, or by the service manager that handed it over; read for as long as it lives. When descriptors run out (EMFILE, ENFILE) or no worker
 * has room, accepting pauses; the kernel's backlog holds who comes meanwhile.
 */
#ifndef C2SD_MASTER_LISTENER_H
#define C2SD_MASTER_LISTENER_H

#include "common/activation.h"
#include "common/loop.h"
#include "ipc/message.h"

#define LISTENER_NAME_SIZE 96

struct listener {
	struct watch watch;
	struct loop *loop;
	struct timer pause;
	bool paused;		/* listener_pause */
	bool inherited;		/* handed over: it belongs to whoever started us, and stays through every reload */
	bool proxy;		/* only trusted proxies may connect (proxies.h) */
	bool exhausted;		/* descriptors have run out; said once until one could be accepted again */
	char name[LISTENER_NAME_SIZE];	/* listener_name */
	char address[64];	/* as it was given */
	uint16_t port;
	int backlog;
	uint8_t tls;		/* enum listen_tls, for who is accepted from now on */

	/* A connection, non-blocking and close-on-exec; the callee owns it. */
	void (*on_accept)(struct listener *listener, int fd, const struct peer *peer);
	void *owner;
};

/* Bind and listen. 0, or a negative errno. `address` is numeric. */
int listener_open(struct listener *listener, const char *address, uint16_t port, int backlog)
    __attribute__((warn_unused_result));

/*
 * Take the socket of that address from those that were handed over; `backlog` counts for it too. False: there is none, and
 * listener_open is to make one.
 */
bool listener_claim(struct listener *listener, struct activation *activation, const char *address, uint16_t port,
    int backlog) __attribute__((warn_unused_result));

/* Take any of those that are left, named after what it is bound to. False: there is none. */
bool listener_take_next(struct listener *listener, struct activation *activation) __attribute__((warn_unused_result));

/* Begin to accept. 0 or a negative errno. */
int listener_start(struct listener *listener, struct loop *loop) __attribute__((warn_unused_result));

/* Accept nothing until told otherwise. */
void listener_pause(struct listener *listener, bool paused);

/*
 * "192.0.2.1:5222", "[2001:db8::1]:5222": the same for the same address however it was written. `name` has room for
 * LISTENER_NAME_SIZE.
 */
const char *listener_name(char *name, const char *address, uint16_t port);

/* Is it open, and is this where? */
bool listener_is_at(const struct listener *listener, const char *address, uint16_t port);

/* Let the kernel keep as many connections from now on. */
void listener_set_backlog(struct listener *listener, int backlog);

/*
 * Take those that the kernel has already accepted for us, paused or not, so that nobody is cut off when it is closed: they
 * would be the only ones who cannot wait until somebody has room.
 */
void listener_empty(struct listener *listener);

/* Closes it; may be called twice. */
void listener_close(struct listener *listener);

#endif
