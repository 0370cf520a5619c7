#include "worker/login.h"

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
	client->login = &login->dialect;
	client->login->host = strdup(host);
	if (client->failures >= LOGIN_FREE)
		wait_begin(client, client->failures / LOGIN_FREE - 1);
	/* Once: not again when its stream begins anew. */
	client->failures = 0;
	return client->login->host != NULL;
}

void
login_drop(struct client *client)
{
	struct login *login = login_of(client);

	if (login == NULL)
		return;
	dialect_client_deinit(&login->dialect);
	free(login);
	client->login = NULL;
}

/* It did not know what it must know; else the session manager was in trouble. etc/fail2ban counts the same. */
static bool
is_guess(const struct client_message *message)
{
	static const char *const conditions[] = {
		"not-authorized", "forbidden", "item-not-found", "payment-required", "registration-required",
	};
	const char *condition = dialect_error_name(message->bytes, message->length);

	for (size_t i = 0; i < sizeof conditions / sizeof conditions[0]; i++) {
		if (strcmp(condition, conditions[i]) == 0)
			return true;
	}
	return false;
}

void
login_refused(struct client *client, const struct client_message *message)
{
	if (client->refusals < UINT8_MAX)
		client->refusals++;
	client_log_refusal(client, message);
	if (!is_guess(message))
		return;
	channel_send(&client->worker->channel, W2M_LOGIN_FAILED, client->slot, client->serial, NULL);
	wait_begin(client, client->refusals - 1u);
}
