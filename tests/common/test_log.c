/* log: what a line looks like in each target, and that nothing waits for any of them. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <regex.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include "common/log.h"
#include "common/sink.h"
#include "tests/common/turn.h"
#include "tests/dialect/tap.h"

static char folder[] = "/tmp/c2sd-log-XXXXXX";
static char path[64], moved[64];
static struct sink sink;
static char text[256 * 1024];

static void
setup(void)
{
	strcpy(folder + strlen(folder) - 6, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(path, sizeof path, "%s/log", folder);
	snprintf(moved, sizeof moved, "%s/log.1", folder);
	sink = (struct sink){ .fd = -1 };
	log_init("master", LOG_LEVEL_INFO);
}

static void
teardown(void)
{
	log_stop();
	log_close();
	sink_close(&sink);
	unlink(path);
	unlink(moved);
	rmdir(folder);
}

static const char *
file_read(const char *name)
{
	int fd = open(name, O_RDONLY);
	ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof text - 1);

	ck_assert_int_ge(length, 0);
	text[length] = '\0';
	close(fd);
	return text;
}

static void
expect_match(const char *line, const char *pattern)
{
	regex_t regex;

	ck_assert_int_eq(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB), 0);
	ck_assert_msg(regexec(&regex, line, 0, NULL, 0) == 0, "%s does not match %s", line, pattern);
	regfree(&regex);
}

#define TIME "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}[.][0-9]{3}[+-][0-9]{2}:[0-9]{2} c2sd\\[[0-9]+\\]: "

/* ---- file ---- */

START_TEST(file_has_time_and_level)
{
	struct stat status;

	umask(027);
	ck_assert_int_eq(log_open(LOG_TARGET_FILE, path), 0);
	log_info("listener %s open", "x");
	log_warning("b");
	log_error("c");
	log_debug("not shown");
	expect_match(file_read(path), "^" TIME "master: listener x open\n" TIME "master: warning: b\n" TIME "master: error: c\n$");
	ck_assert_int_eq(stat(path, &status), 0);
	ck_assert_uint_eq(status.st_mode & 07777, 0640);
}
END_TEST

START_TEST(file_is_opened_anew)
{
	ck_assert_int_eq(log_open(LOG_TARGET_FILE, path), 0);
	log_info("one");
	ck_assert_int_eq(rename(path, moved), 0);
	log_info("two");
	ck_assert_int_eq(log_reopen(), 0);
	log_info("three");
	expect_match(file_read(moved), "master: one\n.*master: two\n$");
	expect_match(file_read(path), "^" TIME "master: three\n$");
}
END_TEST

START_TEST(file_that_cannot_be_opened_changes_nothing)
{
	ck_assert_int_eq(log_open(LOG_TARGET_FILE, path), 0);
	ck_assert_int_eq(log_open(LOG_TARGET_FILE, folder), -EISDIR);
	ck_assert_int_eq(log_open(LOG_TARGET_FILE, "/nonexistent/log"), -ENOENT);
	ck_assert_int_eq(log_open(LOG_TARGET_FILE, NULL), -EINVAL);
	ck_assert_int_eq(log_open(LOG_TARGET_AUTO, path), -EINVAL);
	log_info("one");
	expect_match(file_read(path), "^" TIME "master: one\n$");
	/* Neither does one that can no more. */
	ck_assert_int_eq(rename(path, moved), 0);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	ck_assert_int_eq(log_reopen(), -EISDIR);
	log_info("two");
	ck_assert_int_eq(rmdir(path), 0);
	expect_match(file_read(moved), "master: one\n.*master: two\n$");
}
END_TEST

START_TEST(prepared_is_not_yet_in_force)
{
	ck_assert_int_eq(log_open(LOG_TARGET_FILE, path), 0);
	ck_assert_int_eq(log_prepare(LOG_TARGET_FILE, moved), 0);
	log_info("one");
	log_rollback();
	log_commit();
	log_info("two");
	ck_assert_int_eq(log_prepare(LOG_TARGET_FILE, moved), 0);
	log_commit();
	log_info("three");
	expect_match(file_read(path), "master: one\n.*master: two\n$");
	expect_match(file_read(moved), "^" TIME "master: three\n$");
}
END_TEST

