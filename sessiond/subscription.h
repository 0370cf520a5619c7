/*
 * subscription: who may see whose presence (RFC 6121 section 3). The transitions are the tables of its appendix A.
 */
#ifndef C2SD_SESSIOND_SUBSCRIPTION_H
#define C2SD_SESSIOND_SUBSCRIPTION_H

#include <stdbool.h>

#include "sessiond/stanza.h"

struct packet;
struct roster_item;
struct sessiond;

enum subscription {
	SUBSCRIPTION_SUBSCRIBE,
	SUBSCRIPTION_SUBSCRIBED,
	SUBSCRIPTION_UNSUBSCRIBE,
	SUBSCRIPTION_UNSUBSCRIBED,
	SUBSCRIPTION_NOT,		/* any other type of presence */
};

enum subscription subscription_of(const char *type);

/* Appendix A.2: the account sends it. Changes the state; true: it goes to the contact. */
bool subscription_outbound(enum subscription what, unsigned *state);

/* Appendix A.3: the account gets it. Changes the state; true: it goes to the account's resources. */
bool subscription_inbound(enum subscription what, unsigned *state);

/* From a session. 0, or the error that its sender gets. */
enum stanza_error subscription_handle(struct sessiond *sd, struct packet *packet, enum subscription what);

/* The account gives up this contact altogether: tell the contact (RFC 6121 2.5.3). The item itself stays as it is. */
void subscription_end(struct sessiond *sd, const char *account, const struct roster_item *item);

#endif
