/* spawn: a child has the descriptors it is to have and no others, in whatever order they lie here. Argument: `spawned`. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/sanitizer.h"
#include "common/spawn.h"
#include "tests/dialect/tap.h"

static char *program;

static void
pipe_open(int fds[2])
{
	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
}

/* Everything that the child said until it ended. */
static void
read_all(int fd, char *text, size_t size)
{
	size_t length = 0;
	ssize_t more;

	while ((more = read(fd, text + length, size - 1 - length)) > 0)
		length += (size_t)more;
	text[length] = '\0';
}

static void
wait_for(pid_t pid)
{
	int status = -1;

	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}

static pid_t
spawn(const int fds[], size_t count)
{
	char name[] = "c2sd-x", argument[] = "two";
	char *arguments[] = { name, argument, NULL };

	return spawn_program(program, arguments, fds, count, NULL);
}

START_TEST(descriptors_are_these_and_no_others)
{
	int out[2], in[2], other[2], fds[3];
	char text[512];
	pid_t pid;

	pipe_open(out);
	pipe_open(in);
	/* One that would be inherited. */
	ck_assert_int_eq(pipe(other), 0);
	fds[0] = out[1];
	fds[1] = in[0];
	fds[2] = other[0];
	ck_assert_int_eq(write(in[1], "first", 5), 5);
	ck_assert_int_eq(write(other[1], "second", 6), 6);
	pid = spawn(fds, 3);
	ck_assert_int_gt(pid, 0);
	/* They stay open here. */
	for (unsigned i = 0; i < 3; i++) {
		ck_assert_int_ge(fcntl(fds[i], F_GETFD), 0);
		close(fds[i]);
	}
	close(in[1]);
	close(other[1]);
	read_all(out[0], text, sizeof text);
	ck_assert_str_eq(text, "0=/dev/null 1=/dev/null 2 3 4 5 [c2sd-x][two] first second");
	wait_for(pid);
	close(out[0]);
}
END_TEST

/* The first is to become 3 and the second 4, and they lie at 4 and 3. */
START_TEST(descriptors_in_each_others_places)
{
	int out[2], in[2], fds[2] = { 4, 3 };
	char text[512];
	pid_t pid = fork();

	if (pid == 0) {
		if (pipe(out) < 0 || pipe(in) < 0 || write(in[1], "crossed", 7) != 7)
			_exit(1);
		for (int i = 20; i < 23; i++)
			close(i);
		if (dup2(out[0], 20) < 0 || dup2(out[1], 21) < 0 || dup2(in[0], 22) < 0)
			_exit(2);
		for (int i = 3; i < 20; i++)
			close(i);
		if (dup2(21, 4) < 0 || dup2(22, 3) < 0)
			_exit(3);
		close(21);
		pid = spawn(fds, 2);
		close(4);
		read_all(20, text, sizeof text);
		if (pid < 0 || waitpid(pid, NULL, 0) != pid)
			_exit(4);
		_exit(strcmp(text, "0=/dev/null 1=/dev/null 2 3 4 [c2sd-x][two] crossed") == 0 ? 0 : 5);
	}
	wait_for(pid);
}
END_TEST

/* Who was started without them starts children with them all the same. */
START_TEST(standard_descriptors_are_there)
{
	int out[2];
	char text[512];
	pid_t pid = fork();

	if (pid == 0) {
		if (pipe(out) < 0)
			_exit(1);
		close(0);
		close(1);
		pid = spawn(&out[1], 1);
		close(out[1]);
		read_all(out[0], text, sizeof text);
		if (pid < 0 || waitpid(pid, NULL, 0) != pid)
			_exit(2);
		_exit(strcmp(text, "0=/dev/null 1=/dev/null 2 3 [c2sd-x][two]") == 0 ? 0 : 3);
	}
	wait_for(pid);
}
END_TEST

START_TEST(no_signal_is_blocked)
{
	int out[2];
	char text[512];
	sigset_t mask, before;
	pid_t pid;

	sigemptyset(&mask);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGCHLD);
	ck_assert_int_eq(sigprocmask(SIG_BLOCK, &mask, &before), 0);
	pipe_open(out);
	pid = spawn(&out[1], 1);
	sigprocmask(SIG_SETMASK, &before, NULL);
	ck_assert_int_gt(pid, 0);
	close(out[1]);
	read_all(out[0], text, sizeof text);
	ck_assert_str_eq(text, "0=/dev/null 1=/dev/null 2 3 [c2sd-x][two]");
	wait_for(pid);
	close(out[0]);
}
END_TEST