/* A limit on the file's size stands for the disk: both take what there is room for, then nothing. */
START_TEST(disk_full)
{
	struct rlimit before, small;

	signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
	ck_assert_int_eq(log_open(LOG_TARGET_FILE, path), 0);
	log_info("first");
	small = before;
	small.rlim_cur = strlen(file_read(path)) + 20;
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
	for (unsigned i = 0; i < 5; i++)
		log_info("lost %u", i);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
	log_info("last");
	log_info("really");
	/* What was written of a line stays on a line of its own. */
	expect_match(file_read(path), "^" TIME "master: first\n[0-9T:.-]{20}\n"
	    TIME "master: warning: log dropped lines=5 error=\"[^\"]+\"\n" TIME "master: last\n" TIME "master: really\n$");
}
END_TEST

/* ---- syslog ---- */

static int
syslog_listen(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);

	strcpy(address.sun_path, path);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
	return fd;
}

static const char *
syslog_read(int fd)
{
	ssize_t length = recv(fd, text, sizeof text - 1, 0);

	text[length < 0 ? 0 : length] = '\0';
	return length < 0 ? NULL : text;
}

#define SYSLOG_TIME "(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [ 0-9][0-9] [0-9]{2}:[0-9]{2}:[0-9]{2} c2sd\\[[0-9]+\\]: "

START_TEST(syslog_as_rfc_3164_has_it)
{
	int fd = syslog_listen();

	ck_assert_int_eq(sink_open_syslog(&sink, path), 0);
	ck_assert_int_eq(sink_write(&sink, LOG_INFO, "worker 2", "listener x open"), 0);
	ck_assert_int_eq(sink_write(&sink, LOG_ERR, "master", "b"), 0);
	expect_match(syslog_read(fd), "^<30>" SYSLOG_TIME "worker 2: listener x open$");
	expect_match(syslog_read(fd), "^<27>" SYSLOG_TIME "master: error: b$");
	close(fd);
}
END_TEST

START_TEST(syslog_that_reads_nothing)
{
	unsigned taken = 0, dropped = 0;
	int fd = syslog_listen();

	ck_assert_int_eq(sink_open_syslog(&sink, path), 0);
	while (dropped < 100 && taken < 100000) {
		int error = sink_write(&sink, LOG_INFO, "master", "line");

		ck_assert(error == 0 || error == EAGAIN);
		taken += error == 0;
		dropped += error != 0;
	}
	ck_assert_uint_eq(dropped, 100);
	while (syslog_read(fd) != NULL)
		taken--;
	ck_assert_uint_eq(taken, 0);
	ck_assert_int_eq(sink_write(&sink, LOG_INFO, "master", "line"), 0);
	close(fd);
}
END_TEST

START_TEST(syslog_that_comes_and_goes)
{
	int fd;

	ck_assert_int_eq(sink_open_syslog(&sink, path), 0);
	ck_assert_int_eq(sink_write(&sink, LOG_INFO, "master", "nobody there"), ENOENT);
	for (unsigned i = 0; i < 3; i++) {
		fd = syslog_listen();
		ck_assert_int_eq(sink_write(&sink, LOG_INFO, "master", "found"), 0);
		expect_match(syslog_read(fd), "found$");
		close(fd);
		ck_assert_int_eq(sink_write(&sink, LOG_INFO, "master", "closed"), ECONNREFUSED);
		unlink(path);
		ck_assert_int_eq(sink_write(&sink, LOG_INFO, "master", "gone"), ENOENT);
	}
	/* Started anew while nothing was logged. */
	fd = syslog_listen();
	ck_assert_int_eq(sink_write(&sink, LOG_INFO, "master", "found"), 0);
	close(fd);
	unlink(path);
	fd = syslog_listen();
	ck_assert_int_eq(sink_write(&sink, LOG_INFO, "master", "and again"), 0);
	expect_match(syslog_read(fd), "and again$");
	close(fd);
}
END_TEST

