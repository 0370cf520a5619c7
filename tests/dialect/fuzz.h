/* fuzz: what fuzz targets share. */
#ifndef C2SD_TESTS_DIALECT_FUZZ_H
#define C2SD_TESTS_DIALECT_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "dialect/element.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define must(condition) \
	do { \
		if (!(condition)) { \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
			abort(); \
		} \
	} while (0)

static inline void
must_lie_within(struct range inner, struct range outer)
{
	if (inner.at != NULL)
		must(inner.at >= outer.at && inner.length <= outer.length && range_end(inner) <= range_end(outer));
}

#endif
