#include "common/slab.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SLAB_IS_MALLOC 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define SLAB_IS_MALLOC 1
#endif

/* In an object that nobody has. */
struct hole {
	struct hole *next;
};

/* At the beginning of its pages; the objects follow. */
struct slab_run {
	TAILQ_ENTRY(slab_run) entry;	/* while it has room */
	struct hole *holes;		/* objects that were given back */
	uint32_t used;			/* objects that somebody has */
	uint32_t begun;			/* objects that somebody ever had: what is behind them was never touched */
};

void
slab_init(struct slab *slab, size_t size)
{
	*slab = (struct slab){ .size = ((uint32_t)size + 7) & ~7u };
	slab->per_run = (SLAB_RUN_SIZE - sizeof(struct slab_run)) / slab->size;
	TAILQ_INIT(&slab->open);
}

#ifdef SLAB_IS_MALLOC

void
slab_deinit(struct slab *slab)
{
	(void)slab;
}

void *
slab_new(struct slab *slab)
{
	void *object = calloc(1, slab->size);

	slab->count += object != NULL;
	return object;
}

void
slab_free(struct slab *slab, void *object)
{
	slab->count -= object != NULL;
	free(object);
}

#else

static uint8_t *
pages_map(size_t size)
{
	void *pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return pages == MAP_FAILED ? NULL : pages;
}

/* Behind one run the kernel mostly puts the next; where it does not, twice the size holds an aligned one. */
static void *
run_map(void)
{
	uint8_t *pages = pages_map(SLAB_RUN_SIZE);
	size_t before;

	if (pages == NULL || (uintptr_t)pages % SLAB_RUN_SIZE == 0)
		return pages;
	munmap(pages, SLAB_RUN_SIZE);
	pages = pages_map(2 * SLAB_RUN_SIZE);
	if (pages == NULL)
		return NULL;
	before = (SLAB_RUN_SIZE - (uintptr_t)pages % SLAB_RUN_SIZE) % SLAB_RUN_SIZE;
	if (before > 0)
		munmap(pages, before);
	munmap(pages + before + SLAB_RUN_SIZE, SLAB_RUN_SIZE - before);
	return pages + before;
}

static struct slab_run *
run_of(void *object)
{
	return (struct slab_run *)(void *)((uint8_t *)object - (uintptr_t)object % SLAB_RUN_SIZE);
}

static struct slab_run *
run_new(struct slab *slab)
{
	struct slab_run *run = run_map();

	if (run == NULL)
		return NULL;
	TAILQ_INSERT_HEAD(&slab->open, run, entry);
	slab->runs++;
	return run;
}

static void
run_free(struct slab *slab, struct slab_run *run)
{
	TAILQ_REMOVE(&slab->open, run, entry);
	slab->runs--;
	munmap(run, SLAB_RUN_SIZE);
}

void
slab_deinit(struct slab *slab)
{
	struct slab_run *run;

	if (slab->size == 0)
		return;
	while ((run = TAILQ_FIRST(&slab->open)) != NULL)
		run_free(slab, run);
}

static void *
run_take(const struct slab *slab, struct slab_run *run)
{
	struct hole *hole = run->holes;

	run->used++;
	if (hole == NULL)
		return (uint8_t *)(run + 1) + (size_t)run->begun++ * slab->size;
	run->holes = hole->next;
	return memset(hole, 0, slab->size);
}

void *
slab_new(struct slab *slab)
{
	struct slab_run *run = TAILQ_FIRST(&slab->open);

	if (run == NULL)
		run = run_new(slab);
	if (run == NULL)
		return NULL;
	if (run->used + 1 == slab->per_run)
		TAILQ_REMOVE(&slab->open, run, entry);
	slab->count++;
	return run_take(slab, run);
}

/* A run that was full is the next to be filled: those with more room are given the time to become empty. */
void
slab_free(struct slab *slab, void *object)
{
	struct slab_run *run;
	struct hole *hole = object;

	if (object == NULL)
		return;
	run = run_of(object);
	if (run->used == slab->per_run)
		TAILQ_INSERT_HEAD(&slab->open, run, entry);
	hole->next = run->holes;
	run->holes = hole;
	run->used--;
	slab->count--;
	if (run->used == 0 && (TAILQ_NEXT(run, entry) != NULL || TAILQ_FIRST(&slab->open) != run))
		run_free(slab, run);
}

#endif
