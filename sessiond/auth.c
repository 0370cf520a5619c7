#include "sessiond/auth.h"

#include "sessiond/account.h"
#include "sessiond/iq.h"
#include "sessiond/jid.h"
#include "sessiond/packet.h"
#include "sessiond/sessiond.h"

/* The same for everybody, so that it tells nothing about accounts. A digest would need the password itself. */
static void
auth_answer_get(struct sessiond *sd, const struct packet *packet, const struct node *query)
{
	struct node *answer = stanza_result(packet->stanza);
	struct node *fields = node_add(answer, "query", NS_AUTH);
	const char *username = node_field(query, "username");

	node_add_field(fields, "username", username == NULL ? "" : username);
	node_add_field(fields, "password", "");
	node_add_field(fields, "resource", "");
	packet_answer(sd, packet, answer);
}

enum stanza_error
auth_handle(struct sessiond *sd, struct packet *packet)
{
	const struct node *query = node_find(packet->stanza, "query", NS_AUTH);
	const char *username = node_field(query, "username");
	const char *password = node_field(query, "password");
	const char *resource = node_field(query, "resource");
	char prepared_resource[JID_PART_SIZE];
	struct jid jid = { 0 };
	enum stanza_error error;
	char bare[JID_SIZE];

	if (node_has(packet->stanza, "type", "get")) {
		auth_answer_get(sd, packet, query);
		return 0;
	}
	if (username == NULL || resource == NULL || !jid_prepare_local(jid.local, username) ||
	    !jid_prepare_resource(prepared_resource, resource))
		return STANZA_NOT_ACCEPTABLE;
	if (password == NULL)
		return node_find(query, "digest", NS_AUTH) != NULL ? STANZA_NOT_AUTHORIZED : STANZA_NOT_ACCEPTABLE;
	if (!jid_prepare_domain(jid.domain, packet->answer_from))
		return STANZA_JID_MALFORMED;
	jid_write_bare(&jid, bare);
	switch (account_verify(sd, bare, password)) {
	case ACCOUNT_DONE:
		error = session_begin(sd, bare, prepared_resource, packet->sfrom, stanza_result(packet->stanza));
		packet->keep = error == 0;
		return error;
	case ACCOUNT_BROKEN:
		return STANZA_INTERNAL_SERVER_ERROR;
	case ACCOUNT_EXISTS:
	case ACCOUNT_UNKNOWN:
	case ACCOUNT_BAD_PASSWORD:
	case ACCOUNT_REFUSED:
		break;
	}
	return STANZA_NOT_AUTHORIZED;
}
