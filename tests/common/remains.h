/*
 * remains: is something that should have been wiped still in the memory of this process? All that can be written is
 * searched, as somebody would who can read it, heap that was given back included.
 *
 * Tests that use it are run with MALLOC_PERTURB_=0: what is given back would be overwritten by the C library else.
 *
 * What is looked for is given with all its bits turned, so that it is not found where the test keeps it.
 */
#ifndef C2SD_TESTS_COMMON_REMAINS_H
#define C2SD_TESTS_COMMON_REMAINS_H

#include <stddef.h>
#include <stdint.h>

/* Turn the bits of `bytes` into `hidden_r`, or back. */
void remains_turn(uint8_t *hidden_r, const uint8_t *bytes, size_t length);

/* `length` bytes that stand nowhere. */
void remains_invent(uint8_t *hidden_r, size_t length);

/* How often they stand anywhere, in this order or in the reverse (as OpenSSL keeps great numbers). */
unsigned remains_count(const uint8_t *hidden, size_t length);

#endif
