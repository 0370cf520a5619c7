#include "worker/header.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/buffer.h"
#include "worker/canonical.h"

static int
refuse(enum stream_condition condition, const char *text, const char **text_r)
{
	*text_r = text;
	return (int)condition;
}

/* ---- <?xml ...?> ---- */

struct cursor {
	const char *at;
	const char *end;
};

static bool
cursor_spaces(struct cursor *cursor)
{
	const char *from = cursor->at;

	while (cursor->at < cursor->end && strchr(" \t\r\n", *cursor->at) != NULL && *cursor->at != '\0')
		cursor->at++;
	return cursor->at > from;
}

static bool
cursor_word(struct cursor *cursor, const char *word)
{
	size_t length = strlen(word);

	if ((size_t)(cursor->end - cursor->at) < length || memcmp(cursor->at, word, length) != 0)
		return false;
	cursor->at += length;
	return true;
}

/* What stands in quotes behind a name and = sign. */
static bool
cursor_value(struct cursor *cursor, const char **value_r, size_t *length_r)
{
	const char *end;

	cursor_spaces(cursor);
	if (!cursor_word(cursor, "="))
		return false;
	cursor_spaces(cursor);
	if (cursor->at == cursor->end || (*cursor->at != '"' && *cursor->at != '\''))
		return false;
	end = memchr(cursor->at + 1, *cursor->at, (size_t)(cursor->end - cursor->at) - 1);
	if (end == NULL)
		return false;
	*value_r = cursor->at + 1;
	*length_r = (size_t)(end - *value_r);
	cursor->at = end + 1;
	return true;
}

static bool
value_is(const char *value, size_t length, const char *wanted)
{
	return length == strlen(wanted) && strncasecmp(value, wanted, length) == 0;
}

/* The values of the declaration's three attributes, in their only order; NULL where one is absent. */
static bool
declaration_read(struct cursor *cursor, const char *values[3], size_t lengths[3])
{
	static const char *const names[3] = { "version", "encoding", "standalone" };

	cursor_spaces(cursor);
	if (!cursor_word(cursor, "<?xml"))
		return false;
	for (int i = 0; i < 3; i++) {
		struct cursor before = *cursor;

		if (!cursor_spaces(cursor) || !cursor_word(cursor, names[i]))
			*cursor = before;
		else if (!cursor_value(cursor, &values[i], &lengths[i]))
			return false;
	}
	cursor_spaces(cursor);
	return cursor_word(cursor, "?>") && cursor->at == cursor->end && values[0] != NULL;
}

int
declaration_check(const char *bytes, size_t length, const char **text_r)
{
	struct cursor cursor = { .at = bytes, .end = bytes + length };
	const char *values[3] = { NULL, NULL, NULL };
	size_t lengths[3] = { 0, 0, 0 };

	if (!declaration_read(&cursor, values, lengths) ||
	    (values[2] != NULL && !value_is(values[2], lengths[2], "yes") && !value_is(values[2], lengths[2], "no")))
		return refuse(CONDITION_NOT_WELL_FORMED, "the XML declaration is malformed", text_r);
	if (!value_is(values[0], lengths[0], "1.0"))
		return refuse(CONDITION_BAD_FORMAT, "XML is not version 1.0", text_r);
	if (values[1] != NULL && !value_is(values[1], lengths[1], "UTF-8"))
		return refuse(CONDITION_UNSUPPORTED_ENCODING, "the encoding is not UTF-8", text_r);
	return 0;
}

/* ---- <stream:stream ...> ---- */

static const char *
string_of(const xmlChar *string)
{
	return (const char *)string;
}

static bool
is_equal(const xmlChar *string, const char *wanted)
{
	return string != NULL && strcmp(string_of(string), wanted) == 0;
}

/* Decimal digits up to `end`; leading zeros mean nothing (RFC 6120 4.7.5), more than 65535 is as good as that. */
static bool
version_number(const char *at, const char *end, uint16_t *number_r)
{
	uint32_t number = 0;

	if (at == end)
		return false;
	for (; at < end; at++) {
		if (*at < '0' || *at > '9')
			return false;
		number = number * 10 + (uint32_t)(*at - '0');
		if (number > UINT16_MAX)
			number = UINT16_MAX;
	}
	*number_r = (uint16_t)number;
	return true;
}

static bool
version_read(struct stream_header *header, const char *value, size_t length)
{
	const char *dot = memchr(value, '.', length);

	return dot != NULL && version_number(value, dot, &header->version_major) &&
	    version_number(dot + 1, value + length, &header->version_minor);
}

