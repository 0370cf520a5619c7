/* recovery: what a process leaves when it is killed, at every point at which that makes a difference. */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sessiond/account.h"
#include "tests/sessiond/fake.h"
#include "tests/sessiond/heir.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define SM " xmlns='urn:xmpp:sm:3'"
#define AREA (256 * 1024)

#define A " sto='alice@localhost/r' sfrom='" FAKE_A "'"
#define B " sto='bob@localhost/r' sfrom='" FAKE_B "'"
#define ENABLE "<enable" SM " resume='true'/>"
#define REQUEST "<r" SM "/>"
#define LOGIN(user, id) "<iq type='set' id='l' sto='localhost' sfrom='" id "'><query xmlns='jabber:iq:auth'>" \
    "<username>" user "</username><password>pw</password><resource>r</resource></query></iq>"
#define STORE(n) "<message to='bob@localhost'" A "><body>" n "</body></message>"

/* Each in a turn of its own. */
static const char *const sfrom_turns[] = {
	ENABLE,
	LOGIN("alice", FAKE_A),
	"<iq type='get' id='1'" A "><query xmlns='jabber:iq:roster'/></iq>",
	"<presence" A "><priority>5</priority><status>one</status></presence>",
	REQUEST,
	STORE("1") STORE("2"),
	"<presence to='bob@localhost' type='subscribe'" A "/>" STORE("3"),
	"<a" SM " h='2'/>",
	LOGIN("bob", FAKE_B),
	"<iq type='get' id='1'" B "><query xmlns='jabber:iq:roster'/></iq>",
	"<presence" B "><priority>-1</priority></presence>",
	/* A page of what was stored, and something to store in the same turn. */
	"<presence" B "/><message to='carol@localhost'" A "><body>4</body></message>",
	"<presence to='alice@localhost' type='subscribed'" B "/>",
	"<presence to='alice@localhost/r'" B "/><presence to='carol@localhost/x'" B "/>",
	"<presence to='carol@localhost/x' type='unavailable'" B "/>",
	"<iq type='set' id='2'" A "><query xmlns='jabber:iq:roster'><item jid='bob@localhost' name='B'/></query></iq>",
	"<a" SM " h='9'/>",
	"<iq type='set' id='3'" A "><vCard xmlns='vcard-temp'><FN>x</FN></vCard></iq>",
	"<iq type='set' id='r' sto='localhost' sfrom='" FAKE_C "'><query xmlns='jabber:iq:register'>"
	    "<username>dora</username><password>pw</password></query></iq>",
	LOGIN("bob", FAKE_C),
	"<presence type='unavailable'" A "/>",
	"<message type='error' sto='alice@localhost/r' sfrom='" FAKE_A "'><error code='510'/></message>",
	STORE("lost"),
	"<iq type='set' id='6' sto='bob@localhost/r' sfrom='" FAKE_C "'><query xmlns='jabber:iq:register'>"
	    "<remove/></query></iq>",
	REQUEST,
};

#define X_UP " sto='localhost' sfrom='" FAKE_A "'"
#define X_BINDINGS "<connection xmlns='urn:x-c2sd:connection:0' tls='TLSv1.3'><channel-binding type='tls-exporter'>AAAA" \
    "</channel-binding></connection>"
#define X_OPEN(more) "<open" X_UP " xmlns='urn:ietf:params:xml:ns:xmpp-framing' version='1.0'>" more "</open>"
#define X_SASL(name, more) "<" name X_UP " xmlns='urn:ietf:params:xml:ns:xmpp-sasl'" more "</" name ">"

