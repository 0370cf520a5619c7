#include "worker/login.h"

#include <bsd/stdlib.h>
#include <stdlib.h>
#include <string.h>

#include "worker/client_log.h"
#include "worker/unread.h"
#include "worker/worker.h"

static struct login *
login_of(const struct client *client)
{
	return client->login == NULL ? NULL : container_of(client->login, struct login, dialect);
}

bool
login_waits(const struct client *client)
{
	const struct login *login = login_of(client);

	return login != NULL && client->state < CLIENT_CLOSING && loop_now(&client->worker->loop) < login->until;
}

bool
login_hold(struct client *client)
{
	bool waits = login_waits(client);

	if (waits)
		unread_begin(client, UNREAD_FAILED);
	return waits;
}

void
login_on_tick(struct deadline *deadline)
{
	struct client *client = container_of(deadline, struct client, unread_until);

	if (login_waits(client))
		deadline_set(&client->worker->loop, &client->worker->login_tick, deadline);
	else
		client_resume(client);
}

static void
name_stream(struct login *login)
{
	arc4random_buf(&login->stream_id, sizeof login->stream_id);
}

void
login_begin_anew(struct client *client)
{
	struct login *login = login_of(client);

	if (login == NULL)
		return;
	name_stream(login);
	login->proved = true;
}

bool
login_is_proved(const struct client *client)
{
	const struct login *login = login_of(client);

	return login != NULL && login->proved;
}

uint64_t
login_stream_id(const struct client *client)
{
	const struct login *login = login_of(client);

	return login == NULL ? 0 : login->stream_id;
}

/* For half a second, doubled so many times. */
static void
wait_begin(struct client *client, unsigned doublings)
{
	const struct client_limits *limits = &client->worker->settings.limits;
	uint64_t time = (uint64_t)LOGIN_PAUSE << (doublings < 16 ? doublings : 16), most = limits->login_time / 4;

	most = limits->login_pause < most ? limits->login_pause : most;
	login_of(client)->until = loop_now(&client->worker->loop) + (time < most ? time : most);
	login_hold(client);
}

bool
login_begin(struct client *client, const char *host)
{
	struct login *login = calloc(1, sizeof *login);

	if (login == NULL)
		return false;
	STAILQ_INIT(&login->kept);
	client->login = &login->dialect;
	name_stream(login);
	client->login->host = strdup(host);
	if (client->failures >= LOGIN_FREE)
		wait_begin(client, client->failures / LOGIN_FREE - 1);
	/* Once: not again when its stream begins anew. */
	client->failures = 0;
	return client->login->host != NULL;
}

static void
kept_free(struct kept_packets *queue)
{
	struct kept_packet *packet;

	while ((packet = STAILQ_FIRST(queue)) != NULL) {
		STAILQ_REMOVE_HEAD(queue, entry);
		free(packet);
	}
}

bool
login_keep(struct client *client, const struct client_message *message)
{
	struct login *login = login_of(client);
	struct kept_packet *packet = malloc(sizeof *packet + message->length);

	if (packet == NULL)
		return false;
	packet->number = message->number;
	packet->replaced = message->replaced;
	packet->length = message->length;
	memcpy(packet->bytes, message->bytes, message->length);
	STAILQ_INSERT_TAIL(&login->kept, packet, entry);
	login->kept_bytes += packet->length;
	return true;
}

bool
login_resume(struct client *client, struct dialect_client *session)
{
	struct login *login = calloc(1, sizeof *login);
	bool has_memo = session->memo != NULL;

	session->address = session->address == NULL ? NULL : strdup(session->address);
	session->memo = session->memo == NULL ? NULL : strdup(session->memo);
	if (login == NULL) {
		dialect_client_deinit(session);
		return false;
	}
	STAILQ_INIT(&login->kept);
	login->dialect = *session;
	*session = (struct dialect_client){ 0 };
	client->login = &login->dialect;
	return login->dialect.address != NULL && (!has_memo || login->dialect.memo != NULL);
}

size_t
login_kept_bytes(const struct client *client)
{
	const struct login *login = login_of(client);

	return login == NULL ? 0 : login->kept_bytes;
}

void
login_take_kept(struct client *client, struct kept_packets *queue)
{
	struct login *login = login_of(client);

	STAILQ_INIT(queue);
	if (login == NULL)
		return;
	STAILQ_CONCAT(queue, &login->kept);
	login->kept_bytes = 0;
}

void
login_drop(struct client *client)
{
	struct login *login = login_of(client);

	if (login == NULL)
		return;
	kept_free(&login->kept);
	dialect_client_deinit(&login->dialect);
	free(login);
	client->login = NULL;
}

/* It did not know what it must know; else the session manager was in trouble. etc/fail2ban counts the same. */
static bool
is_guess(const char *condition)
{
	static const char *const conditions[] = {
		"not-authorized", "forbidden", "item-not-found", "payment-required", "registration-required",
	};

	for (size_t i = 0; i < sizeof conditions / sizeof conditions[0]; i++) {
		if (strcmp(condition, conditions[i]) == 0)
			return true;
	}
	return false;
}

void
login_refused(struct client *client, const char *condition, bool answered)
{
	if (client->refusals < UINT8_MAX)
		client->refusals++;
	client_log_refusal(client, condition);
	if (!answered || !is_guess(condition))
		return;
	channel_send(&client->worker->channel, W2M_LOGIN_FAILED, client->slot, client->serial, NULL);
	wait_begin(client, login_of(client)->guesses);
	if (login_of(client)->guesses < UINT8_MAX)
		login_of(client)->guesses++;
}
