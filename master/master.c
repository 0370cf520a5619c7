#include "master/master.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/log.h"
#include "common/privilege.h"

/* SIGTERM: clients that do not take their leave are left behind after this (doc/design.md: within a few seconds). */
#define PATIENCE 3000

/* The same for our own processes, once their sockets are closed. */
#define CHILDREN_PATIENCE 3000

/* At most one line a second about packets that had to be dropped. */
#define DROP_LOG_INTERVAL 1000

/* ---- to the link ---- */

static bool
send_up(struct master *master, const struct entry *entry, const void *bytes, size_t length)
{
	if (!link_send(&master->link, bytes, length)) {
		log_error("link packet lost: out of memory");
		return false;
	}
	keeper_count(&master->keeper, entry, FATE_UP);
	return true;
}

bool
master_send(struct master *master, const struct buffer *packet)
{
	return master->link.state == LINK_UP && !packet->failed &&
	    send_up(master, NULL, buffer_bytes(packet), buffer_length(packet));
}

static void
dropped(struct master *master, const char *why)
{
	uint64_t now = loop_now(&master->loop);

	if (master->drop_logged != 0 && now - master->drop_logged < DROP_LOG_INTERVAL)
		return;
	master->drop_logged = now;
	log_warning("link packet dropped reason=\"%s\" dropped=%" PRIu64, why, master->keeper.total.of[FATE_DROPPED] + 1);
}

/* A packet that reached nobody goes back; what became of it. */
static enum fate
send_back(struct master *master, const struct entry *entry, const void *bytes, size_t length)
{
	const struct dialect *dialect = master->link.dialect;
	struct buffer bounce = { 0 };
	struct packet packet;
	enum fate fate = FATE_BOUNCED;

	dialect->link_read(&packet, bytes, length);
	if (packet.disconnect && packet.bare)
		return FATE_CONSUMED;
	if (packet.disconnect) {
		dropped(master, "came back although it was a 510");
		return FATE_DROPPED;
	}
	dialect->link_bounce(&bounce, bytes, length);
	if (bounce.failed || buffer_length(&bounce) == 0 ||
	    !send_up(master, entry, buffer_bytes(&bounce), buffer_length(&bounce))) {
		dropped(master, "does not say where it comes from");
		fate = FATE_DROPPED;
	}
	buffer_deinit(&bounce);
	return fate;
}

/* ---- the end of a client ---- */

static void
send_end(struct master *master, const struct entry *entry)
{
	struct buffer end = { 0 };
	char id[DIRECTORY_ID_SIZE];

	/* It would end the session of the later login, or one that is not there any more. */
	if (!entry->confirmed || entry->superseded || entry->ended_upstream)
		return;
	master->link.dialect->link_end(&end, directory_id(&master->directory, entry, id), master->link.name, entry->address);
	if (!end.failed)
		send_up(master, entry, buffer_bytes(&end), buffer_length(&end));
	buffer_deinit(&end);
}

static void pending_place(struct master *master);

static void
flow_back(struct master *master)
{
	if (keeper_has_room(&master->keeper))
		link_read(&master->link, true);
}

static void
check_ended(struct master *master)
{
	if (master->ending && master->directory.count == 0)
		link_close(&master->link);
}

/* Whatever it died of: first that its session has ended, then what it did not get, in order (design, section 6). */
static void
entry_end(struct master *master, struct entry *entry)
{
	const struct kept *kept;

	send_end(master, entry);
	while ((kept = keeper_first(entry)) != NULL)
		keeper_finish(&master->keeper, entry, send_back(master, entry, kept->bytes, kept->length));
	if (entry->fd >= 0)
		close(entry->fd);
	directory_remove(&master->directory, entry);
	flow_back(master);
}

void
master_close_client(struct master *master, struct entry *entry, enum end_reason reason)
{
	struct buffer body = { 0 };

	if (entry->closing)
		return;
	entry->closing = true;
	message_put_reason(&body, reason);
	channel_send(&master->pool.workers[entry->worker].channel, M2W_CLOSE, entry->slot, entry->serial, &body);
	buffer_deinit(&body);
}

/* ---- from the link ---- */

