#include "sessiond/iq.h"

#include <string.h>
#include <time.h>

#include "sessiond/bind.h"
#include "sessiond/jid.h"
#include "sessiond/message.h"
#include "sessiond/packet.h"
#include "sessiond/private.h"
#include "sessiond/registration.h"
#include "sessiond/roster.h"
#include "sessiond/sessiond.h"

#define NS_DISCO_INFO "http://jabber.org/protocol/disco#info"
#define NS_DISCO_ITEMS "http://jabber.org/protocol/disco#items"
#define NS_PING "urn:xmpp:ping"
#define NS_TIME "urn:xmpp:time"
#define NS_TIME_OLD "jabber:iq:time"
#define NS_VERSION "jabber:iq:version"

/* Whom a question is put to. No `to` at all means the account, which asks the server where it has no answer itself. */
#define TO_ACCOUNT 1u
#define TO_SERVER 2u
#define TO_OTHERS 4u	/* another account: what a server answers in its place */

struct iq_service {
	const char *name;
	const char *xmlns;
	unsigned to;
	bool get;
	bool set;
	enum stanza_error (*fn)(struct sessiond *sd, struct packet *packet, struct node *payload);
};

static enum stanza_error
service_empty(struct sessiond *sd, struct packet *packet, struct node *payload)
{
	(void)payload;
	packet_answer(sd, packet, stanza_result(packet->stanza));
	return 0;
}

static enum stanza_error
service_version(struct sessiond *sd, struct packet *packet, struct node *payload)
{
	struct node *answer = stanza_result(packet->stanza);
	struct node *query = node_add(answer, "query", payload->xmlns);

	node_add_field(query, "name", "c2sd");
	node_add_field(query, "version", C2SD_VERSION);
	packet_answer(sd, packet, answer);
	return 0;
}

/* XEP-0202, and XEP-0090 for clients of before. */
static enum stanza_error
service_time(struct sessiond *sd, struct packet *packet, struct node *payload)
{
	struct node *answer = stanza_result(packet->stanza);
	struct node *node = node_add(answer, payload->name, payload->xmlns);
	bool old = strcmp(payload->xmlns, NS_TIME_OLD) == 0;
	time_t now = sd->clock();
	struct tm utc;
	char text[64];

	gmtime_r(&now, &utc);
	strftime(text, sizeof text, old ? "%Y%m%dT%H:%M:%S" : "%Y-%m-%dT%H:%M:%SZ", &utc);
	node_add_field(node, "utc", text);
	node_add_field(node, old ? "tz" : "tzo", old ? "UTC" : "+00:00");
	if (old) {
		strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &utc);
		node_add_field(node, "display", text);
	}
	packet_answer(sd, packet, answer);
	return 0;
}

static void
features_add(struct sessiond *sd, struct node *query)
{
	static const char *const features[] = {
		NS_DISCO_INFO, NS_DISCO_ITEMS, NS_PING, NS_TIME, NS_VERSION, NS_PRIVATE, NS_ROSTER, NS_VCARD,
		"msgoffline",
	};

	for (unsigned i = 0; i < sizeof features / sizeof features[0]; i++)
		node_set(node_add(query, "feature", NS_DISCO_INFO), "var", features[i]);
	if (sd->settings->registration)
		node_set(node_add(query, "feature", NS_DISCO_INFO), "var", NS_REGISTER);
}

static enum stanza_error
service_disco_info(struct sessiond *sd, struct packet *packet, struct node *payload)
{
	struct node *answer = stanza_result(packet->stanza);
	struct node *query = node_add(answer, "query", NS_DISCO_INFO);
	struct node *identity = node_add(query, "identity", NS_DISCO_INFO);
	const char *to = node_get(packet->stanza, "to");

	if (node_get(payload, "node") != NULL)
		return STANZA_ITEM_NOT_FOUND;
	if (to != NULL && strchr(to, '@') == NULL) {
		node_set(identity, "category", "server");
		node_set(identity, "type", "im");
		node_set(identity, "name", "c2sd");
		features_add(sd, query);
	} else {
		node_set(identity, "category", "account");
		node_set(identity, "type", "registered");
		node_set(node_add(query, "feature", NS_DISCO_INFO), "var", NS_DISCO_INFO);
	}
	packet_answer(sd, packet, answer);
	return 0;
}

static enum stanza_error
service_disco_items(struct sessiond *sd, struct packet *packet, struct node *payload)
{
	struct node *answer = stanza_result(packet->stanza);

	if (node_get(payload, "node") != NULL)
		return STANZA_ITEM_NOT_FOUND;
	node_add(answer, "query", NS_DISCO_ITEMS);
	packet_answer(sd, packet, answer);
	return 0;
}

