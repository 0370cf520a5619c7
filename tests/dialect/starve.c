#include "tests/dialect/starve.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
char *__real_strdup(const char *string);
char *__real_strndup(const char *string, size_t length);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
char *__wrap_strdup(const char *string);
char *__wrap_strndup(const char *string, size_t length);

static long left = -1;
static bool missed;

bool
starve_begin(unsigned nth)
{
	bool over = nth > 0 && missed;

	missed = false;
	left = over ? -1 : (long)nth;
	return !over;
}

void
starve_end(void)
{
	missed = left >= 0;
	left = -1;
}

bool
starve_missed(void)
{
	return missed;
}

static bool
fails(void)
{
	if (left < 0 || left-- > 0)
		return false;
	errno = ENOMEM;
	return true;
}

void *
__wrap_malloc(size_t size)
{
	return fails() ? NULL : __real_malloc(size);
}

void *
__wrap_calloc(size_t count, size_t size)
{
	return fails() ? NULL : __real_calloc(count, size);
}

void *
__wrap_realloc(void *memory, size_t size)
{
	return fails() ? NULL : __real_realloc(memory, size);
}

char *
__wrap_strdup(const char *string)
{
	return fails() ? NULL : __real_strdup(string);
}

char *
__wrap_strndup(const char *string, size_t length)
{
	return fails() ? NULL : __real_strndup(string, length);
}
