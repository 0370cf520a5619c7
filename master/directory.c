#include "master/directory.h"

#include <bsd/stdlib.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS_FIRST 64
#define BUCKETS_FIRST 256

/* 65 bits of randomness in the characters that an id may have, without its separator. */
static void
nonce_make(char *nonce)
{
	static const char digits[] = "0123456789abcdefghijklmnopqrstuv";

	for (unsigned i = 0; i < DIRECTORY_NONCE_SIZE - 1; i++)
		nonce[i] = digits[arc4random_uniform(32)];
	nonce[DIRECTORY_NONCE_SIZE - 1] = '\0';
}

int
directory_init(struct directory *directory, uint32_t workers)
{
	*directory = (struct directory){ .workers = workers, .bucket_count = BUCKETS_FIRST };
	nonce_make(directory->nonce);
	TAILQ_INIT(&directory->waiting);
	slab_init(&directory->entries, sizeof(struct entry));
	texts_init(&directory->addresses);
	directory->tables = calloc(workers, sizeof directory->tables[0]);
	directory->buckets = calloc(directory->bucket_count, sizeof directory->buckets[0]);
	return directory->tables == NULL || directory->buckets == NULL ? -ENOMEM : 0;
}

static void
entry_free(struct directory *directory, struct entry *entry)
{
	struct kept *kept;

	while ((kept = STAILQ_FIRST(&entry->kept)) != NULL) {
		STAILQ_REMOVE_HEAD(&entry->kept, entry);
		free(kept);
	}
	texts_remove(&directory->addresses, entry->address);
	texts_remove(&directory->addresses, entry->notice);
	slab_free(&directory->entries, entry);
}

void
directory_deinit(struct directory *directory)
{
	for (uint32_t worker = 0; directory->tables != NULL && worker < directory->workers; worker++) {
		for (uint32_t slot = 0; slot < directory->tables[worker].size; slot++) {
			if (directory->tables[worker].entries[slot] != NULL)
				entry_free(directory, directory->tables[worker].entries[slot]);
		}
		free(directory->tables[worker].entries);
	}
	free(directory->tables);
	free(directory->buckets);
	for (unsigned i = 0; i < directory->host_count; i++)
		free(directory->hosts[i]);
	free(directory->hosts);
	slab_deinit(&directory->entries);
	texts_deinit(&directory->addresses);
	*directory = (struct directory){ 0 };
}

static bool
table_grow(struct slot_table *table)
{
	uint32_t size = table->size > 0 ? table->size * 2 : SLOTS_FIRST;
	struct entry **entries = reallocarray(table->entries, size, sizeof entries[0]);

	if (entries == NULL)
		return false;
	memset(entries + table->size, 0, (size - table->size) * sizeof entries[0]);
	table->entries = entries;
	table->size = size;
	return true;
}

static bool
table_place(struct slot_table *table, struct entry *entry)
{
	uint32_t slot = table->free_hint;

	while (slot < table->size && table->entries[slot] != NULL)
		slot++;
	if (slot == table->size && !table_grow(table))
		return false;
	table->entries[slot] = entry;
	table->free_hint = slot + 1;
	table->count++;
	entry->slot = slot;
	return true;
}

static void
table_release(struct slot_table *table, const struct entry *entry)
{
	table->entries[entry->slot] = NULL;
	table->count--;
	if (entry->slot < table->free_hint)
		table->free_hint = entry->slot;
}

static void
waits_no_more(struct directory *directory, struct entry *entry)
{
	if (entry->waiting.tqe_prev == NULL)
		return;
	TAILQ_REMOVE(&directory->waiting, entry, waiting);
	entry->waiting.tqe_prev = NULL;
}

struct entry *
directory_add(struct directory *directory, uint32_t worker)
{
	struct entry *entry = slab_new(&directory->entries);

	if (entry == NULL)
		return NULL;
	STAILQ_INIT(&entry->kept);
	entry->fd = -1;
	entry->worker = worker;
	entry->serial = ++directory->serial;
	if (!table_place(&directory->tables[worker], entry)) {
		slab_free(&directory->entries, entry);
		return NULL;
	}
	directory->count++;
	TAILQ_INSERT_TAIL(&directory->waiting, entry, waiting);
	return entry;
}

void
directory_leaves(struct directory *directory, struct entry *entry, enum end_reason reason)
{
	waits_no_more(directory, entry);
	entry->closing = true;
	entry->close_reason = (uint8_t)reason;
	directory->leaving++;
	directory->crowded += reason == END_CROWDED;
}

