/*
 * router, arrivals: what the master believes of its workers, and what becomes of packets when a client ends, at each step
 * of its life. The test plays workers and session manager (stage.h). Argument: `puppet`.
 */
#include <arpa/inet.h>
#include <bsd/string.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "master/router.h"
#include "tests/common/turn.h"
#include "tests/dialect/tap.h"
#include "tests/master/stage.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* With each test: small enough that a few packets fill it. */
#define HELD_MAX 100000

#define ALICE "alice@foo.com/home"
#define ANSWER "<iq type='result' id='login' sto='%s' sfrom='" ALICE "'/>"
#define MESSAGE "<message id='%s' to='alice@foo.com' sto='%s' sfrom='alice@foo.com'><body>yo</body></message>"
#define BOUNCED "<message sto='alice@foo.com' sfrom='%s' type='error' id='%s' to='alice@foo.com'><body>yo</body>" \
	"<error code='510'>Disconnected</error></message>\n"
#define ENDED "<message sto='" ALICE "' sfrom='%s' type='error'><error code='510'>Disconnected</error></message>\n"
#define END_OF_ALICE "<message type='error' sto='%s' sfrom='" ALICE "'><error code='510'>Disconnected</error></message>"

static char expected[4096];

static void
setup(void)
{
	expected[0] = '\0';
	stage_open(2, HELD_MAX);
}

static void
teardown(void)
{
	stage_assert_balance();
	stage_close();
}

static void
assert_queue(const char *text)
{
	ck_assert_str_eq(manager_queue(), text);
	stage_assert_balance();
}

/* That worker has been ended for this, the other one has not. */
static void
assert_breach(uint32_t worker, enum contract_breach breach)
{
	char text[80];

	stage_turns();
	snprintf(text, sizeof text, "worker %u broke-contract breach=%s", worker, contract_breach_name(breach));
	ck_assert_msg(strstr(stage_log(), text) != NULL, "no %s:\n%s", text, stage_log());
	snprintf(text, sizeof text, "worker %u broke", 1 - worker);
	ck_assert_ptr_null(strstr(stage_log(), text));
	ck_assert_int_eq(stage.pool.workers[1 - worker].state, WORKER_READY);
}

static void
assert_no_breach(void)
{
	stage_turns();
	ck_assert_msg(strstr(stage_log(), "broke-contract") == NULL, "%s", stage_log());
}

static void
say_packet(const struct entry *entry, const char *text)
{
	puppet_say_of(entry, W2M_PACKET, text, strlen(text));
	stage_turns();
}

/* The next frame to that worker is of this type; a packet's number, or the reason of an end. */
static uint64_t
assert_hears(uint32_t worker, enum frame_type type)
{
	enum end_reason reason = END_REASON_COUNT;
	uint64_t number = 0;
	const uint8_t *bytes;
	size_t length;
	struct frame frame;
	int fd;

	ck_assert_msg(puppet_hear(worker, &frame, &fd), "no %s", contract_name(type));
	ck_assert_str_eq(contract_name(frame.type), contract_name(type));
	if (fd >= 0)
		close(fd);
	if (type == M2W_PACKET)
		ck_assert(message_get_packet(&frame, &number, &bytes, &length));
	if (type != M2W_CLOSE)
		return number;
	ck_assert(message_get_reason(&frame, &reason));
	return reason;
}

static void
assert_hears_nothing(uint32_t worker)
{
	struct frame frame;
	int fd;

	if (puppet_hear(worker, &frame, &fd))
		ck_abort_msg("worker %u hears %s", worker, contract_name(frame.type));
}

/* ---- what clients send ---- */

START_TEST(stamped_packets_go_up)
{
	struct entry *entry = client_new(0);
	char text[512];

	snprintf(text, sizeof text, "<iq type='set' sto='foo.com' sfrom='%s'><query xmlns='jabber:iq:auth'/></iq>", id_of(entry));
	say_packet(entry, text);
	snprintf(expected, sizeof expected, "%s\n", text);
	assert_queue(expected);
	entry = client_login(1, "a&b@foo.com/home");
	/* Attributes anywhere, and entities in them, are as good. */
	snprintf(text, sizeof text, "<message a='1' sfrom = \"%s\" sto='a&amp;b@foo.com/home'/>", id_of(entry));
	say_packet(entry, text);
	strlcat(expected, text, sizeof expected);
	strlcat(expected, "\n", sizeof expected);
	assert_queue(expected);
	ck_assert_uint_eq(stage.keeper.total.of[FATE_UP], 2);
	ck_assert_uint_eq(stage.keeper.workers[0].of[FATE_UP], 1);
	ck_assert_uint_eq(stage.keeper.workers[1].of[FATE_UP], 1);
	assert_no_breach();
}
END_TEST

/* %1$s is the client, %2$s another one, who is alice, too, when there is a session. */
static const struct {
	bool session;
	const char *text;
} forgeries[] = {
	{ false, "<iq sto='foo.com' sfrom='%2$s'/>%1$.0s" },
	{ false, "<iq sto='foo.com' sfrom='" STAGE_NAME "'/>%1$.0s%2$.0s" },
	{ false, "<iq sto='foo.com' sfrom='%1$s/r'/>%2$.0s" },
	{ false, "<iq sto='foo.com' sfrom='%1$s.evil'/>%2$.0s" },
	{ false, "<iq sto='foo.com' sfrom=''/>%1$.0s%2$.0s" },
	{ false, "<iq sto='foo.com'/>%1$.0s%2$.0s" },
	{ false, "<iq sfrom='%1$s'/>%2$.0s" },
	{ false, "<iq sto='' sfrom='%1$s'/>%2$.0s" },
	{ false, "<iq sto='" ALICE "' sfrom='%1$s'/>%2$.0s" },
	{ false, "<iq sto='alice@foo.com' sfrom='%1$s'/>%2$.0s" },
	{ false, "<user xmlns='urn:x-c2sd:admin:0'/>%1$.0s%2$.0s" },
	{ true, "<message sto='" ALICE "' sfrom='%2$s'/>%1$.0s" },
	{ true, "<message sto='" ALICE "' sfrom='foo-sockets'/>%1$.0s%2$.0s" },
	{ true, "<message sto='" ALICE "' sfrom='alice@foo.com/home'/>%1$.0s%2$.0s" },
	{ true, "<message sto='bob@foo.com/home' sfrom='%1$s'/>%2$.0s" },
	{ true, "<message sto='alice@foo.com' sfrom='%1$s'/>%2$.0s" },
	{ true, "<message sto='" ALICE "2' sfrom='%1$s'/>%2$.0s" },
	{ true, "<message sto='foo.com' sfrom='%1$s'/>%2$.0s" },
	{ true, "<message sfrom='%1$s'/>%2$.0s" },
	{ true, "<message sto='" ALICE "'/>%1$.0s%2$.0s" },
	{ true, "<message sto='" ALICE "' sfrom='%1$s'/><message sto='" ALICE "' sfrom='%1$s'/>%2$.0s" },
	{ true, "<message sto='" ALICE "' sfrom='%1$s'/></stream:stream>%2$.0s" },
	{ true, "<message sto='" ALICE "' sfrom='%1$s'/>text%2$.0s" },
	{ true, "<message sto='" ALICE "' sfrom='%1$s'><body>%2$.0s" },
	{ true, "<message sto='" ALICE "' sfrom='%1$s'%2$.0s" },
	{ true, "<message><x sto='" ALICE "' sfrom='%1$s'/></message>%2$.0s" },
	/* What would cost a session manager its link. */
	{ true, "<message sto='" ALICE "' sfrom='%1$s'><a></b></message>%2$.0s" },
	{ true, "<message sto='" ALICE "' sfrom='%1$s'></iq>%2$.0s" },
	{ true, "<message sto='" ALICE "' sfrom='%1$s' sto='bob@foo.com/home'/>%2$.0s" },
	{ true, "<message sto='" ALICE "' sfrom='%1$s' id='<'/>%2$.0s" },
	{ true, "<message sto='" ALICE "' sfrom='%1$s'><body>\xff</body></message>%2$.0s" },
	{ true, "<message sto='" ALICE "' sfrom='%1$s'><x:y/></message>%2$.0s" },
	{ true, "<message sto='" ALICE "' sfrom='%1$s'><!-- --></message>%2$.0s" },
	/* What belongs to the link or its stream. */
	{ true, "<handshake sto='" ALICE "' sfrom='%1$s'/>%2$.0s" },
	{ true, "<route sto='" ALICE "' sfrom='%1$s'/>%2$.0s" },
	{ true, "<stream:error sto='" ALICE "' sfrom='%1$s'/>%2$.0s" },
	{ true, "text%1$.0s%2$.0s" },
	{ true, "</stream:stream>%1$.0s%2$.0s" },
};

START_TEST(forged_packets_cost_the_worker)
{
	struct entry *entry = forgeries[_i].session ? client_login(0, ALICE) : client_new(0), *other = client_new(1);
	char text[1024];

	if (forgeries[_i].session)
		snprintf(expected, sizeof expected, ENDED, id_of(entry));
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(text, sizeof text, forgeries[_i].text, id_of(entry), id_of(other));
#pragma GCC diagnostic pop
	say_packet(entry, text);
	assert_breach(0, BREACH_FORGED);
	assert_queue(expected);
	ck_assert_uint_eq(stage.directory.count, 1);
}
END_TEST

