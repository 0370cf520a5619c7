#include "dialect/wellformed.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "dialect/element.h"
#include "dialect/names.h"

#define NAMESPACE_XML "http://www.w3.org/XML/1998/namespace"
#define NAMESPACE_XMLNS "http://www.w3.org/2000/xmlns/"
#define NAMESPACE_STREAMS "http://etherx.jabber.org/streams"

/* What a byte may be. The last byte is known to be >, which is none of these, so that no loop runs over it. */
enum {
	NAME_START = 1,
	NAME = 2,
	TEXT = 4,	/* needs no look, in text */
	VALUE = 8,	/* likewise in a value */
	SPACE = 16,
	URI = 32,
};

#define ANY (TEXT | VALUE)
#define LETTER (NAME_START | NAME | ANY | URI)

static const uint8_t classes[256] = {
	['\t'] = ANY | SPACE, ['\n'] = ANY | SPACE, ['\r'] = ANY | SPACE, [' '] = ANY | SPACE,
	['!'] = ANY | URI, ['"'] = TEXT, ['#' ... '%'] = ANY | URI, ['&'] = 0, ['\''] = TEXT | URI,
	['(' ... ','] = ANY | URI, ['-' ... '.'] = NAME | ANY | URI, ['/'] = ANY | URI,
	['0' ... '9'] = NAME | ANY | URI, [':' ... ';'] = ANY | URI, ['<'] = 0, ['='] = ANY | URI, ['>'] = 0,
	['?' ... '@'] = ANY | URI, ['A' ... 'Z'] = LETTER, ['['] = ANY | URI, ['\\'] = ANY, [']'] = ANY | URI,
	['^'] = ANY, ['_'] = LETTER, ['`'] = ANY, ['a' ... 'z'] = LETTER, ['{' ... '}'] = ANY, ['~'] = ANY | URI,
	[0x7f] = ANY,
};

struct name {
	const uint8_t *at;
	uint32_t length;
	uint32_t prefix;	/* length of the prefix; 0: none */
};

struct checked_attribute {
	struct name name;
	struct range value;
	bool plain;		/* the value is what it says: no references */
	bool declares;		/* xmlns, or xmlns: and a prefix */
};

struct declaration {
	struct range prefix;
	struct range uri;
	uint32_t depth;
};

struct check {
	const uint8_t *at;
	const uint8_t *last;	/* the > that all ends with */
	const char *fault;	/* the first one */
	uint32_t depth;
	uint32_t attribute_count;
	uint32_t declaration_count;
	struct name open[WELLFORMED_DEPTH_MAX];
	struct checked_attribute attributes[WELLFORMED_ATTRIBUTES_MAX];
	struct declaration declarations[WELLFORMED_ATTRIBUTES_MAX];	/* in force, the outermost first */
};

static bool
check_fail(struct check *check, const char *fault)
{
	if (check->fault == NULL)
		check->fault = fault;
	return false;
}

static inline bool
is_a(uint8_t c, uint8_t kind)
{
	return (classes[c] & kind) != 0;
}

/* ---- characters ---- */

#define BYTES(byte) (0x0101010101010101ULL * (byte))

/* The highest bit is set in a byte that is 0 (and perhaps in ones before it: harmless, they are looked at once more). */
static inline uint64_t
zero_bytes(uint64_t bytes)
{
	return (bytes - BYTES(1)) & ~bytes;
}

/*
 * Step over what needs no look: eight bytes at a time while there is no control character, nothing beyond ASCII, none of
 * < > & and, in a value, no quote among them; then one by one.
 */
static inline void
skip_plain(struct check *check, uint8_t kind)
{
	const uint8_t *at = check->at;

	while (check->last - at >= 8) {
		uint64_t bytes, stop;

		memcpy(&bytes, at, 8);
		stop = bytes | (bytes - BYTES(0x20));
		stop |= zero_bytes((bytes & BYTES(0xfd)) ^ BYTES('<'));
		if (kind == TEXT)
			stop |= zero_bytes(bytes ^ BYTES('&'));
		else
			stop |= zero_bytes((bytes & BYTES(0xfe)) ^ BYTES('&')) | zero_bytes(bytes ^ BYTES('"'));
		if ((stop & BYTES(0x80)) != 0)
			break;
		at += 8;
	}
	while (is_a(*at, kind))
		at++;
	check->at = at;
}

