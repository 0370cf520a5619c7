#include "sessiond/node.h"

#include <errno.h>
#include <libxml/parser.h>
#include <string.h>

/*
 * What stands around every element on the link. The header of the socket manager is not looked at (link-protocol 1.1:
 * any root is taken), so this takes its place: no namespace said means that of stanzas.
 */
#define WRAP_HEAD "<s xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
#define WRAP_TAIL "</s>"

struct builder {
	struct arena *arena;
	struct node *root;
	struct node *stack[NODE_DEPTH_MAX];
	unsigned depth;		/* 1: inside the wrap */
	bool too_deep;
	bool malformed;
	struct buffer text;	/* a run of character data, which libxml2 hands over in pieces */
};

static const char *
text_of(const xmlChar *text)
{
	return (const char *)text;
}

static const char *
builder_namespace(struct builder *builder, const xmlChar *uri)
{
	if (uri == NULL)
		return "";
	return strcmp(text_of(uri), "jabber:client") == 0 ? NULL : arena_copy_string(builder->arena, text_of(uri));
}

static struct node *
builder_top(struct builder *builder)
{
	return builder->depth < 2 || builder->depth - 2 >= NODE_DEPTH_MAX ? NULL : builder->stack[builder->depth - 2];
}

static void
builder_flush_text(struct builder *builder)
{
	struct node *top = builder_top(builder);

	if (buffer_length(&builder->text) == 0 && !builder->text.failed)
		return;
	buffer_append(&builder->text, "", 1);
	if (builder->text.failed)
		builder->arena->failed = true;
	else
		node_add_text(top, (const char *)buffer_bytes(&builder->text));
	buffer_clear(&builder->text);
}

/* libxml2's array: five pointers an attribute, the value not terminated. */
static void
builder_add_attribute(struct builder *builder, struct node_attribute ***place, const xmlChar **from)
{
	struct arena *arena = builder->arena;
	struct node_attribute *attribute = arena_take(arena, sizeof *attribute);

	if (attribute == NULL)
		return;
	attribute->name = arena_copy_string(arena, text_of(from[0]));
	attribute->prefix = arena_copy_string(arena, text_of(from[1]));
	attribute->xmlns = arena_copy_string(arena, text_of(from[2]));
	attribute->value = arena_copy(arena, text_of(from[3]), (size_t)(from[4] - from[3]));
	if (arena->failed)
		return;
	**place = attribute;
	*place = &attribute->next;
}

static void
on_start(void *context, const xmlChar *name, const xmlChar *prefix, const xmlChar *uri, int namespace_count,
    const xmlChar **namespaces, int attribute_count, int defaulted_count, const xmlChar **attributes)
{
	struct builder *builder = context;
	struct node_attribute **place;
	struct node *node;

	(void)prefix;
	(void)namespace_count;
	(void)namespaces;
	(void)defaulted_count;
	builder_flush_text(builder);
	builder->depth++;
	if (builder->depth < 2)
		return;
	if (builder->depth - 2 >= NODE_DEPTH_MAX) {
		builder->too_deep = true;
		return;
	}
	node = node_new(builder->arena, text_of(name), builder_namespace(builder, uri));
	builder->stack[builder->depth - 2] = node;
	if (node == NULL)
		return;
	place = &node->attributes;
	for (int i = 0; i < attribute_count; i++)
		builder_add_attribute(builder, &place, attributes + (ptrdiff_t)i * 5);
	if (builder->depth == 2)
		builder->root = node;
	else
		node_attach(builder->stack[builder->depth - 3], node);
}

static void
on_end(void *context, const xmlChar *name, const xmlChar *prefix, const xmlChar *uri)
{
	struct builder *builder = context;

	(void)name;
	(void)prefix;
	(void)uri;
	builder_flush_text(builder);
	builder->depth--;
}

static void
on_text(void *context, const xmlChar *text, int length)
{
	struct builder *builder = context;

	if (builder_top(builder) != NULL)
		buffer_append(&builder->text, text, (size_t)length);
}

/*
 * Namespaces are names, not addresses: what libxml2 thinks of their syntax differs from version to version, and
 * worker/stream has let them through. Its nsWellFormed cannot be asked, because it counts these too.
 */
static void
on_error(void *context, xmlErrorPtr error)
{
	struct builder *builder = context;

	if (error->level < XML_ERR_ERROR || error->code == XML_WAR_NS_URI || error->code == XML_WAR_NS_URI_RELATIVE)
		return;
	if (error->code == XML_ERR_NO_MEMORY)
		builder->arena->failed = true;
	builder->malformed = true;
}

int
node_parse(struct arena *arena, const char *bytes, size_t length, struct node **node_r)
{
	xmlSAXHandler handler = {
		.initialized = XML_SAX2_MAGIC,
		.startElementNs = on_start,
		.endElementNs = on_end,
		.characters = on_text,
		.ignorableWhitespace = on_text,
		.cdataBlock = on_text,
		.serror = on_error,
	};
	struct builder builder = { .arena = arena };
	xmlParserCtxtPtr parser = xmlCreatePushParserCtxt(&handler, &builder, NULL, 0, NULL);
	bool good;

	*node_r = NULL;
	if (parser == NULL)
		return -ENOMEM;
	/*
	 * HUGE lifts limits that the splitter and NODE_DEPTH_MAX take the place of. Without NOENT libxml2 hands over an
	 * ampersand in an attribute as the text &#38;.
	 */
	xmlCtxtUseOptions(parser, XML_PARSE_NONET | XML_PARSE_NOENT | XML_PARSE_HUGE);
	xmlParseChunk(parser, WRAP_HEAD, sizeof WRAP_HEAD - 1, 0);
	xmlParseChunk(parser, bytes, (int)length, 0);
	xmlParseChunk(parser, WRAP_TAIL, sizeof WRAP_TAIL - 1, 1);
	good = parser->wellFormed && !builder.malformed;
	xmlFreeParserCtxt(parser);
	buffer_deinit(&builder.text);
	if (arena->failed)
		return -ENOMEM;
	if (!good || builder.root == NULL)
		return NODE_MALFORMED;
	*node_r = builder.root;
	return builder.too_deep ? NODE_TOO_DEEP : NODE_READ;
}
