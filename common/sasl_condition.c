#include "common/sasl_condition.h"

#include <string.h>

static const struct {
	const char *name;
	const char *text;
} conditions[SASL_CONDITION_COUNT] = {
	[SASL_FINE] = { "", "" },
	[SASL_ABORTED] = { "aborted", "The login was broken off." },
	[SASL_ENCRYPTION_REQUIRED] = { "encryption-required", "Passwords are taken inside TLS only." },
	[SASL_INCORRECT_ENCODING] = { "incorrect-encoding", "What the client has sent is not in base64." },
	[SASL_INVALID_AUTHZID] = { "invalid-authzid", "Nobody can act for another account here." },
	[SASL_INVALID_MECHANISM] = { "invalid-mechanism", "This way to log in is not offered." },
	[SASL_MALFORMED_REQUEST] = { "malformed-request", "What the client has sent is no login." },
	[SASL_MECHANISM_TOO_WEAK] = { "mechanism-too-weak", "This way to log in is not safe enough." },
	[SASL_NOT_AUTHORIZED] = { "not-authorized", "Wrong name or password." },
	[SASL_TEMPORARY_AUTH_FAILURE] = { "temporary-auth-failure", "The server has a problem. Try again later." },
	[SASL_ACCOUNT_DISABLED] = { "account-disabled", "This account is disabled." },
	[SASL_CREDENTIALS_EXPIRED] = { "credentials-expired", "This password has expired." },
};

const char *
sasl_condition_name(enum sasl_condition condition)
{
	return conditions[condition].name;
}

const char *
sasl_condition_text(enum sasl_condition condition)
{
	return conditions[condition].text;
}

enum sasl_condition
sasl_condition_find(const char *name, size_t length)
{
	for (unsigned i = SASL_FINE + 1; i < SASL_CONDITION_COUNT; i++) {
		if (strlen(conditions[i].name) == length && memcmp(conditions[i].name, name, length) == 0)
			return (enum sasl_condition)i;
	}
	return SASL_FINE;
}
