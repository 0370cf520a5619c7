#include "sessiond/roster.h"

#include <stdio.h>
#include <string.h>

#include "sessiond/iq.h"
#include "sessiond/jid.h"
#include "sessiond/packet.h"
#include "sessiond/sessiond.h"
#include "sessiond/subscription.h"

/* Names of contacts and of groups, in bytes (RFC 6121 2.3.3 lets the server choose). */
#define NAME_MAX_BYTES 1023
#define GROUPS_MAX 32

static void
item_from_row(struct sessiond *sd, sqlite3_stmt *row, struct roster_item *item_r)
{
	struct arena *arena = &sd->arena;

	item_r->contact = arena_copy_string(arena, store_text(row, 0));
	item_r->name = arena_copy_string(arena, store_text(row, 1));
	item_r->state = (unsigned)sqlite3_column_int(row, 2);
	item_r->listed = sqlite3_column_int(row, 3) != 0;
	item_r->groups = arena_copy_string(arena, store_text(row, 4));
	item_r->request = arena_copy_string(arena, store_text(row, 5));
	/* Without memory: the link is broken, but until it ends nothing may stumble. */
	if (item_r->contact == NULL)
		item_r->contact = "";
}

struct roster_item *
roster_list(struct sessiond *sd, const char *account)
{
	sqlite3_stmt *row = store_query(&sd->store, STORE_ROSTER_LIST, "t", account);
	struct roster_item *first = NULL;
	struct roster_item **place = &first;

	while (store_row(&sd->store, row)) {
		struct roster_item *item = arena_take(&sd->arena, sizeof *item);

		if (item == NULL)
			continue;
		item_from_row(sd, row, item);
		*place = item;
		place = &item->next;
	}
	return first;
}

void
roster_read(struct sessiond *sd, const char *account, const char *contact, struct roster_item *item_r)
{
	sqlite3_stmt *row = store_query(&sd->store, STORE_ROSTER_READ, "tt", account, contact);

	*item_r = (struct roster_item){ .contact = contact };
	if (!store_row(&sd->store, row))
		return;
	item_from_row(sd, row, item_r);
	store_rest(row);
}

void
roster_write(struct sessiond *sd, const char *account, const struct roster_item *item)
{
	if (!item->listed && (item->state & SUBSCRIPTION_REQUESTED) == 0) {
		store_execute(&sd->store, STORE_ROSTER_DELETE, "tt", account, item->contact);
		return;
	}
	store_execute(&sd->store, STORE_ROSTER_WRITE, "tttiitt", account, item->contact, item->name,
	    (long long)item->state, (long long)item->listed, item->groups, item->request);
}

bool
roster_is_full(struct sessiond *sd, const char *account)
{
	return store_number(&sd->store, STORE_ROSTER_COUNT, "t", account) >= ROSTER_CONTACTS_MAX;
}

static void
groups_add(struct node *node, const char *groups)
{
	struct arena *arena = node == NULL ? NULL : node->arena;

	while (arena != NULL && groups != NULL && *groups != '\0') {
		size_t length = strcspn(groups, ROSTER_GROUP_SEPARATOR);

		node_add_field(node, "group", arena_copy(arena, groups, length));
		groups += length;
		groups += strspn(groups, ROSTER_GROUP_SEPARATOR);
	}
}

static void
item_add(struct node *query, const struct roster_item *item)
{
	static const char *const subscriptions[] = { "none", "to", "from", "both" };
	struct node *node = node_add(query, "item", NS_ROSTER);

	node_set(node, "jid", item->contact);
	if (!item->listed) {
		node_set(node, "subscription", "remove");
		return;
	}
	node_set(node, "name", item->name);
	node_set(node, "subscription", subscriptions[item->state & (SUBSCRIPTION_TO | SUBSCRIPTION_FROM)]);
	if (item->state & SUBSCRIPTION_ASKED)
		node_set(node, "ask", "subscribe");
	groups_add(node, item->groups);
}

void
roster_push(struct sessiond *sd, const char *account, const struct roster_item *item)
{
	const struct user *user = session_find_user(sd, account);
	const struct session *session;
	struct node *iq;
	char id[32];

	if (user == NULL)
		return;
	iq = node_new(&sd->arena, "iq", NULL);
	node_set(iq, "type", "set");
	item_add(node_add(iq, "query", NS_ROSTER), item);
	LIST_FOREACH(session, &user->sessions, entry) {
		if (!session->interested)
			continue;
		snprintf(id, sizeof id, "push-%llu", ++sd->push_serial);
		node_set(iq, "id", id);
		node_set(iq, "to", session->address);
		link_send(sd, iq, session->id, account);
	}
}

