/* Header and handshake, logging in, accounts, the 510, and input in pieces of any size. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/sessiond/fake.h"

#define HEADER "<stream:stream xmlns='jabber:sockets' xmlns:stream='http://etherx.jabber.org/streams'>"
#define REGISTER "<query xmlns='jabber:iq:register'>"
#define AUTH "<query xmlns='jabber:iq:auth'>"
#define CONDITION(name) "<" name " xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
#define BARE_510(id, address) "<message sto='" id "' sfrom='" address "' type='error'>" \
    "<error code='510'>Disconnected</error></message>"

static struct fake *fake;

static void
setup(void)
{
	fake = fake_new("");
}

static void
teardown(void)
{
	fake_free(fake);
}

START_TEST(handshake_as_recorded)
{
	struct fake *shut = fake_new_shut("");
	const char *header = fake_send(shut, HEADER);

	ck_has(header, "<?xml version='1.0'?><stream:stream xmlns:stream='http://etherx.jabber.org/streams' id='");
	ck_has(header, "' xmlns='jabberd:sockets'>");
	ck_assert_str_eq(fake_send(shut, "<message/>"), "<stream:error>Must send handshake first</stream:error>");
	ck_assert_str_eq(fake_send(shut, fake_handshake(shut)), "<handshake/>");
	ck_assert(!sessiond_is_over(&shut->sd));
	ck_assert_str_eq(fake_send(shut, "</stream:stream>"), "</stream:stream>");
	ck_assert(sessiond_is_over(&shut->sd));
	ck_assert(!shut->sd.link.refused);
	fake_free(shut);
}
END_TEST

START_TEST(handshake_with_a_wrong_secret_closes)
{
	static const char *const wrong[] = {
		"<handshake>0000000000000000000000000000000000000000</handshake>", "<handshake/>",
		"<handshake>s3cret</handshake>",
	};
	struct fake *shut = fake_new_shut("");

	fake_send(shut, "<root>");
	ck_assert_str_eq(fake_send(shut, wrong[_i]), "<stream:error>Invalid Handshake</stream:error></stream:stream>");
	ck_assert(sessiond_is_over(&shut->sd));
	ck_assert(shut->sd.link.refused);
	ck_assert_str_eq(fake_send(shut, fake_handshake(shut)), "");
	fake_free(shut);
}
END_TEST

START_TEST(two_links_have_two_ids)
{
	struct fake *other = fake_new("");

	ck_assert_str_ne(fake->sd.link.id, other->sd.link.id);
	fake_free(other);
}
END_TEST

/* What jabberd was recorded to do, as far as we do the same: doc/link.md. */
START_TEST(registration_and_login_as_recorded)
{
	ck_assert_str_eq(fake_send(fake, "<iq type='get' id='r1' sto='localhost' sfrom='12@foo-sockets/A1'>" REGISTER
	    "</query></iq>"), "<iq sto='12@foo-sockets/A1' sfrom='localhost' type='result' id='r1'>" REGISTER
	    "<instructions>Choose a username and password.</instructions><username/><password/></query></iq>");
	ck_assert_str_eq(fake_send(fake, "<iq type='set' id='r2' sto='localhost' sfrom='12@foo-sockets/A1'>" REGISTER
	    "<username>alice</username><password>pw</password></query></iq>"),
	    "<iq sto='12@foo-sockets/A1' sfrom='localhost' type='result' id='r2'/>");
	ck_assert_str_eq(fake_send(fake, "<iq type='set' id='a2' sto='localhost' sfrom='12@foo-sockets/A1'>" AUTH
	    "<username>Alice</username><password>pw</password><resource>home</resource></query></iq>"),
	    "<iq sto='12@foo-sockets/A1' sfrom='alice@localhost/home' type='result' id='a2'/>");
}
END_TEST

START_TEST(registration_refuses)
{
	static const struct {
		const char *fields, *error;
	} cases[] = {
		{ "<username>ALICE</username><password>x-pass</password>", "code='409'" },
		{ "<username>al ice</username><password>x-pass</password>", "code='406'" },
		{ "<username>x</username>", "code='406'" },
		{ "<username>x</username><password/>", "code='406'" },
		{ "<username/><password>x-pass</password>", "code='406'" },
		{ "<password>x-pass</password>", "code='406'" },
		{ "<username>x</username><password>a\xe2\x80\xa8" "b</password>", "code='406'" },
	};

	fake_register(fake, "alice");
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		const char *answer = fake_sendf(fake, "<iq type='set' id='r' sto='localhost' sfrom='%s'>" REGISTER
		    "%s</query></iq>", FAKE_A, cases[i].fields);

		ck_has(answer, cases[i].error);
		ck_has(answer, "type='error'");
		ck_has_not(answer, "x-pass");
	}
}
END_TEST

START_TEST(registration_can_be_off)
{
	struct fake *closed = fake_new("registration=no\n");
	const char *answer;

	answer = fake_send(closed, "<iq type='get' id='r' sto='localhost' sfrom='" FAKE_A "'>" REGISTER "</query>"
	    "</iq>");
	ck_has(answer, "<error code='405' type='cancel'>" CONDITION("not-allowed"));
	answer = fake_send(closed, "<iq type='set' id='r' sto='localhost' sfrom='" FAKE_A "'>" REGISTER
	    "<username>alice</username><password>pw</password></query></iq>");
	ck_has(answer, "code='405'");
	answer = fake_send(closed, "<iq type='set' id='a' sto='localhost' sfrom='" FAKE_A "'>" AUTH
	    "<username>alice</username><password>pw</password><resource>r</resource></query></iq>");
	ck_has(answer, "code='401'");
	fake_free(closed);
}
END_TEST

