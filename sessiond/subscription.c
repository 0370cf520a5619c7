#include "sessiond/subscription.h"

#include <string.h>

#include "sessiond/account.h"
#include "sessiond/jid.h"
#include "sessiond/packet.h"
#include "sessiond/presence.h"
#include "sessiond/roster.h"
#include "sessiond/sessiond.h"

static const char *const types[] = { "subscribe", "subscribed", "unsubscribe", "unsubscribed" };

enum subscription
subscription_of(const char *type)
{
	unsigned what = 0;

	while (what < SUBSCRIPTION_NOT && (type == NULL || strcmp(type, types[what]) != 0))
		what++;
	return (enum subscription)what;
}

bool
subscription_outbound(enum subscription what, unsigned *state)
{
	unsigned before = *state;

	switch (what) {
	case SUBSCRIPTION_SUBSCRIBE:
		if ((before & SUBSCRIPTION_TO) == 0)
			*state |= SUBSCRIPTION_ASKED;
		return true;
	case SUBSCRIPTION_UNSUBSCRIBE:
		*state &= ~(SUBSCRIPTION_TO | SUBSCRIPTION_ASKED);
		return true;
	case SUBSCRIPTION_SUBSCRIBED:
		if ((before & SUBSCRIPTION_REQUESTED) == 0)
			return false;
		*state = (before & ~SUBSCRIPTION_REQUESTED) | SUBSCRIPTION_FROM;
		return true;
	case SUBSCRIPTION_UNSUBSCRIBED:
		*state &= ~(SUBSCRIPTION_FROM | SUBSCRIPTION_REQUESTED);
		return *state != before;
	case SUBSCRIPTION_NOT:
		break;
	}
	return false;
}

bool
subscription_inbound(enum subscription what, unsigned *state)
{
	unsigned before = *state;

	switch (what) {
	case SUBSCRIPTION_SUBSCRIBE:
		if ((before & SUBSCRIPTION_FROM) == 0)
			*state |= SUBSCRIPTION_REQUESTED;
		break;
	case SUBSCRIPTION_UNSUBSCRIBE:
		*state &= ~(SUBSCRIPTION_FROM | SUBSCRIPTION_REQUESTED);
		break;
	case SUBSCRIPTION_SUBSCRIBED:
		if (before & SUBSCRIPTION_ASKED)
			*state = (before & ~SUBSCRIPTION_ASKED) | SUBSCRIPTION_TO;
		break;
	case SUBSCRIPTION_UNSUBSCRIBED:
		*state &= ~(SUBSCRIPTION_TO | SUBSCRIPTION_ASKED);
		break;
	case SUBSCRIPTION_NOT:
		break;
	}
	return *state != before;
}

/*
 * A request goes to who can answer it, the rest to who shows a roster (RFC 6121 3.1.3, 3.1.6), and also to who is
 * available without one: clients that ask for no roster want to know all the same.
 */
static void
subscription_deliver(struct sessiond *sd, const char *account, enum subscription what, const char *text)
{
	const struct user *user = session_find_user(sd, account);
	const struct session *session;

	if (user == NULL)
		return;
	LIST_FOREACH(session, &user->sessions, entry) {
		if (session->presence != NULL || (session->interested && what != SUBSCRIPTION_SUBSCRIBE))
			link_send_text(sd, text, session->id, account, account);
	}
}

static void
item_save(struct sessiond *sd, const char *account, struct roster_item *item, unsigned before, bool was_listed)
{
	if ((item->state & SUBSCRIPTION_REQUESTED) == 0)
		item->request = NULL;
	if (item->state == before && item->listed == was_listed)
		return;
	roster_write(sd, account, item);
	/* RFC 6121 appendix A: what only waits for an answer is not shown. */
	if (item->listed && (((item->state ^ before) & ~SUBSCRIPTION_REQUESTED) != 0 || !was_listed))
		roster_push(sd, account, item);
}

static void subscription_send(struct sessiond *sd, const char *from, const char *to, enum subscription what);

