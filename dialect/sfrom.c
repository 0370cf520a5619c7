/*
 * The dialect of jabberd in the year 2000: sto and sfrom on every packet, 510 for what is gone (README.SM.txt, the
 * founding document; doc/link.md, "sfrom").
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "dialect/dialect.h"
#include "dialect/edit.h"
#include "dialect/element.h"
#include "dialect/login.h"
#include "dialect/wellformed.h"

/* For an iq before login that has no id: its answer is known by the id. The client sees it in the answer. */
#define LOGIN_ID "c2sd-login"
#define REGISTER_ID "c2sd-register"

static const char *const stamps[] = { "sto", "sfrom", NULL };

static void
sfrom_link_header(struct buffer *out, const char *name)
{
	/* No session manager of this dialect looks at the root; none was ever sent a name in it. */
	(void)name;
	buffer_append_string(out,
	    "<stream:stream xmlns='jabber:sockets' xmlns:stream='http://etherx.jabber.org/streams'>");
}

/* The attributes that say whose and what a packet is, found in one pass: this is done for every packet. */
struct head {
	struct range sto, sfrom, to, from, id, type;
};

static struct range *
head_place(struct head *head, struct range name)
{
	if (range_equals(name, "sto"))
		return &head->sto;
	if (range_equals(name, "sfrom"))
		return &head->sfrom;
	if (range_equals(name, "to"))
		return &head->to;
	if (range_equals(name, "from"))
		return &head->from;
	if (range_equals(name, "id"))
		return &head->id;
	if (range_equals(name, "type"))
		return &head->type;
	return NULL;
}

static void
head_read(struct head *head_r, const struct element *element)
{
	struct attribute attribute = { 0 };

	*head_r = (struct head){ 0 };
	while (element_next_attribute(element, &attribute)) {
		struct range *place = head_place(head_r, attribute.name);

		if (place != NULL && place->at == NULL)
			*place = attribute.value;
	}
	/* Nobody is called "". */
	if (head_r->sfrom.length == 0)
		head_r->sfrom = (struct range){ 0 };
}

static bool
may_hold_error(const struct element *element)
{
	static const char error[] = "<error";

	/* Nearly every packet is done with here, at the speed of memmem. */
	return memmem(element->content.at, element->content.length, error, sizeof(error) - 1) != NULL;
}

/* Is there a 510 among the children? `alone_r`: and nothing else. */
static bool
holds_disconnect(const struct element *element, bool *alone_r)
{
	struct element child = { 0 };
	unsigned count = 0;
	bool found = false;

	*alone_r = false;
	if (!may_hold_error(element))
		return false;
	while (element_next_child(element, &child)) {
		count++;
		if (range_equals(child.name, "error") && element_attribute_is(&child, "code", "510"))
			found = true;
	}
	*alone_r = count == 1;
	return found;
}

static enum packet_kind
kind_of(const struct element *element, const struct head *head, bool disconnect)
{
	struct address address;

	if (disconnect)
		return range_decodes_to(head->type, "error") ? PACKET_DISCONNECT : PACKET_DATA;
	if (range_equals(element->name, "iq") && range_decodes_to(head->type, "result") &&
	    address_read(&address, head->sfrom) && address.user.at != NULL)
		return PACKET_LOGIN;
	return PACKET_DATA;
}

static void
read_packet(struct packet *packet_r, const struct element *element, const struct head *head)
{
	struct address address;
	bool alone;

	*packet_r = (struct packet){ .kind = PACKET_LOST, .address = head->sfrom, .from = head->from };
	packet_r->disconnect = holds_disconnect(element, &alone);
	if (!address_read(&address, head->sto))
		return;
	packet_r->name = address.host;
	if (address.user.at == NULL) {
		packet_r->kind = PACKET_OWN;
		return;
	}
	/* No id of ours has a resource: with one it is none of ours as a whole, and goes back like one that is gone. */
	packet_r->id = address.resource.at == NULL ? address.user : head->sto;
	packet_r->kind = kind_of(element, head, packet_r->disconnect);
	packet_r->expendable = packet_r->kind == PACKET_DISCONNECT && alone && head->from.at == NULL &&
	    head->to.at == NULL && head->id.at == NULL;
}

