/* The dialect xmpp: opening, features, SASL, binding, and every way in which that ends. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base64.h"
#include "tests/sessiond/fake.h"
#include "tests/sessiond/scram_client.h"

#define FRAMING "xmlns='urn:ietf:params:xml:ns:xmpp-framing'"
#define SASL "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'"
#define BIND "xmlns='urn:ietf:params:xml:ns:xmpp-bind'"
#define STREAM_ERROR "xmlns='urn:ietf:params:xml:ns:xmpp-streams'"
#define STANZA_ERROR "xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'"
#define UP(id) "sto='localhost' sfrom='" id "'"
#define DOWN(id) "sto='" id "' sfrom='localhost'"
#define CONNECTION(content) "<connection xmlns='urn:x-c2sd:connection:0' ip='192.0.2.7' port='50123' transport='tcp'" content

/* As they come of TLS: 32 bytes of each, "0123456789abcdef" and "fedcba9876543210" twice. */
#define EXPORTER "0123456789abcdef0123456789abcdef"
#define END_POINT "fedcba9876543210fedcba9876543210"
#define EXPORTER_64 "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
#define END_POINT_64 "ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA="
#define WITH_TLS CONNECTION(" tls='TLSv1.3' cipher='X'/>")
#define WITH_BINDINGS CONNECTION(" tls='TLSv1.3' cipher='X'><channel-binding type='tls-exporter'>" EXPORTER_64 \
    "</channel-binding><channel-binding type='tls-server-end-point'>" END_POINT_64 "</channel-binding>" \
    "<channel-binding type='tls-unique'>AAAA</channel-binding></connection>")
#define IN_CLEAR CONNECTION("/>")

#define CLOSE(id) "<close " DOWN(id) " " FRAMING "/>"
#define STREAM_END(id, condition) "<stream:error " DOWN(id) "><" condition " " STREAM_ERROR "/></stream:error>" CLOSE(id)
#define FAILURE(id, condition, text) \
	"<failure " DOWN(id) " " SASL "><" condition "/><text xml:lang='en'>" text "</text></failure>"
#define WRONG_PASSWORD(id) FAILURE(id, "not-authorized", "Wrong name or password.")

#define COUNT(array) ((int)(sizeof(array) / sizeof(array)[0]))

static struct fake *fake;

static void
setup(void)
{
	fake = fake_new("dialect=xmpp\n");
}

static void
teardown(void)
{
	fake_free(fake);
}

static const char *
open_with(const char *id, const char *attributes, const char *connection)
{
	return fake_sendf(fake, "<open sto='localhost' sfrom='%s' " FRAMING " to='localhost' %s>%s</open>", id, attributes,
	    connection);
}

static const char *
open_modern(const char *id)
{
	return open_with(id, "version='1.0'", WITH_TLS);
}

static const char *
auth(const char *id, const char *mechanism, const char *text)
{
	return fake_sendf(fake, "<auth sto='localhost' sfrom='%s' " SASL " mechanism='%s'>%s</auth>", id, mechanism, text);
}

static const char *
open_again(const char *id)
{
	return fake_sendf(fake, "<open sto='localhost' sfrom='%s' " FRAMING " to='localhost' version='1.0'/>", id);
}

static const char *
bind(const char *id, const char *resource)
{
	return fake_sendf(fake, "<iq sto='localhost' sfrom='%s' type='set' id='b'><bind " BIND "><resource>%s</resource>"
	    "</bind></iq>", id, resource);
}

/* base64 of NUL alice NUL pw */
#define ALICE_PW "AGFsaWNlAHB3"

/* An account of that name, "alice" mostly, that anybody may make before login. */
static void
make_account(const char *user)
{
	open_with("maker@" FAKE_NAME, "version='1.0'", IN_CLEAR);
	ck_has(fake_sendf(fake, "<iq type='set' id='r' sto='localhost' sfrom='maker@" FAKE_NAME "'>"
	    "<query xmlns='jabber:iq:register'><username>%s</username><password>pw</password></query></iq>", user),
	    "type='result'");
	ck_assert_str_eq(fake_sendf(fake, "<close sto='localhost' sfrom='maker@" FAKE_NAME "' " FRAMING "/>"), "");
}

static void
log_in(const char *id, const char *resource)
{
	open_modern(id);
	ck_has(auth(id, "PLAIN", ALICE_PW), "<success ");
	open_again(id);
	ck_has(bind(id, resource), "type='result'");
}

/* ---- the link itself ---- */

START_TEST(handshake_in_the_namespace_of_components)
{
	struct fake *shut = fake_new_shut("dialect=xmpp\n");
	const char *header = fake_send(shut, "<stream:stream xmlns='jabber:component:accept' "
	    "xmlns:stream='http://etherx.jabber.org/streams' to='" FAKE_NAME "' xml:lang=''>");

	ck_has(header, "<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' "
	    "xmlns:stream='http://etherx.jabber.org/streams' from='" FAKE_NAME "' id='");
	ck_assert_str_eq(fake_send(shut, "<message/>"), "<stream:error><not-authorized " STREAM_ERROR "/><text " STREAM_ERROR
	    ">Must send handshake first</text></stream:error>");
	ck_assert_str_eq(fake_send(shut, fake_handshake(shut)), "<handshake/>");
	ck_assert_str_eq(fake_send(shut, "</stream:stream>"), "</stream:stream>");
	fake_free(shut);
}
END_TEST

/* ---- the whole way ---- */

START_TEST(plain_to_session)
{
	const char *text;

	make_account("alice");
	text = open_modern(FAKE_A);
	ck_has(text, "<open " DOWN(FAKE_A) " " FRAMING " from='localhost' id='");
	ck_has(text, "' version='1.0' xml:lang='en'/><stream:features " DOWN(FAKE_A) "><mechanisms " SASL ">"
	    "<mechanism>SCRAM-SHA-256</mechanism><mechanism>SCRAM-SHA-1</mechanism><mechanism>PLAIN</mechanism>"
	    "</mechanisms><auth xmlns='http://jabber.org/features/iq-auth'/>"
	    "<register xmlns='http://jabber.org/features/iq-register'/></stream:features>");
	ck_assert_str_eq(auth(FAKE_A, "PLAIN", ALICE_PW), "<success " DOWN(FAKE_A) " " SASL "/>");
	text = open_again(FAKE_A);
	ck_has(text, "<open " DOWN(FAKE_A) " " FRAMING " from='localhost' id='");
	ck_has(text, "<stream:features " DOWN(FAKE_A) "><bind " BIND "/><session "
	    "xmlns='urn:ietf:params:xml:ns:xmpp-session'><optional/></session></stream:features>");
	ck_assert_str_eq(bind(FAKE_A, "Home"), "<iq sto='" FAKE_A "' sfrom='alice@localhost/Home' type='result' id='b'>"
	    "<bind " BIND "><jid>alice@localhost/Home</jid></bind></iq>");
	ck_assert_uint_eq(fake->sd.guests.by_id.count, 0);
	ck_assert_str_eq(fake_stanza(fake, FAKE_A, "alice@localhost/Home", "iq", "type='set' id='s'",
	    "<session xmlns='urn:ietf:params:xml:ns:xmpp-session'/>"),
	    "<iq sto='" FAKE_A "' sfrom='alice@localhost' type='result' id='s' to='alice@localhost/Home'/>");
	ck_has(fake_stanza(fake, FAKE_A, "alice@localhost/Home", "iq", "type='set' id='s'", "<bind " BIND "/>"),
	    "<not-allowed " STANZA_ERROR "/>");
}
END_TEST

