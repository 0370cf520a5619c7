/*
 * control: lists of clients, made of what the master and their workers know, page by page; and what a client sends and
 * gets. Over the real socket of a whole master (stage.h). Argument: `puppet`.
 */
#include <arpa/inet.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "master/control_connection.h"
#include "tests/common/turn.h"
#include "tests/dialect/tap.h"
#include "tests/master/stage.h"
#include "tests/master/visitor.h"

#define SESSIONS "{\"command\":\"sessions\"}"

static void
setup(void)
{
	stage_open(2, 1000000);
}

static void
teardown(void)
{
	stage_close();
	visitor_forget();
}

static unsigned
count_lines(const char *text, const char *what)
{
	unsigned count = 0;

	for (const char *at = text; (at = strstr(at, what)) != NULL; at++)
		count++;
	return count;
}

/* ---- surveys ---- */

/* The worker answers one survey; how many clients it was asked about. 0: it was asked nothing. */
static unsigned
survey_answer(uint32_t worker, const struct client_report *report)
{
	struct client_report one = *report;
	struct buffer body = { 0 };
	struct survey survey;
	struct frame frame;
	unsigned count = 0;
	int fd;

	do {
		if (!puppet_hear(worker, &frame, &fd))
			return 0;
	} while (frame.type != M2W_SURVEY);
	ck_assert(message_get_survey_clients(&frame, &survey));
	message_put_survey(&body, survey.number);
	for (; survey_next_client(&survey, &one.slot, &one.serial); count++)
		message_put_survey_report(&body, &one);
	puppet_say(worker, W2M_SURVEY, buffer_bytes(&body), buffer_length(&body));
	buffer_deinit(&body);
	stage_turns();
	return count;
}

static unsigned
surveys_answer(const struct client_report *report)
{
	unsigned count = 0, more;

	do {
		more = survey_answer(0, report) + survey_answer(1, report);
		count += more;
	} while (more > 0);
	return count;
}

static const struct client_report some = {
	.state = REPORT_SESSION, .paused = true, .unsent = 11, .idle = 12999, .bytes_in = 13, .bytes_out = 14,
	.packets_in = 15, .packets_out = 16,
};

START_TEST(sessions_are_listed)
{
	struct entry *alice = client_login(0, "alice@foo.com/\"h\xc3\xb6me\""), *closing = client_login(1, "c@foo.com/r");
	struct entry *nobody = client_new(1), *ended = client_login(0, "d@foo.com/r");
	static const char reported[] = "\"seconds\":0,\"held\":0,\"packets\":%u,\"idle\":12,\"bytes_in\":13,\"bytes_out\":14,"
	    "\"packets_in\":15,\"packets_out\":16,\"unsent\":11,\"state\":\"session\",\"tls\":\"none\",\"paused\":true,\"throttled\":false}\n";
	char expected[1024], id[DIRECTORY_ID_SIZE];
	const char *text, *since;
	bool over;
	int fd;

	closing->closing = ended->ended_upstream = true;
	alice->since = nobody->since = loop_now(&stage.loop);
	fd = ask(SESSIONS);
	ck_assert_uint_eq(surveys_answer(&some), 2);
	text = hear(fd, &over);
	ck_assert(over);
	close(fd);
	snprintf(expected, sizeof expected, "{\"id\":\"%s\",\"account\":\"alice@foo.com/\\\"h\xc3\xb6me\\\"\","
	    "\"address\":\"192.0.2.7\",\"port\":50123,\"worker\":0,\"since\":",
	    directory_id(&stage.directory, alice, id));
	ck_assert_mem_eq(text, expected, strlen(expected));
	since = text + strlen(expected);
	ck_assert_int_gt(strtoll(since, NULL, 10), 1000000000);
	snprintf(expected, sizeof expected, reported, 1u);
	ck_assert_mem_eq(strchr(since, ',') + 1, expected, strlen(expected));
	text = strchr(text, '\n') + 1;
	snprintf(expected, sizeof expected, "{\"id\":\"%s\",\"account\":null,",
	    directory_id(&stage.directory, nobody, id));
	ck_assert_mem_eq(text, expected, strlen(expected));
	ck_assert_str_eq(strchr(text, '\n') + 1, DONE);
}
END_TEST

