/*
 * The dialect of session managers that speak today's XMPP (doc/link.md, "xmpp"): the elements of RFC 7395 stand for the
 * header and the end of a client's stream, everything else passes as it is, with sto and sfrom on it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base64.h"
#include "common/sasl_condition.h"
#include "dialect/answer.h"
#include "dialect/dialect.h"
#include "dialect/edit.h"
#include "dialect/element.h"
#include "dialect/login.h"
#include "dialect/stamp.h"

#define NS_FRAMING "urn:ietf:params:xml:ns:xmpp-framing"
#define NS_OURS "urn:x-c2sd:"
#define NS_CONNECTION NS_OURS "connection:0"
#define NS_STREAMS "http://etherx.jabber.org/streams"
#define NS_SASL "urn:ietf:params:xml:ns:xmpp-sasl"
#define NS_SASL2 "urn:xmpp:sasl:2"
#define NS_MANAGEMENT "urn:xmpp:sm:3"

/* For an iq before login that has no id: its answer is known by the id. The client sees it in the answer. */
#define INVENTED_ID "c2sd-login"

/* How far a client's stream has come: client->stage. */
enum stage {
	STAGE_NONE,		/* nothing went up */
	STAGE_ASKED,		/* our <open/> did; theirs has not come */
	STAGE_OPEN,		/* it has, and with it our header has gone to the client */
	STAGE_ANEW,		/* it is authenticated, and its next header is awaited (RFC 6120 6.4.6) */
	STAGE_MASK = 3,
	/* The first message of that mechanism is still to come, and says whose login it is. */
	STAGE_PLAIN = 4,
	STAGE_SCRAM = 8,
};

static enum stage
stage_of(const struct dialect_client *client)
{
	return (enum stage)(client->stage & STAGE_MASK);
}

static bool
is_in(const struct element *element, const char *xmlns)
{
	return element_attribute_is(element, "xmlns", xmlns);
}

static bool
is_stanza(const struct element *element)
{
	return range_equals(element->name, "message") || range_equals(element->name, "presence") ||
	    range_equals(element->name, "iq");
}

static bool
is_sasl(const struct element *element)
{
	return !is_stanza(element) && (is_in(element, NS_SASL) || is_in(element, NS_SASL2));
}

/* ---- link half ---- */

static void
xmpp_link_header(struct buffer *out, const char *name)
{
	/* xml:lang='': what has no language is not said to have the link's (RFC 6120 8.1.5). */
	buffer_append_string(out, "<stream:stream xmlns='jabber:component:accept' xmlns:stream='" NS_STREAMS "'");
	edit_put_attribute(out, "to", name);
	buffer_append_string(out, " xml:lang=''>");
}

static bool
is_close(const struct element *element)
{
	return range_equals(element->name, "close") && is_in(element, NS_FRAMING);
}

static bool
is_stream_error(const struct element *element)
{
	return range_equals(element->name, "stream:error");
}

/* What makes a session has the full address of it as its sender, and nothing else has. */
static bool
makes_session(const struct element *element, const struct stamp *stamp)
{
	struct address address;

	if (!address_read(&address, stamp->sfrom) || address.user.at == NULL || address.resource.length == 0)
		return false;
	if (range_equals(element->name, "iq"))
		return range_decodes_to(stamp->type, "result");
	return (range_equals(element->name, "success") && is_in(element, NS_SASL2)) ||
	    (range_equals(element->name, "resumed") && is_in(element, NS_MANAGEMENT));
}

/* The answer to <enable/>, to <resume/>, or to either inside of SASL 2 (XEP-0198, XEP-0386, XEP-0388). */
static bool
manages(const struct element *element)
{
	struct element child, bound;

	if (range_equals(element->name, "enabled") || range_equals(element->name, "resumed"))
		return is_in(element, NS_MANAGEMENT);
	if (!range_equals(element->name, "success") || !is_in(element, NS_SASL2))
		return false;
	return element_find_child(element, "resumed", NS_MANAGEMENT, &child) ||
	    (element_find_child(element, "bound", NULL, &bound) &&
	    element_find_child(&bound, "enabled", NS_MANAGEMENT, &child));
}

static void
read_packet(struct packet *packet_r, const struct element *element, const struct stamp *stamp)
{
	stamp_packet(packet_r, element, stamp);
	if (packet_r->kind == PACKET_OWN || packet_r->kind == PACKET_LOST || packet_r->kind == PACKET_ASK)
		return;
	if (!is_stanza(element)) {
		packet_r->expendable = true;
		packet_r->manages = manages(element);
	}
	if (is_close(element) || is_stream_error(element)) {
		packet_r->kind = PACKET_DISCONNECT;
		packet_r->certain = packet_r->disconnect = true;
	} else if (packet_r->kind == PACKET_DATA && !packet_r->disconnect && makes_session(element, stamp)) {
		packet_r->kind = PACKET_LOGIN;
	}
}

