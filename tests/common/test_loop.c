/* loop: order of what is due, jobs, watches that go away in the middle of a turn, signals. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/loop.h"
#include "tests/common/turn.h"
#include "tests/dialect/tap.h"

static struct loop loop;

/* What was called, in order: one letter each. */
static char said[64];

static void
say(char what)
{
	size_t length = strlen(said);

	ck_assert_uint_lt(length, sizeof said - 1);
	said[length] = what;
}

static void
setup(void)
{
	memset(said, 0, sizeof said);
	ck_assert_int_eq(loop_init(&loop), 0);
}

static void
teardown(void)
{
	loop_deinit(&loop);
	loop_deinit(&loop);
}

/* ---- jobs ---- */

struct lettered_job {
	struct job job;
	struct lettered_job *next;
	char letter;
};

static void
on_job(struct job *job)
{
	struct lettered_job *mine = container_of(job, struct lettered_job, job);

	say(mine->letter);
	if (mine->next != NULL)
		job_queue(&loop, &mine->next->job, on_job);
}

START_TEST(jobs_run_once_in_order)
{
	struct lettered_job c = { .letter = 'c' }, b = { .letter = 'b' }, a = { .letter = 'a', .next = &c };

	job_queue(&loop, &a.job, on_job);
	job_queue(&loop, &b.job, on_job);
	job_queue(&loop, &a.job, on_job);
	loop_turn(&loop);
	loop_turn(&loop);
	ck_assert_str_eq(said, "abc");
	job_queue(&loop, &a.job, on_job);
	job_cancel(&loop, &a.job);
	job_cancel(&loop, &a.job);
	loop_turn(&loop);
	ck_assert_str_eq(said, "abc");
}
END_TEST

/* ---- timers ---- */

struct lettered_timer {
	struct timer timer;
	char letter;
};

static void
on_timer(struct timer *timer)
{
	ck_assert(!timer_is_set(timer));
	say(container_of(timer, struct lettered_timer, timer)->letter);
}

static void
on_timer_again(struct timer *timer)
{
	on_timer(timer);
	timer_set(&loop, timer, 100000, on_timer);
}

START_TEST(timers_run_in_order_of_time)
{
	struct lettered_timer timers[4] = { { .letter = 'a' }, { .letter = 'b' }, { .letter = 'c' }, { .letter = 'd' } };

	/* All of the past, so that all are due at once. */
	loop.now = 1000;
	timer_set(&loop, &timers[2].timer, 300, on_timer);
	timer_set(&loop, &timers[0].timer, 100, on_timer);
	timer_set(&loop, &timers[3].timer, 10, on_timer);
	timer_set(&loop, &timers[1].timer, 200, on_timer_again);
	timer_set(&loop, &timers[3].timer, 300, on_timer);
	loop_turn(&loop);
	ck_assert_str_eq(said, "abcd");
	ck_assert(timer_is_set(&timers[1].timer));
	timer_clear(&loop, &timers[1].timer);
	timer_clear(&loop, &timers[1].timer);
	ck_assert(!timer_is_set(&timers[1].timer));
	ck_assert(TAILQ_EMPTY(&loop.timers));
}
END_TEST

START_TEST(what_is_not_due_waits)
{
	struct lettered_timer timer = { .letter = 't' };

	loop_turn(&loop);
	timer_set(&loop, &timer.timer, 1000000, on_timer);
	loop_turn(&loop);
	ck_assert_str_eq(said, "");
	ck_assert(timer_is_set(&timer.timer));
	timer_clear(&loop, &timer.timer);
}
END_TEST

/* The loop sleeps until a timer of a few milliseconds, and not for ever. */
START_TEST(a_timer_wakes_the_loop)
{
	struct lettered_timer timer = { .letter = 't' };
	uint64_t before = loop_now(&loop);

	timer_set(&loop, &timer.timer, 3, on_timer);
	while (said[0] == '\0') {
		loop_turn(&loop);
		ck_assert_uint_ge(loop_now(&loop), before);
	}
	ck_assert_uint_ge(loop_now(&loop), before + 3);
}
END_TEST

