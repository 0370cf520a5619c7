#include "worker/stream.h"

#include <errno.h>
#include <libxml/parser.h>
#include <libxml/parserInternals.h>
#include <libxml/xmlerror.h>
#include <libxml/xmlmemory.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "common/wiping.h"
#include "worker/canonical.h"
#include "worker/header.h"
#include "worker/lexer.h"

/* libxml2 never forgets a name: above this many its context is made anew. XMPP as it is spoken has a few hundred. */
#define PARSER_NAMES_MAX 2000

/* libxml2's buffer stays as big as the biggest piece it was given: above this its context is made anew. */
#define PARSER_PIECE_MAX 12288

/* An input buffer above this is not kept when it is empty. */
#define STREAM_INPUT_KEEP 16384

#define ROOT_USUAL "stream:stream xmlns='" NAMESPACE_CLIENT "' xmlns:stream='" NAMESPACE_STREAMS "'"

/* What an xmlParserCtxt and what belongs to it take (baselines). */
#define PARSER_SIZE 16384

struct stream {
	const struct stream_limits *limits;
	struct lexer lexer;
	struct buffer in;		/* what libxml2 was not given yet */
	size_t scanned;			/* of it: bytes that the lexer has looked at */
	struct canonical canonical;	/* the top-level element that is being written */
	xmlParserCtxtPtr parser;	/* NULL: not needed yet, or made anew when it is */
	size_t piece_max;		/* the biggest piece that this parser was given */
	struct stream_header header;	/* until it is taken */
	struct stream_header scope;	/* what a new parser and a stanza need of it: declarations and lang */
	uint32_t depth;			/* libxml2's open elements, the root included */
	bool muted;			/* the parser is being told a header that was seen before */
	bool secret;			/* what has passed is wiped */
	bool closing;			/* the client has sent a stream error */
	bool ended;			/* STREAM_CLOSED or STREAM_FAILED was fetched */
	enum stream_condition condition;
	enum end_limit limit;
	const char *text;
};

/* ---- what went wrong ---- */

/* The first reason counts: what libxml2 says after it is a consequence. */
static void
stream_fail(struct stream *stream, enum stream_condition condition, const char *text)
{
	if (stream->condition == CONDITION_NONE && !stream->closing) {
		stream->condition = condition;
		stream->text = text;
	}
	if (stream->parser != NULL)
		stream->parser->disableSAX = 1;
}

static void
stream_fail_above(struct stream *stream, enum end_limit limit, const char *text)
{
	if (stream->condition == CONDITION_NONE)
		stream->limit = limit;
	stream_fail(stream, CONDITION_POLICY_VIOLATION, text);
}

static void
stream_fail_memory(struct stream *stream)
{
	stream_fail(stream, CONDITION_INTERNAL_SERVER_ERROR, "out of memory");
}

static bool
stream_is_over(const struct stream *stream)
{
	return stream->condition != CONDITION_NONE || stream->closing;
}

/*
 * libxml2 goes on after errors of namespaces, so that each report is judged here. What it thinks of URIs differs from
 * version to version: check_namespaces judges those.
 */
static void
on_error(void *argument, xmlErrorPtr error)
{
	struct stream *stream = argument;

	if (error->level < XML_ERR_ERROR || error->code == XML_WAR_NS_URI || error->code == XML_WAR_NS_URI_RELATIVE)
		return;
	if (error->code == XML_ERR_NO_MEMORY)
		stream_fail_memory(stream);
	else if (error->code == XML_NS_ERR_UNDEFINED_NAMESPACE)
		stream_fail(stream, CONDITION_BAD_NAMESPACE_PREFIX, "a prefix without a declaration");
	else if (error->code == XML_ERR_UNDECLARED_ENTITY || error->code == XML_WAR_UNDECLARED_ENTITY)
		stream_fail(stream, CONDITION_RESTRICTED_XML, "an entity that XML does not predefine");
	else if (error->code == XML_ERR_NAME_TOO_LONG)
		stream_fail(stream, CONDITION_POLICY_VIOLATION, "a name is too long");
	else
		stream_fail(stream, CONDITION_NOT_WELL_FORMED, "not well-formed");
}

/* Where libxml2 has no context to report to it would print. */
static void __attribute__((format(printf, 2, 3)))
on_generic_error(void *argument, const char *format, ...)
{
	(void)argument;
	(void)format;
}

/* ---- what libxml2 reads ---- */

static bool
is_equal(const xmlChar *string, const char *wanted)
{
	return strcmp((const char *)string, wanted) == 0;
}

