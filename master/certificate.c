#include "master/certificate.h"

#include <errno.h>
#include <fcntl.h>
#include <idna.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/wiping.h"
#include "ipc/contract.h"
#include "master/pem.h"

/* Certificates of one chain; any client would refuse so long a one. */
#define CHAIN_MAX 16

/* What OpenSSL asks for at the security level of Debian's programs (2): RSA of 2048 bits, SHA-256. */
#define STRENGTH_MIN 112

/* RSA of 16384 bits, the longest that OpenSSL takes. */
#define KEY_SIGNATURE_MAX 2048

/* RFC 6120 13.7.1.4 and RFC 4985 2. */
#define OID_XMPP_ADDRESS "1.3.6.1.5.5.7.8.5"
#define OID_SRV_NAME "1.3.6.1.5.5.7.8.7"
#define SRV_SERVICE "_xmpp-client."

/* One reading. What OpenSSL makes of it is gone at its end. */
struct reading {
	struct certificate *certificate;
	struct certificate_error *error;
	struct vault chain_file, key_file;
	X509 *chain[CHAIN_MAX];
	unsigned count;
	struct pem key;		/* `bytes` NULL: none was found */
	bool encrypted;
	EVP_PKEY *private_key;
};

static int __attribute__((format(printf, 3, 4)))
fail(struct reading *reading, bool of_key, const char *format, ...)
{
	va_list arguments;

	reading->error->of_key = of_key;
	va_start(arguments, format);
	vsnprintf(reading->error->text, sizeof reading->error->text, format, arguments);
	va_end(arguments);
	return -EINVAL;
}

/* ---- memory ---- */

/* OpenSSL's own decoders leave keys behind in the heap. */
static void *
on_malloc(size_t size, const char *file, int line)
{
	(void)file, (void)line;
	return size > 0 ? malloc(size) : NULL;
}

static void *
on_realloc(void *memory, size_t size, const char *file, int line)
{
	(void)file, (void)line;
	if (size > 0)
		return wiping_realloc(memory, size);
	wiping_free(memory);
	return NULL;
}

static void
on_free(void *memory, const char *file, int line)
{
	(void)file, (void)line;
	wiping_free(memory);
}

void
certificate_prepare(void)
{
	CRYPTO_set_mem_functions(on_malloc, on_realloc, on_free);
}

/* ---- files ---- */

/* 0; a positive errno of the file; or -ENOMEM. What is longer than `file` has changed since, and is cut. */
static int
descriptor_read(int fd, struct vault *file)
{
	size_t length = 0;

	while (length < file->size) {
		ssize_t got = read(fd, file->bytes + length, file->size - length);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return errno;
		if (got == 0)
			break;
		length += (size_t)got;
	}
	return 0;
}

static int
descriptor_take(struct reading *reading, bool of_key, int fd, const struct stat *status, struct vault *file)
{
	int result;

	if (!S_ISREG(status->st_mode))
		return fail(reading, of_key, "not a file");
	if (status->st_size == 0)
		return fail(reading, of_key, "empty");
	if (status->st_size > CERTIFICATE_FILE_MAX)
		return fail(reading, of_key, "longer than %u bytes", CERTIFICATE_FILE_MAX);
	if (vault_init(file, (size_t)status->st_size) < 0)
		return -ENOMEM;
	result = descriptor_read(fd, file);
	return result > 0 ? fail(reading, of_key, "%s", strerror(result)) : 0;
}

/* A FIFO must not keep us waiting. */
static int
file_take(struct reading *reading, bool of_key, bool has_key, const char *path, struct vault *file)
{
	struct stat status;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), result;

	if (fd < 0)
		return fail(reading, of_key, "%s", strerror(errno));
	if (fstat(fd, &status) < 0)
		result = fail(reading, of_key, "%s", strerror(errno));
	else
		result = descriptor_take(reading, of_key, fd, &status, file);
	if (result == 0 && has_key && (status.st_mode & S_IROTH) != 0)
		reading->certificate->doubts |= CERTIFICATE_EXPOSED;
	close(fd);
	return result;
}

/* ---- what is in them ---- */

