/*
 * A login with SASL in a worker, over the dialect sfrom: everything that a client may send at once, cut at every byte; what it is
 * not read for; and packets that come before it knows that it has a session.
 */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "tests/worker/stage.h"
#include "worker/login.h"
#include "worker/relay.h"
#include "worker/unread.h"

#define SASL "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'"
#define AUTH "<auth " SASL " mechanism='PLAIN'>AGFsaWNlAHB3</auth>"	/* |alice|pw */
#define BIND "<iq type='set' id='b1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>home</resource></bind></iq>"
#define ALL MODERN AUTH MODERN BIND "<presence/>"
#define ADDRESS "alice@foo.com/r"
#define SUCCESS "<success " SASL "/>"
#define BOUND "<iq type='result' id='b1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>" ADDRESS "</jid></bind></iq>"

static void
setup_plain(void)
{
	setup();
	settings.plain = true;
	settings.digest = false;
	settings.limits.login_pause = 8000;
	tell_settings();
}

/* It has heard these, in this order, and nothing behind the last. */
static void
expect_in_order(struct person *person, const char *const words[])
{
	const char *at;

	listen_to(person);
	at = text_of(&person->heard);
	for (; *words != NULL; words++) {
		const char *found = strstr(at, *words);

		ck_assert_msg(found != NULL, "no '%s' in '%s'", *words, text_of(&person->heard));
		at = found + strlen(*words);
	}
	ck_assert_str_eq(at, "");
	buffer_clear(&person->heard);
}

static void
answer_login(struct person *person)
{
	expect_about(person, W2M_PACKET);
	ck_assert_ptr_nonnull(strstr(text_of(&queue[queue_taken - 1].body), "<username>alice</username><password>pw</password>"));
	answer(person, "<iq type='result' id='c2sd-sasl'", ADDRESS, "/>", 0);
	expect_session(person, ADDRESS);
}

/* To the success, and its header behind that. */
static void
authenticate(struct person *person, uint32_t slot)
{
	connect_client(person, slot);
	say(person, MODERN AUTH);
	answer_login(person);
	ck_assert_int_eq(client_of(person)->state, CLIENT_OPENING);
	say_all(person, MODERN);
	turns();
	ck_assert_int_eq(client_of(person)->state, CLIENT_LOGIN);
	expect_in_order(person, (const char *const[]){ "<mechanisms", "</stream:features>" SUCCESS "<?xml version='1.0'?>", "<bind ",
	    "<optional/>", "<max-bytes>", "</stream:features>", NULL });
}

static void
bind_resource(struct person *person)
{
	say_all(person, BIND);
	turns();
	ck_assert_int_eq(client_of(person)->state, CLIENT_SESSION);
	ck_assert_ptr_null(client_of(person)->login);
}

static void
say_part(const struct person *person, const char *text, size_t length)
{
	ck_assert_int_eq(send(person->fd, text, length, MSG_NOSIGNAL), (ssize_t)length);
	turns();
}

static void
forget(struct person *person)
{
	leave(person);
	expect_ended(person, END_LOST);
	queue_forget();
	buffer_clear(&lines);
}

/* `late`: the session manager answers when everything was said. */
static void
pipeline(size_t cut, bool late)
{
	char presence[1024];
	struct person person;
	bool answered = false;

	connect_client(&person, 0);
	say_part(&person, ALL, cut);
	if (!late && frame_is_there(NULL)) {
		answer_login(&person);
		answered = true;
	}
	say_part(&person, &ALL[cut], strlen(ALL) - cut);
	if (!answered)
		answer_login(&person);
	stamped(presence, &person, "<presence", ADDRESS, "/>");
	expect_text(&person, W2M_PACKET, presence);
	expect_no_frame();
	ck_assert_int_eq(client_of(&person)->state, CLIENT_SESSION);
	ck_assert(!relay_waits(client_of(&person)) && client_of(&person)->unread == UNREAD_NO);
	expect_in_order(&person, (const char *const[]){ "<?xml version='1.0'?><stream:stream ", "<mechanisms ",
	    "</stream:features>" SUCCESS "<?xml version='1.0'?><stream:stream ", "<bind ", "</stream:features>" BOUND, NULL });
	ck_assert_ptr_nonnull(strstr(text_of(&lines), " client logged-in account=\"" ADDRESS "\""));
	forget(&person);
}

START_TEST(everything_at_once_cut_anywhere)
{
	for (size_t cut = 0; cut <= strlen(ALL); cut++)
		pipeline(cut, _i == 1);
}
END_TEST