static enum stanza_error
service_register(struct sessiond *sd, struct packet *packet, struct node *payload)
{
	(void)payload;
	return registration_handle(sd, packet);
}

static const struct iq_service services[] = {
	{ "query", NS_ROSTER, TO_ACCOUNT, true, true, roster_handle },
	{ "query", NS_PRIVATE, TO_ACCOUNT, true, true, private_handle },
	{ "vCard", NS_VCARD, TO_ACCOUNT | TO_OTHERS, true, true, private_vcard },
	{ "query", NS_REGISTER, TO_ACCOUNT | TO_SERVER, true, true, service_register },
	/* RFC 6120 7.7.2.3: one resource is bound. */
	{ "bind", NS_BIND, TO_ACCOUNT | TO_SERVER, false, false, NULL },
	{ "session", NS_SESSION, TO_ACCOUNT | TO_SERVER, false, true, service_empty },
	{ "ping", NS_PING, TO_ACCOUNT | TO_SERVER, true, false, service_empty },
	{ "query", NS_DISCO_INFO, TO_ACCOUNT | TO_SERVER, true, false, service_disco_info },
	{ "query", NS_DISCO_ITEMS, TO_ACCOUNT | TO_SERVER, true, false, service_disco_items },
	{ "query", NS_VERSION, TO_ACCOUNT | TO_SERVER, true, false, service_version },
	{ "time", NS_TIME, TO_ACCOUNT | TO_SERVER, true, false, service_time },
	{ "query", NS_TIME_OLD, TO_ACCOUNT | TO_SERVER, true, false, service_time },
};

static enum stanza_error
iq_serve(struct sessiond *sd, struct packet *packet, unsigned to)
{
	struct node *payload = node_child(packet->stanza);
	bool set = node_has(packet->stanza, "type", "set");

	/* Answers to what we asked (roster pushes) need nothing done. */
	if (!stanza_wants_error(packet->stanza))
		return 0;
	for (unsigned i = 0; i < sizeof services / sizeof services[0]; i++) {
		const struct iq_service *service = &services[i];

		if (!node_is(payload, service->name, service->xmlns) || (service->to & to) == 0)
			continue;
		return (set ? service->set : service->get) ? service->fn(sd, packet, payload) : STANZA_NOT_ALLOWED;
	}
	return STANZA_SERVICE_UNAVAILABLE;
}

/* RFC 6121 8.5.3.2.3. */
static enum stanza_error
iq_to_resource(struct sessiond *sd, struct packet *packet, const struct jid *to)
{
	const struct session *session;
	char address[JID_SIZE];

	jid_write_full(to, address);
	session = session_find(sd, address);
	if (session == NULL)
		return STANZA_SERVICE_UNAVAILABLE;
	link_send(sd, packet->stanza, session->id, session->user->jid);
	return 0;
}

/* RFC 6120 8.2.3: one of four types, and exactly one child in a question. */
static bool
iq_is_valid(const struct node *stanza)
{
	const struct node *child = node_child(stanza);

	if (node_has(stanza, "type", "get") || node_has(stanza, "type", "set"))
		return child != NULL && node_next(child) == NULL;
	return node_has(stanza, "type", "result") || node_has(stanza, "type", "error");
}

enum stanza_error
iq_handle(struct sessiond *sd, struct packet *packet)
{
	const char *to = node_get(packet->stanza, "to");
	struct jid jid;
	char bare[JID_SIZE];

	if (!iq_is_valid(packet->stanza))
		return STANZA_BAD_REQUEST;
	if (to == NULL)
		return iq_serve(sd, packet, TO_ACCOUNT);
	if (!jid_parse(&jid, to))
		return STANZA_JID_MALFORMED;
	if (!settings_has_host(sd->settings, jid.domain))
		return STANZA_REMOTE_SERVER_NOT_FOUND;
	if (jid.local[0] == '\0')
		return jid.resource[0] == '\0' ? iq_serve(sd, packet, TO_SERVER) : STANZA_SERVICE_UNAVAILABLE;
	if (jid.resource[0] != '\0')
		return iq_to_resource(sd, packet, &jid);
	jid_write_bare(&jid, bare);
	return iq_serve(sd, packet, strcmp(bare, packet->session->user->jid) == 0 ? TO_ACCOUNT : TO_OTHERS);
}

void
iq_return(struct sessiond *sd, struct node *stanza, const char *jid)
{
	const char *from = node_get(stanza, "from");

	/* Our own questions (roster pushes) have no sender to be told. */
	if (from != NULL && strcmp(from, jid) != 0)
		message_refuse_sender(sd, stanza, STANZA_SERVICE_UNAVAILABLE);
}