static int
certificate_take(struct reading *reading, const struct pem *pem)
{
	const uint8_t *at = pem->bytes;
	X509 *x509;

	if (reading->count == CHAIN_MAX)
		return fail(reading, false, "more than %u certificates in it", CHAIN_MAX);
	x509 = d2i_X509(NULL, &at, (long)pem->length);
	if (x509 == NULL || at != pem->bytes + pem->length) {
		X509_free(x509);
		return fail(reading, false, "certificate %u in it is damaged", reading->count + 1);
	}
	reading->chain[reading->count++] = x509;
	buffer_append(&reading->certificate->chain, pem->bytes, pem->length);
	if (buffer_length(&reading->certificate->chain) > CERTIFICATE_CHAIN_MAX)
		return fail(reading, false, "more than %u bytes of certificates in it", CERTIFICATE_CHAIN_MAX);
	return 0;
}

/* The first key of a file is taken, as everybody does. */
static int
file_search(struct reading *reading, bool of_key, bool certificates, bool keys, const struct vault *file)
{
	struct pem_text text = { file->bytes, file->size };
	enum pem_result found;
	struct pem pem;
	int result = 0;

	while (result == 0 && (found = pem_next(&text, &pem)) != PEM_END) {
		if (found == PEM_BROKEN)
			return fail(reading, of_key, "%s in it has no end, or is damaged",
			    pem.type == PEM_KEY ? "the key" : "something");
		if (pem.type == PEM_CERTIFICATE && certificates)
			result = certificate_take(reading, &pem);
		else if (pem.type == PEM_ENCRYPTED_KEY && keys)
			reading->encrypted = true;
		else if (pem.type == PEM_KEY && keys && reading->key.bytes == NULL)
			reading->key = pem;
	}
	return result;
}

static int
files_search(struct reading *reading, const char *chain_file, const char *key_file)
{
	const struct vault *with_key = key_file != NULL ? &reading->key_file : &reading->chain_file;
	int result = file_take(reading, false, key_file == NULL, chain_file, &reading->chain_file);

	if (result == 0 && key_file != NULL)
		result = file_take(reading, true, true, key_file, &reading->key_file);
	if (result == 0)
		result = file_search(reading, false, true, key_file == NULL, &reading->chain_file);
	if (result == 0 && reading->count == 0)
		result = fail(reading, false, "no certificate in it");
	if (result == 0 && key_file != NULL)
		result = file_search(reading, true, false, true, with_key);
	if (result == 0 && reading->key.bytes == NULL && reading->encrypted)
		result = fail(reading, true, "the key in it is encrypted: nobody could type its passphrase");
	if (result == 0 && reading->key.bytes == NULL)
		result = fail(reading, true, "no key in it");
	return result;
}

/* ---- the key ---- */

static bool
key_is_usable_kind(const EVP_PKEY *key)
{
	int id = EVP_PKEY_get_base_id(key);

	return id == EVP_PKEY_RSA || id == EVP_PKEY_RSA_PSS || id == EVP_PKEY_EC || id == EVP_PKEY_ED25519 ||
	    id == EVP_PKEY_ED448;
}

static bool
key_belongs_to(const EVP_PKEY *key, const X509 *x509)
{
	const EVP_PKEY *public_key = X509_get0_pubkey(x509);

	return public_key != NULL && EVP_PKEY_eq(public_key, key) == 1;
}

/*
 * Does its certificate know what it signs? That takes milliseconds. To see whether the primes of RSA are prime would take half
 * a second for 4096 bits, ten for 8192, and a reload would keep everybody waiting.
 */
static int
key_try(EVP_PKEY *key, EVP_PKEY *public_key, bool *good_r)
{
	static const uint8_t text[] = "c2sd";
	uint8_t signature[KEY_SIGNATURE_MAX];
	size_t length = sizeof signature;
	EVP_MD_CTX *signing = EVP_MD_CTX_new(), *verifying = EVP_MD_CTX_new();
	int result = signing == NULL || verifying == NULL ? -ENOMEM : 0;

	*good_r = result == 0 && EVP_DigestSignInit(signing, NULL, NULL, NULL, key) == 1 &&
	    EVP_DigestSign(signing, signature, &length, text, sizeof text) == 1 &&
	    EVP_DigestVerifyInit(verifying, NULL, NULL, NULL, public_key) == 1 &&
	    EVP_DigestVerify(verifying, signature, length, text, sizeof text) == 1;
	EVP_MD_CTX_free(signing);
	EVP_MD_CTX_free(verifying);
	return result;
}

