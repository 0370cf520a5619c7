#include "sessiond/recovery.h"

#include <bsd/stdlib.h>
#include <bsd/string.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "common/log.h"
#include "common/loop.h"
#include "common/siphash.h"
#include "sessiond/exchange.h"
#include "sessiond/recovery_record.h"
#include "sessiond/sessiond.h"

/* Turns, after there was no place: a try costs a copy of everything. */
#define PAUSE_TURNS 4096

/* ---- what is written ---- */

void
recovery_session_opened(struct sessiond *sd, const struct session *session)
{
	struct journal *journal = &sd->recovery.journal;

	if (!sd->recovery.on)
		return;
	journal_put(journal, RECORD_SESSION);
	journal_put_text(journal, session->id);
	journal_put_text(journal, session->user->jid);
	journal_put_text(journal, session->address + strlen(session->user->jid) + 1);
	journal_put_end(journal);
}

static void
put_session(struct sessiond *sd, uint32_t type, const struct session *session)
{
	struct journal *journal = &sd->recovery.journal;

	if (!sd->recovery.on)
		return;
	journal_put(journal, type);
	journal_put_text(journal, session->id);
	journal_put_end(journal);
}

void
recovery_session_ended(struct sessiond *sd, const struct session *session)
{
	put_session(sd, RECORD_SESSION_END, session);
}

void
recovery_session_interested(struct sessiond *sd, const struct session *session)
{
	put_session(sd, RECORD_INTERESTED, session);
}

void
recovery_presence_changed(struct sessiond *sd, const struct session *session)
{
	struct journal *journal = &sd->recovery.journal;

	if (!sd->recovery.on)
		return;
	journal_put(journal, RECORD_PRESENCE);
	journal_put_text(journal, session->id);
	journal_put_number(journal, (uint64_t)(session->priority - INT8_MIN));
	journal_put_text(journal, session->presence);
	journal_put_end(journal);
}

void
recovery_presence_ended(struct sessiond *sd, const struct session *session)
{
	put_session(sd, RECORD_PRESENCE_END, session);
}

void
recovery_directed(struct sessiond *sd, const struct session *session, const char *jid, bool available)
{
	struct journal *journal = &sd->recovery.journal;

	if (!sd->recovery.on)
		return;
	journal_put(journal, available ? RECORD_DIRECTED : RECORD_DIRECTED_END);
	journal_put_text(journal, session->id);
	journal_put_text(journal, jid);
	journal_put_end(journal);
}

void
recovery_guest_changed(struct sessiond *sd, const struct guest *guest)
{
	struct journal *journal = &sd->recovery.journal;
	struct exchange_trace trace = { "", "", "" };

	if (!sd->recovery.on)
		return;
	journal_put(journal, RECORD_GUEST);
	journal_put_text(journal, guest->id);
	journal_put_text(journal, guest->host);
	journal_put_text(journal, guest->account == NULL ? "" : guest->account);
	/* A login that went with another process is one that cannot be gone on with. */
	journal_put_number(journal, guest->interrupted ? GUEST_EXCHANGE : guest->state);
	journal_put_number(journal, guest->modern);
	journal_put_number(journal, guest->failures);
	journal_put_number(journal, guest->registrations);
	journal_put_number(journal, guest->connection.tls);
	for (unsigned i = 0; i < CONNECTION_BINDING_COUNT; i++)
		journal_put_bytes(journal, guest->connection.bindings[i].bytes, guest->connection.bindings[i].length);
	if (guest->exchange != NULL)
		exchange_trace(guest->exchange, &trace);
	journal_put_text(journal, trace.mechanism);
	journal_put_text(journal, trace.first);
	journal_put_text(journal, trace.nonce);
	journal_put_end(journal);
}

void
recovery_guest_ended(struct sessiond *sd, const struct guest *guest)
{
	struct journal *journal = &sd->recovery.journal;

	if (!sd->recovery.on)
		return;
	journal_put(journal, RECORD_GUEST_END);
	journal_put_text(journal, guest->id);
	journal_put_end(journal);
}

