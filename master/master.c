#include "master/master.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/log.h"
#include "master/router.h"

/* SIGTERM: clients that do not take their leave are left behind after this (doc/design.md: within a few seconds). */
#define PATIENCE 2500

/*
 * Then the session manager must learn of the ends, and what it had sent before that must come back to it: our stream
 * ends when nothing has come for a while, or in any case after the longer time.
 */
#define QUIET_TIME 200
#define QUIET_MAX 1500

/* The same for our own processes, once their sockets are closed. */
#define CHILDREN_PATIENCE 3000

/* ---- the link ---- */

static void
on_hold_expired(struct timer *timer)
{
	struct master *master = container_of(timer, struct master, hold);

	log_error("link hold-expired seconds=%" PRIu32, master->options->link.hold);
	master->hold_expired = true;
	for (struct entry *entry = NULL; (entry = directory_next(&master->directory, entry)) != NULL;)
		spread_add(&master->spread, entry, END_HOLD);
}

static void
on_due(struct spread *spread, struct entry *entry, enum end_reason reason)
{
	router_close(container_of(spread, struct master, spread), entry, reason);
}

static void
hold_begins(struct master *master)
{
	master->hold_since = loop_now(&master->loop);
	timer_set(&master->loop, &master->hold, (uint64_t)master->options->link.hold * 1000, on_hold_expired);
}

void
master_hold_changed(struct master *master)
{
	uint64_t due = master->hold_since + (uint64_t)master->options->link.hold * 1000, now = loop_now(&master->loop);

	if (timer_is_set(&master->hold))
		timer_set(&master->loop, &master->hold, due > now ? due - now : 0, on_hold_expired);
}

static void
on_up(struct link *link)
{
	struct master *master = container_of(link, struct master, link);

	timer_clear(&master->loop, &master->hold);
	/* Whoever was not told yet stays. */
	if (master->hold_expired)
		spread_cancel(&master->spread, END_HOLD);
	master->hold_expired = false;
	probe_begin(master);
	embedded_reached(&master->embedded);
	control_notice(&master->control);
}

static void
on_down(struct link *link)
{
	struct master *master = container_of(link, struct master, link);

	probe_stop(master);
	hold_begins(master);
	control_notice(&master->control);
}

/* Nobody knows whether the logins that were on their way have arrived, nor whether the sessions are still there. */
static void
on_lost(struct link *link)
{
	struct master *master = container_of(link, struct master, link);

	pool_broadcast(&master->pool, M2W_LOST, NULL);
	probe_lost(master);
}

static void
on_given_up(struct link *link, uint64_t from, const uint8_t *bytes, size_t length)
{
	(void)bytes;
	(void)length;
	router_given_up(container_of(link, struct master, link), from);
}

static void
on_flow(struct link *link, bool go)
{
	pool_broadcast(&container_of(link, struct master, link)->pool, go ? M2W_GO : M2W_STOP, NULL);
}

static void
on_quiet(struct timer *timer)
{
	link_close(&container_of(timer, struct master, quiet)->link);
}

static void
goodbye_later(struct master *master)
{
	uint64_t now = loop_now(&master->loop), left = master->quiet_until > now ? master->quiet_until - now : 0;

	timer_set(&master->loop, &master->quiet, left < QUIET_TIME ? left : QUIET_TIME, on_quiet);
}

static void
on_packet(struct link *link, const uint8_t *bytes, size_t length)
{
	struct master *master = container_of(link, struct master, link);

	router_from_link(master, bytes, length);
	if (timer_is_set(&master->quiet))
		goodbye_later(master);
}

static void
on_closed(struct link *link)
{
	loop_stop(link->loop);
}

static int
spawn_sessiond(struct link *link)
{
	struct embedded *embedded = &container_of(link, struct master, link)->embedded;
	int fd = embedded_spawn(embedded);

	link->anew = embedded->pid != embedded->served;
	return fd;
}

/* ---- the workers ---- */

static void
check_ended(struct master *master)
{
	if (!master->ending || master->directory.count > 0 || master->quiet_until != 0)
		return;
	timer_clear(&master->loop, &master->patience);
	master->quiet_until = loop_now(&master->loop) + QUIET_MAX;
	link_read(&master->link, true);
	goodbye_later(master);
}