static int
key_check(struct reading *reading)
{
	bool good;
	int result;

	if (!key_is_usable_kind(reading->private_key))
		return fail(reading, true, "the key in it is of a kind that TLS has no use for");
	if (!key_belongs_to(reading->private_key, reading->chain[0])) {
		for (unsigned i = 1; i < reading->count; i++) {
			if (key_belongs_to(reading->private_key, reading->chain[i]))
				return fail(reading, false, "the key's own certificate stands in place %u, not first", i + 1);
		}
		return fail(reading, true, "the key in it does not match the certificate");
	}
	result = key_try(reading->private_key, X509_get0_pubkey(reading->chain[0]), &good);
	return result < 0 ? result : good ? 0 : fail(reading, true, "the key in it is damaged");
}

static int
key_keep(struct reading *reading)
{
	PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(reading->private_key);
	int length = info != NULL ? i2d_PKCS8_PRIV_KEY_INFO(info, NULL) : -1, result = 0;
	uint8_t *place;

	if (length <= 0)
		result = -ENOMEM;
	else if (length > (int)CERTIFICATE_KEY_MAX)
		result = fail(reading, true, "the key in it is too long");
	else
		result = vault_init(&reading->certificate->key, (size_t)length);
	if (result == 0) {
		place = reading->certificate->key.bytes;
		i2d_PKCS8_PRIV_KEY_INFO(info, &place);
	}
	PKCS8_PRIV_KEY_INFO_free(info);
	return result;
}

static int
key_take(struct reading *reading)
{
	const uint8_t *at = reading->key.bytes;
	int result;

	reading->private_key = d2i_AutoPrivateKey(NULL, &at, (long)reading->key.length);
	if (reading->private_key == NULL)
		return fail(reading, true, "the key in it is damaged, or of an unknown kind");
	result = key_check(reading);
	return result == 0 ? key_keep(reading) : result;
}

/* ---- the certificate ---- */

static bool
name_is_kept(const struct certificate *certificate, const char *text, size_t length)
{
	const char *name = certificate_name_first(certificate);

	while (name != NULL && (strlen(name) != length || strncasecmp(name, text, length) != 0))
		name = certificate_name_next(certificate, name);
	return name != NULL;
}

static void
name_keep(struct reading *reading, const unsigned char *text, int length, const char *head)
{
	struct buffer *names = &reading->certificate->names;
	const char *name;
	size_t left;

	if (length <= (int)strlen(head) || memchr(text, '\0', (size_t)length) != NULL ||
	    strncasecmp((const char *)text, head, strlen(head)) != 0)
		return;
	name = (const char *)text + strlen(head);
	left = (size_t)length - strlen(head);
	/* Often one host stands in it under names of several kinds. */
	if (name_is_kept(reading->certificate, name, left))
		return;
	buffer_append(names, name, left);
	buffer_append(names, "", 1);
}

static void
other_name_keep(struct reading *reading, const OTHERNAME *other)
{
	char oid[64];
	int type = other->value->type;

	OBJ_obj2txt(oid, sizeof oid, other->type_id, 1);
	if (strcmp(oid, OID_XMPP_ADDRESS) == 0 && type == V_ASN1_UTF8STRING)
		name_keep(reading, ASN1_STRING_get0_data(other->value->value.utf8string),
		    ASN1_STRING_length(other->value->value.utf8string), "");
	else if (strcmp(oid, OID_SRV_NAME) == 0 && type == V_ASN1_IA5STRING)
		name_keep(reading, ASN1_STRING_get0_data(other->value->value.ia5string),
		    ASN1_STRING_length(other->value->value.ia5string), SRV_SERVICE);
}

static void
common_name_keep(struct reading *reading, const X509 *leaf)
{
	const X509_NAME *subject = X509_get_subject_name(leaf);
	int index = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
	unsigned char *text = NULL;
	int length;

	if (index < 0)
		return;
	length = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, index)));
	if (length > 0)
		name_keep(reading, text, length, "");
	OPENSSL_free(text);
}

