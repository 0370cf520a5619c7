#include "tests/master/visitor.h"

#include <bsd/string.h>
#include <check.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/master/stage.h"

static struct buffer answer;

int
socket_connect(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strlcpy(address.sun_path, path, sizeof address.sun_path);
	if (connect(fd, (const struct sockaddr *)&address, sizeof address) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

int
visit(void)
{
	int fd = socket_connect(stage_control);

	ck_assert_int_ge(fd, 0);
	stage_turns();
	return fd;
}

void
say(int fd, const char *text)
{
	ck_assert_int_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
	stage_turns();
}

const char *
hear(int fd, bool *over_r)
{
	ssize_t length;
	int error;

	buffer_clear(&answer);
	do {
		uint8_t *place = buffer_reserve(&answer, 4096);

		ck_assert_ptr_nonnull(place);
		length = recv(fd, place, 4096, MSG_DONTWAIT);
		/* The turns have errors of their own. */
		error = errno;
		if (length > 0)
			buffer_commit(&answer, (size_t)length);
		stage_turns();
	} while (length > 0);
	*over_r = length == 0 || error != EAGAIN;
	buffer_append(&answer, "", 1);
	answer.end--;
	return (const char *)buffer_bytes(&answer);
}

void
assert_answer(int fd, const char *text)
{
	bool over;

	ck_assert_str_eq(hear(fd, &over), text);
	ck_assert(over);
	close(fd);
}

void
assert_no_answer(int fd)
{
	bool over;

	ck_assert_str_eq(hear(fd, &over), "");
	ck_assert(!over);
}

int
ask(const char *request)
{
	int fd = visit();

	say(fd, request);
	say(fd, "\n");
	return fd;
}

void
assert_asked(const char *request, const char *text)
{
	assert_answer(ask(request), text);
}

void
visitor_forget(void)
{
	buffer_deinit(&answer);
}
