#include "master/service.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"
#include "master/master.h"

#define STATUS_INTERVAL 1000

static struct master *
master_of(struct service *service)
{
	return container_of(service, struct master, service);
}

void
service_init(struct service *service)
{
	const char *target = getenv("NOTIFY_SOCKET");
	char quoted[128];
	int result = notify_open(&service->notify, target);

	if (result < 0)
		log_warning("notify unusable socket=%s error=\"%s\"", log_quote(quoted, sizeof quoted, target), strerror(-result));
	/* Twice in each interval, as sd_watchdog_enabled(3) wants it. */
	service->watchdog = notify_watchdog(getenv("WATCHDOG_USEC"), getenv("WATCHDOG_PID"), getpid()) / 2000;
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
}

static void
status_put(struct service *service, char *text, size_t size)
{
	const struct master *master = master_of(service);
	uint32_t ready = pool_ready(&master->pool), count = master->pool.wanted, clients = master->directory.count;
	char some[16] = "";

	if (ready < count)
		snprintf(some, sizeof some, "%" PRIu32 " of ", ready);
	snprintf(text, size, "%s%s%" PRIu32 " worker%s, %" PRIu32 " client%s, link %s",
	    service->state == SERVICE_STOPPING ? "ending: " : "", some, count, count == 1 ? "" : "s", clients,
	    clients == 1 ? "" : "s", master->link.state == LINK_UP ? "up" : "down");
}

static void
status_tell(struct service *service)
{
	char text[NOTIFY_TEXT_MAX - sizeof "STATUS="];

	status_put(service, text, sizeof text);
	if (strcmp(text, service->status) == 0)
		return;
	memcpy(service->status, text, sizeof text);
	notify_say(&service->notify, "STATUS=%s", text);
}

static void
on_tick(struct timer *timer)
{
	struct service *service = container_of(timer, struct service, tick);

	notify_flush(&service->notify);
	status_tell(service);
	timer_set(service->loop, &service->tick, STATUS_INTERVAL, on_tick);
}

static void
on_alive(struct timer *timer)
{
	struct service *service = container_of(timer, struct service, alive);

	notify_say(&service->notify, "WATCHDOG=1");
	timer_set(service->loop, &service->alive, service->watchdog, on_alive);
}

void
service_start(struct service *service, struct loop *loop)
{
	service->loop = loop;
	background_watch(&service->background, loop);
	if (!notify_is_open(&service->notify))
		return;
	timer_set(loop, &service->tick, STATUS_INTERVAL, on_tick);
	if (service->watchdog > 0)
		on_alive(&service->alive);
}

void
service_deinit(struct service *service)
{
	if (service->loop != NULL) {
		timer_clear(service->loop, &service->tick);
		timer_clear(service->loop, &service->alive);
	}
	background_deinit(&service->background);
	notify_flush(&service->notify);
	notify_close(&service->notify);
}

static void
become_ready(struct service *service)
{
	service->state = SERVICE_READY;
	log_set_echo(-1);
	background_ready(&service->background);
	notify_say(&service->notify, "READY=1");
	if (notify_is_open(&service->notify))
		status_tell(service);
}

void
service_check(struct service *service)
{
	const struct master *master = master_of(service);

	if (service->state == SERVICE_STARTING && pool_is_ready(&master->pool))
		become_ready(service);
}

void
service_ready(struct service *service)
{
	if (service->state == SERVICE_RELOADING)
		become_ready(service);
}

/* systemd takes it for the answer to its SIGHUP only when it was said after that, by this clock. */
void
service_reloading(struct service *service)
{
	struct timespec now;

	if (service->state != SERVICE_READY && service->state != SERVICE_RELOADING)
		return;
	service->state = SERVICE_RELOADING;
	clock_gettime(CLOCK_MONOTONIC, &now);
	notify_say(&service->notify, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
	    (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000);
}

void
service_stopping(struct service *service)
{
	service->state = SERVICE_STOPPING;
	notify_say(&service->notify, "STOPPING=1");
	if (notify_is_open(&service->notify))
		status_tell(service);
}
