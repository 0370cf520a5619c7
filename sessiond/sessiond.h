/*
 * sessiond: the embedded session manager, without its process: bytes of the link in, bytes of the link out.
 *
 *	sessiond_input(sd, bytes, length)	parse and handle; the answers are held back
 *	sessiond_turn(sd)			commit what was written; the answers are in sessiond_output now
 *	sessiond_drained(sd)			everything in sessiond_output was written to the link
 *
 * While sessiond_is_busy(sd) behind a turn, sessiond_input goes on with what waits: it is called with no bytes.
 *
 * main.c calls these from its event loop, tests call them directly.
 *
 * What happens when things break (doc/design.md promises that no packet vanishes):
 *
 * - The database cannot be written (disk full): the whole turn is rolled back, and every packet of the turn that had
 *   written gets an error (internal-server-error, type wait) in place of its answers; packets that had only passed
 *   through are answered as if nothing had happened. A statement that fails ends the turn, and the next one tries again.
 * - No memory: the turn is not committed, its answers are thrown away, and the process ends with an error, so that the
 *   master starts it anew.
 * - kill -9: what was answered, or acknowledged, is on disk. Offline messages are deleted only when the link has taken
 *   them (sessiond_drained; acknowledged them, where that is done), so that they may come twice but cannot get lost.
 * - The link is lost: everything stays as it is, when there is acknowledgement (ledger.h), until another one comes.
 */
#ifndef C2SD_SESSIOND_SESSIOND_H
#define C2SD_SESSIOND_SESSIOND_H

#include <stdbool.h>
#include <time.h>

#include "common/buffer.h"
#include "sessiond/arena.h"
#include "sessiond/guest.h"
#include "sessiond/link.h"
#include "sessiond/offline.h"
#include "sessiond/recovery.h"
#include "sessiond/session.h"
#include "sessiond/settings.h"
#include "sessiond/store.h"

/* Hashes of passwords in one turn, about 20 ms. */
#define SESSIOND_HASHES_MAX 16

struct sessiond {
	const struct settings *settings;
	struct store store;
	struct link link;
	struct arena arena;		/* of the packet under way */
	struct session_table sessions;
	struct guest_table guests;
	struct offline_queue offline;
	struct recovery recovery;
	unsigned hashes;		/* of passwords, in this turn */
	unsigned long long push_serial;	/* ids of roster pushes */
	time_t (*clock)(void);		/* for time stamps only; tests set it */
};

/* `settings` must outlive it. 0 or a negative errno, logged. */
int sessiond_init(struct sessiond *sd, const struct settings *settings) __attribute__((warn_unused_result));
void sessiond_deinit(struct sessiond *sd);

/* 0, or a negative errno: we are broken, nothing that is not yet in sessiond_output may leave. */
int sessiond_input(struct sessiond *sd, const void *bytes, size_t length) __attribute__((warn_unused_result));
int sessiond_turn(struct sessiond *sd) __attribute__((warn_unused_result));

/*
 * Some of the input waits for the next turn: a password is hashed for a millisecond or more, and a storm of logins must
 * not hold back the answers to what came before it; and behind a statement that failed nothing is done in a turn.
 */
bool sessiond_is_busy(const struct sessiond *sd);

/* May put more into sessiond_output (the next page of offline messages). As sessiond_turn. */
int sessiond_drained(struct sessiond *sd) __attribute__((warn_unused_result));

/* What may be written to the link; the caller consumes. */
struct buffer *sessiond_output(struct sessiond *sd);

/*
 * The connection is gone, and there was a sessiond_turn after the last that came by it: sessiond_input is of another one
 * from now on, on which the stream can be resumed. sessiond_outlives_link: is there anything to be resumed?
 */
void sessiond_lost(struct sessiond *sd);
bool sessiond_outlives_link(const struct sessiond *sd);

/* Nothing more will be read or answered: the stream was ended by either side. */
bool sessiond_is_over(const struct sessiond *sd);

#endif