static void
names_keep(struct reading *reading)
{
	const X509 *leaf = reading->chain[0];
	GENERAL_NAMES *names = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);

	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

		if (name->type == GEN_DNS)
			name_keep(reading, ASN1_STRING_get0_data(name->d.dNSName), ASN1_STRING_length(name->d.dNSName), "");
		else if (name->type == GEN_OTHERNAME)
			other_name_keep(reading, name->d.otherName);
	}
	GENERAL_NAMES_free(names);
	if (buffer_length(&reading->certificate->names) == 0)
		common_name_keep(reading, leaf);
}

static bool
time_keep(time_t *time_r, const ASN1_TIME *time)
{
	struct tm parts;

	if (ASN1_TIME_to_tm(time, &parts) != 1)
		return false;
	*time_r = timegm(&parts);
	return true;
}

/* One that has signed itself is trusted for other reasons than its signature. */
static bool
signature_is_weak(X509 *x509)
{
	int strength = -1;
	uint32_t flags;

	if ((X509_get_extension_flags(x509) & EXFLAG_SS) != 0)
		return false;
	return X509_get_signature_info(x509, NULL, NULL, &strength, &flags) != 1 || strength < STRENGTH_MIN;
}

static int
strength_check(struct reading *reading)
{
	for (unsigned i = 0; i < reading->count; i++) {
		const EVP_PKEY *key = X509_get0_pubkey(reading->chain[i]);

		if (key == NULL || EVP_PKEY_get_security_bits(key) < STRENGTH_MIN)
			return fail(reading, false, "the key of certificate %u in it is too weak", i + 1);
		if (signature_is_weak(reading->chain[i]))
			return fail(reading, false, "certificate %u in it is signed too weakly", i + 1);
	}
	return 0;
}

static int
chain_check(struct reading *reading)
{
	struct certificate *certificate = reading->certificate;
	X509 *leaf = reading->chain[0];
	int result = strength_check(reading);

	if (result < 0)
		return result;
	if (!time_keep(&certificate->not_before, X509_get0_notBefore(leaf)) ||
	    !time_keep(&certificate->not_after, X509_get0_notAfter(leaf)))
		return fail(reading, false, "certificate 1 in it is damaged");
	for (unsigned i = 1; i < reading->count; i++) {
		if (X509_check_issued(reading->chain[i], reading->chain[i - 1]) != X509_V_OK)
			certificate->doubts |= CERTIFICATE_DISORDER;
	}
	if (X509_check_purpose(leaf, X509_PURPOSE_SSL_SERVER, 0) != 1)
		certificate->doubts |= CERTIFICATE_PURPOSE;
	names_keep(reading);
	if (buffer_length(&certificate->names) == 0)
		certificate->doubts |= CERTIFICATE_NAMELESS;
	return 0;
}

int
certificate_read(struct certificate *certificate_r, const char *chain_file, const char *key_file,
    struct certificate_error *error_r)
{
	struct reading reading = { .certificate = certificate_r, .error = error_r };
	int result;

	*certificate_r = (struct certificate){ 0 };
	*error_r = (struct certificate_error){ 0 };
	wiping_set(true);
	/* What a key or a certificate is must not depend on a file that somebody else has written. */
	OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
	result = files_search(&reading, chain_file, key_file);
	if (result == 0)
		result = key_take(&reading);
	if (result == 0)
		result = chain_check(&reading);
	if (result == 0 && (certificate_r->chain.failed || certificate_r->names.failed))
		result = -ENOMEM;
	error_r->of_key = error_r->of_key && key_file != NULL;
	EVP_PKEY_free(reading.private_key);
	for (unsigned i = 0; i < reading.count; i++)
		X509_free(reading.chain[i]);
	vault_deinit(&reading.chain_file);
	vault_deinit(&reading.key_file);
	ERR_clear_error();
	wiping_set(false);
	return result;
}

