#include "sessiond/guest.h"

#include <stdlib.h>
#include <string.h>

#include "common/loop.h"
#include "sessiond/exchange.h"
#include "sessiond/sessiond.h"

void
guest_table_init(struct guest_table *table)
{
	*table = (struct guest_table){ .max = GUESTS_MAX };
	TAILQ_INIT(&table->guests);
}

struct guest *
guest_find(const struct sessiond *sd, const char *id)
{
	struct table_entry *entry = table_first(&sd->guests.by_id, table_hash(id));

	for (; entry != NULL; entry = table_next(entry)) {
		struct guest *guest = container_of(entry, struct guest, by_id);

		if (strcmp(guest->id, id) == 0)
			return guest;
	}
	return NULL;
}

struct guest *
guest_first(const struct sessiond *sd)
{
	return TAILQ_FIRST(&sd->guests.guests);
}

bool
guest_table_is_full(const struct sessiond *sd)
{
	return sd->guests.by_id.count >= sd->guests.max;
}

static void
guest_free(struct guest *guest)
{
	exchange_free(guest->exchange);
	free(guest->id);
	free(guest->host);
	free(guest->account);
	explicit_bzero(guest, sizeof *guest);
	free(guest);
}

struct guest *
guest_open(struct sessiond *sd, const char *id, const char *host)
{
	struct guest *guest = calloc(1, sizeof *guest);

	if (guest == NULL) {
		sd->link.broken = true;
		return NULL;
	}
	guest->id = strdup(id);
	guest->host = strdup(host);
	if (guest->id == NULL || guest->host == NULL ||
	    !table_insert(&sd->guests.by_id, &guest->by_id, table_hash(id))) {
		guest_free(guest);
		sd->link.broken = true;
		return NULL;
	}
	TAILQ_INSERT_TAIL(&sd->guests.guests, guest, entry);
	return guest;
}

void
guest_end(struct sessiond *sd, struct guest *guest)
{
	recovery_guest_ended(sd, guest);
	table_remove(&sd->guests.by_id, &guest->by_id);
	TAILQ_REMOVE(&sd->guests.guests, guest, entry);
	guest_free(guest);
}

void
guest_deinit(struct sessiond *sd)
{
	struct guest *guest;

	while ((guest = guest_first(sd)) != NULL)
		guest_end(sd, guest);
	table_deinit(&sd->guests.by_id);
}
