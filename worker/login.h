/*
 * login: what a client has only from its header until it is logged in: its dialect's part; and that failed logins cost
 * time.
 *
 * Who has failed is not read for a while before his next attempt: LOGIN_PAUSE, and twice as long after each failure, up to
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

#include "common/loop.h"
#include "dialect/dialect.h"

#define LOGIN_PAUSE 500
#define LOGIN_FREE 5

/* How often it is looked whether the time of those who wait has come. */
#define LOGIN_TICK 250

struct client;
struct client_message;

/* client->login is its dialect's part. */
struct login {
	struct dialect_client dialect;
	uint64_t until;			/* loop_now() when its next attempt may be read */
};

/* The header was answered, for that host. False without memory. */
bool login_begin(struct client *client, const char *host);

/* It has logged in, or ends; there may be none. */
void login_drop(struct client *client);

/* The session manager's answer refuses it: counted, logged, told to the master. It may be too often. */
void login_refused(struct client *client, const struct client_message *message);

/* May its next attempt not come yet? And if so, do not read it. */
bool login_waits(const struct client *client);
bool login_hold(struct client *client);

/* Of the worker's list of those who wait for that. */
void login_on_tick(struct deadline *deadline);

#endif
