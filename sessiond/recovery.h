/*
 * recovery: what the session manager must know to go on after its own end as if nothing had been: written down in a journal
 * (journal.h) as it happens, committed at the end of each turn behind the database and before the turn's output, and read by
 * the next process at its start. Then the socket manager resumes the link's stream (ledger.h), and neither it nor its
 * clients notice more than a pause.
 *
 *	sessions		whose they are, their presence, to whom they have directed any, who wants roster pushes
 *	guests			with their logins, of which nothing secret is written down
 *	offline readers		to whom pages are under way
 *	the ledger		what was sent and is not acknowledged, and how much was received
 *
 * What changes these calls a function here, which does nothing while there is no journal (acknowledge="no", tests, no memory).
 *
 * A turn that writes to the database is exactly once, too: its records are prepared, its number is written in the same
 * transaction, and who comes after a kill in between finds out which of the two it was. The removal of an account that
 * has sessions commits in the middle of its packet: killed behind that, the packet comes again, and finds sessions without
 * an account, which it ends.
 *
 * Overflow: when the journal has no place (it has the bounds of what is in it, and 1 GiB), it is voided, and tried again
 * after some thousand turns; a process that ends meanwhile leaves nothing, and that is said.
 */
#ifndef C2SD_SESSIOND_RECOVERY_H
#define C2SD_SESSIOND_RECOVERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dialect/ack.h"
#include "sessiond/journal.h"

struct guest;
struct offline_reader;
struct session;
struct sessiond;
struct settings;

/* The small numbers, of which one record holds all. */
struct recovery_counts {
	uint64_t dropped;
	uint32_t acknowledged;
	uint32_t received;
	uint32_t streams;
	uint64_t push_serial;
	char id[ACK_ID_MAX + 1];
};

struct recovery {
	struct journal_area *area;	/* the owner's; NULL: there is no journal at all */
	struct journal journal;
	uint64_t owner;			/* the database and the link it is about */
	uint64_t turn;			/* number of the last transaction that was prepared */
	struct recovery_counts counts;	/* as they were written last */
	size_t committed;		/* length of the journal at the last commit */
	size_t recorded;		/* bytes of the turn's output that are in it */
	struct {
		size_t length;
		size_t recorded;
		struct recovery_counts counts;
	} before;			/* what was prepared last */
	bool prepared;			/* and is not committed */
	bool on;			/* what happens is recorded */
	unsigned pause;			/* turns until it is tried again */
};

/*
 * Behind sessiond_init, which has opened the database: take over what the process before has left in the area, which must
 * outlive `sd`, and go on there. `settings` are those of sd: hosts that are not served any more, of which there are
 * sessions, are added as closed. What cannot be read is thrown away, and the log says so. 0, or -ENOMEM.
 */
int recovery_start(struct sessiond *sd, struct settings *settings, struct journal_area *area)
    __attribute__((warn_unused_result));

/* Nothing is recorded from here on; what is there stays, for the next process. */
void recovery_stop(struct sessiond *sd);

void recovery_session_opened(struct sessiond *sd, const struct session *session);
void recovery_session_ended(struct sessiond *sd, const struct session *session);
void recovery_session_interested(struct sessiond *sd, const struct session *session);

/* Its presence is another one; it has none, and nobody has directed presence of it any more. */
void recovery_presence_changed(struct sessiond *sd, const struct session *session);
void recovery_presence_ended(struct sessiond *sd, const struct session *session);

/* Presence was directed to that address, or withdrawn there. */
void recovery_directed(struct sessiond *sd, const struct session *session, const char *jid, bool available);

/* It is there, or not as it was. */
void recovery_guest_changed(struct sessiond *sd, const struct guest *guest);
void recovery_guest_ended(struct sessiond *sd, const struct guest *guest);

void recovery_reader_changed(struct sessiond *sd, const struct offline_reader *reader);
void recovery_reader_ended(struct sessiond *sd, const struct offline_reader *reader);

/*
 * The database's transaction is about to be committed: the turn's output will count with it. `under_way`: the packet
 * that was received last is still being handled, and comes again. recovery_decided: it was, or was not.
 */
void recovery_prepare(struct sessiond *sd, bool under_way);
void recovery_decided(struct sessiond *sd, bool done);

/* The turn's output, all of it, is about to leave link.turn for the ledger. */
void recovery_output(struct sessiond *sd);

/* The turn is over: what it has recorded counts. */
void recovery_commit(struct sessiond *sd);

#endif
