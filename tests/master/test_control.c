/*
 * control: who may ask, what may be asked, and what is answered, over the real socket of a whole master (stage.h).
 * Argument: `puppet`.
 */
#include <bsd/string.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/log.h"
#include "master/control_connection.h"
#include "tests/common/turn.h"
#include "tests/dialect/tap.h"
#include "tests/master/stage.h"
#include "tests/master/visitor.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

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

/* ---- requests ---- */

START_TEST(in_pieces)
{
	static const char request[] = "{\"command\":\"kick\",\"id\":\"x\"}\n";
	int fd = visit();

	for (size_t i = 0; i < sizeof request - 1; i++) {
		assert_no_answer(fd);
		ck_assert_int_eq(send(fd, request + i, 1, MSG_NOSIGNAL), 1);
		stage_turns();
	}
	assert_answer(fd, REFUSED("no such client"));
}
END_TEST

static const struct {
	const char *request, *answer;
} nonsense[] = {
	{ "", REFUSED("not a request") },
	{ "status", REFUSED("not a request") },
	{ "[]", REFUSED("not a request") },
	{ "{}", REFUSED("not a request") },
	{ "{\"command\":1}", REFUSED("not a request") },
	{ "{\"command\":null}", REFUSED("not a request") },
	{ "{\"command\":\"status\"", REFUSED("not a request") },
	{ "{\"command\":\"status\\u0000\"}", REFUSED("not a request") },
	{ "{\"command\":\"\xff\"}", REFUSED("not a request") },
	{ "{\"command\":\"Status\"}", REFUSED("unknown command") },
	{ "{\"command\":\"\"}", REFUSED("unknown command") },
	{ "{\"command\":\"kick\"}", REFUSED("kick whom?") },
	{ "{\"command\":\"kick\",\"id\":7}", REFUSED("kick whom?") },
	{ "{\"command\":\"kick\",\"id\":\"\"}", REFUSED("no such client") },
	{ "{\"command\":\"kick\",\"id\":\"nobody.0.0.1\"}", REFUSED("no such client") },
	{ "{\"command\":\"drain\"}", REFUSED("no such worker, or it is not running") },
	{ "{\"command\":\"drain\",\"worker\":\"0\"}", REFUSED("no such worker, or it is not running") },
	{ "{\"command\":\"drain\",\"worker\":-1}", REFUSED("no such worker, or it is not running") },
	{ "{\"command\":\"drain\",\"worker\":2}", REFUSED("no such worker, or it is not running") },
	{ "{\"command\":\"drain\",\"worker\":4294967296}", REFUSED("no such worker, or it is not running") },
	{ "{\"command\":\"loglevel\",\"level\":\"loud\"}", REFUSED("levels are error, warning, info and debug") },
	{ "{\"command\":\"loglevel\",\"level\":3}", REFUSED("levels are error, warning, info and debug") },
	{ "{\"command\":\"user\"}", REFUSED("unknown action or host") },
	{ "{\"command\":\"user\",\"action\":\"drop\"}", REFUSED("unknown action or host") },
	{ "{\"command\":\"user\",\"action\":[]}", REFUSED("unknown action or host") },
	{ "{\"command\":\"user\",\"action\":\"list\",\"host\":\"bar.com\"}", REFUSED("unknown action or host") },
	{ "{\"command\":\"user\",\"action\":\"add\",\"name\":\"a\\u0001\"}",
	    REFUSED("control characters in a name or password") },
	{ "{\"command\":\"user\",\"action\":\"add\",\"name\":\"a\\nb\"}", REFUSED("control characters in a name or password") },
	{ "{\"command\":\"user\",\"action\":\"add\",\"name\":\"\\u007f\"}",
	    REFUSED("control characters in a name or password") },
	{ "{\"command\":\"user\",\"action\":\"passwd\",\"name\":\"a\",\"password\":\"\\t\"}",
	    REFUSED("control characters in a name or password") },
	{ "{\"command\":\"user\",\"action\":\"list\"}", REFUSED("the link is not up") },
};