/* The character that begins here, which is not ASCII; 0 when there is none. RFC 3629, and XML 1.0 2.2. */
static uint32_t
utf8_read(const uint8_t *at, const uint8_t *last, unsigned *length_r)
{
	unsigned length = *at < 0xc2 ? 0 : *at < 0xe0 ? 2 : *at < 0xf0 ? 3 : *at < 0xf5 ? 4 : 0;
	uint32_t character;

	if (length == 0 || (size_t)(last - at) < length)
		return 0;
	character = *at & (0x7fU >> length);
	for (unsigned i = 1; i < length; i++) {
		if ((at[i] & 0xc0) != 0x80)
			return 0;
		character = character << 6 | (at[i] & 0x3fU);
	}
	*length_r = length;
	if ((length == 3 && character < 0x800) || (length == 4 && (character < 0x10000 || character > 0x10ffff)) ||
	    (character >= 0xd800 && character <= 0xdfff) || character == 0xfffe || character == 0xffff)
		return 0;
	return character;
}

static bool
skip_utf8(struct check *check)
{
	unsigned length;

	if (utf8_read(check->at, check->last, &length) == 0)
		return check_fail(check, *check->at < 0x80 ? "a control character" : "not UTF-8");
	check->at += length;
	return true;
}

static bool
skip_reference(struct check *check)
{
	struct range rest = { (const char *)check->at, (size_t)(check->last - check->at) };
	const char *begin = rest.at;
	char character[4];

	/* What is no reference is taken as it is written, one byte of it. */
	if (range_next_decoded(&rest, character) == 0 || rest.at == begin + 1)
		return check_fail(check, "a reference that is none");
	check->at = (const uint8_t *)rest.at;
	return true;
}

/* ---- names ---- */

/* One part of a name, without colons. */
static bool
skip_part(struct check *check)
{
	const uint8_t *begin = check->at;
	unsigned length;

	if (*begin < 0x80 && !is_a(*begin, NAME_START))
		return check_fail(check, "a name that is none");
	for (;;) {
		uint32_t character;

		while (is_a(*check->at, NAME))
			check->at++;
		if (*check->at < 0x80)
			return true;
		character = utf8_read(check->at, check->last, &length);
		if (character == 0)
			return check_fail(check, "not UTF-8");
		if (check->at == begin ? !names_begin_with(character) : !names_contain(character))
			return check_fail(check, "a name that is none");
		check->at += length;
	}
}

static bool
take_name(struct check *check, struct name *name_r)
{
	const uint8_t *begin = check->at;

	*name_r = (struct name){ .at = begin };
	if (!skip_part(check))
		return false;
	if (*check->at == ':') {
		name_r->prefix = (uint32_t)(check->at - begin);
		check->at++;
		if (!skip_part(check))
			return false;
	}
	name_r->length = (uint32_t)(check->at - begin);
	return true;
}

static struct range
name_prefix(const struct name *name)
{
	return (struct range){ (const char *)name->at, name->prefix };
}

static struct range
name_local(const struct name *name)
{
	uint32_t skip = name->prefix == 0 ? 0 : name->prefix + 1;

	return (struct range){ (const char *)name->at + skip, name->length - skip };
}

static bool
names_equal(const struct name *a, const struct name *b)
{
	return a->length == b->length && memcmp(a->at, b->at, a->length) == 0;
}

/* ---- namespaces ---- */

/* A namespace's text may be written with references: both sides are resolved. */
static bool
values_equal(struct range a, struct range b)
{
	char left[4], right[4];
	size_t count;

	do {
		count = range_next_decoded(&a, left);
		if (range_next_decoded(&b, right) != count || memcmp(left, right, count) != 0)
			return false;
	} while (count > 0);
	return true;
}

static bool
is_uri(struct range uri, bool plain)
{
	char bytes[4];
	size_t count = 0;

	if (plain) {
		while (count < uri.length && is_a((uint8_t)uri.at[count], URI))
			count++;
		return count == uri.length;
	}
	while ((count = range_next_decoded(&uri, bytes)) > 0)
		if (count > 1 || (!is_a((uint8_t)bytes[0], URI) && bytes[0] != '&'))
			return false;
	return true;
}

static bool
value_is(struct range value, bool plain, const char *wanted)
{
	return plain ? range_equals(value, wanted) : range_decodes_to(value, wanted);
}

/* Namespaces in XML 1.0, section 3. `prefix` is empty for xmlns itself. */
static bool
check_declaration(struct check *check, struct range prefix, struct range uri, bool plain)
{
	bool is_xml = value_is(uri, plain, NAMESPACE_XML);

	if (range_equals(prefix, "xml"))
		return is_xml || check_fail(check, "the prefix xml is bound to something else");
	if (range_equals(prefix, "xmlns") || is_xml || value_is(uri, plain, NAMESPACE_XMLNS))
		return check_fail(check, "a reserved prefix or namespace");
	if (prefix.length > 0 && uri.length == 0)
		return check_fail(check, "a prefix bound to nothing");
	if (!is_uri(uri, plain))
		return check_fail(check, "a namespace that is no URI");
	return true;
}

