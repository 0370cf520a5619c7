#include "dialect/element.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "dialect/splitter.h"

/* Longest entity that is looked for: &#x10FFFF; with a few leading zeros. */
#define ENTITY_MAX 16

/* What a byte is within a tag; every delimiter ends a name. */
enum class {
	IN_NAME,
	SPACE,
	DELIMITER,
};

static const uint8_t classes[256] = {
	[' '] = SPACE, ['\n'] = SPACE, ['\r'] = SPACE, ['\t'] = SPACE,
	['='] = DELIMITER, ['/'] = DELIMITER, ['>'] = DELIMITER, ['<'] = DELIMITER,
	['\''] = DELIMITER, ['"'] = DELIMITER,
};

static inline bool
is_space(char c)
{
	return classes[(uint8_t)c] == SPACE;
}

static inline bool
is_delimiter(char c)
{
	return classes[(uint8_t)c] != IN_NAME;
}

static struct range
range_between(const char *at, const char *end)
{
	return (struct range){ .at = at, .length = (size_t)(end - at) };
}

static bool
range_starts(struct range range, const char *string)
{
	size_t length = strlen(string);

	return range.length >= length && memcmp(range.at, string, length) == 0;
}

static void
range_skip(struct range *range, size_t length)
{
	range->at += length;
	range->length -= length;
}

bool
ranges_equal(struct range a, struct range b)
{
	if (a.at == NULL || b.at == NULL)
		return a.at == b.at;
	return a.length == b.length && memcmp(a.at, b.at, a.length) == 0;
}

