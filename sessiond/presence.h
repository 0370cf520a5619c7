/*
 * presence: who is there and who is told (RFC 6121 section 4).
 *
 * A session's presence is kept as the text that goes to everybody, without `to`, so that a broadcast copies bytes.
 */
#ifndef C2SD_SESSIOND_PRESENCE_H
#define C2SD_SESSIOND_PRESENCE_H

#include <stdbool.h>
#include <stdint.h>

#include "sessiond/stanza.h"

struct packet;
struct session;
struct sessiond;

/* From a session. 0, or the error that its sender gets. */
enum stanza_error presence_handle(struct sessiond *sd, struct packet *packet);

/* The stanza as text with this `from` and without `to`, in the arena. NULL without memory. */
const char *presence_text(struct sessiond *sd, const struct node *stanza, const char *from);

/* The presence of all available resources of an account, or that they are gone, to all of a contact's. */
void presence_send_all(struct sessiond *sd, const char *account, const char *contact);
void presence_withdraw_all(struct sessiond *sd, const char *account, const char *contact);

/* What a process before this one knew of a session (recovery.h); nobody is told. False: no memory. */
bool presence_restore(struct session *session, const char *text, int8_t priority);
bool presence_restore_directed(struct session *session, const char *jid, bool available);
void presence_restore_absence(struct session *session);

/* The session is about to be freed. */
void presence_session_ended(struct sessiond *sd, struct session *session, const char *status);

#endif