START_TEST(replaced_session_answers_the_new_one_first)
{
	const char *text;

	make_account("alice");
	log_in(FAKE_A, "r");
	open_modern(FAKE_B);
	auth(FAKE_B, "PLAIN", ALICE_PW);
	open_again(FAKE_B);
	text = bind(FAKE_B, "r");
	ck_assert_str_eq(text, "<iq sto='" FAKE_B "' sfrom='alice@localhost/r' type='result' id='b'><bind " BIND ">"
	    "<jid>alice@localhost/r</jid></bind></iq>"
	    "<stream:error sto='" FAKE_A "' sfrom='alice@localhost/r'><conflict " STREAM_ERROR "/><text " STREAM_ERROR
	    ">Replaced by new connection</text></stream:error>"
	    "<close sto='" FAKE_A "' sfrom='alice@localhost/r' " FRAMING "/>");
	/* The old one's end, which c2sd says or does not, is not the new one's. */
	ck_assert_str_eq(fake_send(fake, "<close sto='alice@localhost/r' sfrom='" FAKE_A "' " FRAMING "/>"), "");
	ck_assert_ptr_nonnull(session_find_id(&fake->sd, FAKE_B));
}
END_TEST

/* ---- what is offered ---- */

static const struct {
	const char *settings, *attributes, *connection;
	const char *mechanisms;		/* "": no features at all */
	const char *bindings;
} offers[] = {
	{ "", "version='1.0'", "", "SCRAM-SHA-256 SCRAM-SHA-1 ", "" },
	{ "", "version='1.0'", IN_CLEAR, "SCRAM-SHA-256 SCRAM-SHA-1 ", "" },
	{ "plain=tls\n", "version='1.0'", IN_CLEAR, "SCRAM-SHA-256 SCRAM-SHA-1 ", "" },
	{ "plain=always\n", "version='1.0'", IN_CLEAR, "SCRAM-SHA-256 SCRAM-SHA-1 PLAIN ", "" },
	{ "", "version='1.0'", WITH_TLS, "SCRAM-SHA-256 SCRAM-SHA-1 PLAIN ", "" },
	{ "", "version='1.1'", WITH_TLS, "SCRAM-SHA-256 SCRAM-SHA-1 PLAIN ", "" },
	{ "", "version='1.0'", WITH_BINDINGS,
	  "SCRAM-SHA-256-PLUS SCRAM-SHA-1-PLUS SCRAM-SHA-256 SCRAM-SHA-1 PLAIN ", "tls-exporter tls-server-end-point " },
	{ "", "version='1.0'", CONNECTION(" tls='TLSv1.2'><channel-binding type='tls-server-end-point'>" END_POINT_64
	  "</channel-binding></connection>"),
	  "SCRAM-SHA-256-PLUS SCRAM-SHA-1-PLUS SCRAM-SHA-256 SCRAM-SHA-1 PLAIN ", "tls-server-end-point " },
	/* Without TLS there is no channel to be bound; nor where its data cannot be read, or is of a type that is not known. */
	{ "", "version='1.0'", CONNECTION("><channel-binding type='tls-exporter'>" EXPORTER_64
	  "</channel-binding></connection>"), "SCRAM-SHA-256 SCRAM-SHA-1 ", "" },
	{ "", "version='1.0'", CONNECTION(" tls='TLSv1.3'><channel-binding type='tls-exporter'>=</channel-binding>"
	  "<channel-binding type='tls-exporter'/><channel-binding>" EXPORTER_64 "</channel-binding>"
	  "<channel-binding type='tls-unique'>" EXPORTER_64 "</channel-binding></connection>"),
	  "SCRAM-SHA-256 SCRAM-SHA-1 PLAIN ", "" },
	{ "", "version='1.0'", "<connection xmlns='other' tls='TLSv1.3'/>", "SCRAM-SHA-256 SCRAM-SHA-1 ", "" },
	{ "", "", WITH_BINDINGS, "", "" },
	{ "", "version='0.9'", WITH_BINDINGS, "", "" },
};

/* What stands in `text` between each `before` and the `end` behind it, one behind the other. */
static void
list_of(const char *text, const char *before, char end, char list_r[512])
{
	*list_r = '\0';
	while ((text = strstr(text, before)) != NULL) {
		text += strlen(before);
		snprintf(list_r + strlen(list_r), 512 - strlen(list_r), "%.*s ", (int)(strchr(text, end) - text), text);
	}
}

START_TEST(features_are_what_the_connection_allows)
{
	char settings[64], list[512];
	struct fake *other;
	const char *text;

	snprintf(settings, sizeof settings, "dialect=xmpp\nregistration=no\n%s", offers[_i].settings);
	other = fake_new(settings);
	text = fake_sendf(other, "<open " UP(FAKE_A) " " FRAMING " %s>%s</open>", offers[_i].attributes,
	    offers[_i].connection);
	ck_has(text, "<open " DOWN(FAKE_A));
	list_of(text, "<mechanism>", '<', list);
	ck_assert_str_eq(list, offers[_i].mechanisms);
	list_of(text, "<channel-binding type='", '\'', list);
	ck_assert_str_eq(list, offers[_i].bindings);
	ck_assert_uint_eq(fake_count(text, "xmlns='urn:xmpp:sasl-cb:0'"), *offers[_i].bindings != '\0');
	ck_assert_uint_eq(fake_count(text, "<stream:features"), *offers[_i].mechanisms != '\0');
	ck_assert_uint_eq(fake_count(text, "version='1.0'"), *offers[_i].mechanisms != '\0');
	ck_has_not(text, "iq-register");
	/* What is not offered is not taken. */
	if (*offers[_i].mechanisms == '\0') {
		text = fake_send(other, "<auth " UP(FAKE_A) " " SASL " mechanism='PLAIN'>" ALICE_PW "</auth>");
		ck_assert_str_eq(text, FAILURE(FAKE_A, "invalid-mechanism", "This way to log in is not offered."));
	}
	fake_free(other);
}
END_TEST

START_TEST(who_the_client_says_to_be_is_told_back)
{
	ck_has(open_with(FAKE_A, "version='1.0' from='Alice@localhost/x'", IN_CLEAR), " from='localhost' to='alice@localhost' ");
	ck_has_not(open_with(FAKE_B, "version='1.0' from='@@'", IN_CLEAR), " to=");
}
END_TEST

START_TEST(stream_ids_are_never_the_same)
{
	char first[64], *place;

	place = strstr(open_modern(FAKE_A), " id='");
	ck_assert_ptr_nonnull(place);
	snprintf(first, sizeof first, "%.38s", place);
	ck_has_not(open_modern(FAKE_B), first);
}
END_TEST

/* ---- SCRAM ---- */

struct scram_case {
	const char *mechanism;
	enum scram_hash hash;
	const char *header;	/* gs2-header */
	const char *binding;	/* what the client believes the channel to be */
	const char *username, *password;
	const char *first_fails, *final_fails;	/* with these conditions; NULL: well */
};

