#include "worker/client.h"

#include <bsd/stdlib.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/log.h"
#include "worker/client_log.h"
#include "worker/greeting.h"
#include "worker/handshake.h"
#include "worker/login.h"
#include "worker/origin.h"
#include "worker/relay.h"
#include "worker/starttls.h"
#include "worker/transport.h"
#include "worker/worker.h"

const char *
client_state_name(enum client_state state)
{
	static const char *const names[] = {
		[CLIENT_PREFACE] = "preface", [CLIENT_HANDSHAKE] = "handshake", [CLIENT_OPENING] = "opening",
		[CLIENT_LOGIN] = "login", [CLIENT_UPGRADING] = "upgrading", [CLIENT_SESSION] = "session",
		[CLIENT_CLOSING] = "closing", [CLIENT_GONE] = "gone",
	};

	return names[state];
}

const char *
client_id(const struct client *client, char *id)
{
	snprintf(id, CLIENT_ID_SIZE, "%s.%" PRIu32 ".%" PRIu32 ".%" PRIu64, client->worker->settings.nonce,
	    client->worker->settings.worker, client->slot, client->serial);
	return id;
}

bool
client_is_idle(const struct client *client)
{
	return client->intake == NULL && client->output == NULL;
}

bool
client_is_modern(const struct client *client)
{
	return client->scope == NULL || client->scope->header.version_major >= 1;
}

bool
client_has_stream(const struct client *client)
{
	return client->state == CLIENT_OPENING || client->state == CLIENT_LOGIN || client->state == CLIENT_SESSION;
}

size_t
client_memory(const struct client *client)
{
	return intake_memory(client) + output_length(client->output) + transport_memory(client) + login_kept_bytes(client);
}

void
client_report(const struct client *client, struct client_report *report_r)
{
	static const enum report_state states[] = {
		[CLIENT_PREFACE] = REPORT_OPENING, [CLIENT_HANDSHAKE] = REPORT_HANDSHAKE, [CLIENT_OPENING] = REPORT_OPENING,
		[CLIENT_LOGIN] = REPORT_LOGIN, [CLIENT_UPGRADING] = REPORT_HANDSHAKE, [CLIENT_SESSION] = REPORT_SESSION,
		[CLIENT_CLOSING] = REPORT_CLOSING, [CLIENT_GONE] = REPORT_CLOSING,
	};
	size_t unsent = output_length(client->output);

	*report_r = (struct client_report){
		.slot = client->slot,
		.serial = client->serial,
		.state = states[client->state],
		.paused = client->unread != UNREAD_NO,
		.throttled = client->unread == UNREAD_THROTTLED,
		.unsent = unsent > UINT32_MAX ? UINT32_MAX : (uint32_t)unsent,
		.idle = loop_now(&client->worker->loop) - client->last_read,
		.bytes_in = client->bytes_in,
		.bytes_out = client->bytes_out,
		.packets_in = client->packets_in,
		.packets_out = client->packets_out,
		.tls = client->tls == NULL ? 0 : (uint8_t)tls_version(client->tls),
	};
}

/* ---- states ---- */

static struct deadline_list *
state_deadlines(struct client *client, enum client_state state)
{
	struct worker *worker = client->worker;

	switch (state) {
	case CLIENT_PREFACE:
	case CLIENT_HANDSHAKE:
		return &worker->handshake;
	case CLIENT_OPENING:
	case CLIENT_LOGIN:
	case CLIENT_UPGRADING:
		return &worker->login;
	case CLIENT_SESSION:
		return &worker->silence;
	case CLIENT_CLOSING:
		return &worker->drain;
	case CLIENT_GONE:
		break;
	}
	return NULL;
}

