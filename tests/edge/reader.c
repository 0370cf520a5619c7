#include "reader.h"

#include <expat.h>
#include <libxml/parser.h>
#include <libxml/tree.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sessiond/arena.h"
#include "sessiond/node.h"

/* ---- expat ---- */

struct reading {
	struct forest *forest;
	XML_Parser parser;
	char separator;		/* 0: no namespaces */
	size_t *ends;
	size_t end_count;
};

/* "uri SEPARATOR name SEPARATOR prefix", of which the last or the last two may be absent. */
struct parts {
	char *memory;
	const char *uri;
	const char *name;
	const char *prefix;
};

static struct parts
take_apart(const struct reading *reading, const char *joined)
{
	struct parts parts = { .memory = strdup(joined) };
	char *at = parts.memory;

	if (at == NULL)
		abort();
	parts.name = at;
	if (reading->separator == 0)
		return parts;
	at = strchr(at, reading->separator);
	if (at == NULL)
		return parts;
	*at++ = '\0';
	parts.uri = parts.name;
	parts.name = at;
	at = strchr(at, reading->separator);
	if (at != NULL) {
		*at++ = '\0';
		parts.prefix = at;
	}
	return parts;
}

static void XMLCALL
on_start(void *argument, const XML_Char *name, const XML_Char **attributes)
{
	struct reading *reading = argument;
	struct parts parts = take_apart(reading, name);

	forest_open(reading->forest, parts.uri, parts.name);
	free(parts.memory);
	for (; *attributes != NULL; attributes += 2) {
		parts = take_apart(reading, attributes[0]);
		forest_attribute(reading->forest, parts.uri, parts.prefix, parts.name, attributes[1], strlen(attributes[1]));
		free(parts.memory);
	}
}

static void
note_end(struct reading *reading)
{
	size_t end = (size_t)XML_GetCurrentByteIndex(reading->parser) + (size_t)XML_GetCurrentByteCount(reading->parser);

	reading->ends = reallocarray(reading->ends, reading->end_count + 1, sizeof *reading->ends);
	if (reading->ends == NULL)
		abort();
	reading->ends[reading->end_count++] = end;
}

static void XMLCALL
on_end(void *argument, const XML_Char *name)
{
	struct reading *reading = argument;

	(void)name;
	if (reading->forest->depth == 2)
		note_end(reading);
	forest_close(reading->forest);
}

static void XMLCALL
on_text(void *argument, const XML_Char *text, int length)
{
	struct reading *reading = argument;

	/* White space that took more bytes than it has was not written as itself; CR LF takes two for one. */
	if (reading->forest->depth == 1 && XML_GetCurrentByteCount(reading->parser) > length + 1)
		reading->forest->stray = true;
	for (int i = 0; i < length && reading->forest->depth == 1; i++)
		if (text[i] != ' ' && text[i] != '\t' && text[i] != '\n' && text[i] != '\r')
			reading->forest->stray = true;
	forest_text(reading->forest, text, (size_t)length);
}

static void XMLCALL
on_cdata(void *argument)
{
	struct reading *reading = argument;

	if (reading->forest->depth == 1)
		reading->forest->stray = true;
}

static void XMLCALL
on_comment(void *argument, const XML_Char *text)
{
	struct reading *reading = argument;

	(void)text;
	reading->forest->restricted = true;
}

static void XMLCALL
on_instruction(void *argument, const XML_Char *target, const XML_Char *data)
{
	struct reading *reading = argument;

	(void)target;
	(void)data;
	reading->forest->restricted = true;
}

static void XMLCALL
on_document_type(void *argument, const XML_Char *name, const XML_Char *system, const XML_Char *public, int internal)
{
	struct reading *reading = argument;

	(void)name;
	(void)system;
	(void)public;
	(void)internal;
	reading->forest->restricted = reading->forest->doctype = true;
	XML_StopParser(reading->parser, XML_FALSE);
}

static XML_Parser
expat_new(enum reader_manner manner, struct reading *reading)
{
	static const char separators[READER_MANNERS] = { '\1', '\n', '|', 0 };
	XML_Parser parser;

	reading->separator = separators[manner];
	parser = manner == READER_RAW ? XML_ParserCreate(NULL) : XML_ParserCreateNS(NULL, separators[manner]);
	if (parser == NULL)
		abort();
#ifdef XML_REPARSE_DEFERRAL_IS_KNOWN
	/* Who waits for one element at a time turns it off: with it a token that came in two pieces may be held back. */
	XML_SetReparseDeferralEnabled(parser, XML_FALSE);
#endif
	XML_SetReturnNSTriplet(parser, manner == READER_LUA || manner == READER_ERLANG);
	XML_SetUserData(parser, reading);
	XML_SetElementHandler(parser, on_start, on_end);
	XML_SetCharacterDataHandler(parser, on_text);
	XML_SetStartCdataSectionHandler(parser, on_cdata);
	XML_SetCommentHandler(parser, on_comment);
	XML_SetProcessingInstructionHandler(parser, on_instruction);
	XML_SetStartDoctypeDeclHandler(parser, on_document_type);
	return parser;
}

