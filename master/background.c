#include "master/background.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/log.h"

/* Workers start within fractions of a second; a machine that is starting itself gets some more. */
#define PATIENCE 30000

static void __attribute__((noreturn))
starter_wait(pid_t pid, int fd)
{
	char byte;
	ssize_t length;
	int status = 0;

	do {
		length = read(fd, &byte, 1);
	} while (length < 0 && errno == EINTR);
	if (length == 1)
		_exit(0);
	if (waitpid(pid, &status, 0) == pid && WIFSIGNALED(status))
		fprintf(stderr, "c2sd: the service has died: %s\n", strsignal(WTERMSIG(status)));
	_exit(1);
}

/*
 * Nothing of the starter's terminal stays open, least of all in the other processes, which inherit descriptor 2: who reads
 * what the starter says would wait for ever.
 */
static int
terminal_leave(bool log_to_stderr)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0)
		return -errno;
	if (dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0 ||
	    (!log_to_stderr && dup2(null, STDERR_FILENO) < 0) || chdir("/") < 0)
		return -errno;
	close(null);
	return 0;
}

int
background_enter(struct background *background, bool log_to_stderr)
{
	int fds[2], result;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	fflush(NULL);
	pid = fork();
	if (pid < 0) {
		result = -errno;
		close(fds[0]);
		close(fds[1]);
		return result;
	}
	if (pid > 0) {
		close(fds[1]);
		starter_wait(pid, fds[0]);
	}
	close(fds[0]);
	background->starter.fd = fds[1];
	background->awaited = true;
	if (setsid() < 0)
		return -errno;
	return terminal_leave(log_to_stderr);
}

static void
give_up(struct background *background, const char *why)
{
	log_error("service failed reason=\"%s\"", why);
	background->failed = true;
	loop_stop(background->loop);
}

static void
on_patience_over(struct timer *timer)
{
	give_up(container_of(timer, struct background, patience), "not ready in time");
}

static void
on_starter(struct watch *watch, uint32_t events)
{
	struct background *background = container_of(watch, struct background, starter);

	(void)events;
	background_deinit(background);
	give_up(background, "its starter is gone before it was ready");
}

void
background_watch(struct background *background, struct loop *loop)
{
	int fd = background->starter.fd;

	background->loop = loop;
	if (!background->awaited)
		return;
	timer_set(loop, &background->patience, PATIENCE, on_patience_over);
	/* No event is asked for: only that nobody reads any more is told. */
	background->starter.fd = -1;
	if (watch_add(loop, &background->starter, fd, 0, on_starter) < 0)
		background->starter.fd = fd;
}

void
background_deinit(struct background *background)
{
	int fd = background->starter.fd;

	if (!background->awaited)
		return;
	background->awaited = false;
	if (background->loop != NULL) {
		timer_clear(background->loop, &background->patience);
		watch_remove(background->loop, &background->starter);
	}
	background->starter.fd = -1;
	close(fd);
}

void
background_ready(struct background *background)
{
	static const char byte = '\n';

	if (background->awaited && write(background->starter.fd, &byte, 1) < 0)
		log_warning("starter lost error=\"%s\"", strerror(errno));
	background_deinit(background);
}
