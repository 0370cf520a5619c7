/*
 * header: what a client's XML declaration and stream header say, and whether they may (RFC 6120 4.7, 4.8, 11.5).
 *
 * Functions that judge return 0, a positive enum stream_condition with *text_r saying what is wrong in a few words, or
 * a negative errno.
 */
#ifndef C2SD_WORKER_HEADER_H
#define C2SD_WORKER_HEADER_H

#include <libxml/tree.h>
#include <stddef.h>

#include "worker/stream.h"

/* Longer language tags are left out: they would be repeated on every stanza (RFC 5646 4.4.1 asks for 35). */
#define HEADER_LANG_MAX 63

/* An unusual header's declarations are kept as long as the client lives, so that many or long ones are refused. */
#define HEADER_DECLARATIONS_MAX 1024

/* Look at <?xml ...?>: version 1.0, no encoding or UTF-8. `bytes` is all of it, perhaps behind white space. */
int declaration_check(const char *bytes, size_t length, const char **text_r) __attribute__((warn_unused_result));

/* A start tag as libxml2's startElementNs gives it. */
struct root {
	const xmlChar *name;
	const xmlChar *prefix;
	const xmlChar *uri;
	const xmlChar **namespaces;	/* pairs of prefix and name */
	const xmlChar **attributes;	/* fives */
	int namespace_count;
	int attribute_count;
};

/* Judge the root and fill the header, which must be zeroed; on failure too it is the caller's to free. */
int header_read(struct stream_header *header, const struct root *root, const char **text_r)
    __attribute__((warn_unused_result));

/* Copy what a new parser needs to know: lang and declarations. 0 or -ENOMEM. */
int header_copy_scope(struct stream_header *header, const char *lang, const char *declarations)
    __attribute__((warn_unused_result));

#endif
