#include "worker/karma.h"

#define SECOND 1000000000u
#define MILLISECOND 1000000u

#define PAUSE_MAX 1000

/* Nanoseconds that so many bytes take; rounded up, lest single bytes be cheaper than many. */
static uint64_t
time_of(const struct karma_limit *limit, uint64_t bytes)
{
	uint64_t seconds = bytes / limit->rate, rest = bytes % limit->rate;

	return seconds * SECOND + (rest * SECOND + limit->rate - 1) / limit->rate;
}

/* The other way round, rounded down. */
static uint64_t
bytes_in(const struct karma_limit *limit, uint64_t time)
{
	return time / SECOND * limit->rate + time % SECOND * limit->rate / SECOND;
}

static uint64_t
owed(const struct karma *karma, uint64_t now)
{
	return karma->paid > now * MILLISECOND ? karma->paid - now * MILLISECOND : 0;
}

void
karma_charge(struct karma *karma, const struct karma_limit *limit, uint64_t now, size_t bytes)
{
	if (limit->rate > 0)
		karma->paid = now * MILLISECOND + owed(karma, now) + time_of(limit, (uint64_t)bytes + KARMA_READ_COST);
}

bool
karma_is_over(const struct karma *karma, const struct karma_limit *limit, uint64_t now)
{
	return limit->rate > 0 && owed(karma, now) > time_of(limit, limit->burst);
}

void
karma_change(struct karma *karma, const struct karma_limit *before, const struct karma_limit *after, uint64_t now)
{
	uint64_t bytes = before->rate > 0 ? bytes_in(before, owed(karma, now)) : 0;

	if (bytes > after->burst)
		bytes = after->burst;
	karma->paid = after->rate > 0 ? now * MILLISECOND + time_of(after, bytes) : 0;
}

uint32_t
karma_pause(const struct karma_limit *limit, size_t bytes)
{
	uint64_t pause = limit->rate == 0 ? 1 : time_of(limit, (uint64_t)bytes + KARMA_READ_COST) / MILLISECOND + 1;

	return pause > PAUSE_MAX ? PAUSE_MAX : (uint32_t)pause;
}
