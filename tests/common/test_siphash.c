/* siphash: the vectors of its reference implementation (key 00 01 .. 0f, message 00 01 .. of each length). */
#include "common/siphash.h"

#include "tests/dialect/tap.h"

static const struct siphash_key key = { { 0x0706050403020100u, 0x0f0e0d0c0b0a0908u } };

START_TEST(vectors)
{
	static const struct {
		size_t length;
		uint64_t hash;
	} cases[] = {
		{ 0, 0x726fdb47dd0e0e31u }, { 1, 0x74f839c593dc67fdu }, { 7, 0xab0200f58b01d137u }, { 8, 0x93f5f5799a932462u },
		{ 15, 0xa129ca6149be45e5u }, { 63, 0x958a324ceb064572u },
	};
	uint8_t message[64];

	for (unsigned i = 0; i < sizeof message; i++)
		message[i] = (uint8_t)i;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		ck_assert_uint_eq(siphash(&key, message, cases[i].length), cases[i].hash);
}
END_TEST

START_TEST(another_key)
{
	static const struct siphash_key other = { { 0x0706050403020100u, 0x0f0e0d0c0b0a0909u } };

	ck_assert_uint_ne(siphash(&key, "", 0), siphash(&other, "", 0));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("siphash");
	TCase *tests = tcase_create("siphash");

	tcase_add_test(tests, vectors);
	tcase_add_test(tests, another_key);
	suite_add_tcase(suite, tests);
	return tap_run(suite);
}