void
reader_expat(struct forest *forest_r, enum reader_manner manner, const void *bytes, size_t length, size_t piece,
    size_t **ends_r)
{
	struct reading reading = { .forest = forest_r };
	const char *at = bytes;

	*forest_r = (struct forest){ 0 };
	reading.parser = expat_new(manner, &reading);
	while (length > 0 && !forest_r->failed) {
		size_t now = piece < length ? piece : length;

		if (XML_Parse(reading.parser, at, (int)now, 0) != XML_STATUS_OK)
			forest_r->failed = true;
		at += now;
		length -= now;
	}
	XML_ParserFree(reading.parser);
	if (ends_r != NULL)
		*ends_r = reading.ends;
	else
		free(reading.ends);
}

/* ---- libxml2 ---- */

static const char *
text_of(const xmlChar *text)
{
	return (const char *)text;
}

static void
read_attributes(struct forest *forest, xmlNodePtr node)
{
	for (xmlAttrPtr attribute = node->properties; attribute != NULL; attribute = attribute->next) {
		xmlChar *value = xmlNodeListGetString(node->doc, attribute->children, 1);
		const char *text = value == NULL ? "" : text_of(value);
		bool scoped = attribute->ns != NULL;

		forest_attribute(forest, scoped ? text_of(attribute->ns->href) : NULL,
		    scoped ? text_of(attribute->ns->prefix) : NULL, text_of(attribute->name), text, strlen(text));
		xmlFree(value);
	}
}

static void
read_node(struct forest *forest, xmlNodePtr node)
{
	if (node->type == XML_TEXT_NODE || node->type == XML_CDATA_SECTION_NODE) {
		if (node->content != NULL)
			forest_text(forest, text_of(node->content), strlen(text_of(node->content)));
		return;
	}
	if (node->type != XML_ELEMENT_NODE) {
		forest->restricted = true;
		return;
	}
	forest_open(forest, node->ns == NULL ? NULL : text_of(node->ns->href), text_of(node->name));
	read_attributes(forest, node);
	for (xmlNodePtr child = node->children; child != NULL; child = child->next)
		read_node(forest, child);
	forest_close(forest);
}

void
reader_libxml(struct forest *forest_r, const void *bytes, size_t length)
{
	xmlDocPtr document = xmlReadMemory(bytes, (int)length, NULL, NULL,
	    XML_PARSE_RECOVER | XML_PARSE_NOENT | XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
	xmlNodePtr root = document == NULL ? NULL : xmlDocGetRootElement(document);

	*forest_r = (struct forest){ 0 };
	if (root != NULL)
		read_node(forest_r, root);
	if (document == NULL || document->intSubset != NULL)
		forest_r->restricted = document != NULL;
	xmlFreeDoc(document);
}

/* ---- the embedded session manager ---- */

static void
add_node(struct forest *forest, const struct node *node)
{
	if (node->name == NULL) {
		forest_text(forest, node->text, strlen(node->text));
		return;
	}
	/* As its header says: NULL is the namespace of stanzas, and the empty one is none. */
	forest_open(forest, node->xmlns == NULL ? "jabber:client" : node->xmlns[0] == '\0' ? NULL : node->xmlns,
	    node->name);
	for (const struct node_attribute *attribute = node->attributes; attribute != NULL; attribute = attribute->next)
		forest_attribute(forest, attribute->xmlns, attribute->prefix, attribute->name, attribute->value,
		    strlen(attribute->value));
	for (const struct node *child = node->first; child != NULL; child = child->next)
		add_node(forest, child);
	forest_close(forest);
}

bool
reader_sessiond(struct forest *forest, const void *bytes, size_t length)
{
	struct arena arena = { 0 };
	struct node *node = NULL;
	int result = node_parse(&arena, bytes, length, &node);

	if (forest->depth == 0)
		forest_open(forest, NULL, "link");
	if (result == NODE_READ)
		add_node(forest, node);
	arena_deinit(&arena);
	return result == NODE_READ;
}
