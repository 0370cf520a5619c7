/*
 * ack: acknowledgement on the link (XEP-0198; doc/link.md, "Acknowledgement"): its elements, and what both ends count.
 *
 * Pure, and the same for the master and the embedded session manager. Every top-level element behind the handshake is
 * counted but these, which are the link's own: they are of the namespace urn:xmpp:sm:3 and have neither `sto` nor
 * `sfrom`. (With either they are a client's business with the session manager, and count.) Counters go round at 2^32.
 *
 * struct ack is all that one end must remember to resume a stream, beside the elements themselves: who keeps it, and
 * them, over the end of a process can resume there.
 */
#ifndef C2SD_DIALECT_ACK_H
#define C2SD_DIALECT_ACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"
#include "dialect/element.h"

#define ACK_NS "urn:xmpp:sm:3"

/* Longest name of a stream, in bytes; one with a longer name cannot be resumed. */
#define ACK_ID_MAX 255

enum ack_kind {
	ACK_NONE,	/* a packet like any other */
	ACK_ENABLE,	/* `resume` */
	ACK_ENABLED,	/* `resume`, `id` */
	ACK_RESUME,	/* `id`, `h` */
	ACK_RESUMED,	/* `id`, `h` */
	ACK_FAILED,	/* `counted`, `h` */
	ACK_REQUEST,	/* <r/> */
	ACK_ANSWER,	/* <a/>: `h` */
	ACK_GARBLED,	/* one of these, without the number or the name that it needs */
};

struct ack_element {
	enum ack_kind kind;
	bool resume;		/* the stream is to be resumable, or is */
	bool counted;		/* there is an `h` */
	uint32_t h;		/* how many elements its sender has handled */
	struct range id;	/* of the stream, as on the wire; absent where there is none */
};

struct ack {
	char id[ACK_ID_MAX + 1];	/* of the stream that can be resumed; "": there is none */
	uint32_t sent;			/* counted elements that were written wholly */
	uint32_t acknowledged;		/* of those, as the other end has said */
	uint32_t received;		/* counted elements that we answer for: our `h` */
	bool on;			/* this connection counts */
	bool asked;			/* <r/> was written and is not answered */
};

/* What is this? `bytes` is one SPLITTER_ELEMENT; `id` points into it. */
void ack_read(struct ack_element *element_r, const void *bytes, size_t length);

/* A stream begins, with all counters at 0. `id` absent, empty or too long: it cannot be resumed. */
void ack_begin(struct ack *ack, struct range id);

/* The connection is gone; what was counted stays, for a resumption. */
void ack_suspend(struct ack *ack);

/* The stream cannot be resumed any more. */
void ack_forget(struct ack *ack);

/*
 * The other end says that it has handled `h` elements: *fresh_r more than it had said before. False: it never got as
 * many, or takes back what it had said; nothing has changed then.
 */
bool ack_take(struct ack *ack, uint32_t h, uint32_t *fresh_r) __attribute__((warn_unused_result));

/*
 * Likewise, in the answer to a resumption: from here on this connection counts, and whatever is not acknowledged is to
 * be sent again.
 */
bool ack_resume(struct ack *ack, uint32_t h, uint32_t *fresh_r) __attribute__((warn_unused_result));

/* Elements that were sent and not acknowledged. */
static inline uint32_t
ack_waiting(const struct ack *ack)
{
	return ack->sent - ack->acknowledged;
}

/* Would <r/> tell anything new? At most one is on its way at a time, so it costs one element a round trip. */
static inline bool
ack_should_ask(const struct ack *ack)
{
	return ack->on && !ack->asked && ack->sent != ack->acknowledged;
}

/* Append an element. ack_write_request notes that it was asked. */
void ack_write_enable(struct buffer *out);
void ack_write_enabled(struct buffer *out, const struct ack *ack);
void ack_write_resume(struct buffer *out, const struct ack *ack);
void ack_write_resumed(struct buffer *out, const struct ack *ack);
void ack_write_request(struct buffer *out, struct ack *ack);
void ack_write_answer(struct buffer *out, const struct ack *ack);

/* `condition` of RFC 6120 8.3.3: item-not-found, when that stream is not known. */
void ack_write_failed(struct buffer *out, const char *condition);

#endif
