/* Presence, rosters and subscriptions. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sessiond/fake.h"

#define ALICE "alice@localhost/home"
#define BOB "bob@localhost/work"
#define TO_A "sto='" FAKE_A "' sfrom='alice@localhost'"
#define TO_B "sto='" FAKE_B "' sfrom='bob@localhost'"
#define ROSTER "<query xmlns='jabber:iq:roster'>"

static struct fake *fake;

static void
setup(void)
{
	fake = fake_new("");
	fake_register(fake, "alice");
	fake_register(fake, "bob");
	fake_login(fake, FAKE_A, "alice", "home");
	fake_login(fake, FAKE_B, "bob", "work");
}

static void
teardown(void)
{
	fake_free(fake);
}

static const char *
alice_is(const char *attributes, const char *content)
{
	return fake_stanza(fake, FAKE_A, ALICE, "presence", attributes, content);
}

static const char *
bob_is(const char *attributes, const char *content)
{
	return fake_stanza(fake, FAKE_B, BOB, "presence", attributes, content);
}

static const char *
alice_roster(const char *type, const char *items)
{
	char content[4096];

	snprintf(content, sizeof content, ROSTER "%s</query>", items);
	return fake_stanza(fake, FAKE_A, ALICE, "iq", type, content);
}

/* Both see each other; both asked for their rosters and are not available. */
static void
become_friends(void)
{
	alice_roster("type='get' id='1'", "");
	fake_stanza(fake, FAKE_B, BOB, "iq", "type='get' id='1'", ROSTER "</query>");
	alice_is("type='subscribe' to='bob@localhost'", "");
	bob_is("type='subscribed' to='alice@localhost'", "");
	bob_is("type='subscribe' to='alice@localhost'", "");
	alice_is("type='subscribed' to='bob@localhost'", "");
}

START_TEST(roster_is_empty_at_first)
{
	ck_assert_str_eq(alice_roster("type='get' id='ro1'", ""),
	    "<iq " TO_A " type='result' id='ro1' to='" ALICE "'><query xmlns='jabber:iq:roster'/></iq>");
}
END_TEST

START_TEST(roster_set_is_answered_pushed_and_kept)
{
	const char *answer;

	fake_login(fake, FAKE_C, "alice", "quiet");
	alice_roster("type='get' id='1'", "");
	answer = alice_roster("type='set' id='2'", "<item jid='Bob@Localhost' name='B&amp;b' ask='subscribe' "
	    "subscription='both'>"
	    "<group>Friends</group><group>Work</group></item>");
	ck_assert_str_eq(answer, "<iq " TO_A " type='result' id='2' to='" ALICE "'/>"
	    "<iq " TO_A " type='set' id='push-1' to='" ALICE "'>" ROSTER
	    "<item jid='bob@localhost' name='B&amp;b' subscription='none'><group>Friends</group><group>Work</group>"
	    "</item></query></iq>");
	ck_has(alice_roster("type='get' id='3'", ""), "<item jid='bob@localhost' name='B&amp;b' subscription='none'>"
	    "<group>Friends</group><group>Work</group></item>");
	answer = alice_roster("type='set' id='4'", "<item jid='bob@localhost'/>");
	ck_has(answer, "<item jid='bob@localhost' subscription='none'/>");
	answer = alice_roster("type='set' id='5'", "<item jid='bob@localhost' subscription='remove'/>");
	ck_has(answer, "<iq " TO_A " type='result' id='5'");
	ck_has(answer, "<item jid='bob@localhost' subscription='remove'/>");
	ck_has(alice_roster("type='get' id='6'", ""), "<query xmlns='jabber:iq:roster'/>");
}
END_TEST

START_TEST(roster_set_is_checked)
{
	static const struct {
		const char *items, *error;
	} cases[] = {
		{ "", "code='400'" },
		{ "<item jid='a@localhost'/><item jid='b@localhost'/>", "code='400'" },
		{ "<item/>", "code='400'" },
		{ "<other/><item jid='a@localhost'/>", "code='400'" },
		{ "<item jid='a b@localhost'/>", "<jid-malformed " },
		{ "<item jid='a@localhost'><group/></item>", "code='406'" },
		{ "<item jid='a@localhost'><group>x</group><group>x</group></item>", "code='400'" },
		{ "<item jid='a@localhost' subscription='remove'/>", "code='404'" },
		{ "<item jid='alice@localhost'/>", "code='405'" },
	};
	char long_name[2000];

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		ck_has(alice_roster("type='set' id='1'", cases[i].items), cases[i].error);
	snprintf(long_name, sizeof long_name, "<item jid='a@localhost' name='%01100d'/>", 0);
	ck_has(alice_roster("type='set' id='1'", long_name), "code='406'");
	ck_has(alice_roster("type='get' id='6'", ""), "<query xmlns='jabber:iq:roster'/>");
}
END_TEST

