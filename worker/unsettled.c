#include "worker/unsettled.h"

#include <string.h>

void
unsettled_deinit(struct unsettled *unsettled)
{
	buffer_deinit(&unsettled->marks);
	*unsettled = (struct unsettled){ 0 };
}

/* Of those that end at the same offset (with TLS, all of one write) the last one speaks for all. */
void
unsettled_add(struct unsettled *unsettled, uint64_t number, uint64_t end)
{
	struct unsettled_mark mark = { number, end }, last;
	size_t length = buffer_length(&unsettled->marks);
	uint8_t *place = length == 0 ? NULL : buffer_bytes(&unsettled->marks) + length - sizeof last;

	if (place != NULL) {
		memcpy(&last, place, sizeof last);
		if (last.end == end) {
			memcpy(place, &mark, sizeof mark);
			return;
		}
	}
	buffer_append(&unsettled->marks, &mark, sizeof mark);
}

uint64_t
unsettled_finish(struct unsettled *unsettled, uint64_t acknowledged)
{
	struct unsettled_mark mark;
	uint64_t number = 0;

	while (buffer_length(&unsettled->marks) >= sizeof mark) {
		memcpy(&mark, buffer_bytes(&unsettled->marks), sizeof mark);
		if (mark.end > acknowledged)
			break;
		number = mark.number;
		buffer_consume(&unsettled->marks, sizeof mark);
	}
	return number;
}

uint64_t
unsettled_look(struct unsettled *unsettled, uint64_t acknowledged, uint64_t now, uint64_t delay)
{
	bool is_old = unsettled->seen_at == 0 || now - unsettled->seen_at >= delay;
	uint64_t number = is_old ? unsettled_finish(unsettled, unsettled->seen) : 0;

	if (is_old) {
		unsettled->seen = acknowledged;
		unsettled->seen_at = now;
	}
	return delay == 0 ? unsettled_finish(unsettled, acknowledged) : number;
}
