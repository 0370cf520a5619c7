/*
 * probe: what becomes of sessions when the link was lost, and nobody knows whether the session manager still has them
 * (doc/link.md, "When the link is away").
 *
 * Where the dialect has a probe (dialect->link_probe) each session is asked something once, when the link is back, and the
 * answer is swallowed: it is there; or it is to be started again, which the client's worker does (route); or it is gone,
 * and its client ends, spread over a time (spread.h). So it is after a silence of `timeout`, where session managers say
 * nothing about sessions that they do not know. Where there is no probe (xmpp) all of them are over.
 *
 * Probes go out at PROBES_PER_SECOND, never more than PROBES_MAX unanswered, and not while too much waits for the link: then
 * it waits, and nobody's time runs out while we do not read the link. A client costs nothing for it but a few bits; there
 * is no list of those that are to be asked. When the link is lost in the middle it begins anew.
 *
 * An id of a probe is made of a secret key and the client's serial number: a client that has not seen one cannot make it
 * up, and none is shown to it.
 */
#ifndef C2SD_MASTER_PROBE_H
#define C2SD_MASTER_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/loop.h"
#include "common/siphash.h"

#define PROBES_PER_SECOND 1000
#define PROBES_MAX 8192

struct entry;
struct master;

/* One that is not answered. */
struct probe_place {
	uint64_t serial;
	uint64_t at;		/* loop_now() when it was sent */
	uint32_t worker;
	uint32_t slot;
};

struct probe {
	struct siphash_key key;
	struct timer timer;
	uint32_t worker, slot;	/* who is looked at next */
	bool walking;		/* not all were looked at */
	bool done;		/* all have answered, or will not: late answers are still swallowed */
	struct probe_place *places;	/* a ring of PROBES_MAX while there are any */
	uint32_t first, count;
	uint64_t deaf;		/* loop_now() when they last could not have been heard */
	uint32_t asked, known, again, gone;	/* in this round */
};

void probe_init(struct probe *probe);

/* Nobody is asked any more. */
void probe_deinit(struct master *master);

/* The link is lost, and will not be resumed: what sessions there were is in doubt, or (without a probe) over. */
void probe_lost(struct master *master);

/* The link is up: ask those that are in doubt, end those that are over. */
void probe_begin(struct master *master);

/* The link is down. */
void probe_stop(struct master *master);

/* The worker has confirmed a session that is in doubt. */
void probe_confirmed(struct master *master);

/* The session manager does not know its session any more: its client ends, when it is its turn. */
void probe_forget(struct master *master, struct entry *entry);

enum probe_outcome {
	PROBE_OTHER,	/* it has nothing to do with a probe */
	PROBE_TAKEN,	/* it was an answer, and is consumed */
	PROBE_INSTEAD,	/* it was one, and `out` is what the client gets instead of it */
};

/*
 * A packet for a client that is asked, or to be asked, has come. `ends`: it says, for all to hear, that its session is over.
 */
enum probe_outcome probe_take(struct master *master, struct entry *entry, bool ends, const void *bytes, size_t length,
    struct buffer *out);

#endif
