/*
 * activation: listening sockets that the service manager has bound and hands over at the start, as sd_listen_fds(3)
 * describes it: descriptors from 3 up, their number in LISTEN_FDS, for whom they are in LISTEN_PID.
 */
#ifndef C2SD_COMMON_ACTIVATION_H
#define C2SD_COMMON_ACTIVATION_H

#include <sys/socket.h>

#define ACTIVATION_MAX 32
#define ACTIVATION_FIRST_FD 3

struct activation {
	int fds[ACTIVATION_MAX];	/* close-on-exec, non-blocking; the taker's from activation_claim and _next on */
	unsigned count;
};

/*
 * Take what the environment says that was handed to this process, and remove it from the environment. What is no TCP
 * socket that listens is closed, as is what is too much; the log says so. The first descriptor above those that were handed
 * over, taken or not.
 */
int activation_take(struct activation *activation);

/* The socket that is bound to exactly this address, or -1. */
int activation_claim(struct activation *activation, const struct sockaddr *address);

/* Any of those that are left, or -1. */
int activation_next(struct activation *activation);

#endif