static enum stanza_error
roster_get(struct sessiond *sd, struct packet *packet)
{
	struct node *answer = stanza_result(packet->stanza);
	struct node *query = node_add(answer, "query", NS_ROSTER);
	const struct roster_item *item = roster_list(sd, packet->session->user->jid);

	if (sd->store.failed)
		return STANZA_INTERNAL_SERVER_ERROR;
	for (; item != NULL; item = item->next) {
		if (item->listed)
			item_add(query, item);
	}
	if (!packet->session->interested) {
		packet->session->interested = true;
		recovery_session_interested(sd, packet->session);
	}
	packet_answer(sd, packet, answer);
	return 0;
}

static bool
groups_have(const char *groups, const char *name)
{
	size_t length = strlen(name);

	while (*groups != '\0') {
		size_t here = strcspn(groups, ROSTER_GROUP_SEPARATOR);

		if (here == length && memcmp(groups, name, length) == 0)
			return true;
		groups += here;
		groups += strspn(groups, ROSTER_GROUP_SEPARATOR);
	}
	return false;
}

/* RFC 6121 2.3.3. */
static enum stanza_error
groups_read(struct sessiond *sd, const struct node *node, struct roster_item *item)
{
	const struct node *child;
	struct buffer all = { 0 };
	enum stanza_error error = 0;
	unsigned count = 0;

	buffer_append(&all, "", 1);
	for (child = node_child(node); child != NULL && error == 0 && !all.failed; child = node_next(child)) {
		const char *name = node_text(child);

		if (!node_is(child, "group", NS_ROSTER) || name == NULL)
			continue;
		if (*name == '\0' || strlen(name) > NAME_MAX_BYTES || ++count > GROUPS_MAX)
			error = STANZA_NOT_ACCEPTABLE;
		else if (groups_have((const char *)buffer_bytes(&all), name))
			error = STANZA_BAD_REQUEST;
		all.end--;
		if (count > 1)
			buffer_append_string(&all, ROSTER_GROUP_SEPARATOR);
		buffer_append_string(&all, name);
		buffer_append(&all, "", 1);
	}
	sd->link.broken = sd->link.broken || all.failed;
	item->groups = error == 0 && count > 0 && !all.failed ?
	    arena_copy_string(&sd->arena, (const char *)buffer_bytes(&all)) : NULL;
	buffer_deinit(&all);
	return error;
}

static enum stanza_error
roster_remove(struct sessiond *sd, struct packet *packet, struct roster_item *item)
{
	const char *account = packet->session->user->jid;

	if (!item->listed)
		return STANZA_ITEM_NOT_FOUND;
	subscription_end(sd, account, item);
	item->state = 0;
	item->listed = false;
	roster_write(sd, account, item);
	packet_answer(sd, packet, stanza_result(packet->stanza));
	roster_push(sd, account, item);
	return 0;
}

static enum stanza_error
roster_set(struct sessiond *sd, struct packet *packet, const struct node *node)
{
	const char *account = packet->session->user->jid;
	const char *name = node_get(node, "name");
	struct roster_item item;
	enum stanza_error error;
	struct jid jid;
	char contact[JID_SIZE];

	if (node_get(node, "jid") == NULL)
		return STANZA_BAD_REQUEST;
	if (!jid_parse(&jid, node_get(node, "jid")))
		return STANZA_JID_MALFORMED;
	jid_write_bare(&jid, contact);
	roster_read(sd, account, contact, &item);
	if (node_has(node, "subscription", "remove"))
		return roster_remove(sd, packet, &item);
	if (strcmp(contact, account) == 0)
		return STANZA_NOT_ALLOWED;
	if (name != NULL && strlen(name) > NAME_MAX_BYTES)
		return STANZA_NOT_ACCEPTABLE;
	error = groups_read(sd, node, &item);
	if (error != 0)
		return error;
	if (!item.listed && roster_is_full(sd, account))
		return STANZA_RESOURCE_CONSTRAINT;
	item.name = name;
	item.listed = true;
	roster_write(sd, account, &item);
	packet_answer(sd, packet, stanza_result(packet->stanza));
	roster_push(sd, account, &item);
	return 0;
}

enum stanza_error
roster_handle(struct sessiond *sd, struct packet *packet, struct node *query)
{
	const struct node *item;

	if (node_has(packet->stanza, "type", "get"))
		return roster_get(sd, packet);
	item = node_find(query, "item", NS_ROSTER);
	/* RFC 6121 2.3.3: exactly one. */
	if (item == NULL || node_child(query) != item || node_next(item) != NULL)
		return STANZA_BAD_REQUEST;
	return roster_set(sd, packet, item);
}