static const struct scram_case scram_cases[] = {
	{ "SCRAM-SHA-256", SCRAM_SHA256, "n,,", "", "alice", "pw", NULL, NULL },
	{ "SCRAM-SHA-1", SCRAM_SHA1, "n,,", "", "alice", "pw", NULL, NULL },
	{ "SCRAM-SHA-256-PLUS", SCRAM_SHA256, "p=tls-exporter,,", EXPORTER, "alice", "pw", NULL, NULL },
	{ "SCRAM-SHA-1-PLUS", SCRAM_SHA1, "p=tls-exporter,,", EXPORTER, "alice", "pw", NULL, NULL },
	{ "SCRAM-SHA-256-PLUS", SCRAM_SHA256, "p=tls-server-end-point,,", END_POINT, "alice", "pw", NULL, NULL },
	{ "SCRAM-SHA-1-PLUS", SCRAM_SHA1, "p=tls-server-end-point,,", END_POINT, "alice", "pw", NULL, NULL },
	{ "SCRAM-SHA-256", SCRAM_SHA256, "n,a=alice@localhost,", "", "Alice", "pw", NULL, NULL },
	{ "SCRAM-SHA-256", SCRAM_SHA256, "n,a=Alice@LOCALHOST,", "", "alice", "pw", NULL, NULL },
	{ "SCRAM-SHA-256-PLUS", SCRAM_SHA256, "p=tls-exporter,a=alice@localhost,", EXPORTER, "alice", "pw", NULL, NULL },
	{ "SCRAM-SHA-256", SCRAM_SHA256, "n,,", "", "\xe2\x85\xa0" "x", "pw", NULL, NULL },	/* SASLprep: Ix */
	{ "SCRAM-SHA-256", SCRAM_SHA256, "n,,", "", "alice", "wrong", NULL, "not-authorized" },
	{ "SCRAM-SHA-1", SCRAM_SHA1, "n,,", "", "alice", "", NULL, "not-authorized" },
	{ "SCRAM-SHA-256", SCRAM_SHA256, "n,,", "", "nobody", "pw", NULL, "not-authorized" },
	/* Somebody in the middle has his own channel to the client. */
	{ "SCRAM-SHA-256-PLUS", SCRAM_SHA256, "p=tls-exporter,,", END_POINT, "alice", "pw", NULL, "not-authorized" },
	{ "SCRAM-SHA-256-PLUS", SCRAM_SHA256, "p=tls-exporter,,", "", "alice", "pw", NULL, "not-authorized" },
	{ "SCRAM-SHA-1-PLUS", SCRAM_SHA1, "p=tls-server-end-point,,", EXPORTER, "alice", "pw", NULL, "not-authorized" },
	/* Somebody in the middle has taken -PLUS out of the list. */
	{ "SCRAM-SHA-256", SCRAM_SHA256, "y,,", "", "alice", "pw", "mechanism-too-weak", NULL },
	{ "SCRAM-SHA-256", SCRAM_SHA256, "p=tls-exporter,,", EXPORTER, "alice", "pw", "malformed-request", NULL },
	{ "SCRAM-SHA-256-PLUS", SCRAM_SHA256, "n,,", "", "alice", "pw", "malformed-request", NULL },
	{ "SCRAM-SHA-256-PLUS", SCRAM_SHA256, "y,,", "", "alice", "pw", "malformed-request", NULL },
	{ "SCRAM-SHA-256-PLUS", SCRAM_SHA256, "p=tls-unique,,", "", "alice", "pw", "malformed-request", NULL },
	{ "SCRAM-SHA-256", SCRAM_SHA256, "n,a=bob@localhost,", "", "alice", "pw", "invalid-authzid", NULL },
	{ "SCRAM-SHA-256", SCRAM_SHA256, "n,a=alice@localhost/r,", "", "alice", "pw", "invalid-authzid", NULL },
	{ "SCRAM-SHA-256", SCRAM_SHA256, "n,a=alice,", "", "alice", "pw", "invalid-authzid", NULL },
	{ "SCRAM-SHA-256", SCRAM_SHA256, "n,a=alice@example.org,", "", "alice", "pw", "invalid-authzid", NULL },
	{ "SCRAM-SHA-256", SCRAM_SHA256, "n,,", "", "al@ice", "pw", "not-authorized", NULL },
	{ "SCRAM-SHA-256", SCRAM_SHA256, "n,,", "", "a\xff" "b", "pw", "not-authorized", NULL },
	{ "SCRAM-SHA-256", SCRAM_SHA256, "n,,m=x,", "", "alice", "pw", "malformed-request", NULL },
};

static void
encoded(struct buffer *out, const char *text)
{
	base64_encode(out, text, strlen(text));
	buffer_append(out, "", 1);
}

/* The decoded text of an element that came out. */
static void
decoded(struct buffer *out, const char *text, const char *element)
{
	const char *begin = strstr(text, element);

	ck_assert_msg(begin != NULL, "no %s in \"%s\"", element, text);
	begin = strchr(begin, '>') + 1;
	ck_assert_ptr_nonnull(strstr(begin, "</"));
	ck_assert(base64_decode(out, begin, strcspn(begin, "<")));
	buffer_append(out, "", 1);
}

#define TEXT(buffer) ((const char *)buffer_bytes(&(buffer)))

/* Some clients show their user nothing but the words, so there are some. */
static void
ck_failure(const char *text, const char *condition)
{
	char failure[512], words[128];
	const char *end = strstr(text, "</text></failure>"), *begin = end;

	ck_assert_ptr_nonnull(end);
	while (begin > text && begin[-1] != '>')
		begin--;
	ck_assert_int_gt(end - begin, 10);
	snprintf(words, sizeof words, "%.*s", (int)(end - begin), begin);
	snprintf(failure, sizeof failure, FAILURE(FAKE_A, "%s", "%s"), condition, words);
	ck_assert_str_eq(text, failure);
}

/* `before_r` is what both have said; `without_proof_r` what the client answers but for the proof. */
static void
scram_begin(const struct scram_case *one, char before_r[2048], char without_proof_r[2048], struct scram_keys *keys_r)
{
	struct buffer first = { 0 }, channel = { 0 }, challenge = { 0 };
	char bare[512], message[1024];
	const char *text;

	snprintf(bare, sizeof bare, "n=%s,r=clientnonce", one->username);
	snprintf(message, sizeof message, "%s%s", one->header, bare);
	encoded(&first, message);
	text = auth(FAKE_A, one->mechanism, TEXT(first));
	*before_r = '\0';
	if (one->first_fails != NULL) {
		ck_failure(text, one->first_fails);
	} else {
		decoded(&challenge, text, "<challenge ");
		ck_assert_int_eq(strncmp(TEXT(challenge), "r=clientnonce", strlen("r=clientnonce")), 0);
		snprintf(message, sizeof message, "%s%s", one->header, one->binding);
		encoded(&channel, message);
		snprintf(before_r, 2048, "%s,%s,", bare, TEXT(challenge));
		snprintf(without_proof_r, 2048, "c=%s,%.*s", TEXT(channel), (int)strcspn(TEXT(challenge), ","), TEXT(challenge));
		scram_client_read_first(keys_r, TEXT(challenge));
	}
	buffer_deinit(&first);
	buffer_deinit(&channel);
	buffer_deinit(&challenge);
}

