/* probe: whose session was asked hears nothing of it, who does not answer ends, and nobody else does. Argument: `puppet`. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "master/link_parts.h"
#include "master/router.h"
#include "tests/common/turn.h"
#include "tests/dialect/tap.h"
#include "tests/master/stage.h"

#define ALICE "alice@foo.com/home"
#define BOB "bob@foo.com/home"

static struct entry *alice, *bob;
static char *asked;		/* what the session manager was asked */

/* Both were logged in when the link was lost, and it is back: what they were asked, ids only. */
static void
setup_of(const char *dialect)
{
	stage_open(2, 100000);
	stage.link.timeout = 10000;
	alice = client_login(0, ALICE);
	bob = client_login(1, BOB);
	stage.link.dialect = dialect_find(dialect);
	manager_up();
	manager_die();
	manager_take();
	puppet_forget(0);
	puppet_forget(1);
	ck_assert(alice->doubtful && bob->doubtful);
	manager_up();
	timer_is_due(&stage.loop, &stage.probe.timer);
	stage_turns();
}

static void
setup(void)
{
	setup_of("sfrom");
}

static void
setup_route(void)
{
	setup_of("route");
}

static void
teardown(void)
{
	stage_assert_balance();
	stage_close();
	free(asked);
	asked = NULL;
}

static const char *
asked_id(const struct entry *entry)
{
	static char ids[2][30];
	char start[200];
	const char *at;
	char *id = ids[entry == bob];

	if (asked == NULL)
		asked = strdup(manager_hear());
	snprintf(start, sizeof start, " sfrom='%s' type='get' id='", id_of(entry));
	at = strstr(asked, start);
	ck_assert_msg(at != NULL, "%s not in %s", start, asked);
	at += strlen(start);
	snprintf(id, sizeof ids[0], "%.*s", (int)strcspn(at, "'"), at);
	return id;
}

static void
hears(uint32_t worker, enum frame_type type, bool expected)
{
	struct frame frame;
	int fd;
	bool heard = false;

	while (puppet_hear(worker, &frame, &fd))
		heard |= frame.type == type;
	ck_assert_int_eq(heard, expected);
}

START_TEST(answers_are_swallowed)
{
	manager_say("<iq type='result' id='%s' sto='%s' sfrom='alice@foo.com'/>", asked_id(alice), id_of(alice));
	manager_say("<iq type='error' id='%s' sto='%s' sfrom='bob@foo.com'><error code='501'/></iq>", asked_id(bob), id_of(bob));
	stage_turns();
	ck_assert(!alice->doubtful && !bob->doubtful && !alice->due && !bob->due);
	hears(0, M2W_PACKET, false);
	hears(1, M2W_PACKET, false);
}
END_TEST

/* The id is hers alone, and in her answers alone. */
START_TEST(others_are_not)
{
	manager_say("<iq type='result' id='%s' sto='%s' sfrom='bob@foo.com'/>", asked_id(alice), id_of(bob));
	manager_say("<message id='%s' sto='%s' sfrom='alice@foo.com'/>", asked_id(alice), id_of(alice));
	stage_turns();
	ck_assert(alice->doubtful && bob->doubtful);
	hears(0, M2W_PACKET, true);
	hears(1, M2W_PACKET, true);
}
END_TEST

START_TEST(the_end_is_told_later)
{
	spread_change(&stage.spread, 86400000);
	manager_say("<message type='error' sto='%s' sfrom='" ALICE "'><error code='510'>x</error></message>", id_of(alice));
	stage_turns();
	ck_assert(alice->due && alice->forgotten && alice->ended_upstream && !bob->due);
	/* However often it is said. */
	manager_say("<message type='error' sto='%s' sfrom='" ALICE "'><error code='510'>x</error></message>", id_of(alice));
	stage_turns();
	hears(0, M2W_PACKET, false);
	hears(0, M2W_CLOSE, false);
	spread_change(&stage.spread, 0);
	stage_turns();
	hears(0, M2W_CLOSE, true);
	hears(1, M2W_CLOSE, false);
	ck_assert_uint_eq(alice->close_reason, END_FORGOTTEN);
}
END_TEST

START_TEST(silence)
{
	spread_change(&stage.spread, 86400000);
	manager_say("<iq type='result' id='%s' sto='%s' sfrom='bob@foo.com'/>", asked_id(bob), id_of(bob));
	stage_turns();
	stage.link.timeout = 0;
	timer_is_due(&stage.loop, &stage.probe.timer);
	stage_turns();
	ck_assert(alice->due && alice->forgotten && !alice->ended_upstream && !bob->due);
	/* A late answer is good. */
	manager_say("<iq type='result' id='%s' sto='%s' sfrom='alice@foo.com'/>", asked_id(alice), id_of(alice));
	stage_turns();
	ck_assert(!alice->due && !alice->forgotten);
	hears(0, M2W_CLOSE, false);
	hears(0, M2W_PACKET, false);
}
END_TEST

