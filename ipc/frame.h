/*
 * frame: one message between master and worker, as bytes.
 *
 *	0       4       6       8       12              20
 *	| length | type | flags | slot  | serial        | body ...
 *
 * Little-endian, written and read one by one. `length` counts the body only. `slot` and `serial` name the client that a
 * frame is about (0 and 0 where it is about none): the slot is its place in the worker's table and is used again, the
 * serial number never is, so that a frame which was under way when a client ended cannot reach the next one.
 *
 * Pure: no descriptor, no clock, no log. What a frame means: contract.h; its fields: message.h.
 */
#ifndef C2SD_IPC_FRAME_H
#define C2SD_IPC_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"

#define FRAME_HEADER_SIZE 20

/* Longest body of all: the largest packet that the link may carry, and room for what stands before it. */
#define FRAME_BODY_MAX (16u * 1024 * 1024 + 64)

struct frame {
	uint16_t type;
	uint16_t flags;
	uint32_t slot;
	uint64_t serial;
	const uint8_t *body;	/* not owned */
	uint32_t length;
};

enum frame_result {
	FRAME_COMPLETE = 0,
	FRAME_MORE,		/* not all of it is there */
	FRAME_TOO_LONG,		/* no honest peer sends this: the channel is of no use any more */
};

/*
 * Read the frame that begins at `bytes`. COMPLETE: *frame_r (its body points into `bytes`) and *size_r, the bytes it
 * takes, are set.
 */
enum frame_result frame_decode(const uint8_t *bytes, size_t length, struct frame *frame_r, size_t *size_r);

/* The type of the frame that begins at `bytes`, as soon as its header is there; 0, which is none, before. */
uint16_t frame_type(const uint8_t *bytes, size_t length);

/* Likewise its flags. */
uint16_t frame_flags(const uint8_t *bytes, size_t length);

/* Append the header of a frame whose body follows. */
void frame_encode_header(struct buffer *buffer, const struct frame *frame);

#endif