static void
sfrom_link_read(struct packet *packet_r, const void *bytes, size_t length)
{
	struct element element;
	struct head head;

	*packet_r = (struct packet){ .kind = PACKET_LOST };
	if (!element_read_complete(&element, bytes, length))
		return;
	head_read(&head, &element);
	read_packet(packet_r, &element, &head);
	/* The worker will not believe it either: it must neither give anybody an address nor end a session. */
	if ((packet_r->kind == PACKET_LOGIN || packet_r->kind == PACKET_DISCONNECT) &&
	    wellformed_fault(bytes, length) != NULL) {
		packet_r->kind = PACKET_DATA;
		packet_r->expendable = false;
	}
}

static void
append_disconnected(struct buffer *out, struct range old_type)
{
	buffer_append_string(out, "<error code='510'");
	edit_put_attribute_raw(out, "type", old_type);
	buffer_append_string(out, ">Disconnected</error>");
}

static void
append_end_tag(struct buffer *out, struct range name)
{
	buffer_append_string(out, "</");
	buffer_append(out, name.at, name.length);
	buffer_append_string(out, ">");
}

static void
sfrom_link_bounce(struct buffer *out, const void *bytes, size_t length)
{
	static const char *const replaced[] = { "sto", "sfrom", "type", NULL };
	struct element element;
	struct head head;
	struct edit edit;

	if (!element_read_complete(&element, bytes, length))
		return;
	head_read(&head, &element);
	/* What is no XML would cost a session manager the link that it comes back on. */
	if (head.sfrom.at == NULL || wellformed_fault(bytes, length) != NULL)
		return;
	edit = edit_begin(out, &element);
	edit_copy(&edit, range_end(element.name));
	edit_put_attribute_raw(out, "sto", head.sfrom);
	edit_put_attribute_raw(out, "sfrom", head.sto);
	edit_put_attribute(out, "type", "error");
	edit_cut_attributes(&edit, &element, replaced);
	if (element_is_empty_tag(&element)) {
		edit_copy(&edit, edit.end - strlen("/>"));
		buffer_append_string(out, ">");
		append_disconnected(out, head.type);
		append_end_tag(out, element.name);
	} else {
		edit_copy(&edit, range_end(element.content));
		append_disconnected(out, head.type);
		edit_finish(&edit);
	}
}

static void
append_own_address(struct buffer *out, const char *id, const char *name)
{
	buffer_append_string(out, " sfrom='");
	buffer_append_escaped(out, id, strlen(id));
	buffer_append_string(out, "@");
	buffer_append_escaped(out, name, strlen(name));
	buffer_append_string(out, "'");
}

static void
sfrom_link_end(struct buffer *out, const char *id, const char *name, const char *address, bool goodbye)
{
	(void)goodbye;
	buffer_append_string(out, "<message");
	edit_put_attribute(out, "sto", address);
	append_own_address(out, id, name);
	edit_put_attribute(out, "type", "error");
	buffer_append_string(out, ">");
	append_disconnected(out, (struct range){ 0 });
	append_end_tag(out, (struct range){ "message", strlen("message") });
}

/* Could some session manager take it for what belongs to the stream or the link itself? */
static bool
is_of_link(const struct element *element)
{
	return memchr(element->name.at, ':', element->name.length) != NULL || range_equals(element->name, "route") ||
	    range_equals(element->name, "handshake");
}

