/*
 * call: one call of a dialect's worker half, and what it came to in one word, for tests whose cases have one outcome each.
 */
#ifndef C2SD_TESTS_DIALECT_CALL_H
#define C2SD_TESTS_DIALECT_CALL_H

#include "dialect/dialect.h"

enum call_outcome {
	CALL_IGNORED,		/* nothing at all */
	CALL_SENT,		/* something went up */
	CALL_ANSWERED,		/* something went down, and nothing up */
	CALL_NOT_AUTHORIZED,
	CALL_DELIVERED,
	CALL_CONSUMED,		/* of a packet: none of the others, and nothing went up or down */
	CALL_HELD,
	CALL_LOGGED_IN,
	CALL_REFUSED,
	CALL_UNREADABLE,
	CALL_ENDED,
	CALL_WRONG,		/* effects that do not go together */
};

static inline int
call_effect(unsigned effects)
{
	switch (effects & ~(unsigned)(DIALECT_BOUND | DIALECT_MEMO | DIALECT_SEVERAL | DIALECT_RESTART)) {
	case DIALECT_DELIVERED:
		return CALL_DELIVERED;
	case DIALECT_HELD:
		return CALL_HELD;
	case DIALECT_LOGGED_IN:
		return CALL_LOGGED_IN;
	case DIALECT_REFUSED:
		return CALL_REFUSED;
	case DIALECT_UNREADABLE:
		return CALL_UNREADABLE;
	case DIALECT_END:
		return CALL_ENDED;
	default:
		return CALL_WRONG;
	}
}

/* An enum call_outcome, or a negative errno. */
static inline int
call_element(const struct dialect *dialect, struct dialect_client *client, const struct dialect_context *context,
    const char *bytes, size_t length, size_t name_end, struct buffer *up, struct buffer *down)
{
	struct buffer features = { 0 };
	struct dialect_answer answer = { .up = up, .down = down, .features = &features };
	size_t before_up = buffer_length(up), before_down = buffer_length(down);
	int result = dialect->client_element(client, context, bytes, length, name_end, &answer);

	buffer_deinit(&features);
	if (result < 0)
		return result;
	if (answer.effects == DIALECT_END && answer.condition == CONDITION_NOT_AUTHORIZED)
		return CALL_NOT_AUTHORIZED;
	if (answer.effects != 0)
		return call_effect(answer.effects);
	if (buffer_length(up) > before_up)
		return CALL_SENT;
	return buffer_length(down) > before_down ? CALL_ANSWERED : CALL_IGNORED;
}

static inline int
call_packet(const struct dialect *dialect, struct dialect_client *client, const struct dialect_context *context,
    const char *bytes, size_t length, struct buffer *down)
{
	struct buffer up = { 0 }, features = { 0 };
	struct dialect_answer answer = { .up = &up, .down = down, .features = &features };
	size_t before = buffer_length(down);
	int result = dialect->client_packet(client, context, bytes, length, &answer);
	bool sent = buffer_length(&up) > 0;

	buffer_deinit(&features);
	buffer_deinit(&up);
	if (result < 0)
		return result;
	if (answer.effects != 0)
		return call_effect(answer.effects);
	if (sent)
		return CALL_SENT;
	return buffer_length(down) > before ? CALL_ANSWERED : CALL_CONSUMED;
}

#endif