/* All places are taken: forget what was declared further out. In canonical form nobody would miss it. */
static void
forget_outer(struct check *check)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < check->declaration_count; i++)
		if (check->declarations[i].depth == check->depth)
			check->declarations[kept++] = check->declarations[i];
	check->declaration_count = kept;
}

static bool
declare(struct check *check, const struct checked_attribute *attribute)
{
	struct range prefix = { NULL, 0 };

	if (attribute->name.prefix > 0)
		prefix = name_local(&attribute->name);
	if (!check_declaration(check, prefix, attribute->value, attribute->plain))
		return false;
	if (prefix.length == 0)
		return true;
	if (check->declaration_count == WELLFORMED_ATTRIBUTES_MAX)
		forget_outer(check);
	check->declarations[check->declaration_count++] = (struct declaration){
		.prefix = prefix, .uri = attribute->value, .depth = check->depth,
	};
	return true;
}

static bool
is_declaration(const struct name *name)
{
	uint32_t length = name->prefix > 0 ? name->prefix : name->length;

	return length == 5 && memcmp(name->at, "xmlns", 5) == 0;
}

static const struct declaration *
find_declaration(const struct check *check, struct range prefix)
{
	for (uint32_t i = check->declaration_count; i > 0; i--)
		if (ranges_equal(check->declarations[i - 1].prefix, prefix))
			return &check->declarations[i - 1];
	return NULL;
}

static bool
check_prefix(struct check *check, const struct name *name)
{
	struct range prefix = name_prefix(name);

	if (name->prefix == 0 || range_equals(prefix, "xml") || range_equals(prefix, "stream") ||
	    find_declaration(check, prefix) != NULL)
		return true;
	return check_fail(check, "a prefix without a declaration");
}

/* What a prefix means; only ever compared. */
static struct range
meaning_of(const struct check *check, const struct name *name)
{
	static const struct range xml = { NAMESPACE_XML, sizeof(NAMESPACE_XML) - 1 };
	static const struct range streams = { NAMESPACE_STREAMS, sizeof(NAMESPACE_STREAMS) - 1 };
	const struct declaration *declaration = find_declaration(check, name_prefix(name));

	if (declaration != NULL)
		return declaration->uri;
	return range_equals(name_prefix(name), "xml") ? xml : streams;
}

/* ---- tags ---- */

/* One name twice, as it is written or as it is meant (Namespaces in XML 1.0, 6.3). */
static bool
check_twice(struct check *check, const struct checked_attribute *attribute)
{
	const struct name *name = &attribute->name;

	for (const struct checked_attribute *other = check->attributes; other < attribute; other++) {
		if (names_equal(&other->name, name))
			return check_fail(check, "an attribute that is there twice");
		if (name->prefix > 0 && other->name.prefix > 0 && !attribute->declares && !other->declares &&
		    ranges_equal(name_local(name), name_local(&other->name)) &&
		    values_equal(meaning_of(check, name), meaning_of(check, &other->name)))
			return check_fail(check, "an attribute that is there twice");
	}
	return true;
}

/* Up to the quote that ends it. */
static bool
skip_value(struct check *check, uint8_t quote, bool *plain_r)
{
	*plain_r = true;
	for (;;) {
		uint8_t c;

		skip_plain(check, VALUE);
		c = *check->at;
		if (c == quote)
			return true;
		if (c == '<' || check->at == check->last)
			return check_fail(check, "< in an attribute");
		if (c == '&') {
			*plain_r = false;
			if (!skip_reference(check))
				return false;
		} else if (c == '>' || c == '\'' || c == '"') {
			check->at++;
		} else if (!skip_utf8(check)) {
			return false;
		}
	}
}

static void
skip_space(struct check *check)
{
	while (is_a(*check->at, SPACE))
		check->at++;
}

static bool
take_attribute(struct check *check)
{
	struct checked_attribute *attribute = &check->attributes[check->attribute_count];
	uint8_t quote;

	if (check->attribute_count == WELLFORMED_ATTRIBUTES_MAX)
		return check_fail(check, "too many attributes");
	if (!take_name(check, &attribute->name))
		return false;
	skip_space(check);
	if (*check->at++ != '=')
		return check_fail(check, "an attribute without a value");
	/* The last byte of all is >, so that what was stepped over was not the last. */
	skip_space(check);
	quote = *check->at;
	if (quote != '\'' && quote != '"')
		return check_fail(check, "an attribute without a value");
	attribute->value.at = (const char *)++check->at;
	if (!skip_value(check, quote, &attribute->plain))
		return false;
	attribute->value.length = (size_t)((const char *)check->at++ - attribute->value.at);
	check->attribute_count++;
	attribute->declares = is_declaration(&attribute->name);
	return !attribute->declares || declare(check, attribute);
}

