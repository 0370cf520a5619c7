#include "tree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OPEN_MAX (sizeof(((struct forest *)NULL)->open) / sizeof(((struct forest *)NULL)->open[0]))

static void *
must_have(void *memory)
{
	if (memory == NULL)
		abort();
	return memory;
}

static char *
copy(const char *string)
{
	return string == NULL ? NULL : must_have(strdup(string));
}

static void
attribute_free(struct tree_attribute *attribute)
{
	free(attribute->uri);
	free(attribute->prefix);
	free(attribute->name);
	free(attribute->value);
}

static void
tree_free(struct tree *tree)
{
	for (size_t i = 0; i < tree->attribute_count; i++)
		attribute_free(&tree->attributes[i]);
	for (size_t i = 0; i < tree->child_count; i++)
		tree_free(tree->children[i]);
	free(tree->attributes);
	free(tree->children);
	free(tree->uri);
	free(tree->name);
	buffer_deinit(&tree->text);
	free(tree);
}

static void
trees_add(struct tree ***trees, size_t *count, struct tree *tree)
{
	*trees = must_have(reallocarray(*trees, *count + 1, sizeof **trees));
	(*trees)[(*count)++] = tree;
}

static struct tree *
forest_top(const struct forest *forest)
{
	return forest->depth == 0 ? NULL : forest->open[forest->depth - 1];
}

/* The root itself is no tree of the forest, but has a place among the open ones, where its attributes go. */
void
forest_open(struct forest *forest, const char *uri, const char *name)
{
	struct tree *parent = forest_top(forest), *tree;

	if (forest->failed || forest->depth == OPEN_MAX) {
		forest->failed = true;
		return;
	}
	tree = must_have(calloc(1, sizeof *tree));
	tree->uri = copy(uri);
	tree->name = copy(name);
	if (forest->depth == 1)
		trees_add(&forest->trees, &forest->count, tree);
	else if (parent != NULL)
		trees_add(&parent->children, &parent->child_count, tree);
	forest->open[forest->depth++] = tree;
}

void
forest_attribute(struct forest *forest, const char *uri, const char *prefix, const char *name, const char *value,
    size_t length)
{
	struct tree *tree = forest_top(forest);

	if (forest->failed || tree == NULL)
		return;
	tree->attributes = must_have(reallocarray(tree->attributes, tree->attribute_count + 1,
	    sizeof *tree->attributes));
	tree->attributes[tree->attribute_count++] = (struct tree_attribute){
		.uri = copy(uri), .prefix = copy(prefix), .name = copy(name), .value = must_have(strndup(value, length)),
	};
	if (forest->depth == 1 && uri != NULL && strcmp(uri, TREE_XML) == 0 && strcmp(name, "lang") == 0) {
		free(forest->lang);
		forest->lang = must_have(strndup(value, length));
	}
}

/* Parsers hand text over in pieces of any size: one run of it is one child. */
void
forest_text(struct forest *forest, const char *text, size_t length)
{
	struct tree *parent = forest_top(forest), *last;

	if (forest->failed || forest->depth < 2 || length == 0)
		return;
	last = parent->child_count == 0 ? NULL : parent->children[parent->child_count - 1];
	if (last == NULL || last->name != NULL) {
		last = must_have(calloc(1, sizeof *last));
		last->complete = true;
		trees_add(&parent->children, &parent->child_count, last);
	}
	buffer_append(&last->text, text, length);
}

void
forest_close(struct forest *forest)
{
	struct tree *tree = forest_top(forest);

	if (forest->failed || tree == NULL)
		return;
	tree->complete = true;
	if (--forest->depth == 0)
		tree_free(tree);
}

void
forest_deinit(struct forest *forest)
{
	if (forest->depth > 0)
		tree_free(forest->open[0]);
	for (size_t i = 0; i < forest->count; i++)
		tree_free(forest->trees[i]);
	free(forest->trees);
	free(forest->lang);
	*forest = (struct forest){ 0 };
}

size_t
forest_complete(const struct forest *forest)
{
	return forest->count > 0 && !forest->trees[forest->count - 1]->complete ? forest->count - 1 : forest->count;
}

static bool
is_plain(const struct tree_attribute *attribute, const char *name)
{
	return attribute->uri == NULL && attribute->prefix == NULL && strcmp(attribute->name, name) == 0;
}

const char *
tree_get(const struct tree *tree, const char *name)
{
	for (size_t i = 0; i < tree->attribute_count; i++)
		if (is_plain(&tree->attributes[i], name))
			return tree->attributes[i].value;
	return NULL;
}

void
tree_set(struct tree *tree, const char *name, const char *value)
{
	tree_cut(tree, name);
	tree->attributes = must_have(reallocarray(tree->attributes, tree->attribute_count + 1,
	    sizeof *tree->attributes));
	tree->attributes[tree->attribute_count++] = (struct tree_attribute){
		.name = copy(name), .value = copy(value),
	};
}

