#include "master/probe.h"

#include <bsd/stdlib.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/log.h"
#include "master/master.h"
#include "master/router.h"

#define TICK 10
#define PER_TICK (PROBES_PER_SECOND * TICK / 1000)

/* Slots that are looked at in one go: the loop must not wait for a long table. */
#define LOOKS_PER_TICK 4096

/* "c2sd-" and 16 digits. */
#define ID_SIZE 22

static void on_tick(struct timer *timer);

void
probe_init(struct probe *probe)
{
	arc4random_buf(&probe->key, sizeof probe->key);
}

static const char *
id_of(const struct probe *probe, const struct entry *entry, char *id)
{
	snprintf(id, ID_SIZE, "c2sd-%016" PRIx64, siphash(&probe->key, &entry->serial, sizeof entry->serial));
	return id;
}

static void
forget_places(struct probe *probe)
{
	free(probe->places);
	probe->places = NULL;
	probe->first = probe->count = 0;
}

void
probe_deinit(struct master *master)
{
	if (master->link.loop != NULL)
		timer_clear(&master->loop, &master->probe.timer);
	forget_places(&master->probe);
}

void
probe_forget(struct master *master, struct entry *entry)
{
	entry->doubtful = false;
	entry->forgotten = true;
	master->probe.gone++;
	spread_add(&master->spread, entry, END_FORGOTTEN);
}

/* ---- all of them ---- */

static void
for_each_entry(struct master *master, void (*fn)(struct master *master, struct entry *entry))
{
	for (struct entry *entry = NULL; (entry = directory_next(&master->directory, entry)) != NULL;)
		fn(master, entry);
}

/* Where sessions are not asked for they end with the link: at both ends, and nothing more is said of them. */
static void
doubt(struct master *master, struct entry *entry)
{
	if (entry->address == NULL)
		return;
	if (master->link.dialect->link_probe == NULL) {
		entry->forgotten = entry->ended_upstream = true;
	} else {
		entry->doubtful = true;
		entry->probed = false;
	}
}

static void
swallow_no_more(struct master *master, struct entry *entry)
{
	(void)master;
	/* Who was silent may answer as long as the client is not told. */
	entry->probed = entry->due;
}

static void
end_forgotten(struct master *master, struct entry *entry)
{
	if (entry->forgotten && !entry->closing && !entry->due)
		probe_forget(master, entry);
}

void
probe_lost(struct master *master)
{
	for_each_entry(master, doubt);
	directory_lose_managed(&master->directory);
}

/* ---- one after another ---- */

static struct probe_place *
place_at(const struct probe *probe, uint32_t index)
{
	return &probe->places[(probe->first + index) % PROBES_MAX];
}

/* The client of the first place, as long as it is in doubt; NULL: it has answered, or is gone. */
static struct entry *
first_entry(const struct master *master)
{
	const struct probe_place *place = place_at(&master->probe, 0);
	struct entry *entry = directory_at(&master->directory, place->worker, place->slot, place->serial);

	return entry != NULL && entry->doubtful && entry->probed ? entry : NULL;
}

static void
drop_first(struct probe *probe)
{
	probe->first = (probe->first + 1) % PROBES_MAX;
	probe->count--;
}

/* A session manager that answers whatever is asked has something else to do; one of 2000 does not know the session. */
static void
was_silent(struct master *master, struct entry *entry)
{
	entry->doubtful = false;
	if (master->link.dialect->silence_ends)
		probe_forget(master, entry);
}

/* Those that were answered, and those for whom the time is over. */
static void
expire(struct master *master)
{
	struct probe *probe = &master->probe;
	uint64_t now = loop_now(&master->loop);

	/* It has not got the question yet, or we do not hear the answer. */
	if (master->link.outbox.queued > 0 || master->link.unread)
		probe->deaf = now;
	while (probe->count > 0) {
		uint64_t at = place_at(probe, 0)->at;
		struct entry *entry = first_entry(master);

		if (entry != NULL && now - (at > probe->deaf ? at : probe->deaf) < master->link.timeout)
			break;
		drop_first(probe);
		if (entry != NULL)
			was_silent(master, entry);
	}
}

static void
ask(struct master *master, struct entry *entry)
{
	struct probe *probe = &master->probe;
	char id[DIRECTORY_ID_SIZE], own[ID_SIZE];
	struct buffer out = { 0 };

	master->link.dialect->link_probe(&out, directory_id(&master->directory, entry, id), master->link.name, entry->address,
	    id_of(probe, entry, own));
	/* Without memory it is as before there were probes: it ends at its next packet. */
	if (!out.failed && router_send(master, buffer_bytes(&out), buffer_length(&out))) {
		*place_at(probe, probe->count++) = (struct probe_place){
			.serial = entry->serial, .worker = entry->worker, .slot = entry->slot, .at = loop_now(&master->loop),
		};
		entry->probed = true;
		probe->asked++;
	} else {
		entry->doubtful = false;
	}
	buffer_deinit(&out);
}

/* The next that is there; NULL: all were looked at (or enough for now). */
static struct entry *
next_entry(struct master *master, unsigned *looks)
{
	struct probe *probe = &master->probe;

	while (probe->worker < master->directory.workers) {
		const struct slot_table *table = &master->directory.tables[probe->worker];

		while (probe->slot < table->size && *looks > 0) {
			struct entry *entry = table->entries[probe->slot++];

			(*looks)--;
			if (entry != NULL)
				return entry;
		}
		if (*looks == 0)
			return NULL;
		probe->worker++;
		probe->slot = 0;
	}
	probe->walking = false;
	return NULL;
}

