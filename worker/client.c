#include "worker/client.h"

#include <bsd/stdlib.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/log.h"
#include "worker/reply.h"
#include "worker/trace.h"
#include "worker/worker.h"

/* One read of a client per turn: bounds what a turn costs, and what a parser is fed at once. */
#define READ_SIZE 16384

/* What is shown of an account and of an explanation in the log. */
#define ACCOUNT_LOGGED 400
#define TEXT_LOGGED 200

/*
 * Parsers that are kept although nothing is in them, for clients that are likely to go on at once. More would make a heap
 * of 16 kB a client in a storm of logins, with the small things that stay between the holes.
 */
#define QUIET_PARSERS 64

static void intake_free(struct client *client);
static void client_flush(struct client *client);

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

const char *
client_state_name(enum client_state state)
{
	static const char *const names[] = { "opening", "login", "session", "closing", "gone" };

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

size_t
client_memory(const struct client *client)
{
	return (client->intake == NULL ? 0 : stream_memory(client->intake->stream)) + output_length(client->output);
}

void
client_report(const struct client *client, struct client_report *report_r)
{
	static const enum report_state states[] = {
		[CLIENT_OPENING] = REPORT_OPENING, [CLIENT_LOGIN] = REPORT_LOGIN, [CLIENT_SESSION] = REPORT_SESSION,
		[CLIENT_CLOSING] = REPORT_CLOSING, [CLIENT_GONE] = REPORT_CLOSING,
	};
	size_t unsent = output_length(client->output);

	*report_r = (struct client_report){
		.slot = client->slot,
		.serial = client->serial,
		.state = states[client->state],
		.paused = client->is_paused,
		.unsent = unsent > UINT32_MAX ? UINT32_MAX : (uint32_t)unsent,
		.idle = loop_now(&client->worker->loop) - client->last_read,
		.bytes_in = client->bytes_in,
		.bytes_out = client->bytes_out,
		.packets_in = client->packets_in,
		.packets_out = client->packets_out,
	};
}

/* ---- states ---- */

static struct deadline_list *
state_deadlines(struct client *client, enum client_state state)
{
	struct worker *worker = client->worker;

	switch (state) {
	case CLIENT_OPENING:
	case CLIENT_LOGIN:
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
	if (before == after)	/* the time for the login began with the connection */
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

static void
client_wants(struct client *client)
{
	uint32_t events = 0;

	if (!client->is_paused && !(client->hung_up && client->output != NULL))
		events |= EPOLLIN;
	if (client->output != NULL && deadline_is_set(&client->output->stall))
		events |= EPOLLOUT;
	watch_change(&client->worker->loop, &client->watch, events);
}

/* ---- parser ---- */

static void
intake_free(struct client *client)
{
	if (client->intake == NULL)
		return;
	deadline_clear(&client->worker->intake_idle, &client->intake->deadline);
	stream_free(&client->intake->stream);
	free(client->intake);
	client->intake = NULL;
	client->worker->intakes--;
	worker_lent(client->worker);
}

static struct intake *
intake_get(struct client *client)
{
	struct worker *worker = client->worker;
	const struct stream_limits *limits = client->state == CLIENT_SESSION ? &worker->session_limits : &worker->login_limits;

	if (client->intake != NULL)
		return client->intake;
	client->intake = calloc(1, sizeof *client->intake);
	if (client->intake == NULL)
		return NULL;
	client->intake->client = client;
	worker->intakes++;
	worker_lent(worker);
	client->intake->stream = stream_new(limits, client->scope == NULL ? NULL : &client->scope->header);
	if (client->intake->stream == NULL)
		intake_free(client);
	return client->intake;
}

void
client_on_intake_idle(struct deadline *deadline)
{
	struct intake *intake = container_of(deadline, struct intake, deadline);

	/* Half an element stays, and so does its parser, until the client goes on or its own deadline ends it. */
	if (stream_is_quiet(intake->stream))
		intake_free(intake->client);
}

/* ---- output ---- */

static void
output_drop(struct client *client)
{
	if (client->output == NULL)
		return;
	deadline_clear(&client->worker->stall, &client->output->stall);
	output_free(&client->output);
	client->worker->outputs--;
	worker_lent(client->worker);
}

/* Where to append what the client is to get; NULL without memory. output_queued() must follow. */
static struct buffer *
output_get(struct client *client)
{
	if (client->output == NULL) {
		client->output = output_new(client);
		client->worker->outputs += client->output != NULL;
		worker_lent(client->worker);
	}
	return client->output == NULL ? NULL : &client->output->bytes;
}

static void
output_queued(struct client *client)
{
	trace_down(client);
	job_queue(&client->worker->loop, &client->flush, on_flush);
}

static void
client_send_settled(struct client *client)
{
	uint64_t number = output_settled(client->output);
	struct buffer body = { 0 };

	if (number == 0)
		return;
	message_put_number(&body, number);
	channel_send(&client->worker->channel, W2M_SETTLED, client->slot, client->serial, &body);
	buffer_deinit(&body);
}

static void
client_flushed(struct client *client)
{
	output_drop(client);
	if (client->state == CLIENT_CLOSING)
		client_fsm(client, CLIENT_FLUSHED, NULL);
}

static void
client_flush(struct client *client)
{
	struct worker *worker = client->worker;
	ssize_t length;

	if (client->output == NULL) {
		client_flushed(client);
		return;
	}
	length = output_write(client->output, client->watch.fd);
	if (length < 0) {
		client_lose(client, length == -ENOMEM ? END_BROKEN : END_LOST);
		return;
	}
	client->bytes_out += (uint64_t)length;
	worker->counters.bytes_out += (uint64_t)length;
	client_send_settled(client);
	if (output_length(client->output) == 0)
		client_flushed(client);
	else if (length > 0 || !deadline_is_set(&client->output->stall))
		deadline_set(&worker->loop, &worker->stall, &client->output->stall);
	if (client->state != CLIENT_GONE)
		client_wants(client);
}

void
client_on_stall(struct deadline *deadline)
{
	client_lose(container_of(deadline, struct output, stall)->client, END_TOO_SLOW);
}

/* ---- the one way out ---- */

/* The three lines of a client; etc/fail2ban reads them, and doc/log.md describes them. */

static void
client_log_end(const struct client *client, enum stream_condition condition, const char *text)
{
	char id[CLIENT_ID_SIZE], address[INET6_ADDRSTRLEN], account[ACCOUNT_LOGGED], quoted[TEXT_LOGGED];

	log_info("%s client ended reason=%s%s%s%s%s address=%s port=%u in=%" PRIu64 " out=%" PRIu64
	    " packets_in=%" PRIu32 " packets_out=%" PRIu32 " seconds=%" PRIu64 " account=%s",
	    client_id(client, id), end_reason_name((enum end_reason)client->reason),
	    condition == CONDITION_NONE ? "" : " condition=", condition == CONDITION_NONE ? "" : condition_name(condition),
	    text == NULL ? "" : " text=", text == NULL ? "" : log_quote(quoted, sizeof quoted, text),
	    peer_format(&client->peer, address), client->peer.port,
	    client->bytes_in, client->bytes_out, client->packets_in, client->packets_out,
	    (loop_now(&client->worker->loop) - client->since) / 1000,
	    log_quote(account, sizeof account, client->address));
}

static void
client_log_login(const struct client *client)
{
	char id[CLIENT_ID_SIZE], address[INET6_ADDRSTRLEN], account[ACCOUNT_LOGGED];

	log_info("%s client logged-in account=%s address=%s port=%u", client_id(client, id),
	    log_quote(account, sizeof account, client->address), peer_format(&client->peer, address),
	    client->peer.port);
}

/* The number of the attempt is there so that no two lines are the same, which would be folded into one. */
static void
client_log_refusal(struct client *client, const struct client_message *message)
{
	char id[CLIENT_ID_SIZE], address[INET6_ADDRSTRLEN], account[ACCOUNT_LOGGED], quoted[ACCOUNT_LOGGED];

	if (client->refusals < UINT8_MAX)
		client->refusals++;
	snprintf(account, sizeof account, "%s@%s", client->login->asked_user, client->login->host);
	log_info("%s client login-failed address=%s port=%u account=%s reason=%s attempt=%u", client_id(client, id),
	    peer_format(&client->peer, address), client->peer.port, log_quote(quoted, sizeof quoted, account),
	    dialect_error_name(message->bytes, message->length), client->refusals);
}

static void
client_unpause(struct client *client)
{
	if (!client->is_paused)
		return;
	TAILQ_REMOVE(&client->worker->paused, client, paused);
	client->is_paused = false;
}

static void
client_gone(struct client *client)
{
	int fd = client->watch.fd;

	client_unpause(client);
	change_state(client, CLIENT_GONE);
	output_drop(client);
	watch_remove(&client->worker->loop, &client->watch);
	close(fd);
	worker_forget(client->worker, client);
	job_queue(&client->worker->loop, &client->flush, on_flush);
}

void
client_lose(struct client *client, enum end_reason reason)
{
	if (client->state == CLIENT_GONE)
		return;
	if (client->state != CLIENT_CLOSING) {
		client->reason = (uint8_t)reason;
		client_log_end(client, CONDITION_NONE, NULL);
	}
	if (reason == END_BROKEN)
		worker_pinch(client->worker);
	client_gone(client);
}

/* Of before RFC 3920 is only who has shown it by a header without a version. */
static bool
client_is_modern(const struct client *client)
{
	return client->scope == NULL || client->scope->header.version_major >= 1;
}

static void
client_say_end(struct client *client, enum stream_condition condition, const char *text)
{
	struct buffer *down;

	if (!client->header_sent && condition == CONDITION_NONE)
		return;
	down = output_get(client);
	if (down == NULL)
		return;
	/* RFC 6120 4.9.1.2: an error before our header is preceded by one. */
	if (!client->header_sent)
		reply_header(down, client_is_modern(client), client->worker->settings.hosts[0], client->stream_id);
	client->header_sent = true;
	if (condition != CONDITION_NONE)
		reply_error(down, client_is_modern(client), condition, text);
	reply_end(down);
	output_queued(client);
}

void
client_end(struct client *client, enum end_reason reason, enum stream_condition condition, const char *text)
{
	if (client->state >= CLIENT_CLOSING)
		return;
	client->reason = (uint8_t)reason;
	if (reason == END_BROKEN)
		worker_pinch(client->worker);
	client_log_end(client, condition, text);
	client_say_end(client, condition, text);
	client_unpause(client);
	change_state(client, CLIENT_CLOSING);
	client_wants(client);
	job_queue(&client->worker->loop, &client->flush, on_flush);
}

/* ---- what happens to a client ---- */

static struct dialect_context
client_context(const struct client *client, char *id, char *stream_id)
{
	const struct settings *settings = &client->worker->settings;

	return (struct dialect_context){
		.id = client_id(client, id),
		.name = settings->name,
		.stream_id = reply_stream_id(client->stream_id, stream_id),
		.digest = settings->digest,
		.registration = settings->registration,
	};
}

static void
client_broken(struct client *client)
{
	client_end(client, END_BROKEN, CONDITION_INTERNAL_SERVER_ERROR, NULL);
}

/* The host that a header means: the one it names or, where it names none, the only one there is. */
static const char *
client_host(const struct client *client, const struct stream_header *header)
{
	const struct settings *settings = &client->worker->settings;

	if (header->to == NULL)
		return settings->host_count == 1 ? settings->hosts[0] : NULL;
	for (uint32_t i = 0; i < settings->host_count; i++) {
		if (strcasecmp(settings->hosts[i], header->to) == 0)
			return settings->hosts[i];
	}
	return NULL;
}

static bool
client_host_is_gone(const struct client *client)
{
	const struct settings *settings = &client->worker->settings;

	for (uint32_t i = 0; i < settings->host_count; i++) {
		if (strcmp(settings->hosts[i], client->login->host) == 0)
			return false;
	}
	return true;
}

/* A session of a host that is gone stays until its client leaves, and so does the answer to a login that is under way. */
void
client_settings_changed(struct client *client)
{
	if (client->state == CLIENT_LOGIN && client->login->asked_id == NULL && client_host_is_gone(client))
		client_end(client, END_STREAM_ERROR, CONDITION_HOST_GONE, NULL);
	/* Nobody was watched before. */
	if (client->state == CLIENT_SESSION && !deadline_is_set(&client->deadline))
		silence_is_broken(client);
}

static void
login_drop(struct client *client)
{
	if (client->login == NULL)
		return;
	dialect_client_deinit(client->login);
	free(client->login);
	client->login = NULL;
}

static bool
login_begin(struct client *client, const char *host)
{
	client->login = calloc(1, sizeof *client->login);
	if (client->login == NULL)
		return false;
	client->login->host = strdup(host);
	return client->login->host != NULL;
}

/* What the dialect knows of it; `session` is for one that is logged in, and lives as long as the call. */
static struct dialect_client *
client_dialect(const struct client *client, struct dialect_client *session)
{
	if (client->login != NULL)
		return client->login;
	*session = (struct dialect_client){ .address = client->address };
	return session;
}

static void
client_greet(struct client *client, const struct stream_header *header)
{
	const char *host = client_host(client, header);
	char id[CLIENT_ID_SIZE], stream_id[17];
	struct dialect_context context = client_context(client, id, stream_id);
	struct buffer *down;

	if (host == NULL) {
		client_end(client, END_STREAM_ERROR, CONDITION_HOST_UNKNOWN, NULL);
		return;
	}
	down = output_get(client);
	if (!login_begin(client, host) || down == NULL) {
		client_broken(client);
		return;
	}
	reply_header(down, client_is_modern(client), host, client->stream_id);
	client->header_sent = true;
	if (client_is_modern(client)) {
		buffer_append_string(down, "<stream:features>");
		client->worker->dialect->client_features(down, &context);
		buffer_append_string(down, "</stream:features>");
	}
	output_queued(client);
	change_state(client, CLIENT_LOGIN);
}

static void
client_take_outcome(struct client *client, int outcome, const struct buffer *up)
{
	struct channel *channel = &client->worker->channel;

	switch (outcome) {
	case DIALECT_SEND:
		/* An element may be big, and is its client's matter; what a channel must send for all is small. */
		if (channel_make_room(channel, buffer_length(up)))
			channel_send(channel, W2M_PACKET, client->slot, client->serial, up);
		else
			client_broken(client);
		return;
	case DIALECT_ANSWER:
		output_queued(client);
		return;
	case DIALECT_NOT_AUTHORIZED:
		client_end(client, END_NOT_AUTHORIZED, CONDITION_NOT_AUTHORIZED, "log in first");
		return;
	case DIALECT_IGNORE:
		return;
	default:
		client_broken(client);
	}
}

static void
client_element(struct client *client, const struct stream_event *element)
{
	char id[CLIENT_ID_SIZE], stream_id[17];
	struct dialect_context context = client_context(client, id, stream_id);
	struct buffer *down = output_get(client), up = { 0 };
	struct dialect_client session;
	int outcome = -ENOMEM;

	if (down != NULL)
		outcome = client->worker->dialect->client_element(client_dialect(client, &session), &context,
		    element->bytes, element->length, element->name_end, &up, down);
	client->packets_in++;
	client->worker->counters.packets_in++;
	client_take_outcome(client, up.failed ? -ENOMEM : outcome, &up);
	buffer_deinit(&up);
	if (client->output != NULL && output_length(client->output) == 0)
		output_drop(client);
}

static void
client_consumed(struct client *client, uint64_t number)
{
	struct buffer body = { 0 };

	message_put_number(&body, number);
	channel_send(&client->worker->channel, W2M_CONSUMED, client->slot, client->serial, &body);
	buffer_deinit(&body);
}

/* False: it was ended instead, and the answer stays the master's, which sends it back. */
static bool
client_logged_in(struct client *client)
{
	struct buffer body = { 0 };

	client->address = texts_add(&client->worker->addresses, client->login->address, strlen(client->login->address));
	/* Too long is the session manager's fault: neither the master's nor that of this worker's other clients. */
	if (client->address == NULL || strlen(client->address) > CONTRACT_ADDRESS_MAX) {
		client_broken(client);
		return false;
	}
	buffer_append_string(&body, client->address);
	channel_send(&client->worker->channel, W2M_SESSION, client->slot, client->serial, &body);
	buffer_deinit(&body);
	login_drop(client);
	if (client->intake != NULL)
		stream_set_limits(client->intake->stream, &client->worker->session_limits);
	change_state(client, CLIENT_SESSION);
	client_log_login(client);
	return true;
}

/* The session manager has ended it: RFC 6120 4.9.3.3 where another login has taken its place. */
static void
client_disconnected(struct client *client, bool replaced)
{
	if (replaced && client_is_modern(client))
		client_end(client, END_REPLACED, CONDITION_CONFLICT, "Replaced by a new login");
	else
		client_end(client, replaced ? END_REPLACED : END_DISCONNECTED, CONDITION_UNDEFINED_CONDITION, "Disconnected");
}

static void
client_packet_outcome(struct client *client, int outcome, const struct client_message *message)
{
	uint32_t attempts = client->worker->settings.limits.login_attempts;

	switch (outcome) {
	case DIALECT_DELIVER:
		output_queued(client);
		output_mark(client->output, message->number);
		client->packets_out++;
		client->worker->counters.packets_out++;
		break;
	case DIALECT_LOGGED_IN:
		output_queued(client);
		/* In this order: a worker that dies in between must not leave a session that nobody knows to end. */
		if (client_logged_in(client))
			client_consumed(client, message->number);
		break;
	case DIALECT_LOGIN_REFUSED:
		output_queued(client);
		client_log_refusal(client, message);
		client_consumed(client, message->number);
		/* RFC 6120 6.4.5: two to five attempts are enough for who does not guess. */
		if (attempts > 0 && client->refusals >= attempts)
			client_end(client, END_LOGIN_FAILED, CONDITION_POLICY_VIOLATION, "too many failed logins");
		break;
	case DIALECT_END:
		client_consumed(client, message->number);
		client_disconnected(client, message->replaced);
		break;
	case DIALECT_UNREADABLE:
		client_consumed(client, message->number);
		break;
	default:
		client_broken(client);
	}
}

static void
client_packet(struct client *client, const struct client_message *message)
{
	char id[CLIENT_ID_SIZE], stream_id[17];
	struct dialect_context context = client_context(client, id, stream_id);
	struct buffer *down = output_get(client);
	struct dialect_client session;
	int outcome = -ENOMEM;

	if (down != NULL)
		outcome = client->worker->dialect->client_packet(client_dialect(client, &session), &context,
		    (const char *)message->bytes, message->length, down);
	client_packet_outcome(client, outcome, message);
	/* A burst within one turn is not yet a client that does not read: first see what it takes. */
	if (output_length(client->output) > client->worker->settings.limits.unsent_bytes)
		client_flush(client);
	if (client->output == NULL || client->state == CLIENT_GONE)
		return;
	if (output_length(client->output) > client->worker->settings.limits.unsent_bytes)
		client_end(client, END_TOO_SLOW, CONDITION_RESOURCE_CONSTRAINT, "too much is waiting to be read");
	else if (output_length(client->output) == 0)
		output_drop(client);
}

/* Nothing came from it for a while: RFC 6120 4.6.1 keeps the way open, or it was too long. */
static void
client_silent(struct client *client)
{
	const struct client_limits *limits = &client->worker->settings.limits;
	struct buffer *down;

	if (limits->idle_time > 0 && loop_now(&client->worker->loop) - client->last_read >= limits->idle_time) {
		client_end(client, END_IDLE_TIMEOUT, CONDITION_CONNECTION_TIMEOUT, "silent for too long");
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

/* Everything was said: FIN, then wait for the client's own, so that no reset destroys what is still under way. */
static void
client_shut(struct client *client)
{
	if (client->hung_up) {
		client_gone(client);
		return;
	}
	if (client->shut)
		return;
	client->shut = true;
	shutdown(client->watch.fd, SHUT_WR);
}

static void
client_login_expired(struct client *client)
{
	/* While the link is away nobody can log in: the time does not count (doc/design.md, "The link"). */
	if (!worker_may_read(client->worker)) {
		deadline_set(&client->worker->loop, &client->worker->login, &client->deadline);
		return;
	}
	client_end(client, END_LOGIN_TIMEOUT, CONDITION_CONNECTION_TIMEOUT, "not logged in in time");
}

static void
client_hung_up(struct client *client)
{
	client->hung_up = true;
	client_end(client, END_LOST, CONDITION_NONE, NULL);
}

static void
fsm_opening(struct client *client, enum client_event event, const struct client_message *message)
{
	switch (event) {
	case CLIENT_HEADER:
		client_greet(client, message->header);
		break;
	case CLIENT_HUNG_UP:
		client_hung_up(client);
		break;
	case CLIENT_TIMEOUT:
		client_login_expired(client);
		break;
	case CLIENT_ELEMENT:	/* the stream gives none before the header */
	case CLIENT_PACKET:	/* nobody has asked for one: it stays the master's, which bounces it at the end */
	case CLIENT_FLUSHED:
		break;
	}
}

static void
fsm_open(struct client *client, enum client_event event, const struct client_message *message)
{
	switch (event) {
	case CLIENT_ELEMENT:
		client_element(client, message->element);
		break;
	case CLIENT_PACKET:
		client_packet(client, message);
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
	case CLIENT_HEADER:	/* the stream gives one */
	case CLIENT_FLUSHED:
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
		client->hung_up = true;
		if (client->output == NULL)
			client_gone(client);
		else
			client_wants(client);
		break;
	case CLIENT_TIMEOUT:
		client_gone(client);
		break;
	case CLIENT_HEADER:
	case CLIENT_ELEMENT:
	case CLIENT_PACKET:	/* stays the master's, which bounces it at the end */
		break;
	}
}

void
client_fsm(struct client *client, enum client_event event, const struct client_message *message)
{
	switch ((enum client_state)client->state) {
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

static void
client_take_header(struct client *client, struct stream *stream)
{
	struct stream_header header;

	stream_take_header(stream, &header);
	client->scope = scope_of(&client->worker->scopes, &header);
	if (client->scope != NULL)
		client_fsm(client, CLIENT_HEADER, &(struct client_message){ .header = &header });
	else
		client_broken(client);
	stream_header_deinit(&header);
}

/* False when nothing more is to be fetched. */
static bool
client_take_event(struct client *client, struct stream *stream)
{
	static const char stream_end[] = "</stream:stream>";
	struct client_message message = { 0 };
	struct stream_event event;

	switch (stream_next(stream, &event)) {
	case STREAM_NOTHING:
		return false;
	case STREAM_OPENED:
		client_take_header(client, stream);
		break;
	case STREAM_ELEMENT:
		trace_up(client, event.bytes, event.length);
		message.element = &event;
		client_fsm(client, CLIENT_ELEMENT, &message);
		break;
	case STREAM_CLOSED:
		trace_up(client, stream_end, sizeof stream_end - 1);
		client_end(client, END_CLOSED, CONDITION_NONE, NULL);
		break;
	case STREAM_FAILED:
		client_end(client, event.condition == CONDITION_INTERNAL_SERVER_ERROR ? END_BROKEN : END_STREAM_ERROR,
		    event.condition, event.text);
		break;
	}
	return client->state < CLIENT_CLOSING;
}

static void
client_pause(struct client *client)
{
	if (client->is_paused)
		return;
	client->is_paused = true;
	TAILQ_INSERT_TAIL(&client->worker->paused, client, paused);
	client_wants(client);
}

/*
 * Everything that its parser has, as long as there is room for it: a read may hold thousands of elements, and each grows
 * on its way. What is left waits in the parser until the client is resumed.
 */
static void
client_take_events(struct client *client)
{
	struct worker *worker = client->worker;
	struct intake *intake = client->intake;

	while (worker_may_read(worker) && client_take_event(client, intake->stream))
		;
	deadline_set(&worker->loop, &worker->intake_idle, &intake->deadline);
	if (client->state < CLIENT_CLOSING && !worker_may_read(worker))
		client_pause(client);
	if (client->state >= CLIENT_CLOSING || (worker->intakes > QUIET_PARSERS && stream_is_quiet(intake->stream)))
		intake_free(client);
}

static void
client_take_bytes(struct client *client, const uint8_t *bytes, size_t length)
{
	struct worker *worker = client->worker;
	struct intake *intake;

	client->bytes_in += length;
	worker->counters.bytes_in += length;
	client->last_read = loop_now(&worker->loop);
	silence_is_broken(client);
	if (client->intake == NULL && client->state != CLIENT_OPENING && stream_is_whitespace(bytes, length))
		return;
	intake = intake_get(client);
	if (intake == NULL || stream_feed(intake->stream, bytes, length) < 0) {
		client_broken(client);
	} else {
		client_take_events(client);
	}
}

void
client_resume(struct client *client)
{
	client_unpause(client);
	client_wants(client);
	if (client->intake != NULL)
		client_take_events(client);
}

static void
client_read(struct client *client)
{
	static uint8_t bytes[READ_SIZE];
	ssize_t length;

	if (client->state < CLIENT_CLOSING && !worker_may_read(client->worker)) {
		client_pause(client);
		return;
	}
	length = recv(client->watch.fd, bytes, sizeof bytes, MSG_DONTWAIT);
	if (length == 0)
		client_fsm(client, CLIENT_HUNG_UP, NULL);
	else if (length < 0 && errno != EAGAIN && errno != EINTR)
		client_lose(client, END_LOST);
	else if (length > 0 && client->state < CLIENT_CLOSING)
		client_take_bytes(client, bytes, (size_t)length);
}

static void
on_ready(struct watch *watch, uint32_t events)
{
	struct client *client = container_of(watch, struct client, watch);

	/* A paused client is not read, so its connection's end is all that can be heard of it. */
	if ((events & EPOLLERR) != 0 || ((events & EPOLLHUP) != 0 && (watch->events & EPOLLIN) == 0)) {
		client_lose(client, END_LOST);
		return;
	}
	if (events & (EPOLLIN | EPOLLHUP))
		client_read(client);
	if ((events & EPOLLOUT) != 0 && client->state != CLIENT_GONE)
		job_queue(&client->worker->loop, &client->flush, on_flush);
}

/* ---- life ---- */

struct client *
client_new(struct worker *worker, uint32_t slot, uint64_t serial, int fd, const struct peer *peer)
{
	struct client *client = slab_new(&worker->slab);
	int on = 1;

	if (client == NULL)
		return NULL;
	client->worker = worker;
	client->slot = slot;
	client->serial = serial;
	client->peer = *peer;
	client->since = client->last_read = loop_now(&worker->loop);
	arc4random_buf(&client->stream_id, sizeof client->stream_id);
	if (watch_add(&worker->loop, &client->watch, fd, EPOLLIN, on_ready) < 0) {
		slab_free(&worker->slab, client);
		return NULL;
	}
	/* Writes are batched by turn: Nagle would only add its 40 ms (baselines). Fails on no TCP socket: no matter. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	deadline_set(&worker->loop, &worker->login, &client->deadline);
	return client;
}

void
client_free(struct client *client)
{
	struct deadline_list *deadlines = state_deadlines(client, client->state);
	struct worker *worker = client->worker;
	int fd = client->watch.fd;

	client_unpause(client);
	if (deadlines != NULL)
		deadline_clear(deadlines, &client->deadline);
	job_cancel(&client->worker->loop, &client->flush);
	intake_free(client);
	output_drop(client);
	if (fd >= 0) {
		watch_remove(&client->worker->loop, &client->watch);
		close(fd);
	}
	scope_leave(&worker->scopes, client->scope);
	login_drop(client);
	texts_remove(&worker->addresses, client->address);
	slab_free(&worker->slab, client);
}
