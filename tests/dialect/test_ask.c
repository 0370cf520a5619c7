/* ask: what a session manager asks with <settle/> (doc/link.md, "Until a client has taken it"), and who else may not say it. */
#include <stdlib.h>
#include <string.h>

#include "dialect/dialect.h"
#include "tests/dialect/tap.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define NS " xmlns='urn:x-c2sd:settle:0'"
#define STAMPS " sto='id1@som' sfrom='a@foo.com'"
#define TURNED "sto='a@foo.com' sfrom='id1@som'"
#define E510 "<error code='510'>Disconnected</error>"
#define ASK "<settle" NS STAMPS " id='7'/>"

static const struct dialect *const dialects[] = { &dialect_sfrom, &dialect_xmpp };

static const struct {
	const char *text;
	enum packet_kind kind;
	const char *id;
} packets[] = {
	{ ASK, PACKET_ASK, "id1" },
	{ "<settle id=\"7\"" STAMPS " xmlns=\"urn:x-c2sd:settle:0\"></settle>", PACKET_ASK, "id1" },
	{ "<settle xmlns='urn:x-c2sd:settle&#58;0'" STAMPS "/>", PACKET_ASK, "id1" },
	{ "<settle" NS " sto='id1@som'/>", PACKET_ASK, "id1" },
	{ "<settle" NS STAMPS " last='9' bytes='100'><x/></settle>", PACKET_ASK, "id1" },
	/* None of our ids: it goes back like one that is gone. */
	{ "<settle" NS " sto='id1@som/r' sfrom='a@foo.com'/>", PACKET_ASK, "id1@som/r" },
	{ "<settle" NS " sto='som' sfrom='a@foo.com'/>", PACKET_OWN, NULL },
	{ "<settle" NS " sfrom='a@foo.com'/>", PACKET_LOST, NULL },
	{ "<settle" NS " sto='' sfrom='a@foo.com'/>", PACKET_LOST, NULL },
	/* Something else, which is for the client. */
	{ "<settle" STAMPS "/>", PACKET_DATA, "id1" },
	{ "<settle xmlns=''" STAMPS "/>", PACKET_DATA, "id1" },
	{ "<settle xmlns='urn:x-c2sd:settle:1'" STAMPS "/>", PACKET_DATA, "id1" },
	{ "<settle xmlns='urn:x-c2sd:settle:00'" STAMPS "/>", PACKET_DATA, "id1" },
	{ "<settle xmlns='urn:x-c2sd:settle:'" STAMPS "/>", PACKET_DATA, "id1" },
	{ "<settle xmlns:s='urn:x-c2sd:settle:0'" STAMPS "/>", PACKET_DATA, "id1" },
	{ "<s:settle xmlns:s='urn:x-c2sd:settle:0'" STAMPS "/>", PACKET_DATA, "id1" },
	{ "<settles" NS STAMPS "/>", PACKET_DATA, "id1" },
	{ "<Settle" NS STAMPS "/>", PACKET_DATA, "id1" },
	{ "<message" NS STAMPS "/>", PACKET_DATA, "id1" },
	{ "<message" STAMPS "><settle" NS "/></message>", PACKET_DATA, "id1" },
	/* An error is no question. */
	{ "<settle" NS STAMPS ">" E510 "</settle>", PACKET_DATA, "id1" },
	{ "<settle type='error'" NS STAMPS ">" E510 "</settle>", PACKET_DISCONNECT, "id1" },
};

START_TEST(read_as_an_ask)
{
	struct packet packet;

	for (size_t i = 0; i < COUNT(dialects); i++) {
		dialects[i]->link_read(&packet, packets[_i].text, strlen(packets[_i].text));
		ck_assert_msg(packet.kind == packets[_i].kind, "%s: %d: %s", dialects[i]->name, (int)packet.kind, packets[_i].text);
		if (packets[_i].id == NULL)
			ck_assert_ptr_null(packet.id.at);
		else
			ck_assert(range_equals(packet.id, packets[_i].id));
		if (packet.kind == PACKET_ASK)
			ck_assert(!packet.expendable && !packet.disconnect && !packet.certain && !packet.manages);
	}
}
END_TEST

/* For the session managers of route it is nothing. */
START_TEST(no_ask_in_route)
{
	static const char inside[] = "<route to='id1@som' from='a@foo.com/5a'>" ASK "</route>";
	struct packet packet;

	dialect_route.link_read(&packet, packets[_i].text, strlen(packets[_i].text));
	ck_assert_int_ne(packet.kind, PACKET_ASK);
	dialect_route.link_read(&packet, inside, strlen(inside));
	ck_assert_int_ne(packet.kind, PACKET_ASK);
}
END_TEST

