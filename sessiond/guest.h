/*
 * guest: a client whose stream is open and that has not logged in: what the session manager knows of it in the dialect
 * `xmpp`. It belongs to the id that the socket manager gave the client, and goes when the client is gone, is sent away, or
 * gets its session.
 *
 * How many there are the socket manager bounds (limits, `crowded` in doc/design.md) and takes away after a while. A bound of
 * our own stands above that: when there are GUESTS_MAX, the one that came first is ended for each that comes
 * (`resource-constraint`). One is some 300 bytes, and some hundreds more while a login is under way.
 */
#ifndef C2SD_SESSIOND_GUEST_H
#define C2SD_SESSIOND_GUEST_H

#include <bsd/sys/queue.h>
#include <stdbool.h>
#include <stdint.h>

#include "sessiond/connection.h"
#include "sessiond/table.h"

struct exchange;
struct sessiond;

#define GUESTS_MAX 65536

enum guest_state {
	GUEST_OPENED,		/* its stream is open: it may log in */
	GUEST_EXCHANGE,		/* SASL is under way */
	GUEST_PASSED,		/* <success/> was sent: its stream begins anew */
	GUEST_BINDING,		/* and has: it may bind a resource */
};

struct guest {
	struct table_entry by_id;
	TAILQ_ENTRY(guest) entry;
	char *id;			/* sfrom of its packets */
	char *host;			/* prepared */
	char *account;			/* user@host, that it has proved to be; NULL: none */
	struct exchange *exchange;	/* in GUEST_EXCHANGE */
	struct connection connection;
	enum guest_state state;
	bool modern;			/* version 1.0: it gets features */
	bool interrupted;		/* what it has said in SASL went with another process (recovery.h) */
	uint16_t failures;		/* of logins */
	uint8_t registrations;
};

struct guest_table {
	struct table by_id;
	TAILQ_HEAD(, guest) guests;	/* in the order of their coming */
	size_t max;			/* GUESTS_MAX; tests set it */
};

void guest_table_init(struct guest_table *table);

/* NULL without memory: then the link is broken. */
struct guest *guest_open(struct sessiond *sd, const char *id, const char *host);

/* It is gone, or it has its session. Nothing is sent. */
void guest_end(struct sessiond *sd, struct guest *guest);

struct guest *guest_find(const struct sessiond *sd, const char *id);

/* The one that came first; NULL: there is none. */
struct guest *guest_first(const struct sessiond *sd);

bool guest_table_is_full(const struct sessiond *sd);

void guest_deinit(struct sessiond *sd);

#endif
