/* frame: there and back, every kind of frame cut at every byte, lengths that no honest peer sends. */
#include <stdlib.h>
#include <string.h>

#include "tests/dialect/tap.h"
#include "tests/ipc/sample.h"

/* Decode from memory of exactly that length, so that a look behind it is seen by the sanitizers. */
static enum frame_result
decode_exactly(const void *bytes, size_t length, struct frame *frame_r, size_t *size_r, uint8_t **copy_r)
{
	*copy_r = malloc(length > 0 ? length : 1);
	ck_assert_ptr_nonnull(*copy_r);
	if (length > 0)
		memcpy(*copy_r, bytes, length);
	return frame_decode(*copy_r, length, frame_r, size_r);
}

START_TEST(bytes_are_these)
{
	static const uint8_t expected[] = {
		3, 0, 0, 0, 0x02, 0x01, 0x04, 0x03, 0x08, 0x07, 0x06, 0x05, 0x10, 0x0f, 0x0e, 0x0d, 0x0c, 0x0b, 0x0a, 0x09,
	};
	struct frame frame = { .type = 0x0102, .flags = 0x0304, .slot = 0x05060708, .serial = 0x090a0b0c0d0e0f10, .length = 3 };
	struct buffer buffer = { 0 };

	frame_encode_header(&buffer, &frame);
	ck_assert_uint_eq(buffer_length(&buffer), FRAME_HEADER_SIZE);
	ck_assert_mem_eq(buffer_bytes(&buffer), expected, sizeof expected);
	buffer_deinit(&buffer);
}
END_TEST

START_TEST(every_cut_asks_for_more)
{
	struct buffer whole = { 0 };
	struct frame frame;
	uint8_t *copy;
	size_t size = 0;

	sample_frame(&whole, (uint16_t)_i);
	for (size_t cut = 0; cut < buffer_length(&whole); cut++) {
		ck_assert_int_eq(decode_exactly(buffer_bytes(&whole), cut, &frame, &size, &copy), FRAME_MORE);
		free(copy);
	}
	/* What follows does not matter. */
	for (unsigned more = 0; more < 2; more++) {
		ck_assert_int_eq(decode_exactly(buffer_bytes(&whole), buffer_length(&whole), &frame, &size, &copy), FRAME_COMPLETE);
		ck_assert_uint_eq(size, buffer_length(&whole) - more);
		ck_assert_uint_eq(frame.type, _i);
		ck_assert_uint_eq(frame.flags, 0);
		ck_assert_uint_eq(frame.slot, _i);
		ck_assert_uint_eq(frame.serial, 1000 + _i);
		ck_assert_uint_eq(frame.length, size - FRAME_HEADER_SIZE);
		ck_assert_ptr_eq(frame.body, copy + FRAME_HEADER_SIZE);
		free(copy);
		buffer_append(&whole, "x", 1);
	}
	buffer_deinit(&whole);
}
END_TEST

START_TEST(too_long_is_seen_at_once)
{
	static const uint32_t lengths[] = { FRAME_BODY_MAX + 1, 0x7fffffff, 0x80000000, 0xffffffff };
	struct frame header = { .type = M2W_PACKET }, frame;
	struct buffer buffer = { 0 };
	size_t size;

	header.length = FRAME_BODY_MAX;
	frame_encode_header(&buffer, &header);
	ck_assert_int_eq(frame_decode(buffer_bytes(&buffer), FRAME_HEADER_SIZE, &frame, &size), FRAME_MORE);
	for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
		buffer_clear(&buffer);
		header.length = lengths[i];
		frame_encode_header(&buffer, &header);
		ck_assert_int_eq(frame_decode(buffer_bytes(&buffer), 3, &frame, &size), FRAME_MORE);
		/* Before anybody waits for, or makes room for, so much. */
		ck_assert_int_eq(frame_decode(buffer_bytes(&buffer), 4, &frame, &size), FRAME_TOO_LONG);
	}
	buffer_deinit(&buffer);
}
END_TEST

START_TEST(any_header_comes_back)
{
	struct frame before = { 0 }, after;
	struct buffer buffer = { 0 };
	uint64_t seed = 1;
	size_t size;

	for (unsigned i = 0; i < 10000; i++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		before.type = (uint16_t)(seed >> 48);
		before.flags = (uint16_t)(seed >> 32);
		before.slot = (uint32_t)(seed >> 16);
		before.serial = ~seed;
		before.length = (uint32_t)(seed >> 40) % 64;
		buffer_clear(&buffer);
		frame_encode_header(&buffer, &before);
		for (uint32_t k = 0; k < before.length; k++)
			buffer_append(&buffer, "b", 1);
		ck_assert_int_eq(frame_decode(buffer_bytes(&buffer), buffer_length(&buffer), &after, &size), FRAME_COMPLETE);
		ck_assert(after.type == before.type && after.flags == before.flags && after.slot == before.slot);
		ck_assert(after.serial == before.serial && after.length == before.length);
		ck_assert_uint_eq(size, buffer_length(&buffer));
	}
	buffer_deinit(&buffer);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("frame");
	TCase *tests = tcase_create("frame");

	tcase_add_test(tests, bytes_are_these);
	tcase_add_loop_test(tests, every_cut_asks_for_more, M2W_HELLO, FRAME_TYPE_COUNT);
	tcase_add_test(tests, too_long_is_seen_at_once);
	tcase_add_test(tests, any_header_comes_back);
	suite_add_tcase(suite, tests);
	return tap_run(suite);
}
