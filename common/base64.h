/*
 * base64: RFC 4648 section 4, read as strictly as RFC 6120 13.9.1 asks for: no white space, nothing outside of the
 * alphabet, = at the end only and as many as it takes, and no bits left over in front of it. So each run of bytes is
 * written in one way only.
 *
 * Pure. What is secret about the bytes is the buffer's business (buffer_set_secret).
 */
#ifndef C2SD_COMMON_BASE64_H
#define C2SD_COMMON_BASE64_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"

/* Append the text of these bytes. */
void base64_encode(struct buffer *out, const void *bytes, size_t length);

/* Of one character: 0 to 63; -1: it is none of the alphabet. For who has the text in pieces. */
int base64_value(uint8_t c);

/* Append the bytes of this text. False: it is none, and nothing was appended. No memory: see `out->failed`. */
bool base64_decode(struct buffer *out, const char *text, size_t length) __attribute__((warn_unused_result));

#endif
