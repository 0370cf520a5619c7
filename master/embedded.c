#include "master/embedded.h"

#include <bsd/stdlib.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/log.h"
#include "common/spawn.h"

/* Its log may come faster than we write it; others want to be served, too. */
#define READ_BYTES 4096
#define READS_PER_TURN 4

/* So many that crash so soon after their start, in milliseconds: what they have in common is the journal. */
#define CRASHES_MAX 3
#define CRASH_TIME 10000

/* What the dynamic loader ends a program with that lacks something. */
#define LOADER_FAILED 127

/* Most of offline messages that are under way to one client. */
#define OFFLINE_BYTES (4u * 1024 * 1024)

/* Of an unfinished line; it sends none that is as long. */
#define LINE_MAX_BYTES 8192

void
embedded_init(struct embedded *embedded, struct loop *loop, const struct options *options)
{
	static const char digits[] = "0123456789abcdef";

	*embedded = (struct embedded){
		.options = options, .loop = loop, .control = { .fd = -1 }, .link_fd = -1, .journal_fd = -1,
	};
	for (unsigned i = 0; i < EMBEDDED_SECRET_SIZE - 1; i++)
		embedded->secret[i] = digits[arc4random_uniform(16)];
}

/* ---- its log ---- */

/* "LEVEL TEXT", as it came; what is no level is worth a warning. */
static void
line_relay(const char *line)
{
	size_t length = strcspn(line, " ");
	enum log_level level;

	if (line[length] == ' ' && log_level_find(line, length, &level))
		log_relay(level, "sessiond", line + length + 1);
	else
		log_relay(LOG_LEVEL_WARNING, "sessiond", line);
}

static void
lines_relay(struct buffer *in)
{
	uint8_t *bytes, *end;

	while ((bytes = buffer_bytes(in)) != NULL && (end = memchr(bytes, '\n', buffer_length(in))) != NULL) {
		*end = '\0';
		line_relay((char *)bytes);
		buffer_consume(in, (size_t)(end - bytes) + 1);
	}
	if (buffer_length(in) > LINE_MAX_BYTES || in->failed)
		buffer_clear(in);
	buffer_release(in);
}

/* False: nothing more comes, now (`*over_r`: ever). */
static bool
log_read(struct embedded *embedded, bool *over_r)
{
	uint8_t *place = buffer_reserve(&embedded->in, READ_BYTES);
	ssize_t length;

	*over_r = false;
	if (place == NULL) {
		buffer_clear(&embedded->in);
		return false;
	}
	length = read(embedded->control.fd, place, READ_BYTES);
	if (length > 0)
		buffer_commit(&embedded->in, (size_t)length);
	else
		*over_r = length == 0 || (errno != EAGAIN && errno != EINTR);
	lines_relay(&embedded->in);
	return length > 0;
}

/* It waits to be handed over; one that waited before it does not any more. */
static void
link_fd_set(struct embedded *embedded, int fd)
{
	if (embedded->link_fd >= 0)
		close(embedded->link_fd);
	embedded->link_fd = fd;
}

/* What it said at last is read; a process that we killed may have said much, but no more than the socket holds. */
static void
control_close(struct embedded *embedded)
{
	int fd = embedded->control.fd;
	bool over;

	if (fd >= 0) {
		while (log_read(embedded, &over))
			;
		watch_remove(embedded->loop, &embedded->control);
		close(fd);
	}
	/* The secret is in it. */
	if (embedded->out.data != NULL)
		explicit_bzero(embedded->out.data, embedded->out.size);
	buffer_deinit(&embedded->in);
	buffer_deinit(&embedded->out);
	embedded->outdated = false;
	link_fd_set(embedded, -1);
}

static void
journal_close(struct embedded *embedded)
{
	if (embedded->journal_fd >= 0)
		close(embedded->journal_fd);
	embedded->journal_fd = -1;
}

void
embedded_deinit(struct embedded *embedded)
{
	if (embedded->loop != NULL) {
		control_close(embedded);
		journal_close(embedded);
	}
	embedded->loop = NULL;
}

/* ---- its settings ---- */

/* Of offline messages under way to one client: well below what it may be ended for. */
static unsigned
offline_bytes(const struct options *options)
{
	return options->limits.unsent_bytes / 8 < OFFLINE_BYTES ? options->limits.unsent_bytes / 8 : OFFLINE_BYTES;
}

