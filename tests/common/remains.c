#include "tests/common/remains.h"

#include <bsd/stdlib.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Read at a time; the end of one piece is looked at again with the next. */
#define PIECE (1u << 20)

/* A sanitizer's shadow, which holds no bytes of ours: of its two halves the smaller one has 256 MiB. */
#define REGION_LIMIT (1ull << 28)

void
remains_turn(uint8_t *hidden_r, const uint8_t *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++)
		hidden_r[i] = bytes[i] ^ 0xff;
}

void
remains_invent(uint8_t *hidden_r, size_t length)
{
	arc4random_buf(hidden_r, length);
}

static bool
is_there(const uint8_t *at, const uint8_t *hidden, size_t length, bool reverse)
{
	for (size_t i = 0; i < length; i++) {
		if (at[i] + hidden[reverse ? length - 1 - i : i] != 0xff)
			return false;
	}
	return true;
}

/* Byte by byte this would take minutes with a sanitizer. */
static unsigned
piece_search_way(const uint8_t *piece, size_t size, const uint8_t *hidden, size_t length, bool reverse)
{
	const uint8_t *at = piece, *end = piece + (size - length + 1);
	uint8_t first = hidden[reverse ? length - 1 : 0] ^ 0xff;
	unsigned count = 0;

	while (at < end && (at = memchr(at, first, (size_t)(end - at))) != NULL) {
		/* What reads the same both ways is there once. */
		if (is_there(at, hidden, length, reverse) && !(reverse && is_there(at, hidden, length, false)))
			count++;
		at++;
	}
	return count;
}

static unsigned
piece_search(const uint8_t *piece, size_t size, const uint8_t *hidden, size_t length)
{
	return piece_search_way(piece, size, hidden, length, false) + piece_search_way(piece, size, hidden, length, true);
}

static unsigned
region_search(int memory, unsigned long long from, unsigned long long to, uint8_t *piece, const uint8_t *hidden,
    size_t length)
{
	unsigned count = 0;

	while (from + length <= to) {
		size_t size = to - from < PIECE ? (size_t)(to - from) : PIECE;
		ssize_t got = pread(memory, piece, size, (off_t)from);

		if (got < (ssize_t)length)
			break;
		count += piece_search(piece, (size_t)got, hidden, length);
		from += (size_t)got - length + 1;
	}
	return count;
}

unsigned
remains_count(const uint8_t *hidden, size_t length)
{
	uint8_t *piece = mmap(NULL, PIECE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	FILE *maps = fopen("/proc/self/maps", "r");
	int memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
	unsigned long long from, to;
	unsigned count = 0;
	char line[4096], rights[8];

	if (piece == MAP_FAILED || maps == NULL || memory < 0)
		abort();
	while (fgets(line, sizeof line, maps) != NULL) {
		if (sscanf(line, "%llx-%llx %7s", &from, &to, rights) != 3 || strncmp(rights, "rw", 2) != 0 ||
		    to - from >= REGION_LIMIT)
			continue;
		/* The kernel may have joined what we search with to what lies beside it. */
		if (from <= (uintptr_t)piece && (uintptr_t)piece < to) {
			count += region_search(memory, from, (uintptr_t)piece, piece, hidden, length);
			from = (uintptr_t)piece + PIECE;
		}
		count += region_search(memory, from, to, piece, hidden, length);
	}
	close(memory);
	fclose(maps);
	munmap(piece, PIECE);
	return count;
}
