#include "common/texts.h"

#include <stdlib.h>
#include <string.h>

void
texts_init(struct texts *texts)
{
	for (size_t i = 0; i < TEXTS_CLASSES; i++)
		slab_init(&texts->slabs[i], (i + 1) * 8);
}

void
texts_deinit(struct texts *texts)
{
	for (size_t i = 0; i < TEXTS_CLASSES; i++)
		slab_deinit(&texts->slabs[i]);
}

/* NULL: too long to be packed. `length` without the zero. */
static struct slab *
slab_of(struct texts *texts, size_t length)
{
	return length < TEXTS_PACKED ? &texts->slabs[length / 8] : NULL;
}

char *
texts_add(struct texts *texts, const char *text, size_t length)
{
	struct slab *slab;
	char *copy;

	length = strnlen(text, length);
	slab = slab_of(texts, length);
	copy = slab != NULL ? slab_new(slab) : calloc(1, length + 1);
	if (copy != NULL)
		memcpy(copy, text, length);
	return copy;
}

void
texts_remove(struct texts *texts, char *text)
{
	struct slab *slab = text == NULL ? NULL : slab_of(texts, strlen(text));

	if (slab != NULL)
		slab_free(slab, text);
	else
		free(text);
}
