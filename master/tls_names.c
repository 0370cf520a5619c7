#include "master/tls_names.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* TLS 1.2: those that keep what was said secret when a key is lost later (RFC 9325 4.1). */
static const char *const ciphers[] = {
	"ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384",
	"ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-CHACHA20-POLY1305",
	"ECDHE-ECDSA-AES128-CCM", "ECDHE-ECDSA-AES256-CCM", "ECDHE-ECDSA-AES128-CCM8", "ECDHE-ECDSA-AES256-CCM8",
	"ECDHE-ECDSA-ARIA128-GCM-SHA256", "ECDHE-ARIA128-GCM-SHA256", "ECDHE-ECDSA-ARIA256-GCM-SHA384",
	"ECDHE-ARIA256-GCM-SHA384", "ECDHE-ECDSA-AES128-SHA256", "ECDHE-RSA-AES128-SHA256", "ECDHE-ECDSA-AES256-SHA384",
	"ECDHE-RSA-AES256-SHA384", "ECDHE-ECDSA-CAMELLIA128-SHA256", "ECDHE-RSA-CAMELLIA128-SHA256",
	"ECDHE-ECDSA-CAMELLIA256-SHA384", "ECDHE-RSA-CAMELLIA256-SHA384", "ECDHE-ECDSA-AES128-SHA", "ECDHE-RSA-AES128-SHA",
	"ECDHE-ECDSA-AES256-SHA", "ECDHE-RSA-AES256-SHA",
};

/* RFC 8446 B.4. */
static const char *const suites[] = {
	"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_CCM_SHA256",
	"TLS_AES_128_CCM_8_SHA256",
};

/* The first name of a list for which `is_known` says no. */
static bool
list_search(const char *list, bool (*is_known)(const char *name), char *name_r, size_t size)
{
	char name[128];

	for (;;) {
		size_t length = strcspn(list, ":"), cut = length < sizeof name ? length : sizeof name - 1;

		memcpy(name, list, cut);
		name[cut] = '\0';
		if (length != cut || !is_known(name)) {
			memcpy(name_r, name, cut < size ? cut : size - 1);
			name_r[cut < size ? cut : size - 1] = '\0';
			return true;
		}
		if (list[length] == '\0')
			return false;
		list += length + 1;
	}
}

static bool
is_cipher(const char *name)
{
	for (size_t i = 0; i < COUNT(ciphers); i++) {
		if (strcmp(ciphers[i], name) == 0)
			return true;
	}
	return false;
}

static bool
is_suite(const char *name)
{
	for (size_t i = 0; i < COUNT(suites); i++) {
		if (strcmp(suites[i], name) == 0)
			return true;
	}
	return false;
}

/* A name that is looked for, and whether it was found. */
struct search {
	const char *name;
	bool found;
};

static int
on_group(const OSSL_PARAM parameters[], void *argument)
{
	static const char *const keys[] = { OSSL_CAPABILITY_TLS_GROUP_NAME, OSSL_CAPABILITY_TLS_GROUP_NAME_INTERNAL };
	struct search *search = argument;

	for (size_t i = 0; i < COUNT(keys); i++) {
		const OSSL_PARAM *parameter = OSSL_PARAM_locate_const(parameters, keys[i]);
		const char *name;

		if (parameter != NULL && OSSL_PARAM_get_utf8_string_ptr(parameter, &name) == 1 && strcmp(name, search->name) == 0)
			search->found = true;
	}
	return 1;
}

static int
on_provider(OSSL_PROVIDER *provider, void *argument)
{
	OSSL_PROVIDER_get_capabilities(provider, "TLS-GROUP", on_group, argument);
	return 1;
}

static bool
is_group(const char *name)
{
	struct search search = { .name = name };

	OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
	OSSL_PROVIDER_do_all(NULL, on_provider, &search);
	return search.found;
}

bool
tls_names_wrong_cipher(const char *list, char *name_r, size_t size)
{
	return list_search(list, is_cipher, name_r, size);
}

bool
tls_names_wrong_suite(const char *list, char *name_r, size_t size)
{
	return list_search(list, is_suite, name_r, size);
}

bool
tls_names_wrong_group(const char *list, char *name_r, size_t size)
{
	return list_search(list, is_group, name_r, size);
}

const char *
tls_names_cipher(size_t index)
{
	return index < COUNT(ciphers) ? ciphers[index] : NULL;
}

const char *
tls_names_suite(size_t index)
{
	return index < COUNT(suites) ? suites[index] : NULL;
}
