#include "sessiond/offline.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sessiond/account.h"
#include "sessiond/jid.h"
#include "sessiond/packet.h"
#include "sessiond/sessiond.h"

#define NS_CHAT_STATES "http://jabber.org/protocol/chatstates"
#define NS_HINTS "urn:xmpp:hints"

/* Of one page, so that a full store does not become one burst on the link. */
#define PAGE_MESSAGES 100
#define PAGE_BYTES (256 * 1024)

/* XEP-0160 section 3: something to read, not only "is typing"; and XEP-0334 where the sender says so. */
static bool
message_is_worth_it(const struct node *stanza)
{
	bool worth = false;

	for (const struct node *child = node_child(stanza); child != NULL; child = node_next(child)) {
		if (node_is(child, "no-store", NS_HINTS))
			return false;
		if ((child->xmlns == NULL || strcmp(child->xmlns, NS_CHAT_STATES) != 0) &&
		    !node_is(child, "thread", NULL))
			worth = true;
	}
	return worth;
}

static void
message_stamp(struct sessiond *sd, struct node *stanza, const char *host)
{
	time_t now = sd->clock();
	struct tm utc;
	struct node *delay;
	char stamp[32];

	delay = node_find(stanza, "delay", NS_DELAY);
	if (delay != NULL && node_has(delay, "from", host))
		return;
	gmtime_r(&now, &utc);
	strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%SZ", &utc);
	delay = node_add(stanza, "delay", NS_DELAY);
	node_set(delay, "from", host);
	node_set(delay, "stamp", stamp);
	strftime(stamp, sizeof stamp, "%Y%m%dT%H:%M:%S", &utc);
	delay = node_add(stanza, "x", NS_DELAY_OLD);
	node_set(delay, "from", host);
	node_set(delay, "stamp", stamp);
	node_add_text(delay, "Offline Storage");
}

/*
 * Never one that was given before, as the database itself would give it behind a turn that was rolled back: by then it may
 * be the name of a message that a client has got.
 */
static long long
id_new(struct sessiond *sd)
{
	struct offline_queue *queue = &sd->offline;
	long long stored = queue->counts ? 0 : store_number(&sd->store, STORE_OFFLINE_LAST, "");

	queue->counts = queue->counts || !sd->store.failed;
	if (stored > queue->last)
		queue->last = stored;
	return ++queue->last;
}

enum stanza_error
offline_store(struct sessiond *sd, struct node *stanza, const char *account)
{
	struct buffer text = { 0 };

	if (!message_is_worth_it(stanza))
		return 0;
	if (!account_exists(sd, account))
		return sd->store.failed ? STANZA_INTERNAL_SERVER_ERROR : STANZA_SERVICE_UNAVAILABLE;
	if (store_number(&sd->store, STORE_OFFLINE_COUNT, "t", account) >= sd->settings->offline_max)
		return STANZA_RESOURCE_CONSTRAINT;
	message_stamp(sd, stanza, strchr(account, '@') + 1);
	node_write(&text, stanza, NULL, NULL);
	buffer_append(&text, "", 1);
	if (text.failed)
		sd->link.broken = true;
	else
		store_execute(&sd->store, STORE_OFFLINE_ADD, "itt", id_new(sd), account, (const char *)buffer_bytes(&text));
	buffer_deinit(&text);
	return 0;
}

/* ---- readers ---- */

static struct offline_reader *
reader_find(const struct sessiond *sd, const char *account)
{
	struct offline_reader *reader;

	SLIST_FOREACH(reader, &sd->offline.readers, entry) {
		if (strcmp(reader->account, account) == 0)
			return reader;
	}
	return NULL;
}

static struct offline_reader *
reader_new(struct sessiond *sd, const char *account, const char *id)
{
	size_t length = strlen(account) + 1;
	struct offline_reader *reader = malloc(sizeof *reader + length + strlen(id) + 1);

	if (reader == NULL)
		return NULL;
	*reader = (struct offline_reader){ .id = reader->account + length };
	memcpy(reader->account, account, length);
	memcpy(reader->account + length, id, strlen(id) + 1);
	SLIST_INSERT_HEAD(&sd->offline.readers, reader, entry);
	return reader;
}

static void
reader_free(struct sessiond *sd, struct offline_reader *reader)
{
	SLIST_REMOVE(&sd->offline.readers, reader, offline_reader, entry);
	free(reader);
}

/* ---- pages ---- */

