#include "ctl/selfsigned.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <idna.h>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define HOST_MAX 253		/* RFC 1035 2.3.4, as text */
#define COMMON_NAME_MAX 64	/* RFC 5280, ub-common-name */
#define SERIAL_BYTES 16
#define HOUR 3600
#define DAY (24 * HOUR)

#define ID_ON_DNS_SRV "1.3.6.1.5.5.7.8.7"	/* RFC 4985 */
#define SRV_CLIENT "_xmpp-client."

/* ---- names ---- */

static bool
is_address(const char *host)
{
	struct in6_addr address;

	return inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1;
}

static bool
is_name(const char *host)
{
	size_t length = strlen(host);

	if (length == 0 || length > HOST_MAX || host[0] == '.' || strstr(host, "..") != NULL)
		return false;
	return host[strspn(host, "abcdefghijklmnopqrstuvwxyz0123456789-_.")] == '\0';
}

char *
selfsigned_host(const char *host)
{
	char *ascii = NULL, *end;

	if (is_address(host))
		return strdup(host);
	if (idna_to_ascii_8z(host, &ascii, 0) != IDNA_SUCCESS)
		return NULL;
	for (end = ascii; *end != '\0'; end++)
		*end = (char)tolower((unsigned char)*end);
	if (end > ascii && end[-1] == '.')
		end[-1] = '\0';
	if (!is_name(ascii)) {
		free(ascii);
		return NULL;
	}
	return ascii;
}

/* Takes the name, which may be NULL, also when it fails. */
static int
names_push(GENERAL_NAMES *names, GENERAL_NAME *name)
{
	if (name != NULL && sk_GENERAL_NAME_push(names, name) > 0)
		return 0;
	GENERAL_NAME_free(name);
	return -1;
}

static ASN1_IA5STRING *
ia5_new(const char *text)
{
	ASN1_IA5STRING *string = ASN1_IA5STRING_new();

	if (string != NULL && ASN1_STRING_set(string, text, -1) == 0) {
		ASN1_IA5STRING_free(string);
		return NULL;
	}
	return string;
}

static int
names_add_dns(GENERAL_NAMES *names, const char *host)
{
	GENERAL_NAME *name = GENERAL_NAME_new();
	ASN1_IA5STRING *text = ia5_new(host);

	if (name == NULL || text == NULL) {
		ASN1_IA5STRING_free(text);
		GENERAL_NAME_free(name);
		return -1;
	}
	GENERAL_NAME_set0_value(name, GEN_DNS, text);
	return names_push(names, name);
}

static int
names_add_service(GENERAL_NAMES *names, const char *host)
{
	char service[sizeof SRV_CLIENT + HOST_MAX];
	GENERAL_NAME *name = GENERAL_NAME_new();
	ASN1_OBJECT *type = OBJ_txt2obj(ID_ON_DNS_SRV, 1);
	ASN1_TYPE *value = ASN1_TYPE_new();
	ASN1_IA5STRING *text;

	snprintf(service, sizeof service, "%s%s", SRV_CLIENT, host);
	text = ia5_new(service);
	if (name == NULL || type == NULL || value == NULL || text == NULL)
		goto fail;
	ASN1_TYPE_set(value, V_ASN1_IA5STRING, text);
	text = NULL;
	if (GENERAL_NAME_set0_othername(name, type, value) == 1)
		return names_push(names, name);
fail:
	ASN1_IA5STRING_free(text);
	ASN1_TYPE_free(value);
	ASN1_OBJECT_free(type);
	GENERAL_NAME_free(name);
	return -1;
}

static int
names_add_address(GENERAL_NAMES *names, const char *host)
{
	GENERAL_NAME *name = GENERAL_NAME_new();
	ASN1_OCTET_STRING *address = a2i_IPADDRESS(host);

	if (name == NULL || address == NULL) {
		ASN1_OCTET_STRING_free(address);
		GENERAL_NAME_free(name);
		return -1;
	}
	GENERAL_NAME_set0_value(name, GEN_IPADD, address);
	return names_push(names, name);
}

static int
names_add(GENERAL_NAMES *names, const char *host)
{
	if (is_address(host))
		return names_add_address(names, host);
	return names_add_dns(names, host) < 0 || names_add_service(names, host) < 0 ? -1 : 0;
}

/* ---- the certificate ---- */

/* Random: two that were made for the same names differ (RFC 5280 4.1.2.2: positive, at most 20 octets). */
static int
serial_set(X509 *certificate)
{
	uint8_t bytes[SERIAL_BYTES];
	BIGNUM *number;
	int result;

	if (RAND_bytes(bytes, sizeof bytes) != 1)
		return -1;
	bytes[0] = (bytes[0] & 0x7f) | 0x40;
	number = BN_bin2bn(bytes, sizeof bytes, NULL);
	result = number != NULL && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) != NULL ? 0 : -1;
	BN_free(number);
	return result;
}