START_TEST(login_refuses)
{
	static const struct {
		const char *fields, *error;
	} cases[] = {
		{ "<username>alice</username><password>x-bad</password><resource>r</resource>", "code='401'" },
		{ "<username>nobody</username><password>pw</password><resource>r</resource>", "code='401'" },
		{ "<username>alice</username><digest>d945856f8689ec830ca457b327fefe428bffa1bc</digest><resource>"
		  "r</resource>",
		  "code='401'" },
		{ "<username>alice</username><password/><resource>r</resource>", "code='401'" },
		{ "<username>alice</username><password>pw</password>", "code='406'" },
		{ "<username>alice</username><password>pw</password><resource/>", "code='406'" },
		{ "<password>pw</password><resource>r</resource>", "code='406'" },
		{ "<username>al@ice</username><password>pw</password><resource>r</resource>", "code='406'" },
		{ "<username>alice</username><resource>r</resource>", "code='406'" },
	};

	fake_register(fake, "alice");
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		const char *answer = fake_sendf(fake, "<iq type='set' id='a' sto='localhost' sfrom='%s'>" AUTH
		    "%s</query></iq>", FAKE_A, cases[i].fields);

		ck_has(answer, cases[i].error);
		ck_has(answer, "sfrom='localhost'");
		ck_has_not(answer, "x-bad");
	}
	ck_assert_uint_eq(fake->sd.sessions.by_id.count, 0);
}
END_TEST

START_TEST(parts_of_an_address_may_have_1023_bytes)
{
	static const struct {
		int user, resource;
		const char *answer;
	} cases[] = {
		{ 1023, 1023, "type='result'" }, { 1024, 1, "code='406'" }, { 1, 1024, "code='406'" },
	};
	char host[64 + 1023], text[8192];
	struct fake *other;

	memset(text, 0, sizeof text);
	snprintf(host, sizeof host, "host=%01023d\n", 0);
	other = fake_new(host);
	snprintf(text, sizeof text, "<iq type='set' id='r' sto='%01023d' sfrom='" FAKE_A "'>" REGISTER
	    "<username>%01023d</username><password>pw</password></query></iq>", 0, 1);
	ck_has(fake_send(other, text), "type='result'");
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		const char *answer;

		snprintf(text, sizeof text, "<iq type='set' id='l' sto='%01023d' sfrom='" FAKE_A "'>" AUTH
		    "<username>%0*d</username><password>pw</password><resource>%0*d</resource></query></iq>", 0,
		    cases[i].user, 1, cases[i].resource, 2);
		answer = fake_send(other, text);
		ck_has(answer, cases[i].answer);
	}
	ck_assert_uint_eq(other->sd.sessions.by_id.count, 1);
	ck_assert_uint_eq(strlen(session_find_id(&other->sd, FAKE_A)->address), 3071);
	fake_free(other);
}
END_TEST

#define LOGIN(user, id) "<iq type='set' id='l' sto='localhost' sfrom='" id "'>" AUTH "<username>" user "</username>" \
    "<password>pw</password><resource>r</resource></query></iq>"

/* What came before a storm of logins is answered before the storm is over. */
START_TEST(turn_hashes_few_passwords)
{
	struct buffer *out = sessiond_output(&fake->sd), text = { 0 };
	unsigned turns = 0, answers = 0;
	int error;

	fake_register(fake, "alice");
	for (int i = 0; i < 100; i++)
		buffer_append_string(&text, LOGIN("nobody", FAKE_B));
	buffer_append_string(&text, LOGIN("alice", FAKE_A));
	error = sessiond_input(&fake->sd, buffer_bytes(&text), buffer_length(&text));
	for (turns = 1; error == 0; turns++) {
		error = sessiond_turn(&fake->sd);
		buffer_append(out, "", 1);
		ck_assert_uint_le(fake_count((const char *)buffer_bytes(out), "<iq "), SESSIOND_HASHES_MAX);
		answers += fake_count((const char *)buffer_bytes(out), "<iq ");
		buffer_consume(out, buffer_length(out));
		if (error != 0 || !sessiond_is_busy(&fake->sd))
			break;
		error = sessiond_input(&fake->sd, NULL, 0);
	}
	ck_assert_int_eq(error, 0);
	ck_assert_uint_eq(turns, 101 / SESSIOND_HASHES_MAX + 1);
	ck_assert_uint_eq(answers, 101);
	ck_assert_uint_eq(fake->sd.sessions.by_id.count, 1);
	buffer_deinit(&text);
}
END_TEST

START_TEST(login_answers_alike_for_nobody_and_a_wrong_password)
{
	char wrong[512];

	fake_register(fake, "alice");
	strcpy(wrong, fake_send(fake, "<iq type='set' id='a' sto='localhost' sfrom='" FAKE_A "'>" AUTH
	    "<username>alice</username><password>bad</password><resource>r</resource></query></iq>"));
	ck_assert_str_eq(wrong, fake_send(fake, "<iq type='set' id='a' sto='localhost' sfrom='" FAKE_A "'>" AUTH
	    "<username>nobody</username><password>bad</password><resource>r</resource></query></iq>"));
	ck_assert_str_eq(wrong, "<iq sto='" FAKE_A "' sfrom='localhost' type='error' id='a'><query "
	    "xmlns='jabber:iq:auth'/>"
	    "<error code='401' type='auth'>" CONDITION("not-authorized") "</error></iq>");
}
END_TEST