/* 0: we do not read the session manager; 1: not all is written. Its time does not run meanwhile, and begins anew behind that. */
START_TEST(silence_of_who_is_not_heard)
{
	spread_change(&stage.spread, 86400000);
	for (uint32_t i = 0; i < stage.probe.count; i++)
		stage.probe.places[(stage.probe.first + i) % PROBES_MAX].at -= stage.link.timeout;
	if (_i == 0) {
		link_read(&stage.link, false);
	} else {
		stage.link.outbox.held = true;
		ck_assert(router_send(&stage, "<message/>", 10));
	}
	timer_is_due(&stage.loop, &stage.probe.timer);
	stage_turns();
	ck_assert(alice->doubtful && bob->doubtful && !alice->due && !bob->due);
	stage.link.outbox.held = false;
	link_read(&stage.link, true);
	link_flush(&stage.link);
	timer_is_due(&stage.loop, &stage.probe.timer);
	stage_turns();
	ck_assert(alice->doubtful && bob->doubtful && !alice->due && !bob->due);
	stage.probe.deaf = 0;
	timer_is_due(&stage.loop, &stage.probe.timer);
	stage_turns();
	ck_assert(alice->due && bob->due);
}
END_TEST

START_TEST(what_the_forgotten_send)
{
	char text[300];

	spread_change(&stage.spread, 86400000);
	manager_say("<message type='error' sto='%s' sfrom='" ALICE "'><error code='510'>x</error></message>", id_of(alice));
	stage_turns();
	manager_hear();
	snprintf(text, sizeof text, "<message sto='" ALICE "' sfrom='%s'><body>x</body></message>", id_of(alice));
	puppet_say_of(alice, W2M_PACKET, text, strlen(text));
	puppet_say_of(alice, W2M_PACKET, text, strlen(text));
	stage_turns();
	ck_assert_ptr_null(strstr(manager_hear(), "<body>x</body>"));
	ck_assert(alice->closing && alice->close_reason == END_FORGOTTEN);
}
END_TEST

START_TEST(lost_again)
{
	manager_die();
	ck_assert_ptr_null(stage.probe.places);
	ck_assert(alice->doubtful && !alice->probed);
	manager_up();
	timer_is_due(&stage.loop, &stage.probe.timer);
	stage_turns();
	ck_assert(alice->probed && bob->probed);
	ck_assert_uint_eq(stage.probe.count, 2);
}
END_TEST

/* The stream goes on, on another connection: who has not answered is asked again, and nobody else. */
START_TEST(resumed_in_the_middle)
{
	manager_say("<iq type='result' id='%s' sto='%s' sfrom='alice@foo.com'/>", asked_id(alice), id_of(alice));
	stage_turns();
	probe_stop(&stage);
	ck_assert(bob->doubtful && !bob->probed);
	probe_begin(&stage);
	timer_is_due(&stage.loop, &stage.probe.timer);
	stage_turns();
	ck_assert(!alice->doubtful && bob->doubtful && bob->probed);
	ck_assert_uint_eq(stage.probe.count, 1);
	ck_assert_uint_eq(stage.probe.asked, 1);
}
END_TEST

/* It was not there yet when all were asked. */
START_TEST(confirmed_behind_the_others)
{
	manager_die();
	bob->confirmed = false;
	manager_up();
	timer_is_due(&stage.loop, &stage.probe.timer);
	stage_turns();
	ck_assert(alice->probed && bob->doubtful && !bob->probed);
	bob->confirmed = true;
	probe_confirmed(&stage);
	timer_is_due(&stage.loop, &stage.probe.timer);
	stage_turns();
	ck_assert(bob->probed);
	ck_assert_uint_eq(stage.probe.count, 2);
}
END_TEST

/* Whatever would be answered is about the later login. */
START_TEST(superseded_is_not_asked)
{
	spread_change(&stage.spread, 86400000);
	manager_die();
	alice->superseded = true;
	manager_up();
	timer_is_due(&stage.loop, &stage.probe.timer);
	stage_turns();
	ck_assert(alice->forgotten && alice->due && !alice->probed);
	ck_assert(bob->doubtful && bob->probed);
	ck_assert_uint_eq(stage.probe.count, 1);
}
END_TEST

