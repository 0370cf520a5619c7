#include "sessiond/admin.h"

#include <string.h>

#include "common/log.h"
#include "sessiond/account.h"
#include "sessiond/jid.h"
#include "sessiond/packet.h"
#include "sessiond/registration.h"
#include "sessiond/sessiond.h"

#define NS_ADMIN "urn:x-c2sd:admin:0"

static enum stanza_error
admin_answer(struct sessiond *sd, const struct packet *packet, int result)
{
	switch ((enum account_result)result) {
	case ACCOUNT_DONE:
		packet_answer(sd, packet, stanza_result(packet->stanza));
		return 0;
	case ACCOUNT_EXISTS:
		packet_refuse(sd, packet, STANZA_CONFLICT, "This account exists already");
		return 0;
	case ACCOUNT_UNKNOWN:
		packet_refuse(sd, packet, STANZA_ITEM_NOT_FOUND, "There is no such account");
		return 0;
	case ACCOUNT_BAD_PASSWORD:
		packet_refuse(sd, packet, STANZA_NOT_ACCEPTABLE,
		    "The password is empty, too long or holds what SASLprep forbids");
		return 0;
	case ACCOUNT_REFUSED:
	case ACCOUNT_BROKEN:
		break;
	}
	packet_refuse(sd, packet, STANZA_INTERNAL_SERVER_ERROR, "The database cannot be written");
	return 0;
}

static enum stanza_error
admin_list(struct sessiond *sd, const struct packet *packet)
{
	struct node *answer = stanza_result(packet->stanza);
	struct node *users = node_add(answer, "users", NS_ADMIN);
	const struct account_name *name = account_list(sd, packet->answer_from);

	if (sd->store.failed)
		return admin_answer(sd, packet, ACCOUNT_BROKEN);
	for (; name != NULL; name = name->next)
		node_set(node_add(users, "user", NS_ADMIN), "name", name->local);
	packet_answer(sd, packet, answer);
	return 0;
}

static enum stanza_error
admin_delete(struct sessiond *sd, struct packet *packet, const char *account)
{
	int result = registration_remove(sd, account);

	/* A session without an account: it was asked for before, of a process that was killed over it (recovery.h). */
	if (result == ACCOUNT_UNKNOWN && session_find_user(sd, account) != NULL)
		result = ACCOUNT_DONE;
	if (result == ACCOUNT_DONE) {
		/* Then it was committed. */
		packet->keep = session_find_user(sd, account) != NULL;
		session_end_all(sd, account, "Account removed");
	}
	return admin_answer(sd, packet, result);
}

static enum stanza_error
admin_change(struct sessiond *sd, struct packet *packet, const char *action, const char *account, const char *password)
{
	if (strcmp(action, "del") == 0)
		return admin_delete(sd, packet, account);
	if (password == NULL) {
		packet_refuse(sd, packet, STANZA_NOT_ACCEPTABLE, "A password is needed");
		return 0;
	}
	if (strcmp(action, "add") == 0)
		return admin_answer(sd, packet, account_create(sd, account, password));
	if (strcmp(action, "passwd") == 0)
		return admin_answer(sd, packet, account_change(sd, account, password));
	return STANZA_BAD_REQUEST;
}

enum stanza_error
admin_handle(struct sessiond *sd, struct packet *packet)
{
	const struct node *user = node_find(packet->stanza, "user", NS_ADMIN);
	const char *action = node_get(user, "action");
	const char *name = node_get(user, "name");
	struct jid jid = { 0 };
	char account[JID_SIZE];

	if (user == NULL)
		return STANZA_SERVICE_UNAVAILABLE;
	if (action == NULL || !node_has(packet->stanza, "type", "set"))
		return STANZA_BAD_REQUEST;
	if (strcmp(action, "list") == 0)
		return admin_list(sd, packet);
	if (name == NULL || !jid_prepare_local(jid.local, name) ||
	    !jid_prepare_domain(jid.domain, packet->answer_from)) {
		packet_refuse(sd, packet, STANZA_NOT_ACCEPTABLE, "This is not a name for an account");
		return 0;
	}
	jid_write_bare(&jid, account);
	log_info("account changed action=%s account=\"%s\"", action, account);
	return admin_change(sd, packet, action, account, node_get(user, "password"));
}