static void
change_state(struct client *client, enum client_state state)
{
	struct deadline_list *before = state_deadlines(client, client->state);
	struct deadline_list *after = state_deadlines(client, state);
	char id[CLIENT_ID_SIZE];

	log_debug("%s client changed from=%s to=%s", client_id(client, id), client_state_name(client->state),
	    client_state_name(state));
	client->state = (uint8_t)state;
	if (before == after)	/* the time for the login began with the connection, or with TLS */
		return;
	if (before != NULL)
		deadline_clear(before, &client->deadline);
	if (after != NULL && after->duration > 0)
		deadline_set(&client->worker->loop, after, &client->deadline);
}

static void
silence_is_broken(struct client *client)
{
	if (client->state == CLIENT_SESSION && client->worker->silence.duration > 0)
		deadline_set(&client->worker->loop, &client->worker->silence, &client->deadline);
}

/* Where it is not: what is in clear text behind <starttls/> is to be seen by who knows what that means. */
static bool
is_read(const struct client *client)
{
	return client->unread == UNREAD_NO && !client->wants_write && client->state != CLIENT_UPGRADING && !client->hung_up;
}

void
client_wants(struct client *client)
{
	uint32_t events = 0;

	if (is_read(client))
		events |= EPOLLIN;
	if (output_is_blocked(client->output) || (client->wants_write && client->unread == UNREAD_NO))
		events |= EPOLLOUT;
	/* Both halves are closed: that is not to be heard again and again, but what becomes of the last bytes. */
	if (client->hung_up && client->shut)
		events = EPOLLET;
	/* What has come stays in the socket: wait for more than that, and for the end of it. */
	if (client->half_header && client->state < CLIENT_CLOSING)
		events |= EPOLLET | EPOLLRDHUP;
	watch_change(&client->worker->loop, &client->watch, events);
}

/* ---- TLS ---- */

/* It can be told nothing any more, and what it should have been told is lost. */
static void
client_tls_failed(struct client *client)
{
	client->mute = true;
	client->wants_write = false;
	output_discard(client);
	client_end(client, END_TLS_FAILED, CONDITION_NONE, tls_error(client->tls));
}

/* Its connection, or the TLS on it, is no more: `result` is what transport said. */
static void
client_fail(struct client *client, int result)
{
	if (result == -EPROTO && client->tls != NULL && client->state < CLIENT_CLOSING)
		client_tls_failed(client);
	else
		client_lose(client, result == -ENOMEM ? END_BROKEN : END_LOST);
}

/* ---- writing ---- */

void
client_flush(struct client *client)
{
	int result = output_flush(client);

	if (result < 0) {
		client_fail(client, result);
		return;
	}
	if (output_length(client->output) == 0)
		client_fsm(client, CLIENT_FLUSHED, NULL);
	if (client->state != CLIENT_GONE)
		client_wants(client);
}

static void
on_flush(struct job *job)
{
	struct client *client = container_of(job, struct client, flush);

	if (client->state == CLIENT_GONE) {
		client_free(client);
		return;
	}
	if (client->state == CLIENT_CLOSING)
		intake_free(client);
	client_flush(client);
}

void
client_flush_later(struct client *client)
{
	job_queue(&client->worker->loop, &client->flush, on_flush);
}

/* ---- the one way out ---- */

static void
client_gone(struct client *client)
{
	int fd = client->watch.fd;

	unread_end(client);
	change_state(client, CLIENT_GONE);
	if (output_is_owed(client))
		transport_reset(client);
	output_drop(client);
	transport_free(client);
	watch_remove(&client->worker->loop, &client->watch);
	close(fd);
	worker_forget(client->worker, client);
	client_flush_later(client);
}

void
client_lose(struct client *client, enum end_reason reason)
{
	if (client->state == CLIENT_GONE)
		return;
	client->worker->counters.handshakes_failed += client->state == CLIENT_HANDSHAKE;
	if (client->state != CLIENT_CLOSING) {
		client->reason = (uint8_t)reason;
		client_log_end(client, NULL);
	}
	if (reason == END_BROKEN)
		worker_pinch(client->worker);
	client_gone(client);
}

