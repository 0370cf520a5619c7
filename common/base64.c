#include "common/base64.h"

#include <stdint.h>
#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void
base64_encode(struct buffer *out, const void *bytes, size_t length)
{
	const uint8_t *at = bytes;

	for (; length > 0; at += 3) {
		size_t count = length < 3 ? length : 3;
		uint32_t bits = (uint32_t)at[0] << 16 | (count > 1 ? (uint32_t)at[1] << 8 : 0) | (count > 2 ? at[2] : 0);
		char four[4] = { alphabet[bits >> 18], alphabet[bits >> 12 & 63], alphabet[bits >> 6 & 63],
		    alphabet[bits & 63] };

		memset(four + 1 + count, '=', 3 - count);
		buffer_append(out, four, sizeof four);
		length -= count;
	}
}

int
base64_value(uint8_t c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Four characters, of which the last ones may be =; how many bytes they are, 0: they are wrong. */
static size_t
read_four(uint8_t three_r[3], const char *text, bool last)
{
	size_t count = !last || text[3] != '=' ? 4 : text[2] != '=' ? 3 : 2;
	uint32_t bits = 0;

	for (size_t i = 0; i < 4; i++) {
		int value = i < count ? base64_value((uint8_t)text[i]) : 0;

		if (value < 0)
			return 0;
		bits = bits << 6 | (uint32_t)value;
	}
	three_r[0] = (uint8_t)(bits >> 16);
	three_r[1] = (uint8_t)(bits >> 8);
	three_r[2] = (uint8_t)bits;
	return (count < 4 && three_r[2] != 0) || (count < 3 && three_r[1] != 0) ? 0 : count - 1;
}

bool
base64_decode(struct buffer *out, const char *text, size_t length)
{
	uint8_t *place = length % 4 == 0 ? buffer_reserve(out, length / 4 * 3) : NULL;
	size_t written = 0;

	if (place == NULL)
		return out->failed;
	for (size_t i = 0; i < length; i += 4) {
		size_t count = read_four(place + written, text + i, i + 4 == length);

		if (count == 0)
			return false;
		written += count;
	}
	buffer_commit(out, written);
	return true;
}
