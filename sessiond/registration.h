/*
 * registration: jabber:iq:register (XEP-0077): making an account before login; changing the password and removing the
 * account in a session.
 */
#ifndef C2SD_SESSIOND_REGISTRATION_H
#define C2SD_SESSIOND_REGISTRATION_H

#include "sessiond/stanza.h"

struct packet;
struct sessiond;

/* Before login or in a session. 0 (answered), or the error that the client gets. */
enum stanza_error registration_handle(struct sessiond *sd, struct packet *packet);

/*
 * Remove an account with all that hangs on it and tell its contacts; its sessions still live (session_end_all). An
 * enum account_result.
 */
int registration_remove(struct sessiond *sd, const char *account);

#endif
