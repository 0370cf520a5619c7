#include "common/document.h"

#include <errno.h>
#include <fcntl.h>
#include <libxml/SAX2.h>
#include <libxml/parser.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/buffer.h"

#define BLANKS " \t\r\n"

/* What libxml2 shows of an error became const in 2.12. */
#if LIBXML_VERSION < 21200
#define library_error xmlError
#else
#define library_error const xmlError
#endif

static void __attribute__((format(printf, 3, 4)))
document_fail(struct document *document, int line, const char *format, ...)
{
	va_list arguments;
	char *end;

	va_start(arguments, format);
	vsnprintf(document->error, sizeof document->error, format, arguments);
	va_end(arguments);
	end = document->error + strlen(document->error);
	while (end > document->error && strchr(BLANKS, end[-1]) != NULL)
		*--end = '\0';
	document->line = line;
}

/* ---- lines ---- */

/* A tag of the file, from behind its < to its end, and the line where we are in it. */
struct tag {
	const xmlChar *at, *end;
	int line;
};

static void
tag_skip(struct tag *tag, const xmlChar *to)
{
	for (; tag->at < to; tag->at++)
		tag->line += *tag->at == '\n';
}

static void
tag_skip_any_of(struct tag *tag, const char *bytes)
{
	while (tag->at < tag->end && *tag->at != '\0' && strchr(bytes, *tag->at) != NULL)
		tag_skip(tag, tag->at + 1);
}

static void
tag_skip_until(struct tag *tag, const char *bytes)
{
	while (tag->at < tag->end && (*tag->at == '\0' || strchr(bytes, *tag->at) == NULL))
		tag_skip(tag, tag->at + 1);
}

/* The next attribute: its name. NULL: there is none. The tag is well-formed, so nothing else can be there. */
static const xmlChar *
tag_next(struct tag *tag, size_t *length_r, int *line_r)
{
	const xmlChar *name;
	char quote[2] = { 0 };

	tag_skip_any_of(tag, BLANKS);
	name = tag->at;
	*line_r = tag->line;
	tag_skip_until(tag, BLANKS "=");
	*length_r = (size_t)(tag->at - name);
	tag_skip_any_of(tag, BLANKS "=");
	if (tag->at >= tag->end)
		return NULL;
	quote[0] = (char)*tag->at;
	tag_skip(tag, tag->at + 1);
	tag_skip_until(tag, quote);
	tag_skip(tag, tag->at < tag->end ? tag->at + 1 : tag->end);
	return name;
}

static void
attribute_set_line(xmlNode *node, const xmlChar *name, size_t length, int line)
{
	const xmlChar *colon = memchr(name, ':', length);

	if (colon != NULL) {
		length -= (size_t)(colon + 1 - name);
		name = colon + 1;
	}
	for (xmlAttr *attribute = node->properties; attribute != NULL; attribute = attribute->next) {
		if (strlen((const char *)attribute->name) == length && memcmp(attribute->name, name, length) == 0)
			attribute->_private = (void *)(intptr_t)line;
	}
}

/* The parser stands at the end of the tag of this node, and all of it is in its input. */
static void
node_set_lines(const xmlParserCtxt *context, xmlNode *node)
{
	const xmlParserInput *input = context->input;
	struct tag tag = { .at = input->cur, .end = input->cur, .line = input->line };
	const xmlChar *name;
	size_t length;
	int line;

	/* No < can be in a tag but at its beginning. */
	while (tag.at > input->base && *tag.at != '<')
		tag.line -= *--tag.at == '\n';
	node->_private = (void *)(intptr_t)tag.line;
	tag_skip_until(&tag, BLANKS);
	while ((name = tag_next(&tag, &length, &line)) != NULL)
		attribute_set_line(node, name, length, line);
}

