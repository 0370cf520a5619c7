/* notify: addresses, what is said, what waits when nobody reads, the watchdog's variables. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/notify.h"
#include "tests/dialect/tap.h"

static struct notify notify;
static int manager = -1;
static char folder[32], path[64], heard[NOTIFY_TEXT_MAX + 16];

static void
manager_bind(const struct sockaddr_un *address, socklen_t length)
{
	manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	ck_assert_int_ge(manager, 0);
	ck_assert_int_eq(bind(manager, (const struct sockaddr *)address, length), 0);
}

/* A manager on a path, and notify_open for it. */
static void
setup(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	snprintf(folder, sizeof folder, "/tmp/c2sd-test.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(path, sizeof path, "%s/notify", folder);
	strcpy(address.sun_path, path);
	manager_bind(&address, sizeof address);
	ck_assert_int_eq(notify_open(&notify, path), 0);
	ck_assert(notify_is_open(&notify));
}

static void
teardown(void)
{
	notify_close(&notify);
	notify_close(&notify);
	ck_assert(!notify_is_open(&notify));
	if (manager >= 0)
		close(manager);
	manager = -1;
	unlink(path);
	rmdir(folder);
}

/* The next datagram, or "" when there is none. */
static const char *
hear(void)
{
	ssize_t length = recv(manager, heard, sizeof heard - 1, 0);

	heard[length < 0 ? 0 : length] = '\0';
	return heard;
}

START_TEST(what_is_said_is_heard)
{
	notify_say(&notify, "RELOADING=1\nMONOTONIC_USEC=%d", 4711);
	notify_say(&notify, "READY=1");
	ck_assert_str_eq(hear(), "RELOADING=1\nMONOTONIC_USEC=4711");
	ck_assert_str_eq(hear(), "READY=1");
	ck_assert_str_eq(hear(), "");
	ck_assert(notify_flush(&notify));
}
END_TEST

START_TEST(an_abstract_name_is_as_long_as_it_is)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char target[64];
	int length;

	notify_close(&notify);
	close(manager);
	length = snprintf(target, sizeof target, "@c2sd-test.%d", (int)getpid());
	memcpy(address.sun_path + 1, target + 1, (size_t)length - 1);
	manager_bind(&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)length));
	ck_assert_int_eq(notify_open(&notify, target), 0);
	notify_say(&notify, "READY=1");
	ck_assert_str_eq(hear(), "READY=1");
}
END_TEST

START_TEST(nobody_wants_to_know)
{
	static const char *const none[] = { NULL, "" };
	struct notify zero = { 0 };

	notify_say(&zero, "READY=1");
	ck_assert_uint_eq(zero.waiting, 0);
	notify_close(&zero);
	for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
		struct notify other;

		ck_assert_int_eq(notify_open(&other, none[i]), 0);
		ck_assert(!notify_is_open(&other));
		notify_say(&other, "READY=1");
		ck_assert(notify_flush(&other));
		notify_close(&other);
	}
}
END_TEST

START_TEST(wrong_addresses)
{
	char longest[sizeof notify.address.sun_path + 1];
	struct notify other;

	ck_assert_int_eq(notify_open(&other, "notify"), -EINVAL);
	ck_assert_int_eq(notify_open(&other, "vsock:2:1234"), -EINVAL);
	ck_assert_int_eq(notify_open(&other, "/"), -EINVAL);
	ck_assert_int_eq(notify_open(&other, "@"), -EINVAL);
	memset(longest, 'x', sizeof longest);
	longest[0] = '/';
	longest[sizeof longest - 1] = '\0';
	ck_assert_int_eq(notify_open(&other, longest), -EINVAL);
	ck_assert(!notify_is_open(&other));
	longest[sizeof longest - 2] = '\0';
	ck_assert_int_eq(notify_open(&other, longest), 0);
	notify_close(&other);
}
END_TEST

START_TEST(a_manager_that_is_gone_is_not_waited_for)
{
	unlink(path);
	notify_say(&notify, "READY=1");
	ck_assert_uint_eq(notify.waiting, 0);
}
END_TEST

