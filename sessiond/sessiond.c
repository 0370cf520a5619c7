#include "sessiond/sessiond.h"

#include <errno.h>

static time_t
clock_now(void)
{
	return time(NULL);
}

int
sessiond_init(struct sessiond *sd, const struct settings *settings)
{
	*sd = (struct sessiond){ .settings = settings, .clock = clock_now };
	link_init(&sd->link, settings->dialect);
	guest_table_init(&sd->guests);
	return store_open(&sd->store, settings->database);
}

void
sessiond_deinit(struct sessiond *sd)
{
	recovery_stop(sd);
	session_deinit(sd);
	guest_deinit(sd);
	offline_deinit(sd);
	link_deinit(&sd->link);
	arena_deinit(&sd->arena);
	store_close(&sd->store);
}

int
sessiond_input(struct sessiond *sd, const void *bytes, size_t length)
{
	return link_input(sd, bytes, length);
}

/* They are only read: what fails there is said, and is no fault of the next turn. */
static void
pages_hand_over(struct sessiond *sd)
{
	offline_drained(sd);
	sd->store.failed = false;
}

int
sessiond_turn(struct sessiond *sd)
{
	bool drained = sd->link.ledger.fresh;

	/* A commit that failed was dealt with: the answers say so. */
	if (!sd->link.broken && link_turn_commit(sd) < 0) {
		sd->link.broken = sd->link.turn.failed;
		drained = true;
	}
	if (drained && !sd->link.broken)
		pages_hand_over(sd);
	sd->link.ledger.fresh = false;
	recovery_output(sd);
	link_turn_release(&sd->link);
	offline_released(sd);
	if (!sd->link.broken)
		recovery_commit(sd);
	sd->hashes = 0;
	return sd->link.broken ? -ENOMEM : 0;
}

bool
sessiond_is_busy(const struct sessiond *sd)
{
	return sd->link.waiting && !sd->link.broken;
}

int
sessiond_drained(struct sessiond *sd)
{
	/* Written is not arrived: where that is told, pages wait for it. */
	if (!ledger_is_used(&sd->link.ledger))
		offline_drained(sd);
	return sessiond_turn(sd);
}

struct buffer *
sessiond_output(struct sessiond *sd)
{
	return &sd->link.out;
}

void
sessiond_lost(struct sessiond *sd)
{
	link_lost(&sd->link);
}

bool
sessiond_outlives_link(const struct sessiond *sd)
{
	return sd->settings->acknowledge && sd->link.ledger.ack.id[0] != '\0' && !sd->link.broken;
}

bool
sessiond_is_over(const struct sessiond *sd)
{
	return sd->link.state == LINK_CLOSED;
}