void
client_broken(struct client *client)
{
	client_end(client, END_BROKEN, CONDITION_INTERNAL_SERVER_ERROR, NULL);
}

void
client_end(struct client *client, enum end_reason reason, enum stream_condition condition, const char *text)
{
	if (client->state >= CLIENT_CLOSING)
		return;
	client->worker->counters.handshakes_failed += client->state == CLIENT_HANDSHAKE;
	client->reason = (uint8_t)reason;
	if (reason == END_BROKEN)
		worker_pinch(client->worker);
	client->condition = (uint8_t)condition;
	client_log_end(client, text);
	greeting_end(client, text);
	unread_end(client);
	client->wants_write = false;
	change_state(client, CLIENT_CLOSING);
	client_wants(client);
	client_flush_later(client);
}

void
client_exceed(struct client *client, enum end_limit limit, const char *text)
{
	/* What is not named here breaks the rules of the stream. */
	static const struct {
		enum end_reason reason;
		enum stream_condition condition;
	} ends[END_LIMIT_COUNT] = {
		[LIMIT_LOGIN_ATTEMPTS] = { END_LOGIN_FAILED, CONDITION_POLICY_VIOLATION },
		[LIMIT_LOGIN_SECONDS] = { END_LOGIN_TIMEOUT, CONDITION_CONNECTION_TIMEOUT },
		[LIMIT_IDLE_SECONDS] = { END_IDLE_TIMEOUT, CONDITION_CONNECTION_TIMEOUT },
		[LIMIT_UNSENT_BYTES] = { END_TOO_SLOW, CONDITION_RESOURCE_CONSTRAINT },
	};

	if (client->state >= CLIENT_CLOSING)
		return;
	client->limit = (uint8_t)limit;
	if (ends[limit].condition == CONDITION_NONE)
		client_end(client, END_STREAM_ERROR, CONDITION_POLICY_VIOLATION, text);
	else
		client_end(client, ends[limit].reason, ends[limit].condition, text);
}

/* ---- what happens to a client ---- */

/* A session of a host that is gone stays until its client leaves, and so does the answer to a login that is under way. */
void
client_settings_changed(struct client *client, const struct karma_limit *before)
{
	const struct worker *worker = client->worker;

	karma_change(&client->karma, before, &worker->karma, loop_now(&worker->loop));
	if (client->state == CLIENT_LOGIN && !client->login->asked && client->address == NULL && greeting_host_is_gone(client))
		client_end(client, END_STREAM_ERROR, CONDITION_HOST_GONE, NULL);
	/* Nobody was watched before. */
	if (client->state == CLIENT_SESSION && !deadline_is_set(&client->deadline))
		silence_is_broken(client);
}

/* TLS is there, or will not be: from here on there is a stream, whose answers reach the client. */
static void
client_open(struct client *client)
{
	client->mute = false;
	change_state(client, CLIENT_OPENING);
}

/* Of its stream nothing holds any more. */
static void
client_begin_anew(struct client *client, enum client_state state)
{
	scope_leave(&client->worker->scopes, client->scope);
	client->scope = NULL;
	client->header_sent = false;
	change_state(client, state);
}

static void
client_restart(struct client *client)
{
	login_begin_anew(client);
	client_begin_anew(client, CLIENT_OPENING);
	if (!intake_begin_anew(client))
		client_broken(client);
}

static void
client_begin_tls(struct client *client)
{
	if (!handshake_begin(client))
		return;
	login_drop(client);
	client->mute = true;
	change_state(client, CLIENT_HANDSHAKE);
	handshake_go_on(client);
}

static void
client_logged_in(struct client *client)
{
	login_drop(client);
	if (client->tls != NULL)
		tls_forget(client->tls);
	if (client->intake != NULL)
		stream_set_limits(client->intake->stream, &client->worker->session_limits);
	change_state(client, CLIENT_SESSION);
	client_log_login(client);
}