static void
xmpp_link_read(struct packet *packet_r, const void *bytes, size_t length)
{
	stamp_link_read(packet_r, bytes, length, read_packet);
}

static void
xmpp_link_end(struct buffer *out, const char *id, const char *name, const char *address, bool goodbye)
{
	if (!goodbye) {
		stamp_append_end(out, id, name, address);
		return;
	}
	buffer_append_string(out, "<close");
	edit_put_attribute(out, "sto", address);
	stamp_append_own_address(out, id, name);
	buffer_append_string(out, " xmlns='" NS_FRAMING "'/>");
}

/* <open/> with at most a <connection/> in it. */
static bool
is_open(const struct element *element)
{
	struct element child = { 0 };
	unsigned count = 0;

	if (!range_equals(element->name, "open") || !is_in(element, NS_FRAMING))
		return false;
	while (element_next_child(element, &child)) {
		if (count++ > 0 || !range_equals(child.name, "connection") || !is_in(&child, NS_CONNECTION))
			return false;
	}
	return true;
}

/* A namespace that is between c2sd and the session manager. */
static bool
is_ours(const struct element *element)
{
	struct range xmlns, rest;
	size_t length = strlen(NS_OURS);
	char bytes[4];

	if (!element_attribute(element, "xmlns", &xmlns))
		return false;
	rest = xmlns;
	for (size_t i = 0; i < length; i++) {
		if (range_next_decoded(&rest, bytes) != 1 || bytes[0] != NS_OURS[i])
			return range_decodes_to(xmlns, NS_FRAMING);
	}
	return true;
}

static enum dialect_verdict
xmpp_link_verify(const void *bytes, size_t length, const char *id, const char *name, const char *address,
    struct range *to_r)
{
	struct element element;

	if (!stamp_is_genuine(&element, bytes, length, id, name, address, to_r))
		return VERDICT_FORGED;
	if (!is_ours(&element))
		return VERDICT_PACKET;
	return address == NULL && is_open(&element) ? VERDICT_OPENS : VERDICT_FORGED;
}

/* ---- worker half: up ---- */

static void
put_optional(struct buffer *out, const char *name, const char *value)
{
	if (value != NULL)
		edit_put_attribute(out, name, value);
}

static void
append_fact(struct buffer *up, const char *name, const char *type, const char *base64)
{
	if (base64 == NULL)
		return;
	buffer_append_format(up, "<%s", name);
	put_optional(up, "type", type);
	buffer_append_format(up, ">%s</%s>", base64, name);
}

static void
append_connection(struct buffer *up, const struct dialect_connection *connection)
{
	buffer_append_string(up, "<connection xmlns='" NS_CONNECTION "'");
	edit_put_attribute(up, "ip", connection->ip);
	buffer_append_format(up, " port='%u'", connection->port);
	edit_put_attribute(up, "transport", connection->transport);
	put_optional(up, "tls", connection->tls);
	put_optional(up, "cipher", connection->cipher);
	put_optional(up, "sni", connection->sni);
	buffer_append_string(up, ">");
	append_fact(up, "channel-binding", "tls-exporter", connection->exporter);
	append_fact(up, "channel-binding", "tls-server-end-point", connection->end_point);
	append_fact(up, "certificate", NULL, connection->certificate);
	buffer_append_string(up, "</connection>");
}

static int
xmpp_client_header(struct dialect_client *client, const struct dialect_context *context,
    const struct dialect_header *header, struct dialect_answer *answer)
{
	struct buffer *up = answer->up;

	buffer_append_string(up, "<open");
	edit_put_attribute(up, "sto", client->host);
	stamp_append_own_address(up, context->id, context->name);
	buffer_append_string(up, " xmlns='" NS_FRAMING "'");
	edit_put_attribute(up, "to", client->host);
	put_optional(up, "from", header->from);
	put_optional(up, "xml:lang", header->lang);
	if (header->version_major > 0)
		buffer_append_format(up, " version='%u.%u'", header->version_major, header->version_minor);
	buffer_append_string(up, ">");
	if (header->connection != NULL)
		append_connection(up, header->connection);
	buffer_append_string(up, "</open>");
	client->asked = true;
	client->stage = STAGE_ASKED;
	return up->failed ? -ENOMEM : 0;
}