START_TEST(login_get_offers_the_password_only)
{
	const char *answer = fake_send(fake, "<iq type='get' id='a' sto='localhost' sfrom='" FAKE_A "'>" AUTH
	    "<username>alice</username></query></iq>");

	ck_assert_str_eq(answer, "<iq sto='" FAKE_A "' sfrom='localhost' type='result' id='a'>" AUTH
	    "<username>alice</username><password/><resource/></query></iq>");
}
END_TEST

START_TEST(passwords_are_prepared_and_never_stored)
{
	sqlite3_stmt *row;

	/* SASLprep: a soft hyphen is mapped to nothing, a full-width letter to a plain one. */
	fake_send(fake, "<iq type='set' id='r' sto='localhost' sfrom='" FAKE_A "'>" REGISTER
	    "<username>alice</username><password>p&#xad;assphrase</password></query></iq>");
	ck_has(fake_send(fake, "<iq type='set' id='a' sto='localhost' sfrom='" FAKE_A "'>" AUTH
	    "<username>alice</username><password>&#xff50;assphrase</password><resource>r</resource></query></iq>"),
	    "type='result'");
	sqlite3_prepare_v2(fake->sd.store.db, "SELECT hex(jid || salt || stored_sha1 || server_sha1 || "
	    "stored_sha256 || "
	    "server_sha256), length(salt), length(stored_sha1), length(server_sha256) FROM account", -1, &row, NULL);
	ck_assert_int_eq(sqlite3_step(row), SQLITE_ROW);
	ck_has_not((const char *)sqlite3_column_text(row, 0), "706173737068726173");
	ck_assert_int_eq(sqlite3_column_int(row, 1), 16);
	ck_assert_int_eq(sqlite3_column_int(row, 2), 20);
	ck_assert_int_eq(sqlite3_column_int(row, 3), 32);
	sqlite3_finalize(row);
}
END_TEST

START_TEST(hosts_have_accounts_of_their_own)
{
	fake_register(fake, "alice");
	ck_has(fake_send(fake, "<iq type='set' id='a' sto='example.org' sfrom='" FAKE_A "'>" AUTH
	    "<username>alice</username><password>pw</password><resource>r</resource></query></iq>"), "code='401'");
}
END_TEST

START_TEST(other_host_is_bounced)
{
	ck_assert_str_eq(fake_send(fake, "<iq type='get' id='3' sto='nohost.example' "
	    "sfrom='" FAKE_A "'>" AUTH "</query></iq>"),
	    "<iq sto='" FAKE_A "' sfrom='nohost.example' type='error' id='3'><query xmlns='jabber:iq:auth'/>"
	    "<error code='510' type='get'>Disconnected</error></iq>");
}
END_TEST

START_TEST(before_login_only_two_questions_are_answered)
{
	ck_has(fake_send(fake, "<iq type='get' id='u1' sto='localhost' sfrom='" FAKE_A "'><query "
	    "xmlns='jabber:iq:version'/></iq>"),
	    "code='406'");
	ck_assert_str_eq(fake_send(fake, "<message to='bob@localhost' sto='localhost' sfrom='" FAKE_A "'><body>"
	    "x</body></message>"), "");
	ck_assert_str_eq(fake_send(fake, "<presence sto='localhost' sfrom='" FAKE_A "'/>"), "");
	ck_assert_str_eq(fake_send(fake, "<iq type='result' id='c6' sto='localhost' "
	    "sfrom='" FAKE_A "'>" AUTH "</query></iq>"), "");
	ck_assert_str_eq(fake_send(fake, "<iq type='get' id='1'>" AUTH "</query></iq>"), "");
	ck_assert_str_eq(fake_send(fake, "<iq type='get' id='1' sto='a@@b' sfrom='x'>" AUTH "</query></iq>"), "");
}
END_TEST

START_TEST(replaced_session_answers_the_new_one_first)
{
	fake_register(fake, "alice");
	fake_login(fake, FAKE_A, "alice", "home");
	ck_assert_str_eq(fake_send(fake, "<iq type='set' id='a3' sto='localhost' sfrom='" FAKE_B "'>" AUTH
	    "<username>alice</username><password>pw</password><resource>home</resource></query></iq>"),
	    "<iq sto='" FAKE_B "' sfrom='alice@localhost/home' type='result' id='a3'/>" BARE_510(FAKE_A,
	    "alice@localhost/home"));
	ck_assert_uint_eq(fake->sd.sessions.by_address.count, 1);
	/* The old client's 510 comes late and must not end the new session. */
	fake_send(fake, BARE_510("alice@localhost/home", FAKE_A));
	ck_assert_uint_eq(fake->sd.sessions.by_address.count, 1);
	ck_has(fake_stanza(fake, FAKE_B, "alice@localhost/home", "iq", "type='get' id='p' to='localhost'",
	    "<ping xmlns='urn:xmpp:ping'/>"), "type='result'");
}
END_TEST

START_TEST(second_login_of_one_client_replaces_the_first)
{
	fake_register(fake, "alice");
	fake_login(fake, FAKE_A, "alice", "home");
	fake_login(fake, FAKE_A, "alice", "home");
	ck_assert_uint_eq(fake->sd.sessions.by_address.count, 1);
	fake_login(fake, FAKE_A, "alice", "work");
	ck_assert_uint_eq(fake->sd.sessions.by_address.count, 1);
	ck_assert_ptr_nonnull(session_find(&fake->sd, "alice@localhost/work"));
}
END_TEST

