/*
 * mask: what an operator may see of what a client sends and gets (c2sctl trace): the text as it is, but for passwords,
 * digests, keys and the contents of SASL, which become ***.
 *
 * Pure: any bytes in, text out. It masks too much rather than too little: whatever namespace an element with such a name
 * has, and from where it cannot tell any more what it reads, nothing is shown. XML 1.0; XEP-0077, 0078 and 0004 (fields of
 * forms), RFC 6120 6, XEP-0388, XEP-0363.
 */
#ifndef C2SD_WORKER_MASK_H
#define C2SD_WORKER_MASK_H

#include <stdbool.h>

#include "common/buffer.h"

/* Append at most `most` bytes of the masked text. True: that was not all of it. */
bool mask_append(struct buffer *out, const char *bytes, size_t length, size_t most);

#endif
