/*
 * link_dialect: what is different at the session manager's end of the link in each of its dialects (doc/link.md): the
 * stream that the link itself is, what may come from clients that have no session, and how a client is told that it is
 * over. Everything else, all that happens in sessions, is the same.
 */
#ifndef C2SD_SESSIOND_LINK_DIALECT_H
#define C2SD_SESSIOND_LINK_DIALECT_H

#include <stddef.h>

#include "common/buffer.h"
#include "common/condition.h"
#include "sessiond/node.h"
#include "sessiond/stanza.h"

struct packet;
struct sessiond;

struct link_dialect {
	const char *name;	/* in the settings */

	/* The header that answers the socket manager's; `id` is what the handshake is made with, `name` its own name. */
	void (*header)(struct buffer *out, const char *id, const char *name);

	/* An error of the link itself; its end is not said. */
	void (*fault)(struct buffer *out, enum stream_condition condition, const char *text);

	/*
	 * A packet to a host, to a session that is not here (packet->lost), or to what is no address at all (packet->host is
	 * NULL). `result` as in packet_handle.
	 */
	void (*without_session)(struct sessiond *sd, struct packet *packet, enum node_result result);

	/* In a session, and no stanza. 0, or the error that its sender gets. The session may be gone behind it. */
	enum stanza_error (*in_session)(struct sessiond *sd, struct packet *packet);

	/*
	 * End client `id`; `address` is that of its session, or the host before its login. CONDITION_NONE: nothing is wrong.
	 * `text` for people, or NULL.
	 */
	void (*end)(struct sessiond *sd, const char *id, const char *address, enum stream_condition condition,
	    const char *text);
};

extern const struct link_dialect link_dialect_sfrom;
extern const struct link_dialect link_dialect_xmpp;

/* NULL: there is none of that name. */
const struct link_dialect *link_dialect_find(const char *name);

#endif
