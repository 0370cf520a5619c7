/*
 * answer: what every dialect's worker half says in the same words (struct dialect_answer).
 */
#ifndef C2SD_DIALECT_ANSWER_H
#define C2SD_DIALECT_ANSWER_H

#include "dialect/dialect.h"

/* The client ends, with this condition; `text` is static, or NULL. Always 0, for the caller to return. */
static inline int
answer_end(struct dialect_answer *answer, enum stream_condition condition, const char *text)
{
	answer->effects = DIALECT_END;
	answer->condition = condition;
	answer->text = text;
	return 0;
}

/* It may not send this before it has done that: `text`, which is static. */
static inline int
answer_not_authorized(struct dialect_answer *answer, const char *text)
{
	return answer_end(answer, CONDITION_NOT_AUTHORIZED, text);
}

/* The packet cannot be delivered. */
static inline int
answer_unreadable(struct dialect_answer *answer)
{
	answer->effects = DIALECT_UNREADABLE;
	return 0;
}

#endif
