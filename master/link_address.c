#include "master/link_address.h"

#include <netdb.h>
#include <string.h>
#include <sys/un.h>

static bool
resolve_unix(struct link_addresses *addresses, const char *path)
{
	struct sockaddr_un *address = (struct sockaddr_un *)(void *)&addresses->list[0].address;

	if (strlen(path) >= sizeof address->sun_path)
		return false;
	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	memcpy(address->sun_path, path, strlen(path));
	addresses->list[0].length = sizeof *address;
	addresses->count = 1;
	return true;
}

/* "host:port" or "[v6]:port" taken apart; false: it is neither. */
static bool
host_and_port(const char *text, char *host, size_t size, const char **port_r)
{
	const char *colon = strrchr(text, ':');
	size_t length;

	if (colon == NULL || colon[1] == '\0')
		return false;
	*port_r = colon + 1;
	length = (size_t)(colon - text);
	if (length >= 2 && text[0] == '[' && text[length - 1] == ']') {
		text++;
		length -= 2;
	}
	if (length == 0 || length >= size)
		return false;
	memcpy(host, text, length);
	host[length] = '\0';
	return true;
}

bool
link_resolve(struct link_addresses *addresses, const char *address, const char **why_r)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list;
	char host[256];
	const char *port;
	int error;

	*why_r = "not HOST:PORT, [IPV6]:PORT or unix:PATH";
	if (strncmp(address, "unix:", 5) == 0)
		return resolve_unix(addresses, address + 5);
	if (!host_and_port(address, host, sizeof host, &port))
		return false;
	error = getaddrinfo(host, port, &hints, &list);
	if (error != 0) {
		*why_r = gai_strerror(error);
		return false;
	}
	addresses->count = 0;
	for (struct addrinfo *one = list; one != NULL && addresses->count < LINK_ADDRESSES_MAX; one = one->ai_next) {
		memcpy(&addresses->list[addresses->count].address, one->ai_addr, one->ai_addrlen);
		addresses->list[addresses->count++].length = one->ai_addrlen;
	}
	freeaddrinfo(list);
	return true;
}