static void
subscription_receive(struct sessiond *sd, const char *account, const char *from, enum subscription what,
    const char *text)
{
	struct roster_item item;
	unsigned before;
	bool was_listed;
	bool deliver;

	if (!account_exists(sd, account) || text == NULL)
		return;
	roster_read(sd, account, from, &item);
	before = item.state;
	was_listed = item.listed;
	deliver = subscription_inbound(what, &item.state);
	if (deliver && what == SUBSCRIPTION_SUBSCRIBE)
		item.request = text;
	/* A stranger's request takes a place in the roster too. */
	if (deliver && !item.listed && before == 0 && roster_is_full(sd, account))
		return;
	item_save(sd, account, &item, before, was_listed);
	if (deliver)
		subscription_deliver(sd, account, what, text);
	if (what == SUBSCRIPTION_SUBSCRIBE && (before & SUBSCRIPTION_FROM)) {
		subscription_send(sd, account, from, SUBSCRIPTION_SUBSCRIBED);
		presence_send_all(sd, account, from);
	}
	if (what == SUBSCRIPTION_UNSUBSCRIBE && (before & SUBSCRIPTION_FROM))
		presence_withdraw_all(sd, account, from);
}

/* One of ours, in the name of an account. */
static void
subscription_send(struct sessiond *sd, const char *from, const char *to, enum subscription what)
{
	struct node *presence = node_new(&sd->arena, "presence", NULL);

	node_set(presence, "type", types[what]);
	subscription_receive(sd, to, from, what, presence_text(sd, presence, from));
}

static void
subscription_go(struct sessiond *sd, const char *account, const char *contact, enum subscription what,
    const char *text, struct roster_item *item)
{
	unsigned before = item->state;
	bool was_listed = item->listed;
	bool route = subscription_outbound(what, &item->state);

	/* Asking for, and agreeing to, a subscription put the contact into the roster (RFC 6121 3.1.2, 3.1.5). */
	if (route && (what == SUBSCRIPTION_SUBSCRIBE || what == SUBSCRIPTION_SUBSCRIBED))
		item->listed = true;
	item_save(sd, account, item, before, was_listed);
	if (!route)
		return;
	subscription_receive(sd, contact, account, what, text);
	if (what == SUBSCRIPTION_SUBSCRIBED)
		presence_send_all(sd, account, contact);
	else if (what == SUBSCRIPTION_UNSUBSCRIBED && (before & SUBSCRIPTION_FROM))
		presence_withdraw_all(sd, account, contact);
}

enum stanza_error
subscription_handle(struct sessiond *sd, struct packet *packet, enum subscription what)
{
	const char *account = packet->session->user->jid;
	const char *to = node_get(packet->stanza, "to");
	struct roster_item item;
	struct jid jid;
	char contact[JID_SIZE];

	if (to == NULL)
		return STANZA_BAD_REQUEST;
	if (!jid_parse(&jid, to))
		return STANZA_JID_MALFORMED;
	if (!settings_has_host(sd->settings, jid.domain))
		return STANZA_REMOTE_SERVER_NOT_FOUND;
	if (jid.local[0] == '\0')
		return STANZA_SERVICE_UNAVAILABLE;
	jid_write_bare(&jid, contact);
	if (strcmp(contact, account) == 0)
		return 0;
	roster_read(sd, account, contact, &item);
	if (what == SUBSCRIPTION_SUBSCRIBE && !item.listed && roster_is_full(sd, account))
		return STANZA_RESOURCE_CONSTRAINT;
	subscription_go(sd, account, contact, what, presence_text(sd, packet->stanza, account), &item);
	return 0;
}

void
subscription_end(struct sessiond *sd, const char *account, const struct roster_item *item)
{
	if (item->state & (SUBSCRIPTION_TO | SUBSCRIPTION_ASKED))
		subscription_send(sd, account, item->contact, SUBSCRIPTION_UNSUBSCRIBE);
	if (item->state & (SUBSCRIPTION_FROM | SUBSCRIPTION_REQUESTED))
		subscription_send(sd, account, item->contact, SUBSCRIPTION_UNSUBSCRIBED);
	if (item->state & SUBSCRIPTION_FROM)
		presence_withdraw_all(sd, account, item->contact);
}
