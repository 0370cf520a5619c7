/* pem: what stands in a text, at every cut, and what is none. */
#include <stdio.h>
#include <string.h>

#include "master/pem.h"
#include "tests/dialect/tap.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* One or two letters for each that is found, with its bytes in parentheses; '!' is the end for what is broken. */
static const struct {
	const char *text, *found;
} cases[] = {
	{ "", "" },
	{ "some text\n", "" },
	{ "-----BEGIN CERTIFICATE-----\nYWJj\n-----END CERTIFICATE-----\n", "C(abc)" },
	{ "-----BEGIN CERTIFICATE-----\nYWJj\n-----END CERTIFICATE-----", "C(abc)" },
	{ "-----BEGIN CERTIFICATE-----\r\nYW\r\nJj\r\n-----END CERTIFICATE-----\r\n", "C(abc)" },
	{ "-----BEGIN CERTIFICATE-----\n YWJj YWJj\t\n\nYWI=\n-----END CERTIFICATE-----\n", "C(abcabcab)" },
	{ "-----BEGIN X509 CERTIFICATE-----\nYQ==\n-----END X509 CERTIFICATE-----\n", "C(a)" },
	{ "x\n-----BEGIN PRIVATE KEY-----\nYWJj\n-----END PRIVATE KEY-----\ny\n"
	    "-----BEGIN CERTIFICATE-----\nZGVm\n-----END CERTIFICATE-----\n", "K(abc)C(def)" },
	{ "-----BEGIN RSA PRIVATE KEY-----\nYWJj\n-----END RSA PRIVATE KEY-----\n", "K(abc)" },
	{ "-----BEGIN EC PARAMETERS-----\n?\n-----END EC PARAMETERS-----\n-----BEGIN EC PRIVATE KEY-----\nYWJj\n"
	    "-----END EC PRIVATE KEY-----\n", "OK(abc)" },
	{ "-----BEGIN ENCRYPTED PRIVATE KEY-----\nYWJj\n-----END ENCRYPTED PRIVATE KEY-----\n", "E" },
	{ "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nYWJj\n"
	    "-----END RSA PRIVATE KEY-----\n", "E" },
	{ "-----BEGIN CERTIFICATE-----\nYWJj\n", "!" },
	{ "-----BEGIN CERTIFICATE-----\n", "!" },
	{ "-----BEGIN CERTIFICATE-----", "!" },
	{ "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n", "!" },
	{ "-----BEGIN CERTIFICATE-----\nYWJj\n-----END PRIVATE KEY-----\n", "!" },
	{ "-----BEGIN CERTIFICATE-----\nYWJj\n-----BEGIN CERTIFICATE-----\nYWJj\n-----END CERTIFICATE-----\n", "!" },
	{ "-----BEGIN CERTIFICATE-----\nYWJ\n-----END CERTIFICATE-----\n", "!" },
	{ "-----BEGIN CERTIFICATE-----\nYW==YWJj\n-----END CERTIFICATE-----\n", "!" },
	{ "-----BEGIN CERTIFICATE-----\nYW=\n-----END CERTIFICATE-----\n", "!" },
	{ "-----BEGIN CERTIFICATE-----\nY===\n-----END CERTIFICATE-----\n", "!" },
	{ "-----BEGIN CERTIFICATE-----\nYW===\n-----END CERTIFICATE-----\n", "!" },
	{ "-----BEGIN CERTIFICATE-----\nYW-j\n-----END CERTIFICATE-----\n", "!" },
	{ "-----BEGIN CERTIFICATE----\nYWJj\n-----END CERTIFICATE-----\n", "" },
	{ " -----BEGIN CERTIFICATE-----\nYWJj\n-----END CERTIFICATE-----\n", "" },
	{ "-----BEGIN -----\nYWJj\n-----END -----\n", "O" },
	{ "-----BEGIN AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA-----\n", "" },
};

/* In memory of exactly that size. */
static void
search(const char *text, size_t length, char *found_r, size_t size)
{
	uint8_t *copy = malloc(length > 0 ? length : 1);
	struct pem_text rest = { copy, length };
	enum pem_result result;
	struct pem pem;

	ck_assert_ptr_nonnull(copy);
	memcpy(copy, text, length);
	found_r[0] = '\0';
	while ((result = pem_next(&rest, &pem)) == PEM_FOUND) {
		size_t at = strlen(found_r);
		bool has_bytes = pem.type == PEM_CERTIFICATE || pem.type == PEM_KEY;

		ck_assert(!has_bytes || (pem.bytes >= copy && pem.bytes + pem.length <= copy + length));
		snprintf(found_r + at, size - at, has_bytes ? "%c(%.*s)" : "%c", "CKEO"[pem.type], (int)pem.length,
		    (const char *)pem.bytes);
	}
	if (result == PEM_BROKEN)
		snprintf(found_r + strlen(found_r), size - strlen(found_r), "!");
	free(copy);
}

START_TEST(case_by_case)
{
	char found[256];

	search(cases[_i].text, strlen(cases[_i].text), found, sizeof found);
	ck_assert_str_eq(found, cases[_i].found);
}
END_TEST

/* Nothing is read behind the end, and what was complete is still found. */
START_TEST(cut_anywhere)
{
	const char *text = cases[_i].text;
	char found[256];

	for (size_t cut = 0; cut < strlen(text); cut++) {
		size_t same = 0;

		search(text, cut, found, sizeof found);
		while (found[same] != '\0' && found[same] == cases[_i].found[same])
			same++;
		ck_assert_msg(found[same] == '\0' || found[same] == '!', "%zu: %s", cut, found);
	}
}
END_TEST

/* Every byte, anywhere, in all ways in which groups of four can end. */
START_TEST(all_bytes)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	char text[1024] = "-----BEGIN PRIVATE KEY-----\n";
	size_t length = (size_t)_i + 1, at = strlen(text);
	uint8_t bytes[256];
	struct pem_text rest;
	struct pem pem;

	for (size_t i = 0; i < length; i++)
		bytes[i] = (uint8_t)(i * 37 + length);
	for (size_t i = 0; i < length; i += 3) {
		uint32_t bits = (uint32_t)bytes[i] << 16 | (i + 1 < length ? (uint32_t)bytes[i + 1] << 8 : 0) |
		    (i + 2 < length ? bytes[i + 2] : 0);

		for (unsigned k = 0; k < 4; k++)
			text[at++] = i + k > length ? '=' : digits[bits >> (18 - 6 * k) & 63];
		if (i % 48 == 45)
			text[at++] = '\n';
	}
	strcpy(text + at, "\n-----END PRIVATE KEY-----\n");
	rest = (struct pem_text){ (uint8_t *)text, strlen(text) };
	ck_assert_int_eq(pem_next(&rest, &pem), PEM_FOUND);
	ck_assert_uint_eq(pem.length, length);
	ck_assert_mem_eq(pem.bytes, bytes, length);
	ck_assert_int_eq(pem_next(&rest, &pem), PEM_END);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("pem");
	TCase *tests = tcase_create("pem");

	tcase_add_loop_test(tests, case_by_case, 0, COUNT(cases));
	tcase_add_loop_test(tests, cut_anywhere, 0, COUNT(cases));
	tcase_add_loop_test(tests, all_bytes, 0, 256);
	suite_add_tcase(suite, tests);
	return tap_run(suite);
}
