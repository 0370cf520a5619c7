/*
 * tickets: the keys under which workers hand sessions to clients (worker/tls_ticket.h). All workers have the same, so a
 * client may come back to any of them, also to one that was started later.
 *
 * There are three: the one that encrypts, the one that will be next, and the one that was before (from the first rotation
 * on). The next one is known beforehand because workers hear of a rotation one after another: who has got a ticket from
 * the first to hear may come back to the last. A ticket is good for one period (its lifetime), so one given out right before
 * a rotation is good until the one after.
 *
 * They are made by the kernel's generator, live in a vault, are nowhere on a disk, and are wiped when they go. A reload does
 * not touch them: it may change the period.
 */
#ifndef C2SD_MASTER_TICKETS_H
#define C2SD_MASTER_TICKETS_H

#include "common/loop.h"
#include "common/vault.h"
#include "ipc/contract.h"

#define HOUR 3600000ull	/* milliseconds */

struct tickets {
	struct loop *loop;
	struct vault keys;	/* as M2W_TICKETS has them */
	unsigned count;
	uint64_t period;	/* milliseconds */
	uint64_t since;		/* loop_now() of the last rotation */
	struct timer rotate;
	/* The owner's: there are other keys now. */
	void (*on_rotated)(struct tickets *tickets);
};

/* The first keys, and a rotation after each period (0: there is none). 0 or a negative errno; tickets_deinit in any case. */
int tickets_init(struct tickets *tickets, struct loop *loop, uint64_t period) __attribute__((warn_unused_result));

/* Another period, also for the keys that are in force: it counts from their rotation. */
void tickets_set_period(struct tickets *tickets, uint64_t period);

/* May be called twice. */
void tickets_deinit(struct tickets *tickets);

#endif
