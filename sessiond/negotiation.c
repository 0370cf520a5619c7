#include "sessiond/negotiation.h"

#include <bsd/stdlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "sessiond/bind.h"
#include "sessiond/exchange.h"
#include "sessiond/iq.h"
#include "sessiond/jid.h"
#include "sessiond/packet.h"
#include "sessiond/sessiond.h"

#define NS_SASL "urn:ietf:params:xml:ns:xmpp-sasl"
#define NS_CHANNEL_BINDING "urn:xmpp:sasl-cb:0"
#define NS_FEATURE_AUTH "http://jabber.org/features/iq-auth"
#define NS_FEATURE_REGISTER "http://jabber.org/features/iq-register"

/* The socket manager ends who has failed too often, as its limits say; they cannot say more than this. */
#define FAILURES_MAX 255

/* Attempts to register on one stream: each costs the hashes of a password and a write to the disk. */
#define REGISTRATIONS_MAX 5

enum negotiation_event {
	EVENT_OPEN,
	EVENT_AUTH,
	EVENT_RESPONSE,
	EVENT_ABORT,
	EVENT_ASK,	/* jabber:iq:auth, jabber:iq:register */
	EVENT_BIND,
	EVENT_OTHER,
};

/* What is shown of a host in the log. */
#define HOST_LOGGED 300

/* ---- the stream itself ---- */

static void
send_away(struct sessiond *sd, const struct packet *packet, struct guest *guest, enum stream_condition condition,
    const char *text)
{
	log_debug("%s stream ended reason=%s", packet->sfrom, condition_name(condition));
	link_send_end(sd, packet->sfrom, packet->sto, condition, text);
	if (guest != NULL)
		guest_end(sd, guest);
}

/* RFC 6120 4.7.2: whom the client says to be is told back to it. */
static void
tell_from(struct node *open, const char *from)
{
	struct jid jid;
	char bare[JID_SIZE];

	if (from == NULL || !jid_parse(&jid, from))
		return;
	jid_write_bare(&jid, bare);
	node_set(open, "to", bare);
}

static void
send_open(struct sessiond *sd, const struct packet *packet, bool modern)
{
	struct node *open = node_new(&sd->arena, "open", NS_FRAMING);
	unsigned char random[16];
	char id[2 * sizeof random + 1];

	arc4random_buf(random, sizeof random);
	for (unsigned i = 0; i < sizeof random; i++)
		snprintf(id + (size_t)2 * i, 3, "%02x", random[i]);
	node_set(open, "from", packet->sto);
	tell_from(open, node_get(packet->stanza, "from"));
	node_set(open, "id", id);
	if (modern)
		node_set(open, "version", "1.0");
	node_set_lang(open, "en");
	link_send(sd, open, packet->sfrom, packet->sto);
}

static void
add_mechanisms(struct sessiond *sd, const struct guest *guest, struct node *features)
{
	struct node *mechanisms = node_add(features, "mechanisms", NS_SASL);
	struct node *bindings;
	const char *name;

	for (unsigned i = 0; (name = exchange_offer(sd, guest, i)) != NULL; i++)
		node_add_field(mechanisms, "mechanism", name);
	if (!connection_can_bind(&guest->connection))
		return;
	/* XEP-0440. */
	bindings = node_add(features, "sasl-channel-binding", NS_CHANNEL_BINDING);
	for (unsigned i = 0; i < CONNECTION_BINDING_COUNT; i++) {
		if (guest->connection.bindings[i].length > 0)
			node_set(node_add(bindings, "channel-binding", NS_CHANNEL_BINDING), "type",
			    connection_binding_name((enum connection_binding)i));
	}
}

static void
send_features(struct sessiond *sd, const struct packet *packet, const struct guest *guest)
{
	struct node *features = node_new(&sd->arena, "features", NS_STREAMS);

	if (guest->account == NULL) {
		add_mechanisms(sd, guest, features);
		node_add(features, "auth", NS_FEATURE_AUTH);
		if (sd->settings->registration)
			node_add(features, "register", NS_FEATURE_REGISTER);
	} else {
		node_add(features, "bind", NS_BIND);
		/* RFC 3921 section 3; that it may be left out, as RFC 6121 leaves it, draft-cridland-xmpp-session. */
		node_add(node_add(features, "session", NS_SESSION), "optional", NS_SESSION);
	}
	link_send_of_stream(sd, features, packet->sfrom, packet->sto);
}

/* RFC 6120 4.7.5: whoever says nothing is of the time before versions. */
static bool
is_modern(const struct node *open)
{
	const char *version = node_get(open, "version");

	return version != NULL && strtoul(version, NULL, 10) >= 1;
}

