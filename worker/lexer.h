/*
 * lexer: looks at every byte a client sends before libxml2 does (RFC 6120 11.1 and 11.6, XML 1.0).
 *
 * It finds where tags and top-level elements end, and refuses at once, at the very byte: what no client may send
 * (comments, processing instructions, DOCTYPE, entities other than the five of XML), what is not UTF-8 or not a
 * character of XML, text between top-level elements, and whatever is above a limit. libxml2 is then given whole tags
 * only, so that it never holds half a token, never guesses an encoding, never sees an entity declared, and reads the
 * same whatever pieces the network made.
 *
 * It does not decide what is well-formed: that is libxml2's work. Where the two could differ about where a tag ends the
 * text is not well-formed, and worker/stream notices.
 *
 * Pure, allocates nothing; zeroed memory is a lexer in front of a stream's header.
 */
#ifndef C2SD_WORKER_LEXER_H
#define C2SD_WORKER_LEXER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/condition.h"
#include "ipc/reason.h"
#include "worker/stream.h"

enum lexer_result {
	LEXER_MORE,		/* every byte was looked at */
	LEXER_DECLARATION,	/* stopped behind the ?> of the XML declaration */
	LEXER_ROOT,		/* stopped behind the > of the root's start tag */
	LEXER_ELEMENT,		/* stopped behind the last byte of a top-level element */
	LEXER_END,		/* stopped behind the root's end tag */
	LEXER_REFUSED,		/* see `condition` and `text`; there is no way on from here */
};

enum lexer_state {
	LEXER_IN_PROLOG,	/* before the root: white space */
	LEXER_IN_TEXT,		/* outside of tags */
	LEXER_IN_CDATA,
	LEXER_IN_VALUE,		/* between the quotes of an attribute */
	LEXER_IN_TAG,		/* of a start tag, outside of quotes */
	LEXER_IN_END_TAG,
	LEXER_IN_LESS,		/* behind < */
	LEXER_IN_BANG,		/* behind <! */
	LEXER_IN_CDATA_OPEN,	/* in the middle of <![CDATA[ */
	LEXER_IN_REFERENCE,	/* behind & */
	LEXER_IN_NUMBER,	/* behind &# */
	LEXER_IN_QUESTION,	/* behind <? */
	LEXER_IN_DECLARATION,	/* behind <?xml and a space */
	LEXER_STATE_COUNT,
};

struct lexer {
	const struct stream_limits *limits;	/* of this scan */
	size_t received;	/* bytes of the header, or of the top-level element that has begun */
	uint32_t depth;		/* open tags, the root's included */
	uint32_t elements;	/* in this top-level element */
	uint32_t attributes;	/* in this start tag */
	uint8_t state;
	uint8_t back;		/* the state that a reference returns to: LEXER_IN_TEXT or LEXER_IN_VALUE */
	uint8_t last;		/* in tags and declarations: the last byte that was no white space */
	uint8_t quote;		/* that ends the value */
	uint8_t matched;	/* bytes recognised of a word: CDATA, xml, ]], the name of a reference */
	uint8_t utf8_missing;	/* bytes that a character still lacks */
	uint8_t utf8_low;	/* what the next of them may be */
	uint8_t utf8_high;
	uint8_t utf8_lead;
	char name[4];		/* of a reference */
	bool declared;		/* there was an XML declaration */
	bool empty_root;	/* the root's start tag was also its end */
	enum stream_condition condition;
	enum end_limit limit;		/* as in struct stream_event */
	const char *text;
};

/* The lexer of a stream whose header was seen before: between top-level elements. */
void lexer_init_inside(struct lexer *lexer);

/* Behind LEXER_ROOT and LEXER_ELEMENT, when the owner has read `received`: what follows is counted anew. */
void lexer_begin_next(struct lexer *lexer);

/* True between top-level elements, when nothing of the next one was seen: white space means nothing here. */
static inline bool
lexer_is_between(const struct lexer *lexer)
{
	return lexer->depth == 1 && lexer->received == 0;
}

/*
 * Look at bytes that follow those of the last call. Between top-level elements the first of them must not be white
 * space. `used_r`: bytes looked at; `complete_r`: offset behind the last complete tag among them, 0 without one.
 */
enum lexer_result lexer_scan(struct lexer *lexer, const struct stream_limits *limits, const uint8_t *bytes,
    size_t length, size_t *used_r, size_t *complete_r);

#endif
