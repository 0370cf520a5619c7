#include "common/prefix_table.h"

#include <bsd/stdlib.h>
#include <errno.h>
#include <stdlib.h>

#define BUCKETS_MIN 256

int
prefix_table_init(struct prefix_table *table)
{
	*table = (struct prefix_table){ .bucket_count = BUCKETS_MIN };
	arc4random_buf(&table->key, sizeof table->key);
	table->buckets = calloc(table->bucket_count, sizeof table->buckets[0]);
	return table->buckets == NULL ? -ENOMEM : 0;
}

void
prefix_table_deinit(struct prefix_table *table)
{
	free(table->buckets);
	*table = (struct prefix_table){ 0 };
}

static struct prefix_node **
bucket_of(const struct prefix_table *table, const struct prefix *prefix)
{
	uint8_t bytes[sizeof prefix->address + 1];

	for (size_t i = 0; i < sizeof prefix->address; i++)
		bytes[i] = prefix->address.s6_addr[i];
	bytes[sizeof prefix->address] = prefix->length;
	return &table->buckets[siphash(&table->key, bytes, sizeof bytes) & (table->bucket_count - 1)];
}

static void
node_insert(struct prefix_table *table, struct prefix_node *node)
{
	struct prefix_node **bucket = bucket_of(table, &node->prefix);

	node->next = *bucket;
	*bucket = node;
}

static void
table_resize(struct prefix_table *table, size_t bucket_count)
{
	struct prefix_node **old = table->buckets, **buckets = calloc(bucket_count, sizeof buckets[0]);
	size_t old_count = table->bucket_count;

	if (buckets == NULL)
		return;
	table->buckets = buckets;
	table->bucket_count = bucket_count;
	for (size_t i = 0; i < old_count; i++) {
		while (old[i] != NULL) {
			struct prefix_node *node = old[i];

			old[i] = node->next;
			node_insert(table, node);
		}
	}
	free(old);
}

struct prefix_node *
prefix_table_find(const struct prefix_table *table, const struct prefix *prefix)
{
	struct prefix_node *node = *bucket_of(table, prefix);

	while (node != NULL && !prefix_equals(&node->prefix, prefix))
		node = node->next;
	return node;
}

void
prefix_table_add(struct prefix_table *table, struct prefix_node *node)
{
	node_insert(table, node);
	if (++table->count > table->bucket_count)
		table_resize(table, table->bucket_count * 2);
}

void
prefix_table_remove(struct prefix_table *table, struct prefix_node *node)
{
	struct prefix_node **place = bucket_of(table, &node->prefix);

	while (*place != node)
		place = &(*place)->next;
	*place = node->next;
	node->next = NULL;
	if (--table->count < table->bucket_count / 8 && table->bucket_count > BUCKETS_MIN)
		table_resize(table, table->bucket_count / 2);
}
