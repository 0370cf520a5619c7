#include "sessiond/scram.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

#include "common/base64.h"

/* What of a message has not been read yet. */
struct rest {
	const char *at;
	size_t length;
};

/* What the client's last message says. */
struct final {
	struct rest channel;
	struct rest nonce;
	const char *proof_begin;
	unsigned char proof[SCRAM_KEY_SIZE_MAX];
};

static const EVP_MD *
digest_of(enum scram_hash hash)
{
	return hash == SCRAM_SHA256 ? EVP_sha256() : EVP_sha1();
}

size_t
scram_key_size(enum scram_hash hash)
{
	return hash == SCRAM_SHA256 ? 32 : 20;
}

static bool
hmac(enum scram_hash hash, unsigned char *out, const unsigned char *key, const void *bytes, size_t length)
{
	return HMAC(digest_of(hash), key, (int)scram_key_size(hash), bytes, length, out, NULL) != NULL;
}

bool
scram_derive(struct scram_keys *keys, enum scram_hash hash, const char *password)
{
	static const char client_text[] = "Client Key";
	static const char server_text[] = "Server Key";
	unsigned char salted[SCRAM_KEY_SIZE_MAX];
	unsigned char client[SCRAM_KEY_SIZE_MAX];
	size_t size = scram_key_size(hash);
	bool good;

	good = PKCS5_PBKDF2_HMAC(password, -1, keys->salt, (int)keys->salt_size, (int)keys->iterations, digest_of(hash),
	    (int)size, salted) == 1 &&
	    hmac(hash, client, salted, client_text, sizeof client_text - 1) &&
	    hmac(hash, keys->server, salted, server_text, sizeof server_text - 1) &&
	    EVP_Digest(client, size, keys->stored, NULL, digest_of(hash), NULL) == 1;
	OPENSSL_cleanse(salted, sizeof salted);
	OPENSSL_cleanse(client, sizeof client);
	return good;
}

void
scram_init(struct scram *scram, enum scram_hash hash, bool plus, bool plus_offered)
{
	*scram = (struct scram){ .hash = hash, .plus = plus, .plus_offered = plus_offered };
}

void
scram_deinit(struct scram *scram)
{
	free(scram->username);
	free(scram->authzid);
	free(scram->binding_type);
	free(scram->nonce);
	buffer_deinit(&scram->header);
	buffer_deinit(&scram->message);
	OPENSSL_cleanse(scram, sizeof *scram);
}

/* Up to the next comma, which is taken too; false: there is nothing left. `*last_r`: no comma was there. */
static bool
take_field(struct rest *rest, struct rest *field_r, bool *last_r)
{
	const char *comma;

	if (rest->at == NULL)
		return false;
	comma = memchr(rest->at, ',', rest->length);
	*field_r = (struct rest){ rest->at, comma == NULL ? rest->length : (size_t)(comma - rest->at) };
	*last_r = comma == NULL;
	rest->at = comma == NULL ? NULL : comma + 1;
	rest->length -= field_r->length + (comma == NULL ? 0 : 1);
	return true;
}

/* attr-val with this name: `NAME=VALUE`, never empty. `field` becomes the value. */
static bool
is_attribute(struct rest *field, char name)
{
	if (field->length < 3 || field->at[0] != name || field->at[1] != '=')
		return false;
	field->at += 2;
	field->length -= 2;
	return true;
}

/* Any other one: ALPHA "=" value. */
static int
extension_check(const struct rest *field)
{
	char name = field->length < 3 ? '\0' : field->at[0];

	if (!((name >= 'a' && name <= 'z') || (name >= 'A' && name <= 'Z')) || field->at[1] != '=')
		return SCRAM_MALFORMED;
	return name == 'm' ? SCRAM_EXTENSION : SCRAM_GOOD;
}

/* saslname: =2C is a comma and =3D an equals sign, and nothing else may follow one. SCRAM_GOOD, a fault, or -ENOMEM. */
static int
saslname_decode(const struct rest *value, char **name_r)
{
	char *name = malloc(value->length + 1), *to = name;

	if (name == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < value->length; i++) {
		char c = value->at[i];

		if (c == '=' && value->length - i > 2 && value->at[i + 1] == '2' && value->at[i + 2] == 'C') {
			c = ',';
			i += 2;
		} else if (c == '=' && value->length - i > 2 && value->at[i + 1] == '3' && value->at[i + 2] == 'D') {
			i += 2;
		} else if (c == '=') {
			free(name);
			return SCRAM_MALFORMED;
		}
		*to++ = c;
	}
	*to = '\0';
	*name_r = name;
	return SCRAM_GOOD;
}

/* RFC 5802 section 7: printable = %x21-2B / %x2D-7E */
static bool
is_printable(const struct rest *value)
{
	for (size_t i = 0; i < value->length; i++) {
		if (value->at[i] < '!' || value->at[i] > '~' || value->at[i] == ',')
			return false;
	}
	return true;
}

