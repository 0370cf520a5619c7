#include "sessiond/journal.h"

#include <stdatomic.h>
#include <string.h>

/* Asked for at a time. */
#define RESERVE_BYTES (256 * 1024)

/* A word: which half, and how many bytes of it. 0: nothing. */
#define WORD_HALF (UINT64_C(1) << 63)

struct head {
	char magic[8];
	uint32_t version;
	uint32_t head_size;
	uint64_t owner;
	uint64_t size;			/* of the area */
	_Atomic uint64_t committed;	/* a word */
	_Atomic uint64_t prepared;	/* likewise, when `turn` has come to be */
	uint64_t turn;
};

struct record_head {
	uint32_t length;	/* without this head */
	uint32_t type;
};

static const char magic[8] = "c2sd-jou";

static struct head *
head_of(const struct journal *journal)
{
	return (struct head *)(void *)journal->area->bytes;
}

static size_t
half_size(const struct journal_area *area)
{
	return (area->size - JOURNAL_HEAD) / 2 / JOURNAL_HEAD * JOURNAL_HEAD;
}

static size_t
half_start(const struct journal_area *area, unsigned half)
{
	return JOURNAL_HEAD + half * half_size(area);
}

static uint64_t
word_make(unsigned half, size_t length)
{
	return length == 0 ? 0 : (half == 0 ? 0 : WORD_HALF) | length;
}

static unsigned
word_half(uint64_t word)
{
	return (word & WORD_HALF) != 0;
}

static size_t
word_length(uint64_t word)
{
	return word & ~WORD_HALF;
}

/* ---- what was left ---- */

const char *
journal_found_name(enum journal_found found)
{
	static const char *const names[] = {
		[JOURNAL_GOOD] = "good", [JOURNAL_EMPTY] = "empty", [JOURNAL_OTHER_VERSION] = "other-version",
		[JOURNAL_OTHER_OWNER] = "other-database", [JOURNAL_BROKEN] = "unreadable",
	};

	return names[found];
}

static enum journal_found
head_check(const struct head *head, const struct journal_area *area, uint64_t owner)
{
	static const char nothing[sizeof magic];

	if (memcmp(head->magic, nothing, sizeof nothing) == 0)
		return JOURNAL_EMPTY;
	if (memcmp(head->magic, magic, sizeof magic) != 0)
		return JOURNAL_BROKEN;
	if (head->version != JOURNAL_VERSION)
		return JOURNAL_OTHER_VERSION;
	if (head->head_size != sizeof *head || head->size != area->size)
		return JOURNAL_BROKEN;
	return head->owner == owner ? JOURNAL_GOOD : JOURNAL_OTHER_OWNER;
}

/* Killed between the transaction and our commit. */
static uint64_t
word_counting(struct head *head, uint64_t turn)
{
	uint64_t committed = atomic_load_explicit(&head->committed, memory_order_acquire);
	uint64_t prepared = atomic_load_explicit(&head->prepared, memory_order_acquire);

	if (prepared == 0 || head->turn != turn || word_half(prepared) != word_half(committed) ||
	    word_length(prepared) <= word_length(committed))
		return committed;
	atomic_store_explicit(&head->committed, prepared, memory_order_release);
	return prepared;
}

enum journal_found
journal_open(struct journal *journal, struct journal_area *area, uint64_t owner, uint64_t turn,
    struct journal_reader *reader_r)
{
	struct head *head = (struct head *)(void *)area->bytes;
	enum journal_found found = head_check(head, area, owner);
	uint64_t word;

	*journal = (struct journal){ .area = area };
	*reader_r = (struct journal_reader){ 0 };
	if (found != JOURNAL_GOOD)
		return found;
	word = word_counting(head, turn);
	if (word_length(word) == 0)
		return JOURNAL_EMPTY;
	if (word_length(word) > half_size(area))
		return JOURNAL_BROKEN;
	journal->half = word_half(word);
	reader_r->at = area->bytes + half_start(area, journal->half);
	reader_r->length = word_length(word);
	return JOURNAL_GOOD;
}

bool
journal_next(struct journal_reader *reader, struct journal_record *record_r)
{
	struct record_head head;

	if (reader->length == 0)
		return false;
	reader->broken = true;
	if (reader->length < sizeof head)
		return false;
	memcpy(&head, reader->at, sizeof head);
	if (head.length > reader->length - sizeof head)
		return false;
	*record_r = (struct journal_record){ .type = head.type, .at = reader->at + sizeof head, .length = head.length };
	reader->at += sizeof head + head.length;
	reader->length -= sizeof head + head.length;
	reader->broken = false;
	return true;
}

static bool
field_take(struct journal_record *record, void *field_r, size_t length)
{
	if (record->length < length)
		return false;
	memcpy(field_r, record->at, length);
	record->at += length;
	record->length -= length;
	return true;
}

bool
journal_get_number(struct journal_record *record, uint64_t *number_r)
{
	return field_take(record, number_r, sizeof *number_r);
}

bool
journal_get_bytes(struct journal_record *record, const void **bytes_r, size_t *length_r)
{
	uint32_t length;

	if (!field_take(record, &length, sizeof length) || record->length < length)
		return false;
	*bytes_r = record->at;
	*length_r = length;
	record->at += length;
	record->length -= length;
	return true;
}

