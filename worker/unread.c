#include "worker/unread.h"

#include "worker/client_log.h"
#include "worker/worker.h"

/* Where it waits for its time; NULL: for the worker, or for its own answer. */
static struct deadline_list *
list_of(struct client *client, enum unread why)
{
	struct worker *worker = client->worker;

	switch (why) {
	case UNREAD_THROTTLED:
		return &worker->throttled;
	case UNREAD_FAILED:
		return &worker->login_tick;
	case UNREAD_TURN:
		return &worker->next_turn;
	case UNREAD_NO:
	case UNREAD_STOPPED:
	case UNREAD_ASKED:
	case UNREAD_ANSWER:
		break;
	}
	return NULL;
}

void
unread_begin(struct client *client, enum unread why)
{
	struct worker *worker = client->worker;
	struct deadline_list *list = list_of(client, why);

	if (client->unread != UNREAD_NO)
		return;
	client->unread = (uint8_t)why;
	if (list != NULL)
		deadline_set(&worker->loop, list, &client->unread_until);
	else if (why == UNREAD_STOPPED)
		TAILQ_INSERT_TAIL(&worker->paused, &client->unread_until, entry);
	worker->counters.throttled += why == UNREAD_THROTTLED;
	client_wants(client);
}

void
unread_end(struct client *client)
{
	struct worker *worker = client->worker;
	struct deadline_list *list = list_of(client, (enum unread)client->unread);

	if (client->unread == UNREAD_NO)
		return;
	if (list != NULL)
		deadline_clear(list, &client->unread_until);
	else if (client->unread == UNREAD_STOPPED)
		TAILQ_REMOVE(&worker->paused, &client->unread_until, entry);
	worker->counters.throttled -= client->unread == UNREAD_THROTTLED;
	client->unread = UNREAD_NO;
}

static bool
is_over(const struct client *client)
{
	return karma_is_over(&client->karma, &client->worker->karma, loop_now(&client->worker->loop));
}

void
unread_throttle(struct client *client)
{
	if (client->state == CLIENT_GONE || client->unread != UNREAD_NO || !is_over(client))
		return;
	client->worker->counters.throttles++;
	if (!client->was_throttled && client->state < CLIENT_CLOSING) {
		client->was_throttled = true;
		client_log_throttled(client);
	}
	unread_begin(client, UNREAD_THROTTLED);
}

void
unread_on_paid(struct deadline *deadline)
{
	struct client *client = container_of(deadline, struct client, unread_until);

	if (is_over(client))
		deadline_set(&client->worker->loop, &client->worker->throttled, deadline);
	else
		client_resume(client);
}

void
unread_on_turn(struct deadline *deadline)
{
	client_resume(container_of(deadline, struct client, unread_until));
}
