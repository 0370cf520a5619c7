/*
 * gate: who is let in, and who has to make room: admission (admission.h) for the running master.
 *
 *	accept --> lists, failed logins, connections of its address and network, new ones of its source --> `connections` --> in
 *	                    `-- refused: closed at once, counted, said once a minute                             |
 *	                                           full: waits until the oldest that has not logged in has gone; or refused
 *
 * A refusal costs an accept and a close; no worker hears of it. What who is refused sees is the end of the connection
 * without a word: FIN, or RST where it has sent something already; one packet, and nothing of it stays.
 *
 * New connections in all are not refused when they come too fast: accepting waits, and the kernel's backlog holds them.
 *
 * When `connections` are there, or every worker is full, who comes waits (arrivals.h), and the oldest client that has not
 * logged in is told to go (END_CROWDED) once it is there for two seconds. So a flood of silent connections keeps nobody out
 * who logs in: it is bounded by the places that are not sessions', that many in two seconds, and who gets in among them has
 * two seconds at least, and all that it takes to fill those places anew. Who is told to go counts no more; but no more than
 * `connections` may be leaving, which takes workers that do not answer. When everybody has logged in: above `connections` the
 * new one is refused; when only the workers are full it waits.
 *
 * Through a proxy: its connections count in all only, until the PROXY header has said for whom it comes; then that address
 * is judged as if it had come itself, and told to go (END_REFUSED) where it would have been refused.
 */
#ifndef C2SD_MASTER_GATE_H
#define C2SD_MASTER_GATE_H

#include "common/loop.h"
#include "ipc/contract.h"
#include "ipc/message.h"
#include "master/admission.h"

struct entry;
struct master;
struct options;

struct gate {
	struct admission admission;
	struct timer notices;		/* something is to be said, or to be forgotten */
	struct timer pause;		/* new connections came too fast: nobody is accepted */
	struct timer grace;		/* until somebody may be told to make room */
	uint64_t pauses;		/* how often nobody was accepted */
	uint64_t pause_said;		/* loop_now() when that was logged; 0: never */
	uint64_t full_said;		/* the same: all places are taken */
};

/* 0 or -ENOMEM. */
int gate_init(struct gate *gate) __attribute__((warn_unused_result));
void gate_deinit(struct master *master);

/* The lists of a configuration, for gate_configure. 0 or -ENOMEM. */
int gate_lists(const struct options *options, struct address_list *lists_r) __attribute__((warn_unused_result));

/*
 * What master->options say from now on; the lists are taken over. Who is denied is told to go (END_REFUSED), because a client
 * may stay for days; a number that became smaller ends nobody.
 */
void gate_configure(struct master *master, struct address_list *lists);

/* Somebody has connected: may he come in? He is counted then, until gate_left (unless he is `proxied`). */
bool gate_enter(struct master *master, const struct peer *peer, bool proxied);
void gate_left(struct master *master, const struct peer *peer);

/* Somebody may not come in for a reason that the gate does not know: counted, and logged. */
void gate_refuse(struct master *master, const struct peer *peer, enum admission_verdict verdict);

/* The PROXY header of a client has said where it comes from: entry->peer. */
void gate_identified(struct master *master, struct entry *entry);

/* Is there a place under `connections`? Is there none, and everybody has logged in? */
bool gate_has_place(const struct master *master);
bool gate_is_full(const struct master *master);

/* Somebody waits: where places or workers are full others make way. True: there is a place now. */
bool gate_make_way(struct master *master);

/* W2M_LOGIN_FAILED; and a client has logged in. */
enum contract_breach gate_login_failed(struct master *master, struct entry *entry);
void gate_logged_in(struct master *master, const struct entry *entry);

/* Recent failed logins from where this one comes, for M2W_CLIENT; no more than fit. */
uint8_t gate_failures(const struct master *master, const struct peer *peer);

#endif
