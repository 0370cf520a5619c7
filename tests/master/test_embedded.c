/* embedded: what the session manager's process is told, at its start and afterwards, and what becomes of its log. */
#include <bsd/string.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "common/log.h"
#include "master/embedded.h"
#include "tests/common/report.h"
#include "tests/common/turn.h"
#include "tests/dialect/tap.h"

static char *program;
static struct loop loop;
static struct embedded embedded;
static struct options options;
static struct buffer lines;
static int link_fd = -1;

static void
sink(enum log_level level, const char *role, const char *line, void *argument)
{
	(void)argument;
	/* Our own lines are no echo. */
	if (strcmp(role, "sessiond") == 0)
		buffer_append_format(&lines, "%s %s\n", log_level_name(level), line);
}

static void
setup(void)
{
	static char host[32], name[] = "c2s", dialect[] = "auto", database[] = "/d";

	log_init("test", LOG_LEVEL_DEBUG);
	log_set_sink(sink, NULL);
	ck_assert_int_eq(loop_init(&loop), 0);
	strcpy(host, "foo.com");
	options = (struct options){
		.hosts = { { host } }, .host_count = 1, .link = { .name = name, .dialect = dialect },
		.sessiond = { .program = program, .database = database, .offline = 5 },
		.limits.unsent_bytes = 33554432,
	};
	embedded_init(&embedded, &loop, &options);
}

static void
start(void)
{
	link_fd = embedded_spawn(&embedded);
	ck_assert_int_ge(link_fd, 0);
}

/* Wait for the process, which ends by itself or has been killed. */
static void
reap(void)
{
	pid_t pid = embedded.pid;
	int status;

	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(embedded_reaped(&embedded, pid, status));
	ck_assert(!embedded_reaped(&embedded, pid, status));
	ck_assert(!embedded_reaped(&embedded, 0, 0));
	close(link_fd);
	link_fd = -1;
}

static void
teardown(void)
{
	if (embedded.pid > 0) {
		kill(embedded.pid, SIGKILL);
		reap();
	}
	embedded_deinit(&embedded);
	embedded_deinit(&embedded);
	loop_deinit(&loop);
	buffer_deinit(&lines);
	log_set_sink(log_sink_stderr, NULL);
}

static bool
lines_have(void *text)
{
	return strstr(report_text(&lines), text) != NULL;
}

static void
expect(const char *text)
{
	char copy[256];

	strlcpy(copy, text, sizeof copy);
	ck_assert_msg(loop_turn_until(&loop, lines_have, copy), "no \"%s\" in:\n%s", text, report_text(&lines));
}

START_TEST(first_block)
{
	char secret[64];

	start();
	expect("info end\n");
	snprintf(secret, sizeof secret, "info secret=%s\n", embedded.secret);
	ck_assert_uint_eq(strspn(embedded.secret, "0123456789abcdef"), EMBEDDED_SECRET_SIZE - 1);
	ck_assert(lines_have(secret));
	ck_assert_ptr_eq(strstr(report_text(&lines), "info host=foo.com\ninfo name=c2s\n"), report_text(&lines));
	expect("info database=/d\ninfo registration=no\ninfo offline-max=5\ninfo offline-bytes=4194304\ninfo log-level=debug\ninfo dialect=xmpp\ninfo acknowledge=yes\ninfo plain=tls\ninfo end\n");
	ck_assert_uint_eq(buffer_length(&embedded.out), 0);
}
END_TEST

START_TEST(further_blocks)
{
	start();
	expect("info end\n");
	buffer_clear(&lines);
	strcpy(options.hosts[0].name, "bar.com");
	options.sessiond.registration = true;
	options.sessiond.offline = 7;
	log_set_level(LOG_LEVEL_INFO);
	embedded_settings_changed(&embedded);
	expect("info database=/d\ninfo registration=yes\ninfo offline-max=7\ninfo offline-bytes=4194304\ninfo log-level=info\ninfo dialect=xmpp\ninfo acknowledge=yes\ninfo plain=tls\ninfo end\n");
	ck_assert(lines_have((char[]){ "info host=bar.com\n" }));
}
END_TEST

/* It does not read for a while: what is kept for it is one block, and in the end it knows the last state. */
START_TEST(many_changes_are_one)
{
	start();
	expect("info end\n");
	kill(embedded.pid, SIGSTOP);
	for (unsigned i = 0; i < 20000; i++) {
		options.sessiond.offline = i;
		embedded_settings_changed(&embedded);
		ck_assert_uint_lt(buffer_length(&embedded.out), 1024);
	}
	ck_assert_uint_gt(buffer_length(&embedded.out), 0);
	kill(embedded.pid, SIGCONT);
	expect("info offline-max=19999\ninfo offline-bytes=4194304\ninfo log-level=debug\ninfo dialect=xmpp\ninfo acknowledge=yes\ninfo plain=tls\ninfo end\n");
	ck_assert_uint_eq(buffer_length(&embedded.out), 0);
}
END_TEST

START_TEST(levels_of_the_log)
{
	strcpy(options.hosts[0].name, "levels");
	start();
	expect("info end\n");
	expect("info host=levels\ndebug d\nwarning w x\nwarning error\nwarning loud l\nwarning \nerror \ninfo name=c2s\n");
}
END_TEST

/* It sends none that is so long; if it did, only that one would be lost. */
START_TEST(long_line)
{
	strcpy(options.hosts[0].name, "long");
	start();
	expect("info after\n");
	expect("info end\n");
	ck_assert_uint_lt(buffer_length(&lines), 20000);
}
END_TEST