START_TEST(syslog_path_too_long)
{
	char longer[200];

	memset(longer, 'x', sizeof longer - 1);
	longer[sizeof longer - 1] = '\0';
	ck_assert_int_eq(sink_open_syslog(&sink, longer), 0);
	ck_assert_int_eq(sink_write(&sink, LOG_INFO, "master", "x"), ENAMETOOLONG);
}
END_TEST

/* ---- standard error ---- */

/* Its other end; `saved` is what it was. */
static int
stderr_take(int *saved)
{
	int fds[2];

	ck_assert_int_eq(pipe2(fds, O_NONBLOCK), 0);
	*saved = dup(STDERR_FILENO);
	ck_assert_int_eq(dup2(fds[1], STDERR_FILENO), STDERR_FILENO);
	close(fds[1]);
	return fds[0];
}

static void
stderr_give(int saved)
{
	dup2(saved, STDERR_FILENO);
	close(saved);
}

START_TEST(stderr_of_a_terminal_and_of_systemd)
{
	struct stat status;
	char journal[64];
	int saved, fd = stderr_take(&saved);
	ssize_t length;

	unsetenv("JOURNAL_STREAM");
	log_init("master", LOG_LEVEL_DEBUG);
	log_warning("one");
	/* Of another stream than ours. */
	setenv("JOURNAL_STREAM", "1:1", 1);
	log_init("master", LOG_LEVEL_DEBUG);
	log_info("two");
	fstat(STDERR_FILENO, &status);
	snprintf(journal, sizeof journal, "%ju:%ju", (uintmax_t)status.st_dev, (uintmax_t)status.st_ino);
	setenv("JOURNAL_STREAM", journal, 1);
	log_init("master", LOG_LEVEL_DEBUG);
	log_error("three");
	log_debug("four");
	unsetenv("JOURNAL_STREAM");
	log_init("master", LOG_LEVEL_INFO);
	stderr_give(saved);
	length = read(fd, text, sizeof text - 1);
	close(fd);
	ck_assert_int_gt(length, 0);
	text[length] = '\0';
	ck_assert_str_eq(text, "c2sd: master: warning: one\nc2sd: master: two\n<3>master: error: three\n<7>master: four\n");
}
END_TEST

START_TEST(stderr_that_nobody_reads)
{
	int saved, fd = stderr_take(&saved);
	unsigned lines = 0;
	ssize_t length;
	char *last;

	for (unsigned i = 0; i < 20000; i++)
		log_info("line");
	while ((length = read(fd, text, sizeof text)) > 0)
		lines += (unsigned)length / (unsigned)strlen("c2sd: master: line\n");
	log_info("line");
	stderr_give(saved);
	length = read(fd, text, sizeof text - 1);
	close(fd);
	ck_assert_int_gt(length, 0);
	text[length] = '\0';
	last = strstr(text, "lines=");
	ck_assert_ptr_nonnull(last);
	ck_assert_uint_ge(lines, 1);
	ck_assert_uint_eq(strtoul(last + strlen("lines="), NULL, 10) + lines, 20000);
	expect_match(text, "^c2sd: master: warning: log dropped lines=[0-9]+ error=\"[^\"]+\"\nc2sd: master: line\n$");
}
END_TEST

/* ---- lines ---- */

static const struct {
	const char *line;
	const char *written;
} lines[] = {
	{ "a\nb\r\tc\033[1m\177", "a?b??c?[1m?" },
	{ "m\303\274ller \360\237\230\200 \342\202\254", "m\303\274ller \360\237\230\200 \342\202\254" },
	/* U+0085, U+009B, U+2028, U+202E, U+2066, U+FEFF */
	{ "\302\205\302\233\342\200\250\342\200\256\342\201\246\357\273\277", "??????" },
	/* Not UTF-8: alone, cut, too long, a surrogate, above U+10FFFF. */
	{ "\200\303", "??" }, { "\342\202", "??" }, { "\300\257", "??" }, { "\340\200\257", "???" },
	{ "\355\240\200", "???" }, { "\364\220\200\200", "????" }, { "\303a", "?a" }, { "\377", "?" },
};

