#include "sessiond/connection.h"

#include <string.h>

#include "common/base64.h"

#define NS_CONNECTION "urn:x-c2sd:connection:0"

static const char *const binding_names[CONNECTION_BINDING_COUNT] = {
	[CONNECTION_EXPORTER] = "tls-exporter",
	[CONNECTION_END_POINT] = "tls-server-end-point",
};

const char *
connection_binding_name(enum connection_binding binding)
{
	return binding_names[binding];
}

static bool
binding_of(const char *type, enum connection_binding *binding_r)
{
	for (unsigned i = 0; type != NULL && i < CONNECTION_BINDING_COUNT; i++) {
		if (strcmp(binding_names[i], type) == 0) {
			*binding_r = (enum connection_binding)i;
			return true;
		}
	}
	return false;
}

static void
binding_read(struct connection *connection, const struct node *node)
{
	const char *text = node_text(node);
	struct buffer bytes = { .secret = true };
	enum connection_binding binding;

	if (text != NULL && binding_of(node_get(node, "type"), &binding) && base64_decode(&bytes, text, strlen(text)) &&
	    buffer_length(&bytes) > 0 && buffer_length(&bytes) <= CONNECTION_BINDING_MAX) {
		connection->bindings[binding].length = (uint8_t)buffer_length(&bytes);
		memcpy(connection->bindings[binding].bytes, buffer_bytes(&bytes), buffer_length(&bytes));
	}
	buffer_deinit(&bytes);
}

void
connection_read(struct connection *connection_r, const struct node *node)
{
	*connection_r = (struct connection){ 0 };
	if (!node_is(node, "connection", NS_CONNECTION))
		return;
	connection_r->tls = node_get(node, "tls") != NULL;
	for (struct node *child = node_child(node); child != NULL && connection_r->tls; child = node_next(child)) {
		if (node_is(child, "channel-binding", NS_CONNECTION))
			binding_read(connection_r, child);
	}
}

bool
connection_can_bind(const struct connection *connection)
{
	return connection->bindings[CONNECTION_EXPORTER].length > 0 ||
	    connection->bindings[CONNECTION_END_POINT].length > 0;
}

bool
connection_find(const struct connection *connection, const char *type, enum connection_binding *binding_r)
{
	return binding_of(type, binding_r) && connection->bindings[*binding_r].length > 0;
}
