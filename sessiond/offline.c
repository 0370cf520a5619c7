#include "sessiond/offline.h"

#include <stdlib.h>
#include <string.h>

#include "sessiond/account.h"
#include "sessiond/jid.h"
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
		store_execute(&sd->store, STORE_OFFLINE_ADD, "tt", account, (const char *)buffer_bytes(&text));
	buffer_deinit(&text);
	return 0;
}

static struct offline_page *
page_find(const struct sessiond *sd, const char *account)
{
	struct offline_page *page;

	SLIST_FOREACH(page, &sd->offline.pages, entry) {
		if (strcmp(page->account, account) == 0)
			return page;
	}
	return NULL;
}

/* The id of the last message handed over; 0: there was none. */
static long long
page_hand_over(struct sessiond *sd, const struct session *session)
{
	const char *account = session->user->jid;
	sqlite3_stmt *row = store_query(&sd->store, STORE_OFFLINE_LIST, "ti", account, 0LL);
	long long last = 0;
	size_t bytes = 0;

	for (unsigned count = 0; store_row(&sd->store, row); count++) {
		if (count == PAGE_MESSAGES || bytes > PAGE_BYTES) {
			store_rest(row);
			break;
		}
		last = sqlite3_column_int64(row, 0);
		bytes += (size_t)sqlite3_column_bytes(row, 1);
		link_send_text(sd, store_text(row, 1), session->id, account, NULL);
	}
	return last;
}

static struct offline_page *
page_new(const char *account)
{
	size_t length = strlen(account) + 1;
	struct offline_page *page = malloc(sizeof *page + length);

	if (page == NULL)
		return NULL;
	*page = (struct offline_page){ 0 };
	memcpy(page->account, account, length);
	return page;
}

void
offline_deliver(struct sessiond *sd, const struct session *session)
{
	struct offline_page *page;

	/* The rest follows when that page is through, to whoever is the most available then. */
	if (page_find(sd, session->user->jid) != NULL)
		return;
	page = page_new(session->user->jid);
	if (page == NULL) {
		sd->link.broken = true;
		return;
	}
	page->last = page_hand_over(sd, session);
	if (page->last == 0) {
		free(page);
		return;
	}
	SLIST_INSERT_HEAD(&sd->offline.pages, page, entry);
	recovery_page_changed(sd, page);
}

bool
offline_restore(struct sessiond *sd, const char *account, long long last, uint32_t stream, uint32_t sent)
{
	struct offline_page *page = page_find(sd, account);

	if (page == NULL) {
		page = page_new(account);
		if (page == NULL)
			return false;
		SLIST_INSERT_HEAD(&sd->offline.pages, page, entry);
	}
	page->last = last;
	page->stream = stream;
	page->sent = sent;
	return true;
}

bool
offline_restore_end(struct sessiond *sd, const char *account)
{
	struct offline_page *page = page_find(sd, account);

	if (page == NULL)
		return false;
	SLIST_REMOVE(&sd->offline.pages, page, offline_page, entry);
	free(page);
	return true;
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

/* In a stream that was begun since, it was sent again, and has another number. */
void
offline_released(struct sessiond *sd)
{
	const struct ledger *ledger = &sd->link.ledger;
	struct offline_page *page;

	SLIST_FOREACH(page, &sd->offline.pages, entry) {
		if (page->stream == ledger->streams)
			continue;
		page->stream = ledger->streams;
		page->sent = ledger->ack.sent;
		recovery_page_changed(sd, page);
	}
}

/* Take out those that have arrived. */
static struct offline_queue
pages_through(struct sessiond *sd)
{
	const struct ledger *ledger = &sd->link.ledger;
	struct offline_queue all = sd->offline, through = SLIST_HEAD_INITIALIZER(&through);
	struct offline_page *page;

	SLIST_INIT(&sd->offline.pages);
	while ((page = SLIST_FIRST(&all.pages)) != NULL) {
		bool arrived = !ledger_is_used(ledger) || ledger_is_through(ledger, page->stream, page->sent);

		SLIST_REMOVE_HEAD(&all.pages, entry);
		SLIST_INSERT_HEAD(arrived ? &through.pages : &sd->offline.pages, page, entry);
	}
	return through;
}

void
offline_drained(struct sessiond *sd)
{
	struct offline_queue done = pages_through(sd);
	const struct session *session;
	struct offline_page *page;
	bool deleted;

	if (SLIST_EMPTY(&done.pages))
		return;
	SLIST_FOREACH(page, &done.pages, entry)
		store_execute(&sd->store, STORE_OFFLINE_DELETE, "ti", page->account, page->last);
	/* When this fails the messages are still there, and come a second time at the next login. */
	deleted = link_turn_commit(sd) == 0;
	while ((page = SLIST_FIRST(&done.pages)) != NULL) {
		SLIST_REMOVE_HEAD(&done.pages, entry);
		session = most_available(sd, page->account);
		recovery_page_ended(sd, page);
		if (deleted && session != NULL)
			offline_deliver(sd, session);
		free(page);
	}
}

void
offline_deinit(struct sessiond *sd)
{
	struct offline_page *page;

	while ((page = SLIST_FIRST(&sd->offline.pages)) != NULL) {
		SLIST_REMOVE_HEAD(&sd->offline.pages, entry);
		free(page);
	}
}
