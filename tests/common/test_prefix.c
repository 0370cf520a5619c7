/* prefix: what is read and what not, IPv4 as IPv6 has it, what lies in a network. */
#include "common/prefix.h"

#include <arpa/inet.h>
#include <string.h>

#include "tests/dialect/tap.h"

static struct prefix
parsed(const char *text)
{
	struct prefix prefix;
	const char *why;

	ck_assert_msg(prefix_parse(&prefix, text, &why), "%s: %s", text, why);
	return prefix;
}

static struct in6_addr
address_of(const char *text)
{
	return parsed(text).address;
}

START_TEST(what_is_read)
{
	static const struct {
		const char *text, *written;
		unsigned length;
	} cases[] = {
		{ "192.0.2.7", "192.0.2.7", 128 },
		{ "192.0.2.7/32", "192.0.2.7", 128 },
		{ "192.0.2.0/24", "192.0.2.0/24", 120 },
		{ "192.0.2.128/25", "192.0.2.128/25", 121 },
		{ "0.0.0.0/0", "0.0.0.0/0", 96 },
		{ "::ffff:192.0.2.7", "192.0.2.7", 128 },
		{ "::ffff:192.0.2.0/120", "192.0.2.0/24", 120 },
		{ "::FFFF:c000:0200/120", "192.0.2.0/24", 120 },
		{ "::ffff:0:0/96", "0.0.0.0/0", 96 },
		{ "::", "::", 128 },
		{ "::/0", "::/0", 0 },
		{ "::ffff:0:0/95", NULL, 0 },
		{ "::fffe:0:0/95", "::fffe:0:0/95", 95 },
		{ "2001:db8::/32", "2001:db8::/32", 32 },
		{ "2001:DB8:0:0:0:0:0:0/32", "2001:db8::/32", 32 },
		{ "2001:db8::1", "2001:db8::1", 128 },
		{ "fe80::/10", "fe80::/10", 10 },
		{ "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 128 },
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		char text[PREFIX_TEXT_SIZE];
		struct prefix prefix, again;
		const char *why;

		if (cases[i].written == NULL) {
			ck_assert_msg(!prefix_parse(&prefix, cases[i].text, &why), "%s", cases[i].text);
			continue;
		}
		prefix = parsed(cases[i].text);
		ck_assert_uint_eq(prefix.length, cases[i].length);
		ck_assert_str_eq(prefix_format(&prefix, text), cases[i].written);
		again = parsed(text);
		ck_assert(prefix_equals(&prefix, &again));
	}
}
END_TEST

START_TEST(what_is_not)
{
	static const char *const texts[] = {
		"", "/", "/24", "x", "example.org", "192.0.2", "192.0.2.1.", "192.0.2.256", "0192.0.2.1", " 192.0.2.1",
		"192.0.2.1 ", "192.0.2.1/", "192.0.2.0/33", "192.0.2.0/024", "192.0.2.0/+24", "192.0.2.0/-1", "192.0.2.0/ 24",
		"192.0.2.0/24 ", "192.0.2.0/24/24", "192.0.2.0/255.255.255.0", "192.0.2.0/4294967320", "192.0.2.0/0x18",
		"::/129", "::/1000", "::/", ":::", "::1%lo", "::1%1", "[::1]", "2001:db8::1::", "1:2:3:4:5:6:7:8:9",
		"192.0.2.1/24", "192.0.2.1/31", "2001:db8::1/64", "::ffff:192.0.2.1/120", "0.0.0.1/0", "::1/0",
		"0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000", "10", "10/8", "10.0/8",
	};

	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		struct prefix prefix;
		const char *why = NULL;

		ck_assert_msg(!prefix_parse(&prefix, texts[i], &why), "%s", texts[i]);
		ck_assert_ptr_nonnull(why);
	}
}
END_TEST

START_TEST(what_lies_in_it)
{
	static const struct {
		const char *prefix, *address;
		bool covers;
	} cases[] = {
		{ "192.0.2.0/24", "192.0.2.255", true },
		{ "192.0.2.0/24", "::ffff:192.0.2.1", true },
		{ "192.0.2.0/24", "192.0.3.0", false },
		{ "192.0.2.0/24", "::192.0.2.1", false },
		{ "192.0.2.0/23", "192.0.3.255", true },
		{ "192.0.2.7", "192.0.2.7", true },
		{ "192.0.2.7", "192.0.2.6", false },
		{ "0.0.0.0/0", "255.255.255.255", true },
		{ "0.0.0.0/0", "::1", false },
		{ "0.0.0.0/0", "2001:db8::1", false },
		{ "::/0", "2001:db8::1", true },
		{ "::/0", "192.0.2.1", false },
		{ "::/64", "192.0.2.1", false },
		{ "2001:db8::/33", "2001:db8:7fff::1", true },
		{ "2001:db8::/33", "2001:db8:8000::1", false },
		{ "::/127", "::1", true },
		{ "::/127", "::2", false },
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct prefix prefix = parsed(cases[i].prefix);
		struct in6_addr address = address_of(cases[i].address);

		ck_assert_msg(prefix_covers(&prefix, &address) == cases[i].covers, "%s %s", cases[i].prefix, cases[i].address);
	}
}
END_TEST

/* Each length keeps as many bits and no more. */
START_TEST(around_an_address)
{
	struct in6_addr ones;

	memset(&ones, 0xff, sizeof ones);
	for (unsigned length = 0; length <= PREFIX_LENGTH_MAX; length++) {
		struct prefix prefix = prefix_around(&ones, (uint8_t)length);
		unsigned bits = 0;

		for (unsigned i = 0; i < PREFIX_LENGTH_MAX; i++) {
			bool set = (prefix.address.s6_addr[i / 8] & 0x80 >> i % 8) != 0;

			ck_assert(set == (i < length));
			bits += set;
		}
		ck_assert_uint_eq(bits, length);
	}
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("prefix");
	TCase *tests = tcase_create("prefix");

	tcase_add_test(tests, what_is_read);
	tcase_add_test(tests, what_is_not);
	tcase_add_test(tests, what_lies_in_it);
	tcase_add_test(tests, around_an_address);
	suite_add_tcase(suite, tests);
	return tap_run(suite);
}
