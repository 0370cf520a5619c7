/*
 * binding: a resource for the stream (RFC 6120 7) and the session of before (RFC 3921 3), answered by c2sd for session
 * managers that know neither (doc/link.md, "SASL").
 *
 * Pure; ranges point into the caller's element. Shared by the dialects sfrom and route.
 */
#ifndef C2SD_DIALECT_BINDING_H
#define C2SD_DIALECT_BINDING_H

#include <stdbool.h>

#include "common/buffer.h"
#include "dialect/element.h"

#define BINDING_NS_BIND "urn:ietf:params:xml:ns:xmpp-bind"
#define BINDING_NS_SESSION "urn:ietf:params:xml:ns:xmpp-session"

/* Longest id of such an iq, in bytes as written: one with a longer one is refused (bad-request), without it. */
#define BINDING_ID_MAX 1023

enum binding_request {
	BINDING_NONE,		/* something else */
	BINDING_BIND,
	BINDING_SESSION,
};

struct binding {
	enum binding_request request;
	struct range id;		/* absent where there is none that can be given back */
	struct range resource;		/* of a bind: the text of <resource/>; absent: the server is to make one */
	bool bad;			/* without an id, with two resources, or with children in one */
};

enum binding_error {
	BINDING_ERROR_BAD_REQUEST,	/* 400: as `bad` says, or a resource that resourceprep refuses */
	BINDING_ERROR_CONFLICT,		/* 409: a session with that resource is there, and stays */
	BINDING_ERROR_NOT_ALLOWED,	/* 405: it is bound */
	BINDING_ERROR_UNAVAILABLE,	/* 503: the session manager is in trouble */
};

/*
 * Is it one of these iqs, and for us? `address` is the client's session's or its host: an iq that says to somebody else than
 * that host or account is somebody else's. Cheap for whatever is no iq of type set.
 */
void binding_read(struct binding *binding_r, const struct element *element, const char *address);

/*
 * The resource that was asked for, through resourceprep: 1 and a string of malloc, which is NULL where none was asked for; 0
 * where it is none; -ENOMEM.
 */
int binding_read_resource(const struct binding *binding, char **resource_r) __attribute__((warn_unused_result));

/*
 * A resource that nobody could have asked for: the same for the same stream of the same client, and for no other. `id` and
 * `stream_id` as in struct dialect_context. NULL without memory.
 */
char *binding_invent_resource(const char *id, const char *stream_id);

/* Append <bind/> and the <session/> that nobody needs any more, for features. */
void binding_put_features(struct buffer *features);

/* Append the positive answer; `jid` is the full one (BINDING_BIND only). */
void binding_put_result(const struct binding *binding, const char *jid, struct buffer *down);

void binding_put_error(const struct binding *binding, enum binding_error error, struct buffer *down);

#endif