START_TEST(cut_at_every_byte)
{
	static const char text[] = "<settle" NS STAMPS " id='7'><x>y</x></settle>";
	struct packet packet;

	for (size_t i = 0; i < COUNT(dialects); i++) {
		for (size_t length = 0; length < strlen(text); length++) {
			/* A copy of its own, so that it is seen if it is read over its end. */
			char *cut = malloc(length + 1);
			struct buffer out = { 0 };

			ck_assert_ptr_nonnull(cut);
			memcpy(cut + 1, text, length);
			dialects[i]->link_read(&packet, cut + 1, length);
			/* Which end tag it is is not looked at until there is something to be said. */
			ck_assert(packet.kind == PACKET_LOST || memchr(cut + 1, '/', length) != NULL);
			dialects[i]->link_answer(&out, cut + 1, length);
			ck_assert_uint_eq(buffer_length(&out), 0);
			free(cut);
		}
		dialects[i]->link_read(&packet, text, strlen(text));
		ck_assert_int_eq(packet.kind, PACKET_ASK);
	}
}
END_TEST

/* As an answer, and as what comes back. */
static const struct {
	const char *text, *answer, *bounce;
} turned[] = {
	{ ASK, "<settle " TURNED " type='result'" NS " id='7'/>",
	    "<settle " TURNED " type='error'" NS " id='7'>" E510 "</settle>" },
	{ "<settle sfrom='o&apos;b@c' id='&lt;' sto='id1@som'" NS "><x/></settle>",
	    "<settle sto='o&apos;b@c' sfrom='id1@som' type='result' id='&lt;'" NS "><x/></settle>",
	    "<settle sto='o&apos;b@c' sfrom='id1@som' type='error' id='&lt;'" NS "><x/>" E510 "</settle>" },
	/* An answer that it says itself it is. */
	{ "<settle type='error'" NS STAMPS "/>", "<settle " TURNED " type='result'" NS "/>",
	    "<settle " TURNED " type='error'" NS "><error code='510' type='error'>Disconnected</error></settle>" },
	/* Nobody to answer to; and what would cost the link. */
	{ "<settle" NS " sto='id1@som'/>", "", "" },
	{ "<settle" NS STAMPS "><a></b></settle>", "", "" },
	{ "<settle" NS STAMPS " id='1' id='2'/>", "", "" },
	{ "<settle" NS STAMPS ">\xff</settle>", "", "" },
};

static void
assert_text(struct buffer *buffer, const char *expected)
{
	buffer_append(buffer, "", 1);
	ck_assert_str_eq((char *)buffer_bytes(buffer), expected);
	buffer_deinit(buffer);
}

START_TEST(answered_and_bounced)
{
	for (size_t i = 0; i < COUNT(dialects); i++) {
		struct buffer answer = { 0 }, bounce = { 0 };

		dialects[i]->link_answer(&answer, turned[_i].text, strlen(turned[_i].text));
		dialects[i]->link_bounce(&bounce, turned[_i].text, strlen(turned[_i].text));
		assert_text(&answer, turned[_i].answer);
		assert_text(&bounce, turned[_i].bounce);
	}
}
END_TEST

/* What says that a client has taken something is no worker's to say, nor a client's. */
static const char *const forgeries[] = {
	"<settle" NS " " TURNED " type='result' id='7'/>",
	"<settle" NS " " TURNED " type='error'>" E510 "</settle>",
	"<settle" NS " " TURNED "/>",
	"<settle xmlns='urn:x-c2sd:settl&#101;:0' " TURNED " type='result'/>",
	"<s:settle xmlns:s='urn:x-c2sd:settle:0' " TURNED " type='result'/>",
};

START_TEST(no_worker_says_it)
{
	struct range to;

	for (size_t i = 0; i < COUNT(dialects); i++) {
		ck_assert_int_eq(dialects[i]->link_verify(forgeries[_i], strlen(forgeries[_i]), "id1", "som", "a@foo.com", &to),
		    VERDICT_FORGED);
		ck_assert_int_eq(dialects[i]->link_verify(forgeries[_i], strlen(forgeries[_i]), "id1", "som", NULL, &to),
		    VERDICT_FORGED);
	}
}
END_TEST

/* Inside of a stanza it is anybody's. */
START_TEST(a_child_is_let_be)
{
	static const char text[] = "<message " TURNED "><settle" NS "/></message>";
	struct range to;

	for (size_t i = 0; i < COUNT(dialects); i++)
		ck_assert_int_eq(dialects[i]->link_verify(text, strlen(text), "id1", "som", "a@foo.com", &to), VERDICT_PACKET);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("ask");
	TCase *tests = tcase_create("ask");

	tcase_add_loop_test(tests, read_as_an_ask, 0, COUNT(packets));
	tcase_add_loop_test(tests, no_ask_in_route, 0, COUNT(packets));
	tcase_add_test(tests, cut_at_every_byte);
	tcase_add_loop_test(tests, answered_and_bounced, 0, COUNT(turned));
	tcase_add_loop_test(tests, no_worker_says_it, 0, COUNT(forgeries));
	tcase_add_test(tests, a_child_is_let_be);
	suite_add_tcase(suite, tests);
	return tap_run(suite);
}