static void
scram_end(const struct scram_case *one, const char *before, const char *without_proof, const struct scram_keys *keys)
{
	struct buffer final = { 0 }, response = { 0 }, success = { 0 }, expected = { 0 };
	const char *text;

	scram_client_final(&final, one->hash, one->password, keys, before, without_proof);
	buffer_append(&final, "", 1);
	encoded(&response, TEXT(final));
	text = fake_sendf(fake, "<response " UP(FAKE_A) " " SASL ">%s</response>", TEXT(response));
	if (one->final_fails != NULL) {
		ck_failure(text, one->final_fails);
	} else {
		decoded(&success, text, "<success ");
		scram_client_expected(&expected, one->hash, one->password, keys, before, without_proof);
		buffer_append(&expected, "", 1);
		ck_assert_str_eq(TEXT(success), TEXT(expected));
	}
	buffer_deinit(&final);
	buffer_deinit(&response);
	buffer_deinit(&success);
	buffer_deinit(&expected);
}

START_TEST(scram_goes_its_way)
{
	const struct scram_case *one = &scram_cases[_i];
	char before[2048], without_proof[2048];
	struct scram_keys keys;

	make_account("alice");
	make_account("ix");
	open_with(FAKE_A, "version='1.0'", WITH_BINDINGS);
	scram_begin(one, before, without_proof, &keys);
	if (*before != '\0')
		scram_end(one, before, without_proof, &keys);
	/* After a failure the stream is there for another try. */
	if (one->first_fails != NULL || one->final_fails != NULL)
		ck_has(auth(FAKE_A, "PLAIN", ALICE_PW), "<success ");
	open_again(FAKE_A);
	ck_has(bind(FAKE_A, "r"), "<jid>");
	ck_assert_ptr_null(guest_first(&fake->sd));
}
END_TEST

/* Where nothing can be bound a client may say so. */
START_TEST(scram_takes_y_where_plus_was_not_offered)
{
	static const struct scram_case one = { "SCRAM-SHA-256", SCRAM_SHA256, "y,,", "", "alice", "pw", NULL, NULL };
	char before[2048], without_proof[2048];
	struct scram_keys keys;

	make_account("alice");
	open_modern(FAKE_A);
	scram_begin(&one, before, without_proof, &keys);
	scram_end(&one, before, without_proof, &keys);
}
END_TEST

/* Who asks is told the same of accounts that are not there: each time, and each something else. */
START_TEST(unknown_accounts_have_salts)
{
	static const struct scram_case nobody = { "SCRAM-SHA-1", SCRAM_SHA1, "n,,", "", "nobody", "pw", NULL, NULL };
	static const struct scram_case other = { "SCRAM-SHA-256", SCRAM_SHA256, "n,,", "", "other", "pw", NULL, NULL };
	char before[2048], without_proof[2048];
	struct scram_keys first, second, third;

	open_modern(FAKE_A);
	scram_begin(&nobody, before, without_proof, &first);
	scram_begin(&nobody, before, without_proof, &second);
	scram_begin(&other, before, without_proof, &third);
	ck_assert_uint_eq(first.salt_size, SCRAM_SALT_SIZE_MAX);
	ck_assert_int_eq(first.iterations, fake->settings.iterations);
	ck_assert_int_eq(memcmp(first.salt, second.salt, sizeof first.salt), 0);
	ck_assert_int_ne(memcmp(first.salt, third.salt, sizeof first.salt), 0);
}
END_TEST

/* ---- what a login may look like ---- */

/* NUL alice NUL pw and so on: see the comments. */
static const struct {
	const char *mechanism, *text, *condition;	/* NULL: <success/>; "": an empty challenge */
} attempts[] = {
	{ "PLAIN", ALICE_PW, NULL },
	{ "PLAIN", "YWxpY2VAbG9jYWxob3N0AGFsaWNlAHB3", NULL },			/* alice@localhost NUL alice NUL pw */
	{ "PLAIN", "AEFMSUNFAHB3", NULL },					/* NUL ALICE NUL pw */
	{ "PLAIN", "", "" },
	{ "SCRAM-SHA-256", "", "" },
	{ "PLAIN", "AGFsaWNlAHdyb25n", "not-authorized" },			/* NUL alice NUL wrong */
	{ "PLAIN", "AG5vYm9keQBwdw==", "not-authorized" },			/* NUL nobody NUL pw */
	{ "PLAIN", "AGFsQGljZQBwdw==", "not-authorized" },			/* NUL al@ice NUL pw */
	{ "PLAIN", "AGH/AHB3", "not-authorized" },				/* NUL a\xff NUL pw */
	{ "PLAIN", "Ym9iAGFsaWNlAHB3", "invalid-authzid" },			/* bob NUL alice NUL pw */
	{ "PLAIN", "Ym9iQGxvY2FsaG9zdABhbGljZQBwdw==", "invalid-authzid" },	/* bob@localhost NUL alice NUL pw */
	{ "PLAIN", "=", "malformed-request" },
	{ "PLAIN", "YWxpY2U=", "malformed-request" },				/* alice */
	{ "PLAIN", "AGFsaWNl", "malformed-request" },				/* NUL alice */
	{ "PLAIN", "AGFsaWNlAA==", "malformed-request" },			/* NUL alice NUL */
	{ "PLAIN", "AABwdw==", "malformed-request" },				/* NUL NUL pw */
	{ "PLAIN", "AGFsaWNlAHB3AHg=", "malformed-request" },			/* NUL alice NUL pw NUL x */
	{ "PLAIN", "AGFsaWNlAHB3AA==", "malformed-request" },			/* NUL alice NUL pw NUL */
	{ "PLAIN", "AGFsaWNlAHB", "incorrect-encoding" },
	{ "PLAIN", "AGFsaWNl AHB3", "incorrect-encoding" },
	{ "PLAIN", "==", "incorrect-encoding" },
	{ "SCRAM-SHA-256", "=", "malformed-request" },
	{ "SCRAM-SHA-256", "bix=", "incorrect-encoding" },
	{ "SCRAM-SHA-256-PLUS", "biws", "invalid-mechanism" },			/* nothing to be bound here */
	{ "SCRAM-SHA-1-PLUS", "biws", "invalid-mechanism" },
	{ "plain", ALICE_PW, "invalid-mechanism" },
	{ "DIGEST-MD5", "", "invalid-mechanism" },
	{ "EXTERNAL", "=", "invalid-mechanism" },
	{ "", "", "invalid-mechanism" },
};

START_TEST(attempt_to_log_in)
{
	const char *text;

	make_account("alice");
	open_modern(FAKE_A);
	text = auth(FAKE_A, attempts[_i].mechanism, attempts[_i].text);
	if (attempts[_i].condition == NULL)
		ck_assert_str_eq(text, "<success " DOWN(FAKE_A) " " SASL "/>");
	else if (*attempts[_i].condition == '\0')
		ck_assert_str_eq(text, "<challenge " DOWN(FAKE_A) " " SASL "/>");
	else
		ck_failure(text, attempts[_i].condition);
}
END_TEST

START_TEST(plain_in_clear_needs_encryption)
{
	make_account("alice");
	open_with(FAKE_A, "version='1.0'", IN_CLEAR);
	ck_failure(auth(FAKE_A, "PLAIN", ALICE_PW), "encryption-required");
	ck_failure(auth(FAKE_A, "PLAIN", ""), "encryption-required");
}
END_TEST

START_TEST(mechanism_must_be_named)
{
	open_modern(FAKE_A);
	ck_failure(fake_send(fake, "<auth " UP(FAKE_A) " " SASL "/>"), "invalid-mechanism");
}
END_TEST

START_TEST(plain_in_two_steps)
{
	make_account("alice");
	open_modern(FAKE_A);
	auth(FAKE_A, "PLAIN", "");
	ck_assert_str_eq(fake_send(fake, "<response " UP(FAKE_A) " " SASL ">" ALICE_PW "</response>"),
	    "<success " DOWN(FAKE_A) " " SASL "/>");
}
END_TEST