static enum contract_breach
handle_ended(struct master *master, struct worker_process *worker, struct entry *entry, const struct frame *frame)
{
	struct client_end end;

	if (!message_get_end(frame, &end))
		return BREACH_BODY;
	ends_count(&master->ends, &end);
	entry->goodbye = end.reason == END_CLOSED;
	router_ended(master, entry);
	worker->full = false;
	arrivals_retry(master);
	check_ended(master);
	return BREACH_NONE;
}

/* The client that a frame is about; one that has got another id may still end under the one before. NULL: there is none. */
static struct entry *
entry_of(const struct master *master, const struct worker_process *worker, const struct frame *frame)
{
	struct entry *entry = directory_at(&master->directory, worker->number, frame->slot, frame->serial);

	if (entry != NULL)
		entry->renewal_unseen = false;
	else if (frame->type == W2M_ENDED)
		entry = directory_at_before(&master->directory, worker->number, frame->slot, frame->serial);
	return entry;
}

/* About a client that the worker has been given. */
static enum contract_breach
handle(struct master *master, struct worker_process *worker, struct entry *entry, const struct frame *frame)
{
	switch ((enum frame_type)frame->type) {
	case W2M_TAKEN:
		return arrivals_taken(master, entry);
	case W2M_REFUSED:
		return arrivals_refused(master, worker, entry);
	case W2M_PACKET:
		return router_from_worker(master, entry, frame);
	case W2M_SESSION:
		return router_session(master, entry, frame);
	case W2M_ADDRESS:
		return arrivals_address(master, entry, frame);
	case W2M_LOGIN_FAILED:
		return gate_login_failed(master, entry);
	case W2M_RENEW:
		return router_renew(master, entry);
	case W2M_SETTLED:
	case W2M_CONSUMED:
		return router_number(master, entry, frame);
	case W2M_ENDED:
		return handle_ended(master, worker, entry, frame);
	case W2M_TRACE:
		return control_trace(&master->control, entry, frame);
	case W2M_SURVEY:	/* above */
	case W2M_HELLO:		/* the pool's business */
	case W2M_READY:
	case W2M_PONG:
	case W2M_LOG:
	case M2W_HELLO:		/* the contract lets no worker send them */
	case M2W_SETTINGS:
	case M2W_CLIENT:
	case M2W_PACKET:
	case M2W_CLOSE:
	case M2W_CLOSE_ALL:
	case M2W_STOP:
	case M2W_GO:
	case M2W_LOST:
	case M2W_PING:
	case M2W_SURVEY:
	case M2W_TRACE:
	case M2W_CERTIFICATE:
	case M2W_TICKETS:
	case M2W_ADMITTED:
	case M2W_RENEWED:
	case FRAME_TYPE_COUNT:
		break;
	}
	return BREACH_WRONG_SIDE;
}

static enum contract_breach
on_frame(struct worker_process *worker, const struct frame *frame)
{
	struct master *master = container_of(worker->pool, struct master, pool);
	struct entry *entry;

	if (frame->type == W2M_SURVEY)
		return control_survey(&master->control, worker->number, frame);
	entry = entry_of(master, worker, frame);
	/* At the end clients that do not take their leave are forgotten before their workers have heard of it. */
	if (entry == NULL)
		return master->ending ? BREACH_NONE : BREACH_CLIENT;
	/* First comes the answer whether it has the client, and not before the client was sent. */
	if (entry->fd >= 0 && (channel_is_sending(&worker->channel, entry->fd) ||
	    (frame->type != W2M_TAKEN && frame->type != W2M_REFUSED)))
		return BREACH_CLIENT;
	return handle(master, worker, entry, frame);
}

static void
on_worker_ready(struct worker_process *worker)
{
	struct master *master = container_of(worker->pool, struct master, pool);

	arrivals_retry(master);
	service_check(&master->service);
	control_notice(&master->control);
	reload_check(master);
}

