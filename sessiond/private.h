/*
 * private: small pieces of XML that the server keeps for an account: private storage (XEP-0049) and its visiting card
 * (XEP-0054), which others may read.
 */
#ifndef C2SD_SESSIOND_PRIVATE_H
#define C2SD_SESSIOND_PRIVATE_H

#include "sessiond/stanza.h"

struct packet;
struct sessiond;

#define NS_PRIVATE "jabber:iq:private"
#define NS_VCARD "vcard-temp"

/* Pieces of one account, and the bytes of each. */
#define PRIVATE_PIECES_MAX 100
#define PRIVATE_BYTES_MAX (128 * 1024)

/* From a session. 0 (answered), or the error that its sender gets. */
enum stanza_error private_handle(struct sessiond *sd, struct packet *packet, struct node *query);
enum stanza_error private_vcard(struct sessiond *sd, struct packet *packet, struct node *card);

#endif
