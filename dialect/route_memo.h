/*
 * route_memo: what the dialect `route` remembers of a session, so that it can be started again when the session manager has
 * forgotten it (doc/link.md, "Invalid Session"): the full JID that its client was told, its last undirected presence, and
 * whether it has asked for the roster, without which jabberd sends no changes of it.
 *
 * One string of text (dialect_client.memo): it is kept for each session. Pure; what is read points into the string.
 */
#ifndef C2SD_DIALECT_ROUTE_MEMO_H
#define C2SD_DIALECT_ROUTE_MEMO_H

#include <stdbool.h>

#include "dialect/element.h"

/* Longest presence that is remembered, in bytes. With a longer one the session cannot be started again. */
#define ROUTE_MEMO_PRESENCE_MAX 2048

/* How often a session is started anew without that anything came from the session manager in between. */
#define ROUTE_MEMO_STARTS_MAX 3

struct route_memo {
	struct range jid;
	struct range presence;	/* empty: none was sent, or the last was unavailable */
	bool too_long;		/* ... or it was too long */
	bool roster;		/* it has asked for the roster */
	bool swallow;		/* we have asked for it again: that answer is not for the client */
	unsigned starts;	/* new starts, as above */
};

/* False: there is none, or it is none of ours. */
bool route_memo_read(struct route_memo *memo_r, const char *text);

/* As a string that the caller frees; NULL without memory, or when the JID has a line feed in it, which no JID has. */
char *route_memo_write(const struct route_memo *memo);

/*
 * The client sends this stanza. True: the memo has changed; it may point into the stanza then.
 */
bool route_memo_note(struct route_memo *memo, const struct element *stanza);

#endif
