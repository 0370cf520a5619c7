/* listener: addresses, errors, pauses. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/log.h"
#include "master/listener.h"
#include "tests/common/turn.h"
#include "tests/dialect/tap.h"
#include "tests/ipc/sample.h"

static struct loop loop;
static struct listener listener;
static struct buffer lines;
static int accepted[128];
static unsigned count;
static struct peer last;

static void
on_accept(struct listener *from, int fd, const struct peer *peer)
{
	ck_assert_ptr_eq(from, &listener);
	ck_assert_int_ne(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
	ck_assert_int_ne(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
	ck_assert_uint_lt(count, sizeof accepted / sizeof accepted[0]);
	accepted[count++] = fd;
	last = *peer;
}

static void
sink(enum log_level level, const char *role, const char *line, void *argument)
{
	(void)role;
	(void)argument;
	buffer_append_format(&lines, "%s: %s\n", log_level_name(level), line);
}

static void
setup(void)
{
	log_set_sink(sink, NULL);
	ck_assert_int_eq(loop_init(&loop), 0);
	listener = (struct listener){ .on_accept = on_accept };
}

static void
teardown(void)
{
	listener_close(&listener);
	listener_close(&listener);
	while (count > 0)
		close(accepted[--count]);
	loop_deinit(&loop);
	buffer_deinit(&lines);
	log_set_sink(log_sink_stderr, NULL);
}

static uint16_t
port_of(int fd)
{
	struct sockaddr_storage address;
	socklen_t length = sizeof address;

	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &length), 0);
	if (address.ss_family == AF_INET6)
		return ntohs(((struct sockaddr_in6 *)&address)->sin6_port);
	return ntohs(((struct sockaddr_in *)&address)->sin_port);
}

/* Any free port of that address; false: this machine has no such address. */
static bool
open_any(const char *address)
{
	int result = listener_open(&listener, address, 0, 16);

	if (result == -EAFNOSUPPORT || result == -EADDRNOTAVAIL)
		return false;
	ck_assert_int_eq(result, 0);
	ck_assert_int_eq(listener_start(&listener, &loop), 0);
	return true;
}

static int
connect_to(int family, const char *address)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(port_of(listener.watch.fd)) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = v4.sin_port };
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(inet_pton(family, address, family == AF_INET ? (void *)&v4.sin_addr : (void *)&v6.sin6_addr), 1);
	ck_assert_int_eq(connect(fd, family == AF_INET ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6,
	    family == AF_INET ? sizeof v4 : sizeof v6), 0);
	return fd;
}

static bool
has_accepted(void *wanted)
{
	return count >= *(unsigned *)wanted;
}

static void
assert_accepts(int fd, const char *address)
{
	unsigned wanted = count + 1;
	char text[INET6_ADDRSTRLEN];

	ck_assert(loop_turn_until(&loop, has_accepted, &wanted));
	ck_assert_str_eq(peer_format(&last, text), address);
	ck_assert_uint_eq(last.port, port_of(fd));
	close(fd);
}

/* Where it listens, who connects how, and what he is called. */
static const struct {
	const char *listens;
	int family;
	const char *to, *from;
} ways[] = {
	{ "127.0.0.1", AF_INET, "127.0.0.1", "127.0.0.1" },
	{ "0.0.0.0", AF_INET, "127.0.0.1", "127.0.0.1" },
	{ "::1", AF_INET6, "::1", "::1" },
	{ "::", AF_INET6, "::1", "::1" },
	{ "::", AF_INET, "127.0.0.1", "127.0.0.1" },
};

START_TEST(accepts)
{
	if (open_any(ways[_i].listens))
		assert_accepts(connect_to(ways[_i].family, ways[_i].to), ways[_i].from);
}
END_TEST

static int
handed_over(int family)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(bind(fd, family == AF_INET ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6,
	    family == AF_INET ? sizeof v4 : sizeof v6), 0);
	ck_assert_int_eq(listen(fd, 1), 0);
	return fd;
}