static const char *const xmpp_turns[] = {
	ENABLE,
	X_OPEN(X_BINDINGS),
	X_SASL("auth", " mechanism='SCRAM-SHA-256-PLUS'>cD10bHMtZXhwb3J0ZXIsLG49YWxpY2Uscj14"),	/* p=tls-exporter,,n=alice,r=x */
	X_SASL("response", ">Yz1iaXdzLHI9eCxwPUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQT0="),
	X_SASL("auth", " mechanism='SCRAM-SHA-1'>"),
	X_SASL("response", ">biwsbj1hbGljZSxyPXg="),
	X_SASL("abort", ">"),
	X_SASL("auth", " mechanism='PLAIN'>"),
	X_SASL("response", ">AGFsaWNlAHB3"),
	X_OPEN(""),
	"<iq type='set' id='b'" X_UP "><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>r</resource></bind></iq>",
	"<presence" A "/>",
	"<open sto='localhost' sfrom='" FAKE_C "' xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>",
	"<iq type='set' id='r' sto='localhost' sfrom='" FAKE_C "'><query xmlns='jabber:iq:register'>"
	    "<username>dora</username><password>pw</password></query></iq>",
	STORE("1"),
	"<close sto='localhost' sfrom='" FAKE_C "' xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>",
	"<close" A " xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>",
};

static const struct {
	const char *settings;
	const char *const *turns;
	size_t count;
} scripts[] = {
	{ "acknowledge=yes\n", sfrom_turns, COUNT(sfrom_turns) },
	{ "acknowledge=yes\ndialect=xmpp\n", xmpp_turns, COUNT(xmpp_turns) },
};

static struct fake *fake;
static struct journal_area area;

static void
begin(const char *settings)
{
	fake = fake_new(settings);
	area = heir_area(AREA);
	ck_assert_int_eq(account_create(&fake->sd, "alice@localhost", "pw"), ACCOUNT_DONE);
	ck_assert_int_eq(account_create(&fake->sd, "bob@localhost", "pw"), ACCOUNT_DONE);
	ck_assert_int_eq(account_create(&fake->sd, "carol@localhost", "pw"), ACCOUNT_DONE);
	fake_send(fake, "");
	ck_assert_int_eq(recovery_start(&fake->sd, &fake->settings, &area), 0);
	ck_assert(fake->sd.recovery.on);
}

static void
end(void)
{
	fake_free(fake);
	heir_area_free(&area);
}

static void
like(void)
{
	const char *a, *b;

	ck_assert_msg(heir_is_like(&fake->sd, &area, &a, &b), "it was:\n%.900s\nthe heir's:\n%.900s", a, b);
}

static void
expect_alike(struct sessiond *one, struct sessiond *other)
{
	struct buffer was = heir_likeness(one), is = heir_likeness(other);

	ck_assert_str_eq((char *)buffer_bytes(&is), (char *)buffer_bytes(&was));
	buffer_deinit(&was);
	buffer_deinit(&is);
}

START_TEST(every_turn_is_inherited)
{
	begin(scripts[_i].settings);
	for (size_t i = 0; i < scripts[_i].count; i++) {
		fake_send(fake, scripts[_i].turns[i]);
		like();
	}
	end();
}
END_TEST

/* Begun anew in each turn: nothing may be forgotten there. */
START_TEST(and_so_is_what_was_begun_anew)
{
	begin(scripts[_i].settings);
	for (size_t i = 0; i < scripts[_i].count; i++) {
		fake->sd.recovery.journal.failed = true;
		fake_send(fake, scripts[_i].turns[i]);
		ck_assert(!fake->sd.recovery.journal.failed);
		like();
	}
	end();
}
END_TEST

/* An heir has an heir. */
START_TEST(from_one_to_the_next)
{
	struct heir *first, *second;

	begin(scripts[_i].settings);
	for (size_t i = 0; i < scripts[_i].count / 2; i++)
		fake_send(fake, scripts[_i].turns[i]);
	first = heir_new(&fake->sd, heir_area_copy(&area), 0);
	second = heir_new(&fake->sd, heir_area_copy(&first->area), 0);
	expect_alike(&fake->sd, &second->sd);
	heir_free(first);
	heir_free(second);
	end();
}
END_TEST

/* The link ends, and says so in the turn: the process goes on, or another one does. */
START_TEST(end_of_the_link_is_inherited)
{
	static const char *const ends[] = { "</stream:stream>", STORE("5") REQUEST "<a></b>" };

	for (size_t i = 0; i < COUNT(ends); i++) {
		begin(scripts[_i].settings);
		for (size_t j = 0; j < scripts[_i].count / 2; j++)
			fake_send(fake, scripts[_i].turns[j]);
		fake_send(fake, ends[i]);
		like();
		sessiond_lost(&fake->sd);
		like();
		end();
	}
}
END_TEST

