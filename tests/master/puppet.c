/*
 * puppet: stands in for a worker or the session manager: it hands its end of the socketpair to the test that it finds
 * at the name under which it was executed less ".puppet" (a child of the master has no environment), and is gone. The test
 * then plays that process itself (stage.h).
 */
#include <err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define CHANNEL 3

static void
hand_in(int door, char *number)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec iov = { .iov_base = number, .iov_len = strlen(number) };
	struct msghdr message = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control,
	};
	int fd = CHANNEL;

	control.header.cmsg_level = SOL_SOCKET;
	control.header.cmsg_type = SCM_RIGHTS;
	control.header.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
	if (sendmsg(door, &message, MSG_NOSIGNAL) < 0)
		err(1, "the test does not take the channel");
}

int
main(int argc, char **argv)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const char *path = (const char *)getauxval(AT_EXECFN);
	const char *end = path != NULL ? strstr(path, ".puppet") : NULL;
	char manager[] = "manager";
	int door = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (end == NULL || (size_t)(end - path) >= sizeof address.sun_path)
		errx(2, "by tests only");
	memcpy(address.sun_path, path, (size_t)(end - path));
	if (door < 0 || connect(door, (const struct sockaddr *)&address, sizeof address) < 0)
		err(1, "the test is not there");
	hand_in(door, argc > 1 ? argv[1] : manager);
	/* The test has it for itself when it sees the end of our connection. */
	close(CHANNEL);
	return 0;
}
