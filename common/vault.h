/*
 * vault: memory for secrets, apart from the heap: in no core dump, not swapped out as far as the limit of locked memory
 * allows, and wiped when it is given back.
 */
#ifndef C2SD_COMMON_VAULT_H
#define C2SD_COMMON_VAULT_H

#include <stddef.h>
#include <stdint.h>

/* Zeroed memory is one that holds nothing. */
struct vault {
	uint8_t *bytes;
	size_t size;	/* as it was asked for */
};

/* Zeroed bytes, at least one. 0 or -ENOMEM. */
int vault_init(struct vault *vault, size_t size) __attribute__((warn_unused_result));

/* May be called twice. */
void vault_deinit(struct vault *vault);

#endif