/* A name that the contract lets nobody be, although the worker may have put it there. */
START_TEST(zero_bytes_are_no_way_round)
{
	static const char address[] = ALICE "\0x";
	struct entry *entry = client_new(0);

	manager_send(ANSWER, id_of(entry));
	puppet_say_of(entry, W2M_SESSION, address, sizeof address);
	assert_breach(0, BREACH_BODY);
}
END_TEST

static void
say_address(const struct entry *entry)
{
	struct buffer body = { 0 };
	struct peer peer = { .port = 50123 };

	ck_assert_int_eq(inet_pton(AF_INET6, "2001:db8::7", &peer.address), 1);
	message_put_address(&body, &peer);
	puppet_say_of(entry, W2M_ADDRESS, buffer_bytes(&body), buffer_length(&body));
	buffer_deinit(&body);
}

static const char *
address_of(const struct entry *entry)
{
	static char address[INET6_ADDRSTRLEN];

	return peer_format(&entry->peer, address);
}

START_TEST(a_proxy_says_where_a_client_comes_from)
{
	struct entry *entry = client_new(0);
	struct frame frame;
	uint8_t failures;
	int fd;

	entry->proxied = true;
	ck_assert_str_eq(address_of(entry), "192.0.2.7");
	puppet_forget(0);
	say_address(entry);
	assert_no_breach();
	ck_assert(puppet_hear(0, &frame, &fd));
	ck_assert_int_eq(frame.type, M2W_ADMITTED);
	ck_assert_uint_eq(frame.serial, entry->serial);
	ck_assert(message_get_failures(&frame, &failures));
	ck_assert_str_eq(address_of(entry), "2001:db8::7");
	ck_assert_uint_eq(entry->peer.port, 50123);
	/* Not twice. */
	say_address(entry);
	assert_breach(0, BREACH_ADDRESS);
}
END_TEST

START_TEST(no_address_without_a_proxy)
{
	say_address(client_new(0));
	assert_breach(0, BREACH_ADDRESS);
}
END_TEST

START_TEST(no_address_after_the_login)
{
	struct entry *entry = client_login(0, ALICE);

	entry->proxied = true;
	say_address(entry);
	assert_breach(0, BREACH_ADDRESS);
}
END_TEST

/* What can have been under way before a worker read STOP is no breach: 16 MB, of each of them. */
START_TEST(who_does_not_stop_is_stopped)
{
	static const size_t size = 5 * 1024 * 1024;
	static const uint32_t speakers[] = { 0, 1, 0, 1, 0, 1 };
	struct entry *entries[] = { client_login(0, ALICE), client_login(1, ALICE) };
	char *text = malloc(size);
	int length;

	/* There is no link: STOP is in force from the beginning. */
	ck_assert(stage.pool.stopped);
	for (unsigned i = 0; i <= COUNT(speakers); i++) {
		uint32_t speaker = i < COUNT(speakers) ? speakers[i] : (uint32_t)_i;

		assert_no_breach();
		length = snprintf(text, size, "<message sto='" ALICE "' sfrom='%s'>", id_of(entries[speaker]));
		memset(text + length, 'x', size - (size_t)length);
		memcpy(text + size - 10, "</message>", 10);
		puppet_say_of(entries[speaker], W2M_PACKET, text, size);
	}
	assert_breach((uint32_t)_i, BREACH_FLOW);
	/* The packets that were none, and the end of the session that nobody has taken over. */
	ck_assert_uint_eq(stage.keeper.total.of[FATE_UP], COUNT(speakers) + (unsigned)_i);
	free(text);
}
END_TEST

/* After GO it may send as much as it likes, and as much again after the next STOP. */
START_TEST(each_stop_counts_anew)
{
	static const size_t size = 6 * 1024 * 1024;
	struct entry *entry = client_login(0, ALICE);
	char *text = malloc(size);
	int length = snprintf(text, size, "<message sto='" ALICE "' sfrom='%s'>", id_of(entry));

	memset(text + length, 'x', size - (size_t)length);
	memcpy(text + size - 10, "</message>", 10);
	for (unsigned i = 0; i < 9; i++) {
		if (i % 3 == 2)
			pool_broadcast(&stage.pool, M2W_GO, NULL);
		puppet_say_of(entry, W2M_PACKET, text, size);
		stage_turns();
		if (i % 3 == 2)
			pool_broadcast(&stage.pool, M2W_STOP, NULL);
		assert_no_breach();
		manager_take();
	}
	free(text);
}
END_TEST

/* ---- logins ---- */

START_TEST(session_needs_an_answer)
{
	static const char *const addresses[] = { ALICE, "alice@foo.com/home2", "alice@foo.com", "foo.com", "bob@foo.com/home" };
	struct entry *entry = client_new(0), *other = client_new(0);

	/* None at all; then one for another address; then one for another client. */
	if (_i > 0)
		manager_send(ANSWER, id_of(_i == COUNT(addresses) ? other : entry));
	puppet_say_of(entry, W2M_SESSION, addresses[(unsigned)_i % COUNT(addresses)],
	    strlen(addresses[(unsigned)_i % COUNT(addresses)]));
	assert_breach(0, BREACH_CLIENT);
}
END_TEST

/* What the session manager said without meaning a login. */
START_TEST(session_is_not_made_of_other_packets)
{
	static const char *const packets[] = {
		"<iq type='error' sto='%s' sfrom='" ALICE "'/>",
		"<iq type='get' sto='%s' sfrom='" ALICE "'/>",
		"<message type='result' sto='%s' sfrom='" ALICE "'/>",
		"<message sto='%s' sfrom='foo.com'><iq type='result' sfrom='" ALICE "'/></message>",
		"<iq type='result' sto='%s' from='" ALICE "' sfrom='foo.com'/>",
	};
	struct entry *entry = client_new(0);

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	manager_send(packets[_i], id_of(entry));
#pragma GCC diagnostic pop
	puppet_say_of(entry, W2M_SESSION, ALICE, strlen(ALICE));
	assert_breach(0, BREACH_CLIENT);
}
END_TEST

START_TEST(session_is_made_once)
{
	struct entry *entry = client_new(0);

	manager_send(ANSWER, id_of(entry));
	/* Consumed before: it has been used, or never was a login. */
	if (_i == 0)
		puppet_say_number(entry, W2M_CONSUMED, 1);
	else
		puppet_say_of(entry, W2M_SESSION, ALICE, strlen(ALICE));
	assert_no_breach();
	ck_assert(entry->confirmed == (_i == 1));
	puppet_say_of(entry, W2M_SESSION, ALICE, strlen(ALICE));
	assert_breach(0, BREACH_CLIENT);
}
END_TEST

/* In a session any iq result of another user looks like a login's answer. */
START_TEST(session_does_not_change_its_address)
{
	struct entry *entry = client_login(0, ALICE);

	manager_send("<iq type='result' id='login' sto='%s' sfrom='eve@foo.com/x'/>", id_of(entry));
	ck_assert_str_eq(entry->address, ALICE);
	puppet_say_of(entry, W2M_SESSION, "eve@foo.com/x", strlen("eve@foo.com/x"));
	assert_breach(0, BREACH_CLIENT);
	snprintf(expected, sizeof expected, "<message sto='" ALICE "'");
	ck_assert_ptr_eq(strstr(manager_queue(), expected), manager_queue());
}
END_TEST

START_TEST(address_with_entities)
{
	struct entry *entry = client_new(0);

	manager_send("<iq type='result' sto='%s' sfrom='a&amp;b@foo.com/&lt;&#x263a;&apos;'/>", id_of(entry));
	puppet_say_of(entry, W2M_SESSION, "a&b@foo.com/<\xe2\x98\xba'", strlen("a&b@foo.com/<\xe2\x98\xba'"));
	assert_no_breach();
	ck_assert(entry->confirmed);
	puppet_say_number(entry, W2M_CONSUMED, 1);
	snprintf(expected, sizeof expected, "<message sto='a&amp;b@foo.com/&lt;\xe2\x98\xba&apos;' sfrom='%s' type='error'>"
	    "<error code='510'>Disconnected</error></message>\n", id_of(entry));
	puppet_say_ended(entry);
	stage_turns();
	assert_queue(expected);
}
END_TEST

START_TEST(numbers_that_were_never_given)
{
	struct entry *entry = client_login(0, ALICE);

	/* Its login's answer was number 1. */
	puppet_say_number(entry, _i == 0 ? W2M_SETTLED : W2M_CONSUMED, _i < 2 ? 2 : 0);
	assert_breach(0, BREACH_CLIENT);
}
END_TEST

/* ---- a client and its worker ---- */

/* It cannot have the client: the descriptor is still here. */
START_TEST(answers_before_the_descriptor_was_sent)
{
	static const enum frame_type types[] = { W2M_TAKEN, W2M_REFUSED, W2M_ENDED, W2M_SESSION };
	int far_end;

	/* Not for the second worker, which has the fewest then. */
	client_new(0);
	client_new(1);
	puppet_forget(1);
	puppet_say_at(0, 1, stage.directory.serial + 1, types[_i], types[_i] == W2M_SESSION ? "x@y/z" : "\0\0",
	    types[_i] == W2M_SESSION ? 5 : types[_i] == W2M_ENDED ? 3 : 0);
	far_end = client_connect();
	assert_breach(0, BREACH_CLIENT);
	ck_assert_int_eq(recv(far_end, expected, 1, 0), -1);
	/* Somebody else has him. */
	client_take(1);
	ck_assert_int_eq(recv(far_end, expected, 1, 0), 0);
	close(far_end);
	assert_queue("");
}
END_TEST