/* strndup, but an attribute that is there twice cannot come here: libxml2 has refused it. */
static bool
take(char **field, const struct attribute *attribute)
{
	*field = strndup(attribute->value, attribute->length);
	return *field != NULL;
}

static int
header_read_attribute(struct stream_header *header, const struct attribute *attribute, const char **text_r)
{
	bool done = true;

	if (attribute_is_plain(attribute, "to"))
		done = take(&header->to, attribute);
	else if (attribute_is_plain(attribute, "from"))
		done = take(&header->from, attribute);
	else if (attribute_is_lang(attribute) && attribute->length > 0 && attribute->length <= HEADER_LANG_MAX)
		done = take(&header->lang, attribute);
	else if (attribute_is_plain(attribute, "version") && !version_read(header, attribute->value, attribute->length))
		return refuse(CONDITION_UNSUPPORTED_VERSION, "the version is no version", text_r);
	return done ? 0 : -ENOMEM;
}

/* RFC 6120 4.8.2 and 4.8.3: the content's namespace, the stream's own, or none may be the default. */
static int
header_check_namespaces(const struct root *root, const char **text_r)
{
	if (!is_equal(root->uri, NAMESPACE_STREAMS))
		return refuse(CONDITION_INVALID_NAMESPACE, "the root is not in the namespace of streams", text_r);
	if (!is_equal(root->name, "stream"))
		return refuse(CONDITION_BAD_FORMAT, "the root is not a stream", text_r);
	for (int i = 0; i < root->namespace_count; i++) {
		const xmlChar *uri = root->namespaces[2 * i + 1];

		if (root->namespaces[2 * i] == NULL && !is_equal(uri, NAMESPACE_CLIENT) &&
		    !is_equal(uri, NAMESPACE_STREAMS) && !is_equal(uri, ""))
			return refuse(CONDITION_INVALID_NAMESPACE, "the default namespace is not jabber:client",
			    text_r);
	}
	return 0;
}

static bool
root_is_usual(const struct root *root)
{
	bool content = false;

	if (root->namespace_count != 2 || !is_equal(root->prefix, "stream"))
		return false;
	for (int i = 0; i < 2; i++)
		content = content || (root->namespaces[2 * i] == NULL &&
		    is_equal(root->namespaces[2 * i + 1], NAMESPACE_CLIENT));
	return content;
}

/* The root's start tag without < and >, and without what is no declaration. NULL without memory. */
static char *
root_write(const struct root *root)
{
	struct buffer out = { 0 };
	char *string = NULL;

	if (root->prefix != NULL)
		buffer_append_format(&out, "%s:", string_of(root->prefix));
	buffer_append_string(&out, string_of(root->name));
	for (int i = 0; i < root->namespace_count; i++) {
		const char *prefix = string_of(root->namespaces[2 * i]);
		const char *uri = string_of(root->namespaces[2 * i + 1]);

		buffer_append_format(&out, " xmlns%s%s='", prefix == NULL ? "" : ":", prefix == NULL ? "" : prefix);
		canonical_append_value(&out, uri, strlen(uri));
		buffer_append(&out, "'", 1);
	}
	if (!out.failed)
		string = strndup((const char *)buffer_bytes(&out), buffer_length(&out));
	buffer_deinit(&out);
	return string;
}

int
header_read(struct stream_header *header, const struct root *root, const char **text_r)
{
	int r = header_check_namespaces(root, text_r);

	for (int i = 0; i < root->attribute_count && r == 0; i++) {
		struct attribute attribute = attribute_at(root->attributes, i);

		r = header_read_attribute(header, &attribute, text_r);
	}
	if (r == 0 && !root_is_usual(root)) {
		header->declarations = root_write(root);
		if (header->declarations == NULL)
			return -ENOMEM;
		if (strlen(header->declarations) > HEADER_DECLARATIONS_MAX)
			return refuse(CONDITION_POLICY_VIOLATION, "the stream header declares too much", text_r);
	}
	return r;
}

int
header_copy_scope(struct stream_header *header, const char *lang, const char *declarations)
{
	header->lang = lang == NULL ? NULL : strdup(lang);
	header->declarations = declarations == NULL ? NULL : strdup(declarations);
	if ((lang != NULL && header->lang == NULL) || (declarations != NULL && header->declarations == NULL))
		return -ENOMEM;
	return 0;
}

void
stream_header_deinit(struct stream_header *header)
{
	free(header->to);
	free(header->from);
	free(header->lang);
	free(header->declarations);
	*header = (struct stream_header){ 0 };
}