START_TEST(subscription_from_the_first_word_to_the_last)
{
	const char *answer;

	alice_roster("type='get' id='1'", "");
	fake_stanza(fake, FAKE_B, BOB, "iq", "type='get' id='1'", ROSTER "</query>");
	bob_is("", "");
	answer = alice_is("type='subscribe' to='bob@localhost/ignored' id='s1'", "<status>please</status>");
	ck_assert_str_eq(answer, "<iq " TO_A " type='set' id='push-1' to='" ALICE "'>" ROSTER
	    "<item jid='bob@localhost' subscription='none' ask='subscribe'/></query></iq>"
	    "<presence " TO_B " to='bob@localhost' type='subscribe' id='s1' from='alice@localhost'><status>"
	    "please</status></presence>");
	/* Who only waits for an answer is not in the contact's roster, and asking again changes nothing. */
	ck_has(fake_stanza(fake, FAKE_B, BOB, "iq", "type='get' id='2'", ROSTER "</query>"),
	    "<query xmlns='jabber:iq:roster'/>");
	ck_assert_str_eq(alice_is("type='subscribe' to='bob@localhost'", ""), "");
	answer = bob_is("type='subscribed' to='alice@localhost'", "");
	ck_assert_str_eq(answer, "<iq " TO_B " type='set' id='push-2' to='" BOB "'>" ROSTER
	    "<item jid='alice@localhost' subscription='from'/></query></iq>"
	    "<iq " TO_A " type='set' id='push-3' to='" ALICE "'>" ROSTER "<item jid='bob@localhost' "
	    "subscription='to'/></query></iq>"
	    "<presence " TO_A " to='alice@localhost' type='subscribed' from='bob@localhost'/>");
	/* Alice is not available: bob's presence comes when she is. */
	answer = alice_is("", "");
	ck_has(answer, "<presence " TO_A " to='alice@localhost' from='" BOB "'/>");
	bob_is("type='subscribe' to='alice@localhost'", "");
	answer = alice_is("type='subscribed' to='bob@localhost'", "");
	ck_has(answer, "<item jid='bob@localhost' subscription='both'/>");
	ck_has(answer, "<item jid='alice@localhost' subscription='both'/>");
	ck_has(answer, "<presence " TO_B " to='bob@localhost' from='" ALICE "'/>");
	/* Alice does not want bob's presence any more: she gets his farewell. */
	answer = alice_is("type='unsubscribe' to='bob@localhost'", "");
	ck_has(answer, "<item jid='bob@localhost' subscription='from'/>");
	ck_has(answer, "<item jid='alice@localhost' subscription='to'/>");
	ck_has(answer, "<presence " TO_B " to='bob@localhost' type='unsubscribe' from='alice@localhost'/>");
	ck_has(answer, "<presence " TO_A " to='alice@localhost' type='unavailable' from='" BOB "'/>");
	/* And she takes hers from him. */
	answer = alice_is("type='unsubscribed' to='bob@localhost'", "");
	ck_has(answer, "<item jid='bob@localhost' subscription='none'/>");
	ck_has(answer, "<item jid='alice@localhost' subscription='none'/>");
	ck_has(answer, "<presence " TO_B " to='bob@localhost' type='unsubscribed' from='alice@localhost'/>");
	ck_has(answer, "<presence " TO_B " to='bob@localhost' type='unavailable' from='" ALICE "'/>");
	ck_has_not(bob_is("", "<show>away</show>"), FAKE_A);
}
END_TEST

START_TEST(request_waits_for_the_contact)
{
	const char *answer;

	ck_assert_str_eq(alice_is("type='subscribe' to='bob@localhost'", "<status>&lt;hi></status>"), "");
	for (int i = 0; i < 2; i++) {
		answer = bob_is("", "");
		ck_has(answer, "<presence " TO_B " to='bob@localhost' type='subscribe' from='alice@localhost'>"
		    "<status>&lt;hi&gt;</status></presence>");
		bob_is("type='unavailable'", "");
	}
	bob_is("type='unsubscribed' to='alice@localhost'", "");
	ck_has_not(bob_is("", ""), "subscribe");
	ck_has(alice_roster("type='get' id='6'", ""), "<item jid='bob@localhost' subscription='none'/>");
}
END_TEST

