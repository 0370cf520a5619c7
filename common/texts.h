/*
 * texts: many short strings that live long (slab.h says why they are not malloc's), packed by their length.
 *
 * Strings above TEXTS_PACKED bytes are malloc's. The owner of the struct owns the pages; whoever has a string gives it
 * back to the same texts.
 */
#ifndef C2SD_COMMON_TEXTS_H
#define C2SD_COMMON_TEXTS_H

#include "common/slab.h"

/* One slab for every 8 bytes of length, terminating zeros included. */
#define TEXTS_CLASSES 16
#define TEXTS_PACKED (8 * TEXTS_CLASSES)

struct texts {
	struct slab slabs[TEXTS_CLASSES];
};

/* Allocates nothing. */
void texts_init(struct texts *texts);

/* Every string must have been given back. May be called twice, and on zeroed memory. */
void texts_deinit(struct texts *texts);

/* A copy of these bytes, up to the first zero among them, as a string. NULL without memory. */
char *texts_add(struct texts *texts, const char *text, size_t length);

/* Give a string back, which nobody has made shorter or longer. NULL is none, and nothing happens. */
void texts_remove(struct texts *texts, char *text);

#endif
