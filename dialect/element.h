/*
 * element: read one complete XML element where it lies, without copying and without a parser's context.
 *
 * Made for two kinds of text: what the session manager sent (trusted to be XML, not trusted to be kind: every function
 * copes with any bytes, stays inside them and ends) and what worker/stream wrote (canonical). Names are compared as
 * written, prefix included; namespaces are seen as the attribute xmlns. Comments, processing instructions and CDATA
 * sections are stepped over where they cannot matter.
 *
 * Every range points into the caller's bytes and lives as long as they do; nothing allocates but the functions that
 * say so.
 */
#ifndef C2SD_DIALECT_ELEMENT_H
#define C2SD_DIALECT_ELEMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

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

struct attribute {
	struct range whole;	/* with the white space before it: what to cut out to remove it */
	struct range name;
	struct range value;	/* still escaped, without its quotes, which stand at value.at[-1] and behind it */
};

/* An address of the Jabber world, user@host/resource; what is not there is absent. */
struct address {
	struct range user;
	struct range host;
	struct range resource;
};

static inline const char *
range_end(struct range range)
{
	return range.at + range.length;
}

static inline struct range
range_of_string(const char *string)
{
	return (struct range){ string, strlen(string) };
}

/* Inline, so that the length of a literal is known when it is compiled: this runs for every attribute of a packet. */
static inline bool
range_equals(struct range range, const char *string)
{
	size_t length = strlen(string);

	return range.length == length && range.at != NULL && memcmp(range.at, string, length) == 0;
}

bool ranges_equal(struct range a, struct range b);

/* True when the range, its entities resolved, is that string, or those bytes. */
bool range_decodes_to(struct range range, const char *string);
bool range_decodes_to_bytes(struct range range, const char *plain, size_t length);

/*
 * Take the next character from the front of `rest`: an entity resolved, or one byte as it is. Returns how many bytes
 * (at most 4) were written to `bytes_r`; 0 at the end. What is not an entity of XML is taken as it is written.
 */
size_t range_next_decoded(struct range *rest, char bytes_r[static 4]);

/*
 * Append an attribute's value or an element's text with its entities and CDATA resolved; child elements are left out.
 * An allocation that fails marks the buffer.
 */
void range_append_decoded(struct buffer *buffer, struct range range);

/* The same as a string of its own, which the caller frees; NULL without memory. */
char *range_strdup_decoded(struct range range);

/*
 * Take an address apart, as written. False: there is no host in it, or an empty user. A resource may be there and be
 * empty; characters are not looked at.
 */
bool address_read(struct address *address_r, struct range range);

/* Look at the element that begins at `bytes` (leading white space is stepped over). False: there is no complete one. */
bool element_read(struct element *element_r, const void *bytes, size_t length);

/*
 * Look at bytes that are known to be one complete element, nothing before and nothing behind, because the splitter or
 * worker/stream has said so: only its tags are read, which takes a fraction of the time. False: they are not.
 */
bool element_read_complete(struct element *element_r, const void *bytes, size_t length);

/* <x/>: its start tag is all there is of it. */
static inline bool
element_is_empty_tag(const struct element *element)
{
	return element->tag.length == element->whole.length;
}

/* Step through the attributes of the start tag: begin with an all-zero attribute. False after the last. */
bool element_next_attribute(const struct element *element, struct attribute *attribute);

/* The value of an attribute of the start tag, still escaped, without its quotes. False: it has none of that name. */
bool element_attribute(const struct element *element, const char *name, struct range *value_r);

/* True when the attribute is there and its value, its entities resolved, is exactly this. */
bool element_attribute_is(const struct element *element, const char *name, const char *value);

/* Step through the children: begin with an all-zero child. False after the last. */
bool element_next_child(const struct element *parent, struct element *child);

/* The first child of that name and, unless NULL, with that xmlns. */
bool element_find_child(const struct element *parent, const char *name, const char *xmlns, struct element *child_r);

#endif
