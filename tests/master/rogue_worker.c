/*
 * rogue_worker: a worker that breaks the contract. Worker 0 does what stands last in the name under which it is executed,
 * behind a colon; all others, and 0 when that is `good`, are good workers: they greet, are ready, answer pings, log what
 * they are told, end when told.
 */
#include <err.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ipc/message.h"

#define CHANNEL 3

static void
write_all(const void *bytes, size_t length)
{
	if (send(CHANNEL, bytes, length, MSG_NOSIGNAL) != (ssize_t)length)
		exit(0);
}

static void
say(uint16_t type, uint64_t serial, const void *body, size_t length)
{
	struct frame frame = { .type = type, .serial = serial, .length = (uint32_t)length };
	struct buffer bytes = { 0 };

	frame_encode_header(&bytes, &frame);
	buffer_append(&bytes, body, length);
	write_all(buffer_bytes(&bytes), buffer_length(&bytes));
	buffer_deinit(&bytes);
}

static void
say_hello(uint32_t version)
{
	struct buffer body = { 0 };

	message_put_hello(&body, version);
	say(W2M_HELLO, 0, buffer_bytes(&body), buffer_length(&body));
	buffer_deinit(&body);
}

static void
say_line(uint8_t level, const char *line)
{
	struct buffer body = { 0 };

	message_put_log(&body, level, line);
	say(W2M_LOG, 0, buffer_bytes(&body), buffer_length(&body));
	buffer_deinit(&body);
}

/* A header that promises more than any frame has. */
static void
say_too_long(void)
{
	struct frame frame = { .type = W2M_PACKET, .length = UINT32_MAX };
	struct buffer bytes = { 0 };

	frame_encode_header(&bytes, &frame);
	write_all(buffer_bytes(&bytes), buffer_length(&bytes));
	buffer_deinit(&bytes);
}

static void
say_with_descriptor(void)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	static char byte[1];
	struct iovec iov = { .iov_base = byte, .iov_len = 1 };
	struct msghdr message = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control,
	};
	int fd = CHANNEL;

	control.header.cmsg_level = SOL_SOCKET;
	control.header.cmsg_type = SCM_RIGHTS;
	control.header.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
	if (sendmsg(CHANNEL, &message, MSG_NOSIGNAL) < 0)
		exit(0);
}

/* What is wrong before any greeting. */
static void
misbehave_at_once(const char *how)
{
	if (strcmp(how, "exit") == 0)
		exit(3);
	if (strcmp(how, "crash") == 0)
		raise(SIGKILL);
	if (strcmp(how, "silent") == 0)
		pause();
	if (strcmp(how, "other-version") == 0)
		say_hello(CONTRACT_VERSION + 1);
	if (strcmp(how, "no-hello") == 0)
		say(W2M_READY, 0, NULL, 0);
	if (strcmp(how, "garbage") == 0)
		write_all("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", 36);
}

/* More than a worker may log at once, line by line. */
static void
say_much(void)
{
	char line[901];

	memset(line, 'x', sizeof line - 1);
	line[sizeof line - 1] = '\0';
	for (unsigned i = 0; i < 12000; i++)
		say_line(2, line);
}

/* What is wrong in a worker that has been ready. */
static void
misbehave_later(const char *how)
{
	if (strcmp(how, "wrong-type") == 0)
		say(999, 0, NULL, 0);
	if (strcmp(how, "wrong-side") == 0)
		say(M2W_PING, 0, NULL, 0);
	if (strcmp(how, "wrong-phase") == 0)
		say_hello(CONTRACT_VERSION);
	if (strcmp(how, "wrong-length") == 0)
		say(W2M_SETTLED, 1, "1234567", 7);
	if (strcmp(how, "too-long") == 0)
		say_too_long();
	if (strcmp(how, "bad-body") == 0)
		say_line(200, "of no level");
	if (strcmp(how, "chatty") == 0)
		say_much();
	if (strcmp(how, "unknown-client") == 0)
		say(W2M_ENDED, 4711, "\0\0", 3);
	if (strcmp(how, "descriptor") == 0)
		say_with_descriptor();
	if (strcmp(how, "half") == 0) {
		write_all("\10\0\0\0", 4);
		exit(0);
	}
}

static void
answer(const struct frame *frame, const char *how)
{
	static const struct worker_counters counters = { .bytes_in = 1, .packets_out = 4 };
	struct buffer body = { 0 };

	if (frame->type == M2W_SETTINGS) {
		say(W2M_READY, 0, NULL, 0);
		misbehave_later(how);
	} else if (frame->type == M2W_PING && strcmp(how, "deaf") != 0) {
		message_put_counters(&body, &counters);
		say(W2M_PONG, 0, buffer_bytes(&body), buffer_length(&body));
	} else if (frame->type == M2W_STOP || frame->type == M2W_GO) {
		say_line(2, frame->type == M2W_STOP ? "told to\nstop" : "told to go");
	}
	buffer_deinit(&body);
}

static void
serve(const char *how)
{
	static uint8_t bytes[65536];
	size_t length = 0, size;
	struct frame frame;
	ssize_t more;

	while ((more = recv(CHANNEL, bytes + length, sizeof bytes - length, 0)) > 0) {
		length += (size_t)more;
		while (frame_decode(bytes, length, &frame, &size) == FRAME_COMPLETE) {
			answer(&frame, how);
			memmove(bytes, bytes + size, length - size);
			length -= size;
		}
	}
}

int
main(int argc, char **argv)
{
	const char *name = (const char *)getauxval(AT_EXECFN), *how;

	if (argc != 2)
		errx(2, "by test_pool only");
	how = name != NULL && strrchr(name, ':') != NULL && strcmp(argv[1], "0") == 0 ? strrchr(name, ':') + 1 : "good";
	/* It comes non-blocking, which is nothing for a program this simple. */
	if (fcntl(CHANNEL, F_SETFL, 0) < 0)
		err(2, "no channel");
	misbehave_at_once(how);
	say_hello(CONTRACT_VERSION);
	serve(how);
	if (strcmp(how, "lingers") == 0) {
		close(CHANNEL);
		pause();
	}
	return 0;
}
