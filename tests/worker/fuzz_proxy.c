/*
 * Whatever comes first on a listener that asks for a header: it is said as early and as late as it may be, every cut agrees
 * with the whole, and an address that was read is read again from the other version's way of writing it.
 */
#include <arpa/inet.h>
#include <string.h>

#include "tests/dialect/fuzz.h"
#include "worker/proxy.h"

/* More cuts would only take time: everything longer is TLVs. */
#define CUTS_MAX 400

static void
check_cuts(const uint8_t *data, size_t size, enum proxy_outcome whole, const struct proxy_header *header)
{
	struct proxy_header cut_header;
	bool said = false;

	for (size_t cut = 0; cut <= size && cut < CUTS_MAX; cut++) {
		enum proxy_outcome outcome = proxy_parse(data, cut, &cut_header);

		must(outcome != PROXY_MORE || !said);
		if (outcome == PROXY_MORE)
			continue;
		said = true;
		must(outcome == whole && cut_header.length == header->length && cut_header.fault == header->fault);
		must(outcome == PROXY_FAILED || cut >= header->length);
		must(memcmp(&cut_header.peer.address, &header->peer.address, sizeof header->peer.address) == 0);
	}
}

static void
check_same(const void *bytes, size_t length, const struct peer *peer)
{
	struct proxy_header header;

	must(proxy_parse(bytes, length, &header) == PROXY_PEER);
	must(header.length == length && header.peer.port == peer->port);
	must(memcmp(&header.peer.address, &peer->address, sizeof peer->address) == 0);
}

static void
check_peer(const struct peer *peer)
{
	uint8_t binary[16 + 36] = "\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x24";
	char address[INET6_ADDRSTRLEN], line[PROXY_LINE_MAX + 1];
	int length = snprintf(line, sizeof line, "PROXY TCP%c %s %s %u 0\r\n", IN6_IS_ADDR_V4MAPPED(&peer->address) ? '4' : '6',
	    peer_format(peer, address), address, peer->port);

	must(length > 0 && length <= PROXY_LINE_MAX);
	check_same(line, (size_t)length, peer);
	memcpy(binary + 16, &peer->address, 16);
	binary[48] = (uint8_t)(peer->port >> 8);
	binary[49] = (uint8_t)peer->port;
	check_same(binary, sizeof binary, peer);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct proxy_header header;
	enum proxy_outcome outcome = proxy_parse(data, size, &header);

	must((outcome == PROXY_FAILED) == (header.fault != PROXY_NO_FAULT));
	must(header.length <= size && header.length <= PROXY_HEADER_MAX);
	must((outcome == PROXY_MORE || outcome == PROXY_FAILED) == (header.length == 0));
	must(outcome != PROXY_MORE || size < PROXY_HEADER_MAX);
	check_cuts(data, size, outcome, &header);
	if (outcome == PROXY_PEER)
		check_peer(&header.peer);
	return 0;
}
