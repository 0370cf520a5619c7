#include "worker/intake.h"

#include <stdlib.h>

#include "worker/login.h"
#include "worker/relay.h"
#include "worker/trace.h"
#include "worker/worker.h"

/*
 * Parsers that are kept although nothing is in them, for clients that are likely to go on at once. More would make a heap
 * of 16 kB a client in a storm of logins, with the small things that stay between the holes.
 */
#define QUIET_PARSERS 64

void
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
	else if (client->state != CLIENT_SESSION)
		stream_set_secret(client->intake->stream);
	return client->intake;
}

size_t
intake_memory(const struct client *client)
{
	return client->intake == NULL ? 0 : stream_memory(client->intake->stream);
}

void
intake_on_idle(struct deadline *deadline)
{
	struct intake *intake = container_of(deadline, struct intake, deadline);

	/* Half an element stays, and so does its parser, until the client goes on or its own deadline ends it. */
	if (stream_is_quiet(intake->stream))
		intake_free(intake->client);
}

bool
intake_begin_anew(struct client *client)
{
	struct stream *stream;
	const void *rest;
	size_t length;
	bool done;

	if (client->intake == NULL)
		return true;
	stream = stream_new(&client->worker->login_limits, NULL);
	rest = stream_unread(client->intake->stream, &length);
	if (stream != NULL)
		stream_set_secret(stream);
	done = stream != NULL && stream_feed(stream, rest, length) == 0;
	stream_free(&client->intake->stream);
	client->intake->stream = stream;
	return done;
}

static void
take_header(struct client *client, struct stream *stream)
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

/* The limits of before login have other names than those of later. */
static enum end_limit
limit_of(const struct client *client, enum end_limit limit)
{
	if (client->state == CLIENT_SESSION)
		return limit;
	return limit == LIMIT_STANZA_BYTES ? LIMIT_LOGIN_BYTES : limit == LIMIT_ELEMENTS ? LIMIT_LOGIN_ELEMENTS : limit;
}

static void
stream_failed(struct client *client, const struct stream_event *event)
{
	if (event->limit != LIMIT_NONE)
		client_exceed(client, limit_of(client, event->limit), event->text);
	else if (event->condition == CONDITION_INTERNAL_SERVER_ERROR)
		client_end(client, END_BROKEN, event->condition, event->text);
	else
		client_end(client, END_STREAM_ERROR, event->condition, event->text);
}

/* False when nothing more is to be fetched. */
static bool
take_event(struct client *client, struct stream *stream)
{
	static const char stream_end[] = "</stream:stream>";
	struct client_message message = { 0 };
	struct stream_event event;

	switch (stream_next(stream, &event)) {
	case STREAM_NOTHING:
		return false;
	case STREAM_OPENED:
		take_header(client, stream);
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
		stream_failed(client, &event);
		break;
	}
	return client_has_stream(client);
}

/*
 * Everything that the parser has, as long as there is room for it: a read may hold thousands of elements, and each grows
 * on its way.
 */
static void
take_events(struct client *client)
{
	struct worker *worker = client->worker;
	struct intake *intake = client->intake;

	while (worker_may_read(worker) && !login_waits(client) && !relay_waits(client) && take_event(client, intake->stream))
		;
	deadline_set(&worker->loop, &worker->intake_idle, &intake->deadline);
	if (client_has_stream(client) && !worker_may_read(worker))
		unread_begin(client, UNREAD_STOPPED);
	login_hold(client);
	if (relay_waits(client))
		unread_begin(client, UNREAD_ANSWER);
	if (!client_has_stream(client) || (worker->intakes > QUIET_PARSERS && stream_is_quiet(intake->stream)))
		intake_free(client);
}

void
intake_take(struct client *client, const uint8_t *bytes, size_t length)
{
	struct intake *intake;

	if (client->intake == NULL && client->state != CLIENT_OPENING && stream_is_whitespace(bytes, length))
		return;
	intake = intake_get(client);
	if (intake == NULL || stream_feed(intake->stream, bytes, length) < 0)
		client_broken(client);
	else
		take_events(client);
}

void
intake_go_on(struct client *client)
{
	if (client->intake != NULL)
		take_events(client);
}
