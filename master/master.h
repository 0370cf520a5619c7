/*
 * master: what ties listeners, workers, directory, keeper and link together: the path of a packet (doc/design.md).
 *
 * It reads no XML of clients. How clients come in is in arrivals.h, how packets go in router.h; here is how everything
 * begins, is told of each other, and ends.
 */
#ifndef C2SD_MASTER_MASTER_H
#define C2SD_MASTER_MASTER_H

#include "common/loop.h"
#include "common/trim.h"
#include "master/arrivals.h"
#include "master/balance.h"
#include "master/certificates.h"
#include "master/control.h"
#include "master/directory.h"
#include "master/embedded.h"
#include "master/gate.h"
#include "master/keeper.h"
#include "master/link.h"
#include "master/listener.h"
#include "master/options.h"
#include "master/ends.h"
#include "master/pool.h"
#include "master/probe.h"
#include "master/proxies.h"
#include "master/reload.h"
#include "master/service.h"
#include "master/spread.h"
#include "master/tickets.h"

/* In a reload there are the old ones and the new ones, and always those that were handed over. */
#define LISTENER_PLACES (2 * LISTENERS_MAX + ACTIVATION_MAX)

struct master {
	struct loop loop;
	struct options *options;	/* in force: the owner's, after a reload our own */
	bool options_are_ours;
	struct reload_source source;	/* the owner's */
	struct reload_queue reloads;	/* not done yet */
	uint64_t reload_count;
	struct directory directory;
	struct keeper keeper;
	struct balance balance;
	struct ends ends;
	struct pool pool;
	struct certificates certificates;	/* in force */
	struct tickets tickets;
	struct link link;
	struct embedded embedded;
	struct listener listeners[LISTENER_PLACES];
	unsigned listener_count;	/* places in use; a closed one among them is free */
	struct activation activation;	/* sockets that were handed over and are not listeners yet */
	struct control control;
	struct service service;
	struct proxies proxies;
	struct gate gate;
	struct arrival_queue arrivals;	/* connections that wait for a worker */
	uint32_t arrival_count;
	struct timer hold;		/* how long clients are kept without a link */
	uint64_t hold_since;		/* loop_now() when that began */
	bool hold_expired;
	struct spread spread;		/* of ends that need not come at once */
	struct probe probe;
	struct timer relief;		/* too much is kept, and the session manager has been waiting for a while */
	uint64_t unread_since;		/* loop_now() when it began to wait */
	struct timer patience;		/* with clients that do not take their leave */
	struct timer quiet;		/* the session manager has sent nothing for a while */
	uint64_t quiet_until;		/* loop_now() when that does not matter any more */
	struct trim trim;		/* of what kept packets leave in the heap */
	bool ending;
	uint64_t drop_logged;		/* loop_now() of the last line about a dropped packet */
};

/*
 * While root: bind the listeners and the control socket. False: said in the log. The owner has set `source`, and frees
 * the options after master_deinit; a reload puts others in their place.
 */
bool master_bind(struct master *master, struct options *options);

/* Accept connections on a socket that is bound; not yet while somebody waits for a worker. 0, or a negative errno. */
int master_listen(struct master *master, struct listener *listener) __attribute__((warn_unused_result));

/* <link hold=.../> has been changed, perhaps while the time runs. */
void master_hold_changed(struct master *master);

/* Log from this level on, in all our processes, until the next reload. */
void master_set_log_level(struct master *master, enum log_level level);

/* As the service's user: start workers and link; nothing is served until the loop turns. 0, or a negative errno. */
int master_start(struct master *master, uint32_t workers) __attribute__((warn_unused_result));

/* The same, and serve until SIGTERM or SIGINT. 0, or a negative errno. */
int master_run(struct master *master, uint32_t workers) __attribute__((warn_unused_result));

/* End and wait for every process that was started, free everything. */
void master_deinit(struct master *master);

/* True when clients can log in: every worker is there, and the link is up. */
bool master_is_ready(const struct master *master);

/* A packet of our own for the session manager. False: the link is not up, or no memory. */
bool master_send(struct master *master, const struct buffer *packet);

#endif