START_TEST(first_answer_is_whether_it_has_the_client)
{
	static const enum frame_type types[] = { W2M_PACKET, W2M_SESSION, W2M_SETTLED, W2M_CONSUMED, W2M_ENDED };
	static const char body[8] = { 0 };
	struct frame frame;
	int far_end = client_connect(), fd;

	ck_assert(puppet_hear(0, &frame, &fd));
	close(fd);
	puppet_say_at(0, frame.slot, frame.serial, types[_i], body, types[_i] == W2M_ENDED ? 3 : sizeof body);
	assert_breach(0, BREACH_CLIENT);
	ck_assert_int_eq(recv(far_end, expected, 1, 0), -1);
	client_take(1);
	close(far_end);
	assert_queue("");
}
END_TEST

START_TEST(answers_once)
{
	struct entry *entry = client_new(0);

	puppet_say_of(entry, _i == 0 ? W2M_TAKEN : W2M_REFUSED, NULL, 0);
	assert_breach(0, BREACH_CLIENT);
}
END_TEST

START_TEST(others_clients)
{
	struct entry *entry = client_login(1, ALICE);

	puppet_say_at(0, entry->slot, _i == 0 ? entry->serial : entry->serial + 1, W2M_ENDED, "\0\0", 3);
	assert_breach(0, BREACH_CLIENT);
	ck_assert_uint_eq(stage.directory.count, 1);
	assert_queue("");
}
END_TEST

START_TEST(refused_goes_to_another)
{
	struct frame frame;
	int far_end = client_connect(), fd;
	uint32_t full = (uint32_t)_i;

	if (full == 1) {
		client_take(0);
		close(far_end);
		far_end = client_connect();
	}
	ck_assert(puppet_hear(full, &frame, &fd));
	close(fd);
	puppet_say_at(full, frame.slot, frame.serial, W2M_REFUSED, NULL, 0);
	stage_turns();
	client_take(1 - full);
	ck_assert_int_eq(recv(far_end, expected, 1, 0), 0);
	close(far_end);
	assert_no_breach();
	ck_assert(stage.pool.workers[full].full);
	ck_assert_uint_eq(stage.directory.tables[full].count, 0);
	/* And so do all that come, though it has the fewest. */
	client_new(1 - full);
	client_new(1 - full);
	assert_hears_nothing(full);
}
END_TEST

START_TEST(refused_by_all_waits)
{
	struct entry *entry = client_login(0, ALICE);
	int far_end;

	puppet_forget(0);
	for (uint32_t worker = 0; worker < 2; worker++) {
		stage.pool.workers[worker].full = true;
		if (worker == 0)
			far_end = client_connect();
	}
	stage_turns();
	/* The second was not full when he came. */
	ck_assert(TAILQ_EMPTY(&stage.arrivals));
	puppet_forget(1);
	puppet_say_at(1, 0, stage.directory.serial, W2M_REFUSED, NULL, 0);
	stage_turns();
	ck_assert(!TAILQ_EMPTY(&stage.arrivals));
	ck_assert_int_eq(recv(far_end, expected, 1, 0), -1);
	ck_assert_uint_eq(stage.directory.count, 1);
	assert_hears_nothing(0);
	/* Until somebody goes. */
	puppet_say_ended(entry);
	stage_turns();
	client_take(0);
	ck_assert(TAILQ_EMPTY(&stage.arrivals));
	ck_assert_int_eq(recv(far_end, expected, 1, 0), 0);
	close(far_end);
	assert_no_breach();
}
END_TEST

/* ---- another id ---- */

#define FRAMING "xmlns='urn:ietf:params:xml:ns:xmpp-framing'"

/* One that came to a listener with STARTTLS; with a stream that the session manager holds of it. */
static struct entry *
client_in_clear(bool opened)
{
	struct entry *entry = client_new(0);
	char open[300];

	stage.link.dialect = &dialect_xmpp;
	entry->tls = LISTEN_TLS_STARTTLS;
	entry->spoke = false;
	if (!opened)
		return entry;
	snprintf(open, sizeof open, "<open sto='" STAGE_HOST "' sfrom='%s' " FRAMING "></open>", id_of(entry));
	puppet_say_of(entry, W2M_PACKET, open, strlen(open));
	stage_turns();
	assert_no_breach();
	ck_assert_str_eq(directory_host(&stage.directory, entry), STAGE_HOST);
	manager_take();
	puppet_forget(0);
	return entry;
}

/* A worker that names hosts without end cannot take the place of those that there are. */
START_TEST(hosts_that_nobody_has)
{
	struct entry *rogue = client_new(1), *entry;
	char open[300];

	stage.link.dialect = &dialect_xmpp;
	for (unsigned i = 0; i <= DIRECTORY_HOSTS_MAX; i++) {
		snprintf(open, sizeof open, "<open sto='%u.example' sfrom='%s' " FRAMING "></open>", i, id_of(rogue));
		say_packet(rogue, open);
		stage_turns();
		ck_assert(rogue->closing == (i == DIRECTORY_HOSTS_MAX));
	}
	ck_assert_ptr_null(strstr(manager_take(), "'1024.example'"));
	entry = client_in_clear(true);
	ck_assert_str_eq(directory_host(&stage.directory, entry), STAGE_HOST);
	ck_assert(!entry->closing);
}
END_TEST

/* What is kept for the old one goes back, behind the end of its stream; then it is as if nobody had ever had it. */
START_TEST(another_id)
{
	struct entry *entry = client_in_clear(true);
	char before[100], back[600];
	uint64_t old = entry->serial, serial;
	struct frame frame;
	int fd;

	strcpy(before, id_of(entry));
	manager_send("<iq type='set' sto='%s' sfrom='" STAGE_HOST "'/>", before);
	manager_send("<stream:features sto='%s' sfrom='" STAGE_HOST "'/>", before);
	stage_turns();
	puppet_forget(0);
	puppet_say_of(entry, W2M_RENEW, NULL, 0);
	stage_turns();
	assert_no_breach();
	ck_assert(puppet_hear(0, &frame, &fd));
	ck_assert_int_eq(frame.type, M2W_RENEWED);
	ck_assert_uint_eq(frame.serial, old);
	ck_assert(message_get_number(&frame, &serial));
	ck_assert_uint_eq(serial, entry->serial);
	ck_assert_uint_ne(serial, old);
	ck_assert_ptr_null(directory_host(&stage.directory, entry));
	manager_send("<message sto='%s' sfrom='" STAGE_HOST "'/>", before);
	stage_turns();
	ck_assert(!puppet_hear(0, &frame, &fd));
	snprintf(back, sizeof back, "<close sto='" STAGE_HOST "' sfrom='%s' " FRAMING "/>\n"
	    "<iq sto='" STAGE_HOST "' sfrom='%s' type='error'><error code='510' type='set'>Disconnected</error></iq>\n"
	    "<message sto='" STAGE_HOST "' sfrom='%s' type='error'><error code='510'>Disconnected</error></message>\n",
	    before, before, before);
	ck_assert_str_eq(manager_take(), back);
	stage_assert_balance();
}
END_TEST

/* Of the others, too, where something went up: an answer may still come, and would be settled by what comes behind TLS. */
START_TEST(another_id_without_a_stream)
{
	struct entry *entry = client_new(0);
	char before[100], back[600];

	entry->tls = LISTEN_TLS_BOTH;
	strcpy(before, id_of(entry));
	manager_send("<iq type='result' id='r' sto='%s' sfrom='" STAGE_HOST "'/>", before);
	manager_send("<message sto='%s' sfrom='" STAGE_HOST "'/>", before);
	stage_turns();
	puppet_say_number(entry, W2M_SETTLED, 1);
	puppet_say_of(entry, W2M_RENEW, NULL, 0);
	assert_no_breach();
	ck_assert_str_ne(id_of(entry), before);
	snprintf(back, sizeof back, "<message sto='" STAGE_HOST "' sfrom='%s' type='error'><error code='510'>Disconnected</error>"
	    "</message>\n", before);
	ck_assert_str_eq(manager_take(), back);
}
END_TEST

/* An id that nothing has gone up under is not known there: a packet to it would be given to nobody, and settled by a later one. */
START_TEST(not_known_yet)
{
	struct entry *entry = client_new(0);
	struct frame frame;
	char back[300];
	int fd;

	entry->spoke = false;
	puppet_forget(0);
	snprintf(back, sizeof back, "<message sto='" STAGE_HOST "' sfrom='%s' type='error'><error code='510'>Disconnected</error>"
	    "</message>\n", id_of(entry));
	manager_send("<message sto='%s' sfrom='" STAGE_HOST "'/>", id_of(entry));
	ck_assert(!puppet_hear(0, &frame, &fd));
	ck_assert_str_eq(manager_take(), back);
	snprintf(back, sizeof back, "<iq sto='" STAGE_HOST "' sfrom='%s' type='get' id='r'>"
	    "<query xmlns='jabber:iq:register'></query></iq>", id_of(entry));
	say_packet(entry, back);
	assert_no_breach();
	manager_send("<message sto='%s' sfrom='" STAGE_HOST "'/>", id_of(entry));
	ck_assert_uint_eq(assert_hears(0, M2W_PACKET), 1);
}
END_TEST

