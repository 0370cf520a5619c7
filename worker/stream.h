/*
 * stream: what a client sends, from bytes to complete elements (RFC 6120 section 4, RFC 6121; RFC 3920 and the streams
 * of the year 2000 as far as they differ).
 *
 * Pure: no descriptor, no clock, no log. libxml2 parses; what comes out of here was written anew from what libxml2 had
 * understood, in the canonical form of doc/design.md ("Canonical form"), so that nobody further on can read it
 * differently.
 *
 * The parser is big (16 kB and more) and lives only while bytes are coming: whenever stream_is_quiet() the owner may free
 * the stream and make another one later from the same header.
 *
 *	stream = stream_new(&limits, NULL);
 *	stream_feed(stream, bytes, length);
 *	while (stream_next(stream, &event) != STREAM_NOTHING) ...
 */
#ifndef C2SD_WORKER_STREAM_H
#define C2SD_WORKER_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "worker/condition.h"

/* All are checked before the work that they limit is done. Exceeding one is CONDITION_POLICY_VIOLATION. */
struct stream_limits {
	uint32_t header_bytes;	/* from the first byte to the end of <stream:stream ...>, white space included */
	uint32_t element_bytes;	/* one top-level element, as received and as written anew */
	uint32_t depth;		/* the top-level element itself is 1 */
	uint32_t attributes;	/* of one element, namespace declarations included */
	uint32_t elements;	/* in one top-level element, itself included */
};

/* What is kept of a client's header as long as the client lives. Absent attributes are NULL. */
struct stream_header {
	char *to;
	char *from;
	char *lang;		/* xml:lang */
	char *declarations;	/* namespace declarations to be repeated for a new parser; NULL: the usual two */
	uint16_t version_major;	/* 0.0 where there was no version: a client of before RFC 3920 */
	uint16_t version_minor;
};

struct stream;

enum stream_event_type {
	STREAM_NOTHING,		/* feed more */
	STREAM_OPENED,		/* the header is there: stream_take_header */
	STREAM_ELEMENT,		/* one complete top-level element */
	STREAM_CLOSED,		/* </stream:stream>; nothing follows */
	STREAM_FAILED,		/* the client broke a rule: `condition` and `text`; nothing follows */
};

struct stream_event {
	enum stream_event_type type;

	/* STREAM_ELEMENT: canonical bytes, not terminated, valid until the next call on this stream. */
	const char *bytes;
	size_t length;
	size_t name_end;	/* offset right behind the element's name: where sto and sfrom are put */
	size_t received;	/* bytes it took on the wire */

	/* STREAM_FAILED */
	enum stream_condition condition;
	const char *text;	/* what was wrong, in a few English words, without anything the client sent */
};

/*
 * A stream that begins with its header or, with `header`, one that goes on after it. `limits` and `header` must outlive
 * the stream (limits may be exchanged: stream_set_limits). NULL without memory.
 */
struct stream *stream_new(const struct stream_limits *limits, const struct stream_header *header);
void stream_free(struct stream **stream);

void stream_set_limits(struct stream *stream, const struct stream_limits *limits);

/*
 * Take bytes as they come, in pieces of any size. Events wait inside until they are fetched; the memory they take is
 * bounded by the bytes given, so feed what one read returned, then fetch. 0, or a negative errno (-ENOMEM).
 */
int stream_feed(struct stream *stream, const void *bytes, size_t length) __attribute__((warn_unused_result));

/* Fetch the next event; returns its type. */
enum stream_event_type stream_next(struct stream *stream, struct stream_event *event_r);

/* After STREAM_OPENED: move the header out, once. The caller owns it and frees it with stream_header_deinit. */
void stream_take_header(struct stream *stream, struct stream_header *header_r);
void stream_header_deinit(struct stream_header *header);

/*
 * True when the header has been seen, every event was fetched and the parser holds nothing but white space: what it
 * knows beyond the header is nothing.
 */
bool stream_is_quiet(const struct stream *stream);

/* True for bytes that may be dropped unparsed between elements: white-space keep-alives (RFC 6120 4.6.1). */
bool stream_is_whitespace(const void *bytes, size_t length);

#endif
