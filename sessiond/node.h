/*
 * node: one XML element as a small tree, read by libxml2 and written in the canonical form of the link (doc/design.md,
 * "Canonical form"): elements without prefixes, xmlns only where the namespace changes.
 *
 * Every node lives in an arena and is never freed singly. All functions take NULL for a node and then do nothing, so
 * that a failed allocation is asked for once, at the end (arena->failed).
 *
 * The namespace of stanzas (jabber:client, or none said on the link) is NULL in `xmlns`; no namespace at all (xmlns='')
 * is the empty string.
 */
#ifndef C2SD_SESSIOND_NODE_H
#define C2SD_SESSIOND_NODE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buffer.h"
#include "sessiond/arena.h"

#define NS_STREAMS "http://etherx.jabber.org/streams"

struct node_attribute {
	struct node_attribute *next;
	const char *name;
	const char *prefix;	/* NULL: none; only attributes keep their prefixes */
	const char *xmlns;	/* of the prefix */
	const char *value;
};

struct node {
	struct arena *arena;
	const char *name;	/* NULL: text */
	const char *xmlns;
	const char *text;
	struct node_attribute *attributes;
	struct node *first;
	struct node *last;
	struct node *next;
};

enum node_result {
	NODE_READ = 0,
	NODE_MALFORMED,		/* not XML */
	NODE_TOO_DEEP,		/* deeper than NODE_DEPTH_MAX: the node holds what lies above */
};

/* Deeper than any stanza that means something; bounds the recursion of node_write. */
#define NODE_DEPTH_MAX 64

/* Read one complete element. An enum node_result, or -ENOMEM. */
int node_parse(struct arena *arena, const char *bytes, size_t length, struct node **node_r)
    __attribute__((warn_unused_result));

struct node *node_new(struct arena *arena, const char *name, const char *xmlns);

/* Append a child. `xmlns` as in the struct: NULL is the namespace of stanzas, so mostly the parent's is wanted. */
struct node *node_add(struct node *parent, const char *name, const char *xmlns);
void node_add_text(struct node *parent, const char *text);

/* A child with that name and text, in the parent's namespace. */
struct node *node_add_field(struct node *parent, const char *name, const char *text);

/* Put a whole tree, or everything below `from`, at the end. The nodes are moved, not copied. */
void node_attach(struct node *parent, struct node *child);
void node_move_children(struct node *to, struct node *from);

/* Take a child out. */
void node_remove(struct node *parent, const struct node *child);

/* Attributes without a prefix. node_set with NULL removes; node_get gives NULL when absent. Values are copied. */
void node_set(struct node *node, const char *name, const char *value);
const char *node_get(const struct node *node, const char *name);
bool node_has(const struct node *node, const char *name, const char *value);

/* xml:lang. */
void node_set_lang(struct node *node, const char *lang);

/* The first child element, and the next element behind a child; NULL: no more. */
struct node *node_child(const struct node *node);
struct node *node_next(const struct node *child);

/* The first child of that name and namespace. */
struct node *node_find(const struct node *node, const char *name, const char *xmlns);

bool node_is(const struct node *node, const char *name, const char *xmlns);

/* The text directly below, in one string; "" for none. NULL for a node that is NULL. */
const char *node_text(const struct node *node);

/* The text of a child in the node's own namespace; NULL: there is no such child. */
const char *node_field(const struct node *node, const char *name);

/* Append as a top-level element. `sto` and `sfrom` stand right behind the name; NULL: left out. */
void node_write(struct buffer *buffer, const struct node *node, const char *sto, const char *sfrom);

/* The same for one of the streams' own namespace, with the prefix that the link's header declares for it. */
void node_write_of_stream(struct buffer *buffer, const struct node *node, const char *sto, const char *sfrom);

#endif