START_TEST(takes_what_was_handed_over)
{
	struct activation activation = { .fds = { handed_over(AF_INET) }, .count = 1 };
	int fd = activation.fds[0];
	uint16_t port = port_of(fd);

	ck_assert(!listener_claim(&listener, &activation, "127.0.0.2", port, 16));
	ck_assert(!listener_claim(&listener, &activation, "nonsense", port, 16));
	ck_assert(!listener.inherited);
	ck_assert(listener_claim(&listener, &activation, "127.0.0.1", port, 16));
	ck_assert(listener.inherited);
	ck_assert_int_eq(listener.watch.fd, fd);
	ck_assert_int_eq(listener.backlog, 16);
	ck_assert(listener_is_at(&listener, "127.0.0.1", port));
	ck_assert_uint_eq(activation.count, 0);
	ck_assert_int_eq(listener_start(&listener, &loop), 0);
	assert_accepts(connect_to(AF_INET, "127.0.0.1"), "127.0.0.1");
}
END_TEST

/* However the configuration writes it, a reload finds it. */
START_TEST(takes_what_nobody_has_named)
{
	struct activation activation = { .fds = { handed_over(AF_INET6) }, .count = 1 };
	uint16_t port = port_of(activation.fds[0]);

	ck_assert(listener_take_next(&listener, &activation));
	ck_assert(listener.inherited);
	ck_assert(listener_is_at(&listener, "0:0:0:0:0:0:0:1", port));
	ck_assert_int_eq(listener_start(&listener, &loop), 0);
	assert_accepts(connect_to(AF_INET6, "::1"), "::1");
	ck_assert(!listener_take_next(&listener, &activation));
}
END_TEST

START_TEST(is_called_by_its_address)
{
	ck_assert_int_eq(listener_open(&listener, "127.0.0.1", 0, 1), 0);
	ck_assert_str_eq(listener.name, "127.0.0.1:0");
	listener_close(&listener);
	if (listener_open(&listener, "::1", 0, 1) == 0)
		ck_assert_str_eq(listener.name, "[::1]:0");
}
END_TEST

START_TEST(cannot_be_opened)
{
	struct listener second = { .on_accept = on_accept };

	ck_assert(open_any("127.0.0.1"));
	ck_assert_int_eq(listener_open(&second, "127.0.0.1", port_of(listener.watch.fd), 1), -EADDRINUSE);
	ck_assert_int_eq(second.watch.fd, -1);
	ck_assert_int_eq(listener_open(&second, "192.0.2.1", 0, 1), -EADDRNOTAVAIL);
	ck_assert_int_eq(listener_open(&second, "localhost", 0, 1), -EADDRNOTAVAIL);
	ck_assert_int_eq(listener_open(&second, "", 0, 1), -EADDRNOTAVAIL);
	listener_close(&second);
	assert_accepts(connect_to(AF_INET, "127.0.0.1"), "127.0.0.1");
}
END_TEST

/* After its end the port can be had again at once, though connections to it are still about. */
START_TEST(can_be_opened_again)
{
	uint16_t port;
	int fd;

	ck_assert(open_any("127.0.0.1"));
	port = port_of(listener.watch.fd);
	fd = connect_to(AF_INET, "127.0.0.1");
	assert_accepts(fd, "127.0.0.1");
	close(accepted[--count]);
	listener_close(&listener);
	ck_assert_int_eq(listener_open(&listener, "127.0.0.1", port, 1), 0);
}
END_TEST

START_TEST(pauses)
{
	int fd;

	ck_assert_int_eq(listener_open(&listener, "127.0.0.1", 0, 16), 0);
	/* Before it has begun, or while it runs. */
	if (_i == 0)
		listener_pause(&listener, true);
	ck_assert_int_eq(listener_start(&listener, &loop), 0);
	listener_pause(&listener, true);
	fd = connect_to(AF_INET, "127.0.0.1");
	for (unsigned i = 0; i < 10; i++)
		loop_turn(&loop);
	ck_assert_uint_eq(count, 0);
	listener_pause(&listener, false);
	assert_accepts(fd, "127.0.0.1");
}
END_TEST

static void
on_accept_and_pause(struct listener *from, int fd, const struct peer *peer)
{
	on_accept(from, fd, peer);
	listener_pause(from, true);
}

static void
on_accept_and_close(struct listener *from, int fd, const struct peer *peer)
{
	on_accept(from, fd, peer);
	listener_close(from);
}

