#include "sessiond/account.h"

#include <bsd/stdlib.h>
#include <bsd/string.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>
#include <stringprep.h>

#include "sessiond/sessiond.h"

#define SALT_SIZE 16
#define SHA1_SIZE 20
#define SHA256_SIZE 32

/* RFC 6120 6.3.8 lets us choose; a longer one only costs time. */
#define PASSWORD_SIZE 1024

/* What a login is checked against, and what it is checked against when there is no account. */
struct verifier {
	unsigned char salt[SALT_SIZE];
	long long iterations;
	unsigned char stored_sha1[SHA1_SIZE];
};

struct keys {
	unsigned char stored[SHA256_SIZE];
	unsigned char server[SHA256_SIZE];
};

static bool
password_prepare(char prepared_r[PASSWORD_SIZE], const char *password)
{
	if (strlcpy(prepared_r, password, PASSWORD_SIZE) >= PASSWORD_SIZE)
		return false;
	return stringprep(prepared_r, PASSWORD_SIZE, 0, stringprep_saslprep) == STRINGPREP_OK && prepared_r[0] != '\0';
}

/* RFC 5802 section 3: StoredKey = H(HMAC(SaltedPassword, "Client Key")), ServerKey = HMAC(SaltedPassword, ...). */
static bool
keys_derive(struct sessiond *sd, struct keys *keys_r, const EVP_MD *digest, const char *password,
    const unsigned char salt[SALT_SIZE], long long iterations)
{
	static const unsigned char client_text[] = "Client Key";
	static const unsigned char server_text[] = "Server Key";
	unsigned char salted[SHA256_SIZE];
	unsigned char client[SHA256_SIZE];
	int size = EVP_MD_get_size(digest);
	bool good;

	sd->hashes++;
	good = PKCS5_PBKDF2_HMAC(password, -1, salt, SALT_SIZE, (int)iterations, digest, size, salted) == 1 &&
	    HMAC(digest, salted, size, client_text, sizeof client_text - 1, client, NULL) != NULL &&
	    HMAC(digest, salted, size, server_text, sizeof server_text - 1, keys_r->server, NULL) != NULL &&
	    EVP_Digest(client, (size_t)size, keys_r->stored, NULL, digest, NULL) == 1;
	OPENSSL_cleanse(salted, sizeof salted);
	OPENSSL_cleanse(client, sizeof client);
	return good;
}

static enum account_result
account_write(struct sessiond *sd, const char *jid, const char *password, bool create)
{
	char prepared[PASSWORD_SIZE];
	unsigned char salt[SALT_SIZE];
	long long iterations = sd->settings->iterations;
	struct keys sha1;
	struct keys sha256;
	struct store_bytes blobs[] = {
		{ salt, SALT_SIZE }, { sha1.stored, SHA1_SIZE }, { sha1.server, SHA1_SIZE },
		{ sha256.stored, SHA256_SIZE }, { sha256.server, SHA256_SIZE },
	};
	bool good;

	if (!password_prepare(prepared, password))
		return ACCOUNT_BAD_PASSWORD;
	arc4random_buf(salt, sizeof salt);
	good = keys_derive(sd, &sha1, EVP_sha1(), prepared, salt, iterations) &&
	    keys_derive(sd, &sha256, EVP_sha256(), prepared, salt, iterations);
	OPENSSL_cleanse(prepared, sizeof prepared);
	if (!good)
		return ACCOUNT_BROKEN;
	if (create)
		store_execute(&sd->store, STORE_ACCOUNT_ADD, "tbibbbb", jid, &blobs[0], iterations, &blobs[1],
		    &blobs[2], &blobs[3], &blobs[4]);
	else
		store_execute(&sd->store, STORE_ACCOUNT_CHANGE, "bibbbbt", &blobs[0], iterations, &blobs[1],
		    &blobs[2], &blobs[3], &blobs[4], jid);
	return link_turn_commit(sd) == 0 ? ACCOUNT_DONE : ACCOUNT_BROKEN;
}

