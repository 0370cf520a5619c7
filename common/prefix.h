/*
 * prefix: an IP address, or a network of them as it is written with its length ("192.0.2.0/24", "2001:db8::/32";
 * RFC 4632 3.1, RFC 4291 2.3).
 *
 * Every address is one of IPv6, an IPv4 address the mapped one (RFC 4291 2.5.5.2): 192.0.2.7 and ::ffff:192.0.2.7 are the
 * same, and so are 192.0.2.0/24 and ::ffff:192.0.2.0/120. A network of IPv6 that is wider than all of IPv4 has nothing of
 * IPv4 in it: ::/0 is IPv6, 0.0.0.0/0 is IPv4.
 *
 * Pure.
 */
#ifndef C2SD_COMMON_PREFIX_H
#define C2SD_COMMON_PREFIX_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

/* The length of one address; of IPv4 in IPv6. */
#define PREFIX_LENGTH_MAX 128
#define PREFIX_LENGTH_IPV4 96

/* Longest text: the longest address, "/128". */
#define PREFIX_TEXT_SIZE (INET6_ADDRSTRLEN + 4)

struct prefix {
	struct in6_addr address;	/* the bits behind the length are zero */
	uint8_t length;			/* of IPv6: for IPv4 96 more than is written */
};

/* Read one. False: `why_r` says what is wrong ("not an IP address"); no network is written with bits behind its length. */
bool prefix_parse(struct prefix *prefix_r, const char *text, const char **why_r);

/* The network of that length around an address. */
struct prefix prefix_around(const struct in6_addr *address, uint8_t length);

/* Is the address in it? */
bool prefix_covers(const struct prefix *prefix, const struct in6_addr *address);

bool prefix_equals(const struct prefix *one, const struct prefix *other);

/* As prefix_parse reads it, a single address without a length; `text` has room for PREFIX_TEXT_SIZE. */
const char *prefix_format(const struct prefix *prefix, char *text);

#endif