/* The kernel keeps a few datagrams; then ours wait, and signs of life make room for what changes a state. */
START_TEST(states_outlast_a_manager_that_does_not_read)
{
	unsigned signs = 0;

	while (notify.waiting == 0 && signs < 10000) {
		notify_say(&notify, "WATCHDOG=%u", ++signs);
	}
	ck_assert_uint_lt(signs, 10000);
	notify_say(&notify, "READY=1");
	for (unsigned i = 0; i < 3 * NOTIFY_WAITING_MAX; i++) {
		notify_say(&notify, i % 2 == 0 ? "WATCHDOG=1" : "STATUS=fine");
		ck_assert_uint_le(notify.waiting, NOTIFY_WAITING_MAX);
	}
	notify_say(&notify, "STOPPING=1");
	ck_assert(!notify_flush(&notify));
	for (unsigned i = 1; i < signs; i++) {
		hear();
		ck_assert_int_eq(strncmp(heard, "WATCHDOG=", 9), 0);
		ck_assert_uint_eq(strtoul(heard + 9, NULL, 10), i);
	}
	ck_assert(notify_flush(&notify));
	ck_assert_str_eq(hear(), "READY=1");
	while (strncmp(hear(), "STOPPING=1", 10) != 0)
		ck_assert_str_ne(heard, "");
	ck_assert_str_eq(hear(), "");
}
END_TEST

START_TEST(the_oldest_state_goes_when_only_states_wait)
{
	while (notify.waiting == 0)
		notify_say(&notify, "WATCHDOG=1");
	for (unsigned i = 0; i <= NOTIFY_WAITING_MAX; i++)
		notify_say(&notify, "RELOADING=%u", i);
	ck_assert_uint_eq(notify.waiting, NOTIFY_WAITING_MAX);
	ck_assert_str_eq(notify.texts[0], "RELOADING=1");
	ck_assert_str_eq(notify.texts[NOTIFY_WAITING_MAX - 1], "RELOADING=8");
}
END_TEST

START_TEST(long_texts_are_cut)
{
	char text[4 * NOTIFY_TEXT_MAX];

	memset(text, 'x', sizeof text);
	text[sizeof text - 1] = '\0';
	notify_say(&notify, "STATUS=%s", text);
	ck_assert_uint_eq(strlen(hear()), NOTIFY_TEXT_MAX - 1);
}
END_TEST

static const struct {
	const char *usec, *process;
	uint64_t interval;
} watchdogs[] = {
	{ NULL, NULL, 0 },
	{ NULL, "4711", 0 },
	{ "30000000", NULL, 30000000 },
	{ "30000000", "4711", 30000000 },
	{ "30000000", "4712", 0 },
	{ "30000000", "", 0 },
	{ "30000000", "x", 0 },
	{ "0", NULL, 0 },
	{ "-5", NULL, 0 },
	{ "soon", "4711", 0 },
	{ "99999999999999999999999", NULL, 0 },
};

START_TEST(watchdog)
{
	ck_assert_uint_eq(notify_watchdog(watchdogs[_i].usec, watchdogs[_i].process, 4711), watchdogs[_i].interval);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("notify");
	TCase *tcase = tcase_create("notify");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, what_is_said_is_heard);
	tcase_add_test(tcase, an_abstract_name_is_as_long_as_it_is);
	tcase_add_test(tcase, nobody_wants_to_know);
	tcase_add_test(tcase, wrong_addresses);
	tcase_add_test(tcase, a_manager_that_is_gone_is_not_waited_for);
	tcase_add_test(tcase, states_outlast_a_manager_that_does_not_read);
	tcase_add_test(tcase, the_oldest_state_goes_when_only_states_wait);
	tcase_add_test(tcase, long_texts_are_cut);
	tcase_add_loop_test(tcase, watchdog, 0, sizeof watchdogs / sizeof watchdogs[0]);
	suite_add_tcase(suite, tcase);
	return tap_run(suite);
}
