/*
 * canonical: writes an element anew from what a parser has understood, in the canonical form of doc/design.md: elements
 * without prefixes, xmlns where the namespace differs from the parent's, prefixes on attributes only and declared where
 * they are used. So nobody further on can read it differently, whether he understands namespaces or not.
 *
 * A top-level element stands in jabber:client, whatever the client's header said: its own xmlns is left out when it is
 * that. Attributes are in single quotes and in the order in which they came. Each element that has prefixed attributes
 * declares their prefixes itself, as the client had named them: no declaration is ever inherited in what is written.
 *
 * White space that a second parser would change is written as character references: tab, line feed and carriage
 * return in attributes, carriage return in text.
 */
#ifndef C2SD_WORKER_CANONICAL_H
#define C2SD_WORKER_CANONICAL_H

#include <libxml/tree.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"

#define NAMESPACE_CLIENT "jabber:client"
#define NAMESPACE_STREAMS "http://etherx.jabber.org/streams"
#define NAMESPACE_XML "http://www.w3.org/XML/1998/namespace"

/* One attribute as libxml2's startElementNs names it. */
struct attribute {
	const char *name;
	const char *prefix;	/* NULL: none */
	const char *uri;	/* NULL: in no namespace */
	const char *value;	/* not terminated */
	size_t length;
};

/* The attribute at that place in libxml2's array of fives. */
struct attribute attribute_at(const xmlChar **attributes, int index);

/* True when the attribute has no namespace and that name. */
bool attribute_is_plain(const struct attribute *attribute, const char *name);

/* True when it is xml:lang. */
bool attribute_is_lang(const struct attribute *attribute);

/* Zeroed memory is a writer that has written nothing. */
struct canonical {
	struct buffer out;	/* one top-level element; `failed` when memory was short */
	const char **namespaces;	/* of the open elements; the strings are the caller's */
	uint32_t depth;
	uint32_t size;		/* of the array */
	bool tag_open;		/* the start tag still lacks its > */
	size_t name_end;	/* offset behind the top-level element's name */
};

/*
 * A start tag. `uri` is NULL in no namespace and must live until the element's end. At top level the attributes sto and
 * sfrom are left out (they belong to the link), and `lang`, unless NULL, is written as xml:lang when there is none.
 */
void canonical_start(struct canonical *canonical, const char *name, const char *uri, const xmlChar **attributes,
    int count, const char *lang);
void canonical_text(struct canonical *canonical, const char *text, size_t length);

/* Text of a CDATA section, where libxml2 leaves the ends of lines as they came: they are made line feeds. */
void canonical_cdata(struct canonical *canonical, const char *text, size_t length);
void canonical_end(struct canonical *canonical, const char *name);

/* Forget what was written, and give memory back that one great element needed. */
void canonical_reset(struct canonical *canonical);
void canonical_deinit(struct canonical *canonical);

/* Append an attribute's value, escaped to stand in single quotes. */
void canonical_append_value(struct buffer *buffer, const char *value, size_t length);

#endif
