#include "sessiond/table.h"

#include <bsd/stdlib.h>
#include <stdlib.h>
#include <string.h>

#include "common/siphash.h"

#define TABLE_SIZE_FIRST 64

uint64_t
table_hash(const char *key)
{
	static struct siphash_key secret;

	if (secret.half[0] == 0)
		arc4random_buf(&secret, sizeof secret);
	return siphash(&secret, key, strlen(key));
}

static void
table_link(struct table *table, struct table_entry *entry)
{
	struct table_entry **bucket = &table->buckets[entry->hash & (table->size - 1)];

	entry->next = *bucket;
	*bucket = entry;
}

/* Without memory the table stays as it is: longer chains, nothing lost. */
static void
table_grow(struct table *table)
{
	struct table bigger = { .size = table->size > 0 ? table->size * 2 : TABLE_SIZE_FIRST, .count = table->count };
	struct table_entry *entry;

	bigger.buckets = calloc(bigger.size, sizeof *bigger.buckets);
	if (bigger.buckets == NULL)
		return;
	for (size_t i = 0; i < table->size; i++) {
		while ((entry = table->buckets[i]) != NULL) {
			table->buckets[i] = entry->next;
			table_link(&bigger, entry);
		}
	}
	free(table->buckets);
	*table = bigger;
}

bool
table_insert(struct table *table, struct table_entry *entry, uint64_t hash)
{
	if (table->count >= table->size)
		table_grow(table);
	if (table->size == 0)
		return false;
	entry->hash = hash;
	table_link(table, entry);
	table->count++;
	return true;
}

void
table_remove(struct table *table, struct table_entry *entry)
{
	struct table_entry **place = &table->buckets[entry->hash & (table->size - 1)];

	while (*place != NULL && *place != entry)
		place = &(*place)->next;
	if (*place == NULL)
		return;
	*place = entry->next;
	table->count--;
}

struct table_entry *
table_first(const struct table *table, uint64_t hash)
{
	struct table_entry *entry = table->size == 0 ? NULL : table->buckets[hash & (table->size - 1)];

	while (entry != NULL && entry->hash != hash)
		entry = entry->next;
	return entry;
}

struct table_entry *
table_next(const struct table_entry *entry)
{
	struct table_entry *next = entry->next;

	while (next != NULL && next->hash != entry->hash)
		next = next->next;
	return next;
}

struct table_entry *
table_walk(const struct table *table, const struct table_entry *entry)
{
	size_t bucket = 0;

	if (entry != NULL && entry->next != NULL)
		return entry->next;
	if (entry != NULL)
		bucket = (size_t)(entry->hash & (table->size - 1)) + 1;
	while (bucket < table->size && table->buckets[bucket] == NULL)
		bucket++;
	return bucket < table->size ? table->buckets[bucket] : NULL;
}

void
table_deinit(struct table *table)
{
	free(table->buckets);
	*table = (struct table){ 0 };
}