START_TEST(response_without_a_question)
{
	make_account("alice");
	open_modern(FAKE_A);
	ck_failure(fake_send(fake, "<response " UP(FAKE_A) " " SASL ">" ALICE_PW "</response>"), "malformed-request");
	ck_failure(fake_send(fake, "<abort " UP(FAKE_A) " " SASL "/>"), "aborted");
	ck_has(auth(FAKE_A, "PLAIN", ALICE_PW), "<success ");
}
END_TEST

START_TEST(aborted_and_begun_anew)
{
	make_account("alice");
	open_modern(FAKE_A);
	auth(FAKE_A, "SCRAM-SHA-256", "biwsbj1hbGljZSxyPXg=");		/* n,,n=alice,r=x */
	ck_failure(fake_send(fake, "<abort " UP(FAKE_A) " " SASL "/>"), "aborted");
	ck_failure(fake_send(fake, "<response " UP(FAKE_A) " " SASL ">" ALICE_PW "</response>"), "malformed-request");
	auth(FAKE_A, "SCRAM-SHA-256", "biwsbj1hbGljZSxyPXg=");
	ck_has(auth(FAKE_A, "PLAIN", ALICE_PW), "<success ");
}
END_TEST

START_TEST(too_many_failures_end_the_stream)
{
	open_modern(FAKE_A);
	for (int i = 0; i < 255; i++)
		ck_failure(auth(FAKE_A, "PLAIN", ALICE_PW), "not-authorized");
	ck_assert_str_eq(auth(FAKE_A, "PLAIN", ALICE_PW), WRONG_PASSWORD(FAKE_A)
	    "<stream:error " DOWN(FAKE_A) "><policy-violation " STREAM_ERROR "/><text " STREAM_ERROR
	    ">Too many attempts to log in</text></stream:error>" CLOSE(FAKE_A));
	ck_assert_uint_eq(fake->sd.guests.by_id.count, 0);
	/* Whatever was on its way meanwhile. */
	ck_assert_str_eq(auth(FAKE_A, "PLAIN", ALICE_PW), CLOSE(FAKE_A));
}
END_TEST

/* Passwords are hashed a few in a turn, by whatever way they come. */
START_TEST(turn_hashes_few_passwords)
{
	struct buffer text = { 0 };
	int error;

	for (int i = 0; i < 40; i++)
		buffer_append_format(&text, "<open sto='localhost' sfrom='%d@" FAKE_NAME "' " FRAMING " version='1.0'>" WITH_TLS
		    "</open><auth sto='localhost' sfrom='%d@" FAKE_NAME "' " SASL " mechanism='PLAIN'>" ALICE_PW "</auth>",
		    i, i);
	error = sessiond_input(&fake->sd, buffer_bytes(&text), buffer_length(&text));
	ck_assert_int_eq(error, 0);
	ck_assert(sessiond_is_busy(&fake->sd));
	ck_assert_uint_eq(fake->sd.hashes, SESSIOND_HASHES_MAX);
	ck_assert_uint_eq(fake->sd.guests.by_id.count, SESSIOND_HASHES_MAX);
	fake_send(fake, "");
	ck_assert_uint_eq(fake->sd.guests.by_id.count, 40);
	buffer_deinit(&text);
}
END_TEST

START_TEST(broken_store_is_temporary)
{
	make_account("alice");
	open_modern(FAKE_A);
	sqlite3_exec(fake->sd.store.db, "ALTER TABLE account RENAME TO hidden", NULL, NULL, NULL);
	ck_failure(auth(FAKE_A, "PLAIN", ALICE_PW), "temporary-auth-failure");
	ck_failure(auth(FAKE_A, "SCRAM-SHA-256", "biwsbj1hbGljZSxyPXg="), "temporary-auth-failure");
	sqlite3_exec(fake->sd.store.db, "ALTER TABLE hidden RENAME TO account", NULL, NULL, NULL);
	ck_has(auth(FAKE_A, "PLAIN", ALICE_PW), "<success ");
	open_again(FAKE_A);
	sqlite3_exec(fake->sd.store.db, "ALTER TABLE account RENAME TO hidden", NULL, NULL, NULL);
	ck_has(bind(FAKE_A, "r"), "<internal-server-error " STANZA_ERROR "/>");
	sqlite3_exec(fake->sd.store.db, "ALTER TABLE hidden RENAME TO account", NULL, NULL, NULL);
	ck_has(bind(FAKE_A, "r"), "type='result'");
}
END_TEST

/* ---- jabber:iq:auth and jabber:iq:register beside it ---- */

#define ASK(type, xmlns, fields) "<iq type='" type "' id='q' " UP(FAKE_A) "><query xmlns='" xmlns "'>" fields "</query></iq>"
#define IQ_AUTH ASK("set", "jabber:iq:auth", "<username>alice</username><password>pw</password><resource>old</resource>")

START_TEST(old_clients_log_in_as_ever)
{
	make_account("alice");
	ck_has_not(open_with(FAKE_A, "", IN_CLEAR), "features");
	ck_has(fake_send(fake, ASK("get", "jabber:iq:auth", "<username>alice</username>")), "<password/>");
	ck_assert_str_eq(fake_send(fake, IQ_AUTH),
	    "<iq sto='" FAKE_A "' sfrom='alice@localhost/old' type='result' id='q'/>");
	ck_assert_uint_eq(fake->sd.guests.by_id.count, 0);
	ck_has(fake_stanza(fake, FAKE_A, "alice@localhost/old", "iq", "type='get' id='p'", "<ping xmlns='urn:xmpp:ping'/>"),
	    "type='result'");
}
END_TEST

START_TEST(iq_auth_in_the_middle_of_sasl)
{
	make_account("alice");
	open_modern(FAKE_A);
	auth(FAKE_A, "SCRAM-SHA-256", "biwsbj1hbGljZSxyPXg=");
	ck_has(fake_send(fake, ASK("set", "jabber:iq:auth", "<username>alice</username><password>bad</password>"
	    "<resource>old</resource>")), "<not-authorized " STANZA_ERROR "/>");
	ck_failure(fake_send(fake, "<response " UP(FAKE_A) " " SASL ">biws</response>"), "malformed-request");
	ck_has(fake_send(fake, IQ_AUTH), "type='result'");
}
END_TEST

START_TEST(too_many_failures_of_iq_auth_end_the_stream)
{
	open_modern(FAKE_A);
	for (int i = 0; i < 255; i++)
		ck_has(fake_send(fake, IQ_AUTH), "<not-authorized " STANZA_ERROR "/></error></iq>");
	ck_has(fake_send(fake, IQ_AUTH), "<policy-violation " STREAM_ERROR "/>");
}
END_TEST

START_TEST(registrations_of_a_stream_are_few)
{
	open_modern(FAKE_A);
	for (int i = 0; i < 5; i++)
		ck_has(fake_sendf(fake, "<iq type='set' id='q' " UP(FAKE_A) "><query xmlns='jabber:iq:register'>"
		    "<username>user%d</username><password>pw</password></query></iq>", i), "type='result'");
	ck_has(fake_send(fake, ASK("set", "jabber:iq:register", "<username>user5</username><password>pw</password>")),
	    "<not-allowed " STANZA_ERROR "/>");
	ck_has(fake_send(fake, ASK("set", "jabber:iq:auth", "<username>user0</username><password>pw</password>"
	    "<resource>r</resource>")), "type='result'");
}
END_TEST