/* A login's answer gives its client an address: from now on any other that has it may be ended by it. */
static void
promise_address(struct master *master, struct entry *entry, struct range raw)
{
	struct buffer address = { 0 };

	range_append_decoded(&address, raw);
	if (address.failed || !directory_set_address(&master->directory, entry,
	    (struct range){ (const char *)buffer_bytes(&address), buffer_length(&address) }))
		master_close_client(master, entry, END_BROKEN);
	buffer_deinit(&address);
}

static void
deliver(struct master *master, struct entry *entry, const struct packet *packet, const uint8_t *bytes, size_t length)
{
	struct buffer body = { 0 };
	uint64_t number;
	uint16_t flags = 0;

	if (packet->kind == PACKET_LOGIN && entry->address == NULL)
		promise_address(master, entry, packet->address);
	if (packet->kind == PACKET_DISCONNECT && entry->address != NULL && dialect_ends_session(packet, entry->address)) {
		entry->ended_upstream = true;
		flags = entry->superseded ? FRAME_FLAG_REPLACED : 0;
	}
	number = keeper_keep(&master->keeper, entry, bytes, length);
	if (number == 0) {
		keeper_count(&master->keeper, entry, send_back(master, entry, bytes, length));
		master_close_client(master, entry, END_BROKEN);
		return;
	}
	message_put_number(&body, number);
	channel_send_parts(&master->pool.workers[entry->worker].channel, M2W_PACKET, flags, entry->slot, entry->serial,
	    &body, bytes, length);
	buffer_deinit(&body);
	if (keeper_is_full(&master->keeper))
		link_read(&master->link, false);
}

static struct entry *
entry_of(struct master *master, const struct packet *packet)
{
	if (!range_equals(packet->name, master->link.name))
		return NULL;
	return directory_find(&master->directory, packet->id);
}

static void
on_packet(struct link *link, const uint8_t *bytes, size_t length)
{
	struct master *master = container_of(link, struct master, link);
	struct entry *entry = NULL;
	struct packet packet;

	link->dialect->link_read(&packet, bytes, length);
	if (packet.kind == PACKET_DATA || packet.kind == PACKET_LOGIN || packet.kind == PACKET_DISCONNECT)
		entry = entry_of(master, &packet);
	keeper_count(&master->keeper, entry, FATE_IN);
	if (entry != NULL) {
		deliver(master, entry, &packet, bytes, length);
	} else if (packet.kind == PACKET_OWN) {
		keeper_count(&master->keeper, NULL, FATE_CONSUMED);
		control_answer(&master->control, bytes, length);
	} else if (packet.kind == PACKET_LOST) {
		dropped(master, "has no address");
		keeper_count(&master->keeper, NULL, FATE_DROPPED);
	} else {
		keeper_count(&master->keeper, NULL, send_back(master, NULL, bytes, length));
	}
}

static void
on_hold_expired(struct timer *timer)
{
	struct master *master = container_of(timer, struct master, hold);
	struct buffer body = { 0 };

	log_error("link down for %" PRIu32 " s: clients are told to go", master->options->link.hold);
	master->hold_expired = true;
	message_put_reason(&body, END_HOLD);
	pool_broadcast(&master->pool, M2W_CLOSE_ALL, &body);
	buffer_deinit(&body);
}

static void
hold_begins(struct master *master)
{
	timer_set(&master->loop, &master->hold, (uint64_t)master->options->link.hold * 1000, on_hold_expired);
}

static void
on_up(struct link *link)
{
	struct master *master = container_of(link, struct master, link);

	timer_clear(&master->loop, &master->hold);
	master->hold_expired = false;
	control_notice(&master->control);
}

static void
on_down(struct link *link)
{
	struct master *master = container_of(link, struct master, link);

	hold_begins(master);
	control_notice(&master->control);
}

static void
on_flow(struct link *link, bool go)
{
	pool_broadcast(&container_of(link, struct master, link)->pool, go ? M2W_GO : M2W_STOP, NULL);
}

static void
on_closed(struct link *link)
{
	loop_stop(link->loop);
}

static int
spawn_sessiond(struct link *link)
{
	return embedded_spawn(&container_of(link, struct master, link)->embedded);
}

/* ---- new clients ---- */