void
recovery_reader_changed(struct sessiond *sd, const struct offline_reader *reader)
{
	struct journal *journal = &sd->recovery.journal;

	if (!sd->recovery.on)
		return;
	journal_put(journal, RECORD_PAGE);
	journal_put_text(journal, reader->account);
	journal_put_text(journal, reader->id);
	journal_put_number(journal, (uint64_t)reader->last);
	journal_put_number(journal, reader->waiting);
	journal_put_number(journal, reader->returned);
	journal_put_number(journal, reader->stream);
	journal_put_number(journal, reader->sent);
	journal_put_end(journal);
}

void
recovery_reader_ended(struct sessiond *sd, const struct offline_reader *reader)
{
	struct journal *journal = &sd->recovery.journal;

	if (!sd->recovery.on)
		return;
	journal_put(journal, RECORD_PAGE_END);
	journal_put_text(journal, reader->account);
	journal_put_end(journal);
}

static bool
counts_are(const struct recovery_counts *a, const struct recovery_counts *b)
{
	return a->dropped == b->dropped && a->acknowledged == b->acknowledged && a->received == b->received &&
	    a->streams == b->streams && a->push_serial == b->push_serial && strcmp(a->id, b->id) == 0;
}

static void
put_counts(struct sessiond *sd, uint32_t received)
{
	const struct ledger *ledger = &sd->link.ledger;
	struct journal *journal = &sd->recovery.journal;
	struct recovery_counts counts;

	counts.dropped = ledger->dropped;
	counts.acknowledged = ledger->ack.acknowledged;
	counts.received = received;
	counts.streams = ledger->streams;
	counts.push_serial = sd->push_serial;
	strlcpy(counts.id, ledger->ack.id, sizeof counts.id);
	if (journal->length > 0 && counts_are(&counts, &sd->recovery.counts))
		return;
	sd->recovery.counts = counts;
	journal_put(journal, RECORD_COUNTS);
	journal_put_number(journal, counts.dropped);
	journal_put_number(journal, counts.acknowledged);
	journal_put_number(journal, counts.received);
	journal_put_number(journal, counts.streams);
	journal_put_number(journal, counts.push_serial);
	journal_put_text(journal, counts.id);
	journal_put_end(journal);
}

static void
put_output(struct sessiond *sd, const void *bytes, size_t length)
{
	struct journal *journal = &sd->recovery.journal;

	journal_put(journal, RECORD_OUTPUT);
	journal_put_bytes(journal, bytes, length);
	journal_put_end(journal);
}

/* ---- all of it ---- */

static void
put_session_whole(struct sessiond *sd, const struct session *session)
{
	const struct directed *directed;

	recovery_session_opened(sd, session);
	if (session->presence != NULL)
		recovery_presence_changed(sd, session);
	if (session->interested)
		recovery_session_interested(sd, session);
	SLIST_FOREACH(directed, &session->directed, entry)
		recovery_directed(sd, session, directed->jid, true);
}

/* The counts come first: they say where the ledger begins. */
static void
put_everything(struct sessiond *sd)
{
	struct table_entry *entry = NULL;
	const struct ledger_entry *kept;
	const struct offline_reader *reader;
	const struct guest *guest;

	put_counts(sd, sd->link.ledger.ack.received);
	while ((entry = table_walk(&sd->sessions.by_address, entry)) != NULL)
		put_session_whole(sd, container_of(entry, struct session, by_address));
	TAILQ_FOREACH(guest, &sd->guests.guests, entry)
		recovery_guest_changed(sd, guest);
	SLIST_FOREACH(reader, &sd->offline.readers, entry)
		recovery_reader_changed(sd, reader);
	STAILQ_FOREACH(kept, &sd->link.ledger.kept, entry)
		put_output(sd, kept->bytes, kept->length);
}

