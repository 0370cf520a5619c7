/* client and worker: what a client sees of its worker, and its worker of it, on a stage (stage.h). */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/log.h"
#include "common/sanitizer.h"
#include "dialect/sasl.h"
#include "tests/ipc/sample.h"
#include "tests/worker/stage.h"
#include "tests/worker/tls_peer.h"
#include "worker/login.h"
#include "worker/reply.h"
#include "worker/unread.h"

/* ---- opening, logging in, packets ---- */

START_TEST(pings_are_answered)
{
	struct worker_counters counters;
	struct person person;
	struct frame frame;

	log_in(&person, 0, true);
	tell(M2W_PING);
	frame = frame_of(expect_frame(W2M_PONG));
	ck_assert(message_get_counters(&frame, &counters));
	ck_assert_uint_eq(counters.packets_in, 1);
	ck_assert_uint_eq(counters.bytes_in, strlen(MODERN LOGIN));
	ck_assert_uint_gt(counters.bytes_out, strlen(FEATURES));
	ck_assert_uint_eq(counters.parsers, 1);
	ck_assert_uint_eq(counters.buffers, 0);
	deadlines_are_due(&worker.intake_idle);
	turns();
	tell(M2W_PING);
	frame = frame_of(expect_frame(W2M_PONG));
	ck_assert(message_get_counters(&frame, &counters));
	ck_assert_uint_eq(counters.parsers, 0);
	leave(&person);
}
END_TEST

/* ---- what the operator asks ---- */

static void
tell_switch(const struct person *person, bool on)
{
	struct buffer body = { 0 };

	message_put_switch(&body, on);
	channel_send(&master, M2W_TRACE, person->slot, person->serial, &body);
	buffer_deinit(&body);
	turns();
}

static void
expect_trace(const struct person *person, bool down, const char *text)
{
	struct trace_message trace;
	struct frame frame;

	expect_about(person, W2M_TRACE);
	frame = frame_of(&queue[queue_taken - 1]);
	ck_assert(message_get_trace(&frame, &trace));
	ck_assert_uint_eq(trace.text_length, strlen(text));
	ck_assert_mem_eq(trace.text, text, trace.text_length);
	ck_assert(trace.down == down && !trace.cut && trace.lost == 0);
}

START_TEST(surveys_are_answered)
{
	struct client_report report;
	struct buffer body = { 0 };
	struct person one, two;
	struct survey survey;
	struct frame frame;

	log_in(&one, 0, true);
	connect_client(&two, 5);
	message_put_survey(&body, 77);
	message_put_survey_client(&body, 5, two.serial);
	message_put_survey_client(&body, 5, two.serial + 1);
	message_put_survey_client(&body, UINT32_MAX, 1);
	message_put_survey_client(&body, 0, one.serial);
	channel_send(&master, M2W_SURVEY, 0, 0, &body);
	buffer_deinit(&body);
	frame = frame_of(expect_frame(W2M_SURVEY));
	ck_assert(message_get_survey_reports(&frame, &survey));
	ck_assert_uint_eq(survey.number, 77);
	ck_assert(survey_next_report(&survey, &report));
	ck_assert(report.slot == 5 && report.serial == two.serial && report.state == REPORT_OPENING);
	ck_assert(report.bytes_in == 0 && report.packets_in == 0 && report.bytes_out == 0);
	ck_assert(survey_next_report(&survey, &report));
	ck_assert(report.slot == 0 && report.serial == one.serial && report.state == REPORT_SESSION && !report.paused);
	ck_assert_uint_eq(report.bytes_in, strlen(MODERN LOGIN));
	ck_assert_uint_eq(report.packets_in, 1);
	ck_assert_uint_gt(report.bytes_out, strlen(FEATURES));
	ck_assert(!survey_next_report(&survey, &report) && survey.left == 0);
	leave(&one);
	leave(&two);
}
END_TEST

/* Both ways, and what the worker answers by itself; secrets masked; and nothing any more when it was switched off. */
START_TEST(traces_are_shown)
{
	struct person person;

	log_in(&person, 0, true);
	tell_switch(&person, true);
	say(&person, "<iq type='set' id='p'><query xmlns='jabber:iq:register'><password>pw</password></query></iq>");
	expect_trace(&person, false,
	    "<iq type='set' id='p'><query xmlns='jabber:iq:register'><password>***</password></query></iq>");
	expect_about(&person, W2M_PACKET);
	ck_assert_ptr_nonnull(strstr(text_of(&queue[queue_taken - 1].body), "<password>pw</password>"));
	answer(&person, "<message from='b@foo.com'", "alice@foo.com/r", "><body>hi</body></message>", 0);
	expect_trace(&person, true, "<message from='b@foo.com'><body>hi</body></message>");
	expect_about(&person, W2M_SETTLED);
	tell_switch(&person, false);
	answer(&person, "<message from='b@foo.com'", "alice@foo.com/r", "><body>ho</body></message>", 0);
	expect_about(&person, W2M_SETTLED);
	tell_switch(&person, true);
	tell_reason(&person, M2W_CLOSE, END_KICKED);
	expect_trace(&person, true, "<stream:error><policy-violation xmlns='" STREAMS "'/><text xmlns='" STREAMS
	    "' xml:lang='en'>ended by the operator</text></stream:error>" END);
	leave(&person);
	expect_ended(&person, END_KICKED);
}
END_TEST

/* What its socket did not take before is not shown again. */
#define PLAIN_OF_ALICE "AGFsaWNlAHNlY3JldA=="	/* NUL alice NUL secret */

static const struct {
	const char *dialect, *answer;	/* to the header */
	const char *login, *secret;
	bool goes_up;			/* at once */
} secret_logins[] = {
	{ "sfrom", NULL, "<auth xmlns='" SASL_NS "' mechanism='PLAIN'>" PLAIN_OF_ALICE "</auth>", "secret", true },
	{ "sfrom", NULL, "<auth xmlns='" SASL_NS "' mechanism='PLAIN'/>"
	    "<response xmlns='" SASL_NS "'>" PLAIN_OF_ALICE "</response>", "secret", true },
	{ "sfrom", NULL, "<iq type='set' id='1'><query xmlns='jabber:iq:auth'><username>a</username><password>secret</password>"
	    "</query></iq>", "secret", true },
	{ "route", NULL, "<auth xmlns='" SASL_NS "' mechanism='PLAIN'>" PLAIN_OF_ALICE "</auth>", "secret", false },
	{ "xmpp", "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' from='foo.com' id='1' version='1.0'",
	    "<auth xmlns='" SASL_NS "' mechanism='PLAIN'>" PLAIN_OF_ALICE "</auth>", PLAIN_OF_ALICE, true },
	{ "xmpp", "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' from='foo.com' id='1' version='1.0'",
	    "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'><initial-response>" PLAIN_OF_ALICE "</initial-response>"
	    "</authenticate>", PLAIN_OF_ALICE, true },
};

/* It goes where it must, and is shown nowhere. */
START_TEST(secrets_are_not_shown)
{
	struct person person;
	bool traced = false, went = false;

	settings.plain = true;
	settings.digest = false;
	settings.log_level = LOG_LEVEL_DEBUG;
	settings.dialect = (char *)(uintptr_t)secret_logins[_i].dialect;
	tell_settings();
	connect_client(&person, 0);
	tell_switch(&person, true);
	say_all(&person, MODERN);
	if (secret_logins[_i].answer != NULL)
		answer(&person, secret_logins[_i].answer, "foo.com", "/>", 0);
	turns();
	say_all(&person, secret_logins[_i].login);
	turns();
	for (; queue_taken < queue_count; queue_taken++) {
		const char *body = text_of(&queue[queue_taken].body);
		size_t length = buffer_length(&queue[queue_taken].body);
		bool has = memmem(body, length, secret_logins[_i].secret, strlen(secret_logins[_i].secret)) != NULL ||
		    memmem(body, length, "AGFsaWNl", 8) != NULL;

		went |= has && queue[queue_taken].type == W2M_PACKET;
		traced |= queue[queue_taken].type == W2M_TRACE && memmem(body, length, "***", 3) != NULL;
		ck_assert_msg(!has || queue[queue_taken].type == W2M_PACKET, "in %s", contract_name(queue[queue_taken].type));
	}
	ck_assert(traced);
	ck_assert(went == secret_logins[_i].goes_up);
	ck_assert_ptr_null(strstr(text_of(&lines), secret_logins[_i].secret));
	ck_assert_ptr_null(strstr(text_of(&lines), "AGFsaWNl"));
	leave(&person);
}
END_TEST

START_TEST(traces_begin_where_they_begin)
{
	struct person person;
	struct client *client;

	log_in(&person, 0, true);
	client = client_of(&person);
	buffer_append_string(output_get(client), "<before/>");
	tell_switch(&person, true);
	answer(&person, "<after", "alice@foo.com/r", "/>", 0);
	expect_trace(&person, true, "<after/>");
	leave(&person);
}
END_TEST

START_TEST(headers_are_answered)
{
	struct person person;

	open_stream(&person, 0, _i == 1);
	ck_assert_int_eq(client_of(&person)->state, CLIENT_LOGIN);
	leave(&person);
	expect_ended(&person, END_LOST);
}
END_TEST

START_TEST(elements_are_stamped)
{
	struct person person;
	char expected[1024];

	log_in(&person, 2, true);
	say(&person, "<message to='bob@foo.com' sto='evil' sfrom='evil'><body>hi</body></message> <presence/>");
	stamped(expected, &person, "<message", "alice@foo.com/r", " to='bob@foo.com'><body>hi</body></message>");
	expect_text(&person, W2M_PACKET, expected);
	stamped(expected, &person, "<presence", "alice@foo.com/r", "/>");
	expect_text(&person, W2M_PACKET, expected);
	leave(&person);
}
END_TEST

START_TEST(byte_by_byte)
{
	static const char all[] = MODERN LOGIN;
	struct person person;
	char expected[1024];

	connect_client(&person, 0);
	for (size_t i = 0; i < sizeof all - 1; i++) {
		ck_assert_int_eq(send(person.fd, all + i, 1, MSG_NOSIGNAL), 1);
		loop_turn(&worker.loop);
	}
	stamped(expected, &person, "<iq", "foo.com", &LOGIN[3]);
	expect_text(&person, W2M_PACKET, expected);
	leave(&person);
}
END_TEST

START_TEST(packets_are_delivered_and_settled)
{
	struct person person;

	log_in(&person, 1, true);
	answer(&person, "<message from='bob@foo.com/w'", "alice@foo.com", "><body>one</body></message>", 0);
	answer(&person, "<message", "alice@foo.com", "/>", 0);
	answer(&person, "<presence", "alice@foo.com", "/>", 0);
	/* One word for all that left together. */
	expect_number(&person, W2M_SETTLED, 4);
	expect_heard(&person, "<message from='bob@foo.com/w'><body>one</body></message><message/><presence/>");
	answer(&person, "<presence", "alice@foo.com", "/>", 0);
	expect_number(&person, W2M_SETTLED, 5);
	expect_no_frame();
	leave(&person);
}
END_TEST

START_TEST(login_refused_and_tried_again)
{
	struct person person;
	char expected[1024];

	open_stream(&person, 0, true);
	say(&person, LOGIN);
	expect_about(&person, W2M_PACKET);
	answer(&person, "<iq type='error' id='a1'", "foo.com", "><error code='401'>Unauthorized</error></iq>", 0);
	/* As long as the master can look what was answered. */
	expect_about(&person, W2M_LOGIN_FAILED);
	expect_number(&person, W2M_CONSUMED, 1);
	expect_heard(&person, "<iq type='error' id='a1'><error code='401'>Unauthorized</error></iq>");
	ck_assert_ptr_nonnull(strstr(text_of(&lines), " client login-failed address="));
	ck_assert_ptr_nonnull(strstr(text_of(&lines), " account=\"alice@foo.com\" reason=not-authorized attempt=1\n"));
	say(&person, LOGIN);
	stamped(expected, &person, "<iq", "foo.com", &LOGIN[3]);
	expect_text(&person, W2M_PACKET, expected);
	answer(&person, "<iq type='error' id='a1'", "foo.com", "><error code='500'/></iq>", 0);
	expect_number(&person, W2M_CONSUMED, 2);
	expect_heard(&person, "<iq type='error' id='a1'><error code='500'/></iq>");
	ck_assert_ptr_nonnull(strstr(text_of(&lines), " account=\"alice@foo.com\" reason=internal-server-error attempt=2\n"));
	leave(&person);
}
END_TEST

START_TEST(login_refused_too_often)
{
	static const char refusal[] = "<iq type='error' id='a1'><error code='401'/></iq>";
	struct person person;
	char expected[2048], error[1024];

	settings.limits.login_attempts = 3;
	tell_settings();
	open_stream(&person, 0, true);
	for (unsigned i = 1; i <= 3; i++) {
		ck_assert_int_eq(client_of(&person)->state, CLIENT_LOGIN);
		say(&person, LOGIN);
		expect_about(&person, W2M_PACKET);
		answer(&person, "<iq type='error' id='a1'", "foo.com", "><error code='401'/></iq>", 0);
		expect_about(&person, W2M_LOGIN_FAILED);
		expect_number(&person, W2M_CONSUMED, i);
		if (i < 3)
			expect_heard(&person, refusal);
	}
	/* The refusal comes first. */
	snprintf(expected, sizeof expected, "%s%s", refusal, error_of(error, "policy-violation", "too many failed logins"));
	expect_heard(&person, expected);
	leave(&person);
	expect_ended(&person, END_LOGIN_FAILED);
}
END_TEST

/* Time does not pass: what is waited for is had by making it due, and by the time being over. */
static void
pause_is_over(const struct person *person)
{
	struct client *client = client_of(person);

	container_of(client->login, struct login, dialect)->until = 0;
	deadlines_are_due(&worker.login_tick);
	turns();
}

/* It waits for so long, and it began after `before`; from now on for ever. */
static void
assert_waits(const struct person *person, uint64_t before, unsigned milliseconds)
{
	struct client *client = client_of(person);
	struct login *login = container_of(client->login, struct login, dialect);

	ck_assert_int_eq(client->unread, UNREAD_FAILED);
	ck_assert_uint_ge(login->until, before + milliseconds);
	ck_assert_uint_le(login->until, loop_now(&worker.loop) + milliseconds);
	login->until = UINT64_MAX;
	ck_assert(login_waits(client));
}