START_TEST(answered_with_why_not)
{
	assert_asked(nonsense[_i].request, nonsense[_i].answer);
	ck_assert_uint_eq(stage.control.count, 0);
}
END_TEST

START_TEST(nested_without_end)
{
	char request[CONTROL_REQUEST_MAX - 10];

	memset(request, '[', sizeof request);
	request[sizeof request - 1] = '\0';
	assert_asked(request, REFUSED("not a request"));
}
END_TEST

START_TEST(longest_request)
{
	static const char end[] = "{\"command\":\"kick\"}";
	char request[CONTROL_REQUEST_MAX + 2048];
	int fd;

	memset(request, ' ', sizeof request);
	strlcpy(request + CONTROL_REQUEST_MAX - strlen(end) - 1, end, sizeof end);
	assert_asked(request, REFUSED("kick whom?"));
	/* A line that does not end. */
	memset(request, ' ', sizeof request);
	fd = visit();
	for (size_t sent = 0; sent < sizeof request && stage.control.count > 0;) {
		ssize_t more = send(fd, request + sent, sizeof request - sent, MSG_NOSIGNAL);

		sent += more > 0 ? (size_t)more : 0;
		stage_turns();
	}
	stage_turns();
	ck_assert_uint_eq(stage.control.count, 0);
	assert_answer(fd, "");
}
END_TEST

START_TEST(one_request_a_connection)
{
	int fd = visit();

	say(fd, "{\"command\":\"wait\"}\n{\"command\":\"kick\"}\n");
	say(fd, "{\"command\":\"kick\"}\n");
	assert_no_answer(fd);
	manager_up();
	assert_answer(fd, DONE);
}
END_TEST

/* ---- connections ---- */

/* `printf ... | nc -N`: it has said all it will say, and reads on. */
START_TEST(half_closed)
{
	int fd;

	fd = ask("{\"command\":\"wait\"}");
	shutdown(fd, SHUT_WR);
	stage_turns();
	assert_no_answer(fd);
	manager_up();
	assert_answer(fd, DONE);
	/* All at once. */
	fd = socket_connect(stage_control);
	ck_assert_int_eq(send(fd, "{\"command\":\"kick\"}\n", 19, MSG_NOSIGNAL), 19);
	shutdown(fd, SHUT_WR);
	stage_turns();
	assert_answer(fd, REFUSED("kick whom?"));
	/* Without a request. */
	fd = visit();
	shutdown(fd, SHUT_WR);
	stage_turns();
	assert_answer(fd, "");
	ck_assert_uint_eq(stage.control.count, 0);
}
END_TEST

START_TEST(gone_while_waiting)
{
	static const char *const requests[] = {
		"{\"command\":\"status\"}", "{\"command\":\"wait\"}", "{\"command\":\"user\",\"action\":\"list\"}", "{\"command\":",
	};
	struct worker_counters counters = { 0 };
	struct buffer body = { 0 };
	bool half = _i >= (int)COUNT(requests);
	int fd;

	if (_i % (int)COUNT(requests) == 2)
		manager_up();
	fd = visit();
	say(fd, requests[_i % (int)COUNT(requests)]);
	say(fd, _i % (int)COUNT(requests) == 3 ? " " : "\n");
	assert_no_answer(fd);
	ck_assert_uint_eq(stage.control.count, 1);
	if (half) {
		shutdown(fd, SHUT_WR);
		stage_turns();
	}
	close(fd);
	stage_turns();
	ck_assert_uint_eq(stage.control.count, 0);
	/* What it waited for comes all the same. */
	message_put_counters(&body, &counters);
	for (uint32_t worker = 0; worker < 2; worker++)
		puppet_say(worker, W2M_PONG, buffer_bytes(&body), buffer_length(&body));
	buffer_deinit(&body);
	if (stage.link.state == LINK_UP)
		manager_say("<iq type='result' id='1' sto='foo-sockets' sfrom='foo.com'><users><user name='a'/></users></iq>");
	else
		manager_up();
	assert_asked("{\"command\":\"kick\"}", REFUSED("kick whom?"));
}
END_TEST