/* Its clients are gone with it; one that it never took is given to another. */
static void
on_worker_dead(struct worker_process *worker)
{
	struct master *master = container_of(worker->pool, struct master, pool);
	struct slot_table *table = &master->directory.tables[worker->number];
	uint32_t lost = 0;

	for (uint32_t slot = 0; slot < table->size; slot++) {
		struct entry *entry = table->entries[slot];

		if (entry == NULL)
			continue;
		if (entry->fd >= 0) {
			arrivals_take_back(master, entry);
		} else {
			ends_count(&master->ends, &(struct client_end){ .reason = END_WORKER_DIED });
			lost++;
		}
		router_ended(master, entry);
	}
	if (lost > 0)
		log_warning("worker %" PRIu32 " lost-clients clients=%" PRIu32, worker->number, lost);
	arrivals_retry(master);
	control_notice(&master->control);
	reload_check(master);
	check_ended(master);
}

static uint32_t
clients(const struct worker_process *worker)
{
	return container_of(worker->pool, struct master, pool)->directory.tables[worker->number].count;
}

static void
on_pong(struct worker_process *worker)
{
	struct master *master = container_of(worker->pool, struct master, pool);

	balance_check(master);
	arrivals_retry(master);
	control_notice(&master->control);
}

bool
master_send(struct master *master, const struct buffer *packet)
{
	return master->link.state == LINK_UP && !packet->failed &&
	    router_send(master, buffer_bytes(packet), buffer_length(packet));
}

void
master_set_log_level(struct master *master, enum log_level level)
{
	if (master->options->log.level == (uint32_t)level)
		return;
	master->options->log.level = (uint32_t)level;
	log_set_level(level);
	embedded_settings_changed(&master->embedded);
	master->pool.settings.log_level = (uint8_t)level;
	pool_settings_changed(&master->pool);
}

bool
master_is_ready(const struct master *master)
{
	return master->link.state == LINK_UP && pool_is_ready(&master->pool);
}

/* ---- the end ---- */

static void
on_out_of_patience(struct timer *timer)
{
	struct master *master = container_of(timer, struct master, patience);
	struct entry *entry = directory_next(&master->directory, NULL), *next;

	log_warning("shutdown left-behind clients=%" PRIu32, master->directory.count);
	for (; entry != NULL; entry = next) {
		next = directory_next(&master->directory, entry);
		/* It may still wait in a channel: only the end of the process closes it. */
		entry->fd = -1;
		ends_count(&master->ends, &(struct client_end){ .reason = END_SHUTDOWN });
		router_ended(master, entry);
	}
	check_ended(master);
}

static void
on_terminate(int number, void *argument)
{
	struct master *master = argument;
	struct buffer body = { 0 };

	if (master->ending) {
		loop_stop(&master->loop);
		return;
	}
	log_info("shutdown begun signal=%d clients=%" PRIu32, number, master->directory.count);
	master->ending = master->pool.ending = true;
	service_stopping(&master->service);
	for (unsigned i = 0; i < master->listener_count; i++)
		listener_close(&master->listeners[i]);
	arrivals_close(master);
	timer_clear(&master->loop, &master->hold);
	spread_clear(&master->spread);
	probe_stop(master);
	message_put_reason(&body, END_SHUTDOWN);
	pool_broadcast(&master->pool, M2W_CLOSE_ALL, &body);
	buffer_deinit(&body);
	timer_set(&master->loop, &master->patience, PATIENCE, on_out_of_patience);
	check_ended(master);
}

static void
on_sessiond_ended(struct master *master, pid_t pid, int status)
{
	/* What is killed before it has served is no better than what crashes: by a machine without memory, perhaps. */
	if (embedded_reaped(&master->embedded, pid, status) && !master->embedded.crashed && master->embedded.served == pid)
		link_forgive(&master->link);
}

static void
on_child(int number, void *argument)
{
	struct master *master = argument;
	int status;
	pid_t pid;

	(void)number;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (!pool_reaped(&master->pool, pid, status))
			on_sessiond_ended(master, pid, status);
	}
}

static void
on_hangup_done(struct reload_request *request, bool changed)
{
	(void)changed;	/* said in the log */
	buffer_deinit(&request->lines);
	free(request);
}