/* Clients that their workers do not have any more are left out. */
START_TEST(sessions_that_are_gone)
{
	struct entry *alice = client_login(0, "alice@foo.com/r");
	struct client_report stranger = some;
	struct buffer body = { 0 };
	int fd;

	fd = ask(SESSIONS);
	message_put_survey(&body, stage.control.surveys);
	stranger.slot = alice->slot;
	stranger.serial = alice->serial + 1;
	message_put_survey_report(&body, &stranger);
	puppet_say(0, W2M_SURVEY, buffer_bytes(&body), buffer_length(&body));
	stage_turns();
	assert_answer(fd, DONE);
	/* Nobody waits for it: neither the first nor the last of them. */
	puppet_say(0, W2M_SURVEY, buffer_bytes(&body), buffer_length(&body));
	stage_turns();
	ck_assert_int_eq(stage.pool.workers[0].state, WORKER_READY);
	buffer_deinit(&body);
}
END_TEST

static const struct {
	const char *filter;
	const char *found;	/* who is listed, by the worker; NULL: it is refused */
	const char *why;
} filters[] = {
	{ "\"worker\":0", "ab", NULL },
	{ "\"worker\":1", "cn", NULL },
	{ "\"worker\":2", NULL, REFUSED("no such worker") },
	{ "\"worker\":-1", NULL, REFUSED("no such worker") },
	{ "\"worker\":\"0\"", NULL, REFUSED("no such worker") },
	{ "\"account\":\"a@foo.com\"", "a", NULL },
	{ "\"account\":\"a@foo.com/r\"", "a", NULL },
	{ "\"account\":\"a@foo.com/\"", "", NULL },
	{ "\"account\":\"a@foo.co\"", "", NULL },
	{ "\"account\":\"foo.com\"", "abc", NULL },
	{ "\"account\":\"foo\"", "", NULL },
	{ "\"account\":\"\"", "", NULL },
	{ "\"account\":\"c@foo.com\",\"worker\":0", "", NULL },
	{ "\"address\":\"192.0.2.7\"", "bcn", NULL },
	{ "\"address\":\"::ffff:192.0.2.7\"", "bcn", NULL },
	{ "\"address\":\"2001:db8:0::1\"", "a", NULL },
	{ "\"address\":\"192.0.2\"", NULL, REFUSED("not an IP address") },
	{ "\"active\":13", "abcn", NULL },
	{ "\"active\":12", "", NULL },
	{ "\"throttled\":true", "", NULL },
	{ "\"throttled\":false", "abcn", NULL },
	{ "\"throttled\":1", NULL, REFUSED("throttled is true or false") },
	{ "\"active\":-1", NULL, REFUSED("active is a number of seconds") },
	{ "\"active\":\"x\"", NULL, REFUSED("active is a number of seconds") },
};

START_TEST(sessions_are_filtered)
{
	struct entry *all[] = {
		client_login(0, "a@foo.com/r"), client_login(0, "b@foo.com/r/s@x"), client_login(1, "c@foo.com/r"), client_new(1),
	};
	char request[200], id[DIRECTORY_ID_SIZE + 2];
	const char *text;
	bool over;
	int fd;

	ck_assert_int_eq(inet_pton(AF_INET6, "2001:db8::1", &all[0]->peer.address), 1);
	for (unsigned i = 0; i < 4; i++)
		all[i]->progress = 0;
	snprintf(request, sizeof request, "{\"command\":\"sessions\",%s}", filters[_i].filter);
	fd = ask(request);
	if (filters[_i].found == NULL) {
		assert_answer(fd, filters[_i].why);
		return;
	}
	surveys_answer(&some);
	text = hear(fd, &over);
	ck_assert(over);
	for (unsigned i = 0; i < 4; i++) {
		id[0] = '"';
		directory_id(&stage.directory, all[i], id + 1);
		ck_assert_msg((strstr(text, id) != NULL) == (strchr(filters[_i].found, "abcn"[i]) != NULL), "%s", text);
	}
	close(fd);
}
END_TEST

/* Who only listens is not idle. */
START_TEST(active_by_what_it_gets)
{
	struct entry *alice = client_login(0, "a@foo.com/r");
	bool over;
	int fd;

	alice->progress = loop_now(&stage.loop);
	fd = ask("{\"command\":\"sessions\",\"active\":5}");
	surveys_answer(&some);
	ck_assert_uint_eq(count_lines(hear(fd, &over), "\"id\":"), 1);
	close(fd);
}
END_TEST