/* One as it was stored, and who knows it by which name. */
static void
message_send(struct sessiond *sd, const struct session *session, long long id, const char *text)
{
	static const char end[] = "</message>";
	struct buffer *turn = &sd->link.turn;

	link_send_text(sd, text, session->id, session->user->jid, NULL);
	if (turn->failed)
		return;
	turn->end -= strlen(end);
	buffer_append_string(turn, "<stanza-id xmlns='" NS_STANZA_ID "' by='");
	buffer_append_escaped(turn, session->user->jid, strlen(session->user->jid));
	buffer_append_format(turn, "' id='%lld'/>%s", id, end);
}

/* How long what it asks for is, stands in it: who reads the answer may be another process. */
static void
ask_send(struct sessiond *sd, const struct session *session, long long last, uint64_t bytes)
{
	struct node *ask = node_new(&sd->arena, "settle", NS_SETTLE);
	char id[48];

	snprintf(id, sizeof id, "%lld.%" PRIu64, last, bytes);
	node_set(ask, "id", id);
	link_send(sd, ask, session->id, session->user->jid);
}

static void
page_hand_over(struct sessiond *sd, struct offline_reader *reader, const struct session *session)
{
	sqlite3_stmt *row = store_query(&sd->store, STORE_OFFLINE_LIST, "ti", reader->account, reader->last);
	long long last = 0;
	uint64_t bytes = 0;

	for (unsigned count = 0; store_row(&sd->store, row); count++) {
		if (count == PAGE_MESSAGES || bytes > PAGE_BYTES || reader->waiting + bytes >= sd->settings->offline_bytes) {
			store_rest(row);
			break;
		}
		last = sqlite3_column_int64(row, 0);
		bytes += (uint64_t)sqlite3_column_bytes(row, 1);
		message_send(sd, session, last, store_text(row, 1));
	}
	reader->exhausted = last == 0;
	if (last == 0)
		return;
	ask_send(sd, session, last, bytes);
	reader->last = last;
	reader->waiting += bytes;
	reader->stream = reader->sent = 0;
}

static bool
has_arrived(const struct sessiond *sd, const struct offline_reader *reader)
{
	const struct ledger *ledger = &sd->link.ledger;

	return !ledger_is_used(ledger) || ledger_is_through(ledger, reader->stream, reader->sent);
}

static const struct session *
most_available(const struct sessiond *sd, const char *account)
{
	const struct user *user = session_find_user(sd, account);
	const struct session *session;
	const struct session *best = NULL;

	if (user == NULL)
		return NULL;
	LIST_FOREACH(session, &user->sessions, entry) {
		if (session_takes_messages(session) && (best == NULL || session->priority > best->priority))
			best = session;
	}
	return best;
}

/* Nothing of it is under way any more. What somebody else did not get, or it itself cannot get now, is for another one. */
static void
reader_end(struct sessiond *sd, struct offline_reader *reader)
{
	const struct session *next = most_available(sd, reader->account);
	bool another = next != NULL && strcmp(next->id, reader->id) != 0;

	if (reader->last > 0)
		recovery_reader_ended(sd, reader);
	reader_free(sd, reader);
	if (another)
		offline_deliver(sd, next);
}

/* Another page, if it can take one. `reader` may be gone behind it. */
static void
reader_go_on(struct sessiond *sd, struct offline_reader *reader)
{
	const struct session *session = session_find_id(sd, reader->id);
	bool takes = session != NULL && session_takes_messages(session) && !reader->returned && !reader->exhausted;
	bool arrived = reader->last == 0 || has_arrived(sd, reader);

	/* Nothing can be read; but behind the turn (sessiond_turn). */
	if (sd->store.failed) {
		if (reader->last > 0)
			recovery_reader_changed(sd, reader);
		return;
	}
	if (takes && arrived && reader->waiting < sd->settings->offline_bytes)
		page_hand_over(sd, reader, session);
	/* The client may have taken what the link has not acknowledged yet. */
	if (reader->waiting == 0 && (arrived || !takes))
		reader_end(sd, reader);
	else
		recovery_reader_changed(sd, reader);
}

void
offline_deliver(struct sessiond *sd, const struct session *session)
{
	struct offline_reader *reader = reader_find(sd, session->user->jid);

	if (reader == NULL)
		reader = reader_new(sd, session->user->jid, session->id);
	if (reader == NULL) {
		sd->link.broken = true;
		return;
	}
	reader->exhausted = false;
	reader_go_on(sd, reader);
}