/* Its end may have crossed the new number; nothing else may have. */
START_TEST(end_under_the_old_id)
{
	struct entry *entry = client_in_clear(true);
	const struct client_end end = { .reason = END_LOST };
	struct buffer body = { 0 };
	uint64_t old = entry->serial;

	puppet_say_of(entry, W2M_RENEW, NULL, 0);
	stage_turns();
	message_put_end(&body, &end);
	if (_i == 0)
		puppet_say_at(0, entry->slot, old, W2M_ENDED, buffer_bytes(&body), buffer_length(&body));
	else
		puppet_say_at(0, entry->slot, old, W2M_PACKET, "<x/>", 4);
	buffer_deinit(&body);
	stage_turns();
	if (_i == 0)
		assert_no_breach();
	else
		assert_breach(0, BREACH_CLIENT);
	ck_assert_uint_eq(stage.directory.count, 0);
}
END_TEST

/* Before anything has gone up; from where nobody comes to TLS; twice; behind a login. */
START_TEST(another_id_at_the_wrong_time)
{
	struct entry *entry = client_in_clear(_i != 0);

	if (_i == 1)
		entry->tls = LISTEN_TLS_DIRECT;
	if (_i == 2) {
		puppet_say_of(entry, W2M_RENEW, NULL, 0);
		stage_turns();
		assert_no_breach();
	}
	if (_i == 3) {
		manager_send("<iq type='result' id='b' sto='%s' sfrom='" ALICE "'/>", id_of(entry));
		stage_turns();
		puppet_say_of(entry, W2M_SESSION, ALICE, strlen(ALICE));
		stage_turns();
		assert_no_breach();
	}
	puppet_say_of(entry, W2M_RENEW, NULL, 0);
	assert_breach(0, BREACH_RENEWAL);
}
END_TEST

/* ---- failed logins ---- */

static uint32_t
failures_of(const struct entry *entry)
{
	return admission_failures(&stage.gate.admission, loop_now(&stage.loop), &entry->peer.address);
}

/* Each of them is an answer that is still kept: a worker cannot make them up. */
START_TEST(failed_logins_are_counted_and_believed_once)
{
	struct entry *entry = client_new(0);

	manager_send("<iq type='error' id='login' sto='%s' sfrom='" STAGE_HOST "'><error code='401'/></iq>", id_of(entry));
	stage_turns();
	puppet_say_of(entry, W2M_LOGIN_FAILED, NULL, 0);
	puppet_say_number(entry, W2M_CONSUMED, 1);
	stage_turns();
	assert_no_breach();
	ck_assert_uint_eq(failures_of(entry), 1);
	/* The next client of that address begins with it. */
	ck_assert_uint_eq(gate_failures(&stage, &entry->peer), 1);
	puppet_say_of(entry, W2M_LOGIN_FAILED, NULL, 0);
	stage_turns();
	assert_breach(0, BREACH_CLIENT);
}
END_TEST

START_TEST(failed_login_that_was_not_asked_for)
{
	struct entry *entry = _i == 0 ? client_new(0) : client_login(0, ALICE);

	if (_i == 1) {
		manager_send("<message sto='%s' sfrom='" ALICE "'/>", id_of(entry));
		stage_turns();
	}
	puppet_say_of(entry, W2M_LOGIN_FAILED, NULL, 0);
	stage_turns();
	assert_breach(0, BREACH_CLIENT);
}
END_TEST

/* Who has not logged in is known in order; who has, or is told to go, is not among them. */
START_TEST(who_waits_for_a_login)
{
	struct entry *one = client_new(0), *two = client_new(1), *three = client_new(0);

	ck_assert_ptr_eq(TAILQ_FIRST(&stage.directory.waiting), one);
	ck_assert_ptr_eq(TAILQ_NEXT(one, waiting), two);
	ck_assert_ptr_eq(TAILQ_NEXT(two, waiting), three);
	router_close(&stage, one, END_CROWDED);
	router_close(&stage, one, END_KICKED);
	ck_assert_ptr_eq(TAILQ_FIRST(&stage.directory.waiting), two);
	ck_assert_uint_eq(stage.directory.leaving, 1);
	ck_assert_uint_eq(stage.directory.crowded, 1);
	ck_assert(directory_set_address(&stage.directory, two, (struct range){ ALICE, strlen(ALICE) }));
	ck_assert_ptr_eq(TAILQ_FIRST(&stage.directory.waiting), three);
	puppet_say_ended(one);
	puppet_say_ended(three);
	stage_turns();
	ck_assert(TAILQ_EMPTY(&stage.directory.waiting));
	ck_assert_uint_eq(stage.directory.leaving, 0);
	ck_assert_uint_eq(stage.directory.crowded, 0);
	ck_assert_uint_eq(stage.gate.admission.counts.count, 2);
	puppet_say_ended(two);
	stage_turns();
	ck_assert_uint_eq(stage.gate.admission.counts.count, 0);
	assert_no_breach();
}
END_TEST

/* Two seconds are everybody's; then the oldest makes room, one for each that waits. */
START_TEST(oldest_makes_room)
{
	struct entry *one = client_new(0), *two = client_new(0), *late;
	int far_end;

	stage_options.limits.connections = 2;
	puppet_forget(0);
	puppet_forget(1);
	far_end = client_connect();
	ck_assert(!TAILQ_EMPTY(&stage.arrivals));
	assert_hears_nothing(0);
	one->since = two->since = 0;
	timer_is_due(&stage.loop, &stage.gate.grace);
	stage_turns();
	ck_assert(one->closing && one->close_reason == END_CROWDED && !two->closing);
	ck_assert(TAILQ_EMPTY(&stage.arrivals));
	late = client_take(1);
	ck_assert(!late->closing);
	puppet_say_ended(one);
	stage_turns();
	ck_assert_uint_eq(stage.directory.count, 2);
	close(far_end);
	assert_no_breach();
}
END_TEST

static void
deny_everybody(void)
{
	static char everybody[] = "0.0.0.0/0";
	struct address_list lists;

	stage_options.deny[0].address = everybody;
	stage_options.deny_count = 1;
	ck_assert_int_eq(gate_lists(&stage_options, &lists), 0);
	gate_configure(&stage, &lists);
}

/* Who waits for a worker while a reload denies him does not get in when there is one. */
START_TEST(denied_while_it_waits)
{
	int far_end;
	char byte;

	for (uint32_t worker = 0; worker < stage.pool.count; worker++)
		stage.pool.workers[worker].full = true;
	far_end = client_connect();
	ck_assert_uint_eq(stage.arrival_count, 1);
	deny_everybody();
	for (uint32_t worker = 0; worker < stage.pool.count; worker++)
		stage.pool.workers[worker].full = false;
	arrivals_retry(&stage);
	stage_turns();
	ck_assert_uint_eq(stage.arrival_count, 0);
	ck_assert_uint_eq(stage.directory.count, 0);
	ck_assert_uint_eq(stage.gate.admission.counts.count, 0);
	ck_assert_uint_eq(stage.gate.admission.verdicts[ADMISSION_DENIED], 1);
	ck_assert_int_eq(read(far_end, &byte, 1), 0);
	close(far_end);
}
END_TEST

/* Nor who was on his way to one, told to go, when that worker died, or would not have him. */
START_TEST(told_to_go_before_it_was_taken)
{
	int far_end, fd;
	struct entry *entry;
	struct frame frame;
	char byte;

	stage.pool.workers[1].full = true;
	far_end = client_connect();
	ck_assert(puppet_hear(0, &frame, &fd));
	ck_assert_int_eq(frame.type, M2W_CLIENT);
	close(fd);
	entry = directory_at(&stage.directory, 0, frame.slot, frame.serial);
	router_close(&stage, entry, END_KICKED);
	if (_i == 0)
		puppet_die(0);
	else
		puppet_say_of(entry, W2M_REFUSED, NULL, 0);
	stage_turns();
	ck_assert_uint_eq(stage.arrival_count, 0);
	ck_assert_uint_eq(stage.directory.count, 0);
	ck_assert_uint_eq(stage.directory.leaving, 0);
	ck_assert_uint_eq(stage.gate.admission.counts.count, 0);
	ck_assert_int_eq(read(far_end, &byte, 1), 0);
	close(far_end);
	stage_assert_balance();
}
END_TEST

/* It is said once, and not again for each that goes and each that comes. */
START_TEST(full_is_said_once)
{
	struct entry *clients[3];
	struct frame frame;
	const char *said;
	int fd;

	for (size_t i = 0; i < 3; i++)
		clients[i] = client_new(0);
	stage.pool.workers[1].full = true;
	for (size_t i = 0; i < 3; i++) {
		int far_end = client_connect();

		ck_assert(puppet_hear(0, &frame, &fd));
		ck_assert_int_eq(frame.type, M2W_CLIENT);
		close(fd);
		puppet_say_at(0, frame.slot, frame.serial, W2M_REFUSED, NULL, 0);
		stage_turns();
		ck_assert_uint_eq(stage.arrival_count, 1);
		arrivals_close(&stage);
		close(far_end);
		puppet_say_ended(clients[i]);
		stage_turns();
	}
	said = strstr(stage_log(), "worker 0 full clients=3");
	ck_assert_ptr_nonnull(said);
	ck_assert_ptr_null(strstr(said + 1, "worker 0 full"));
}
END_TEST

/* ---- the end of a client ---- */

static struct entry *
login_with_packets(uint32_t worker, unsigned count)
{
	static const char *const names[] = { "one", "two", "three" };
	struct entry *entry = client_login(worker, ALICE);

	for (unsigned i = 0; i < count; i++)
		manager_send(MESSAGE, names[i], id_of(entry));
	return entry;
}

static void
expect_end(const struct entry *entry)
{
	size_t length = strlen(expected);

	snprintf(expected + length, sizeof expected - length, ENDED, id_of(entry));
}

