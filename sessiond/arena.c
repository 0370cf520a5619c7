#include "sessiond/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Most packets and their answers fit in one. */
#define ARENA_BLOCK_SIZE 8192

struct arena_block {
	struct arena_block *next;
	size_t used;
	size_t size;
	max_align_t memory[];
};

static struct arena_block *
arena_grow(struct arena *arena, size_t size)
{
	size_t room = size > ARENA_BLOCK_SIZE ? size : ARENA_BLOCK_SIZE;
	struct arena_block *block = malloc(sizeof *block + room);

	if (block == NULL)
		return NULL;
	block->next = arena->blocks;
	block->used = 0;
	block->size = room;
	arena->blocks = block;
	return block;
}

void *
arena_take(struct arena *arena, size_t size)
{
	struct arena_block *block = arena->blocks;
	void *memory;

	if (size > SIZE_MAX / 2 || arena->failed) {
		arena->failed = true;
		return NULL;
	}
	size = (size + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
	if (block == NULL || block->size - block->used < size)
		block = arena_grow(arena, size);
	if (block == NULL) {
		arena->failed = true;
		return NULL;
	}
	memory = (char *)block->memory + block->used;
	block->used += size;
	return memset(memory, 0, size);
}

char *
arena_copy(struct arena *arena, const char *bytes, size_t length)
{
	char *copy;

	if (bytes == NULL)
		return NULL;
	copy = arena_take(arena, length + 1);
	if (copy != NULL)
		memcpy(copy, bytes, length);
	return copy;
}

char *
arena_copy_string(struct arena *arena, const char *string)
{
	return string == NULL ? NULL : arena_copy(arena, string, strlen(string));
}

void
arena_reset(struct arena *arena)
{
	struct arena_block *block;

	while ((block = arena->blocks) != NULL && (block->next != NULL || block->size > ARENA_BLOCK_SIZE)) {
		arena->blocks = block->next;
		free(block);
	}
	if (block != NULL)
		block->used = 0;
	arena->failed = false;
}

void
arena_deinit(struct arena *arena)
{
	arena_reset(arena);
	free(arena->blocks);
	*arena = (struct arena){ 0 };
}
