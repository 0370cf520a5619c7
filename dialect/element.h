/*
 * element: read one complete XML element where it lies, without copying and without a parser's context.
 *
 * Made for two kinds of text: what the session manager sent (trusted to be XML, not trusted to be kind: every function
 * copes with any bytes, stays inside them and ends) and what worker/stream wrote (canonical). Names are compared as
 * written, prefix included; namespaces are seen as the attribute xmlns. Comments, processing instructions and CDATA
 * sections are stepped over where they cannot matter.
 *
 * Nothing here allocates; every range points into the caller's bytes and lives as long as they do.
 */
#ifndef C2SD_DIALECT_ELEMENT_H
#define C2SD_DIALECT_ELEMENT_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buffer.h"

struct range {
	const char *at;		/* NULL: absent */
	size_t length;
};

struct element {
	struct range whole;	/* from < to the last > */
	struct range name;	/* with its prefix, as written */
	struct range tag;	/* the start tag, from < to > */
	struct range content;	/* between the tags; empty for <x/> */
};

bool range_equals(struct range range, const char *string);
bool ranges_equal(struct range a, struct range b);

/* Look at the element that begins at `bytes` (leading white space is stepped over). False: there is no complete one. */
bool element_read(struct element *element_r, const void *bytes, size_t length);

/* The value of an attribute of the start tag, still escaped, without its quotes. False: it has none of that name. */
bool element_attribute(const struct element *element, const char *name, struct range *value_r);

/* The attribute together with its name, quotes and the white space before it: what to cut out to remove it. */
bool element_attribute_whole(const struct element *element, const char *name, struct range *whole_r);

/* True when the attribute is there and its value is exactly this. */
bool element_attribute_is(const struct element *element, const char *name, const char *value);

/* Step through the children: begin with an all-zero child. False after the last. */
bool element_next_child(const struct element *parent, struct element *child);

/* The first child of that name and, unless NULL, with that xmlns. */
bool element_find_child(const struct element *parent, const char *name, const char *xmlns, struct element *child_r);

/* Append an attribute's value or an element's text with its entities and CDATA resolved; child elements are left out. */
void range_append_decoded(struct buffer *buffer, struct range range);

#endif
