/*
 * transcript: what a stream made of some bytes, one line an event, however the bytes were cut. Lines:
 *
 *	opened to=foo.com version=1.0		absent attributes left out; also from=, lang=, declarations=
 *	element <message/>
 *	closed
 *	failed not-well-formed: why
 *	quiet | waiting				the last line where the stream has not ended
 */
#ifndef C2SD_TESTS_STREAM_TRANSCRIPT_H
#define C2SD_TESTS_STREAM_TRANSCRIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"
#include "worker/stream.h"

/* How to cut: a first piece, then pieces of `step`; with `resume` the stream is made anew at every quiet point. */
struct cutting {
	size_t first;
	size_t step;
	bool resume;
};

extern const struct cutting cutting_whole;

/* Called for every element; may be NULL. */
struct transcript_listener {
	void (*element)(void *argument, const char *bytes, size_t length);
	void *argument;
};

/* Appends to `out`, and aborts where the stream breaks its contract. */
void transcript_write(struct buffer *out, const struct stream_limits *limits, const uint8_t *bytes, size_t length,
    const struct cutting *cutting, const struct transcript_listener *listener);

#endif
