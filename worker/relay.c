#include "worker/relay.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dialect/notice.h"
#include "worker/client_log.h"
#include "worker/connection.h"
#include "worker/greeting.h"
#include "worker/login.h"
#include "worker/reply.h"
#include "worker/worker.h"

/* One call of the dialect: what it is told, what it answers, and where that lies. */
struct exchange {
	struct client *client;
	char id[CLIENT_ID_SIZE], stream_id[17];
	struct dialect_context context;
	struct dialect_client session;		/* of a client that is bound: made for the call */
	struct dialect_client *dialect;
	struct buffer up, login_down, features;
	struct dialect_answer answer;
	char *before;				/* the memo before the call */
	char *memo;				/* that is nobody's any more: before or, where the client keeps it, after the call */
	const struct client_message *packet;	/* that came from the link; NULL: none did */
};

bool
relay_waits(const struct client *client)
{
	return client->login != NULL && client->login->waits && client->state < CLIENT_CLOSING;
}

/*
 * Until it is bound what it gets is short, and may have our header in front; later on it is written where it is sent from
 * (but for what may have to be said in other words). False without memory.
 */
static bool
exchange_begin(struct exchange *exchange, struct client *client, const struct client_message *packet)
{
	const struct settings *settings = &client->worker->settings;
	struct buffer *output = output_get(client);
	bool straight = client->login == NULL && client_is_modern(client);

	*exchange = (struct exchange){ .client = client, .packet = packet };
	exchange->context = (struct dialect_context){
		.id = client_id(client, exchange->id),
		.name = settings->name,
		.stream_id = reply_stream_id(login_stream_id(client), exchange->stream_id),
		.digest = settings->digest,
		.registration = settings->registration,
		.plain = client->tls != NULL || settings->plain,
		.modern = client_is_modern(client),
	};
	exchange->session = (struct dialect_client){ .address = client->address, .memo = client->memo };
	exchange->dialect = client->login != NULL ? client->login : &exchange->session;
	exchange->before = exchange->dialect->memo;
	/* There may be a password in it, or what stands for one. */
	if (client->login != NULL)
		buffer_set_secret(&exchange->up);
	exchange->answer = (struct dialect_answer){
		.up = &exchange->up,
		.down = straight ? output : &exchange->login_down,
		.features = &exchange->features,
	};
	return output != NULL;
}

static void
exchange_end(struct exchange *exchange)
{
	struct client *client = exchange->client;

	buffer_deinit(&exchange->up);
	buffer_deinit(&exchange->login_down);
	buffer_deinit(&exchange->features);
	free(exchange->memo);
	/* What is not lent was set for DIALECT_KEEP, and nobody has taken it (login_resume). */
	exchange->session.address = exchange->session.memo = NULL;
	dialect_client_deinit(&exchange->session);
	output_tidy(client);
}

/* ---- up ---- */

/* An element may be big, and is its client's matter; what a channel must send for all is small. */
static bool
send_element(struct client *client, const void *bytes, size_t length)
{
	struct channel *channel = &client->worker->channel;
	uint16_t flags = client->login != NULL ? FRAME_FLAG_SECRET : 0;

	if (!channel_make_room(channel, length))
		return false;
	client->spoke = true;
	channel_send_parts(channel, W2M_PACKET, flags, client->slot, client->serial, NULL, bytes, length);
	return true;
}

static bool
send_several(struct client *client, const struct buffer *up)
{
	const char *at = (const char *)buffer_bytes(up), *end = at + buffer_length(up);
	struct element element;

	while (at < end && element_read(&element, at, (size_t)(end - at))) {
		if (!send_element(client, element.whole.at, element.whole.length))
			return false;
		at = range_end(element.whole);
	}
	return true;
}

static bool
send_up(const struct exchange *exchange)
{
	if (buffer_length(&exchange->up) == 0)
		return true;
	if ((exchange->answer.effects & DIALECT_SEVERAL) != 0)
		return send_several(exchange->client, &exchange->up);
	return send_element(exchange->client, buffer_bytes(&exchange->up), buffer_length(&exchange->up));
}

/* ---- down ---- */