/* In a stream that was begun since, it was sent again, and has another number. */
void
offline_released(struct sessiond *sd)
{
	const struct ledger *ledger = &sd->link.ledger;
	struct offline_reader *reader;

	SLIST_FOREACH(reader, &sd->offline.readers, entry) {
		if (reader->stream == ledger->streams)
			continue;
		reader->stream = ledger->streams;
		reader->sent = ledger->ack.sent;
		recovery_reader_changed(sd, reader);
	}
}

void
offline_drained(struct sessiond *sd)
{
	struct offline_reader *reader, *next;

	SLIST_FOREACH_SAFE(reader, &sd->offline.readers, entry, next)
		reader_go_on(sd, reader);
}

/* ---- what became of them ---- */

static bool
ask_read(const struct node *ask, long long *last_r, uint64_t *bytes_r)
{
	const char *id = node_get(ask, "id");
	char *end;

	if (id == NULL)
		return false;
	errno = 0;
	*last_r = strtoll(id, &end, 10);
	if (errno != 0 || end == id || *end != '.')
		return false;
	*bytes_r = strtoull(end + 1, &end, 10);
	return errno == 0 && *end == '\0';
}

void
offline_settled(struct sessiond *sd, const struct packet *packet)
{
	struct offline_reader *reader = reader_find(sd, packet->sto);
	long long last;
	uint64_t bytes;

	if (reader == NULL || strcmp(reader->id, packet->sfrom) != 0 || !ask_read(packet->stanza, &last, &bytes) ||
	    last > reader->last)
		return;
	if (node_has(packet->stanza, "type", "result"))
		store_execute(&sd->store, STORE_OFFLINE_DELETE, "ti", reader->account, last);
	reader->waiting -= bytes < reader->waiting ? bytes : reader->waiting;
	reader_go_on(sd, reader);
}

static struct node *
stanza_id_find(const struct node *stanza, const char *by)
{
	for (struct node *child = node_child(stanza); child != NULL; child = node_next(child)) {
		if (node_is(child, "stanza-id", NS_STANZA_ID) && node_has(child, "by", by))
			return child;
	}
	return NULL;
}

bool
offline_came_back(struct sessiond *sd, struct node *stanza, const char *account, const char *id)
{
	struct offline_reader *reader = reader_find(sd, account);
	struct node *name = stanza_id_find(stanza, account);
	long long row;

	if (name == NULL)
		return false;
	row = node_get(name, "id") == NULL ? 0 : strtoll(node_get(name, "id"), NULL, 10);
	node_remove(stanza, name);
	if (store_number(&sd->store, STORE_OFFLINE_EXISTS, "it", row, account) == 0)
		return false;
	/* They come back in order: what is before the first of them, the client has. */
	if (reader != NULL && strcmp(reader->id, id) == 0 && !reader->returned && row <= reader->last) {
		reader->returned = true;
		store_execute(&sd->store, STORE_OFFLINE_DELETE, "ti", account, row - 1);
		recovery_reader_changed(sd, reader);
	}
	return true;
}

void
offline_forged_remove(struct sessiond *sd, struct node *stanza)
{
	struct node *next;

	for (struct node *child = node_child(stanza); child != NULL; child = next) {
		const char *by = node_get(child, "by");
		struct jid jid;

		next = node_next(child);
		if (by != NULL && node_is(child, "stanza-id", NS_STANZA_ID) &&
		    (!jid_parse(&jid, by) || settings_has_host(sd->settings, jid.domain)))
			node_remove(stanza, child);
	}
}

/* ---- of a process before ---- */

bool
offline_restore(struct sessiond *sd, const struct offline_reader *from, const char *account)
{
	struct offline_reader *reader = reader_find(sd, account);

	if (reader != NULL)
		reader_free(sd, reader);
	reader = reader_new(sd, account, from->id);
	if (reader == NULL)
		return false;
	reader->last = from->last;
	if (from->last > sd->offline.last)
		sd->offline.last = from->last;
	reader->waiting = from->waiting;
	reader->returned = from->returned;
	reader->stream = from->stream;
	reader->sent = from->sent;
	return true;
}

bool
offline_restore_end(struct sessiond *sd, const char *account)
{
	struct offline_reader *reader = reader_find(sd, account);

	if (reader == NULL)
		return false;
	reader_free(sd, reader);
	return true;
}

void
offline_deinit(struct sessiond *sd)
{
	struct offline_reader *reader;

	while ((reader = SLIST_FIRST(&sd->offline.readers)) != NULL)
		reader_free(sd, reader);
}
