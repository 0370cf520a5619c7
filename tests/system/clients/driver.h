/*
 * driver: what the small programs around other people's client libraries have in common.
 *
 * A driver is started as `client_NAME HOST PORT USER@SERVER PASSWORD RESOURCE`, logs in at once and then obeys lines on
 * standard input. The environment says over what: CLIENT_TLS is `none` (as it is where it is not set), `starttls` or
 * `direct`, and CLIENT_CA the file of whom to trust; and how: by jabber:iq:auth, or, where CLIENT_LOGIN is `default`, as
 * the library does when nobody tells it anything. Not every driver knows them. The lines:
 *
 *	presence			available, to everybody
 *	presence TYPE TO		TYPE is subscribe, subscribed, unsubscribe, unsubscribed, unavailable
 *	message TO TEXT			a chat message
 *	roster				ask for it; roster JID NAME: put that one into it
 *	quit				close the stream; the end of the input means the same
 *
 * and writes one line for each thing that happens:
 *
 *	online JID
 *	message FROM TEXT		delayed FROM TEXT where it carries a delay stamp
 *	presence FROM TYPE		TYPE is `available` where there is none
 *	roster JID SUBSCRIPTION NAME	an item of it; behind the last one `roster complete`, or `roster pushed`
 *	closed REASON			the last line; REASON is `quit` when we asked for it
 *
 * Nothing here knows a library or XMPP.
 */
#ifndef C2SD_TESTS_SYSTEM_CLIENTS_DRIVER_H
#define C2SD_TESTS_SYSTEM_CLIENTS_DRIVER_H

#include <stdbool.h>
#include <stddef.h>

struct driver_arguments {
	const char *host;
	unsigned short port;
	const char *user;	/* in front of the @ */
	const char *server;	/* behind it */
	const char *jid;	/* both */
	const char *full_jid;	/* with the resource */
	const char *password;
	const char *resource;
	bool starttls, direct;	/* never both; neither: plain TCP */
	const char *authorities;	/* file; NULL: none */
	bool defaults;		/* in how to log in */
};

enum driver_verb {
	DRIVER_NOTHING,		/* no complete line yet */
	DRIVER_PRESENCE,
	DRIVER_MESSAGE,
	DRIVER_ROSTER,
	DRIVER_QUIT,
	DRIVER_UNKNOWN,
};

/* Valid until the next call of driver_next. */
struct driver_command {
	enum driver_verb verb;
	const char *type;	/* of a presence; NULL: available, to everybody */
	const char *to;		/* of a roster's command: whom to put into it; NULL: nobody, it is asked for */
	const char *text;
};

/* Fill in the arguments, or say on standard error what was wrong and exit with 2. Lives as long as the process. */
void driver_start(struct driver_arguments *arguments_r, int argc, char **argv);

/* Read what standard input has without blocking (call it when it is readable, or now and then). */
void driver_feed(void);

/* Fetch the next command out of what was read; returns its verb. */
enum driver_verb driver_next(struct driver_command *command_r);

void driver_online(const char *jid);
void driver_message(const char *from, const char *text, bool delayed);
void driver_presence(const char *from, const char *type);

/* An item, and behind the last one what they were: the answer, or a push. */
void driver_item(const char *jid, const char *subscription, const char *name);
void driver_roster_end(bool pushed);

/* Only the first call writes. */
void driver_closed(const char *reason);

#endif