START_TEST(request_to_who_agreed_before_is_answered_for_him)
{
	const char *answer;

	become_friends();
	alice_is("", "");
	bob_is("", "");
	/* Alice's side forgets, bob's does not. */
	sqlite3_exec(fake->sd.store.db, "UPDATE roster SET state = 2 WHERE account = 'alice@localhost'", NULL, NULL,
	    NULL);
	answer = alice_is("type='subscribe' to='bob@localhost'", "");
	ck_has_not(answer, "type='subscribe' ");
	ck_has(answer, "<presence " TO_A " to='alice@localhost' type='subscribed' from='bob@localhost'/>");
	ck_has(answer, "<item jid='bob@localhost' subscription='both'/>");
	ck_has(answer, "<presence " TO_A " to='alice@localhost' from='" BOB "'/>");
}
END_TEST

START_TEST(subscription_to_nobody_is_silent_and_elsewhere_an_error)
{
	ck_assert_str_eq(alice_is("type='subscribe' to='nobody@localhost'", ""), "");
	ck_assert_str_eq(alice_is("type='subscribe' to='alice@localhost'", ""), "");
	ck_has(alice_is("type='subscribe' to='x@elsewhere.example'", ""), "<remote-server-not-found ");
	ck_has(alice_is("type='subscribe' to='a b@localhost'", ""), "<jid-malformed ");
	ck_has(alice_is("type='subscribe' to='localhost'", ""), "<service-unavailable ");
	ck_has(alice_is("type='subscribe'", ""), "<bad-request ");
	ck_assert_str_eq(alice_is("type='subscribed' to='bob@localhost'", ""), "");
	ck_assert_str_eq(alice_is("type='unsubscribed' to='bob@localhost'", ""), "");
}
END_TEST

START_TEST(presence_goes_to_subscribers_and_oneself)
{
	const char *answer;

	become_friends();
	ck_assert_str_eq(alice_is("id='p'", "<show>chat</show>"),
	    "<presence " TO_A " to='alice@localhost' id='p' from='" ALICE
	    "'><show>chat</show></presence>");
	answer = bob_is("", "");
	ck_has(answer, "<presence " TO_A " to='alice@localhost' from='" BOB "'/>");
	ck_has(answer, "<presence " TO_B " to='bob@localhost' id='p' from='" ALICE "'><show>chat</show></presence>");
	answer = alice_is("", "<show>away</show>");
	ck_has(answer, "<presence " TO_B " to='bob@localhost' from='" ALICE "'><show>away</show></presence>");
	ck_has_not(answer, "from='" BOB "'");
	fake_login(fake, FAKE_C, "alice", "phone");
	answer = fake_stanza(fake, FAKE_C, "alice@localhost/phone", "presence", "", "");
	ck_has(answer, "<presence sto='" FAKE_C "' sfrom='alice@localhost' to='alice@localhost' from='" ALICE "'>"
	    "<show>away</show></presence>");
	ck_has(answer, "<presence " TO_A " to='alice@localhost' from='alice@localhost/phone'/>");
	ck_has(answer, "<presence " TO_B " to='bob@localhost' from='alice@localhost/phone'/>");
	answer = alice_is("type='unavailable'", "<status>bye</status>");
	ck_has(answer, "<presence " TO_B " to='bob@localhost' type='unavailable' from='" ALICE "'><status>"
	    "bye</status></presence>");
	ck_has(answer, "<presence sto='" FAKE_C "' sfrom='alice@localhost' to='alice@localhost' type='unavailable' "
	    "from='" ALICE "'>");
	ck_assert_str_eq(alice_is("type='unavailable'", ""), "");
}
END_TEST

START_TEST(session_that_ends_takes_its_presence_along)
{
	const char *answer;

	become_friends();
	alice_is("", "");
	bob_is("", "");
	answer = fake_send(fake, "<message type='error' sto='" ALICE "' sfrom='" FAKE_A "'><error code='510'>"
	    "Disconnected</error></message>");
	ck_assert_str_eq(answer, "<presence " TO_B " to='bob@localhost' type='unavailable' from='" ALICE "'><status>"
	    "Disconnected</status></presence>");
	fake_login(fake, FAKE_A, "alice", "home");
	alice_is("", "");
	/* Replaced: the old one's end is told too. */
	answer = fake_send(fake, "<iq type='set' id='a3' sto='localhost' sfrom='" FAKE_C "'><query "
	    "xmlns='jabber:iq:auth'>"
	    "<username>alice</username><password>pw</password><resource>home</resource></query></iq>");
	ck_has(answer, "<presence " TO_B " to='bob@localhost' type='unavailable' from='" ALICE "'>");
	ck_assert(strstr(answer, "type='result'") < strstr(answer, "code='510'"));
	ck_assert(strstr(answer, "code='510'") < strstr(answer, "type='unavailable'"));
}
END_TEST

