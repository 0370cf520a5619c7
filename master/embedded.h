/*
 * embedded: our own session manager, c2sd-sessiond, in a process of its own at the other end of a socketpair.
 *
 * It gets the link on descriptor 3 and what it must know, the link's secret among it, through a pipe on descriptor 4:
 * nothing of it can be seen in the process list. The secret is new at each start of the master.
 */
#ifndef C2SD_MASTER_EMBEDDED_H
#define C2SD_MASTER_EMBEDDED_H

#include <sys/types.h>

#include "master/options.h"

#define EMBEDDED_SECRET_SIZE 41

struct embedded {
	const struct options *options;	/* the owner's */
	char secret[EMBEDDED_SECRET_SIZE];
	pid_t pid;			/* 0: none */
};

void embedded_init(struct embedded *embedded, const struct options *options);

/* Start it (an earlier one that has not ended is killed first: -EAGAIN). Our end of the link, or a negative errno. */
int embedded_spawn(struct embedded *embedded);

/* The earlier one has ended: true when it was that. */
bool embedded_reaped(struct embedded *embedded, pid_t pid, int status);

#endif
