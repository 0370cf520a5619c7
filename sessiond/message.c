#include "sessiond/message.h"

#include <string.h>

#include "sessiond/jid.h"
#include "sessiond/packet.h"
#include "sessiond/sessiond.h"

enum message_kind {
	MESSAGE_NORMAL,		/* and chat: nothing here tells them apart */
	MESSAGE_GROUPCHAT,
	MESSAGE_HEADLINE,
	MESSAGE_ERROR,
};

/* RFC 6121 5.2.2: what is not known is normal. */
static enum message_kind
message_kind(const struct node *stanza)
{
	if (node_has(stanza, "type", "groupchat"))
		return MESSAGE_GROUPCHAT;
	if (node_has(stanza, "type", "headline"))
		return MESSAGE_HEADLINE;
	return node_has(stanza, "type", "error") ? MESSAGE_ERROR : MESSAGE_NORMAL;
}

static void
message_deliver(struct sessiond *sd, const struct node *stanza, const struct session *session)
{
	link_send(sd, stanza, session->id, session->user->jid);
}

/* To all available resources from this priority upwards; how many there were. */
static unsigned
deliver_from_priority(struct sessiond *sd, const struct node *stanza, const struct user *user, int priority,
    const char *except_id)
{
	const struct session *session;
	unsigned count = 0;

	LIST_FOREACH(session, &user->sessions, entry) {
		if (!session_takes_messages(session) || session->priority < priority ||
		    (except_id != NULL && strcmp(session->id, except_id) == 0))
			continue;
		message_deliver(sd, stanza, session);
		count++;
	}
	return count;
}

static int
highest_priority(const struct user *user, const char *except_id)
{
	const struct session *session;
	int priority = 0;

	LIST_FOREACH(session, &user->sessions, entry) {
		if (session_takes_messages(session) && session->priority > priority &&
		    (except_id == NULL || strcmp(session->id, except_id) != 0))
			priority = session->priority;
	}
	return priority;
}

/* RFC 6121 8.5.2; of what 8.5.2.1.1 allows for chat: every resource that shares the highest priority. */
static enum stanza_error
route_bare(struct sessiond *sd, struct node *stanza, const char *jid, const char *except_id)
{
	const struct user *user = session_find_user(sd, jid);

	switch (message_kind(stanza)) {
	case MESSAGE_NORMAL:
		if (user != NULL &&
		    deliver_from_priority(sd, stanza, user, highest_priority(user, except_id), except_id) > 0)
			return 0;
		return offline_store(sd, stanza, jid);
	case MESSAGE_HEADLINE:
		if (user != NULL)
			deliver_from_priority(sd, stanza, user, 0, except_id);
		return 0;
	case MESSAGE_GROUPCHAT:
		return STANZA_SERVICE_UNAVAILABLE;
	case MESSAGE_ERROR:
		break;
	}
	return 0;
}

/* RFC 6121 8.5.3. */
static enum stanza_error
route_full(struct sessiond *sd, struct node *stanza, const struct jid *to)
{
	const struct session *session;
	char address[JID_SIZE];

	jid_write_full(to, address);
	session = session_find(sd, address);
	if (session != NULL) {
		message_deliver(sd, stanza, session);
		return 0;
	}
	if (message_kind(stanza) == MESSAGE_HEADLINE)
		return 0;
	jid_write_bare(to, address);
	return route_bare(sd, stanza, address, NULL);
}

/* Time stamps in the name of our hosts are ours alone: offline_store trusts what it finds. */
static void
forged_stamps_remove(struct sessiond *sd, struct node *stanza)
{
	struct node *next;

	for (struct node *child = node_child(stanza); child != NULL; child = next) {
		const char *from = node_get(child, "from");

		next = node_next(child);
		if (from != NULL && settings_has_host(sd->settings, from) &&
		    (node_is(child, "delay", NS_DELAY) || node_is(child, "x", NS_DELAY_OLD)))
			node_remove(stanza, child);
	}
}

enum stanza_error
message_handle(struct sessiond *sd, struct packet *packet)
{
	struct node *stanza = packet->stanza;
	const char *to = node_get(stanza, "to");
	struct jid jid;
	char bare[JID_SIZE];

	forged_stamps_remove(sd, stanza);
	offline_forged_remove(sd, stanza);
	if (to == NULL)
		return route_bare(sd, stanza, packet->session->user->jid, NULL);
	if (!jid_parse(&jid, to))
		return STANZA_JID_MALFORMED;
	if (!settings_has_host(sd->settings, jid.domain))
		return STANZA_REMOTE_SERVER_NOT_FOUND;
	if (jid.local[0] == '\0')
		return STANZA_SERVICE_UNAVAILABLE;
	if (jid.resource[0] != '\0')
		return route_full(sd, stanza, &jid);
	jid_write_bare(&jid, bare);
	return route_bare(sd, stanza, bare, NULL);
}

void
message_refuse_sender(struct sessiond *sd, struct node *stanza, enum stanza_error error)
{
	const char *from = node_get(stanza, "from");
	const struct session *session = from == NULL ? NULL : session_find(sd, from);

	if (session != NULL && stanza_wants_error(stanza))
		link_send(sd, stanza_error(stanza, error, NULL), session->id, session->user->jid);
}

void
message_return(struct sessiond *sd, struct packet *packet, const char *jid)
{
	struct node *stanza = packet->stanza;
	enum stanza_error error;

	/* A bare 510 carries nothing, and what nobody is said to have sent is nobody's. */
	if (node_child(stanza) == NULL || node_get(stanza, "from") == NULL)
		return;
	/* It stays in the store, whether or not those before it can be deleted. */
	packet->keep = offline_came_back(sd, stanza, jid, packet->sfrom);
	if (packet->keep)
		return;
	error = route_bare(sd, stanza, jid, packet->sfrom);
	if (error != 0)
		message_refuse_sender(sd, stanza, error);
}
