/*
 * prefix_table: a hash table of things that belong to an address or a network, keyed at random: whoever chooses his
 * addresses, as everybody can who has an IPv6 network, chooses no bucket.
 *
 * A node is embedded in its owner's struct, and nothing is allocated for it here. The buckets grow with the nodes and shrink
 * with them; without memory chains become longer, which is slower and not wrong.
 */
#ifndef C2SD_COMMON_PREFIX_TABLE_H
#define C2SD_COMMON_PREFIX_TABLE_H

#include <stddef.h>

#include "common/prefix.h"
#include "common/siphash.h"

struct prefix_node {
	struct prefix_node *next;	/* with the same hash */
	struct prefix prefix;
};

struct prefix_table {
	struct siphash_key key;
	struct prefix_node **buckets;
	size_t bucket_count;		/* a power of two */
	size_t count;
};

/* 0 or -ENOMEM. */
int prefix_table_init(struct prefix_table *table) __attribute__((warn_unused_result));

/* The nodes are forgotten, and their owners'. May be called twice. */
void prefix_table_deinit(struct prefix_table *table);

/* NULL: there is none. */
struct prefix_node *prefix_table_find(const struct prefix_table *table, const struct prefix *prefix);

/* `node->prefix` is set, and no node with that prefix is in the table. */
void prefix_table_add(struct prefix_table *table, struct prefix_node *node);

/* One that is in the table. */
void prefix_table_remove(struct prefix_table *table, struct prefix_node *node);

#endif
