/*
 * pool: the workers: started, watched, replaced.
 *
 *	ABSENT --started--> STARTING --ready--> READY --its channel ends, for whatever reason--> ABSENT
 *
 * A worker that dies is replaced at once; one that dies again soon after it was started, after a pause that doubles. One
 * that does not answer a ping in time, or sends what the contract forbids, is killed and counts as dead.
 */
#ifndef C2SD_MASTER_POOL_H
#define C2SD_MASTER_POOL_H

#include <sys/types.h>

#include "ipc/channel.h"
#include "ipc/message.h"

enum worker_state {
	WORKER_ABSENT,
	WORKER_STARTING,	/* its hello or its answer to the settings is missing */
	WORKER_READY,
};

struct worker_process {
	struct pool *pool;
	uint32_t number;
	enum worker_state state;
	pid_t pid;		/* 0: none */
	pid_t previous;		/* the one before, until its end was told; 0: none */
	struct channel channel;
	struct timer restart;
	unsigned deaths;	/* in a row, each soon after its start */
	unsigned starts;
	uint64_t started;	/* loop_now() */
	uint64_t pinged;	/* loop_now() of a ping without answer; 0: none */
	bool full;		/* it has refused a client a moment ago */
	bool full_said;		/* that was said, and none of its clients has ended since */
	uint64_t after_stop;	/* bytes of packets that came since it was sent STOP */
	struct worker_counters counters;	/* as of its last pong */
};

struct pool {
	struct loop *loop;
	const char *program;
	struct settings settings;	/* what workers are told; its strings are the owner's */
	struct worker_process *workers;
	uint32_t count;
	struct timer ping;
	bool stopped;			/* STOP is in force */
	bool ending;			/* nobody is replaced any more */

	/* A frame of a worker that is READY (pongs, logs and the start are dealt with here). */
	enum contract_breach (*on_frame)(struct worker_process *worker, const struct frame *frame);
	void (*on_ready)(struct worker_process *worker);
	/* It is gone; called once for each death, before it is replaced. */
	void (*on_dead)(struct worker_process *worker);
	void (*on_pong)(struct worker_process *worker);
};

/* The owner has set program, settings and callbacks. 0 or a negative errno; pool_deinit in any case. */
int pool_start(struct pool *pool, struct loop *loop, uint32_t count) __attribute__((warn_unused_result));
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

/* How many are READY. */
uint32_t pool_ready(const struct pool *pool);

#endif
