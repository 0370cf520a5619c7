/*
 * scope: what is still needed of a client's stream header when it has been answered: xml:lang and the declarations that
 * a new parser has to be told.
 *
 * Most clients of a service write the same header, so that clients share scopes: one is found by what it says, counted,
 * and gone with its last client. Without clients there is none. The struct scopes owns them.
 */
#ifndef C2SD_WORKER_SCOPE_H
#define C2SD_WORKER_SCOPE_H

#include <bsd/sys/tree.h>
#include <stdint.h>

#include "worker/stream.h"

struct scope {
	RB_ENTRY(scope) entry;
	struct stream_header header;	/* `to` and `from` are NULL */
	uint32_t users;
};

RB_HEAD(scope_tree, scope);

/* Zeroed memory holds none. */
struct scopes {
	struct scope_tree tree;
};

/*
 * The scope of a header: lang and declarations are moved out of it. The caller gives it back with scope_leave. NULL
 * without memory.
 */
struct scope *scope_of(struct scopes *scopes, struct stream_header *header);

/* NULL is none, and nothing happens. */
void scope_leave(struct scopes *scopes, struct scope *scope);

#endif
