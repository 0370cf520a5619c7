#include "sessiond/presence.h"

#include <bsd/stdlib.h>
#include <stdlib.h>
#include <string.h>

#include "sessiond/jid.h"
#include "sessiond/packet.h"
#include "sessiond/roster.h"
#include "sessiond/sessiond.h"
#include "sessiond/subscription.h"

/* One presence is kept for each session and copied to each contact, so it may not be as long as a message. */
#define PRESENCE_BYTES_MAX (16 * 1024)

/* Addresses that a session sent directed presence to (chat rooms do not count in hundreds). */
#define DIRECTED_MAX 256

const char *
presence_text(struct sessiond *sd, const struct node *stanza, const char *from)
{
	struct node *copy = node_new(&sd->arena, "presence", NULL);
	struct buffer text = { 0 };
	const char *result = NULL;

	if (copy == NULL || stanza == NULL)
		return NULL;
	for (const struct node_attribute *old = stanza->attributes; old != NULL; old = old->next) {
		if (old->prefix != NULL) {
			struct node_attribute *attribute = arena_take(&sd->arena, sizeof *attribute);

			if (attribute == NULL)
				return NULL;
			*attribute = *old;
			attribute->next = copy->attributes;
			copy->attributes = attribute;
		} else if (strcmp(old->name, "to") != 0 && strcmp(old->name, "from") != 0) {
			node_set(copy, old->name, old->value);
		}
	}
	node_set(copy, "from", from);
	copy->first = stanza->first;
	copy->last = stanza->last;
	node_write(&text, copy, NULL, NULL);
	if (text.failed)
		sd->arena.failed = true;
	else
		result = arena_copy(&sd->arena, (const char *)buffer_bytes(&text), buffer_length(&text));
	buffer_deinit(&text);
	return result;
}

static const char *
unavailable_text(struct sessiond *sd, const char *from, const char *status)
{
	struct node *presence = node_new(&sd->arena, "presence", NULL);

	node_set(presence, "type", "unavailable");
	if (status != NULL)
		node_add_field(presence, "status", status);
	return presence_text(sd, presence, from);
}

/* To all available resources of an account, except one. */
static void
send_to_account(struct sessiond *sd, const char *account, const char *text, const struct session *except)
{
	const struct user *user = session_find_user(sd, account);
	const struct session *session;

	if (user == NULL || text == NULL)
		return;
	LIST_FOREACH(session, &user->sessions, entry) {
		if (session->presence != NULL && session != except)
			link_send_text(sd, text, session->id, account, account);
	}
}

void
presence_send_all(struct sessiond *sd, const char *account, const char *contact)
{
	const struct user *user = session_find_user(sd, account);
	const struct session *session;

	if (user == NULL)
		return;
	LIST_FOREACH(session, &user->sessions, entry) {
		if (session->presence != NULL)
			send_to_account(sd, contact, session->presence, NULL);
	}
}

void
presence_withdraw_all(struct sessiond *sd, const char *account, const char *contact)
{
	const struct user *user = session_find_user(sd, account);
	const struct session *session;

	if (user == NULL)
		return;
	LIST_FOREACH(session, &user->sessions, entry) {
		if (session->presence != NULL)
			send_to_account(sd, contact, unavailable_text(sd, session->address, NULL), NULL);
	}
}

static void
broadcast(struct sessiond *sd, const struct roster_item *roster, const char *text)
{
	for (; roster != NULL; roster = roster->next) {
		if (roster->state & SUBSCRIPTION_FROM)
			send_to_account(sd, roster->contact, text, NULL);
	}
}

/* What another account's resources said last, to one session; the caller knows that it may see it. */
static void
send_presences_of(struct sessiond *sd, const char *account, const struct session *to)
{
	const struct user *user = session_find_user(sd, account);
	const struct session *session;

	if (user == NULL)
		return;
	LIST_FOREACH(session, &user->sessions, entry) {
		if (session->presence != NULL && session != to)
			link_send_text(sd, session->presence, to->id, to->user->jid, to->user->jid);
	}
}

/* The contact's roster decides, not ours: RFC 6121 4.3.2. */
static bool
contact_allows(struct sessiond *sd, const char *contact, const char *account)
{
	struct roster_item item;

	roster_read(sd, contact, account, &item);
	return (item.state & SUBSCRIPTION_FROM) != 0;
}

