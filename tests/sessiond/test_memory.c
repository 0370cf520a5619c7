/*
 * No memory: whichever allocation of ours fails, nothing stumbles and nothing leaks, and either everything is answered
 * as ever or the session manager says that it is broken. Linked with --wrap, so that the libraries are left alone.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sessiond/account.h"
#include "tests/sessiond/fake.h"
#include "tests/sessiond/heir.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);

/* Allocations until one fails; negative: none does. */
static long countdown = -1;

static bool
fails_now(void)
{
	return countdown >= 0 && countdown-- == 0;
}

void *
__wrap_malloc(size_t size)
{
	return fails_now() ? NULL : __real_malloc(size);
}

void *
__wrap_calloc(size_t count, size_t size)
{
	return fails_now() ? NULL : __real_calloc(count, size);
}

void *
__wrap_realloc(void *memory, size_t size)
{
	return fails_now() ? NULL : __real_realloc(memory, size);
}

#define A " sto='alice@localhost/r' sfrom='" FAKE_A "'"
#define B " sto='bob@localhost/r' sfrom='" FAKE_B "'"
#define LOGIN(user, id) "<iq type='set' id='l' sto='localhost' sfrom='" id "'><query xmlns='jabber:iq:auth'>" \
    "<username>" user "</username><password>pw</password><resource>r</resource></query></iq>"

/* Each in a turn of its own. */
static const char *const turns[] = {
	LOGIN("alice", FAKE_A),
	"<iq type='get' id='1'" A "><query xmlns='jabber:iq:roster'/></iq>",
	"<presence" A "/>",
	"<message to='bob@localhost'" A "><body>one &amp; two</body></message>",
	"<presence to='bob@localhost' type='subscribe'" A "/>",
	LOGIN("bob", FAKE_B),
	"<presence" B "/>",
	"<presence to='alice@localhost' type='subscribed'" B "/>",
	"<presence to='alice@localhost/r'" B "/>",
	"<iq type='set' id='2'" A "><query xmlns='jabber:iq:roster'><item jid='bob@localhost' name='B'><group>G</group>"
	    "<group>H</group></item></query></iq>",
	"<iq type='set' id='3'" A "><vCard xmlns='vcard-temp'><FN>x<!-- -->y</FN></vCard></iq>",
	"<iq type='get' id='4'" A "><vCard xmlns='vcard-temp'/></iq>",
	"<iq type='get' id='5' to='localhost'" A "><query xmlns='http://jabber.org/protocol/disco#info'/></iq>",
	"<message to='bob@localhost' from='alice@localhost/r' type='error' sto='bob@localhost' sfrom='" FAKE_B "'>"
	    "<body>x</body><error code='510' type='chat'/></message>",
	"<message id='7' to='bob@localhost'" A "><body></message></body>",
	LOGIN("bob", FAKE_C),
	"<message type='error' sto='alice@localhost/r' sfrom='" FAKE_A "'><error code='510'/></message>",
	"<iq type='set' id='6' sto='bob@localhost/r' sfrom='" FAKE_C "'><query xmlns='jabber:iq:register'>"
	    "<remove/></query></iq>",
};

#define X_UP " sto='localhost' sfrom='" FAKE_A "'"
#define X_BINDINGS "<connection xmlns='urn:x-c2sd:connection:0' tls='TLSv1.3'><channel-binding type='tls-exporter'>AAAA" \
    "</channel-binding></connection>"
#define X_OPEN(more) "<open" X_UP " xmlns='urn:ietf:params:xml:ns:xmpp-framing' version='1.0'>" more "</open>"
#define X_SASL(name, more) "<" name X_UP " xmlns='urn:ietf:params:xml:ns:xmpp-sasl'" more "</" name ">"