static void
on_hangup(int number, void *argument)
{
	struct reload_request *request = calloc(1, sizeof *request);

	(void)number;
	if (request == NULL) {
		log_error("reload impossible error=\"%s\"", strerror(ENOMEM));
		return;
	}
	request->done = on_hangup_done;
	reload_start(argument, request);
}

/* The log file was moved away. */
static void
on_reopen(int number, void *argument)
{
	int result = log_reopen();

	(void)number;
	(void)argument;
	if (result < 0)
		log_error("log unusable error=\"%s\"", strerror(-result));
	else
		log_info("log reopened");
}

/* ---- the beginning ---- */

static void
on_accept(struct listener *listener, int fd, const struct peer *peer)
{
	struct master *master = listener->owner;

	if (listener->proxy && !proxies_admit(&master->proxies, peer)) {
		gate_refuse(master, peer, ADMISSION_UNTRUSTED);
		close(fd);
		return;
	}
	arrivals_add(master, fd,
	    &(struct newcomer){ .peer = *peer, .tls = listener->tls, .proxied = listener->proxy });
}

int
master_listen(struct master *master, struct listener *listener)
{
	listener->on_accept = on_accept;
	listener->owner = master;
	listener->paused = arrivals_are_held(master);
	return listener_start(listener, &master->loop);
}

static void
listener_count_in(struct master *master, struct listener *listener)
{
	master->listener_count++;
	log_info("listener %s open inherited=%s", listener->name, listener->inherited ? "yes" : "no");
}

/* Sockets that were handed over and that no <listen/> names. */
static void
activation_use_rest(struct master *master)
{
	while (listener_take_next(&master->listeners[master->listener_count], &master->activation))
		listener_count_in(master, &master->listeners[master->listener_count]);
}

bool
master_bind(struct master *master, struct options *options)
{
	master->options = options;
	TAILQ_INIT(&master->reloads);
	master->control.watch.fd = -1;
	TAILQ_INIT(&master->arrivals);
	for (unsigned i = 0; i < options->listener_count; i++) {
		const struct listen_options *listen = &options->listeners[i];
		struct listener *listener = &master->listeners[i];
		uint16_t port = (uint16_t)listen->port;
		int backlog = (int)listen->backlog, result = 0;

		if (!listener_claim(listener, &master->activation, listen->address, port, backlog))
			result = listener_open(listener, listen->address, port, backlog);
		if (result < 0) {
			log_error("listener %s unusable error=\"%s\"", listener->name, strerror(-result));
			return false;
		}
		listener->proxy = listen->proxy;
		listener->tls = (uint8_t)listen->tls;
		listener_count_in(master, listener);
	}
	activation_use_rest(master);
	return true;
}

static int
signals_catch(struct master *master)
{
	static const struct {
		int number;
		void (*fn)(int number, void *argument);
	} signals[] = {
		{ SIGTERM, on_terminate },
		{ SIGINT, on_terminate },
		{ SIGCHLD, on_child },
		{ SIGHUP, on_hangup },
		{ SIGUSR1, on_reopen },
	};

	for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
		int result = loop_catch(&master->loop, signals[i].number, signals[i].fn, master);

		if (result < 0)
			return result;
	}
	return 0;
}

static void
on_tickets_rotated(struct tickets *tickets)
{
	pool_tickets_changed(&container_of(tickets, struct master, tickets)->pool);
}

static void
pool_prepare(struct master *master)
{
	master->pool = (struct pool){
		.settings = { .nonce = master->directory.nonce },
		.stopped = true,
		.on_frame = on_frame,
		.on_ready = on_worker_ready,
		.on_dead = on_worker_dead,
		.on_pong = on_pong,
		.clients = clients,
		.certificates = &master->certificates,
		.tickets = &master->tickets,
	};
	master->tickets.on_rotated = on_tickets_rotated;
}