/* The worker with the fewest clients among those that have room; NULL: none has. */
static struct worker_process *
pick_worker(struct master *master)
{
	struct worker_process *best = NULL;
	uint32_t fewest = UINT32_MAX;

	for (uint32_t i = 0; i < master->pool.count; i++) {
		struct worker_process *worker = &master->pool.workers[i];

		if (worker->state != WORKER_READY || worker->full || !channel_can_send_descriptor(&worker->channel))
			continue;
		if (master->directory.tables[i].count < fewest) {
			fewest = master->directory.tables[i].count;
			best = worker;
		}
	}
	return best;
}

static void
hand_over(struct master *master, struct entry *entry)
{
	struct channel *channel = &master->pool.workers[entry->worker].channel;
	struct buffer body = { 0 };

	message_put_client(&body, &entry->peer);
	channel_send_descriptor(channel, M2W_CLIENT, entry->slot, entry->serial, &body, entry->fd);
	buffer_deinit(&body);
	if (master->hold_expired)
		master_close_client(master, entry, END_HOLD);
}

static void
listeners_pause(struct master *master, bool paused)
{
	for (unsigned i = 0; i < master->listener_count; i++)
		listener_pause(&master->listeners[i], paused);
}

static void
pending_add(struct master *master, int fd, const struct peer *peer)
{
	struct pending *pending = calloc(1, sizeof *pending);

	if (pending == NULL) {
		close(fd);
		return;
	}
	pending->fd = fd;
	pending->peer = *peer;
	TAILQ_INSERT_TAIL(&master->pending, pending, entry);
	listeners_pause(master, true);
}

/* False: no worker has room for it. */
static bool
place(struct master *master, int fd, const struct peer *peer)
{
	struct worker_process *worker = pick_worker(master);
	struct entry *entry = worker == NULL ? NULL : directory_add(&master->directory, worker->number);

	if (entry == NULL)
		return false;
	entry->fd = fd;
	entry->peer = *peer;
	entry->since = loop_now(&master->loop);
	hand_over(master, entry);
	return true;
}

static void
pending_place(struct master *master)
{
	struct pending *pending;

	while ((pending = TAILQ_FIRST(&master->pending)) != NULL) {
		if (!place(master, pending->fd, &pending->peer))
			return;
		TAILQ_REMOVE(&master->pending, pending, entry);
		free(pending);
	}
	listeners_pause(master, false);
}

static void
on_accept(struct listener *listener, int fd, const struct peer *peer)
{
	struct master *master = listener->owner;

	if (!place(master, fd, peer))
		pending_add(master, fd, peer);
}

/* ---- from the workers ---- */

static enum contract_breach
handle_taken(struct master *master, struct entry *entry)
{
	if (entry->fd < 0)
		return BREACH_CLIENT;
	close(entry->fd);
	entry->fd = -1;
	pending_place(master);
	return BREACH_NONE;
}

static enum contract_breach
handle_refused(struct master *master, struct worker_process *worker, struct entry *entry)
{
	struct worker_process *other;

	if (entry->fd < 0)
		return BREACH_CLIENT;
	if (!worker->full)
		log_warning("worker %" PRIu32 " is full clients=%" PRIu32, worker->number,
		    master->directory.tables[worker->number].count - 1);
	worker->full = true;
	other = pick_worker(master);
	if (other != NULL && directory_move(&master->directory, entry, other->number)) {
		entry->closing = false;
		hand_over(master, entry);
		return BREACH_NONE;
	}
	pending_add(master, entry->fd, &entry->peer);
	entry->fd = -1;
	entry_end(master, entry);
	return BREACH_NONE;
}

static enum contract_breach
handle_session(struct master *master, struct entry *entry, const struct frame *frame)
{
	struct range address = { (const char *)frame->body, frame->length };

	if (entry->confirmed)
		return BREACH_CLIENT;
	if (!directory_set_address(&master->directory, entry, address))
		master_close_client(master, entry, END_BROKEN);
	else
		entry->confirmed = true;
	return BREACH_NONE;
}

static enum contract_breach
handle_number(struct master *master, struct entry *entry, const struct frame *frame)
{
	uint64_t number;
	bool known;

	if (!message_get_number(frame, &number))
		return BREACH_BODY;
	known = frame->type == W2M_SETTLED ? keeper_settle(&master->keeper, entry, number) :
	    keeper_consume(&master->keeper, entry, number);
	flow_back(master);
	return known ? BREACH_NONE : BREACH_CLIENT;
}