void
certificate_deinit(struct certificate *certificate)
{
	buffer_deinit(&certificate->chain);
	buffer_deinit(&certificate->names);
	vault_deinit(&certificate->key);
	*certificate = (struct certificate){ 0 };
}

const char *
certificate_name_first(const struct certificate *certificate)
{
	return buffer_length(&certificate->names) > 0 ? (const char *)buffer_bytes(&certificate->names) : NULL;
}

const char *
certificate_name_next(const struct certificate *certificate, const char *name)
{
	const char *end = (const char *)buffer_bytes(&certificate->names) + buffer_length(&certificate->names);

	name += strlen(name) + 1;
	return name < end ? name : NULL;
}

static bool
name_covers(const char *name, const char *host)
{
	const char *rest = strchr(host, '.');

	if (strncmp(name, "*.", 2) == 0)
		return rest != NULL && rest > host && strcasecmp(name + 1, rest) == 0;
	return strcasecmp(name, host) == 0;
}

bool
certificate_covers(const struct certificate *certificate, const char *host)
{
	const char *name = certificate_name_first(certificate);
	char *ascii = NULL;

	/* dNSName has what the DNS has (RFC 5890 2.3.2.1), xmppAddr what people read. */
	if (idna_to_ascii_8z(host, &ascii, 0) != IDNA_SUCCESS)
		ascii = NULL;
	while (name != NULL && !name_covers(name, host) && (ascii == NULL || !name_covers(name, ascii)))
		name = certificate_name_next(certificate, name);
	free(ascii);
	return name != NULL;
}

bool
certificate_equals(const struct certificate *one, const struct certificate *other)
{
	size_t length = buffer_length(&one->chain);

	return length == buffer_length(&other->chain) && one->key.size == other->key.size &&
	    memcmp(buffer_bytes(&one->chain), buffer_bytes(&other->chain), length) == 0 &&
	    memcmp(one->key.bytes, other->key.bytes, one->key.size) == 0;
}

const char *
certificate_not_after(const struct certificate *certificate, char text_r[CERTIFICATE_TIME_SIZE])
{
	struct tm parts;

	strftime(text_r, CERTIFICATE_TIME_SIZE, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&certificate->not_after, &parts));
	return text_r;
}

long
certificate_days_left(const struct certificate *certificate, time_t now)
{
	long long seconds = (long long)certificate->not_after - (long long)now, day = 24L * 3600;

	return (long)(seconds >= 0 ? seconds / day : -((-seconds + day - 1) / day));
}

unsigned
certificate_doubts(const struct certificate *certificate, time_t now, unsigned expiry_days)
{
	unsigned doubts = certificate->doubts;

	if (now > certificate->not_after)
		doubts |= CERTIFICATE_EXPIRED;
	else if (certificate_days_left(certificate, now) < (long)expiry_days)
		doubts |= CERTIFICATE_EXPIRES_SOON;
	if (now < certificate->not_before)
		doubts |= CERTIFICATE_NOT_YET;
	return doubts;
}

static const struct {
	enum certificate_doubt doubt;
	const char *name, *text;
} doubts_said[] = {
	{ CERTIFICATE_DISORDER, "disorder", "the certificates in it are not in order, each issued by the next one" },
	{ CERTIFICATE_PURPOSE, "purpose", "the certificate in it is not for servers" },
	{ CERTIFICATE_EXPOSED, "exposed", "everybody on this machine can read its key" },
	{ CERTIFICATE_NAMELESS, "nameless", "the certificate in it names no host" },
	{ CERTIFICATE_EXPIRED, "expired", "the certificate in it has expired" },
	{ CERTIFICATE_EXPIRES_SOON, "expires-soon", "the certificate in it expires soon" },
	{ CERTIFICATE_NOT_YET, "not-yet-valid", "the certificate in it is not valid yet" },
};

static size_t
doubt_index(enum certificate_doubt doubt)
{
	size_t i = 0;

	while (doubts_said[i].doubt != doubt)
		i++;
	return i;
}

const char *
certificate_doubt_name(enum certificate_doubt doubt)
{
	return doubts_said[doubt_index(doubt)].name;
}

const char *
certificate_doubt_text(enum certificate_doubt doubt)
{
	return doubts_said[doubt_index(doubt)].text;
}
