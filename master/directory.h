/*
 * directory: every client that the service holds, by its id and by its session's address.
 *
 * An id is NONCE.WORKER.SLOT.SERIAL: the nonce of this start of the master, the worker that took the client, its place
 * in that worker's table, a number that is never given twice. The first three find the entry, the last makes sure that
 * it is the same client: a packet for one that is gone never reaches a newer one.
 *
 * The directory owns its entries, their addresses and what they keep (keeper.h). Entries and addresses live as long as
 * their clients and lie in pages of their own (common/slab).
 */
#ifndef C2SD_MASTER_DIRECTORY_H
#define C2SD_MASTER_DIRECTORY_H

#include <bsd/sys/queue.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/texts.h"
#include "dialect/element.h"
#include "ipc/message.h"

#define DIRECTORY_NONCE_SIZE 14

/* A packet of the session manager whose fate is not known. */
struct kept {
	STAILQ_ENTRY(kept) entry;
	uint64_t number;
	uint32_t length;
	bool managed;			/* the session manager has it in a queue of its own */
	bool asks;			/* it is for nobody, and is answered when everything before it is settled */
	uint8_t bytes[];
};

STAILQ_HEAD(kept_queue, kept);

/* Its memory is counted for each client of the service: bench/idle. */
struct entry {
	uint64_t serial;
	uint32_t worker;
	uint32_t slot;
	char *address;			/* of its session, in the directory's texts; NULL: not logged in */
	char *notice;			/* that was sent when it logged in, in the directory's texts; NULL: none was */
	struct entry *next;		/* with the same hash of the address */
	TAILQ_ENTRY(entry) waiting;	/* while it has not logged in, and is not told to go */
	struct kept_queue kept;		/* in the order of the link */
	uint64_t numbers;		/* packets ever kept for it */
	size_t held;			/* bytes kept */
	uint64_t since;			/* loop_now() when it came */
	uint64_t progress;		/* loop_now() when a packet last left for it */
	struct peer peer;
	int fd;				/* until its worker has taken it; then -1 */
	uint8_t tls;			/* as it came: struct newcomer */
	uint16_t host;			/* of the stream that the session manager holds of it: its place in `hosts`, from 1 on; 0: none */
	bool spoke : 1;			/* something of it went up under its id, which nobody there knows before */
	bool confirmed : 1;		/* the worker has seen the login, too */
	bool superseded : 1;		/* its address was given to a later login */
	bool ended_upstream : 1;	/* the session manager has ended its session */
	bool starts : 1;		/* its worker has asked for a session of it, and none was given since */
	bool goodbye : 1;		/* its client has closed its stream in good order */
	bool renewed : 1;		/* it has had another id, before it came to TLS */
	bool renewal_unseen : 1;	/* its worker has not used the new one yet */
	bool proxied : 1;		/* it came through a proxy, whose header has not said yet where it comes from */
	bool counted : 1;		/* for where it comes from (admission.h) */
	bool closing : 1;		/* its worker was told to end it, for `close_reason` */
	bool due : 1;			/* it will be (spread.h) */
	bool doubtful : 1;		/* the link was lost, and whether it still has a session nobody knows (probe.h) */
	bool probed : 1;		/* its session was asked, and the answer is not for it */
	bool forgotten : 1;		/* it has none: the session manager has lost it */
	bool managed : 1;		/* the session manager keeps what it sends, until the client has acknowledged it */
	uint8_t close_reason;
	uint8_t failures;		/* of its logins */
};

TAILQ_HEAD(entry_queue, entry);

/* The slots of one worker. */
struct slot_table {
	struct entry **entries;
	uint32_t size;
	uint32_t free_hint;	/* no slot below is free */
	uint32_t count;
};

/* The latest that are gone, and for whom the session manager keeps what it still sends; of those before nobody knows that. */
#define DIRECTORY_MANAGED_MAX 1024