static enum contract_breach
handle_ended(struct master *master, struct worker_process *worker, struct entry *entry, const struct frame *frame)
{
	enum end_reason reason;

	if (!message_get_reason(frame, &reason))
		return BREACH_BODY;
	entry_end(master, entry);
	worker->full = false;
	pending_place(master);
	check_ended(master);
	return BREACH_NONE;
}

static enum contract_breach
on_frame(struct worker_process *worker, const struct frame *frame)
{
	struct master *master = container_of(worker->pool, struct master, pool);
	struct entry *entry = directory_at(&master->directory, worker->number, frame->slot, frame->serial);

	if (entry == NULL)
		return BREACH_CLIENT;
	switch ((enum frame_type)frame->type) {
	case W2M_TAKEN:
		return handle_taken(master, entry);
	case W2M_REFUSED:
		return handle_refused(master, worker, entry);
	case W2M_PACKET:
		send_up(master, entry, frame->body, frame->length);
		return BREACH_NONE;
	case W2M_SESSION:
		return handle_session(master, entry, frame);
	case W2M_SETTLED:
	case W2M_CONSUMED:
		return handle_number(master, entry, frame);
	case W2M_ENDED:
		return handle_ended(master, worker, entry, frame);
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
	case M2W_PING:
	case FRAME_TYPE_COUNT:
		break;
	}
	return BREACH_WRONG_SIDE;
}

static void
on_worker_ready(struct worker_process *worker)
{
	struct master *master = container_of(worker->pool, struct master, pool);

	pending_place(master);
	control_notice(&master->control);
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
			pending_add(master, entry->fd, &entry->peer);
			entry->fd = -1;
		} else {
			lost++;
		}
		entry_end(master, entry);
	}
	if (lost > 0)
		log_warning("worker %" PRIu32 " has taken clients=%" PRIu32 " with it", worker->number, lost);
	pending_place(master);
	control_notice(&master->control);
	check_ended(master);
}

static void
on_pong(struct worker_process *worker)
{
	control_notice(&container_of(worker->pool, struct master, pool)->control);
}

bool
master_is_ready(const struct master *master)
{
	return master->link.state == LINK_UP && pool_ready(&master->pool) == master->pool.count;
}

/* ---- the end ---- */

static void
on_out_of_patience(struct timer *timer)
{
	struct master *master = container_of(timer, struct master, patience);

	log_warning("shutdown clients=%" PRIu32 " did not take their leave", master->directory.count);
	for (uint32_t worker = 0; worker < master->directory.workers; worker++) {
		struct slot_table *table = &master->directory.tables[worker];

		for (uint32_t slot = 0; slot < table->size; slot++) {
			if (table->entries[slot] != NULL)
				entry_end(master, table->entries[slot]);
		}
	}
	check_ended(master);
}

static void
pending_close(struct master *master)
{
	struct pending *pending;

	while ((pending = TAILQ_FIRST(&master->pending)) != NULL) {
		TAILQ_REMOVE(&master->pending, pending, entry);
		close(pending->fd);
		free(pending);
	}
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
	log_info("shutdown signal=%d clients=%" PRIu32, number, master->directory.count);
	master->ending = true;
	for (unsigned i = 0; i < master->listener_count; i++)
		listener_close(&master->listeners[i]);
	pending_close(master);
	timer_clear(&master->loop, &master->hold);
	message_put_reason(&body, END_SHUTDOWN);
	pool_broadcast(&master->pool, M2W_CLOSE_ALL, &body);
	buffer_deinit(&body);
	timer_set(&master->loop, &master->patience, PATIENCE, on_out_of_patience);
	check_ended(master);
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
			embedded_reaped(&master->embedded, pid, status);
	}
}

static void
on_ignored(int number, void *argument)
{
	(void)number;
	(void)argument;
}

/* ---- the beginning ---- */

bool
master_bind(struct master *master, const struct options *options)
{
	master->options = options;
	TAILQ_INIT(&master->pending);
	for (unsigned i = 0; i < options->listener_count; i++) {
		const struct listen_options *listen = &options->listeners[i];
		struct listener *listener = &master->listeners[i];
		int result = listener_open(listener, listen->address, (uint16_t)listen->port, (int)listen->backlog);

		if (result < 0) {
			log_error("listener %s: %s", listener->name, strerror(-result));
			return false;
		}
		listener->on_accept = on_accept;
		listener->owner = master;
		master->listener_count++;
		log_info("listener %s open", listener->name);
	}
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
		{ SIGHUP, on_ignored },
		{ SIGUSR1, on_ignored },
	};

	for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
		int result = loop_catch(&master->loop, signals[i].number, signals[i].fn, master);

		if (result < 0)
			return result;
	}
	return 0;
}