enum account_result
account_create(struct sessiond *sd, const char *jid, const char *password)
{
	bool exists = account_exists(sd, jid);

	if (sd->store.failed)
		return ACCOUNT_BROKEN;
	return exists ? ACCOUNT_EXISTS : account_write(sd, jid, password, true);
}

enum account_result
account_change(struct sessiond *sd, const char *jid, const char *password)
{
	bool exists = account_exists(sd, jid);

	if (sd->store.failed)
		return ACCOUNT_BROKEN;
	return exists ? account_write(sd, jid, password, false) : ACCOUNT_UNKNOWN;
}

enum account_result
account_remove(struct sessiond *sd, const char *jid)
{
	bool exists = account_exists(sd, jid);

	if (sd->store.failed)
		return ACCOUNT_BROKEN;
	if (!exists)
		return ACCOUNT_UNKNOWN;
	store_execute(&sd->store, STORE_ACCOUNT_DELETE, "t", jid);
	return link_turn_commit(sd) == 0 ? ACCOUNT_DONE : ACCOUNT_BROKEN;
}

static bool
verifier_read(struct sessiond *sd, const char *jid, struct verifier *verifier_r)
{
	sqlite3_stmt *row = store_query(&sd->store, STORE_ACCOUNT_READ, "t", jid);
	bool found = false;

	if (!store_row(&sd->store, row))
		return false;
	if (sqlite3_column_bytes(row, 0) == SALT_SIZE && sqlite3_column_bytes(row, 2) == SHA1_SIZE) {
		memcpy(verifier_r->salt, sqlite3_column_blob(row, 0), SALT_SIZE);
		verifier_r->iterations = sqlite3_column_int64(row, 1);
		memcpy(verifier_r->stored_sha1, sqlite3_column_blob(row, 2), SHA1_SIZE);
		found = true;
	}
	store_rest(row);
	return found;
}

enum account_result
account_verify(struct sessiond *sd, const char *jid, const char *password)
{
	struct verifier verifier = { .iterations = sd->settings->iterations };
	char prepared[PASSWORD_SIZE];
	struct keys keys;
	bool found = verifier_read(sd, jid, &verifier);
	bool good = password_prepare(prepared, password);
	bool derived;

	if (sd->store.failed)
		return ACCOUNT_BROKEN;
	derived = keys_derive(sd, &keys, EVP_sha1(), good ? prepared : "", verifier.salt, verifier.iterations);
	OPENSSL_cleanse(prepared, sizeof prepared);
	if (!derived)
		return ACCOUNT_BROKEN;
	good = CRYPTO_memcmp(keys.stored, verifier.stored_sha1, SHA1_SIZE) == 0 && good;
	OPENSSL_cleanse(&keys, sizeof keys);
	return found && good ? ACCOUNT_DONE : ACCOUNT_REFUSED;
}

bool
account_exists(struct sessiond *sd, const char *jid)
{
	sqlite3_stmt *row = store_query(&sd->store, STORE_ACCOUNT_READ, "t", jid);

	if (!store_row(&sd->store, row))
		return false;
	store_rest(row);
	return true;
}

struct account_name *
account_list(struct sessiond *sd, const char *host)
{
	sqlite3_stmt *row = store_query(&sd->store, STORE_ACCOUNT_LIST, "");
	struct account_name *first = NULL;
	struct account_name **place = &first;

	while (store_row(&sd->store, row)) {
		const char *jid = store_text(row, 0);
		const char *at = strchr(jid, '@');
		struct account_name *name;

		if (at == NULL || strcmp(at + 1, host) != 0)
			continue;
		name = arena_take(&sd->arena, sizeof *name);
		if (name == NULL)
			continue;
		name->local = arena_copy(&sd->arena, jid, (size_t)(at - jid));
		*place = name;
		place = &name->next;
	}
	return first;
}
