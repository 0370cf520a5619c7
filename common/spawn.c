#include "common/spawn.h"

#include <bsd/unistd.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define FIRST_FD 3

static int
null_take(int fd)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	return null < 0 ? -1 : dup2(null, fd);
}

/* In the child: put the descriptors in their places. They may lie in each other's, so all are moved away first. */
static int
descriptors_place(const int fds[], size_t count, int *report)
{
	int moved[SPAWN_DESCRIPTORS_MAX], above = FIRST_FD + SPAWN_DESCRIPTORS_MAX + 1;

	for (size_t i = 0; i < count; i++) {
		moved[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, above);
		if (moved[i] < 0)
			return -1;
	}
	*report = fcntl(*report, F_DUPFD_CLOEXEC, above);
	if (*report < 0 || null_take(0) < 0 || null_take(1) < 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		if (dup2(moved[i], FIRST_FD + (int)i) < 0)
			return -1;
	}
	/* The one that tells of a failed exec goes by itself when it succeeds. */
	if (dup3(*report, FIRST_FD + (int)count, O_CLOEXEC) < 0)
		return -1;
	*report = FIRST_FD + (int)count;
	closefrom(*report + 1);
	return 0;
}

static void __attribute__((noreturn))
child(const char *program, char *const arguments[], const int fds[], size_t count, int report)
{
	sigset_t none;
	int error;

	sigemptyset(&none);
	if (descriptors_place(fds, count, &report) == 0 && sigprocmask(SIG_SETMASK, &none, NULL) == 0) {
		signal(SIGPIPE, SIG_DFL);
		execv(program, arguments);
	}
	error = errno;
	if (write(report, &error, sizeof error) < 0)
		_exit(126);
	_exit(127);
}

pid_t
spawn_program(const char *program, char *const arguments[], const int fds[], size_t count)
{
	int report[2], error = 0;
	ssize_t length;
	pid_t pid;

	if (count > SPAWN_DESCRIPTORS_MAX)
		return -EINVAL;
	if (pipe2(report, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid == 0)
		child(program, arguments, fds, count, report[1]);
	error = pid < 0 ? errno : 0;
	close(report[1]);
	if (pid > 0) {
		do {
			length = read(report[0], &error, sizeof error);
		} while (length < 0 && errno == EINTR);
		if (length == (ssize_t)sizeof error)
			waitpid(pid, NULL, 0);
		else
			error = 0;
	}
	close(report[0]);
	return error != 0 ? -error : pid;
}