static void
expect_bounce(const struct entry *entry, const char *name)
{
	size_t length = strlen(expected);

	snprintf(expected + length, sizeof expected - length, BOUNCED, id_of(entry), name);
}

/* However it ends: by its worker's word, or with its worker. */
static void
end(const struct entry *entry, bool killed)
{
	if (killed)
		puppet_die(entry->worker);
	else
		puppet_say_ended(entry);
	stage_turns();
}

START_TEST(end_comes_first_then_what_was_kept)
{
	struct entry *entry = login_with_packets(0, 3);

	expect_end(entry);
	expect_bounce(entry, "two");
	expect_bounce(entry, "three");
	puppet_say_number(entry, W2M_SETTLED, 2);
	end(entry, _i == 1);
	assert_queue(expected);
	ck_assert_uint_eq(stage.keeper.workers[0].of[FATE_SETTLED], 1);
	ck_assert_uint_eq(stage.keeper.workers[0].of[FATE_CONSUMED], 1);
	ck_assert_uint_eq(stage.keeper.workers[0].of[FATE_BOUNCED], 2);
	assert_no_breach();
}
END_TEST

START_TEST(end_of_the_session_managers_own)
{
	struct entry *entry = login_with_packets(0, 1);

	expect_bounce(entry, "one");
	manager_send(END_OF_ALICE, id_of(entry));
	ck_assert_uint_eq(assert_hears(0, M2W_PACKET), 2);
	ck_assert_uint_eq(assert_hears(0, M2W_PACKET), 3);
	end(entry, _i == 1);
	assert_queue(expected);
	ck_assert_uint_eq(stage.keeper.total.of[FATE_DROPPED], 0);
}
END_TEST

/* A later login has the address: a bare 510 would end that one. */
START_TEST(end_of_one_that_was_superseded)
{
	struct entry *entry = login_with_packets(0, 1), *later = client_login(1, ALICE);

	ck_assert(entry->superseded && !later->superseded);
	expect_bounce(entry, "one");
	end(entry, _i == 1);
	assert_queue(expected);
	expect_end(later);
	end(later, false);
	assert_queue(expected);
}
END_TEST

/* That the session manager ends it because of the later login is told to its worker, which says <conflict/>. */
START_TEST(superseded_and_ended)
{
	struct entry *entry = client_login(0, ALICE);
	struct frame frame;
	int fd;

	if (_i == 1)
		client_login(1, ALICE);
	manager_send(END_OF_ALICE, id_of(entry));
	ck_assert(puppet_hear(0, &frame, &fd));
	ck_assert_int_eq(frame.type, M2W_PACKET);
	ck_assert_int_eq(frame.flags, _i == 1 ? FRAME_FLAG_REPLACED : 0);
}
END_TEST

/* Other 510s are packets for the client, and its session goes on. */
START_TEST(other_510s_end_nothing)
{
	static const char *const packets[] = {
		"<message type='error' sto='%s' sfrom='alice@foo.com/other'><error code='510'>x</error></message>",
		"<message type='error' sto='%s' sfrom='alice@foo.com'><error code='510'>x</error></message>",
		"<message type='error' from='eve@foo.com/x' sto='%s' sfrom='" ALICE "'><error code='510'>x</error></message>",
	};
	struct entry *entry = client_login(0, ALICE);

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	manager_send(packets[_i], id_of(entry));
#pragma GCC diagnostic pop
	puppet_say_number(entry, W2M_SETTLED, 2);
	stage_turns();
	ck_assert(!entry->ended_upstream);
	expect_end(entry);
	end(entry, false);
	assert_queue(expected);
}
END_TEST

/* The session manager believes in a session that the client has never seen: it must hear of it. */
START_TEST(answer_that_nobody_saw_goes_back)
{
	struct entry *entry = client_new(0);

	snprintf(expected, sizeof expected, "<iq sto='" ALICE "' sfrom='%s' type='error' id='login'>"
	    "<error code='510' type='result'>Disconnected</error></iq>\n", id_of(entry));
	manager_send(ANSWER, id_of(entry));
	end(entry, _i == 1);
	assert_queue(expected);
}
END_TEST

/* But not when somebody else has got that session's address meanwhile: it would end his. */
START_TEST(answer_that_nobody_saw_and_a_later_login)
{
	struct entry *entry = client_new(0), *later;

	manager_send(ANSWER, id_of(entry));
	later = client_login(1, ALICE);
	end(entry, _i == 1);
	assert_queue("");
	ck_assert_uint_eq(stage.keeper.total.of[FATE_CONSUMED], 2);
	/* His session is as good as ever. */
	expect_end(later);
	end(later, false);
	assert_queue(expected);
}
END_TEST

/* Seen, but its worker died before it could say that it was the stream's own. */
START_TEST(answer_that_was_seen_and_not_consumed)
{
	struct entry *entry = client_new(0), *later = NULL;

	manager_send(ANSWER, id_of(entry));
	puppet_say_of(entry, W2M_SESSION, ALICE, strlen(ALICE));
	stage_turns();
	if (_i == 0)
		snprintf(expected, sizeof expected, ENDED "<iq sto='" ALICE "' sfrom='%s' type='error' id='login'>"
		    "<error code='510' type='result'>Disconnected</error></iq>\n", id_of(entry), id_of(entry));
	else
		later = client_login(1, ALICE);
	end(entry, true);
	assert_queue(expected);
	ck_assert(later == NULL || !later->superseded);
}
END_TEST

/* Its worker sees the login late, when another one has the address: that one stays what it is. */
START_TEST(answer_that_was_seen_too_late)
{
	struct entry *entry = client_new(0), *later;

	manager_send(ANSWER, id_of(entry));
	later = client_login(1, ALICE);
	puppet_say_of(entry, W2M_SESSION, ALICE, strlen(ALICE));
	stage_turns();
	ck_assert(entry->confirmed && entry->superseded && !later->superseded);
	end(entry, _i == 1);
	assert_queue("");
	expect_end(later);
	end(later, false);
	assert_queue(expected);
}
END_TEST

/* Its own 510 never comes back to it, however often it has said it. */
START_TEST(end_that_was_said_twice)
{
	struct entry *entry = client_login(0, ALICE);

	manager_send(END_OF_ALICE, id_of(entry));
	manager_send("<message type='error' from='" ALICE "' sto='%s' sfrom='" ALICE "'><error code='510'>x</error></message>",
	    id_of(entry));
	end(entry, _i == 1);
	assert_queue("");
	ck_assert_uint_eq(stage.keeper.total.of[FATE_CONSUMED], 3);
	ck_assert_uint_eq(stage.keeper.total.of[FATE_DROPPED], 0);
}
END_TEST

/* What the session manager dies of is given up: whoever sent that is ended, and nobody for what is ours. */
START_TEST(who_sent_what_is_given_up)
{
	struct entry *alice = client_login(0, ALICE), *bob = client_login(1, "bob@foo.com/home");
	const struct outbox_packet *first;
	char text[200];

	manager_take();
	snprintf(text, sizeof text, "<message sto='" ALICE "' sfrom='%s'/>", id_of(alice));
	say_packet(alice, text);
	first = STAILQ_FIRST(&stage.link.outbox.queue);
	ck_assert_ptr_nonnull(first);
	ck_assert_uint_eq(first->from, alice->serial);
	stage.link.on_given_up(&stage.link, 0, first->bytes, first->length);
	ck_assert(!alice->closing && !bob->closing);
	stage.link.on_given_up(&stage.link, first->from, first->bytes, first->length);
	ck_assert(alice->closing && !bob->closing);
	ck_assert_uint_eq(alice->close_reason, END_GIVEN_UP);
}
END_TEST

START_TEST(workers_hear_that_the_link_was_lost)
{
	struct frame frame;
	unsigned lost = 0;
	int fd;

	manager_up();
	puppet_forget(0);
	manager_die();
	while (puppet_hear(0, &frame, &fd))
		lost += frame.type == M2W_LOST;
	ck_assert_uint_eq(lost, 1);
}
END_TEST

START_TEST(killed_before_it_had_the_client)
{
	int far_end = client_connect();

	/* Which has been sent, and read or not: nobody knows. */
	puppet_die(0);
	client_take(1);
	ck_assert_int_eq(recv(far_end, expected, 1, 0), 0);
	close(far_end);
	ck_assert_uint_eq(stage.directory.count, 1);
	ck_assert_ptr_null(strstr(stage_log(), "lost-clients"));
	assert_queue("");
}
END_TEST

START_TEST(killed_before_login)
{
	client_new(0);
	puppet_die(0);
	ck_assert_uint_eq(stage.directory.count, 0);
	ck_assert_ptr_nonnull(strstr(stage_log(), "worker 0 lost-clients clients=1"));
	assert_queue("");
	/* The next one begins with nothing. */
	puppet_replace(0);
	client_new(0);
}
END_TEST

/* What arrives later, for an id that is gone. */
START_TEST(packets_for_the_gone)
{
	struct entry *entry = client_login(0, ALICE);
	char id[100];

	strlcpy(id, id_of(entry), sizeof id);
	expect_end(entry);
	expect_bounce(entry, "late");
	end(entry, _i == 1);
	manager_send(MESSAGE, "late", id);
	manager_send(END_OF_ALICE, id);
	manager_send("<message id='x' type='error' sto='%s' sfrom='alice@foo.com'><error code='510'>x</error></message>", id);
	manager_send("<message id='x' sto='%s'/>", id);
	assert_queue(expected);
	ck_assert_uint_eq(stage.keeper.total.of[FATE_BOUNCED], 1);
	ck_assert_uint_eq(stage.keeper.total.of[FATE_DROPPED], 2);
	/* The login's answer, and the bare 510. */
	ck_assert_uint_eq(stage.keeper.total.of[FATE_CONSUMED], 2);
}
END_TEST

