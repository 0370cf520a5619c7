/*
 * bind: a client that has proved who it is gets its session (RFC 6120 7). The resource is the one that it asks for, or a
 * random one; whoever had it before is replaced (7.7.2.2 allows any of three; this is what jabber:iq:auth always did).
 */
#ifndef C2SD_SESSIOND_BIND_H
#define C2SD_SESSIOND_BIND_H

#include "sessiond/stanza.h"

struct packet;
struct sessiond;

#define NS_BIND "urn:ietf:params:xml:ns:xmpp-bind"

/* Before there is a session; `account` is who has passed. 0 (answered), or the error that the client gets. */
enum stanza_error bind_handle(struct sessiond *sd, struct packet *packet, const char *account);

#endif
