/* Whatever the session manager sends: see down.h. The first byte says how it is cut. */
#include <stdio.h>
#include <stdlib.h>

#include "down.h"
#include "tree.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buffer whole = { 0 }, pieces = { 0 };

	if (size < 2)
		return 0;
	if (!down_check(data + 1, size - 1))
		abort();
	down_write(&whole, data + 1, size - 1, SIZE_MAX, 1);
	down_write(&pieces, data + 1, size - 1, data[0], data[0] % 13 + 1);
	if (!buffers_are_equal(&whole, &pieces))
		abort();
	buffer_deinit(&whole);
	buffer_deinit(&pieces);
	return 0;
}