static bool
has_beginning(const xmlChar *uri, const char *beginning)
{
	return strncmp((const char *)uri, beginning, strlen(beginning)) == 0;
}

static bool
is_stanza_name(const xmlChar *name)
{
	return is_equal(name, "message") || is_equal(name, "presence") || is_equal(name, "iq");
}

/* What the link's own elements and stanzas are called: who reads it without namespaces would take it for one. */
static bool
is_taken_name(const xmlChar *name)
{
	return is_equal(name, "route") || is_equal(name, "handshake") || is_stanza_name(name);
}

/*
 * The default namespace of a link, in which stanzas stand there without saying so. A child that says it is in that very
 * namespace would be one in the stanza's own namespace to who reads the link, and to nobody else.
 */
static bool
is_link_namespace(const xmlChar *uri)
{
	return has_beginning(uri, "jabber:") && (is_equal(uri, "jabber:component:accept") || is_equal(uri, "jabber:sockets"));
}

/* May this stand at top level? Returns true for a stanza, which inherits the header's xml:lang. */
static bool
judge_top_level(struct stream *stream, const xmlChar *name, const xmlChar *uri)
{
	if (uri == NULL) {
		stream_fail(stream, CONDITION_INVALID_NAMESPACE, "an element without a namespace");
	} else if (is_equal(uri, NAMESPACE_CLIENT)) {
		if (is_stanza_name(name))
			return true;
		stream_fail(stream, CONDITION_UNSUPPORTED_STANZA_TYPE, "not a message, presence or iq");
	} else if (is_equal(uri, NAMESPACE_STREAMS)) {
		if (is_equal(name, "error"))
			stream->closing = true;
		else
			stream_fail(stream, CONDITION_UNSUPPORTED_STANZA_TYPE, "not what a client sends");
	} else if (has_beginning(uri, "urn:ietf:params:xml:ns:xmpp-framing") || has_beginning(uri, "urn:x-c2sd:")) {
		stream_fail(stream, CONDITION_POLICY_VIOLATION, "a namespace that is not for clients");
	} else if (has_beginning(uri, "jabber:")) {
		stream_fail(stream, CONDITION_INVALID_NAMESPACE, "not jabber:client");
	} else if (is_taken_name(name)) {
		stream_fail(stream, CONDITION_UNSUPPORTED_STANZA_TYPE, "not what a client sends");
	}
	return false;
}

/*
 * A namespace is a URI (Namespaces in XML 1.0, 2.1). Parsers that join namespace and name with a byte that no URI has,
 * as those of ejabberd and jabberd2 do, break off where one has it all the same, and with them the link would.
 */
static bool
is_uri(const xmlChar *uri)
{
	static const bool good[256] = {
		['!'] = true, ['#' ... ';'] = true, ['='] = true, ['?' ... '['] = true, [']'] = true, ['_'] = true,
		['a' ... 'z'] = true, ['~'] = true,
	};

	while (good[*uri])
		uri++;
	return *uri == '\0';
}

static void
check_namespaces(struct stream *stream, int count, const xmlChar **namespaces)
{
	for (int i = 0; i < count; i++)
		if (!is_uri(namespaces[2 * i + 1]))
			stream_fail(stream, CONDITION_INVALID_NAMESPACE, "a namespace that is no URI");
}

static void
on_root(struct stream *stream, const struct root *root)
{
	int r;

	if (stream->muted)
		return;
	r = header_read(&stream->header, root, &stream->text);
	if (r == 0)
		r = header_copy_scope(&stream->scope, stream->header.lang, stream->header.declarations);
	if (r < 0)
		stream_fail_memory(stream);
	else if (r > 0)
		stream_fail(stream, (enum stream_condition)r, stream->text);
}

/* What was written is bounded as what was received is: escaping and repeated declarations could multiply it. */
static void
check_written(struct stream *stream)
{
	if (stream->canonical.out.failed)
		stream_fail_memory(stream);
	else if (buffer_length(&stream->canonical.out) > (size_t)stream->limits->element_bytes + STREAM_WRITTEN_EXTRA)
		stream_fail_above(stream, LIMIT_STANZA_BYTES, "an element is too long when written out");
}