static void
make_room(struct sessiond *sd)
{
	struct guest *first = guest_first(sd);

	if (!guest_table_is_full(sd) || first == NULL)
		return;
	log_warning("streams full streams=%zu", sd->guests.max);
	link_send_end(sd, first->id, first->host, CONDITION_RESOURCE_CONSTRAINT, "Too many streams");
	guest_end(sd, first);
}

/* A connection's first stream. */
static void
stream_open(struct sessiond *sd, const struct packet *packet)
{
	bool modern = is_modern(packet->stanza);
	char host[HOST_LOGGED];
	struct guest *guest;

	send_open(sd, packet, modern);
	if (packet->host == NULL || !settings_is_open(sd->settings, packet->host)) {
		send_away(sd, packet, NULL, packet->host != NULL && settings_has_host(sd->settings, packet->host) ?
		    CONDITION_HOST_GONE : CONDITION_HOST_UNKNOWN, NULL);
		return;
	}
	make_room(sd);
	guest = guest_open(sd, packet->sfrom, packet->host);
	if (guest == NULL)
		return;
	guest->modern = modern;
	connection_read(&guest->connection, node_child(packet->stanza));
	log_debug("%s stream open host=%s tls=%s", guest->id, log_quote(host, sizeof host, guest->host),
	    guest->connection.tls ? "yes" : "no");
	if (modern)
		send_features(sd, packet, guest);
}

static void
guest_change_state(struct guest *guest, enum guest_state state)
{
	if (state != GUEST_EXCHANGE)
		exchange_drop(guest);
	guest->state = state;
}

/* The same connection's second one, behind <success/>. */
static void
stream_open_again(struct sessiond *sd, const struct packet *packet, struct guest *guest)
{
	guest->modern = is_modern(packet->stanza);
	guest_change_state(guest, GUEST_BINDING);
	send_open(sd, packet, guest->modern);
	if (guest->modern)
		send_features(sd, packet, guest);
}

/* ---- logging in ---- */

static void
count_failure(struct sessiond *sd, const struct packet *packet, struct guest *guest)
{
	if (++guest->failures > FAILURES_MAX)
		send_away(sd, packet, guest, CONDITION_POLICY_VIOLATION, "Too many attempts to log in");
}

static void
exchange_failed(struct sessiond *sd, const struct packet *packet, struct guest *guest, enum sasl_condition condition)
{
	struct node *failure = node_new(&sd->arena, "failure", NS_SASL);

	log_debug("%s sasl failed condition=%s", guest->id, sasl_condition_name(condition));
	node_add(failure, sasl_condition_name(condition), NS_SASL);
	node_set_lang(node_add_field(failure, "text", sasl_condition_text(condition)), "en");
	link_send(sd, failure, packet->sfrom, packet->sto);
	guest_change_state(guest, GUEST_OPENED);
	count_failure(sd, packet, guest);
}

static void
exchange_went(struct sessiond *sd, const struct packet *packet, struct guest *guest, int result, struct buffer *text)
{
	struct node *node;

	if (result != EXCHANGE_PASSED && result != EXCHANGE_CONTINUES) {
		exchange_failed(sd, packet, guest, (enum sasl_condition)result);
		return;
	}
	node = node_new(&sd->arena, result == EXCHANGE_PASSED ? "success" : "challenge", NS_SASL);
	buffer_append(text, "", 1);
	if (text->failed)
		sd->link.broken = true;
	else
		node_add_text(node, (const char *)buffer_bytes(text));
	link_send(sd, node, packet->sfrom, packet->sto);
	guest_change_state(guest, result == EXCHANGE_PASSED ? GUEST_PASSED : GUEST_EXCHANGE);
}

static void
exchange_go(struct sessiond *sd, struct packet *packet, struct guest *guest, bool begin)
{
	const struct node *stanza = packet->stanza;
	struct buffer text = { 0 };
	int result;

	/* It says itself when the store has failed. */
	packet->keep = true;
	result = begin ? exchange_begin(sd, guest, node_get(stanza, "mechanism"), node_text(stanza), &text) :
	    exchange_respond(sd, guest, node_text(stanza), &text);
	exchange_went(sd, packet, guest, result, &text);
	buffer_deinit(&text);
}

