/*
 * sasl_condition: the errors of SASL (RFC 6120 6.5), and what is said of them to who uses the client. Workers answer some
 * themselves and pass others on, and the embedded session manager answers its own.
 */
#ifndef C2SD_COMMON_SASL_CONDITION_H
#define C2SD_COMMON_SASL_CONDITION_H

#include <stddef.h>

enum sasl_condition {
	SASL_FINE = 0,
	SASL_ABORTED,			/* it wanted it so */
	SASL_ENCRYPTION_REQUIRED,	/* PLAIN where it is not offered */
	SASL_INCORRECT_ENCODING,	/* no base64 */
	SASL_INVALID_AUTHZID,		/* it wants to act for another account */
	SASL_INVALID_MECHANISM,
	SASL_MALFORMED_REQUEST,		/* no message of the mechanism; a response that nobody asked for */
	SASL_MECHANISM_TOO_WEAK,
	SASL_NOT_AUTHORIZED,
	SASL_TEMPORARY_AUTH_FAILURE,	/* not its fault */
	/* What only session managers say. */
	SASL_ACCOUNT_DISABLED,
	SASL_CREDENTIALS_EXPIRED,
	SASL_CONDITION_COUNT,
};

/* The element's name in urn:ietf:params:xml:ns:xmpp-sasl, for instance "not-authorized"; of SASL_FINE "". */
const char *sasl_condition_name(enum sasl_condition condition);

/* The same in words, in English: some clients show nothing else. */
const char *sasl_condition_text(enum sasl_condition condition);

/* The condition of that name; SASL_FINE: there is none. */
enum sasl_condition sasl_condition_find(const char *name, size_t length);

#endif
