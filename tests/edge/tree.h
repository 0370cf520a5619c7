/*
 * tree: what a parser has understood, whichever parser it was, in a form in which two of them can be compared.
 *
 * A forest holds the elements directly below a document's root, each complete or cut off where the parser broke off. It
 * owns all its strings; forest_deinit may be called twice. Memory that is not there aborts: these are tests.
 */
#ifndef C2SD_TESTS_EDGE_TREE_H
#define C2SD_TESTS_EDGE_TREE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buffer.h"

struct tree_attribute {
	char *uri;	/* NULL: in no namespace */
	char *prefix;	/* as the document had it; NULL: none, or the parser did not say */
	char *name;
	char *value;
};

struct tree {
	char *uri;	/* NULL: in no namespace, or the parser knows none */
	char *name;	/* NULL: text */
	struct buffer text;
	struct tree_attribute *attributes;
	size_t attribute_count;
	struct tree **children;
	size_t child_count;
	bool complete;	/* its end tag was seen, or nobody knows */
};

struct forest {
	struct tree **trees;
	size_t count;
	char *lang;		/* of the root; NULL: none */
	struct tree *open[512];	/* while it grows: the elements from the root inwards; open[0] is the root */
	size_t depth;
	bool failed;		/* the parser refused the document at some place */
	bool restricted;	/* there was a comment, processing instruction or document type in it */
	bool doctype;		/* a document type: expat was stopped there */
	bool stray;		/* text between its trees, or a reference or CDATA section, whatever it stands for */
};

/* What a parser's handlers call. Deeper than `open` the forest is marked as failed, and grows no more. */
void forest_open(struct forest *forest, const char *uri, const char *name);
void forest_attribute(struct forest *forest, const char *uri, const char *prefix, const char *name, const char *value,
    size_t length);
void forest_text(struct forest *forest, const char *text, size_t length);
void forest_close(struct forest *forest);
void forest_deinit(struct forest *forest);

/* How many of its trees are complete: all, or all but the last. */
size_t forest_complete(const struct forest *forest);

/* An attribute in no namespace; NULL: there is none. */
const char *tree_get(const struct tree *tree, const char *name);
void tree_set(struct tree *tree, const char *name, const char *value);
/* Take out all that have the name and no namespace; how many there were. */
size_t tree_cut(struct tree *tree, const char *name);

#define TREE_XML "http://www.w3.org/XML/1998/namespace"

/* Its xml:lang; NULL: none. */
const char *tree_lang(const struct tree *tree);

/*
 * Write it down: attributes in the order of their names, parts divided by control characters that no XML has. An
 * element in `from` is written as one in `to` (NULL: none is).
 */
void tree_write(struct buffer *out, const struct tree *tree, const char *from, const char *to);

/*
 * Likewise as one would read it who knows no namespaces, if it stood below an element of `parent` in canonical form:
 * xmlns where the namespace changes, prefixes on attributes, declared with them.
 */
void tree_write_raw(struct buffer *out, const struct tree *tree, const char *parent);

bool buffers_are_equal(const struct buffer *a, const struct buffer *b);

#endif
