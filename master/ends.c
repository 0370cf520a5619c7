#include "master/ends.h"

void
ends_count(struct ends *ends, const struct client_end *end)
{
	ends->reasons[end->reason]++;
	ends->conditions[end->condition]++;
	ends->limits[end->limit]++;
}
