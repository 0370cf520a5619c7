/*
 * negotiation: a client's stream from its opening to its session, in the dialect `xmpp` (doc/link.md; RFC 6120 4.3, 6, 7):
 *
 *	GUEST_OPENED -- <auth/> --> GUEST_EXCHANGE -- <success/> --> GUEST_PASSED -- <open/> --> GUEST_BINDING -- bind
 *
 * or, from the first two, jabber:iq:auth. What fails leads back to GUEST_OPENED; whatever is out of its turn ends the stream.
 */
#ifndef C2SD_SESSIOND_NEGOTIATION_H
#define C2SD_SESSIOND_NEGOTIATION_H

#include "sessiond/node.h"

struct packet;
struct sessiond;

#define NS_FRAMING "urn:ietf:params:xml:ns:xmpp-framing"

/* A packet to a host, or to what is no address. As link_dialect.h, `without_session`. */
void negotiation_handle(struct sessiond *sd, struct packet *packet, enum node_result result);

#endif
