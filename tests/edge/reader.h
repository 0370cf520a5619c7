/*
 * reader: the parsers of those who read what c2sd writes, and of nobody of ours: each makes a forest of a document.
 * None shares code, options or handlers with worker/stream.
 */
#ifndef C2SD_TESTS_EDGE_READER_H
#define C2SD_TESTS_EDGE_READER_H

#include <stdbool.h>
#include <stddef.h>

#include "tree.h"

enum reader_manner {
	READER_LUA,	/* expat, namespaces in triplets, \1 between the parts: Prosody */
	READER_ERLANG,	/* likewise with a line feed: ejabberd */
	READER_BAR,	/* expat, namespaces without prefixes, a bar between: jabberd2 */
	READER_RAW,	/* expat without namespaces, colons are letters: jabberd of 2000, jabberd14 */
	READER_MANNERS,
};

/*
 * Read a document with expat in pieces of `piece` bytes; it need not be finished. `ends_r` (NULL: not wanted) is an
 * array of offsets behind the trees, of malloc, one for each complete one.
 */
void reader_expat(struct forest *forest_r, enum reader_manner manner, const void *bytes, size_t length, size_t piece,
    size_t **ends_r);

/*
 * Read a document with libxml2, the whole of it at once, as xmlReadMemory does by itself; where it is unfinished or
 * broken, what stood before. Nothing says which elements were complete then: all count as that.
 */
void reader_libxml(struct forest *forest_r, const void *bytes, size_t length);

/* Add one element as the embedded session manager reads it. False: it does not. */
bool reader_sessiond(struct forest *forest, const void *bytes, size_t length);

#endif
