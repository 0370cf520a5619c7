/*
 * table: a hash table of objects that live elsewhere (an entry is embedded in each). Keyed with a secret of the
 * process, because users choose the strings in it. Zeroed memory is an empty table.
 */
#ifndef C2SD_SESSIOND_TABLE_H
#define C2SD_SESSIOND_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct table_entry {
	struct table_entry *next;
	uint64_t hash;
};

struct table {
	struct table_entry **buckets;
	size_t size;		/* a power of two, or 0 */
	size_t count;
};

uint64_t table_hash(const char *key);

/* False without memory for the very first one; later ones always find a place. */
bool table_insert(struct table *table, struct table_entry *entry, uint64_t hash) __attribute__((warn_unused_result));
void table_remove(struct table *table, struct table_entry *entry);

/* The entries with that hash: first, then next; NULL: no more. The caller compares keys. */
struct table_entry *table_first(const struct table *table, uint64_t hash);
struct table_entry *table_next(const struct table_entry *entry);

/* All of them, in no order: the one behind `entry`, NULL the first. The table must not change meanwhile. */
struct table_entry *table_walk(const struct table *table, const struct table_entry *entry);

void table_deinit(struct table *table);

#endif
