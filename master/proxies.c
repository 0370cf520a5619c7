#include "master/proxies.h"

#include <arpa/inet.h>

#include "master/listener.h"

void
proxies_apply(struct proxies *proxies, const struct options *options)
{
	const char *why;

	proxies->count = 0;
	for (unsigned i = 0; i < options->proxy_count; i++)
		proxies->count += prefix_parse(&proxies->trusted[proxies->count], options->proxies[i].address, &why);
}

bool
proxies_admit(struct proxies *proxies, const struct listener *listener, const struct peer *peer)
{
	char address[INET6_ADDRSTRLEN];

	for (unsigned i = 0; i < proxies->count; i++) {
		if (prefix_covers(&proxies->trusted[i], &peer->address))
			return true;
	}
	proxies->refused++;
	/* Without the port: the same address again is only counted (doc/log.md). */
	log_warning("listener %s refused address=%s reason=no-proxy", listener->name, peer_format(peer, address));
	return false;
}
