/*
 * address_list: addresses and networks that are allowed, and such that are denied.
 *
 * The rule: of all entries that an address is in, the one with the longest prefix decides (an address beats its network,
 * a network the wider one around it); where an address or network stands in both lists, it is denied. An address that is
 * in no entry is permitted, unless there is anything that is allowed: then it is not. (So it was with the ancestors:
 * exact beats network, deny beats allow, and whoever allows somebody denies everybody else.)
 *
 * A look-up is a binary search, and a few steps outwards where entries lie inside each other. The struct owns its rules.
 */
#ifndef C2SD_COMMON_ADDRESS_LIST_H
#define C2SD_COMMON_ADDRESS_LIST_H

#include <stddef.h>

#include "common/prefix.h"

struct address_rule {
	struct prefix prefix;
	bool deny;
	int around;		/* the narrowest rule that this one lies in; -1: none */
};

/* Zeroed memory is an empty list, which permits everything. */
struct address_list {
	struct address_rule *rules;	/* sorted by address, the wider one of the same first; no two are equal */
	size_t count;
	bool allows;			/* something was allowed */
};

/* 0 or -ENOMEM (the list is empty then). address_list_deinit; it may be called twice. */
int address_list_init(struct address_list *list, const struct prefix *allow, size_t allow_count,
    const struct prefix *deny, size_t deny_count) __attribute__((warn_unused_result));
void address_list_deinit(struct address_list *list);

/* The entry that decides about an address; NULL: none. */
const struct address_rule *address_list_find(const struct address_list *list, const struct in6_addr *address);

bool address_list_permits(const struct address_list *list, const struct in6_addr *address);

#endif
