/*
 * proxies: who may connect to a listener with proxy="yes", and say there that he comes from somewhere else.
 *
 * The header itself is the worker's to read (worker/proxy.h); what it says comes back as W2M_ADDRESS (arrivals.h).
 */
#ifndef C2SD_MASTER_PROXIES_H
#define C2SD_MASTER_PROXIES_H

#include "common/prefix.h"
#include "master/options.h"

struct proxies {
	struct prefix trusted[PROXIES_MAX];
	size_t count;
};

/* From now on those of these options, which were checked. */
void proxies_apply(struct proxies *proxies, const struct options *options);

/* May this connection to a listener with proxy="yes" be taken? If not, the gate refuses it (gate.h). */
bool proxies_admit(const struct proxies *proxies, const struct peer *peer);

#endif
