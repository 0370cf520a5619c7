#include "master/proxies.h"

void
proxies_apply(struct proxies *proxies, const struct options *options)
{
	const char *why;

	proxies->count = 0;
	for (unsigned i = 0; i < options->proxy_count; i++)
		proxies->count += prefix_parse(&proxies->trusted[proxies->count], options->proxies[i].address, &why);
}

bool
proxies_admit(const struct proxies *proxies, const struct peer *peer)
{
	for (unsigned i = 0; i < proxies->count; i++) {
		if (prefix_covers(&proxies->trusted[i], &peer->address))
			return true;
	}
	return false;
}