static void
say_consumed(const struct exchange *exchange)
{
	const struct client *client = exchange->client;
	struct buffer body = { 0 };

	if (exchange->packet == NULL)
		return;
	message_put_number(&body, exchange->packet->number);
	channel_send(&client->worker->channel, W2M_CONSUMED, client->slot, client->serial, &body);
	buffer_deinit(&body);
}

static void
send_down(struct exchange *exchange)
{
	struct client *client = exchange->client;
	struct buffer *down = output_get(client);

	if (down == NULL)
		return;
	if ((exchange->answer.effects & DIALECT_HEADER) != 0 || exchange->answer.told)
		greeting_header(client, &exchange->answer);
	if ((exchange->answer.effects & DIALECT_FEATURES) != 0)
		greeting_features(client, &exchange->features);
	buffer_append(down, buffer_bytes(&exchange->login_down), buffer_length(&exchange->login_down));
	if (buffer_length(down) > 0)
		output_queued(client);
}

/* ---- what it means ---- */

/* False: it was ended instead, and the answer stays the master's, which sends it back. */
static bool
logged_in(struct exchange *exchange)
{
	struct client *client = exchange->client;
	const char *address = exchange->dialect->address;
	struct buffer body = { 0 };

	texts_remove(&client->worker->addresses, client->address);
	client->address = texts_add(&client->worker->addresses, address, strlen(address));
	/* Too long is the session manager's fault: neither the master's nor that of this worker's other clients. */
	if (client->address == NULL || strlen(client->address) > CONTRACT_ADDRESS_MAX) {
		client_broken(client);
		return false;
	}
	buffer_append_string(&body, client->address);
	channel_send(&client->worker->channel, W2M_SESSION, client->slot, client->serial, &body);
	buffer_deinit(&body);
	return true;
}

/* Who wants to know is told that it has logged in, once for each client. False: as above. */
static bool
tell_login(struct exchange *exchange)
{
	struct client *client = exchange->client;
	const char *notify = client->worker->settings.notify, *jid = exchange->dialect->jid;
	struct connection connection = { 0 };
	struct buffer notice = { 0 };
	int result;

	if (notify == NULL || notify[0] == '\0' || jid == NULL)
		return true;
	result = connection_read(&connection, client);
	if (result == 0)
		notice_put_login(&notice, notify, exchange->context.id, exchange->context.name, jid, &connection.facts);
	if (result < 0 || notice.failed || !send_element(client, buffer_bytes(&notice), buffer_length(&notice)))
		client_broken(client);
	connection_deinit(&connection);
	buffer_deinit(&notice);
	return client->state < CLIENT_CLOSING;
}

/* False: as above. */
static bool
remember(struct exchange *exchange)
{
	struct client *client = exchange->client;
	const char *memo = exchange->dialect->memo;

	texts_remove(&client->worker->addresses, client->memo);
	client->memo = memo == NULL ? NULL : texts_add(&client->worker->addresses, memo, strlen(memo));
	if (memo == NULL || client->memo != NULL)
		return true;
	client_broken(client);
	return false;
}

static void
refused(const struct exchange *exchange)
{
	struct client *client = exchange->client;
	uint32_t attempts = client->worker->settings.limits.login_attempts;

	/* RFC 6120 6.4.5: two to five attempts more than the first are enough for who does not guess. */
	if (attempts > 0 && client->refusals >= attempts)
		client_exceed(client, LIMIT_LOGIN_ATTEMPTS, "too many failed logins");
}

/* What waited for it is given to the dialect again. */
static void
bound(struct client *client)
{
	struct kept_packets queue;
	struct kept_packet *packet;

	login_take_kept(client, &queue);
	if (client->state == CLIENT_LOGIN)
		client_fsm(client, CLIENT_LOGGED_IN, NULL);
	else
		login_drop(client);
	while ((packet = STAILQ_FIRST(&queue)) != NULL) {
		struct client_message message = {
			.bytes = packet->bytes, .length = packet->length, .number = packet->number, .replaced = packet->replaced,
		};

		STAILQ_REMOVE_HEAD(&queue, entry);
		/* When it has ended they stay the master's. */
		client_fsm(client, CLIENT_PACKET, &message);
		free(packet);
	}
}

