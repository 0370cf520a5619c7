/*
 * reply: what c2sd itself writes to a client: the stream's header, features, errors (RFC 6120 4.7 to 4.9). Pure.
 */
#ifndef C2SD_WORKER_REPLY_H
#define C2SD_WORKER_REPLY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/condition.h"

/*
 * `modern` is true for a client of RFC 3920 and later, which gets a version, features and errors with conditions; others
 * get what was usual before.
 */

/* Our header, from `host`. `lang`: of what follows, unless it says otherwise. */
void reply_header(struct buffer *down, bool modern, const char *host, const char *stream_id, const char *lang);

/*
 * The feature of XEP-0478: the longest element that is taken, and the seconds of silence after which a client is ended; 0:
 * never, and nothing is said of it.
 */
void reply_limits(struct buffer *down, uint32_t max_bytes, uint32_t idle_seconds);

/*
 * The stream error (one text for clients of before RFC 3920) without the stream's end. `text` may be NULL, and so may
 * `detail`: an application-specific condition (RFC 6120 4.9.4) of those that servers have in urn:xmpp:errors.
 */
void reply_error(struct buffer *down, bool modern, enum stream_condition condition, const char *text, const char *detail);

/* </stream:stream> */
void reply_end(struct buffer *down);

/* The stream's id as text; `text` has room for 17. */
const char *reply_stream_id(uint64_t stream_id, char *text);

#endif