START_TEST(last_words_are_heard)
{
	strcpy(options.hosts[0].name, "die");
	start();
	reap();
	ck_assert(lines_have((char[]){ "error last words\n" }));
	ck_assert_int_eq(embedded.control.fd, -1);
	/* There is nobody to tell. */
	embedded_settings_changed(&embedded);
	ck_assert_uint_eq(buffer_length(&embedded.out), 0);
}
END_TEST

static bool
hung_up(void *argument)
{
	(void)argument;
	return embedded.control.fd < 0;
}

START_TEST(process_that_closes_the_pair)
{
	strcpy(options.hosts[0].name, "hang-up");
	start();
	ck_assert(loop_turn_until(&loop, hung_up, NULL));
	embedded_settings_changed(&embedded);
	ck_assert_uint_eq(buffer_length(&embedded.out), 0);
}
END_TEST

START_TEST(next_one_is_told_again)
{
	start();
	expect("info end\n");
	ck_assert_int_eq(embedded_spawn(&embedded), -EAGAIN);
	reap();
	buffer_clear(&lines);
	options.sessiond.offline = 9;
	start();
	expect("info offline-max=9\ninfo offline-bytes=4194304\n");
}
END_TEST

static unsigned
descriptors(void)
{
	DIR *folder = opendir("/proc/self/fd");
	unsigned count = 0;

	while (readdir(folder) != NULL)
		count++;
	closedir(folder);
	return count;
}

START_TEST(program_that_is_not_there)
{
	char nowhere[] = "/nonexistent/c2sd-sessiond";
	unsigned before = descriptors();

	options.sessiond.program = nowhere;
	ck_assert_int_eq(embedded_spawn(&embedded), -ENOENT);
	ck_assert_int_eq(embedded.pid, 0);
	/* The memory is there once and for all. */
	ck_assert_uint_eq(descriptors(), before + 1);
	options.sessiond.program = program;
	start();
	expect("info end\n");
	kill(embedded.pid, SIGKILL);
	reap();
	ck_assert_uint_eq(descriptors(), before + 1);
}
END_TEST

/* Another process is there, and has looked what the ones before it have left. */
static void
start_and_count(const char *which)
{
	strcpy(options.hosts[0].name, "count");
	buffer_clear(&lines);
	start();
	expect(which);
}

static void
end_by(int signal)
{
	kill(embedded.pid, signal);
	reap();
}

START_TEST(memory_outlives_the_process)
{
	start_and_count("info process 1\n");
	ck_assert_int_ne(fcntl(embedded.journal_fd, F_GETFD) & FD_CLOEXEC, 0);
	end_by(SIGKILL);
	ck_assert(!embedded.crashed);
	start_and_count("info process 2\n");
	embedded_reached(&embedded);
	end_by(SIGSEGV);
	ck_assert(embedded.crashed);
	start_and_count("info process 3\n");
	end_by(SIGTERM);
	ck_assert(!embedded.crashed);
	start_and_count("info process 4\n");
}
END_TEST

START_TEST(memory_with_which_all_crash_is_thrown_away)
{
	start_and_count("info process 1\n");
	end_by(SIGSEGV);
	/* Somebody else's doing says nothing. */
	start_and_count("info process 2\n");
	end_by(SIGKILL);
	start_and_count("info process 3\n");
	end_by(SIGABRT);
	start_and_count("info process 4\n");
	/* Ours does. */
	ck_assert_int_eq(embedded_spawn(&embedded), -EAGAIN);
	reap();
	ck_assert_int_eq(embedded.journal_fd, -1);
	start_and_count("info process 1\n");
}
END_TEST

/* They have not looked; the loader, which lacks a library, among them. */
START_TEST(memory_that_nobody_read_is_kept)
{
	static const char *const hosts[] = { "unavailable", "unloadable" };

	start_and_count("info process 1\n");
	end_by(SIGKILL);
	strcpy(options.hosts[0].name, hosts[_i]);
	for (unsigned i = 0; i < 4; i++) {
		start();
		reap();
		ck_assert(embedded.crashed);
	}
	start_and_count("info process 2\n");
}
END_TEST

START_TEST(memory_with_which_one_came_up_is_kept)
{
	for (unsigned i = 1; i < 9; i++) {
		char which[32];

		snprintf(which, sizeof which, "info process %u\n", i);
		start_and_count(which);
		if (i % 3 == 0)
			embedded_reached(&embedded);
		end_by(SIGSEGV);
	}
	ck_assert_int_ge(embedded.journal_fd, 0);
}
END_TEST

int
main(int argc, char **argv)
{
	Suite *suite = suite_create("embedded");
	TCase *tests = tcase_create("embedded");

	if (argc != 2)
		return 2;
	program = argv[1];
	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, first_block);
	tcase_add_test(tests, further_blocks);
	tcase_add_test(tests, many_changes_are_one);
	tcase_add_test(tests, levels_of_the_log);
	tcase_add_test(tests, long_line);
	tcase_add_test(tests, last_words_are_heard);
	tcase_add_test(tests, process_that_closes_the_pair);
	tcase_add_test(tests, next_one_is_told_again);
	tcase_add_test(tests, program_that_is_not_there);
	tcase_add_test(tests, memory_outlives_the_process);
	tcase_add_test(tests, memory_with_which_all_crash_is_thrown_away);
	tcase_add_loop_test(tests, memory_that_nobody_read_is_kept, 0, 2);
	tcase_add_test(tests, memory_with_which_one_came_up_is_kept);
	suite_add_tcase(suite, tests);
	return tap_run(suite);
}