static bool
is_genuine(const void *bytes, size_t length, const char *id, const char *name, const char *address)
{
	struct element element;
	struct address to, from;
	struct range sto, sfrom;

	if (wellformed_fault(bytes, length) != NULL || !element_read_complete(&element, bytes, length) ||
	    is_of_link(&element))
		return false;
	if (!element_attribute(&element, "sto", &sto) || !element_attribute(&element, "sfrom", &sfrom))
		return false;
	if (!address_read(&from, sfrom) || !range_decodes_to(from.user, id) || !range_decodes_to(from.host, name) ||
	    from.resource.at != NULL)
		return false;
	if (address != NULL)
		return range_decodes_to(sto, address);
	return address_read(&to, sto) && to.user.at == NULL;
}

static enum dialect_verdict
sfrom_link_verify(const void *bytes, size_t length, const char *id, const char *name, const char *address,
    struct range *to_r)
{
	(void)to_r;
	return is_genuine(bytes, length, id, name, address) ? VERDICT_PACKET : VERDICT_FORGED;
}

static int
sfrom_client_header(struct dialect_client *client, const struct dialect_context *context,
    const struct dialect_header *header, struct dialect_answer *answer)
{
	(void)client;
	(void)header;
	if (context->registration)
		buffer_append_string(answer->features, "<register xmlns='http://jabber.org/features/iq-register'/>");
	buffer_append_string(answer->features, "<auth xmlns='http://jabber.org/features/iq-auth'/>");
	answer->effects = DIALECT_HEADER | DIALECT_FEATURES;
	return answer->features->failed ? -ENOMEM : 0;
}

/* Would some reader take this for the number 510? As atoi does: space, sign, digits, an overflow of 32 bits. */
static bool
reads_as_510(struct range value)
{
	bool negative = false, begun = false;
	uint32_t number = 0;
	char bytes[4];

	while (range_next_decoded(&value, bytes) > 0) {
		if (bytes[0] >= '0' && bytes[0] <= '9') {
			number = number * 10 + (uint32_t)(bytes[0] - '0');
			begun = true;
		} else if (!begun && (bytes[0] == '-' || bytes[0] == '+')) {
			negative = bytes[0] == '-';
			begun = true;
		} else if (begun || strchr(" \t\n\v\f\r", bytes[0]) == NULL) {
			break;
		}
	}
	return (negative ? 0 - number : number) == 510;
}

/* A 510 is what its sender may say, and a client may not (doc/design.md 3). */
static void
cut_510(struct edit *edit, const struct element *error)
{
	struct attribute attribute = { 0 };

	while (element_next_attribute(error, &attribute))
		if (range_equals(attribute.name, "code") && reads_as_510(attribute.value))
			edit_cut(edit, attribute.whole);
}

/* The session manager hashes with the sid that stands here: it is ours to say which stream this is. */
static void
set_sid(struct edit *edit, const struct element *query, const char *stream_id)
{
	static const char *const sid[] = { "sid", NULL };
	struct element child = { 0 };

	while (element_next_child(query, &child)) {
		if (!range_equals(child.name, "digest"))
			continue;
		edit_copy(edit, range_end(child.name));
		edit_put_attribute(edit->out, "sid", stream_id);
		edit_cut_attributes(edit, &child, sid);
	}
}

static void
edit_children(struct edit *edit, const struct element *element, const struct login *login, const char *stream_id)
{
	struct element child = { 0 };

	while (element_next_child(element, &child)) {
		if (range_equals(child.name, "error"))
			cut_510(edit, &child);
		else if (login != NULL && login->request == LOGIN_AUTH_SET && child.whole.at == login->query.whole.at)
			set_sid(edit, &child, stream_id);
	}
}

static const char *
invented_id(const struct login *login)
{
	return login->request == LOGIN_AUTH_SET ? LOGIN_ID : REGISTER_ID;
}