/* ---- deadlines ---- */

struct lettered_deadline {
	struct deadline deadline;
	char letter;
};

static struct deadline_list list;

static void
on_deadline(struct deadline *deadline)
{
	ck_assert(!deadline_is_set(deadline));
	say(container_of(deadline, struct lettered_deadline, deadline)->letter);
}

START_TEST(deadlines_run_in_order)
{
	struct lettered_deadline a = { .letter = 'a' }, b = { .letter = 'b' }, c = { .letter = 'c' };

	deadline_list_init(&loop, &list, 50, on_deadline);
	loop.now = 1000;
	deadline_set(&loop, &list, &a.deadline);
	deadline_set(&loop, &list, &b.deadline);
	deadline_set(&loop, &list, &c.deadline);
	loop.now = 1010;
	deadline_set(&loop, &list, &a.deadline);
	ck_assert_uint_eq(a.deadline.at, 1060);
	ck_assert_uint_eq(b.deadline.at, 1050);
	deadline_clear(&list, &b.deadline);
	deadline_clear(&list, &b.deadline);
	ck_assert(!deadline_is_set(&b.deadline));
	loop_turn(&loop);
	ck_assert_str_eq(said, "ca");
	deadline_set(&loop, &list, &b.deadline);
	deadline_list_deinit(&loop, &list);
	ck_assert(!deadline_is_set(&b.deadline));
	loop_turn(&loop);
	ck_assert_str_eq(said, "ca");
}
END_TEST

/* Who waits already waits as if it had been so from the beginning; the order stays. */
START_TEST(durations_change)
{
	struct lettered_deadline a = { .letter = 'a' }, b = { .letter = 'b' }, c = { .letter = 'c' };

	deadline_list_init(&loop, &list, 10000, on_deadline);
	loop.now = 1000;
	deadline_set(&loop, &list, &a.deadline);
	loop.now = 1500;
	deadline_set(&loop, &list, &b.deadline);
	deadline_list_change(&list, 20000);
	ck_assert_uint_eq(a.deadline.at, 21000);
	ck_assert_uint_eq(b.deadline.at, 21500);
	deadline_set(&loop, &list, &c.deadline);
	ck_assert_uint_eq(c.deadline.at, 21500);
	deadline_list_change(&list, 300);
	ck_assert_uint_eq(a.deadline.at, 1300);
	ck_assert_uint_eq(b.deadline.at, 1800);
	/* Even so much shorter that it was over before it began, it is still set. */
	a.deadline.at = 200;
	deadline_list_change(&list, 0);
	ck_assert(deadline_is_set(&a.deadline));
	loop_turn(&loop);
	ck_assert_str_eq(said, "abc");
	deadline_list_deinit(&loop, &list);
}
END_TEST

/* ---- watches ---- */

struct pair {
	struct watch watch;
	struct pair *other;
	int peer;
	uint32_t events;
};

static void
on_watch(struct watch *watch, uint32_t events)
{
	struct pair *pair = container_of(watch, struct pair, watch);

	say('w');
	pair->events |= events;
	if (pair->other != NULL)
		watch_remove(&loop, &pair->other->watch);
}

