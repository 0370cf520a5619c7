/*
 * wiping: functions for memory, for a library that handles keys and leaves copies of them in what it gives back. While it is
 * on, whatever goes back to the heap is wiped first; else they are those of the C library and cost nothing.
 */
#ifndef C2SD_COMMON_WIPING_H
#define C2SD_COMMON_WIPING_H

#include <stdbool.h>
#include <stddef.h>

void wiping_set(bool on);
bool wiping_is_on(void);

/* realloc(3) and free(3) of memory that malloc(3) has given. */
void *wiping_realloc(void *memory, size_t size);
void wiping_free(void *memory);

#endif