bool
journal_get_text(struct journal_record *record, const char **text_r)
{
	const void *bytes;
	size_t length;

	if (!journal_get_bytes(record, &bytes, &length) || length == 0 || memchr(bytes, '\0', length) !=
	    (const char *)bytes + length - 1)
		return false;
	*text_r = bytes;
	return true;
}

/* ---- what is written ---- */

static void
word_commit(struct journal *journal, uint64_t word)
{
	struct head *head = head_of(journal);

	atomic_store_explicit(&head->committed, word, memory_order_release);
	atomic_store_explicit(&head->prepared, 0, memory_order_release);
}

static void
half_release(struct journal *journal, unsigned half)
{
	struct journal_area *area = journal->area;
	size_t start = half_start(area, half);

	if (area->release != NULL && half_size(area) > JOURNAL_SLACK)
		area->release(area, start + JOURNAL_SLACK, start + half_size(area));
}

static bool
head_write(struct journal *journal, uint64_t owner)
{
	struct journal_area *area = journal->area;
	struct head *head = head_of(journal);

	if (area->size < JOURNAL_SIZE_MIN || (area->reserve != NULL && !area->reserve(area, 0, JOURNAL_HEAD)))
		return false;
	if (head_check(head, area, owner) == JOURNAL_GOOD)
		return true;
	*head = (struct head){ .version = JOURNAL_VERSION, .head_size = sizeof *head, .owner = owner, .size = area->size };
	atomic_signal_fence(memory_order_release);
	memcpy(head->magic, magic, sizeof magic);
	return true;
}

/* Whatever is prepared was for the half that is left. */
void
journal_begin(struct journal *journal, uint64_t owner)
{
	struct journal_area *area = journal->area;

	journal->failed = !head_write(journal, owner);
	journal->half = !journal->half;
	journal->length = journal->reserved = journal->live = 0;
	if (!journal->failed)
		atomic_store_explicit(&head_of(journal)->prepared, 0, memory_order_release);
	if (area->reserve == NULL)
		journal->reserved = half_size(area);
}

bool
journal_is_stale(const struct journal *journal)
{
	return journal->length > 2 * journal->live + JOURNAL_SLACK / 2 && journal->live > 0;
}

/* False: it is not to be had. */
static bool
place_reserve(struct journal *journal, size_t end)
{
	struct journal_area *area = journal->area;
	size_t start = half_start(area, journal->half), whole = half_size(area), next;

	if (end <= journal->reserved)
		return true;
	if (end > whole)
		return false;
	next = whole - end < RESERVE_BYTES ? whole : end + RESERVE_BYTES;
	if (!area->reserve(area, start + journal->reserved, start + next))
		return false;
	journal->reserved = next;
	return true;
}

static void
append(struct journal *journal, const void *bytes, size_t length)
{
	if (journal->failed)
		return;
	if (length > half_size(journal->area) || !place_reserve(journal, journal->length + length)) {
		journal->failed = true;
		return;
	}
	memcpy(journal->area->bytes + half_start(journal->area, journal->half) + journal->length, bytes, length);
	journal->length += length;
}

void
journal_put(struct journal *journal, uint32_t type)
{
	const struct record_head head = { .type = type };

	journal->record = journal->length;
	append(journal, &head, sizeof head);
}

void
journal_put_number(struct journal *journal, uint64_t number)
{
	append(journal, &number, sizeof number);
}

void
journal_put_bytes(struct journal *journal, const void *bytes, size_t length)
{
	uint32_t prefix = (uint32_t)length;

	if (length > UINT32_MAX) {
		journal->failed = true;
		return;
	}
	append(journal, &prefix, sizeof prefix);
	if (length > 0)
		append(journal, bytes, length);
}

void
journal_put_text(struct journal *journal, const char *text)
{
	journal_put_bytes(journal, text, strlen(text) + 1);
}

void
journal_put_end(struct journal *journal)
{
	size_t length = journal->length - journal->record - sizeof(struct record_head);
	uint32_t field = (uint32_t)length;

	if (journal->failed)
		return;
	if (length > UINT32_MAX)
		journal->failed = true;
	else
		memcpy(journal->area->bytes + half_start(journal->area, journal->half) + journal->record, &field, sizeof field);
}

void
journal_prepare(struct journal *journal, uint64_t turn)
{
	struct head *head = head_of(journal);

	if (journal->failed)
		return;
	atomic_store_explicit(&head->prepared, 0, memory_order_release);
	atomic_signal_fence(memory_order_seq_cst);
	head->turn = turn;
	atomic_store_explicit(&head->prepared, word_make(journal->half, journal->length), memory_order_release);
}

void
journal_undo(struct journal *journal, size_t length)
{
	if (journal->failed)
		return;
	atomic_store_explicit(&head_of(journal)->prepared, 0, memory_order_release);
	atomic_signal_fence(memory_order_seq_cst);
	journal->length = length;
}

bool
journal_commit(struct journal *journal)
{
	bool fresh = journal->live == 0;

	if (journal->failed)
		return false;
	word_commit(journal, word_make(journal->half, journal->length));
	if (!fresh)
		return true;
	journal->live = journal->length;
	half_release(journal, !journal->half);
	return true;
}

void
journal_void(struct journal *journal)
{
	if (head_check(head_of(journal), journal->area, head_of(journal)->owner) == JOURNAL_GOOD)
		word_commit(journal, 0);
	half_release(journal, 0);
	half_release(journal, 1);
	journal->length = journal->reserved = journal->live = 0;
	journal->failed = true;
}