/* The answer to a login with jabber:iq:auth may be a session; then there is no guest any more. */
static void
ask(struct sessiond *sd, struct packet *packet, struct guest *guest)
{
	bool registers = node_find(packet->stanza, "query", NS_REGISTER) != NULL;
	enum stanza_error error = STANZA_NOT_ALLOWED;

	if (!registers || guest->registrations < REGISTRATIONS_MAX)
		error = packet_ask(sd, packet);
	guest->registrations += registers;
	if (error != 0)
		packet_refuse(sd, packet, error, NULL);
	if (session_find_id(sd, guest->id) != NULL)
		guest_end(sd, guest);
	else if (error == STANZA_NOT_AUTHORIZED)
		count_failure(sd, packet, guest);
}

static void
bind(struct sessiond *sd, struct packet *packet, struct guest *guest)
{
	enum stanza_error error = bind_handle(sd, packet, guest->account);

	if (error != 0)
		packet_refuse(sd, packet, error, NULL);
	else
		guest_end(sd, guest);
}

/* ---- what comes when ---- */

static enum negotiation_event
event_of(const struct node *node)
{
	if (node_is(node, "open", NS_FRAMING))
		return EVENT_OPEN;
	if (node_is(node, "auth", NS_SASL))
		return EVENT_AUTH;
	if (node_is(node, "response", NS_SASL))
		return EVENT_RESPONSE;
	if (node_is(node, "abort", NS_SASL))
		return EVENT_ABORT;
	if (!node_is(node, "iq", NULL) || (!node_has(node, "type", "set") && !node_has(node, "type", "get")))
		return EVENT_OTHER;
	if (node_find(node, "bind", NS_BIND) != NULL)
		return EVENT_BIND;
	return node_find(node, "query", NS_AUTH) != NULL || node_find(node, "query", NS_REGISTER) != NULL ? EVENT_ASK :
	    EVENT_OTHER;
}

static void
guest_fsm(struct sessiond *sd, struct packet *packet, struct guest *guest, enum negotiation_event event)
{
	switch (guest->state) {
	case GUEST_OPENED:
	case GUEST_EXCHANGE:
		switch (event) {
		case EVENT_AUTH:
			exchange_go(sd, packet, guest, true);
			return;
		case EVENT_RESPONSE:
			exchange_go(sd, packet, guest, false);
			return;
		case EVENT_ABORT:
			exchange_failed(sd, packet, guest, SASL_ABORTED);
			return;
		case EVENT_ASK:
			guest_change_state(guest, GUEST_OPENED);
			ask(sd, packet, guest);
			return;
		case EVENT_OPEN:
		case EVENT_BIND:
		case EVENT_OTHER:
			break;
		}
		break;
	case GUEST_PASSED:
		switch (event) {
		case EVENT_OPEN:
			stream_open_again(sd, packet, guest);
			return;
		case EVENT_AUTH:
		case EVENT_RESPONSE:
		case EVENT_ABORT:
		case EVENT_ASK:
		case EVENT_BIND:
		case EVENT_OTHER:
			break;
		}
		break;
	case GUEST_BINDING:
		switch (event) {
		case EVENT_BIND:
			bind(sd, packet, guest);
			return;
		case EVENT_OPEN:
		case EVENT_AUTH:
		case EVENT_RESPONSE:
		case EVENT_ABORT:
		case EVENT_ASK:
		case EVENT_OTHER:
			break;
		}
		break;
	}
	/* RFC 6120 4.9.3.12. */
	send_away(sd, packet, guest, CONDITION_NOT_AUTHORIZED, NULL);
}

static void
unread(struct sessiond *sd, const struct packet *packet, struct guest *guest, enum node_result result)
{
	if (node_is(packet->stanza, "iq", NULL))
		packet_unread(sd, packet, result);
	else
		send_away(sd, packet, guest, CONDITION_POLICY_VIOLATION, "This cannot be read");
}

void
negotiation_handle(struct sessiond *sd, struct packet *packet, enum node_result result)
{
	struct guest *guest = guest_find(sd, packet->sfrom);
	enum negotiation_event event = event_of(packet->stanza);

	packet->answer_from = packet->sto;
	if (guest == NULL && event == EVENT_OPEN && result == NODE_READ)
		stream_open(sd, packet);
	else if (guest == NULL)
		send_away(sd, packet, NULL, CONDITION_NONE, NULL);
	else if (packet->host == NULL || strcmp(packet->host, guest->host) != 0)
		send_away(sd, packet, guest, CONDITION_HOST_UNKNOWN, NULL);
	else if (!settings_is_open(sd->settings, guest->host))
		send_away(sd, packet, guest, CONDITION_HOST_GONE, NULL);
	else if (result != NODE_READ)
		unread(sd, packet, guest, result);
	else
		guest_fsm(sd, packet, guest, event);
	guest = guest_find(sd, packet->sfrom);
	if (guest != NULL)
		recovery_guest_changed(sd, guest);
}