START_TEST(too_many_at_once)
{
	int fds[CONTROL_CONNECTIONS];

	for (unsigned i = 0; i < COUNT(fds); i++)
		fds[i] = visit();
	ck_assert_uint_eq(stage.control.count, COUNT(fds));
	assert_answer(visit(), "");
	/* Nobody else is the worse for it, and there is room when one has gone. */
	say(fds[7], "{\"command\":\"kick\"}\n");
	assert_answer(fds[7], REFUSED("kick whom?"));
	fds[7] = visit();
	assert_no_answer(fds[7]);
	for (unsigned i = 0; i < COUNT(fds); i++)
		close(fds[i]);
	stage_turns();
	ck_assert_uint_eq(stage.control.count, 0);
}
END_TEST

/* ---- answers ---- */

static void
pong(uint32_t worker, const struct worker_counters *counters)
{
	struct buffer body = { 0 };

	message_put_counters(&body, counters);
	puppet_say(worker, W2M_PONG, buffer_bytes(&body), buffer_length(&body));
	buffer_deinit(&body);
	stage_turns();
}

static void
assert_json(const json_t *object, const char *path, json_int_t value)
{
	char name[64];
	const char *at = path;

	while (strchr(at, '.') != NULL) {
		strlcpy(name, at, (size_t)(strchr(at, '.') - at) + 1);
		object = json_is_array(object) ? json_array_get(object, (size_t)(name[0] - '0')) : json_object_get(object, name);
		at = strchr(at, '.') + 1;
	}
	object = json_object_get(object, at);
	ck_assert_msg(object != NULL, "no %s", path);
	ck_assert_msg((json_is_boolean(object) ? json_is_true(object) : json_integer_value(object)) == value,
	    "%s is %lld", path, (long long)json_integer_value(object));
}

static const struct {
	const char *path;
	json_int_t value;
} status_values[] = {
	{ "clients", 2 }, { "sessions", 1 }, { "bytes_in", 110 }, { "bytes_out", 220 }, { "held_bytes", 44 },
	{ "link.queued_bytes", 0 }, { "link.acknowledged", 0 }, { "link.unacknowledged", 0 }, { "link.reading", 1 },
	{ "link.unacknowledged_bytes", 0 }, { "link.choked", 0 }, { "workers.0.channel_bytes", 0 }, { "workers.0.answers", 1 },
	{ "packets.in", 2 }, { "packets.consumed", 1 }, { "packets.held", 1 }, { "packets.settled", 0 },
	{ "packets.bounced", 0 }, { "packets.dropped", 0 }, { "packets.up", 0 }, { "packets.balanced", 1 },
	{ "workers.0.number", 0 }, { "workers.0.starts", 1 }, { "workers.0.clients", 1 }, { "workers.0.sessions", 1 },
	{ "workers.0.full", 0 }, { "workers.0.bytes_in", 10 }, { "workers.0.bytes_out", 20 },
	{ "workers.0.packets_from_clients", 30 }, { "workers.0.packets_to_clients", 40 }, { "workers.0.packets.in", 2 },
	{ "workers.0.handshakes", 7 }, { "workers.0.resumed", 8 }, { "workers.1.handshakes_failed", 90 },
	{ "workers.0.parsers", 5 }, { "workers.0.buffers", 6 }, { "workers.1.throttled", 70 }, { "workers.0.throttles", 3 },
	{ "throttled", 77 }, { "throttles", 33 },
	{ "ended.reasons.kicked", 2 }, { "ended.reasons.stream-error", 1 }, { "ended.errors.policy-violation", 3 },
	{ "ended.limits.depth", 1 }, { "workers.1.parsers", 50 }, { "workers.1.buffers", 60 },
	{ "workers.1.number", 1 }, { "workers.1.sessions", 0 }, { "workers.1.clients", 1 }, { "workers.1.full", 1 },
	{ "workers.1.packets_to_clients", 400 }, { "workers.1.packets.in", 0 }, { "workers.1.packets.balanced", 1 },
};

