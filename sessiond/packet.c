#include "sessiond/packet.h"

#include <errno.h>
#include <string.h>

#include "common/log.h"
#include "dialect/element.h"
#include "sessiond/admin.h"
#include "sessiond/auth.h"
#include "sessiond/iq.h"
#include "sessiond/jid.h"
#include "sessiond/message.h"
#include "sessiond/presence.h"
#include "sessiond/registration.h"
#include "sessiond/sessiond.h"

void
packet_answer(struct sessiond *sd, const struct packet *packet, const struct node *stanza)
{
	if (link_send_answer(sd, stanza, packet->sfrom, packet->answer_from))
		return;
	link_send(sd, stanza_error(packet->stanza, STANZA_RESOURCE_CONSTRAINT, "The answer would be too long"),
	    packet->sfrom, packet->answer_from);
}

void
packet_refuse(struct sessiond *sd, const struct packet *packet, enum stanza_error error, const char *text)
{
	if (stanza_wants_error(packet->stanza))
		packet_answer(sd, packet, stanza_error(packet->stanza, error, text));
}

void
packet_send_510(struct sessiond *sd, const char *id, const char *address)
{
	link_send_text(sd, "<message type='error'><error code='510'>Disconnected</error></message>", id, address, NULL);
}

/* With a `from` that the client wrote the 510 would not count as ours, so then it goes without the packet. */
void
packet_bounce(struct sessiond *sd, const struct packet *packet)
{
	struct node *stanza = packet->stanza;
	const char *type = node_get(stanza, "type");
	struct node *error;

	if (node_get(stanza, "from") != NULL || (!node_is(stanza, "message", NULL) && !node_is(stanza, "iq", NULL))) {
		packet_send_510(sd, packet->sfrom, packet->sto);
		return;
	}
	error = node_add(stanza, "error", NULL);
	node_set(error, "code", "510");
	node_set(error, "type", type);
	node_add_text(error, "Disconnected");
	node_set(stanza, "type", "error");
	link_send(sd, stanza, packet->sfrom, packet->sto);
}

enum stanza_error
packet_ask(struct sessiond *sd, struct packet *packet)
{
	const struct node *stanza = packet->stanza;

	if (strcmp(packet->sfrom, sd->settings->name) == 0)
		return admin_handle(sd, packet);
	if (!settings_is_open(sd->settings, packet->host))
		return STANZA_NOT_ALLOWED;
	if (node_find(stanza, "query", NS_AUTH) != NULL)
		return auth_handle(sd, packet);
	if (node_find(stanza, "query", NS_REGISTER) != NULL)
		return registration_handle(sd, packet);
	return STANZA_NOT_ACCEPTABLE;
}

static void
packet_in_session(struct sessiond *sd, struct packet *packet)
{
	struct node *stanza = packet->stanza;
	enum stanza_error error;

	node_set(stanza, "from", packet->session->address);
	if (node_is(stanza, "message", NULL))
		error = message_handle(sd, packet);
	else if (node_is(stanza, "presence", NULL))
		error = presence_handle(sd, packet);
	else if (node_is(stanza, "iq", NULL))
		error = iq_handle(sd, packet);
	else
		error = sd->link.dialect->in_session(sd, packet);
	if (error != 0)
		packet_refuse(sd, packet, error, NULL);
}

/*
 * A 510 from the socket manager: link-protocol 1.5 d. It ends the session only when it names the session and comes from
 * the client that owns it; the packet in it is looked after in any case.
 */
static void
packet_disconnect(struct sessiond *sd, struct packet *packet, struct node *disconnect)
{
	struct node *stanza = packet->stanza;
	struct session *session = session_find_id(sd, packet->sfrom);
	struct guest *guest = guest_find(sd, packet->sfrom);
	struct jid to;
	char bare[JID_SIZE];

	if (session != NULL && strcmp(session->address, packet->sto) == 0)
		session_end(sd, session, "Disconnected");
	if (!jid_parse(&to, packet->sto))
		return;
	if (to.local[0] == '\0') {
		if (guest != NULL && strcmp(guest->host, to.domain) == 0)
			guest_end(sd, guest);
		return;
	}
	node_set(stanza, "type", node_get(disconnect, "type"));
	node_remove(stanza, disconnect);
	jid_write_bare(&to, bare);
	if (node_is(stanza, "message", NULL))
		message_return(sd, packet, bare);
	else if (node_is(stanza, "iq", NULL))
		iq_return(sd, stanza, bare);
}

