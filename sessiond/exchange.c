#include "sessiond/exchange.h"

#include <bsd/stdlib.h>
#include <bsd/string.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <stringprep.h>

#include "common/base64.h"
#include "sessiond/account.h"
#include "sessiond/jid.h"
#include "sessiond/sessiond.h"

/* 24 characters: nobody guesses it, and it never comes again. */
#define NONCE_BYTES 18
#define NONCE_SIZE (NONCE_BYTES / 3 * 4 + 1)

/* Of what a client says in one step, before base64 is read. */
#define TEXT_MAX (SCRAM_MESSAGE_MAX / 3 * 4)

struct mechanism {
	const char *name;
	bool plain;
	bool plus;
	enum scram_hash hash;
};

/* RFC 5802 section 4: a name that ends in -PLUS binds the channel. */
static const struct mechanism mechanisms[] = {
	{ "SCRAM-SHA-256-PLUS", false, true, SCRAM_SHA256 },
	{ "SCRAM-SHA-1-PLUS", false, true, SCRAM_SHA1 },
	{ "SCRAM-SHA-256", false, false, SCRAM_SHA256 },
	{ "SCRAM-SHA-1", false, false, SCRAM_SHA1 },
	{ "PLAIN", true, false, 0 },
};

#define MECHANISM_COUNT (sizeof mechanisms / sizeof mechanisms[0])

struct exchange {
	const struct mechanism *mechanism;
	bool asked;			/* SCRAM: the client's first message is answered */
	struct scram scram;
	struct scram_keys keys;
	enum connection_binding binding;
	char account[JID_SIZE];
	char nonce[NONCE_SIZE];		/* our part; "": not yet */
	char *first;			/* the client's first message, in base64; NULL: it has not come */
};

static bool
is_offered(const struct sessiond *sd, const struct guest *guest, const struct mechanism *mechanism)
{
	if (!guest->modern)
		return false;
	if (mechanism->plain)
		return guest->connection.tls || sd->settings->plain_always;
	return !mechanism->plus || connection_can_bind(&guest->connection);
}

const char *
exchange_offer(const struct sessiond *sd, const struct guest *guest, unsigned n)
{
	for (unsigned i = 0; i < MECHANISM_COUNT; i++) {
		if (is_offered(sd, guest, &mechanisms[i]) && n-- == 0)
			return mechanisms[i].name;
	}
	return NULL;
}

void
exchange_free(struct exchange *exchange)
{
	if (exchange == NULL)
		return;
	scram_deinit(&exchange->scram);
	free(exchange->first);
	explicit_bzero(exchange, sizeof *exchange);
	free(exchange);
}

void
exchange_drop(struct guest *guest)
{
	exchange_free(guest->exchange);
	guest->exchange = NULL;
}

/* The account that this user name means on the guest's host. False: no account can be called so. */
static bool
account_name(const struct guest *guest, const char *username, char account_r[JID_SIZE])
{
	char prepared[JID_PART_SIZE];
	struct jid jid = { 0 };

	if (strlcpy(prepared, username, sizeof prepared) >= sizeof prepared ||
	    stringprep(prepared, sizeof prepared, 0, stringprep_saslprep) != STRINGPREP_OK ||
	    !jid_prepare_local(jid.local, prepared))
		return false;
	strlcpy(jid.domain, guest->host, sizeof jid.domain);
	jid_write_bare(&jid, account_r);
	return true;
}

/* RFC 6120 6.3.8: nobody may act for another one here. */
static bool
is_own_address(const char *authzid, const char *account)
{
	struct jid jid;
	char address[JID_SIZE];

	if (authzid == NULL || *authzid == '\0')
		return true;
	if (!jid_parse(&jid, authzid))
		return false;
	jid_write_full(&jid, address);
	return strcmp(address, account) == 0;
}

static int
pass(struct guest *guest, const char *account)
{
	free(guest->account);
	guest->account = strdup(account);
	return guest->account == NULL ? SASL_TEMPORARY_AUTH_FAILURE : EXCHANGE_PASSED;
}

/* ---- PLAIN: RFC 4616 ---- */

