/*
 * message: whom a message reaches (RFC 6121 section 8.5), and what becomes of one that came back in a 510.
 */
#ifndef C2SD_SESSIOND_MESSAGE_H
#define C2SD_SESSIOND_MESSAGE_H

#include "sessiond/stanza.h"

struct packet;
struct sessiond;

/* From a session. 0, or the error that its sender gets. */
enum stanza_error message_handle(struct sessiond *sd, struct packet *packet);

/*
 * The packet's client did not take this message for user `jid` (link-protocol 1.5 d; type and 510 are restored and
 * removed): to another session of the user, never that client's, or into the store, or back to its sender as an error.
 */
void message_return(struct sessiond *sd, struct packet *packet, const char *jid);

/* An error to the local session that `from` names, if it is there. */
void message_refuse_sender(struct sessiond *sd, struct node *stanza, enum stanza_error error);

#endif
