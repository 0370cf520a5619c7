/*
 * question: what a session is asked to find out whether it is still there (struct dialect: link_probe): the time of its host.
 * jabberd of 2000 and of later tells it for a session (recordings: sfrom), and who does not answers with an error; it changes
 * nothing. What sfrom and route have in common; pure.
 */
#ifndef C2SD_DIALECT_QUESTION_H
#define C2SD_DIALECT_QUESTION_H

#include <stdbool.h>

#include "common/buffer.h"
#include "dialect/element.h"

/* Append the rest of "<iq": to the host of `address`, with that id, which needs no escaping. */
void question_put(struct buffer *out, const char *address, const char *id);

/* Is this the answer to the one with that id, whatever it says? */
bool question_is_answered(const struct element *iq, const char *id);

#endif
