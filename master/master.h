/*
 * master: what ties listeners, workers, directory, keeper and link together: the path of a packet (doc/design.md).
 *
 * It reads no XML of clients. From the link it takes complete elements, looks whose they are, keeps a copy and passes
 * them on; from the workers it takes complete elements that are ready for the wire.
 */
#ifndef C2SD_MASTER_MASTER_H
#define C2SD_MASTER_MASTER_H

#include "common/loop.h"
#include "master/control.h"
#include "master/directory.h"
#include "master/embedded.h"
#include "master/keeper.h"
#include "master/link.h"
#include "master/listener.h"
#include "master/options.h"
#include "master/pool.h"

/* A connection that no worker has room for; while there is one, nothing more is accepted. */
struct pending {
	TAILQ_ENTRY(pending) entry;
	int fd;
	struct peer peer;
};

struct master {
	struct loop loop;
	const struct options *options;	/* the owner's */
	struct directory directory;
	struct keeper keeper;
	struct pool pool;
	struct link link;
	struct embedded embedded;
	struct listener listeners[LISTENERS_MAX];
	unsigned listener_count;
	struct control control;
	TAILQ_HEAD(, pending) pending;
	struct timer hold;		/* how long clients are kept without a link */
	bool hold_expired;
	struct timer patience;		/* with clients that do not take their leave */
	bool ending;
	uint64_t drop_logged;		/* loop_now() of the last line about a dropped packet */
};

/* While root: bind the listeners and the control socket. False: said in the log. */
bool master_bind(struct master *master, const struct options *options);

/* As the service's user: start workers and link, serve until SIGTERM or SIGINT. 0, or a negative errno. */
int master_run(struct master *master, uint32_t workers) __attribute__((warn_unused_result));

/* End and wait for every process that was started, free everything. */
void master_deinit(struct master *master);

/* End one client, for this reason. */
void master_close_client(struct master *master, struct entry *entry, enum end_reason reason);

/* True when clients can log in: every worker is there, and the link is up. */
bool master_is_ready(const struct master *master);

/* A packet of our own for the session manager. False: the link is not up, or no memory. */
bool master_send(struct master *master, const struct buffer *packet);

#endif