/* [authzid] NUL authcid NUL passwd; a zero stands behind the message. */
static int
plain_step(struct sessiond *sd, struct guest *guest, const char *message, size_t length)
{
	const char *username = memchr(message, '\0', length);
	const char *password = username == NULL ? NULL :
	    memchr(username + 1, '\0', length - (size_t)(username + 1 - message));
	char account[JID_SIZE];

	if (password == NULL || strlen(password + 1) != length - (size_t)(password + 1 - message) ||
	    username[1] == '\0' || password[1] == '\0')
		return SASL_MALFORMED_REQUEST;
	if (!account_name(guest, username + 1, account))
		return SASL_NOT_AUTHORIZED;
	if (!is_own_address(message, account))
		return SASL_INVALID_AUTHZID;
	switch (account_verify(sd, account, password + 1)) {
	case ACCOUNT_DONE:
		return pass(guest, account);
	case ACCOUNT_BROKEN:
		return SASL_TEMPORARY_AUTH_FAILURE;
	case ACCOUNT_EXISTS:
	case ACCOUNT_UNKNOWN:
	case ACCOUNT_BAD_PASSWORD:
	case ACCOUNT_REFUSED:
		break;
	}
	return SASL_NOT_AUTHORIZED;
}

/* ---- SCRAM ---- */

static int
result_of(int result)
{
	if (result < 0)
		return SASL_TEMPORARY_AUTH_FAILURE;
	switch ((enum scram_result)result) {
	case SCRAM_GOOD:
		return EXCHANGE_CONTINUES;
	case SCRAM_MALFORMED:
	case SCRAM_EXTENSION:
	case SCRAM_NOT_OF_MECHANISM:
		return SASL_MALFORMED_REQUEST;
	case SCRAM_DOWNGRADED:
		return SASL_MECHANISM_TOO_WEAK;
	case SCRAM_OTHER_CHANNEL:
	case SCRAM_OTHER_NONCE:
	case SCRAM_REFUSED:
		break;
	}
	return SASL_NOT_AUTHORIZED;
}

static int
scram_check_names(const struct guest *guest, struct exchange *exchange)
{
	const struct scram *scram = &exchange->scram;

	if (scram->binding_type != NULL &&
	    !connection_find(&guest->connection, scram->binding_type, &exchange->binding))
		return SASL_MALFORMED_REQUEST;
	if (!account_name(guest, scram->username, exchange->account))
		return SASL_NOT_AUTHORIZED;
	return is_own_address(scram->authzid, exchange->account) ? EXCHANGE_CONTINUES : SASL_INVALID_AUTHZID;
}

/* False: no memory. */
static bool
nonce_make(struct exchange *exchange)
{
	unsigned char random[NONCE_BYTES];
	struct buffer nonce = { 0 };
	bool made;

	arc4random_buf(random, sizeof random);
	base64_encode(&nonce, random, sizeof random);
	buffer_append(&nonce, "", 1);
	made = !nonce.failed && buffer_length(&nonce) == sizeof exchange->nonce;
	if (made)
		memcpy(exchange->nonce, buffer_bytes(&nonce), sizeof exchange->nonce);
	buffer_deinit(&nonce);
	return made;
}

/* One that is restored has its nonce. */
static int
scram_answer_first(struct exchange *exchange, struct buffer *out)
{
	exchange->asked = true;
	if (exchange->nonce[0] == '\0' && !nonce_make(exchange))
		return SASL_TEMPORARY_AUTH_FAILURE;
	return result_of(scram_write_first(&exchange->scram, &exchange->keys, exchange->nonce, out));
}

static int
scram_step_first(struct sessiond *sd, struct guest *guest, const char *message, size_t length, struct buffer *out)
{
	struct exchange *exchange = guest->exchange;
	int result = result_of(scram_read_first(&exchange->scram, message, length));

	if (result == EXCHANGE_CONTINUES)
		result = scram_check_names(guest, exchange);
	if (result != EXCHANGE_CONTINUES)
		return result;
	if (account_read_keys(sd, exchange->account, exchange->mechanism->hash, &exchange->keys) == ACCOUNT_BROKEN)
		return SASL_TEMPORARY_AUTH_FAILURE;
	return scram_answer_first(exchange, out);
}

static int
scram_step_final(struct guest *guest, const char *message, size_t length, struct buffer *out)
{
	struct exchange *exchange = guest->exchange;
	const unsigned char *binding = guest->connection.bindings[exchange->binding].bytes;
	size_t binding_length = guest->connection.bindings[exchange->binding].length;
	int result;

	result = result_of(scram_read_final(&exchange->scram, &exchange->keys, binding, binding_length, message, length));
	if (result != EXCHANGE_CONTINUES)
		return result;
	scram_write_final(&exchange->scram, out);
	return pass(guest, exchange->account);
}

/* ---- any ---- */