/* Of `digits` in that base. 0, which no text may contain: not a character of XML (XML 1.0 section 2.2). */
static uint32_t
character_of(struct range digits, unsigned base)
{
	uint32_t character = 0;

	for (size_t i = 0; i < digits.length; i++) {
		char c = digits.at[i];
		unsigned digit;

		if (c >= '0' && c <= '9')
			digit = (unsigned)(c - '0');
		else if (base == 16 && (c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			digit = (unsigned)((c | 0x20) - 'a') + 10;
		else
			return 0;
		character = character * base + digit;
		if (character > 0x10ffff)
			return 0;
	}
	if ((character < 0x20 && character != '\t' && character != '\n' && character != '\r') ||
	    (character >= 0xd800 && character <= 0xdfff) || character == 0xfffe || character == 0xffff)
		return 0;
	return character;
}

static size_t
utf8_encode(uint32_t character, char *bytes_r)
{
	if (character < 0x80) {
		bytes_r[0] = (char)character;
		return 1;
	}
	if (character < 0x800) {
		bytes_r[0] = (char)(0xc0 | character >> 6);
		bytes_r[1] = (char)(0x80 | (character & 0x3f));
		return 2;
	}
	if (character < 0x10000) {
		bytes_r[0] = (char)(0xe0 | character >> 12);
		bytes_r[1] = (char)(0x80 | (character >> 6 & 0x3f));
		bytes_r[2] = (char)(0x80 | (character & 0x3f));
		return 3;
	}
	bytes_r[0] = (char)(0xf0 | character >> 18);
	bytes_r[1] = (char)(0x80 | (character >> 12 & 0x3f));
	bytes_r[2] = (char)(0x80 | (character >> 6 & 0x3f));
	bytes_r[3] = (char)(0x80 | (character & 0x3f));
	return 4;
}

/* The character between & and ; or 0 when it is none. */
static uint32_t
entity_character(struct range name)
{
	static const struct {
		const char *name;
		char character;
	} known[] = { { "lt", '<' }, { "gt", '>' }, { "amp", '&' }, { "apos", '\'' }, { "quot", '"' } };

	if (range_starts(name, "#")) {
		bool hexadecimal = range_starts(name, "#x");

		range_skip(&name, hexadecimal ? 2 : 1);
		return character_of(name, hexadecimal ? 16 : 10);
	}
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (range_equals(name, known[i].name))
			return (uint32_t)known[i].character;
	return 0;
}

size_t
range_next_decoded(struct range *rest, char bytes_r[static 4])
{
	if (rest->length == 0)
		return 0;
	if (rest->at[0] == '&') {
		size_t most = rest->length < ENTITY_MAX ? rest->length : ENTITY_MAX;
		const char *end = memchr(rest->at, ';', most);
		uint32_t character = end == NULL ? 0 : entity_character(range_between(rest->at + 1, end));

		if (character != 0) {
			range_skip(rest, (size_t)(end - rest->at) + 1);
			return utf8_encode(character, bytes_r);
		}
	}
	bytes_r[0] = rest->at[0];
	range_skip(rest, 1);
	return 1;
}

bool
range_decodes_to_bytes(struct range range, const char *plain, size_t length)
{
	char bytes[4];
	size_t count;

	if (range.at == NULL)
		return false;
	/* Nearly always. */
	if (memchr(range.at, '&', range.length) == NULL)
		return range.length == length && memcmp(range.at, plain, length) == 0;
	while ((count = range_next_decoded(&range, bytes)) > 0) {
		if (count > length || memcmp(bytes, plain, count) != 0)
			return false;
		plain += count;
		length -= count;
	}
	return length == 0;
}

bool
range_decodes_to(struct range range, const char *string)
{
	return range_decodes_to_bytes(range, string, strlen(string));
}

static void
append_text(struct buffer *buffer, struct range text)
{
	char bytes[4];
	size_t length;

	while (text.length > 0) {
		const char *entity = memchr(text.at, '&', text.length);
		size_t plain = entity == NULL ? text.length : (size_t)(entity - text.at);

		buffer_append(buffer, text.at, plain);
		range_skip(&text, plain);
		length = range_next_decoded(&text, bytes);
		buffer_append(buffer, bytes, length);
	}
}

/* What stands between the opener that `rest` begins with and `tail`; `rest` is moved behind that, or to its end. */
static struct range
take_section(struct range *rest, const char *opener, const char *tail)
{
	struct range inside = { 0 };
	const char *found;

	range_skip(rest, strlen(opener));
	found = memmem(rest->at, rest->length, tail, strlen(tail));
	if (found != NULL)
		inside = range_between(rest->at, found);
	range_skip(rest, found == NULL ? rest->length : inside.length + strlen(tail));
	return inside;
}

/* Step over the markup that `rest` begins with; the text of a CDATA section is appended. */
static void
append_markup(struct buffer *buffer, struct range *rest)
{
	struct element child;
	struct range text;

	if (range_starts(*rest, "<![CDATA[")) {
		text = take_section(rest, "<![CDATA[", "]]>");
		buffer_append(buffer, text.at, text.length);
	} else if (range_starts(*rest, "<!--")) {
		take_section(rest, "<!--", "-->");
	} else if (range_starts(*rest, "<?")) {
		take_section(rest, "<?", "?>");
	} else {
		range_skip(rest, element_read(&child, rest->at, rest->length) ? child.whole.length : rest->length);
	}
}

void
range_append_decoded(struct buffer *buffer, struct range range)
{
	while (range.length > 0) {
		const char *markup = memchr(range.at, '<', range.length);
		size_t plain = markup == NULL ? range.length : (size_t)(markup - range.at);

		append_text(buffer, (struct range){ range.at, plain });
		range_skip(&range, plain);
		if (range.length > 0)
			append_markup(buffer, &range);
	}
}

char *
range_strdup_decoded(struct range range)
{
	struct buffer buffer = { 0 };
	char *string;

	range_append_decoded(&buffer, range);
	string = buffer.failed ? NULL : strndup(buffer_length(&buffer) == 0 ? "" : (char *)buffer_bytes(&buffer),
	    buffer_length(&buffer));
	buffer_deinit(&buffer);
	return string;
}

bool
address_read(struct address *address_r, struct range range)
{
	const char *end, *slash, *at;

	*address_r = (struct address){ 0 };
	if (range.at == NULL)
		return false;
	end = range_end(range);
	slash = memchr(range.at, '/', range.length);
	if (slash != NULL) {
		address_r->resource = range_between(slash + 1, end);
		end = slash;
	}
	at = memchr(range.at, '@', (size_t)(end - range.at));
	if (at != NULL)
		address_r->user = range_between(range.at, at);
	address_r->host = range_between(at == NULL ? range.at : at + 1, end);
	return address_r->host.length > 0 && (at == NULL || address_r->user.length > 0);
}

/* Behind the > of the start tag that begins at `at`, or NULL. The splitter's rule: a < may stand in quotes only. */
static const char *
tag_end(const char *at, const char *end)
{
	for (at++; at < end; at++) {
		if (classes[(uint8_t)*at] != DELIMITER)
			continue;
		if (*at == '>')
			return at + 1;
		if (*at == '<')
			return NULL;
		if (*at == '\'' || *at == '"') {
			at = memchr(at + 1, *at, (size_t)(end - at) - 1);
			if (at == NULL)
				return NULL;
		}
	}
	return NULL;
}

bool
element_read_complete(struct element *element_r, const void *bytes, size_t length)
{
	const char *begin = bytes, *end = begin + length, *name = begin + 1, *behind, *last;

	*element_r = (struct element){ 0 };
	if (length < strlen("<x/>") || *begin != '<' || *name == '!' || *name == '?' || is_delimiter(*name))
		return false;
	behind = tag_end(begin, end);
	if (behind == NULL)
		return false;
	if (behind[-2] == '/') {
		if (behind != end)
			return false;
		last = behind;
	} else {
		last = memrchr(behind, '<', (size_t)(end - behind));
		if (last == NULL || end - last < (ptrdiff_t)strlen("</x>") || last[1] != '/' || end[-1] != '>')
			return false;
	}
	element_r->whole = range_between(begin, end);
	element_r->tag = range_between(begin, behind);
	element_r->content = range_between(behind, last);
	while (!is_delimiter(*name))
		name++;
	element_r->name = range_between(begin + 1, name);
	return true;
}

/* The first element at or behind `at`. With `mixed`, text may stand before it. */
static bool
element_read_at(struct element *element_r, const char *at, const char *end, bool mixed)
{
	struct splitter splitter = { .element_max = SIZE_MAX, .depth = 1, .mixed = mixed };
	struct splitter_event event;

	*element_r = (struct element){ 0 };
	if (splitter_next(&splitter, at, (size_t)(end - at), &event) != SPLITTER_ELEMENT)
		return false;
	return element_read_complete(element_r, at + event.skip, event.length);
}

bool
element_read(struct element *element_r, const void *bytes, size_t length)
{
	return element_read_at(element_r, bytes, (const char *)bytes + length, false);
}

bool
element_next_attribute(const struct element *element, struct attribute *attribute)
{
	struct range before = attribute->whole.at == NULL ? element->name : attribute->whole;
	const char *begin = range_end(before), *at = begin, *end = range_end(element->tag) - 1, *name, *name_end;

	*attribute = (struct attribute){ 0 };
	while (is_space(*at))
		at++;
	name = at;
	while (!is_delimiter(*at))
		at++;
	name_end = at;
	while (is_space(*at))
		at++;
	if (name == name_end || *at++ != '=')
		return false;
	while (is_space(*at))
		at++;
	if (at >= end || (*at != '\'' && *at != '"'))
		return false;
	end = memchr(at + 1, *at, (size_t)(end - at) - 1);
	if (end == NULL)
		return false;
	attribute->whole = range_between(begin, end + 1);
	attribute->name = range_between(name, name_end);
	attribute->value = range_between(at + 1, end);
	return true;
}

bool
element_attribute(const struct element *element, const char *name, struct range *value_r)
{
	const struct range wanted = { name, strlen(name) };
	struct attribute attribute = { 0 };

	*value_r = (struct range){ 0 };
	while (element_next_attribute(element, &attribute))
		if (ranges_equal(attribute.name, wanted)) {
			*value_r = attribute.value;
			return true;
		}
	return false;
}

bool
element_attribute_is(const struct element *element, const char *name, const char *value)
{
	struct range range;

	return element_attribute(element, name, &range) && range_decodes_to(range, value);
}

bool
element_next_child(const struct element *parent, struct element *child)
{
	const char *at = child->whole.at == NULL ? parent->content.at : range_end(child->whole);

	return element_read_at(child, at, range_end(parent->content), true);
}

bool
element_find_child(const struct element *parent, const char *name, const char *xmlns, struct element *child_r)
{
	*child_r = (struct element){ 0 };
	while (element_next_child(parent, child_r))
		if (range_equals(child_r->name, name) &&
		    (xmlns == NULL || element_attribute_is(child_r, "xmlns", xmlns)))
			return true;
	return false;
}
