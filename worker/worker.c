#include "worker/worker.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/log.h"
#include "worker/login.h"
#include "worker/origin.h"
#include "worker/trace.h"
#include "worker/transport.h"

/* RFC 6120 4.4 asks for a wait for the other side's end; its connection may be half dead. */
#define DRAIN_TIME 5000

/* Deadlines of less would be due in the turn in which they were set. */
#define NEXT_TURN_TIME 1

/* Between two looks at what has arrived, where nothing is waited for behind an acknowledgement. */
#define SETTLE_TIME_MIN 20

/* How long a parser is kept without bytes: making it anew costs two stanzas' worth of work (baselines). */
#define INTAKE_IDLE_TIME 1000

/* Slots in the first table; it doubles. */
#define SLOTS_FIRST 64

/* Enough for what a turn's goodbyes and frames may need, and for a read of the channel. */
#define RESERVE_SIZE (1024u * 1024)

/* Who holds less is not worth its end. */
#define FAT_MIN 8192

/* No master hands out a slot above this: it would be a breach, not a big service (descriptors end far below). */
#define SLOTS_MAX (1u << 22)

bool
worker_may_read(const struct worker *worker)
{
	return !worker->stopped && !worker->channel.was_full && !worker->pinched;
}

static void
resume_paused(struct worker *worker)
{
	struct deadline *deadline;

	while (worker_may_read(worker) && (deadline = TAILQ_FIRST(&worker->paused)) != NULL)
		client_resume(container_of(deadline, struct client, unread_until));
}

static struct client *
client_of(struct worker *worker, const struct frame *frame)
{
	struct client *client = frame->slot < worker->slots ? worker->clients[frame->slot] : NULL;

	return client != NULL && client->serial == frame->serial ? client : NULL;
}

void
worker_lent(struct worker *worker)
{
	trim_note(&worker->trim, (size_t)worker->intakes + worker->outputs);
}

static void
send_end(struct worker *worker, const struct client *client)
{
	struct client_end end = {
		.reason = (enum end_reason)client->reason,
		.condition = (enum stream_condition)client->condition,
		.limit = (enum end_limit)client->limit,
	};
	struct buffer body = { 0 };

	message_put_end(&body, &end);
	channel_send(&worker->channel, W2M_ENDED, client->slot, client->serial, &body);
	buffer_deinit(&body);
}

void
worker_forget(struct worker *worker, struct client *client)
{
	worker->clients[client->slot] = NULL;
	worker->count--;
	send_end(worker, client);
}

/* ---- memory ---- */

static struct client *
fattest_client(const struct worker *worker)
{
	struct client *fattest = NULL;
	size_t most = FAT_MIN;

	for (uint32_t slot = 0; slot < worker->slots; slot++) {
		struct client *client = worker->clients[slot];
		size_t memory = client == NULL || client->state >= CLIENT_CLOSING ? 0 : client_memory(client);

		if (memory > most) {
			most = memory;
			fattest = client;
		}
	}
	return fattest;
}