/* RFC 6121 4.2 and 4.3: probes are answered at once, because every contact is here. */
static void
greet(struct sessiond *sd, const struct session *session, const struct roster_item *roster)
{
	const struct roster_item *item;
	const char *account = session->user->jid;

	send_presences_of(sd, account, session);
	for (item = roster; item != NULL; item = item->next) {
		if ((item->state & SUBSCRIPTION_TO) && session_find_user(sd, item->contact) != NULL &&
		    contact_allows(sd, item->contact, account))
			send_presences_of(sd, item->contact, session);
	}
	for (item = roster; item != NULL; item = item->next) {
		if ((item->state & SUBSCRIPTION_REQUESTED) && item->request != NULL)
			link_send_text(sd, item->request, session->id, account, account);
	}
}

static bool
priority_read(const struct node *stanza, int8_t *priority_r)
{
	const char *text = node_field(stanza, "priority");
	char number[8];
	const char *wrong;
	size_t length;

	*priority_r = 0;
	if (text == NULL)
		return true;
	text += strspn(text, " \t\r\n");
	length = strcspn(text, " \t\r\n");
	if (length == 0 || length >= sizeof number || text[length + strspn(text + length, " \t\r\n")] != '\0')
		return false;
	memcpy(number, text, length);
	number[length] = '\0';
	*priority_r = (int8_t)strtonum(number, INT8_MIN, INT8_MAX, &wrong);
	return wrong == NULL;
}

/* False: no memory. */
static bool
presence_set(struct session *session, const char *text, int8_t priority)
{
	char *copy = strdup(text);

	if (copy == NULL)
		return false;
	free(session->presence);
	session->presence = copy;
	session->priority = priority;
	return true;
}

static enum stanza_error
presence_available(struct sessiond *sd, struct packet *packet)
{
	struct session *session = packet->session;
	const char *text = presence_text(sd, packet->stanza, session->address);
	const struct roster_item *roster;
	bool first = session->presence == NULL;
	bool took = session_takes_messages(session);
	int8_t priority;

	if (text == NULL || !priority_read(packet->stanza, &priority))
		return STANZA_BAD_REQUEST;
	if (strlen(text) > PRESENCE_BYTES_MAX)
		return STANZA_NOT_ACCEPTABLE;
	if (!presence_set(session, text, priority)) {
		sd->link.broken = true;
		return 0;
	}
	recovery_presence_changed(sd, session);
	roster = roster_list(sd, session->user->jid);
	broadcast(sd, roster, text);
	send_to_account(sd, session->user->jid, text, NULL);
	if (first)
		greet(sd, session, roster);
	if (!took && session_takes_messages(session))
		offline_deliver(sd, session);
	return 0;
}

/* RFC 6121 4.6.4: whoever got directed presence and is not told anyway. */
static void
directed_end(struct sessiond *sd, struct session *session, const char *text, bool subscribers_know)
{
	struct directed *directed;
	const struct session *to;
	struct jid jid;
	char bare[JID_SIZE];

	while ((directed = SLIST_FIRST(&session->directed)) != NULL) {
		SLIST_REMOVE_HEAD(&session->directed, entry);
		if (jid_parse(&jid, directed->jid) && text != NULL) {
			jid_write_bare(&jid, bare);
			to = session_find(sd, directed->jid);
			if (subscribers_know && contact_allows(sd, session->user->jid, bare))
				to = NULL;
			else if (jid.resource[0] == '\0')
				send_to_account(sd, bare, text, session);
			if (to != NULL && to != session)
				link_send_text(sd, text, to->id, to->user->jid, directed->jid);
		}
		free(directed);
	}
	session->directed_count = 0;
}

static void
presence_clear(struct session *session)
{
	free(session->presence);
	session->presence = NULL;
	session->priority = 0;
}

static void
presence_end(struct sessiond *sd, struct session *session, const char *text)
{
	bool was_available = session->presence != NULL;

	if (was_available)
		broadcast(sd, roster_list(sd, session->user->jid), text);
	directed_end(sd, session, text, was_available);
	presence_clear(session);
	recovery_presence_ended(sd, session);
}

static enum stanza_error
presence_unavailable(struct sessiond *sd, struct packet *packet)
{
	struct session *session = packet->session;
	const char *text = presence_text(sd, packet->stanza, session->address);

	if (text == NULL || strlen(text) > PRESENCE_BYTES_MAX)
		return STANZA_NOT_ACCEPTABLE;
	/* RFC 6121 4.5.2: its own resource hears of it too. */
	if (session->presence != NULL)
		send_to_account(sd, session->user->jid, text, NULL);
	presence_end(sd, session, text);
	return 0;
}

void
presence_session_ended(struct sessiond *sd, struct session *session, const char *status)
{
	const char *text;

	if (session->presence == NULL && SLIST_EMPTY(&session->directed))
		return;
	text = unavailable_text(sd, session->address, status);
	if (session->presence != NULL)
		send_to_account(sd, session->user->jid, text, session);
	presence_end(sd, session, text);
}