static void
pair_open(struct pair *pair, uint32_t events)
{
	int fds[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
	*pair = (struct pair){ .peer = fds[1] };
	ck_assert_int_eq(watch_add(&loop, &pair->watch, fds[0], events, on_watch), 0);
}

static void
pair_close(struct pair *pair, int fd)
{
	watch_remove(&loop, &pair->watch);
	watch_remove(&loop, &pair->watch);
	close(fd);
	if (pair->peer >= 0)
		close(pair->peer);
}

START_TEST(removed_watch_is_not_called)
{
	struct pair a, b;
	int fds[2];

	pair_open(&a, EPOLLIN);
	pair_open(&b, EPOLLIN);
	fds[0] = a.watch.fd;
	fds[1] = b.watch.fd;
	a.other = &b;
	b.other = &a;
	ck_assert_int_eq(write(a.peer, "x", 1), 1);
	ck_assert_int_eq(write(b.peer, "x", 1), 1);
	loop_turn(&loop);
	ck_assert_str_eq(said, "w");
	pair_close(&a, fds[0]);
	pair_close(&b, fds[1]);
}
END_TEST

START_TEST(only_what_is_wanted_comes)
{
	struct pair pair;
	int fd;

	pair_open(&pair, EPOLLIN);
	fd = pair.watch.fd;
	ck_assert_int_eq(write(pair.peer, "x", 1), 1);
	watch_change(&loop, &pair.watch, 0);
	loop_turn(&loop);
	ck_assert_str_eq(said, "");
	watch_change(&loop, &pair.watch, EPOLLIN | EPOLLOUT);
	loop_turn(&loop);
	ck_assert_uint_eq(pair.events, EPOLLIN | EPOLLOUT);
	/* The end of a connection comes even to who wants nothing. */
	watch_change(&loop, &pair.watch, 0);
	pair.events = 0;
	close(pair.peer);
	pair.peer = -1;
	loop_turn(&loop);
	ck_assert_uint_eq(pair.events, EPOLLHUP);
	pair_close(&pair, fd);
}
END_TEST

START_TEST(watch_of_nothing_fails)
{
	struct watch watch = { .fd = -1 };

	ck_assert_int_eq(watch_add(&loop, &watch, -1, EPOLLIN, on_watch), -EBADF);
	ck_assert_int_eq(watch.fd, -1);
	watch_change(&loop, &watch, EPOLLIN);
	watch_remove(&loop, &watch);
}
END_TEST

/* ---- signals ---- */

static void
on_signal(int number, void *argument)
{
	ck_assert_ptr_eq(argument, &loop);
	say(number == SIGUSR1 ? '1' : '2');
}

START_TEST(signals_come_through_the_loop)
{
	sigset_t none;

	ck_assert_int_eq(loop_catch(&loop, SIGUSR1, on_signal, &loop), 0);
	ck_assert_int_eq(loop_catch(&loop, SIGUSR2, on_signal, &loop), 0);
	raise(SIGUSR2);
	ck_assert_str_eq(said, "");
	loop_turn(&loop);
	ck_assert_str_eq(said, "2");
	raise(SIGUSR1);
	raise(SIGUSR1);
	loop_turn(&loop);
	loop_turn(&loop);
	ck_assert_str_eq(said, "21");
	for (unsigned i = 2; i < LOOP_SIGNALS; i++)
		ck_assert_int_eq(loop_catch(&loop, SIGUSR1, on_signal, &loop), 0);
	ck_assert_int_eq(loop_catch(&loop, SIGUSR1, on_signal, &loop), -ENOSPC);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}
END_TEST

static void
on_signal_again(int number, void *argument)
{
	(void)argument;
	if (strlen(said) < 3) {
		say('s');
		raise(number);
	}
}

/* However fast they come: the others have their turn, too. */
START_TEST(a_signal_that_comes_again_waits)
{
	sigset_t none;

	ck_assert_int_eq(loop_catch(&loop, SIGUSR1, on_signal_again, NULL), 0);
	raise(SIGUSR1);
	loop_turn(&loop);
	ck_assert_str_eq(said, "s");
	loop_turn(&loop);
	loop_turn(&loop);
	loop_turn(&loop);
	ck_assert_str_eq(said, "sss");
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("loop");
	TCase *tests = tcase_create("loop");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, jobs_run_once_in_order);
	tcase_add_test(tests, timers_run_in_order_of_time);
	tcase_add_test(tests, what_is_not_due_waits);
	tcase_add_test(tests, a_timer_wakes_the_loop);
	tcase_add_test(tests, deadlines_run_in_order);
	tcase_add_test(tests, durations_change);
	tcase_add_test(tests, removed_watch_is_not_called);
	tcase_add_test(tests, only_what_is_wanted_comes);
	tcase_add_test(tests, watch_of_nothing_fails);
	tcase_add_test(tests, signals_come_through_the_loop);
	tcase_add_test(tests, a_signal_that_comes_again_waits);
	suite_add_tcase(suite, tests);
	return tap_run(suite);
}