static void
pauses_are(uint32_t login_time, uint32_t login_pause)
{
	settings.limits.login_time = login_time;
	settings.limits.login_pause = login_pause;
	tell_settings();
	deadline_list_change(&worker.login_tick, 3600000);
}

static void
refuse_login(struct person *person)
{
	expect_about(person, W2M_PACKET);
	answer(person, "<iq type='error' id='a1'", "foo.com", "><error code='401'/></iq>", 0);
	expect_about(person, W2M_LOGIN_FAILED);
	expect_about(person, W2M_CONSUMED);
}

START_TEST(failed_logins_cost_time)
{
	static const unsigned pauses[] = { 500, 1000, 2000, 3000, 3000 };
	struct person person;

	pauses_are(60000, 3000);
	settings.limits.login_attempts = 0;
	tell_settings();
	open_stream(&person, 0, true);
	say(&person, LOGIN);
	for (unsigned i = 0; i < COUNT(pauses); i++) {
		uint64_t before = loop_now(&worker.loop);

		refuse_login(&person);
		assert_waits(&person, before, pauses[i]);
		ck_assert_int_eq(send(person.fd, LOGIN, strlen(LOGIN), MSG_NOSIGNAL), (ssize_t)strlen(LOGIN));
		expect_no_frame();
		/* Looked at too early. */
		deadlines_are_due(&worker.login_tick);
		expect_no_frame();
		pause_is_over(&person);
	}
	/* Who is let in does not wait any more. */
	expect_about(&person, W2M_PACKET);
	answer(&person, "<iq type='result' id='a1'", "alice@foo.com/r", "/>", 0);
	expect_about(&person, W2M_SESSION);
	expect_about(&person, W2M_CONSUMED);
	ck_assert_int_eq(client_of(&person)->unread, UNREAD_NO);
	leave(&person);
	expect_ended(&person, END_LOST);
}
END_TEST

/* The session manager was in trouble: nobody has guessed. */
START_TEST(trouble_costs_nothing)
{
	struct person person;
	uint64_t before;

	pauses_are(60000, 8000);
	open_stream(&person, 0, true);
	say(&person, LOGIN);
	expect_about(&person, W2M_PACKET);
	answer(&person, "<iq type='error' id='a1'", "foo.com", "><error code='503'/></iq>", 0);
	expect_about(&person, W2M_CONSUMED);
	ck_assert(!login_waits(client_of(&person)));
	/* And who guesses then waits as for a first guess. */
	before = loop_now(&worker.loop);
	say(&person, LOGIN);
	refuse_login(&person);
	assert_waits(&person, before, LOGIN_PAUSE);
	leave(&person);
}
END_TEST

static const struct {
	uint8_t failures;
	uint32_t login_time, login_pause;
	unsigned pause;
} addresses[] = {
	{ 0, 60000, 8000, 0 }, { 4, 60000, 8000, 0 }, { 5, 60000, 8000, 500 }, { 9, 60000, 8000, 500 }, { 10, 60000, 8000, 1000 },
	{ 24, 60000, 8000, 4000 }, { 255, 60000, 8000, 8000 }, { 255, 4000, 8000, 1000 }, { 255, 60000, 0, 0 },
};

/* From an address where others have failed, once. */
START_TEST(failures_of_the_address_cost_time)
{
	struct person person;
	uint64_t before = loop_now(&worker.loop);

	pauses_are(addresses[_i].login_time, addresses[_i].login_pause);
	newcomer_failures = addresses[_i].failures;
	open_stream(&person, 0, true);
	newcomer_failures = 0;
	if (addresses[_i].pause > 0)
		assert_waits(&person, before, addresses[_i].pause);
	ck_assert_int_eq(send(person.fd, LOGIN, strlen(LOGIN), MSG_NOSIGNAL), (ssize_t)strlen(LOGIN));
	if (addresses[_i].pause > 0) {
		expect_no_frame();
		pause_is_over(&person);
	}
	refuse_login(&person);
	ck_assert_int_eq(client_of(&person)->unread, addresses[_i].login_pause > 0 ? UNREAD_FAILED : UNREAD_NO);
	leave(&person);
}
END_TEST

/* Who waits may go, be sent away, and be late. */
START_TEST(who_waits_has_an_end)
{
	struct person person;

	pauses_are(60000, 8000);
	open_stream(&person, 0, true);
	say(&person, LOGIN);
	refuse_login(&person);
	if (_i == 0) {
		deadlines_are_due(&worker.login);
	} else if (_i == 1) {
		tell_reason(&person, M2W_CLOSE, END_LOGIN_FAILED);
	} else {
		ck_assert_int_eq(send(person.fd, END, strlen(END), MSG_NOSIGNAL), (ssize_t)strlen(END));
		expect_no_frame();
		pause_is_over(&person);
	}
	turns();
	leave(&person);
	expect_ended(&person, _i == 0 ? END_LOGIN_TIMEOUT : _i == 1 ? END_LOGIN_FAILED : END_CLOSED);
	ck_assert(TAILQ_EMPTY(&worker.login_tick.queue));
}
END_TEST

/* Its place is wanted: nobody waits for its own end. */
START_TEST(crowded_out_at_once)
{
	static const enum end_reason reasons[] = { END_CROWDED, END_REFUSED };
	struct person person;
	char expected[1024];

	open_stream(&person, 0, true);
	ck_assert_int_eq(send(person.fd, LOGIN, 20, MSG_NOSIGNAL), 20);
	tell_reason(&person, M2W_CLOSE, reasons[_i]);
	expect_ended(&person, reasons[_i]);
	expect_heard(&person, _i == 0 ? error_of(expected, "resource-constraint", "too many connections") :
	    error_of(expected, "policy-violation", "not from this address"));
	expect_hung_up(&person);
	leave(&person);
	/* A session's packets are not thrown away. */
	log_in(&person, 1, true);
	tell_reason(&person, M2W_CLOSE, reasons[_i]);
	expect_no_frame();
	leave(&person);
	expect_ended(&person, reasons[_i]);
}
END_TEST

START_TEST(unreadable_packets_are_consumed)
{
	struct person person;

	log_in(&person, 0, true);
	tell_packet(&person, "<message", 0);
	expect_number(&person, W2M_CONSUMED, 2);
	ck_assert_int_eq(client_of(&person)->state, CLIENT_SESSION);
	leave(&person);
}
END_TEST

/* Longer than the contract lets a worker say: that client's misfortune, and nobody else's. */
START_TEST(address_that_is_too_long)
{
	struct person person;
	char *packet = malloc(5000);

	ck_assert_ptr_nonnull(packet);
	open_stream(&person, 0, true);
	say(&person, LOGIN);
	expect_about(&person, W2M_PACKET);
	snprintf(packet, 5000, "<iq type='result' id='a1' sto='nonce.3.0.1@foo-sockets' sfrom='alice@foo.com/%03200d'/>", 1);
	tell_packet(&person, packet, 0);
	turns();
	ck_assert(!master_ended);
	ck_assert_int_eq(client_of(&person)->reason, END_BROKEN);
	leave(&person);
	expect_ended(&person, END_BROKEN);
	free(packet);
}
END_TEST

/* ---- ends ---- */

START_TEST(closed_by_the_client)
{
	struct person person;

	log_in(&person, 0, true);
	say(&person, END);
	expect_heard(&person, END);
	expect_hung_up(&person);
	/* Not gone before it has closed its side: no reset is to destroy what is on its way. */
	expect_no_frame();
	ck_assert_int_eq(client_of(&person)->state, CLIENT_CLOSING);
	leave(&person);
	expect_ended(&person, END_CLOSED);
}
END_TEST

START_TEST(closing_has_an_end)
{
	struct person person;

	log_in(&person, 0, true);
	say(&person, END);
	expect_heard(&person, END);
	say(&person, "more that nobody reads");
	expect_no_frame();
	deadlines_are_due(&worker.drain);
	expect_ended(&person, END_CLOSED);
	leave(&person);
}
END_TEST

/* What it is sent before the answer, what it hears, and why it ends. */
static const struct {
	const char *said, *condition, *text;
	enum end_reason reason;
} faults[] = {
	{ "<presence/>", "not-authorized", "log in first", END_NOT_AUTHORIZED },
	{ "<iq type='set' id='1'><query xmlns='jabber:iq:roster'/></iq>", "not-authorized", "log in first", END_NOT_AUTHORIZED },
	{ "<iq></presence>", "not-well-formed", "not well-formed", END_STREAM_ERROR },
};

START_TEST(faults_have_conditions)
{
	struct person person;
	char expected[1024];

	open_stream(&person, 0, true);
	say(&person, faults[_i].said);
	expect_heard(&person, error_of(expected, faults[_i].condition, faults[_i].text));
	leave(&person);
	expect_ended(&person, faults[_i].reason);
}
END_TEST

START_TEST(faults_of_old_clients_have_text)
{
	struct person person;

	open_stream(&person, 0, false);
	say(&person, "<presence/>");
	expect_heard(&person, "<stream:error>log in first</stream:error>" END);
	leave(&person);
	expect_ended(&person, END_NOT_AUTHORIZED);
}
END_TEST

START_TEST(unknown_host)
{
	struct person person;
	char expected[1024];
	const char *found;

	connect_client(&person, 0);
	say(&person, "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='bar.com' "
	    "version='1.0'>");
	turns();
	turns();
	listen_to(&person);
	/* An error before our header is preceded by one. */
	found = strstr(text_of(&person.heard), "from='foo.com'");
	ck_assert_msg(found != NULL, "%s", text_of(&person.heard));
	ck_assert_str_eq(strchr(found, '>') + 1, error_of(expected, "host-unknown", NULL));
	ck_assert_ptr_nonnull(strstr(text_of(&person.heard), " id='"));
	ck_assert_ptr_null(strstr(text_of(&person.heard), "id='0000000000000000'"));
	leave(&person);
	expect_ended(&person, END_STREAM_ERROR);
}
END_TEST