static void
on_start(void *argument, const xmlChar *name, const xmlChar *prefix, const xmlChar *uri, int namespace_count,
    const xmlChar **namespaces, int attribute_count, int defaulted, const xmlChar **attributes)
{
	struct stream *stream = argument;
	const char *lang = NULL;

	(void)defaulted;
	check_namespaces(stream, namespace_count, namespaces);
	if (stream_is_over(stream))
		return;
	if (stream->depth++ == 0) {
		on_root(stream, &(struct root){ name, prefix, uri, namespaces, attributes, namespace_count,
		    attribute_count });
		return;
	}
	/* It could only be written with its prefix. */
	if (uri != NULL && is_equal(uri, NAMESPACE_XML)) {
		stream_fail(stream, CONDITION_INVALID_NAMESPACE, "an element in the namespace of XML");
		return;
	}
	if (stream->depth == 2 && judge_top_level(stream, name, uri))
		lang = stream->scope.lang;
	else if (uri != NULL && is_link_namespace(uri))
		stream_fail(stream, CONDITION_INVALID_NAMESPACE, "the namespace of a link");
	if (stream_is_over(stream))
		return;
	canonical_start(&stream->canonical, (const char *)name, (const char *)uri, attributes, attribute_count, lang);
	check_written(stream);
}

static void
on_end(void *argument, const xmlChar *name, const xmlChar *prefix, const xmlChar *uri)
{
	struct stream *stream = argument;

	(void)prefix;
	(void)uri;
	if (stream_is_over(stream))
		return;
	if (--stream->depth > 0)
		canonical_end(&stream->canonical, (const char *)name);
	check_written(stream);
}

static void
on_text(void *argument, const xmlChar *text, int length)
{
	struct stream *stream = argument;

	if (stream_is_over(stream) || stream->depth < 2)
		return;
	canonical_text(&stream->canonical, (const char *)text, (size_t)length);
	check_written(stream);
}

static void
on_cdata(void *argument, const xmlChar *text, int length)
{
	struct stream *stream = argument;

	if (stream_is_over(stream) || stream->depth < 2)
		return;
	canonical_cdata(&stream->canonical, (const char *)text, (size_t)length);
	check_written(stream);
}

/* The lexer has refused these; if libxml2 ever sees one, it is refused again. */
static void
on_restricted(struct stream *stream)
{
	stream_fail(stream, CONDITION_RESTRICTED_XML, "restricted XML");
}

static void
on_comment(void *argument, const xmlChar *text)
{
	(void)text;
	on_restricted(argument);
}

static void
on_instruction(void *argument, const xmlChar *target, const xmlChar *data)
{
	(void)target;
	(void)data;
	on_restricted(argument);
}

static void
on_document_type(void *argument, const xmlChar *name, const xmlChar *external, const xmlChar *system)
{
	(void)name;
	(void)external;
	(void)system;
	on_restricted(argument);
}

/* Equal handlers for white space and text keep libxml2 from guessing which white space matters. */
static const xmlSAXHandler handlers = {
	.initialized = XML_SAX2_MAGIC,
	.startElementNs = on_start,
	.endElementNs = on_end,
	.characters = on_text,
	.ignorableWhitespace = on_text,
	.cdataBlock = on_cdata,
	.comment = on_comment,
	.processingInstruction = on_instruction,
	.internalSubset = on_document_type,
	.externalSubset = on_document_type,
	.serror = on_error,
};

/* ---- the parser ---- */

static void
parser_close(struct stream *stream)
{
	if (stream->parser == NULL)
		return;
	wiping_set(stream->secret);
	xmlFreeParserCtxt(stream->parser);
	wiping_set(false);
	stream->parser = NULL;
	stream->depth = 0;
}

static void parser_push(struct stream *stream, const void *bytes, size_t length);

/* Tell a new parser where it is: behind the header. */
static void
parser_resume(struct stream *stream)
{
	const char *root = stream->scope.declarations != NULL ? stream->scope.declarations : ROOT_USUAL;

	stream->muted = true;
	parser_push(stream, "<", 1);
	parser_push(stream, root, strlen(root));
	parser_push(stream, ">", 1);
	stream->muted = false;
}

/*
 * XML_PARSE_NOENT expands nothing here, because nothing can be declared; without it libxml2 would hand out & in
 * attributes as &#38;, but &#38; as well. The encoding is set so that none is ever guessed. XML_PARSE_OLD10: the names
 * that expat knows.
 */
static bool
parser_open(struct stream *stream)
{
	xmlSAXHandler copy = handlers;

	xmlInitParser();
	xmlSetGenericErrorFunc(NULL, on_generic_error);
	stream->parser = xmlCreatePushParserCtxt(&copy, stream, NULL, 0, NULL);
	if (stream->parser == NULL ||
	    xmlSwitchEncoding(stream->parser, XML_CHAR_ENCODING_UTF8) < 0 ||
	    xmlCtxtUseOptions(stream->parser, XML_PARSE_NONET | XML_PARSE_NOENT | XML_PARSE_OLD10) != 0) {
		stream_fail_memory(stream);
		return false;
	}
	stream->depth = 0;
	stream->piece_max = 0;
	return true;
}

