/*
 * edit: copy an element into a buffer while leaving some of it out and putting other things in.
 *
 * The places must come in the order of the text; what lies between them is copied byte for byte. Lives on the stack of
 * one function; the bytes and the buffer are the caller's. Allocation failures mark the buffer.
 */
#ifndef C2SD_DIALECT_EDIT_H
#define C2SD_DIALECT_EDIT_H

#include "common/buffer.h"
#include "dialect/element.h"

struct edit {
	struct buffer *out;
	const char *at;		/* first byte that was neither copied nor cut */
	const char *end;
};

static inline struct edit
edit_begin(struct buffer *out, const struct element *element)
{
	return (struct edit){ .out = out, .at = element->whole.at, .end = range_end(element->whole) };
}

/* Copy everything before `place`. */
static inline void
edit_copy(struct edit *edit, const char *place)
{
	buffer_append(edit->out, edit->at, (size_t)(place - edit->at));
	edit->at = place;
}

/* Copy everything before the range, and leave that out. */
static inline void
edit_cut(struct edit *edit, struct range range)
{
	edit_copy(edit, range.at);
	edit->at = range_end(range);
}

/* Cut every attribute of the start tag that has one of these names; the list ends with NULL. */
void edit_cut_attributes(struct edit *edit, const struct element *element, const char *const names[]);

/* Copy the rest. */
static inline void
edit_finish(struct edit *edit)
{
	edit_copy(edit, edit->end);
}

/* Append " name='value'". */
void edit_put_attribute(struct buffer *out, const char *name, const char *value);

/* Likewise with a value that another attribute has: still escaped, in the quotes it stood in. Absent: nothing. */
void edit_put_attribute_raw(struct buffer *out, const char *name, struct range value);

#endif