static int
step(struct sessiond *sd, struct guest *guest, const char *message, size_t length, struct buffer *out)
{
	if (guest->exchange->mechanism->plain)
		return plain_step(sd, guest, message, length);
	if (!guest->exchange->asked)
		return scram_step_first(sd, guest, message, length, out);
	return scram_step_final(guest, message, length, out);
}

/* "=" is a message of no length (RFC 6120 6.4.2), which none of these mechanisms has. */
static int
step_decoded(struct sessiond *sd, struct guest *guest, const char *text, struct buffer *out)
{
	struct buffer message = { .secret = true };
	struct buffer answer = { 0 };
	size_t length = strcmp(text, "=") == 0 ? 0 : strlen(text);
	int result = SASL_INCORRECT_ENCODING;

	if (length > TEXT_MAX) {
		result = SASL_MALFORMED_REQUEST;
	} else if (base64_decode(&message, text, length)) {
		length = buffer_length(&message);
		buffer_append(&message, "", 1);
		if (!message.failed)
			result = step(sd, guest, (const char *)buffer_bytes(&message), length, &answer);
		base64_encode(out, buffer_bytes(&answer), buffer_length(&answer));
	}
	if (message.failed || answer.failed || out->failed)
		result = SASL_TEMPORARY_AUTH_FAILURE;
	buffer_deinit(&message);
	buffer_deinit(&answer);
	return result;
}

/* A password is never kept. */
static bool
keep_first(struct exchange *exchange, const char *text)
{
	if (exchange->mechanism->plain || exchange->first != NULL)
		return true;
	exchange->first = strdup(text);
	return exchange->first != NULL;
}

static int
exchange_step(struct sessiond *sd, struct guest *guest, const char *text, struct buffer *out)
{
	int result = SASL_TEMPORARY_AUTH_FAILURE;

	if (keep_first(guest->exchange, text))
		result = step_decoded(sd, guest, text, out);
	if (result != EXCHANGE_CONTINUES)
		exchange_drop(guest);
	return result;
}

static const struct mechanism *
mechanism_find(const char *name)
{
	for (unsigned i = 0; name != NULL && i < MECHANISM_COUNT; i++) {
		if (strcmp(mechanisms[i].name, name) == 0)
			return &mechanisms[i];
	}
	return NULL;
}

int
exchange_begin(struct sessiond *sd, struct guest *guest, const char *mechanism, const char *text, struct buffer *out)
{
	const struct mechanism *found = mechanism_find(mechanism);

	exchange_drop(guest);
	guest->interrupted = false;
	if (found == NULL || !is_offered(sd, guest, found))
		return found != NULL && found->plain && guest->modern ? SASL_ENCRYPTION_REQUIRED :
		    SASL_INVALID_MECHANISM;
	guest->exchange = calloc(1, sizeof *guest->exchange);
	if (guest->exchange == NULL)
		return SASL_TEMPORARY_AUTH_FAILURE;
	guest->exchange->mechanism = found;
	scram_init(&guest->exchange->scram, found->hash, found->plus, connection_can_bind(&guest->connection));
	/* The client begins in all of these: RFC 6120 6.4.2. */
	return *text == '\0' ? EXCHANGE_CONTINUES : exchange_step(sd, guest, text, out);
}

void
exchange_trace(const struct exchange *exchange, struct exchange_trace *trace_r)
{
	trace_r->mechanism = exchange->mechanism->name;
	trace_r->first = exchange->first == NULL ? "" : exchange->first;
	trace_r->nonce = exchange->nonce;
}

bool
exchange_restore(struct sessiond *sd, struct guest *guest, const struct exchange_trace *trace)
{
	struct buffer said = { 0 };
	int result;

	result = exchange_begin(sd, guest, trace->mechanism, "", &said);
	if (result == EXCHANGE_CONTINUES && trace->first[0] != '\0' && !guest->exchange->mechanism->plain) {
		strlcpy(guest->exchange->nonce, trace->nonce, sizeof guest->exchange->nonce);
		result = exchange_step(sd, guest, trace->first, &said);
	}
	buffer_deinit(&said);
	if (result != EXCHANGE_CONTINUES)
		exchange_drop(guest);
	return result == EXCHANGE_CONTINUES;
}

int
exchange_respond(struct sessiond *sd, struct guest *guest, const char *text, struct buffer *out)
{
	/* The fault of neither. */
	if (guest->exchange == NULL && guest->interrupted)
		return SASL_TEMPORARY_AUTH_FAILURE;
	if (guest->exchange == NULL)
		return SASL_MALFORMED_REQUEST;
	return exchange_step(sd, guest, text, out);
}
