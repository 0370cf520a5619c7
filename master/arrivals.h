/*
 * arrivals: from accept(2) to a worker that has the client.
 *
 * A client goes to the worker with the fewest clients. Its descriptor stays open here until that worker has answered
 * TAKEN: one that was REFUSED, or whose worker died on the way, is given to another. While somebody has no worker nobody
 * else is accepted; the kernel's backlog holds who comes. Who may come at all: gate.h.
 */
#ifndef C2SD_MASTER_ARRIVALS_H
#define C2SD_MASTER_ARRIVALS_H

#include <bsd/sys/queue.h>

#include "ipc/contract.h"
#include "ipc/message.h"

struct entry;
struct master;
struct worker_process;

/* A connection that no worker has room for. */
struct arrival {
	TAILQ_ENTRY(arrival) entry;
	int fd;
	struct newcomer newcomer;
	bool counted;		/* as in struct entry */
};

TAILQ_HEAD(arrival_queue, arrival);

/* A new connection; takes the descriptor over, and closes it where the gate lets nobody in. */
void arrivals_add(struct master *master, int fd, const struct newcomer *newcomer);

/* Is nobody accepted now? And let the listeners do as it is. */
bool arrivals_are_held(const struct master *master);
void arrivals_check(struct master *master);

/* Something has changed: try again to find a worker for those that have none, then accept again. */
void arrivals_retry(struct master *master);

/* A worker's answers about a client that was handed to it. */
enum contract_breach arrivals_taken(struct master *master, struct entry *entry);
enum contract_breach arrivals_refused(struct master *master, struct worker_process *worker, struct entry *entry);

/* W2M_ADDRESS: where it really comes from, once, before anything else is heard of it. */
enum contract_breach arrivals_address(struct master *master, struct entry *entry, const struct frame *frame);

/*
 * Its worker died before it had answered: the client waits for another, the entry forgets it; unless it was told to go. Then
 * router_ended.
 */
void arrivals_take_back(struct master *master, struct entry *entry);

/* Close all that wait. */
void arrivals_close(struct master *master);

#endif
