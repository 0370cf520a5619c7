/*
 * exchange: one attempt of a guest to log in with SASL (RFC 4422, RFC 6120 6): which mechanisms there are, and what is said
 * back and forth, in base64. The elements around it are negotiation's.
 *
 * An account is named by the user name alone, prepared with SASLprep (RFC 5802, RFC 4616) and then nodeprep; an authzid
 * must be that account's address, if there is any. Nobody learns from an answer, or from the time that it takes, whether
 * an account exists.
 */
#ifndef C2SD_SESSIOND_EXCHANGE_H
#define C2SD_SESSIOND_EXCHANGE_H

#include <stdbool.h>

#include "common/buffer.h"

struct exchange;
struct guest;
struct sessiond;

enum exchange_result {
	EXCHANGE_PASSED = 0,
	EXCHANGE_CONTINUES,
	/* These are the conditions of RFC 6120 6.5. */
	EXCHANGE_ABORTED,
	EXCHANGE_ENCRYPTION_REQUIRED,
	EXCHANGE_INCORRECT_ENCODING,
	EXCHANGE_INVALID_AUTHZID,
	EXCHANGE_INVALID_MECHANISM,
	EXCHANGE_MALFORMED_REQUEST,
	EXCHANGE_MECHANISM_TOO_WEAK,
	EXCHANGE_NOT_AUTHORIZED,
	EXCHANGE_TEMPORARY_AUTH_FAILURE,
};

/*
 * The name of the n-th mechanism that this guest is offered, the strongest first; NULL: there are no more. None for those
 * without version 1.0: they were told of none.
 */
const char *exchange_offer(const struct sessiond *sd, const struct guest *guest, unsigned n);

/*
 * Begin one, in place of any before. `text`: the initial response as it stands in <auth/>, "" for none. What `out` gets is
 * the text of the challenge or of the success. guest->exchange lives while EXCHANGE_CONTINUES; with EXCHANGE_PASSED
 * guest->account is set. Without memory EXCHANGE_TEMPORARY_AUTH_FAILURE.
 */
enum exchange_result exchange_begin(struct sessiond *sd, struct guest *guest, const char *mechanism, const char *text,
    struct buffer *out);

/* The same for <response/>; without an exchange EXCHANGE_MALFORMED_REQUEST. */
enum exchange_result exchange_respond(struct sessiond *sd, struct guest *guest, const char *text, struct buffer *out);

/* Give up what is under way, if anything. */
void exchange_drop(struct guest *guest);

/* NULL is none. */
void exchange_free(struct exchange *exchange);

/* The element's name in urn:ietf:params:xml:ns:xmpp-sasl; of a failure only. */
const char *exchange_condition(enum exchange_result result);

/* The same in words, in English; of a failure only. */
const char *exchange_text(enum exchange_result result);

#endif