START_TEST(presence_is_checked)
{
	static const char *const priorities[] = { "128", "-129", "x", "", "1 2", "99999999999" };
	char content[64];

	for (size_t i = 0; i < sizeof priorities / sizeof priorities[0]; i++) {
		snprintf(content, sizeof content, "<priority>%s</priority>", priorities[i]);
		ck_has(alice_is("", content), "code='400'");
	}
	ck_has(alice_is("", "<priority> -128\n</priority>"), "<priority> -128");
	ck_has(alice_is("type='dance'", ""), "code='400'");
	ck_has(alice_is("type='probe'", ""), "code='400'");
	ck_assert_str_eq(alice_is("type='error'", ""), "");
	ck_has(alice_is("to='a b@localhost'", ""), "<jid-malformed ");
	ck_has(alice_is("to='x@elsewhere.example'", ""), "<remote-server-not-found ");
}
END_TEST

START_TEST(long_presence_is_refused)
{
	struct buffer text = { 0 };
	const char *answer;

	buffer_append_format(&text, "<presence sto='" ALICE "' sfrom='" FAKE_A "'><status>%020000d</status>"
	    "</presence>", 0);
	buffer_append(&text, "", 1);
	answer = fake_send(fake, (const char *)buffer_bytes(&text));
	ck_has(answer, "code='406'");
	ck_assert_ptr_null(session_find(&fake->sd, ALICE)->presence);
	buffer_deinit(&text);
}
END_TEST

START_TEST(directed_presence_ends_with_the_session)
{
	const char *answer;

	bob_is("", "");
	answer = alice_is("to='" BOB "'", "<show>dnd</show>");
	ck_assert_str_eq(answer, "<presence " TO_B " to='" BOB "' from='" ALICE "'><show>dnd</show></presence>");
	ck_assert_str_eq(alice_is("to='bob@localhost'", ""), "<presence " TO_B " to='bob@localhost' "
	    "from='" ALICE "'/>");
	ck_assert_str_eq(alice_is("to='bob@localhost' type='unavailable'", ""),
	    "<presence " TO_B " to='bob@localhost' type='unavailable' from='" ALICE "'/>");
	answer = fake_send(fake, "<message type='error' sto='" ALICE "' sfrom='" FAKE_A "'><error code='510'>"
	    "Disconnected</error></message>");
	ck_assert_str_eq(answer, "<presence " TO_B " to='" BOB "' type='unavailable' from='" ALICE "'><status>"
	    "Disconnected</status></presence>");
}
END_TEST

START_TEST(directed_presence_does_not_say_goodbye_twice)
{
	const char *answer;

	become_friends();
	bob_is("", "");
	alice_is("", "");
	alice_is("to='" BOB "'", "");
	answer = alice_is("type='unavailable'", "");
	ck_assert_uint_eq(fake_count(answer, "sto='" FAKE_B "'"), 1);
}
END_TEST

START_TEST(directed_presence_is_bounded)
{
	const char *answer = "";
	char attributes[64];

	for (int i = 0; i < 300 && *answer == '\0'; i++) {
		snprintf(attributes, sizeof attributes, "to='user%d@localhost/x'", i);
		answer = alice_is(attributes, "");
	}
	ck_has(answer, "<resource-constraint ");
}
END_TEST

START_TEST(probe_is_answered_to_who_may_see)
{
	alice_is("", "<show>xa</show>");
	ck_assert_str_eq(bob_is("type='probe' to='alice@localhost'", ""), "");
	become_friends();
	ck_assert_str_eq(bob_is("type='probe' to='alice@localhost'", ""),
	    "<presence " TO_B " to='bob@localhost' from='" ALICE "'><show>xa</show></presence>");
	ck_assert_str_eq(bob_is("type='probe' to='nobody@localhost'", ""), "");
}
END_TEST

START_TEST(contact_decides_who_may_see)
{
	become_friends();
	bob_is("", "");
	/* Bob's side forgets, alice's does not. */
	sqlite3_exec(fake->sd.store.db, "UPDATE roster SET state = 1 WHERE account = 'bob@localhost'", NULL, NULL, NULL);
	ck_has_not(alice_is("", ""), BOB);
}
END_TEST