bool
directory_move(struct directory *directory, struct entry *entry, uint32_t worker)
{
	struct entry before = *entry;

	if (!table_place(&directory->tables[worker], entry))
		return false;
	table_release(&directory->tables[before.worker], &before);
	entry->worker = worker;
	entry->serial = ++directory->serial;
	return true;
}

/* ---- by address ---- */

static size_t
bucket_of(const struct directory *directory, const char *address, size_t length)
{
	uint64_t hash = 14695981039346656037u;	/* FNV-1a */

	for (size_t i = 0; i < length; i++)
		hash = (hash ^ (uint8_t)address[i]) * 1099511628211u;
	return (size_t)(hash ^ hash >> 32) & (directory->bucket_count - 1);
}

static void
buckets_grow(struct directory *directory)
{
	size_t count = directory->bucket_count, before = count;
	struct entry **old = directory->buckets, **buckets = calloc(count * 2, sizeof buckets[0]);

	/* Longer chains are slower and not wrong. */
	if (buckets == NULL)
		return;
	directory->buckets = buckets;
	directory->bucket_count = count * 2;
	for (size_t i = 0; i < before; i++) {
		while (old[i] != NULL) {
			struct entry *entry = old[i];
			size_t bucket = bucket_of(directory, entry->address, strlen(entry->address));

			old[i] = entry->next;
			entry->next = buckets[bucket];
			buckets[bucket] = entry;
		}
	}
	free(old);
}

static void
address_forget(struct directory *directory, struct entry *entry)
{
	struct entry **place;

	if (entry->address == NULL)
		return;
	place = &directory->buckets[bucket_of(directory, entry->address, strlen(entry->address))];
	while (*place != NULL && *place != entry)
		place = &(*place)->next;
	if (*place == entry)
		*place = entry->next;
	entry->next = NULL;
	texts_remove(&directory->addresses, entry->address);
	entry->address = NULL;
	directory->session_count--;
}

bool
directory_set_address(struct directory *directory, struct entry *entry, struct range address)
{
	size_t bucket;

	if (entry->address != NULL && range_equals(address, entry->address))
		return true;
	address_forget(directory, entry);
	entry->address = texts_add(&directory->addresses, address.at, address.length);
	if (entry->address == NULL)
		return false;
	waits_no_more(directory, entry);
	entry->superseded = false;
	/* What it is forgotten by: a zero byte in what we were given ends it. */
	address = (struct range){ entry->address, strlen(entry->address) };
	if (directory->session_count >= directory->bucket_count)
		buckets_grow(directory);
	bucket = bucket_of(directory, address.at, address.length);
	for (struct entry *other = directory->buckets[bucket]; other != NULL; other = other->next)
		other->superseded |= range_equals(address, other->address);
	entry->next = directory->buckets[bucket];
	directory->buckets[bucket] = entry;
	directory->session_count++;
	return true;
}

void
directory_renew(struct directory *directory, struct entry *entry)
{
	/* An answer that nobody asked for has promised it an address. */
	if (entry->address != NULL && !entry->closing)
		TAILQ_INSERT_TAIL(&directory->waiting, entry, waiting);
	address_forget(directory, entry);
	entry->serial = ++directory->serial;
	entry->host = 0;
	entry->spoke = false;
	entry->superseded = entry->ended_upstream = entry->goodbye = false;
	entry->doubtful = entry->probed = entry->forgotten = entry->managed = false;
	entry->renewed = entry->renewal_unseen = true;
}

bool
directory_set_host(struct directory *directory, struct entry *entry, struct range raw, bool ours)
{
	unsigned most = ours ? UINT16_MAX : DIRECTORY_HOSTS_MAX;
	char **hosts;

	for (unsigned i = 0; i < directory->host_count; i++) {
		if (!range_decodes_to(raw, directory->hosts[i]))
			continue;
		entry->host = (uint16_t)(i + 1);
		return true;
	}
	hosts = directory->host_count >= most ? NULL :
	    reallocarray(directory->hosts, directory->host_count + 1u, sizeof *hosts);
	if (hosts == NULL)
		return false;
	directory->hosts = hosts;
	hosts[directory->host_count] = range_strdup_decoded(raw);
	if (hosts[directory->host_count] == NULL)
		return false;
	entry->host = ++directory->host_count;
	return true;
}

const char *
directory_host(const struct directory *directory, const struct entry *entry)
{
	return entry->host == 0 ? NULL : directory->hosts[entry->host - 1];
}

