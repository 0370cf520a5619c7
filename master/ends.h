/*
 * ends: how many clients have ended, and of what, since the master was started. For the operator (doc/control.md), who
 * sees there which limit is too low, or who does not keep to which rule.
 */
#ifndef C2SD_MASTER_ENDS_H
#define C2SD_MASTER_ENDS_H

#include "ipc/message.h"

/* `conditions` are of those that were told a stream error, `limits` of those that were above one. */
struct ends {
	uint64_t reasons[END_REASON_COUNT];	/* each client has one */
	uint64_t conditions[CONDITION_COUNT];
	uint64_t limits[END_LIMIT_COUNT];
};

void ends_count(struct ends *ends, const struct client_end *end);

#endif