/* What the child says about itself after `word` and a colon, up to the next blank. */
static void
ask(const struct spawn_limits *limits, const char *word, char *answer, size_t size)
{
	char name[] = "c2sd-x", *arguments[] = { name, NULL, NULL }, text[1024];
	char argument[32];
	int out[2];
	pid_t pid;

	snprintf(argument, sizeof argument, "%s", word);
	arguments[1] = argument;
	pipe_open(out);
	pid = spawn_program(program, arguments, &out[1], 1, limits);
	ck_assert_int_gt(pid, 0);
	close(out[1]);
	read_all(out[0], text, sizeof text);
	wait_for(pid);
	close(out[0]);
	ck_assert_ptr_nonnull(strrchr(text, ']'));
	snprintf(answer, size, "%s", strrchr(text, ']') + 1);
}

START_TEST(limits_are_set)
{
	struct spawn_limits limits = { .no_files = true, .no_processes = true, .memory = 1ull << 32 };
	char answer[256];

	ask(&limits, "limits", answer, sizeof answer);
	ck_assert_ptr_eq(strstr(answer, "core=0/0 file=0/0 processes="), answer);
	ck_assert((strstr(answer, "processes=0/0") != NULL) == !UNDER_SANITIZER);
	ck_assert_ptr_nonnull(strstr(answer, "memory=4294967296/4294967296"));
	ask(NULL, "limits", answer, sizeof answer);
	ck_assert_ptr_eq(strstr(answer, "core=0/0 "), answer);
	ck_assert_ptr_null(strstr(answer, "file=0"));
	ck_assert_ptr_null(strstr(answer, "memory=4294967296"));
}
END_TEST

/* More than we have ourselves is not to be had, and no reason not to start. */
START_TEST(limits_are_at_most_ours)
{
	struct spawn_limits limits = { .memory = 1ull << 40 };
	struct rlimit before, ours = { 1ull << 33, 1ull << 33 };
	char answer[256];
	pid_t pid = UNDER_SANITIZER ? -1 : fork();

	if (pid == 0) {
		if (getrlimit(RLIMIT_AS, &before) < 0 || setrlimit(RLIMIT_AS, &ours) < 0)
			_exit(1);
		ask(&limits, "limits", answer, sizeof answer);
		_exit(strstr(answer, "memory=8589934592/8589934592") != NULL ? 0 : 2);
	}
	if (pid > 0)
		wait_for(pid);
}
END_TEST

START_TEST(environment_is_empty)
{
	char answer[256];

	ck_assert_int_eq(setenv("NOTIFY_SOCKET", "/run/x", 1), 0);
	ck_assert_int_eq(setenv("LD_PRELOAD", "", 1), 0);
	ask(NULL, "environment", answer, sizeof answer);
	ck_assert_ptr_null(strstr(answer, "NOTIFY_SOCKET"));
	ck_assert_ptr_null(strstr(answer, "LD_PRELOAD"));
	ck_assert_ptr_null(strstr(answer, "PATH"));
	ck_assert_ptr_nonnull(strstr(answer, "TITLE="));
	unsetenv("NOTIFY_SOCKET");
	unsetenv("LD_PRELOAD");
}
END_TEST

START_TEST(files_are_for_the_owner_alone)
{
	char answer[256];

	ask(NULL, "umask", answer, sizeof answer);
	ck_assert_str_eq(answer, "umask=077");
}
END_TEST

START_TEST(failure_is_reported)
{
	char name[] = "x";
	char *arguments[] = { name, NULL };
	int fds[SPAWN_DESCRIPTORS_MAX + 1] = { 0 }, closed = 999;

	ck_assert_int_eq(spawn_program("/nonexistent/c2sd-worker", arguments, fds, 0, NULL), -ENOENT);
	ck_assert_int_eq(spawn_program("/dev/null", arguments, fds, 0, NULL), -EACCES);
	ck_assert_int_eq(spawn_program(program, arguments, fds, SPAWN_DESCRIPTORS_MAX + 1, NULL), -EINVAL);
	ck_assert_int_eq(spawn_program(program, arguments, &closed, 1, NULL), -EBADF);
	/* No child is left behind. */
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
	ck_assert_int_eq(errno, ECHILD);
}
END_TEST

int
main(int argc, char **argv)
{
	Suite *suite = suite_create("spawn");
	TCase *tests = tcase_create("spawn");

	if (argc != 2)
		return EXIT_FAILURE;
	program = argv[1];
	tcase_add_test(tests, descriptors_are_these_and_no_others);
	tcase_add_test(tests, descriptors_in_each_others_places);
	tcase_add_test(tests, standard_descriptors_are_there);
	tcase_add_test(tests, no_signal_is_blocked);
	tcase_add_test(tests, limits_are_set);
	tcase_add_test(tests, limits_are_at_most_ours);
	tcase_add_test(tests, environment_is_empty);
	tcase_add_test(tests, files_are_for_the_owner_alone);
	tcase_add_test(tests, failure_is_reported);
	suite_add_tcase(suite, tests);
	return tap_run(suite);
}
