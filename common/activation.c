#include "common/activation.h"

#include <bsd/stdlib.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"

/* What the variable says, or 0. */
static int
environment_number(const char *name)
{
	const char *text = getenv(name), *error;
	long long number = text == NULL ? 0 : strtonum(text, 1, INT_MAX - ACTIVATION_FIRST_FD, &error);

	return (int)number;
}

static bool
socket_option_is(int fd, int option, int value)
{
	int found;
	socklen_t length = sizeof found;

	return getsockopt(fd, SOL_SOCKET, option, &found, &length) == 0 && found == value;
}

static bool
is_tcp_listener(int fd)
{
	return socket_option_is(fd, SO_TYPE, SOCK_STREAM) && socket_option_is(fd, SO_ACCEPTCONN, 1) &&
	    (socket_option_is(fd, SO_DOMAIN, AF_INET) || socket_option_is(fd, SO_DOMAIN, AF_INET6));
}

static bool
descriptor_prepare(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0 && fcntl(fd, F_SETFD, FD_CLOEXEC) == 0;
}

static void
descriptor_take(struct activation *activation, int fd)
{
	if (!is_tcp_listener(fd))
		log_error("descriptor %d refused error=\"not a TCP socket that listens\"", fd);
	else if (descriptor_prepare(fd)) {
		activation->fds[activation->count++] = fd;
		return;
	}
	close(fd);
}

int
activation_take(struct activation *activation)
{
	int count = environment_number("LISTEN_PID") == (int)getpid() ? environment_number("LISTEN_FDS") : 0;
	int end = ACTIVATION_FIRST_FD + count;

	activation->count = 0;
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	/* A number that is too large is a lie; whatever is open above is closed by the caller. */
	if (count > ACTIVATION_MAX)
		log_error("descriptors refused number=%d most=%d", count, ACTIVATION_MAX);
	for (int fd = ACTIVATION_FIRST_FD; fd < end && fd < ACTIVATION_FIRST_FD + ACTIVATION_MAX; fd++)
		descriptor_take(activation, fd);
	return count > ACTIVATION_MAX ? ACTIVATION_FIRST_FD + ACTIVATION_MAX : end;
}

static bool
addresses_are_equal(const struct sockaddr_storage *a, const struct sockaddr *b)
{
	const struct sockaddr_in *a4 = (const void *)a, *b4 = (const void *)b;
	const struct sockaddr_in6 *a6 = (const void *)a, *b6 = (const void *)b;

	if (a->ss_family != b->sa_family)
		return false;
	if (a->ss_family == AF_INET)
		return a4->sin_port == b4->sin_port && a4->sin_addr.s_addr == b4->sin_addr.s_addr;
	return a6->sin6_port == b6->sin6_port && a6->sin6_scope_id == b6->sin6_scope_id &&
	    memcmp(&a6->sin6_addr, &b6->sin6_addr, sizeof a6->sin6_addr) == 0;
}

static int
descriptor_give(struct activation *activation, unsigned number)
{
	int fd = activation->fds[number];

	activation->count--;
	memmove(&activation->fds[number], &activation->fds[number + 1], (activation->count - number) * sizeof fd);
	return fd;
}

int
activation_claim(struct activation *activation, const struct sockaddr *address)
{
	for (unsigned i = 0; i < activation->count; i++) {
		struct sockaddr_storage own = { 0 };
		socklen_t length = sizeof own;

		if (getsockname(activation->fds[i], (struct sockaddr *)&own, &length) == 0 &&
		    addresses_are_equal(&own, address))
			return descriptor_give(activation, i);
	}
	return -1;
}

int
activation_next(struct activation *activation)
{
	return activation->count > 0 ? descriptor_give(activation, 0) : -1;
}