START_TEST(status_is_true)
{
	static const struct worker_counters one = { 10, 20, 30, 40, 3, 7, 8, 9, 5, 6, 7 },
	    two = { 100, 200, 300, 400, 30, 70, 80, 90, 50, 60, 70 };
	struct entry *entry = client_login(0, "alice@foo.com/home");
	json_t *status;
	const char *text;
	bool over;
	int fd;

	ends_count(&stage.ends, &(struct client_end){ END_KICKED, CONDITION_POLICY_VIOLATION, LIMIT_NONE });
	ends_count(&stage.ends, &(struct client_end){ END_KICKED, CONDITION_POLICY_VIOLATION, LIMIT_NONE });
	ends_count(&stage.ends, &(struct client_end){ END_STREAM_ERROR, CONDITION_POLICY_VIOLATION, LIMIT_DEPTH });
	client_new(1);
	stage.pool.workers[1].full = true;
	manager_up();
	manager_send("<message sto='%.0s' sfrom='x'/>", "");
	manager_send("<m sto='%s'/>", id_of(entry));
	ck_assert_uint_lt(entry->held, 60);
	fd = ask("{\"command\":\"status\"}");
	pong(0, &one);
	assert_no_answer(fd);
	pong(1, &two);
	text = hear(fd, &over);
	ck_assert(over);
	close(fd);
	ck_assert_ptr_nonnull(strstr(text, "\n" DONE));
	status = json_loads(text, JSON_DISABLE_EOF_CHECK, NULL);
	ck_assert_ptr_nonnull(status);
	for (unsigned i = 0; i < COUNT(status_values); i++) {
		if (strcmp(status_values[i].path, "held_bytes") == 0)
			assert_json(status, "held_bytes", (json_int_t)entry->held);
		else if (strcmp(status_values[i].path, "packets.in") == 0 || strcmp(status_values[i].path, "packets.dropped") == 0)
			assert_json(status, status_values[i].path, status_values[i].value + 1);	/* the one that is nobody's */
		else
			assert_json(status, status_values[i].path, status_values[i].value);
	}
	/* What never was is not there, and nor is none. */
	ck_assert_uint_eq(json_object_size(json_object_get(json_object_get(status, "ended"), "reasons")), 2);
	ck_assert_uint_eq(json_object_size(json_object_get(json_object_get(status, "ended"), "errors")), 1);
	ck_assert_uint_eq(json_object_size(json_object_get(json_object_get(status, "ended"), "limits")), 1);
	ck_assert_str_eq(json_string_value(json_object_get(json_object_get(status, "link"), "state")), "up");
	ck_assert_str_eq(json_string_value(json_object_get(json_object_get(status, "link"), "type")), "embedded");
	json_decref(status);
}
END_TEST

/* Nor is one that hangs, for ever: it is shown as one that does. */
START_TEST(status_with_a_hanging_worker)
{
	static const struct worker_counters one = { 10, 20, 30, 40, 3, 7, 8, 9, 5, 6, 7 };
	json_t *status;
	const char *text;
	bool over;
	int fd = ask("{\"command\":\"status\"}");

	pong(0, &one);
	assert_no_answer(fd);
	while (stage.control.count > 0)
		loop_turn(&stage.loop);
	text = hear(fd, &over);
	ck_assert(over);
	close(fd);
	status = json_loads(text, JSON_DISABLE_EOF_CHECK, NULL);
	ck_assert_ptr_nonnull(status);
	assert_json(status, "workers.0.answers", 1);
	assert_json(status, "workers.1.answers", 0);
	json_decref(status);
}
END_TEST

/* A worker that dies meanwhile is not waited for. */
START_TEST(status_without_a_worker)
{
	static const struct worker_counters one = { 10, 20, 30, 40, 3, 7, 8, 9, 5, 6, 7 };
	const char *text;
	bool over;
	int fd = ask("{\"command\":\"status\"}");

	pong(0, &one);
	assert_no_answer(fd);
	puppet_die(1);
	text = hear(fd, &over);
	ck_assert_msg(over && strstr(text, "\"number\":1") != NULL, "%s", text);
	ck_assert_ptr_null(strstr(text, "\"state\":\"ready\",\"starts\":2"));
	close(fd);
}
END_TEST

