/* Messages and questions between users: whom they reach, what waits for its reader, what comes back in a 510. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sessiond/fake.h"

#define ALICE "alice@localhost/home"
#define BOB "bob@localhost/work"
#define STAMPS "<delay xmlns='urn:xmpp:delay' from='localhost' stamp='2026-11-21T12:00:00Z'/>" \
    "<x xmlns='jabber:x:delay' from='localhost' stamp='20261121T12:00:00'>Offline Storage</x>"
#define OFFLINE_COUNT "SELECT count(*) FROM offline"

static struct fake *fake;

static void
begin(const char *settings)
{
	fake = fake_new(settings);
	fake_register(fake, "alice");
	fake_register(fake, "bob");
	fake_login(fake, FAKE_A, "alice", "home");
}

static void
setup(void)
{
	begin("offline-max=3\n");
}

static void
teardown(void)
{
	fake_free(fake);
}

static time_t
clock_later(void)
{
	return 2000000000;
}

/* Behind what was stored: by which name it is known there. */
#define KNOWN(id) "<stanza-id xmlns='urn:xmpp:sid:0' by='bob@localhost' id='" id "'/>"

static const char *
alice_says(const char *attributes, const char *content)
{
	return fake_stanza(fake, FAKE_A, ALICE, "message", attributes, content);
}

static const char *
alice_asks(const char *attributes, const char *content)
{
	return fake_stanza(fake, FAKE_A, ALICE, "iq", attributes, content);
}

static int
offline_count(void)
{
	sqlite3_stmt *row;
	int count = -1;

	sqlite3_prepare_v2(fake->sd.store.db, OFFLINE_COUNT, -1, &row, NULL);
	if (sqlite3_step(row) == SQLITE_ROW)
		count = sqlite3_column_int(row, 0);
	sqlite3_finalize(row);
	return count;
}

/* The client `id` has taken, or not, what was asked for last in `text`. What comes then. */
static const char *
settles(const char *text, const char *id, const char *type)
{
	const char *ask = text, *next;
	char name[64];

	while ((next = strstr(ask + 1, "<settle ")) != NULL)
		ask = next;
	ck_assert_int_eq(sscanf(strstr(ask, " id='"), " id='%63[0-9.]'", name), 1);
	return fake_sendf(fake, "<settle xmlns='urn:x-c2sd:settle:0' type='%s' sto='bob@localhost' sfrom='%s' id='%s'/>", type, id,
	    name);
}

START_TEST(message_arrives_as_recorded)
{
	fake_login(fake, FAKE_B, "bob", "work");
	fake_available(fake, FAKE_B, BOB, 0);
	ck_assert_str_eq(alice_says("to='bob@localhost' type='chat' id='m1'", "<body>hi bob</body>"),
	    "<message sto='" FAKE_B "' sfrom='bob@localhost' to='bob@localhost' type='chat' id='m1' from='" ALICE "'>"
	    "<body>hi bob</body></message>");
}
END_TEST

START_TEST(from_is_what_the_session_is)
{
	const char *answer;

	fake_login(fake, FAKE_B, "bob", "work");
	answer = alice_says("to='bob@localhost/work' from='eve@localhost' id='m2'", "<body>forged</body>");
	ck_has(answer, "from='" ALICE "'");
	ck_has_not(answer, "eve");
}
END_TEST

START_TEST(full_address_is_reached_whether_available_or_not)
{
	static const char *const types[] = { "chat", "normal", "groupchat", "headline", "error" };

	fake_login(fake, FAKE_B, "bob", "work");
	for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
		char attributes[64];

		snprintf(attributes, sizeof attributes, "to='BOB@Localhost/work' type='%s'", types[i]);
		ck_has(alice_says(attributes, "<body>x</body>"), "sto='" FAKE_B "'");
	}
}
END_TEST