static void
keep(const struct exchange *exchange)
{
	struct client *client = exchange->client;

	if (!login_keep(client, exchange->packet))
		client_broken(client);
	else if (login_kept_bytes(client) > client->worker->settings.limits.unsent_bytes)
		client_exceed(client, LIMIT_UNSENT_BYTES, "too much is waiting to be read");
}

static void
delivered(const struct exchange *exchange)
{
	struct client *client = exchange->client;

	/* Of nothing at all no byte will ever be written; and what is settled settles all before it, which may wait yet. */
	if (output_length(client->output) == 0 || login_kept_bytes(client) > 0) {
		say_consumed(exchange);
		return;
	}
	output_queued(client);
	output_mark(client->output, exchange->packet->number);
	client->packets_out++;
	client->worker->counters.packets_out++;
}

static void
ended_by_client(struct client *client, const struct dialect_answer *answer)
{
	client_end(client, answer->condition == CONDITION_NOT_AUTHORIZED ? END_NOT_AUTHORIZED : END_STREAM_ERROR,
	    answer->condition, answer->text);
}

/* The session manager has ended it: RFC 6120 4.9.3.3 where another login has taken its place. */
static void
ended_upstream(struct client *client, const struct dialect_answer *answer, bool replaced)
{
	bool conflict = answer->condition == CONDITION_CONFLICT, modern = client_is_modern(client);
	enum end_reason reason = replaced || conflict ? END_REPLACED : END_DISCONNECTED;

	client->told = answer->told && modern;
	if (replaced && !answer->told && modern)
		client_end(client, reason, CONDITION_CONFLICT, "Replaced by a new login");
	else
		client_end(client, reason, answer->condition, conflict && !modern ? "Disconnected" : answer->text);
}

/* A client of before RFC 3920 does not know its elements, and is told in words. */
static void
translate_end(struct exchange *exchange)
{
	if (exchange->answer.told && !client_is_modern(exchange->client))
		buffer_clear(&exchange->login_down);
}

/* In this order: a worker that dies in between must not leave a session that nobody knows to end. */
static void
settle(const struct exchange *exchange)
{
	if ((exchange->answer.effects & DIALECT_DELIVERED) != 0)
		delivered(exchange);
	else if ((exchange->answer.effects & DIALECT_HELD) != 0)
		keep(exchange);
	else
		say_consumed(exchange);
}

static void
carry_out(struct exchange *exchange)
{
	const struct dialect_answer *answer = &exchange->answer;
	struct client *client = exchange->client;
	unsigned effects = answer->effects;

	translate_end(exchange);
	send_down(exchange);
	if ((effects & DIALECT_REFUSED) != 0)	/* before it is consumed: the master looks whether there can be one */
		login_refused(client, answer->failure, exchange->packet != NULL);
	if ((effects & DIALECT_LOGGED_IN) != 0 && (!logged_in(exchange) || !tell_login(exchange)))
		return;
	if ((effects & DIALECT_MEMO) != 0 && !remember(exchange))
		return;
	if (!send_up(exchange)) {
		client_broken(client);
		return;
	}
	if ((effects & DIALECT_UNREADABLE) != 0)
		client_log_unreadable(client, exchange->packet);
	settle(exchange);
	if ((effects & DIALECT_REFUSED) != 0)
		refused(exchange);
	if ((effects & DIALECT_KEEP) != 0 && client->login == NULL && !login_resume(client, &exchange->session))
		client_broken(client);
	if ((effects & DIALECT_BOUND) != 0)
		bound(client);
	if ((effects & DIALECT_RESTART) != 0)
		client_fsm(client, CLIENT_RESTART, NULL);
	if ((effects & DIALECT_END) != 0 && exchange->packet != NULL)
		ended_upstream(client, answer, exchange->packet->replaced);
	else if ((effects & DIALECT_END) != 0)
		ended_by_client(client, answer);
}

/* Of the memos before and after the call one is nobody's now. */
static void
memo_let_go(struct exchange *exchange)
{
	if (exchange->dialect->memo == exchange->before)
		return;
	exchange->memo = exchange->dialect == &exchange->session ? exchange->dialect->memo : exchange->before;
}

