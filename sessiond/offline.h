/*
 * offline: messages that wait for their reader (RFC 6121 8.5.2.2.1, XEP-0160), stamped with when they came
 * (XEP-0203, and XEP-0091 for clients of before).
 *
 * They are handed over in pages, to one session of an account at a time, its reader. Behind each page the socket manager is
 * asked to say when the client has taken it (NS_SETTLE; doc/link.md, "Until a client has taken it"), and when it does the page
 * is deleted. The next one follows when the link has taken the former, as long as the client has not too much to take. So a
 * slow client gets all of a full store, as fast as it reads, and what it did not get is still there, in its order; a message
 * of ours that comes back in a 510 is known by its id (XEP-0359), and is dropped.
 */
#ifndef C2SD_SESSIOND_OFFLINE_H
#define C2SD_SESSIOND_OFFLINE_H

#include <bsd/sys/queue.h>
#include <stdbool.h>
#include <stdint.h>

#include "sessiond/stanza.h"

#define NS_DELAY "urn:xmpp:delay"
#define NS_DELAY_OLD "jabber:x:delay"

#define NS_SETTLE "urn:x-c2sd:settle:0"
#define NS_STANZA_ID "urn:xmpp:sid:0"

struct packet;
struct sessiond;
struct session;

/* Who is handed the messages of an account; there as long as any page is neither taken nor back. */
struct offline_reader {
	SLIST_ENTRY(offline_reader) entry;
	long long last;		/* id of the last message handed over */
	uint64_t waiting;	/* bytes of pages that were neither taken nor came back */
	bool exhausted;		/* there was no more */
	bool returned;		/* something came back: what was before the first of that is deleted */
	uint32_t stream;	/* of the ledger, for the last page; 0: it has not gone out, or not in one that counts */
	uint32_t sent;		/* number of the last element that went out with it */
	const char *id;		/* of its client */
	char account[];
};

struct offline_queue {
	SLIST_HEAD(, offline_reader) readers;
	long long last;		/* id that was given last, though perhaps in a turn that came to nothing */
	bool counts;		/* it is not below what the database has given */
};

/* Keep a message for the account. 0 (kept, or not worth it), or the error that its sender gets. */
enum stanza_error offline_store(struct sessiond *sd, struct node *stanza, const char *account);

/* Hand over the first page, unless the account has a reader. */
void offline_deliver(struct sessiond *sd, const struct session *session);

/* The answer to what was asked behind a page, or the question itself, come back. */
void offline_settled(struct sessiond *sd, const struct packet *packet);

/* A message has come back from client `id`. True: it is one of ours, and is in the store. Else what shows that is cut out. */
bool offline_came_back(struct sessiond *sd, struct node *stanza, const char *account, const char *id);

/* Of a client's message: it cannot be one of ours. */
void offline_forged_remove(struct sessiond *sd, struct node *stanza);

/* The turn's output goes out now: pages in it are part of that. */
void offline_released(struct sessiond *sd);

/* The link has taken all pages, or acknowledged some, or a turn has failed that should have: hand over the next ones. */
void offline_drained(struct sessiond *sd);

/* A page of a process before this one (recovery.h). False: no memory; there is none of that account. */
bool offline_restore(struct sessiond *sd, const struct offline_reader *reader, const char *account);
bool offline_restore_end(struct sessiond *sd, const char *account);

void offline_deinit(struct sessiond *sd);

#endif
