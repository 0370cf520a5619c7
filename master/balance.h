/*
 * balance: the master looks whether its counters of packets obey their laws (keeper.h, outbox.h), each time that a worker has answered
 * its ping, each time that somebody asks for them, and at its end. When they do not, a packet has vanished or was counted
 * twice: a bug of c2sd's, said in the log once, with the figures.
 */
#ifndef C2SD_MASTER_BALANCE_H
#define C2SD_MASTER_BALANCE_H

#include <stdbool.h>

struct master;

struct balance {
	bool lost;	/* that was said */
};

void balance_check(struct master *master);

/* At the end: say what has become of all packets. */
void balance_finish(struct master *master);

#endif
