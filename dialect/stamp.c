#include "dialect/stamp.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "dialect/wellformed.h"

const char *const stamp_names[] = { "sto", "sfrom", NULL };

static struct range *
place_of(struct stamp *stamp, struct range name)
{
	if (range_equals(name, "sto"))
		return &stamp->sto;
	if (range_equals(name, "sfrom"))
		return &stamp->sfrom;
	if (range_equals(name, "to"))
		return &stamp->to;
	if (range_equals(name, "from"))
		return &stamp->from;
	if (range_equals(name, "id"))
		return &stamp->id;
	if (range_equals(name, "type"))
		return &stamp->type;
	return NULL;
}

void
stamp_read(struct stamp *stamp_r, const struct element *element)
{
	struct attribute attribute = { 0 };

	*stamp_r = (struct stamp){ 0 };
	while (element_next_attribute(element, &attribute)) {
		struct range *place = place_of(stamp_r, attribute.name);

		if (place != NULL && place->at == NULL)
			*place = attribute.value;
	}
	/* Nobody is called "". */
	if (stamp_r->sfrom.length == 0)
		stamp_r->sfrom = (struct range){ 0 };
}

bool
stamp_may_hold_error(const struct element *element)
{
	static const char error[] = "<error";

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
	if (!stamp_may_hold_error(element))
		return false;
	while (element_next_child(element, &child)) {
		count++;
		if (range_equals(child.name, "error") && element_attribute_is(&child, "code", "510"))
			found = true;
	}
	*alone_r = count == 1;
	return found;
}

/* Nearly every packet is done with by its name. */
static bool
is_ask(const struct element *element)
{
	struct range xmlns;

	return range_equals(element->name, "settle") && element_attribute(element, "xmlns", &xmlns) &&
	    range_decodes_to(xmlns, STAMP_NS_SETTLE);
}

void
stamp_packet(struct packet *packet_r, const struct element *element, const struct stamp *stamp)
{
	struct address address;
	bool alone;

	*packet_r = (struct packet){ .kind = PACKET_LOST, .address = stamp->sfrom, .from = stamp->from };
	packet_r->disconnect = holds_disconnect(element, &alone);
	if (!address_read(&address, stamp->sto))
		return;
	packet_r->name = address.host;
	if (address.user.at == NULL) {
		packet_r->kind = PACKET_OWN;
		return;
	}
	/* No id of ours has a resource: with one it is none of ours as a whole, and goes back like one that is gone. */
	packet_r->id = address.resource.at == NULL ? address.user : stamp->sto;
	packet_r->kind = packet_r->disconnect && range_decodes_to(stamp->type, "error") ? PACKET_DISCONNECT : PACKET_DATA;
	if (packet_r->kind == PACKET_DATA && !packet_r->disconnect && is_ask(element))
		packet_r->kind = PACKET_ASK;
	packet_r->expendable = packet_r->kind == PACKET_DISCONNECT && alone && stamp->from.at == NULL &&
	    stamp->to.at == NULL && stamp->id.at == NULL;
}

static void
believe(struct packet *packet, const void *bytes, size_t length)
{
	if (packet->kind != PACKET_LOGIN && packet->kind != PACKET_SESSION && packet->kind != PACKET_DISCONNECT)
		return;
	if (wellformed_fault(bytes, length) == NULL)
		return;
	packet->kind = PACKET_DATA;
	packet->expendable = packet->certain = false;
}

void
stamp_link_read(struct packet *packet_r, const void *bytes, size_t length,
    void (*read)(struct packet *packet_r, const struct element *element, const struct stamp *stamp))
{
	struct element element;
	struct stamp stamp;

	*packet_r = (struct packet){ .kind = PACKET_LOST };
	if (!element_read_complete(&element, bytes, length))
		return;
	stamp_read(&stamp, &element);
	read(packet_r, &element, &stamp);
	believe(packet_r, bytes, length);
}

bool
stamp_arrive(struct element *element_r, struct stamp *stamp_r, struct packet *packet_r, const void *bytes,
    size_t length, void (*read)(struct packet *packet_r, const struct element *element, const struct stamp *stamp))
{
	if (wellformed_fault(bytes, length) != NULL || !element_read_complete(element_r, bytes, length))
		return false;
	stamp_read(stamp_r, element_r);
	read(packet_r, element_r, stamp_r);
	return packet_r->kind != PACKET_LOST && packet_r->kind != PACKET_OWN;
}

