/*
 * reload: when it is done, what it waits for, what becomes of workers that are too many, and that a refused one leaves
 * everything alone; the workers are puppets. Argument: `puppet`.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/common/turn.h"
#include "tests/dialect/tap.h"
#include "tests/master/stage.h"

#define WORKERS 3

struct waiter {
	struct reload_request request;
	unsigned told;
	bool changed;
};

static char path[64];

static void
on_done(struct reload_request *request, bool changed)
{
	struct waiter *waiter = container_of(request, struct waiter, request);

	waiter->told++;
	waiter->changed = changed;
}

/* A file that differs from what runs in this only. */
static void
file_write(unsigned workers, const char *more)
{
	FILE *file = fopen(path, "w");

	ck_assert_ptr_nonnull(file);
	/*
	 * The stage's own options would not pass for a file. Nobody else has that port of that address. A folder passes for a
	 * program until somebody wants to start it.
	 */
	fprintf(file, "<c2sd><listen address='127.77.%d.%d' port='%d' tls='none'/><host>" STAGE_HOST "</host><workers count='%u' "
	    "program='/'/><link name='" STAGE_NAME "'/><sessiond database='/nonexistent'/>%s</c2sd>",
	    (int)getpid() >> 8 & 255, (int)getpid() & 255, 20000 + (int)getpid() % 10000, workers, more);
	ck_assert_int_eq(fclose(file), 0);
}

static void
start(struct waiter *waiter)
{
	*waiter = (struct waiter){ .request.done = on_done };
	reload_start(&stage, &waiter->request);
	stage_turns();
}

static void
answer(uint32_t worker)
{
	puppet_say(worker, W2M_READY, NULL, 0);
	stage_turns();
}

START_TEST(it_waits_for_every_worker)
{
	struct waiter waiter;

	file_write(WORKERS, "<limits depth='77'/>");
	start(&waiter);
	ck_assert_uint_eq(stage.options->limits.depth, 77);
	for (uint32_t i = 0; i < WORKERS; i++) {
		struct settings settings;
		struct frame frame;
		int fd;

		ck_assert(puppet_hear(i, &frame, &fd));
		ck_assert_int_eq(frame.type, M2W_SETTINGS);
		ck_assert(message_get_settings(&frame, &settings));
		ck_assert_uint_eq(settings.worker, i);
		ck_assert_uint_eq(settings.limits.depth, 77);
		settings_deinit(&settings);
		ck_assert_uint_eq(waiter.told, 0);
		answer(i);
	}
	ck_assert_uint_eq(waiter.told, 1);
	ck_assert(waiter.changed);
	reload_request_deinit(&stage, &waiter.request);
	/* What nobody has asked for counts for nothing. */
	start(&waiter);
	for (unsigned i = 0; i < 3; i++)
		answer(0);
	ck_assert_uint_eq(waiter.told, 0);
	reload_request_deinit(&stage, &waiter.request);
}
END_TEST

START_TEST(a_dead_worker_is_not_waited_for)
{
	struct waiter waiter;

	file_write(WORKERS, "");
	start(&waiter);
	answer(0);
	answer(2);
	ck_assert_uint_eq(waiter.told, 0);
	puppet_die(1);
	/* Its successor, which cannot be started from that file, is. */
	ck_assert_uint_eq(waiter.told, 1);
	ck_assert(waiter.changed);
	reload_request_deinit(&stage, &waiter.request);
}
END_TEST

START_TEST(each_is_done_with_its_own_settings)
{
	struct waiter one, two, three;

	file_write(WORKERS, "");
	start(&one);
	start(&two);
	start(&three);
	for (uint32_t i = 0; i < WORKERS; i++)
		answer(i);
	ck_assert_uint_eq(one.told + two.told * 10 + three.told * 100, 1);
	/* Its owner has gone away. */
	reload_request_deinit(&stage, &two.request);
	reload_request_deinit(&stage, &two.request);
	for (uint32_t i = 0; i < WORKERS; i++)
		answer(i);
	ck_assert_uint_eq(one.told + two.told * 10 + three.told * 100, 1);
	for (uint32_t i = 0; i < WORKERS; i++)
		answer(i);
	ck_assert_uint_eq(one.told + two.told * 10 + three.told * 100, 101);
	reload_request_deinit(&stage, &one.request);
	reload_request_deinit(&stage, &three.request);
}
END_TEST

START_TEST(a_refused_one_changes_nothing)
{
	static const char *const wrong[] = { "<limits depth='0'/>", "<oops/>", "<", "<log target='file' file='/nonexistent/a/b'/>" };
	const struct options *before = stage.options;
	struct waiter waiter;
	struct frame frame;
	int fd;

	file_write(WORKERS + 1, wrong[_i]);
	start(&waiter);
	ck_assert_uint_eq(waiter.told, 1);
	ck_assert(!waiter.changed);
	buffer_append(&waiter.request.lines, "", 1);
	ck_assert_ptr_nonnull(strstr((const char *)buffer_bytes(&waiter.request.lines), _i < 3 ? path : "log file "));
	reload_request_deinit(&stage, &waiter.request);
	ck_assert_ptr_eq(stage.options, before);
	ck_assert_uint_eq(stage.pool.wanted, WORKERS);
	ck_assert_uint_eq(stage.pool.count, WORKERS);
	for (unsigned i = 0; i < stage.listener_count; i++)
		ck_assert_int_lt(stage.listeners[i].watch.fd, 0);
	for (uint32_t i = 0; i < WORKERS; i++)
		ck_assert(!puppet_hear(i, &frame, &fd));
}
END_TEST

