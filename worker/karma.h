/*
 * karma: how many bytes a second a client may send for long, and how many at once (the jabberd family's word).
 *
 * The generic cell rate algorithm (ITU-T I.371, annex A): all that is kept of a client is the time at which what it has
 * sent would have come, had it sent no faster than it may. While that time is further ahead than the burst takes, the
 * client has sent too much and is not read (client.h): what it sends waits in the kernel, and in the end at the client.
 * Nothing is refused and nothing lost. (common/rate is for what can be refused; this is charged when it has happened.)
 *
 * Pure: the time is passed in, in milliseconds, and does not go back.
 */
#ifndef C2SD_WORKER_KARMA_H
#define C2SD_WORKER_KARMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct karma_limit {
	uint32_t rate;		/* bytes a second; 0: as many as it likes */
	uint32_t burst;		/* bytes at once */
};

/* When everything is paid, in nanoseconds of the clock; zeroed: nothing was sent yet. */
struct karma {
	uint64_t paid;
};

/*
 * What one read costs besides its bytes, about what the headers of a packet are: so a client that sends byte by byte is
 * bounded as well, which costs us as much for each as a whole element would.
 */
#define KARMA_READ_COST 64

/* One read has brought so many bytes, as they came from the network. */
void karma_charge(struct karma *karma, const struct karma_limit *limit, uint64_t now, size_t bytes);

/* It has sent more than it may, and must not be read. */
bool karma_is_over(const struct karma *karma, const struct karma_limit *limit, uint64_t now);

/*
 * Other limits: what it owes stays the same number of bytes, so that it is not worth more, or less, of the new time; but
 * nobody is over for what was no offence when he sent it.
 */
void karma_change(struct karma *karma, const struct karma_limit *before, const struct karma_limit *after, uint64_t now);

/*
 * Milliseconds after which one that has just come over by a read of at most `bytes` is not over any more; but no longer than
 * a second, after which it is asked again.
 */
uint32_t karma_pause(const struct karma_limit *limit, size_t bytes);

#endif