START_TEST(highest_priority_gets_it)
{
	const char *answer;

	fake_login(fake, FAKE_B, "bob", "work");
	fake_login(fake, FAKE_C, "bob", "phone");
	fake_login(fake, "d@" FAKE_NAME, "bob", "bot");
	fake_available(fake, FAKE_B, BOB, 5);
	fake_available(fake, FAKE_C, "bob@localhost/phone", 3);
	fake_available(fake, "d@" FAKE_NAME, "bob@localhost/bot", -1);
	answer = alice_says("to='bob@localhost' type='chat'", "<body>x</body>");
	ck_assert_uint_eq(fake_count(answer, "<message"), 1);
	ck_has(answer, "sto='" FAKE_B "'");
	answer = alice_says("to='bob@localhost' type='headline'", "<body>x</body>");
	ck_assert_uint_eq(fake_count(answer, "<message"), 2);
	fake_available(fake, FAKE_C, "bob@localhost/phone", 5);
	answer = alice_says("to='bob@localhost'", "<body>x</body>");
	ck_assert_uint_eq(fake_count(answer, "<message"), 2);
	/* To a resource that is not there: as to the account. */
	answer = alice_says("to='bob@localhost/gone' type='chat'", "<body>x</body>");
	ck_assert_uint_eq(fake_count(answer, "<message"), 2);
	fake_available(fake, FAKE_B, BOB, -1);
	fake_available(fake, FAKE_C, "bob@localhost/phone", -2);
	ck_assert_str_eq(alice_says("to='bob@localhost'", "<body>x</body>"), "");
	ck_assert_int_eq(offline_count(), 1);
}
END_TEST

