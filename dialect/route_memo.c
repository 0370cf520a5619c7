#include "dialect/route_memo.h"

#include <stdlib.h>

#include "common/buffer.h"

/* TOO-LONG ROSTER SWALLOW STARTS JID, a line feed, PRESENCE: each of the first four is one character. */
#define FLAGS 4

bool
route_memo_read(struct route_memo *memo_r, const char *text)
{
	const char *jid, *end;

	*memo_r = (struct route_memo){ 0 };
	if (text == NULL || strlen(text) <= FLAGS)
		return false;
	jid = text + FLAGS;
	end = strchr(jid, '\n');
	if (end == NULL)
		return false;
	memo_r->too_long = text[0] == '+';
	memo_r->roster = text[1] == '+';
	memo_r->swallow = text[2] == '+';
	memo_r->starts = (unsigned)(text[3] - '0');
	memo_r->jid = (struct range){ jid, (size_t)(end - jid) };
	memo_r->presence = (struct range){ end + 1, strlen(end + 1) };
	return true;
}

char *
route_memo_write(const struct route_memo *memo)
{
	const char flags[FLAGS] = {
		memo->too_long ? '+' : '-', memo->roster ? '+' : '-', memo->swallow ? '+' : '-', (char)('0' + memo->starts),
	};
	struct buffer text = { 0 };

	if (memchr(memo->jid.at, '\n', memo->jid.length) != NULL)
		return NULL;
	buffer_append(&text, flags, sizeof flags);
	buffer_append(&text, memo->jid.at, memo->jid.length);
	buffer_append_string(&text, "\n");
	buffer_append(&text, memo->presence.at, memo->presence.length);
	buffer_append(&text, "", 1);
	if (text.failed) {
		buffer_deinit(&text);
		return NULL;
	}
	return (char *)text.data;
}

static bool
note_presence(struct route_memo *memo, const struct element *stanza)
{
	bool gone = element_attribute_is(stanza, "type", "unavailable");
	struct range value, presence = { stanza->whole.at, gone ? 0 : stanza->whole.length };

	if (element_attribute(stanza, "to", &value))
		return false;
	/* "invisible" is what jabberd had before there were lists for it. */
	if (!gone && element_attribute(stanza, "type", &value) && !range_decodes_to(value, "invisible"))
		return false;
	if (memo->presence.length == presence.length && !memo->too_long && ranges_equal(memo->presence, presence))
		return false;
	memo->too_long = presence.length > ROUTE_MEMO_PRESENCE_MAX;
	memo->presence = memo->too_long ? (struct range){ stanza->whole.at, 0 } : presence;
	return true;
}

static bool
note_roster(struct route_memo *memo, const struct element *stanza)
{
	struct element query;

	if (memo->roster || !element_attribute_is(stanza, "type", "get") ||
	    !element_find_child(stanza, "query", "jabber:iq:roster", &query))
		return false;
	memo->roster = true;
	return true;
}

bool
route_memo_note(struct route_memo *memo, const struct element *stanza)
{
	if (range_equals(stanza->name, "presence"))
		return note_presence(memo, stanza);
	return range_equals(stanza->name, "iq") && note_roster(memo, stanza);
}