/* What comes in one piece each, with the answers between them. */
START_TEST(step_by_step)
{
	struct person person;
	char expected[1024];

	authenticate(&person, 0);
	ck_assert_ptr_null(strstr(text_of(&lines), " client logged-in "));
	bind_resource(&person);
	expect_heard(&person, BOUND);
	answer(&person, "<message", "alice@foo.com", "><body>x</body></message>", 0);
	expect_number(&person, W2M_SETTLED, 2);
	expect_heard(&person, "<message><body>x</body></message>");
	say(&person, "<message to='b'/>");
	stamped(expected, &person, "<message", ADDRESS, " to='b'/>");
	expect_text(&person, W2M_PACKET, expected);
	/* The second stream has another id, and is the one that is closed. */
	say(&person, END);
	expect_hung_up_after(&person, END);
	leave(&person);
	expect_ended(&person, END_CLOSED);
}
END_TEST

/* Its bytes stay where they are until the answer comes; the end of its time does not wait. */
START_TEST(not_read_before_the_answer)
{
	struct person person;
	uint64_t before;

	connect_client(&person, 0);
	say_all(&person, MODERN AUTH);
	expect_about(&person, W2M_PACKET);
	before = client_of(&person)->bytes_in;
	ck_assert_int_eq(client_of(&person)->unread, UNREAD_ANSWER);
	say(&person, MODERN BIND);
	turns();
	ck_assert_uint_eq(client_of(&person)->bytes_in, before);
	if (_i == 0) {
		answer(&person, "<iq type='result' id='c2sd-sasl'", ADDRESS, "/>", 0);
		expect_session(&person, ADDRESS);
		turns();
		ck_assert_int_eq(client_of(&person)->state, CLIENT_SESSION);
		leave(&person);
		expect_ended(&person, END_LOST);
	} else {
		deadlines_are_due(&worker.login);
		expect_hung_up_after(&person, "connection-timeout");
		leave(&person);
		expect_ended(&person, END_LOGIN_TIMEOUT);
	}
}
END_TEST

START_TEST(refused_and_tried_again)
{
	struct person person;

	connect_client(&person, 0);
	say_all(&person, MODERN AUTH);
	expect_about(&person, W2M_PACKET);
	answer(&person, "<iq type='error' id='c2sd-sasl'", "foo.com", "><error code='401'>Unauthorized</error></iq>", 0);
	expect_about(&person, W2M_LOGIN_FAILED);
	expect_number(&person, W2M_CONSUMED, 1);
	ck_assert_ptr_nonnull(strstr(text_of(&lines), " account=\"alice@foo.com\" reason=not-authorized attempt=1\n"));
	/* It has to wait before the next. */
	ck_assert(login_waits(client_of(&person)));
	ck_assert_int_eq(client_of(&person)->unread, UNREAD_FAILED);
	ck_assert(!relay_waits(client_of(&person)));
	expect_in_order(&person, (const char *const[]){ "</stream:features><failure " SASL "><not-authorized/>", "</failure>", NULL });
	container_of(client_of(&person)->login, struct login, dialect)->until = 0;
	deadlines_are_due(&worker.login_tick);
	turns();
	/* Its own fault: it counts as an attempt, and is not told to the master. */
	say_all(&person, "<auth " SASL " mechanism='X'/>");
	expect_no_frame();
	ck_assert_ptr_nonnull(strstr(text_of(&lines), " account=\"@foo.com\" reason=invalid-mechanism attempt=2\n"));
	expect_in_order(&person, (const char *const[]){ "<failure " SASL "><invalid-mechanism/>", "</failure>", NULL });
	say_all(&person, AUTH MODERN BIND);
	expect_about(&person, W2M_PACKET);
	answer(&person, "<iq type='result' id='c2sd-sasl'", ADDRESS, "/>", 0);
	expect_about(&person, W2M_SESSION);
	expect_number(&person, W2M_CONSUMED, 2);
	turns();
	ck_assert_int_eq(client_of(&person)->state, CLIENT_SESSION);
	leave(&person);
	expect_ended(&person, END_LOST);
}
END_TEST

/* ---- packets before it is bound ---- */

/* In their order, and settled once. `_i`: so many come before its header does. */
START_TEST(held_until_bound)
{
	char packet[40], heard[400] = BOUND;
	struct person person;

	connect_client(&person, 0);
	say(&person, MODERN AUTH);
	answer_login(&person);
	for (int i = 0; i < 4; i++) {
		if (i == _i)
			say_all(&person, MODERN);
		snprintf(packet, sizeof packet, " id='%d'/>", i);
		answer(&person, i % 2 == 0 ? "<message" : "<presence", "alice@foo.com", packet, 0);
		snprintf(&heard[strlen(heard)], sizeof heard - strlen(heard), "%s%s", i % 2 == 0 ? "<message" : "<presence", packet);
	}
	if (_i == 4)
		say_all(&person, MODERN);
	expect_no_frame();
	ck_assert_ptr_null(strstr(text_of(&person.heard), "id='0'"));
	listen_to(&person);
	buffer_clear(&person.heard);
	bind_resource(&person);
	expect_number(&person, W2M_SETTLED, 5);
	expect_heard(&person, heard);
	leave(&person);
	expect_ended(&person, END_LOST);
}
END_TEST