/* RFC 5801 section 4: cb-name = 1*(ALPHA / DIGIT / "." / "-") */
static bool
is_binding_name(const struct rest *value)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-";

	for (size_t i = 0; i < value->length; i++) {
		if (memchr(allowed, value->at[i], sizeof allowed - 1) == NULL)
			return false;
	}
	return true;
}

static int
read_binding_flag(struct scram *scram, struct rest *flag)
{
	if (is_attribute(flag, 'p')) {
		if (!is_binding_name(flag))
			return SCRAM_MALFORMED;
		if (!scram->plus)
			return SCRAM_NOT_OF_MECHANISM;
		scram->binding_type = strndup(flag->at, flag->length);
		return scram->binding_type == NULL ? -ENOMEM : SCRAM_GOOD;
	}
	if (flag->length != 1 || (flag->at[0] != 'y' && flag->at[0] != 'n'))
		return SCRAM_MALFORMED;
	if (scram->plus)
		return SCRAM_NOT_OF_MECHANISM;
	return flag->at[0] == 'y' && scram->plus_offered ? SCRAM_DOWNGRADED : SCRAM_GOOD;
}

/* gs2-header = gs2-cbind-flag "," [ authzid ] "," */
static int
read_header(struct scram *scram, struct rest *rest)
{
	const char *begin = rest->at;
	struct rest field;
	bool last;
	int result;

	if (!take_field(rest, &field, &last) || last)
		return SCRAM_MALFORMED;
	result = read_binding_flag(scram, &field);
	if (result != SCRAM_GOOD)
		return result;
	if (!take_field(rest, &field, &last) || last)
		return SCRAM_MALFORMED;
	if (field.length > 0) {
		result = is_attribute(&field, 'a') ? saslname_decode(&field, &scram->authzid) : SCRAM_MALFORMED;
		if (result != SCRAM_GOOD)
			return result;
	}
	buffer_append(&scram->header, begin, (size_t)(rest->at - begin));
	return scram->header.failed ? -ENOMEM : SCRAM_GOOD;
}

static int
read_nonce(struct scram *scram, struct rest *field)
{
	if (!is_attribute(field, 'r') || !is_printable(field))
		return SCRAM_MALFORMED;
	scram->nonce = strndup(field->at, field->length);
	return scram->nonce == NULL ? -ENOMEM : SCRAM_GOOD;
}

/* client-first-message-bare = [reserved-mext ","] username "," nonce ["," extensions] */
static int
read_first_bare(struct scram *scram, struct rest rest)
{
	struct rest field;
	bool last;
	int result;

	if (!take_field(&rest, &field, &last))
		return SCRAM_MALFORMED;
	if (field.length > 0 && field.at[0] == 'm')
		return extension_check(&field);
	result = !last && is_attribute(&field, 'n') ? saslname_decode(&field, &scram->username) : SCRAM_MALFORMED;
	if (result != SCRAM_GOOD)
		return result;
	if (!take_field(&rest, &field, &last))
		return SCRAM_MALFORMED;
	result = read_nonce(scram, &field);
	while (result == SCRAM_GOOD && take_field(&rest, &field, &last))
		result = extension_check(&field);
	return result;
}

int
scram_read_first(struct scram *scram, const char *message, size_t length)
{
	struct rest rest = { message, length };
	int result;

	/* Nothing of it is used as a string before this is known. */
	if (length == 0 || length > SCRAM_MESSAGE_MAX || memchr(message, '\0', length) != NULL)
		return SCRAM_MALFORMED;
	result = read_header(scram, &rest);
	if (result != SCRAM_GOOD)
		return result;
	buffer_append(&scram->message, rest.at, rest.length);
	return scram->message.failed ? -ENOMEM : read_first_bare(scram, rest);
}

static int
nonce_extend(struct scram *scram, const char *more)
{
	size_t length = strlen(scram->nonce);
	char *nonce = realloc(scram->nonce, length + strlen(more) + 1);

	if (nonce == NULL)
		return -ENOMEM;
	strcpy(nonce + length, more);
	scram->nonce = nonce;
	return 0;
}

int
scram_write_first(struct scram *scram, const struct scram_keys *keys, const char *nonce, struct buffer *out)
{
	size_t begin = buffer_length(out);

	if (nonce_extend(scram, nonce) < 0)
		return -ENOMEM;
	buffer_append_format(out, "r=%s,s=", scram->nonce);
	base64_encode(out, keys->salt, keys->salt_size);
	buffer_append_format(out, ",i=%lld", keys->iterations);
	if (out->failed)
		return -ENOMEM;
	buffer_append(&scram->message, ",", 1);
	buffer_append(&scram->message, buffer_bytes(out) + begin, buffer_length(out) - begin);
	buffer_append(&scram->message, ",", 1);
	return scram->message.failed ? -ENOMEM : 0;
}