/* Who does not read costs a chunk, whatever there is to tell; and clients may come and go meanwhile. */
START_TEST(sessions_by_the_thousand)
{
	struct control_connection *connection;
	struct entry *last = NULL;
	unsigned asked = 0, heard = 0, more;
	bool over;
	int fd;

	for (unsigned i = 0; i < 5000; i++)
		last = directory_add(&stage.directory, i % 2);
	fd = ask(SESSIONS);
	connection = TAILQ_FIRST(&stage.control.connections);
	ck_assert_ptr_nonnull(connection);
	while ((more = survey_answer(0, &some)) > 0) {
		ck_assert_uint_le(more, SURVEY_MAX);
		ck_assert_uint_lt(buffer_length(&connection->out), 2 * CONTROL_CHUNK);
		asked += more;
	}
	/* It waits for its reader, and asks nobody. */
	ck_assert_uint_ge(buffer_length(&connection->out), CONTROL_CHUNK);
	ck_assert_uint_lt(asked, 2500);
	ck_assert_uint_eq(connection->survey, 0);
	directory_remove(&stage.directory, last);
	do {
		heard += count_lines(hear(fd, &over), "\"id\":");
		surveys_answer(&some);
	} while (!over);
	ck_assert_uint_eq(heard, 4999);
	ck_assert_uint_eq(stage.control.count, 0);
	close(fd);
	/* Somebody who goes in the middle of it. */
	fd = ask(SESSIONS);
	close(fd);
	stage_turns();
	ck_assert_uint_eq(stage.control.count, 0);
	surveys_answer(&some);
	stage.directory.count = 0;
}
END_TEST

/* A filter that lets nobody through asks no worker, and gives the others their turns. */
START_TEST(many_and_none_is_meant)
{
	struct control_connection *connection;
	bool over;
	int fd;

	for (unsigned i = 0; i < 40000; i++)
		ck_assert_ptr_nonnull(directory_add(&stage.directory, 0));
	fd = socket_connect(stage_control);
	say(fd, "{\"command\":\"sessions\",\"account\":\"nobody@foo.com\"}\n");
	connection = TAILQ_FIRST(&stage.control.connections);
	for (unsigned i = 0; i < 10 && connection != NULL; i++) {
		loop_turn(&stage.loop);
		connection = TAILQ_FIRST(&stage.control.connections);
	}
	ck_assert_str_eq(hear(fd, &over), DONE);
	ck_assert_uint_eq(surveys_answer(&some), 0);
	close(fd);
	stage.directory.count = 0;
}
END_TEST

/* The worker dies with the question. */
START_TEST(sessions_of_one_that_dies)
{
	bool over;
	int fd;

	client_login(0, "a@foo.com/r");
	client_login(1, "b@foo.com/r");
	fd = ask(SESSIONS);
	assert_no_answer(fd);
	puppet_die(0);
	ck_assert_uint_eq(survey_answer(1, &some), 1);
	ck_assert_uint_eq(count_lines(hear(fd, &over), "\"account\":\"b@foo.com/r\""), 1);
	ck_assert(over);
	close(fd);
}
END_TEST

/* ... or answers for another, or nonsense. */
START_TEST(surveys_that_are_breaches)
{
	struct client_report report = some;
	struct buffer body = { 0 };
	struct entry *entry = client_login(0, "a@foo.com/r");
	int fd;

	fd = ask(SESSIONS);
	assert_no_answer(fd);
	report.slot = entry->slot;
	report.serial = entry->serial;
	message_put_survey(&body, stage.control.surveys);
	message_put_survey_report(&body, &report);
	if (_i == 0) {
		puppet_say(1, W2M_SURVEY, buffer_bytes(&body), buffer_length(&body));
	} else if (_i == 1) {
		buffer_bytes(&body)[16] = REPORT_STATE_COUNT;
		puppet_say(0, W2M_SURVEY, buffer_bytes(&body), buffer_length(&body));
	} else {
		puppet_say(0, W2M_SURVEY, buffer_bytes(&body), buffer_length(&body) - 1);
	}
	stage_turns();
	ck_assert_ptr_nonnull(strstr(stage_log(), _i == 0 ? "breach=not-its-client" : "breach=bad-body"));
	buffer_deinit(&body);
	close(fd);
}
END_TEST

/* ---- traces ---- */

/* The next frame that worker was sent is a switch for that client: 1 on, 0 off, -1 there is none. */
static int
switch_of(const struct entry *entry)
{
	struct frame frame;
	bool on;
	int fd;

	do {
		if (!puppet_hear(entry->worker, &frame, &fd))
			return -1;
	} while (frame.type != M2W_TRACE);
	ck_assert(frame.slot == entry->slot && frame.serial == entry->serial);
	ck_assert(message_get_switch(&frame, &on));
	return on;
}