START_TEST(not_while_it_ends)
{
	struct waiter waiter;

	file_write(WORKERS, "");
	stage.ending = true;
	start(&waiter);
	ck_assert(waiter.told == 1 && !waiter.changed);
	reload_request_deinit(&stage, &waiter.request);
	stage.ending = false;
}
END_TEST

/* The session manager waits because too much is kept; more may be kept now. */
START_TEST(more_room)
{
	struct waiter waiter;
	struct entry *entry = client_login(0, "alice@" STAGE_HOST "/home");

	for (unsigned i = 0; !stage.link.unread && i < 100; i++)
		manager_send("<message sto='%s' sfrom='alice@" STAGE_HOST "/home'>%0500d</message>", id_of(entry), i);
	ck_assert(stage.link.unread);
	file_write(WORKERS, "<limits held-bytes='1048576' unsent-bytes='65536'/>");
	start(&waiter);
	ck_assert(!stage.link.unread);
	stage_assert_balance();
	reload_request_deinit(&stage, &waiter.request);
}
END_TEST

/* The level of the moment holds until the next reload. */
START_TEST(log_level)
{
	struct settings settings;
	struct waiter waiter;
	struct frame frame;
	int fd;

	stage.options->log.level = LOG_LEVEL_INFO;
	master_set_log_level(&stage, LOG_LEVEL_DEBUG);
	stage_turns();
	for (unsigned i = 0; i < 2; i++) {
		ck_assert(puppet_hear(1, &frame, &fd));
		ck_assert(message_get_settings(&frame, &settings));
		ck_assert_uint_eq(settings.log_level, i == 0 ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARNING);
		ck_assert_int_eq(log_get_level(), i == 0 ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARNING);
		settings_deinit(&settings);
		file_write(WORKERS, "<log level='warning'/>");
		if (i == 0)
			start(&waiter);
	}
	reload_request_deinit(&stage, &waiter.request);
	log_set_level(LOG_LEVEL_INFO);
}
END_TEST

/* ---- workers that are too many ---- */

static void
expect_end(uint32_t worker)
{
	ck_assert_int_eq(stage.pool.workers[worker].state, WORKER_ENDING);
	ck_assert(puppet_is_told_to_end(worker));
}

static bool
pool_is_small(void *argument)
{
	(void)argument;
	return stage.pool.count == 1;
}

static bool
pool_has_two(void *argument)
{
	(void)argument;
	return stage.pool.count == 2;
}

START_TEST(who_has_nobody_ends_at_once)
{
	pool_resize(&stage.pool, 1);
	stage_turns();
	expect_end(1);
	expect_end(2);
	puppet_die(2);
	puppet_die(1);
	ck_assert(loop_turn_until(&stage.loop, pool_is_small, NULL));
	ck_assert_ptr_null(strstr(stage_log(), "gone"));
}
END_TEST

START_TEST(who_has_clients_ends_with_the_last)
{
	struct entry *first = client_new(1), *second = client_new(1), *entry;
	struct frame frame;
	int fd, connection;

	pool_resize(&stage.pool, 1);
	stage_turns();
	ck_assert_str_eq(worker_state_name(&stage.pool.workers[1]), "retiring");
	/* New ones come to others. */
	for (unsigned i = 0; i < 3; i++) {
		connection = client_connect();
		client_take(0);
		close(connection);
	}
	ck_assert(!puppet_hear(1, &frame, &fd));
	puppet_say_ended(first);
	stage_turns();
	ck_assert_int_eq(stage.pool.workers[1].state, WORKER_READY);
	/* The time is over: they are told. */
	stage.pool.retire = 10;
	pool_retire_changed(&stage.pool);
	timer_is_due(&stage.loop, &stage.pool.workers[1].retire);
	stage_turns();
	ck_assert(puppet_hear(1, &frame, &fd));
	ck_assert_int_eq(frame.type, M2W_CLOSE_ALL);
	ck_assert_uint_eq(frame.body[0], END_RETIRED);
	puppet_say_ended(second);
	stage_turns();
	expect_end(1);
	/* Wanted again too late: a fresh process follows. */
	pool_resize(&stage.pool, 2);
	puppet_replace(1);
	ck_assert_uint_eq(stage.pool.workers[1].deaths, 0);
	entry = client_new(1);
	puppet_say_ended(entry);
	stage_assert_balance();
}
END_TEST

