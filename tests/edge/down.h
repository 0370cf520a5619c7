/*
 * down: the way from the session manager to a client, in each dialect. What the session manager sends is cut into packets where expat would
 * cut it; a packet that some parser would refuse reaches nobody; one that is delivered is to the client, with expat and
 * with libxml2, what it is to expat on the link.
 */
#ifndef C2SD_TESTS_EDGE_DOWN_H
#define C2SD_TESTS_EDGE_DOWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"

/*
 * Append what becomes of bytes that follow the session manager's header, in pieces of `first`, then of `step`. Packets
 * without sto get it, and sfrom. Lines:
 *
 *	element <message/>	what the client gets
 *	refused WHY		a packet that nobody gets
 *	ended			a packet that ends the session
 *	broken			the link ends
 *	end			of the session manager's stream
 *	quiet | waiting		the last line where it has not ended
 */
void down_write(struct buffer *out, const uint8_t *bytes, size_t length, size_t first, size_t step);

/* Compare with the parsers. False: they differ, and stderr says where. */
bool down_check(const uint8_t *bytes, size_t length);

#endif