/*
 * Not everything can be asked for at any time. A dialect that does so all the same, whatever a session manager has said to it,
 * costs one client and not the worker.
 */
static bool
is_possible(const struct exchange *exchange)
{
	static const unsigned before_bound = DIALECT_HEADER | DIALECT_FEATURES | DIALECT_REFUSED | DIALECT_LOGGED_IN |
	    DIALECT_BOUND | DIALECT_RESTART | DIALECT_HELD;
	static const unsigned in_login = DIALECT_HEADER | DIALECT_FEATURES | DIALECT_BOUND | DIALECT_RESTART;
	static const unsigned of_packet = DIALECT_DELIVERED | DIALECT_HELD | DIALECT_UNREADABLE;
	const struct client *client = exchange->client;
	unsigned effects = exchange->answer.effects;

	if (client->login == NULL && (effects & before_bound) != 0)
		return false;
	/* A header is on its way, and a session that has begun does not begin anew. */
	if (client->state == CLIENT_OPENING && (effects & in_login) != 0)
		return false;
	if (client->state == CLIENT_SESSION && (effects & in_login & ~(unsigned)DIALECT_BOUND) != 0)
		return false;
	if ((effects & (DIALECT_LOGGED_IN | DIALECT_BOUND)) != 0 && exchange->dialect->address == NULL)
		return false;
	return exchange->packet != NULL || (effects & of_packet) == 0;
}

/* `result`: of the dialect. */
static void
exchange_finish(struct exchange *exchange, int result)
{
	memo_let_go(exchange);
	if (result < 0 || exchange->up.failed || exchange->login_down.failed || exchange->features.failed ||
	    !is_possible(exchange))
		client_broken(exchange->client);
	else
		carry_out(exchange);
	exchange_end(exchange);
}

/* ---- from both sides ---- */

/* The connection is told once, unless it changes: where a stream is begun anew on it, it is known. */
static int
take_header(struct exchange *exchange, struct dialect_header *header)
{
	const struct dialect *dialect = exchange->client->worker->dialect;
	struct connection connection = { 0 };
	int result = 0;

	if (dialect->tells_connection && !exchange->dialect->asked) {
		result = connection_read(&connection, exchange->client);
		header->connection = &connection.facts;
	}
	if (result == 0)
		result = dialect->client_header(exchange->dialect, &exchange->context, header, &exchange->answer);
	connection_deinit(&connection);
	return result;
}

void
relay_header(struct client *client, const struct stream_header *header)
{
	struct dialect_header told = {
		.from = header->from,
		.lang = client->scope->header.lang,
		.version_major = header->version_major,
		.version_minor = header->version_minor,
	};
	struct exchange exchange;
	int result = -ENOMEM;

	if (exchange_begin(&exchange, client, NULL))
		result = take_header(&exchange, &told);
	exchange_finish(&exchange, result);
}

void
relay_element(struct client *client, const struct stream_event *element)
{
	struct exchange exchange;
	int result = -ENOMEM;

	client->packets_in++;
	client->worker->counters.packets_in++;
	if (exchange_begin(&exchange, client, NULL))
		result = client->worker->dialect->client_element(exchange.dialect, &exchange.context, element->bytes,
		    element->length, element->name_end, &exchange.answer);
	exchange_finish(&exchange, result);
}

/* A burst within one turn is not yet a client that does not read: first see what it takes. */
static void
check_unsent(struct client *client)
{
	uint32_t most = client->worker->settings.limits.unsent_bytes;

	if (output_length(client->output) > most)
		client_flush(client);
	if (client->state != CLIENT_GONE && output_length(client->output) > most)
		client_exceed(client, LIMIT_UNSENT_BYTES, "too much is waiting to be read");
}

void
relay_packet(struct client *client, const struct client_message *message)
{
	bool waited = relay_waits(client);
	struct exchange exchange;
	int result = -ENOMEM;

	if (exchange_begin(&exchange, client, message))
		result = client->worker->dialect->client_packet(exchange.dialect, &exchange.context,
		    (const char *)message->bytes, message->length, &exchange.answer);
	exchange_finish(&exchange, result);
	check_unsent(client);
	if (waited && !relay_waits(client) && client->unread == UNREAD_ANSWER)
		client_resume(client);
}
