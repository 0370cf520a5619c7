/*
 * admin: what the operator does to accounts, asked by the socket manager itself over the link (doc/link.md):
 *
 *	<iq type='set' id='X' sto='host' sfrom='NAME'>
 *	  <user xmlns='urn:x-c2sd:admin:0' action='add|del|passwd|list' name='alice' password='..'/></iq>
 *
 * `sfrom` is the socket manager's bare name, which no client can have: every client's is ID@NAME.
 */
#ifndef C2SD_SESSIOND_ADMIN_H
#define C2SD_SESSIOND_ADMIN_H

#include "sessiond/stanza.h"

struct packet;
struct sessiond;

/* 0 (answered, well or not), or an error without words. */
enum stanza_error admin_handle(struct sessiond *sd, struct packet *packet);

#endif
