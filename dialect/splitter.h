/*
 * splitter: finds where the elements of the link's stream begin and end.
 *
 * Pure: bytes in, events out. The master uses it on what the session manager sends; it understands tags, quotes,
 * comments, CDATA sections and processing instructions, and nothing else. It never copies: the owner keeps the bytes in
 * a buffer, the splitter remembers how far it has looked, and an event names a run of bytes at the buffer's front which
 * the owner consumes before the next call.
 *
 * The rules of the link (doc/link.md): any root element is taken; complete elements at depth one follow. An event comes
 * with the very byte that completes it, never later. Depth is counted, names are not compared: of an ELEMENT it is
 * certain that its tags pair up by number, that quotes and comments are closed, and that its last < begins its end tag
 * (or that it is one empty-element tag). A document type is refused: nothing behind it could be trusted.
 */
#ifndef C2SD_DIALECT_SPLITTER_H
#define C2SD_DIALECT_SPLITTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum splitter_event_type {
	SPLITTER_MORE,		/* no complete event yet */
	SPLITTER_HEADER,	/* the root's start tag; `skip` covers an XML declaration before it */
	SPLITTER_ELEMENT,	/* one complete element */
	SPLITTER_END,		/* the root's end tag */
	SPLITTER_BROKEN,	/* not XML, or not a stream: of no use any more, and every later call says so again */
	SPLITTER_TOO_LONG,	/* an element (header, comment) above the limit: likewise */
};

struct splitter_event {
	enum splitter_event_type type;
	size_t skip;		/* bytes before it that mean nothing: white space, comments, declarations */
	size_t length;		/* its bytes, behind those; 0 on MORE */
};

/* Zeroed memory with element_max set is a new splitter. */
struct splitter {
	size_t scanned;		/* bytes of the unconsumed run that were looked at */
	size_t element_max;	/* longest element, in bytes */
	size_t begin;		/* where the element under way begins */
	size_t markup;		/* where the last < stands */
	uint32_t depth;		/* of open elements; 0: before the root */
	uint8_t state;
	bool mixed;		/* text may stand at depth one: how element.c walks over children */
};

void splitter_init(struct splitter *splitter, size_t element_max);

/*
 * Look at the unconsumed bytes. On HEADER, ELEMENT and END the caller uses bytes[skip .. skip+length) and then consumes
 * skip + length bytes from the front; on MORE it may consume `skip` (0 unless everything so far means nothing).
 * Each byte is looked at once, however the input is cut.
 */
enum splitter_event_type splitter_next(struct splitter *splitter, const void *bytes, size_t length,
    struct splitter_event *event_r);

#endif
