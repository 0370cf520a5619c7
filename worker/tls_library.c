#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <stdlib.h>

#include "worker/tls.h"
#include "worker/tls_openssl.h"

/* ---- memory ---- */

/* OpenSSL does not always say that what it failed of was memory. */
static bool memory_failed;

static bool memory_limited, memory_refused;

void
tls_memory_limit(bool limited)
{
	memory_limited = limited;
}

static void *
on_realloc(void *before, size_t size, const char *file, int line)
{
	void *memory;

	(void)file, (void)line;
	if (size == 0) {
		tls_memory_free(before);
		return NULL;
	}
	if (memory_limited && size > TLS_MEMORY_MAX) {
		memory_refused = true;
		return NULL;
	}
	memory = before == NULL ? tls_memory_new(size) : tls_memory_resize(before, size);
	memory_failed |= memory == NULL;
	return memory;
}

static void *
on_malloc(size_t size, const char *file, int line)
{
	return on_realloc(NULL, size, file, line);
}

static void
on_free(void *memory, const char *file, int line)
{
	(void)file, (void)line;
	tls_memory_free(memory);
}

/* ---- errors ---- */

void
tls_errors_clear(void)
{
	memory_failed = memory_refused = false;
	/* Clearing an empty queue costs a tenth of a small message. */
	if (ERR_peek_error() != 0)
		ERR_clear_error();
}

bool
tls_errors_of_memory(void)
{
	return memory_failed;
}

/* What TLS says is what is meant; below it stand, before it or alone, what it found out from others. */
static unsigned long
error_find(bool *missing_r)
{
	unsigned long error, found = 0;

	while ((error = ERR_get_error()) != 0) {
		*missing_r |= ERR_GET_REASON(error) == ERR_R_MALLOC_FAILURE;
		if (found == 0 || (ERR_GET_LIB(error) == ERR_LIB_SSL && ERR_GET_LIB(found) != ERR_LIB_SSL))
			found = error;
	}
	return found;
}

int
tls_errors_take(const char **reason_r)
{
	bool missing = memory_failed, refused = memory_refused && !memory_failed;
	const char *reason = ERR_reason_error_string(error_find(&missing));

	tls_errors_clear();
	if (refused) {
		*reason_r = "message too long";
		return -EINVAL;
	}
	*reason_r = missing ? "out of memory" : reason == NULL ? "no reason given" : reason;
	return missing ? -ENOMEM : -EINVAL;
}

/* ---- the library ---- */

/* The first random bytes come with the search for where they come from; in this order, as each is seeded by the one before. */
static bool
random_begin(void)
{
	uint8_t bytes[16];

	return RAND_bytes(bytes, sizeof bytes) == 1 && RAND_priv_bytes(bytes, sizeof bytes) == 1;
}

/* The first of its kind, which also looks up all that OpenSSL looks up once. */
static bool
first_ssl(void)
{
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());
	SSL *ssl;

	if (context == NULL)
		return false;
	tls_memory_learn(true);
	ssl = SSL_new(context);
	tls_memory_learn(false);
	SSL_CTX_free(context);
	SSL_free(ssl);
	return ssl != NULL;
}

int
tls_init(void)
{
	tls_memory_prepare();
	CRYPTO_set_mem_functions(on_malloc, on_realloc, on_free);
	/* The machine's openssl.cnf is for programs that have no configuration of their own, and a file. */
	if (OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_LOAD_SSL_STRINGS | OPENSSL_INIT_LOAD_CRYPTO_STRINGS,
	    NULL) != 1)
		return -ENOMEM;
	return random_begin() && tls_bio_prepare() && first_ssl() ? 0 : -ENOMEM;
}