/* Nothing came from it for a while: RFC 6120 4.6.1 keeps the way open, or it was too long. */
static void
client_silent(struct client *client)
{
	const struct client_limits *limits = &client->worker->settings.limits;
	uint64_t silent = loop_now(&client->worker->loop) - client->last_read;
	struct buffer *down;

	/* One that is throttled is anything but silent. */
	if (client->unread == UNREAD_THROTTLED) {
		silence_is_broken(client);
		return;
	}
	/* It waits for a session again, and nobody would look after it for ever: its last word was what that is asked for. */
	if (relay_waits(client) && worker_may_read(client->worker) && silent >= limits->login_time) {
		client_exceed(client, LIMIT_LOGIN_SECONDS, "its session was not started again in time");
		return;
	}
	if (limits->idle_time > 0 && client->unread == UNREAD_NO && !relay_waits(client) && silent >= limits->idle_time) {
		client_exceed(client, LIMIT_IDLE_SECONDS, "silent for too long");
		return;
	}
	silence_is_broken(client);
	if (limits->keepalive_time == 0 || client->output != NULL)
		return;
	down = output_get(client);
	if (down == NULL)
		return;
	buffer_append(down, " ", 1);
	output_queued(client);
}

/* The client has closed its half of the connection. */
static void
client_heard_end(struct client *client)
{
	client->hung_up = true;
	output_finish(client);
}

/*
 * Both halves are closed. Who is owed nothing is gone; else what was written last is still on its way: what becomes of
 * it will be heard (client_wants), or its time runs out.
 */
static void
client_part(struct client *client)
{
	if (client->output != NULL && transport_unacknowledged(client) == 0)
		output_finish(client);
	if (client->output == NULL)
		client_gone(client);
	else
		client_wants(client);
}

/* Everything was said: FIN, then wait for the client's own, so that no reset destroys what is still under way. */
static void
client_shut(struct client *client)
{
	if (!client->shut)
		output_shut(client, transport_shut(client));
	client->shut = true;
	/* Its place is wanted at once. What has come is taken, lest it make a reset of the end. */
	if (client->address == NULL && (client->reason == END_CROWDED || client->reason == END_REFUSED)) {
		transport_discard(client);
		client_gone(client);
		return;
	}
	if (client->hung_up)
		client_part(client);
}

static void
client_handshake_expired(struct client *client)
{
	/* A header is read whatever becomes of the link. As for the login, below. */
	if (!client->proxied && !worker_may_read(client->worker)) {
		deadline_set(&client->worker->loop, &client->worker->handshake, &client->deadline);
		return;
	}
	client->limit = LIMIT_HANDSHAKE_SECONDS;
	if (client->proxied)
		client_end(client, END_HANDSHAKE_TIMEOUT, CONDITION_NONE, "no PROXY header");
	else
		handshake_fail(client, END_HANDSHAKE_TIMEOUT, NULL);
}

static void
client_login_expired(struct client *client)
{
	/* While the link is away nobody can log in: the time does not count (doc/design.md, "The link"). */
	if (!worker_may_read(client->worker)) {
		deadline_set(&client->worker->loop, &client->worker->login, &client->deadline);
		return;
	}
	client_exceed(client, LIMIT_LOGIN_SECONDS, "not logged in in time");
}

static void
client_hung_up(struct client *client)
{
	/* Where only its TLS was closed, its FIN is still to come, and is waited for. */
	if (transport_has_ended(client))
		client_heard_end(client);
	client_end(client, END_LOST, CONDITION_NONE, NULL);
}

static void
fsm_preface(struct client *client, enum client_event event)
{
	switch (event) {
	case CLIENT_STREAM_COMES:
		client_open(client);
		break;
	case CLIENT_TLS_COMES:
		client_begin_tls(client);
		break;
	case CLIENT_HUNG_UP:
		client_hung_up(client);
		break;
	case CLIENT_TIMEOUT:
		client_handshake_expired(client);
		break;
	case CLIENT_SECURED:
	case CLIENT_STARTTLS:
	case CLIENT_RENEWED:
	case CLIENT_HEADER:
	case CLIENT_ELEMENT:
	case CLIENT_PACKET:	/* nobody knows its id: the master sends none (client_proceeds) */
	case CLIENT_LOGGED_IN:
	case CLIENT_RESTART:
	case CLIENT_FLUSHED:
	case CLIENT_SETTLED:
		break;
	}
}

