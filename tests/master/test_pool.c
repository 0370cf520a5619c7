/*
 * pool: whatever a worker does against the contract, it is ended and replaced, its neighbour is left alone, and the master
 * lives. Argument: `rogue_worker`.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/log.h"
#include "master/pool.h"
#include "tests/common/turn.h"
#include "tests/dialect/tap.h"
#include "tests/ipc/sample.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *program;
static struct loop loop;
static struct pool pool;
static unsigned dead, ready, pongs, frames;
static enum contract_breach last_breach;
static struct buffer lines;

static enum contract_breach
on_frame(struct worker_process *worker, const struct frame *frame)
{
	/* The test gives nobody a client. */
	(void)worker;
	(void)frame;
	frames++;
	return BREACH_CLIENT;
}

static void
on_ready(struct worker_process *worker)
{
	ck_assert_int_eq(worker->state, WORKER_READY);
	ready++;
}

static void
on_dead(struct worker_process *worker)
{
	ck_assert_uint_eq(worker->number, 0);
	ck_assert_int_eq(worker->state, WORKER_ABSENT);
	last_breach = worker->channel.breach;
	dead++;
}

static void
on_pong(struct worker_process *worker)
{
	ck_assert_uint_eq(worker->counters.bytes_in, 1);
	ck_assert_uint_eq(worker->counters.packets_out, 4);
	pongs++;
}

static void
sink(enum log_level level, const char *role, const char *line, void *argument)
{
	(void)argument;
	buffer_append_format(&lines, "%s: %s: %s\n", log_level_name(level), role, line);
}

static const char *
log_text(void)
{
	buffer_append(&lines, "", 1);
	lines.end--;
	return (const char *)buffer_bytes(&lines);
}