size_t
tree_cut(struct tree *tree, const char *name)
{
	size_t kept = 0, cut;

	for (size_t i = 0; i < tree->attribute_count; i++) {
		if (is_plain(&tree->attributes[i], name))
			attribute_free(&tree->attributes[i]);
		else
			tree->attributes[kept++] = tree->attributes[i];
	}
	cut = tree->attribute_count - kept;
	tree->attribute_count = kept;
	return cut;
}

const char *
tree_lang(const struct tree *tree)
{
	for (size_t i = 0; i < tree->attribute_count; i++)
		if (tree->attributes[i].uri != NULL && strcmp(tree->attributes[i].uri, TREE_XML) == 0 &&
		    strcmp(tree->attributes[i].name, "lang") == 0)
			return tree->attributes[i].value;
	return NULL;
}

static const char *
translated(const char *uri, const char *from, const char *to)
{
	if (uri == NULL)
		return "";
	return from != NULL && strcmp(uri, from) == 0 ? to : uri;
}

static int
compare_strings(const void *a, const void *b)
{
	const char *const *left = a;
	const char *const *right = b;

	return strcmp(*left, *right);
}

/* Each attribute was written as a string of its own: put them in order and free them. */
static void
write_sorted(struct buffer *out, char **strings, size_t count)
{
	qsort(strings, count, sizeof *strings, compare_strings);
	for (size_t i = 0; i < count; i++) {
		buffer_append_string(out, "\1");
		buffer_append_string(out, strings[i]);
		free(strings[i]);
	}
	free(strings);
}

static char *
attribute_string(const char *scope, const char *name, const char *value)
{
	char *string;

	if (asprintf(&string, "%s\2%s\3%s", scope, name, value) < 0)
		abort();
	return string;
}

void
tree_write(struct buffer *out, const struct tree *tree, const char *from, const char *to)
{
	char **strings = must_have(calloc(tree->attribute_count + 1, sizeof *strings));

	for (size_t i = 0; i < tree->attribute_count; i++)
		strings[i] = attribute_string(translated(tree->attributes[i].uri, NULL, NULL), tree->attributes[i].name,
		    tree->attributes[i].value);
	if (tree->name == NULL) {
		buffer_append(out, buffer_bytes(&tree->text), buffer_length(&tree->text));
		free(strings);
		return;
	}
	buffer_append_format(out, "\4%s\2%s", translated(tree->uri, from, to), tree->name);
	write_sorted(out, strings, tree->attribute_count);
	buffer_append_string(out, "\5");
	for (size_t i = 0; i < tree->child_count; i++)
		tree_write(out, tree->children[i], from, to);
	buffer_append_string(out, "\6");
}

/* The names that an attribute and its declaration have to somebody who takes colons for letters. */
static size_t
raw_attribute(char **strings, const struct tree *tree, size_t index)
{
	const struct tree_attribute *attribute = &tree->attributes[index];
	char *name;

	if (attribute->prefix == NULL) {
		strings[0] = attribute_string("", attribute->name, attribute->value);
		return 1;
	}
	if (asprintf(&name, "%s:%s", attribute->prefix, attribute->name) < 0)
		abort();
	strings[0] = attribute_string("", name, attribute->value);
	free(name);
	if (strcmp(attribute->prefix, "xml") == 0)
		return 1;
	for (size_t i = 0; i < index; i++)
		if (tree->attributes[i].prefix != NULL && strcmp(tree->attributes[i].prefix, attribute->prefix) == 0)
			return 1;
	if (asprintf(&name, "xmlns:%s", attribute->prefix) < 0)
		abort();
	strings[1] = attribute_string("", name, attribute->uri);
	free(name);
	return 2;
}

void
tree_write_raw(struct buffer *out, const struct tree *tree, const char *parent)
{
	char **strings = must_have(calloc(2 * tree->attribute_count + 1, sizeof *strings));
	const char *uri = tree->uri == NULL ? "" : tree->uri;
	size_t count = 0;

	if (tree->name == NULL) {
		buffer_append(out, buffer_bytes(&tree->text), buffer_length(&tree->text));
		free(strings);
		return;
	}
	if (strcmp(uri, parent) != 0)
		strings[count++] = attribute_string("", "xmlns", uri);
	for (size_t i = 0; i < tree->attribute_count; i++)
		count += raw_attribute(strings + count, tree, i);
	buffer_append_format(out, "\4\2%s", tree->name);
	write_sorted(out, strings, count);
	buffer_append_string(out, "\5");
	for (size_t i = 0; i < tree->child_count; i++)
		tree_write_raw(out, tree->children[i], uri);
	buffer_append_string(out, "\6");
}

bool
buffers_are_equal(const struct buffer *a, const struct buffer *b)
{
	size_t length = buffer_length(a);

	return length == buffer_length(b) && (length == 0 || memcmp(buffer_bytes(a), buffer_bytes(b), length) == 0);
}
