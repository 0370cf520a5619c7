#include "master/proxies.h"

void
proxies_apply(struct proxies *proxies, const struct options *options)
{
	proxies->count = options_networks(proxies->trusted, options->proxies, options->proxy_count);
}

bool
proxies_admit(const struct proxies *proxies, const struct peer *peer)
{
	for (size_t i = 0; i < proxies->count; i++) {
		if (prefix_covers(&proxies->trusted[i], &peer->address))
			return true;
	}
	return false;
}