/* ---- out of turn ---- */

#define PING "<iq type='get' id='p' " UP(FAKE_A) "><ping xmlns='urn:xmpp:ping'/></iq>"
#define BIND_IQ "<iq type='set' id='b' " UP(FAKE_A) "><bind " BIND "/></iq>"
#define OPEN "<open " UP(FAKE_A) " " FRAMING " version='1.0'/>"
#define AUTH "<auth " UP(FAKE_A) " " SASL " mechanism='PLAIN'>" ALICE_PW "</auth>"

static const struct {
	int state;		/* enum guest_state */
	const char *text;
} out_of_turn[] = {
	{ GUEST_OPENED, "<message " UP(FAKE_A) "><body/></message>" }, { GUEST_OPENED, "<presence " UP(FAKE_A) "/>" },
	{ GUEST_OPENED, PING }, { GUEST_OPENED, BIND_IQ }, { GUEST_OPENED, OPEN }, { GUEST_OPENED, "<x " UP(FAKE_A) "/>" },
	{ GUEST_OPENED, "<iq type='result' id='r' " UP(FAKE_A) "/>" },
	{ GUEST_OPENED, "<iq id='r' " UP(FAKE_A) "><query xmlns='jabber:iq:auth'/></iq>" },
	{ GUEST_OPENED, "<auth " UP(FAKE_A) " mechanism='PLAIN'/>" },
	{ GUEST_EXCHANGE, PING }, { GUEST_EXCHANGE, BIND_IQ }, { GUEST_EXCHANGE, OPEN },
	{ GUEST_PASSED, PING }, { GUEST_PASSED, BIND_IQ }, { GUEST_PASSED, AUTH }, { GUEST_PASSED, IQ_AUTH },
	{ GUEST_PASSED, "<response " UP(FAKE_A) " " SASL "/>" }, { GUEST_PASSED, "<abort " UP(FAKE_A) " " SASL "/>" },
	{ GUEST_BINDING, PING }, { GUEST_BINDING, OPEN }, { GUEST_BINDING, AUTH }, { GUEST_BINDING, IQ_AUTH },
	{ GUEST_BINDING, ASK("get", "jabber:iq:register", "") }, { GUEST_BINDING, "<message " UP(FAKE_A) "/>" },
	{ GUEST_BINDING, "<iq type='set' id='s' " UP(FAKE_A) "><session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>" },
};

/* An account "alice", and a guest of client A in that state. */
static void
go_to(int state)
{
	make_account("alice");
	open_modern(FAKE_A);
	if (state == GUEST_EXCHANGE)
		auth(FAKE_A, "SCRAM-SHA-256", "biwsbj1hbGljZSxyPXg=");
	if (state >= GUEST_PASSED)
		auth(FAKE_A, "PLAIN", ALICE_PW);
	if (state == GUEST_BINDING)
		open_again(FAKE_A);
	ck_assert_int_eq(guest_find(&fake->sd, FAKE_A)->state, state);
}

START_TEST(what_is_out_of_turn_ends_the_stream)
{
	go_to(out_of_turn[_i].state);
	ck_assert_str_eq(fake_send(fake, out_of_turn[_i].text), STREAM_END(FAKE_A, "not-authorized"));
	ck_assert_uint_eq(fake->sd.guests.by_id.count, 0);
	ck_assert_uint_eq(fake->sd.sessions.by_id.count, 0);
	ck_assert_str_eq(fake_send(fake, PING), CLOSE(FAKE_A));
}
END_TEST

/* ---- ends ---- */

static const char *const goodbyes[] = {
	"<close " UP(FAKE_A) " " FRAMING "/>",
	"<message " UP(FAKE_A) " type='error'><error code='510'>Disconnected</error></message>",
	/* An answer that reached nobody. */
	"<iq " UP(FAKE_A) " type='error' id='q'><error code='510' type='result'>Disconnected</error></iq>",
};

START_TEST(client_that_goes_is_forgotten)
{
	go_to(_i / COUNT(goodbyes));
	ck_assert_str_eq(fake_send(fake, goodbyes[_i % COUNT(goodbyes)]), "");
	ck_assert_uint_eq(fake->sd.guests.by_id.count, 0);
	ck_assert_str_eq(fake_send(fake, goodbyes[_i % COUNT(goodbyes)]), "");
}
END_TEST

START_TEST(session_ends_with_the_stream)
{
	make_account("alice");
	log_in(FAKE_A, "r");
	log_in(FAKE_B, "s");
	/* Another's, or of another session: not this one's. */
	ck_assert_str_eq(fake_send(fake, "<close sto='alice@localhost/s' sfrom='" FAKE_A "' " FRAMING "/>"), "");
	ck_assert_str_eq(fake_send(fake, "<close " UP(FAKE_A) " " FRAMING "/>"), "");
	ck_assert_uint_eq(fake->sd.sessions.by_id.count, 2);
	ck_assert_str_eq(fake_send(fake, "<close sto='alice@localhost/r' sfrom='" FAKE_A "' " FRAMING "/>"), "");
	ck_assert_uint_eq(fake->sd.sessions.by_id.count, 1);
	ck_assert_str_eq(fake_send(fake, "<message sto='alice@localhost/s' sfrom='" FAKE_B "' type='error'>"
	    "<error code='510'>Disconnected</error></message>"), "");
	ck_assert_uint_eq(fake->sd.sessions.by_id.count, 0);
}
END_TEST

START_TEST(what_is_no_stanza_ends_the_session)
{
	static const char *const texts[] = { "auth " SASL, "open " FRAMING, "r xmlns='urn:xmpp:sm:3'", "x" };

	make_account("alice");
	log_in(FAKE_A, "r");
	ck_assert_str_eq(fake_sendf(fake, "<%s sto='alice@localhost/r' sfrom='" FAKE_A "'/>", texts[_i]),
	    "<stream:error sto='" FAKE_A "' sfrom='alice@localhost/r'><unsupported-stanza-type " STREAM_ERROR "/></stream:error>"
	    "<close sto='" FAKE_A "' sfrom='alice@localhost/r' " FRAMING "/>");
	ck_assert_uint_eq(fake->sd.sessions.by_id.count, 0);
}
END_TEST

START_TEST(stream_that_is_not_here_is_closed)
{
	ck_assert_str_eq(fake_send(fake, PING), CLOSE(FAKE_A));
	ck_assert_str_eq(fake_send(fake, AUTH), CLOSE(FAKE_A));
	ck_assert_str_eq(fake_send(fake, IQ_AUTH), CLOSE(FAKE_A));
}
END_TEST

START_TEST(session_that_is_not_here_is_gone)
{
	ck_assert_str_eq(fake_stanza(fake, FAKE_A, "alice@localhost/r", "message", "to='b@localhost'", "<body>x</body>"),
	    "<message sto='" FAKE_A "' sfrom='alice@localhost/r' to='b@localhost' type='error'><body>x</body>"
	    "<error code='510'>Disconnected</error></message>");
	ck_assert_str_eq(fake_stanza(fake, FAKE_A, "alice@localhost/r", "r", "xmlns='urn:xmpp:sm:3'", ""),
	    "<message sto='" FAKE_A "' sfrom='alice@localhost/r' type='error'><error code='510'>Disconnected</error>"
	    "</message>");
}
END_TEST

