#include "dialect/splitter.h"

#include <string.h>

/* What the next byte belongs to. OUTSIDE is 0, so that zeroed memory is a new splitter. */
enum splitter_state {
	OUTSIDE,	/* text, or what stands between elements */
	OPENED,		/* behind < */
	START_TAG,
	SINGLE_QUOTED,	/* in an attribute's value */
	DOUBLE_QUOTED,
	EMPTY_TAG,	/* behind the / of a start tag, which must be its last but one */
	END_TAG_NAME,	/* behind </ */
	END_TAG,
	DECLARATION,	/* behind <! and not yet known to be a comment or CDATA */
	COMMENT,
	CDATA,
	INSTRUCTION,
	ENDED,		/* behind the root's end tag */
	BROKEN,
	TOO_LONG,
};

/* One call of splitter_next. */
struct scan {
	const char *bytes;
	size_t length;
	size_t at;
};

/* The bytes at which the scan of a tag stops: its end, quotes, and what must not be there. */
static const bool tag_stops[256] = { ['>'] = true, ['/'] = true, ['\''] = true, ['"'] = true, ['<'] = true };

static bool
is_space(char c)
{
	return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static bool
is_name_start(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == ':' || (c & 0x80) != 0;
}

/* Step to the byte in question; false when it is not there, with everything scanned. */
static bool
scan_to(struct scan *scan, char byte)
{
	const char *found = memchr(scan->bytes + scan->at, byte, scan->length - scan->at);

	scan->at = found == NULL ? scan->length : (size_t)(found - scan->bytes);
	return found != NULL;
}

/* Likewise to any of tag_stops: names are short, and a table is faster than a call for each. */
static inline bool
scan_to_stop(struct scan *scan)
{
	size_t at = scan->at;

	while (at < scan->length && !tag_stops[(uint8_t)scan->bytes[at]])
		at++;
	scan->at = at;
	return at < scan->length;
}

static enum splitter_event_type
start_tag_done(struct splitter *splitter)
{
	splitter->state = OUTSIDE;
	return splitter->depth++ == 0 ? SPLITTER_HEADER : SPLITTER_MORE;
}

static enum splitter_event_type
scan_empty_tag(struct splitter *splitter, struct scan *scan)
{
	if (scan->bytes[scan->at++] != '>' || splitter->depth == 0)
		return SPLITTER_BROKEN;
	splitter->state = OUTSIDE;
	return splitter->depth == 1 ? SPLITTER_ELEMENT : SPLITTER_MORE;
}

/* Scan to behind the quote that ends the value; false when it is not there. */
static inline bool
scan_quoted(struct splitter *splitter, struct scan *scan, char quote)
{
	if (!scan_to(scan, quote)) {
		splitter->state = quote == '"' ? DOUBLE_QUOTED : SINGLE_QUOTED;
		return false;
	}
	scan->at++;
	splitter->state = START_TAG;
	return true;
}

static enum splitter_event_type
scan_start_tag(struct splitter *splitter, struct scan *scan)
{
	char stop;

	do {
		if (!scan_to_stop(scan))
			return SPLITTER_MORE;
		stop = scan->bytes[scan->at++];
	} while ((stop == '\'' || stop == '"') && scan_quoted(splitter, scan, stop));
	switch (stop) {
	case '\'':
	case '"':
		return SPLITTER_MORE;
	case '/':
		splitter->state = EMPTY_TAG;
		return SPLITTER_MORE;
	case '>':
		return start_tag_done(splitter);
	default:
		return SPLITTER_BROKEN;
	}
}

static enum splitter_event_type
scan_end_tag(struct splitter *splitter, struct scan *scan)
{
	if (!scan_to_stop(scan))
		return SPLITTER_MORE;
	/* Who looks for the end tag from behind relies on there being no other < in it. */
	if (scan->bytes[scan->at++] != '>')
		return SPLITTER_BROKEN;
	splitter->state = OUTSIDE;
	splitter->depth--;
	if (splitter->depth > 1)
		return SPLITTER_MORE;
	return splitter->depth == 1 ? SPLITTER_ELEMENT : SPLITTER_END;
}

static enum splitter_event_type
scan_end_tag_name(struct splitter *splitter, struct scan *scan)
{
	if (scan->at == scan->length)
		return SPLITTER_MORE;
	if (!is_name_start(scan->bytes[scan->at]))
		return SPLITTER_BROKEN;
	splitter->state = END_TAG;
	return scan_end_tag(splitter, scan);
}

static enum splitter_event_type
scan_opened(struct splitter *splitter, struct scan *scan)
{
	char c = scan->bytes[scan->at++];

	if (is_name_start(c)) {
		splitter->state = START_TAG;
		return scan_start_tag(splitter, scan);
	}
	if (c == '/' && splitter->depth > 0) {
		splitter->state = END_TAG_NAME;
		return scan_end_tag_name(splitter, scan);
	}
	if (c != '!' && c != '?')
		return SPLITTER_BROKEN;
	splitter->state = c == '!' ? DECLARATION : INSTRUCTION;
	return SPLITTER_MORE;
}

static enum splitter_event_type
scan_outside(struct splitter *splitter, struct scan *scan)
{
	if (splitter->depth > 1 || splitter->mixed) {
		if (!scan_to(scan, '<'))
			return SPLITTER_MORE;
	} else {
		while (scan->at < scan->length && is_space(scan->bytes[scan->at]))
			scan->at++;
		if (scan->at == scan->length)
			return SPLITTER_MORE;
		if (scan->bytes[scan->at] != '<')
			return SPLITTER_BROKEN;
	}
	splitter->markup = scan->at;
	if (splitter->depth <= 1)
		splitter->begin = scan->at;
	splitter->state = OPENED;
	scan->at++;
	return scan->at < scan->length ? scan_opened(splitter, scan) : SPLITTER_MORE;
}

static enum splitter_event_type
scan_declaration(struct splitter *splitter, struct scan *scan)
{
	static const char comment[] = "--", cdata[] = "[CDATA[";
	const char *opener = scan->bytes + splitter->markup + 2;
	size_t length = ++scan->at - (splitter->markup + 2);

	if (length <= sizeof(comment) - 1 && memcmp(opener, comment, length) == 0) {
		if (length == sizeof(comment) - 1)
			splitter->state = COMMENT;
		return SPLITTER_MORE;
	}
	if (length > sizeof(cdata) - 1 || memcmp(opener, cdata, length) != 0)
		return SPLITTER_BROKEN;
	if (length == sizeof(cdata) - 1) {
		if (splitter->depth <= 1 && !splitter->mixed)
			return SPLITTER_BROKEN;
		splitter->state = CDATA;
	}
	return SPLITTER_MORE;
}

/* Scan to the end of what ends with `tail`; `opener` bytes at its beginning do not belong to that. */
static enum splitter_event_type
scan_until(struct splitter *splitter, struct scan *scan, size_t opener, const char *tail)
{
	size_t length = strlen(tail);

	while (scan_to(scan, '>')) {
		const char *end = scan->bytes + ++scan->at;

		if (scan->at - splitter->markup >= opener + length && memcmp(end - length, tail, length) == 0) {
			splitter->state = OUTSIDE;
			/* However it is cut: what had to be kept while it was not complete counts. */
			if (splitter->depth <= 1 && scan->at - splitter->begin > splitter->element_max)
				return SPLITTER_TOO_LONG;
			break;
		}
	}
	return SPLITTER_MORE;
}

static enum splitter_event_type
scan_ended(struct scan *scan)
{
	return is_space(scan->bytes[scan->at++]) ? SPLITTER_MORE : SPLITTER_BROKEN;
}

static inline enum splitter_event_type
scan_step(struct splitter *splitter, struct scan *scan)
{
	switch ((enum splitter_state)splitter->state) {
	case OUTSIDE:
		return scan_outside(splitter, scan);
	case OPENED:
		return scan_opened(splitter, scan);
	case START_TAG:
		return scan_start_tag(splitter, scan);
	case SINGLE_QUOTED:
		scan_quoted(splitter, scan, '\'');
		return SPLITTER_MORE;
	case DOUBLE_QUOTED:
		scan_quoted(splitter, scan, '"');
		return SPLITTER_MORE;
	case EMPTY_TAG:
		return scan_empty_tag(splitter, scan);
	case END_TAG_NAME:
		return scan_end_tag_name(splitter, scan);
	case END_TAG:
		return scan_end_tag(splitter, scan);
	case DECLARATION:
		return scan_declaration(splitter, scan);
	case COMMENT:
		return scan_until(splitter, scan, strlen("<!--"), "-->");
	case CDATA:
		return scan_until(splitter, scan, strlen("<![CDATA["), "]]>");
	case INSTRUCTION:
		return scan_until(splitter, scan, strlen("<?"), "?>");
	case ENDED:
		return scan_ended(scan);
	case BROKEN:
	case TOO_LONG:
	default:
		return SPLITTER_BROKEN;
	}
}

static enum splitter_event_type
splitter_fail(struct splitter *splitter, enum splitter_event_type type, struct splitter_event *event_r)
{
	splitter->state = type == SPLITTER_TOO_LONG ? TOO_LONG : BROKEN;
	event_r->type = type;
	return type;
}

/* Everything was looked at and nothing is complete. */
static enum splitter_event_type
splitter_wait(struct splitter *splitter, const struct scan *scan, struct splitter_event *event_r)
{
	if (splitter->state == ENDED || (splitter->state == OUTSIDE && splitter->depth <= 1)) {
		/* Looked at again if the caller keeps it: harmless, and so it need not say whether it did. */
		event_r->skip = scan->length;
		splitter->scanned = 0;
		return SPLITTER_MORE;
	}
	if (scan->length - splitter->begin > splitter->element_max)
		return splitter_fail(splitter, SPLITTER_TOO_LONG, event_r);
	splitter->scanned = scan->length;
	return SPLITTER_MORE;
}

void
splitter_init(struct splitter *splitter, size_t element_max)
{
	*splitter = (struct splitter){ .element_max = element_max };
}

enum splitter_event_type
splitter_next(struct splitter *splitter, const void *bytes, size_t length, struct splitter_event *event_r)
{
	struct scan scan = { .bytes = bytes, .length = length, .at = splitter->scanned };
	enum splitter_event_type type = SPLITTER_MORE;

	*event_r = (struct splitter_event){ .type = SPLITTER_MORE };
	if (splitter->state == BROKEN)
		return splitter_fail(splitter, SPLITTER_BROKEN, event_r);
	if (splitter->state == TOO_LONG)
		return splitter_fail(splitter, SPLITTER_TOO_LONG, event_r);
	while (type == SPLITTER_MORE && scan.at < length)
		type = scan_step(splitter, &scan);
	if (type == SPLITTER_MORE)
		return splitter_wait(splitter, &scan, event_r);
	if (type == SPLITTER_BROKEN || type == SPLITTER_TOO_LONG)
		return splitter_fail(splitter, type, event_r);
	if (scan.at - splitter->begin > splitter->element_max)
		return splitter_fail(splitter, SPLITTER_TOO_LONG, event_r);
	if (type == SPLITTER_END)
		splitter->state = ENDED;
	event_r->type = type;
	event_r->skip = splitter->begin;
	event_r->length = scan.at - splitter->begin;
	splitter->scanned = splitter->begin = 0;
	return type;
}
