#include "sessiond/bind.h"

#include <bsd/stdlib.h>
#include <stdio.h>

#include "sessiond/account.h"
#include "sessiond/jid.h"
#include "sessiond/packet.h"
#include "sessiond/sessiond.h"

static bool
choose_resource(const char *wanted, char resource_r[JID_PART_SIZE])
{
	if (wanted != NULL && *wanted != '\0')
		return jid_prepare_resource(resource_r, wanted);
	snprintf(resource_r, JID_PART_SIZE, "%08x%08x", arc4random(), arc4random());
	return true;
}

static const struct node *
answer(const struct packet *packet, const char *account, const char *resource)
{
	struct node *result = stanza_result(packet->stanza);
	struct node *jid = node_add(node_add(result, "bind", NS_BIND), "jid", NS_BIND);

	node_add_text(jid, account);
	node_add_text(jid, "/");
	node_add_text(jid, resource);
	return result;
}

enum stanza_error
bind_handle(struct sessiond *sd, struct packet *packet, const char *account)
{
	const struct node *bind = node_find(packet->stanza, "bind", NS_BIND);
	char resource[JID_PART_SIZE];
	enum stanza_error error;

	if (!node_has(packet->stanza, "type", "set") || !choose_resource(node_field(bind, "resource"), resource))
		return STANZA_BAD_REQUEST;
	/* It may have been removed in between, and who is told of that is told only what has a session. */
	if (!account_exists(sd, account))
		return sd->store.failed ? STANZA_INTERNAL_SERVER_ERROR : STANZA_NOT_AUTHORIZED;
	error = session_begin(sd, account, resource, packet->sfrom, answer(packet, account, resource));
	packet->keep = error == 0;
	return error;
}
