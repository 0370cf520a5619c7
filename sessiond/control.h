/*
 * control: the other socketpair with the master, beside the link: settings come in, lines of the log go out.
 *
 * Settings are blocks of lines as settings.h has them, each ended by an empty line: the first is waited for, further ones
 * come whenever the configuration changes. A block that is the one line "link" brings a descriptor: the other end of a new
 * link, in place of the one that was lost. A line of the log goes out as "LEVEL TEXT"; the master alone knows where the
 * log is. What it does not take in time is dropped and counted, so that nobody waits for an operator's disk; when it is
 * gone, standard error is all that is left.
 */
#ifndef C2SD_SESSIOND_CONTROL_H
#define C2SD_SESSIOND_CONTROL_H

#include <stdint.h>

#include "common/buffer.h"
#include "common/loop.h"
#include "sessiond/settings.h"

/* A block may not be longer: 64 hosts of the longest names, and the rest. */
#define CONTROL_BLOCK_MAX (128 * 1024)

struct control {
	int fd;
	struct loop *loop;
	struct watch watch;
	struct buffer in;		/* the block that is not complete yet */
	struct settings *settings;	/* the owner's */
	uint64_t dropped;		/* lines of the log, since it was said last */
	int link_fd;			/* that has come, and whose block is not complete; -1: none */
	void (*on_link)(struct control *control, int fd);	/* a new link, the callee's */
	void (*on_over)(struct control *control);	/* the master is gone, or makes no sense */
};

/* The log goes to `fd` from now on, which is the owner's. */
void control_init(struct control *control, int fd);

/* Wait for the first block. As settings_read; what is wrong is logged. settings_deinit in any case. */
int control_wait(struct control *control, struct settings *settings_r) __attribute__((warn_unused_result));

/* Take further blocks: they change `settings`. The owner has set the callbacks. 0 or a negative errno. */
int control_start(struct control *control, struct loop *loop, struct settings *settings)
    __attribute__((warn_unused_result));

/* The log goes to standard error again. */
void control_deinit(struct control *control);

#endif
