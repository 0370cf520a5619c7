#include "sessiond/account.h"

#include <bsd/stdlib.h>
#include <bsd/string.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>
#include <stringprep.h>

#include "sessiond/sessiond.h"

#define SALT_SIZE SCRAM_SALT_SIZE_MAX
#define SHA1_SIZE 20
#define SHA256_SIZE 32

/* RFC 6120 6.3.8 lets us choose; a longer one only costs time. */
#define PASSWORD_SIZE 1024

static bool
password_prepare(char prepared_r[PASSWORD_SIZE], const char *password)
{
	if (strlcpy(prepared_r, password, PASSWORD_SIZE) >= PASSWORD_SIZE)
		return false;
	return stringprep(prepared_r, PASSWORD_SIZE, 0, stringprep_saslprep) == STRINGPREP_OK && prepared_r[0] != '\0';
}

/* It costs a millisecond or more: sessiond.h, `hashes`. */
static bool
keys_derive(struct sessiond *sd, struct scram_keys *keys, enum scram_hash hash, const char *password)
{
	sd->hashes++;
	return scram_derive(keys, hash, password);
}

static enum account_result
account_write(struct sessiond *sd, const char *jid, const char *password, bool create)
{
	char prepared[PASSWORD_SIZE];
	long long iterations = sd->settings->iterations;
	struct scram_keys sha1 = { .salt_size = SALT_SIZE, .iterations = iterations };
	struct scram_keys sha256;
	struct store_bytes blobs[] = {
		{ sha1.salt, SALT_SIZE }, { sha1.stored, SHA1_SIZE }, { sha1.server, SHA1_SIZE },
		{ sha256.stored, SHA256_SIZE }, { sha256.server, SHA256_SIZE },
	};
	bool good;

	if (!password_prepare(prepared, password))
		return ACCOUNT_BAD_PASSWORD;
	arc4random_buf(sha1.salt, sizeof sha1.salt);
	sha256 = sha1;
	good = keys_derive(sd, &sha1, SCRAM_SHA1, prepared) && keys_derive(sd, &sha256, SCRAM_SHA256, prepared);
	OPENSSL_cleanse(prepared, sizeof prepared);
	if (!good)
		return ACCOUNT_BROKEN;
	if (create)
		store_execute(&sd->store, STORE_ACCOUNT_ADD, "tbibbbb", jid, &blobs[0], iterations, &blobs[1],
		    &blobs[2], &blobs[3], &blobs[4]);
	else
		store_execute(&sd->store, STORE_ACCOUNT_CHANGE, "bibbbbt", &blobs[0], iterations, &blobs[1],
		    &blobs[2], &blobs[3], &blobs[4], jid);
	return sd->store.failed ? ACCOUNT_BROKEN : ACCOUNT_DONE;
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
	if (session_find_user(sd, jid) != NULL)
		return link_packet_commit(sd) == 0 ? ACCOUNT_DONE : ACCOUNT_BROKEN;
	return sd->store.failed ? ACCOUNT_BROKEN : ACCOUNT_DONE;
}

/* Nobody can tell them from those of an account: the same each time, and different in every store. */
static bool
keys_invent(struct sessiond *sd, const char *jid, struct scram_keys *keys_r)
{
	const struct store *store = &sd->store;
	unsigned char bytes[SHA256_SIZE];

	if (HMAC(EVP_sha256(), store->secret, sizeof store->secret, (const unsigned char *)jid, strlen(jid), bytes,
	    NULL) == NULL)
		return false;
	keys_r->salt_size = SALT_SIZE;
	keys_r->iterations = sd->settings->iterations;
	memcpy(keys_r->salt, bytes, SALT_SIZE);
	/* No password is known to have these. */
	arc4random_buf(keys_r->stored, sizeof keys_r->stored);
	arc4random_buf(keys_r->server, sizeof keys_r->server);
	return true;
}

static bool
keys_take(sqlite3_stmt *row, enum scram_hash hash, struct scram_keys *keys_r)
{
	int size = (int)scram_key_size(hash), first = hash == SCRAM_SHA1 ? 2 : 4;

	if (sqlite3_column_bytes(row, 0) != SALT_SIZE || sqlite3_column_bytes(row, first) != size ||
	    sqlite3_column_bytes(row, first + 1) != size)
		return false;
	memcpy(keys_r->salt, sqlite3_column_blob(row, 0), SALT_SIZE);
	keys_r->salt_size = SALT_SIZE;
	keys_r->iterations = sqlite3_column_int64(row, 1);
	memcpy(keys_r->stored, sqlite3_column_blob(row, first), (size_t)size);
	memcpy(keys_r->server, sqlite3_column_blob(row, first + 1), (size_t)size);
	return true;
}

enum account_result
account_read_keys(struct sessiond *sd, const char *jid, enum scram_hash hash, struct scram_keys *keys_r)
{
	bool invented = keys_invent(sd, jid, keys_r);
	sqlite3_stmt *row = store_query(&sd->store, STORE_ACCOUNT_READ, "t", jid);
	bool found = false;

	if (store_row(&sd->store, row)) {
		found = keys_take(row, hash, keys_r);
		store_rest(row);
	}
	if (sd->store.failed || !invented)
		return ACCOUNT_BROKEN;
	return found ? ACCOUNT_DONE : ACCOUNT_REFUSED;
}

enum account_result
account_verify(struct sessiond *sd, const char *jid, const char *password)
{
	struct scram_keys right, given;
	char prepared[PASSWORD_SIZE];
	enum account_result result = account_read_keys(sd, jid, SCRAM_SHA1, &right);
	bool good = password_prepare(prepared, password);
	bool derived;

	if (result == ACCOUNT_BROKEN)
		return ACCOUNT_BROKEN;
	given = right;
	derived = keys_derive(sd, &given, SCRAM_SHA1, good ? prepared : "");
	OPENSSL_cleanse(prepared, sizeof prepared);
	if (!derived)
		return ACCOUNT_BROKEN;
	good = CRYPTO_memcmp(given.stored, right.stored, SHA1_SIZE) == 0 && good;
	OPENSSL_cleanse(&given, sizeof given);
	OPENSSL_cleanse(&right, sizeof right);
	return result == ACCOUNT_DONE && good ? ACCOUNT_DONE : ACCOUNT_REFUSED;
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