static void
parser_push(struct stream *stream, const void *bytes, size_t length)
{
	int result;

	if (length > stream->piece_max)
		stream->piece_max = length;
	if (stream->secret)
		buffer_set_secret(&stream->canonical.out);
	wiping_set(stream->secret);
	result = xmlParseChunk(stream->parser, bytes, (int)length, 0);
	wiping_set(false);
	/* XML_PARSER_EOF, which is negative: libxml2 has no memory for the chunk; it calls no handler for that. */
	if (result < 0)
		stream_fail_memory(stream);
	else if (result != 0)
		stream_fail(stream, CONDITION_NOT_WELL_FORMED, "not well-formed");
}

/*
 * Give libxml2 whole tags and the text before them. It must use them up: what it kept back it would have understood
 * differently from the lexer.
 */
static void
stream_push(struct stream *stream, const void *bytes, size_t length, bool inside)
{
	if (stream->parser == NULL) {
		if (!parser_open(stream))
			return;
		if (inside)
			parser_resume(stream);
	}
	parser_push(stream, bytes, length);
	if (stream->condition == CONDITION_NONE && stream->parser->input->cur != stream->parser->input->end)
		stream_fail(stream, CONDITION_NOT_WELL_FORMED, "not well-formed");
}

/* Between two elements: drop what has grown. */
static void
stream_trim(struct stream *stream)
{
	canonical_reset(&stream->canonical);
	if (buffer_length(&stream->in) == 0 && stream->in.size > STREAM_INPUT_KEEP)
		buffer_deinit(&stream->in);
	if (stream->parser != NULL &&
	    (stream->piece_max > PARSER_PIECE_MAX || xmlDictSize(stream->parser->dict) > PARSER_NAMES_MAX))
		parser_close(stream);
}

/* ---- bytes in, events out ---- */

