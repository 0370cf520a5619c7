/*
 * link: the connection to the session manager (doc/link.md): one XML stream each way, opened by us with a handshake.
 *
 *	DOWN --time to try--> CONNECTING --> HEADER --their header--> HANDSHAKE --<handshake/>--> ENABLING --> UP
 *	  ^                       |            |                          |                           |        |
 *	  +----------------- refused, lost, wrong secret, no answer in time, broken XML ----------------------+
 *
 * ENABLING is left out unless `acknowledge` is set: there acknowledgement is asked for (dialect/ack, XEP-0198), or the
 * stream of before is resumed. A session manager that refuses, or does not answer, works without.
 *
 * Trying again waits longer each time, with jitter, and blocks nothing; a link that has achieved something before it was
 * lost is tried again at once. What is queued while the link is not UP goes first when it is; an element of which a part had
 * been written when the link was cut is written again as a whole, but not for ever: one with which the link breaks again and
 * again is given up, and its owner told (on_given_up).
 *
 * With acknowledgement, what was written stays in the outbox until it is acknowledged. When the link is lost it is kept;
 * after <resumed/> what the session manager has not handled is written again, in order, and nothing twice. After
 * <failed/> it does not know the stream any more, and all that was not acknowledged is written again: then something may
 * come twice. Without acknowledgement TCP's rule holds (link_tcp): what the session manager's kernel has acknowledged counts
 * as arrived, and what it has not is written again.
 *
 * The link owns its descriptor and its outbox. Overflow: what is not written and what is not acknowledged count together.
 * (By TCP's rule what is not written: what is not acknowledged is no more than the kernel's own buffer.)
 * on_flow(false) above `high`, on_flow(true) below half of it and whenever the link comes up; the master stops the workers
 * from reading clients, so that no more than what was under way comes on top. What goes back to the session manager is not
 * held up by that: above `bound` the link is cut, and tried again, because to stop reading as well would let both wait for
 * each other for ever. While we do not read it (link_read) it cannot acknowledge, and only what is not written counts.
 */
#ifndef C2SD_MASTER_LINK_H
#define C2SD_MASTER_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/loop.h"
#include "dialect/ack.h"
#include "dialect/dialect.h"
#include "dialect/splitter.h"
#include "master/link_address.h"
#include "master/outbox.h"

enum link_state {
	LINK_DOWN,		/* waits until it is time to try (again) */
	LINK_CONNECTING,	/* TCP's or the embedded session manager's turn */
	LINK_HEADER,		/* our header is sent: theirs, with the stream's id, must come */
	LINK_HANDSHAKE,		/* our proof is sent: their answer must come */
	LINK_ENABLING,		/* acknowledgement is asked for: their answer must come */
	LINK_UP,
	LINK_CLOSED,		/* by us, for good */
};

enum link_event {
	LINK_EVENT_TRY,		/* the pause is over */
	LINK_EVENT_CONNECTED,
	LINK_EVENT_HEADER,
	LINK_EVENT_ELEMENT,
	LINK_EVENT_FAILED,	/* refused, cut, too late, not XML: `why` */
	LINK_EVENT_CLOSE,	/* we want no more */
};

struct link {
	struct loop *loop;
	struct watch watch;
	enum link_state state;
	const struct dialect *dialect;
	const char *name;	/* the owner's */
	const char *secret;	/* the owner's */
	uint32_t timeout;	/* milliseconds for each step of connecting */
	uint32_t dead;		/* milliseconds after which a machine that acknowledges nothing is dead; 0: the system's */
	size_t high;		/* bytes in the outbox above which clients are not to be read */
	size_t bound;		/* and above which a session manager that takes nothing is given up; 0: none */
	bool acknowledge;	/* ask for acknowledgement, from the next connection on */

	struct link_addresses addresses;	/* the next connection goes to one of them */

