/*
 * activation: what is taken of what was handed over. Descriptors have to lie at 3 and up when it is taken, where check
 * itself would be in the way: so all that is done once before it begins, and looked at afterwards.
 */
#include <arpa/inet.h>
#include <bsd/unistd.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/activation.h"
#include "common/log.h"
#include "tests/dialect/tap.h"

static struct activation activation, of_another, of_none;
static int end, end_of_another, end_of_none;
static bool closed[ACTIVATION_FIRST_FD + 8];
static struct sockaddr_storage addresses[3];
static char said[1024];
static bool environment_is_clean;

static void
sink(enum log_level level, const char *role, const char *line, void *argument)
{
	(void)level;
	(void)role;
	(void)argument;
	strncat(said, line, sizeof said - strlen(said) - 2);
	strcat(said, "\n");
}

/* A descriptor, the lowest that is free. */
static int
listener_make(int number, int family, const char *host)
{
	struct sockaddr_storage *address = &addresses[number];
	struct sockaddr_in *four = (void *)address;
	struct sockaddr_in6 *six = (void *)address;
	socklen_t length = family == AF_INET ? sizeof *four : sizeof *six;
	int fd = socket(family, SOCK_STREAM, 0);

	address->ss_family = (sa_family_t)family;
	if (inet_pton(family, host, family == AF_INET ? (void *)&four->sin_addr : (void *)&six->sin6_addr) != 1 || fd < 0 ||
	    bind(fd, (struct sockaddr *)address, length) < 0 || listen(fd, 5) < 0 ||
	    getsockname(fd, (struct sockaddr *)address, &length) < 0)
		abort();
	return fd;
}

static void
variables_set(pid_t pid, const char *count)
{
	char text[16];

	snprintf(text, sizeof text, "%d", (int)pid);
	setenv("LISTEN_PID", text, 1);
	setenv("LISTEN_FDS", count, 1);
	setenv("LISTEN_FDNAMES", "a:b", 1);
}

static void
take_all(void)
{
	closefrom(ACTIVATION_FIRST_FD);
	end_of_none = activation_take(&of_none);
	if (listener_make(0, AF_INET, "127.0.0.1") != 3 || listener_make(1, AF_INET6, "::1") != 4 ||
	    socket(AF_INET, SOCK_STREAM, 0) != 5 || socket(AF_UNIX, SOCK_STREAM, 0) != 6 ||
	    open("/dev/null", O_RDONLY) != 7 || listener_make(2, AF_INET, "127.0.0.1") != 8)
		abort();
	variables_set(getppid(), "6");
	end_of_another = activation_take(&of_another);
	variables_set(getpid(), "7");
	log_set_sink(sink, NULL);
	end = activation_take(&activation);
	log_set_sink(log_sink_stderr, NULL);
	for (int fd = 0; fd < (int)sizeof closed; fd++)
		closed[fd] = fcntl(fd, F_GETFD) < 0;
	environment_is_clean = getenv("LISTEN_PID") == NULL && getenv("LISTEN_FDS") == NULL &&
	    getenv("LISTEN_FDNAMES") == NULL;
}

START_TEST(listeners_are_taken_and_nothing_else)
{
	ck_assert_int_eq(end, ACTIVATION_FIRST_FD + 7);
	ck_assert_uint_eq(activation.count, 3);
	ck_assert_int_eq(activation.fds[0], 3);
	ck_assert_int_eq(activation.fds[1], 4);
	ck_assert_int_eq(activation.fds[2], 8);
	for (unsigned i = 0; i < activation.count; i++) {
		ck_assert_int_ne(fcntl(activation.fds[i], F_GETFL) & O_NONBLOCK, 0);
		ck_assert_int_ne(fcntl(activation.fds[i], F_GETFD) & FD_CLOEXEC, 0);
	}
}
END_TEST

START_TEST(the_rest_is_closed_and_said)
{
	for (int fd = 0; fd < ACTIVATION_FIRST_FD + 6; fd++)
		ck_assert_msg(closed[fd] == (fd >= 5 && fd <= 7), "descriptor %d", fd);
	for (int fd = 5; fd <= 9; fd++) {
		char line[80];

		snprintf(line, sizeof line, "descriptor %d refused error=\"not a TCP socket that listens\"\n", fd);
		ck_assert_msg((strstr(said, line) != NULL) == (fd != 8), "descriptor %d", fd);
	}
}
END_TEST

START_TEST(the_environment_forgets_it)
{
	ck_assert(environment_is_clean);
}
END_TEST

START_TEST(what_is_for_another_process_is_not_ours)
{
	ck_assert_uint_eq(of_another.count, 0);
	ck_assert_int_eq(end_of_another, ACTIVATION_FIRST_FD);
	ck_assert_uint_eq(of_none.count, 0);
	ck_assert_int_eq(end_of_none, ACTIVATION_FIRST_FD);
}
END_TEST

START_TEST(claimed_by_address)
{
	struct activation copy = activation;
	struct sockaddr_in other = *(struct sockaddr_in *)(void *)&addresses[0];

	other.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1);
	ck_assert_int_eq(activation_claim(&copy, (struct sockaddr *)&other), -1);
	other = *(struct sockaddr_in *)(void *)&addresses[0];
	other.sin_port = htons(1);
	ck_assert_int_eq(activation_claim(&copy, (struct sockaddr *)&other), -1);
	ck_assert_int_eq(activation_claim(&copy, (struct sockaddr *)&addresses[1]), 4);
	ck_assert_int_eq(activation_claim(&copy, (struct sockaddr *)&addresses[1]), -1);
	ck_assert_int_eq(activation_claim(&copy, (struct sockaddr *)&addresses[2]), 8);
	ck_assert_int_eq(activation_next(&copy), 3);
	ck_assert_int_eq(activation_next(&copy), -1);
	ck_assert_int_eq(activation_claim(&copy, (struct sockaddr *)&addresses[0]), -1);
}
END_TEST

START_TEST(a_number_that_lies)
{
	static const char *const numbers[] = { "-1", "0", "many", "99999999999", "" };

	for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
		struct activation none;

		variables_set(getpid(), numbers[i]);
		ck_assert_int_eq(activation_take(&none), ACTIVATION_FIRST_FD);
		ck_assert_uint_eq(none.count, 0);
	}
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("activation");
	TCase *tests = tcase_create("activation");

	take_all();
	tcase_add_test(tests, listeners_are_taken_and_nothing_else);
	tcase_add_test(tests, the_rest_is_closed_and_said);
	tcase_add_test(tests, the_environment_forgets_it);
	tcase_add_test(tests, what_is_for_another_process_is_not_ours);
	tcase_add_test(tests, claimed_by_address);
	tcase_add_test(tests, a_number_that_lies);
	suite_add_tcase(suite, tests);
	return tap_run(suite);
}
