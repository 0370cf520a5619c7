#include "sessiond/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/loop.h"
#include "sessiond/jid.h"
#include "sessiond/presence.h"
#include "sessiond/sessiond.h"

/* What is shown of an address and of a reason in the log. */
#define ADDRESS_LOGGED 400

struct session *
session_find(const struct sessiond *sd, const char *address)
{
	struct table_entry *entry = table_first(&sd->sessions.by_address, table_hash(address));

	for (; entry != NULL; entry = table_next(entry)) {
		struct session *session = container_of(entry, struct session, by_address);

		if (strcmp(session->address, address) == 0)
			return session;
	}
	return NULL;
}

struct session *
session_find_id(const struct sessiond *sd, const char *id)
{
	struct table_entry *entry = table_first(&sd->sessions.by_id, table_hash(id));

	for (; entry != NULL; entry = table_next(entry)) {
		struct session *session = container_of(entry, struct session, by_id);

		if (strcmp(session->id, id) == 0)
			return session;
	}
	return NULL;
}

struct user *
session_find_user(const struct sessiond *sd, const char *jid)
{
	struct table_entry *entry = table_first(&sd->sessions.users, table_hash(jid));

	for (; entry != NULL; entry = table_next(entry)) {
		struct user *user = container_of(entry, struct user, by_jid);

		if (strcmp(user->jid, jid) == 0)
			return user;
	}
	return NULL;
}

static struct user *
user_open(struct sessiond *sd, const char *jid)
{
	struct user *user = session_find_user(sd, jid);

	if (user != NULL)
		return user;
	user = malloc(sizeof *user + strlen(jid) + 1);
	if (user == NULL)
		return NULL;
	strcpy(user->jid, jid);
	LIST_INIT(&user->sessions);
	if (!table_insert(&sd->sessions.users, &user->by_jid, table_hash(jid))) {
		free(user);
		return NULL;
	}
	return user;
}

static void
user_close(struct sessiond *sd, struct user *user)
{
	if (user == NULL || !LIST_EMPTY(&user->sessions))
		return;
	table_remove(&sd->sessions.users, &user->by_jid);
	free(user);
}

void
session_forget(struct sessiond *sd, struct session *session)
{
	struct user *user = session->user;
	struct directed *directed;

	table_remove(&sd->sessions.by_address, &session->by_address);
	table_remove(&sd->sessions.by_id, &session->by_id);
	LIST_REMOVE(session, entry);
	while ((directed = SLIST_FIRST(&session->directed)) != NULL) {
		SLIST_REMOVE_HEAD(&session->directed, entry);
		free(directed);
	}
	free(session->address);
	free(session->id);
	free(session->presence);
	free(session);
	user_close(sd, user);
}

static bool
session_link(struct sessiond *sd, struct session *session)
{
	if (session->address == NULL || session->id == NULL || session->user == NULL ||
	    !table_insert(&sd->sessions.by_address, &session->by_address, table_hash(session->address)))
		return false;
	if (table_insert(&sd->sessions.by_id, &session->by_id, table_hash(session->id)))
		return true;
	table_remove(&sd->sessions.by_address, &session->by_address);
	return false;
}

struct session *
session_open(struct sessiond *sd, const char *jid, const char *resource, const char *id)
{
	struct session *session = calloc(1, sizeof *session);
	char address[ADDRESS_LOGGED];

	if (session == NULL) {
		sd->link.broken = true;
		return NULL;
	}
	SLIST_INIT(&session->directed);
	if (asprintf(&session->address, "%s/%s", jid, resource) < 0)
		session->address = NULL;
	session->id = strdup(id);
	session->user = user_open(sd, jid);
	if (!session_link(sd, session)) {
		user_close(sd, session->user);
		free(session->address);
		free(session->id);
		free(session);
		sd->link.broken = true;
		return NULL;
	}
	LIST_INSERT_HEAD(&session->user->sessions, session, entry);
	recovery_session_opened(sd, session);
	log_debug("%s session open address=%s", session->id, log_quote(address, sizeof address, session->address));
	return session;
}

void
session_end(struct sessiond *sd, struct session *session, const char *status)
{
	char address[ADDRESS_LOGGED], reason[ADDRESS_LOGGED];

	log_debug("%s session ended address=%s reason=%s", session->id, log_quote(address, sizeof address, session->address),
	    log_quote(reason, sizeof reason, status));
	presence_session_ended(sd, session, status);
	recovery_session_ended(sd, session);
	session_forget(sd, session);
}

enum stanza_error
session_begin(struct sessiond *sd, const char *jid, const char *resource, const char *id, const struct node *answer)
{
	static const char replaced[] = "Replaced by new connection";
	struct session *old;
	char address[JID_SIZE];

	if (snprintf(address, sizeof address, "%s/%s", jid, resource) >= (int)sizeof address)
		return STANZA_JID_MALFORMED;
	link_send(sd, answer, id, address);
	/* Two logins of one client in flight: the answer that comes last is the one that it keeps. */
	old = session_find_id(sd, id);
	if (old != NULL)
		session_end(sd, old, replaced);
	old = session_find(sd, address);
	if (old != NULL) {
		link_send_end(sd, old->id, old->address, CONDITION_CONFLICT, replaced);
		session_end(sd, old, replaced);
	}
	session_open(sd, jid, resource, id);
	return 0;
}

void
session_end_all(struct sessiond *sd, const char *jid, const char *status)
{
	struct user *user;

	while ((user = session_find_user(sd, jid)) != NULL) {
		struct session *session = LIST_FIRST(&user->sessions);

		link_send_end(sd, session->id, session->address, CONDITION_NOT_AUTHORIZED, status);
		session_end(sd, session, status);
	}
}

bool
session_takes_messages(const struct session *session)
{
	return session->presence != NULL && session->priority >= 0;
}

void
session_deinit(struct sessiond *sd)
{
	struct table *table = &sd->sessions.by_address;

	for (size_t i = 0; i < table->size; i++) {
		while (table->buckets[i] != NULL)
			session_forget(sd, container_of(table->buckets[i], struct session, by_address));
	}
	table_deinit(&sd->sessions.by_address);
	table_deinit(&sd->sessions.by_id);
	table_deinit(&sd->sessions.users);
}