void
packet_unread(struct sessiond *sd, const struct packet *packet, enum node_result result)
{
	if (result == NODE_TOO_DEEP)
		packet_refuse(sd, packet, STANZA_NOT_ACCEPTABLE, "Too many elements inside each other");
	else
		packet_refuse(sd, packet, STANZA_BAD_REQUEST, "This cannot be read");
}

static void
packet_dispatch(struct sessiond *sd, struct packet *packet, enum node_result result)
{
	struct session *session = session_find_id(sd, packet->sfrom);
	struct jid to;

	if (session != NULL && strcmp(session->address, packet->sto) == 0) {
		packet->session = session;
		packet->answer_from = session->user->jid;
		if (result != NODE_READ)
			packet_unread(sd, packet, result);
		else
			packet_in_session(sd, packet);
		return;
	}
	if (jid_parse(&to, packet->sto))
		packet->host = arena_copy_string(&sd->arena, to.domain);
	packet->answer_from = packet->host;
	packet->lost = packet->host != NULL && to.local[0] != '\0';
	sd->link.dialect->without_session(sd, packet, result);
}

/* In place of the answers of a packet whose effects did not reach the disk. */
static void
packet_fail(struct sessiond *sd, const struct packet *packet, bool returned)
{
	size_t answers_end = buffer_length(&sd->link.turn);

	if (returned)
		message_refuse_sender(sd, packet->stanza, STANZA_INTERNAL_SERVER_ERROR);
	else
		packet_refuse(sd, packet, STANZA_INTERNAL_SERVER_ERROR, NULL);
	link_packet_mark(sd, answers_end);
}

void
packet_handle(struct sessiond *sd, struct node *stanza, enum node_result result)
{
	struct packet packet = {
		.stanza = stanza,
		.sto = node_get(stanza, "sto"),
		.sfrom = node_get(stanza, "sfrom"),
	};
	struct node *disconnect = stanza_find_disconnect(stanza);

	if (packet.sto == NULL || packet.sfrom == NULL) {
		log_debug("packet dropped reason=no-address");
		return;
	}
	node_set(stanza, "sto", NULL);
	node_set(stanza, "sfrom", NULL);
	link_packet_begin(sd);
	if (node_is(stanza, "settle", NS_SETTLE)) {
		/* What cannot be deleted comes again: nobody has to be told. */
		offline_settled(sd, &packet);
		return;
	}
	if (disconnect != NULL)
		packet_disconnect(sd, &packet, disconnect);
	else
		packet_dispatch(sd, &packet, result);
	if (!packet.keep && sd->store.touched && (sd->store.writing || sd->store.failed))
		packet_fail(sd, &packet, disconnect != NULL);
}

/* Everything is copied as it was written and then read again: a value that was the fault is refused once more. */
struct node *
packet_salvage(struct sessiond *sd, const char *bytes, size_t length)
{
	static const char *const names[] = { "sto", "sfrom", "type", "id", "to", "from" };
	struct buffer text = { 0 };
	struct node *stanza = NULL;
	struct element element;
	struct range value;
	int result;

	if (!element_read_complete(&element, bytes, length) || (!range_equals(element.name, "message") &&
	    !range_equals(element.name, "presence") && !range_equals(element.name, "iq")))
		return NULL;
	buffer_append(&text, "<", 1);
	buffer_append(&text, element.name.at, element.name.length);
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		if (!element_attribute(&element, names[i], &value))
			continue;
		buffer_append_format(&text, " %s=", names[i]);
		buffer_append(&text, value.at - 1, value.length + 2);
	}
	buffer_append(&text, "/>", 2);
	result = text.failed ? -ENOMEM :
	    node_parse(&sd->arena, (const char *)buffer_bytes(&text), buffer_length(&text), &stanza);
	buffer_deinit(&text);
	sd->arena.failed = sd->arena.failed || result == -ENOMEM;
	return result == NODE_READ && stanza_wants_error(stanza) ? stanza : NULL;
}