static void
fsm_handshake(struct client *client, enum client_event event)
{
	switch (event) {
	case CLIENT_SECURED:
		client_open(client);
		break;
	case CLIENT_TIMEOUT:
		client_handshake_expired(client);
		break;
	case CLIENT_STREAM_COMES:
	case CLIENT_TLS_COMES:
	case CLIENT_STARTTLS:
	case CLIENT_RENEWED:
	case CLIENT_HEADER:
	case CLIENT_ELEMENT:
	case CLIENT_PACKET:	/* as above */
	case CLIENT_LOGGED_IN:
	case CLIENT_RESTART:
	case CLIENT_HUNG_UP:	/* the handshake ends with it */
	case CLIENT_FLUSHED:
	case CLIENT_SETTLED:
		break;
	}
}

/*
 * RFC 6120 5.4.3.3: what was said in clear text was said by anybody. That goes for the session manager, too, where it was
 * passed on to it. (Everything that it was given from there has been settled when this is asked, so that nothing comes back that
 * the client has got, but what it was not given does; and so what TCP was given in clear text is not counted any more when that
 * of TLS begins to be.)
 */
static void
client_proceeds(struct client *client)
{
	if (client->renews || client->output != NULL)
		return;
	if (!client->spoke) {
		client_begin_anew(client, CLIENT_PREFACE);
		client_wants(client);
		return;
	}
	client->renews = true;
	client->spoke = client->login->asked = false;
	channel_send(&client->worker->channel, W2M_RENEW, client->slot, client->serial, NULL);
}

bool
client_renewed(struct client *client, uint64_t serial)
{
	char id[CLIENT_ID_SIZE], before[CLIENT_ID_SIZE];

	if (!client->renews)
		return false;
	client->renews = false;
	client_id(client, before);
	client->serial = serial;
	log_info("%s client renamed before=%s", client_id(client, id), before);
	client_fsm(client, CLIENT_RENEWED, NULL);
	client_wants(client);
	return true;
}

static void
fsm_upgrading(struct client *client, enum client_event event)
{
	switch (event) {
	case CLIENT_FLUSHED:
	case CLIENT_SETTLED:
		client_proceeds(client);
		break;
	case CLIENT_RENEWED:
		client_begin_anew(client, CLIENT_PREFACE);
		break;
	case CLIENT_TIMEOUT:
		client_login_expired(client);
		break;
	case CLIENT_STREAM_COMES:
	case CLIENT_TLS_COMES:
	case CLIENT_SECURED:
	case CLIENT_STARTTLS:
	case CLIENT_HEADER:
	case CLIENT_ELEMENT:
	case CLIENT_PACKET:	/* stays the master's, which sends it back when it gives it another id */
	case CLIENT_LOGGED_IN:
	case CLIENT_RESTART:
	case CLIENT_HUNG_UP:	/* it is not read */
		break;
	}
}

static void
fsm_opening(struct client *client, enum client_event event, const struct client_message *message)
{
	switch (event) {
	case CLIENT_HEADER:
		if (greeting_accept(client, message->header)) {
			change_state(client, CLIENT_LOGIN);
			greeting_give(client, message->header);
		}
		break;
	case CLIENT_PACKET:	/* where its stream begins anew; else as above */
		if (client->login != NULL)
			relay_packet(client, message);
		break;
	case CLIENT_HUNG_UP:
		client_hung_up(client);
		break;
	case CLIENT_TIMEOUT:
		client_login_expired(client);
		break;
	case CLIENT_STREAM_COMES:
	case CLIENT_TLS_COMES:
	case CLIENT_SECURED:
	case CLIENT_STARTTLS:
	case CLIENT_RENEWED:
	case CLIENT_ELEMENT:	/* the stream gives none before the header */
	case CLIENT_LOGGED_IN:
	case CLIENT_RESTART:
	case CLIENT_FLUSHED:
	case CLIENT_SETTLED:
		break;
	}
}

