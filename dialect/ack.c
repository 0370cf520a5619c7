#include "dialect/ack.h"

#include <inttypes.h>
#include <string.h>

static const struct {
	const char *name;
	enum ack_kind kind;
} kinds[] = {
	{ "a", ACK_ANSWER },
	{ "r", ACK_REQUEST },
	{ "enable", ACK_ENABLE },
	{ "enabled", ACK_ENABLED },
	{ "resume", ACK_RESUME },
	{ "resumed", ACK_RESUMED },
	{ "failed", ACK_FAILED },
};

/* By the name alone, because every packet comes by here: nearly all are known to be none by their first letter. */
static enum ack_kind
kind_of(const char *bytes, size_t length)
{
	for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
		size_t name = strlen(kinds[i].name);

		if (length > name + 2 && bytes[1] == kinds[i].name[0] && memcmp(bytes + 1, kinds[i].name, name) == 0 &&
		    memchr(" \t\r\n/>", bytes[1 + name], 6) != NULL)
			return kinds[i].kind;
	}
	return ACK_NONE;
}

/* xs:unsignedInt, in decimal digits and nothing else. */
static bool
number_read(struct range text, uint32_t *number_r)
{
	uint64_t number = 0;
	char bytes[4];

	if (text.at == NULL || text.length == 0)
		return false;
	while (range_next_decoded(&text, bytes) > 0) {
		if (bytes[0] < '0' || bytes[0] > '9')
			return false;
		number = number * 10 + (uint64_t)(bytes[0] - '0');
		if (number > UINT32_MAX)
			return false;
	}
	*number_r = (uint32_t)number;
	return true;
}

/* The attributes that count; false: this is no element of the link's own. */
static bool
attributes_read(struct ack_element *element_r, const struct element *element)
{
	struct attribute attribute = { 0 };
	struct range previous = { 0 };
	bool ours = false;

	while (element_next_attribute(element, &attribute)) {
		if (range_equals(attribute.name, "sto") || range_equals(attribute.name, "sfrom"))
			return false;
		if (range_equals(attribute.name, "xmlns"))
			ours = range_decodes_to(attribute.value, ACK_NS);
		else if (range_equals(attribute.name, "h"))
			element_r->counted = number_read(attribute.value, &element_r->h);
		else if (range_equals(attribute.name, "id"))
			element_r->id = attribute.value;
		else if (range_equals(attribute.name, "previd"))
			previous = attribute.value;
		else if (range_equals(attribute.name, "resume"))
			element_r->resume = range_decodes_to(attribute.value, "true") || range_decodes_to(attribute.value, "1");
	}
	if (previous.at != NULL)
		element_r->id = previous;
	return ours;
}

static bool
has_what_it_needs(const struct ack_element *element)
{
	switch (element->kind) {
	case ACK_ANSWER:
	case ACK_RESUMED:
		return element->counted;
	case ACK_RESUME:
		return element->counted && element->id.at != NULL;
	case ACK_NONE:
	case ACK_ENABLE:
	case ACK_ENABLED:
	case ACK_FAILED:
	case ACK_REQUEST:
	case ACK_GARBLED:
		break;
	}
	return true;
}

void
ack_read(struct ack_element *element_r, const void *bytes, size_t length)
{
	struct element element;

	enum ack_kind kind = kind_of(bytes, length);

	*element_r = (struct ack_element){ 0 };
	if (kind == ACK_NONE)
		return;
	if (!element_read_complete(&element, bytes, length) || !attributes_read(element_r, &element)) {
		*element_r = (struct ack_element){ 0 };
		return;
	}
	element_r->kind = kind;
	if (!has_what_it_needs(element_r))
		element_r->kind = ACK_GARBLED;
}

static void
id_set(struct ack *ack, struct range id)
{
	size_t length = 0, more;
	char bytes[4];

	while (id.at != NULL && (more = range_next_decoded(&id, bytes)) > 0) {
		if (length + more > ACK_ID_MAX || memchr(bytes, '\0', more) != NULL) {
			length = 0;
			break;
		}
		memcpy(ack->id + length, bytes, more);
		length += more;
	}
	ack->id[length] = '\0';
}

void
ack_begin(struct ack *ack, struct range id)
{
	*ack = (struct ack){ .on = true };
	id_set(ack, id);
}

void
ack_suspend(struct ack *ack)
{
	ack->on = ack->asked = false;
}

void
ack_forget(struct ack *ack)
{
	*ack = (struct ack){ 0 };
}

bool
ack_take(struct ack *ack, uint32_t h, uint32_t *fresh_r)
{
	uint32_t fresh = h - ack->acknowledged;

	if (fresh > ack_waiting(ack))
		return false;
	ack->acknowledged = h;
	*fresh_r = fresh;
	return true;
}

bool
ack_resume(struct ack *ack, uint32_t h, uint32_t *fresh_r)
{
	if (!ack_take(ack, h, fresh_r))
		return false;
	ack->sent = h;
	ack->on = true;
	ack->asked = false;
	return true;
}

static void
attribute_append(struct buffer *out, const char *name, const char *value)
{
	buffer_append_format(out, " %s='", name);
	buffer_append_escaped(out, value, strlen(value));
	buffer_append(out, "'", 1);
}

void
ack_write_enable(struct buffer *out)
{
	buffer_append_string(out, "<enable xmlns='" ACK_NS "' resume='true'/>");
}

void
ack_write_enabled(struct buffer *out, const struct ack *ack)
{
	buffer_append_string(out, "<enabled xmlns='" ACK_NS "'");
	if (ack->id[0] != '\0') {
		attribute_append(out, "id", ack->id);
		buffer_append_string(out, " resume='true'");
	}
	buffer_append_string(out, "/>");
}

static void
resumption_write(struct buffer *out, const char *name, const struct ack *ack)
{
	buffer_append_format(out, "<%s xmlns='" ACK_NS "'", name);
	attribute_append(out, "previd", ack->id);
	buffer_append_format(out, " h='%" PRIu32 "'/>", ack->received);
}

void
ack_write_resume(struct buffer *out, const struct ack *ack)
{
	resumption_write(out, "resume", ack);
}

void
ack_write_resumed(struct buffer *out, const struct ack *ack)
{
	resumption_write(out, "resumed", ack);
}

void
ack_write_request(struct buffer *out, struct ack *ack)
{
	buffer_append_string(out, "<r xmlns='" ACK_NS "'/>");
	ack->asked = true;
}

void
ack_write_answer(struct buffer *out, const struct ack *ack)
{
	buffer_append_format(out, "<a xmlns='" ACK_NS "' h='%" PRIu32 "'/>", ack->received);
}

void
ack_write_failed(struct buffer *out, const char *condition)
{
	buffer_append_format(out, "<failed xmlns='" ACK_NS "'><%s xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>",
	    condition);
}
