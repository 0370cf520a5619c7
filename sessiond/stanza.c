#include "sessiond/stanza.h"

#include <string.h>

#define NS_STANZA_ERRORS "urn:ietf:params:xml:ns:xmpp-stanzas"

static const struct {
	const char *code;
	const char *type;
	const char *condition;
} errors[] = {
	[STANZA_BAD_REQUEST] = { "400", "modify", "bad-request" },
	[STANZA_CONFLICT] = { "409", "cancel", "conflict" },
	[STANZA_INTERNAL_SERVER_ERROR] = { "500", "wait", "internal-server-error" },
	[STANZA_ITEM_NOT_FOUND] = { "404", "cancel", "item-not-found" },
	[STANZA_JID_MALFORMED] = { "400", "modify", "jid-malformed" },
	[STANZA_NOT_ACCEPTABLE] = { "406", "modify", "not-acceptable" },
	[STANZA_NOT_ALLOWED] = { "405", "cancel", "not-allowed" },
	[STANZA_NOT_AUTHORIZED] = { "401", "auth", "not-authorized" },
	[STANZA_REMOTE_SERVER_NOT_FOUND] = { "404", "cancel", "remote-server-not-found" },
	[STANZA_RESOURCE_CONSTRAINT] = { "500", "wait", "resource-constraint" },
	[STANZA_SERVICE_UNAVAILABLE] = { "503", "cancel", "service-unavailable" },
};

static struct node *
stanza_answer(const struct node *stanza, const char *type)
{
	struct node *answer = node_new(stanza->arena, stanza->name, stanza->xmlns);

	node_set(answer, "type", type);
	node_set(answer, "id", node_get(stanza, "id"));
	node_set(answer, "to", node_get(stanza, "from"));
	node_set(answer, "from", node_get(stanza, "to"));
	return answer;
}

struct node *
stanza_result(const struct node *stanza)
{
	return stanza_answer(stanza, "result");
}

void
stanza_add_error(struct node *stanza, enum stanza_error error, const char *text)
{
	struct node *child = node_add(stanza, "error", NULL);

	node_set(child, "code", errors[error].code);
	node_set(child, "type", errors[error].type);
	node_add(child, errors[error].condition, NS_STANZA_ERRORS);
	if (text != NULL)
		node_add_text(node_add(child, "text", NS_STANZA_ERRORS), text);
}

struct node *
stanza_error(struct node *stanza, enum stanza_error error, const char *text)
{
	struct node *answer = stanza_answer(stanza, "error");
	const struct node *payload = node_child(stanza);

	if (node_is(stanza, "message", NULL))
		node_move_children(answer, stanza);
	else if (payload != NULL && node_is(stanza, "iq", NULL))
		node_add(answer, payload->name, payload->xmlns);
	stanza_add_error(answer, error, text);
	return answer;
}

bool
stanza_wants_error(const struct node *stanza)
{
	return !node_has(stanza, "type", "error") &&
	    !(node_is(stanza, "iq", NULL) && node_has(stanza, "type", "result"));
}

struct node *
stanza_find_disconnect(const struct node *stanza)
{
	if (!node_has(stanza, "type", "error"))
		return NULL;
	for (struct node *child = node_child(stanza); child != NULL; child = node_next(child)) {
		if (node_is(child, "error", NULL) && node_has(child, "code", "510"))
			return child;
	}
	return NULL;
}