static bool
may_ask(const struct master *master)
{
	return master->probe.walking && master->probe.count < PROBES_MAX && !master->link.choked;
}

/* Whose session was being started again, when the link was lost, is asked, too: the question for that may be lost. */
static bool
may_be_asked(const struct entry *entry)
{
	return entry->doubtful && !entry->probed && entry->confirmed && !entry->closing &&
	    (!entry->ended_upstream || entry->starts);
}

static void
walk(struct master *master)
{
	unsigned looks = LOOKS_PER_TICK, most = PER_TICK;
	struct entry *entry;

	while (most > 0 && may_ask(master) && (entry = next_entry(master, &looks)) != NULL) {
		if (!may_be_asked(entry))
			continue;
		/* A later login has its address: whatever is answered is about that. */
		if (entry->superseded) {
			probe_forget(master, entry);
			continue;
		}
		ask(master, entry);
		most--;
	}
}

static void
say_done(const struct probe *probe)
{
	log_info("link probed asked=%" PRIu32 " known=%" PRIu32 " again=%" PRIu32 " gone=%" PRIu32, probe->asked,
	    probe->known, probe->again, probe->gone);
}

static void
on_tick(struct timer *timer)
{
	struct probe *probe = container_of(timer, struct probe, timer);
	struct master *master = container_of(probe, struct master, probe);

	if (probe->done) {
		for_each_entry(master, swallow_no_more);
		return;
	}
	expire(master);
	walk(master);
	if (probe->walking || probe->count > 0) {
		timer_set(&master->loop, &probe->timer, TICK, on_tick);
		return;
	}
	if (probe->asked > 0)
		say_done(probe);
	probe->done = true;
	forget_places(probe);
	timer_set(&master->loop, &probe->timer, master->link.timeout, on_tick);
}

static void
start_walk(struct master *master)
{
	struct probe *probe = &master->probe;

	if (probe->places == NULL)
		probe->places = calloc(PROBES_MAX, sizeof *probe->places);
	/* As above: they end at their next packet. */
	if (probe->places == NULL)
		return;
	probe->worker = probe->slot = 0;
	probe->walking = true;
	probe->done = false;
	timer_set(&master->loop, &probe->timer, 0, on_tick);
}

void
probe_begin(struct master *master)
{
	struct probe *probe = &master->probe;

	probe->asked = probe->known = probe->again = probe->gone = 0;
	probe->deaf = 0;
	if (master->link.dialect->link_probe != NULL) {
		start_walk(master);
		return;
	}
	for_each_entry(master, end_forgotten);
	if (probe->gone > 0)
		log_warning("link sessions-over clients=%" PRIu32 " seconds=%" PRIu64, probe->gone, master->spread.time / 1000);
}

void
probe_stop(struct master *master)
{
	struct probe *probe = &master->probe;

	timer_clear(&master->loop, &probe->timer);
	/* Who has not answered is asked again when the link is back; it may have been resumed, and both be answered. */
	for (; probe->count > 0; drop_first(probe)) {
		struct entry *entry = first_entry(master);

		if (entry != NULL)
			entry->probed = false;
	}
	forget_places(probe);
	probe->walking = false;
}

void
probe_confirmed(struct master *master)
{
	if (master->link.state == LINK_UP)
		start_walk(master);
}

/* ---- answers ---- */

static void
is_known(struct probe *probe, struct entry *entry)
{
	probe->known += entry->doubtful;
	entry->doubtful = false;
}

/* Its worker half is told that it is not there, and does that. */
static void
starts_again(struct probe *probe, struct entry *entry)
{
	probe->again += entry->doubtful;
	entry->doubtful = false;
}

/* It was taken for gone already, because it took so long: as long as it is not told, it stays. */
static void
stays(struct master *master, struct entry *entry)
{
	if (!entry->due || entry->close_reason != END_FORGOTTEN)
		return;
	spread_drop(&master->spread, entry);
	entry->forgotten = false;
}

enum probe_outcome
probe_take(struct master *master, struct entry *entry, bool ends, const void *bytes, size_t length, struct buffer *out)
{
	char id[ID_SIZE];

	switch (master->link.dialect->link_probe_answer(out, bytes, length, id_of(&master->probe, entry, id))) {
	case PROBE_KNOWN:
		is_known(&master->probe, entry);
		stays(master, entry);
		return PROBE_TAKEN;
	case PROBE_AGAIN:
		/* Something of its own came back before, and its session is being started for that. */
		if (!entry->doubtful && entry->ended_upstream)
			return PROBE_TAKEN;
		starts_again(&master->probe, entry);
		return PROBE_INSTEAD;
	case PROBE_GONE:
		break;
	case PROBE_NONE:
		if (!ends || !entry->doubtful || entry->superseded)
			return PROBE_OTHER;
		/* Without the question, as session managers say it that know only that there is none. */
		if (entry->probed && master->link.dialect->silence_ends)
			break;
		if (!master->link.dialect->silence_ends)
			starts_again(&master->probe, entry);
		return PROBE_OTHER;
	}
	if (entry->doubtful) {
		entry->ended_upstream = true;
		probe_forget(master, entry);
	}
	return PROBE_TAKEN;
}
