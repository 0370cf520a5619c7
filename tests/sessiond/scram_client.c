#include "tests/sessiond/scram_client.h"

#include <check.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base64.h"

struct secrets {
	unsigned char client[SCRAM_KEY_SIZE_MAX], stored[SCRAM_KEY_SIZE_MAX], server[SCRAM_KEY_SIZE_MAX];
};

static const EVP_MD *
digest_of(enum scram_hash hash)
{
	return hash == SCRAM_SHA256 ? EVP_sha256() : EVP_sha1();
}

static void
hmac(enum scram_hash hash, unsigned char *out, const unsigned char *key, const char *text)
{
	HMAC(digest_of(hash), key, (int)scram_key_size(hash), (const unsigned char *)text, strlen(text), out, NULL);
}

static void
secrets_derive(struct secrets *secrets_r, enum scram_hash hash, const char *password, const struct scram_keys *keys)
{
	unsigned char salted[SCRAM_KEY_SIZE_MAX];
	size_t size = scram_key_size(hash);

	PKCS5_PBKDF2_HMAC(password, -1, keys->salt, (int)keys->salt_size, (int)keys->iterations, digest_of(hash), (int)size,
	    salted);
	hmac(hash, secrets_r->client, salted, "Client Key");
	hmac(hash, secrets_r->server, salted, "Server Key");
	EVP_Digest(secrets_r->client, size, secrets_r->stored, NULL, digest_of(hash), NULL);
}

void
scram_client_final(struct buffer *out, enum scram_hash hash, const char *password, const struct scram_keys *keys,
    const char *before, const char *without_proof)
{
	unsigned char signature[SCRAM_KEY_SIZE_MAX];
	struct secrets secrets;
	char message[8192];

	snprintf(message, sizeof message, "%s%s", before, without_proof);
	secrets_derive(&secrets, hash, password, keys);
	hmac(hash, signature, secrets.stored, message);
	for (size_t i = 0; i < scram_key_size(hash); i++)
		secrets.client[i] ^= signature[i];
	buffer_append_format(out, "%s,p=", without_proof);
	base64_encode(out, secrets.client, scram_key_size(hash));
}

void
scram_client_expected(struct buffer *out, enum scram_hash hash, const char *password, const struct scram_keys *keys,
    const char *before, const char *without_proof)
{
	unsigned char signature[SCRAM_KEY_SIZE_MAX];
	struct secrets secrets;
	char message[8192];

	snprintf(message, sizeof message, "%s%s", before, without_proof);
	secrets_derive(&secrets, hash, password, keys);
	hmac(hash, signature, secrets.server, message);
	buffer_append_string(out, "v=");
	base64_encode(out, signature, scram_key_size(hash));
}

void
scram_client_read_first(struct scram_keys *keys_r, const char *server_first)
{
	const char *salt = strstr(server_first, ",s="), *iterations = strstr(server_first, ",i=");
	struct buffer bytes = { 0 };

	ck_assert_ptr_nonnull(salt);
	ck_assert_ptr_nonnull(iterations);
	ck_assert(base64_decode(&bytes, salt + 3, (size_t)(iterations - salt - 3)));
	*keys_r = (struct scram_keys){ .salt_size = buffer_length(&bytes), .iterations = strtoll(iterations + 3, NULL, 10) };
	ck_assert_uint_le(keys_r->salt_size, sizeof keys_r->salt);
	memcpy(keys_r->salt, buffer_bytes(&bytes), keys_r->salt_size);
	buffer_deinit(&bytes);
}