START_TEST(unknown_session_gets_its_packet_back)
{
	fake_register(fake, "alice");
	fake_login(fake, FAKE_A, "alice", "home");
	ck_assert_str_eq(fake_send(fake, "<message to='bob@localhost' type='chat' id='m3' "
	    "sto='alice@localhost/nosuch' sfrom='"
	    FAKE_C "'><body>x</body></message>"), "<message sto='" FAKE_C "' sfrom='alice@localhost/nosuch' "
	    "to='bob@localhost' type='error' id='m3'><body>x</body><error code='510' type='chat'>"
	    "Disconnected</error></message>");
	/* Of another client. */
	ck_assert_str_eq(fake_send(fake, "<message to='bob@localhost' sto='alice@localhost/home' sfrom='" FAKE_C
	    "'><body>x</body></message>"), "<message sto='" FAKE_C "' sfrom='alice@localhost/home' to='bob@localhost' "
	    "type='error'><body>x</body><error code='510'>Disconnected</error></message>");
	ck_assert_str_eq(fake_send(fake, "<presence sto='alice@localhost/home' sfrom='" FAKE_C "'/>"),
	    BARE_510(FAKE_C, "alice@localhost/home"));
	ck_assert_str_eq(fake_send(fake, "<iq from='eve@x' type='get' sto='alice@localhost/home' sfrom='" FAKE_C "'>"
	    "<a/></iq>"),
	    BARE_510(FAKE_C, "alice@localhost/home"));
	/* A 510 is never answered with one. */
	ck_assert_str_eq(fake_send(fake, BARE_510("alice@localhost/nosuch", FAKE_C)), "");
}
END_TEST

START_TEST(disconnect_ends_only_the_owners_session)
{
	fake_register(fake, "alice");
	fake_login(fake, FAKE_A, "alice", "home");
	fake_send(fake, BARE_510("alice@localhost/home", FAKE_C));
	fake_send(fake, BARE_510("alice@localhost", FAKE_A));
	fake_send(fake, BARE_510("localhost", FAKE_A));
	ck_assert_uint_eq(fake->sd.sessions.by_address.count, 1);
	ck_assert_str_eq(fake_send(fake, BARE_510("alice@localhost/home", FAKE_A)), "");
	ck_assert_uint_eq(fake->sd.sessions.by_address.count, 0);
	ck_assert_uint_eq(fake->sd.sessions.by_id.count, 0);
	ck_assert_uint_eq(fake->sd.sessions.users.count, 0);
}
END_TEST

START_TEST(bounced_login_ends_its_session)
{
	fake_register(fake, "alice");
	fake_login(fake, FAKE_A, "alice", "home");
	ck_assert_str_eq(fake_send(fake, "<iq type='error' id='l' sto='alice@localhost/home' sfrom='" FAKE_A
	    "'><error code='510' type='result'>Disconnected</error></iq>"), "");
	ck_assert_uint_eq(fake->sd.sessions.by_address.count, 0);
}
END_TEST

START_TEST(account_is_changed_and_removed_by_its_owner)
{
	const char *answer;

	fake_register(fake, "alice");
	fake_login(fake, FAKE_A, "alice", "home");
	fake_login(fake, FAKE_B, "alice", "work");
	answer = fake_stanza(fake, FAKE_A, "alice@localhost/home", "iq", "type='get' id='1'", REGISTER "</query>");
	ck_has(answer, REGISTER "<registered/><username>alice</username><password/></query>");
	answer = fake_stanza(fake, FAKE_A, "alice@localhost/home", "iq", "type='set' id='2'",
	    REGISTER "<username>bob</username><password>new</password></query>");
	ck_has(answer, "code='405'");
	answer = fake_stanza(fake, FAKE_A, "alice@localhost/home", "iq", "type='set' id='2'",
	    REGISTER "<username>alice</username><password>new</password></query>");
	ck_has(answer, "type='result'");
	answer = fake_send(fake, "<iq type='set' id='a' sto='localhost' sfrom='" FAKE_C "'>" AUTH
	    "<username>alice</username><password>pw</password><resource>r</resource></query></iq>");
	ck_has(answer, "code='401'");
	fake_stanza(fake, FAKE_A, "alice@localhost/home", "iq", "type='set' id='v'",
	    "<vCard xmlns='vcard-temp'><FN/></vCard>");
	answer = fake_stanza(fake, FAKE_A, "alice@localhost/home", "iq", "type='set' id='3'",
	    REGISTER "<remove/></query>");
	ck_assert_ptr_eq(strstr(answer, "<iq sto='" FAKE_A "' sfrom='alice@localhost' type='result' id='3'"), answer);
	ck_has(answer, BARE_510(FAKE_A, "alice@localhost/home"));
	ck_has(answer, BARE_510(FAKE_B, "alice@localhost/work"));
	ck_assert_uint_eq(fake->sd.sessions.by_id.count, 0);
	/* Whoever takes the name next finds nothing of it. */
	fake_register(fake, "alice");
	fake_login(fake, FAKE_A, "alice", "home");
	ck_has_not(fake_stanza(fake, FAKE_A, "alice@localhost/home", "iq", "type='get' id='v'",
	    "<vCard xmlns='vcard-temp'/>"), "<FN/>");
}
END_TEST

#define ADMIN(attributes) "<iq type='set' id='x' sto='localhost' sfrom='" FAKE_NAME "'>" \
    "<user xmlns='urn:x-c2sd:admin:0' " attributes "/></iq>"
#define ADMIN_DONE "<iq sto='" FAKE_NAME "' sfrom='localhost' type='result' id='x'"

