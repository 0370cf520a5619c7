/*
 * link_parts: what the files that make up the link ask of each other; nobody else includes this. link.c has the state
 * machine, link_open how a connection is made and proves itself, link_ack acknowledgement, link_tcp what holds without it,
 * link_write and link_read the bytes.
 *
 * Every call with which something can be lost (link_fail, link_fsm, link_flush, reading) may end the connection: whoever goes
 * on behind it looks at link->watch.fd first.
 */
#ifndef C2SD_MASTER_LINK_PARTS_H
#define C2SD_MASTER_LINK_PARTS_H

#include "master/link.h"

/* What comes with an event. */
struct link_message {
	const char *why;		/* LINK_EVENT_FAILED */
	const uint8_t *bytes;		/* LINK_EVENT_HEADER, LINK_EVENT_ELEMENT */
	size_t length;
};

/* ---- link.c ---- */

void link_fsm(struct link *link, enum link_event event, const struct link_message *message);
void link_change_state(struct link *link, enum link_state state);

/* The one way out of a connection. `why` is for the log, and is compared as a pointer. */
void link_fail(struct link *link, const char *why);

/* The same, by them: their process may have ended. */
void link_closed(struct link *link, const char *why);

/* From now on `timeout` runs. */
void link_step_begins(struct link *link);

/* Everything was agreed on. */
void link_step_up(struct link *link);

/* ---- link_open.c ---- */

void link_step_connect(struct link *link);
void link_step_header(struct link *link);
void link_step_handshake(struct link *link, const struct link_message *message);
void link_handshake_answer(struct link *link, const struct link_message *message);

/* ---- link_ack.c ---- */

/* There was a stream that can be resumed; on a connection that counts: this one can be. */
bool link_can_resume(const struct link *link);

/* The handshake was answered: ask for acknowledgement where that is wanted, else the link is up. */
void link_step_enable(struct link *link);

/* An element in ENABLING; one in UP or CLOSED. */
void link_enabling_answer(struct link *link, const struct link_message *message);
void link_packet_arrived(struct link *link, const struct link_message *message);

/* The session manager works without; what was asked for is not waited for any more. */
void link_not_enabled(struct link *link, const char *why);
void link_not_answered(struct link *link);

/*
 * What was sent and not acknowledged is sent again, to a session manager that does not know the stream any more. `died`: it
 * is another one than before.
 */
void link_stream_lost(struct link *link, bool died);

/* What had not arrived is to be written again, as in outbox_requeue; whose packet was given up is told. */
void link_requeue(struct link *link, bool died);

/* ---- link_tcp.c ---- */

/* A socket that is about to be connected. */
void link_tcp_prepare(struct link *link, int fd, int family);

/* What was written may have arrived: look, if that is due, and see to it that it will be. */
void link_tcp_follow(struct link *link);

/* The connection is about to be closed: what has arrived, as far as can be known. */
void link_tcp_settle(struct link *link);

/* ---- link_write.c ---- */

/* The owner does not want it to be read; while it is being opened that waits. */
bool link_is_unread(const struct link *link);

/* Is there anything that may be written now? */
bool link_has_unsent(const struct link *link);

/* What epoll is to tell. */
void link_wants(struct link *link, bool unsent);

/* Write what can be written: now, or at the end of the turn. */
void link_flush(struct link *link);
void link_flush_later(struct link *link);

/* ---- link_read.c ---- */

void link_on_ready(struct watch *watch, uint32_t events);

/* One read, and what came with it is dealt with. False: there is no more for now, or the link is lost. */
bool link_read_once(struct link *link);

/* A <stream:error/> for us, which is logged, and not one that a client is to be told. */
bool link_is_stream_error(const struct link_message *message);

#endif
