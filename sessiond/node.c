#include "sessiond/node.h"

#include <string.h>

struct node *
node_new(struct arena *arena, const char *name, const char *xmlns)
{
	struct node *node = arena_take(arena, sizeof *node);

	if (node == NULL)
		return NULL;
	node->arena = arena;
	node->name = arena_copy_string(arena, name);
	node->xmlns = arena_copy_string(arena, xmlns);
	return arena->failed ? NULL : node;
}

void
node_attach(struct node *parent, struct node *child)
{
	if (parent == NULL || child == NULL)
		return;
	if (parent->last == NULL)
		parent->first = child;
	else
		parent->last->next = child;
	parent->last = child;
	child->next = NULL;
}

struct node *
node_add(struct node *parent, const char *name, const char *xmlns)
{
	struct node *child = parent == NULL ? NULL : node_new(parent->arena, name, xmlns);

	node_attach(parent, child);
	return child;
}

void
node_add_text(struct node *parent, const char *text)
{
	struct node *child;

	if (parent == NULL || text == NULL || *text == '\0')
		return;
	child = arena_take(parent->arena, sizeof *child);
	if (child == NULL)
		return;
	child->arena = parent->arena;
	child->text = arena_copy_string(parent->arena, text);
	if (child->text != NULL)
		node_attach(parent, child);
}

struct node *
node_add_field(struct node *parent, const char *name, const char *text)
{
	struct node *child = parent == NULL ? NULL : node_add(parent, name, parent->xmlns);

	node_add_text(child, text);
	return child;
}

void
node_move_children(struct node *to, struct node *from)
{
	struct node *child;
	struct node *next;

	if (to == NULL || from == NULL)
		return;
	for (child = from->first; child != NULL; child = next) {
		next = child->next;
		node_attach(to, child);
	}
	from->first = from->last = NULL;
}

void
node_remove(struct node *parent, const struct node *child)
{
	struct node *before = NULL;

	if (parent == NULL)
		return;
	for (struct node *node = parent->first; node != NULL; before = node, node = node->next) {
		if (node != child)
			continue;
		if (before == NULL)
			parent->first = node->next;
		else
			before->next = node->next;
		if (parent->last == node)
			parent->last = before;
		return;
	}
}

static struct node_attribute **
attribute_place(struct node *node, const char *name)
{
	struct node_attribute **place = &node->attributes;

	while (*place != NULL && ((*place)->prefix != NULL || strcmp((*place)->name, name) != 0))
		place = &(*place)->next;
	return place;
}

void
node_set(struct node *node, const char *name, const char *value)
{
	struct node_attribute **place;

	if (node == NULL)
		return;
	place = attribute_place(node, name);
	if (value == NULL) {
		if (*place != NULL)
			*place = (*place)->next;
		return;
	}
	if (*place == NULL) {
		struct node_attribute *attribute = arena_take(node->arena, sizeof *attribute);

		if (attribute == NULL)
			return;
		attribute->name = arena_copy_string(node->arena, name);
		attribute->value = "";
		if (attribute->name == NULL)
			return;
		*place = attribute;
	}
	value = arena_copy_string(node->arena, value);
	if (value != NULL)
		(*place)->value = value;
}

void
node_set_lang(struct node *node, const char *lang)
{
	struct node_attribute *attribute = node == NULL ? NULL : arena_take(node->arena, sizeof *attribute);
	struct node_attribute **place;

	if (attribute == NULL)
		return;
	attribute->prefix = "xml";
	attribute->name = "lang";
	attribute->value = arena_copy_string(node->arena, lang);
	if (attribute->value == NULL)
		return;
	for (place = &node->attributes; *place != NULL; place = &(*place)->next)
		;
	*place = attribute;
}

const char *
node_get(const struct node *node, const char *name)
{
	const struct node_attribute *attribute;

	if (node == NULL)
		return NULL;
	for (attribute = node->attributes; attribute != NULL; attribute = attribute->next) {
		if (attribute->prefix == NULL && strcmp(attribute->name, name) == 0)
			return attribute->value;
	}
	return NULL;
}

bool
node_has(const struct node *node, const char *name, const char *value)
{
	const char *found = node_get(node, name);

	return found != NULL && strcmp(found, value) == 0;
}

struct node *
node_next(const struct node *child)
{
	struct node *node = child == NULL ? NULL : child->next;

	while (node != NULL && node->name == NULL)
		node = node->next;
	return node;
}

struct node *
node_child(const struct node *node)
{
	struct node *child = node == NULL ? NULL : node->first;

	return child != NULL && child->name == NULL ? node_next(child) : child;
}

