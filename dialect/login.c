#include "dialect/login.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dialect/edit.h"
#include "dialect/prepare.h"

static void
count_field(struct login *login, const struct element *child)
{
	struct {
		const char *name;
		struct login_field *field;
	} fields[] = {
		{ "username", &login->username },
		{ "password", &login->password },
		{ "digest", &login->digest },
		{ "resource", &login->resource },
	};

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		if (!range_equals(child->name, fields[i].name))
			continue;
		if (fields[i].field->count++ == 0)
			fields[i].field->element = *child;
	}
}

static bool
read_query(struct login *login, const struct element *element)
{
	struct element child = { 0 };

	while (element_next_child(element, &child)) {
		if (!range_equals(child.name, "query"))
			continue;
		if (login->query.whole.at != NULL)
			return false;
		login->query = child;
	}
	return login->query.whole.at != NULL;
}

/* A client's own stanza: in the namespace of its stream, which canonical form leaves out. */
static bool
is_iq(const struct element *element)
{
	struct range xmlns;

	return range_equals(element->name, "iq") &&
	    (!element_attribute(element, "xmlns", &xmlns) || range_equals(xmlns, "jabber:client"));
}

void
login_read(struct login *login_r, const struct element *element)
{
	bool get = element_attribute_is(element, "type", "get");
	struct element child = { 0 };

	*login_r = (struct login){ .request = LOGIN_NONE };
	if (element_attribute(element, "id", &login_r->id) && login_r->id.length == 0)
		login_r->id = (struct range){ 0 };
	if (!is_iq(element) || (!get && !element_attribute_is(element, "type", "set")) ||
	    !read_query(login_r, element))
		return;
	if (element_attribute_is(&login_r->query, "xmlns", LOGIN_NS_REGISTER)) {
		login_r->request = get ? LOGIN_REGISTER_GET : LOGIN_REGISTER_SET;
	} else if (element_attribute_is(&login_r->query, "xmlns", LOGIN_NS_AUTH)) {
		login_r->request = get ? LOGIN_AUTH_GET : LOGIN_AUTH_SET;
		while (element_next_child(&login_r->query, &child))
			count_field(login_r, &child);
	}
}

int
login_prepare(char **text_r, const struct login_field *field, enum login_part part)
{
	struct element child = { 0 };
	char *text;
	int result;

	/* Who reads the field otherwise might take only the text before a child. */
	if (element_next_child(&field->element, &child))
		return 0;
	text = range_strdup_decoded(field->element.content);
	if (text == NULL)
		return -ENOMEM;
	result = part == LOGIN_NODE ? prepare_node(text, text_r) : prepare_resource(text, text_r);
	free(text);
	return result;
}

int
login_is_acceptable(const struct login *login)
{
	int result;

	if (login->username.count != 1 || login->resource.count > 1 || login->password.count > 1 ||
	    login->digest.count > 1 || login->id.length > LOGIN_ID_MAX)
		return 0;
	result = login_prepare(NULL, &login->username, LOGIN_NODE);
	if (result == 1 && login->resource.count == 1)
		result = login_prepare(NULL, &login->resource, LOGIN_RESOURCE);
	return result;
}

static void
append_answer(const struct login *login, const char *type, struct buffer *down)
{
	buffer_append_string(down, "<iq");
	edit_put_attribute(down, "type", type);
	edit_put_attribute_raw(down, "id", login->id);
	buffer_append_string(down, ">");
}

void
login_put_features(struct buffer *features, bool registration)
{
	if (registration)
		buffer_append_string(features, "<register xmlns='http://jabber.org/features/iq-register'/>");
	buffer_append_string(features, "<auth xmlns='http://jabber.org/features/iq-auth'/>");
}

void
login_answer_get(const struct login *login, bool digest, struct buffer *down)
{
	append_answer(login, "result", down);
	buffer_append_string(down, "<query xmlns='" LOGIN_NS_AUTH "'>");
	if (login->username.count > 0)
		buffer_append(down, login->username.element.whole.at, login->username.element.whole.length);
	else
		buffer_append_string(down, "<username/>");
	buffer_append_string(down, "<password/>");
	if (digest)
		buffer_append_string(down, "<digest/>");
	buffer_append_string(down, "<resource/></query></iq>");
}

int
login_answer_error(const struct login *login, enum login_error error, struct buffer *down)
{
	static const char *const errors[] = {
		[LOGIN_ERROR_NOT_ACCEPTABLE] = "<error code='406' type='modify'><not-acceptable",
		[LOGIN_ERROR_NOT_ALLOWED] = "<error code='405' type='cancel'><not-allowed",
		[LOGIN_ERROR_UNEXPECTED] = "<error code='400' type='wait'><unexpected-request",
	};

	append_answer(login, "error", down);
	buffer_append_string(down, errors[error]);
	buffer_append_string(down, " xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>");
	return down->failed ? -ENOMEM : 0;
}