/* False: there is no place, and the journal is as it was. */
static bool
begin_anew(struct sessiond *sd)
{
	struct recovery *recovery = &sd->recovery;
	struct journal before = recovery->journal;
	bool was_on = recovery->on;

	recovery->on = true;
	journal_begin(&recovery->journal, recovery->owner);
	put_everything(sd);
	if (!journal_commit(&recovery->journal)) {
		recovery->journal = before;
		recovery->on = was_on;
		return false;
	}
	recovery->committed = recovery->journal.length;
	return true;
}

static void
give_up(struct sessiond *sd)
{
	struct recovery *recovery = &sd->recovery;

	log_error("journal given-up bytes=%zu sessions=%zu elements=%zu", recovery->journal.length,
	    sd->sessions.by_id.count, sd->link.ledger.kept_bytes);
	journal_void(&recovery->journal);
	recovery->on = false;
	recovery->pause = PAUSE_TURNS;
}

/* ---- when it counts ---- */

/* What the turn has said until now. */
static void
output_now(struct sessiond *sd)
{
	struct recovery *recovery = &sd->recovery;
	const struct buffer *turn = &sd->link.turn;
	size_t end = buffer_length(turn);

	/* What is not counted is not kept. */
	if (end > recovery->recorded && sd->link.ledger.ack.on)
		put_output(sd, buffer_bytes(turn) + recovery->recorded, end - recovery->recorded);
	recovery->recorded = end;
}

void
recovery_prepare(struct sessiond *sd, bool under_way)
{
	struct recovery *recovery = &sd->recovery;
	const struct ack *ack = &sd->link.ledger.ack;

	if (!recovery->on || !sd->store.writing || sd->store.failed)
		return;
	recovery->before.length = recovery->journal.length;
	recovery->before.recorded = recovery->recorded;
	recovery->before.counts = recovery->counts;
	output_now(sd);
	put_counts(sd, under_way && ack->on ? ack->received - 1 : ack->received);
	journal_prepare(&recovery->journal, ++recovery->turn);
	recovery->prepared = true;
	store_execute(&sd->store, STORE_TURN_WRITE, "i", (long long)recovery->turn);
}

void
recovery_decided(struct sessiond *sd, bool done)
{
	struct recovery *recovery = &sd->recovery;

	if (!recovery->prepared)
		return;
	recovery->prepared = false;
	if (done) {
		if (journal_commit(&recovery->journal))
			recovery->committed = recovery->journal.length;
		return;
	}
	journal_undo(&recovery->journal, recovery->before.length);
	recovery->recorded = recovery->before.recorded;
	recovery->counts = recovery->before.counts;
}

void
recovery_output(struct sessiond *sd)
{
	if (sd->recovery.on)
		output_now(sd);
	sd->recovery.recorded = 0;
}

/* Nothing is there that could be resumed, or there was no place: once in a while that may have changed. */
static void
try_again(struct sessiond *sd)
{
	struct recovery *recovery = &sd->recovery;

	if (!sd->settings->acknowledge || (recovery->pause > 0 && --recovery->pause > 0))
		return;
	if (!begin_anew(sd))
		recovery->pause = PAUSE_TURNS;
	else
		log_info("journal begun sessions=%zu bytes=%zu", sd->sessions.by_id.count, recovery->journal.length);
}

void
recovery_commit(struct sessiond *sd)
{
	struct recovery *recovery = &sd->recovery;
	struct journal *journal = &recovery->journal;

	if (recovery->area == NULL)
		return;
	if (!recovery->on) {
		try_again(sd);
		return;
	}
	put_counts(sd, sd->link.ledger.ack.received);
	if (journal->length == recovery->committed && !journal->failed)
		return;
	if ((journal->failed || journal_is_stale(journal)) && begin_anew(sd))
		return;
	/* A new beginning would fail the next time as well. */
	if (journal_is_stale(journal))
		journal->live = journal->length;
	if (journal_commit(journal))
		recovery->committed = journal->length;
	else
		give_up(sd);
}

/* ---- a process comes and goes ---- */

