/*
 * admission: who may connect, by his address: the lists, connections at a time, new ones a second, failed logins; and what
 * is said of those who may not.
 *
 * What is counted for whom. Connections: for the address, and for its network: /24 of IPv4, /64 of IPv6. New connections,
 * failed logins and lines of the log: for the *source*, which is the address for IPv4 and its /64 for IPv6, because
 * whoever has an address of IPv6 has the 2^64 around it.
 *
 * Failed logins decay: every FAILURE_HALF_LIFE half of them is forgotten, and a login that succeeds forgives half of them,
 * once in that time (not more often, lest somebody with an account guesses for ever). There are always less than twice as
 * many as a source is refused for: so it is let in again after one FAILURE_HALF_LIFE at most, whatever one user behind a
 * NAT has done.
 *
 * A refusal is said when a source is refused for the first time; after that, once in each REFUSAL_TIME in which there were
 * more, their number.
 *
 * Memory: a counter for each address and each network from which somebody is connected; and a past, for each source that
 * came a short while ago: at least REFUSAL_TIME and until its new connections are forgotten, or until its failed logins
 * are. Nothing else of an address is kept. Overflow: there are at most PASTS_MAX pasts (about 5 MiB). When more come
 * the one is forgotten that was quiet for longest; those with failed logins go last. So somebody who comes from millions of
 * addresses makes it forget how fast each of these came, which is slow enough by itself then (what bounds him is the
 * number of connections, in all and a second), and to make it forget failed logins he would have to fail from each of them.
 * Lines about first refusals are bounded, too: above LINES_BURST at once and LINES_RATE a second refusals are only counted.
 *
 * All of it costs O(1) for each event (the lists: common/address_list). Tables are keyed at random. Pure: the time is passed
 * in, in milliseconds, and does not go back; nothing is logged here.
 */
#ifndef C2SD_MASTER_ADMISSION_H
#define C2SD_MASTER_ADMISSION_H

#include <bsd/sys/queue.h>

#include "common/address_list.h"
#include "common/prefix_table.h"
#include "common/rate.h"
#include "common/slab.h"

#define ADMISSION_FAILURE_HALF_LIFE 300000
#define ADMISSION_REFUSAL_TIME 60000
#define ADMISSION_PASTS_MAX 32768
#define ADMISSION_LINES_BURST 100
#define ADMISSION_LINES_RATE 5

enum admission_verdict {
	ADMISSION_GRANTED,
	ADMISSION_DENIED,	/* by the lists */
	ADMISSION_FAILURES,	/* too many failed logins from there */
	ADMISSION_ADDRESS,	/* too many connections of the address */
	ADMISSION_NETWORK,	/* ... of its network */
	ADMISSION_RATE,		/* too many new ones */
	ADMISSION_FULL,		/* too many in all, or no memory for one more */
	ADMISSION_UNTRUSTED,	/* it may not say for whom it comes (<proxy/>) */
	ADMISSION_VERDICT_COUNT,
};

struct admission_limits {
	uint32_t address_connections;	/* 0: any number */
	uint32_t network_connections;
	struct rate_limit address_rate;	/* new ones of a source; per_second 0: any number */
	struct rate_limit rate;		/* new ones in all */
	uint32_t login_failures;	/* for which a source is refused; 0: it never is */
};

struct past;

TAILQ_HEAD(past_queue, past);

struct admission {
	struct admission_limits limits;
	struct address_list lists;
	struct prefix_table counts;	/* struct connection_count, of addresses and networks */
	struct prefix_table pasts;	/* struct past, of sources */
	struct slab count_slab, past_slab;
	struct past_queue quiet;	/* pasts without failed logins, the oldest first */
	struct past_queue failed;	/* with; by the last of them */
	struct past_queue refused;	/* of which a refusal was said; by when */
	struct rate rate;		/* new connections in all */
	struct rate lines;		/* first refusals that were said */
	uint64_t unsaid;		/* refusals of which nobody was told, nor will be */
	uint64_t unsaid_since;
	uint64_t verdicts[ADMISSION_VERDICT_COUNT];	/* since the start */
};

/* What is to be said some time after a refusal. */
struct admission_notice {
	struct in6_addr address;	/* the last that was refused of its source */
	enum admission_verdict verdict;	/* the last one; ADMISSION_GRANTED: of no address: those of whom nothing was said */
	uint64_t times;
	uint64_t seconds;
};

/* 0 or -ENOMEM; admission_deinit in any case. No limit is set, nobody is denied. */
int admission_init(struct admission *admission) __attribute__((warn_unused_result));
void admission_deinit(struct admission *admission);

/* From now on these; `lists` is taken over and left empty. Who is connected stays counted. */
void admission_configure(struct admission *admission, const struct admission_limits *limits, struct address_list *lists);

/*
 * Somebody has connected. When it is granted the connection is counted, until admission_left; else nothing is, and
 * admission_refused is to be told.
 */
enum admission_verdict admission_arrived(struct admission *admission, uint64_t now, const struct in6_addr *address);
void admission_left(struct admission *admission, const struct in6_addr *address);

/* It was refused, for this or another reason. True: that is to be said now. */
bool admission_refused(struct admission *admission, uint64_t now, const struct in6_addr *address,
    enum admission_verdict verdict);

/* What is to be said by now; to be called until it is false. It also forgets what is over. */
bool admission_next(struct admission *admission, uint64_t now, struct admission_notice *notice_r);

/* When admission_next has something to do, if nothing else happens; UINT64_MAX: never. */
uint64_t admission_due(const struct admission *admission);

/*
 * Of new connections in all: one more has come; and how many milliseconds to wait before the next is accepted, 0 for none.
 */
void admission_passed(struct admission *admission, uint64_t now);
uint32_t admission_pause(const struct admission *admission, uint64_t now);

/* A login from there has failed: true when the source is refused from now on. One has succeeded. */
bool admission_login_failed(struct admission *admission, uint64_t now, const struct in6_addr *address);
void admission_login_succeeded(struct admission *admission, uint64_t now, const struct in6_addr *address);

/* How many recent failed logins its source has. */
uint32_t admission_failures(const struct admission *admission, uint64_t now, const struct in6_addr *address);

/* "denied", for the log. */
const char *admission_verdict_name(enum admission_verdict verdict);

#endif