START_TEST(undeliverable_message_has_an_answer_or_none)
{
	static const struct {
		const char *attributes, *content, *error;	/* NULL: nothing comes back */
	} cases[] = {
		{ "to='nobody@localhost' type='chat'", "<body>x</body>", "code='503'" },
		{ "to='nobody@localhost/r'", "<body>x</body>", "code='503'" },
		{ "to='bob@localhost' type='groupchat'", "<body>x</body>", "code='503'" },
		{ "to='bob@localhost/gone' type='groupchat'", "<body>x</body>", "code='503'" },
		{ "to='bob@localhost' type='headline'", "<body>x</body>", NULL },
		{ "to='bob@localhost/gone' type='headline'", "<body>x</body>", NULL },
		{ "to='bob@localhost' type='error'", "<body>x</body>", NULL },
		{ "to='bob@localhost/gone' type='error'", "<error code='404'/>", NULL },
		{ "to='nobody@localhost' type='error'", "<body>x</body>", NULL },
		{ "to='bob@elsewhere.example'", "<body>x</body>", "code='404'" },
		{ "to='bob@elsewhere.example' type='error'", "<body>x</body>", NULL },
		{ "to='b ob@localhost'", "<body>x</body>", "code='400'" },
		{ "to=''", "<body>x</body>", "code='400'" },
		{ "to='localhost'", "<body>x</body>", "code='503'" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		const char *answer = alice_says(cases[i].attributes, cases[i].content);

		if (cases[i].error == NULL) {
			ck_assert_str_eq(answer, "");
			continue;
		}
		ck_has(answer, cases[i].error);
		ck_has(answer, "<message sto='" FAKE_A "' sfrom='alice@localhost' type='error'");
		ck_has(answer, "<body>x</body>");
	}
	ck_assert_int_eq(offline_count(), 0);
}
END_TEST

START_TEST(message_without_to_is_for_oneself)
{
	fake_available(fake, FAKE_A, ALICE, 0);
	ck_has(alice_says("id='self'", "<body>x</body>"), "sto='" FAKE_A "' sfrom='alice@localhost' id='self'");
}
END_TEST

START_TEST(offline_messages_wait_and_come_in_order)
{
	const char *answer;

	ck_assert_str_eq(alice_says("to='bob@localhost' type='chat' id='1'", "<body>one</body>"), "");
	ck_assert_str_eq(alice_says("to='bob@localhost/gone' id='2'", "<body>t&amp;wo</body>"), "");
	ck_assert_str_eq(alice_says("to='bob@localhost' type='chat' id='3'", "<body>three</body>"), "");
	answer = alice_says("to='bob@localhost' type='chat' id='4'", "<body>four</body>");
	ck_has(answer, "<resource-constraint ");
	ck_assert_int_eq(offline_count(), 3);
	fake_login(fake, FAKE_B, "bob", "work");
	/* Negative priority takes no messages. */
	fake_available(fake, FAKE_B, BOB, -1);
	ck_assert_int_eq(offline_count(), 3);
	answer = fake_stanza(fake, FAKE_B, BOB, "presence", "", "");
	ck_has(answer, "<message sto='" FAKE_B "' sfrom='bob@localhost' to='bob@localhost' type='chat' id='1' "
	    "from='" ALICE
	    "'><body>one</body>" STAMPS KNOWN("1") "</message>"
	    "<message sto='" FAKE_B "' sfrom='bob@localhost' to='bob@localhost/gone' id='2' from='" ALICE
	    "'><body>t&amp;wo</body>" STAMPS KNOWN("2") "</message><message sto='" FAKE_B "'");
	ck_assert_int_eq(offline_count(), 3);
	/* Another client, or another account, cannot have taken it. */
	settles(answer, FAKE_C, "result");
	ck_assert_int_eq(offline_count(), 3);
	ck_assert_str_eq(settles(answer, FAKE_B, "result"), "");
	ck_assert_int_eq(offline_count(), 0);
	ck_has_not(fake_stanza(fake, FAKE_B, BOB, "presence", "", ""), "<message");
}
END_TEST

START_TEST(many_offline_messages_come_in_pages)
{
	struct fake *roomy = fake_new("offline-max=1000\n");
	const char *answer;

	fake_register(roomy, "alice");
	fake_login(roomy, FAKE_A, "alice", "home");
	for (int i = 0; i < 250; i++)
		fake_sendf(roomy, "<message to='alice@localhost' sto='" ALICE "' sfrom='" FAKE_A "'><body>"
		    "(%d)</body></message>", i);
	answer = fake_stanza(roomy, FAKE_A, ALICE, "presence", "", "");
	ck_assert_uint_eq(fake_count(answer, "<message"), 250);
	ck_assert(strstr(answer, "(0)") < strstr(answer, "(100)"));
	ck_assert(strstr(answer, "(100)") < strstr(answer, "(249)"));
	fake_free(roomy);
}
END_TEST

START_TEST(offline_messages_come_again_when_they_cannot_be_deleted)
{
	const char *answer;

	alice_says("to='bob@localhost'", "<body>one</body>");
	fake_login(fake, FAKE_B, "bob", "work");
	answer = fake_stanza(fake, FAKE_B, BOB, "presence", "", "");
	ck_assert_uint_eq(fake_count(answer, "<message"), 1);
	sqlite3_exec(fake->sd.store.db, "PRAGMA query_only = 1", NULL, NULL, NULL);
	ck_assert_str_eq(settles(answer, FAKE_B, "result"), "");
	sqlite3_exec(fake->sd.store.db, "PRAGMA query_only = 0", NULL, NULL, NULL);
	fake_stanza(fake, FAKE_B, BOB, "presence", "type='unavailable'", "");
	answer = fake_stanza(fake, FAKE_B, BOB, "presence", "", "");
	ck_assert_uint_eq(fake_count(answer, "<message"), 1);
	settles(answer, FAKE_B, "result");
	ck_assert_int_eq(offline_count(), 0);
}
END_TEST

static int
refuse(void *argument)
{
	(void)argument;
	return 1;
}

/*
 * A message is stored and handed over in a turn that then cannot be committed: it was never there, and its sender is told so.
 * What the reader has taken by that name is not the one that is stored next.
 */
START_TEST(offline_names_are_never_used_again)
{
	const char *answer;
	char *page;

	fake_login(fake, FAKE_B, "bob", "work");
	sqlite3_commit_hook(fake->sd.store.db, refuse, NULL);
	answer = fake_send(fake, "<message to='bob@localhost' sto='" ALICE "' sfrom='" FAKE_A "'><body>one</body></message>"
	    "<presence sto='" BOB "' sfrom='" FAKE_B "'/>");
	ck_has(answer, "internal-server-error");
	ck_has(answer, "<settle ");
	page = strdup(answer);
	sqlite3_commit_hook(fake->sd.store.db, NULL, NULL);
	fake_stanza(fake, FAKE_B, BOB, "presence", "type='unavailable'", "");
	alice_says("to='bob@localhost'", "<body>two</body>");
	ck_assert_int_eq(offline_count(), 1);
	settles(page, FAKE_B, "result");
	ck_assert_int_eq(offline_count(), 1);
	ck_has(fake_stanza(fake, FAKE_B, BOB, "presence", "", ""), "<body>two</body>");
	free(page);
}
END_TEST

/* What somebody writes fails: who only reads in the same turn is served. */
START_TEST(failure_of_one_is_nobody_elses)
{
	const char *answer;

	alice_says("to='bob@localhost'", "<body>one</body>");
	fake_login(fake, FAKE_B, "bob", "work");
	sqlite3_exec(fake->sd.store.db, "PRAGMA query_only = 1", NULL, NULL, NULL);
	answer = fake_send(fake, "<message id='m' to='bob@localhost' sto='" ALICE "' sfrom='" FAKE_A "'><body>two</body></message>"
	    "<presence sto='" BOB "' sfrom='" FAKE_B "'/>"
	    "<iq type='get' id='r' sto='" ALICE "' sfrom='" FAKE_A "'><query xmlns='jabber:iq:roster'/></iq>");
	ck_assert_uint_eq(fake_count(answer, "<internal-server-error"), 1);
	ck_has(answer, "type='error' id='m'");
	ck_has(answer, "<body>one</body>");
	ck_has(answer, "type='result' id='r'");
}
END_TEST

/* A page cannot be deleted, and the disk is read-only for a while: the next pages come all the same. */
START_TEST(offline_messages_go_on_behind_a_failure)
{
	const char *answer;
	unsigned came = 0;

	fake_free(fake);
	begin("offline-max=1000\noffline-bytes=1000\n");
	for (int i = 0; i < 20; i++)
		alice_says("to='bob@localhost'", "<body>of some length</body>");
	fake_login(fake, FAKE_B, "bob", "work");
	answer = fake_stanza(fake, FAKE_B, BOB, "presence", "", "");
	ck_assert_uint_lt(fake_count(answer, "<body>"), 10);
	came += fake_count(answer, "<body>");
	sqlite3_exec(fake->sd.store.db, "PRAGMA query_only = 1", NULL, NULL, NULL);
	for (int i = 0; i < 20 && fake_count(answer, "<settle ") > 0; i++) {
		answer = settles(answer, FAKE_B, "result");
		came += fake_count(answer, "<body>");
	}
	ck_assert_uint_eq(came, 20);
	ck_assert_int_eq(offline_count(), 20);
}
END_TEST

/* The client has taken a page before the link has acknowledged it: there is another one all the same. */
START_TEST(offline_messages_go_on_when_the_link_is_slow)
{
	char *page;

	fake_free(fake);
	begin("offline-max=1000\nacknowledge=yes\n");
	for (int i = 0; i < 150; i++)
		alice_says("to='bob@localhost'", "<body>x</body>");
	fake_login(fake, FAKE_B, "bob", "work");
	fake_send(fake, "<enable xmlns='urn:xmpp:sm:3' resume='true'/>");
	page = strdup(fake_stanza(fake, FAKE_B, BOB, "presence", "", ""));
	ck_assert_uint_eq(fake_count(page, "<body>"), 100);
	ck_has_not(settles(page, FAKE_B, "result"), "<body>");
	ck_assert_uint_eq(fake_count(fake_sendf(fake, "<a xmlns='urn:xmpp:sm:3' h='%u'/>", fake->sd.link.ledger.ack.sent),
	    "<body>"), 50);
	free(page);
}
END_TEST

/* It is in the store, whatever becomes of the turn: nobody is told that it is not. */
START_TEST(what_is_still_stored_is_not_refused)
{
	const char *answer;

	alice_says("to='bob@localhost' id='m1'", "<body>one</body>");
	alice_says("to='bob@localhost' id='m2'", "<body>two</body>");
	fake_login(fake, FAKE_B, "bob", "work");
	fake_available(fake, FAKE_B, BOB, 0);
	sqlite3_commit_hook(fake->sd.store.db, refuse, NULL);
	answer = fake_send(fake, "<message type='error' sto='" BOB "' sfrom='" FAKE_B "'><error code='510'/></message>"
	    "<message to='bob@localhost' from='" ALICE "' type='error' id='m2' sto='bob@localhost' sfrom='" FAKE_B "'>"
	    "<body>two</body>" STAMPS KNOWN("2") "<error code='510'>Disconnected</error></message>");
	ck_assert_str_eq(answer, "");
	ck_assert_int_eq(offline_count(), 2);
}
END_TEST

START_TEST(offline_messages_come_once_while_the_link_has_not_taken_them)
{
	const char *answer;

	alice_says("to='bob@localhost'", "<body>one</body>");
	fake_login(fake, FAKE_B, "bob", "work");
	answer = fake_send(fake, "<presence sto='" BOB "' sfrom='" FAKE_B "'/>"
	    "<presence type='unavailable' sto='" BOB "' sfrom='" FAKE_B "'/><presence sto='" BOB "' "
	    "sfrom='" FAKE_B "'/>");
	ck_assert_uint_eq(fake_count(answer, "<message"), 1);
}
END_TEST

START_TEST(typing_is_not_kept)
{
	alice_says("to='bob@localhost' type='chat'", "<composing xmlns='http://jabber.org/protocol/chatstates'/>"
	    "<thread>t</thread>");
	alice_says("to='bob@localhost' type='chat'", "<body>x</body><no-store xmlns='urn:xmpp:hints'/>");
	alice_says("to='bob@localhost' type='chat'", "");
	ck_assert_int_eq(offline_count(), 0);
	alice_says("to='bob@localhost'", "<subject>x</subject>");
	ck_assert_int_eq(offline_count(), 1);
}
END_TEST

START_TEST(stamps_in_our_name_cannot_be_forged)
{
	const char *answer;

	alice_says("to='bob@localhost'", "<body>x</body><delay xmlns='urn:xmpp:delay' from='localhost' "
	    "stamp='1999-01-01T00:00:00Z'/><delay xmlns='urn:xmpp:delay' from='room@muc' "
	    "stamp='2001-01-01T00:00:00Z'/>");
	fake_login(fake, FAKE_B, "bob", "work");
	answer = fake_stanza(fake, FAKE_B, BOB, "presence", "", "");
	ck_has_not(answer, "1999");
	ck_has(answer, "2001");
	ck_has(answer, STAMPS);
}
END_TEST

/* The original way: link-protocol 1.5 d, the second recording (7b). */
START_TEST(bounced_message_is_kept_with_its_type)
{
	const char *answer;

	fake_login(fake, FAKE_B, "bob", "work");
	fake_available(fake, FAKE_B, BOB, 0);
	ck_assert_str_eq(fake_send(fake, "<message type='error' sto='" BOB "' sfrom='" FAKE_B "'><error code='510'>"
	    "Disconnected</error></message>"
	    "<message to='" BOB "' from='" ALICE "' type='error' id='m5' sto='bob@localhost' sfrom='" FAKE_B "'>"
	    "<body>will bounce 2</body><error code='510' type='chat'>Disconnected</error></message>"), "");
	ck_assert_int_eq(offline_count(), 1);
	fake_login(fake, FAKE_C, "bob", "work");
	answer = fake_stanza(fake, FAKE_C, BOB, "presence", "", "");
	ck_has(answer, "<message sto='" FAKE_C "' sfrom='bob@localhost' to='" BOB "' from='" ALICE "' type='chat' "
	    "id='m5'>"
	    "<body>will bounce 2</body>" STAMPS KNOWN("1") "</message>");
	/* And back again: it is still there. Once it is not: stored once more, stamped only once. */
	fake->sd.clock = clock_later;
	if (_i == 1) {
		settles(answer, FAKE_C, "result");
		ck_assert_int_eq(offline_count(), 0);
	}
	fake_send(fake, "<message to='" BOB "' from='" ALICE "' type='error' id='m5' sto='" BOB "' sfrom='" FAKE_C "'>"
	    "<body>will bounce 2</body>" STAMPS KNOWN("1") "<error code='510' type='chat'>Disconnected</error></message>");
	if (_i == 0)
		settles(answer, FAKE_C, "error");
	ck_assert_ptr_null(session_find(&fake->sd, BOB));
	ck_assert_int_eq(offline_count(), 1);
	fake_login(fake, FAKE_B, "bob", "work");
	answer = fake_stanza(fake, FAKE_B, BOB, "presence", "", "");
	ck_has(answer, _i == 0 ? "<body>will bounce 2</body>" STAMPS KNOWN("1") "</message>" :
	    "<body>will bounce 2</body>" STAMPS KNOWN("2") "</message>");
}
END_TEST

START_TEST(bounced_message_goes_to_another_client_never_the_same)
{
	const char *bounce = "<message to='bob@localhost' from='" ALICE "' type='error' id='m' sto='bob@localhost' "
	    "sfrom='" FAKE_B "'>"
	    "<body>x</body><error code='510'>Disconnected</error></message>";
	const char *answer;

	fake_login(fake, FAKE_B, "bob", "work");
	fake_available(fake, FAKE_B, BOB, 5);
	ck_assert_str_eq(fake_send(fake, bounce), "");
	ck_assert_int_eq(offline_count(), 1);
	ck_assert_ptr_nonnull(session_find(&fake->sd, BOB));
	ck_has_not(fake_stanza(fake, FAKE_B, BOB, "presence", "", "<show>away</show>"), "<message");
	fake_login(fake, FAKE_C, "bob", "phone");
	answer = fake_stanza(fake, FAKE_C, "bob@localhost/phone", "presence", "", "<priority>1</priority>");
	settles(answer, FAKE_C, "result");
	ck_assert_int_eq(offline_count(), 0);
	answer = fake_send(fake, bounce);
	ck_assert_str_eq(answer, "<message sto='" FAKE_C "' sfrom='bob@localhost' to='bob@localhost' "
	    "from='" ALICE "' id='m'>"
	    "<body>x</body></message>");
}
END_TEST

START_TEST(bounced_packets_that_are_nothing_to_keep)
{
	static const char *const cases[] = {
		"<presence from='alice@localhost/home' type='error' sto='bob@localhost' sfrom='" FAKE_B "'><error "
		    "code='510'/></presence>",
		"<message from='alice@localhost/home' type='error' sto='bob@localhost' sfrom='" FAKE_B "'><body>"
		    "x</body>"
		"<error code='404'/><error code='510' type='error'/></message>",
		"<message from='alice@localhost/home' type='error' sto='bob@localhost' sfrom='" FAKE_B "'><body>"
		    "x</body>"
		"<error code='510' type='headline'/></message>",
		"<iq from='alice@localhost/home' id='q' type='error' sto='bob@localhost' sfrom='" FAKE_B "'><query "
		    "xmlns='q'/>"
		"<error code='510' type='result'/></iq>",
		"<iq id='push-1' type='error' sto='bob@localhost' sfrom='" FAKE_B "'><query xmlns='jabber:iq:roster'/>"
		"<error code='510' type='set'/></iq>",
		"<message from='alice@localhost/home' type='error' sto='bob@nowhere.example' sfrom='" FAKE_B "'>"
		"<error code='510' type='chat'/></message>",
	};

	ck_assert_str_eq(fake_send(fake, cases[_i]), "");
	ck_assert_int_eq(offline_count(), 0);
}
END_TEST

START_TEST(bounced_question_is_answered_with_an_error)
{
	const char *answer = fake_send(fake, "<iq from='" ALICE "' to='" BOB "' id='q' type='error' "
	    "sto='bob@localhost' sfrom='" FAKE_B
	    "'><query xmlns='q'/><error code='510' type='get'>Disconnected</error></iq>");

	ck_assert_str_eq(answer, "<iq sto='" FAKE_A "' sfrom='alice@localhost' type='error' id='q' to='" ALICE "' "
	    "from='" BOB "'>"
	    "<query xmlns='q'/><error code='503' type='cancel'>"
	    "<service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>");
	answer = fake_send(fake, "<message from='" ALICE "' to='" BOB "' id='q' type='error' sto='bob@localhost' "
	    "sfrom='" FAKE_B
	    "'><body>x</body><error code='510' type='groupchat'>Disconnected</error></message>");
	ck_has(answer, "code='503'");
}
END_TEST

START_TEST(question_to_another_client_is_passed_on)
{
	fake_login(fake, FAKE_B, "bob", "work");
	ck_assert_str_eq(alice_asks("type='get' id='q' to='" BOB "'", "<query xmlns='x'/>"), "<iq sto='" FAKE_B
	    "' sfrom='bob@localhost' type='get' id='q' to='" BOB "' from='" ALICE "'><query xmlns='x'/></iq>");
	ck_assert_str_eq(fake_stanza(fake, FAKE_B, BOB, "iq", "type='result' id='q' to='" ALICE "'", ""),
	    "<iq sto='" FAKE_A
	    "' sfrom='alice@localhost' type='result' id='q' to='" ALICE "' from='" BOB "'/>");
}
END_TEST

START_TEST(question_has_its_answer)
{
	static const struct {
		const char *attributes, *content, *answer;
	} cases[] = {
		{ "type='get' to='localhost'", "<ping xmlns='urn:xmpp:ping'/>", "type='result'" },
		{ "type='get' to='alice@localhost'", "<ping xmlns='urn:xmpp:ping'/>", "type='result'" },
		{ "type='get'", "<ping xmlns='urn:xmpp:ping'/>", "type='result'" },
		{ "type='set'", "<session xmlns='urn:ietf:params:xml:ns:xmpp-session'/>", "type='result'" },
		{ "type='get' to='localhost'", "<query xmlns='jabber:iq:version'/>", "<name>c2sd</name><version>" },
		{ "type='get' to='localhost'", "<time xmlns='urn:xmpp:time'/>",
		  "<utc>2026-11-21T12:00:00Z</utc><tzo>+00:00</tzo>" },
		{ "type='get' to='localhost'", "<query xmlns='jabber:iq:time'/>",
		  "<utc>20261121T12:00:00</utc><tz>UTC</tz>" },
		{ "type='get' to='localhost'", "<query xmlns='http://jabber.org/protocol/disco#info'/>",
		  "<identity category='server' type='im' name='c2sd'/>" },
		{ "type='get' to='alice@localhost'", "<query xmlns='http://jabber.org/protocol/disco#info'/>",
		  "<identity category='account' type='registered'/>" },
		{ "type='get' to='localhost'", "<query xmlns='http://jabber.org/protocol/disco#items'/>",
		  "<query xmlns='http://jabber.org/protocol/disco#items'/>" },
		{ "type='get' to='localhost'", "<query node='x' xmlns='http://jabber.org/protocol/disco#items'/>",
		  "code='404'" },
		{ "type='set' to='localhost'", "<query xmlns='jabber:iq:version'/>", "code='405'" },
		{ "type='get' to='localhost'", "<query xmlns='jabber:iq:nonsense'/>", "code='503'" },
		{ "type='get' to='localhost/x'", "<query xmlns='jabber:iq:version'/>", "code='503'" },
		{ "type='get' to='bob@localhost'", "<query xmlns='jabber:iq:version'/>", "code='503'" },
		{ "type='get' to='bob@localhost'", "<query xmlns='jabber:iq:roster'/>", "code='503'" },
		{ "type='get' to='bob@localhost/gone'", "<query xmlns='jabber:iq:version'/>", "code='503'" },
		{ "type='get' to='bob@elsewhere.example'", "<query xmlns='jabber:iq:version'/>",
		  "<remote-server-not-found " },
		{ "type='get' to='b ob@localhost'", "<query xmlns='jabber:iq:version'/>", "<jid-malformed " },
		{ "type='get'", "", "code='400'" },
		{ "type='get'", "<a/><b/>", "code='400'" },
		{ "type='dance'", "<a/>", "code='400'" },
		{ "id='x'", "<a/>", "code='400'" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		const char *answer = alice_asks(cases[i].attributes, cases[i].content);

		ck_has(answer, cases[i].answer);
		ck_has(answer, "<iq sto='" FAKE_A "' sfrom='alice@localhost' type='");
	}
}
END_TEST

START_TEST(answer_is_never_answered)
{
	static const char *const attributes[] = {
		"type='result' id='1'", "type='error' id='1'", "type='result' id='1' to='localhost'",
		"type='error' id='1' to='bob@localhost/gone'", "type='result' id='1' to='bob@localhost'",
		"type='error' id='1' to='x@elsewhere.example'", "type='result' id='1' to='@'",
	};

	for (size_t i = 0; i < sizeof attributes / sizeof attributes[0]; i++)
		ck_assert_str_eq(alice_asks(attributes[i], ""), "");
}
END_TEST

START_TEST(unknown_element_as_recorded)
{
	ck_assert_str_eq(fake_send(fake, "<foo id='x1' sto='" ALICE "' sfrom='" FAKE_A "'/>"), "<foo sto='" FAKE_A
	    "' sfrom='alice@localhost' type='error' id='x1' to='" ALICE "'><error code='400' type='modify'>"
	    "<bad-request xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></foo>");
}
END_TEST

START_TEST(private_storage_keeps_what_it_got)
{
	const char *answer;

	answer = alice_asks("type='get' id='1'", "<query xmlns='jabber:iq:private'><storage "
	    "xmlns='storage:bookmarks'/></query>");
	ck_has(answer, "<query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'/></query>");
	answer = alice_asks("type='set' id='2'", "<query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'>"
	    "<conference jid='r@c' xml:lang='de'>\xc3\xa9</conference></storage></query>");
	ck_has(answer, "type='result'");
	answer = alice_asks("type='get' id='3'", "<query xmlns='jabber:iq:private'><storage "
	    "xmlns='storage:bookmarks'/></query>");
	ck_has(answer, "<storage xmlns='storage:bookmarks'><conference jid='r@c' xml:lang='de'>\xc3\xa9</conference>"
	    "</storage>");
	ck_has(alice_asks("type='set' id='4'", "<query xmlns='jabber:iq:private'><vCard xmlns='vcard-temp'/>"
	    "</query>"), "code='406'");
	ck_has(alice_asks("type='set' id='5'", "<query xmlns='jabber:iq:private'/>"), "code='400'");
}
END_TEST

START_TEST(visiting_card_is_read_by_others_and_written_by_none)
{
	fake_login(fake, FAKE_B, "bob", "work");
	ck_has(alice_asks("type='get' id='1'", "<vCard xmlns='vcard-temp'/>"), "<vCard xmlns='vcard-temp'/>");
	ck_has(fake_stanza(fake, FAKE_B, BOB, "iq", "type='get' id='2' to='alice@localhost'",
	    "<vCard xmlns='vcard-temp'/>"), "code='503'");
	ck_has(alice_asks("type='set' id='3'", "<vCard xmlns='vcard-temp'><FN>Alice</FN></vCard>"), "type='result'");
	ck_has(fake_stanza(fake, FAKE_B, BOB, "iq", "type='get' id='4' to='alice@localhost'",
	    "<vCard xmlns='vcard-temp'/>"), "<FN>Alice</FN>");
	ck_has(fake_stanza(fake, FAKE_B, BOB, "iq", "type='set' id='5' to='alice@localhost'",
	    "<vCard xmlns='vcard-temp'/>"), "code='405'");
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("messages");
	TCase *tests = tcase_create("messages");

	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, message_arrives_as_recorded);
	tcase_add_test(tests, from_is_what_the_session_is);
	tcase_add_test(tests, full_address_is_reached_whether_available_or_not);
	tcase_add_test(tests, highest_priority_gets_it);
	tcase_add_test(tests, undeliverable_message_has_an_answer_or_none);
	tcase_add_test(tests, message_without_to_is_for_oneself);
	tcase_add_test(tests, offline_messages_wait_and_come_in_order);
	tcase_add_test(tests, many_offline_messages_come_in_pages);
	tcase_add_test(tests, offline_messages_come_again_when_they_cannot_be_deleted);
	tcase_add_test(tests, offline_names_are_never_used_again);
	tcase_add_test(tests, failure_of_one_is_nobody_elses);
	tcase_add_test(tests, offline_messages_go_on_behind_a_failure);
	tcase_add_test(tests, offline_messages_go_on_when_the_link_is_slow);
	tcase_add_test(tests, what_is_still_stored_is_not_refused);
	tcase_add_test(tests, offline_messages_come_once_while_the_link_has_not_taken_them);
	tcase_add_test(tests, typing_is_not_kept);
	tcase_add_test(tests, stamps_in_our_name_cannot_be_forged);
	tcase_add_loop_test(tests, bounced_message_is_kept_with_its_type, 0, 2);
	tcase_add_test(tests, bounced_message_goes_to_another_client_never_the_same);
	tcase_add_loop_test(tests, bounced_packets_that_are_nothing_to_keep, 0, 6);
	tcase_add_test(tests, bounced_question_is_answered_with_an_error);
	tcase_add_test(tests, question_to_another_client_is_passed_on);
	tcase_add_test(tests, question_has_its_answer);
	tcase_add_test(tests, answer_is_never_answered);
	tcase_add_test(tests, unknown_element_as_recorded);
	tcase_add_test(tests, private_storage_keeps_what_it_got);
	tcase_add_test(tests, visiting_card_is_read_by_others_and_written_by_none);
	suite_add_tcase(suite, tests);
	return fake_run(suite);
}
