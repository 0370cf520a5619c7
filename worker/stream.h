/*
 * stream: what a client sends, from bytes to complete elements (RFC 6120 section 4, RFC 6121; RFC 3920 and the streams
 * of the year 2000 as far as they differ).
 *
 * Pure: no descriptor, no clock, no log. worker/lexer looks at every byte first, libxml2 parses, and what comes out of
 * here was written anew from what libxml2 had understood (worker/canonical), in the canonical form of doc/design.md
 * ("Canonical form"), so that nobody further on can read it differently.
 *
 * The parser is big (16 kB and more) and lives only while bytes are coming: whenever stream_is_quiet() the owner may
 * free the stream and make another one later from the same header. libxml2's part is not made before the first whole tag has
 * come, and made anew, unseen, when its dictionary or its buffer has grown.
 *
 * Nothing is parsed ahead: bytes wait in here as they came until stream_next wants them, so that memory is bounded by
 * what was fed and by one element, and stream_unread still has the bytes behind an element after which the stream
 * begins anew.
 *
 *	stream = stream_new(&limits, NULL);
 *	stream_feed(stream, bytes, length);
 *	while (stream_next(stream, &event) != STREAM_NOTHING) ...
 *
 * What is an element and what is an error (beyond RFC 6120):
 * - In jabber:client only message, presence and iq are stanzas, anything else is unsupported-stanza-type. Elements of
 *   other namespaces come as they are, except those of RFC 7395's framing and of any urn:x-c2sd: (policy-violation:
 *   they belong to the link), of any other jabber: namespace (invalid-namespace: they are the contents of other kinds
 *   of streams, the link's among them) and of none (invalid-namespace). <route/>, <handshake/> and the names of stanzas
 *   mean something on the link to readers that know no namespaces: unsupported-stanza-type in any other.
 * - Nothing inside a stanza is in the default namespace of a link (jabber:component:accept, jabber:sockets:
 *   invalid-namespace): stanzas stand there without saying so, and a child that says it would become theirs.
 * - <stream:error/> is STREAM_CLOSED; anything else of the streams' namespace is unsupported-stanza-type.
 * - The default namespace of the header may be jabber:client, that of streams, or none (RFC 6120 4.8.2).
 * - White space before the XML declaration is taken, because a keep-alive may come just before a restart; a byte order
 *   mark is not well-formed.
 * - Namespaces must be made of the characters of URIs (invalid-namespace), but need not be URIs: they are compared, not
 *   followed, no parser behind us looks at their syntax, and clients have namespaces like vcard-temp or "%".
 * - Names are those of XML 1.0 before its fifth edition, because expat, which most servers behind us use, knows no
 *   others: one name of the fifth edition would break the link.
 */
#ifndef C2SD_WORKER_STREAM_H
#define C2SD_WORKER_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/condition.h"
#include "ipc/reason.h"

/*
 * All are checked before the work that they limit is done. Exceeding one is CONDITION_POLICY_VIOLATION. Lengths above
 * 8,000,000 count as that.
 */
struct stream_limits {
	uint32_t header_bytes;	/* from the first byte to the end of <stream:stream ...>, white space included */
	uint32_t element_bytes;	/* one top-level element, as received; as written anew: STREAM_WRITTEN_EXTRA more */
	uint32_t depth;		/* the top-level element itself is 1 */
	uint32_t attributes;	/* of one element, namespace declarations included */
	uint32_t elements;	/* in one top-level element, itself included */
};

/* Room for the xmlns and xml:lang that the canonical form adds. Escaping and repeated xmlns must do with it as well. */
#define STREAM_WRITTEN_EXTRA 256

/* What is kept of a client's header as long as the client lives. Absent attributes are NULL. */
struct stream_header {
	char *to;
	char *from;
	char *lang;		/* xml:lang; NULL too when it is empty or longer than 63 bytes */
	char *declarations;	/* the root's name and namespaces, for a new parser; NULL: the usual ones */
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
	enum end_limit limit;	/* which of struct stream_limits, by the name that it has after login; LIMIT_NONE: none */
	const char *text;	/* what was wrong, in a few English words, without anything the client sent */
};

/*
 * A stream that begins with its header or, with `header`, one that goes on after it. `limits` must outlive the stream
 * (or be exchanged: stream_set_limits); what is needed of `header` is copied. NULL without memory.
 */
struct stream *stream_new(const struct stream_limits *limits, const struct stream_header *header);
void stream_free(struct stream **stream);

void stream_set_limits(struct stream *stream, const struct stream_limits *limits);

/*
 * There may be a password in what comes: nothing of it stays in memory when it was used, as long as this stream lives.
 * stream_prepare_process: once in a process, before the first stream; without it, that does not go for libxml2's copies.
 */
void stream_set_secret(struct stream *stream);
void stream_prepare_process(void);

/*
 * Take bytes as they come, in pieces of any size. They wait inside until stream_next has used them, so feed what one
 * read returned, then fetch. After STREAM_CLOSED or STREAM_FAILED they are ignored. 0, or -ENOMEM.
 */
int stream_feed(struct stream *stream, const void *bytes, size_t length) __attribute__((warn_unused_result));

/*
 * Fetch the next event; returns its type. Without memory it is STREAM_FAILED with CONDITION_INTERNAL_SERVER_ERROR, the
 * only failure that is not the client's.
 */
enum stream_event_type stream_next(struct stream *stream, struct stream_event *event_r);

/* Bytes of memory that it holds, more or less. */
size_t stream_memory(const struct stream *stream);

/*
 * The bytes that were fed and not yet used by an event, for an owner who must not or need not read them as this stream
 * (RFC 6120 5.4.3.3, 6.4.6: TLS or a new stream begins there). Valid until the next call. A part of an element whose
 * tags were already parsed is not among them: ask right after an event.
 */
const void *stream_unread(const struct stream *stream, size_t *length_r);

/* After STREAM_OPENED: move the header out, once. The caller owns it and frees it with stream_header_deinit. */
void stream_take_header(struct stream *stream, struct stream_header *header_r);
void stream_header_deinit(struct stream_header *header);

/*
 * True when the header has been seen, everything fed was used (stream_next has said STREAM_NOTHING, or nothing was
 * behind the last event) and no element has begun: what it knows beyond the header is nothing. Never after
 * STREAM_CLOSED or STREAM_FAILED.
 */
bool stream_is_quiet(const struct stream *stream);

/* True for bytes that may be dropped unparsed between elements: white-space keep-alives (RFC 6120 4.6.1). */
bool stream_is_whitespace(const void *bytes, size_t length);

#endif
