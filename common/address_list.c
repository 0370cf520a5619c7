#include "common/address_list.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* By address, then the wider one, then what is denied. */
static int
rule_compare(const void *one, const void *other)
{
	const struct address_rule *left = one, *right = other;
	int order = memcmp(&left->prefix.address, &right->prefix.address, sizeof left->prefix.address);

	if (order == 0)
		order = (int)left->prefix.length - (int)right->prefix.length;
	return order != 0 ? order : (int)right->deny - (int)left->deny;
}

static void
rules_fill(struct address_list *list, const struct prefix *prefixes, size_t count, bool deny)
{
	for (size_t i = 0; i < count; i++)
		list->rules[list->count++] = (struct address_rule){ .prefix = prefixes[i], .deny = deny };
}

/* Of equal ones the first stays, which denies if any does. */
static void
rules_unite(struct address_list *list)
{
	size_t count = 0;

	for (size_t i = 0; i < list->count; i++) {
		if (count == 0 || !prefix_equals(&list->rules[count - 1].prefix, &list->rules[i].prefix))
			list->rules[count++] = list->rules[i];
	}
	list->count = count;
}

/* By their bits alone: that ::/0 has no IPv4 in it is a matter of looking up. */
static bool
lies_in(const struct prefix *inner, const struct prefix *outer)
{
	struct prefix around = prefix_around(&inner->address, outer->length);

	return inner->length >= outer->length && prefix_equals(&around, outer);
}

/* Whatever lies around a rule lies around the one before it, or is that. */
static void
rules_nest(struct address_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		int around = (int)i - 1;

		while (around >= 0 && !lies_in(&list->rules[i].prefix, &list->rules[around].prefix))
			around = list->rules[around].around;
		list->rules[i].around = around;
	}
}

int
address_list_init(struct address_list *list, const struct prefix *allow, size_t allow_count, const struct prefix *deny,
    size_t deny_count)
{
	*list = (struct address_list){ 0 };
	if (allow_count + deny_count == 0)
		return 0;
	list->allows = allow_count > 0;
	list->rules = calloc(allow_count + deny_count, sizeof list->rules[0]);
	if (list->rules == NULL) {
		*list = (struct address_list){ 0 };
		return -ENOMEM;
	}
	rules_fill(list, allow, allow_count, false);
	rules_fill(list, deny, deny_count, true);
	qsort(list->rules, list->count, sizeof list->rules[0], rule_compare);
	rules_unite(list);
	rules_nest(list);
	return 0;
}

void
address_list_deinit(struct address_list *list)
{
	free(list->rules);
	*list = (struct address_list){ 0 };
}

const struct address_rule *
address_list_find(const struct address_list *list, const struct in6_addr *address)
{
	size_t low = 0, high = list->count;
	int at;

	/* Behind the last rule that does not begin behind the address. */
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (memcmp(&list->rules[middle].prefix.address, address, sizeof *address) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	for (at = (int)low - 1; at >= 0; at = list->rules[at].around) {
		if (prefix_covers(&list->rules[at].prefix, address))
			return &list->rules[at];
	}
	return NULL;
}

bool
address_list_permits(const struct address_list *list, const struct in6_addr *address)
{
	const struct address_rule *rule = address_list_find(list, address);

	return rule != NULL ? !rule->deny : !list->allows;
}