/* Told so while it accepts, it takes nobody more. */
START_TEST(stops_at_once)
{
	int one, two;
	unsigned wanted = 1;

	ck_assert(open_any("127.0.0.1"));
	listener.on_accept = _i == 0 ? on_accept_and_pause : on_accept_and_close;
	one = connect_to(AF_INET, "127.0.0.1");
	two = connect_to(AF_INET, "127.0.0.1");
	ck_assert(loop_turn_until(&loop, has_accepted, &wanted));
	for (unsigned i = 0; i < 10; i++)
		loop_turn(&loop);
	ck_assert_uint_eq(count, 1);
	close(one);
	close(two);
}
END_TEST

static unsigned
times_logged(void)
{
	unsigned times = 0;

	buffer_append(&lines, "", 1);
	lines.end--;
	for (const char *at = (const char *)buffer_bytes(&lines); (at = strstr(at, " slowed error=")) != NULL; at++)
		times++;
	return times;
}

/* No descriptor is left: it waits, says so once, and goes on when there are some. */
START_TEST(descriptors_run_out)
{
	struct rlimit before;
	int fd, spare;

	ck_assert(open_any("127.0.0.1"));
	fd = connect_to(AF_INET, "127.0.0.1");
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	spare = dup(fd);
	close(spare);
	ck_assert(sample_limit_descriptors((rlim_t)spare));
	for (unsigned i = 0; i < 3; i++) {
		for (unsigned j = 0; j < 5; j++)
			loop_turn(&loop);
		ck_assert(timer_is_set(&listener.pause));
		ck_assert_uint_eq(listener.watch.events, 0);
		ck_assert_uint_eq(count, 0);
		timer_is_due(&loop, &listener.pause);
	}
	ck_assert(sample_limit_descriptors(before.rlim_cur));
	ck_assert_uint_eq(times_logged(), 1);
	/* Paused meanwhile, it stays so when the time is over. */
	listener_pause(&listener, true);
	timer_is_due(&loop, &listener.pause);
	for (unsigned j = 0; j < 5; j++)
		loop_turn(&loop);
	ck_assert_uint_eq(count, 0);
	listener_pause(&listener, false);
	assert_accepts(fd, "127.0.0.1");
	ck_assert(!listener.exhausted);
}
END_TEST

/* Whatever was accepted for us is taken before it is closed: also while it is paused, and more than the backlog of today. */
START_TEST(emptied)
{
	int fds[5];

	if (!open_any("127.0.0.1"))
		return;
	for (unsigned i = 0; i < 5; i++)
		fds[i] = connect_to(AF_INET, "127.0.0.1");
	listener_pause(&listener, true);
	loop_turn(&loop);
	ck_assert_uint_eq(count, 0);
	listener_set_backlog(&listener, 1);
	listener_empty(&listener);
	ck_assert_uint_eq(count, 5);
	listener_close(&listener);
	listener_empty(&listener);
	for (unsigned i = 0; i < 5; i++)
		close(fds[i]);
}
END_TEST

START_TEST(is_where_it_is)
{
	uint16_t port;

	if (!open_any("::1"))
		return;
	port = listener.port;
	ck_assert(listener_is_at(&listener, "::1", port));
	ck_assert(listener_is_at(&listener, "0:0:0::1", port));
	ck_assert(!listener_is_at(&listener, "::2", port));
	ck_assert(!listener_is_at(&listener, "::1", (uint16_t)(port + 1)));
	ck_assert(!listener_is_at(&listener, "127.0.0.1", port));
	listener_close(&listener);
	ck_assert(!listener_is_at(&listener, "::1", port));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("listener");
	TCase *tests = tcase_create("listener");

	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_loop_test(tests, accepts, 0, sizeof ways / sizeof ways[0]);
	tcase_add_test(tests, takes_what_was_handed_over);
	tcase_add_test(tests, takes_what_nobody_has_named);
	tcase_add_test(tests, is_called_by_its_address);
	tcase_add_test(tests, cannot_be_opened);
	tcase_add_test(tests, can_be_opened_again);
	tcase_add_loop_test(tests, pauses, 0, 2);
	tcase_add_loop_test(tests, stops_at_once, 0, 2);
	tcase_add_test(tests, descriptors_run_out);
	tcase_add_test(tests, emptied);
	tcase_add_test(tests, is_where_it_is);
	suite_add_tcase(suite, tests);
	return tap_run(suite);
}
