/*
 * roster: contacts of an account (RFC 6121 section 2), and who is told when they change.
 *
 * The state of a subscription is four bits; what may happen to them is in subscription.c. A contact who only asked to
 * subscribe (SUBSCRIPTION_REQUESTED, not `listed`) is kept here too but never shown (RFC 6121 3.1.3).
 */
#ifndef C2SD_SESSIOND_ROSTER_H
#define C2SD_SESSIOND_ROSTER_H

#include <stdbool.h>

#include "sessiond/stanza.h"

struct sessiond;
struct packet;

#define SUBSCRIPTION_TO 1u		/* the account sees the contact's presence */
#define SUBSCRIPTION_FROM 2u		/* the contact sees the account's presence */
#define SUBSCRIPTION_ASKED 4u		/* "pending out": waits for the contact's approval */
#define SUBSCRIPTION_REQUESTED 8u	/* "pending in": the contact waits for the account's approval */

/* Contacts of one account; each costs a probe at login and a copy of every presence. */
#define ROSTER_CONTACTS_MAX 2000

struct roster_item {
	struct roster_item *next;
	const char *contact;	/* bare, prepared */
	const char *name;	/* NULL: none */
	const char *groups;	/* separated by ROSTER_GROUP_SEPARATOR; NULL: none */
	const char *request;	/* the presence of the contact that asks, written out; NULL: none */
	unsigned state;
	bool listed;
};

/* No XML can hold it. */
#define ROSTER_GROUP_SEPARATOR "\x1f"

/* jabber:iq:roster, from a session. 0 (answered), or the error that its sender gets. */
enum stanza_error roster_handle(struct sessiond *sd, struct packet *packet, struct node *query);

/* All of an account, listed or not, in the arena. */
struct roster_item *roster_list(struct sessiond *sd, const char *account);

/* One contact; when it is not there, an empty item that is not listed. */
void roster_read(struct sessiond *sd, const char *account, const char *contact, struct roster_item *item_r);

/* Write it, or remove what is not listed and has nothing pending. */
void roster_write(struct sessiond *sd, const char *account, const struct roster_item *item);

/* Tell the account's interested resources of this item (RFC 6121 2.1.6); as removed when it is not listed. */
void roster_push(struct sessiond *sd, const char *account, const struct roster_item *item);

/* True when another contact would be too many. */
bool roster_is_full(struct sessiond *sd, const char *account);

#endif
