#include "dialect/question.h"

void
question_put(struct buffer *out, const char *address, const char *id)
{
	struct address parts;

	buffer_append_format(out, " type='get' id='%s'", id);
	if (address_read(&parts, range_of_string(address))) {
		buffer_append_string(out, " to='");
		buffer_append_escaped(out, parts.host.at, parts.host.length);
		buffer_append_string(out, "'");
	}
	buffer_append_string(out, "><query xmlns='jabber:iq:time'/></iq>");
}

bool
question_is_answered(const struct element *iq, const char *id)
{
	return range_equals(iq->name, "iq") && element_attribute_is(iq, "id", id) &&
	    (element_attribute_is(iq, "type", "result") || element_attribute_is(iq, "type", "error"));
}
