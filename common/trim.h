/*
 * trim: gives memory back to the kernel when a busy moment is over.
 *
 * free() gives back what lies at the heap's end. After a storm the end is seldom what is free: a few strings are enough
 * to keep megabytes. So the owner says how many things that come and go he has (parsers, buffers, packets), and some
 * seconds after there were many it is looked: when most are gone the heap is trimmed (malloc_trim(3)), which costs about a
 * millisecond and happens no more than once in that time.
 */
#ifndef C2SD_COMMON_TRIM_H
#define C2SD_COMMON_TRIM_H

#include "common/loop.h"

struct trim {
	struct loop *loop;
	struct timer timer;
	size_t busy;		/* things now */
	size_t busiest;		/* most since the timer was set */
	uint64_t count;		/* times that the heap was trimmed */
};

void trim_init(struct trim *trim, struct loop *loop);
void trim_deinit(struct trim *trim);

/* There are so many of them now: to be said after every change. */
void trim_note(struct trim *trim, size_t busy);

#endif