/* c=: the header of before and, with -PLUS, the channel's data. There is one way only to write that. */
static int
check_channel(const struct scram *scram, const struct rest *value, const void *binding, size_t binding_length)
{
	struct buffer bytes = { 0 }, text = { 0 };
	int result = SCRAM_OTHER_CHANNEL;

	buffer_append(&bytes, buffer_bytes(&scram->header), buffer_length(&scram->header));
	if (scram->plus)
		buffer_append(&bytes, binding, binding_length);
	base64_encode(&text, buffer_bytes(&bytes), buffer_length(&bytes));
	if (bytes.failed || text.failed)
		result = -ENOMEM;
	else if (buffer_length(&text) == value->length &&
	    CRYPTO_memcmp(buffer_bytes(&text), value->at, value->length) == 0)
		result = SCRAM_GOOD;
	buffer_deinit(&bytes);
	buffer_deinit(&text);
	return result;
}

static bool
is_our_nonce(const struct scram *scram, const struct rest *value)
{
	return strlen(scram->nonce) == value->length && memcmp(scram->nonce, value->at, value->length) == 0;
}

static int
read_proof(enum scram_hash hash, const struct rest *field, unsigned char proof_r[SCRAM_KEY_SIZE_MAX])
{
	struct buffer bytes = { 0 };
	int result = SCRAM_MALFORMED;

	if (base64_decode(&bytes, field->at, field->length) && buffer_length(&bytes) == scram_key_size(hash)) {
		memcpy(proof_r, buffer_bytes(&bytes), buffer_length(&bytes));
		result = SCRAM_GOOD;
	}
	if (bytes.failed)
		result = -ENOMEM;
	buffer_deinit(&bytes);
	return result;
}

/* RFC 5802 section 3: ClientProof = ClientKey XOR HMAC(StoredKey, AuthMessage), and StoredKey = H(ClientKey). */
static int
check_proof(struct scram *scram, const struct scram_keys *keys, const unsigned char proof[SCRAM_KEY_SIZE_MAX])
{
	const void *message = buffer_bytes(&scram->message);
	size_t length = buffer_length(&scram->message), size = scram_key_size(scram->hash);
	unsigned char client[SCRAM_KEY_SIZE_MAX], stored[SCRAM_KEY_SIZE_MAX];
	int result = SCRAM_REFUSED;

	if (!hmac(scram->hash, client, keys->stored, message, length) ||
	    !hmac(scram->hash, scram->signature, keys->server, message, length))
		return -ENOMEM;
	for (size_t i = 0; i < size; i++)
		client[i] ^= proof[i];
	if (EVP_Digest(client, size, stored, NULL, digest_of(scram->hash), NULL) != 1)
		result = -ENOMEM;
	else if (CRYPTO_memcmp(stored, keys->stored, size) == 0)
		result = SCRAM_GOOD;
	OPENSSL_cleanse(client, sizeof client);
	return result;
}

/* [extensions ","] proof */
static int
read_final_end(const struct scram *scram, struct rest rest, struct final *final_r)
{
	struct rest field;
	bool last;
	int result = SCRAM_MALFORMED;

	while (take_field(&rest, &field, &last)) {
		if (field.length > 0 && field.at[0] == 'p') {
			final_r->proof_begin = field.at;
			return last && is_attribute(&field, 'p') ? read_proof(scram->hash, &field, final_r->proof) :
			    SCRAM_MALFORMED;
		}
		result = extension_check(&field);
		if (result != SCRAM_GOOD)
			return result;
	}
	return SCRAM_MALFORMED;
}

/* client-final-message = channel-binding "," nonce ["," extensions] "," proof */
static int
read_final_fields(const struct scram *scram, struct rest rest, struct final *final_r)
{
	bool last;

	if (!take_field(&rest, &final_r->channel, &last))
		return SCRAM_MALFORMED;
	if (final_r->channel.length > 0 && final_r->channel.at[0] == 'm')
		return extension_check(&final_r->channel);
	if (!is_attribute(&final_r->channel, 'c') || !take_field(&rest, &final_r->nonce, &last) ||
	    !is_attribute(&final_r->nonce, 'r'))
		return SCRAM_MALFORMED;
	return read_final_end(scram, rest, final_r);
}

int
scram_read_final(struct scram *scram, const struct scram_keys *keys, const void *binding, size_t binding_length,
    const char *message, size_t length)
{
	struct final final;
	int result;

	if (length == 0 || length > SCRAM_MESSAGE_MAX || memchr(message, '\0', length) != NULL)
		return SCRAM_MALFORMED;
	result = read_final_fields(scram, (struct rest){ message, length }, &final);
	if (result != SCRAM_GOOD)
		return result;
	if (!is_our_nonce(scram, &final.nonce))
		return SCRAM_OTHER_NONCE;
	result = check_channel(scram, &final.channel, binding, binding_length);
	if (result != SCRAM_GOOD)
		return result;
	buffer_append(&scram->message, message, (size_t)(final.proof_begin - 1 - message));
	return scram->message.failed ? -ENOMEM : check_proof(scram, keys, final.proof);
}

void
scram_write_final(const struct scram *scram, struct buffer *out)
{
	buffer_append(out, "v=", 2);
	base64_encode(out, scram->signature, scram_key_size(scram->hash));
}
