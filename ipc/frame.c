#include "ipc/frame.h"

#include <endian.h>
#include <string.h>

static uint16_t
get16(const uint8_t *bytes)
{
	uint16_t value;

	memcpy(&value, bytes, sizeof value);
	return le16toh(value);
}

static uint32_t
get32(const uint8_t *bytes)
{
	uint32_t value;

	memcpy(&value, bytes, sizeof value);
	return le32toh(value);
}

static uint64_t
get64(const uint8_t *bytes)
{
	uint64_t value;

	memcpy(&value, bytes, sizeof value);
	return le64toh(value);
}

enum frame_result
frame_decode(const uint8_t *bytes, size_t length, struct frame *frame_r, size_t *size_r)
{
	uint32_t body_length;

	if (length < sizeof body_length)
		return FRAME_MORE;
	body_length = get32(bytes);
	if (body_length > FRAME_BODY_MAX)
		return FRAME_TOO_LONG;
	if (length < FRAME_HEADER_SIZE || length - FRAME_HEADER_SIZE < body_length)
		return FRAME_MORE;
	*frame_r = (struct frame){
		.type = get16(bytes + 4),
		.flags = get16(bytes + 6),
		.slot = get32(bytes + 8),
		.serial = get64(bytes + 12),
		.body = bytes + FRAME_HEADER_SIZE,
		.length = body_length,
	};
	*size_r = FRAME_HEADER_SIZE + (size_t)body_length;
	return FRAME_COMPLETE;
}

uint16_t
frame_type(const uint8_t *bytes, size_t length)
{
	return length < FRAME_HEADER_SIZE ? 0 : get16(bytes + 4);
}

uint16_t
frame_flags(const uint8_t *bytes, size_t length)
{
	return length < FRAME_HEADER_SIZE ? 0 : get16(bytes + 6);
}

void
frame_encode_header(struct buffer *buffer, const struct frame *frame)
{
	uint8_t bytes[FRAME_HEADER_SIZE];
	uint32_t length = htole32(frame->length), slot = htole32(frame->slot);
	uint16_t type = htole16(frame->type), flags = htole16(frame->flags);
	uint64_t serial = htole64(frame->serial);

	memcpy(bytes, &length, sizeof length);
	memcpy(bytes + 4, &type, sizeof type);
	memcpy(bytes + 6, &flags, sizeof flags);
	memcpy(bytes + 8, &slot, sizeof slot);
	memcpy(bytes + 12, &serial, sizeof serial);
	buffer_append(buffer, bytes, sizeof bytes);
}
