#include "dialect/route_head.h"

#include <string.h>

#include "dialect/edit.h"

/* By this jabberd14 would know what is for its own control of sessions; nothing of a client's may have it. */
#define NS_CONTROL "http://jabberd.jabberstudio.org/ns/session/1.0"

static struct range *
head_place(struct route_head *head, struct range name)
{
	if (range_equals(name, "to"))
		return &head->to;
	if (range_equals(name, "from"))
		return &head->from;
	if (range_equals(name, "type"))
		return &head->type;
	if (range_equals(name, "error"))
		return &head->error;
	return NULL;
}

void
route_head_read(struct route_head *head_r, const struct element *element)
{
	struct attribute attribute = { 0 };
	struct element child = { 0 };

	*head_r = (struct route_head){ .is_route = range_equals(element->name, "route") };
	while (element_next_attribute(element, &attribute)) {
		struct range *place = head_place(head_r, attribute.name);

		if (place != NULL && place->at == NULL)
			*place = attribute.value;
	}
	if (!element_next_child(element, &child))
		return;
	head_r->child = child;
	head_r->several = element_next_child(element, &child);
}

bool
route_head_has_child(const struct route_head *head)
{
	return head->child.name.at != NULL;
}

bool
route_head_is(const struct route_head *head, const char *type)
{
	return head->type.at != NULL && range_decodes_to(head->type, type);
}

bool
route_is_session_address(struct range range)
{
	struct address address;

	return range.at != NULL && address_read(&address, range) && address.user.at != NULL && address.resource.length > 0;
}

struct range
route_bare(struct range range)
{
	struct address address;

	if (range.at == NULL || !address_read(&address, range))
		return (struct range){ 0 };
	return (struct range){ range.at, (size_t)(range_end(address.host) - range.at) };
}

bool
route_is_of_account(struct range range, const char *address)
{
	return route_bare(range).at != NULL && range_decodes_to_bytes(route_bare(range), address, strcspn(address, "/"));
}

static const struct route_meaning meanings[] = {
	{ "Disconnected", true, CONDITION_NOT_AUTHORIZED, CONDITION_CONFLICT, "Disconnected" },
	{ "Removed", true, CONDITION_NOT_AUTHORIZED, CONDITION_NOT_AUTHORIZED, "Removed" },
	{ "Invalid Session", true, CONDITION_NOT_AUTHORIZED, CONDITION_INTERNAL_SERVER_ERROR, "Invalid Session" },
	{ "Invalid User", true, CONDITION_NOT_AUTHORIZED, CONDITION_NOT_AUTHORIZED, "Invalid User" },
	{ "Session Failed", true, CONDITION_INTERNAL_SERVER_ERROR, CONDITION_INTERNAL_SERVER_ERROR, "Session Failed" },
	{ "Internal Timeout", false, CONDITION_REMOTE_CONNECTION_FAILED, CONDITION_REMOTE_CONNECTION_FAILED,
	    "Internal Timeout" },
	{ "is not connected to server", false, CONDITION_REMOTE_CONNECTION_FAILED, CONDITION_REMOTE_CONNECTION_FAILED,
	    "the session manager is not connected" },
	{ "External Server Error", false, CONDITION_REMOTE_CONNECTION_FAILED, CONDITION_REMOTE_CONNECTION_FAILED,
	    "External Server Error" },
	{ "destination unknown", false, CONDITION_HOST_UNKNOWN, CONDITION_REMOTE_CONNECTION_FAILED,
	    "Unable to deliver, destination unknown" },
	{ "", false, CONDITION_NOT_AUTHORIZED, CONDITION_INTERNAL_SERVER_ERROR, "Server Error" },
};

const struct route_meaning *
route_meaning_of(const struct route_head *head)
{
	const struct route_meaning *meaning = meanings;

	/* Without a text the sender says what a socket manager says: it is gone. */
	if (head->error.at == NULL || head->error.length == 0)
		return meanings;
	for (;; meaning++) {
		size_t length = strlen(meaning->text);

		if (head->error.length >= length && memcmp(range_end(head->error) - length, meaning->text, length) == 0)
			return meaning;
	}
}

bool
route_head_is_login(const struct route_head *head)
{
	return route_is_session_address(head->from) && !head->several && route_head_has_child(head) &&
	    range_equals(head->child.name, "iq") && element_attribute_is(&head->child, "type", "result");
}

bool
route_is_stanza(const struct element *element)
{
	struct attribute attribute = { 0 };

	if (!range_equals(element->name, "message") && !range_equals(element->name, "presence") &&
	    !range_equals(element->name, "iq"))
		return false;
	while (element_next_attribute(element, &attribute)) {
		if (range_equals(attribute.name, "xmlns") && !range_decodes_to(attribute.value, "jabber:client"))
			return false;
		if (attribute.name.length > strlen("xmlns:") && memcmp(attribute.name.at, "xmlns:", strlen("xmlns:")) == 0 &&
		    range_decodes_to(attribute.value, NS_CONTROL))
			return false;
	}
	return true;
}

void
route_append(struct buffer *out, const char *type, struct range to, const char *id, const char *name)
{
	buffer_append_string(out, "<route");
	if (type != NULL)
		edit_put_attribute(out, "type", type);
	buffer_append_string(out, " to='");
	buffer_append_escaped(out, to.at, to.length);
	buffer_append_string(out, "' from='");
	buffer_append_escaped(out, id, strlen(id));
	buffer_append_string(out, "@");
	buffer_append_escaped(out, name, strlen(name));
	buffer_append_string(out, "'");
}
