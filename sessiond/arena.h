/*
 * arena: memory that lives as long as one packet is being handled.
 *
 * What is taken from it is never given back singly: arena_reset forgets all of it when the packet is done. Zeroed
 * memory is an empty arena. An allocation that failed sets `failed` and gives NULL; everything that works on nodes
 * copes with NULL, and the link asks once, at the end of the packet.
 */
#ifndef C2SD_SESSIOND_ARENA_H
#define C2SD_SESSIOND_ARENA_H

#include <stdbool.h>
#include <stddef.h>

struct arena {
	struct arena_block *blocks;	/* the newest first; the oldest is kept by arena_reset */
	bool failed;
};

/* Zeroed and aligned for any type. NULL (and `failed`) without memory. */
void *arena_take(struct arena *arena, size_t size);

/* A terminated copy. NULL when `bytes` is NULL or without memory. */
char *arena_copy(struct arena *arena, const char *bytes, size_t length);
char *arena_copy_string(struct arena *arena, const char *string);

/* Forget everything that was taken; keep one block for the next packet. Clears `failed`. */
void arena_reset(struct arena *arena);

void arena_deinit(struct arena *arena);

#endif