static unsigned
open_descriptors(void)
{
	unsigned count = 0;

	for (int fd = 0; fd < 256; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

/* A worker has no environment: what is started from now on learns it from the name under which it is executed. */
static void
behave(const char *how)
{
	static char name[64];

	if (name[0] != '\0')
		unlink(name);
	snprintf(name, sizeof name, "rogue-%d:%s", (int)getpid(), how);
	ck_assert_int_eq(symlink(program, name), 0);
	pool.program = name;
}

static void
setup(void)
{
	dead = ready = pongs = frames = 0;
	log_init("master", LOG_LEVEL_INFO);
	log_set_sink(sink, NULL);
	ck_assert_int_eq(loop_init(&loop), 0);
	pool = (struct pool){
		.on_frame = on_frame, .on_ready = on_ready, .on_dead = on_dead, .on_pong = on_pong,
	};
	sample_settings(&pool.settings);
	behave("good");
}

static void
reap(void)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		pool_reaped(&pool, pid, status);
}

static void
teardown(void)
{
	pool_close(&pool);
	/* They end because their channels did. */
	while (waitpid(-1, NULL, 0) > 0)
		;
	unlink(pool.program);
	pool_deinit(&pool);
	pool_deinit(&pool);
	loop_deinit(&loop);
	log_set_sink(log_sink_stderr, NULL);
	buffer_deinit(&lines);
}

static bool
all_ready(void *argument)
{
	(void)argument;
	reap();
	return pool_ready(&pool) == pool.count;
}

static bool
is_dead(void *argument)
{
	reap();
	return dead >= *(unsigned *)argument;
}

static bool
nobody_leaves(void *argument)
{
	(void)argument;
	reap();
	return pool.workers[0].leaving == 0;
}

static bool
has_pongs(void *argument)
{
	return pongs >= *(unsigned *)argument;
}

static void
start(uint32_t count)
{
	ck_assert_int_eq(pool_start(&pool, &loop, count), 0);
}

static void
wait_ready(void)
{
	ck_assert_msg(loop_turn_until(&loop, all_ready, NULL), "%s", log_text());
}

static void
wait_dead(unsigned count)
{
	ck_assert_msg(loop_turn_until(&loop, is_dead, &count), "%s", log_text());
}

START_TEST(good_ones_are_started_and_answer)
{
	unsigned three = 3;

	start(3);
	ck_assert_uint_eq(pool_ready(&pool), 0);
	wait_ready();
	ck_assert_uint_eq(ready, 3);
	ck_assert_uint_eq(pool_ping(&pool), 3);
	ck_assert(loop_turn_until(&loop, has_pongs, &three));
	for (unsigned i = 0; i < 3; i++) {
		ck_assert_uint_eq(pool.workers[i].pinged, 0);
		ck_assert_uint_eq(pool.workers[i].starts, 1);
	}
	ck_assert_uint_eq(dead, 0);
}
END_TEST

static const struct {
	const char *how;
	enum contract_breach breach;
} rogues[] = {
	{ "exit", BREACH_NONE },
	{ "crash", BREACH_NONE },
	{ "half", BREACH_NONE },
	{ "other-version", BREACH_VERSION },
	{ "no-hello", BREACH_WRONG_PHASE },
	{ "garbage", BREACH_TOO_LONG },
	{ "wrong-type", BREACH_UNKNOWN_TYPE },
	{ "wrong-side", BREACH_WRONG_SIDE },
	{ "wrong-phase", BREACH_WRONG_PHASE },
	{ "wrong-length", BREACH_LENGTH },
	{ "too-long", BREACH_TOO_LONG },
	{ "bad-body", BREACH_BODY },
	{ "unknown-client", BREACH_CLIENT },
	{ "descriptor", BREACH_DESCRIPTOR },
};

START_TEST(rogue_is_replaced)
{
	unsigned before = open_descriptors(), two = 2;
	pid_t rogue, good;

	behave(rogues[_i].how);
	start(2);
	rogue = pool.workers[0].pid;
	good = pool.workers[1].pid;
	wait_dead(1);
	behave("good");
	ck_assert_str_eq(contract_breach_name(last_breach), contract_breach_name(rogues[_i].breach));
	if (rogues[_i].breach != BREACH_NONE)
		ck_assert_ptr_nonnull(strstr(log_text(), contract_breach_name(rogues[_i].breach)));
	/* It may have been started again before it was told to be good. */
	do
		wait_ready();
	while (pool.workers[0].state != WORKER_READY);
	ck_assert_int_ne(pool.workers[0].pid, rogue);
	ck_assert_uint_ge(pool.workers[0].starts, 2);
	ck_assert_int_eq(pool.workers[1].pid, good);
	ck_assert_uint_eq(pool.workers[1].starts, 1);
	ck_assert_uint_eq(pool_ping(&pool), 2);
	ck_assert(loop_turn_until(&loop, has_pongs, &two));
	ck_assert_uint_eq(open_descriptors(), before + 2);
	/* The rogue is gone and was reaped. */
	while (waitpid(rogue, NULL, WNOHANG) == 0)
		loop_turn(&loop);
	ck_assert_int_eq(kill(rogue, 0), -1);
}
END_TEST

/* It is heard until it is too much; then it is said how much that was, once each ping, and it may go on serving. */
START_TEST(log_is_bounded)
{
	unsigned one = 1, written = 0;
	const char *line, *dropped;

	behave("chatty");
	start(1);
	/* With a ping it is said what was dropped: here not before the end, however long that takes. */
	timer_set(&loop, &pool.ping, 3600000, pool.ping.fn);
	wait_ready();
	pool_ping(&pool);
	ck_assert(loop_turn_until(&loop, has_pongs, &one));
	for (line = log_text(); (line = strstr(line, ": worker 0: xxxx")) != NULL; line++)
		written++;
	ck_assert_uint_ge(written, 8000);
	ck_assert_uint_lt(written, 11000);
	ck_assert_ptr_null(strstr(log_text(), "log-dropped"));
	timer_is_due(&loop, &pool.ping);
	loop_turn(&loop);
	loop_turn(&loop);
	dropped = strstr(log_text(), "warning: master: worker 0 log-dropped lines=");
	ck_assert_ptr_nonnull(dropped);
	ck_assert_uint_eq(strtoul(strchr(dropped, '=') + 1, NULL, 10) + written, 12000);
	ck_assert_uint_eq(dead, 0);
}
END_TEST

/* Both never answer, one because it never greets. Time does not pass: what they were asked is moved into the past. */
START_TEST(silent_ones_are_killed)
{
	static const char *const hows[] = { "silent", "deaf" };
	struct worker_process *worker;

	behave(hows[_i]);
	start(2);
	worker = &pool.workers[0];
	while (pool_ready(&pool) < 1 + (unsigned)_i)
		loop_turn(&loop);
	timer_is_due(&loop, &pool.ping);
	loop_turn(&loop);
	loop_turn(&loop);
	ck_assert_uint_eq(dead, 0);
	ck_assert(_i == 0 ? worker->pinged == 0 : worker->pinged != 0);
	worker->started = worker->pinged = 1;
	if (_i == 0)
		worker->pinged = 0;
	behave("good");
	timer_is_due(&loop, &pool.ping);
	wait_dead(1);
	wait_ready();
	ck_assert_uint_eq(dead, 1);
	ck_assert_uint_eq(worker->starts, 2);
	ck_assert_uint_eq(worker->pinged, 0);
	ck_assert_ptr_nonnull(strstr(log_text(), "error: master: worker 0 unresponsive pid="));
}
END_TEST

START_TEST(who_keeps_dying_is_started_later_and_later)
{
	static const unsigned pauses[] = { 0, 100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000, 5000 };
	struct worker_process *worker;
	struct epoll_event event;

	behave("exit");
	start(1);
	worker = &pool.workers[0];
	for (unsigned i = 0; i < COUNT(pauses); i++) {
		/* The first is started again in the same turn. */
		wait_dead(i + 1);
		ck_assert_uint_ge(worker->deaths, i + 1);
		if (worker->deaths > i + 1 || i == 0)
			continue;
		ck_assert(timer_is_set(&worker->restart));
		ck_assert_uint_le(worker->restart.at - loop_now(&loop), pauses[i]);
		/* Meanwhile the loop sleeps. */
		reap();
		ck_assert_int_eq(epoll_wait(loop.epoll_fd, &event, 1, 0), 0);
		timer_is_due(&loop, &worker->restart);
	}
	behave("good");
	timer_is_due(&loop, &worker->restart);
	wait_ready();
	/* One that had a long life is started again at once. */
	worker->started = 1;
	kill(worker->pid, SIGTERM);
	wait_dead(dead + 1);
	ck_assert_uint_eq(worker->deaths, 0);
	wait_ready();
}
END_TEST

START_TEST(program_that_is_not_there)
{
	struct worker_process *worker;
	unsigned before = open_descriptors();

	pool.program = "/nonexistent/c2sd-worker";
	start(1);
	worker = &pool.workers[0];
	for (unsigned i = 0; i < 5; i++) {
		ck_assert_int_eq(worker->state, WORKER_ABSENT);
		ck_assert(timer_is_set(&worker->restart));
		ck_assert_uint_eq(open_descriptors(), before);
		timer_is_due(&loop, &worker->restart);
		loop_turn(&loop);
	}
	ck_assert_ptr_nonnull(strstr(log_text(), "start-failed program=/nonexistent/c2sd-worker error=\"No such file"));
	/* What was never started is no process: c2sctl would show it. */
	ck_assert_int_eq(worker->pid, 0);
	ck_assert_uint_eq(dead, 0);
	behave("good");
	timer_is_due(&loop, &worker->restart);
	wait_ready();
}
END_TEST

static bool
is_logged(void *text)
{
	return strstr(log_text(), text) != NULL;
}

START_TEST(stop_is_remembered_for_those_that_come)
{
	static char stop[] = "info: worker 0: told to?stop\n", go[] = "info: worker 0: told to go\n";

	pool.stopped = true;
	start(2);
	ck_assert(loop_turn_until(&loop, is_logged, stop));
	pool_broadcast(&pool, M2W_GO, NULL);
	ck_assert(loop_turn_until(&loop, is_logged, go));
	buffer_clear(&lines);
	/* Said once. */
	pool_broadcast(&pool, M2W_GO, NULL);
	ck_assert(TAILQ_EMPTY(&loop.jobs));
	kill(pool.workers[0].pid, SIGTERM);
	wait_dead(1);
	wait_ready();
	ck_assert(!is_logged(stop));
}
END_TEST

/* Its end may be told before the end of its channel is. */
START_TEST(who_is_gone_is_said_after_the_reaping_too)
{
	char line[64];
	int status;
	pid_t pid;

	start(1);
	wait_ready();
	pid = pool.workers[0].pid;
	snprintf(line, sizeof line, "worker 0 gone pid=%d\n", (int)pid);
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(pool_reaped(&pool, pid, status));
	wait_dead(1);
	ck_assert_ptr_nonnull(strstr(log_text(), line));
}
END_TEST

START_TEST(nobody_is_replaced_at_the_end)
{
	start(2);
	wait_ready();
	pool.ending = true;
	kill(pool.workers[0].pid, SIGKILL);
	wait_dead(1);
	ck_assert(!timer_is_set(&pool.workers[0].restart));
	ck_assert_ptr_null(strstr(log_text(), "gone"));
}
END_TEST

START_TEST(how_it_died_is_logged)
{
	static char died[] = "worker 0 died pid=";
	char expected[80];

	start(1);
	wait_ready();
	snprintf(expected, sizeof expected, "worker 0 died pid=%d signal=%d\n", (int)pool.workers[0].pid, SIGABRT);
	kill(pool.workers[0].pid, SIGABRT);
	wait_dead(1);
	wait_ready();
	ck_assert(loop_turn_until(&loop, is_logged, died));
	ck_assert_msg(is_logged(expected), "%s", log_text());
	ck_assert_int_gt(pool.workers[0].pid, 0);
}
END_TEST

/* It was told to end, has closed its channel, and is still there: while we run, and when we end, which waits for all. */
START_TEST(who_lingers_is_killed)
{
	static char stuck[] = "worker 0 stuck pid=";
	pid_t pid;

	behave("lingers");
	start(2);
	wait_ready();
	behave("good");
	pid = pool.workers[0].pid;
	ck_assert_int_eq(pool_drain(&pool, 0), 0);
	wait_dead(1);
	wait_ready();
	ck_assert_int_eq(kill(pid, 0), 0);
	ck_assert_int_ne(pool.workers[0].pid, pid);
	if (_i == 1) {
		pool_kill(&pool);
		return;		/* teardown waits for it */
	}
	timer_is_due(&loop, &pool.workers[0].late);
	ck_assert(loop_turn_until(&loop, is_logged, stuck));
	ck_assert(loop_turn_until(&loop, nobody_leaves, NULL));
	ck_assert_int_lt(kill(pid, 0), 0);
	ck_assert_uint_eq(dead, 1);
}
END_TEST

int
main(int argc, char **argv)
{
	Suite *suite = suite_create("pool");
	TCase *tests = tcase_create("pool");

	if (argc != 2)
		return EXIT_FAILURE;
	program = argv[1];
	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, good_ones_are_started_and_answer);
	tcase_add_test(tests, log_is_bounded);
	tcase_add_loop_test(tests, rogue_is_replaced, 0, COUNT(rogues));
	tcase_add_loop_test(tests, silent_ones_are_killed, 0, 2);
	tcase_add_test(tests, who_keeps_dying_is_started_later_and_later);
	tcase_add_test(tests, program_that_is_not_there);
	tcase_add_test(tests, stop_is_remembered_for_those_that_come);
	tcase_add_test(tests, who_is_gone_is_said_after_the_reaping_too);
	tcase_add_test(tests, nobody_is_replaced_at_the_end);
	tcase_add_test(tests, how_it_died_is_logged);
	tcase_add_loop_test(tests, who_lingers_is_killed, 0, 2);
	suite_add_tcase(suite, tests);
	return tap_run(suite);
}