static void
on_element(void *argument, const xmlChar *name, const xmlChar *prefix, const xmlChar *uri, int namespace_count,
    const xmlChar **namespaces, int attribute_count, int default_count, const xmlChar **attributes)
{
	xmlParserCtxt *context = argument;

	xmlSAX2StartElementNs(argument, name, prefix, uri, namespace_count, namespaces, attribute_count, default_count,
	    attributes);
	if (context->node != NULL)
		node_set_lines(context, context->node);
}

int
document_node_line(const xmlNode *node)
{
	return (int)(intptr_t)node->_private;
}

int
document_attribute_line(const xmlAttr *attribute)
{
	return attribute->_private != NULL ? (int)(intptr_t)attribute->_private : document_node_line(attribute->parent);
}

/* ---- reading ---- */

/* All of a regular file. 0, or a negative errno. */
static int
bytes_read(struct buffer *bytes, int fd)
{
	struct stat status;
	ssize_t length;

	if (fstat(fd, &status) < 0)
		return -errno;
	/* A pipe may never say anything. */
	if (!S_ISREG(status.st_mode))
		return S_ISDIR(status.st_mode) ? -EISDIR : -EINVAL;
	do {
		uint8_t *place = buffer_reserve(bytes, 65536);

		if (place == NULL)
			return -ENOMEM;
		length = read(fd, place, 65536);
		if (length > 0)
			buffer_commit(bytes, (size_t)length);
	} while ((length > 0 || (length < 0 && errno == EINTR)) && buffer_length(bytes) <= DOCUMENT_BYTES_MAX);
	if (length < 0)
		return -errno;
	return buffer_length(bytes) > DOCUMENT_BYTES_MAX ? -EFBIG : 0;
}

/* The first error is the one to tell: those behind it come from it. */
static void
on_error(void *argument, library_error *error)
{
	xmlParserCtxt *context = argument;
	struct document *document = context->_private;

	if (error->level >= XML_ERR_ERROR && document->error[0] == '\0')
		document_fail(document, error->line, "%s", error->message != NULL ? error->message : "not well-formed");
}

static void
tree_drop(struct document *document)
{
	if (document->tree != NULL)
		xmlFreeDoc(document->tree);
	document->tree = NULL;
}

static int
bytes_parse(struct document *document, const struct buffer *bytes)
{
	xmlParserCtxt *context = xmlNewParserCtxt();
	bool no_memory;

	if (context == NULL)
		return -ENOMEM;
	context->_private = document;
	context->sax->startElementNs = on_element;
	context->sax->serror = on_error;
	document->tree = xmlCtxtReadMemory(context, (const char *)buffer_bytes(bytes), (int)buffer_length(bytes), NULL, NULL,
	    XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
	no_memory = context->errNo == XML_ERR_NO_MEMORY;
	xmlFreeParserCtxt(context);
	if (no_memory)
		return -ENOMEM;
	if (document->tree != NULL && document->tree->intSubset != NULL && document->error[0] == '\0')
		document_fail(document, 1, "has a document type declaration");
	if (document->tree == NULL && document->error[0] == '\0')
		document_fail(document, 1, "not XML");
	/* Some errors leave a tree: prefixes that nobody declared. */
	if (document->error[0] != '\0')
		tree_drop(document);
	return 0;
}

int
document_read(struct document *document_r, const char *file)
{
	struct buffer bytes = { 0 };
	int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK), result;

	*document_r = (struct document){ 0 };
	result = fd < 0 ? -errno : bytes_read(&bytes, fd);
	if (result < 0 && result != -ENOMEM)
		document_fail(document_r, 0, "cannot be read: %s", strerror(-result));
	else if (result == 0 && buffer_length(&bytes) == 0)
		document_fail(document_r, 1, "empty");
	else if (result == 0)
		result = bytes_parse(document_r, &bytes);
	if (fd >= 0)
		close(fd);
	buffer_deinit(&bytes);
	return result == -ENOMEM ? result : 0;
}

void
document_deinit(struct document *document)
{
	tree_drop(document);
}
