#include "common/vault.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

int
vault_init(struct vault *vault, size_t size)
{
	void *place;

	*vault = (struct vault){ 0 };
	place = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (place == MAP_FAILED)
		return -ENOMEM;
	/* Both are better than nothing, and neither is worth a service that does not start. */
	(void)mlock(place, size);
	(void)madvise(place, size, MADV_DONTDUMP);
	*vault = (struct vault){ .bytes = place, .size = size };
	return 0;
}

void
vault_deinit(struct vault *vault)
{
	if (vault->bytes == NULL)
		return;
	explicit_bzero(vault->bytes, vault->size);
	munmap(vault->bytes, vault->size);
	*vault = (struct vault){ 0 };
}
