/*
 * buffer: a growing run of bytes, filled at its end and emptied at its front.
 *
 * Zeroed memory is an empty buffer that owns nothing. Appending never fails in the middle of a sequence: an allocation
 * that failed sets `failed`, later appends do nothing, and the caller asks once, at the end (as imsg's ibuf users do
 * with `errs +=`). The owner of the struct owns the memory; buffer_deinit may be called twice.
 *
 * A buffer with keys in it is made `secret` before they are put in: then no byte of what was in it stays in memory once it
 * is consumed, moved, grown or freed.
 */
#ifndef C2SD_COMMON_BUFFER_H
#define C2SD_COMMON_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buffer {
	uint8_t *data;
	size_t start;	/* first byte not yet consumed */
	size_t end;	/* behind the last byte */
	size_t size;	/* bytes allocated */
	bool failed;	/* an allocation failed: what is in it is not complete */
	bool secret;	/* buffer_set_secret */
};

static inline size_t
buffer_length(const struct buffer *buffer)
{
	return buffer->end - buffer->start;
}

/* The first unread byte; valid until the next append, reserve or consume. NULL when nothing was ever put in. */
static inline uint8_t *
buffer_bytes(const struct buffer *buffer)
{
	return buffer->data == NULL ? NULL : buffer->data + buffer->start;
}

/* Make room for `more` bytes behind the end and return where they go; NULL (and `failed`) without memory. */
uint8_t *buffer_reserve(struct buffer *buffer, size_t more) __attribute__((warn_unused_result));

/* Say that `length` bytes were written at the place that buffer_reserve returned. */
void buffer_commit(struct buffer *buffer, size_t length);

void buffer_append(struct buffer *buffer, const void *bytes, size_t length);
void buffer_append_string(struct buffer *buffer, const char *string);
void buffer_append_format(struct buffer *buffer, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Append text with & < > ' " written as entities: fit for element text and for attribute values in either quote. */
void buffer_append_escaped(struct buffer *buffer, const char *text, size_t length);

/* Forget the first `length` bytes. An emptied buffer keeps its memory: see buffer_release. */
void buffer_consume(struct buffer *buffer, size_t length);

/* Forget everything but keep the memory; also clears `failed`. */
void buffer_clear(struct buffer *buffer);

/* Give the memory back when nothing is in it, so that who is idle owns nothing. */
void buffer_release(struct buffer *buffer);

/* Wipe whatever leaves it, from now until its memory is given back (which clears the mark). May be called twice. */
void buffer_set_secret(struct buffer *buffer);

void buffer_deinit(struct buffer *buffer);

#endif