START_TEST(admin_keeps_accounts)
{
	const char *answer;

	ck_assert_str_eq(fake_send(fake, ADMIN("action='add' name='Bob' password='pw'")), ADMIN_DONE "/>");
	ck_assert_str_eq(fake_send(fake, ADMIN("action='add' name='alice' password='pw'")), ADMIN_DONE "/>");
	ck_assert_str_eq(fake_send(fake, ADMIN("action='list'")), ADMIN_DONE
	    "><users xmlns='urn:x-c2sd:admin:0'><user name='alice'/><user name='bob'/></users></iq>");
	answer = fake_send(fake, ADMIN("action='add' name='bob' password='x-pass'"));
	ck_has(answer, "code='409'");
	ck_has(answer, "<text xmlns=");
	ck_has_not(answer, "x-pass");
	ck_has(fake_send(fake, ADMIN("action='del' name='carol'")), "code='404'");
	ck_has(fake_send(fake, ADMIN("action='passwd' name='carol' password='x'")), "code='404'");
	ck_has(fake_send(fake, ADMIN("action='add' name='a b' password='x'")), "code='406'");
	ck_has(fake_send(fake, ADMIN("action='add' password='x'")), "code='406'");
	ck_has(fake_send(fake, ADMIN("action='add' name='carol'")), "code='406'");
	ck_has(fake_send(fake, ADMIN("action='dance' name='carol' password='x'")), "code='400'");
	fake_login(fake, FAKE_B, "bob", "r");
	answer = fake_send(fake, ADMIN("action='del' name='bob'"));
	ck_has(answer, BARE_510(FAKE_B, "bob@localhost/r"));
	ck_has(answer, ADMIN_DONE);
	ck_assert_str_eq(fake_send(fake, ADMIN("action='list'")), ADMIN_DONE
	    "><users xmlns='urn:x-c2sd:admin:0'><user name='alice'/></users></iq>");
}
END_TEST

START_TEST(admin_cannot_be_forged)
{
	static const char *const froms[] = { "x@foo-sockets", "foo-sockets/x", "foo-sockets2", "@foo-sockets" };
	const char *answer;

	for (size_t i = 0; i < sizeof froms / sizeof froms[0]; i++) {
		answer = fake_sendf(fake, "<iq type='set' id='x' sto='localhost' sfrom='%s'>"
		    "<user xmlns='urn:x-c2sd:admin:0' action='add' name='eve' password='pw'/></iq>", froms[i]);
		ck_has(answer, "code='406'");
	}
	fake_register(fake, "alice");
	fake_login(fake, FAKE_A, "alice", "home");
	answer = fake_stanza(fake, FAKE_A, "alice@localhost/home", "iq",
	    "type='set' id='x' to='localhost' from='foo-sockets'",
	    "<user xmlns='urn:x-c2sd:admin:0' action='add' name='eve' password='pw'/>");
	ck_has(answer, "code='503'");
	ck_assert_str_eq(fake_send(fake, ADMIN("action='list'")), ADMIN_DONE
	    "><users xmlns='urn:x-c2sd:admin:0'><user name='alice'/></users></iq>");
}
END_TEST

#define CONVERSATION \
	"<iq type='set' id='r2' sto='localhost' sfrom='" FAKE_A "'>" REGISTER "<username>alice</username>" \
	"<password>p&lt;w</password></query></iq>\n" \
	"<iq type='set' id='r3' sto='localhost' sfrom='" FAKE_B "'>" REGISTER \
	"<username>bob</username><password>pw</password></query></iq>" \
	"<message to='bob@localhost' sto='alice@localhost/h' sfrom='" FAKE_A "'/>" \
	"<iq type='set' id='a' sto='localhost' sfrom='" FAKE_A "'>" AUTH "<username>alice</username>" \
	"<password>p&lt;w</password><resource>h</resource></query></iq> " \
	"<message to='bob@localhost' type='chat' sto='alice@localhost/h' sfrom='" FAKE_A "'>" \
	"<body>\xc3\xa9 &amp; <!-- > --><![CDATA[]]x>]]></body><x xmlns:p='q' p:y='\">'/></message>" \
	"<iq type='set' id='a' sto='localhost' sfrom='" FAKE_B "'>" AUTH "<username>bob</username>" \
	"<password>pw</password><resource>w</resource></query></iq><presence sto='bob@localhost/w' sfrom='" FAKE_B "'/>"

START_TEST(input_cut_anywhere_gives_the_same_output)
{
	char text[] = CONVERSATION;
	struct buffer whole = { 0 };
	char first[sizeof text];

	buffer_append_string(&whole, fake_send(fake, text));
	buffer_append(&whole, "", 1);
	ck_has((const char *)buffer_bytes(&whole), "<body>\xc3\xa9 &amp; ]]x&gt;</body><x xmlns:p='q' "
	    "p:y='\"&gt;'/><delay");
	for (size_t cut = 1; cut < sizeof text - 1; cut += 3) {
		struct fake *other = fake_new("");
		struct buffer both = { 0 };

		memcpy(first, text, cut);
		first[cut] = '\0';
		buffer_append_string(&both, fake_send(other, first));
		buffer_append_string(&both, fake_send(other, text + cut));
		buffer_append(&both, "", 1);
		ck_assert_str_eq((const char *)buffer_bytes(&both), (const char *)buffer_bytes(&whole));
		buffer_deinit(&both);
		fake_free(other);
	}
	buffer_deinit(&whole);
}
END_TEST

