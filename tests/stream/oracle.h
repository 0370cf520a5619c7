/*
 * oracle: does what the stream wrote mean what the client sent? A second parser (expat, which most servers behind us
 * use) reads both, and the trees are compared.
 */
#ifndef C2SD_TESTS_STREAM_ORACLE_H
#define C2SD_TESTS_STREAM_ORACLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"

struct oracle {
	struct buffer *trees;	/* of the top-level elements of the input */
	size_t count;
	size_t next;		/* that is to be compared */
	bool failed;		/* one differed; said on stderr */
};

void oracle_init(struct oracle *oracle, const uint8_t *input, size_t length);

/* The next element that came out; `argument` is the oracle. */
void oracle_compare(void *argument, const char *bytes, size_t length);
void oracle_deinit(struct oracle *oracle);

#endif