/* What was not counted has vanished: said once, at the next time that anybody looks. */
START_TEST(imbalance_is_said_once)
{
	static const struct worker_counters any = { 0 };
	static const char all[] = "error: packets unbalanced of=all in=1 settled=0 bounced=0 consumed=0 dropped=0 held=0\n";
	static const char one[] = "error: packets unbalanced of=1 in=0 settled=0 bounced=1 consumed=0 dropped=0 held=0\n";
	static const char sum[] = "error: packets unbalanced of=workers in=0 settled=0 bounced=0 consumed=0 dropped=0 held=0\n";
	static const char *const said[] = { all, one, sum };
	struct packet_counters *counters = _i == 0 ? &stage.keeper.total : &stage.keeper.workers[1];
	const char *line;

	stage_log_clear();
	pong(0, &any);
	ck_assert_ptr_null(strstr(stage_log(), "unbalanced"));
	counters->of[_i == 1 ? FATE_BOUNCED : FATE_IN]++;
	if (_i == 2)
		counters->of[FATE_CONSUMED]++;
	pong(0, &any);
	line = strstr(stage_log(), "error: packets unbalanced");
	ck_assert_ptr_nonnull(line);
	ck_assert_msg(strcmp(line, said[_i]) == 0, "%s", line);
	stage_log_clear();
	pong(1, &any);
	ck_assert_ptr_null(strstr(stage_log(), "unbalanced"));
}
END_TEST

START_TEST(waits_for_everything)
{
	int fd;

	manager_up();
	puppet_die(1);
	fd = ask("{\"command\":\"wait\"}");
	assert_no_answer(fd);
	manager_die();
	puppet_replace(1);
	assert_no_answer(fd);
	manager_up();
	assert_answer(fd, DONE);
	assert_asked("{\"command\":\"wait\"}", DONE);
}
END_TEST

START_TEST(kicked)
{
	struct entry *entry = client_login(1, "alice@foo.com/home");
	enum end_reason reason;
	char request[128], id[DIRECTORY_ID_SIZE];
	struct frame frame;
	int fd;

	snprintf(request, sizeof request, "{\"command\":\"kick\",\"id\":\"%s\"}", directory_id(&stage.directory, entry, id));
	assert_asked(request, DONE);
	ck_assert(puppet_hear(1, &frame, &fd));
	ck_assert(frame.type == M2W_CLOSE && frame.serial == entry->serial);
	ck_assert(message_get_reason(&frame, &reason) && reason == END_KICKED);
	/* Twice is once; and then it is gone. */
	assert_asked(request, DONE);
	ck_assert(!puppet_hear(1, &frame, &fd));
	puppet_say_ended(entry);
	stage_turns();
	assert_asked(request, REFUSED("no such client"));
}
END_TEST

/* ---- orders ---- */

START_TEST(drained)
{
	assert_asked("{\"command\":\"drain\",\"worker\":1}", DONE);
	ck_assert(stage.pool.workers[1].retiring || stage.pool.workers[1].state != WORKER_READY);
	assert_asked("{\"command\":\"drain\",\"worker\":0}", REFUSED("no other worker takes clients"));
}
END_TEST

START_TEST(level_is_set)
{
	enum log_level before = log_get_level();
	char expected[64];

	snprintf(expected, sizeof expected, "{\"level\":\"%s\"}\n" DONE, log_level_name(before));
	assert_asked("{\"command\":\"loglevel\"}", expected);
	assert_asked("{\"command\":\"loglevel\",\"level\":\"warning\"}", "{\"level\":\"warning\"}\n" DONE);
	ck_assert_int_eq(log_get_level(), LOG_LEVEL_WARNING);
	ck_assert_uint_eq(stage.pool.settings.log_level, LOG_LEVEL_WARNING);
	log_set_level(before);
}
END_TEST