static void
client_upgrade(struct client *client)
{
	client->mute = true;
	change_state(client, CLIENT_UPGRADING);
	client_wants(client);
}

static void
fsm_open(struct client *client, enum client_event event, const struct client_message *message)
{
	switch (event) {
	case CLIENT_ELEMENT:
		if (!starttls_take(client, message->element))
			relay_element(client, message->element);
		break;
	case CLIENT_STARTTLS:
		client_upgrade(client);
		break;
	case CLIENT_PACKET:
		relay_packet(client, message);
		break;
	case CLIENT_LOGGED_IN:
		client_logged_in(client);
		break;
	case CLIENT_RESTART:
		client_restart(client);
		break;
	case CLIENT_HUNG_UP:
		client_hung_up(client);
		break;
	case CLIENT_TIMEOUT:
		if (client->state == CLIENT_LOGIN)
			client_login_expired(client);
		else
			client_silent(client);
		break;
	case CLIENT_STREAM_COMES:
	case CLIENT_TLS_COMES:
	case CLIENT_SECURED:
	case CLIENT_RENEWED:
	case CLIENT_HEADER:	/* the stream gives one */
	case CLIENT_FLUSHED:
	case CLIENT_SETTLED:
		break;
	}
}

static void
fsm_closing(struct client *client, enum client_event event)
{
	switch (event) {
	case CLIENT_FLUSHED:
		client_shut(client);
		break;
	case CLIENT_HUNG_UP:
		client_heard_end(client);
		if (client->shut)
			client_part(client);
		else
			client_wants(client);
		break;
	case CLIENT_SETTLED:	/* its own end is waited for as before */
		if (client->hung_up && client->shut)
			client_gone(client);
		break;
	case CLIENT_TIMEOUT:
		client_gone(client);
		break;
	case CLIENT_STREAM_COMES:
	case CLIENT_TLS_COMES:
	case CLIENT_SECURED:
	case CLIENT_STARTTLS:
	case CLIENT_RENEWED:
	case CLIENT_HEADER:
	case CLIENT_ELEMENT:
	case CLIENT_PACKET:	/* stays the master's, which bounces it at the end */
	case CLIENT_LOGGED_IN:
	case CLIENT_RESTART:
		break;
	}
}

void
client_fsm(struct client *client, enum client_event event, const struct client_message *message)
{
	switch ((enum client_state)client->state) {
	case CLIENT_PREFACE:
		fsm_preface(client, event);
		break;
	case CLIENT_HANDSHAKE:
		fsm_handshake(client, event);
		break;
	case CLIENT_UPGRADING:
		fsm_upgrading(client, event);
		break;
	case CLIENT_OPENING:
		fsm_opening(client, event, message);
		break;
	case CLIENT_LOGIN:
	case CLIENT_SESSION:
		fsm_open(client, event, message);
		break;
	case CLIENT_CLOSING:
		fsm_closing(client, event);
		break;
	case CLIENT_GONE:
		break;
	}
}

void
client_on_deadline(struct deadline *deadline)
{
	client_fsm(container_of(deadline, struct client, deadline), CLIENT_TIMEOUT, NULL);
}

/* ---- reading ---- */

/* So many of these bytes may it still send: before a login not more than that all together. */
static size_t
allowed_of(const struct client *client, size_t length)
{
	uint32_t most = client->worker->settings.limits.login_total_bytes;

	if (client->state >= CLIENT_SESSION || client->bytes_in + length <= most)
		return length;
	return most > client->bytes_in ? (size_t)(most - client->bytes_in) : 0;
}

