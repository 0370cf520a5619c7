#include "master/tickets.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "common/log.h"

/* Where each of them is. */
enum place {
	CURRENT,
	NEXT,
	PREVIOUS,
};

/* The kernel has no randomness yet, or is short of it: that passes. */
#define RETRY_TIME 60000

static uint8_t *
key_at(const struct tickets *tickets, enum place place)
{
	return tickets->keys.bytes + (size_t)place * TICKET_KEY_SIZE;
}

/* So few bytes come whole or not at all (getrandom(2)). */
static int
key_make(uint8_t *key)
{
	ssize_t length;

	do {
		length = getrandom(key, TICKET_KEY_SIZE, GRND_NONBLOCK);
	} while (length < 0 && errno == EINTR);
	return length == TICKET_KEY_SIZE ? 0 : length < 0 ? -errno : -EIO;
}

static void on_rotate(struct timer *timer);

static void
rotation_plan(struct tickets *tickets)
{
	uint64_t due = tickets->since + tickets->period, now = loop_now(tickets->loop);

	timer_clear(tickets->loop, &tickets->rotate);
	if (tickets->period > 0)
		timer_set(tickets->loop, &tickets->rotate, due > now ? due - now : 0, on_rotate);
}

static void
on_rotate(struct timer *timer)
{
	struct tickets *tickets = container_of(timer, struct tickets, rotate);
	uint8_t fresh[TICKET_KEY_SIZE];
	int result = key_make(fresh);

	if (result < 0) {
		log_warning("tickets kept error=\"%s\"", strerror(-result));
		timer_set(tickets->loop, &tickets->rotate, RETRY_TIME, on_rotate);
		return;
	}
	memcpy(key_at(tickets, PREVIOUS), key_at(tickets, CURRENT), TICKET_KEY_SIZE);
	memcpy(key_at(tickets, CURRENT), key_at(tickets, NEXT), TICKET_KEY_SIZE);
	memcpy(key_at(tickets, NEXT), fresh, TICKET_KEY_SIZE);
	explicit_bzero(fresh, sizeof fresh);
	tickets->count = TICKET_KEYS_MAX;
	tickets->since = loop_now(tickets->loop);
	rotation_plan(tickets);
	log_info("tickets rotated");
	tickets->on_rotated(tickets);
}

int
tickets_init(struct tickets *tickets, struct loop *loop, uint64_t period)
{
	int result = vault_init(&tickets->keys, (size_t)TICKET_KEYS_MAX * TICKET_KEY_SIZE);

	tickets->loop = loop;
	if (result == 0)
		result = key_make(key_at(tickets, CURRENT));
	if (result == 0)
		result = key_make(key_at(tickets, NEXT));
	if (result < 0)
		return result;
	tickets->count = 2;
	tickets->period = period;
	tickets->since = loop_now(loop);
	rotation_plan(tickets);
	return 0;
}

void
tickets_set_period(struct tickets *tickets, uint64_t period)
{
	tickets->period = period;
	if (tickets->loop != NULL)
		rotation_plan(tickets);
}

void
tickets_deinit(struct tickets *tickets)
{
	if (tickets->loop != NULL)
		timer_clear(tickets->loop, &tickets->rotate);
	tickets->loop = NULL;
	tickets->count = 0;
	vault_deinit(&tickets->keys);
}
