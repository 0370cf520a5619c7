#include "worker/canonical.h"

#include <stdlib.h>
#include <string.h>

/* An output buffer above this is not kept for the next element. */
#define CANONICAL_KEEP 16384

struct attribute
attribute_at(const xmlChar **attributes, int index)
{
	const xmlChar **five = attributes + (ptrdiff_t)index * 5;

	return (struct attribute){
		.name = (const char *)five[0],
		.prefix = (const char *)five[1],
		.uri = (const char *)five[2],
		.value = (const char *)five[3],
		.length = (size_t)(five[4] - five[3]),
	};
}

bool
attribute_is_plain(const struct attribute *attribute, const char *name)
{
	return attribute->prefix == NULL && strcmp(attribute->name, name) == 0;
}

bool
attribute_is_lang(const struct attribute *attribute)
{
	return attribute->prefix != NULL && strcmp(attribute->prefix, "xml") == 0 &&
	    strcmp(attribute->name, "lang") == 0;
}

/* What stands for a byte, where it must not stand itself. */
static const char *const value_escapes[256] = {
	['&'] = "&amp;", ['<'] = "&lt;", ['>'] = "&gt;", ['\r'] = "&#13;", ['\''] = "&apos;", ['\t'] = "&#9;",
	['\n'] = "&#10;",
};

static const char *const text_escapes[256] = {
	['&'] = "&amp;", ['<'] = "&lt;", ['>'] = "&gt;", ['\r'] = "&#13;",
};

static void
append_escaped(struct buffer *buffer, const char *text, size_t length, const char *const *escapes)
{
	size_t from = 0;

	for (size_t i = 0; i < length; i++) {
		const char *escape = escapes[(unsigned char)text[i]];

		if (escape == NULL)
			continue;
		buffer_append(buffer, text + from, i - from);
		buffer_append_string(buffer, escape);
		from = i + 1;
	}
	buffer_append(buffer, text + from, length - from);
}

void
canonical_append_value(struct buffer *buffer, const char *value, size_t length)
{
	append_escaped(buffer, value, length, value_escapes);
}

static void
append_attribute(struct buffer *out, const char *prefix, const char *name, const char *value, size_t length)
{
	buffer_append(out, " ", 1);
	if (prefix != NULL) {
		buffer_append_string(out, prefix);
		buffer_append(out, ":", 1);
	}
	buffer_append_string(out, name);
	buffer_append(out, "='", 2);
	canonical_append_value(out, value, length);
	buffer_append(out, "'", 1);
}

static bool
is_same(const char *a, const char *b)
{
	if (a == b)
		return true;
	return a != NULL && b != NULL && strcmp(a, b) == 0;
}

static void
namespaces_push(struct canonical *canonical, const char *uri)
{
	if (canonical->depth == canonical->size) {
		uint32_t size = canonical->size > 0 ? canonical->size * 2 : 16;
		const char **namespaces = reallocarray(canonical->namespaces, size, sizeof(*namespaces));

		if (namespaces == NULL) {
			canonical->out.failed = true;
			return;
		}
		canonical->namespaces = namespaces;
		canonical->size = size;
	}
	canonical->namespaces[canonical->depth++] = uri;
}

static void
close_tag(struct canonical *canonical)
{
	if (canonical->tag_open)
		buffer_append(&canonical->out, ">", 1);
	canonical->tag_open = false;
}

/* Declare the attribute's prefix, unless an attribute before it has done so. */
static void
write_declaration(struct buffer *out, const xmlChar **attributes, int index)
{
	struct attribute attribute = attribute_at(attributes, index);

	if (attribute.prefix == NULL || strcmp(attribute.prefix, "xml") == 0)
		return;
	for (int i = 0; i < index; i++)
		if (is_same(attribute_at(attributes, i).prefix, attribute.prefix))
			return;
	append_attribute(out, "xmlns", attribute.prefix, attribute.uri, strlen(attribute.uri));
}

static void
write_attributes(struct canonical *canonical, const xmlChar **attributes, int count, bool top, const char *lang)
{
	for (int i = 0; i < count; i++) {
		struct attribute attribute = attribute_at(attributes, i);

		if (top && (attribute_is_plain(&attribute, "sto") || attribute_is_plain(&attribute, "sfrom")))
			continue;
		if (attribute_is_lang(&attribute))
			lang = NULL;
		write_declaration(&canonical->out, attributes, i);
		append_attribute(&canonical->out, attribute.prefix, attribute.name, attribute.value, attribute.length);
	}
	if (top && lang != NULL)
		append_attribute(&canonical->out, "xml", "lang", lang, strlen(lang));
}

void
canonical_start(struct canonical *canonical, const char *name, const char *uri, const xmlChar **attributes, int count,
    const char *lang)
{
	bool top = canonical->depth == 0;
	const char *parent = top ? NAMESPACE_CLIENT : canonical->namespaces[canonical->depth - 1];

	close_tag(canonical);
	buffer_append(&canonical->out, "<", 1);
	buffer_append_string(&canonical->out, name);
	if (top)
		canonical->name_end = buffer_length(&canonical->out);
	if (!is_same(uri, parent))
		append_attribute(&canonical->out, NULL, "xmlns", uri == NULL ? "" : uri, uri == NULL ? 0 : strlen(uri));
	write_attributes(canonical, attributes, count, top, lang);
	canonical->tag_open = true;
	namespaces_push(canonical, uri);
}

void
canonical_text(struct canonical *canonical, const char *text, size_t length)
{
	if (length == 0)
		return;
	close_tag(canonical);
	append_escaped(&canonical->out, text, length, text_escapes);
}

void
canonical_cdata(struct canonical *canonical, const char *text, size_t length)
{
	while (length > 0) {
		const char *cr = memchr(text, '\r', length);
		size_t before = cr != NULL ? (size_t)(cr - text) : length;
		size_t skip = before;

		canonical_text(canonical, text, before);
		if (cr != NULL) {
			canonical_text(canonical, "\n", 1);
			skip += before + 1 < length && cr[1] == '\n' ? 2 : 1;
		}
		text += skip;
		length -= skip;
	}
}

void
canonical_end(struct canonical *canonical, const char *name)
{
	if (canonical->tag_open) {
		buffer_append(&canonical->out, "/>", 2);
	} else {
		buffer_append(&canonical->out, "</", 2);
		buffer_append_string(&canonical->out, name);
		buffer_append(&canonical->out, ">", 1);
	}
	canonical->tag_open = false;
	if (canonical->depth > 0)
		canonical->depth--;
}

void
canonical_reset(struct canonical *canonical)
{
	if (canonical->out.size > CANONICAL_KEEP)
		buffer_deinit(&canonical->out);
	buffer_clear(&canonical->out);
	canonical->depth = 0;
	canonical->tag_open = false;
}

void
canonical_deinit(struct canonical *canonical)
{
	buffer_deinit(&canonical->out);
	free(canonical->namespaces);
	*canonical = (struct canonical){ 0 };
}
