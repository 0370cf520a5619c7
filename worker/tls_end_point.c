#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <string.h>

#include "worker/tls.h"
#include "worker/tls_openssl.h"

_Static_assert(TLS_END_POINT_MAX >= EVP_MAX_MD_SIZE, "any digest fits");

/* RFC 5929 4.1: the digest of its signature, but SHA-256 for MD5 and SHA-1; nothing for signatures without one. */
static bool
certificate_digest(X509 *certificate, uint8_t bytes_r[TLS_END_POINT_MAX], size_t *length_r)
{
	unsigned length = 0;
	int digest;

	*length_r = 0;
	if (certificate == NULL || X509_get_signature_info(certificate, &digest, NULL, NULL, NULL) != 1 || digest == NID_undef)
		return true;
	if (digest == NID_md5 || digest == NID_sha1)
		digest = NID_sha256;
	if (EVP_get_digestbynid(digest) == NULL)
		return true;
	if (X509_digest(certificate, EVP_get_digestbynid(digest), bytes_r, &length) != 1)
		return false;
	*length_r = length;
	return true;
}

bool
tls_end_point_get(SSL *ssl, uint8_t *bytes_r, size_t *length_r)
{
	void *bytes = NULL;

	*length_r = 0;
	if (SSL_session_reused(ssl) != 1)
		return certificate_digest(SSL_get_certificate(ssl), bytes_r, length_r);
	if (SSL_SESSION_get0_ticket_appdata(SSL_get_session(ssl), &bytes, length_r) != 1 || bytes == NULL ||
	    *length_r > TLS_END_POINT_MAX)
		*length_r = 0;
	else
		memcpy(bytes_r, bytes, *length_r);
	return true;
}

/* A ticket is made. That of a resumed connection has what the one before it had. */
static int
on_ticket(SSL *ssl, void *argument)
{
	uint8_t bytes[TLS_END_POINT_MAX];
	size_t length;

	(void)argument;
	return tls_end_point_get(ssl, bytes, &length) &&
	    SSL_SESSION_set1_ticket_appdata(SSL_get_session(ssl), bytes, length) == 1;
}

bool
tls_end_point_keep(SSL_CTX *ssl_context)
{
	return SSL_CTX_set_session_ticket_cb(ssl_context, on_ticket, NULL, NULL) == 1;
}