/* In the dialect xmpp. The proof of the one exchange is wrong. */
static const char *const xmpp_turns[] = {
	X_OPEN(X_BINDINGS),
	X_SASL("auth", " mechanism='SCRAM-SHA-256-PLUS'>cD10bHMtZXhwb3J0ZXIsLG49YWxpY2Uscj14"),	/* p=tls-exporter,,n=alice,r=x */
	X_SASL("response", ">Yz1iaXdzLHI9eCxwPUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQT0="),
	X_SASL("auth", " mechanism='SCRAM-SHA-1'>biwsbj1hbGljZSxyPXg="),
	X_SASL("abort", ">"),
	X_SASL("auth", " mechanism='PLAIN'>"),
	X_SASL("response", ">AGFsaWNlAHB3"),
	X_OPEN(""),
	"<iq type='set' id='b'" X_UP "><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>",
	"<iq type='set' id='b' sto='bob@localhost/r' sfrom='" FAKE_B "'/>",
	"<open sto='localhost' sfrom='" FAKE_B "' xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>",
	LOGIN("bob", FAKE_B),
	"<iq type='set' id='s' sto='bob@localhost/r' sfrom='" FAKE_B "'><session "
	    "xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>",
	"<x sto='bob@localhost/r' sfrom='" FAKE_B "'/>",
	"<open sto='nowhere' sfrom='" FAKE_B "' xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>",
	"<open sto='localhost' sfrom='" FAKE_C "' xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>",
	"<close sto='localhost' sfrom='" FAKE_C "' xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>",
};

/* False: it said that it is broken. */
static bool
turn_run(struct sessiond *sd, const char *text)
{
	struct buffer *out = sessiond_output(sd);

	if (sessiond_input(sd, text, strlen(text)) < 0 || sessiond_turn(sd) < 0)
		return false;
	while (buffer_length(out) > 0) {
		buffer_consume(out, buffer_length(out));
		if (sessiond_drained(sd) < 0)
			return false;
	}
	return true;
}

static const struct {
	const char *settings;
	const char *const *turns;
	size_t count;
	unsigned sessions;	/* that are left */
} dialects[] = {
	{ "", turns, sizeof turns / sizeof turns[0], 0 },
	{ "dialect=xmpp\n", xmpp_turns, sizeof xmpp_turns / sizeof xmpp_turns[0], 1 },
};

static struct fake *
fake_with_accounts(const char *settings)
{
	struct fake *fake = fake_new(settings);

	ck_assert_int_eq(account_create(&fake->sd, "alice@localhost", "pw"), ACCOUNT_DONE);
	ck_assert_int_eq(account_create(&fake->sd, "bob@localhost", "pw"), ACCOUNT_DONE);
	return fake;
}

START_TEST(any_allocation_may_fail)
{
	bool failed = true;
	unsigned broken = 0;
	long nth;

	for (nth = 0; failed; nth++) {
		struct fake *fake = fake_with_accounts(dialects[_i].settings);
		bool good = true;

		countdown = nth;
		for (size_t i = 0; i < dialects[_i].count && good; i++)
			good = turn_run(&fake->sd, dialects[_i].turns[i]);
		failed = countdown < 0;
		countdown = -1;
		broken += !good;
		if (good)
			ck_assert_uint_le(fake->sd.sessions.by_id.count, dialects[_i].sessions);
		if (!failed) {
			ck_assert_uint_eq(fake->sd.sessions.by_id.count, dialects[_i].sessions);
			ck_assert_uint_eq(fake->sd.guests.by_id.count, 0);
		}
		fake_free(fake);
	}
	ck_assert_int_gt(nth, 50);
	ck_assert_uint_gt(broken, 40);
}
END_TEST

/* Taken over, or not, or later, by the next process. */
START_TEST(heirs_without_memory)
{
	struct journal_area area = heir_area(256 * 1024);
	struct fake *fake = fake_with_accounts("acknowledge=yes\n");
	bool failed = true;
	long nth;

	ck_assert_int_eq(recovery_start(&fake->sd, &fake->settings, &area), 0);
	ck_assert(turn_run(&fake->sd, "<enable xmlns='urn:xmpp:sm:3' resume='true'/>"));
	for (size_t i = 0; i < 9; i++)
		ck_assert(turn_run(&fake->sd, turns[i]));
	for (nth = 0; failed; nth++) {
		struct heir *heir = heir_new(&fake->sd, heir_area(256 * 1024), 0);

		memcpy(heir->area.bytes, area.bytes, area.size);
		countdown = nth;
		heir->error = recovery_start(&heir->sd, &heir->settings, &heir->area);
		failed = countdown < 0;
		countdown = -1;
		ck_assert_int_eq(heir->error, failed ? -ENOMEM : 0);
		heir_free(heir);
	}
	ck_assert_int_gt(nth, 10);
	fake_free(fake);
	heir_area_free(&area);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("memory");
	TCase *tests = tcase_create("memory");

	tcase_set_timeout(tests, 60);
	tcase_add_loop_test(tests, any_allocation_may_fail, 0, 2);
	tcase_add_test(tests, heirs_without_memory);
	suite_add_tcase(suite, tests);
	return fake_run(suite);
}