START_TEST(who_is_wanted_again_is_taken_back)
{
	client_new(1);
	client_new(2);
	pool_resize(&stage.pool, 1);
	pool_resize(&stage.pool, 2);
	ck_assert(worker_takes_clients(&stage.pool.workers[1]));
	ck_assert(!worker_takes_clients(&stage.pool.workers[2]));
	ck_assert(!timer_is_set(&stage.pool.workers[1].retire));
	client_new(1);
}
END_TEST

/* A client that is on its way to a worker that retires belongs to it, until that refuses it. */
START_TEST(on_the_way)
{
	bool full = true;
	int connection;
	struct frame frame;
	struct entry *entry;
	int fd;

	stage.pool.workers[0].full = stage.pool.workers[2].full = full;
	connection = client_connect();
	stage.pool.workers[0].full = stage.pool.workers[2].full = false;
	pool_resize(&stage.pool, 1);
	stage_turns();
	ck_assert_int_eq(stage.pool.workers[1].state, WORKER_READY);
	ck_assert(puppet_hear(1, &frame, &fd));
	ck_assert_int_eq(frame.type, M2W_CLIENT);
	close(fd);
	entry = directory_at(&stage.directory, 1, frame.slot, frame.serial);
	puppet_say_of(entry, W2M_REFUSED, NULL, 0);
	stage_turns();
	expect_end(1);
	client_take(0);
	close(connection);
}
END_TEST

START_TEST(drained)
{
	struct entry *entry = client_new(1);
	unsigned starts = stage.pool.workers[1].starts;

	ck_assert_int_eq(pool_drain(&stage.pool, WORKERS), -ESRCH);
	ck_assert_int_eq(pool_drain(&stage.pool, 1), 0);
	ck_assert_int_eq(pool_drain(&stage.pool, 1), -EALREADY);
	ck_assert_int_eq(pool_drain(&stage.pool, 2), 0);
	expect_end(2);
	ck_assert_int_eq(pool_drain(&stage.pool, 0), -EBUSY);
	/* Not taken back by a reload. */
	pool_resize(&stage.pool, WORKERS);
	ck_assert(!worker_takes_clients(&stage.pool.workers[1]));
	puppet_say_ended(entry);
	stage_turns();
	expect_end(1);
	puppet_replace(1);
	ck_assert_uint_eq(stage.pool.workers[1].starts, starts + 1);
	ck_assert(worker_takes_clients(&stage.pool.workers[1]));
	ck_assert_uint_eq(stage.pool.count, WORKERS);
	/* That one and no other is to be there: then it must serve. */
	client_new(0);
	ck_assert_int_eq(pool_drain(&stage.pool, 0), 0);
	pool_resize(&stage.pool, 1);
	ck_assert(worker_takes_clients(&stage.pool.workers[0]));
}
END_TEST

START_TEST(who_does_not_end_is_killed)
{
	pool_resize(&stage.pool, 2);
	stage_turns();
	expect_end(2);
	timer_is_due(&stage.loop, &stage.pool.workers[2].late);
	stage_turns();
	ck_assert_ptr_nonnull(strstr(stage_log(), "worker 2 stuck"));
	puppet_die(2);
	ck_assert(loop_turn_until(&stage.loop, pool_has_two, NULL));
}
END_TEST

/* It dies of something else while it retires: its clients end as ever, and nobody follows. */
START_TEST(who_dies_while_it_retires)
{
	client_login(2, "alice@" STAGE_HOST "/home");
	pool_resize(&stage.pool, 2);
	puppet_die(2);
	ck_assert(loop_turn_until(&stage.loop, pool_has_two, NULL));
	ck_assert_ptr_nonnull(strstr(manager_take(), "alice@" STAGE_HOST "/home"));
	stage_assert_balance();
}
END_TEST

static void
setup(void)
{
	stage_open(WORKERS, 4000);
	snprintf(path, sizeof path, "stage-file.%d", (int)getpid());
	stage.source.file = path;
}

static void
teardown(void)
{
	unlink(path);
	stage_close();
}

int
main(int argc, char **argv)
{
	Suite *suite = suite_create("reload");
	TCase *tests = tcase_create("reload");

	if (argc != 2)
		return EXIT_FAILURE;
	stage_puppet = argv[1];
	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, it_waits_for_every_worker);
	tcase_add_test(tests, a_dead_worker_is_not_waited_for);
	tcase_add_test(tests, each_is_done_with_its_own_settings);
	tcase_add_loop_test(tests, a_refused_one_changes_nothing, 0, 4);
	tcase_add_test(tests, not_while_it_ends);
	tcase_add_test(tests, more_room);
	tcase_add_test(tests, log_level);
	tcase_add_test(tests, who_has_nobody_ends_at_once);
	tcase_add_test(tests, who_has_clients_ends_with_the_last);
	tcase_add_test(tests, who_is_wanted_again_is_taken_back);
	tcase_add_test(tests, on_the_way);
	tcase_add_test(tests, drained);
	tcase_add_test(tests, who_does_not_end_is_killed);
	tcase_add_test(tests, who_dies_while_it_retires);
	suite_add_tcase(suite, tests);
	return tap_run(suite);
}
