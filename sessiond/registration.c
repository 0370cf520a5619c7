#include "sessiond/registration.h"

#include <string.h>

#include "sessiond/account.h"
#include "sessiond/iq.h"
#include "sessiond/jid.h"
#include "sessiond/packet.h"
#include "sessiond/roster.h"
#include "sessiond/sessiond.h"
#include "sessiond/subscription.h"

static enum stanza_error
error_of(enum account_result result)
{
	switch (result) {
	case ACCOUNT_DONE:
		return 0;
	case ACCOUNT_EXISTS:
		return STANZA_CONFLICT;
	case ACCOUNT_UNKNOWN:
		return STANZA_ITEM_NOT_FOUND;
	case ACCOUNT_BAD_PASSWORD:
		return STANZA_NOT_ACCEPTABLE;
	case ACCOUNT_REFUSED:
		return STANZA_NOT_AUTHORIZED;
	case ACCOUNT_BROKEN:
		break;
	}
	return STANZA_INTERNAL_SERVER_ERROR;
}

static enum stanza_error
registration_get(struct sessiond *sd, const struct packet *packet)
{
	struct node *answer = stanza_result(packet->stanza);
	struct node *query = node_add(answer, "query", NS_REGISTER);
	char local[JID_PART_SIZE];

	if (packet->session == NULL) {
		node_add_field(query, "instructions", "Choose a username and password.");
		node_add_field(query, "username", "");
	} else {
		const char *jid = packet->session->user->jid;
		size_t length = strcspn(jid, "@");

		memcpy(local, jid, length);
		local[length] = '\0';
		node_add(query, "registered", NS_REGISTER);
		node_add_field(query, "username", local);
	}
	node_add_field(query, "password", "");
	packet_answer(sd, packet, answer);
	return 0;
}

static enum stanza_error
registration_create(struct sessiond *sd, const struct packet *packet, const struct node *query)
{
	const char *username = node_field(query, "username");
	const char *password = node_field(query, "password");
	enum stanza_error error;
	struct jid jid = { 0 };
	char bare[JID_SIZE];

	if (username == NULL || password == NULL || !jid_prepare_local(jid.local, username) ||
	    !jid_prepare_domain(jid.domain, packet->answer_from))
		return STANZA_NOT_ACCEPTABLE;
	jid_write_bare(&jid, bare);
	error = error_of(account_create(sd, bare, password));
	if (error == 0)
		packet_answer(sd, packet, stanza_result(packet->stanza));
	return error;
}

int
registration_remove(struct sessiond *sd, const char *account)
{
	const struct roster_item *item = roster_list(sd, account);

	/* In one transaction with it: who has the name next must not be anybody's contact. */
	for (; item != NULL; item = item->next)
		subscription_end(sd, account, item);
	return account_remove(sd, account);
}

static enum stanza_error
registration_cancel(struct sessiond *sd, struct packet *packet)
{
	const char *account = arena_copy_string(&sd->arena, packet->session->user->jid);
	int result;

	if (account == NULL)
		return STANZA_INTERNAL_SERVER_ERROR;
	result = registration_remove(sd, account);
	/* A session without an account: it was asked for before, of a process that was killed over it (recovery.h). */
	if (result != ACCOUNT_DONE && result != ACCOUNT_UNKNOWN)
		return error_of((enum account_result)result);
	/* The account is gone, and that was committed. */
	packet->keep = true;
	packet_answer(sd, packet, stanza_result(packet->stanza));
	packet->session = NULL;
	packet->answer_from = account;
	session_end_all(sd, account, "Account removed");
	return 0;
}

/* XEP-0077 3.3: the user name has to be there and has to be one's own. */
static enum stanza_error
registration_change(struct sessiond *sd, const struct packet *packet, const struct node *query)
{
	const char *account = packet->session->user->jid;
	const char *username = node_field(query, "username");
	const char *password = node_field(query, "password");
	char local[JID_PART_SIZE];
	enum stanza_error error;
	size_t length;

	if (username == NULL || password == NULL || !jid_prepare_local(local, username))
		return STANZA_BAD_REQUEST;
	length = strlen(local);
	if (strncmp(account, local, length) != 0 || account[length] != '@')
		return STANZA_NOT_ALLOWED;
	error = error_of(account_change(sd, account, password));
	if (error == 0)
		packet_answer(sd, packet, stanza_result(packet->stanza));
	return error;
}

enum stanza_error
registration_handle(struct sessiond *sd, struct packet *packet)
{
	const struct node *query = node_find(packet->stanza, "query", NS_REGISTER);

	if (packet->session == NULL && !sd->settings->registration)
		return STANZA_NOT_ALLOWED;
	if (node_has(packet->stanza, "type", "get"))
		return registration_get(sd, packet);
	if (packet->session == NULL)
		return registration_create(sd, packet, query);
	if (node_find(query, "remove", NS_REGISTER) != NULL)
		return registration_cancel(sd, packet);
	return registration_change(sd, packet, query);
}