/* The stage was started without a file: there is nothing to read again. */
START_TEST(reload_is_refused)
{
	const char *text;
	bool over;
	int fd = ask("{\"command\":\"reload\"}");

	text = hear(fd, &over);
	ck_assert(over);
	ck_assert_mem_eq(text, "{\"line\":\"", 9);
	ck_assert_str_eq(strchr(text, '\n') + 1, REFUSED("nothing has changed"));
	close(fd);
}
END_TEST

START_TEST(configuration_is_shown)
{
	json_t *object;
	const char *xml, *text;
	bool over;
	int fd = ask("{\"command\":\"config\"}");

	text = hear(fd, &over);
	ck_assert(over);
	object = json_loads(text, JSON_DISABLE_EOF_CHECK, NULL);
	xml = json_string_value(json_object_get(object, "xml"));
	ck_assert_ptr_nonnull(xml);
	ck_assert_mem_eq(xml, "<c2sd>", 6);
	json_decref(object);
	close(fd);
}
END_TEST

START_TEST(workers_are_listed)
{
	static const struct worker_counters one = { .bytes_in = 10 };
	const char *text;
	bool over;
	int fd = ask("{\"command\":\"workers\"}");

	pong(0, &one);
	assert_no_answer(fd);
	pong(1, &one);
	text = hear(fd, &over);
	ck_assert(over);
	ck_assert_mem_eq(text, "{\"number\":0,", 12);
	text = strchr(text, '\n') + 1;
	ck_assert_mem_eq(text, "{\"number\":1,", 12);
	ck_assert_str_eq(strchr(text, '\n') + 1, DONE);
	close(fd);
}
END_TEST

/* ---- accounts ---- */

START_TEST(question_is_escaped)
{
	int fd;

	manager_up();
	fd = ask("{\"command\":\"user\",\"action\":\"add\",\"name\":\"a'><b&\\\"\\u00e4\",\"password\":\"'/></iq><x y='\"}");
	ck_assert_str_eq(manager_hear(), "<iq type='set' id='1' sto='foo.com' sfrom='foo-sockets'>"
	    "<user xmlns='urn:x-c2sd:admin:0' action='add' name='a&apos;&gt;&lt;b&amp;&quot;\xc3\xa4' "
	    "password='&apos;/&gt;&lt;/iq&gt;&lt;x y=&apos;'/></iq>\n");
	assert_no_answer(fd);
	manager_say("<iq type='result' id='1' sto='foo-sockets' sfrom='foo.com'/>");
	assert_answer(fd, DONE);
}
END_TEST

START_TEST(users_are_listed)
{
	int fd;

	manager_up();
	fd = ask("{\"command\":\"user\",\"action\":\"list\",\"host\":\"foo.com\"}");
	ck_assert_str_eq(manager_hear(), "<iq type='set' id='1' sto='foo.com' sfrom='foo-sockets'>"
	    "<user xmlns='urn:x-c2sd:admin:0' action='list' name=''/></iq>\n");
	manager_say("<iq type='result' id='1' sto='foo-sockets' sfrom='foo.com'><users xmlns='urn:x-c2sd:admin:0'>"
	    "<user name='alice'/><user name='b&amp;&quot;b'/><user/></users></iq>");
	assert_answer(fd, "{\"name\":\"alice@foo.com\"}\n{\"name\":\"b&\\\"b@foo.com\"}\n" DONE);
}
END_TEST

START_TEST(each_gets_its_own_answer)
{
	static const char request[] = "{\"command\":\"user\",\"action\":\"del\",\"name\":\"alice\"}";
	int one, two, three;

	manager_up();
	one = ask(request);
	two = ask(request);
	three = ask(request);
	/* Not an answer to anybody, or not any more. */
	manager_say("<iq type='result' id='4' sto='foo-sockets' sfrom='foo.com'/><iq type='result' sto='foo-sockets'/>");
	assert_no_answer(one);
	manager_say("<iq type='error' id='2' sto='foo-sockets' sfrom='foo.com'><error code='404'><text>no \"such\" &lt;one"
	    "</text></error></iq>");
	assert_no_answer(one);
	assert_answer(two, REFUSED("no \\\"such\\\" <one"));
	manager_say("<iq type='error' id='3' sto='foo-sockets' sfrom='foo.com'/>");
	assert_answer(three, REFUSED("refused by the session manager"));
	manager_say("<iq type='result' id='1' sto='foo-sockets' sfrom='foo.com'/>");
	assert_answer(one, DONE);
	manager_say("<iq type='result' id='1' sto='foo-sockets' sfrom='foo.com'/>");
	ck_assert_uint_eq(stage.control.count, 0);
}
END_TEST

