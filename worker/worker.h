/*
 * worker: the process that owns a set of clients. Its world is one socketpair to the master; everything it knows came
 * through that, and everything it has to say goes there.
 *
 * Slots are given by the master, which never uses one again before it has read W2M_ENDED for it.
 */
#ifndef C2SD_WORKER_WORKER_H
#define C2SD_WORKER_WORKER_H

#include "common/texts.h"
#include "common/trim.h"
#include "ipc/channel.h"
#include "ipc/message.h"
#include "worker/client.h"
#include "worker/keys.h"

/* The socketpair's place in a worker that the master has executed. */
#define WORKER_CHANNEL_FD 3

struct worker {
	struct loop loop;
	struct channel channel;
	struct settings settings;
	const struct dialect *dialect;
	struct keys keys;
	struct stream_limits login_limits;	/* before login; the session's are in session_limits */
	struct stream_limits session_limits;

	struct client **clients;		/* by slot */
	uint32_t slots;				/* length of the table */
	uint32_t count;
	struct slab slab;			/* of struct client */
	struct texts addresses;			/* of their sessions */
	struct scopes scopes;			/* of their headers */

	bool stopped;				/* M2W_STOP */
	struct deadline_queue paused;		/* clients that wait for the end of that (worker_may_read) */
	struct karma_limit karma;
	struct deadline_list throttled;		/* clients that have sent too much */
	struct deadline_list next_turn;		/* clients of which enough was read in this turn */

	struct deadline_list handshake;		/* PREFACE and HANDSHAKE */
	struct deadline_list login;		/* OPENING, LOGIN and UPGRADING */
	struct deadline_list silence;		/* SESSION */
	struct deadline_list login_tick;	/* who waits because logins have failed (login.h) */
	struct deadline_list drain;		/* CLOSING */
	struct deadline_list stall;		/* output above the soft bound that makes no progress */
	struct deadline_list settle;		/* output of which something is unsettled */
	struct deadline_list intake_idle;	/* parsers without bytes */

	uint32_t intakes;			/* parsers alive */
	uint32_t outputs;			/* buffers alive */
	struct trim trim;			/* of both */

	/*
	 * Memory that nobody uses, so that there is some when there is none: it is given up for the sake of the channel and of
	 * the goodbyes of clients, and had again by ending the clients that hold most.
	 */
	void *reserve;
	bool pinched;			/* it was given up in this turn: clients are not read, lest they take it */
	struct job refill;
	bool out_of_memory;		/* not even the reserve was enough for the channel */

	struct worker_counters counters;
	uint64_t log_dropped;			/* lines that the channel had no room for, since this was said last */
	bool logging;				/* a line is being sent: do not log about that */
	uint32_t traces_lost;			/* not shown, because the channel was full, and not said yet (trace.h) */
};

/* Take over `fd`, the socketpair's end. 0 or a negative errno. */
int worker_init(struct worker *worker, int fd) __attribute__((warn_unused_result));

/* Serve until the master closes the channel. 0, or a negative errno when we are broken. */
int worker_run(struct worker *worker) __attribute__((warn_unused_result));
void worker_deinit(struct worker *worker);

/* True while clients may be read: the link takes packets, and the channel has room for them. */
bool worker_may_read(const struct worker *worker);

/* There was no memory for something: give up the reserve, and get it back. True: something was given up. */
bool worker_pinch(struct worker *worker);

/* A parser or a buffer was made or given back, and counted. */
void worker_lent(struct worker *worker);

/* A client has come to its end (client.h): tell the master and forget it. */
void worker_forget(struct worker *worker, struct client *client);

#endif
