#include "sessiond/table.h"

#include <bsd/stdlib.h>
#include <stdlib.h>
#include <string.h>

#define TABLE_SIZE_FIRST 64

static uint64_t
rotate(uint64_t value, unsigned bits)
{
	return value << bits | value >> (64 - bits);
}

static void
sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotate(v[1], 13) ^ v[0];
	v[0] = rotate(v[0], 32);
	v[2] += v[3];
	v[3] = rotate(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotate(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotate(v[1], 17) ^ v[2];
	v[2] = rotate(v[2], 32);
}

static uint64_t
word_read(const char *at, size_t length)
{
	uint64_t word = 0;

	memcpy(&word, at, length);
	return word;
}

/* SipHash-1-3 (Aumasson and Bernstein): made for this. */
uint64_t
table_hash(const char *key)
{
	static uint64_t secret[2];
	size_t length = strlen(key);
	size_t left = length;
	uint64_t v[4];
	uint64_t word;

	if (secret[0] == 0)
		arc4random_buf(secret, sizeof secret);
	v[0] = secret[0] ^ UINT64_C(0x736f6d6570736575);
	v[1] = secret[1] ^ UINT64_C(0x646f72616e646f6d);
	v[2] = secret[0] ^ UINT64_C(0x6c7967656e657261);
	v[3] = secret[1] ^ UINT64_C(0x7465646279746573);
	for (; left >= 8; left -= 8, key += 8) {
		word = word_read(key, 8);
		v[3] ^= word;
		sip_round(v);
		v[0] ^= word;
	}
	word = word_read(key, left) | (uint64_t)length << 56;
	v[3] ^= word;
	sip_round(v);
	v[0] ^= word;
	v[2] ^= 0xff;
	for (int i = 0; i < 3; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
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

void
table_deinit(struct table *table)
{
	free(table->buckets);
	*table = (struct table){ 0 };
}
