/* address_list: which entry decides, and the same by looking at all of them. */
#include "common/address_list.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/dialect/tap.h"

#define MANY 400

static struct address_list list;

static void
teardown(void)
{
	address_list_deinit(&list);
	address_list_deinit(&list);
}

static struct prefix
parsed(const char *text)
{
	struct prefix prefix;
	const char *why;

	ck_assert_msg(prefix_parse(&prefix, text, &why), "%s: %s", text, why);
	return prefix;
}

/* Words with blanks between. */
static size_t
parse_all(struct prefix *prefixes, const char *texts)
{
	char copy[512], *rest = copy, *word;
	size_t count = 0;

	ck_assert_uint_lt(strlen(texts), sizeof copy);
	strcpy(copy, texts);
	while ((word = strtok_r(rest, " ", &rest)) != NULL)
		prefixes[count++] = parsed(word);
	return count;
}

START_TEST(who_is_permitted)
{
	static const struct {
		const char *allow, *deny, *permitted, *refused;
	} cases[] = {
		{ "", "", "192.0.2.1 2001:db8::1", "" },
		{ "", "192.0.2.0/24", "192.0.3.1 2001:db8::1", "192.0.2.0 192.0.2.255 ::ffff:192.0.2.1" },
		/* Whoever allows somebody denies everybody else. */
		{ "192.0.2.0/24", "", "192.0.2.1", "192.0.3.1 ::1" },
		{ "0.0.0.0/0", "", "192.0.2.1", "::1" },
		{ "0.0.0.0/0 ::/0", "192.0.2.0/24", "192.0.1.1 ::1", "192.0.2.1" },
		/* The longest prefix decides. */
		{ "192.0.2.7", "192.0.2.0/24", "192.0.2.7", "192.0.2.6 192.0.3.1" },
		{ "192.0.2.0/24", "192.0.2.7", "192.0.2.6", "192.0.2.7 192.0.3.1" },
		{ "10.0.0.0/8 10.1.2.0/24", "10.1.0.0/16 10.1.2.3", "10.0.0.1 10.1.2.4 10.2.0.0", "10.1.3.1 10.1.2.3 11.0.0.0" },
		/* In both lists. */
		{ "192.0.2.0/24", "192.0.2.0/24", "", "192.0.2.1 ::1" },
		{ "::ffff:192.0.2.7", "192.0.2.7", "", "192.0.2.7" },
		/* IPv4 is in no network of IPv6, also where it lies between them. */
		{ "::/0", "", "::1 ffff::", "192.0.2.1" },
		{ "::/0 192.0.2.0/24", "192.0.2.128/25 2001:db8::/32", "::1 192.0.2.127 2001:db9::", "192.0.2.128 2001:db8::1" },
		{ "0.0.0.0/0", "::/0", "192.0.2.1", "::1 2001:db8::1" },
		{ "", "::/0", "192.0.2.1", "::1 2001:db8::1" },
		{ "", "::", "::1", "::" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct prefix allow[8], deny[8], address[8];
		size_t allow_count = parse_all(allow, cases[i].allow), deny_count = parse_all(deny, cases[i].deny), count;

		ck_assert_int_eq(address_list_init(&list, allow, allow_count, deny, deny_count), 0);
		count = parse_all(address, cases[i].permitted);
		for (size_t j = 0; j < count; j++)
			ck_assert_msg(address_list_permits(&list, &address[j].address), "case %zu, permitted %zu", i, j);
		count = parse_all(address, cases[i].refused);
		for (size_t j = 0; j < count; j++)
			ck_assert_msg(!address_list_permits(&list, &address[j].address), "case %zu, refused %zu", i, j);
		address_list_deinit(&list);
	}
}
END_TEST

/* From few bits, so that much lies inside each other. */
static struct prefix
prefix_random(unsigned *seed)
{
	struct in6_addr address = { 0 };
	bool ipv4 = rand_r(seed) % 2 != 0;

	if (ipv4)
		address.s6_addr[10] = address.s6_addr[11] = 0xff;
	for (unsigned i = ipv4 ? 12 : 0; i < 16; i++)
		address.s6_addr[i] = (uint8_t)(rand_r(seed) % 3 == 0 ? rand_r(seed) % 4 << 6 : 0);
	return prefix_around(&address, (uint8_t)(ipv4 ? 96 + rand_r(seed) % 33 : rand_r(seed) % 129));
}

static const struct address_rule *
slowly(const struct in6_addr *address)
{
	const struct address_rule *best = NULL;

	for (size_t i = 0; i < list.count; i++) {
		if (prefix_covers(&list.rules[i].prefix, address) && (best == NULL ||
		    best->prefix.length < list.rules[i].prefix.length))
			best = &list.rules[i];
	}
	return best;
}

START_TEST(as_by_looking_at_all)
{
	static struct prefix allow[MANY], deny[MANY];
	unsigned seed = (unsigned)_i;

	for (unsigned i = 0; i < MANY; i++) {
		allow[i] = prefix_random(&seed);
		deny[i] = prefix_random(&seed);
	}
	ck_assert_int_eq(address_list_init(&list, allow, MANY, deny, MANY), 0);
	for (unsigned i = 0; i < 5000; i++) {
		struct prefix near = prefix_random(&seed);

		ck_assert_ptr_eq(address_list_find(&list, &near.address), slowly(&near.address));
	}
	for (unsigned i = 0; i < MANY; i++)
		ck_assert_ptr_nonnull(address_list_find(&list, &deny[i].address));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("address_list");
	TCase *tests = tcase_create("address_list");

	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, NULL, teardown);
	tcase_add_test(tests, who_is_permitted);
	tcase_add_loop_test(tests, as_by_looking_at_all, 1, 9);
	suite_add_tcase(suite, tests);
	return tap_run(suite);
}