START_TEST(no_answer_in_time)
{
	int fd;

	manager_up();
	fd = ask("{\"command\":\"user\",\"action\":\"list\"}");
	timer_is_due(&stage.loop, &TAILQ_FIRST(&stage.control.connections)->timeout);
	stage_turns();
	assert_answer(fd, REFUSED("the session manager does not answer"));
	manager_say("<iq type='result' id='1' sto='foo-sockets' sfrom='foo.com'/>");
}
END_TEST

START_TEST(accounts_of_others)
{
	stage.link.spawn = NULL;
	assert_asked("{\"command\":\"user\",\"action\":\"list\"}",
	    REFUSED("accounts are kept by the session manager at the other end of the link"));
}
END_TEST

/* ---- the socket ---- */

static const char other_path[] = "test-control.sock";

START_TEST(one_that_lives_is_left_alone)
{
	struct control other;

	ck_assert_int_eq(control_open(&other, stage_control, geteuid(), getegid()), -EADDRINUSE);
	control_deinit(&other);
	assert_asked("{\"command\":\"kick\"}", REFUSED("kick whom?"));
}
END_TEST

START_TEST(one_that_was_left_behind_is_replaced)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct control other;
	struct stat status;

	unlink(other_path);
	strlcpy(address.sun_path, other_path, sizeof address.sun_path);
	ck_assert_int_eq(bind(fd, (const struct sockaddr *)&address, sizeof address), 0);
	close(fd);
	ck_assert_int_eq(control_open(&other, other_path, geteuid(), getegid()), 0);
	fd = socket_connect(other_path);
	ck_assert_int_ge(fd, 0);
	close(fd);
	control_deinit(&other);
	control_deinit(&other);
	ck_assert_int_eq(stat(other_path, &status), -1);
}
END_TEST