/* ---- between the database and the journal ---- */

static struct {
	struct journal_area before, behind;
	uint64_t turn;
} moment;

static void
moment_take(struct journal_area *copy)
{
	heir_area_free(copy);
	*copy = heir_area_copy(&area);
	moment.turn = fake->sd.recovery.turn;
}

static int
on_commit(void *argument)
{
	(void)argument;
	moment_take(&moment.before);
	return 0;
}

static int
on_committed(void *argument, sqlite3 *db, const char *name, int pages)
{
	(void)argument;
	(void)db;
	(void)name;
	(void)pages;
	moment_take(&moment.behind);
	return SQLITE_OK;
}

static void
heir_has(struct journal_area *copy, uint64_t turn, const struct buffer *expected, const char *what)
{
	struct heir *heir = heir_new(&fake->sd, *copy, turn);
	struct buffer is = heir_likeness(&heir->sd);

	ck_assert_msg(strcmp((char *)buffer_bytes(&is), (const char *)buffer_bytes(expected)) == 0, "%s:\n%.900s\nnot:\n%.900s",
	    what, (char *)buffer_bytes(&is), (const char *)buffer_bytes(expected));
	buffer_deinit(&is);
	heir_free(heir);
	*copy = (struct journal_area){ 0 };
}

/* One turn, killed before the database has it, and behind that. */
static unsigned
killed_around(const char *text)
{
	struct buffer before = heir_likeness(&fake->sd), behind;
	uint64_t number = fake->sd.recovery.turn;
	unsigned commits = 0;
	int error;

	error = sessiond_input(&fake->sd, text, strlen(text));
	ck_assert_int_eq(error, 0);
	error = sessiond_turn(&fake->sd);
	ck_assert_int_eq(error, 0);
	buffer_consume(&fake->sd.link.out, buffer_length(&fake->sd.link.out));
	behind = heir_likeness(&fake->sd);
	if (fake->sd.recovery.turn == number + 1) {
		heir_has(&moment.before, number, &before, "killed before");
		heir_has(&moment.behind, moment.turn, &behind, "killed behind");
		commits = 1;
	}
	buffer_deinit(&before);
	buffer_deinit(&behind);
	return commits;
}

static char folder[32];

