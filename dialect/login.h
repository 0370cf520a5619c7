/*
 * login: the iqs by which a client of a session manager that only knows jabber:iq:auth registers and logs in
 * (XEP-0077, XEP-0078; doc/link.md), and the answers that c2sd itself gives to them.
 *
 * Pure; ranges point into the caller's element. Shared by the dialects sfrom and route.
 */
#ifndef C2SD_DIALECT_LOGIN_H
#define C2SD_DIALECT_LOGIN_H

#include <stdbool.h>

#include "common/buffer.h"
#include "dialect/element.h"

/* Longest id of an iq before login, in bytes as written: it is remembered until the answer comes. */
#define LOGIN_ID_MAX 1023

#define LOGIN_NS_AUTH "jabber:iq:auth"
#define LOGIN_NS_REGISTER "jabber:iq:register"

enum login_request {
	LOGIN_NONE,		/* nothing that may be sent before login */
	LOGIN_AUTH_GET,		/* which fields are wanted? */
	LOGIN_AUTH_SET,		/* an attempt to log in */
	LOGIN_REGISTER_GET,	/* what has to be said to register? */
	LOGIN_REGISTER_SET,
};

/* A field of the query; `count` may be above 1, the element is the first then. */
struct login_field {
	unsigned count;
	struct element element;
};

struct login {
	enum login_request request;
	struct range id;		/* absent where there is none, or an empty one */
	struct element query;
	/* Of jabber:iq:auth only. */
	struct login_field username, password, digest, resource;
};

enum login_error {
	LOGIN_ERROR_NOT_ACCEPTABLE,	/* 406: fields that no address can be made of, or one twice */
	LOGIN_ERROR_NOT_ALLOWED,	/* 405: registration is not offered, or was tried too often */
	LOGIN_ERROR_UNEXPECTED,		/* 400: the iq before it has not been answered */
};

/*
 * What does this element ask for? As session managers do, the first child named `query` decides; an element that holds
 * a second one is read as LOGIN_NONE, so that nobody can take the other for the one that was looked at.
 */
void login_read(struct login *login_r, const struct element *element);

/*
 * May this LOGIN_AUTH_SET be made into an address? One username that passes nodeprep, at most one resource that passes
 * resourceprep, at most one password and one digest (doc/design.md 5.1), an id within its bound. 1, 0, or -ENOMEM.
 */
int login_is_acceptable(const struct login *login) __attribute__((warn_unused_result));

enum login_part {
	LOGIN_NODE,		/* nodeprep */
	LOGIN_RESOURCE,		/* resourceprep */
};

/*
 * The text of a field as that part of an address (prepare.h). 1, and the caller frees it; 0: it cannot be one; or -ENOMEM.
 * `text_r` may be NULL.
 */
int login_prepare(char **text_r, const struct login_field *field, enum login_part part) __attribute__((warn_unused_result));

/* Append, for features, that clients may log in so and, where it is offered, register. */
void login_put_features(struct buffer *features, bool registration);

/* Append the answer to a LOGIN_AUTH_GET. */
void login_answer_get(const struct login *login, bool digest, struct buffer *down);

/* Append an error iq: code of the year 2000 and condition of RFC 6120 8.3. 0 or -ENOMEM. */
int login_answer_error(const struct login *login, enum login_error error, struct buffer *down);

#endif
