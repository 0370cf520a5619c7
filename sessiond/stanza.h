/*
 * stanza: the answers to a stanza, and the errors of RFC 6120 8.3 with the numbers of the jabberd era beside them
 * (XEP-0086), so that clients of both ages understand them.
 */
#ifndef C2SD_SESSIOND_STANZA_H
#define C2SD_SESSIOND_STANZA_H

#include <stdbool.h>

#include "sessiond/node.h"

enum stanza_error {
	STANZA_BAD_REQUEST = 1,
	STANZA_CONFLICT,
	STANZA_INTERNAL_SERVER_ERROR,
	STANZA_ITEM_NOT_FOUND,
	STANZA_JID_MALFORMED,
	STANZA_NOT_ACCEPTABLE,
	STANZA_NOT_ALLOWED,
	STANZA_NOT_AUTHORIZED,
	STANZA_REMOTE_SERVER_NOT_FOUND,
	STANZA_RESOURCE_CONSTRAINT,
	STANZA_SERVICE_UNAVAILABLE,
};

/* type='result' with the id, `to` and `from` exchanged where they are there. */
struct node *stanza_result(const struct node *stanza);

/*
 * The same with type='error'. A message gets its children back; any other gets its payload's empty element, so that no
 * password is sent a second time. `text` for people, or NULL. The children of a message are moved, not copied.
 */
struct node *stanza_error(struct node *stanza, enum stanza_error error, const char *text);

/* Append the <error/> alone. */
void stanza_add_error(struct node *stanza, enum stanza_error error, const char *text);

/* RFC 6120 8.3.1: an error, or the answer to something, is never answered with an error. */
bool stanza_wants_error(const struct node *stanza);

/* The <error code='510'/> of a stanza that is an error and has one; NULL: it has none (link-protocol 1.5). */
struct node *stanza_find_disconnect(const struct node *stanza);

#endif
