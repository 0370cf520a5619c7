#include "common/prefix.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

static bool
is_ipv4(const struct prefix *prefix)
{
	return prefix->length >= PREFIX_LENGTH_IPV4 && IN6_IS_ADDR_V4MAPPED(&prefix->address);
}

/* A decimal number of at most three digits, without a leading zero. */
static bool
length_parse(const char *text, unsigned most, unsigned *length_r)
{
	unsigned length = 0, digits = 0;

	while (digits < 3 && text[digits] >= '0' && text[digits] <= '9')
		length = length * 10 + (unsigned)(text[digits++] - '0');
	if (digits == 0 || text[digits] != '\0' || (digits > 1 && text[0] == '0') || length > most)
		return false;
	*length_r = length;
	return true;
}

static bool
address_parse(struct in6_addr *address_r, const char *text, bool *dotted_r)
{
	struct in_addr four;

	*dotted_r = inet_pton(AF_INET, text, &four) == 1;
	if (!*dotted_r)
		return inet_pton(AF_INET6, text, address_r) == 1;
	*address_r = (struct in6_addr){ .s6_addr = { [10] = 0xff, [11] = 0xff } };
	memcpy(&address_r->s6_addr[12], &four, sizeof four);
	return true;
}

bool
prefix_parse(struct prefix *prefix_r, const char *text, const char **why_r)
{
	const char *slash = strchr(text, '/');
	size_t address_length = slash != NULL ? (size_t)(slash - text) : strlen(text);
	char address[INET6_ADDRSTRLEN];
	struct in6_addr parsed;
	unsigned length;
	bool dotted;

	*why_r = "not an IP address, or a network like 192.0.2.0/24 or 2001:db8::/32";
	if (address_length >= sizeof address)
		return false;
	memcpy(address, text, address_length);
	address[address_length] = '\0';
	if (!address_parse(&parsed, address, &dotted))
		return false;
	length = dotted ? PREFIX_LENGTH_MAX - PREFIX_LENGTH_IPV4 : PREFIX_LENGTH_MAX;
	if (slash != NULL && !length_parse(slash + 1, length, &length))
		return false;
	*prefix_r = prefix_around(&parsed, (uint8_t)(length + (dotted ? PREFIX_LENGTH_IPV4 : 0)));
	*why_r = "the network has bits behind its length";
	return memcmp(&parsed, &prefix_r->address, sizeof parsed) == 0;
}

struct prefix
prefix_around(const struct in6_addr *address, uint8_t length)
{
	struct prefix prefix = { .address = *address, .length = length };

	if (length % 8 != 0)
		prefix.address.s6_addr[length / 8] &= (uint8_t)(0xff << (8 - length % 8));
	for (unsigned i = (length + 7u) / 8; i < sizeof prefix.address.s6_addr; i++)
		prefix.address.s6_addr[i] = 0;
	return prefix;
}

bool
prefix_covers(const struct prefix *prefix, const struct in6_addr *address)
{
	struct prefix around = prefix_around(address, prefix->length);

	if (prefix->length < PREFIX_LENGTH_IPV4 && IN6_IS_ADDR_V4MAPPED(address))
		return false;
	return prefix_equals(prefix, &around);
}

bool
prefix_equals(const struct prefix *one, const struct prefix *other)
{
	return one->length == other->length && memcmp(&one->address, &other->address, sizeof one->address) == 0;
}

const char *
prefix_format(const struct prefix *prefix, char *text)
{
	bool ipv4 = is_ipv4(prefix);

	if (ipv4)
		inet_ntop(AF_INET, &prefix->address.s6_addr[12], text, INET6_ADDRSTRLEN);
	else
		inet_ntop(AF_INET6, &prefix->address, text, INET6_ADDRSTRLEN);
	if (prefix->length < PREFIX_LENGTH_MAX)
		sprintf(text + strlen(text), "/%u", prefix->length - (ipv4 ? PREFIX_LENGTH_IPV4 : 0u));
	return text;
}
