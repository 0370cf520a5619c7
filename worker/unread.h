/*
 * unread: why a client is not read for now, and until when.
 *
 * One reason at a time is enough: when it is over, reading begins again, and whoever has another reason says so then. A
 * client that is not read keeps what has come in the kernel, and in the end at its own side. Nothing is lost: what it sent
 * before it closed its connection is read before its end is. Only when the connection breaks (EPOLLERR) it ends at once: who is
 * read is read to the end then, too.
 */
#ifndef C2SD_WORKER_UNREAD_H
#define C2SD_WORKER_UNREAD_H

#include "common/loop.h"

struct client;

enum unread {
	UNREAD_NO,		/* it is read */
	UNREAD_STOPPED,		/* it would be readable, but the worker may not read: until worker_may_read() */
	UNREAD_FAILED,		/* logins have failed: until its next attempt may come (login.h) */
	UNREAD_THROTTLED,	/* it has sent more than it may (karma.h): until that is paid */
	UNREAD_ASKED,		/* the master was told where it comes from: until that is judged (origin.h) */
	UNREAD_ANSWER,		/* the session manager was asked what decides how to go on: until it has answered (dialect.h) */
	UNREAD_TURN,		/* it has had its share of this turn, and TLS has more of it: until the next */
};

/* Do not read it, for this reason. One that it is unread for already stays. */
void unread_begin(struct client *client, enum unread why);

/* The reason is over; client_resume reads on. */
void unread_end(struct client *client);

/* Do not read it if it has sent too much. */
void unread_throttle(struct client *client);

/* Of the worker's list of those that are throttled. */
void unread_on_paid(struct deadline *deadline);

/* Of the worker's list of those that have had their share. */
void unread_on_turn(struct deadline *deadline);

#endif
