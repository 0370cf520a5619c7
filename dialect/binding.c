#include "dialect/binding.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "dialect/edit.h"
#include "dialect/prepare.h"

/* Bytes of the invented resource, before they are written in hexadecimal. */
#define INVENTED 8

/* Is an element with that `to` for the host or the account of this address? */
static bool
is_for_us(struct range to, const char *address)
{
	size_t bare = strcspn(address, "/");
	const char *at = memchr(address, '@', bare);

	if (range_decodes_to_bytes(to, address, bare))
		return true;
	return at != NULL && range_decodes_to_bytes(to, at + 1, bare - (size_t)(at + 1 - address));
}

/* What it asks for; a second <resource/>, or one with something else than text in it, is bad. */
static void
read_resource(struct binding *binding, const struct element *bind)
{
	struct element child = { 0 }, inner = { 0 };

	while (element_next_child(bind, &child)) {
		if (!range_equals(child.name, "resource"))
			continue;
		if (binding->resource.at != NULL || element_next_child(&child, &inner))
			binding->bad = true;
		binding->resource = child.content;
	}
	if (binding->resource.length == 0)
		binding->resource = (struct range){ 0 };
}

static bool
is_our_set(const struct element *element, const char *address)
{
	struct range value;

	if (!range_equals(element->name, "iq") || !element_attribute_is(element, "type", "set"))
		return false;
	if (element_attribute(element, "xmlns", &value) && !range_equals(value, "jabber:client"))
		return false;
	return !element_attribute(element, "to", &value) || is_for_us(value, address);
}

void
binding_read(struct binding *binding_r, const struct element *element, const char *address)
{
	struct element child = { 0 };

	*binding_r = (struct binding){ .request = BINDING_NONE };
	if (!is_our_set(element, address) || !element_next_child(element, &child))
		return;
	if (range_equals(child.name, "bind") && element_attribute_is(&child, "xmlns", BINDING_NS_BIND))
		binding_r->request = BINDING_BIND;
	else if (range_equals(child.name, "session") && element_attribute_is(&child, "xmlns", BINDING_NS_SESSION))
		binding_r->request = BINDING_SESSION;
	else
		return;
	if (binding_r->request == BINDING_BIND)
		read_resource(binding_r, &child);
	if (!element_attribute(element, "id", &binding_r->id) || binding_r->id.length > BINDING_ID_MAX) {
		binding_r->id = (struct range){ 0 };
		binding_r->bad = true;
	}
}

int
binding_read_resource(const struct binding *binding, char **resource_r)
{
	char *text;
	int result;

	*resource_r = NULL;
	if (binding->resource.at == NULL)
		return 1;
	text = range_strdup_decoded(binding->resource);
	if (text == NULL)
		return -ENOMEM;
	result = prepare_resource(text, resource_r);
	free(text);
	return result;
}

char *
binding_invent_resource(const char *id, const char *stream_id)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	struct buffer text = { 0 }, resource = { 0 };
	char *result = NULL;

	buffer_append_format(&text, "%s %s", id, stream_id);
	if (!text.failed &&
	    EVP_Digest(buffer_bytes(&text), buffer_length(&text), digest, NULL, EVP_sha256(), NULL) == 1) {
		buffer_append_string(&resource, "c2sd-");
		for (unsigned i = 0; i < INVENTED; i++)
			buffer_append_format(&resource, "%02x", digest[i]);
		if (!resource.failed)
			result = strndup((const char *)buffer_bytes(&resource), buffer_length(&resource));
	}
	buffer_deinit(&resource);
	buffer_deinit(&text);
	return result;
}

void
binding_put_features(struct buffer *features)
{
	buffer_append_string(features,
	    "<bind xmlns='" BINDING_NS_BIND "'/><session xmlns='" BINDING_NS_SESSION "'><optional/></session>");
}

static void
put_iq(const struct binding *binding, const char *type, struct buffer *down)
{
	buffer_append_string(down, "<iq");
	edit_put_attribute(down, "type", type);
	edit_put_attribute_raw(down, "id", binding->id);
	buffer_append_string(down, ">");
}

void
binding_put_result(const struct binding *binding, const char *jid, struct buffer *down)
{
	put_iq(binding, "result", down);
	if (binding->request == BINDING_BIND) {
		buffer_append_string(down, "<bind xmlns='" BINDING_NS_BIND "'><jid>");
		buffer_append_escaped(down, jid, strlen(jid));
		buffer_append_string(down, "</jid></bind>");
	}
	buffer_append_string(down, "</iq>");
}

void
binding_put_error(const struct binding *binding, enum binding_error error, struct buffer *down)
{
	static const char *const errors[] = {
		[BINDING_ERROR_BAD_REQUEST] = "<error code='400' type='modify'><bad-request",
		[BINDING_ERROR_CONFLICT] = "<error code='409' type='cancel'><conflict",
		[BINDING_ERROR_NOT_ALLOWED] = "<error code='405' type='cancel'><not-allowed",
		[BINDING_ERROR_UNAVAILABLE] = "<error code='503' type='wait'><service-unavailable",
	};

	put_iq(binding, "error", down);
	buffer_append_string(down, errors[error]);
	buffer_append_string(down, " xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>");
}