/* With a database that says when it has committed. */
static void
begin_in_file(const char *more)
{
	char settings[256];

	strcpy(folder, "recovery-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(settings, sizeof settings, "%sdatabase=%s/db\n", more, folder);
	begin(settings);
	sqlite3_commit_hook(fake->sd.store.db, on_commit, NULL);
	sqlite3_wal_hook(fake->sd.store.db, on_committed, NULL);
}

static void
end_in_file(void)
{
	static const char *const names[] = { "db", "db-wal", "db-shm" };
	char path[64];

	end();
	heir_area_free(&moment.before);
	heir_area_free(&moment.behind);
	for (size_t i = 0; i < COUNT(names); i++) {
		snprintf(path, sizeof path, "%s/%s", folder, names[i]);
		unlink(path);
	}
	rmdir(folder);
}

START_TEST(killed_around_the_commit)
{
	unsigned commits = 0;

	begin_in_file(scripts[_i].settings);
	for (size_t i = 0; i < scripts[_i].count; i++) {
		if (strstr(scripts[_i].turns[i], "<remove/>") == NULL)
			commits += killed_around(scripts[_i].turns[i]);
	}
	ck_assert_uint_ge(commits, _i == 0 ? 5 : 2);
	end_in_file();
}
END_TEST

/* The link is there again, up to where the packet comes once more. */
static void
heir_goes_on(struct heir *heir, const char *packet)
{
	static const char header[] = "<stream:stream xmlns='jabber:sockets' xmlns:stream='http://etherx.jabber.org/streams'>";

	ck_assert_int_eq(sessiond_input(&heir->sd, header, strlen(header)), 0);
	ck_assert_int_eq(sessiond_turn(&heir->sd), 0);
	heir->sd.link.state = LINK_READY;
	heir->sd.link.ledger.ack.on = true;
	ck_assert_int_eq(sessiond_input(&heir->sd, packet, strlen(packet)), 0);
	ck_assert_int_eq(sessiond_turn(&heir->sd), 0);
}

#define OPERATOR(name) "<iq type='set' id='x' sto='localhost' sfrom='" FAKE_NAME "'><user xmlns='urn:x-c2sd:admin:0' " \
    "action='del' name='" name "'/></iq>"

/*
 * An account that has sessions is removed in the middle of its packet. Killed there, the packet comes again; what contacts are
 * told is told once, and all of it is in the database that has the account no more.
 */
START_TEST(killed_within_a_removal)
{
	static const char *const removals[] = {
		"<iq type='set' id='6'" A "><query xmlns='jabber:iq:register'><remove/></query></iq>",
		OPERATOR("alice"),
	};
	struct heir *heir;
	uint64_t number;

	begin_in_file(scripts[0].settings);
	fake_send(fake, ENABLE LOGIN("alice", FAKE_A) LOGIN("bob", FAKE_B));
	fake_send(fake, "<iq type='get' id='1'" B "><query xmlns='jabber:iq:roster'/></iq><presence" A "/><presence" B "/>");
	fake_send(fake, "<presence to='bob@localhost' type='subscribe'" A "/><presence to='alice@localhost' type='subscribe'" B "/>"
	    "<presence to='bob@localhost' type='subscribed'" A "/><presence to='alice@localhost' type='subscribed'" B "/>");
	number = fake->sd.recovery.turn;
	ck_has(fake_send(fake, removals[_i]), "<item jid='alice@localhost' subscription='none'/>");
	ck_assert_uint_eq(fake->sd.recovery.turn, number + 1);
	heir = heir_new(&fake->sd, moment.behind, moment.turn);
	moment.behind = (struct journal_area){ 0 };
	ck_assert_ptr_nonnull(session_find_id(&heir->sd, FAKE_A));
	heir_goes_on(heir, removals[_i]);
	expect_alike(&fake->sd, &heir->sd);
	heir_free(heir);
	/* Of one without sessions it is a turn like any other. */
	fake_send(fake, REQUEST);
	ck_assert_uint_eq(killed_around(OPERATOR("carol")), 1);
	end_in_file();
}
END_TEST

/* What cannot be gone on with is so for the next process, too. */
START_TEST(login_that_was_interrupted)
{
	struct heir *first, *second;

	begin("acknowledge=yes\ndialect=xmpp\nplain=always\n");
	fake_send(fake, ENABLE X_OPEN("") X_SASL("auth", " mechanism='PLAIN'>"));
	first = heir_new(&fake->sd, heir_area_copy(&area), 0);
	ck_assert(guest_find(&first->sd, FAKE_A)->interrupted);
	second = heir_new(&fake->sd, heir_area_copy(&first->area), 0);
	expect_alike(&first->sd, &second->sd);
	heir_free(first);
	heir_free(second);
	end();
}
END_TEST

START_TEST(commit_that_fails)
{
	int stored = 0;

	begin(scripts[0].settings);
	for (size_t i = 0; i < 5; i++)
		fake_send(fake, sfrom_turns[i]);
	sqlite3_exec(fake->sd.store.db, "PRAGMA max_page_count = 1", NULL, NULL, NULL);
	while (fake_count(fake_sendf(fake, "<message to='bob@localhost'" A "><body>%01500d</body></message>" REQUEST,
	    ++stored), "internal-server-error") == 0) {
		ck_assert_int_lt(stored, 500);
		like();
	}
	like();
	fake_send(fake, STORE("no place") "<presence" A "/>" REQUEST);
	like();
	end();
}
END_TEST

/* ---- what is there may be anything ---- */

static void
word_set(struct journal_area *copy, uint64_t length)
{
	uint64_t word;

	/* Where the word is, and which half it is about, stays as it was. */
	memcpy(&word, copy->bytes + 32, sizeof word);
	word = (word & (UINT64_C(1) << 63)) | length;
	memcpy(copy->bytes + 32, &word, sizeof word);
}

static uint64_t
word_get(const struct journal_area *copy)
{
	uint64_t word;

	memcpy(&word, copy->bytes + 32, sizeof word);
	return word & ~(UINT64_C(1) << 63);
}

/* Some turns, and what is left of them. */
static void
live_a_little(int script)
{
	begin(scripts[script].settings);
	for (size_t i = 0; i < scripts[script].count * 2 / 3; i++)
		fake_send(fake, scripts[script].turns[i]);
}

START_TEST(cut_anywhere)
{
	unsigned refused = 0, length;

	live_a_little(_i);
	length = (unsigned)word_get(&area);
	ck_assert_uint_gt(length, 1000);
	for (unsigned cut = 0; cut <= length; cut += 3) {
		struct journal_area copy = heir_area_copy(&area);
		struct heir *heir;

		word_set(&copy, cut);
		heir = heir_new(&fake->sd, copy, 0);
		ck_assert_int_eq(heir->error, 0);
		ck_assert(heir->sd.recovery.on);
		refused += heir->sd.link.ledger.ack.id[0] == '\0';
		heir_free(heir);
	}
	ck_assert_uint_gt(refused, length / 6);
	ck_assert_uint_lt(refused, length);
	end();
}
END_TEST

START_TEST(any_byte_wrong)
{
	size_t length, start;

	live_a_little(_i);
	length = (size_t)word_get(&area);
	start = JOURNAL_HEAD + fake->sd.recovery.journal.half * ((AREA - JOURNAL_HEAD) / 2 / JOURNAL_HEAD * JOURNAL_HEAD);
	for (size_t at = 0; at < length + 64; at += 5) {
		struct journal_area copy = heir_area_copy(&area);
		struct heir *heir;

		copy.bytes[at < 64 ? at : start + at - 64] ^= (uint8_t)(1 << (at % 8));
		heir = heir_new(&fake->sd, copy, 0);
		ck_assert_int_eq(heir->error, 0);
		heir_free(heir);
	}
	end();
}
END_TEST

static bool
is_nobody(struct heir *heir)
{
	bool nobody = heir->error == 0 && heir->sd.sessions.by_id.count == 0 && heir->sd.link.ledger.ack.id[0] == '\0' &&
	    STAILQ_EMPTY(&heir->sd.link.ledger.kept) && heir->sd.recovery.on;

	heir_free(heir);
	return nobody;
}

START_TEST(of_another_kind)
{
	struct journal_area copy;
	uint32_t version = JOURNAL_VERSION + 1;

	live_a_little(_i);
	copy = heir_area_copy(&area);
	memcpy(copy.bytes + 8, &version, sizeof version);
	ck_assert(is_nobody(heir_new(&fake->sd, copy, 0)));
	copy = heir_area_copy(&area);
	copy.bytes[0] ^= 1;
	ck_assert(is_nobody(heir_new(&fake->sd, copy, 0)));
	ck_assert(is_nobody(heir_new(&fake->sd, heir_area(AREA), 0)));
	copy = heir_area_copy(&area);
	word_set(&copy, AREA);
	ck_assert(is_nobody(heir_new(&fake->sd, copy, 0)));
	/* Another database. */
	fake->sd.store.secret[0] ^= 1;
	ck_assert(is_nobody(heir_new(&fake->sd, heir_area_copy(&area), 0)));
	end();
}
END_TEST

START_TEST(without_acknowledgement)
{
	struct heir *heir;

	live_a_little(_i);
	fake->settings.acknowledge = false;
	ck_assert_int_eq(recovery_start(&fake->sd, &fake->settings, &area), 0);
	ck_assert(!fake->sd.recovery.on);
	fake_send(fake, REQUEST);
	heir = heir_new(&fake->sd, heir_area_copy(&area), 0);
	ck_assert(is_nobody(heir));
	/* It may be switched on later. */
	fake->settings.acknowledge = true;
	fake_send(fake, REQUEST);
	ck_assert(fake->sd.recovery.on);
	like();
	end();
}
END_TEST

START_TEST(hosts_that_are_not_served_any_more)
{
	struct heir *heir;

	begin(scripts[0].settings);
	fake_send(fake, ENABLE);
	ck_assert_ptr_nonnull(session_open(&fake->sd, "alice@example.org", "r", FAKE_A));
	ck_assert_ptr_nonnull(session_open(&fake->sd, "bob@example.org", "r", FAKE_B));
	fake_send(fake, REQUEST);
	heir = heir_new(&fake->sd, heir_area_copy(&area), 0);
	ck_assert(settings_has_host(&heir->settings, "example.org"));
	ck_assert(!settings_is_open(&heir->settings, "example.org"));
	ck_assert_uint_eq(heir->settings.closed_count, 1);
	heir_free(heir);
	end();
}
END_TEST

/* ---- place ---- */

static size_t there;

static bool
reserve(struct journal_area *of, size_t start, size_t up_to)
{
	size_t half = (of->size - JOURNAL_HEAD) / 2;

	return up_to <= JOURNAL_HEAD || (start - JOURNAL_HEAD) % half + (up_to - start) <= there;
}

START_TEST(no_place)
{
	struct fake *one;

	begin(scripts[0].settings);
	one = fake;
	area.reserve = reserve;
	there = 0;
	one->sd.recovery.journal.reserved = one->sd.recovery.journal.length;
	fake_send(fake, ENABLE);
	ck_assert(!one->sd.recovery.on);
	fake_send(fake, LOGIN("alice", FAKE_A));
	ck_assert(is_nobody(heir_new(&one->sd, heir_area_copy(&area), 0)));
	/* Later there is some. */
	there = AREA;
	one->sd.recovery.pause = 3;
	fake_send(fake, LOGIN("bob", FAKE_B));
	ck_assert(!one->sd.recovery.on);
	fake_send(fake, REQUEST);
	ck_assert(one->sd.recovery.on);
	like();
	end();
}
END_TEST

START_TEST(does_not_grow)
{
	size_t most = 0;

	begin(scripts[0].settings);
	/* Larger than all that may be out of date. */
	recovery_stop(&fake->sd);
	heir_area_free(&area);
	area = heir_area(8 * JOURNAL_SLACK);
	ck_assert_int_eq(recovery_start(&fake->sd, &fake->settings, &area), 0);
	fake_send(fake, ENABLE);
	fake_send(fake, LOGIN("alice", FAKE_A));
	fake_send(fake, LOGIN("bob", FAKE_B));
	fake_send(fake, "<presence" B "/>");
	for (unsigned i = 0; i < 20000; i++) {
		fake_sendf(fake, "<a" SM " h='%u'/>" STORE("100 bytes of text, more or less, with everything that is around it"),
		    fake->sd.link.ledger.ack.sent);
		if (fake->sd.recovery.journal.length > most)
			most = fake->sd.recovery.journal.length;
		ck_assert(fake->sd.recovery.on);
	}
	ck_assert_uint_lt(most, JOURNAL_SLACK);
	like();
	end();
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("recovery");
	TCase *tests = tcase_create("recovery");

	tcase_set_timeout(tests, 120);
	tcase_add_loop_test(tests, every_turn_is_inherited, 0, COUNT(scripts));
	tcase_add_loop_test(tests, and_so_is_what_was_begun_anew, 0, COUNT(scripts));
	tcase_add_loop_test(tests, from_one_to_the_next, 0, COUNT(scripts));
	tcase_add_loop_test(tests, end_of_the_link_is_inherited, 0, COUNT(scripts));
	tcase_add_loop_test(tests, killed_around_the_commit, 0, COUNT(scripts));
	tcase_add_loop_test(tests, killed_within_a_removal, 0, 2);
	tcase_add_test(tests, login_that_was_interrupted);
	tcase_add_test(tests, commit_that_fails);
	tcase_add_loop_test(tests, cut_anywhere, 0, COUNT(scripts));
	tcase_add_loop_test(tests, any_byte_wrong, 0, COUNT(scripts));
	tcase_add_loop_test(tests, of_another_kind, 0, COUNT(scripts));
	tcase_add_loop_test(tests, without_acknowledgement, 0, COUNT(scripts));
	tcase_add_test(tests, hosts_that_are_not_served_any_more);
	tcase_add_test(tests, no_place);
	tcase_add_test(tests, does_not_grow);
	suite_add_tcase(suite, tests);
	return fake_run(suite);
}