static void
client_take(struct client *client, const uint8_t *bytes, size_t length)
{
	struct worker *worker = client->worker;
	size_t allowed = allowed_of(client, length);

	client->bytes_in += length;
	worker->counters.bytes_in += length;
	client->last_read = loop_now(&worker->loop);
	silence_is_broken(client);
	intake_take(client, bytes, allowed);
	if (allowed < length)
		client_exceed(client, LIMIT_LOGIN_TOTAL_BYTES, "too much before a login");
}

/* TLS has plain text, or an end, that no event will tell of. */
static bool
client_has_more(const struct client *client)
{
	return client_has_stream(client) && transport_has_more(client);
}

static void
client_read_stream(struct client *client)
{
	static uint8_t bytes[CLIENT_READ_SIZE];
	bool is_login = client->state != CLIENT_SESSION;
	ssize_t length = transport_read(client, bytes, sizeof bytes);

	client->wants_write = transport_reads_when_writable(client);
	if (length == 0)
		client_fsm(client, CLIENT_HUNG_UP, NULL);
	else if (length > 0)
		client_take(client, bytes, (size_t)length);
	else if (length != -EAGAIN)
		client_fail(client, (int)length);
	if (is_login && length > 0)
		explicit_bzero(bytes, (size_t)length);
	if (client->wants_write && client->state < CLIENT_CLOSING)
		client_wants(client);
}

static void
client_discard(struct client *client)
{
	ssize_t length = transport_discard(client);

	if (length == 0)
		client_fsm(client, CLIENT_HUNG_UP, NULL);
	else if (length < 0 && length != -EAGAIN)
		client_lose(client, END_LOST);
}

/* What comes before everything else, and whether or not the worker may read what is for the link. */
static bool
client_read_origin(struct client *client)
{
	bool was_half = client->half_header, known = origin_read(client);

	if (client->half_header != was_half)
		client_wants(client);
	if (known && client->listen_tls < LISTEN_TLS_DIRECT)
		client_fsm(client, CLIENT_STREAM_COMES, NULL);
	return known;
}

static void
client_read(struct client *client)
{
	if (client->proxied && client->state < CLIENT_CLOSING && (!client_read_origin(client) || client->unread != UNREAD_NO))
		return;
	if (client->state < CLIENT_CLOSING && !worker_may_read(client->worker)) {
		unread_begin(client, UNREAD_STOPPED);
		return;
	}
	if (login_hold(client))
		return;
	if (relay_waits(client)) {
		unread_begin(client, UNREAD_ANSWER);
		return;
	}
	switch ((enum client_state)client->state) {
	case CLIENT_PREFACE:
		handshake_look(client);
		break;
	case CLIENT_HANDSHAKE:
		handshake_go_on(client);
		/* Its header has mostly come together with the end of the handshake. */
		if (client_has_more(client))
			client_read_stream(client);
		break;
	case CLIENT_OPENING:
	case CLIENT_LOGIN:
	case CLIENT_SESSION:
		client_read_stream(client);
		break;
	case CLIENT_CLOSING:
		client_discard(client);
		break;
	case CLIENT_UPGRADING:
	case CLIENT_GONE:
		break;
	}
	unread_throttle(client);
	/* Of who sends more than one read takes, not everything at once. */
	if (client_has_more(client))
		unread_begin(client, UNREAD_TURN);
}

void
client_resume(struct client *client)
{
	unread_end(client);
	client_wants(client);
	intake_go_on(client);
	if (client->unread == UNREAD_NO && client_has_more(client))
		client_read(client);
	else
		unread_throttle(client);
}

/*
 * The connection is no more. What had come before that can still be read, and is: who closes right behind what it says, while
 * something is on its way to it, resets the connection, and does not hear of that. One that is not read has no such time.
 *
 * Most clients close right behind their goodbye, and what we still say makes a reset of that: what counts is that the end
 * came before it.
 */