/* Append the client's element as it goes up. `login`: it is one, or a registration, and gets an id if it has none. */
static int
send_up(const struct dialect_context *context, const struct element *element, size_t name_end, const char *sto,
    const struct login *login, struct buffer *up)
{
	static const char *const stamps_and_id[] = { "sto", "sfrom", "id", NULL };
	bool invented = login != NULL && login->id.at == NULL;
	struct edit edit = edit_begin(up, element);

	edit_copy(&edit, element->whole.at + name_end);
	edit_put_attribute(up, "sto", sto);
	append_own_address(up, context->id, context->name);
	if (invented)
		edit_put_attribute(up, "id", invented_id(login));
	edit_cut_attributes(&edit, element, invented ? stamps_and_id : stamps);
	if (login != NULL || may_hold_error(element))
		edit_children(&edit, element, login, context->stream_id);
	edit_finish(&edit);
	return up->failed ? -ENOMEM : 0;
}

static int
refuse(const struct login *login, enum login_error error, struct buffer *down)
{
	login_answer_error(login, error, down);
	return down->failed ? -ENOMEM : 0;
}

/*
 * One iq at a time. A positive answer to a login is the session: two under way could become two sessions. And whoever
 * has not logged in must not keep the session manager busy with more than he waits for.
 */
static int
ask(struct dialect_client *client, const struct dialect_context *context, const struct element *element,
    size_t name_end, const struct login *login, struct dialect_answer *answer)
{
	if (client->asked_id != NULL)
		return refuse(login, LOGIN_ERROR_UNEXPECTED, answer->down);
	client->asked_id = login->id.at == NULL ? strdup(invented_id(login)) : range_strdup_decoded(login->id);
	if (client->asked_id == NULL)
		return -ENOMEM;
	client->asked = true;
	client->asked_login = login->request == LOGIN_AUTH_SET;
	if (client->asked_login) {
		free(client->asked_user);
		client->asked_user = range_strdup_decoded(login->username.element.content);
		if (client->asked_user == NULL)
			return -ENOMEM;
	}
	if (login->request == LOGIN_REGISTER_SET)
		client->registrations++;
	return send_up(context, element, name_end, client->host, login, answer->up);
}

static int
not_authorized(struct dialect_answer *answer)
{
	answer->effects = DIALECT_END;
	answer->condition = CONDITION_NOT_AUTHORIZED;
	answer->text = "log in first";
	return 0;
}

static int
element_before_login(struct dialect_client *client, const struct dialect_context *context,
    const struct element *element, size_t name_end, struct dialect_answer *answer)
{
	struct buffer *down = answer->down;
	struct login login;
	int result;

	/* Without a host there is nobody to ask. */
	if (client->host == NULL || client->host[0] == '\0')
		return not_authorized(answer);
	login_read(&login, element);
	switch (login.request) {
	case LOGIN_AUTH_GET:
		/* To this session manager a get is an attempt to log in. */
		login_answer_get(&login, context->digest, down);
		return down->failed ? -ENOMEM : 0;
	case LOGIN_AUTH_SET:
		result = login_is_acceptable(&login);
		if (result < 0)
			return result;
		if (result == 0)
			return refuse(&login, LOGIN_ERROR_NOT_ACCEPTABLE, down);
		return ask(client, context, element, name_end, &login, answer);
	case LOGIN_REGISTER_GET:
	case LOGIN_REGISTER_SET:
		if (!context->registration || client->registrations >= DIALECT_REGISTRATIONS_MAX)
			return refuse(&login, LOGIN_ERROR_NOT_ALLOWED, down);
		if (login.id.length > LOGIN_ID_MAX)
			return refuse(&login, LOGIN_ERROR_NOT_ACCEPTABLE, down);
		return ask(client, context, element, name_end, &login, answer);
	case LOGIN_NONE:
	default:
		return not_authorized(answer);
	}
}

static int
sfrom_client_element(struct dialect_client *client, const struct dialect_context *context, const char *bytes,
    size_t length, size_t name_end, struct dialect_answer *answer)
{
	struct element element;

	if (!element_read_complete(&element, bytes, length))
		return -EINVAL;
	if (client->address != NULL)
		return send_up(context, &element, name_end, client->address, NULL, answer->up);
	return element_before_login(client, context, &element, name_end, answer);
}