START_TEST(line_cannot_be_forged)
{
	ck_assert_int_eq(log_open(LOG_TARGET_FILE, path), 0);
	log_info("%s", lines[_i].line);
	file_read(path);
	ck_assert_str_eq(strstr(text, "master: ") + strlen("master: "), strcat(strcpy(text + 4096, lines[_i].written), "\n"));
	/* What another process says is looked at as well. */
	ck_assert_int_eq(truncate(path, 0), 0);
	log_relay(LOG_LEVEL_INFO, "worker 1", lines[_i].line);
	file_read(path);
	ck_assert_str_eq(strstr(text, "worker 1: ") + strlen("worker 1: "), strcat(strcpy(text + 4096, lines[_i].written), "\n"));
}
END_TEST

START_TEST(line_is_cut)
{
	char longer[3 * SINK_LINE_MAX];

	memset(longer, 'x', sizeof longer - 1);
	longer[sizeof longer - 1] = '\0';
	ck_assert_int_eq(log_open(LOG_TARGET_FILE, path), 0);
	log_info("%s", longer);
	log_relay(LOG_LEVEL_WARNING, "worker 1", longer);
	log_info("next");
	expect_match(file_read(path), "^" TIME "master: x+\n" TIME "worker 1: warning: x+\n" TIME "master: next\n$");
	ck_assert_uint_lt(strlen(text), 2 * (SINK_LINE_MAX + 100) + 100);
}
END_TEST

START_TEST(value_in_quotes)
{
	char quoted[8];

	ck_assert_str_eq(log_quote(quoted, sizeof quoted, "a b"), "\"a b\"");
	ck_assert_str_eq(log_quote(quoted, sizeof quoted, "\"a\""), "\"'a'\"");
	ck_assert_str_eq(log_quote(quoted, sizeof quoted, "abcdefgh"), "\"abcde\"");
	ck_assert_str_eq(log_quote(quoted, sizeof quoted, NULL), "\"\"");
	ck_assert_str_eq(log_quote(quoted, 3, "a"), "\"\"");
	ck_assert_str_eq(log_quote(quoted, 2, "a"), "\"\"");
}
END_TEST

START_TEST(repeats_are_said_at_the_end)
{
	struct loop loop;

	ck_assert_int_eq(loop_init(&loop), 0);
	ck_assert_int_eq(log_open(LOG_TARGET_FILE, path), 0);
	log_info("before");
	log_info("before");
	log_start(&loop);
	for (unsigned i = 0; i < 10; i++) {
		log_info("again");
		log_relay(LOG_LEVEL_INFO, "worker 1", "again");
	}
	log_stop();
	log_info("again");
	loop_deinit(&loop);
	expect_match(file_read(path), "^" TIME "master: before\n" TIME "master: before\n" TIME "master: again\n" TIME
	    "worker 1: again\n" TIME "master: again repeated=9 seconds=[01]\n" TIME
	    "worker 1: again repeated=9 seconds=[01]\n" TIME "master: again\n$");
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("log");
	TCase *tests = tcase_create("log");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, file_has_time_and_level);
	tcase_add_test(tests, file_is_opened_anew);
	tcase_add_test(tests, file_that_cannot_be_opened_changes_nothing);
	tcase_add_test(tests, prepared_is_not_yet_in_force);
	tcase_add_test(tests, disk_full);
	tcase_add_test(tests, syslog_as_rfc_3164_has_it);
	tcase_add_test(tests, syslog_that_reads_nothing);
	tcase_add_test(tests, syslog_that_comes_and_goes);
	tcase_add_test(tests, syslog_path_too_long);
	tcase_add_test(tests, stderr_of_a_terminal_and_of_systemd);
	tcase_add_test(tests, stderr_that_nobody_reads);
	tcase_add_loop_test(tests, line_cannot_be_forged, 0, sizeof lines / sizeof lines[0]);
	tcase_add_test(tests, line_is_cut);
	tcase_add_test(tests, value_in_quotes);
	tcase_add_test(tests, repeats_are_said_at_the_end);
	suite_add_tcase(suite, tests);
	return tap_run(suite);
}