START_TEST(input_byte_by_byte_gives_the_same_output)
{
	static const char text[] = CONVERSATION;
	struct fake *other = fake_new("");
	struct buffer pieces = { 0 };
	char one[2] = { 0 };

	for (size_t i = 0; i < sizeof text - 1; i++) {
		one[0] = text[i];
		buffer_append_string(&pieces, fake_send(other, one));
	}
	buffer_append(&pieces, "", 1);
	ck_assert_str_eq((const char *)buffer_bytes(&pieces), fake_send(fake, text));
	buffer_deinit(&pieces);
	fake_free(other);
}
END_TEST

START_TEST(broken_stream_ends_the_link)
{
	static const char *const cases[] = { "text", "<!DOCTYPE x>", "<message a<b/>" };

	ck_has(fake_send(fake, cases[_i]), "<stream:error>Invalid XML</stream:error></stream:stream>");
	ck_assert(sessiond_is_over(&fake->sd));
	ck_assert(fake->sd.link.refused);
}
END_TEST

START_TEST(nothing_broken_is_taken_for_a_handshake)
{
	struct fake *shut = fake_new_shut("");

	fake_send(shut, HEADER);
	ck_has(fake_send(shut, "<handshake></shake>"), "<stream:error>Invalid XML</stream:error></stream:stream>");
	fake_free(shut);
}
END_TEST

#define HOME " sto='alice@localhost/home' sfrom='" FAKE_A "'"
#define BAD_REQUEST "<error code='400' type='modify'>" CONDITION("bad-request") \
    "<text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>This cannot be read</text></error>"

/* An element that is no XML, from alice in session or before login, and what comes of it. */
static const struct {
	const char *text, *answer;
} broken_elements[] = {
	{ "<message id='1' type='chat'" HOME "><body></message></body>",
	  "<message sto='" FAKE_A "' sfrom='alice@localhost' type='error' id='1'>" BAD_REQUEST
	  "</message>" },
	{ "<iq type='get' id='&lt;'" HOME " x='&nope;'/>",
	  "<iq sto='" FAKE_A "' sfrom='alice@localhost' type='error' id='&lt;'>" BAD_REQUEST "</iq>" },
	{ "<iq type='set' id='2' sto='localhost' sfrom='" FAKE_C "'><p:query/></iq>",
	  "<iq sto='" FAKE_C "' sfrom='localhost' type='error' id='2'>" BAD_REQUEST "</iq>" },
	{ "<message sto='alice@localhost/nosuch' sfrom='" FAKE_A "'>\x01</message>",
	  "<message sto='" FAKE_A "' sfrom='alice@localhost/nosuch' type='error'><error code='510'>Disconnected</error>"
	  "</message>" },
	{ "<iq type='result'" HOME "><a></b></iq>", "" },
	{ "<message type='error'" HOME "><error code='510'/>\xff</message>", "" },
	{ "<message id='\x01'" HOME "/>", "" },
	{ "<message" HOME " sfrom='" FAKE_B "'>&nope;</message>",
	  "<message sto='" FAKE_A "' sfrom='alice@localhost' type='error'>" BAD_REQUEST "</message>" },
	{ "<message sfrom='" FAKE_A "'></iq>", "" }, { "<a></b>", "" }, { "<p:iq" HOME "/>", "" },
	{ "<message" HOME " a=1></iq>",
	  "<message sto='" FAKE_A "' sfrom='alice@localhost' type='error'>" BAD_REQUEST "</message>" },
};

START_TEST(broken_element_costs_only_itself)
{
	fake_register(fake, "alice");
	fake_login(fake, FAKE_A, "alice", "home");
	ck_assert_str_eq(fake_send(fake, broken_elements[_i].text), broken_elements[_i].answer);
	ck_assert(!sessiond_is_over(&fake->sd));
	ck_has(fake_stanza(fake, FAKE_A, "alice@localhost/home", "iq", "type='get' id='ping'",
	    "<ping xmlns='urn:xmpp:ping'/>"), "type='result'");
}
END_TEST

START_TEST(strange_namespaces_are_no_fault)
{
	static const char *const names[] = { "%", ":", "a?[b]", "#a#b", "urn:[a]", "1:2", "http://a:b/", "//", "a b" };

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		ck_has(fake_sendf(fake, "<iq type='set' id='1' sto='localhost' sfrom='%s'>" AUTH
		    "<username>x</username><password>p</password><resource>r</resource><x xmlns='%s'/></query></iq>", FAKE_A, names[i]),
		    "code='401'");
	}
}
END_TEST

START_TEST(element_too_long_ends_the_link)
{
	size_t size = LINK_ELEMENT_MAX + 100;
	char *text = malloc(size + 1);

	ck_assert_ptr_nonnull(text);
	memset(text, 'x', size);
	memcpy(text, "<message>", 9);
	text[size] = '\0';
	ck_has(fake_send(fake, text), "<stream:error>Element too long</stream:error></stream:stream>");
	free(text);
}
END_TEST

static const char *
text_of(struct buffer *buffer)
{
	buffer_append(buffer, "", 1);
	buffer->end--;
	return (const char *)buffer_bytes(buffer);
}