/* A file in its place is somebody's, and none of ours. */
START_TEST(what_is_no_socket_stays)
{
	int fd;
	struct control other;
	struct stat status;

	unlink(other_path);
	fd = open(other_path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	close(fd);
	ck_assert_int_eq(control_open(&other, other_path, geteuid(), getegid()), -EADDRINUSE);
	control_deinit(&other);
	ck_assert_int_eq(stat(other_path, &status), 0);
	ck_assert(S_ISREG(status.st_mode));
	unlink(other_path);
}
END_TEST

START_TEST(paths_that_cannot_be)
{
	char path[200];
	struct control other;

	memset(path, 'x', sizeof path);
	path[sizeof path - 1] = '\0';
	ck_assert_int_eq(control_open(&other, path, geteuid(), getegid()), -ENAMETOOLONG);
	control_deinit(&other);
	ck_assert_int_eq(control_open(&other, "no-such-folder/control", geteuid(), getegid()), -ENOENT);
	control_deinit(&other);
}
END_TEST

START_TEST(nobody_else_can_open_it)
{
	uid_t uid = geteuid() == 0 ? 65533 : geteuid();
	gid_t gid = geteuid() == 0 ? 65532 : getegid();
	mode_t mask = umask(0);
	struct control other;
	struct stat status;

	unlink(other_path);
	ck_assert_int_eq(control_open(&other, other_path, uid, gid), 0);
	ck_assert_int_eq(umask(mask), 0);
	ck_assert_int_eq(stat(other_path, &status), 0);
	ck_assert(S_ISSOCK(status.st_mode));
	ck_assert_uint_eq(status.st_mode & 07777, 0600);
	ck_assert_uint_eq(status.st_uid, uid);
	ck_assert_uint_eq(status.st_gid, gid);
	control_deinit(&other);
}
END_TEST

/* In a process of its own, as somebody else: 'e' cannot connect, 'c' was closed without a word, 'a' got an answer. */
static void
try_as_somebody_else(int report)
{
	char bytes[16], outcome = 'e';
	int fd = setgid(65533) == 0 && setuid(65533) == 0 ? socket_connect(stage_control) : -1;

	if (fd >= 0) {
		if (send(fd, "{\"command\":\"kick\"}\n", 19, MSG_NOSIGNAL) < 0)
			outcome = 'c';
		else
			outcome = recv(fd, bytes, sizeof bytes, 0) > 0 ? 'a' : 'c';
	}
	_exit(write(report, &outcome, 1) == 1 ? 0 : 1);
}

static bool
has_reported(void *report)
{
	int *place = report;

	return place[2] != 0 || read(place[0], &place[2], 1) == 1;
}

START_TEST(somebody_else_asks)
{
	int report[3] = { -1, -1, 0 };
	pid_t pid;

	if (geteuid() != 0)
		return;
	/* Even if somebody has opened it to all. */
	if (_i == 1)
		ck_assert_int_eq(chmod(stage_control, 0666), 0);
	ck_assert_int_eq(pipe2(report, O_CLOEXEC | O_NONBLOCK), 0);
	pid = fork();
	if (pid == 0)
		try_as_somebody_else(report[1]);
	ck_assert_int_gt(pid, 0);
	ck_assert(loop_turn_until(&stage.loop, has_reported, report));
	ck_assert_int_eq((char)report[2], _i == 1 ? 'c' : 'e');
	close(report[0]);
	close(report[1]);
}
END_TEST

static void
add_requests(TCase *tests)
{
	tcase_add_test(tests, in_pieces);
	tcase_add_loop_test(tests, answered_with_why_not, 0, COUNT(nonsense));
	tcase_add_test(tests, nested_without_end);
	tcase_add_test(tests, longest_request);
	tcase_add_test(tests, one_request_a_connection);
	tcase_add_test(tests, half_closed);
	tcase_add_loop_test(tests, gone_while_waiting, 0, 8);
	tcase_add_test(tests, too_many_at_once);
}

static void
add_answers(TCase *tests)
{
	tcase_add_test(tests, status_is_true);
	tcase_add_test(tests, status_without_a_worker);
	tcase_add_test(tests, status_with_a_hanging_worker);
	tcase_add_loop_test(tests, imbalance_is_said_once, 0, 3);
	tcase_add_test(tests, waits_for_everything);
	tcase_add_test(tests, kicked);
	tcase_add_test(tests, drained);
	tcase_add_test(tests, level_is_set);
	tcase_add_test(tests, reload_is_refused);
	tcase_add_test(tests, configuration_is_shown);
	tcase_add_test(tests, workers_are_listed);
	tcase_add_test(tests, question_is_escaped);
	tcase_add_test(tests, users_are_listed);
	tcase_add_test(tests, each_gets_its_own_answer);
	tcase_add_test(tests, no_answer_in_time);
	tcase_add_test(tests, accounts_of_others);
}

int
main(int argc, char **argv)
{
	Suite *suite = suite_create("control");
	TCase *tests = tcase_create("control");

	if (argc != 2)
		return EXIT_FAILURE;
	stage_puppet = argv[1];
	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, setup, teardown);
	add_requests(tests);
	add_answers(tests);
	tcase_add_test(tests, one_that_lives_is_left_alone);
	tcase_add_test(tests, one_that_was_left_behind_is_replaced);
	tcase_add_test(tests, what_is_no_socket_stays);
	tcase_add_test(tests, paths_that_cannot_be);
	tcase_add_test(tests, nobody_else_can_open_it);
	tcase_add_loop_test(tests, somebody_else_asks, 0, 2);
	suite_add_tcase(suite, tests);
	return tap_run(suite);
}