/* ---- until a client has taken it ---- */

#define ASK "<settle xmlns='urn:x-c2sd:settle:0' sto='%s' sfrom='alice@foo.com' id='%s'/>"

static void
expect_answer(const struct entry *entry, const char *id)
{
	size_t length = strlen(expected);

	snprintf(expected + length, sizeof expected - length, "<settle sto='alice@foo.com' sfrom='%s' type='result'"
	    " xmlns='urn:x-c2sd:settle:0' id='%s'/>\n", id_of(entry), id);
}

static void
expect_no_answer(const char *from, const char *id)
{
	size_t length = strlen(expected);

	snprintf(expected + length, sizeof expected - length, "<settle sto='alice@foo.com' sfrom='%s' type='error'"
	    " xmlns='urn:x-c2sd:settle:0' id='%s'><error code='510'>Disconnected</error></settle>\n", from, id);
}

static void
assert_fates(const struct entry *entry, uint64_t settled, uint64_t bounced, uint64_t consumed, uint64_t held)
{
	const struct packet_counters *counters = &stage.keeper.workers[entry->worker];

	ck_assert_uint_eq(counters->of[FATE_SETTLED], settled);
	ck_assert_uint_eq(counters->of[FATE_BOUNCED], bounced);
	/* One is the login's answer. */
	ck_assert_uint_eq(counters->of[FATE_CONSUMED], consumed + 1);
	ck_assert_uint_eq(counters->of[FATE_HELD], held);
	stage_assert_balance();
}

START_TEST(ask_with_nothing_before_it)
{
	struct entry *entry = client_login(0, ALICE);

	manager_send(ASK, id_of(entry), "7");
	manager_send(ASK, id_of(entry), "8");
	expect_answer(entry, "7");
	expect_answer(entry, "8");
	assert_queue(expected);
	assert_fates(entry, 0, 0, 2, 0);
	assert_hears_nothing(0);
}
END_TEST

/* _i: the last before it is settled, or consumed. */
START_TEST(ask_waits_for_all_before_it)
{
	struct entry *entry = login_with_packets(0, 2);
	uint64_t first = assert_hears(0, M2W_PACKET), second = assert_hears(0, M2W_PACKET), third;

	manager_send(ASK, id_of(entry), "7");
	manager_send(MESSAGE, "three", id_of(entry));
	manager_send(ASK, id_of(entry), "8");
	/* Its worker hears nothing of them. */
	third = assert_hears(0, M2W_PACKET);
	assert_hears_nothing(0);
	assert_queue("");
	puppet_say_number(entry, W2M_SETTLED, first);
	stage_turns();
	assert_queue("");
	assert_fates(entry, 1, 0, 0, 4);
	puppet_say_number(entry, _i == 0 ? W2M_SETTLED : W2M_CONSUMED, second);
	stage_turns();
	expect_answer(entry, "7");
	assert_queue(expected);
	assert_fates(entry, _i == 0 ? 2 : 1, 0, _i == 0 ? 1 : 2, 2);
	puppet_say_number(entry, W2M_SETTLED, third);
	stage_turns();
	expect_answer(entry, "8");
	assert_queue(expected);
	assert_fates(entry, _i == 0 ? 3 : 2, 0, _i == 0 ? 2 : 3, 0);
	assert_no_breach();
}
END_TEST

/* In one word of the worker's: each in its turn. _i: one after another, or behind each other. */
START_TEST(asks_that_are_settled_together)
{
	struct entry *entry = login_with_packets(0, 1);
	uint64_t last;

	manager_send(ASK, id_of(entry), "7");
	if (_i == 1)
		manager_send(ASK, id_of(entry), "8");
	manager_send(MESSAGE, "two", id_of(entry));
	if (_i == 0)
		manager_send(ASK, id_of(entry), "8");
	assert_hears(0, M2W_PACKET);
	last = assert_hears(0, M2W_PACKET);
	puppet_say_number(entry, W2M_SETTLED, last);
	stage_turns();
	expect_answer(entry, "7");
	expect_answer(entry, "8");
	assert_queue(expected);
	assert_fates(entry, 2, 0, 2, 0);
	assert_no_breach();
}
END_TEST

/* Consumed behind one that is not settled: that answers nothing yet. */
START_TEST(ask_is_not_passed)
{
	struct entry *entry = login_with_packets(0, 2);
	uint64_t first = assert_hears(0, M2W_PACKET), second = assert_hears(0, M2W_PACKET);

	manager_send(ASK, id_of(entry), "7");
	puppet_say_number(entry, W2M_CONSUMED, second);
	stage_turns();
	assert_queue("");
	puppet_say_number(entry, W2M_SETTLED, first);
	stage_turns();
	expect_answer(entry, "7");
	assert_queue(expected);
	assert_fates(entry, 1, 0, 2, 0);
}
END_TEST

/* The number of a question no worker was given: that it says it makes no difference. _i: settled, or consumed. */
START_TEST(worker_that_says_the_number_of_an_ask)
{
	struct entry *entry = login_with_packets(0, 1);
	uint64_t first = assert_hears(0, M2W_PACKET);

	manager_send(ASK, id_of(entry), "7");
	puppet_say_number(entry, _i == 0 ? W2M_SETTLED : W2M_CONSUMED, first + 1);
	stage_turns();
	stage_assert_balance();
	puppet_say_number(entry, W2M_SETTLED, first);
	stage_turns();
	expect_answer(entry, "7");
	assert_queue(expected);
	assert_fates(entry, 1, 0, 1, 0);
	assert_no_breach();
}
END_TEST

START_TEST(ask_comes_back_in_its_place)
{
	struct entry *entry = login_with_packets(0, 2);

	manager_send(ASK, id_of(entry), "7");
	manager_send(MESSAGE, "three", id_of(entry));
	manager_send(ASK, id_of(entry), "8");
	puppet_say_number(entry, W2M_SETTLED, 2);
	expect_end(entry);
	expect_bounce(entry, "two");
	expect_no_answer(id_of(entry), "7");
	expect_bounce(entry, "three");
	expect_no_answer(id_of(entry), "8");
	end(entry, _i == 1);
	assert_queue(expected);
	ck_assert_uint_eq(stage.keeper.workers[0].of[FATE_SETTLED], 1);
	ck_assert_uint_eq(stage.keeper.workers[0].of[FATE_BOUNCED], 4);
	ck_assert_uint_eq(stage.keeper.workers[0].of[FATE_CONSUMED], 1);
	assert_no_breach();
}
END_TEST

/* Answered before the end, it does not come back; asked behind it, it does. */
START_TEST(ask_and_the_end_of_the_client)
{
	struct entry *entry = login_with_packets(0, 1);
	char id[100];

	strlcpy(id, id_of(entry), sizeof id);
	manager_send(ASK, id, "7");
	puppet_say_number(entry, W2M_SETTLED, 2);
	stage_turns();
	expect_answer(entry, "7");
	expect_end(entry);
	end(entry, _i == 1);
	manager_send(ASK, id, "8");
	expect_no_answer(id, "8");
	/* One that nobody ever had, and one that says not where it comes from. */
	manager_send(ASK, "nobody@" STAGE_NAME, "9");
	expect_no_answer("nobody@" STAGE_NAME, "9");
	manager_send("<settle xmlns='urn:x-c2sd:settle:0' sto='%s'/>", id);
	assert_queue(expected);
	ck_assert_uint_eq(stage.keeper.total.of[FATE_SETTLED], 1);
	ck_assert_uint_eq(stage.keeper.total.of[FATE_BOUNCED], 2);
	ck_assert_uint_eq(stage.keeper.total.of[FATE_CONSUMED], 2);
	ck_assert_uint_eq(stage.keeper.total.of[FATE_DROPPED], 1);
}
END_TEST

#define ENABLED "<enabled xmlns='urn:xmpp:sm:3' id='x' sto='%s' sfrom='foo.com'/>"

static void
expect_xmpp_end(const struct entry *entry, bool killed)
{
	if (killed)
		expect_end(entry);
	else
		snprintf(expected, sizeof expected, "<close sto='" ALICE "' sfrom='%s' " FRAMING "/>\n", id_of(entry));
}

/* The session manager keeps for itself what follows, but no question: nobody else would answer that. */
START_TEST(ask_behind_stream_management)
{
	struct entry *entry;
	const char *heard;

	stage.link.dialect = &dialect_xmpp;
	entry = login_with_packets(0, 1);
	manager_up();
	puppet_forget(0);
	manager_say(ENABLED, id_of(entry));
	manager_say(MESSAGE, "two", id_of(entry));
	manager_say(ASK, id_of(entry), "7");
	expect_no_answer(id_of(entry), "7");
	manager_hear();
	end(entry, _i == 1);
	heard = manager_hear();
	ck_assert_ptr_nonnull(strstr(heard, " id='one'"));
	ck_assert_ptr_null(strstr(heard, " id='two'"));
	ck_assert_ptr_nonnull(strstr(heard, expected));
	stage_assert_balance();
}
END_TEST

