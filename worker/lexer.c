#include "worker/lexer.h"

#include <string.h>

/*
 * libxml2 stops of itself at 10,000,000 bytes of one token unless it is told to be huge, and not with an error that
 * says so. Greater limits count as this.
 */
#define LEXER_BYTES_MAX 8000000

/* What is left of a step: nothing to be said, or a tag is complete. */
enum step {
	STEP_ON,
	STEP_DECLARATION,
	STEP_START_TAG,
	STEP_EMPTY_TAG,
	STEP_END_TAG,
	STEP_REFUSED,
};

static enum step
refuse(struct lexer *lexer, enum stream_condition condition, const char *text)
{
	lexer->condition = condition;
	lexer->text = text;
	return STEP_REFUSED;
}

static enum step
refuse_above(struct lexer *lexer, enum end_limit limit, const char *text)
{
	lexer->limit = limit;
	return refuse(lexer, CONDITION_POLICY_VIOLATION, text);
}

static enum step
refuse_malformed(struct lexer *lexer, const char *text)
{
	return refuse(lexer, CONDITION_NOT_WELL_FORMED, text);
}

static bool
is_space(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool
is_letter(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool
is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

/* libxml2 knows exactly which characters beyond ASCII names are made of. */
static bool
is_name_start(uint8_t c)
{
	return is_letter(c) || c == '_' || c == ':' || c >= 0x80;
}

/* The first byte of a character: how many follow, and what the second may be (RFC 3629 section 4). */
static bool
utf8_begin(struct lexer *lexer, uint8_t c)
{
	if (c < 0xc2 || c > 0xf4)
		return false;
	lexer->utf8_missing = c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
	lexer->utf8_low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
	lexer->utf8_high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
	lexer->utf8_lead = c;
	return true;
}

static bool
utf8_go_on(struct lexer *lexer, uint8_t c)
{
	if (c < lexer->utf8_low || c > lexer->utf8_high)
		return false;
	lexer->utf8_missing--;
	lexer->utf8_low = 0x80;
	/* EF BF BE and EF BF BF are U+FFFE and U+FFFF, which are no characters of XML. */
	lexer->utf8_high = lexer->utf8_lead == 0xef && c == 0xbf && lexer->utf8_missing == 1 ? 0xbd : 0xbf;
	return true;
}

/* Is the byte one that may stand anywhere in XML, in UTF-8? */
static enum step
check_byte(struct lexer *lexer, uint8_t c)
{
	bool good;

	if (lexer->utf8_missing > 0)
		good = utf8_go_on(lexer, c);
	else if (c >= 0x80)
		good = utf8_begin(lexer, c);
	else if (c < 0x20 && !is_space(c))
		return refuse_malformed(lexer, "a control character");
	else
		good = true;
	return good ? STEP_ON : refuse_malformed(lexer, "not UTF-8");
}

static enum step
step_prolog(struct lexer *lexer, uint8_t c)
{
	if (c == '<')
		lexer->state = LEXER_IN_LESS;
	else if (!is_space(c))
		return refuse_malformed(lexer, "something stands before the stream header");
	return STEP_ON;
}

static enum step
step_text(struct lexer *lexer, uint8_t c)
{
	if (c == '<') {
		lexer->state = LEXER_IN_LESS;
	} else if (lexer->depth == 1) {
		return refuse(lexer, CONDITION_BAD_FORMAT, "text between the elements of the stream");
	} else if (c == '&') {
		lexer->back = LEXER_IN_TEXT;
		lexer->matched = 0;
		lexer->state = LEXER_IN_REFERENCE;
	}
	return STEP_ON;
}

static enum step
step_cdata(struct lexer *lexer, uint8_t c)
{
	if (c == ']') {
		if (lexer->matched < 2)
			lexer->matched++;
	} else {
		if (c == '>' && lexer->matched == 2)
			lexer->state = LEXER_IN_TEXT;
		lexer->matched = 0;
	}
	return STEP_ON;
}

static enum step
step_value(struct lexer *lexer, uint8_t c)
{
	if (c == lexer->quote) {
		lexer->last = c;
		lexer->state = LEXER_IN_TAG;
	} else if (c == '&') {
		lexer->back = LEXER_IN_VALUE;
		lexer->matched = 0;
		lexer->state = LEXER_IN_REFERENCE;
	} else if (c == '<') {
		return refuse_malformed(lexer, "< in an attribute");
	}
	return STEP_ON;
}

static enum step
step_tag(struct lexer *lexer, uint8_t c)
{
	switch (c) {
	case '>':
		return lexer->last == '/' ? STEP_EMPTY_TAG : STEP_START_TAG;
	case '<':
		return refuse_malformed(lexer, "< in a tag");
	case '"':
	case '\'':
		if (lexer->last != '=')
			return refuse_malformed(lexer, "a value without an attribute");
		if (++lexer->attributes > lexer->limits->attributes)
			return refuse_above(lexer, LIMIT_ATTRIBUTES, "too many attributes");
		lexer->quote = c;
		lexer->state = LEXER_IN_VALUE;
		return STEP_ON;
	default:
		if (!is_space(c))
			lexer->last = c;
		return STEP_ON;
	}
}

static enum step
step_end_tag(struct lexer *lexer, uint8_t c)
{
	if (c == '>')
		return STEP_END_TAG;
	if (c == '<' || c == '"' || c == '\'')
		return refuse_malformed(lexer, "an end tag that is none");
	return STEP_ON;
}

static enum step
begin_tag(struct lexer *lexer, uint8_t c)
{
	/* The root is neither counted nor deep. */
	if (lexer->depth > 0) {
		if (lexer->depth > lexer->limits->depth)
			return refuse_above(lexer, LIMIT_DEPTH, "elements nested too deeply");
		if (++lexer->elements > lexer->limits->elements)
			return refuse_above(lexer, LIMIT_ELEMENTS, "too many elements in one");
	}
	lexer->attributes = 0;
	lexer->last = c;
	lexer->state = LEXER_IN_TAG;
	return STEP_ON;
}

static enum step
step_less(struct lexer *lexer, uint8_t c)
{
	if (is_name_start(c))
		return begin_tag(lexer, c);
	lexer->matched = 0;
	if (c == '/' && lexer->depth > 0)
		lexer->state = LEXER_IN_END_TAG;
	else if (c == '!')
		lexer->state = LEXER_IN_BANG;
	else if (c != '?')
		return refuse_malformed(lexer, "< without a tag");
	else if (lexer->depth > 0 || lexer->declared)
		return refuse(lexer, CONDITION_RESTRICTED_XML, "a processing instruction");
	else
		lexer->state = LEXER_IN_QUESTION;
	return STEP_ON;
}

static enum step
step_bang(struct lexer *lexer, uint8_t c)
{
	if (c != '[')
		return refuse(lexer, CONDITION_RESTRICTED_XML, "a comment or document type");
	if (lexer->depth == 0)
		return refuse_malformed(lexer, "something stands before the stream header");
	if (lexer->depth == 1)
		return refuse(lexer, CONDITION_BAD_FORMAT, "text between the elements of the stream");
	lexer->state = LEXER_IN_CDATA_OPEN;
	return STEP_ON;
}

static enum step
step_cdata_open(struct lexer *lexer, uint8_t c)
{
	static const char word[] = "CDATA[";

	if (c != (uint8_t)word[lexer->matched])
		return refuse_malformed(lexer, "<! without CDATA");
	if (++lexer->matched == sizeof(word) - 1) {
		lexer->matched = 0;
		lexer->state = LEXER_IN_CDATA;
	}
	return STEP_ON;
}

static bool
is_predefined(const char *name, size_t length)
{
	static const char *const names[] = { "amp", "lt", "gt", "quot", "apos" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strlen(names[i]) == length && memcmp(names[i], name, length) == 0)
			return true;
	return false;
}

static enum step
step_reference(struct lexer *lexer, uint8_t c)
{
	if (c == ';' && lexer->matched > 0) {
		if (!is_predefined(lexer->name, lexer->matched))
			return refuse(lexer, CONDITION_RESTRICTED_XML, "an entity that XML does not predefine");
		lexer->state = lexer->back;
	} else if (c == '#' && lexer->matched == 0) {
		lexer->state = LEXER_IN_NUMBER;
	} else if (!is_name_start(c) && (lexer->matched == 0 || (!is_digit(c) && c != '-' && c != '.'))) {
		return refuse_malformed(lexer, "& without a reference");
	} else if (lexer->matched == sizeof(lexer->name)) {
		return refuse(lexer, CONDITION_RESTRICTED_XML, "an entity that XML does not predefine");
	} else {
		lexer->name[lexer->matched++] = (char)c;
	}
	return STEP_ON;
}

static enum step
step_number(struct lexer *lexer, uint8_t c)
{
	if (c == ';')
		lexer->state = lexer->back;
	else if (!is_letter(c) && !is_digit(c))
		return refuse_malformed(lexer, "& without a reference");
	return STEP_ON;
}

static enum step
step_question(struct lexer *lexer, uint8_t c)
{
	static const char word[] = "xml";

	if (lexer->matched < sizeof(word) - 1 ? c != (uint8_t)word[lexer->matched] : !is_space(c))
		return refuse(lexer, CONDITION_RESTRICTED_XML, "a processing instruction");
	if (lexer->matched++ == sizeof(word) - 1) {
		lexer->last = 0;
		lexer->state = LEXER_IN_DECLARATION;
	}
	return STEP_ON;
}

static enum step
step_declaration(struct lexer *lexer, uint8_t c)
{
	if (c == '<')
		return refuse_malformed(lexer, "< in the XML declaration");
	if (c == '>' && lexer->last == '?') {
		lexer->declared = true;
		lexer->state = LEXER_IN_PROLOG;
		return STEP_DECLARATION;
	}
	lexer->last = c;
	return STEP_ON;
}

static enum step (*const steps[LEXER_STATE_COUNT])(struct lexer *lexer, uint8_t c) = {
	[LEXER_IN_PROLOG] = step_prolog,
	[LEXER_IN_TEXT] = step_text,
	[LEXER_IN_CDATA] = step_cdata,
	[LEXER_IN_VALUE] = step_value,
	[LEXER_IN_TAG] = step_tag,
	[LEXER_IN_END_TAG] = step_end_tag,
	[LEXER_IN_LESS] = step_less,
	[LEXER_IN_BANG] = step_bang,
	[LEXER_IN_CDATA_OPEN] = step_cdata_open,
	[LEXER_IN_REFERENCE] = step_reference,
	[LEXER_IN_NUMBER] = step_number,
	[LEXER_IN_QUESTION] = step_question,
	[LEXER_IN_DECLARATION] = step_declaration,
};

/* A step has said that something is complete: what does it mean at this depth? */
static enum lexer_result
lexer_judge(struct lexer *lexer, enum step step)
{
	uint32_t depth = lexer->depth;

	if (step == STEP_DECLARATION)
		return LEXER_DECLARATION;
	if (step == STEP_REFUSED)
		return LEXER_REFUSED;
	lexer->state = LEXER_IN_TEXT;
	lexer->empty_root = step == STEP_EMPTY_TAG && depth == 0;
	if (step == STEP_START_TAG || lexer->empty_root)
		lexer->depth++;
	else if (step == STEP_END_TAG)
		lexer->depth--;
	if (depth == 0)
		return LEXER_ROOT;
	if (lexer->depth == 0)
		return LEXER_END;
	return lexer->depth == 1 ? LEXER_ELEMENT : LEXER_MORE;
}

/* 1: means nothing to a state that reads text or a value; 2: nor to one that reads a tag, beyond that it was there. */
static const uint8_t plain[256] = {
	[' ' ... '!'] = 1, ['#' ... '%'] = 1, ['(' ... ','] = 1, ['-' ... '.'] = 3, ['/'] = 1, ['0' ... ':'] = 3,
	[';'] = 1, ['='] = 1, ['?' ... '@'] = 1, ['A' ... 'Z'] = 3, ['[' ... '\\'] = 1, ['^'] = 1, ['_'] = 3, ['`'] = 1,
	['a' ... 'z'] = 3, ['{' ... '~'] = 1,
};

/* Most bytes mean nothing to most states: step over those that cannot. */
static size_t
lexer_skip(struct lexer *lexer, const uint8_t *bytes, size_t length)
{
	uint8_t kind = lexer->state == LEXER_IN_TAG ? 2 : 1;
	bool can = kind == 2 || lexer->state == LEXER_IN_VALUE || lexer->state == LEXER_IN_END_TAG ||
	    (lexer->state == LEXER_IN_TEXT && lexer->depth > 1) ||
	    (lexer->state == LEXER_IN_CDATA && lexer->matched == 0);
	size_t i = 0;

	if (!can || lexer->utf8_missing > 0)
		return 0;
	while (i < length && (plain[bytes[i]] & kind) != 0)
		i++;
	if (kind == 2 && i > 0)
		lexer->last = bytes[i - 1];
	return i;
}

/* How many bytes may still come before the limit is passed. */
static size_t
lexer_room(const struct lexer *lexer)
{
	size_t limit = lexer->depth == 0 ? lexer->limits->header_bytes : lexer->limits->element_bytes;

	if (limit > LEXER_BYTES_MAX)
		limit = LEXER_BYTES_MAX;
	return limit > lexer->received ? limit - lexer->received : 0;
}

static enum lexer_result
lexer_too_long(struct lexer *lexer)
{
	if (lexer->depth == 0)
		refuse_above(lexer, LIMIT_HEADER_BYTES, "the stream header is too long");
	else
		refuse_above(lexer, LIMIT_STANZA_BYTES, "an element is too long");
	return LEXER_REFUSED;
}

/* Look at bytes that the limit allows, up to where something ends. */
static enum lexer_result
lexer_run(struct lexer *lexer, const uint8_t *bytes, size_t length, size_t *used_r, size_t *complete_r)
{
	enum lexer_result result = LEXER_MORE;
	size_t i = 0;

	while (i < length && result == LEXER_MORE) {
		enum step step;

		i += lexer_skip(lexer, bytes + i, length - i);
		if (i == length)
			break;
		step = check_byte(lexer, bytes[i]);
		if (step == STEP_ON)
			step = steps[lexer->state](lexer, bytes[i]);
		i++;
		if (step == STEP_ON)
			continue;
		result = lexer_judge(lexer, step);
		if (result != LEXER_REFUSED)
			*complete_r = i;
	}
	*used_r = i;
	lexer->received += i;
	return result;
}

enum lexer_result
lexer_scan(struct lexer *lexer, const struct stream_limits *limits, const uint8_t *bytes, size_t length,
    size_t *used_r, size_t *complete_r)
{
	enum lexer_result result;
	size_t room;

	lexer->limits = limits;
	room = lexer_room(lexer);
	*complete_r = 0;
	result = lexer_run(lexer, bytes, length < room ? length : room, used_r, complete_r);
	if (result == LEXER_MORE && length > room)
		return lexer_too_long(lexer);
	return result;
}

void
lexer_begin_next(struct lexer *lexer)
{
	lexer->received = 0;
	lexer->elements = 0;
}

void
lexer_init_inside(struct lexer *lexer)
{
	*lexer = (struct lexer){ .state = LEXER_IN_TEXT, .depth = 1 };
}