static bool
strings_equal(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

bool
node_is(const struct node *node, const char *name, const char *xmlns)
{
	return node != NULL && strings_equal(node->name, name) && strings_equal(node->xmlns, xmlns);
}

struct node *
node_find(const struct node *node, const char *name, const char *xmlns)
{
	struct node *child = node_child(node);

	while (child != NULL && !node_is(child, name, xmlns))
		child = node_next(child);
	return child;
}

const char *
node_text(const struct node *node)
{
	struct buffer all = { 0 };
	const char *text = "";
	unsigned pieces = 0;

	if (node == NULL)
		return NULL;
	for (const struct node *child = node->first; child != NULL; child = child->next) {
		if (child->text == NULL)
			continue;
		text = child->text;
		pieces++;
		buffer_append_string(&all, child->text);
	}
	if (pieces > 1) {
		node->arena->failed = node->arena->failed || all.failed;
		text = arena_copy(node->arena, (const char *)buffer_bytes(&all), buffer_length(&all));
	}
	buffer_deinit(&all);
	return text;
}

const char *
node_field(const struct node *node, const char *name)
{
	return node == NULL ? NULL : node_text(node_find(node, name, node->xmlns));
}

/* What would mean something else. Line ends and tabs, too: the next parser normalises them (XML 1.0, 2.11, 3.3.3). */
#define SPECIAL_IN_TEXT "&<>\r"
#define SPECIAL_IN_VALUE "&<>'\r\n\t"

static const char *
reference_to(char c)
{
	switch (c) {
	case '&':
		return "&amp;";
	case '<':
		return "&lt;";
	case '>':
		return "&gt;";
	case '\'':
		return "&apos;";
	case '\r':
		return "&#13;";
	case '\n':
		return "&#10;";
	default:
		return "&#9;";
	}
}

/*
 * Nothing more than has to be, and the same as worker/canonical writes: what goes through here must not grow, or one
 * day it would be too long for the link.
 */
static void
write_escaped(struct buffer *buffer, const char *text, const char *special)
{
	size_t length;

	while (*text != '\0') {
		length = strcspn(text, special);
		buffer_append(buffer, text, length);
		text += length;
		if (*text != '\0')
			buffer_append_string(buffer, reference_to(*text++));
	}
}

static void
write_attribute(struct buffer *buffer, const char *name, const char *value)
{
	if (value == NULL)
		return;
	buffer_append(buffer, " ", 1);
	buffer_append_string(buffer, name);
	buffer_append(buffer, "='", 2);
	write_escaped(buffer, value, SPECIAL_IN_VALUE);
	buffer_append(buffer, "'", 1);
}

static bool
prefix_is_declared(const struct node *node, const struct node_attribute *attribute)
{
	for (const struct node_attribute *other = node->attributes; other != attribute; other = other->next) {
		if (other->prefix != NULL && strcmp(other->prefix, attribute->prefix) == 0)
			return true;
	}
	return false;
}

static void
write_attributes(struct buffer *buffer, const struct node *node)
{
	const struct node_attribute *attribute;

	for (attribute = node->attributes; attribute != NULL; attribute = attribute->next) {
		if (attribute->prefix == NULL) {
			write_attribute(buffer, attribute->name, attribute->value);
			continue;
		}
		if (strcmp(attribute->prefix, "xml") != 0 && !prefix_is_declared(node, attribute)) {
			buffer_append_format(buffer, " xmlns:%s='", attribute->prefix);
			write_escaped(buffer, attribute->xmlns, SPECIAL_IN_VALUE);
			buffer_append(buffer, "'", 1);
		}
		buffer_append_format(buffer, " %s:%s='", attribute->prefix, attribute->name);
		write_escaped(buffer, attribute->value, SPECIAL_IN_VALUE);
		buffer_append(buffer, "'", 1);
	}
}

static void write_content(struct buffer *buffer, const struct node *node, const char *prefix, const char *outer);

/* Recursion is bounded: node_parse lets nothing deeper than NODE_DEPTH_MAX in, and what we build is flat. */
static void
write_node(struct buffer *buffer, const struct node *node, const char *outer)
{
	if (node->name == NULL) {
		write_escaped(buffer, node->text, SPECIAL_IN_TEXT);
		return;
	}
	buffer_append(buffer, "<", 1);
	buffer_append_string(buffer, node->name);
	if (!strings_equal(node->xmlns, outer))
		write_attribute(buffer, "xmlns", node->xmlns == NULL ? "jabber:client" : node->xmlns);
	write_attributes(buffer, node);
	write_content(buffer, node, "", node->xmlns);
}

/* All behind the start tag's attributes. `outer`: the namespace that stands around what is inside. */
static void
write_content(struct buffer *buffer, const struct node *node, const char *prefix, const char *outer)
{
	if (node->first == NULL) {
		buffer_append(buffer, "/>", 2);
		return;
	}
	buffer_append(buffer, ">", 1);
	for (const struct node *child = node->first; child != NULL; child = child->next)
		write_node(buffer, child, outer);
	buffer_append_format(buffer, "</%s%s>", prefix, node->name);
}

/* `outer`: the default namespace behind the start tag. */
static void
write_top(struct buffer *buffer, const struct node *node, const char *prefix, const char *outer, const char *sto,
    const char *sfrom)
{
	if (node == NULL)
		return;
	buffer_append_format(buffer, "<%s%s", prefix, node->name);
	write_attribute(buffer, "sto", sto);
	write_attribute(buffer, "sfrom", sfrom);
	write_attribute(buffer, "xmlns", outer);
	write_attributes(buffer, node);
	write_content(buffer, node, prefix, outer);
}

void
node_write(struct buffer *buffer, const struct node *node, const char *sto, const char *sfrom)
{
	write_top(buffer, node, "", node == NULL ? NULL : node->xmlns, sto, sfrom);
}

void
node_write_of_stream(struct buffer *buffer, const struct node *node, const char *sto, const char *sfrom)
{
	write_top(buffer, node, "stream:", NULL, sto, sfrom);
}