static struct directed *
directed_find(const struct session *session, const char *jid)
{
	struct directed *directed;

	SLIST_FOREACH(directed, &session->directed, entry) {
		if (strcmp(directed->jid, jid) == 0)
			return directed;
	}
	return NULL;
}

static void
directed_remove(struct session *session, struct directed *directed)
{
	SLIST_REMOVE(&session->directed, directed, directed, entry);
	session->directed_count--;
	free(directed);
}

/* False: no memory. */
static bool
directed_add(struct session *session, const char *jid)
{
	size_t length = strlen(jid) + 1;
	struct directed *directed = malloc(sizeof *directed + length);

	if (directed == NULL)
		return false;
	memcpy(directed->jid, jid, length);
	SLIST_INSERT_HEAD(&session->directed, directed, entry);
	session->directed_count++;
	return true;
}

/* False: there are too many. */
static bool
directed_remember(struct sessiond *sd, struct session *session, const char *jid, bool available)
{
	struct directed *directed = directed_find(session, jid);

	if (available == (directed != NULL))
		return true;
	if (available && session->directed_count == DIRECTED_MAX)
		return false;
	if (!available)
		directed_remove(session, directed);
	else if (!directed_add(session, jid))
		sd->link.broken = true;
	recovery_directed(sd, session, jid, available);
	return true;
}

bool
presence_restore(struct session *session, const char *text, int8_t priority)
{
	return presence_set(session, text, priority);
}

bool
presence_restore_directed(struct session *session, const char *jid, bool available)
{
	struct directed *directed = directed_find(session, jid);

	if (!available && directed != NULL)
		directed_remove(session, directed);
	return !available || directed != NULL || directed_add(session, jid);
}

void
presence_restore_absence(struct session *session)
{
	while (!SLIST_EMPTY(&session->directed))
		directed_remove(session, SLIST_FIRST(&session->directed));
	presence_clear(session);
}

static enum stanza_error
presence_directed(struct sessiond *sd, struct packet *packet, const struct jid *to, bool available)
{
	struct session *session = packet->session;
	const char *text = presence_text(sd, packet->stanza, session->address);
	const struct session *target;
	char address[JID_SIZE];

	if (text == NULL || strlen(text) > PRESENCE_BYTES_MAX)
		return STANZA_NOT_ACCEPTABLE;
	jid_write_full(to, address);
	if (!directed_remember(sd, session, address, available))
		return STANZA_RESOURCE_CONSTRAINT;
	target = session_find(sd, address);
	if (target != NULL)
		link_send_text(sd, text, target->id, target->user->jid, address);
	else if (to->resource[0] == '\0')
		send_to_account(sd, address, text, NULL);
	return 0;
}

/* RFC 6121 4.3.2: whoever may not see is not told whether there is anything to see. */
static void
presence_probe(struct sessiond *sd, const struct packet *packet, const struct jid *to)
{
	const char *account = packet->session->user->jid;
	char contact[JID_SIZE];

	jid_write_bare(to, contact);
	if (strcmp(contact, account) == 0 || contact_allows(sd, contact, account))
		send_presences_of(sd, contact, packet->session);
}

static enum stanza_error
presence_to(struct sessiond *sd, struct packet *packet, const char *type, const char *to)
{
	struct jid jid;

	if (!jid_parse(&jid, to))
		return STANZA_JID_MALFORMED;
	if (!settings_has_host(sd->settings, jid.domain))
		return STANZA_REMOTE_SERVER_NOT_FOUND;
	/* The server itself has no interest in anybody's presence. */
	if (jid.local[0] == '\0')
		return 0;
	if (type != NULL && strcmp(type, "probe") == 0) {
		presence_probe(sd, packet, &jid);
		return 0;
	}
	return presence_directed(sd, packet, &jid, type == NULL);
}

enum stanza_error
presence_handle(struct sessiond *sd, struct packet *packet)
{
	const char *type = node_get(packet->stanza, "type");
	const char *to = node_get(packet->stanza, "to");
	enum subscription what = subscription_of(type);

	if (what != SUBSCRIPTION_NOT)
		return subscription_handle(sd, packet, what);
	/* Presence that passes through changes nothing on disk, so a commit that fails does not make it untrue. */
	packet->keep = true;
	if (type != NULL && strcmp(type, "error") == 0)
		return 0;
	if (type != NULL && strcmp(type, "unavailable") != 0 && (strcmp(type, "probe") != 0 || to == NULL))
		return STANZA_BAD_REQUEST;
	if (to != NULL)
		return presence_to(sd, packet, type, to);
	return type == NULL ? presence_available(sd, packet) : presence_unavailable(sd, packet);
}
