/* tls_names: the list of ciphers and suites is libssl's, without those that need or give what we do not have. */
#include <openssl/ssl.h>
#include <stdint.h>
#include <string.h>

#include "master/tls_names.h"
#include "tests/dialect/tap.h"

static bool
is_wanted(const SSL_CIPHER *cipher)
{
	int proof = SSL_CIPHER_get_auth_nid(cipher);

	return SSL_CIPHER_get_kx_nid(cipher) == NID_kx_ecdhe && (proof == NID_auth_rsa || proof == NID_auth_ecdsa) &&
	    SSL_CIPHER_get_cipher_nid(cipher) != NID_undef;
}

START_TEST(ciphers_are_those_of_libssl)
{
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());
	STACK_OF(SSL_CIPHER) *all;
	unsigned wanted = 0, known = 0;
	char name[64];

	SSL_CTX_set_security_level(context, 0);
	ck_assert_int_eq(SSL_CTX_set_ciphersuites(context, ""), 1);
	ck_assert_int_eq(SSL_CTX_set_cipher_list(context, "ALL:COMPLEMENTOFALL"), 1);
	all = SSL_CTX_get_ciphers(context);
	for (int i = 0; i < sk_SSL_CIPHER_num(all); i++) {
		const SSL_CIPHER *cipher = sk_SSL_CIPHER_value(all, i);

		ck_assert_msg(tls_names_wrong_cipher(SSL_CIPHER_get_name(cipher), name, sizeof name) != is_wanted(cipher), "%s",
		    SSL_CIPHER_get_name(cipher));
		wanted += is_wanted(cipher);
	}
	while (tls_names_cipher(known) != NULL)
		known++;
	ck_assert_uint_eq(known, wanted);
	for (unsigned i = 0; i < known; i++)
		ck_assert_msg(SSL_CTX_set_cipher_list(context, tls_names_cipher(i)) == 1, "%s", tls_names_cipher(i));
	SSL_CTX_free(context);
}
END_TEST

START_TEST(suites_are_taken_by_libssl)
{
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());
	size_t count = 0;

	for (; tls_names_suite(count) != NULL; count++)
		ck_assert_msg(SSL_CTX_set_ciphersuites(context, tls_names_suite(count)) == 1, "%s", tls_names_suite(count));
	ck_assert_uint_eq(count, 5);
	SSL_CTX_free(context);
}
END_TEST

static const char *const groups[] = {
	"X25519", "x25519", "P-256", "prime256v1", "secp256r1", "P-384", "P-521", "secp521r1", "X448", "ffdhe2048", "ffdhe8192",
	"brainpoolP256r1", "X25519MLKEM768", "SecP256r1MLKEM768", "MLKEM768", "P-257", "sect163k1", "p-256", "", "*", "DEFAULT",
	"?X25519", "P-256/X25519", "P-256:", ":P-256", "P-256:X25519", "P-256::X25519", "P-256, X25519",
};

/* What we let pass libssl takes; what it takes beyond that is syntax of newer ones. */
START_TEST(groups_are_taken_by_libssl)
{
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());
	char name[64];
	bool known = !tls_names_wrong_group(groups[_i], name, sizeof name);

	if (known)
		ck_assert_msg(SSL_CTX_set1_groups_list(context, (uintptr_t)groups[_i]) == 1, "%s", groups[_i]);
	ck_assert_msg(known || _i > 6, "%s", groups[_i]);
	SSL_CTX_free(context);
}
END_TEST

START_TEST(the_wrong_one_is_named)
{
	char name[8];

	ck_assert(!tls_names_wrong_suite("TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384", name, sizeof name));
	ck_assert(tls_names_wrong_suite("TLS_AES_128_GCM_SHA256:abc:def", name, sizeof name));
	ck_assert_str_eq(name, "abc");
	ck_assert(tls_names_wrong_cipher("ECDHE-RSA-AES128-GCM-SHA256:HIGH-AND-LOW", name, sizeof name));
	ck_assert_str_eq(name, "HIGH-AN");
	ck_assert(tls_names_wrong_cipher("ECDHE-RSA-AES128-GCM-SHA256:", name, sizeof name));
	ck_assert_str_eq(name, "");
	ck_assert(tls_names_wrong_cipher("AES128-SHA", name, sizeof name));
	ck_assert(tls_names_wrong_cipher("ECDHE-RSA-AES128-GCM-SHA256:!aNULL", name, sizeof name));
	ck_assert(tls_names_wrong_suite("TLS_AES_128_GCM_SHA256 TLS_AES_256_GCM_SHA384", name, sizeof name));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("tls_names");
	TCase *tests = tcase_create("tls_names");

	tcase_add_test(tests, ciphers_are_those_of_libssl);
	tcase_add_test(tests, suites_are_taken_by_libssl);
	tcase_add_loop_test(tests, groups_are_taken_by_libssl, 0, sizeof groups / sizeof groups[0]);
	tcase_add_test(tests, the_wrong_one_is_named);
	suite_add_tcase(suite, tests);
	return tap_run(suite);
}