/* Append the client's element as it goes up, with this id if that is not NULL. */
static int
send_up(const struct dialect_context *context, const struct element *element, size_t name_end, const char *sto,
    const char *id, struct buffer *up)
{
	static const char *const stamps_and_id[] = { "sto", "sfrom", "id", NULL };
	struct edit edit = edit_begin(up, element);
	struct element child = { 0 };

	edit_copy(&edit, element->whole.at + name_end);
	edit_put_attribute(up, "sto", sto);
	stamp_append_own_address(up, context->id, context->name);
	put_optional(up, "id", id);
	edit_cut_attributes(&edit, element, id == NULL ? stamp_names : stamps_and_id);
	while (stamp_may_hold_error(element) && element_next_child(element, &child)) {
		if (range_equals(child.name, "error"))
			stamp_cut_510(&edit, &child);
	}
	edit_finish(&edit);
	return up->failed ? -ENOMEM : 0;
}

/* ---- whose login is it? For the log. ---- */

/* RFC 4616 2: [authzid] NUL authcid NUL passwd */
static char *
plain_user(const char *message, size_t length)
{
	const char *end = message + length, *user = memchr(message, '\0', length), *behind;

	if (user == NULL)
		return NULL;
	user++;
	behind = memchr(user, '\0', (size_t)(end - user));
	return behind == NULL ? NULL : strndup(user, (size_t)(behind - user));
}

/* RFC 5802 5.1: "," is written as =2C, "=" as =3D. */
static void
scram_unescape(char *user)
{
	char *to = user;

	for (const char *from = user; *from != '\0'; to++) {
		bool escaped = strncmp(from, "=2C", 3) == 0 || strncmp(from, "=3D", 3) == 0;

		*to = !escaped ? *from : from[1] == '2' ? ',' : '=';
		from += escaped ? 3 : 1;
	}
	*to = '\0';
}

/* RFC 5802 7: gs2-cbind-flag "," [authzid] "," [reserved-mext ","] "n=" user "," ... */
static char *
scram_user(const char *message, size_t length)
{
	const char *at = memmem(message, length, ",n=", 3), *end;
	char *user;

	if (at == NULL)
		return NULL;
	at += 3;
	end = memchr(at, ',', (size_t)(message + length - at));
	user = end == NULL ? NULL : strndup(at, (size_t)(end - at));
	if (user != NULL)
		scram_unescape(user);
	return user;
}

/* There is a password in the message of PLAIN. */
static void
remember_user(struct dialect_client *client, struct range text)
{
	struct buffer message = { 0 };
	const char *bytes;
	size_t length;

	buffer_set_secret(&message);
	if (base64_decode(&message, text.at, text.length) && !message.failed && buffer_length(&message) > 0) {
		bytes = (const char *)buffer_bytes(&message);
		length = buffer_length(&message);
		free(client->asked_user);
		client->asked_user = (client->stage & STAGE_PLAIN) != 0 ? plain_user(bytes, length) : scram_user(bytes, length);
	}
	buffer_deinit(&message);
	client->stage &= STAGE_MASK;
}

static uint8_t
mechanism_of(const struct element *element)
{
	struct range mechanism;

	if (!element_attribute(element, "mechanism", &mechanism))
		return 0;
	if (range_decodes_to(mechanism, "PLAIN"))
		return STAGE_PLAIN;
	return mechanism.length > 6 && memcmp(mechanism.at, "SCRAM-", 6) == 0 ? STAGE_SCRAM : 0;
}

/* RFC 6120 6.4.2 and XEP-0388: where there is no initial response, the first response is it. */
static void
look_at_sasl(struct dialect_client *client, const struct element *element)
{
	bool begins = range_equals(element->name, "auth") || range_equals(element->name, "authenticate");
	struct range text = element->content;
	struct element child;

	if (begins) {
		free(client->asked_user);
		client->asked_user = NULL;
		client->stage = (uint8_t)((client->stage & STAGE_MASK) | mechanism_of(element));
	}
	if (is_in(element, NS_SASL2) && begins)
		text = element_find_child(element, "initial-response", NULL, &child) ? child.content : (struct range){ "", 0 };
	if ((client->stage & ~STAGE_MASK) != 0 && text.length > 0)
		remember_user(client, text);
}

/* ---- before login ---- */

/*
 * One thing at a time: what can be answered is answered before the client is read again. So its attempts are counted one by
 * one, and what it has sent behind them without waiting is to its session.
 */
