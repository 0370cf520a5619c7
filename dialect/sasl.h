/*
 * sasl: PLAIN (RFC 4616), in the elements of RFC 6120 6, towards a client whose session manager only knows jabber:iq:auth
 * (doc/link.md, "SASL").
 *
 * Pure; shared by the dialects sfrom and route: they hand over every element that comes before a login, and send up what the
 * client has said as an iq:auth. What is secret is wiped: struct sasl_login is let go with sasl_login_deinit, and buffers that
 * a secret is put in are made `secret`.
 */
#ifndef C2SD_DIALECT_SASL_H
#define C2SD_DIALECT_SASL_H

#include <stdbool.h>

#include "common/buffer.h"
#include "common/sasl_condition.h"
#include "dialect/element.h"

#define SASL_NS "urn:ietf:params:xml:ns:xmpp-sasl"

/* Longest message of PLAIN that is read, in bytes before base64: three strings (RFC 4616 wants room for 255 each). */
#define SASL_MESSAGE_MAX 4096

/*
 * What an iq:auth that came back with that error (dialect_error_name) means to who has sent it: wrong, when the session manager
 * says that who it is or what it knows is; temporary, when the session manager is in trouble.
 */
enum sasl_condition sasl_condition_of(const char *error_name);

/* What a client logs in with: strings of malloc. */
struct sasl_login {
	char *user;		/* through nodeprep; after SASL_FAILED as it came, or NULL where none could be read: for the log */
	char *password;		/* as it came: UTF-8 of characters that XML may hold, not empty */
};

void sasl_login_deinit(struct sasl_login *login);

enum sasl_step {
	SASL_OTHER,		/* the element is none of SASL's */
	SASL_CHALLENGED,	/* answered: it has to say the message in a <response/>; the caller remembers that */
	SASL_FAILED,		/* answered with a <failure/>: `condition_r` */
	SASL_LOGIN,		/* not answered: `login_r` is complete */
};

/*
 * Take what a client has sent before a login: <auth/>, <response/>, <abort/>. `challenged`: the last one was SASL_CHALLENGED.
 * `plain`: PLAIN is offered. `host`: that it logs in to. An enum sasl_step, or -ENOMEM. `login_r` and `condition_r` are set in
 * any case; `down` gets the answer.
 */
int sasl_take(const struct element *element, const char *host, bool plain, bool challenged, struct sasl_login *login_r,
    enum sasl_condition *condition_r, struct buffer *down) __attribute__((warn_unused_result));

/* Append <mechanisms/>, with PLAIN, for features. */
void sasl_put_mechanisms(struct buffer *features);

void sasl_put_success(struct buffer *down);

/* With a text in English for who uses the client. */
void sasl_put_failure(struct buffer *down, enum sasl_condition condition);

/*
 * Append the <query/> of jabber:iq:auth with that user, password and resource, and make `up` secret. `stream_id`: the session
 * manager knows the password, so that the SHA-1 of both goes up instead of it; NULL: it does not. `up` is marked as failed
 * without memory.
 */
void sasl_put_query(struct buffer *up, const char *user, const char *password, const char *resource, const char *stream_id);

#endif
