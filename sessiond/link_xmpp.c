/* The dialect of today's session managers: streams, SASL and binding are theirs (doc/link.md). */
#include "sessiond/link_dialect.h"

#include <string.h>

#include "sessiond/negotiation.h"
#include "sessiond/packet.h"
#include "sessiond/sessiond.h"

#define NS_STREAM_ERRORS "urn:ietf:params:xml:ns:xmpp-streams"

/* XEP-0114 section 3. */
static void
xmpp_header(struct buffer *out, const char *id, const char *name)
{
	buffer_append_string(out, "<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' "
	    "xmlns:stream='" NS_STREAMS "' from='");
	buffer_append_escaped(out, name, strlen(name));
	buffer_append_format(out, "' id='%s'>", id);
}

static void
xmpp_fault(struct buffer *out, enum stream_condition condition, const char *text)
{
	buffer_append_format(out, "<stream:error><%s xmlns='" NS_STREAM_ERRORS "'/><text xmlns='" NS_STREAM_ERRORS "'>%s"
	    "</text></stream:error>", condition_name(condition), text);
}

static bool
is_question(const struct node *stanza)
{
	return node_is(stanza, "iq", NULL) && (node_has(stanza, "type", "get") || node_has(stanza, "type", "set"));
}

/* What the operator wants: no client is called like that. */
static void
ask_for_operator(struct sessiond *sd, struct packet *packet, enum node_result result)
{
	enum stanza_error error;

	if (packet->host == NULL || !settings_has_host(sd->settings, packet->host) || !is_question(packet->stanza))
		return;
	if (result != NODE_READ) {
		packet_unread(sd, packet, result);
		return;
	}
	error = packet_ask(sd, packet);
	if (error != 0)
		packet_refuse(sd, packet, error, NULL);
}

static void
xmpp_without_session(struct sessiond *sd, struct packet *packet, enum node_result result)
{
	struct guest *guest;

	if (node_is(packet->stanza, "close", NS_FRAMING)) {
		guest = guest_find(sd, packet->sfrom);
		if (guest != NULL && !packet->lost)
			guest_end(sd, guest);
	} else if (packet->lost) {
		packet_bounce(sd, packet);
	} else if (strcmp(packet->sfrom, sd->settings->name) == 0) {
		ask_for_operator(sd, packet, result);
	} else {
		negotiation_handle(sd, packet, result);
	}
}

static enum stanza_error
xmpp_in_session(struct sessiond *sd, struct packet *packet)
{
	struct session *session = packet->session;

	packet->session = NULL;
	if (node_is(packet->stanza, "close", NS_FRAMING)) {
		session_end(sd, session, "Disconnected");
		return 0;
	}
	link_send_end(sd, session->id, session->address, CONDITION_UNSUPPORTED_STANZA_TYPE, NULL);
	session_end(sd, session, "Unsupported stanza type");
	return 0;
}

static void
xmpp_end(struct sessiond *sd, const char *id, const char *address, enum stream_condition condition, const char *text)
{
	struct node *error = node_new(&sd->arena, "error", NS_STREAMS);

	if (condition != CONDITION_NONE) {
		node_add(error, condition_name(condition), NS_STREAM_ERRORS);
		if (text != NULL)
			node_add_text(node_add(error, "text", NS_STREAM_ERRORS), text);
		link_send_of_stream(sd, error, id, address);
	}
	link_send(sd, node_new(&sd->arena, "close", NS_FRAMING), id, address);
}

const struct link_dialect link_dialect_xmpp = {
	.name = "xmpp",
	.header = xmpp_header,
	.fault = xmpp_fault,
	.without_session = xmpp_without_session,
	.in_session = xmpp_in_session,
	.end = xmpp_end,
};
