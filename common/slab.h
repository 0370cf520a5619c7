/*
 * slab: many objects of one size that live long, packed into runs of pages of their own.
 *
 * For what a client owns as long as it is connected. In malloc's heap such objects come to lie between the parsers and
 * buffers of busy moments, each keeping the page around it when those are gone; here they lie side by side, without a
 * header, and a run on which none is left goes back to the kernel at once (one is kept, so that a client that comes and
 * goes costs no system call).
 *
 * The owner of the struct owns the runs; whoever has an object gives it back to the same slab. With the address
 * sanitizer every object is one of malloc's, so that it still sees who uses what is gone.
 */
#ifndef C2SD_COMMON_SLAB_H
#define C2SD_COMMON_SLAB_H

#include <bsd/sys/queue.h>
#include <stddef.h>
#include <stdint.h>

/* Pages of one run: aligned, so that the run of an object is found by its address. */
#define SLAB_RUN_SIZE 16384

struct slab_run;

TAILQ_HEAD(slab_runs, slab_run);

struct slab {
	struct slab_runs open;	/* runs with room, the one to take from next first; full ones are in no list */
	uint32_t size;		/* of an object, rounded up to 8 */
	uint32_t per_run;	/* objects that a run holds */
	size_t count;		/* objects given out */
	size_t runs;		/* mapped */
};

/* `size` is at most a quarter of a run. Allocates nothing. */
void slab_init(struct slab *slab, size_t size);

/* Every object must have been given back. May be called twice, and on zeroed memory. */
void slab_deinit(struct slab *slab);

/* A zeroed object, aligned to 8; NULL without memory. */
void *slab_new(struct slab *slab);

/* NULL is no object, and nothing happens. */
void slab_free(struct slab *slab, void *object);

#endif
