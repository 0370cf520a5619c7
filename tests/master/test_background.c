/* background: who waits is told, and whoever takes too long or waits for nobody ends. How it forks: tests/system. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "common/log.h"
#include "master/background.h"
#include "tests/common/turn.h"
#include "tests/dialect/tap.h"

static struct loop loop;
static struct background background;
static int starter = -1;

static void
silence(enum log_level level, const char *role, const char *line, void *argument)
{
	(void)level;
	(void)role;
	(void)line;
	(void)argument;
}

/* As background_enter leaves it, with the starter's end of the pipe here. */
static void
setup(void)
{
	int fds[2];

	log_set_sink(silence, NULL);
	ck_assert_int_eq(loop_init(&loop), 0);
	ck_assert_int_eq(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
	starter = fds[0];
	background = (struct background){ .starter.fd = fds[1], .awaited = true };
	background_watch(&background, &loop);
	loop_turn(&loop);
	ck_assert(!background.failed);
}

static void
teardown(void)
{
	background_deinit(&background);
	background_deinit(&background);
	if (starter >= 0)
		close(starter);
	starter = -1;
	loop_deinit(&loop);
	log_set_sink(log_sink_stderr, NULL);
}

/* What the starter reads: 1 byte, 0 for the end, -1 for nothing yet. */
static int
starter_reads(void)
{
	char byte;

	return (int)read(starter, &byte, 1);
}

START_TEST(starter_is_told)
{
	ck_assert_int_eq(starter_reads(), -1);
	background_ready(&background);
	ck_assert_int_eq(starter_reads(), 1);
	ck_assert_int_eq(starter_reads(), 0);
	ck_assert(!timer_is_set(&background.patience));
	close(starter);
	starter = -1;
	loop_turn(&loop);
	ck_assert(!background.failed);
}
END_TEST

START_TEST(end_without_being_ready_is_no_word)
{
	background_deinit(&background);
	ck_assert_int_eq(starter_reads(), 0);
}
END_TEST

START_TEST(patience_ends)
{
	timer_is_due(&loop, &background.patience);
	ck_assert_int_eq(loop_run(&loop), 0);	/* stopped, else it would turn for ever */
	ck_assert(background.failed);
	ck_assert_int_eq(starter_reads(), -1);
}
END_TEST

START_TEST(starter_is_gone)
{
	close(starter);
	starter = -1;
	ck_assert_int_eq(loop_run(&loop), 0);	/* stopped, else it would turn for ever */
	ck_assert(background.failed);
	ck_assert(!background.awaited);
}
END_TEST

START_TEST(in_the_foreground_nobody_waits)
{
	struct background zero = { 0 };

	background_watch(&zero, &loop);
	ck_assert(!timer_is_set(&zero.patience));
	background_ready(&zero);
	background_deinit(&zero);
	ck_assert_int_ne(fcntl(STDIN_FILENO, F_GETFD), -1);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("background");
	TCase *tests = tcase_create("background");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, starter_is_told);
	tcase_add_test(tests, end_without_being_ready_is_no_word);
	tcase_add_test(tests, patience_ends);
	tcase_add_test(tests, starter_is_gone);
	tcase_add_test(tests, in_the_foreground_nobody_waits);
	suite_add_tcase(suite, tests);
	return tap_run(suite);
}
