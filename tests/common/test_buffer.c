/* buffer: against a plain array, what it does when there is no memory, and what it gives back. */
#include <string.h>

#include "common/buffer.h"
#include "tests/common/remains.h"
#include "tests/dialect/tap.h"

static void
assert_holds(const struct buffer *buffer, const char *text)
{
	ck_assert_uint_eq(buffer_length(buffer), strlen(text));
	ck_assert_mem_eq(buffer_bytes(buffer), text, strlen(text));
}

START_TEST(an_empty_one_owns_nothing)
{
	struct buffer buffer = { 0 };

	buffer_append(&buffer, NULL, 0);
	buffer_append_escaped(&buffer, "", 0);
	buffer_consume(&buffer, 0);
	buffer_release(&buffer);
	ck_assert_uint_eq(buffer_length(&buffer), 0);
	ck_assert_ptr_null(buffer_bytes(&buffer));
	ck_assert(!buffer.failed);
	buffer_deinit(&buffer);
	buffer_deinit(&buffer);
}
END_TEST

/* The same sequence done to an array that never moves. */
START_TEST(order_is_kept)
{
	static uint8_t model[1 << 20];
	struct buffer buffer = { 0 };
	size_t written = 0, read = 0;
	uint32_t seed = (uint32_t)_i + 1;

	for (unsigned i = 0; i < 4000 && written < sizeof model - 2048; i++) {
		size_t length = (seed = seed * 1664525 + 1013904223) >> 21;

		if ((seed >> 8) % 3 != 0) {
			for (size_t k = 0; k < length; k++)
				model[written + k] = (uint8_t)(written + k + seed);
			buffer_append(&buffer, model + written, length);
			written += length;
		} else {
			length = length > written - read ? written - read : length;
			buffer_consume(&buffer, length);
			read += length;
		}
		ck_assert_uint_eq(buffer_length(&buffer), written - read);
		if (written > read)
			ck_assert_mem_eq(buffer_bytes(&buffer), model + read, written - read);
	}
	ck_assert(!buffer.failed);
	buffer_deinit(&buffer);
}
END_TEST

START_TEST(reserve_and_commit)
{
	struct buffer buffer = { 0 };
	uint8_t *place = buffer_reserve(&buffer, 4096);

	ck_assert_ptr_nonnull(place);
	memset(place, 'x', 4096);
	ck_assert_uint_eq(buffer_length(&buffer), 0);
	buffer_commit(&buffer, 3);
	assert_holds(&buffer, "xxx");
	buffer_deinit(&buffer);
}
END_TEST

START_TEST(failure_is_remembered)
{
	struct buffer buffer = { 0 };

	buffer_append_string(&buffer, "before");
	ck_assert_ptr_null(buffer_reserve(&buffer, _i == 0 ? SIZE_MAX : SIZE_MAX - 6));
	ck_assert(buffer.failed);
	buffer_append_string(&buffer, "after");
	buffer_append_format(&buffer, "%d", 1);
	buffer_append_escaped(&buffer, "<", 1);
	ck_assert_ptr_null(buffer_reserve(&buffer, 1));
	assert_holds(&buffer, "before");
	buffer_clear(&buffer);
	ck_assert(!buffer.failed);
	buffer_append_string(&buffer, "again");
	assert_holds(&buffer, "again");
	buffer_deinit(&buffer);
}
END_TEST

START_TEST(format_and_escape)
{
	static const char all[] = "a&b<c>d'e\"f&";
	struct buffer buffer = { 0 };

	buffer_append_format(&buffer, "%s=%u;", "number", 42u);
	buffer_append_escaped(&buffer, all, sizeof all - 1);
	assert_holds(&buffer, "number=42;a&amp;b&lt;c&gt;d&apos;e&quot;f&amp;");
	buffer_clear(&buffer);
	/* Longer than the first allocation. */
	buffer_append_format(&buffer, "%2000d", 7);
	ck_assert_uint_eq(buffer_length(&buffer), 2000);
	ck_assert_int_eq(buffer_bytes(&buffer)[1999], '7');
	buffer_deinit(&buffer);
}
END_TEST

START_TEST(release_is_for_empty_ones)
{
	struct buffer buffer = { 0 };

	buffer_append_string(&buffer, "ab");
	buffer_consume(&buffer, 1);
	buffer_release(&buffer);
	assert_holds(&buffer, "b");
	buffer_consume(&buffer, 1);
	ck_assert_ptr_nonnull(buffer.data);
	buffer_release(&buffer);
	ck_assert_ptr_null(buffer.data);
	ck_assert_uint_eq(buffer.size, 0);
}
END_TEST

/* ---- secrets ---- */

#define SECRET_SIZE 48

static uint8_t hidden[SECRET_SIZE];

/* Byte by byte, so that it stands nowhere else. */
static void
put_secret(struct buffer *buffer)
{
	uint8_t *place = buffer_reserve(buffer, SECRET_SIZE);

	ck_assert_ptr_nonnull(place);
	for (size_t i = 0; i < SECRET_SIZE; i++)
		place[i] = hidden[i] ^ 0xff;
	buffer_commit(buffer, SECRET_SIZE);
}

/* Through every way in which bytes leave a buffer or move in it. */
static void
use_up(struct buffer *buffer)
{
	static const char filler[3000];

	buffer_append(buffer, filler, 600);
	for (unsigned i = 0; i < 20; i++) {
		put_secret(buffer);
		buffer_append(buffer, filler, 100 * i);
	}
	while (buffer_length(buffer) > 5000) {
		buffer_consume(buffer, 700);
		buffer_append(buffer, filler, 100);
	}
	buffer_clear(buffer);
	put_secret(buffer);
	buffer_consume(buffer, SECRET_SIZE);
	put_secret(buffer);
}

START_TEST(secrets_leave_nothing)
{
	struct buffer buffer = { 0 };

	remains_invent(hidden, sizeof hidden);
	buffer_set_secret(&buffer);
	use_up(&buffer);
	ck_assert_uint_eq(remains_count(hidden, sizeof hidden), 1);
	for (size_t i = SECRET_SIZE; i < buffer.size; i++)
		ck_assert_uint_eq(buffer.data[i], 0);
	if (_i == 0) {
		buffer_deinit(&buffer);
	} else {
		buffer_consume(&buffer, SECRET_SIZE + 1);
		buffer_release(&buffer);
	}
	ck_assert_uint_eq(remains_count(hidden, sizeof hidden), 0);
	ck_assert(!buffer.secret);
}
END_TEST

/* What is not secret is not wiped: the search above would find it. */
START_TEST(the_search_finds)
{
	struct buffer buffer = { 0 };

	remains_invent(hidden, sizeof hidden);
	use_up(&buffer);
	ck_assert_uint_gt(remains_count(hidden, sizeof hidden), 1);
	buffer_deinit(&buffer);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("buffer");
	TCase *tests = tcase_create("buffer");

	tcase_add_test(tests, an_empty_one_owns_nothing);
	tcase_add_loop_test(tests, order_is_kept, 0, 8);
	tcase_add_test(tests, reserve_and_commit);
	tcase_add_loop_test(tests, failure_is_remembered, 0, 2);
	tcase_add_test(tests, format_and_escape);
	tcase_add_test(tests, release_is_for_empty_ones);
	tcase_add_loop_test(tests, secrets_leave_nothing, 0, 2);
	tcase_add_test(tests, the_search_finds);
	suite_add_tcase(suite, tests);
	return tap_run(suite);
}