bool
directory_set_notice(struct directory *directory, struct entry *entry, struct range notice)
{
	entry->notice = texts_add(&directory->addresses, notice.at, notice.length);
	return entry->notice != NULL;
}

void
directory_remove(struct directory *directory, struct entry *entry)
{
	address_forget(directory, entry);
	waits_no_more(directory, entry);
	table_release(&directory->tables[entry->worker], entry);
	directory->leaving -= entry->closing;
	directory->crowded -= entry->closing && entry->close_reason == END_CROWDED;
	directory->count--;
	if (entry->managed && !entry->forgotten)
		directory->managed[directory->managed_next++ % DIRECTORY_MANAGED_MAX] = entry->serial;
	entry_free(directory, entry);
}

/* ---- by id ---- */

static struct entry *
at_slot(const struct directory *directory, uint32_t worker, uint32_t slot)
{
	if (worker >= directory->workers || slot >= directory->tables[worker].size)
		return NULL;
	return directory->tables[worker].entries[slot];
}

struct entry *
directory_at(const struct directory *directory, uint32_t worker, uint32_t slot, uint64_t serial)
{
	struct entry *entry = at_slot(directory, worker, slot);

	return entry != NULL && entry->serial == serial ? entry : NULL;
}

struct entry *
directory_next(const struct directory *directory, const struct entry *entry)
{
	uint32_t slot = entry == NULL ? 0 : entry->slot + 1;

	for (uint32_t worker = entry == NULL ? 0 : entry->worker; worker < directory->workers; worker++, slot = 0) {
		const struct slot_table *table = &directory->tables[worker];

		for (; slot < table->size; slot++) {
			if (table->entries[slot] != NULL)
				return table->entries[slot];
		}
	}
	return NULL;
}

struct entry *
directory_at_before(const struct directory *directory, uint32_t worker, uint32_t slot, uint64_t serial)
{
	struct entry *entry = at_slot(directory, worker, slot);

	return entry != NULL && entry->renewal_unseen && serial < entry->serial ? entry : NULL;
}

/* A decimal number of at most 20 digits without leading zeros, then `end`. */
static bool
number_read(struct range *text, char end, uint64_t *number_r)
{
	uint64_t number = 0;
	size_t digits = 0;

	while (digits < text->length && text->at[digits] >= '0' && text->at[digits] <= '9') {
		if (number > (UINT64_MAX - 9) / 10)
			return false;
		number = number * 10 + (uint64_t)(text->at[digits++] - '0');
	}
	if (digits == 0 || (digits > 1 && text->at[0] == '0'))
		return false;
	if (end != '\0' ? digits == text->length || text->at[digits] != end : digits != text->length)
		return false;
	digits += end != '\0';
	text->at += digits;
	text->length -= digits;
	*number_r = number;
	return true;
}

/* What an id of ours says. False: it is none. */
static bool
id_read(const struct directory *directory, struct range id, uint64_t *worker_r, uint64_t *slot_r, uint64_t *serial_r)
{
	size_t nonce = strlen(directory->nonce);

	if (id.length <= nonce || memcmp(id.at, directory->nonce, nonce) != 0 || id.at[nonce] != '.')
		return false;
	id.at += nonce + 1;
	id.length -= nonce + 1;
	return number_read(&id, '.', worker_r) && number_read(&id, '.', slot_r) && number_read(&id, '\0', serial_r);
}

struct entry *
directory_find(const struct directory *directory, struct range id)
{
	uint64_t worker, slot, serial;

	if (!id_read(directory, id, &worker, &slot, &serial) || worker > UINT32_MAX || slot > UINT32_MAX)
		return NULL;
	return directory_at(directory, (uint32_t)worker, (uint32_t)slot, serial);
}

bool
directory_was_managed(const struct directory *directory, struct range id)
{
	uint64_t worker, slot, serial;

	/* No serial number is 0, which stands in what was never used. */
	if (!id_read(directory, id, &worker, &slot, &serial) || serial == 0)
		return false;
	for (unsigned i = 0; i < DIRECTORY_MANAGED_MAX; i++) {
		if (directory->managed[i] == serial)
			return true;
	}
	return false;
}

void
directory_lose_managed(struct directory *directory)
{
	memset(directory->managed, 0, sizeof directory->managed);
}

const char *
directory_id(const struct directory *directory, const struct entry *entry, char *id)
{
	snprintf(id, DIRECTORY_ID_SIZE, "%s.%" PRIu32 ".%" PRIu32 ".%" PRIu64, directory->nonce, entry->worker, entry->slot,
	    entry->serial);
	return id;
}