/* It goes, with or without a word: they are the master's, which is told of none. */
START_TEST(held_and_gone)
{
	struct person person;

	authenticate(&person, 0);
	answer(&person, "<message", "alice@foo.com", "/>", 0);
	answer(&person, "<message", "alice@foo.com", "/>", 0);
	expect_no_frame();
	if (_i == 0) {
		leave(&person);
		expect_ended(&person, END_LOST);
	} else if (_i == 1) {
		say(&person, END);
		expect_hung_up_after(&person, END);
		leave(&person);
		expect_ended(&person, END_CLOSED);
	} else if (_i == 2) {
		say(&person, "<message/>");
		expect_hung_up_after(&person, "not-authorized");
		leave(&person);
		expect_ended(&person, END_NOT_AUTHORIZED);
	} else {
		answer(&person, "<message type='error'", ADDRESS, "><error code='510'>Disconnected</error></message>", 0);
		expect_number(&person, W2M_CONSUMED, 4);
		expect_hung_up_after(&person, "Disconnected");
		leave(&person);
		expect_ended(&person, END_DISCONNECTED);
	}
	expect_no_frame();
}
END_TEST

START_TEST(held_is_bounded)
{
	static char body[20001];
	struct person person;
	unsigned count = 0;

	settings.limits.unsent_bytes = 65536;
	tell_settings();
	memset(body, 'x', sizeof body - 1);
	memcpy(body, "><body>", strlen("><body>"));
	strcpy(&body[sizeof body - strlen("</body></message>") - 1], "</body></message>");
	authenticate(&person, 0);
	while (client_of(&person)->state == CLIENT_LOGIN && count < 4) {
		char packet[20100];

		/* What answer() has no room for. */
		snprintf(packet, sizeof packet, "<message sto='nonce.3.0.%u@foo-sockets' sfrom='alice@foo.com'%s",
		    (unsigned)person.serial, body);
		tell_packet(&person, packet, 0);
		turns();
		count++;
	}
	ck_assert_uint_eq(count, 4);
	expect_hung_up_after(&person, "resource-constraint");
	leave(&person);
	expect_ended(&person, END_TOO_SLOW);
	expect_no_frame();
}
END_TEST

/* A stream that begins anew is one with the same host, by the same rules. */
START_TEST(another_host)
{
	struct person person;

	connect_client(&person, 0);
	say(&person, MODERN AUTH);
	answer_login(&person);
	if (_i == 0)
		say(&person, "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='bar.com' "
		    "version='1.0'>");
	else
		say(&person, AUTH);
	expect_hung_up_after(&person, _i == 0 ? "host-unknown" : "</stream:stream>");
	leave(&person);
	expect_ended(&person, END_STREAM_ERROR);
}
END_TEST

/* It is taken away between the login and the next header: who has a session there keeps it. */
START_TEST(host_that_goes)
{
	struct person person;
	char *host = settings.hosts[0], other[] = "bar.com";

	connect_client(&person, 0);
	say(&person, MODERN AUTH);
	answer_login(&person);
	settings.hosts[0] = other;
	tell_settings();
	settings.hosts[0] = host;
	say_all(&person, MODERN);
	listen_to(&person);
	ck_assert_ptr_nonnull(strstr(text_of(&person.heard), "<bind "));
	buffer_clear(&person.heard);
	bind_resource(&person);
	expect_heard(&person, BOUND);
	leave(&person);
	expect_ended(&person, END_LOST);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("restart");
	TCase *tests = tcase_create("restart");

	tcase_add_checked_fixture(tests, setup_plain, teardown);
	tcase_set_timeout(tests, 60);
	tcase_add_loop_test(tests, everything_at_once_cut_anywhere, 0, 2);
	tcase_add_test(tests, step_by_step);
	tcase_add_loop_test(tests, not_read_before_the_answer, 0, 2);
	tcase_add_test(tests, refused_and_tried_again);
	tcase_add_loop_test(tests, held_until_bound, 0, 5);
	tcase_add_loop_test(tests, held_and_gone, 0, 4);
	tcase_add_test(tests, held_is_bounded);
	tcase_add_loop_test(tests, another_host, 0, 2);
	tcase_add_test(tests, host_that_goes);
	suite_add_tcase(suite, tests);
	return tap_run(suite);
}