static void
settings_put(struct buffer *settings, const struct embedded *embedded)
{
	const struct options *options = embedded->options;

	for (unsigned i = 0; i < options->host_count; i++)
		buffer_append_format(settings, "host=%s\n", options->hosts[i].name);
	buffer_append_format(settings, "name=%s\nsecret=%s\ndatabase=%s\nregistration=%s\noffline-max=%u\n"
	    "offline-bytes=%u\nlog-level=%s\ndialect=%s\nacknowledge=%s\nplain=%s\n\n",
	    options->link.name, embedded->secret, options->sessiond.database, options->sessiond.registration ? "yes" : "no",
	    options->sessiond.offline, offline_bytes(options), log_level_name(log_get_level()), options_dialect(options),
	    options_acknowledge(options) ? "yes" : "no", options->sasl.plain != 0 ? "always" : "tls");
}

/* A block of its own. False: not yet. */
static bool
link_fd_send(struct embedded *embedded)
{
	static char block[] = "link\n\n";
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} extra = { 0 };
	struct iovec vector = { block, strlen(block) };
	struct msghdr message = {
		.msg_iov = &vector, .msg_iovlen = 1, .msg_control = extra.space, .msg_controllen = sizeof extra.space,
	};

	extra.header.cmsg_level = SOL_SOCKET;
	extra.header.cmsg_type = SCM_RIGHTS;
	extra.header.cmsg_len = CMSG_LEN(sizeof embedded->link_fd);
	memcpy(CMSG_DATA(&extra.header), &embedded->link_fd, sizeof embedded->link_fd);
	/* So few bytes are taken whole or not at all. */
	if (sendmsg(embedded->control.fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		return false;
	link_fd_set(embedded, -1);
	return true;
}

/* One block at a time, and after it only the last one: however often it is changed, there is never more than that. */
static void
settings_send(struct embedded *embedded)
{
	struct buffer *out = &embedded->out;
	ssize_t length;

	for (;;) {
		if (buffer_length(out) == 0 && embedded->outdated) {
			embedded->outdated = false;
			settings_put(out, embedded);
		}
		if (buffer_length(out) == 0 && embedded->link_fd >= 0 && !link_fd_send(embedded))
			break;
		if (buffer_length(out) == 0 || out->failed)
			break;
		length = send(embedded->control.fd, buffer_bytes(out), buffer_length(out), MSG_NOSIGNAL);
		if (length < 0)
			break;
		explicit_bzero(buffer_bytes(out), (size_t)length);
		buffer_consume(out, (size_t)length);
	}
	if (out->failed) {
		log_error("sessiond settings-lost error=\"no memory\"");
		buffer_clear(out);
	}
	watch_change(embedded->loop, &embedded->control,
	    buffer_length(out) > 0 || embedded->link_fd >= 0 ? EPOLLIN | EPOLLOUT : EPOLLIN);
	buffer_release(out);
}

void
embedded_settings_changed(struct embedded *embedded)
{
	if (embedded->loop == NULL || embedded->control.fd < 0)
		return;
	embedded->outdated = true;
	settings_send(embedded);
}

static void
on_control(struct watch *watch, uint32_t events)
{
	struct embedded *embedded = container_of(watch, struct embedded, control);
	bool over = false;

	for (unsigned i = 0; i < READS_PER_TURN && log_read(embedded, &over); i++)
		;
	/* The process has closed it or has ended; SIGCHLD will tell. */
	if (over)
		control_close(embedded);
	else if ((events & EPOLLOUT) != 0)
		settings_send(embedded);
}

/* ---- its process ---- */

struct pair {
	int ours, theirs;
};

/* 0, or a negative errno. */
static int
pair_open(struct pair *pair_r, int flags)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0, fds) < 0)
		return -errno;
	*pair_r = (struct pair){ fds[0], fds[1] };
	return fcntl(fds[0], F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

/* Without any the process works, and its sessions end with it. */
static void
journal_make(struct embedded *embedded)
{
	if (embedded->journal_fd >= 0)
		return;
	embedded->journal_fd = memfd_create("c2sd-journal", MFD_CLOEXEC);
	if (embedded->journal_fd < 0)
		log_error("sessiond journal-failed error=\"%s\"", strerror(errno));
}

static int
process_start(struct embedded *embedded, const struct pair *link, const struct pair *control)
{
	char name[] = "c2sd-sessiond";
	char *arguments[] = { name, NULL };
	const struct spawn_limits limits = { .no_processes = true };
	int fds[3] = { link->theirs, control->theirs }, result;
	pid_t pid;

	journal_make(embedded);
	fds[2] = embedded->journal_fd;
	pid = spawn_program(embedded->options->sessiond.program, arguments, fds, fds[2] < 0 ? 2 : 3, &limits);
	if (pid < 0) {
		log_error("sessiond start-failed program=%s error=\"%s\"", embedded->options->sessiond.program, strerror(-pid));
		return pid;
	}
	embedded->pid = pid;
	embedded->started = loop_now(embedded->loop);
	embedded->killed = embedded->reached = false;
	log_info("sessiond started pid=%d", (int)pid);
	result = watch_add(embedded->loop, &embedded->control, control->ours, EPOLLIN, on_control);
	if (result == 0)
		embedded_settings_changed(embedded);
	return result;
}

void
embedded_reached(struct embedded *embedded)
{
	embedded->reached = embedded->pid > 0;
	embedded->served = embedded->pid;
	embedded->crashes = 0;
}

/* It runs, and was there the last time. */
static int
link_renew(struct embedded *embedded)
{
	struct pair link = { -1, -1 };
	int result = pair_open(&link, SOCK_NONBLOCK);

	if (result < 0) {
		if (link.theirs >= 0)
			close(link.theirs);
		if (link.ours >= 0)
			close(link.ours);
		return result;
	}
	embedded->reached = false;
	link_fd_set(embedded, link.theirs);
	settings_send(embedded);
	return link.ours;
}

int
embedded_spawn(struct embedded *embedded)
{
	struct pair link = { -1, -1 }, control = { -1, -1 };
	int result;

	if (embedded->pid > 0 && embedded->control.fd >= 0 && embedded->reached && options_acknowledge(embedded->options))
		return link_renew(embedded);
	if (embedded->pid > 0) {
		kill(embedded->pid, SIGKILL);
		embedded->killed = true;
		return -EAGAIN;
	}
	control_close(embedded);
	result = pair_open(&link, SOCK_NONBLOCK);
	if (result == 0)
		result = pair_open(&control, 0);
	if (result == 0)
		result = process_start(embedded, &link, &control);
	if (link.theirs >= 0)
		close(link.theirs);
	if (control.theirs >= 0)
		close(control.theirs);
	if (control.ours >= 0 && embedded->control.fd != control.ours)
		close(control.ours);
	if (result == 0)
		return link.ours;
	if (link.ours >= 0)
		close(link.ours);
	return result;
}

/* Somebody else's kill -9 says nothing of what the process was doing. */
static bool
has_crashed(const struct embedded *embedded, int status)
{
	if (WIFSIGNALED(status))
		return embedded->killed || (WTERMSIG(status) != SIGKILL && WTERMSIG(status) != SIGTERM);
	return WEXITSTATUS(status) != 0;
}

/* No database, or somebody else has it, or no library: that passes, and what they would have read is still good. */
static bool
has_read_journal(int status)
{
	return !WIFEXITED(status) || (WEXITSTATUS(status) != EX_UNAVAILABLE && WEXITSTATUS(status) != LOADER_FAILED);
}

/* It may be what they read at their start that ends them. */
static void
crash_count(struct embedded *embedded)
{
	if (!embedded->killed && loop_now(embedded->loop) - embedded->started > CRASH_TIME) {
		embedded->crashes = 0;
		return;
	}
	if (++embedded->crashes < CRASHES_MAX || embedded->journal_fd < 0)
		return;
	log_error("sessiond journal-dropped crashes=%u", embedded->crashes);
	journal_close(embedded);
	embedded->crashes = 0;
}

bool
embedded_reaped(struct embedded *embedded, pid_t pid, int status)
{
	if (embedded->pid != pid || pid == 0)
		return false;
	embedded->pid = 0;
	embedded->crashed = has_crashed(embedded, status);
	if (embedded->crashed && !embedded->reached && has_read_journal(status))
		crash_count(embedded);
	control_close(embedded);
	if (WIFSIGNALED(status))
		log_warning("sessiond died pid=%d signal=%d", (int)pid, WTERMSIG(status));
	else if (WEXITSTATUS(status) != 0)
		log_warning("sessiond ended pid=%d status=%d", (int)pid, WEXITSTATUS(status));
	return true;
}
