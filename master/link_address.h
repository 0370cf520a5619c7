/*
 * link_address: where the session manager is. A name may have several addresses, which are tried in turn.
 */
#ifndef C2SD_MASTER_LINK_ADDRESS_H
#define C2SD_MASTER_LINK_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>

#define LINK_ADDRESSES_MAX 8

struct link_address {
	struct sockaddr_storage address;
	socklen_t length;
};

struct link_addresses {
	struct link_address list[LINK_ADDRESSES_MAX];
	unsigned count;
};

/*
 * Find out where HOST:PORT, [IPV6]:PORT or unix:PATH is; blocks for the name look-up, so only at start and reload. False:
 * it is nowhere, *why_r says why.
 */
bool link_resolve(struct link_addresses *addresses, const char *address, const char **why_r);

#endif