static bool
link_prepare(struct master *master)
{
	const struct options *options = master->options;
	const char *why;

	master->link = (struct link){
		.dialect = dialect_find(options_dialect(options)),
		.on_packet = on_packet,
		.on_up = on_up,
		.on_down = on_down,
		.on_lost = on_lost,
		.on_given_up = on_given_up,
		.on_flow = on_flow,
		.on_closed = on_closed,
	};
	if (options->link.type == LINK_TYPE_EMBEDDED) {
		embedded_init(&master->embedded, &master->loop, options);
		master->link.spawn = spawn_sessiond;
	} else if (!link_resolve(&master->link.addresses, options->link.address, &why)) {
		log_error("link unusable address=%s error=\"%s\"", options->link.address, why);
		return false;
	}
	link_init(&master->link, &master->loop, options->link.packet_bytes);
	return true;
}

static int
parts_start(struct master *master, uint32_t workers)
{
	int result = signals_catch(master);
	struct address_list lists;

	if (result == 0)
		result = directory_init(&master->directory, WORKERS_MAX);
	if (result == 0)
		result = gate_init(&master->gate);
	if (result == 0)
		result = gate_lists(master->options, &lists);
	if (result == 0)
		gate_configure(master, &lists);
	if (result == 0)
		result = keeper_init(&master->keeper, WORKERS_MAX, master->options->limits.held_bytes);
	if (result < 0)
		return result;
	pool_prepare(master);
	probe_init(&master->probe);
	master->spread = (struct spread){ .loop = &master->loop, .directory = &master->directory, .on_due = on_due };
	result = tickets_init(&master->tickets, &master->loop, (uint64_t)master->options->tls.ticket_hours * HOUR);
	if (result < 0)
		return result;
	if (!link_prepare(master))
		return -EINVAL;
	reload_apply(master);
	certificates_watch(&master->certificates, &master->loop);
	result = pool_start(&master->pool, &master->loop, workers);
	for (unsigned i = 0; i < master->listener_count && result == 0; i++)
		result = master_listen(master, &master->listeners[i]);
	if (result == 0)
		result = control_start(&master->control, master);
	if (result == 0)
		service_start(&master->service, &master->loop);
	return result;
}

int
master_start(struct master *master, uint32_t workers)
{
	int result = loop_init(&master->loop);

	if (result == 0) {
		log_start(&master->loop);
		trim_init(&master->trim, &master->loop);
		result = parts_start(master, workers);
	}
	if (result < 0)
		return result;
	hold_begins(master);
	link_start(&master->link);
	return 0;
}

int
master_run(struct master *master, uint32_t workers)
{
	int result = master_start(master, workers);

	if (result < 0)
		return result;
	result = loop_run(&master->loop);
	balance_finish(master);
	return result;
}

/* Their sockets are closed: they end by themselves, or are made to. */
static void
children_wait(struct master *master)
{
	sigset_t child;
	struct timespec rest = { .tv_sec = CHILDREN_PATIENCE / 1000 };
	int status;
	pid_t pid;

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	while ((pid = waitpid(-1, &status, WNOHANG)) >= 0) {
		if (pid > 0 || sigtimedwait(&child, NULL, &rest) == SIGCHLD)
			continue;
		log_warning("shutdown processes-killed");
		pool_kill(&master->pool);
		if (master->embedded.pid > 0)
			kill(master->embedded.pid, SIGKILL);
		while (waitpid(-1, NULL, 0) > 0)
			;
		return;
	}
}

void
master_deinit(struct master *master)
{
	master->pool.ending = true;
	for (unsigned i = 0; i < master->listener_count; i++)
		listener_close(&master->listeners[i]);
	control_deinit(&master->control);
	if (master->link.loop != NULL)
		link_deinit(&master->link);
	arrivals_close(master);
	pool_close(&master->pool);
	children_wait(master);
	pool_deinit(&master->pool);
	embedded_deinit(&master->embedded);
	service_deinit(&master->service);
	probe_deinit(master);
	spread_deinit(&master->spread);
	keeper_deinit(&master->keeper);
	gate_deinit(master);
	directory_deinit(&master->directory);
	reload_deinit(master);
	tickets_deinit(&master->tickets);
	certificates_deinit(&master->certificates);
	log_stop();
	if (master->loop.epoll_fd > 0)
		loop_deinit(&master->loop);
}