bool
stamp_ends(const struct packet *packet, const struct dialect_client *client)
{
	const char *address = client->address != NULL ? client->address : client->host;

	return address != NULL && dialect_ends_session(packet, address);
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

/* The packet turned round, up to its attributes. False: it does not say where it comes from, or cannot be read. */
static bool
turn_begin(struct edit *edit_r, struct element *element_r, struct stamp *stamp_r, struct buffer *out, const void *bytes,
    size_t length, const char *type)
{
	static const char *const replaced[] = { "sto", "sfrom", "type", NULL };

	if (!element_read_complete(element_r, bytes, length))
		return false;
	stamp_read(stamp_r, element_r);
	/* What is no XML would cost a session manager the link that it comes back on. */
	if (stamp_r->sfrom.at == NULL || wellformed_fault(bytes, length) != NULL)
		return false;
	*edit_r = edit_begin(out, element_r);
	edit_copy(edit_r, range_end(element_r->name));
	edit_put_attribute_raw(out, "sto", stamp_r->sfrom);
	edit_put_attribute_raw(out, "sfrom", stamp_r->sto);
	edit_put_attribute(out, "type", type);
	edit_cut_attributes(edit_r, element_r, replaced);
	return true;
}

void
stamp_answer(struct buffer *out, const void *bytes, size_t length)
{
	struct element element;
	struct stamp stamp;
	struct edit edit;

	if (turn_begin(&edit, &element, &stamp, out, bytes, length, "result"))
		edit_finish(&edit);
}

void
stamp_bounce(struct buffer *out, const void *bytes, size_t length)
{
	struct element element;
	struct stamp stamp;
	struct edit edit;

	if (!turn_begin(&edit, &element, &stamp, out, bytes, length, "error"))
		return;
	if (element_is_empty_tag(&element)) {
		edit_copy(&edit, edit.end - strlen("/>"));
		buffer_append_string(out, ">");
		append_disconnected(out, stamp.type);
		append_end_tag(out, element.name);
	} else {
		edit_copy(&edit, range_end(element.content));
		append_disconnected(out, stamp.type);
		edit_finish(&edit);
	}
}

void
stamp_append_own_address(struct buffer *out, const char *id, const char *name)
{
	buffer_append_string(out, " sfrom='");
	buffer_append_escaped(out, id, strlen(id));
	buffer_append_string(out, "@");
	buffer_append_escaped(out, name, strlen(name));
	buffer_append_string(out, "'");
}

void
stamp_append_end(struct buffer *out, const char *id, const char *name, const char *address)
{
	buffer_append_string(out, "<message");
	edit_put_attribute(out, "sto", address);
	stamp_append_own_address(out, id, name);
	edit_put_attribute(out, "type", "error");
	buffer_append_string(out, ">");
	append_disconnected(out, (struct range){ 0 });
	append_end_tag(out, (struct range){ "message", strlen("message") });
}

/* In one pass, as above. */
static void
read_genuine(const struct element *element, struct range *sto_r, struct range *sfrom_r, struct range *xmlns_r)
{
	struct attribute attribute = { 0 };

	*sto_r = *sfrom_r = *xmlns_r = (struct range){ 0 };
	while (element_next_attribute(element, &attribute)) {
		if (range_equals(attribute.name, "sto"))
			*sto_r = attribute.value;
		else if (range_equals(attribute.name, "sfrom"))
			*sfrom_r = attribute.value;
		else if (range_equals(attribute.name, "xmlns"))
			*xmlns_r = attribute.value;
	}
}

/* Could some session manager take it for what belongs to the stream or the link itself? Or for our word on a client? */
static bool
is_of_link(struct range name, struct range xmlns)
{
	return (xmlns.at != NULL && range_decodes_to(xmlns, "http://etherx.jabber.org/streams")) ||
	    (xmlns.at != NULL && range_equals(name, "settle") && range_decodes_to(xmlns, STAMP_NS_SETTLE)) ||
	    memchr(name.at, ':', name.length) != NULL || range_equals(name, "route") || range_equals(name, "handshake");
}

bool
stamp_is_genuine(struct element *element_r, const void *bytes, size_t length, const char *id, const char *name,
    const char *address, struct range *to_r)
{
	struct address to, from;
	struct range sto, sfrom, xmlns;

	if (wellformed_fault(bytes, length) != NULL || !element_read_complete(element_r, bytes, length))
		return false;
	read_genuine(element_r, &sto, &sfrom, &xmlns);
	if (sto.at == NULL || sfrom.at == NULL || is_of_link(element_r->name, xmlns))
		return false;
	if (!address_read(&from, sfrom) || !range_decodes_to(from.user, id) || !range_decodes_to(from.host, name) ||
	    from.resource.at != NULL)
		return false;
	if (address != NULL)
		return range_decodes_to(sto, address);
	*to_r = sto;
	return address_read(&to, sto) && to.user.at == NULL;
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

void
stamp_cut_510(struct edit *edit, const struct element *error)
{
	struct attribute attribute = { 0 };

	while (element_next_attribute(error, &attribute))
		if (range_equals(attribute.name, "code") && reads_as_510(attribute.value))
			edit_cut(edit, attribute.whole);
}

static bool
is_own_answer(const struct element *element, struct range jid)
{
	struct range from, to;

	return jid.at != NULL && range_equals(element->name, "iq") && element_attribute(element, "from", &from) &&
	    range_decodes_to_bytes(from, jid.at, jid.length) && !element_attribute(element, "to", &to) &&
	    (element_attribute_is(element, "type", "result") || element_attribute_is(element, "type", "error"));
}

void
stamp_deliver(struct buffer *down, const struct element *element, struct range jid)
{
	static const char *const unsigned_names[] = { "sto", "sfrom", "from", NULL };
	struct edit edit = edit_begin(down, element);

	edit_cut_attributes(&edit, element, is_own_answer(element, jid) ? unsigned_names : stamp_names);
	edit_finish(&edit);
}

void
stamp_strip(struct buffer *down, const struct element *element)
{
	stamp_deliver(down, element, (struct range){ 0 });
}

int
stamp_take_address(struct dialect_client *client, struct range raw)
{
	char *address = range_strdup_decoded(raw);

	if (address == NULL)
		return -ENOMEM;
	if (strlen(address) > DIALECT_ADDRESS_MAX) {
		free(address);
		return -EMSGSIZE;
	}
	client->address = address;
	return 0;
}
