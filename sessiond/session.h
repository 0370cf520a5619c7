/*
 * session: who is logged in. A session belongs to the client (the id that the socket manager gave it) which logged in,
 * and has the full JID as its address; sessions of one account hang on one struct user.
 *
 * An idle session costs its struct, its address, its id, and the presence it last sent: tens of thousands are expected,
 * and 300 bytes were measured without the presence.
 */
#ifndef C2SD_SESSIOND_SESSION_H
#define C2SD_SESSIOND_SESSION_H

#include <bsd/sys/queue.h>
#include <stdbool.h>
#include <stdint.h>

#include "sessiond/stanza.h"
#include "sessiond/table.h"

struct sessiond;

/* Somebody who got directed presence and must hear of the end (RFC 6121 4.6.2). */
struct directed {
	SLIST_ENTRY(directed) entry;
	char jid[];
};

struct session {
	struct table_entry by_address;
	struct table_entry by_id;
	LIST_ENTRY(session) entry;
	struct user *user;
	char *address;			/* user@host/resource */
	char *id;			/* sfrom of its client */
	char *presence;			/* as last sent, without `to`; NULL: not available */
	SLIST_HEAD(, directed) directed;
	uint16_t directed_count;
	int8_t priority;
	bool interested;		/* asked for the roster: gets pushes */
};

/* Exists as long as it has sessions. */
struct user {
	struct table_entry by_jid;
	LIST_HEAD(, session) sessions;
	char jid[];			/* user@host */
};

struct session_table {
	struct table by_address;
	struct table by_id;
	struct table users;
};

/*
 * A new session. Another one with this address or of this client must be gone before. NULL without memory: then
 * the link is broken.
 */
struct session *session_open(struct sessiond *sd, const char *jid, const char *resource, const char *id);

/*
 * Client `id` has logged in: `answer` says so, then its session replaces those that are in its place. They are told
 * behind it, so that nobody takes the end of the old one for the end of the new one (link-protocol 1.5 h). 0, or
 * STANZA_JID_MALFORMED: the address would be too long, and nothing was done.
 */
enum stanza_error session_begin(struct sessiond *sd, const char *jid, const char *resource, const char *id,
    const struct node *answer);

/* Tell who should know that it is gone, and free it. Nothing is sent to its own client. */
void session_end(struct sessiond *sd, struct session *session, const char *status);

/* Free it. Nobody is told, and nothing is recorded. */
void session_forget(struct sessiond *sd, struct session *session);

/* End all of an account, and their clients. */
void session_end_all(struct sessiond *sd, const char *jid, const char *status);

struct session *session_find(const struct sessiond *sd, const char *address);
struct session *session_find_id(const struct sessiond *sd, const char *id);
struct user *session_find_user(const struct sessiond *sd, const char *jid);

/* Available, with a priority that takes messages: RFC 6121 4.7.2.3. */
bool session_takes_messages(const struct session *session);

/* Free everything without telling anybody: the end of the process. */
void session_deinit(struct sessiond *sd);

#endif