	struct buffer in;
	struct splitter splitter;
	struct buffer prelude;	/* of the link's own: goes before the next packet */
	struct outbox outbox;
	struct ack ack;		/* of this connection, or of the one that is to be resumed */
	uint64_t given;		/* bytes that this connection was given */
	uint64_t resumptions;	/* since the start */
	uint64_t given_up;	/* packets, since the start */
	bool is_unix;		/* this connection is a UNIX socket */
	bool reset;		/* and the session manager has closed it with something unread */
	bool achieved;		/* something has come, or was acknowledged, on this connection */
	bool closed;		/* this connection was closed by the session manager: it has ended, perhaps */
	bool died;		/* the last one that was up was */
	bool anew;		/* spawn: the process is not the one of the last link that was up */
	bool resumed;		/* this connection has resumed the stream of another */
	bool answer_due;	/* they want to know how much we have */
	bool blamed;		/* they have complained of our stream, and ended it */
	unsigned unanswered;	/* resumptions in a row that were not answered */
	bool unasked;		/* they ended the link when they were asked for acknowledgement: not asked the next time */
	size_t backlog;		/* bytes in it when the link came up: may be above `bound`, and is no fault of theirs */
	struct job flush;
	struct timer step;	/* a step of connecting takes too long */
	struct timer retry;
	struct timer ask;	/* TCP's rule: it is time to look what has arrived; before that: a suspect has waited */
	unsigned failures;	/* since it was last up for a while */
	const char *last_failure;	/* logged once while it stays the same */
	uint64_t up_since;
	bool unread;		/* link_read(false) */
	bool choked;		/* on_flow(false) was said */
	bool shut;		/* our half is closed: the stream's end was written */

	/*
	 * Only for the embedded session manager: start it, and set `anew`; a connected descriptor, which becomes the link's,
	 * or -errno.
	 */
	int (*spawn)(struct link *link);
	/* One complete element; valid during the call. */
	void (*on_packet)(struct link *link, const uint8_t *bytes, size_t length);
	void (*on_up)(struct link *link);
	void (*on_down)(struct link *link);
	/*
	 * Nobody knows what has arrived of what was written: said behind on_down, or, when a resumption was hoped for,
	 * when there is none, before on_up. After a resumption it is not said.
	 */
	void (*on_lost)(struct link *link);
	/* The link breaks each time that it is sent this; `from` as it was queued. The bytes may hold a password. */
	void (*on_given_up)(struct link *link, uint64_t from, const uint8_t *bytes, size_t length);
	void (*on_flow)(struct link *link, bool go);
	/*
	 * Closed for good: everything that was queued has been written and the session manager has closed, too, or that
	 * took too long.
	 */
	void (*on_closed)(struct link *link);
};

/* The owner has set what the comments above call its, and the callbacks. */
void link_init(struct link *link, struct loop *loop, size_t element_max);
void link_deinit(struct link *link);

/*
 * Name, secret, times, bounds or addresses have been changed: those of a connection hold from the next one on, which is
 * tried at once when there is none.
 */
void link_changed(struct link *link, size_t element_max);

/* What ended the connection, or ends it now, is no failure: it is tried again as soon as after the first. */
void link_forgive(struct link *link);

/* Begin to connect. */
void link_start(struct link *link);

/* Queue a complete element; `from`, for on_given_up, says whose it is. False: no memory, or our stream has ended. */
bool link_send(struct link *link, uint64_t from, const void *bytes, size_t length);

/* Read the session manager, or let it wait (the kernel's buffers fill, and TCP stops it). */
void link_read(struct link *link, bool on);

/*
 * Write what is queued, end the stream, and wait for the session manager's end: on_closed follows, within 2 s. What
 * arrives meanwhile is still given to on_packet; it cannot be answered any more.
 */
void link_close(struct link *link);

/* Bytes that are not written, or not acknowledged by the session manager. */
static inline size_t
link_backlog(const struct link *link)
{
	bool acknowledged = link->ack.on || link->ack.id[0] != '\0';

	return link->outbox.queued + (acknowledged ? link->outbox.unacknowledged : 0);
}

const char *link_state_name(enum link_state state);

/*
 * The proof that we know the secret: lower-case hex of SHA-1 of id and secret, one behind the other (XEP-0114 3).
 * `proof` has room for 41 bytes. False: no memory.
 */
bool link_proof(const char *id, const char *secret, char *proof);

#endif