/* Which database, and which link: of another one nothing can be used. */
static uint64_t
owner_of(const struct sessiond *sd)
{
	struct siphash_key key;
	const char *dialect = sd->settings->dialect->name;

	memcpy(&key, sd->store.secret, sizeof key);
	return siphash(&key, sd->settings->name, strlen(sd->settings->name)) ^ siphash(&key, dialect, strlen(dialect));
}

/* Neither half of it could be used: nobody is there. */
static void
forget_everything(struct sessiond *sd)
{
	session_deinit(sd);
	guest_deinit(sd);
	offline_deinit(sd);
	ledger_deinit(&sd->link.ledger);
	ledger_init(&sd->link.ledger);
	sd->push_serial = 0;
}

static uint32_t
kept_count(const struct ledger *ledger)
{
	const struct ledger_entry *entry;
	uint32_t count = 0;

	STAILQ_FOREACH(entry, &ledger->kept, entry)
		count++;
	return count;
}

/* 0, or a negative errno; -EPROTO: it makes no sense. */
static int
replay(struct sessiond *sd, struct settings *settings, struct journal_reader *reader)
{
	struct ledger *ledger = &sd->link.ledger;
	struct journal_record record;
	struct offline_reader *page;
	int error = 0;

	while (error == 0 && journal_next(reader, &record))
		error = recovery_record_replay(sd, settings, &record);
	if (error == 0 && reader->broken)
		error = -EPROTO;
	if (sd->link.broken || ledger->failed)
		error = -ENOMEM;
	/* All that is kept was sent in this stream. */
	if (ledger->ack.id[0] != '\0')
		ledger->ack.sent = ledger->ack.acknowledged + kept_count(ledger);
	SLIST_FOREACH(page, &sd->offline.readers, entry) {
		if (page->stream == 0) {
			page->stream = ledger->streams;
			page->sent = ledger->ack.sent;
		}
	}
	return error;
}

static int
take_over(struct sessiond *sd, struct settings *settings)
{
	struct recovery *recovery = &sd->recovery;
	struct journal_reader reader;
	enum journal_found found;
	size_t length;
	int error;

	found = journal_open(&recovery->journal, recovery->area, recovery->owner, store_turn(&sd->store), &reader);
	if (found != JOURNAL_GOOD) {
		if (found != JOURNAL_EMPTY)
			log_warning("journal refused reason=%s", journal_found_name(found));
		return 0;
	}
	length = reader.length;
	error = replay(sd, settings, &reader);
	if (error == -ENOMEM)
		return error;
	if (error < 0) {
		log_warning("journal refused reason=%s at=%zu", journal_found_name(JOURNAL_BROKEN), length - reader.length);
		forget_everything(sd);
	} else if (sd->link.ledger.ack.id[0] == '\0') {
		forget_everything(sd);
	} else {
		log_info("journal replayed sessions=%zu streams=%zu elements=%" PRIu32 " received=%" PRIu32 " bytes=%zu",
		    sd->sessions.by_id.count, sd->guests.by_id.count, ack_waiting(&sd->link.ledger.ack),
		    sd->link.ledger.ack.received, length);
	}
	return 0;
}

int
recovery_start(struct sessiond *sd, struct settings *settings, struct journal_area *area)
{
	struct recovery *recovery = &sd->recovery;
	int error;

	*recovery = (struct recovery){ .area = area, .owner = owner_of(sd) };
	arc4random_buf(&recovery->turn, sizeof recovery->turn);
	/* SQLite's numbers have a sign. */
	recovery->turn >>= 2;
	if (area->size < JOURNAL_SIZE_MIN) {
		recovery->area = NULL;
		return 0;
	}
	/* Nothing will be resumed. */
	if (!settings->acknowledge) {
		recovery->journal.area = area;
		journal_void(&recovery->journal);
		return 0;
	}
	error = take_over(sd, settings);
	if (error == 0 && !begin_anew(sd))
		give_up(sd);
	return error;
}

void
recovery_stop(struct sessiond *sd)
{
	sd->recovery.on = false;
	sd->recovery.area = NULL;
}