static int
take_address(struct dialect_client *client, struct range raw)
{
	char *address = range_strdup_decoded(raw);

	if (address == NULL)
		return -ENOMEM;
	if (strlen(address) > DIALECT_ADDRESS_MAX) {
		free(address);
		return -EMSGSIZE;
	}
	client->address = address;
	free(client->asked_user);
	client->asked_user = NULL;
	return 0;
}

static bool
is_answer(const struct dialect_client *client, const struct element *element, const struct head *head)
{
	return client->asked_id != NULL && client->address == NULL && range_equals(element->name, "iq") &&
	    range_decodes_to(head->id, client->asked_id);
}

/* Is it the answer to what was asked before login? A result from the host alone makes no session: no login's answer. */
static int
settle_answer(struct dialect_client *client, const struct element *element, const struct head *head,
    const struct packet *packet, struct dialect_answer *answer)
{
	bool failed = range_decodes_to(head->type, "error");
	int result = 0;

	answer->effects = DIALECT_DELIVERED;
	if (!is_answer(client, element, head))
		return 0;
	if (!failed && !(client->asked_login ? packet->kind == PACKET_LOGIN : range_decodes_to(head->type, "result")))
		return 0;
	if (client->asked_login && !failed)
		result = take_address(client, packet->address);
	if (result < 0)
		return result;
	if (client->asked_login)
		answer->effects = failed ? DIALECT_REFUSED : DIALECT_LOGGED_IN | DIALECT_BOUND;
	if (failed)
		answer->failure = dialect_error_name(element->whole.at, element->whole.length);
	free(client->asked_id);
	client->asked_id = NULL;
	client->asked = false;
	return 0;
}

/* The session manager has ended it. RFC 6120 4.9.3.3, where another login has taken its place: the owner knows. */
static int
disconnected(struct dialect_answer *answer)
{
	answer->effects = DIALECT_END;
	answer->condition = CONDITION_UNDEFINED_CONDITION;
	answer->text = "Disconnected";
	return 0;
}

static int
unreadable(struct dialect_answer *answer)
{
	answer->effects = DIALECT_UNREADABLE;
	return 0;
}

static int
sfrom_client_packet(struct dialect_client *client, const struct dialect_context *context, const char *bytes,
    size_t length, struct dialect_answer *answer)
{
	const char *address = client->address != NULL ? client->address : client->host;
	struct element element;
	struct packet packet;
	struct head head;
	struct edit edit;
	int result;

	(void)context;
	/* Its parser would end the client's stream, and the next client that gets it would be ended as well. */
	if (wellformed_fault(bytes, length) != NULL || !element_read_complete(&element, bytes, length))
		return unreadable(answer);
	head_read(&head, &element);
	read_packet(&packet, &element, &head);
	if (packet.kind == PACKET_LOST || packet.kind == PACKET_OWN)
		return unreadable(answer);
	if (address != NULL && dialect_ends_session(&packet, address))
		return disconnected(answer);
	result = settle_answer(client, &element, &head, &packet, answer);
	if (result < 0)
		return result;
	edit = edit_begin(answer->down, &element);
	edit_cut_attributes(&edit, &element, stamps);
	edit_finish(&edit);
	return answer->down->failed ? -ENOMEM : 0;
}

const struct dialect dialect_sfrom = {
	.name = "sfrom",
	.link_header = sfrom_link_header,
	.link_read = sfrom_link_read,
	.link_verify = sfrom_link_verify,
	.link_bounce = sfrom_link_bounce,
	.link_end = sfrom_link_end,
	.client_header = sfrom_client_header,
	.client_element = sfrom_client_element,
	.client_packet = sfrom_client_packet,
};