START_TEST(account_that_is_removed_takes_its_streams_with_it)
{
	const char *text;

	make_account("alice");
	log_in(FAKE_A, "r");
	log_in(FAKE_B, "s");
	open_modern(FAKE_C);
	auth(FAKE_C, "PLAIN", ALICE_PW);
	open_again(FAKE_C);
	text = fake_stanza(fake, FAKE_A, "alice@localhost/r", "iq", "type='set' id='x'",
	    "<query xmlns='jabber:iq:register'><remove/></query>");
	ck_has(text, "<iq sto='" FAKE_A "' sfrom='alice@localhost' type='result' id='x' to='alice@localhost/r'/>");
	ck_has(text, "<stream:error sto='" FAKE_A "' sfrom='alice@localhost/r'><not-authorized " STREAM_ERROR "/><text "
	    STREAM_ERROR ">Account removed</text></stream:error><close sto='" FAKE_A "' sfrom='alice@localhost/r' " FRAMING
	    "/>");
	ck_has(text, "<close sto='" FAKE_B "' sfrom='alice@localhost/s' " FRAMING "/>");
	/* This one was between the two. */
	ck_has(bind(FAKE_C, "t"), "<not-authorized " STANZA_ERROR "/>");
	ck_assert_uint_eq(fake->sd.sessions.by_id.count, 0);
}
END_TEST

/* ---- hosts ---- */

START_TEST(host_that_is_none_of_ours)
{
	static const char *const hosts[] = { "elsewhere.example", "not a host", "", "@" };
	char end[1024];
	const char *text;

	text = fake_sendf(fake, "<open sto='%s' sfrom='" FAKE_A "' " FRAMING " version='1.0'>" WITH_TLS "</open>", hosts[_i]);
	snprintf(end, sizeof end, "' version='1.0' xml:lang='en'/><stream:error sto='" FAKE_A "' sfrom='%s'><host-unknown "
	    STREAM_ERROR "/></stream:error><close sto='" FAKE_A "' sfrom='%s' " FRAMING "/>", hosts[_i], hosts[_i]);
	ck_has(text, "<open sto='" FAKE_A "' ");
	ck_has(text, end);
	ck_assert_uint_eq(fake->sd.guests.by_id.count, 0);
}
END_TEST

START_TEST(hosts_have_accounts_of_their_own)
{
	make_account("alice");
	fake_send(fake, "<open sto='example.org' sfrom='" FAKE_A "' " FRAMING " version='1.0'>" WITH_TLS "</open>");
	ck_has(fake_send(fake, "<auth sto='example.org' sfrom='" FAKE_A "' " SASL " mechanism='PLAIN'>" ALICE_PW "</auth>"),
	    "<not-authorized/>");
	/* One stream is to one host. */
	ck_assert_str_eq(auth(FAKE_A, "PLAIN", ALICE_PW), STREAM_END(FAKE_A, "host-unknown"));
}
END_TEST

START_TEST(host_may_be_written_in_any_way)
{
	make_account("alice");
	ck_has(fake_send(fake, "<open sto='LocalHost' sfrom='" FAKE_A "' " FRAMING " version='1.0'>" WITH_TLS "</open>"),
	    "sfrom='LocalHost'");
	ck_has(fake_send(fake, "<auth sto='LocalHost' sfrom='" FAKE_A "' " SASL " mechanism='PLAIN'>" ALICE_PW "</auth>"),
	    "<success sto='" FAKE_A "' sfrom='LocalHost'");
	fake_send(fake, "<open sto='LocalHost' sfrom='" FAKE_A "' " FRAMING " version='1.0'/>");
	ck_has(fake_send(fake, "<iq type='set' id='b' sto='LocalHost' sfrom='" FAKE_A "'><bind " BIND "/></iq>"),
	    "<jid>alice@localhost/");
}
END_TEST

START_TEST(host_that_is_closed_is_gone)
{
	char text[] = "host=example.org\nname=n\nsecret=s\ndatabase=d\n";
	struct settings next;
	unsigned line;

	open_modern(FAKE_A);
	ck_assert_int_eq(settings_read(&next, text, &line), 0);
	settings_change(&fake->settings, &next);
	settings_deinit(&next);
	ck_assert_str_eq(auth(FAKE_A, "PLAIN", ALICE_PW), STREAM_END(FAKE_A, "host-gone"));
	ck_has(open_modern(FAKE_A), STREAM_END(FAKE_A, "host-gone"));
}
END_TEST

/* ---- binding ---- */

static const struct {
	const char *content, *answer;
} binds[] = {
	{ "<bind " BIND "><resource>home</resource></bind>", "<jid>alice@localhost/home</jid>" },
	{ "<bind " BIND "><resource>H\xc3\xb6 &amp; \xe2\x85\xa0</resource></bind>", "<jid>alice@localhost/H\xc3\xb6 &amp; I</jid>" },
	{ "<bind " BIND "/>", NULL }, { "<bind " BIND "><resource/></bind>", NULL },
	{ "<bind " BIND "><resource>a&#9;b</resource></bind>", "<bad-request " STANZA_ERROR "/>" },
	{ "<bind " BIND "><resource>\xe2\x80\xa8</resource></bind>", "<bad-request " STANZA_ERROR "/>" },
};

START_TEST(resource_is_bound)
{
	const char *text;
	char list[512];

	go_to(GUEST_BINDING);
	text = fake_sendf(fake, "<iq type='set' id='b' " UP(FAKE_A) ">%s</iq>", binds[_i].content);
	if (binds[_i].answer != NULL) {
		ck_has(text, binds[_i].answer);
		return;
	}
	/* A random one, of 16 characters. */
	list_of(text, "<jid>alice@localhost/", '<', list);
	ck_assert_uint_eq(strspn(list, "0123456789abcdef"), 16);
	ck_assert_str_eq(list + 16, " ");
}
END_TEST

START_TEST(resource_that_is_refused_may_be_another)
{
	go_to(GUEST_BINDING);
	ck_assert_str_eq(bind(FAKE_A, "a&#9;b"), "<iq " DOWN(FAKE_A) " type='error' id='b'><bind " BIND "/>"
	    "<error code='400' type='modify'><bad-request " STANZA_ERROR "/></error></iq>");
	ck_has(fake_send(fake, "<iq type='get' id='b' " UP(FAKE_A) "><bind " BIND "/></iq>"), "<bad-request ");
	ck_has(bind(FAKE_A, "r"), "type='result'");
}
END_TEST

START_TEST(resource_may_have_1023_bytes)
{
	char longest[1025];

	go_to(GUEST_BINDING);
	memset(longest, 'x', sizeof longest);
	longest[1024] = '\0';
	ck_has(bind(FAKE_A, longest), "<bad-request ");
	longest[1023] = '\0';
	ck_has(bind(FAKE_A, longest), "type='result'");
}
END_TEST

/* ---- bounds ---- */

START_TEST(oldest_guest_makes_room)
{
	fake->sd.guests.max = 2;
	open_modern(FAKE_A);
	open_modern(FAKE_B);
	ck_has(open_modern(FAKE_C), "<stream:error " DOWN(FAKE_A) "><resource-constraint " STREAM_ERROR "/><text " STREAM_ERROR
	    ">Too many streams</text></stream:error>" CLOSE(FAKE_A));
	ck_assert_uint_eq(fake->sd.guests.by_id.count, 2);
	ck_has(auth(FAKE_B, "PLAIN", ""), "<challenge ");
	ck_has(auth(FAKE_C, "PLAIN", ""), "<challenge ");
}
END_TEST

