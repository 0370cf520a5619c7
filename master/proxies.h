/*
 * proxies: who may connect to a listener with proxy="yes", and say there that he comes from somewhere else.
 *
 * The header itself is the worker's to read (worker/proxy.h); what it says comes back as W2M_ADDRESS (arrivals.h).
 */
#ifndef C2SD_MASTER_PROXIES_H
#define C2SD_MASTER_PROXIES_H

#include "common/prefix.h"
#include "master/options.h"

struct listener;

struct proxies {
	struct prefix trusted[PROXIES_MAX];
	unsigned count;
	uint64_t refused;	/* connections, since the master was started */
};

/* From now on those of these options, which were checked. */
void proxies_apply(struct proxies *proxies, const struct options *options);

/* May this connection to a listener with proxy="yes" be taken? If not, that is counted and said in the log. */
bool proxies_admit(struct proxies *proxies, const struct listener *listener, const struct peer *peer);

#endif
