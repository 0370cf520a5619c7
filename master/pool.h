/*
 * pool: the workers: started, watched, replaced.
 *
 *	ABSENT --started--> STARTING --ready--> READY --its channel ends, for whatever reason--> ABSENT
 *	                                          `--retiring, and it has no client left--> ENDING --its channel ends--^
 *
 * There are as many as are wanted, numbered from 0; pool_resize changes that while they run. More: started at once. Fewer:
 * the highest numbers retire, which means that they take no new clients, that those they still have after `retire`
 * seconds are told to come back (they then come to another worker), and that each ends when its last has gone. One that
 * is wanted again before that is taken back. A drained one retires in the same way, is not taken back, and is followed by
 * a fresh process.
 *
 * A worker that dies is replaced at once; one that dies again soon after it was started, after a pause that doubles. One
 * that does not answer a ping in time, or sends what the contract forbids, is killed and counts as dead.
 */
#ifndef C2SD_MASTER_POOL_H
#define C2SD_MASTER_POOL_H

#include <sys/types.h>

#include "common/rate.h"
#include "ipc/channel.h"
#include "ipc/message.h"
#include "master/certificates.h"
#include "master/options.h"
#include "master/tickets.h"

enum worker_state {
	WORKER_ABSENT,
	WORKER_STARTING,	/* its hello or its answer to the settings is missing */
	WORKER_READY,
	WORKER_ENDING,		/* it had retired: our half of its channel is closed, its own half must follow */
};

struct worker_process {
	struct pool *pool;
	uint32_t number;
	enum worker_state state;
	pid_t pid;		/* 0: none */
	pid_t previous;		/* the one before, until its end was told; 0: none */
	pid_t channel_pid;	/* whose channel it is, also after its end was told */
	pid_t leaving;		/* one of them that was told to end; 0: none */
	struct channel channel;
	struct timer restart;
	struct timer retire;	/* RETIRING: its clients are told to go */
	struct timer late;	/* `leaving` is killed, although it may have closed its channel */
	unsigned deaths;	/* in a row, each soon after its start */
	unsigned starts;
	uint64_t started;	/* loop_now() */
	uint64_t pinged;	/* loop_now() of a ping without answer; 0: none */
	bool full;		/* it has refused a client a moment ago */
	uint64_t full_said;	/* loop_now() when that was said; 0: never */
	bool retiring;		/* it takes no new clients */
	bool drained;		/* ... because the operator said so (pool_drain) */
	uint64_t retiring_since;	/* loop_now() */
	unsigned unanswered;	/* settings that it was sent and has not said W2M_READY to */
	uint64_t after_stop;	/* bytes of packets that came since it was sent STOP */
	struct worker_counters counters;	/* as of its last pong */
	struct rate log_rate;	/* bytes that it may still log */
	uint64_t log_dropped;	/* its lines that were too many, since this was said last */
};

struct pool {
	struct loop *loop;
	const char *program;		/* the owner's; used at each start of a worker */
	uint64_t memory;		/* bytes of address space that a worker may have, from its start; 0: as many as we */
	struct settings settings;	/* what workers are told; its strings are the owner's */
	const struct certificates *certificates;	/* the owner's: they go before the settings, as many as those say */
	const struct tickets *tickets;	/* the owner's */
	uint64_t generation;		/* of the settings: pool_settings_changed */
	uint32_t retire;		/* seconds; 0: clients of a retiring worker are never told to go */
	struct worker_process *workers;	/* room for WORKERS_MAX: they never move */
	uint32_t count;			/* those that are wanted, and higher numbers that have not ended yet */
	uint32_t wanted;
	struct timer ping;
	bool stopped;			/* STOP is in force */
	bool ending;			/* nobody is replaced any more */

	/* A frame of a worker that is READY (pongs, logs and the start are dealt with here). */
	enum contract_breach (*on_frame)(struct worker_process *worker, const struct frame *frame);
	/* Its first settings are in force, or, later, those of a pool_settings_changed. */
	void (*on_ready)(struct worker_process *worker);
	/* It is gone; called once for each death, before it is replaced. */
	void (*on_dead)(struct worker_process *worker);
	void (*on_pong)(struct worker_process *worker);
	/* How many clients it has, or is about to get; NULL: none of them ever has any. */
	uint32_t (*clients)(const struct worker_process *worker);
};

/* The owner has set program, settings and callbacks. 0 or a negative errno; pool_deinit in any case. */
int pool_start(struct pool *pool, struct loop *loop, uint32_t count) __attribute__((warn_unused_result));

/* Have as many workers from now on (see above), 1 to WORKERS_MAX. */
void pool_resize(struct pool *pool, uint32_t wanted);

/*
 * Let this worker retire, and a fresh process follow it. 0; -ESRCH: no worker that runs has that number; -EALREADY: it
 * retires already; -EBUSY: no other worker takes clients, so nobody could log in.
 */
int pool_drain(struct pool *pool, uint32_t number);

/* `retire` has been changed: also for those that are retiring. */
void pool_retire_changed(struct pool *pool);

/*
 * `settings` have been changed: every worker is told. pool_has_taken(pool, pool->generation) is true afterwards, when all
 * that were there have answered, and those that were being started are ready (or dead).
 */
void pool_settings_changed(struct pool *pool);
bool pool_has_taken(const struct pool *pool, uint64_t generation);

/* There are other `tickets`: every worker is told. */
void pool_tickets_changed(struct pool *pool);

/* Close every channel, so that the workers end; kill those that did not; forget them all. */
void pool_close(struct pool *pool);
void pool_kill(struct pool *pool);
void pool_deinit(struct pool *pool);

/* A child has ended: true when it was one of ours. */
bool pool_reaped(struct pool *pool, pid_t pid, int status);

/* The same frame to every worker that is READY. STOP and GO are remembered for those that come later. */
void pool_broadcast(struct pool *pool, uint16_t type, const struct buffer *body);

/* Ask every worker for its counters now; on_pong follows for each of them that is READY. Their number. */
uint32_t pool_ping(struct pool *pool);

/* How many are READY; and whether all that are wanted are. */
uint32_t pool_ready(const struct pool *pool);
bool pool_is_ready(const struct pool *pool);

/* May it be given a client? */
bool worker_takes_clients(const struct worker_process *worker);

/* It has answered what it was asked a while ago: it does not hang. */
bool worker_answers(const struct worker_process *worker);

/* "absent", "starting", "ready", "retiring", "ending". */
const char *worker_state_name(const struct worker_process *worker);

#endif