#define RETURNED "<route type='error' error='Invalid Session' to='%s' from='%s'><message to='bob@foo.com'/></route>"

/* The question of this client, as jabberd sends it back. */
static void
send_question_back(const struct entry *entry, const char *address)
{
	const char *begin, *end;
	char start[200];

	if (asked == NULL)
		asked = strdup(manager_hear());
	snprintf(start, sizeof start, " from='%s'><iq", id_of(entry));
	begin = strstr(asked, start);
	ck_assert_msg(begin != NULL, "%s not in %s", start, asked);
	begin = strstr(begin, "<iq");
	end = strstr(begin, "</route>");
	manager_say("<route type='error' error='Invalid Session' to='%s' from='%s'>%.*s</route>", id_of(entry), address,
	    (int)(end - begin), begin);
	stage_turns();
}

START_TEST(route_is_started_again)
{
	send_question_back(alice, ALICE);
	hears(0, M2W_PACKET, true);
	hears(1, M2W_PACKET, false);
	ck_assert(!alice->doubtful && bob->doubtful);
	ck_assert_uint_eq(stage.probe.again, 1);
}
END_TEST

/*
 * What she had sent herself comes back in front of the question. Her worker starts the session again for that, and not once more.
 * _i: she was asked, or it was not her turn yet.
 */
START_TEST(route_is_started_again_once)
{
	char start[200];

	if (_i == 1)
		alice->probed = false;
	manager_say(RETURNED, id_of(alice), ALICE);
	stage_turns();
	hears(0, M2W_PACKET, true);
	ck_assert(!alice->doubtful && !alice->due && !alice->forgotten);
	snprintf(start, sizeof start, "<route type='session' to='" ALICE "' from='%s'/>", id_of(alice));
	puppet_say_of(alice, W2M_PACKET, start, strlen(start));
	stage_turns();
	ck_assert(alice->starts);
	if (_i == 0)
		send_question_back(alice, ALICE);
	hears(0, M2W_PACKET, false);
	ck_assert_uint_eq(stage.probe.again, 1);
	ck_assert_uint_eq(stage.probe.gone, 0);
	/* The link is lost, and with it that question perhaps. */
	manager_die();
	manager_up();
	timer_is_due(&stage.loop, &stage.probe.timer);
	stage_turns();
	ck_assert(alice->doubtful && alice->probed);
	free(asked);
	asked = NULL;
	send_question_back(alice, ALICE);
	hears(0, M2W_PACKET, true);
}
END_TEST

/* Whose answer is late is still started again. */
START_TEST(route_answer_is_late)
{
	alice->doubtful = false;
	send_question_back(alice, ALICE);
	hears(0, M2W_PACKET, true);
}
END_TEST

/* Who answers whatever is asked has something else to do. */
START_TEST(route_silence_means_nothing)
{
	stage.link.timeout = 0;
	timer_is_due(&stage.loop, &stage.probe.timer);
	stage_turns();
	ck_assert_uint_eq(stage.probe.count, 0);
	ck_assert(!alice->doubtful && !alice->forgotten && !alice->due && !bob->doubtful && !bob->forgotten && !bob->due);
	hears(0, M2W_CLOSE, false);
	hears(1, M2W_CLOSE, false);
}
END_TEST

int
main(int argc, char **argv)
{
	Suite *suite = suite_create("probe");
	TCase *tests = tcase_create("probe");

	if (argc != 2)
		return EXIT_FAILURE;
	stage_puppet = argv[1];
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, answers_are_swallowed);
	tcase_add_test(tests, others_are_not);
	tcase_add_test(tests, the_end_is_told_later);
	tcase_add_test(tests, silence);
	tcase_add_loop_test(tests, silence_of_who_is_not_heard, 0, 2);
	tcase_add_test(tests, what_the_forgotten_send);
	tcase_add_test(tests, lost_again);
	tcase_add_test(tests, resumed_in_the_middle);
	tcase_add_test(tests, confirmed_behind_the_others);
	tcase_add_test(tests, superseded_is_not_asked);
	suite_add_tcase(suite, tests);
	tests = tcase_create("route");
	tcase_add_checked_fixture(tests, setup_route, teardown);
	tcase_add_test(tests, route_is_started_again);
	tcase_add_loop_test(tests, route_is_started_again_once, 0, 2);
	tcase_add_test(tests, route_answer_is_late);
	tcase_add_test(tests, route_silence_means_nothing);
	suite_add_tcase(suite, tests);
	return tap_run(suite);
}