static int
ask(struct dialect_client *client, const struct dialect_context *context, const struct element *element,
    size_t name_end, struct range id, bool login, struct dialect_answer *answer)
{
	bool invented = id.at == NULL && login;

	free(client->asked_id);
	client->asked_id = invented ? strdup(INVENTED_ID) : id.at != NULL ? range_strdup_decoded(id) : NULL;
	if (client->asked_id == NULL && (invented || id.at != NULL))
		return -ENOMEM;
	client->waits = client->asked_id != NULL;
	return send_up(context, element, name_end, client->host, invented ? INVENTED_ID : NULL, answer->up);
}

static int
ask_iq(struct dialect_client *client, const struct dialect_context *context, const struct element *element,
    size_t name_end, const struct login *login, struct dialect_answer *answer)
{
	bool registers = login->request == LOGIN_REGISTER_GET || login->request == LOGIN_REGISTER_SET;

	if (registers && (!context->registration || client->registrations >= DIALECT_REGISTRATIONS_MAX))
		return login_answer_error(login, LOGIN_ERROR_NOT_ALLOWED, answer->down);
	if (login->request != LOGIN_NONE && login->id.length > LOGIN_ID_MAX)
		return login_answer_error(login, LOGIN_ERROR_NOT_ACCEPTABLE, answer->down);
	client->registrations += login->request == LOGIN_REGISTER_SET;
	client->asked_login = login->request == LOGIN_AUTH_SET;
	if (client->asked_login) {
		free(client->asked_user);
		client->asked_user = login->username.count == 0 ? NULL :
		    range_strdup_decoded(login->username.element.content);
	}
	return ask(client, context, element, name_end, login->id, login->request != LOGIN_NONE, answer);
}

static int
element_before_login(struct dialect_client *client, const struct dialect_context *context,
    const struct element *element, size_t name_end, struct dialect_answer *answer)
{
	struct login login;

	if (client->host == NULL || stage_of(client) == STAGE_NONE || stage_of(client) == STAGE_ANEW)
		return answer_not_authorized(answer, "log in first");
	if (is_sasl(element)) {
		look_at_sasl(client, element);
		client->waits = true;
	} else if (range_equals(element->name, "iq") && (element_attribute_is(element, "type", "get") ||
	    element_attribute_is(element, "type", "set"))) {
		login_read(&login, element);
		if (login.request == LOGIN_NONE && !element_attribute(element, "id", &login.id))
			login.id = (struct range){ 0 };
		return ask_iq(client, context, element, name_end, &login, answer);
	}
	return send_up(context, element, name_end, client->host, NULL, answer->up);
}

static int
xmpp_client_element(struct dialect_client *client, const struct dialect_context *context, const char *bytes,
    size_t length, size_t name_end, struct dialect_answer *answer)
{
	struct element element;

	if (!element_read_complete(&element, bytes, length))
		return -EINVAL;
	if (client->address != NULL)
		return send_up(context, &element, name_end, client->address, NULL, answer->up);
	return element_before_login(client, context, &element, name_end, answer);
}

/* ---- worker half: down ---- */

/* The condition's element is in the streams' own namespace; others are the application's (RFC 6120 4.9.4). */
static enum stream_condition
condition_of(const struct element *error)
{
	struct element child = { 0 };
	enum stream_condition condition;

	while (element_next_child(error, &child)) {
		condition = condition_find(child.name.at, child.name.length);
		if (condition != CONDITION_NONE && is_in(&child, "urn:ietf:params:xml:ns:xmpp-streams"))
			return condition;
	}
	return CONDITION_UNDEFINED_CONDITION;
}

/* The session manager has ended the stream. */
static int
ended(const struct element *element, struct dialect_answer *answer)
{
	answer->effects = DIALECT_END;
	if (is_stream_error(element)) {
		answer->told = true;
		answer->condition = condition_of(element);
		stamp_strip(answer->down, element);
	} else if (!is_close(element)) {
		answer->condition = CONDITION_UNDEFINED_CONDITION;
		answer->text = "Disconnected";
	}
	return answer->down->failed ? -ENOMEM : 0;
}

static int
opened(struct dialect_client *client, const struct element *element, struct dialect_answer *answer)
{
	if (stage_of(client) != STAGE_ASKED || !range_equals(element->name, "open"))
		return answer_unreadable(answer);
	element_attribute(element, "id", &answer->header_id);
	element_attribute(element, "from", &answer->header_from);
	element_attribute(element, "xml:lang", &answer->header_lang);
	client->stage = (uint8_t)((client->stage & ~STAGE_MASK) | STAGE_OPEN);
	answer->effects = DIALECT_HEADER;
	return 0;
}

