#include "sessiond/control.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/log.h"

#define READ_BYTES 4096

/* More than the longest line of the log (common/log.c), its level and the line feed. */
#define LINE_SIZE 2048

/* ---- the log ---- */

/*
 * A line is less than the kernel puts into one piece of such a socket, so that it is taken whole or not at all. 0, or a
 * negative errno.
 */
static int
line_send(const struct control *control, enum log_level level, const char *line)
{
	char text[LINE_SIZE];
	int length = snprintf(text, sizeof text, "%s %s\n", log_level_name(level), line);

	if (length >= (int)sizeof text) {
		length = sizeof text - 1;
		text[length - 1] = '\n';
	}
	return send(control->fd, text, (size_t)length, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static bool
dropped_say(struct control *control)
{
	char line[64];

	snprintf(line, sizeof line, "log dropped lines=%" PRIu64, control->dropped);
	if (line_send(control, LOG_LEVEL_WARNING, line) < 0)
		return false;
	control->dropped = 0;
	return true;
}

static void
log_to_master(enum log_level level, const char *role, const char *line, void *argument)
{
	struct control *control = argument;
	int error = 0;

	if (control->dropped > 0 && !dropped_say(control)) {
		control->dropped++;
		return;
	}
	error = line_send(control, level, line);
	if (error == -EAGAIN || error == -ENOBUFS)
		control->dropped++;
	else if (error < 0)
		log_sink_stderr(level, role, line, NULL);
}

static void
descriptor_keep(struct control *control, int fd)
{
	if (control->link_fd >= 0)
		close(control->link_fd);
	control->link_fd = fd;
}

void
control_init(struct control *control, int fd)
{
	*control = (struct control){ .fd = fd, .watch = { .fd = -1 }, .link_fd = -1 };
	log_set_sink(log_to_master, control);
}

void
control_deinit(struct control *control)
{
	log_set_sink(log_sink_stderr, NULL);
	if (control->watch.fd >= 0)
		watch_remove(control->loop, &control->watch);
	descriptor_keep(control, -1);
	buffer_deinit(&control->in);
}

/* ---- settings ---- */

/* One that comes with bytes is for the block that begins there. */
static ssize_t
bytes_receive(struct control *control, void *place)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} extra = { 0 };
	struct iovec vector = { place, READ_BYTES };
	struct msghdr message = {
		.msg_iov = &vector, .msg_iovlen = 1, .msg_control = extra.space, .msg_controllen = sizeof extra.space,
	};
	ssize_t length = recvmsg(control->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	const struct cmsghdr *header = length < 0 ? NULL : CMSG_FIRSTHDR(&message);
	int fd;

	if (header != NULL && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS &&
	    header->cmsg_len == CMSG_LEN(sizeof fd)) {
		memcpy(&fd, CMSG_DATA(header), sizeof fd);
		descriptor_keep(control, fd);
	}
	return length;
}

/* Read what is there. True: something was. False: nothing is, or nothing will be any more (`*over_r`). */
static bool
bytes_read(struct control *control, bool *over_r)
{
	uint8_t *place = buffer_reserve(&control->in, READ_BYTES);
	ssize_t length;

	*over_r = place == NULL;
	if (place == NULL)
		return false;
	length = bytes_receive(control, place);
	if (length > 0)
		buffer_commit(&control->in, (size_t)length);
	else
		*over_r = length == 0 || (errno != EAGAIN && errno != EINTR);
	return length > 0;
}

/* The length of the first block, its empty line included; 0: it is not complete. */
static size_t
block_length(const struct buffer *in)
{
	const uint8_t *bytes = buffer_bytes(in);
	const uint8_t *end = bytes == NULL ? NULL : memmem(bytes, buffer_length(in), "\n\n", 2);

	return end == NULL ? 0 : (size_t)(end - bytes) + 2;
}

/* Take the first `length` bytes for a block. What is wrong with it is logged: the lines, never what stands there. */
static int
block_read(struct control *control, size_t length, struct settings *settings_r)
{
	char *text = (char *)buffer_bytes(&control->in);
	unsigned line;
	int error;

	text[length - 1] = '\0';
	error = settings_read(settings_r, text, &line);
	explicit_bzero(text, length);
	buffer_consume(&control->in, length);
	if (error == -ENOMEM)
		log_error("settings unreadable error=\"no memory\"");
	else if (error < 0 && line > 0)
		log_error("settings wrong line=%u", line);
	else if (error < 0)
		log_error("settings incomplete reason=\"host, name, secret and database are needed\"");
	return error;
}

int
control_wait(struct control *control, struct settings *settings_r)
{
	struct pollfd ready = { .fd = control->fd, .events = POLLIN };
	bool over = false;

	*settings_r = (struct settings){ 0 };
	while (block_length(&control->in) == 0 && !over && buffer_length(&control->in) <= CONTROL_BLOCK_MAX) {
		if (!bytes_read(control, &over) && !over && poll(&ready, 1, -1) < 0 && errno != EINTR)
			return -errno;
	}
	if (block_length(&control->in) > 0)
		return block_read(control, block_length(&control->in), settings_r);
	log_error("settings incomplete reason=no-empty-line");
	return -EINVAL;
}

static void
link_take(struct control *control)
{
	int fd = control->link_fd;

	control->link_fd = -1;
	if (fd < 0)
		log_error("link descriptor-lost");
	else
		control->on_link(control, fd);
}

static void
block_take(struct control *control, size_t length)
{
	static const char link[] = "link\n\n";
	struct settings next;

	if (length == strlen(link) && memcmp(buffer_bytes(&control->in), link, length) == 0) {
		buffer_consume(&control->in, length);
		link_take(control);
		return;
	}
	if (block_read(control, length, &next) == 0) {
		settings_change(control->settings, &next);
		log_set_level(control->settings->log_level);
		log_info("settings changed hosts=%u", control->settings->host_count);
	}
	settings_deinit(&next);
}

static void
on_control(struct watch *watch, uint32_t events)
{
	struct control *control = container_of(watch, struct control, watch);
	bool over;
	size_t length;

	(void)events;
	while (bytes_read(control, &over) && buffer_length(&control->in) <= CONTROL_BLOCK_MAX)
		;
	while ((length = block_length(&control->in)) > 0)
		block_take(control, length);
	if (buffer_length(&control->in) > CONTROL_BLOCK_MAX) {
		log_error("settings too-long");
		over = true;
	}
	buffer_release(&control->in);
	if (over) {
		watch_remove(control->loop, &control->watch);
		control->on_over(control);
	}
}

int
control_start(struct control *control, struct loop *loop, struct settings *settings)
{
	control->loop = loop;
	control->settings = settings;
	return watch_add(loop, &control->watch, control->fd, EPOLLIN, on_control);
}
