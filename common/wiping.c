#include "common/wiping.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

static bool wiping;

void
wiping_set(bool on)
{
	wiping = on;
}

bool
wiping_is_on(void)
{
	return wiping;
}

/* As many bytes as were asked for, or a few more: the rest of a place that was longer before may hold something, too. */
void *
wiping_realloc(void *memory, size_t size)
{
	size_t before = memory != NULL ? malloc_usable_size(memory) : 0;
	void *moved;

	if (!wiping || memory == NULL)
		return realloc(memory, size);
	moved = malloc(size);
	if (moved == NULL)
		return NULL;
	memcpy(moved, memory, before < size ? before : size);
	wiping_free(memory);
	return moved;
}

void
wiping_free(void *memory)
{
	if (wiping && memory != NULL)
		explicit_bzero(memory, malloc_usable_size(memory));
	free(memory);
}