static void
show(const struct entry *entry, bool down, uint32_t lost, const char *text)
{
	struct trace_message trace = { .down = down, .lost = lost, .length = 4711 };
	struct buffer body = { 0 };

	message_put_trace(&body, &trace);
	buffer_append_string(&body, text);
	puppet_say_of(entry, W2M_TRACE, buffer_bytes(&body), buffer_length(&body));
	buffer_deinit(&body);
	stage_turns();
}

static int
trace(const char *whom, const char *more)
{
	char request[256];

	snprintf(request, sizeof request, "{\"command\":\"trace\",\"client\":\"%s\"%s}", whom, more);
	return ask(request);
}

static const char *
plain_id(const struct entry *entry)
{
	static char id[DIRECTORY_ID_SIZE];

	return directory_id(&stage.directory, entry, id);
}

START_TEST(traced_by_id)
{
	struct entry *alice = client_login(0, "alice@foo.com/r"), *other = client_login(0, "bob@foo.com/r");
	char expected[256];
	const char *text;
	bool over;
	int fd;

	puppet_forget(0);
	fd = trace(plain_id(alice), ",\"seconds\":7");
	ck_assert_int_eq(switch_of(alice), 1);
	snprintf(expected, sizeof expected, "{\"id\":\"%s\",\"account\":\"alice@foo.com/r\",\"seconds\":7}\n", plain_id(alice));
	ck_assert_str_eq(hear(fd, &over), expected);
	show(alice, false, 0, "<a b='\"'/>");
	text = hear(fd, &over);
	ck_assert_uint_eq(count_lines(text, "\n"), 1);
	snprintf(expected, sizeof expected, "Z\",\"id\":\"%s\",\"direction\":\"up\",\"length\":4711,\"cut\":false,\"lost\":0,"
	    "\"text\":\"<a b='\\\"'/>\"}\n", plain_id(alice));
	ck_assert_ptr_nonnull(strstr(text, expected));
	show(alice, true, 3, "\xff\xc3\xa4");
	text = hear(fd, &over);
	ck_assert_ptr_nonnull(strstr(text, "\"direction\":\"down\",\"length\":4711,\"cut\":false,\"lost\":3,\"text\":\"???\"}\n"));
	/* Not the one that was meant. */
	show(other, false, 0, "<b/>");
	ck_assert_str_eq(hear(fd, &over), "");
	timer_is_due(&stage.loop, &TAILQ_FIRST(&stage.control.connections)->timeout);
	stage_turns();
	ck_assert_int_eq(switch_of(alice), 0);
	assert_answer(fd, "{\"ended\":\"time\",\"lost\":0}\n" DONE);
	snprintf(expected, sizeof expected, "info: %s client traced seconds=7\n", plain_id(alice));
	ck_assert_ptr_nonnull(strstr(stage_log(), expected));
}
END_TEST

/* All sessions of an account, until the last of them has ended. */
START_TEST(traced_by_account)
{
	struct entry *one = client_login(0, "alice@foo.com/one"), *two = client_login(1, "alice@foo.com/two");
	bool over;
	int fd;

	client_login(0, "alice2@foo.com/one");
	puppet_forget(0);
	puppet_forget(1);
	fd = trace(_i == 0 ? "alice@foo.com" : "alice@foo.com/two", "");
	ck_assert_int_eq(switch_of(one), _i == 0 ? 1 : -1);
	ck_assert_int_eq(switch_of(two), 1);
	ck_assert_uint_eq(count_lines(hear(fd, &over), "\"seconds\":60}"), _i == 0 ? 2 : 1);
	puppet_say_ended(one);
	stage_turns();
	assert_no_answer(fd);
	show(two, false, 0, "<b/>");
	ck_assert_uint_eq(count_lines(hear(fd, &over), "<b/>"), 1);
	puppet_say_ended(two);
	stage_turns();
	assert_answer(fd, "{\"ended\":\"client\",\"lost\":0}\n" DONE);
}
END_TEST

/* Off again when the tool goes, unless somebody else looks on. */
START_TEST(off_when_the_last_one_goes)
{
	struct entry *alice = client_login(0, "alice@foo.com/r");
	int one, two;

	one = trace("alice@foo.com", "");
	two = trace("alice@foo.com", "");
	ck_assert_int_eq(switch_of(alice), 1);
	puppet_forget(0);
	close(one);
	stage_turns();
	ck_assert_int_eq(switch_of(alice), -1);
	close(two);
	stage_turns();
	ck_assert_int_eq(switch_of(alice), 0);
	ck_assert_uint_eq(stage.control.count, 0);
	/* What was under way. */
	show(alice, false, 0, "<b/>");
	ck_assert_int_eq(stage.pool.workers[0].state, WORKER_READY);
}
END_TEST

