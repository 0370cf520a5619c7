#include "common/rate.h"

bool
rate_take(struct rate *rate, const struct rate_limit *limit, uint64_t now, uint32_t amount)
{
	uint64_t passed = now - rate->at, burst = (uint64_t)limit->burst * 1000;
	/* Asked this way round nothing overflows, however long ago it was. */
	bool all = limit->per_second > 0 && passed >= rate->used / limit->per_second + 1;

	rate->used = all ? 0 : rate->used - passed * limit->per_second;
	rate->at = now;
	if (rate->used + (uint64_t)amount * 1000 > burst)
		return false;
	rate->used += (uint64_t)amount * 1000;
	return true;
}