static bool
check_attributes(struct check *check, const struct name *element)
{
	if (!check_prefix(check, element))
		return false;
	for (uint32_t i = 0; i < check->attribute_count; i++) {
		const struct checked_attribute *attribute = &check->attributes[i];

		if (!check_twice(check, attribute))
			return false;
		if (attribute->name.prefix > 0 && !attribute->declares && !check_prefix(check, &attribute->name))
			return false;
	}
	return true;
}

static void
element_end(struct check *check)
{
	while (check->declaration_count > 0 &&
	    check->declarations[check->declaration_count - 1].depth == check->depth)
		check->declaration_count--;
	check->depth--;
}

/* Behind the < of a start tag. */
static bool
take_start_tag(struct check *check)
{
	struct name *name = &check->open[check->depth];
	bool spaced, empty;

	if (check->depth == WELLFORMED_DEPTH_MAX)
		return check_fail(check, "elements nested too deeply");
	check->depth++;
	check->attribute_count = 0;
	if (!take_name(check, name))
		return false;
	for (;;) {
		spaced = is_a(*check->at, SPACE);
		skip_space(check);
		if (*check->at == '>' || *check->at == '/')
			break;
		if (!spaced)
			return check_fail(check, "a tag that is none");
		if (!take_attribute(check))
			return false;
	}
	empty = *check->at == '/';
	check->at += empty;
	if (*check->at != '>')
		return check_fail(check, "a tag that is none");
	check->at++;
	if (!check_attributes(check, name))
		return false;
	if (empty)
		element_end(check);
	return true;
}

/* Behind the </ of an end tag. */
static bool
take_end_tag(struct check *check)
{
	const struct name *name = &check->open[check->depth - 1];

	if ((size_t)(check->last - check->at) < name->length || memcmp(check->at, name->at, name->length) != 0)
		return check_fail(check, "tags that do not match");
	check->at += name->length;
	skip_space(check);
	if (*check->at != '>')
		return check_fail(check, "tags that do not match");
	check->at++;
	element_end(check);
	return true;
}

/* Behind the <![CDATA[ of a section. */
static bool
take_cdata(struct check *check)
{
	for (;;) {
		skip_plain(check, TEXT);
		if (check->at == check->last)
			return check_fail(check, "a CDATA section that does not end");
		if (*check->at == '>') {
			check->at++;
			if (check->at[-2] == ']' && check->at[-3] == ']')
				return true;
		} else if (*check->at == '<' || *check->at == '&') {
			check->at++;
		} else if (!skip_utf8(check)) {
			return false;
		}
	}
}

/* ---- the whole ---- */

static bool
take_markup(struct check *check)
{
	static const char cdata[] = "![CDATA[";
	const size_t length = sizeof(cdata) - 1;

	check->at++;
	if (*check->at == '/') {
		check->at++;
		return take_end_tag(check);
	}
	if (*check->at == '?')
		return check_fail(check, "a processing instruction");
	if (*check->at != '!')
		return take_start_tag(check);
	if ((size_t)(check->last - check->at) < length || memcmp(check->at, cdata, length) != 0)
		return check_fail(check, "a comment or document type");
	check->at += length;
	return take_cdata(check);
}

/* Text up to the next markup. */
static bool
take_text(struct check *check)
{
	const uint8_t *begin = check->at;

	for (;;) {
		skip_plain(check, TEXT);
		if (*check->at == '<')
			return true;
		if (check->at == check->last)
			return check_fail(check, "elements that do not end");
		if (*check->at == '&') {
			if (!skip_reference(check))
				return false;
		} else if (*check->at == '>') {
			if (check->at - begin >= 2 && check->at[-1] == ']' && check->at[-2] == ']')
				return check_fail(check, "]]> in text");
			check->at++;
		} else if (!skip_utf8(check)) {
			return false;
		}
	}
}

const char *
wellformed_fault(const void *bytes, size_t length)
{
	struct check check;

	/* Not all of it is ever read: zeroing it would cost more than the check. */
	check.at = bytes;
	check.last = check.at + length - 1;
	check.fault = NULL;
	check.depth = check.attribute_count = check.declaration_count = 0;
	if (length < strlen("<x/>") || *check.at != '<' || check.at[1] == '/' || check.at[1] == '!' || *check.last != '>')
		return "not an element";
	while (take_markup(&check) && check.depth > 0 && check.at <= check.last && take_text(&check))
		;
	if (check.fault != NULL)
		return check.fault;
	if (check.depth > 0)
		return "elements that do not end";
	return check.at == check.last + 1 ? NULL : "more than one element";
}
