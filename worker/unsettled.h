/*
 * unsettled: which packets of the session manager were given to a client's TCP and are not known to have arrived
 * (doc/design.md, "No packet vanishes").
 *
 * Pure: numbers, offsets and times in, the number up to which everything is settled out. Offsets count what TCP was
 * given for the connection (with TLS: records), so that what the peer's TCP has acknowledged is one number.
 *
 * An acknowledgement is believed when it was seen a while ago and the connection still stands: a machine whose program is
 * killed, or closes, with something unread resets the connection, and that takes no longer than the way back. So each
 * look remembers one offset and its time, and settles what a look of at least `delay` before had remembered: whatever is
 * sent, it costs one look in that time.
 *
 * Overflow: none of its own; there is at most one mark for each packet that the master keeps for the client, which is bounded.
 */
#ifndef C2SD_WORKER_UNSETTLED_H
#define C2SD_WORKER_UNSETTLED_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buffer.h"

struct unsettled_mark {
	uint64_t number;	/* of the packet */
	uint64_t end;		/* the offset behind its last byte */
};

/* All zero: nothing is unsettled. */
struct unsettled {
	struct buffer marks;	/* struct unsettled_mark, in the order of both */
	uint64_t seen;		/* acknowledged, at the look that is remembered */
	uint64_t seen_at;	/* when that was; 0: nothing is remembered */
};

void unsettled_deinit(struct unsettled *unsettled);

/* The last byte of a packet was given to TCP, which had got so many by then. Failed memory: unsettled->marks.failed. */
void unsettled_add(struct unsettled *unsettled, uint64_t number, uint64_t end);

static inline bool
unsettled_is_empty(const struct unsettled *unsettled)
{
	return buffer_length(&unsettled->marks) == 0;
}

/*
 * The peer has acknowledged so many bytes, `now` (milliseconds, not 0), and the connection stands. The number of the last
 * packet that is settled by that, and with it all before; 0: none is. `delay` 0: acknowledged is settled.
 */
uint64_t unsettled_look(struct unsettled *unsettled, uint64_t acknowledged, uint64_t now, uint64_t delay);

/* The same for a peer that has closed its half in good order: it had read what it had acknowledged. */
uint64_t unsettled_finish(struct unsettled *unsettled, uint64_t acknowledged);

#endif
