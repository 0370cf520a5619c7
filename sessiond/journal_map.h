/*
 * journal_map: the memory of a journal: a descriptor of memory (memfd_create(2)) that somebody else keeps while processes
 * come and go. The first one makes it JOURNAL_MAP_SIZE long, of which only what is written to takes any room; every one
 * maps it where it likes.
 */
#ifndef C2SD_SESSIOND_JOURNAL_MAP_H
#define C2SD_SESSIOND_JOURNAL_MAP_H

#include "sessiond/journal.h"

/*
 * Two halves, each with room for everything that is kept for the link (LEDGER_MAX) and for a million sessions: a bound
 * against what nobody has thought of. Addresses, not memory.
 */
#define JOURNAL_MAP_SIZE ((size_t)2 * 1024 * 1024 * 1024)

struct journal_map {
	struct journal_area area;
	int fd;
};

/* `fd` stays the caller's, and must be open as long as the map. 0, or a negative errno: -EBADF: there is none, or it is something else. */
int journal_map_init(struct journal_map *map, int fd) __attribute__((warn_unused_result));
void journal_map_deinit(struct journal_map *map);

#endif
