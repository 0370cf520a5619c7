/*
 * login: what a client has only from its header until it is logged in: its dialect's part; and that failed logins cost
 * time.
 *
 * Who has failed is not read for a while before his next attempt: LOGIN_PAUSE, and twice as long after each failure for which
 * a password was looked at (some clients try their mechanisms one by one), up to
 * limits.login_pause and a quarter of the time that he has for logging in. So is who comes from an address (IPv6: a /64) from
 * which logins have failed a short while ago, as the master says (M2W_CLIENT, M2W_ADMITTED), once, before his first: from
 * LOGIN_FREE failures on, and twice as long for each LOGIN_FREE more; one user behind a NAT who does not know his password
 * costs the others nothing.
 *
 * It waits in one list of a short duration, which looks again and again whether its time has come (unread.h); what it needs for
 * that is here, and so nobody has it who is logged in.
 */
#ifndef C2SD_WORKER_LOGIN_H
#define C2SD_WORKER_LOGIN_H

#include <bsd/sys/queue.h>

#include "common/loop.h"
#include "dialect/dialect.h"

#define LOGIN_PAUSE 500
#define LOGIN_FREE 5

/* How often it is looked whether the time of those who wait has come. */
#define LOGIN_TICK 250

struct client;
struct client_message;

/* A packet of the session manager's for one that does not know yet that it is logged in. */
struct kept_packet {
	STAILQ_ENTRY(kept_packet) entry;
	uint64_t number;
	size_t length;
	bool replaced;
	uint8_t bytes[];
};

STAILQ_HEAD(kept_packets, kept_packet);

/* client->login is its dialect's part. */
struct login {
	struct dialect_client dialect;
	uint64_t until;			/* loop_now() when its next attempt may be read */
	uint8_t guesses;		/* refusals for which a password was looked at: other mechanisms cost no time */
	uint64_t stream_id;		/* random; told to the client in our header */
	bool proved;			/* by SASL, on the stream before this one */
	struct kept_packets kept;
	size_t kept_bytes;
};

/* The header was answered, for that host. False without memory. */
bool login_begin(struct client *client, const char *host);

/*
 * One that was logged in has to wait for its session again: take over what the dialect has put into `session`, beside the
 * address and the memo. False without memory; what `session` owned is freed then.
 */
bool login_resume(struct client *client, struct dialect_client *session);

/*
 * It has said who it is, and its stream begins anew, with another id: login_is_proved() from here on. login_stream_id: 0 for
 * one without a login.
 */
void login_begin_anew(struct client *client);
bool login_is_proved(const struct client *client);
uint64_t login_stream_id(const struct client *client);

/* It has logged in, or ends; there may be none. */
void login_drop(struct client *client);

/*
 * A login was refused, with this condition: counted, logged, and told to the master where it was the session manager's answer.
 * It may be too often.
 */
void login_refused(struct client *client, const char *condition, bool answered);

/*
 * A packet for one that has a session and does not know it yet (RFC 6120 7: it has to bind a resource first): kept, in order,
 * until login_take_kept(). False: no memory. Overflow: the caller asks login_kept_bytes() against the client's limit.
 */
bool login_keep(struct client *client, const struct client_message *message);
size_t login_kept_bytes(const struct client *client);

/* Give up all that was kept, for the caller to free; an empty queue where nothing was. */
void login_take_kept(struct client *client, struct kept_packets *queue);

/* May its next attempt not come yet? And if so, do not read it. */
bool login_waits(const struct client *client);
bool login_hold(struct client *client);

/* Of the worker's list of those who wait for that. */
void login_on_tick(struct deadline *deadline);

#endif