static bool
reserve_get(struct worker *worker)
{
	void *place = mmap(NULL, RESERVE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	worker->reserve = place == MAP_FAILED ? NULL : place;
	return worker->reserve != NULL;
}

/* One at a time: its memory is free when this comes again. Where nobody holds much, it is tried at the next need. */
static void
on_refill(struct job *job)
{
	struct worker *worker = container_of(job, struct worker, refill);
	struct client *client = reserve_get(worker) ? NULL : fattest_client(worker);

	if (client != NULL) {
		/* What it does not read would stay for the time of a goodbye, which it would not read either. */
		if (output_length(client->output) > FAT_MIN)
			client_lose(client, END_BROKEN);
		else
			client_end(client, END_BROKEN, CONDITION_RESOURCE_CONSTRAINT, NULL);
		/* Behind the job of the client, which frees what that holds. */
		job_cancel(&worker->loop, &worker->refill);
		job_queue(&worker->loop, &worker->refill, on_refill);
		return;
	}
	worker->pinched = false;
	resume_paused(worker);
}

bool
worker_pinch(struct worker *worker)
{
	bool had = worker->reserve != NULL;

	if (had)
		munmap(worker->reserve, RESERVE_SIZE);
	worker->reserve = NULL;
	worker->pinched |= had;
	job_queue(&worker->loop, &worker->refill, on_refill);
	return had;
}

static bool
on_pinch(struct channel *channel)
{
	return worker_pinch(container_of(channel, struct worker, channel));
}

/* ---- frames ---- */

static bool
slots_reserve(struct worker *worker, uint32_t slot)
{
	uint32_t slots = worker->slots > 0 ? worker->slots : SLOTS_FIRST;
	struct client **clients;

	while (slots <= slot)
		slots *= 2;
	if (slots == worker->slots)
		return true;
	clients = reallocarray(worker->clients, slots, sizeof clients[0]);
	if (clients == NULL)
		return false;
	memset(clients + worker->slots, 0, (slots - worker->slots) * sizeof clients[0]);
	worker->clients = clients;
	worker->slots = slots;
	return true;
}

static void
refuse(struct worker *worker, const struct frame *frame, int fd)
{
	if (fd >= 0)
		close(fd);
	channel_send(&worker->channel, W2M_REFUSED, frame->slot, frame->serial, NULL);
}

static enum contract_breach
handle_client(struct worker *worker, const struct frame *frame, int fd)
{
	uint32_t limit = worker->settings.limits.clients;
	struct newcomer newcomer;
	struct client *client;

	if (!message_get_client(frame, &newcomer)) {
		if (fd >= 0)
			close(fd);
		return BREACH_BODY;
	}
	if (frame->slot >= SLOTS_MAX || (frame->slot < worker->slots && worker->clients[frame->slot] != NULL)) {
		if (fd >= 0)
			close(fd);
		return BREACH_CLIENT;
	}
	client = fd < 0 || (limit > 0 && worker->count >= limit) || !slots_reserve(worker, frame->slot) ? NULL :
	    client_new(worker, frame->slot, frame->serial, fd, &newcomer);
	if (client == NULL) {
		refuse(worker, frame, fd);
		return BREACH_NONE;
	}
	worker->clients[frame->slot] = client;
	worker->count++;
	channel_send(&worker->channel, W2M_TAKEN, frame->slot, frame->serial, NULL);
	return BREACH_NONE;
}

static enum contract_breach
handle_packet(struct worker *worker, const struct frame *frame)
{
	struct client *client = client_of(worker, frame);
	struct client_message message = { .replaced = (frame->flags & FRAME_FLAG_REPLACED) != 0 };

	if (!message_get_packet(frame, &message.number, &message.bytes, &message.length))
		return BREACH_BODY;
	/* For one that has just ended: the master keeps the packet, and bounces it when it reads that. */
	if (client != NULL)
		client_fsm(client, CLIENT_PACKET, &message);
	return BREACH_NONE;
}

static void
client_close(struct client *client, enum end_reason reason)
{
	switch (reason) {
	case END_SHUTDOWN:
	case END_HOLD:
	case END_RETIRED:
		/* Of the conditions of RFC 6120 4.9.3 the one after which every client library comes back. */
		client_end(client, reason, CONDITION_SYSTEM_SHUTDOWN, NULL);
		break;
	case END_TOO_SLOW:
		if (client->state < CLIENT_CLOSING)
			client->limit = LIMIT_HELD_BYTES;
		/* It reads nothing: no goodbye would reach it, and the others wait for its memory. */
		client_lose(client, reason);
		break;
	case END_BROKEN:
	case END_GIVEN_UP:
		client_end(client, reason, CONDITION_INTERNAL_SERVER_ERROR, NULL);
		break;
	case END_FORGOTTEN:
		client_end(client, reason, CONDITION_REMOTE_CONNECTION_FAILED, "log in again");
		break;
	case END_CROWDED:
		client_end(client, reason, CONDITION_RESOURCE_CONSTRAINT, "too many connections");
		break;
	case END_REFUSED:
		client_end(client, reason, CONDITION_POLICY_VIOLATION, "not from this address");
		break;
	case END_LOGIN_FAILED:
		client_end(client, reason, CONDITION_POLICY_VIOLATION, "too many failed logins");
		break;
	case END_KICKED:
	case END_CLOSED:
	case END_LOST:
	case END_STREAM_ERROR:
	case END_NOT_AUTHORIZED:
	case END_LOGIN_TIMEOUT:
	case END_PROXY_FAILED:
	case END_TLS_FAILED:
	case END_HANDSHAKE_TIMEOUT:
	case END_IDLE_TIMEOUT:
	case END_DISCONNECTED:
	case END_REPLACED:
	case END_LINK_LOST:
	case END_WORKER_DIED:
	case END_REASON_COUNT:
		client_end(client, reason, CONDITION_POLICY_VIOLATION, "ended by the operator");
		break;
	}
}

static enum contract_breach
handle_close(struct worker *worker, const struct frame *frame)
{
	struct client *client = client_of(worker, frame);
	enum end_reason reason;

	if (!message_get_reason(frame, &reason))
		return BREACH_BODY;
	if (client != NULL)
		client_close(client, reason);
	return BREACH_NONE;
}

static enum contract_breach
handle_close_all(struct worker *worker, const struct frame *frame)
{
	enum end_reason reason;

	if (!message_get_reason(frame, &reason))
		return BREACH_BODY;
	for (uint32_t slot = 0; slot < worker->slots; slot++) {
		if (worker->clients[slot] != NULL)
			client_close(worker->clients[slot], reason);
	}
	return BREACH_NONE;
}

/* Of two times where 0 means never. */
static uint32_t
shorter_time(uint32_t a, uint32_t b)
{
	return a == 0 || (b != 0 && b < a) ? b : a;
}

/*
 * Their question or its answer was on the link when that broke. They could not ask again, and an answer that comes after
 * all must find nobody: it is sent back then, which ends the session that it may have made. Who has a session and waits for
 * another is asked again with the others (master/probe).
 */
static void
end_unanswered(struct worker *worker)
{
	for (uint32_t slot = 0; slot < worker->slots; slot++) {
		struct client *client = worker->clients[slot];

		if (client != NULL && client->login != NULL && client->login->asked && client->login->address == NULL)
			client_end(client, END_LINK_LOST, CONDITION_REMOTE_CONNECTION_FAILED, "try again");
	}
}

static void
limits_apply(struct worker *worker)
{
	const struct client_limits *limits = &worker->settings.limits;

	worker->login_limits = (struct stream_limits){
		.header_bytes = limits->header_bytes,
		.element_bytes = limits->login_bytes,
		.depth = limits->depth,
		.attributes = limits->attributes,
		.elements = limits->login_elements,
	};
	worker->karma = (struct karma_limit){ limits->rate_bytes, limits->burst_bytes };
	worker->session_limits = worker->login_limits;
	worker->session_limits.element_bytes = limits->element_bytes;
	worker->session_limits.elements = limits->elements;
	deadline_list_change(&worker->handshake, limits->handshake_time);
	deadline_list_change(&worker->login, limits->login_time);
	deadline_list_change(&worker->silence, shorter_time(limits->keepalive_time, limits->idle_time));
	deadline_list_change(&worker->stall, limits->stall_time);
	deadline_list_change(&worker->settle, limits->settle_time > 0 ? limits->settle_time : SETTLE_TIME_MIN);
	deadline_list_change(&worker->throttled, karma_pause(&worker->karma, CLIENT_READ_SIZE));
}

static void
settings_tell_clients(struct worker *worker, const struct karma_limit *before, bool tune)
{
	struct deadline *deadline;

	/* Silence is nothing to wait for any more. */
	while (worker->silence.duration == 0 && (deadline = TAILQ_FIRST(&worker->silence.queue)) != NULL)
		deadline_clear(&worker->silence, deadline);
	for (uint32_t slot = 0; slot < worker->slots; slot++) {
		if (worker->clients[slot] == NULL)
			continue;
		if (tune)
			transport_tune(worker->clients[slot]);
		client_settings_changed(worker->clients[slot], before);
	}
}

static enum contract_breach
handle_settings(struct worker *worker, const struct frame *frame)
{
	struct karma_limit before = worker->karma;
	struct settings settings;
	const struct dialect *dialect;
	enum contract_breach breach;
	bool tune;

	if (!message_get_settings(frame, &settings))
		return BREACH_BODY;
	dialect = dialect_find(settings.dialect);
	if (dialect == NULL || settings.host_count == 0) {
		settings_deinit(&settings);
		return BREACH_BODY;
	}
	breach = keys_settings(&worker->keys, &settings.tls);
	if (breach != BREACH_NONE) {
		settings_deinit(&settings);
		return breach;
	}
	tune = settings.limits.send_buffer_bytes != worker->settings.limits.send_buffer_bytes ||
	    settings.limits.dead_time != worker->settings.limits.dead_time;
	settings_deinit(&worker->settings);
	worker->settings = settings;
	worker->dialect = dialect;
	limits_apply(worker);
	settings_tell_clients(worker, &before, tune);
	log_set_level((enum log_level)settings.log_level);
	channel_send(&worker->channel, W2M_READY, 0, 0, NULL);
	return BREACH_NONE;
}

static enum contract_breach
handle_survey(struct worker *worker, const struct frame *frame)
{
	struct client_report report;
	struct buffer body = { 0 };
	struct survey survey;
	struct frame client = { 0 };

	if (!message_get_survey_clients(frame, &survey))
		return BREACH_BODY;
	message_put_survey(&body, survey.number);
	while (survey_next_client(&survey, &client.slot, &client.serial)) {
		if (client_of(worker, &client) == NULL)
			continue;
		client_report(client_of(worker, &client), &report);
		message_put_survey_report(&body, &report);
	}
	channel_send(&worker->channel, W2M_SURVEY, 0, 0, &body);
	buffer_deinit(&body);
	return BREACH_NONE;
}

static enum contract_breach
handle_trace(struct worker *worker, const struct frame *frame)
{
	struct client *client = client_of(worker, frame);
	bool on;

	if (!message_get_switch(frame, &on))
		return BREACH_BODY;
	if (client != NULL)
		trace_switch(client, on);
	return BREACH_NONE;
}

static enum contract_breach
handle_admitted(struct worker *worker, const struct frame *frame)
{
	struct client *client = client_of(worker, frame);
	uint8_t failures;

	if (!message_get_failures(frame, &failures))
		return BREACH_BODY;
	if (client != NULL)
		origin_admitted(client, failures);
	return BREACH_NONE;
}

static enum contract_breach
handle_renewed(struct worker *worker, const struct frame *frame)
{
	struct client *client = client_of(worker, frame);
	uint64_t serial;

	if (!message_get_number(frame, &serial))
		return BREACH_BODY;
	/* It may have gone meanwhile, under its old one. */
	return client == NULL || client_renewed(client, serial) ? BREACH_NONE : BREACH_CLIENT;
}

static void
send_pong(struct worker *worker)
{
	struct buffer body = { 0 };

	worker->counters.parsers = worker->intakes;
	worker->counters.buffers = worker->outputs;
	message_put_counters(&body, &worker->counters);
	channel_send(&worker->channel, W2M_PONG, 0, 0, &body);
	buffer_deinit(&body);
}

static enum contract_breach
on_frame(struct channel *channel, const struct frame *frame, int fd)
{
	struct worker *worker = container_of(channel, struct worker, channel);

	switch ((enum frame_type)frame->type) {
	case M2W_SETTINGS:
		return handle_settings(worker, frame);
	case M2W_CLIENT:
		return handle_client(worker, frame, fd);
	case M2W_PACKET:
		return handle_packet(worker, frame);
	case M2W_CLOSE:
		return handle_close(worker, frame);
	case M2W_CLOSE_ALL:
		return handle_close_all(worker, frame);
	case M2W_STOP:
		worker->stopped = true;
		break;
	case M2W_GO:
		worker->stopped = false;
		resume_paused(worker);
		break;
	case M2W_LOST:
		end_unanswered(worker);
		break;
	case M2W_PING:
		send_pong(worker);
		break;
	case M2W_SURVEY:
		return handle_survey(worker, frame);
	case M2W_TRACE:
		return handle_trace(worker, frame);
	case M2W_CERTIFICATE:
		return keys_certificate(&worker->keys, frame);
	case M2W_TICKETS:
		return keys_tickets(&worker->keys, frame);
	case M2W_ADMITTED:
		return handle_admitted(worker, frame);
	case M2W_RENEWED:
		return handle_renewed(worker, frame);
	case M2W_HELLO:	/* the channel has checked it */
	case W2M_HELLO:
	case W2M_READY:
	case W2M_TAKEN:
	case W2M_REFUSED:
	case W2M_PACKET:
	case W2M_SESSION:
	case W2M_SETTLED:
	case W2M_CONSUMED:
	case W2M_ENDED:
	case W2M_PONG:
	case W2M_LOG:
	case W2M_SURVEY:
	case W2M_TRACE:
	case W2M_ADDRESS:
	case W2M_LOGIN_FAILED:
	case W2M_RENEW:
	case FRAME_TYPE_COUNT:
		break;
	}
	return BREACH_NONE;
}

static void
on_end(struct channel *channel, enum channel_end end)
{
	struct worker *worker = container_of(channel, struct worker, channel);

	worker->out_of_memory = end == CHANNEL_BROKEN;
	loop_stop(&worker->loop);
}

static void
on_drained(struct channel *channel)
{
	resume_paused(container_of(channel, struct worker, channel));
}

static void
send_log(struct worker *worker, enum log_level level, const char *line)
{
	struct buffer body = { 0 };

	message_put_log(&body, (uint8_t)level, line);
	channel_send(&worker->channel, W2M_LOG, 0, 0, &body);
	buffer_deinit(&body);
}

/* The worker's log is the master's: it holds no descriptor for one. Lossy where the channel is full (log.h). */
static void
log_to_master(enum log_level level, const char *role, const char *line, void *argument)
{
	struct worker *worker = argument;
	char dropped[64];

	(void)role;
	if (worker->logging)
		return;
	if (channel_is_full(&worker->channel)) {
		worker->log_dropped++;
		return;
	}
	worker->logging = true;
	if (worker->log_dropped > 0) {
		snprintf(dropped, sizeof dropped, "log dropped lines=%" PRIu64 " reason=channel-full", worker->log_dropped);
		send_log(worker, LOG_LEVEL_WARNING, dropped);
		worker->log_dropped = 0;
	}
	send_log(worker, level, line);
	worker->logging = false;
}

int
worker_init(struct worker *worker, int fd)
{
	struct buffer body = { 0 };
	int result;

	*worker = (struct worker){ .channel = { .on_frame = on_frame, .on_end = on_end, .on_drained = on_drained,
	    .on_pinch = on_pinch } };
	TAILQ_INIT(&worker->paused);
	slab_init(&worker->slab, sizeof(struct client));
	texts_init(&worker->addresses);
	result = loop_init(&worker->loop);
	if (result < 0)
		return result;
	if (!reserve_get(worker) || keys_init(&worker->keys) < 0)
		return -ENOMEM;
	trim_init(&worker->trim, &worker->loop);
	deadline_list_init(&worker->loop, &worker->handshake, 0, client_on_deadline);
	deadline_list_init(&worker->loop, &worker->login, 0, client_on_deadline);
	deadline_list_init(&worker->loop, &worker->silence, 0, client_on_deadline);
	deadline_list_init(&worker->loop, &worker->login_tick, LOGIN_TICK, login_on_tick);
	deadline_list_init(&worker->loop, &worker->drain, DRAIN_TIME, client_on_deadline);
	deadline_list_init(&worker->loop, &worker->throttled, 0, unread_on_paid);
	deadline_list_init(&worker->loop, &worker->next_turn, NEXT_TURN_TIME, unread_on_turn);
	deadline_list_init(&worker->loop, &worker->stall, 0, output_on_stall);
	deadline_list_init(&worker->loop, &worker->settle, 0, output_on_settle);
	deadline_list_init(&worker->loop, &worker->intake_idle, INTAKE_IDLE_TIME, intake_on_idle);
	result = channel_init(&worker->channel, &worker->loop, fd, CONTRACT_WORKER);
	if (result < 0)
		return result;
	message_put_hello(&body, CONTRACT_VERSION);
	channel_send(&worker->channel, W2M_HELLO, 0, 0, &body);
	buffer_deinit(&body);
	log_set_sink(log_to_master, worker);
	return 0;
}

int
worker_run(struct worker *worker)
{
	int result = loop_run(&worker->loop);

	if (result == 0 && worker->out_of_memory)
		result = -ENOMEM;
	return result < 0 ? result : worker->channel.breach != BREACH_NONE ? -EPROTO : 0;
}

void
worker_deinit(struct worker *worker)
{
	log_set_sink(log_sink_stderr, NULL);
	for (uint32_t slot = 0; slot < worker->slots; slot++) {
		if (worker->clients[slot] != NULL)
			client_free(worker->clients[slot]);
	}
	free(worker->clients);
	worker->clients = NULL;
	worker->slots = worker->count = 0;
	if (worker->reserve != NULL)
		munmap(worker->reserve, RESERVE_SIZE);
	worker->reserve = NULL;
	job_cancel(&worker->loop, &worker->refill);
	slab_deinit(&worker->slab);
	texts_deinit(&worker->addresses);
	trim_deinit(&worker->trim);
	channel_deinit(&worker->channel);
	settings_deinit(&worker->settings);
	keys_deinit(&worker->keys);
	loop_deinit(&worker->loop);
}
