/*
 * keeper: every packet of the session manager, from the moment it is read until its fate is known; and the counters
 * that prove it (doc/design.md, "No packet vanishes"):
 *
 *	in = settled + bounced + consumed + dropped + held, always, in all and for each worker.
 *
 * Overflow: keeper_is_full() stops the link from being read until keeper_has_room().
 */
#ifndef C2SD_MASTER_KEEPER_H
#define C2SD_MASTER_KEEPER_H

#include "master/directory.h"

enum fate {
	FATE_IN,	/* a packet came from the link */
	FATE_SETTLED,	/* it has left us for good: for now, it was written to the client's socket */
	FATE_BOUNCED,	/* it went back in a 510 */
	FATE_CONSUMED,	/* it was the stream's own business: answers to logins, 510s */
	FATE_DROPPED,	/* it could neither be delivered nor be sent back; logged */
	FATE_HELD,	/* not known yet: it is kept */
	FATE_UP,	/* the other way: a packet to the link, a client's or a 510 of ours */
	FATE_COUNT,
};

struct packet_counters {
	uint64_t of[FATE_COUNT];
};

struct keeper {
	struct packet_counters total;
	struct packet_counters *workers;	/* by worker; packets for ids that are gone are in none of them */
	uint32_t worker_count;
	size_t held_bytes;
	size_t held_max;
};

/* 0 or -ENOMEM. */
int keeper_init(struct keeper *keeper, uint32_t workers, size_t held_max) __attribute__((warn_unused_result));
void keeper_deinit(struct keeper *keeper);

/* Count what never was or is not kept. `entry` NULL: for nobody. */
void keeper_count(struct keeper *keeper, const struct entry *entry, enum fate fate);

/* Keep a copy. Its number for this client, from 1 on; 0: no memory. */
uint64_t keeper_keep(struct keeper *keeper, struct entry *entry, const void *bytes, size_t length);

/* Likewise one that asks (PACKET_ASK): it stays until the owner has let go of it, with keeper_finish. */
uint64_t keeper_keep_ask(struct keeper *keeper, struct entry *entry, const void *bytes, size_t length);

/*
 * The worker says: everything up to this number has left. False: it never got that number. True, and the first that is kept is
 * one that asks: it is the owner's turn, and then this is called again.
 */
bool keeper_settle(struct keeper *keeper, struct entry *entry, uint64_t number);

/* The worker says: this one was the stream's own. False: it never got that number. Settled ones are let be, and those that ask. */
bool keeper_consume(struct keeper *keeper, struct entry *entry, uint64_t number);

/* The first that is kept, without letting go of it; NULL: none. */
const struct kept *keeper_first(const struct entry *entry);

/* Let go of the first: that is what became of it. */
void keeper_finish(struct keeper *keeper, struct entry *entry, enum fate fate);

bool keeper_is_full(const struct keeper *keeper);
bool keeper_has_room(const struct keeper *keeper);

/* "settled", for c2sctl. */
const char *fate_name(enum fate fate);

/* True when nothing has vanished. */
bool packet_counters_balance(const struct packet_counters *counters);

#endif
