/*
 * background: the service in a process of its own, without a terminal, while the starter's process waits until it can say
 * how that went.
 *
 * The starter's process ends with 0 when the service is ready, and with 1 when it has ended before that or was not ready in
 * time. When the starter is gone before the service was ready, the service ends too: what nobody has seen coming up would
 * run unnoticed. A struct of zeroes is a service in the foreground.
 */
#ifndef C2SD_MASTER_BACKGROUND_H
#define C2SD_MASTER_BACKGROUND_H

#include <stdbool.h>

#include "common/loop.h"

struct background {
	struct watch starter;		/* a pipe: told when ready, broken when nobody waits any more */
	struct timer patience;
	struct loop *loop;
	bool awaited;			/* somebody waits for us */
	bool failed;			/* the loop was stopped because it has taken too long */
};

/*
 * Fork, and return in the new process, without a terminal, in /; standard error stays where it is when `log_to_stderr`. 0, or
 * a negative errno.
 */
int background_enter(struct background *background, bool log_to_stderr) __attribute__((warn_unused_result));

/* From now on the starter may get impatient, which stops the loop. */
void background_watch(struct background *background, struct loop *loop);

/* The service has come up: let the starter go. */
void background_ready(struct background *background);

/* The end; a starter that still waits learns that the service has failed when this process ends. */
void background_deinit(struct background *background);

#endif
