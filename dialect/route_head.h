/*
 * route_head: what a <route/> says of itself, and of what is in it (doc/link.md, "route"): for both halves of that dialect.
 *
 * Pure; ranges point into the caller's element, and are as on the wire.
 */
#ifndef C2SD_DIALECT_ROUTE_HEAD_H
#define C2SD_DIALECT_ROUTE_HEAD_H

#include <stdbool.h>

#include "common/buffer.h"
#include "common/condition.h"
#include "dialect/element.h"

struct route_head {
	struct range to, from, type, error;
	struct element child;	/* the first; name.at is NULL: there is none */
	bool several;		/* more than one */
	bool is_route;
};

/* In one pass over the attributes; the first of several of one name. */
void route_head_read(struct route_head *head_r, const struct element *element);

bool route_head_has_child(const struct route_head *head);

/* Is it of that type? */
bool route_head_is(const struct route_head *head, const char *type);

/* A login's answer, which alone comes from an address with a resource (link_verify asks with one for nothing else). */
bool route_head_is_login(const struct route_head *head);

/* user@host/resource, none of them empty. */
bool route_is_session_address(struct range range);

/* user@host of an address, as it stands there; absent where it is none. */
struct range route_bare(struct range range);

/* Is it of the account of `address`, which is plain text, and may have a resource? */
bool route_is_of_account(struct range range, const char *address);

/* A client's own stanza, which nobody takes for anything else. */
bool route_is_stanza(const struct element *element);

/*
 * What the texts mean that jabberd puts into error=. `over`: the session is; of others it may be there still, and is ended by
 * us. The conditions are those that a client is told before its session is there, and in it.
 */
struct route_meaning {
	const char *text;	/* it ends with this */
	bool over;
	enum stream_condition before, within;
	const char *told;
};

/* Never NULL: what is not known means something, too. */
const struct route_meaning *route_meaning_of(const struct route_head *head);

/* Append the start of a route from ID@NAME, up to where it ends or holds something. `type` may be NULL. */
void route_append(struct buffer *out, const char *type, struct range to, const char *id, const char *name);

#endif