static struct client_limits
limits_of(const struct options *options)
{
	return (struct client_limits){
		.header_bytes = options->limits.header_bytes,
		.login_bytes = options->limits.login_bytes,
		.login_elements = options->limits.login_elements,
		.element_bytes = options->limits.stanza_bytes,
		.elements = options->limits.elements,
		.depth = options->limits.depth,
		.attributes = options->limits.attributes,
		.login_time = options->limits.login_seconds * 1000,
		.idle_time = options->limits.idle_seconds * 1000,
		.keepalive_time = options->limits.keepalive_seconds * 1000,
		.stall_time = options->limits.stall_seconds * 1000,
		.unsent_bytes = options->limits.unsent_bytes,
		.clients = options->limits.clients,
	};
}

static void
pool_prepare(struct master *master)
{
	const struct options *options = master->options;
	struct settings *settings = &master->pool.settings;
	bool embedded = options->link.type == LINK_TYPE_EMBEDDED;

	master->pool = (struct pool){
		.program = options->workers.program,
		.settings = {
			.nonce = master->directory.nonce,
			.name = options->link.name,
			.dialect = options->link.dialect,
			.digest = !embedded && options->link.digest,
			.registration = embedded ? options->sessiond.registration : options->link.registration,
			.log_level = (uint8_t)options->log.level,
			.limits = limits_of(options),
			.host_count = options->host_count,
		},
		.stopped = true,
		.on_frame = on_frame,
		.on_ready = on_worker_ready,
		.on_dead = on_worker_dead,
		.on_pong = on_pong,
	};
	for (unsigned i = 0; i < options->host_count; i++)
		settings->hosts[i] = options->hosts[i].name;
}

static bool
link_prepare(struct master *master)
{
	const struct options *options = master->options;
	const char *why;

	master->link = (struct link){
		.dialect = dialect_find(options->link.dialect),
		.name = options->link.name,
		.secret = options->link.secret,
		.timeout = options->link.timeout * 1000,
		.high = options->link.queue_bytes,
		.on_packet = on_packet,
		.on_up = on_up,
		.on_down = on_down,
		.on_flow = on_flow,
		.on_closed = on_closed,
	};
	if (options->link.type == LINK_TYPE_EMBEDDED) {
		embedded_init(&master->embedded, options);
		master->link.secret = master->embedded.secret;
		master->link.spawn = spawn_sessiond;
	} else if (!link_resolve(&master->link, options->link.address, &why)) {
		log_error("link address=%s: %s", options->link.address, why);
		return false;
	}
	link_init(&master->link, &master->loop, options->link.packet_bytes);
	return true;
}

static int
master_start(struct master *master, uint32_t workers)
{
	int result = signals_catch(master);

	if (result == 0)
		result = directory_init(&master->directory, workers);
	if (result == 0)
		result = keeper_init(&master->keeper, workers, master->options->limits.held_bytes);
	if (result < 0)
		return result;
	pool_prepare(master);
	if (!link_prepare(master))
		return -EINVAL;
	result = pool_start(&master->pool, &master->loop, workers);
	for (unsigned i = 0; i < master->listener_count && result == 0; i++)
		result = listener_start(&master->listeners[i], &master->loop);
	if (result == 0)
		result = control_start(&master->control, master);
	return result;
}

int
master_run(struct master *master, uint32_t workers)
{
	int result = loop_init(&master->loop);

	if (result == 0)
		result = master_start(master, workers);
	if (result < 0)
		return result;
	hold_begins(master);
	link_start(&master->link);
	return loop_run(&master->loop);
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
		log_warning("shutdown processes did not end: killed");
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
	pending_close(master);
	pool_close(&master->pool);
	children_wait(master);
	pool_deinit(&master->pool);
	keeper_deinit(&master->keeper);
	directory_deinit(&master->directory);
	if (master->loop.epoll_fd > 0)
		loop_deinit(&master->loop);
}
