#include "master/embedded.h"

#include <bsd/stdlib.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/log.h"
#include "common/spawn.h"

void
embedded_init(struct embedded *embedded, const struct options *options)
{
	static const char digits[] = "0123456789abcdef";

	*embedded = (struct embedded){ .options = options };
	for (unsigned i = 0; i < EMBEDDED_SECRET_SIZE - 1; i++)
		embedded->secret[i] = digits[arc4random_uniform(16)];
}

static void
settings_put(struct buffer *settings, const struct embedded *embedded)
{
	const struct options *options = embedded->options;

	for (unsigned i = 0; i < options->host_count; i++)
		buffer_append_format(settings, "host=%s\n", options->hosts[i].name);
	buffer_append_format(settings, "name=%s\nsecret=%s\ndatabase=%s\nregistration=%s\noffline-max=%u\nlog=%s\n"
	    "log-level=%s\n",
	    options->link.name, embedded->secret, options->sessiond.database, options->sessiond.registration ? "yes" : "no",
	    options->sessiond.offline, options->foreground ? "stderr" : "syslog",
	    log_level_name((enum log_level)options->log.level));
}

/* A pipe that holds the settings, to be read to its end. Its descriptor, or a negative errno. */
static int
settings_pipe(const struct embedded *embedded)
{
	struct buffer settings = { 0 };
	int fds[2], result = -ENOMEM;
	ssize_t written;

	settings_put(&settings, embedded);
	if (!settings.failed && pipe2(fds, O_CLOEXEC | O_NONBLOCK) == 0) {
		written = write(fds[1], buffer_bytes(&settings), buffer_length(&settings));
		close(fds[1]);
		result = fds[0];
		if (written != (ssize_t)buffer_length(&settings)) {	/* more than a pipe holds: 64 hosts are less */
			close(fds[0]);
			result = -EMSGSIZE;
		}
	}
	buffer_deinit(&settings);
	return result;
}

int
embedded_spawn(struct embedded *embedded)
{
	char name[] = "c2sd-sessiond";
	char *arguments[] = { name, NULL };
	const struct spawn_limits limits = { .no_processes = true };
	int pair[2], settings, fds[2];

	if (embedded->pid > 0) {
		kill(embedded->pid, SIGKILL);
		return -EAGAIN;
	}
	settings = settings_pipe(embedded);
	if (settings < 0)
		return settings;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0) {
		close(settings);
		return -errno;
	}
	fds[0] = pair[1];
	fds[1] = settings;
	embedded->pid = spawn_program(embedded->options->sessiond.program, arguments, fds, 2, &limits);
	close(pair[1]);
	close(settings);
	if (embedded->pid > 0) {
		log_info("sessiond started pid=%d", (int)embedded->pid);
		return pair[0];
	}
	close(pair[0]);
	log_error("sessiond cannot be started program=%s: %s", embedded->options->sessiond.program,
	    strerror(-embedded->pid));
	pair[0] = embedded->pid;
	embedded->pid = 0;
	return pair[0];
}

bool
embedded_reaped(struct embedded *embedded, pid_t pid, int status)
{
	if (embedded->pid != pid)
		return false;
	embedded->pid = 0;
	if (WIFSIGNALED(status))
		log_warning("sessiond died pid=%d signal=%d", (int)pid, WTERMSIG(status));
	else if (WEXITSTATUS(status) != 0)
		log_warning("sessiond ended pid=%d status=%d", (int)pid, WEXITSTATUS(status));
	return true;
}
