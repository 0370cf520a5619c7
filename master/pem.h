/*
 * pem: what stands in a file in textual form (RFC 7468): certificates and keys, one behind the other, with any text between.
 *
 * It is decoded where it stands, so that no second copy of a key comes into being: OpenSSL's own reader leaves some in the
 * heap. Pure: no descriptor, no log.
 */
#ifndef C2SD_MASTER_PEM_H
#define C2SD_MASTER_PEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum pem_type {
	PEM_CERTIFICATE,	/* CERTIFICATE, X509 CERTIFICATE */
	PEM_KEY,		/* PRIVATE KEY, and the older forms: RSA PRIVATE KEY, EC PRIVATE KEY */
	PEM_ENCRYPTED_KEY,	/* a key that wants a passphrase, in the new form or the old one */
	PEM_OTHER,		/* anything else: parameters, requests, keys of another kind */
};

enum pem_result {
	PEM_FOUND = 0,
	PEM_END,	/* there is nothing more */
	PEM_BROKEN,	/* it has no end, or is not base64 */
};

struct pem {
	enum pem_type type;
	const uint8_t *bytes;	/* DER, in the text's place; NULL where the type has none to decode */
	size_t length;
};

/* What is left of a text; both are the caller's, who sets them to all of it before the first call. */
struct pem_text {
	uint8_t *at;
	size_t left;
};

/* The next one. BROKEN: `type` says what it would have been; the text goes on behind its first line. */
enum pem_result pem_next(struct pem_text *text, struct pem *pem_r);

#endif
