#include "worker/reply.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const char *
reply_stream_id(uint64_t stream_id, char *text)
{
	snprintf(text, 17, "%016" PRIx64, stream_id);
	return text;
}

void
reply_header(struct buffer *down, bool modern, const char *host, const char *stream_id, const char *lang)
{
	buffer_append_string(down, "<?xml version='1.0'?><stream:stream xmlns='jabber:client' "
	    "xmlns:stream='http://etherx.jabber.org/streams' id='");
	buffer_append_escaped(down, stream_id, strlen(stream_id));
	buffer_append_string(down, "' from='");
	buffer_append_escaped(down, host, strlen(host));
	if (modern) {
		buffer_append_string(down, "' version='1.0' xml:lang='");
		buffer_append_escaped(down, lang, strlen(lang));
	}
	buffer_append_string(down, "'>");
}

void
reply_limits(struct buffer *down, uint32_t max_bytes, uint32_t idle_seconds)
{
	buffer_append_format(down, "<limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>%" PRIu32 "</max-bytes>", max_bytes);
	if (idle_seconds > 0)
		buffer_append_format(down, "<idle-seconds>%" PRIu32 "</idle-seconds>", idle_seconds);
	buffer_append_string(down, "</limits>");
}

void
reply_error(struct buffer *down, bool modern, enum stream_condition condition, const char *text, const char *detail)
{
	if (!modern) {
		if (text == NULL)
			text = condition_name(condition);
		buffer_append_string(down, "<stream:error>");
		buffer_append_escaped(down, text, strlen(text));
		buffer_append_string(down, "</stream:error>");
		return;
	}
	buffer_append_format(down, "<stream:error><%s xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>",
	    condition_name(condition));
	if (text != NULL) {
		buffer_append_string(down, "<text xmlns='urn:ietf:params:xml:ns:xmpp-streams' xml:lang='en'>");
		buffer_append_escaped(down, text, strlen(text));
		buffer_append_string(down, "</text>");
	}
	if (detail != NULL)
		buffer_append_format(down, "<%s xmlns='urn:xmpp:errors'/>", detail);
	buffer_append_string(down, "</stream:error>");
}

void
reply_end(struct buffer *down)
{
	buffer_append_string(down, "</stream:stream>");
}
