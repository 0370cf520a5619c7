#include "worker/relay.h"

#include <errno.h>
#include <string.h>

#include "worker/client_log.h"
#include "worker/login.h"
#include "worker/reply.h"
#include "worker/worker.h"

struct dialect_context
relay_context(const struct client *client, char *id, char *stream_id)
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

/* What the dialect knows of it; `session` is for one that is logged in, and lives as long as the call. */
static struct dialect_client *
dialect_of(const struct client *client, struct dialect_client *session)
{
	if (client->login != NULL)
		return client->login;
	*session = (struct dialect_client){ .address = client->address };
	return session;
}

/* ---- up ---- */

static void
element_outcome(struct client *client, int outcome, const struct buffer *up)
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

void
relay_element(struct client *client, const struct stream_event *element)
{
	char id[CLIENT_ID_SIZE], stream_id[17];
	struct dialect_context context = relay_context(client, id, stream_id);
	struct buffer *down = output_get(client), up = { 0 };
	struct dialect_client session;
	int outcome = -ENOMEM;

	if (down != NULL)
		outcome = client->worker->dialect->client_element(dialect_of(client, &session), &context,
		    element->bytes, element->length, element->name_end, &up, down);
	client->packets_in++;
	client->worker->counters.packets_in++;
	element_outcome(client, up.failed ? -ENOMEM : outcome, &up);
	buffer_deinit(&up);
	if (client->output != NULL && output_length(client->output) == 0)
		output_drop(client);
}

/* ---- down ---- */

static void
say_consumed(struct client *client, uint64_t number)
{
	struct buffer body = { 0 };

	message_put_number(&body, number);
	channel_send(&client->worker->channel, W2M_CONSUMED, client->slot, client->serial, &body);
	buffer_deinit(&body);
}

/* False: it was ended instead, and the answer stays the master's, which sends it back. */
static bool
logged_in(struct client *client)
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
	client_fsm(client, CLIENT_LOGGED_IN, NULL);
	return true;
}

static void
refused(struct client *client, const struct client_message *message)
{
	uint32_t attempts = client->worker->settings.limits.login_attempts;

	/* Before it is consumed: the master looks whether there can be one. */
	login_refused(client, message);
	say_consumed(client, message->number);
	/* RFC 6120 6.4.5: two to five attempts are enough for who does not guess. */
	if (attempts > 0 && client->refusals >= attempts)
		client_exceed(client, LIMIT_LOGIN_ATTEMPTS, "too many failed logins");
}

/* The session manager has ended it: RFC 6120 4.9.3.3 where another login has taken its place. */
static void
disconnected(struct client *client, bool replaced)
{
	if (replaced && client_is_modern(client))
		client_end(client, END_REPLACED, CONDITION_CONFLICT, "Replaced by a new login");
	else
		client_end(client, replaced ? END_REPLACED : END_DISCONNECTED, CONDITION_UNDEFINED_CONDITION, "Disconnected");
}

static void
packet_outcome(struct client *client, int outcome, const struct client_message *message)
{
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
		if (logged_in(client))
			say_consumed(client, message->number);
		break;
	case DIALECT_LOGIN_REFUSED:
		output_queued(client);
		refused(client, message);
		break;
	case DIALECT_END:
		say_consumed(client, message->number);
		disconnected(client, message->replaced);
		break;
	case DIALECT_UNREADABLE:
		client_log_unreadable(client, message);
		say_consumed(client, message->number);
		break;
	default:
		client_broken(client);
	}
}

void
relay_packet(struct client *client, const struct client_message *message)
{
	uint32_t most = client->worker->settings.limits.unsent_bytes;
	char id[CLIENT_ID_SIZE], stream_id[17];
	struct dialect_context context = relay_context(client, id, stream_id);
	struct buffer *down = output_get(client);
	struct dialect_client session;
	int outcome = -ENOMEM;

	if (down != NULL)
		outcome = client->worker->dialect->client_packet(dialect_of(client, &session), &context,
		    (const char *)message->bytes, message->length, down);
	packet_outcome(client, outcome, message);
	/* A burst within one turn is not yet a client that does not read: first see what it takes. */
	if (output_length(client->output) > most)
		client_flush(client);
	if (client->output == NULL || client->state == CLIENT_GONE)
		return;
	if (output_length(client->output) > most)
		client_exceed(client, LIMIT_UNSENT_BYTES, "too much is waiting to be read");
	else if (output_length(client->output) == 0)
		output_drop(client);
}