/* While the link is away nobody knows whether what the session manager has kept is still there. */
START_TEST(stream_management_without_a_link)
{
	struct entry *entry;

	stage.link.dialect = &dialect_xmpp;
	entry = login_with_packets(0, 1);
	manager_send(ENABLED, id_of(entry));
	manager_send(MESSAGE, "two", id_of(entry));
	expect_xmpp_end(entry, _i == 1);
	expect_bounce(entry, "one");
	expect_bounce(entry, "two");
	end(entry, _i == 1);
	assert_queue(expected);
}
END_TEST

/* What was on its way when its client went, as long as the session manager has it. */
START_TEST(stream_management_of_the_gone)
{
	struct entry *entry;
	char id[100];

	stage.link.dialect = &dialect_xmpp;
	entry = login_with_packets(0, 0);
	strlcpy(id, id_of(entry), sizeof id);
	manager_send(ENABLED, id);
	end(entry, _i == 1);
	manager_take();
	manager_send(MESSAGE, "late", id);
	ck_assert_str_eq(manager_take(), "");
	manager_send(ASK, id, "7");
	expect_no_answer(id, "7");
	ck_assert_str_eq(manager_take(), expected);
	/* Its socket manager is another one. */
	manager_send("<message id='x' sto='%.*s@other' sfrom='alice@foo.com'/>", (int)strcspn(id, "@"), id);
	ck_assert_ptr_nonnull(strstr(manager_take(), " id='x'>"));
	stage.link.on_lost(&stage.link);
	manager_send(MESSAGE, "late", id);
	ck_assert_ptr_nonnull(strstr(manager_take(), " id='late' "));
}
END_TEST

/* Others' packets are nothing to it. */
START_TEST(ask_is_of_one_client)
{
	struct entry *other = client_login(_i == 0 ? 0 : 1, "bob@foo.com/home"), *entry = login_with_packets(0, 1);

	manager_send(ASK, id_of(other), "7");
	expect_answer(other, "7");
	assert_queue(expected);
	manager_send(ASK, id_of(entry), "8");
	manager_send(MESSAGE, "one", id_of(other));
	puppet_say_number(other, W2M_SETTLED, 3);
	stage_turns();
	assert_queue(expected);
	puppet_say_number(entry, W2M_SETTLED, 2);
	stage_turns();
	expect_answer(entry, "8");
	assert_queue(expected);
	assert_no_breach();
}
END_TEST

/* ---- too much is kept ---- */

static void
send_big(const struct entry *entry, size_t size)
{
	char *body = malloc(size + 1);

	ck_assert_ptr_nonnull(body);
	memset(body, 'x', size);
	body[size] = '\0';
	manager_send("<message id='big' sto='%s' sfrom='x@foo.com'>%s</message>", id_of(entry), body);
	free(body);
}

/* The session manager has waited for a second. */
static void
relief_is_due(void)
{
	ck_assert(timer_is_set(&stage.relief));
	timer_is_due(&stage.loop, &stage.relief);
	stage_turns();
}

/* At first the session manager waits, and that is all; then the fullest goes. */
START_TEST(fullest_make_room)
{
	struct entry *small = client_login(0, "small@foo.com/r"), *big = client_login(1, "big@foo.com/r");
	struct entry *middle = client_login(0, "middle@foo.com/r");

	send_big(small, 10000);
	send_big(big, 60000);
	send_big(middle, 25000);
	ck_assert(!stage.link.unread);
	send_big(small, 10000);
	ck_assert(stage.link.unread);
	ck_assert(!big->closing && !middle->closing && !small->closing);
	/* 105 kB of 100: to 75, and the biggest alone is enough. */
	relief_is_due();
	ck_assert(big->closing && !middle->closing && !small->closing);
	ck_assert_uint_eq(assert_hears(1, M2W_PACKET), 2);
	ck_assert_uint_eq(assert_hears(1, M2W_CLOSE), END_TOO_SLOW);
	assert_hears_nothing(1);
	puppet_forget(0);
	/* What has been read already is still kept; and while it takes its leave nobody else is ended. */
	send_big(small, 1000);
	relief_is_due();
	assert_hears(0, M2W_PACKET);
	assert_hears_nothing(0);
	puppet_say_ended(big);
	stage_turns();
	ck_assert(!stage.link.unread);
	ck_assert(!timer_is_set(&stage.relief));
	ck_assert_uint_eq(stage.keeper.total.of[FATE_BOUNCED], 1);
	ck_assert_uint_eq(stage.directory.count, 2);
	/* And again. */
	send_big(middle, 60000);
	ck_assert(stage.link.unread);
	relief_is_due();
	ck_assert_uint_eq(assert_hears(0, M2W_PACKET), 3);
	ck_assert_uint_eq(assert_hears(0, M2W_CLOSE), END_TOO_SLOW);
	assert_hears_nothing(0);
	puppet_die(0);
	ck_assert(!stage.link.unread);
	ck_assert_uint_eq(stage.keeper.held_bytes, 0);
	stage_assert_balance();
}
END_TEST

/* As many as a service may have, when its network is gone: that takes no longer than looking at each of them a few times. */
START_TEST(very_many_make_room)
{
	enum { MANY = 150000, LITTLE = 60, MUCH = 200 };
	char bytes[MUCH] = "";
	struct entry *entry;
	uint32_t full = 0, others = 0;

	ck_assert_uint_eq(stage.keeper.held_max, HELD_MAX);
	for (unsigned i = 0; i < MANY; i++) {
		entry = directory_add(&stage.directory, 0);
		keeper_count(&stage.keeper, entry, FATE_IN);
		ck_assert_uint_eq(keeper_keep(&stage.keeper, entry, bytes, i % 4 == 0 ? MUCH : LITTLE), 1);
	}
	stage.keeper.held_max = (uint32_t)stage.keeper.held_bytes;
	manager_send(MESSAGE, "one", id_of(client_login(1, ALICE)));
	ck_assert(stage.link.unread);
	relief_is_due();
	for (entry = NULL; (entry = directory_next(&stage.directory, entry)) != NULL;) {
		full += entry->closing && entry->held >= LITTLE * 2;
		others += entry->closing && entry->held < LITTLE * 2;
	}
	ck_assert_uint_eq(others, 0);
	ck_assert_uint_ge(full * MUCH, stage.keeper.held_max / 4);
	ck_assert_uint_lt(full * MUCH, stage.keeper.held_max / 4 + MUCH * 2);
}
END_TEST

/* Who takes what he is sent is not in the way, however much there is of it; but not for ever. */
START_TEST(readers_are_not_in_the_way)
{
	struct entry *reader = client_login(0, "reader@foo.com/r"), *other = client_login(1, "other@foo.com/r");
	struct entry *nothing = client_login(1, "nothing@foo.com/r");

	send_big(reader, 1000);
	send_big(reader, 69000);
	send_big(other, 5000);
	send_big(reader, 28000);
	ck_assert(stage.link.unread);
	/* It has settled something, or only taken some of it. */
	puppet_say_number(reader, W2M_SETTLED, _i == 0 ? 2 : 0);
	stage_turns();
	relief_is_due();
	ck_assert(other->closing && !reader->closing && !nothing->closing);
	puppet_say_ended(other);
	stage_turns();
	/* Too much even so: one who goes on like this keeps everybody waiting. */
	ck_assert(stage.link.unread);
	relief_is_due();
	ck_assert(!reader->closing);
	stage.unread_since -= 10001;
	relief_is_due();
	ck_assert(reader->closing && !nothing->closing);
	puppet_say_ended(reader);
	stage_turns();
	ck_assert(!stage.link.unread);
}
END_TEST

/* Nothing is known of those whose worker hangs; not for ever. */
START_TEST(those_of_a_hanging_worker_are_not_in_the_way)
{
	struct entry *hung = client_login(0, "hung@foo.com/r"), *other = client_login(1, "other@foo.com/r");

	send_big(hung, 90000);
	send_big(other, 20000);
	ck_assert(stage.link.unread);
	stage.pool.workers[0].pinged = loop_now(&stage.loop) - 1000;
	relief_is_due();
	ck_assert(other->closing && !hung->closing);
	stage.pool.workers[0].pinged = loop_now(&stage.loop) - 1000;
	stage.unread_since -= 10001;
	relief_is_due();
	ck_assert(hung->closing);
}
END_TEST

/* One is not enough: as many go as it takes, and settling is as good as going. */
START_TEST(several_make_room)
{
	struct entry *entries[12];

	for (unsigned i = 0; i < COUNT(entries); i++) {
		char address[32];

		snprintf(address, sizeof address, "user%u@foo.com/r", i);
		entries[i] = client_login(i % 2, address);
	}
	for (unsigned i = 0; i < COUNT(entries); i++)
		send_big(entries[i], i == COUNT(entries) - 1 ? 9000 : 8300);
	ck_assert(stage.link.unread);
	relief_is_due();
	ck_assert(entries[11]->closing);
	for (unsigned i = 0, closing = 0; i < COUNT(entries); i++) {
		closing += entries[i]->closing;
		ck_assert(i < COUNT(entries) - 1 || closing == 4);
	}
	/* Not below three quarters. */
	for (unsigned i = 0; i < 3; i++) {
		ck_assert(stage.link.unread);
		puppet_say_number(entries[i], W2M_SETTLED, entries[i]->numbers);
		stage_turns();
	}
	ck_assert(stage.link.unread);
	puppet_say_number(entries[4], W2M_SETTLED, entries[4]->numbers);
	stage_turns();
	ck_assert(!stage.link.unread);
}
END_TEST

/* ---- sessions that are asked for (dialect route) ---- */

#define STARTED "alice@foo.com/5a"
#define AGAIN "alice@foo.com/6b"