static void
client_cut(struct client *client)
{
	ssize_t left;
	char byte;

	/* What TLS has of it comes first. */
	if (client_has_stream(client) && client->unread == UNREAD_TURN)
		return;
	left = transport_peek(client, &byte, sizeof byte);
	if (client_has_stream(client) && is_read(client) && left > 0) {
		client_read(client);
		return;
	}
	if (client->state == CLIENT_CLOSING && client->reason == END_CLOSED && !client->hung_up && left == 0)
		client_heard_end(client);
	if (client->state < CLIENT_CLOSING && left == -ETIMEDOUT)
		client->limit = LIMIT_DEAD_SECONDS;
	client_lose(client, END_LOST);
}

static void
on_ready(struct watch *watch, uint32_t events)
{
	struct client *client = container_of(watch, struct client, watch);

	if ((events & EPOLLERR) == 0 && client->hung_up && client->shut) {
		client_part(client);
		return;
	}
	/* Closed in both directions in good order, though what it has sent before that is not read: it was too much. */
	if ((events & (EPOLLERR | EPOLLHUP)) == EPOLLHUP && (watch->events & EPOLLIN) == 0 && client->shut) {
		client_fsm(client, CLIENT_HUNG_UP, NULL);
		return;
	}
	/* Of one that is not read the end of its connection is all that can be heard. */
	if ((events & EPOLLERR) != 0 || ((events & EPOLLHUP) != 0 && (watch->events & EPOLLIN) == 0)) {
		client_cut(client);
		return;
	}
	if ((events & (EPOLLIN | EPOLLHUP)) != 0 || ((events & EPOLLOUT) != 0 && client->wants_write))
		client_read(client);
	if ((events & EPOLLRDHUP) != 0 && client->half_header)
		client_fsm(client, CLIENT_HUNG_UP, NULL);
	if ((events & EPOLLOUT) != 0 && client->state != CLIENT_GONE)
		client_flush_later(client);
}

/* ---- life ---- */

struct client *
client_new(struct worker *worker, uint32_t slot, uint64_t serial, int fd, const struct newcomer *newcomer)
{
	struct client *client = slab_new(&worker->slab);
	int on = 1;

	if (client == NULL)
		return NULL;
	client->worker = worker;
	client->slot = slot;
	client->serial = serial;
	client->peer = newcomer->peer;
	client->listen_tls = newcomer->tls;
	client->proxied = client->is_check = newcomer->proxied;
	client->failures = newcomer->failures;
	client->state = client->proxied || client->listen_tls >= LISTEN_TLS_DIRECT ? CLIENT_PREFACE : CLIENT_OPENING;
	client->mute = client->state == CLIENT_PREFACE;
	client->since = client->last_read = loop_now(&worker->loop);
	if (watch_add(&worker->loop, &client->watch, fd, EPOLLIN, on_ready) < 0) {
		slab_free(&worker->slab, client);
		return NULL;
	}
	/* Writes are batched by turn: Nagle would only add its 40 ms (baselines). Fails on no TCP socket: no matter. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	transport_tune(client);
	deadline_set(&worker->loop, state_deadlines(client, client->state), &client->deadline);
	return client;
}

void
client_free(struct client *client)
{
	struct deadline_list *deadlines = state_deadlines(client, client->state);
	struct worker *worker = client->worker;
	int fd = client->watch.fd;

	unread_end(client);
	if (deadlines != NULL)
		deadline_clear(deadlines, &client->deadline);
	job_cancel(&client->worker->loop, &client->flush);
	intake_free(client);
	output_drop(client);
	transport_free(client);
	if (fd >= 0) {
		watch_remove(&client->worker->loop, &client->watch);
		close(fd);
	}
	scope_leave(&worker->scopes, client->scope);
	login_drop(client);
	texts_remove(&worker->addresses, client->address);
	texts_remove(&worker->addresses, client->memo);
	slab_free(&worker->slab, client);
}
