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
#include "common/sasl_condition.h"

struct exchange;
struct guest;
struct sessiond;

/* What a step comes to: the condition with which it has failed, or one of these two. */
enum exchange_result {
	EXCHANGE_CONTINUES = SASL_FINE,
	EXCHANGE_PASSED = SASL_CONDITION_COUNT,
};

/*
 * The name of the n-th mechanism that this guest is offered, the strongest first; NULL: there are no more. None for those
 * without version 1.0: they were told of none.
 */
const char *exchange_offer(const struct sessiond *sd, const struct guest *guest, unsigned n);

/*
 * Begin one, in place of any before. `text`: the initial response as it stands in <auth/>, "" for none. What `out` gets is
 * the text of the challenge or of the success. guest->exchange lives while EXCHANGE_CONTINUES; with EXCHANGE_PASSED
 * guest->account is set. Without memory SASL_TEMPORARY_AUTH_FAILURE.
 */
int exchange_begin(struct sessiond *sd, struct guest *guest, const char *mechanism, const char *text,
    struct buffer *out);

/* The same for <response/>; without an exchange SASL_MALFORMED_REQUEST. */
int exchange_respond(struct sessiond *sd, struct guest *guest, const char *text, struct buffer *out);

/*
 * What a process after this one needs to go on with it (recovery.h): nothing of it is secret. `first`: the client's first
 * message, as it came, "" when there was none yet; `nonce`: our part. Valid while the exchange is.
 */
struct exchange_trace {
	const char *mechanism;
	const char *first;
	const char *nonce;
};

void exchange_trace(const struct exchange *exchange, struct exchange_trace *trace_r);

/* And that it does: guest->exchange is as it was. False: it cannot be; there is none then. */
bool exchange_restore(struct sessiond *sd, struct guest *guest, const struct exchange_trace *trace);

/* Give up what is under way, if anything. */
void exchange_drop(struct guest *guest);

/* NULL is none. */
void exchange_free(struct exchange *exchange);

#endif