/* Never empty (RFC 6120 13.7.1.1); what counts are the alternative names. */
static int
subject_set(X509 *certificate, const char *host)
{
	X509_NAME *name = X509_get_subject_name(certificate);
	const char *common = strlen(host) <= COMMON_NAME_MAX ? host : "c2sd";

	if (X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8, (const uint8_t *)common, -1, -1, 0) != 1)
		return -1;
	return X509_set_issuer_name(certificate, name) == 1 ? 0 : -1;
}

static int
alternatives_set(X509 *certificate, char *const *hosts, size_t count)
{
	GENERAL_NAMES *names = GENERAL_NAMES_new();
	int result = names == NULL ? -1 : 0;

	for (size_t i = 0; i < count && result == 0; i++)
		result = names_add(names, hosts[i]);
	if (result == 0 && X509_add1_ext_i2d(certificate, NID_subject_alt_name, names, 0, 0) != 1)
		result = -1;
	GENERAL_NAMES_free(names);
	return result;
}

static int
extension_add(X509 *certificate, int nid, const char *value)
{
	X509V3_CTX context;
	X509_EXTENSION *extension;
	int result;

	X509V3_set_ctx_nodb(&context);
	X509V3_set_ctx(&context, certificate, certificate, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	if (extension == NULL)
		return -1;
	result = X509_add_ext(certificate, extension, -1) == 1 ? 0 : -1;
	X509_EXTENSION_free(extension);
	return result;
}

static int
certificate_fill(X509 *certificate, EVP_PKEY *key, char *const *hosts, size_t count, unsigned days)
{
	if (X509_set_version(certificate, X509_VERSION_3) != 1 || X509_set_pubkey(certificate, key) != 1)
		return -1;
	if (X509_gmtime_adj(X509_getm_notBefore(certificate), -HOUR) == NULL ||
	    X509_gmtime_adj(X509_getm_notAfter(certificate), (long)days * DAY - HOUR) == NULL)
		return -1;
	if (serial_set(certificate) < 0 || subject_set(certificate, hosts[0]) < 0 ||
	    alternatives_set(certificate, hosts, count) < 0)
		return -1;
	if (extension_add(certificate, NID_basic_constraints, "critical,CA:FALSE") < 0 ||
	    extension_add(certificate, NID_key_usage, "critical,digitalSignature") < 0 ||
	    extension_add(certificate, NID_ext_key_usage, "serverAuth") < 0 ||
	    extension_add(certificate, NID_subject_key_identifier, "hash") < 0)
		return -1;
	return X509_sign(certificate, key, EVP_sha256()) > 0 ? 0 : -1;
}

/* ---- as text ---- */

static char *
bio_text(BIO *bio)
{
	char *bytes;
	long length = BIO_get_mem_data(bio, &bytes);

	return length <= 0 ? NULL : strndup(bytes, (size_t)length);
}

static char *
certificate_text(const X509 *certificate)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *text = bio != NULL && PEM_write_bio_X509(bio, certificate) == 1 ? bio_text(bio) : NULL;

	BIO_free(bio);
	return text;
}

static char *
key_text(const EVP_PKEY *key)
{
	BIO *bio = BIO_new(BIO_s_secmem());
	char *text = bio != NULL && PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1 ?
	    bio_text(bio) : NULL;

	BIO_free(bio);
	return text;
}

static int
certificate_describe(struct selfsigned *made, const X509 *certificate)
{
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned length;
	struct tm expires;

	if (X509_digest(certificate, EVP_sha256(), digest, &length) != 1 ||
	    ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &expires) != 1)
		return -1;
	for (unsigned i = 0; i < length && i * 3 + 3 <= sizeof made->print; i++)
		sprintf(made->print + i * 3, i + 1 == length ? "%02X" : "%02X:", digest[i]);
	strftime(made->expires, sizeof made->expires, "%Y-%m-%d", &expires);
	return 0;
}

int
selfsigned_make(struct selfsigned *made_r, char *const *hosts, size_t count, unsigned days)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *certificate = X509_new();
	int result = -1;

	memset(made_r, 0, sizeof *made_r);
	if (key != NULL && certificate != NULL && certificate_fill(certificate, key, hosts, count, days) == 0 &&
	    certificate_describe(made_r, certificate) == 0) {
		made_r->chain = certificate_text(certificate);
		made_r->key = key_text(key);
		if (made_r->chain != NULL && made_r->key != NULL)
			result = 0;
	}
	X509_free(certificate);
	EVP_PKEY_free(key);
	return result;
}

void
selfsigned_free(struct selfsigned *made)
{
	if (made->key != NULL)
		explicit_bzero(made->key, strlen(made->key));
	free(made->key);
	free(made->chain);
	made->key = made->chain = NULL;
}
