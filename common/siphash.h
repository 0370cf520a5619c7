/*
 * siphash: a keyed hash, for tables whose keys somebody else chooses (Aumasson and Bernstein, SipHash-2-4): who does not know
 * the key cannot make them collide.
 *
 * Pure.
 */
#ifndef C2SD_COMMON_SIPHASH_H
#define C2SD_COMMON_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

struct siphash_key {
	uint64_t half[2];
};

uint64_t siphash(const struct siphash_key *key, const void *bytes, size_t length);

#endif
