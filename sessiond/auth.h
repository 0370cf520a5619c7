/*
 * auth: logging in with jabber:iq:auth (XEP-0078; link-protocol 1.3). A positive answer is the session.
 */
#ifndef C2SD_SESSIOND_AUTH_H
#define C2SD_SESSIOND_AUTH_H

#include "sessiond/stanza.h"

struct packet;
struct sessiond;

/* Before login. 0 (answered), or the error that the client gets. */
enum stanza_error auth_handle(struct sessiond *sd, struct packet *packet);

#endif
