/*
 * service: the master as a service: it tells the manager that started it (systemd, by sd_notify(3)'s protocol) how it is,
 * and the starter's process that it has come up.
 *
 *	STARTING --every worker is ready--> READY <--> RELOADING      --> STOPPING
 *
 * What is told: READY=1; RELOADING=1 with MONOTONIC_USEC, READY=1 when the reload is over, whatever came of it; STOPPING=1;
 * STATUS=... when it has changed, at most once a second; WATCHDOG=1 twice in each interval that the manager asks for,
 * from the loop, so that a master that hangs is noticed. A struct of zeroes is a service that nobody asks about.
 */
#ifndef C2SD_MASTER_SERVICE_H
#define C2SD_MASTER_SERVICE_H

#include "common/loop.h"
#include "common/notify.h"
#include "master/background.h"

enum service_state {
	SERVICE_STARTING,
	SERVICE_READY,
	SERVICE_RELOADING,
	SERVICE_STOPPING,
};

struct service {
	struct loop *loop;
	struct notify notify;
	struct background background;
	enum service_state state;
	uint64_t watchdog;		/* milliseconds from one sign of life to the next; 0: nobody waits for them */
	struct timer alive, tick;
	char status[NOTIFY_TEXT_MAX];	/* as it was told last */
};

/* What the environment says, which then says it no more. Failures are in the log. */
void service_init(struct service *service);

/* `service` is part of a struct master that is complete but for its workers. */
void service_start(struct service *service, struct loop *loop);
void service_deinit(struct service *service);

/* A worker is ready: when all are, the service is. */
void service_check(struct service *service);

/* A reload begins; it is over, done or refused. */
void service_reloading(struct service *service);
void service_ready(struct service *service);

void service_stopping(struct service *service);

#endif
