/*
 * journal: records that outlive the process that wrote them, in memory that its owner gives: what a session manager that was
 * killed at any instruction must leave to the next one. Which records there are is recovery's business.
 *
 * Records are appended, and count when they are committed: one word in the area's head says how far, and is stored behind
 * everything that it covers. So whoever opens the area finds what was committed last, whole, and nothing else. The area
 * has two halves: when what is out of date outgrows the rest, the owner writes all that counts into the other half, and
 * the word points there.
 *
 *	head | half 0: record record record ...               | half 1: ...
 *	word: 0 ------------------------------^
 *
 * What belongs to a transaction of something else (the database) is prepared before it and committed behind it. Killed in
 * between, the next process asks the database: when that has the turn's number, what was prepared counts.
 *
 * Pure: memory in, memory out. The memory is given by its owner (journal_map.h) and need not all be there: `reserve` is
 * asked before bytes are touched that were not yet. What is read may be any bytes at all: they are checked.
 *
 * Overflow: a record for which there is no place sets `failed`, and nothing is committed until journal_begin. The owner
 * then voids the journal: none is better than one that lags behind.
 */
#ifndef C2SD_SESSIOND_JOURNAL_H
#define C2SD_SESSIOND_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Another one is refused: change it with every record. */
#define JOURNAL_VERSION 1

/* Of the area; each half has half of the rest. */
#define JOURNAL_HEAD 4096
#define JOURNAL_SIZE_MIN (3 * JOURNAL_HEAD)

/* Garbage that is not worth a new beginning. Each half keeps so much memory, too. */
#define JOURNAL_SLACK (1024 * 1024)

struct journal_area {
	uint8_t *bytes;		/* aligned for any type */
	size_t size;
	/* Bytes up to `end`, from `start`, are about to be written; false: there is no memory. NULL: they are all there. */
	bool (*reserve)(struct journal_area *area, size_t start, size_t end);
	/* Nobody wants what is in them. NULL: nothing is done about it. */
	void (*release)(struct journal_area *area, size_t start, size_t end);
};

enum journal_found {
	JOURNAL_GOOD = 0,
	JOURNAL_EMPTY,		/* nothing was ever committed, or it was voided */
	JOURNAL_OTHER_VERSION,
	JOURNAL_OTHER_OWNER,
	JOURNAL_BROKEN,		/* that was not written by a journal */
};

struct journal {
	struct journal_area *area;
	unsigned half;		/* that is written to */
	size_t length;		/* of its records, committed or not */
	size_t reserved;	/* bytes of it that are there */
	size_t record;		/* where the one that is being written began */
	size_t live;		/* `length` when this half was begun */
	bool failed;
};

/* One that was read; its fields are taken in order. */
struct journal_record {
	uint32_t type;
	const uint8_t *at;
	size_t length;		/* that was not taken yet */
};

struct journal_reader {
	const uint8_t *at;
	size_t length;
	bool broken;
};

/*
 * What was left in the area? JOURNAL_GOOD: the reader gives it. `owner`: of whom it must be; `turn`: the number of the last
 * transaction that came to be. Nothing is changed but the word, which then covers what was prepared for that.
 */
enum journal_found journal_open(struct journal *journal, struct journal_area *area, uint64_t owner, uint64_t turn,
    struct journal_reader *reader_r);

/* In words, for the log. */
const char *journal_found_name(enum journal_found found);

/* The next record. False: there are no more, or (`broken`) what comes is none. */
bool journal_next(struct journal_reader *reader, struct journal_record *record_r);

/* False: there is no such field. A text is terminated, and lies in the area. */
bool journal_get_number(struct journal_record *record, uint64_t *number_r);
bool journal_get_text(struct journal_record *record, const char **text_r);
bool journal_get_bytes(struct journal_record *record, const void **bytes_r, size_t *length_r);

/* Everything that counts follows, in the half that is not in use: what is committed stays so until journal_commit. */
void journal_begin(struct journal *journal, uint64_t owner);

/* Is so much of it out of date that it should be begun anew? */
bool journal_is_stale(const struct journal *journal);

/* Write a record: begin, its fields, end. */
void journal_put(struct journal *journal, uint32_t type);
void journal_put_number(struct journal *journal, uint64_t number);
void journal_put_text(struct journal *journal, const char *text);
void journal_put_bytes(struct journal *journal, const void *bytes, size_t length);
void journal_put_end(struct journal *journal);

/* All that was written counts when transaction `turn` comes to be. */
void journal_prepare(struct journal *journal, uint64_t turn);

/* It did not: forget what was written behind `length`. */
void journal_undo(struct journal *journal, size_t length);

/* All that was written counts. False: `failed`, and what counted before still does. */
bool journal_commit(struct journal *journal);

/* Nothing counts any more. */
void journal_void(struct journal *journal);

#endif