/* The most that the master lets a client send, of what is escaped where it need not be. */
START_TEST(great_message_may_come_back)
{
	struct buffer text = { 0 };
	size_t sent, length;
	const char *out;

	fake_register(fake, "alice");
	fake_register(fake, "bob");
	fake_login(fake, FAKE_A, "alice", "home");
	fake_login(fake, FAKE_B, "bob", "w");
	fake_available(fake, FAKE_B, "bob@localhost/w", 0);
	buffer_append_format(&text, "<message to='bob@localhost/w'" HOME "><body>");
	for (int i = 0; i < 1048576; i++)
		buffer_append(&text, i % 2 ? "'" : "\"", 1);
	buffer_append_string(&text, "</body></message>");
	sent = buffer_length(&text);
	out = fake_send(fake, text_of(&text));
	length = strlen(out);
	ck_assert_uint_lt(length, sent + 100);
	/* As the master bounces it; bob is there no more, so that it is kept for him, and comes again. */
	buffer_clear(&text);
	buffer_append_string(&text, BARE_510("bob@localhost/w", FAKE_B)
	    "<message type='error' sto='bob@localhost' sfrom='" FAKE_B "' ");
	ck_has(out, " to='bob@localhost/w'");
	buffer_append(&text, strstr(out, " to='bob"),
	    length - (size_t)(strstr(out, " to='bob") - out) - strlen("</message>"));
	buffer_append_string(&text, "<error code='510'>Disconnected</error></message>");
	ck_assert_str_eq(fake_send(fake, text_of(&text)), "");
	fake_login(fake, FAKE_C, "bob", "x");
	out = fake_stanza(fake, FAKE_C, "bob@localhost/x", "presence", "", "");
	ck_has(out, "\"'\"'\"'</body><delay ");
	ck_assert_uint_lt(strlen(out), sent + 2000);
	buffer_deinit(&text);
}
END_TEST

START_TEST(answer_too_long_is_refused_alone)
{
	struct buffer text = { 0 };
	const char *answer;

	fake_register(fake, "alice");
	fake_login(fake, FAKE_A, "alice", "home");
	for (int contact = 0; contact < 100; contact++) {
		buffer_append_format(&text, "<iq type='set' id='s'" HOME "><query xmlns='jabber:iq:roster'>"
		    "<item jid='c%d@localhost'>", contact);
		for (int group = 0; group < 32; group++)
			buffer_append_format(&text, "<group>%01000d</group>", group);
		buffer_append_string(&text, "</item></query></iq>");
	}
	answer = fake_send(fake, text_of(&text));
	ck_assert_uint_eq(fake_count(answer, "type='result'"), 100);
	answer = fake_stanza(fake, FAKE_A, "alice@localhost/home", "iq", "type='get' id='g'",
	    "<query xmlns='jabber:iq:roster'/>");
	ck_assert_ptr_eq(strstr(answer, "<iq sto='" FAKE_A "' sfrom='alice@localhost' type='error' id='g'"), answer);
	ck_has(answer, CONDITION("resource-constraint"));
	ck_assert_uint_lt(strlen(answer), 1000);
	buffer_deinit(&text);
}
END_TEST

START_TEST(element_too_deep_is_refused_alone)
{
	struct buffer text = { 0 };
	const char *answer;

	fake_register(fake, "alice");
	fake_login(fake, FAKE_A, "alice", "home");
	for (int i = 0; i < 5000; i++)
		buffer_append_string(&text, "<x>");
	for (int i = 0; i < 5000; i++)
		buffer_append_string(&text, "</x>");
	buffer_append(&text, "", 1);
	answer = fake_sendf(fake, "<message id='deep' to='alice@localhost' sto='alice@localhost/home' "
	    "sfrom='" FAKE_A "'>");
	ck_assert_str_eq(answer, "");
	fake_send(fake, (const char *)buffer_bytes(&text));
	answer = fake_send(fake, "</message>");
	ck_has(answer, "id='deep'");
	ck_has(answer, "code='406'");
	ck_assert(!sessiond_is_over(&fake->sd));
	buffer_deinit(&text);
}
END_TEST

static void
database_fill(void)
{
	char pragma[64];
	long long pages;
	sqlite3_stmt *row;

	sqlite3_prepare_v2(fake->sd.store.db, "PRAGMA page_count", -1, &row, NULL);
	sqlite3_step(row);
	pages = sqlite3_column_int64(row, 0);
	sqlite3_finalize(row);
	snprintf(pragma, sizeof pragma, "PRAGMA max_page_count = %lld", pages);
	sqlite3_exec(fake->sd.store.db, pragma, NULL, NULL, NULL);
}

/* A full disk: whoever wrote is told, whoever only talks notices nothing, and it heals. */
START_TEST(full_database_is_said)
{
	struct buffer turn = { 0 };
	const char *answer;
	char body[6001] = { 0 };

	fake_register(fake, "alice");
	fake_register(fake, "bob");
	fake_login(fake, FAKE_A, "alice", "home");
	memset(body, 'x', sizeof body - 1);
	database_fill();
	buffer_append_format(&turn, "<iq type='get' id='before' sto='alice@localhost/home' sfrom='%s'><ping "
	    "xmlns='urn:xmpp:ping'/></iq>"
	    "<message id='m1' to='bob@localhost' sto='alice@localhost/home' sfrom='%s'><body>small</body></message>"
	    "<message id='m2' to='bob@localhost' sto='alice@localhost/home' sfrom='%s'><body>%s</body></message>"
	    "<iq type='get' id='after' sto='alice@localhost/home' sfrom='%s'><ping xmlns='urn:xmpp:ping'/></iq>",
	    FAKE_A, FAKE_A, FAKE_A, body, FAKE_A);
	buffer_append(&turn, "", 1);
	answer = fake_send(fake, (const char *)buffer_bytes(&turn));
	buffer_deinit(&turn);
	ck_assert_uint_eq(fake_count(answer, "<internal-server-error"), 2);
	ck_assert(strstr(answer, "id='before'") < strstr(answer, "id='m1'"));
	ck_assert(strstr(answer, "id='m1'") < strstr(answer, "id='m2'"));
	ck_assert(strstr(answer, "id='m2'") < strstr(answer, "id='after'"));
	ck_assert_uint_eq(fake_count(answer, "type='result'"), 2);
	sqlite3_exec(fake->sd.store.db, "PRAGMA max_page_count = 100000", NULL, NULL, NULL);
	ck_assert_str_eq(fake_stanza(fake, FAKE_A, "alice@localhost/home", "message", "to='bob@localhost'",
	    "<body>again</body>"), "");
	fake_login(fake, FAKE_B, "bob", "w");
	answer = fake_stanza(fake, FAKE_B, "bob@localhost/w", "presence", "", "");
	ck_has(answer, "again");
	ck_has_not(answer, "small");
}
END_TEST