START_TEST(what_is_too_deep)
{
	struct buffer text = { 0 };

	open_modern(FAKE_A);
	buffer_append_string(&text, "<iq type='set' id='d' " UP(FAKE_A) ">");
	for (int i = 0; i < NODE_DEPTH_MAX + 1; i++)
		buffer_append_string(&text, "<a>");
	for (int i = 0; i < NODE_DEPTH_MAX + 1; i++)
		buffer_append_string(&text, "</a>");
	buffer_append_string(&text, "</iq>");
	buffer_append(&text, "", 1);
	ck_has(fake_send(fake, TEXT(text)), "<not-acceptable ");
	buffer_clear(&text);
	buffer_append_string(&text, "<auth " SASL " " UP(FAKE_A) ">");
	for (int i = 0; i < NODE_DEPTH_MAX + 1; i++)
		buffer_append_string(&text, "<a>");
	for (int i = 0; i < NODE_DEPTH_MAX + 1; i++)
		buffer_append_string(&text, "</a>");
	buffer_append_string(&text, "</auth>");
	buffer_append(&text, "", 1);
	ck_has(fake_send(fake, TEXT(text)), "<policy-violation ");
	buffer_deinit(&text);
}
END_TEST

/* ---- the operator ---- */

START_TEST(operator_is_no_guest)
{
	ck_assert_str_eq(fake_send(fake, "<iq type='set' id='1' sto='localhost' sfrom='" FAKE_NAME "'>"
	    "<user xmlns='urn:x-c2sd:admin:0' action='add' name='carol' password='pw'/></iq>"),
	    "<iq sto='" FAKE_NAME "' sfrom='localhost' type='result' id='1'/>");
	ck_assert_uint_eq(fake->sd.guests.by_id.count, 0);
	open_modern(FAKE_A);
	ck_assert_str_eq(fake_send(fake, "<iq type='set' id='1' " UP(FAKE_A) "><user xmlns='urn:x-c2sd:admin:0' action='list'/>"
	    "</iq>"), STREAM_END(FAKE_A, "not-authorized"));
}
END_TEST

/* ---- in pieces ---- */

#define CONVERSATION \
	OPEN_WITH_TLS AUTH "<open " UP(FAKE_A) " " FRAMING " to='localhost' version='1.0'/>" \
	"<iq type='set' id='b' " UP(FAKE_A) "><bind " BIND "><resource>r</resource></bind></iq>" \
	"<iq type='set' id='s' sto='alice@localhost/r' sfrom='" FAKE_A "'>" \
	"<session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>" \
	"<presence sto='alice@localhost/r' sfrom='" FAKE_A "'/>" \
	"<close sto='alice@localhost/r' sfrom='" FAKE_A "' " FRAMING "/>"
#define OPEN_WITH_TLS "<open " UP(FAKE_A) " " FRAMING " to='localhost' version='1.0'>" WITH_BINDINGS "</open>"

/* Ids are random. */
static void
without_ids(struct buffer *out, const char *text)
{
	const char *id;

	while ((id = strstr(text, "from='localhost' id='")) != NULL) {
		id += strlen("from='localhost' id='");
		buffer_append(out, text, (size_t)(id - text));
		text = id + strcspn(id, "'");
	}
	buffer_append_string(out, text);
}

START_TEST(conversation_cut_anywhere_is_the_same)
{
	char text[] = CONVERSATION, first[sizeof text];
	struct buffer whole = { 0 };

	make_account("alice");
	without_ids(&whole, fake_send(fake, text));
	buffer_append(&whole, "", 1);
	ck_has(TEXT(whole), "<jid>alice@localhost/r</jid>");
	ck_has(TEXT(whole), "<presence ");
	for (size_t cut = 1; cut < sizeof text - 1; cut++) {
		struct buffer both = { 0 };

		memcpy(first, text, cut);
		first[cut] = '\0';
		without_ids(&both, fake_send(fake, first));
		without_ids(&both, fake_send(fake, text + cut));
		buffer_append(&both, "", 1);
		ck_assert_str_eq(TEXT(both), TEXT(whole));
		buffer_deinit(&both);
	}
	buffer_deinit(&whole);
}
END_TEST


int
main(void)
{
	Suite *suite = suite_create("xmpp");
	TCase *tests = tcase_create("xmpp");

	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, handshake_in_the_namespace_of_components);
	tcase_add_test(tests, plain_to_session);
	tcase_add_test(tests, replaced_session_answers_the_new_one_first);
	tcase_add_loop_test(tests, features_are_what_the_connection_allows, 0, COUNT(offers));
	tcase_add_test(tests, who_the_client_says_to_be_is_told_back);
	tcase_add_test(tests, stream_ids_are_never_the_same);
	tcase_add_loop_test(tests, scram_goes_its_way, 0, COUNT(scram_cases));
	tcase_add_test(tests, scram_takes_y_where_plus_was_not_offered);
	tcase_add_test(tests, unknown_accounts_have_salts);
	tcase_add_loop_test(tests, attempt_to_log_in, 0, COUNT(attempts));
	tcase_add_test(tests, plain_in_clear_needs_encryption);
	tcase_add_test(tests, mechanism_must_be_named);
	tcase_add_test(tests, plain_in_two_steps);
	tcase_add_test(tests, response_without_a_question);
	tcase_add_test(tests, aborted_and_begun_anew);
	tcase_add_test(tests, too_many_failures_end_the_stream);
	tcase_add_test(tests, turn_hashes_few_passwords);
	tcase_add_test(tests, broken_store_is_temporary);
	tcase_add_test(tests, old_clients_log_in_as_ever);
	tcase_add_test(tests, iq_auth_in_the_middle_of_sasl);
	tcase_add_test(tests, too_many_failures_of_iq_auth_end_the_stream);
	tcase_add_test(tests, registrations_of_a_stream_are_few);
	tcase_add_loop_test(tests, what_is_out_of_turn_ends_the_stream, 0, COUNT(out_of_turn));
	tcase_add_loop_test(tests, client_that_goes_is_forgotten, 0, 4 * COUNT(goodbyes));
	tcase_add_test(tests, session_ends_with_the_stream);
	tcase_add_loop_test(tests, what_is_no_stanza_ends_the_session, 0, 4);
	tcase_add_test(tests, stream_that_is_not_here_is_closed);
	tcase_add_test(tests, session_that_is_not_here_is_gone);
	tcase_add_test(tests, account_that_is_removed_takes_its_streams_with_it);
	tcase_add_loop_test(tests, host_that_is_none_of_ours, 0, 4);
	tcase_add_test(tests, hosts_have_accounts_of_their_own);
	tcase_add_test(tests, host_may_be_written_in_any_way);
	tcase_add_test(tests, host_that_is_closed_is_gone);
	tcase_add_loop_test(tests, resource_is_bound, 0, COUNT(binds));
	tcase_add_test(tests, resource_that_is_refused_may_be_another);
	tcase_add_test(tests, resource_may_have_1023_bytes);
	tcase_add_test(tests, oldest_guest_makes_room);
	tcase_add_test(tests, what_is_too_deep);
	tcase_add_test(tests, operator_is_no_guest);
	tcase_add_test(tests, conversation_cut_anywhere_is_the_same);
	suite_add_tcase(suite, tests);
	return fake_run(suite);
}
