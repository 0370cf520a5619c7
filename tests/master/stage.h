/*
 * stage: the whole master in the test's process, with its real pool and its real link, while the test plays the workers
 * and the embedded session manager at the other ends of their socketpairs (puppet.c hands them over). Time does not pass
 * but for what the loop takes; nothing is sent on the link until manager_up, so that the queue shows what was sent.
 *
 * One stage at a time: it is all static. What does not work out as it must fails the test.
 */
#ifndef C2SD_TESTS_MASTER_STAGE_H
#define C2SD_TESTS_MASTER_STAGE_H

#include "master/master.h"

#define STAGE_WORKERS_MAX 8
#define STAGE_NAME "foo-sockets"
#define STAGE_HOST "foo.com"

/* Where the puppet's program is, before the first stage_open; where the control socket is, after it. */
extern const char *stage_puppet;
extern char stage_control[64];

extern struct master stage;
extern struct options stage_options;

/* Everything is started and every worker is ready; `held_max` bounds what is kept. */
void stage_open(uint32_t workers, uint32_t held_max);
void stage_close(void);

/* Some turns of the loop: enough for any answer of the master's that needs nothing but what it has been sent. */
void stage_turns(void);

/* Nothing has vanished, in all and of each worker, and the counters agree with what is kept. */
void stage_assert_balance(void);

/* What was logged, as "level: line\n" each. */
const char *stage_log(void);
void stage_log_clear(void);

/* ---- the workers ---- */

/* So many bytes more will they say, and stop wherever that is. */
extern size_t puppet_breath;

/* Say a frame, about nobody or about a client. */
void puppet_say(uint32_t worker, uint16_t type, const void *body, size_t length);
void puppet_say_of(const struct entry *entry, uint16_t type, const void *body, size_t length);
void puppet_say_at(uint32_t worker, uint32_t slot, uint64_t serial, uint16_t type, const void *body, size_t length);
void puppet_say_number(const struct entry *entry, uint16_t type, uint64_t number);
void puppet_say_ended(const struct entry *entry);

/*
 * The next frame that this worker was sent, without pings; false: there is none. The body is valid until the next call.
 * A descriptor that came with it is in *fd_r and the caller's, else -1.
 */
bool puppet_hear(uint32_t worker, struct frame *frame_r, int *fd_r);

/* Everything that it was sent so far is forgotten. */
void puppet_forget(uint32_t worker);

/* Its channel's other half is closed, and everything that came by it was heard. */
bool puppet_is_told_to_end(uint32_t worker);

/* Its process dies; and the next one takes its place, which a breach makes necessary, too. */
void puppet_die(uint32_t worker);
void puppet_replace(uint32_t worker);

/* ---- clients ---- */

/* Somebody connects, from 192.0.2.7. The other end of his connection, which stays the caller's. */
int client_connect(void);

/* That worker is sent a client, takes it, says so. Its entry. */
struct entry *client_take(uint32_t worker);

/* A client of that worker's, whose id is known upstream; and one that has logged in with that address. */
struct entry *client_new(uint32_t worker);
struct entry *client_login(uint32_t worker, const char *address);

/* ---- the link ---- */

/* The session manager says this, as far as the router is concerned: it need not be up. */
void manager_send(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* What waits for the session manager, one packet a line; valid until the next call. */
const char *manager_queue(void);

/* Likewise, and it waits no more. */
const char *manager_take(void);

/* The link comes up; from then on what the session manager was sent is read here, and what it says is said here. */
void manager_up(void);
const char *manager_hear(void);
void manager_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Its process dies. */
void manager_die(void);

/* ID@NAME of a client, valid until eight later calls. */
const char *id_of(const struct entry *entry);

#endif
