/*
 * embedded: our own session manager, c2sd-sessiond, in a process of its own at the other end of a socketpair.
 *
 * It gets the link on descriptor 3. A second socketpair, descriptor 4 there, carries what it must know, the link's secret
 * among it, so that nothing of that can be seen in the process list: in blocks of lines (sessiond/settings.h), each ended by
 * an empty line, one at its start and one whenever something has changed. Back come the lines of its log, "LEVEL TEXT", so
 * that the log is in one place and opened by one process. What is lost is only log: it does not wait for us to read.
 *
 * With acknowledgement the process outlives its link: when that is lost it gets the end of another socketpair, over the second
 * one, in a block that is the one line "link". When nothing came of the last one that it got, it is killed and started anew.
 *
 * Descriptor 5 there is memory that outlives the process (sessiond/recovery.h): made once, never mapped here, closed with us.
 * So a new process goes on where the one before was killed, whatever killed it. When three in a row have crashed within
 * seconds, without that the link had come up, it is thrown away, and another one made: then the sessions are gone.
 *
 * The secret is new at each start of the master.
 */
#ifndef C2SD_MASTER_EMBEDDED_H
#define C2SD_MASTER_EMBEDDED_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/buffer.h"
#include "common/loop.h"
#include "master/options.h"

#define EMBEDDED_SECRET_SIZE 41

struct embedded {
	const struct options *options;	/* the owner's */
	char secret[EMBEDDED_SECRET_SIZE];
	pid_t pid;			/* 0: none */
	struct loop *loop;		/* NULL: there is no embedded session manager at all */
	struct watch control;
	struct buffer in;		/* a line of its log that is not complete yet */
	struct buffer out;		/* of one block, what it has not taken yet */
	bool outdated;			/* the block in `out` is not the last one any more */
	int link_fd;			/* to be handed over when `out` is empty; -1: none */
	pid_t served;			/* the one with which the link was up last */
	bool reached;			/* the link that it got last was up */
	int journal_fd;			/* the memory; -1: none, or none yet */
	bool crashed;			/* the last one that has ended, and was not told to by anybody */
	unsigned crashes;		/* of processes in a row that came to nothing */
	uint64_t started;		/* when this one was: loop_now */
	bool killed;			/* by us, because nothing came of it */
};

void embedded_init(struct embedded *embedded, struct loop *loop, const struct options *options);

/* Its process has ended or is not waited for any more; the loop is still there. May be called twice, or without init. */
void embedded_deinit(struct embedded *embedded);

/*
 * Start it (an earlier one that has not ended is killed first: -EAGAIN), or hand a new link to the one that runs. Our end of
 * the link, or a negative errno.
 */
int embedded_spawn(struct embedded *embedded);

/* The link is up: this process is worth another one when it is lost. */
void embedded_reached(struct embedded *embedded);

/*
 * The options, or the level of our log, are not what they were: tell the process, if there is one. Hosts, registration,
 * offline messages and the level of the log change there at once, the program at its next start.
 */
void embedded_settings_changed(struct embedded *embedded);

/* The earlier one has ended: true when it was that. Its last lines are in the log then. */
bool embedded_reaped(struct embedded *embedded, pid_t pid, int status);

#endif
