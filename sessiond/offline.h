/*
 * offline: messages that wait for their reader (RFC 6121 8.5.2.2.1, XEP-0160), stamped with when they came
 * (XEP-0203, and XEP-0091 for clients of before).
 *
 * They are handed over in pages, one page of an account under way at a time, and deleted when the link has taken the
 * page (or, where there is acknowledgement, acknowledged it): a process that dies in between delivers them twice, never not at all. One that comes back in a 510 is stored
 * again and keeps its stamps.
 */
#ifndef C2SD_SESSIOND_OFFLINE_H
#define C2SD_SESSIOND_OFFLINE_H

#include <bsd/sys/queue.h>
#include <stdbool.h>
#include <stdint.h>

#include "sessiond/stanza.h"

#define NS_DELAY "urn:xmpp:delay"
#define NS_DELAY_OLD "jabber:x:delay"

struct sessiond;
struct session;

/* A page that was handed over and is not deleted yet. */
struct offline_page {
	SLIST_ENTRY(offline_page) entry;
	long long last;		/* id of its last message */
	uint32_t stream;	/* of the ledger; 0: it has not gone out, or not in one that counts */
	uint32_t sent;		/* number of the last element that went out with it */
	char account[];
};

struct offline_queue {
	SLIST_HEAD(, offline_page) pages;
};

/* Keep a message for the account. 0 (kept, or not worth it), or the error that its sender gets. */
enum stanza_error offline_store(struct sessiond *sd, struct node *stanza, const char *account);

/* Hand over the first page. */
void offline_deliver(struct sessiond *sd, const struct session *session);

/* The turn's output goes out now: pages in it are part of that. */
void offline_released(struct sessiond *sd);

/* The link has taken all pages, or acknowledged some: delete these and hand over the next ones. */
void offline_drained(struct sessiond *sd);

/* A page of a process before this one (recovery.h). False: no memory; there is none of that account. */
bool offline_restore(struct sessiond *sd, const char *account, long long last, uint32_t stream, uint32_t sent);
bool offline_restore_end(struct sessiond *sd, const char *account);

void offline_deinit(struct sessiond *sd);

#endif
