/*
 * fake: plays the socket manager to the session manager, without processes: text in, text out.
 *
 * The fake's name is foo-sockets, the hosts are localhost and example.org, the clock stands still at
 * 2026-11-21T12:00:00Z, and passwords cost one round.
 */
#ifndef C2SD_TESTS_SESSIOND_FAKE_H
#define C2SD_TESTS_SESSIOND_FAKE_H

#include <check.h>

#include "common/log.h"
#include "sessiond/sessiond.h"

struct fake {
	struct settings settings;
	struct sessiond sd;
	struct buffer output;	/* of the last fake_send */
};

#define FAKE_NAME "foo-sockets"
#define FAKE_A "a@" FAKE_NAME
#define FAKE_B "b@" FAKE_NAME
#define FAKE_C "c@" FAKE_NAME

/* In memory. `more` are further lines of settings. The link is open when it returns, the log silent. */
struct fake *fake_new(const char *more);

/* Likewise, but before the handshake. */
struct fake *fake_new_shut(const char *more);
void fake_free(struct fake *fake);

/* One turn, and as many as it takes until the link has drained. What came out, until the next call. */
const char *fake_send(struct fake *fake, const char *text);
const char *fake_sendf(struct fake *fake, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The right answer to the header that came out last. */
const char *fake_handshake(struct fake *fake);

/* An account user@localhost with the password "pw", and a session of it for client `id` (ID@foo-sockets). */
void fake_register(struct fake *fake, const char *user);
void fake_login(struct fake *fake, const char *id, const char *user, const char *resource);

/* In session: the stanza `<name ATTRIBUTES sto= sfrom=>CONTENT</name>` from that client. */
const char *fake_stanza(struct fake *fake, const char *id, const char *address, const char *name,
    const char *attributes, const char *content);

/* Available, and what comes of it thrown away. */
void fake_available(struct fake *fake, const char *id, const char *address, int priority);

/* How often `what` is in `text`. */
unsigned fake_count(const char *text, const char *what);

#define ck_has(text, what) ck_assert_msg(fake_count((text), (what)) > 0, "no \"%s\" in \"%s\"", (what), (text))
#define ck_has_not(text, what) ck_assert_msg(fake_count((text), (what)) == 0, "\"%s\" in \"%s\"", (what), (text))

int fake_run(Suite *suite);

#endif