/* Its worker dies. */
START_TEST(trace_of_one_that_dies)
{
	int fd;
	bool over;

	client_login(0, "alice@foo.com/r");
	fd = trace("alice@foo.com", "");
	hear(fd, &over);
	puppet_die(0);
	assert_answer(fd, "{\"ended\":\"client\",\"lost\":0}\n" DONE);
}
END_TEST

static const struct {
	const char *whom, *more, *why;
} refused[] = {
	{ "nobody", "", REFUSED("no such client") },
	{ "foo.com", "", REFUSED("no such client") },
	{ "bob@foo.com", "", REFUSED("no such client") },
	{ "alice@foo.com", ",\"seconds\":0", REFUSED("1 to 3600 seconds") },
	{ "alice@foo.com", ",\"seconds\":3601", REFUSED("1 to 3600 seconds") },
	{ "alice@foo.com", ",\"seconds\":\"5\"", REFUSED("1 to 3600 seconds") },
	{ "alice@foo.com", ",\"client\":5", REFUSED("trace whom?") },
};

START_TEST(traces_refused)
{
	client_login(0, "alice@foo.com/r");
	assert_answer(trace(refused[_i].whom, refused[_i].more), refused[_i].why);
}
END_TEST

/* Bounded in what waits for a slow reader, and in all. */
START_TEST(trace_is_bounded)
{
	struct entry *alice = client_login(0, "alice@foo.com/r");
	static char text[4097];
	struct control_connection *connection;
	size_t most = 0;
	const char *tail;
	bool over = false;
	int fd;

	memset(text, 'x', sizeof text - 1);
	fd = trace("alice@foo.com", "");
	connection = TAILQ_FIRST(&stage.control.connections);
	for (unsigned i = 0; i < 1000; i++) {
		show(alice, false, 0, text);
		most = buffer_length(&connection->out) > most ? buffer_length(&connection->out) : most;
	}
	ck_assert_uint_lt(most, 5 * CONTROL_CHUNK);
	hear(fd, &over);
	show(alice, false, 0, "<again/>");
	tail = hear(fd, &over);
	ck_assert_ptr_nonnull(strstr(tail, "<again/>"));
	ck_assert_ptr_null(strstr(tail, "\"lost\":0,"));
	for (unsigned i = 0; i < 17000 && !over; i++) {
		show(alice, false, 0, text);
		tail = hear(fd, &over);
	}
	ck_assert(over);
	ck_assert_ptr_nonnull(strstr(tail, "{\"ended\":\"size\",\"lost\":0}\n" DONE));
	close(fd);
}
END_TEST

START_TEST(trace_body_is_wrong)
{
	struct entry *alice = client_login(0, "alice@foo.com/r");

	puppet_say_of(alice, W2M_TRACE, "\2\0\0\0\0\0\0\0\0\0", 10);
	stage_turns();
	ck_assert_ptr_nonnull(strstr(stage_log(), "breach=bad-body"));
}
END_TEST

int
main(int argc, char **argv)
{
	Suite *suite = suite_create("control of clients");
	TCase *tests = tcase_create("control of clients");

	if (argc != 2)
		return EXIT_FAILURE;
	stage_puppet = argv[1];
	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, sessions_are_listed);
	tcase_add_test(tests, sessions_that_are_gone);
	tcase_add_loop_test(tests, sessions_are_filtered, 0, sizeof filters / sizeof filters[0]);
	tcase_add_test(tests, active_by_what_it_gets);
	tcase_add_test(tests, sessions_by_the_thousand);
	tcase_add_test(tests, many_and_none_is_meant);
	tcase_add_test(tests, sessions_of_one_that_dies);
	tcase_add_loop_test(tests, surveys_that_are_breaches, 0, 3);
	tcase_add_test(tests, traced_by_id);
	tcase_add_loop_test(tests, traced_by_account, 0, 2);
	tcase_add_test(tests, off_when_the_last_one_goes);
	tcase_add_test(tests, trace_of_one_that_dies);
	tcase_add_loop_test(tests, traces_refused, 0, sizeof refused / sizeof refused[0]);
	tcase_add_test(tests, trace_is_bounded);
	tcase_add_test(tests, trace_body_is_wrong);
	suite_add_tcase(suite, tests);
	return tap_run(suite);
}
