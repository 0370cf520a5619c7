#include <bsd/sys/queue.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "common/sanitizer.h"
#include "common/wiping.h"
#include "worker/tls_openssl.h"

/*
 * Address space for all runs. What is not used of it costs nothing; what does not fit into it, or all where there is no
 * such space, is malloc's. Enough for 75,000 connections.
 */
#define SPACE_SIZE ((size_t)1 << 30)

/* Holds 17 of the largest blocks (7.6 kB), and loses one hundredth. */
#define RUN_SIZE ((size_t)128 << 10)
#define RUNS (SPACE_SIZE / RUN_SIZE)

/* Of a run that is empty. */
#define KEPT_SIZE ((size_t)16 << 10)

/* Sizes up to this have a class for each multiple of GRAIN; above it one size has, that of SSL itself. */
#define SMALL_MAX 1024
#define GRAIN 16
#define LEARNED (SMALL_MAX / GRAIN + 1)

/* In a block that nobody has. */
struct hole {
	struct hole *next;
};

/* At the beginning of its pages; the blocks follow, aligned as malloc aligns them. */
struct run {
	_Alignas(GRAIN) LIST_ENTRY(run) entry;	/* while it has room */
	struct hole *holes;
	uint32_t size;		/* of a block */
	uint32_t used;
	uint32_t begun;		/* blocks that somebody ever had: what is behind them was never touched */
	uint32_t class;
};

LIST_HEAD(runs, run);

static struct memory {
	uint8_t *space;
	size_t begun;		/* runs that were ever in use */
	size_t empties;		/* of those, the ones that nothing is in: not even their list, which would cost each a page */
	uint16_t empty[RUNS];
	struct runs open[LEARNED + 1];
	uint32_t learned;	/* size of SSL, which no header says; 0: not yet known */
	bool learning;		/* the next large block is one */
} memory;

static uint32_t
run_capacity(const struct run *run)
{
	return (RUN_SIZE - sizeof *run) / run->size;
}

static struct run *
run_at(size_t number)
{
	return (struct run *)(void *)(memory.space + number * RUN_SIZE);
}

static struct run *
run_new(uint32_t class, uint32_t size)
{
	struct run *run;

	if (memory.empties == 0 && memory.begun == RUNS)
		return NULL;
	run = run_at(memory.empties > 0 ? memory.empty[--memory.empties] : memory.begun++);
	*run = (struct run){ .size = size, .class = class };
	LIST_INSERT_HEAD(&memory.open[class], run, entry);
	return run;
}

static void *
run_take(struct run *run)
{
	struct hole *hole = run->holes;

	if (++run->used == run_capacity(run))
		LIST_REMOVE(run, entry);
	if (hole == NULL)
		return (uint8_t *)(run + 1) + (size_t)run->begun++ * run->size;
	run->holes = hole->next;
	return hole;
}

/*
 * Nobody has a block of it. The last run of a class stays, with its first pages, so that one connection after the other
 * does not mean one system call after the other.
 */
static void
run_emptied(struct run *run)
{
	bool is_last = LIST_FIRST(&memory.open[run->class]) == run && LIST_NEXT(run, entry) == NULL;

	if (is_last) {
		if ((size_t)run->begun * run->size > KEPT_SIZE)
			madvise((uint8_t *)run + KEPT_SIZE, RUN_SIZE - KEPT_SIZE, MADV_DONTNEED);
		run->holes = NULL;
		run->begun = 0;
		return;
	}
	LIST_REMOVE(run, entry);
	madvise(run, RUN_SIZE, MADV_DONTNEED);
	memory.empty[memory.empties++] = (uint16_t)(((uint8_t *)run - memory.space) / RUN_SIZE);
}

static void
run_give(struct run *run, void *block)
{
	struct hole *hole = block;

	if (wiping_is_on())
		explicit_bzero(block, run->size);
	if (run->used-- == run_capacity(run))
		LIST_INSERT_HEAD(&memory.open[run->class], run, entry);
	hole->next = run->holes;
	run->holes = hole;
	if (run->used == 0)
		run_emptied(run);
}

static struct run *
run_of(const void *block)
{
	uintptr_t offset = (uintptr_t)block - (uintptr_t)memory.space;

	/* A block of malloc's below or above has an offset that is too large. */
	return memory.space != NULL && offset < SPACE_SIZE ? run_at(offset / RUN_SIZE) : NULL;
}

/* NULL: it is none of the sizes that have a class, or there is no room. */
static void *
block_new(size_t size)
{
	uint32_t class = size <= SMALL_MAX ? (uint32_t)(size + GRAIN - 1) / GRAIN : LEARNED;
	struct run *run;

	if (memory.space == NULL || (size > SMALL_MAX && (size > memory.learned || size + GRAIN <= memory.learned)))
		return NULL;
	run = LIST_FIRST(&memory.open[class]);
	if (run == NULL)
		run = run_new(class, class == LEARNED ? memory.learned : class * GRAIN);
	return run == NULL ? NULL : run_take(run);
}

void *
tls_memory_new(size_t size)
{
	void *block = block_new(size);

	if (memory.learning && size > SMALL_MAX && memory.learned == 0)
		memory.learned = (uint32_t)(size + GRAIN - 1) / GRAIN * GRAIN;
	return block == NULL ? malloc(size) : block;
}

void
tls_memory_free(void *block)
{
	struct run *run = block == NULL ? NULL : run_of(block);

	if (run == NULL)
		wiping_free(block);
	else
		run_give(run, block);
}

void *
tls_memory_resize(void *before, size_t size)
{
	struct run *run = before == NULL ? NULL : run_of(before);
	void *after;

	if (run == NULL && before != NULL)
		return wiping_realloc(before, size);
	if (run != NULL && size <= run->size)
		return before;
	after = tls_memory_new(size);
	if (after == NULL || before == NULL)
		return after;
	memcpy(after, before, run->size);
	run_give(run, before);
	return after;
}

void
tls_memory_learn(bool learning)
{
	memory.learning = learning;
}

/* Huge pages would make of each class's last page two megabytes. */
void
tls_memory_prepare(void)
{
	void *space;

	if (UNDER_SANITIZER || memory.space != NULL)
		return;
	space = mmap(NULL, SPACE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (space == MAP_FAILED)
		return;
	madvise(space, SPACE_SIZE, MADV_NOHUGEPAGE);
	memory.space = space;
}
