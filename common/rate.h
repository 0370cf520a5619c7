/*
 * rate: so much at once, and so much a second for long (a token bucket).
 *
 * Pure: the time is passed in, in milliseconds, and does not go back. A zeroed struct is full.
 */
#ifndef C2SD_COMMON_RATE_H
#define C2SD_COMMON_RATE_H

#include <stdbool.h>
#include <stdint.h>

struct rate_limit {
	uint32_t burst;
	uint32_t per_second;
};

struct rate {
	uint64_t used;	/* thousandths of what was taken and has not come back */
	uint64_t at;	/* when this was so */
};

/* Take `amount`: all of it, or, when there is less, nothing and false. */
bool rate_take(struct rate *rate, const struct rate_limit *limit, uint64_t now, uint32_t amount);

#endif