/* Their contents are taken out of them: what they declare would be lost. */
static bool
declares_prefix(const struct element *element)
{
	struct attribute attribute = { 0 };

	while (element_next_attribute(element, &attribute)) {
		if (attribute.name.length > 6 && memcmp(attribute.name.at, "xmlns:", 6) == 0 &&
		    !range_equals(attribute.name, "xmlns:stream"))
			return true;
	}
	return false;
}

static int
features(const struct element *element, struct dialect_answer *answer)
{
	if (declares_prefix(element))
		return answer_unreadable(answer);
	buffer_append(answer->features, element->content.at, element->content.length);
	answer->effects = DIALECT_FEATURES;
	return answer->features->failed ? -ENOMEM : 0;
}

/* Of a <failure/> (RFC 6120 6.5). */
static const char *
failure_name(const struct element *failure)
{
	struct element child = { 0 };
	enum sasl_condition condition;

	while (element_next_child(failure, &child)) {
		condition = sasl_condition_find(child.name.at, child.name.length);
		if (condition != SASL_FINE)
			return sasl_condition_name(condition);
	}
	return "undefined-condition";
}

static void
take_sasl(struct dialect_client *client, const struct element *element, struct dialect_answer *answer)
{
	client->waits = false;
	if (range_equals(element->name, "failure")) {
		answer->effects = DIALECT_REFUSED;
		answer->failure = failure_name(element);
	} else if (range_equals(element->name, "success") && is_in(element, NS_SASL)) {
		answer->effects = DIALECT_RESTART;
		client->stage = STAGE_ANEW;
	}
}

static int
logged_in(struct dialect_client *client, const struct packet *packet, struct dialect_answer *answer)
{
	int result = stamp_take_address(client, packet->address);

	if (result < 0)
		return result;
	client->waits = client->asked = false;
	answer->effects = DIALECT_LOGGED_IN | DIALECT_BOUND;
	return 0;
}

/* Is it what the client waits for? */
static void
take_answer(struct dialect_client *client, const struct element *element, const struct stamp *stamp,
    struct dialect_answer *answer)
{
	bool failed = range_decodes_to(stamp->type, "error");

	answer->effects = DIALECT_DELIVERED;
	if (client->asked_id == NULL || !range_equals(element->name, "iq") || !range_decodes_to(stamp->id, client->asked_id) ||
	    (!failed && !range_decodes_to(stamp->type, "result")))
		return;
	if (client->asked_login && failed) {
		answer->effects = DIALECT_REFUSED;
		answer->failure = dialect_error_name(element->whole.at, element->whole.length);
	}
	free(client->asked_id);
	client->asked_id = NULL;
	client->waits = client->asked_login = false;
}

static int
packet_before_login(struct dialect_client *client, const struct element *element, const struct stamp *stamp,
    const struct packet *packet, struct dialect_answer *answer)
{
	int result = 0;

	if (is_in(element, NS_FRAMING))
		return opened(client, element, answer);
	if (stage_of(client) != STAGE_OPEN)
		return answer_unreadable(answer);
	if (range_equals(element->name, "stream:features"))
		return features(element, answer);
	if (packet->kind == PACKET_LOGIN)
		result = logged_in(client, packet, answer);
	else if (is_sasl(element))
		take_sasl(client, element, answer);
	else
		take_answer(client, element, stamp, answer);
	if (result < 0)
		return result;
	stamp_strip(answer->down, element);
	return answer->down->failed ? -ENOMEM : 0;
}

static int
xmpp_client_packet(struct dialect_client *client, const struct dialect_context *context, const char *bytes,
    size_t length, struct dialect_answer *answer)
{
	struct element element;
	struct packet packet;
	struct stamp stamp;

	(void)context;
	if (!stamp_arrive(&element, &stamp, &packet, bytes, length, read_packet))
		return answer_unreadable(answer);
	if (stamp_ends(&packet, client))
		return ended(&element, answer);
	if (client->address == NULL)
		return packet_before_login(client, &element, &stamp, &packet, answer);
	if (is_in(&element, NS_FRAMING))
		return answer_unreadable(answer);
	answer->effects = DIALECT_DELIVERED;
	stamp_strip(answer->down, &element);
	return answer->down->failed ? -ENOMEM : 0;
}

const struct dialect dialect_xmpp = {
	.name = "xmpp",
	.tells_connection = true,
	.link_header = xmpp_link_header,
	.link_read = xmpp_link_read,
	.link_verify = xmpp_link_verify,
	.link_bounce = stamp_bounce,
	.link_answer = stamp_answer,
	.link_end = xmpp_link_end,
	.client_header = xmpp_client_header,
	.client_element = xmpp_client_element,
	.client_packet = xmpp_client_packet,
};