START_TEST(connection_lost)
{
	struct person person;
	struct linger hard = { .l_onoff = 1 };

	if (_i < 2)
		connect_client(&person, 0);
	else
		log_in(&person, 0, true);
	/* A reset, every second time. */
	if (_i % 2 == 0)
		setsockopt(person.fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
	leave(&person);
	expect_ended(&person, END_LOST);
}
END_TEST

/*
 * Who writes and closes at once, with something unread, resets the connection: what it has said before is read all the same. Case
 * 0: it has closed its half in good order before.
 */
START_TEST(said_before_a_reset)
{
	struct person person;
	char expected[1024], byte;

	log_in(&person, 0, true);
	say(&person, "<message id='last'/>");
	if (_i == 0)
		shutdown(person.fd, SHUT_WR);
	ck_assert_int_eq(send(client_of(&person)->watch.fd, " ", 1, MSG_NOSIGNAL), 1);
	stamped(expected, &person, "<message", "alice@foo.com/r", " id='last'/>");
	ck_assert_int_eq(recv(person.fd, &byte, 1, MSG_PEEK), 1);
	leave(&person);
	expect_text(&person, W2M_PACKET, expected);
	expect_ended(&person, END_LOST);
}
END_TEST

START_TEST(ended_by_the_session_manager)
{
	struct person person;
	char expected[1024];
	bool modern = _i % 2 == 0, replaced = _i >= 2;

	log_in(&person, 0, modern);
	answer(&person, "<message type='error'", "alice@foo.com/r", "><error code='510'>Disconnected</error></message>",
	    replaced ? FRAME_FLAG_REPLACED : 0);
	expect_number(&person, W2M_CONSUMED, 2);
	if (!modern)
		expect_heard(&person, "<stream:error>Disconnected</stream:error>" END);
	else if (replaced)
		expect_heard(&person, error_of(expected, "conflict", "Replaced by a new login"));
	else
		expect_heard(&person, error_of(expected, "undefined-condition", "Disconnected"));
	leave(&person);
	expect_ended(&person, replaced ? END_REPLACED : END_DISCONNECTED);
}
END_TEST

static const struct {
	enum end_reason reason;
	const char *condition, *text;
} closings[] = {
	{ END_SHUTDOWN, "system-shutdown", NULL },
	{ END_HOLD, "system-shutdown", NULL },
	{ END_KICKED, "policy-violation", "ended by the operator" },
	{ END_BROKEN, "internal-server-error", NULL },
	{ END_RETIRED, "system-shutdown", NULL },
	{ END_GIVEN_UP, "internal-server-error", NULL },
};

START_TEST(ended_by_the_master)
{
	struct person person, other;
	char expected[1024];

	log_in(&person, 0, true);
	open_stream(&other, 1, true);
	tell_reason(&person, M2W_CLOSE, closings[_i].reason);
	expect_heard(&person, error_of(expected, closings[_i].condition, closings[_i].text));
	/* Said once more it changes nothing. */
	tell_reason(&person, M2W_CLOSE, END_KICKED);
	turns();
	leave(&person);
	expect_ended(&person, closings[_i].reason);
	tell_reason(&person, M2W_CLOSE, END_KICKED);
	expect_no_frame();
	ck_assert_int_eq(client_of(&other)->state, CLIENT_LOGIN);
	leave(&other);
}
END_TEST

/* No goodbye would reach it, and others wait for its memory. */
START_TEST(too_slow_is_cut_off)
{
	struct person person;

	log_in(&person, 0, true);
	tell_reason(&person, M2W_CLOSE, END_TOO_SLOW);
	expect_ended(&person, END_TOO_SLOW);
	expect_hung_up(&person);
	leave(&person);
}
END_TEST

START_TEST(all_are_ended)
{
	struct person persons[3];
	char expected[1024];

	log_in(&persons[0], 0, true);
	open_stream(&persons[1], 1, true);
	connect_client(&persons[2], 2);
	tell_reason(NULL, M2W_CLOSE_ALL, END_SHUTDOWN);
	expect_heard(&persons[0], error_of(expected, "system-shutdown", NULL));
	expect_heard(&persons[1], error_of(expected, "system-shutdown", NULL));
	for (unsigned i = 0; i < 3; i++) {
		leave(&persons[i]);
		expect_ended(&persons[i], END_SHUTDOWN);
	}
	ck_assert_uint_eq(worker.count, 0);
}
END_TEST

/* A packet for a client that has just ended stays the master's: nothing is said about it. */
START_TEST(frames_about_the_gone)
{
	struct person person, next;

	log_in(&person, 0, true);
	leave(&person);
	expect_ended(&person, END_LOST);
	connect_client(&next, 0);
	tell_packet(&person, "<presence sto='nonce.3.0.1@foo-sockets' sfrom='alice@foo.com'/>", 0);
	tell_reason(&person, M2W_CLOSE, END_KICKED);
	person.slot = 70000;
	tell_reason(&person, M2W_CLOSE, END_KICKED);
	expect_no_frame();
	ck_assert_int_eq(client_of(&next)->state, CLIENT_OPENING);
	leave(&next);
}
END_TEST

/* ---- bounds ---- */

START_TEST(refused_when_full)
{
	struct person persons[4];

	for (unsigned i = 0; i < 3; i++)
		connect_client(&persons[i], i);
	hand_over(&persons[3], 3);
	expect_about(&persons[3], W2M_REFUSED);
	/* Refused is not ended: the connection is the master's, who has kept a descriptor. */
	ck_assert_uint_eq(worker.count, 3);
	leave(&persons[0]);
	expect_ended(&persons[0], END_LOST);
	leave(&persons[3]);
	connect_client(&persons[3], 0);
	for (unsigned i = 1; i < 4; i++)
		leave(&persons[i]);
}
END_TEST

START_TEST(refused_without_descriptor)
{
	struct buffer body = { 0 };
	const struct got *got;

	sample_body(&body, M2W_CLIENT);
	channel_send(&master, M2W_CLIENT, 5, 9, &body);
	got = expect_frame(W2M_REFUSED);
	ck_assert_uint_eq(got->slot, 5);
	ck_assert_uint_eq(got->serial, 9);
	buffer_deinit(&body);
}
END_TEST

START_TEST(place_that_is_taken)
{
	struct person person, other;
	static const uint32_t slots[] = { 0, 1u << 22, UINT32_MAX };

	connect_client(&person, 0);
	hand_over(&other, slots[_i]);
	turns();
	ck_assert_int_eq(worker.channel.breach, BREACH_CLIENT);
	ck_assert(master_ended);
	leave(&person);
	leave(&other);
}
END_TEST

static size_t
unread_by(const struct person *person)
{
	int length = 0;

	ck_assert_int_eq(ioctl(client_of(person)->watch.fd, FIONREAD, &length), 0);
	return (size_t)length;
}

START_TEST(not_read_while_stopped)
{
	struct person person, other;
	char expected[1024];

	log_in(&person, 0, true);
	tell(M2W_STOP);
	say(&person, "<presence/>");
	connect_client(&other, 1);
	say(&other, MODERN);
	expect_no_frame();
	ck_assert_uint_eq(unread_by(&person), strlen("<presence/>"));
	ck_assert_uint_eq(unread_by(&other), strlen(MODERN));
	/* The other way goes on. */
	answer(&person, "<message", "alice@foo.com", "/>", 0);
	expect_number(&person, W2M_SETTLED, 2);
	expect_heard(&person, "<message/>");
	/* Who cannot log in is not ended for it. */
	deadlines_are_due(&worker.login);
	turns();
	ck_assert_int_eq(client_of(&other)->state, CLIENT_OPENING);
	tell(M2W_GO);
	stamped(expected, &person, "<presence", "alice@foo.com/r", "/>");
	expect_text(&person, W2M_PACKET, expected);
	expect_header(&other, true);
	leave(&person);
	leave(&other);
}
END_TEST

/* Ended while it was set aside. */
START_TEST(gone_while_stopped)
{
	struct person persons[3];
	struct linger hard = { .l_onoff = 1 };
	char expected[1024];

	for (unsigned i = 0; i < 3; i++)
		open_stream(&persons[i], i, true);
	tell(M2W_STOP);
	for (unsigned i = 0; i < 3; i++)
		say(&persons[i], "<presence/>");
	turns();
	ck_assert(client_of(&persons[2])->unread == UNREAD_STOPPED);
	setsockopt(persons[0].fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
	leave(&persons[0]);
	expect_ended(&persons[0], END_LOST);
	tell_reason(&persons[1], M2W_CLOSE, END_KICKED);
	expect_heard(&persons[1], error_of(expected, "policy-violation", "ended by the operator"));
	leave(&persons[1]);
	expect_ended(&persons[1], END_KICKED);
	tell(M2W_GO);
	ck_assert(TAILQ_EMPTY(&worker.paused));
	expect_heard(&persons[2], error_of(expected, "not-authorized", "log in first"));
	leave(&persons[2]);
}
END_TEST

static char long_text[60001];

/* Nobody reads the worker: it reads nobody, and loses nothing. */
START_TEST(not_read_while_the_master_is_slow)
{
	struct person person;
	unsigned sent = 0, got = 0;

	memset(long_text, 'x', sizeof long_text - 1);
	log_in(&person, 0, true);
	watch_change(&worker.loop, &master.watch, 0);
	while (client_of(&person)->unread == UNREAD_NO) {
		ck_assert_uint_lt(sent, 200);
		say(&person, "<message><body>");
		say(&person, long_text);
		say(&person, "</body></message>");
		sent++;
		turns();
	}
	ck_assert(!worker_may_read(&worker));
	ck_assert_uint_lt(buffer_length(&worker.channel.out), CHANNEL_HIGH + 2 * sizeof long_text);
	watch_change(&worker.loop, &master.watch, EPOLLIN);
	while (got < sent) {
		expect_about(&person, W2M_PACKET);
		ck_assert_uint_gt(buffer_length(&queue[queue_taken - 1].body), sizeof long_text);
		got++;
	}
	ck_assert(worker_may_read(&worker));
	leave(&person);
}
END_TEST

/* ---- who sends too much (karma.h) ---- */

#define BURST 65536

static void
limit_rate(uint32_t rate)
{
	settings.limits.rate_bytes = rate;
	settings.limits.burst_bytes = BURST;
	tell_settings();
}

/* Messages, numbered from `first`, until the worker reads no more of them; and then a debt that no test lasts for. */
static unsigned
flood(const struct person *person, unsigned first)
{
	unsigned number = first;
	char text[2048];

	while (client_of(person)->unread == UNREAD_NO) {
		snprintf(text, sizeof text, "<message id='%u'><body>%01500u</body></message>", number++, 0);
		ck_assert_uint_lt(number, first + 1000);
		say_all(person, text);
	}
	ck_assert_int_eq(client_of(person)->unread, UNREAD_THROTTLED);
	karma_charge(&client_of(person)->karma, &worker.karma, loop_now(&worker.loop), 1000000);
	return number;
}

/* Those have come, in order. */
static void
expect_flood(const struct person *person, unsigned first, unsigned end)
{
	char text[32];

	for (unsigned number = first; number < end; number++) {
		expect_about(person, W2M_PACKET);
		snprintf(text, sizeof text, " id='%u'", number);
		ck_assert_ptr_nonnull(strstr(text_of(&queue[queue_taken - 1].body), text));
		buffer_deinit(&queue[queue_taken - 1].body);
	}
	if (queue_taken == queue_count)
		queue_forget();
}

/* All that is owed has been paid. */
static void
pay(const struct person *person)
{
	client_of(person)->karma = (struct karma){ 0 };
	deadlines_are_due(&worker.throttled);
}

static struct worker_counters
ask_counters(void)
{
	struct worker_counters counters;
	struct frame frame;

	tell(M2W_PING);
	frame = frame_of(expect_frame(W2M_PONG));
	ck_assert(message_get_counters(&frame, &counters));
	return counters;
}

START_TEST(too_much_is_not_read_for_a_while)
{
	struct person person;
	struct client_report report;
	char text[64];
	unsigned sent;

	limit_rate(1000);
	log_in(&person, 0, true);
	sent = flood(&person, 0);
	ck_assert_uint_ge(client_of(&person)->bytes_in + sent * KARMA_READ_COST, BURST);
	ck_assert_uint_le(client_of(&person)->bytes_in, BURST + CLIENT_READ_SIZE);
	expect_flood(&person, 0, sent);
	/* What it says now waits. */
	snprintf(text, sizeof text, "<message id='%u'/><presence/>", sent);
	say(&person, text);
	expect_no_frame();
	ck_assert_uint_eq(client_of(&person)->watch.events, 0);
	client_report(client_of(&person), &report);
	ck_assert(report.paused && report.throttled);
	ck_assert(ask_counters().throttled == 1 && ask_counters().throttles == 1);
	/* A part of it is paid: not enough. */
	client_of(&person)->karma.paid -= 1000000000;
	deadlines_are_due(&worker.throttled);
	expect_no_frame();
	ck_assert(ask_counters().throttled == 1 && ask_counters().throttles == 1);
	pay(&person);
	expect_flood(&person, sent, sent + 1);
	expect_about(&person, W2M_PACKET);
	client_report(client_of(&person), &report);
	ck_assert(!report.paused && !report.throttled);
	ck_assert(ask_counters().throttled == 0 && ask_counters().throttles == 1);
	ck_assert_uint_eq(client_of(&person)->watch.events, EPOLLIN);
	/* Again: counted, and not said again. */
	expect_flood(&person, 0, flood(&person, 0));
	ck_assert(ask_counters().throttled == 1 && ask_counters().throttles == 2);
	ck_assert_ptr_nonnull(strstr(text_of(&lines), "client throttled address="));
	ck_assert_ptr_null(strstr(strstr(text_of(&lines), "client throttled") + 1, "client throttled"));
	leave(&person);
}
END_TEST

/* One byte at a time costs more than its bytes. */
START_TEST(small_reads_are_dear)
{
	struct person person;
	unsigned count = 0;

	limit_rate(1000);
	log_in(&person, 0, true);
	for (; client_of(&person)->unread == UNREAD_NO; count++) {
		ck_assert_uint_le(count, BURST / KARMA_READ_COST);
		say_all(&person, " ");
	}
	ck_assert_uint_gt(count, BURST / KARMA_READ_COST / 2);
	leave(&person);
}
END_TEST

/* STOP, and what it owes: it is read when there is neither. */
START_TEST(throttled_and_stopped)
{
	struct person person;
	unsigned sent;

	limit_rate(1000);
	log_in(&person, 0, true);
	sent = flood(&person, 0);
	expect_flood(&person, 0, sent);
	say(&person, "<presence/>");
	tell(M2W_STOP);
	if (_i == 0) {
		pay(&person);
		expect_no_frame();
		ck_assert_int_eq(client_of(&person)->unread, UNREAD_STOPPED);
		tell(M2W_GO);
	} else {
		tell(M2W_GO);
		expect_no_frame();
		ck_assert_int_eq(client_of(&person)->unread, UNREAD_THROTTLED);
		pay(&person);
	}
	expect_about(&person, W2M_PACKET);
	ck_assert_int_eq(client_of(&person)->unread, UNREAD_NO);
	ck_assert_uint_eq(ask_counters().throttled, 0);
	leave(&person);
}
END_TEST

/* What it sent before it went comes first, then its end; nobody sees the one before the other. */
START_TEST(throttled_and_closed)
{
	struct person person;
	unsigned sent;

	limit_rate(1000);
	log_in(&person, 0, true);
	sent = flood(&person, 0);
	expect_flood(&person, 0, sent);
	say(&person, "<presence/>");
	if (_i == 0)
		ck_assert_int_eq(shutdown(person.fd, SHUT_WR), 0);
	else
		leave(&person);
	expect_no_frame();
	pay(&person);
	expect_about(&person, W2M_PACKET);
	expect_ended(&person, END_LOST);
	ck_assert(TAILQ_EMPTY(&worker.throttled.queue));
	ck_assert_uint_eq(ask_counters().throttled, 0);
	if (_i == 0)
		leave(&person);
}
END_TEST

/* A connection that breaks is not waited for. */
START_TEST(throttled_and_reset)
{
	static const struct linger reset = { .l_onoff = 1 };
	struct person person;

	limit_rate(1000);
	log_in(&person, 0, true);
	expect_flood(&person, 0, flood(&person, 0));
	ck_assert_int_eq(setsockopt(person.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset), 0);
	leave(&person);
	expect_ended(&person, END_LOST);
	ck_assert_uint_eq(ask_counters().throttled, 0);
	ck_assert(TAILQ_EMPTY(&worker.throttled.queue));
}
END_TEST

/* Kicked, it is told so; what it still sends is read no faster than before. */
START_TEST(throttled_and_kicked)
{
	struct person person;
	char expected[1024];

	limit_rate(1000);
	log_in(&person, 0, true);
	expect_flood(&person, 0, flood(&person, 0));
	tell_reason(&person, M2W_CLOSE, END_KICKED);
	expect_heard(&person, error_of(expected, "policy-violation", "ended by the operator"));
	ck_assert_uint_eq(ask_counters().throttled, 0);
	for (unsigned i = 0; i < 8; i++) {
		ck_assert_int_gt(send(person.fd, long_text, sizeof long_text, MSG_NOSIGNAL | MSG_DONTWAIT), 0);
		turns();
	}
	ck_assert_int_eq(client_of(&person)->unread, UNREAD_THROTTLED);
	deadlines_are_due(&worker.drain);
	expect_ended(&person, END_KICKED);
	ck_assert_uint_eq(ask_counters().throttled, 0);
	leave(&person);
}
END_TEST

/* It is not silent: neither ended for that nor sent white space. */
START_TEST(throttled_is_not_silent)
{
	struct person person;

	settings.limits.idle_time = 60000;
	settings.limits.keepalive_time = 10000;
	limit_rate(1);
	log_in(&person, 0, true);
	expect_flood(&person, 0, flood(&person, 0));
	for (unsigned i = 0; i < 3; i++) {
		worker.loop.now += 60000;
		deadlines_are_due(&worker.silence);
		turns();
		listen_to(&person);
		ck_assert_str_eq(text_of(&person.heard), "");
		ck_assert_int_eq(client_of(&person)->state, CLIENT_SESSION);
		ck_assert(deadline_is_set(&client_of(&person)->deadline));
	}
	leave(&person);
}
END_TEST

/* Nor is one that is not read because the link takes nothing; the way to it is kept open. */
START_TEST(stopped_is_not_silent)
{
	struct person person;

	settings.limits.idle_time = 60000;
	settings.limits.keepalive_time = 10000;
	tell_settings();
	log_in(&person, 0, true);
	tell(M2W_STOP);
	say(&person, "<presence/>");
	turns();
	ck_assert_int_eq(client_of(&person)->unread, UNREAD_STOPPED);
	worker.loop.now += 60000;
	deadlines_are_due(&worker.silence);
	expect_heard(&person, " ");
	ck_assert_int_eq(client_of(&person)->state, CLIENT_SESSION);
	tell(M2W_GO);
	expect_about(&person, W2M_PACKET);
	leave(&person);
}
END_TEST

/* Other limits hold at once, for who waits as well. */
START_TEST(throttled_and_other_limits)
{
	struct person person;
	unsigned sent;

	limit_rate(1);
	log_in(&person, 0, true);
	sent = flood(&person, 0);
	expect_flood(&person, 0, sent);
	say(&person, "<presence/>");
	expect_no_frame();
	limit_rate(_i == 0 ? 0 : 1000000);
	deadlines_are_due(&worker.throttled);
	expect_about(&person, W2M_PACKET);
	ck_assert_int_eq(client_of(&person)->unread, UNREAD_NO);
	leave(&person);
}
END_TEST

/* What one owes is nobody else's. */
START_TEST(throttled_beside_others)
{
	struct person flooder, other;
	unsigned sent;

	limit_rate(1000);
	log_in(&flooder, 0, true);
	log_in(&other, 1, true);
	sent = flood(&flooder, 0);
	expect_flood(&flooder, 0, sent);
	say(&flooder, "<presence/>");
	for (unsigned i = 0; i < 5; i++) {
		say(&other, "<presence/>");
		expect_about(&other, W2M_PACKET);
	}
	expect_no_frame();
	leave(&flooder);
	leave(&other);
}
END_TEST

/* ---- all that comes before a login ---- */

/* A header, and white space up to this many bytes in all, in pieces. */
static void
say_before_login(struct person *person, size_t total, size_t piece)
{
	static char blanks[4096];
	size_t said = strlen(MODERN);

	memset(blanks, ' ', sizeof blanks);
	open_stream(person, 0, true);
	while (said < total) {
		size_t length = total - said < piece ? total - said : piece;

		ck_assert_int_eq(send(person->fd, blanks, length, MSG_NOSIGNAL), (ssize_t)length);
		said += length;
		if (client_of(person) != NULL)
			loop_turn(&worker.loop);
	}
	turns();
}

static const size_t pieces[] = { 1, 7, 512, 4096 };

START_TEST(all_before_login_is_bounded)
{
	char expected[1024], header[256];
	struct person person;
	struct client_end end;
	struct frame frame;

	settings.limits.login_total_bytes = 2000;
	tell_settings();
	for (size_t i = 0; i < COUNT(pieces); i++) {
		/* One below, at it: the login still goes through. */
		for (size_t below = 0; below < 2; below++) {
			say_before_login(&person, 2000 - below - strlen(LOGIN), pieces[i]);
			say(&person, LOGIN);
			expect_about(&person, W2M_PACKET);
			leave(&person);
			expect_ended(&person, END_LOST);
		}
		/* One above. */
		say_before_login(&person, 2001, pieces[i]);
		expect_heard(&person, error_of(expected, "policy-violation", "too much before a login"));
		leave(&person);
		expect_about(&person, W2M_ENDED);
		frame = frame_of(&queue[queue_taken - 1]);
		ck_assert(message_get_end(&frame, &end));
		ck_assert(end.reason == END_STREAM_ERROR && end.condition == CONDITION_POLICY_VIOLATION &&
		    end.limit == LIMIT_LOGIN_TOTAL_BYTES);
	}
	/* Afterwards nothing is counted. */
	log_in(&person, 0, true);
	for (unsigned i = 0; i < 10; i++) {
		snprintf(header, sizeof header, "%200s<presence/>", "");
		say(&person, header);
		expect_about(&person, W2M_PACKET);
	}
	leave(&person);
}
END_TEST

/* What is above the limit is not looked at, however it was cut: the element that ends there has come, the next has not. */
START_TEST(nothing_behind_the_bound_is_read)
{
	static const char get[] = "<iq type='get' id='1'><query xmlns='jabber:iq:register'/></iq>";
	char text[512];
	struct person person;

	settings.limits.login_total_bytes = (uint32_t)(strlen(MODERN) + strlen(get));
	for (size_t cut = 0; cut <= 2 * strlen(get); cut += 9) {
		tell_settings();
		open_stream(&person, 0, true);
		snprintf(text, sizeof text, "%s%s", get, get);
		ck_assert_int_eq(send(person.fd, text, cut, MSG_NOSIGNAL), (ssize_t)cut);
		turns();
		say(&person, text + cut);
		expect_about(&person, W2M_PACKET);
		leave(&person);
		expect_ended(&person, END_STREAM_ERROR);
	}
}
END_TEST

/* ---- which limit it was ---- */

static const struct {
	const char *before, *text;	/* said before the login, or after it; @ is a thousand letters */
	enum end_limit limit;
	const char *detail;
} above[] = {
	{ "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='@'>", NULL,
	    LIMIT_HEADER_BYTES, NULL },
	{ MODERN "<iq><query xmlns='jabber:iq:auth'><x a='@'/></query></iq>", NULL, LIMIT_LOGIN_BYTES, "stanza-too-big" },
	{ MODERN "<iq><a/><a/><a/><a/><a/></iq>", NULL, LIMIT_LOGIN_ELEMENTS, NULL },
	{ MODERN "<iq><a><a><a><a/></a></a></a></iq>", NULL, LIMIT_DEPTH, NULL },
	{ MODERN "<iq a='' b='' c='' d='' e=''/>", NULL, LIMIT_ATTRIBUTES, NULL },
	{ NULL, "<message><body>@</body></message>", LIMIT_STANZA_BYTES, "stanza-too-big" },
	{ NULL, "<message><a/><a/><a/><a/><a/><a/><a/><a/></message>", LIMIT_ELEMENTS, NULL },
	{ NULL, "<message><a><a><a><a/></a></a></a></message>", LIMIT_DEPTH, NULL },
	{ NULL, "<message a='' b='' c='' d='' e=''/>", LIMIT_ATTRIBUTES, NULL },
};

START_TEST(limits_have_names)
{
	struct person person;
	struct client_end end;
	struct frame frame;
	char text[2048], detail[64] = "", limit[128];
	const char *said;

	settings.limits.header_bytes = 400;
	settings.limits.login_bytes = 500;
	settings.limits.login_elements = 5;
	settings.limits.element_bytes = 800;
	settings.limits.elements = 8;
	settings.limits.depth = 4;
	settings.limits.attributes = 4;
	tell_settings();
	if (above[_i].before != NULL)
		connect_client(&person, 0);
	else
		log_in(&person, 0, true);
	said = above[_i].before != NULL ? above[_i].before : above[_i].text;
	ck_assert_ptr_nonnull(said);
	snprintf(text, sizeof text, "%.*s%01000u%s", (int)strcspn(said, "@"), said, 0, strchr(said, '@') == NULL ? "" :
	    strchr(said, '@') + 1);
	say(&person, strchr(said, '@') == NULL ? said : text);
	expect_hung_up_after(&person, "policy-violation");
	if (above[_i].detail != NULL)
		snprintf(detail, sizeof detail, "<%s xmlns='urn:xmpp:errors'/></stream:error>", above[_i].detail);
	ck_assert_ptr_nonnull(strstr(text_of(&person.heard), above[_i].detail != NULL ? detail : "</text></stream:error>"));
	leave(&person);
	expect_about(&person, W2M_ENDED);
	frame = frame_of(&queue[queue_taken - 1]);
	ck_assert(message_get_end(&frame, &end));
	ck_assert_str_eq(end_limit_name(end.limit), end_limit_name(above[_i].limit));
	ck_assert_int_eq(end.reason, END_STREAM_ERROR);
	ck_assert_int_eq(end.condition, CONDITION_POLICY_VIOLATION);
	turns();
	snprintf(limit, sizeof limit, "ended reason=stream-error limit=%s condition=policy-violation text=",
	    end_limit_name(above[_i].limit));
	ck_assert_ptr_nonnull(strstr(text_of(&lines), limit));
}
END_TEST

START_TEST(idle_client_owns_nothing)
{
	struct person person;
	char expected[1024];

	log_in(&person, 0, true);
	ck_assert(!client_is_idle(client_of(&person)));
	deadlines_are_due(&worker.intake_idle);
	turns();
	ck_assert(client_is_idle(client_of(&person)));
	ck_assert(TAILQ_EMPTY(&worker.intake_idle.queue));
	ck_assert_ptr_null(client_of(&person)->login);
	ck_assert_uint_eq(worker.intakes, 0);
	ck_assert_uint_eq(worker.outputs, 0);
	/* White space does not wake it. */
	say_all(&person, " \n ");
	ck_assert(client_is_idle(client_of(&person)));
	/* A packet for it leaves nothing behind. */
	answer(&person, "<message", "alice@foo.com", "/>", 0);
	expect_number(&person, W2M_SETTLED, 2);
	ck_assert(client_is_idle(client_of(&person)));
	/* It goes on as if nothing had been. */
	say(&person, "<message><body xml:lang='de'>x</body></message>");
	stamped(expected, &person, "<message", "alice@foo.com/r", "><body xml:lang='de'>x</body></message>");
	expect_text(&person, W2M_PACKET, expected);
	/* Half an element keeps its parser. */
	say_all(&person, "<message><bo");
	deadlines_are_due(&worker.intake_idle);
	turns();
	ck_assert(!client_is_idle(client_of(&person)));
	say(&person, "dy/></message>");
	stamped(expected, &person, "<message", "alice@foo.com/r", "><body/></message>");
	expect_text(&person, W2M_PACKET, expected);
	deadlines_are_due(&worker.intake_idle);
	turns();
	ck_assert(client_is_idle(client_of(&person)));
	leave(&person);
}
END_TEST

START_TEST(small_and_given_back)
{
	struct person people[3];

	ck_assert_uint_le(sizeof(struct client), CLIENT_SIZE_MAX);
	for (uint32_t i = 0; i < COUNT(people); i++) {
		if (i == 2)
			open_stream(&people[i], i, true);
		else
			log_in(&people[i], i, i % 2 == 0);
	}
	ck_assert_uint_eq(worker.slab.count, COUNT(people));
	/* Everybody has written one of two headers. */
	ck_assert_ptr_eq(client_of(&people[0])->scope, client_of(&people[2])->scope);
	ck_assert_ptr_ne(client_of(&people[0])->scope, client_of(&people[1])->scope);
	for (uint32_t i = 0; i < COUNT(people); i++) {
		leave(&people[i]);
		expect_about(&people[i], W2M_ENDED);
	}
	turns();
	ck_assert_uint_eq(worker.slab.count, 0);
	ck_assert_uint_eq(worker.intakes, 0);
	ck_assert_uint_eq(worker.outputs, 0);
	ck_assert(RB_EMPTY(&worker.scopes.tree));
	for (unsigned i = 0; i < TEXTS_CLASSES; i++)
		ck_assert_uint_eq(worker.addresses.slabs[i].count, 0);
}
END_TEST

/* The number of the last that is said to have left. */
static uint64_t
take_settled(const struct person *person)
{
	uint64_t settled = 0;

	acknowledge(person);
	while (queue_taken < queue_count) {
		struct got *got = &queue[queue_taken++];
		struct frame frame = frame_of(got);
		uint64_t number;

		ck_assert_str_eq(contract_name(got->type), contract_name(W2M_SETTLED));
		ck_assert_uint_eq(got->serial, person->serial);
		ck_assert(message_get_number(&frame, &number));
		ck_assert_uint_gt(number, settled);
		settled = number;
		buffer_deinit(&got->body);
	}
	queue_taken = queue_count = 0;
	return settled;
}

/* Deliver until the socket takes no more. The number of the last packet that has left. */
static uint64_t
fill(struct person *person)
{
	uint64_t settled = 0;
	char after[700];

	queue_forget();
	snprintf(after, sizeof after, "><body>%0600d</body></message>", 1);
	do {
		uint64_t more;

		for (unsigned i = 0; i < 200; i++)
			answer(person, "<message", "alice@foo.com", after, 0);
		more = take_settled(person);
		settled = more > 0 ? more : settled;
	} while (output_length(client_of(person)->output) == 0);
	return settled;
}

START_TEST(not_reading_is_ended)
{
	struct person person;
	uint64_t settled;

	log_in(&person, 0, true);
	settled = fill(&person);
	/* What the socket did not take is not settled. */
	ck_assert_uint_lt(settled, person.number);
	ck_assert(deadline_is_set(&client_of(&person)->output->stall));
	deadlines_are_due(&worker.stall);
	expect_ended(&person, END_TOO_SLOW);
	leave(&person);
}
END_TEST

/* ---- what has arrived ---- */

/* Longer than any test takes: what is settled has been told by something else than the time. */
static void
settle_late(void)
{
	settings.limits.settle_time = 3600000;
	tell_settings();
}

static void
get_message(struct person *person)
{
	answer(person, "<message", "alice@foo.com", "/>", 0);
	expect_heard(person, "<message/>");
}

/* A little that it takes of much that waits settles nothing, and is said all the same. */
START_TEST(slow_reader_is_known)
{
	struct person person;

	log_in(&person, 0, true);
	fill(&person);
	settle_late();
	client_of(&person)->output->looked = 0;
	deadlines_are_due(&worker.settle);
	expect_number(&person, W2M_SETTLED, 0);
	leave(&person);
}
END_TEST

/* Its kernel has acknowledged it, and may do so for a program that never reads it. */
START_TEST(acknowledged_is_not_settled_at_once)
{
	struct person person;

	settle_late();
	log_in(&person, 0, true);
	get_message(&person);
	acknowledge(&person);
	expect_no_frame();
	ck_assert(!client_is_idle(client_of(&person)));
	ck_assert_uint_eq(output_length(client_of(&person)->output), 0);
	ck_assert(deadline_is_set(&client_of(&person)->output->settle));
	leave(&person);
}
END_TEST

/* A FIN says that what was acknowledged has been read. */
START_TEST(settled_by_its_end)
{
	struct person person;

	settle_late();
	log_in(&person, 0, true);
	get_message(&person);
	acknowledge(&person);
	leave(&person);
	expect_number(&person, W2M_SETTLED, 2);
	expect_ended(&person, END_LOST);
}
END_TEST

/* As most programs leave: what we answer finds nobody any more. */
START_TEST(settled_by_a_goodbye)
{
	struct person person;

	settle_late();
	log_in(&person, 0, true);
	get_message(&person);
	acknowledge(&person);
	say(&person, END);
	leave(&person);
	expect_number(&person, W2M_SETTLED, 2);
	expect_ended(&person, END_CLOSED);
}
END_TEST

/* With something unread in its kernel that is a reset, and says so. */
START_TEST(not_settled_by_a_goodbye)
{
	struct person person;

	settle_late();
	log_in(&person, 0, true);
	answer(&person, "<message", "alice@foo.com", "/>", 0);
	turns();
	say_all(&person, END);
	leave(&person);
	expect_ended(&person, END_CLOSED);
}
END_TEST

/* A reset says that it may not. */
START_TEST(not_settled_by_a_reset)
{
	struct person person;
	char text[64];

	settle_late();
	log_in(&person, 0, true);
	answer(&person, "<message", "alice@foo.com", "/>", 0);
	turns();
	ck_assert_int_eq(recv(person.fd, text, sizeof text, MSG_PEEK), strlen("<message/>"));
	leave(&person);
	expect_ended(&person, END_LOST);
}
END_TEST

/* Nor when it is heard of late: when it came nobody knows, and that may have been right behind the acknowledgement. */
START_TEST(not_settled_by_a_reset_of_long_ago)
{
	struct person person;

	settle_late();
	log_in(&person, 0, true);
	answer(&person, "<message", "alice@foo.com", "/>", 0);
	turns();
	client_of(&person)->output->unsettled.seen = client_of(&person)->bytes_out;
	client_of(&person)->output->unsettled.seen_at = 1;
	leave(&person);
	worker.settings.limits.settle_time = 1;
	expect_ended(&person, END_LOST);
}
END_TEST

/* ... nor when the time to look comes before the news. */
START_TEST(not_settled_by_a_late_look)
{
	struct person person;
	char text[64];

	settings.limits.settle_time = 1;
	tell_settings();
	log_in(&person, 0, true);
	answer(&person, "<message", "alice@foo.com", "/>", 0);
	turns();
	ck_assert_int_eq(recv(person.fd, text, sizeof text, MSG_PEEK), strlen("<message/>"));
	client_of(&person)->output->unsettled.seen = UINT64_MAX;
	client_of(&person)->output->unsettled.seen_at = 1;
	leave(&person);
	/* The loop has not asked epoll yet. */
	output_on_settle(&client_of(&person)->output->settle);
	expect_ended(&person, END_LOST);
}
END_TEST

/* What was seen to be acknowledged long before it is believed. */
START_TEST(settled_before_a_reset)
{
	struct person person;

	log_in(&person, 0, true);
	answer(&person, "<message", "alice@foo.com", "/>", 0);
	expect_number(&person, W2M_SETTLED, 2);
	settle_late();
	answer(&person, "<message", "alice@foo.com", "/>", 0);
	turns();
	leave(&person);
	expect_ended(&person, END_LOST);
}
END_TEST

static int
error_of_socket(const struct person *person)
{
	int error = -1;
	socklen_t length = sizeof error;

	getsockopt(person->fd, SOL_SOCKET, SO_ERROR, &error, &length);
	return error;
}

/* It does not close. What it has acknowledged is not settled in that time, so it goes back, and cannot arrive any more. */
START_TEST(reset_where_something_goes_back)
{
	struct person person;

	settle_late();
	log_in(&person, 0, true);
	answer(&person, "<message", "alice@foo.com", "/>", 0);
	tell_reason(&person, M2W_CLOSE, END_KICKED);
	turns();
	ck_assert_int_eq(client_of(&person)->state, CLIENT_CLOSING);
	deadlines_are_due(&worker.drain);
	expect_ended(&person, END_KICKED);
	/* A reset behind the end of our half (tcp(7)). */
	ck_assert_int_eq(error_of_socket(&person), EPIPE);
	leave(&person);
}
END_TEST

/* Who is owed nothing is left in peace. */
START_TEST(no_reset_without_need)
{
	struct person person;

	log_in(&person, 0, true);
	get_message(&person);
	expect_number(&person, W2M_SETTLED, 2);
	tell_reason(&person, M2W_CLOSE, END_KICKED);
	expect_hung_up_after(&person, "ended by the operator</text></stream:error>" END);
	deadlines_are_due(&worker.drain);
	expect_ended(&person, END_KICKED);
	ck_assert_int_eq(error_of_socket(&person), 0);
	leave(&person);
}
END_TEST

/* Both have closed; what was written last is waited for, but not by looking again and again. */
START_TEST(the_last_bytes_are_waited_for)
{
	struct person person;
	uint32_t rounds;

	settle_late();
	log_in(&person, 0, true);
	fill(&person);
	shutdown(person.fd, SHUT_WR);
	while (!client_of(&person)->hung_up)
		turns();
	while (output_length(client_of(&person)->output) > 0) {
		listen_to(&person);
		turns();
	}
	/* The kernel still has some of it. */
	while (worker.clients[person.slot] != NULL && !client_of(&person)->shut)
		turns();
	for (rounds = 0; worker.clients[person.slot] != NULL && rounds < 100000; rounds++) {
		ck_assert_uint_eq(client_of(&person)->watch.events, EPOLLET);
		listen_to(&person);
		turns();
	}
	ck_assert_uint_ge(queue_count, 2);
	queue_taken = queue_count - 2;
	expect_number(&person, W2M_SETTLED, person.number);
	expect_ended(&person, END_LOST);
	leave(&person);
}
END_TEST

/* It has closed its half, and still hears what was on its way. */
START_TEST(half_closed)
{
	struct person person;
	struct hearing hearing = { .person = &person, .length = SIZE_MAX };

	log_in(&person, 0, true);
	fill(&person);
	shutdown(person.fd, SHUT_WR);
	ck_assert(loop_turn_until(&worker.loop, has_heard, &hearing));
	ck_assert_str_eq(text_of(&person.heard) + buffer_length(&person.heard) - strlen("</message>" END), "</message>" END);
	turns();
	ck_assert_uint_ge(queue_count, 2);
	ck_assert_int_eq(queue[queue_count - 1].type, W2M_ENDED);
	queue_taken = queue_count - 2;
	expect_number(&person, W2M_SETTLED, person.number);
	expect_ended(&person, END_LOST);
	leave(&person);
}
END_TEST

/* Progress starts the time anew, and all is settled in the end. */
START_TEST(slow_reading_is_not_ended)
{
	struct person person;

	log_in(&person, 0, true);
	fill(&person);
	while (client_of(&person)->output != NULL) {
		listen_to(&person);
		buffer_clear(&person.heard);
		loop_turn(&worker.loop);
	}
	ck_assert_uint_eq(take_settled(&person), person.number);
	ck_assert(TAILQ_EMPTY(&worker.stall.queue));
	ck_assert_int_eq(client_of(&person)->state, CLIENT_SESSION);
	leave(&person);
}
END_TEST

START_TEST(too_much_unsent_is_ended)
{
	struct person person;
	size_t unsent;

	log_in(&person, 0, true);
	fill(&person);
	/* As much as waits already, and a little more; the kernel may take some of it late. */
	unsent = buffer_length(&client_of(&person)->output->bytes);
	settings.limits.unsent_bytes = (uint32_t)unsent + 10;
	tell_settings();
	for (unsigned i = 0; i < 100000 && client_of(&person)->state == CLIENT_SESSION; i++) {
		answer(&person, "<message", "alice@foo.com", "/>", 0);
		turns();
		take_settled(&person);
	}
	ck_assert_int_eq(client_of(&person)->state, CLIENT_CLOSING);
	ck_assert_int_eq(client_of(&person)->reason, END_TOO_SLOW);
	/* What comes now is not even put behind it, but stays the master's. */
	unsent = buffer_length(&client_of(&person)->output->bytes);
	answer(&person, "<message", "alice@foo.com", "/>", 0);
	turns();
	take_settled(&person);
	ck_assert_uint_le(buffer_length(&client_of(&person)->output->bytes), unsent);
	/* It would be told, if it read at last; it does not. */
	deadlines_are_due(&worker.drain);
	expect_ended(&person, END_TOO_SLOW);
	leave(&person);
}
END_TEST

/* ---- memory ---- */

#define MEBIBYTE ((size_t)1024 * 1024)

/* It holds so much, in the parser (it is in the middle of an element) or because it reads nothing. */
static void
hold(struct person *person, size_t length, bool unread)
{
	char text[4097];

	memset(text, 'x', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	if (unread)
		fill(person);
	else
		say_all(person, "<message to='x'><body>");
	for (size_t i = 0; i < length; i += sizeof text - 1) {
		if (unread)
			buffer_append(&client_of(person)->output->bytes, text, sizeof text - 1);
		else
			say_all(person, text);
	}
	ck_assert_uint_ge(client_memory(client_of(person)), length);
}

/* So much, and no more, may this process have. */
static void
limit_memory(size_t more)
{
	unsigned long pages = 0;
	struct rlimit limit;
	FILE *file = fopen("/proc/self/statm", "r");

	ck_assert(file != NULL && fscanf(file, "%lu", &pages) == 1);
	fclose(file);
	ck_assert_int_eq(getrlimit(RLIMIT_AS, &limit), 0);
	limit.rlim_cur = more == 0 ? limit.rlim_max : pages * (rlim_t)sysconf(_SC_PAGESIZE) + more;
	ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
}

/* The reserve was needed: who holds most ends, and nobody else, whose memory would be there a moment later. */
START_TEST(reserve_is_had_again)
{
	struct person fat, other;
	void *needed;

	/* A limit is for a process of its own, and nothing for tools that need memory themselves. */
	if (UNDER_SANITIZER || getenv("CK_FORK") != NULL)
		return;
	ck_assert_int_eq(mallopt(M_MMAP_THRESHOLD, 128 * 1024), 1);
	settings.limits.element_bytes = 8 * 1024 * 1024;
	tell_settings();
	log_in(&fat, 0, true);
	log_in(&other, 1, true);
	hold(&fat, 3 * MEBIBYTE, _i == 1);
	hold(&other, 2 * MEBIBYTE - 65536, false);
	ck_assert(worker_pinch(&worker));
	needed = mmap(NULL, MEBIBYTE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(needed, MAP_FAILED);
	limit_memory(MEBIBYTE / 2);
	turns();
	limit_memory(0);
	munmap(needed, MEBIBYTE);
	ck_assert_ptr_nonnull(worker.reserve);
	ck_assert(!worker.pinched);
	ck_assert_int_eq(client_of(&other)->state, CLIENT_SESSION);
	ck_assert_ptr_nonnull(strstr(text_of(&lines), "client ended reason=broken"));
	leave(&fat);
	leave(&other);
}
END_TEST

/* ---- times ---- */

START_TEST(login_takes_too_long)
{
	struct person person;
	char expected[1024];

	open_stream(&person, 0, true);
	deadlines_are_due(&worker.login);
	expect_heard(&person, error_of(expected, "connection-timeout", "not logged in in time"));
	leave(&person);
	expect_ended(&person, END_LOGIN_TIMEOUT);
}
END_TEST

START_TEST(no_header_takes_too_long)
{
	struct person person;

	connect_client(&person, 0);
	deadlines_are_due(&worker.login);
	turns();
	listen_to(&person);
	ck_assert_msg(strstr(text_of(&person.heard), "<connection-timeout") != NULL, "%s", text_of(&person.heard));
	leave(&person);
	expect_ended(&person, END_LOGIN_TIMEOUT);
}
END_TEST

START_TEST(silence_is_broken_by_white_space)
{
	struct person person;

	settings.limits.idle_time = 0;
	settings.limits.keepalive_time = 50000;
	tell_settings();
	log_in(&person, 0, true);
	/* The time for logging in is over with the login. */
	ck_assert(TAILQ_EMPTY(&worker.login.queue));
	for (unsigned i = 0; i < 3; i++) {
		deadlines_are_due(&worker.silence);
		expect_heard(&person, " ");
		turns();
		ck_assert_ptr_null(client_of(&person)->output);
		ck_assert(!TAILQ_EMPTY(&worker.silence.queue));
	}
	expect_no_frame();
	leave(&person);
}
END_TEST

START_TEST(too_long_a_silence_ends)
{
	/* Also when white space would come later than that. */
	static const uint32_t keepalives[] = { 0, 300000, 10000 };
	struct person person;
	char expected[1024];

	settings.limits.idle_time = 60000;
	settings.limits.keepalive_time = keepalives[_i];
	tell_settings();
	ck_assert_uint_eq(worker.silence.duration, _i == 2 ? 10000 : 60000);
	log_in(&person, 0, true);
	client_of(&person)->last_read = 0;
	worker.loop.now += 60000;
	deadlines_are_due(&worker.silence);
	expect_heard(&person, error_of(expected, "connection-timeout", "silent for too long"));
	leave(&person);
	expect_ended(&person, END_IDLE_TIMEOUT);
}
END_TEST

/* ---- other settings while clients are there ---- */

START_TEST(shorter_times_for_who_waits)
{
	struct person person, other;
	char expected[1024];

	settings.limits.login_time = 60000;
	settings.limits.idle_time = 60000;
	settings.limits.keepalive_time = 0;
	tell_settings();
	log_in(&person, 0, true);
	open_stream(&other, 1, true);
	client_of(&person)->last_read -= 5000;
	client_of(&person)->deadline.at -= 5000;
	client_of(&other)->deadline.at -= 5000;
	settings.limits.login_time = 4000;
	settings.limits.idle_time = 4000;
	tell_settings();
	expect_heard(&person, error_of(expected, "connection-timeout", "silent for too long"));
	expect_heard(&other, error_of(expected, "connection-timeout", "not logged in in time"));
	leave(&person);
	leave(&other);
}
END_TEST

START_TEST(silence_that_nobody_minded)
{
	struct person person;

	settings.limits.idle_time = settings.limits.keepalive_time = 0;
	tell_settings();
	log_in(&person, 0, true);
	ck_assert(!deadline_is_set(&client_of(&person)->deadline));
	settings.limits.keepalive_time = 50000;
	tell_settings();
	ck_assert(deadline_is_set(&client_of(&person)->deadline));
	deadlines_are_due(&worker.silence);
	expect_heard(&person, " ");
	/* And again nobody does. */
	settings.limits.keepalive_time = 0;
	tell_settings();
	ck_assert(!deadline_is_set(&client_of(&person)->deadline));
	expect_no_frame();
	leave(&person);
}
END_TEST

/* A host is taken away: from who has not logged in yet, unless he is about to. */
START_TEST(host_is_gone)
{
	struct person session, asked, waiting;
	char expected[1024];
	char *host = settings.hosts[0];
	static char other[] = "other.example";

	log_in(&session, 0, true);
	open_stream(&asked, 1, true);
	say(&asked, LOGIN);
	expect_frame(W2M_PACKET);
	open_stream(&waiting, 2, true);
	settings.hosts[0] = other;
	tell_settings();
	settings.hosts[0] = host;
	expect_heard(&waiting, error_of(expected, "host-gone", NULL));
	leave(&waiting);
	expect_ended(&waiting, END_STREAM_ERROR);
	ck_assert_int_eq(client_of(&session)->state, CLIENT_SESSION);
	ck_assert_int_eq(client_of(&asked)->state, CLIENT_LOGIN);
	expect_no_frame();
	leave(&session);
	leave(&asked);
}
END_TEST

/* ---- the worker's own end ---- */

START_TEST(ends_with_its_master)
{
	struct person person, other;

	log_in(&person, 0, true);
	open_stream(&other, 1, true);
	say(&person, "<message><body");
	turns();
	answer(&person, "<message", "alice@foo.com", "/>", 0);
	channel_flush(&master);
	channel_deinit(&master);
	ck_assert_int_eq(worker_run(&worker), 0);
	leave(&person);
	leave(&other);
}
END_TEST

START_TEST(ends_when_its_master_breaks_the_contract)
{
	struct buffer body = { 0 };

	if (_i == 0) {
		channel_send(&master, 777, 0, 0, NULL);
	} else if (_i == 1) {
		settings.host_count = 0;
		message_put_settings(&body, &settings);
		channel_send(&master, M2W_SETTINGS, 0, 0, &body);
	} else {
		settings.dialect = settings.nonce;
		message_put_settings(&body, &settings);
		channel_send(&master, M2W_SETTINGS, 0, 0, &body);
	}
	channel_flush(&master);
	ck_assert_int_lt(worker_run(&worker), 0);
	buffer_deinit(&body);
}
END_TEST

/* ---- TLS ---- */

#define TLS_NS "urn:ietf:params:xml:ns:xmpp-tls"
#define STARTTLS "<starttls xmlns='" TLS_NS "'/>"
#define PROCEED "<proceed xmlns='" TLS_NS "'/>"
#define REQUIRED "<stream:features><starttls xmlns='" TLS_NS "'><required/></starttls></stream:features>"

/* A person whose client speaks TLS: what is heard is plain text. */
struct secret {
	struct person *person;
	SSL *ssl;
};

static void
tell_certificate(bool required)
{
	struct buffer body = { 0 };
	struct made made;

	made_init(&made, MADE_EC, "foo.com", "DNS:foo.com");
	message_put_certificate(&body, made.chain, made.chain_length, made.key, made.key_length);
	channel_send(&master, M2W_CERTIFICATE, 0, 0, &body);
	buffer_deinit(&body);
	made_deinit(&made);
	settings.tls = (struct tls_settings){ .required = required, .min_version = 12, .certificate_count = 1 };
	tell_settings();
}

static void
connect_to(struct person *person, uint32_t slot, uint8_t tls)
{
	struct newcomer newcomer = { .peer = { .address = IN6ADDR_LOOPBACK_INIT, .port = 5222 }, .tls = tls };
	struct buffer body = { 0 };
	int fds[2];

	tcp_pair(fds);
	*person = (struct person){ .fd = fds[0], .slot = slot, .serial = ++serial };
	message_put_client(&body, &newcomer);
	channel_send_descriptor(&master, M2W_CLIENT, slot, person->serial, &body, fds[1]);
	buffer_deinit(&body);
	expect_about(person, W2M_TAKEN);
	close(fds[1]);
}

static SSL *
secret_new(void)
{
	SSL_CTX *context = peer_client();
	SSL *ssl = SSL_new(context);

	SSL_CTX_free(context);
	ck_assert_ptr_nonnull(ssl);
	return ssl;
}

static void
secret_begin(struct secret *secret, struct person *person)
{
	secret->person = person;
	ck_assert_int_eq(fcntl(person->fd, F_SETFL, O_NONBLOCK), 0);
	secret->ssl = secret_new();
	ck_assert_int_eq(SSL_set_fd(secret->ssl, person->fd), 1);
	SSL_set_connect_state(secret->ssl);
}

static bool
is_shaken(void *argument)
{
	struct secret *secret = argument;

	return SSL_do_handshake(secret->ssl) == 1 && client_of(secret->person)->state == CLIENT_OPENING;
}

static void
secret_shake(struct secret *secret, struct person *person)
{
	secret_begin(secret, person);
	ck_assert(loop_turn_until(&worker.loop, is_shaken, secret));
}

static void
secret_say(const struct secret *secret, const char *text)
{
	int length;

	for (; *text != '\0'; text += length) {
		length = SSL_write(secret->ssl, text, (int)strlen(text));
		ck_assert_int_gt(length, 0);
	}
}

struct secret_hearing {
	const struct secret *secret;
	const char *end;	/* NULL: the end of the connection */
	bool ended, said_so;
};

static bool
has_heard_secret(void *argument)
{
	struct secret_hearing *hearing = argument;
	struct buffer *heard = &hearing->secret->person->heard;
	int length;

	do {
		uint8_t *place = buffer_reserve(heard, 65536);

		ck_assert_ptr_nonnull(place);
		length = SSL_read(hearing->secret->ssl, place, 65536);
		if (length > 0)
			buffer_commit(heard, (size_t)length);
	} while (length > 0);
	hearing->said_so = (SSL_get_shutdown(hearing->secret->ssl) & SSL_RECEIVED_SHUTDOWN) != 0;
	hearing->ended = SSL_get_error(hearing->secret->ssl, length) != SSL_ERROR_WANT_READ;
	return hearing->ended || (hearing->end != NULL && strstr(text_of(heard), hearing->end) != NULL);
}

/* What was heard until that came; NULL: until the connection ended, with close_notify. */
static const char *
secret_hear(const struct secret *secret, const char *end)
{
	struct secret_hearing hearing = { .secret = secret, .end = end };

	ck_assert_msg(loop_turn_until(&worker.loop, has_heard_secret, &hearing), "heard %s", text_of(&secret->person->heard));
	if (end == NULL)
		ck_assert(hearing.said_so);
	return text_of(&secret->person->heard);
}

static void
secret_leave(struct secret *secret)
{
	SSL_free(secret->ssl);
	leave(secret->person);
}

/* In a session, with everything heard. */
static void
secret_log_in(struct secret *secret, struct person *person, uint32_t slot)
{
	connect_to(person, slot, LISTEN_TLS_DIRECT);
	secret_shake(secret, person);
	secret_say(secret, MODERN);
	secret_hear(secret, SECURE_FEATURES);
	secret_say(secret, LOGIN);
	expect_about(person, W2M_PACKET);
	answer(person, "<iq type='result' id='a1'", "alice@foo.com/r", "/>", 0);
	expect_session(person, "alice@foo.com/r");
	secret_hear(secret, "<iq type='result' id='a1'/>");
	buffer_clear(&person->heard);
}

START_TEST(tls_from_the_first_byte)
{
	struct client_report report;
	struct worker_counters counters;
	struct person person;
	struct secret secret;
	struct frame frame;

	tell_certificate(true);
	secret_log_in(&secret, &person, 0);
	ck_assert_ptr_null(tls_facts(client_of(&person)->tls));
	client_report(client_of(&person), &report);
	ck_assert_uint_eq(report.tls, 13);
	answer(&person, "<message", "alice@foo.com/r", "/>", 0);
	secret_hear(&secret, "<message/>");
	expect_number(&person, W2M_SETTLED, 2);
	tell(M2W_PING);
	frame = frame_of(expect_frame(W2M_PONG));
	ck_assert(message_get_counters(&frame, &counters));
	ck_assert(counters.handshakes == 1 && counters.resumed == 0 && counters.handshakes_failed == 0);
	secret_say(&secret, END);
	buffer_clear(&person.heard);
	ck_assert_str_eq(secret_hear(&secret, NULL), END);
	secret_leave(&secret);
	expect_ended(&person, END_CLOSED);
	ck_assert_ptr_nonnull(strstr(text_of(&lines), " tls=TLSv1.3 account=\"alice@foo.com/r\""));
}
END_TEST

/* The first byte decides; where there is no choice, something else is an end. */
START_TEST(first_byte)
{
	struct person person;
	struct secret secret;

	tell_certificate(false);
	connect_to(&person, 0, _i < 2 ? LISTEN_TLS_BOTH : LISTEN_TLS_DIRECT);
	ck_assert_int_eq(client_of(&person)->state, CLIENT_PREFACE);
	ck_assert(!TAILQ_EMPTY(&worker.handshake.queue) && TAILQ_EMPTY(&worker.login.queue));
	if (_i == 0) {
		secret_shake(&secret, &person);
		SSL_free(secret.ssl);
	} else if (_i == 1) {
		say(&person, MODERN);
		turns();
		listen_to(&person);
		ck_assert_ptr_nonnull(strstr(text_of(&person.heard), "<starttls xmlns='" TLS_NS "'/><register"));
	} else {
		say(&person, MODERN);
		expect_hung_up(&person);
		leave(&person);
		expect_ended(&person, END_TLS_FAILED);
		return;
	}
	ck_assert(TAILQ_EMPTY(&worker.handshake.queue) && !TAILQ_EMPTY(&worker.login.queue));
	leave(&person);
	expect_ended(&person, END_LOST);
}
END_TEST

static void
open_required(struct person *person)
{
	connect_to(person, 0, LISTEN_TLS_STARTTLS);
	say(person, MODERN);
	turns();
	listen_to(person);
	ck_assert_msg(strstr(text_of(&person->heard), "xml:lang='en'>" REQUIRED) != NULL, "%s", text_of(&person->heard));
	buffer_clear(&person->heard);
}

START_TEST(starttls_begins_anew)
{
	struct person person;
	struct secret secret;
	uint64_t before;

	tell_certificate(true);
	open_required(&person);
	before = login_stream_id(client_of(&person));
	say(&person, STARTTLS);
	expect_heard(&person, PROCEED);
	turns();
	ck_assert_int_eq(client_of(&person)->state, CLIENT_PREFACE);
	ck_assert_ptr_null(client_of(&person)->scope);
	ck_assert_ptr_null(client_of(&person)->intake);
	if (_i == 1)
		say(&person, " \t\r\n                                                                                       \n");
	secret_shake(&secret, &person);
	ck_assert_ptr_null(client_of(&person)->login);
	secret_say(&secret, MODERN);
	ck_assert_ptr_nonnull(strstr(secret_hear(&secret, "</stream:features>"), "en'>" SECURE_FEATURES));
	ck_assert_uint_ne(login_stream_id(client_of(&person)), before);
	/* Once is enough. */
	secret_say(&secret, STARTTLS);
	ck_assert_ptr_nonnull(strstr(secret_hear(&secret, NULL), "<policy-violation"));
	secret_leave(&secret);
	expect_ended(&person, END_STREAM_ERROR);
}
END_TEST

/* The master has given it another id. */
static void
renew(struct person *person)
{
	struct buffer body = { 0 };

	message_put_number(&body, person->serial + 100);
	channel_send(&master, M2W_RENEWED, person->slot, person->serial, &body);
	buffer_deinit(&body);
	turns();
	person->serial += 100;
}

/*
 * What it was sent in clear text is not settled: it waits for that, then for an id that nobody has heard of, since what it is not
 * given any more would be settled by what it gets later; and only then for the handshake.
 */
START_TEST(starttls_behind_a_packet)
{
	struct person person;
	struct secret secret;

	settle_late();
	tell_certificate(false);
	connect_to(&person, 0, LISTEN_TLS_STARTTLS);
	say(&person, MODERN "<iq type='get' id='r1'><query xmlns='jabber:iq:register'/></iq>");
	expect_about(&person, W2M_PACKET);
	answer(&person, "<iq", "foo.com", " type='result' id='r1'><query xmlns='jabber:iq:register'/></iq>", 0);
	turns();
	listen_to(&person);
	buffer_clear(&person.heard);
	say(&person, STARTTLS);
	expect_heard(&person, PROCEED);
	ck_assert_int_eq(client_of(&person)->state, CLIENT_UPGRADING);
	answer(&person, "<message", "foo.com", "/>", 0);
	turns();
	worker.settings.limits.settle_time = 0;
	expect_number(&person, W2M_SETTLED, 1);
	expect_about(&person, W2M_RENEW);
	ck_assert_int_eq(client_of(&person)->state, CLIENT_UPGRADING);
	answer(&person, "<message", "foo.com", "/>", 0);
	expect_no_frame();
	renew(&person);
	ck_assert_int_eq(client_of(&person)->state, CLIENT_PREFACE);
	ck_assert(!client_of(&person)->spoke);
	secret_shake(&secret, &person);
	secret_leave(&secret);
	expect_ended(&person, END_LOST);
}
END_TEST

/*
 * What was said in clear text was passed on: the client waits for another id, with its handshake, whatever comes under the old
 * one. Case 1: it is told to go before that is there; case 2: it goes by itself.
 */
START_TEST(starttls_with_a_stream_upstream)
{
	struct person person;
	struct secret secret;
	uint8_t renewed[8] = { 0x67, 0x45 };

	settings.dialect = (char *)(uintptr_t)"xmpp";
	tell_certificate(false);
	connect_to(&person, 0, LISTEN_TLS_STARTTLS);
	say(&person, MODERN);
	turns();
	expect_about(&person, W2M_PACKET);
	say(&person, STARTTLS);
	turns();
	expect_about(&person, W2M_RENEW);
	ck_assert_int_eq(client_of(&person)->state, CLIENT_UPGRADING);
	/* Neither does anything to it now. */
	tell_packet(&person, "<stream:features sto='x' sfrom='foo.com'/>", 0);
	tell(M2W_LOST);
	expect_no_frame();
	if (_i == 1)
		tell_reason(&person, M2W_CLOSE, END_KICKED);
	if (_i == 2) {
		close(person.fd);
		person.fd = -1;
		turns();
		expect_ended(&person, END_LOST);
	}
	channel_send(&master, M2W_RENEWED, person.slot, person.serial, &(struct buffer){ .data = renewed, .end = 8, .size = 8 });
	turns();
	ck_assert(!master_ended);
	if (_i == 2)
		return;
	person.serial = 0x4567;
	if (_i == 1) {
		shutdown(person.fd, SHUT_WR);
		turns();
		expect_ended(&person, END_KICKED);
		close(person.fd);
		return;
	}
	ck_assert_int_eq(client_of(&person)->state, CLIENT_PREFACE);
	buffer_clear(&person.heard);
	listen_to(&person);
	buffer_clear(&person.heard);
	secret_shake(&secret, &person);
	secret_say(&secret, MODERN);
	turns();
	expect_about(&person, W2M_PACKET);
	secret_leave(&secret);
	expect_ended(&person, END_LOST);
}
END_TEST

/* What follows in clear text was sent by anybody. */
START_TEST(starttls_injection)
{
	struct person person;
	char expected[1024];

	tell_certificate(true);
	open_required(&person);
	if (_i == 0) {
		say(&person, STARTTLS LOGIN);
		expect_heard(&person, error_of(expected, "policy-violation", "clear text behind &lt;starttls/&gt;"));
	} else {
		/* Read with <proceed/> still on its way, or behind it. */
		say(&person, STARTTLS);
		if (_i == 2)
			turns();
		say(&person, " " LOGIN);
		turns();
		listen_to(&person);
		if (_i == 1 && strcmp(text_of(&person.heard), PROCEED) != 0)
			ck_assert_ptr_nonnull(strstr(text_of(&person.heard), "<policy-violation"));
		else
			ck_assert_str_eq(text_of(&person.heard), PROCEED);
	}
	leave(&person);
	expect_ended(&person, END_TLS_FAILED);
	ck_assert_ptr_nonnull(strstr(text_of(&lines), "text=\"clear text behind <starttls/>\""));
	/* No packet of it went up. */
	expect_no_frame();
}
END_TEST

START_TEST(tls_is_required)
{
	static const char *const packets[] = { LOGIN, "<iq type='get' id='a'><query xmlns='jabber:iq:register'/></iq>",
	    "<presence/>", "<proceed xmlns='" TLS_NS "'/>" };
	struct person person;
	char expected[1024];

	tell_certificate(true);
	open_required(&person);
	say(&person, packets[_i]);
	if (_i < 3)
		expect_heard(&person, error_of(expected, "policy-violation", "TLS is required"));
	else
		expect_heard(&person, error_of(expected, "unsupported-stanza-type", NULL));
	leave(&person);
	expect_ended(&person, END_STREAM_ERROR);
	expect_no_frame();
}
END_TEST

START_TEST(tls_is_required_of_old_clients)
{
	struct person person;

	tell_certificate(true);
	connect_to(&person, 0, LISTEN_TLS_STARTTLS);
	say(&person, OLD);
	turns();
	listen_to(&person);
	ck_assert_ptr_nonnull(strstr(text_of(&person.heard), "><stream:error>TLS is required</stream:error>" END));
	leave(&person);
	expect_ended(&person, END_STREAM_ERROR);
}
END_TEST

/* On a listener without it, or (a second round) where there is no certificate any more. */
START_TEST(starttls_cannot_be_had)
{
	struct person person;

	if (_i == 0) {
		open_stream(&person, 0, true);
	} else {
		tell_certificate(true);
		open_required(&person);
		settings.tls.certificate_count = 0;
		tell_settings();
	}
	say(&person, STARTTLS);
	expect_heard(&person, "<failure xmlns='" TLS_NS "'/>" END);
	leave(&person);
	expect_ended(&person, END_TLS_FAILED);
}
END_TEST

START_TEST(starttls_before_an_answer)
{
	struct person person;
	char expected[1024];

	tell_certificate(false);
	connect_to(&person, 0, LISTEN_TLS_STARTTLS);
	say(&person, MODERN LOGIN);
	expect_about(&person, W2M_PACKET);
	listen_to(&person);
	buffer_clear(&person.heard);
	say(&person, STARTTLS);
	expect_heard(&person, error_of(expected, "policy-violation", "&lt;starttls/&gt; before an answer has come"));
	leave(&person);
	expect_ended(&person, END_STREAM_ERROR);
}
END_TEST

/* Every place to cut a ClientHello: half of it, then the end, or garbage. */
START_TEST(handshake_cut_anywhere)
{
	struct person person;
	struct secret secret;
	uint8_t hello[2048];
	BIO *out = BIO_new(BIO_s_mem());
	int length;

	tell_certificate(true);
	secret.ssl = secret_new();
	SSL_set_bio(secret.ssl, BIO_new(BIO_s_mem()), out);
	SSL_set_connect_state(secret.ssl);
	ck_assert_int_eq(SSL_do_handshake(secret.ssl), -1);
	length = BIO_read(out, hello, sizeof hello);
	ck_assert_int_gt(length, 100);
	SSL_free(secret.ssl);
	for (int i = 1; i < length; i++) {
		connect_to(&person, 0, LISTEN_TLS_BOTH);
		ck_assert_int_eq(send(person.fd, hello, (size_t)i, MSG_NOSIGNAL), i);
		if (_i == 1)
			ck_assert_int_eq(send(person.fd, "\xff\xff\xff\xff\xff\xff\xff\xff", 8, MSG_NOSIGNAL), 8);
		turns();
		leave(&person);
		expect_about(&person, W2M_ENDED);
		queue_forget();
	}
	ck_assert_ptr_null(worker.clients[0]);
	ck_assert(TAILQ_EMPTY(&worker.handshake.queue));
	ck_assert_uint_eq(worker.counters.handshakes_failed, (uint64_t)length - 1);
}
END_TEST

START_TEST(handshake_takes_too_long)
{
	struct person person;

	tell_certificate(true);
	connect_to(&person, 0, LISTEN_TLS_DIRECT);
	if (_i == 1)
		say(&person, "\x16\x03\x01");
	turns();
	/* While nobody is read, nobody is late. */
	tell(M2W_STOP);
	deadlines_are_due(&worker.handshake);
	turns();
	ck_assert_int_lt(client_of(&person)->state, CLIENT_CLOSING);
	tell(M2W_GO);
	deadlines_are_due(&worker.handshake);
	expect_hung_up(&person);
	leave(&person);
	expect_ended(&person, END_HANDSHAKE_TIMEOUT);
}
END_TEST

/* Ended by the master on its way to TLS: nothing in clear text comes in between. */
START_TEST(ended_before_tls)
{
	struct person person;

	tell_certificate(true);
	if (_i < 2) {
		connect_to(&person, 0, LISTEN_TLS_BOTH);
		if (_i == 1)
			say(&person, "\x16\x03\x01");
	} else {
		open_required(&person);
		say(&person, STARTTLS);
		expect_heard(&person, PROCEED);
	}
	turns();
	tell_reason(&person, M2W_CLOSE, END_SHUTDOWN);
	expect_hung_up(&person);
	leave(&person);
	expect_ended(&person, END_SHUTDOWN);
}
END_TEST

/* Megabytes one way and the other, more than any buffer; then the end, which comes behind all of them. */
START_TEST(tls_is_slow_and_flushed)
{
	struct person person;
	struct secret secret;
	char after[700];
	unsigned count = 0;
	const char *at;
	int size = 4096;

	tell_certificate(true);
	secret_log_in(&secret, &person, 0);
	setsockopt(client_of(&person)->watch.fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
	snprintf(after, sizeof after, "><body>%0600d</body></message>", 1);
	for (unsigned i = 0; i < 5000; i++)
		answer(&person, "<message", "alice@foo.com/r", after, 0);
	turns();
	ck_assert_ptr_nonnull(client_of(&person)->output);
	tell_reason(&person, M2W_CLOSE, END_KICKED);
	at = secret_hear(&secret, NULL);
	while ((at = strstr(at, "</message>")) != NULL) {
		count++;
		at++;
	}
	ck_assert_uint_eq(count, 5000);
	ck_assert_ptr_nonnull(strstr(text_of(&person.heard), "<policy-violation"));
	secret_leave(&secret);
}
END_TEST

/* More in one go than a read takes: nothing waits for an event that does not come; and not while it must not be read. */
START_TEST(more_than_one_read)
{
	struct person person;
	struct secret secret;
	char text[20001];

	tell_certificate(true);
	secret_log_in(&secret, &person, 0);
	memset(text, ' ', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	if (_i == 1)
		tell(M2W_STOP);
	secret_say(&secret, text);
	secret_say(&secret, "<presence/>");
	if (_i == 1) {
		expect_no_frame();
		ck_assert_int_ne(client_of(&person)->unread, UNREAD_NO);
		tell(M2W_GO);
	}
	expect_about(&person, W2M_PACKET);
	secret_leave(&secret);
	expect_ended(&person, END_LOST);
}
END_TEST

/* Its TLS ends, or breaks, or its connection does. */
START_TEST(tls_ends)
{
	struct person person;
	struct secret secret;

	tell_certificate(true);
	secret_log_in(&secret, &person, 0);
	if (_i == 0)
		ck_assert_int_eq(SSL_shutdown(secret.ssl), 0);
	else if (_i == 1)
		shutdown(person.fd, SHUT_WR);
	else
		ck_assert_int_eq(send(person.fd, "\x17\x03\x03\0\x20 what nobody has ever encrypted.", 37, MSG_NOSIGNAL), 37);
	if (_i < 2) {
		ck_assert_str_eq(secret_hear(&secret, NULL), END);
		secret_leave(&secret);
		expect_ended(&person, END_LOST);
		return;
	}
	turns();
	secret_leave(&secret);
	expect_ended(&person, END_TLS_FAILED);
}
END_TEST

/* Half a record costs as much as half an element: who is to be ended when memory is short is found by this. */
START_TEST(what_tls_holds_is_counted)
{
	static const uint8_t half[16000] = { 0x17, 3, 3, 0x40, 0x11 };
	struct person person;
	struct secret secret;

	tell_certificate(true);
	secret_log_in(&secret, &person, 0);
	deadlines_are_due(&worker.intake_idle);
	turns();
	ck_assert_uint_eq(client_memory(client_of(&person)), 0);
	ck_assert_int_eq(send(person.fd, half, sizeof half, MSG_NOSIGNAL), sizeof half);
	turns();
	ck_assert_uint_ge(client_memory(client_of(&person)), sizeof half);
	secret_leave(&secret);
	expect_ended(&person, END_LOST);
}
END_TEST

static TCase *
tls_tests(void)
{
	TCase *tests = tcase_create("TLS");

	tcase_add_test(tests, tls_from_the_first_byte);
	tcase_add_loop_test(tests, first_byte, 0, 3);
	tcase_add_loop_test(tests, starttls_begins_anew, 0, 2);
	tcase_add_test(tests, starttls_behind_a_packet);
	tcase_add_loop_test(tests, starttls_with_a_stream_upstream, 0, 3);
	tcase_add_loop_test(tests, starttls_injection, 0, 3);
	tcase_add_loop_test(tests, tls_is_required, 0, 4);
	tcase_add_test(tests, tls_is_required_of_old_clients);
	tcase_add_loop_test(tests, starttls_cannot_be_had, 0, 2);
	tcase_add_test(tests, starttls_before_an_answer);
	tcase_add_loop_test(tests, handshake_cut_anywhere, 0, 2);
	tcase_add_loop_test(tests, handshake_takes_too_long, 0, 2);
	tcase_add_loop_test(tests, ended_before_tls, 0, 3);
	tcase_add_test(tests, tls_is_slow_and_flushed);
	tcase_add_loop_test(tests, more_than_one_read, 0, 2);
	tcase_add_loop_test(tests, tls_ends, 0, 3);
	tcase_add_test(tests, what_tls_holds_is_counted);
	return tests;
}

static TCase *
talk_tests(void)
{
	TCase *tests = tcase_create("talk");

	tcase_add_test(tests, pings_are_answered);
	tcase_add_loop_test(tests, headers_are_answered, 0, 2);
	tcase_add_test(tests, elements_are_stamped);
	tcase_add_test(tests, byte_by_byte);
	tcase_add_test(tests, packets_are_delivered_and_settled);
	tcase_add_test(tests, acknowledged_is_not_settled_at_once);
	tcase_add_test(tests, settled_by_its_end);
	tcase_add_test(tests, settled_by_a_goodbye);
	tcase_add_test(tests, not_settled_by_a_goodbye);
	tcase_add_test(tests, not_settled_by_a_reset);
	tcase_add_test(tests, not_settled_by_a_reset_of_long_ago);
	tcase_add_test(tests, not_settled_by_a_late_look);
	tcase_add_test(tests, settled_before_a_reset);
	tcase_add_test(tests, reset_where_something_goes_back);
	tcase_add_test(tests, no_reset_without_need);
	tcase_add_test(tests, the_last_bytes_are_waited_for);
	tcase_add_test(tests, login_refused_and_tried_again);
	tcase_add_test(tests, login_refused_too_often);
	tcase_add_test(tests, failed_logins_cost_time);
	tcase_add_test(tests, trouble_costs_nothing);
	tcase_add_loop_test(tests, failures_of_the_address_cost_time, 0, COUNT(addresses));
	tcase_add_loop_test(tests, who_waits_has_an_end, 0, 3);
	tcase_add_loop_test(tests, crowded_out_at_once, 0, 2);
	tcase_add_test(tests, unreadable_packets_are_consumed);
	tcase_add_test(tests, address_that_is_too_long);
	return tests;
}

/* ---- proxies ---- */

#define LINE "PROXY TCP4 192.0.2.7 198.51.100.1 12345 5222\r\n"
#define BINARY "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x13\xc0\0\x02\x07\xc6\x33\x64\x01\x30\x39\x14\x66\x04\0\x04tlvs"
#define LOCAL "\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"
/* What its connection is said to come from: nobody but the proxy. */
#define ITSELF "PROXY TCP6 ::1 ::1 5222 5222\r\n"

#define BYTES(text) text, sizeof(text) - 1

static const struct {
	const char *bytes;
	size_t length;
	bool says;	/* where the client comes from */
} prefaces[] = {
	{ BYTES(LINE), true },
	{ BYTES(BINARY), true },
	{ BYTES(LOCAL), false },
	{ BYTES("PROXY UNKNOWN\r\n"), false },
	{ BYTES(ITSELF), false },
};

static void
connect_proxied(struct person *person)
{
	hand_over_as(person, 0, &(struct newcomer){ .peer = { .address = IN6ADDR_LOOPBACK_INIT, .port = 5222 },
	    .proxied = true });
	expect_about(person, W2M_TAKEN);
}

static void
say_bytes(const struct person *person, const void *bytes, size_t length)
{
	ck_assert_int_eq(send(person->fd, bytes, length, MSG_NOSIGNAL), (ssize_t)length);
}

/* Nothing is ready, so nothing turns in circles. */
static void
expect_quiet(void)
{
	struct epoll_event event;

	turns();
	ck_assert_int_eq(epoll_wait(worker.loop.epoll_fd, &event, 1, 0), 0);
}

static bool
header_is_over(void *argument)
{
	return !client_of(argument)->proxied;
}

static void
tell_admitted(const struct person *person, uint8_t failures)
{
	struct buffer body = { 0 };

	message_put_failures(&body, failures);
	channel_send(&master, M2W_ADMITTED, person->slot, person->serial, &body);
	buffer_deinit(&body);
}

/* Behind all headers: whose client this is, for everybody. Nothing more is read of it before the master has answered. */
static void
expect_origin(struct person *person, bool said)
{
	char address[INET6_ADDRSTRLEN];
	const struct client *client;
	struct frame frame;
	struct peer peer;

	ck_assert(loop_turn_until(&worker.loop, header_is_over, person));
	client = client_of(person);
	ck_assert_str_eq(peer_format(&client->peer, address), said ? "192.0.2.7" : "::1");
	ck_assert_uint_eq(client->peer.port, said ? 12345 : 5222);
	if (!said)
		return;
	expect_about(person, W2M_ADDRESS);
	frame = frame_of(&queue[queue_taken - 1]);
	ck_assert(message_get_address(&frame, &peer));
	ck_assert_str_eq(peer_format(&peer, address), "192.0.2.7");
	ck_assert_uint_eq(peer.port, 12345);
	expect_quiet();
	ck_assert_uint_eq(client->bytes_in, 0);
	tell_admitted(person, 0);
}

static bool
header_is_half(void *argument)
{
	return client_of(argument)->half_header;
}

START_TEST(a_header_comes_first)
{
	struct person person;

	connect_proxied(&person);
	say_bytes(&person, prefaces[_i].bytes, prefaces[_i].length);
	expect_origin(&person, prefaces[_i].says);
	expect_quiet();
	say(&person, MODERN);
	expect_header(&person, true);
	ck_assert_uint_eq(client_of(&person)->bytes_in, strlen(MODERN));
	leave(&person);
	expect_ended(&person, END_LOST);
	ck_assert_ptr_nonnull(strstr(text_of(&lines), prefaces[_i].says ? " address=192.0.2.7 port=12345 " :
	    " address=::1 port=5222 "));
}
END_TEST

START_TEST(a_header_is_cut_anywhere)
{
	for (size_t cut = 1; cut < prefaces[_i].length; cut++) {
		struct person person;

		connect_proxied(&person);
		say_bytes(&person, prefaces[_i].bytes, cut);
		ck_assert(loop_turn_until(&worker.loop, header_is_half, &person));
		expect_no_frame();
		expect_quiet();
		ck_assert_uint_eq(client_memory(client_of(&person)), 0);
		say_bytes(&person, prefaces[_i].bytes + cut, prefaces[_i].length - cut);
		say(&person, MODERN);
		expect_origin(&person, prefaces[_i].says);
		expect_header(&person, true);
		leave(&person);
		expect_ended(&person, END_LOST);
	}
}
END_TEST

START_TEST(a_header_and_a_stream_byte_by_byte)
{
	struct person person;

	connect_proxied(&person);
	for (size_t i = 0; i < prefaces[_i].length; i++) {
		say_bytes(&person, prefaces[_i].bytes + i, 1);
		turns();
	}
	for (const char *byte = MODERN; *byte != '\0'; byte++) {
		say_bytes(&person, byte, 1);
		turns();
	}
	expect_origin(&person, prefaces[_i].says);
	expect_header(&person, true);
	leave(&person);
}
END_TEST

/* Bytes are neither lost nor taken for the header when everything comes at once. */
START_TEST(a_header_and_a_stream_at_once)
{
	struct person person;
	struct buffer all = { 0 };

	connect_proxied(&person);
	buffer_append(&all, prefaces[_i].bytes, prefaces[_i].length);
	buffer_append_string(&all, MODERN);
	say_bytes(&person, buffer_bytes(&all), buffer_length(&all));
	expect_origin(&person, prefaces[_i].says);
	expect_header(&person, true);
	leave(&person);
	buffer_deinit(&all);
}
END_TEST

static const struct {
	const char *bytes;
	size_t length;
	const char *text;
} no_prefaces[] = {
	{ BYTES(MODERN), "no-header" },
	{ BYTES("\x16\x03\x01\x02\0\x01"), "no-header" },
	{ BYTES("PROXY TCP4 192.0.2.07 198.51.100.1 12345 5222\r\n" MODERN), "bad-line" },
	{ BYTES("\r\n\r\n\0\r\nQUIT\n\x11"), "bad-version" },
	{ BYTES("\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff"), "too-long" },
};

START_TEST(what_is_no_header)
{
	struct person person;
	char expected[64];

	connect_proxied(&person);
	say_bytes(&person, no_prefaces[_i].bytes, no_prefaces[_i].length);
	expect_hung_up(&person);
	leave(&person);
	expect_ended(&person, END_PROXY_FAILED);
	snprintf(expected, sizeof expected, "reason=proxy-failed text=\"%s\" address=::1 port=5222 ", no_prefaces[_i].text);
	ck_assert_ptr_nonnull(strstr(text_of(&lines), expected));
}
END_TEST

/* Closed, and reset. */
START_TEST(half_a_header_and_gone)
{
	struct linger hard = { .l_onoff = 1 };
	struct person person;

	connect_proxied(&person);
	say_bytes(&person, BINARY, 14);
	ck_assert(loop_turn_until(&worker.loop, header_is_half, &person));
	if (_i == 0)
		setsockopt(person.fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
	leave(&person);
	expect_ended(&person, END_LOST);
}
END_TEST

/* Nothing; LOCAL; version 1's way to say so. Closed, and reset. */
START_TEST(health_checks_leave_no_line)
{
	static const struct {
		const char *bytes;
		size_t length;
	} checks[] = { { BYTES("") }, { BYTES(LOCAL) }, { BYTES(ITSELF) } };
	struct linger hard = { .l_onoff = 1 };
	struct person person;

	connect_proxied(&person);
	buffer_clear(&lines);
	say_bytes(&person, checks[_i / 2].bytes, checks[_i / 2].length);
	turns();
	if (_i % 2 == 0)
		setsockopt(person.fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
	leave(&person);
	expect_about(&person, W2M_ENDED);
	turns();
	ck_assert_str_eq(text_of(&lines), "");
}
END_TEST

/* While the link takes nothing, the master still learns of whom there are how many. */
START_TEST(a_header_does_not_wait_for_the_link)
{
	struct person person;

	tell(M2W_STOP);
	connect_proxied(&person);
	say(&person, LINE MODERN);
	expect_origin(&person, true);
	expect_no_frame();
	ck_assert_uint_eq(client_of(&person)->bytes_in, 0);
	tell(M2W_GO);
	expect_header(&person, true);
	leave(&person);
}
END_TEST

/* What the address has failed in costs time here as without a proxy, however soon the login comes. */
START_TEST(failures_behind_a_proxy_cost_time)
{
	struct person person;

	pauses_are(60000, 8000);
	connect_proxied(&person);
	say(&person, LINE MODERN LOGIN);
	ck_assert(loop_turn_until(&worker.loop, header_is_over, &person));
	expect_about(&person, W2M_ADDRESS);
	tell_admitted(&person, 200);
	expect_header(&person, true);
	turns();
	expect_no_frame();
	ck_assert_int_eq(client_of(&person)->unread, UNREAD_FAILED);
	leave(&person);
}
END_TEST

/* Who is refused is not read any more either. */
START_TEST(refused_behind_a_proxy)
{
	struct person person;

	connect_proxied(&person);
	say(&person, LINE MODERN);
	ck_assert(loop_turn_until(&worker.loop, header_is_over, &person));
	expect_about(&person, W2M_ADDRESS);
	tell_reason(&person, M2W_CLOSE, END_REFUSED);
	expect_ended(&person, END_REFUSED);
	leave(&person);
}
END_TEST

static TCase *
proxy_tests(void)
{
	TCase *tests = tcase_create("proxies");

	tcase_add_loop_test(tests, a_header_comes_first, 0, COUNT(prefaces));
	tcase_add_loop_test(tests, a_header_is_cut_anywhere, 0, COUNT(prefaces));
	tcase_add_loop_test(tests, a_header_and_a_stream_byte_by_byte, 0, COUNT(prefaces));
	tcase_add_loop_test(tests, a_header_and_a_stream_at_once, 0, COUNT(prefaces));
	tcase_add_loop_test(tests, what_is_no_header, 0, COUNT(no_prefaces));
	tcase_add_loop_test(tests, half_a_header_and_gone, 0, 2);
	tcase_add_loop_test(tests, health_checks_leave_no_line, 0, 6);
	tcase_add_test(tests, a_header_does_not_wait_for_the_link);
	tcase_add_test(tests, failures_behind_a_proxy_cost_time);
	tcase_add_test(tests, refused_behind_a_proxy);
	return tests;
}

static TCase *
end_tests(void)
{
	TCase *tests = tcase_create("ends");

	tcase_add_test(tests, closed_by_the_client);
	tcase_add_test(tests, closing_has_an_end);
	tcase_add_loop_test(tests, faults_have_conditions, 0, COUNT(faults));
	tcase_add_test(tests, faults_of_old_clients_have_text);
	tcase_add_test(tests, unknown_host);
	tcase_add_loop_test(tests, said_before_a_reset, 0, 2);
	tcase_add_loop_test(tests, connection_lost, 0, 4);
	tcase_add_loop_test(tests, ended_by_the_session_manager, 0, 4);
	tcase_add_loop_test(tests, ended_by_the_master, 0, COUNT(closings));
	tcase_add_test(tests, too_slow_is_cut_off);
	tcase_add_test(tests, all_are_ended);
	tcase_add_test(tests, frames_about_the_gone);
	tcase_add_test(tests, ends_with_its_master);
	tcase_add_loop_test(tests, ends_when_its_master_breaks_the_contract, 0, 3);
	return tests;
}

static TCase *
bound_tests(void)
{
	TCase *tests = tcase_create("bounds");

	tcase_add_test(tests, refused_when_full);
	tcase_add_test(tests, refused_without_descriptor);
	tcase_add_loop_test(tests, place_that_is_taken, 0, 3);
	tcase_add_test(tests, not_read_while_stopped);
	tcase_add_test(tests, gone_while_stopped);
	tcase_add_test(tests, not_read_while_the_master_is_slow);
	tcase_add_test(tests, too_much_is_not_read_for_a_while);
	tcase_add_test(tests, small_reads_are_dear);
	tcase_add_loop_test(tests, throttled_and_stopped, 0, 2);
	tcase_add_loop_test(tests, throttled_and_closed, 0, 2);
	tcase_add_test(tests, throttled_and_reset);
	tcase_add_test(tests, throttled_and_kicked);
	tcase_add_test(tests, throttled_is_not_silent);
	tcase_add_test(tests, stopped_is_not_silent);
	tcase_add_loop_test(tests, throttled_and_other_limits, 0, 2);
	tcase_add_test(tests, throttled_beside_others);
	tcase_add_test(tests, all_before_login_is_bounded);
	tcase_add_test(tests, nothing_behind_the_bound_is_read);
	tcase_add_loop_test(tests, limits_have_names, 0, COUNT(above));
	tcase_add_test(tests, idle_client_owns_nothing);
	tcase_add_test(tests, small_and_given_back);
	tcase_add_test(tests, not_reading_is_ended);
	tcase_add_test(tests, slow_reader_is_known);
	tcase_add_test(tests, half_closed);
	tcase_add_test(tests, surveys_are_answered);
	tcase_add_test(tests, traces_are_shown);
	tcase_add_test(tests, traces_begin_where_they_begin);
	tcase_add_loop_test(tests, secrets_are_not_shown, 0, COUNT(secret_logins));
	tcase_add_test(tests, slow_reading_is_not_ended);
	tcase_add_test(tests, too_much_unsent_is_ended);
	tcase_add_loop_test(tests, reserve_is_had_again, 0, 2);
	tcase_add_test(tests, login_takes_too_long);
	tcase_add_test(tests, no_header_takes_too_long);
	tcase_add_test(tests, silence_is_broken_by_white_space);
	tcase_add_loop_test(tests, too_long_a_silence_ends, 0, 3);
	tcase_add_test(tests, shorter_times_for_who_waits);
	tcase_add_test(tests, silence_that_nobody_minded);
	tcase_add_test(tests, host_is_gone);
	return tests;
}

int
main(void)
{
	TCase *tests[] = { talk_tests(), tls_tests(), end_tests(), bound_tests(), proxy_tests() };
	Suite *suite = suite_create("client");

	for (unsigned i = 0; i < COUNT(tests); i++) {
		tcase_set_timeout(tests[i], 120);
		tcase_add_checked_fixture(tests[i], setup, teardown);
		suite_add_tcase(suite, tests[i]);
	}
	return tls_init() < 0 ? EXIT_FAILURE : tap_run(suite);
}