START_TEST(roster_remove_ends_both_ways)
{
	const char *answer;

	become_friends();
	alice_is("", "");
	bob_is("", "");
	answer = alice_roster("type='set' id='9'", "<item jid='bob@localhost' subscription='remove'/>");
	ck_has(answer, "<presence " TO_B " to='bob@localhost' type='unsubscribe' from='alice@localhost'/>");
	ck_has(answer, "<presence " TO_B " to='bob@localhost' type='unsubscribed' from='alice@localhost'/>");
	ck_has(answer, "<presence " TO_B " to='bob@localhost' type='unavailable' from='" ALICE "'/>");
	ck_has(answer, "<presence " TO_A " to='alice@localhost' type='unavailable' from='" BOB "'/>");
	ck_has(answer, "<item jid='alice@localhost' subscription='none'/>");
	ck_has(answer, "<item jid='bob@localhost' subscription='remove'/>");
	ck_assert_uint_eq(fake_count(answer, "<item jid='bob@localhost'"), 1);
}
END_TEST

START_TEST(account_that_is_removed_leaves_its_contacts)
{
	const char *answer;

	become_friends();
	alice_is("", "");
	bob_is("", "");
	answer = fake_stanza(fake, FAKE_A, ALICE, "iq", "type='set' id='3'",
	    "<query xmlns='jabber:iq:register'><remove/></query>");
	ck_has(answer, "type='unsubscribed' from='alice@localhost'");
	ck_has(answer, "<item jid='alice@localhost' subscription='none'/>");
	ck_has(answer, "<iq " TO_A " type='result' id='3'");
	ck_has(answer, "sfrom='" ALICE "' type='error'><error code='510'>");
	ck_has(answer, "<presence " TO_B " to='bob@localhost' type='unavailable' from='" ALICE "'/>");
	ck_assert_uint_eq(fake->sd.sessions.by_id.count, 1);
}
END_TEST

static int
refuse(void *argument)
{
	(void)argument;
	return 1;
}

START_TEST(account_that_cannot_be_removed_stays_as_it_is)
{
	const char *answer;

	become_friends();
	alice_is("", "");
	bob_is("", "");
	sqlite3_commit_hook(fake->sd.store.db, refuse, NULL);
	answer = fake_stanza(fake, FAKE_A, ALICE, "iq", "type='set' id='3'",
	    "<query xmlns='jabber:iq:register'><remove/></query>");
	ck_has(answer, "<internal-server-error ");
	ck_has_not(answer, TO_B);
	sqlite3_commit_hook(fake->sd.store.db, NULL, NULL);
	ck_assert_uint_eq(fake->sd.sessions.by_id.count, 2);
	ck_has(alice_is("", "<show>away</show>"), TO_B);
}
END_TEST

START_TEST(idle_session_is_small)
{
	ck_assert_uint_le(sizeof(struct session), 160);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("presence");
	TCase *tests = tcase_create("presence");

	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, roster_is_empty_at_first);
	tcase_add_test(tests, roster_set_is_answered_pushed_and_kept);
	tcase_add_test(tests, roster_set_is_checked);
	tcase_add_test(tests, subscription_from_the_first_word_to_the_last);
	tcase_add_test(tests, request_waits_for_the_contact);
	tcase_add_test(tests, request_to_who_agreed_before_is_answered_for_him);
	tcase_add_test(tests, subscription_to_nobody_is_silent_and_elsewhere_an_error);
	tcase_add_test(tests, presence_goes_to_subscribers_and_oneself);
	tcase_add_test(tests, session_that_ends_takes_its_presence_along);
	tcase_add_test(tests, presence_is_checked);
	tcase_add_test(tests, long_presence_is_refused);
	tcase_add_test(tests, directed_presence_ends_with_the_session);
	tcase_add_test(tests, directed_presence_does_not_say_goodbye_twice);
	tcase_add_test(tests, directed_presence_is_bounded);
	tcase_add_test(tests, probe_is_answered_to_who_may_see);
	tcase_add_test(tests, contact_decides_who_may_see);
	tcase_add_test(tests, roster_remove_ends_both_ways);
	tcase_add_test(tests, account_that_is_removed_leaves_its_contacts);
	tcase_add_test(tests, account_that_cannot_be_removed_stays_as_it_is);
	tcase_add_test(tests, idle_session_is_small);
	suite_add_tcase(suite, tests);
	return fake_run(suite);
}
