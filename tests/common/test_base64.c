/* RFC 4648: its vectors, every length, and what must be refused. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "common/base64.h"

static const struct {
	const char *bytes, *text;
} vectors[] = {
	{ "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" }, { "foo", "Zm9v" }, { "foob", "Zm9vYg==" }, { "fooba", "Zm9vYmE=" },
	{ "foobar", "Zm9vYmFy" }, { "\xfb\xff\xbf", "+/+/" },
};

START_TEST(vectors_both_ways)
{
	struct buffer text = { 0 }, bytes = { 0 };

	base64_encode(&text, vectors[_i].bytes, strlen(vectors[_i].bytes));
	ck_assert_uint_eq(buffer_length(&text), strlen(vectors[_i].text));
	ck_assert(buffer_length(&text) == 0 || memcmp(buffer_bytes(&text), vectors[_i].text, buffer_length(&text)) == 0);
	ck_assert(base64_decode(&bytes, vectors[_i].text, strlen(vectors[_i].text)));
	ck_assert_uint_eq(buffer_length(&bytes), strlen(vectors[_i].bytes));
	ck_assert(buffer_length(&bytes) == 0 ||
	    memcmp(buffer_bytes(&bytes), vectors[_i].bytes, buffer_length(&bytes)) == 0);
	buffer_deinit(&text);
	buffer_deinit(&bytes);
}
END_TEST

START_TEST(anything_comes_back)
{
	unsigned char bytes[256];

	for (unsigned i = 0; i < sizeof bytes; i++)
		bytes[i] = (unsigned char)(i * 151 + 3);
	for (size_t length = 0; length <= sizeof bytes; length++) {
		struct buffer text = { 0 }, again = { 0 };

		base64_encode(&text, bytes, length);
		ck_assert_uint_eq(buffer_length(&text), (length + 2) / 3 * 4);
		ck_assert(base64_decode(&again, (const char *)buffer_bytes(&text), buffer_length(&text)));
		ck_assert_uint_eq(buffer_length(&again), length);
		ck_assert(length == 0 || memcmp(buffer_bytes(&again), bytes, length) == 0);
		buffer_deinit(&text);
		buffer_deinit(&again);
	}
}
END_TEST

static const char *const wrong[] = {
	"Z", "Zg", "Zg=", "=", "====", "Zg===", "Z===", "Zg==Zg==", "Zm9v====", "Zm9v\n", "Zm 9v===", "Zm9vZm8", "Zm_v", "Zm-v",
	"Zh==", "Zm9=", "Zg=A", "=Zg=", "Zm\xc3\xa9", "Z=g=", "Zm9vZ===",
};

START_TEST(what_is_none_is_refused)
{
	struct buffer bytes = { 0 };

	buffer_append_string(&bytes, "before");
	ck_assert(!base64_decode(&bytes, wrong[_i], strlen(wrong[_i])));
	ck_assert_uint_eq(buffer_length(&bytes), strlen("before"));
	ck_assert(!bytes.failed);
	buffer_deinit(&bytes);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("base64");
	TCase *tests = tcase_create("base64");
	SRunner *runner;
	int failed;

	tcase_add_loop_test(tests, vectors_both_ways, 0, sizeof vectors / sizeof vectors[0]);
	tcase_add_test(tests, anything_comes_back);
	tcase_add_loop_test(tests, what_is_none_is_refused, 0, sizeof wrong / sizeof wrong[0]);
	suite_add_tcase(suite, tests);
	runner = srunner_create(suite);
	srunner_set_tap(runner, "-");
	srunner_run_all(runner, CK_SILENT);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