static bool
is_space(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

bool
stream_is_whitespace(const void *bytes, size_t length)
{
	const uint8_t *at = bytes;

	for (size_t i = 0; i < length; i++)
		if (!is_space(at[i]))
			return false;
	return true;
}

static void
stream_skip_whitespace(struct stream *stream)
{
	const uint8_t *bytes = buffer_bytes(&stream->in);
	size_t length = buffer_length(&stream->in);
	size_t i = 0;

	while (i < length && is_space(bytes[i]))
		i++;
	buffer_consume(&stream->in, i);
}

/* Look at what is there, and have what is complete parsed. */
static enum lexer_result
stream_scan(struct stream *stream)
{
	bool inside = stream->lexer.depth > 0;
	enum lexer_result result;
	size_t used, complete;

	result = lexer_scan(&stream->lexer, stream->limits, buffer_bytes(&stream->in) + stream->scanned,
	    buffer_length(&stream->in) - stream->scanned, &used, &complete);
	stream->scanned += used;
	if (complete == 0)
		return result;
	complete += stream->scanned - used;
	if (result == LEXER_DECLARATION) {
		int r = declaration_check((const char *)buffer_bytes(&stream->in), complete, &stream->text);

		if (r > 0)
			stream_fail(stream, (enum stream_condition)r, stream->text);
	} else {
		stream_push(stream, buffer_bytes(&stream->in), complete, inside);
	}
	buffer_consume(&stream->in, complete);
	stream->scanned -= complete;
	return result;
}

static enum stream_event_type
stream_end(struct stream *stream, struct stream_event *event, enum stream_event_type type)
{
	event->type = type;
	if (type == STREAM_FAILED) {
		event->condition = stream->condition;
		event->limit = stream->limit;
		event->text = stream->text;
	}
	stream->ended = true;
	parser_close(stream);
	buffer_deinit(&stream->in);
	canonical_deinit(&stream->canonical);
	return type;
}

static enum stream_event_type
stream_element(struct stream *stream, struct stream_event *event)
{
	/* The lexer and libxml2 must agree about where the element ends. */
	if (stream->depth != 1) {
		stream_fail(stream, CONDITION_NOT_WELL_FORMED, "not well-formed");
		return stream_end(stream, event, STREAM_FAILED);
	}
	event->type = STREAM_ELEMENT;
	event->bytes = (const char *)buffer_bytes(&stream->canonical.out);
	event->length = buffer_length(&stream->canonical.out);
	event->name_end = stream->canonical.name_end;
	event->received = stream->lexer.received;
	lexer_begin_next(&stream->lexer);
	return STREAM_ELEMENT;
}

/* What does it mean that the lexer has come to the end of something, and libxml2 has read it? */
static enum stream_event_type
stream_judge(struct stream *stream, struct stream_event *event, enum lexer_result result)
{
	if (stream->closing)
		return stream_end(stream, event, STREAM_CLOSED);
	if (result == LEXER_REFUSED && stream->lexer.limit != LIMIT_NONE)
		stream_fail_above(stream, stream->lexer.limit, stream->lexer.text);
	else if (result == LEXER_REFUSED)
		stream_fail(stream, stream->lexer.condition, stream->lexer.text);
	if (stream->condition != CONDITION_NONE)
		return stream_end(stream, event, STREAM_FAILED);
	switch (result) {
	case LEXER_ROOT:
		lexer_begin_next(&stream->lexer);
		event->type = STREAM_OPENED;
		return STREAM_OPENED;
	case LEXER_ELEMENT:
		return stream_element(stream, event);
	case LEXER_END:
		return stream_end(stream, event, STREAM_CLOSED);
	case LEXER_MORE:
	case LEXER_DECLARATION:
	case LEXER_REFUSED:
	default:
		return STREAM_NOTHING;
	}
}

enum stream_event_type
stream_next(struct stream *stream, struct stream_event *event_r)
{
	enum lexer_result result;

	*event_r = (struct stream_event){ .type = STREAM_NOTHING };
	if (stream->ended)
		return STREAM_NOTHING;
	if (lexer_is_between(&stream->lexer)) {
		if (stream->lexer.empty_root)
			return stream_end(stream, event_r, STREAM_CLOSED);
		stream_trim(stream);
		stream_skip_whitespace(stream);
	}
	if (buffer_length(&stream->in) == stream->scanned)
		return STREAM_NOTHING;
	do {
		result = stream_scan(stream);
	} while (result == LEXER_DECLARATION && stream->condition == CONDITION_NONE);
	return stream_judge(stream, event_r, result);
}

int
stream_feed(struct stream *stream, const void *bytes, size_t length)
{
	if (stream->ended)
		return 0;
	if (stream->secret)
		buffer_set_secret(&stream->in);
	buffer_append(&stream->in, bytes, length);
	if (!stream->in.failed)
		return 0;
	/* A stream with a hole in it must not be read on. */
	stream->ended = true;
	return -ENOMEM;
}

const void *
stream_unread(const struct stream *stream, size_t *length_r)
{
	*length_r = buffer_length(&stream->in);
	return buffer_bytes(&stream->in);
}

bool
stream_is_quiet(const struct stream *stream)
{
	return !stream->ended && lexer_is_between(&stream->lexer) && !stream->lexer.empty_root &&
	    buffer_length(&stream->in) == 0;
}

size_t
stream_memory(const struct stream *stream)
{
	return sizeof *stream + stream->in.size + stream->canonical.out.size + (stream->parser != NULL ? PARSER_SIZE : 0) +
	    stream->piece_max;
}

/* ---- life ---- */

struct stream *
stream_new(const struct stream_limits *limits, const struct stream_header *header)
{
	struct stream *stream = calloc(1, sizeof(*stream));

	if (stream == NULL)
		return NULL;
	stream->limits = limits;
	if (header == NULL)
		return stream;
	lexer_init_inside(&stream->lexer);
	if (header_copy_scope(&stream->scope, header->lang, header->declarations) < 0)
		stream_free(&stream);
	return stream;
}

void
stream_free(struct stream **stream)
{
	if (*stream == NULL)
		return;
	parser_close(*stream);
	buffer_deinit(&(*stream)->in);
	canonical_deinit(&(*stream)->canonical);
	stream_header_deinit(&(*stream)->header);
	stream_header_deinit(&(*stream)->scope);
	free(*stream);
	*stream = NULL;
}

void
stream_set_limits(struct stream *stream, const struct stream_limits *limits)
{
	stream->limits = limits;
}

void
stream_take_header(struct stream *stream, struct stream_header *header_r)
{
	*header_r = stream->header;
	stream->header = (struct stream_header){ 0 };
}

void
stream_set_secret(struct stream *stream)
{
	stream->secret = true;
}

void
stream_prepare_process(void)
{
	xmlMemSetup(wiping_free, malloc, wiping_realloc, strdup);
}