static long long
patience(void)
{
	sqlite3_stmt *row;
	long long milliseconds;

	sqlite3_prepare_v2(fake->sd.store.db, "PRAGMA busy_timeout", -1, &row, NULL);
	sqlite3_step(row);
	milliseconds = sqlite3_column_int64(row, 0);
	sqlite3_finalize(row);
	return milliseconds;
}

/* Another program holds the file: nobody waits for it twice, and when it has let go it is as before. */
START_TEST(held_database_is_waited_for_once)
{
	static const char *const names[] = { "db", "db-wal", "db-shm" };
	char folder[] = "held-XXXXXX", text[64];
	long long usual;
	sqlite3 *other;

	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(text, sizeof text, "database=%s/db\n", folder);
	fake_free(fake);
	fake = fake_new(text);
	fake_register(fake, "alice");
	fake_register(fake, "bob");
	fake_login(fake, FAKE_A, "alice", "home");
	usual = patience();
	ck_assert_int_gt(usual, 0);
	snprintf(text, sizeof text, "%s/db", folder);
	ck_assert_int_eq(sqlite3_open(text, &other), SQLITE_OK);
	ck_assert_int_eq(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_busy_timeout(fake->sd.store.db, 1);
	ck_has(fake_stanza(fake, FAKE_A, "alice@localhost/home", "message", "to='bob@localhost'", "<body>1</body>"),
	    "<internal-server-error ");
	ck_assert_int_eq(patience(), 0);
	sqlite3_close(other);
	ck_assert_str_eq(fake_stanza(fake, FAKE_A, "alice@localhost/home", "message", "to='bob@localhost'", "<body>2</body>"), "");
	ck_assert_int_eq(patience(), usual);
	fake_free(fake);
	fake = fake_new("");
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		snprintf(text, sizeof text, "%s/%s", folder, names[i]);
		unlink(text);
	}
	rmdir(folder);
}
END_TEST

START_TEST(full_database_refuses_registration)
{
	const char *answer = "";

	database_fill();
	for (int i = 0; i < 200 && fake_count(answer, "error") == 0; i++)
		answer = fake_sendf(fake, "<iq type='set' id='r' sto='localhost' sfrom='%s'>" REGISTER
		    "<username>user%d</username><password>pw</password></query></iq>", FAKE_A, i);
	ck_has(answer, "code='500'");
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("link");
	TCase *tests = tcase_create("link");

	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, handshake_as_recorded);
	tcase_add_loop_test(tests, handshake_with_a_wrong_secret_closes, 0, 3);
	tcase_add_test(tests, two_links_have_two_ids);
	tcase_add_test(tests, registration_and_login_as_recorded);
	tcase_add_test(tests, registration_refuses);
	tcase_add_test(tests, registration_can_be_off);
	tcase_add_test(tests, login_refuses);
	tcase_add_test(tests, parts_of_an_address_may_have_1023_bytes);
	tcase_add_test(tests, turn_hashes_few_passwords);
	tcase_add_test(tests, login_answers_alike_for_nobody_and_a_wrong_password);
	tcase_add_test(tests, login_get_offers_the_password_only);
	tcase_add_test(tests, passwords_are_prepared_and_never_stored);
	tcase_add_test(tests, hosts_have_accounts_of_their_own);
	tcase_add_test(tests, other_host_is_bounced);
	tcase_add_test(tests, before_login_only_two_questions_are_answered);
	tcase_add_test(tests, replaced_session_answers_the_new_one_first);
	tcase_add_test(tests, second_login_of_one_client_replaces_the_first);
	tcase_add_test(tests, unknown_session_gets_its_packet_back);
	tcase_add_test(tests, disconnect_ends_only_the_owners_session);
	tcase_add_test(tests, bounced_login_ends_its_session);
	tcase_add_test(tests, account_is_changed_and_removed_by_its_owner);
	tcase_add_test(tests, admin_keeps_accounts);
	tcase_add_test(tests, admin_cannot_be_forged);
	tcase_add_test(tests, input_cut_anywhere_gives_the_same_output);
	tcase_add_test(tests, input_byte_by_byte_gives_the_same_output);
	tcase_add_loop_test(tests, broken_stream_ends_the_link, 0, 3);
	tcase_add_test(tests, nothing_broken_is_taken_for_a_handshake);
	tcase_add_loop_test(tests, broken_element_costs_only_itself, 0,
	    sizeof broken_elements / sizeof broken_elements[0]);
	tcase_add_test(tests, strange_namespaces_are_no_fault);
	tcase_add_test(tests, element_too_long_ends_the_link);
	tcase_add_test(tests, great_message_may_come_back);
	tcase_add_test(tests, answer_too_long_is_refused_alone);
	tcase_add_test(tests, element_too_deep_is_refused_alone);
	tcase_add_test(tests, full_database_is_said);
	tcase_add_test(tests, held_database_is_waited_for_once);
	tcase_add_test(tests, full_database_refuses_registration);
	suite_add_tcase(suite, tests);
	return fake_run(suite);
}
