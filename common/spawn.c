#include "common/spawn.h"

#include <bsd/unistd.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/sanitizer.h"

#define FIRST_FD 3

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/*
 * libbsd writes the title over the arguments and the environment behind them: without any, "c2sd: worker 10" would not
 * fit.
 */
static char room[] = "TITLE=                                                        ";

/* What the sanitizers of a program read there. */
static const char *const sanitizer_names[] = { "ASAN_OPTIONS=", "LSAN_OPTIONS=", "UBSAN_OPTIONS=" };

#define ENVIRONMENT_MAX (COUNT(sanitizer_names) + 2)

static bool
is_for_sanitizer(const char *variable)
{
	for (size_t i = 0; i < COUNT(sanitizer_names); i++) {
		if (strncmp(variable, sanitizer_names[i], strlen(sanitizer_names[i])) == 0)
			return true;
	}
	return false;
}

static void
environment_make(char *environment[ENVIRONMENT_MAX])
{
	size_t count = 0;

	environment[count++] = room;
	for (char **variable = environ; UNDER_SANITIZER && variable != NULL && *variable != NULL; variable++) {
		if (count < ENVIRONMENT_MAX - 1 && is_for_sanitizer(*variable))
			environment[count++] = *variable;
	}
	environment[count] = NULL;
}

/* In the child: both the soft and the hard limit, which it cannot raise again. */
static int
limit_set(int resource, rlim_t value)
{
	struct rlimit limit;

	if (getrlimit((__rlimit_resource_t)resource, &limit) < 0)
		return -1;
	if (limit.rlim_max == RLIM_INFINITY || value < limit.rlim_max)
		limit.rlim_max = value;
	limit.rlim_cur = limit.rlim_max;
	return setrlimit((__rlimit_resource_t)resource, &limit);
}

static int
limits_set(const struct spawn_limits *limits)
{
	if (limit_set(RLIMIT_CORE, 0) < 0)
		return -1;
	if (limits == NULL)
		return 0;
	if (limits->no_files && limit_set(RLIMIT_FSIZE, 0) < 0)
		return -1;
	if (limits->no_processes && !UNDER_SANITIZER && limit_set(RLIMIT_NPROC, 0) < 0)
		return -1;
	return limits->memory == 0 ? 0 : limit_set(RLIMIT_AS, (rlim_t)limits->memory);
}

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
child(const char *program, char *const arguments[], const int fds[], size_t count, const struct spawn_limits *limits,
    int report)
{
	char *environment[ENVIRONMENT_MAX];
	sigset_t none;
	int error;

	sigemptyset(&none);
	umask(S_IRWXG | S_IRWXO);
	/* Until it is another program it goes by our name: what is meant for us must not end it. */
	signal(SIGHUP, SIG_IGN);
	signal(SIGUSR1, SIG_IGN);
	environment_make(environment);
	if (descriptors_place(fds, count, &report) == 0 && sigprocmask(SIG_SETMASK, &none, NULL) == 0 &&
	    limits_set(limits) == 0) {
		signal(SIGPIPE, SIG_DFL);
		execve(program, arguments, environment);
	}
	error = errno;
	if (write(report, &error, sizeof error) < 0)
		_exit(126);
	_exit(127);
}

pid_t
spawn_program(const char *program, char *const arguments[], const int fds[], size_t count,
    const struct spawn_limits *limits)
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
		child(program, arguments, fds, count, limits, report[1]);
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