struct directory {
	char nonce[DIRECTORY_NONCE_SIZE];
	uint64_t serial;		/* last one given */
	struct slot_table *tables;	/* by worker */
	uint32_t workers;
	struct entry **buckets;		/* by address; a power of two of them */
	size_t bucket_count;
	size_t session_count;		/* entries with an address */
	uint32_t count;
	uint32_t leaving;		/* of them, those that are told to go */
	uint32_t crowded;		/* ... to make room (END_CROWDED) */
	struct entry_queue waiting;	/* who has not logged in, and is not told to go, in the order of arrival */
	struct slab entries;
	struct texts addresses;
	char **hosts;			/* of all streams that were ever opened, each once */
	uint16_t host_count;
	uint64_t managed[DIRECTORY_MANAGED_MAX];	/* a ring of serial numbers: clients that are gone, and were `managed` */
	uint32_t managed_next;
};

/* Hosts that are none of ours and may have had streams: what a worker that was broken into can make us remember. */
#define DIRECTORY_HOSTS_MAX 1024

/* What an entry may grow to before somebody asks whether it has to: a test holds us to it. */
#define ENTRY_SIZE_MAX 136

/* 0 or -ENOMEM. `workers`: how many worker numbers there may be. */
int directory_init(struct directory *directory, uint32_t workers) __attribute__((warn_unused_result));
void directory_deinit(struct directory *directory);

/* A new entry in that worker's first free slot. NULL without memory. */
struct entry *directory_add(struct directory *directory, uint32_t worker);

/* It is told to go for this reason, which stays: it waits no more. */
void directory_leaves(struct directory *directory, struct entry *entry, enum end_reason reason);

/* Put an entry that its worker has refused into another's table; its id changes. False without memory. */
bool directory_move(struct directory *directory, struct entry *entry, uint32_t worker);

/* It has another id, under which nothing went up: no stream, and no session that it has not heard of. */
void directory_renew(struct directory *directory, struct entry *entry);

/* The client in that place whose worker may not have heard yet that it has another serial number; NULL: it is none such. */
struct entry *directory_at_before(const struct directory *directory, uint32_t worker, uint32_t slot, uint64_t serial);

/* Forget an entry, which keeps nothing any more, and free it. */
void directory_remove(struct directory *directory, struct entry *entry);

/* The client of that id; NULL: it is gone, or never was. */
struct entry *directory_find(const struct directory *directory, struct range id);

/*
 * Had the session manager a queue of its own for the client of that id, which is gone since a moment? directory_lose_managed: these
 * queues are lost.
 */
bool directory_was_managed(const struct directory *directory, struct range id);
void directory_lose_managed(struct directory *directory);

/* The client in that place; NULL: there is none, or another one. */
struct entry *directory_at(const struct directory *directory, uint32_t worker, uint32_t slot, uint64_t serial);

/* All clients, one after another, in the order of workers and slots: the first (`entry` NULL), the next; NULL: no more. */
struct entry *directory_next(const struct directory *directory, const struct entry *entry);

/*
 * This client has, or is about to get, this session address: any other that has it is superseded from now on. False
 * without memory.
 */
bool directory_set_address(struct directory *directory, struct entry *entry, struct range address);

/* This was told when it logged in, for the first time. False without memory. */
bool directory_set_notice(struct directory *directory, struct entry *entry, struct range notice);

/*
 * The session manager holds a stream of this client with that host (as on the wire). `ours`: the settings name it, so
 * there is room for it, whatever others were named. False: no memory, or more hosts than anybody has. directory_host:
 * NULL where it holds none.
 */
bool directory_set_host(struct directory *directory, struct entry *entry, struct range raw, bool ours);
const char *directory_host(const struct directory *directory, const struct entry *entry);

/* The id as text; `id` has room for 65 bytes. */
const char *directory_id(const struct directory *directory, const struct entry *entry, char *id);

#define DIRECTORY_ID_SIZE 65

#endif