static void
ask_for_session(const struct entry *entry, const char *user)
{
	char text[256];

	snprintf(text, sizeof text, "<route type='session' to='%s@foo.com/home' from='%s'/>", user, id_of(entry));
	say_packet(entry, text);
}

static struct entry *
client_known(void)
{
	struct entry *entry;

	stage.link.dialect = dialect_find("route");
	entry = client_new(0);
	manager_send("<route type='auth' to='%s' from='alice@foo.com/home'><iq type='result'/></route>", id_of(entry));
	return entry;
}

static void
give_session(struct entry *entry, const char *address)
{
	manager_send("<route type='session' to='%s' from='%s'/>", id_of(entry), address);
	puppet_say_of(entry, W2M_SESSION, address, strlen(address));
	puppet_say_number(entry, W2M_CONSUMED, entry->numbers);
	stage_turns();
}

START_TEST(session_is_given_who_has_asked)
{
	struct entry *entry = client_known();
	char text[512];

	ask_for_session(entry, "alice");
	give_session(entry, STARTED);
	assert_no_breach();
	ck_assert(entry->confirmed);
	ck_assert_str_eq(entry->address, STARTED);
	/* It has forgotten it, and is asked again: the address changes in session. */
	manager_take();
	manager_send("<route type='error' error='Invalid Session' to='%s' from='" STARTED "'/>", id_of(entry));
	ck_assert(entry->ended_upstream);
	ask_for_session(entry, "alice");
	give_session(entry, AGAIN);
	assert_no_breach();
	ck_assert_str_eq(entry->address, AGAIN);
	ck_assert(!entry->ended_upstream);
	snprintf(text, sizeof text, "<route to='" AGAIN "' from='%s'><message/></route>", id_of(entry));
	say_packet(entry, text);
	assert_no_breach();
	/* Its end is that of the second. */
	manager_take();
	snprintf(text, sizeof text, "<route type='error' to='" AGAIN "' from='%s'/>\n", id_of(entry));
	puppet_die(0);
	stage_turns();
	ck_assert_ptr_nonnull(strstr(manager_queue(), text));
	ck_assert_ptr_null(strstr(manager_queue(), STARTED));
}
END_TEST

/* The client's own: it stays. */
START_TEST(session_is_told_of_twice)
{
	struct entry *entry = client_known();

	ask_for_session(entry, "alice");
	give_session(entry, STARTED);
	manager_take();
	manager_send("<route type='session' to='%s' from='" STARTED "'/>", id_of(entry));
	stage_turns();
	ck_assert_str_eq(manager_queue(), "");
	ck_assert(!entry->closing && !entry->ended_upstream);
	assert_no_breach();
}
END_TEST

START_TEST(session_that_nobody_asked_for_goes_back)
{
	struct entry *entry = client_known();

	if (_i == 1) {
		ask_for_session(entry, "alice");
		give_session(entry, STARTED);
		manager_take();
	}
	manager_send("<route type='session' to='%s' from='" AGAIN "'/>", id_of(entry));
	snprintf(expected, sizeof expected, "<route type='error' to='" AGAIN "' from='%s'/>\n", id_of(entry));
	assert_queue(expected);
	ck_assert_str_eq(entry->address, _i == 1 ? STARTED : ALICE);
	puppet_say_of(entry, W2M_SESSION, AGAIN, strlen(AGAIN));
	assert_breach(0, BREACH_CLIENT);
}
END_TEST

/* jabberd would start it. */
START_TEST(session_of_somebody_else)
{
	struct entry *entry;

	stage.link.dialect = dialect_find("route");
	entry = _i == 0 ? client_new(0) : client_known();
	ask_for_session(entry, _i == 0 ? "alice" : "bob");
	assert_breach(0, BREACH_FORGED);
}
END_TEST

/* What workers say. */
static void
add_of_workers(TCase *tests)
{
	tcase_add_test(tests, stamped_packets_go_up);
	tcase_add_loop_test(tests, forged_packets_cost_the_worker, 0, COUNT(forgeries));
	tcase_add_test(tests, zero_bytes_are_no_way_round);
	tcase_add_test(tests, a_proxy_says_where_a_client_comes_from);
	tcase_add_test(tests, no_address_without_a_proxy);
	tcase_add_test(tests, no_address_after_the_login);
	tcase_add_loop_test(tests, who_does_not_stop_is_stopped, 0, 2);
	tcase_add_test(tests, each_stop_counts_anew);
	tcase_add_loop_test(tests, session_needs_an_answer, 0, 6);
	tcase_add_loop_test(tests, session_is_not_made_of_other_packets, 0, 5);
	tcase_add_loop_test(tests, session_is_made_once, 0, 2);
	tcase_add_test(tests, session_does_not_change_its_address);
	tcase_add_test(tests, address_with_entities);
	tcase_add_loop_test(tests, numbers_that_were_never_given, 0, 3);
}

/* Who is taken, by whom, and under which id. */
static void
add_of_places(TCase *tests)
{
	tcase_add_loop_test(tests, answers_before_the_descriptor_was_sent, 0, 4);
	tcase_add_loop_test(tests, first_answer_is_whether_it_has_the_client, 0, 5);
	tcase_add_loop_test(tests, answers_once, 0, 2);
	tcase_add_loop_test(tests, others_clients, 0, 2);
	tcase_add_loop_test(tests, refused_goes_to_another, 0, 2);
	tcase_add_test(tests, refused_by_all_waits);
	tcase_add_test(tests, another_id);
	tcase_add_test(tests, another_id_without_a_stream);
	tcase_add_test(tests, not_known_yet);
	tcase_add_test(tests, hosts_that_nobody_has);
	tcase_add_loop_test(tests, end_under_the_old_id, 0, 2);
	tcase_add_loop_test(tests, another_id_at_the_wrong_time, 0, 4);
	tcase_add_test(tests, failed_logins_are_counted_and_believed_once);
	tcase_add_loop_test(tests, failed_login_that_was_not_asked_for, 0, 2);
	tcase_add_test(tests, who_waits_for_a_login);
	tcase_add_test(tests, oldest_makes_room);
	tcase_add_test(tests, full_is_said_once);
	tcase_add_test(tests, denied_while_it_waits);
	tcase_add_loop_test(tests, told_to_go_before_it_was_taken, 0, 2);
}

/* How sessions end, and begin. */
static void
add_of_ends(TCase *tests)
{
	tcase_add_loop_test(tests, end_comes_first_then_what_was_kept, 0, 2);
	tcase_add_loop_test(tests, end_of_the_session_managers_own, 0, 2);
	tcase_add_loop_test(tests, end_of_one_that_was_superseded, 0, 2);
	tcase_add_loop_test(tests, superseded_and_ended, 0, 2);
	tcase_add_loop_test(tests, other_510s_end_nothing, 0, 3);
	tcase_add_loop_test(tests, answer_that_nobody_saw_goes_back, 0, 2);
	tcase_add_loop_test(tests, answer_that_nobody_saw_and_a_later_login, 0, 2);
	tcase_add_loop_test(tests, answer_that_was_seen_and_not_consumed, 0, 2);
	tcase_add_loop_test(tests, answer_that_was_seen_too_late, 0, 2);
	tcase_add_loop_test(tests, end_that_was_said_twice, 0, 2);
	tcase_add_test(tests, who_sent_what_is_given_up);
	tcase_add_test(tests, workers_hear_that_the_link_was_lost);
	tcase_add_test(tests, killed_before_it_had_the_client);
	tcase_add_test(tests, killed_before_login);
	tcase_add_loop_test(tests, packets_for_the_gone, 0, 2);
	tcase_add_test(tests, fullest_make_room);
	tcase_add_test(tests, very_many_make_room);
	tcase_add_loop_test(tests, readers_are_not_in_the_way, 0, 2);
	tcase_add_test(tests, those_of_a_hanging_worker_are_not_in_the_way);
	tcase_add_test(tests, several_make_room);
	tcase_add_test(tests, session_is_given_who_has_asked);
	tcase_add_test(tests, session_is_told_of_twice);
	tcase_add_loop_test(tests, session_that_nobody_asked_for_goes_back, 0, 2);
	tcase_add_loop_test(tests, session_of_somebody_else, 0, 2);
}

static void
add_of_asks(TCase *tests)
{
	tcase_add_test(tests, ask_with_nothing_before_it);
	tcase_add_loop_test(tests, ask_waits_for_all_before_it, 0, 2);
	tcase_add_loop_test(tests, asks_that_are_settled_together, 0, 2);
	tcase_add_test(tests, ask_is_not_passed);
	tcase_add_loop_test(tests, worker_that_says_the_number_of_an_ask, 0, 2);
	tcase_add_loop_test(tests, ask_comes_back_in_its_place, 0, 2);
	tcase_add_loop_test(tests, ask_behind_stream_management, 0, 2);
	tcase_add_loop_test(tests, stream_management_without_a_link, 0, 2);
	tcase_add_loop_test(tests, stream_management_of_the_gone, 0, 2);
	tcase_add_loop_test(tests, ask_and_the_end_of_the_client, 0, 2);
	tcase_add_loop_test(tests, ask_is_of_one_client, 0, 2);
}

int
main(int argc, char **argv)
{
	Suite *suite = suite_create("router");
	TCase *tests = tcase_create("router");

	if (argc != 2)
		return EXIT_FAILURE;
	stage_puppet = argv[1];
	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, setup, teardown);
	add_of_workers(tests);
	add_of_places(tests);
	add_of_ends(tests);
	add_of_asks(tests);
	suite_add_tcase(suite, tests);
	return tap_run(suite);
}
