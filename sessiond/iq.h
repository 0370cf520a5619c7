/*
 * iq: questions to the server and to the account, and those between users (RFC 6121 8.5, 8.4; RFC 6120 8.2.3).
 */
#ifndef C2SD_SESSIOND_IQ_H
#define C2SD_SESSIOND_IQ_H

#include "sessiond/stanza.h"

struct packet;
struct sessiond;

#define NS_AUTH "jabber:iq:auth"
#define NS_REGISTER "jabber:iq:register"
#define NS_ROSTER "jabber:iq:roster"
#define NS_SESSION "urn:ietf:params:xml:ns:xmpp-session"

/* From a session. 0, or the error that its sender gets. */
enum stanza_error iq_handle(struct sessiond *sd, struct packet *packet);

/* A client did not take this iq for user `jid`: a question from another user gets its error. */
void iq_return(struct sessiond *sd, struct node *stanza, const char *jid);

#endif
