/*
 * link: the state machine against a session manager that the test plays on a UNIX socket, in the same process and the
 * same loop. Time never passes: what would take time is made due.
 */
#include <bsd/string.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <linux/sockios.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/log.h"
#include "master/link.h"
#include "tests/common/turn.h"
#include "tests/dialect/tap.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define OUR_HEADER "<stream:stream xmlns='jabber:sockets' xmlns:stream='http://etherx.jabber.org/streams'>"

/* As jabberd was recorded, id and proof with the secret s3cret. */
#define THEIR_HEADER "<?xml version='1.0'?><stream:stream xmlns:stream='http://etherx.jabber.org/streams' " \
	"id='6B0186C6' xmlns='jabberd:sockets'>"
#define OUR_PROOF "<handshake>46ca54d31e86a2856c11d4602ad7eda9757e136a</handshake>"

static struct loop loop;
static struct link link_under_test, *const l = &link_under_test;
static char path[64];
static int listener, peer;
static struct buffer heard;	/* what the session manager was sent */
static struct buffer packets;	/* what on_packet was given, each with a line feed behind it */
static char said[64];		/* callbacks: U(p) D(own) G(o) S(top) C(losed) */

static struct buffer lines;	/* the log */
static bool waits;		/* else time passes for l->ask */
static size_t write_max;	/* most that the kernel takes at once, as far as the link can tell; 0: as it likes */
static size_t write_left;	/* for how much it has room */

/* In place of the C library's: it takes only part of what it is given. */
ssize_t
sendmsg(int fd, const struct msghdr *message, int flags)
{
	struct iovec vectors[80];
	struct msghdr less = *message;
	size_t left = write_max > 0 && write_max < write_left ? write_max : write_left;
	ssize_t written;

	if (left == 0) {
		errno = EAGAIN;
		return -1;
	}
	ck_assert_uint_le(message->msg_iovlen, COUNT(vectors));
	less.msg_iov = vectors;
	less.msg_iovlen = 0;
	for (size_t i = 0; i < message->msg_iovlen && left > 0; i++) {
		size_t length = message->msg_iov[i].iov_len < left ? message->msg_iov[i].iov_len : left;

		vectors[less.msg_iovlen++] = (struct iovec){ message->msg_iov[i].iov_base, length };
		left -= length;
	}
	written = syscall(SYS_sendmsg, fd, &less, flags);
	if (written > 0 && write_left != SIZE_MAX)
		write_left -= (size_t)written;
	return written;
}

static int64_t acknowledged;	/* bytes of this connection that its TCP says it has; -1: there is no TCP */

/* In place of the C library's: the socket is one of TCP's. */
int
ioctl(int fd, unsigned long request, ...)
{
	va_list arguments;
	void *argument;

	va_start(arguments, request);
	argument = va_arg(arguments, void *);
	va_end(arguments);
	if (request != SIOCOUTQ || acknowledged < 0)
		return (int)syscall(SYS_ioctl, fd, request, argument);
	*(int *)argument = (int)(link_under_test.given - (uint64_t)acknowledged);
	return 0;
}

static void
sink(enum log_level level, const char *role, const char *line, void *argument)
{
	(void)role;
	(void)argument;
	buffer_append_format(&lines, "%s: %s\n", log_level_name(level), line);
}

static void
say(char what)
{
	size_t length = strlen(said);

	ck_assert_uint_lt(length, sizeof said - 1);
	said[length] = what;
}

static void
on_packet(struct link *link, const uint8_t *bytes, size_t length)
{
	ck_assert_ptr_eq(link, l);
	buffer_append(&packets, bytes, length);
	buffer_append(&packets, "\n", 1);
}

static void
on_up(struct link *link)
{
	ck_assert_int_eq(link->state, LINK_UP);
	say('U');
}

static void
on_down(struct link *link)
{
	ck_assert_int_eq(link->state, LINK_DOWN);
	say('D');
}

static unsigned losses;	/* on_lost */

static void
on_lost(struct link *link)
{
	ck_assert(link->state == LINK_DOWN || link->state == LINK_ENABLING);
	losses++;
}

static struct buffer given_up;	/* on_given_up: the first letter of each, as send_text has said it */

static void
on_given_up(struct link *link, uint64_t from, const uint8_t *bytes, size_t length)
{
	char letter = (char)from;

	(void)link;
	ck_assert_uint_gt(length, 1);
	ck_assert_int_eq(bytes[1], letter);
	buffer_append(&given_up, &letter, 1);
}

static void
on_flow(struct link *link, bool go)
{
	(void)link;
	say(go ? 'G' : 'S');
}

static void
on_closed(struct link *link)
{
	(void)link;
	if (strchr(said, 'C') == NULL)
		say('C');
}

static const char *
text_of(struct buffer *buffer)
{
	buffer_append(buffer, "", 1);
	buffer->end--;
	return (const char *)buffer_bytes(buffer);
}

static void
listen_again(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	strlcpy(address.sun_path, path, sizeof address.sun_path);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	ck_assert_int_ge(listener, 0);
	unlink(path);
	ck_assert_int_eq(bind(listener, (const struct sockaddr *)&address, sizeof address), 0);
	ck_assert_int_eq(listen(listener, 4), 0);
}

static void
setup(void)
{
	char address[80];
	const char *why;

	memset(said, 0, sizeof said);
	losses = 0;
	log_init("master", LOG_LEVEL_INFO);
	log_set_sink(sink, NULL);
	write_max = 0;
	write_left = SIZE_MAX;
	acknowledged = -1;
	waits = false;
	peer = -1;
	snprintf(path, sizeof path, "test-link.%d", (int)getpid());
	listen_again();
	ck_assert_int_eq(loop_init(&loop), 0);
	*l = (struct link){
		.dialect = dialect_find("sfrom"), .name = "foo-sockets", .secret = "s3cret", .timeout = 1000000, .high = 100000,
		.on_packet = on_packet, .on_up = on_up, .on_down = on_down, .on_lost = on_lost,
		.on_given_up = on_given_up, .on_flow = on_flow, .on_closed = on_closed,
	};
	snprintf(address, sizeof address, "unix:%s", path);
	ck_assert(link_resolve(&l->addresses, address, &why));
	link_init(l, &loop, 100000);
}

static void
teardown(void)
{
	link_deinit(l);
	link_deinit(l);
	if (peer >= 0)
		close(peer);
	close(listener);
	unlink(path);
	loop_deinit(&loop);
	log_set_sink(log_sink_stderr, NULL);
	buffer_deinit(&lines);
	buffer_deinit(&heard);
	buffer_deinit(&packets);
	buffer_deinit(&given_up);
}

static void
turns(void)
{
	for (unsigned i = 0; i < 6; i++) {
		if (timer_is_set(&l->ask) && !waits)
			timer_is_due(&loop, &l->ask);
		loop_turn(&loop);
	}
}

/* ---- the session manager's part ---- */

static void
peer_accept(void)
{
	turns();
	peer = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	ck_assert_int_ge(peer, 0);
	buffer_clear(&heard);
	turns();
}

static void
peer_close(void)
{
	close(peer);
	peer = -1;
	turns();
}

/* Take what there is, at most `most`. Bytes taken; 0 at the end of the stream, or -1. */
static ssize_t
peer_read(size_t most)
{
	uint8_t *place = buffer_reserve(&heard, most);
	ssize_t length;

	ck_assert_ptr_nonnull(place);
	length = recv(peer, place, most, 0);
	if (length > 0)
		buffer_commit(&heard, (size_t)length);
	return length;
}

static void
peer_read_all(void)
{
	do {
		while (peer_read(65536) > 0)
			;
		turns();
	} while (peer_read(65536) > 0);
}

static void
peer_say(const char *text)
{
	ck_assert_int_eq(send(peer, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
	turns();
}

static void
expect(const char *text)
{
	peer_read_all();
	ck_assert_str_eq(text_of(&heard), text);
	buffer_clear(&heard);
}

static void
bring_up(void)
{
	peer_accept();
	expect(OUR_HEADER);
	peer_say(THEIR_HEADER);
	expect(OUR_PROOF);
	ck_assert_int_eq(l->state, LINK_HANDSHAKE);
	peer_say("<handshake/>");
	ck_assert_int_eq(l->state, LINK_UP);
}

static void
up(void)
{
	link_start(l);
	bring_up();
}

static void
try_again(void)
{
	ck_assert_int_eq(l->state, LINK_DOWN);
	ck_assert(timer_is_set(&l->retry));
	timer_is_due(&loop, &l->retry);
	turns();
}

static bool
send_text(const char *text)
{
	return link_send(l, (uint64_t)text[1], text, strlen(text));
}

/* ---- opening ---- */

START_TEST(proof_is_what_was_recorded)
{
	static const struct {
		const char *id, *secret, *proof;
	} known[] = {
		{ "6B0186C6", "s3cret", "46ca54d31e86a2856c11d4602ad7eda9757e136a" },
		{ "6B01885A", "s3cret", "270e59568f53e946e052c49d5a0786e4c60c6973" },
		{ "", "", "da39a3ee5e6b4b0d3255bfef95601890afd80709" },
	};
	char proof[41];

	for (unsigned i = 0; i < COUNT(known); i++) {
		ck_assert(link_proof(known[i].id, known[i].secret, proof));
		ck_assert_str_eq(proof, known[i].proof);
	}
}
END_TEST

START_TEST(opens)
{
	up();
	ck_assert_str_eq(said, "GU");
	ck_assert(!timer_is_set(&l->step) && !timer_is_set(&l->retry));
	ck_assert_uint_eq(l->failures, 0);
}
END_TEST

/* Entities in the id are resolved before it is hashed. */
START_TEST(opens_with_an_escaped_id)
{
	char proof[41], expected[80];

	link_start(l);
	peer_accept();
	expect(OUR_HEADER);
	peer_say("<root  x='1' id = \"a&amp;&#98;'\">");
	ck_assert(link_proof("a&b'", "s3cret", proof));
	snprintf(expected, sizeof expected, "<handshake>%s</handshake>", proof);
	expect(expected);
}
END_TEST

START_TEST(opens_byte_by_byte)
{
	static const char all[] = THEIR_HEADER "<handshake/><a b='>'/> <c><d/></c>\n";

	link_start(l);
	peer_accept();
	for (size_t i = 0; i < sizeof all - 1; i++) {
		ck_assert_int_eq(send(peer, all + i, 1, MSG_NOSIGNAL), 1);
		turns();
	}
	ck_assert_int_eq(l->state, LINK_UP);
	ck_assert_str_eq(text_of(&packets), "<a b='>'/>\n<c><d/></c>\n");
	/* Everything was used: who waits owns nothing. */
	peer_say("<e/>");
	ck_assert_uint_eq(buffer_length(&l->in), 0);
}
END_TEST

/* Up to `answers` replies of the session manager, then what makes it fail. */
static const struct {
	const char *answers[3];
	const char *why;
} refusals[] = {
	{ { THEIR_HEADER, "<stream:error>Invalid Handshake</stream:error></stream:stream>" },
	    "refused by the session manager: wrong secret or name" },
	{ { THEIR_HEADER, "<message/>" }, "the session manager answers our proof with something else" },
	{ { "<stream:stream xmlns='jabberd:sockets'>" }, "the session manager's header has no id" },
	{ { "<stream:stream ID='x'>" }, "the session manager's header has no id" },
	{ { "hello" }, "what the session manager sends is not XML" },
	{ { "<!DOCTYPE x><x id='1'>" }, "what the session manager sends is not XML" },
	{ { "</stream:stream>" }, "what the session manager sends is not XML" },
	{ { THEIR_HEADER, "</stream:stream>" }, "closed by the session manager" },
	{ { THEIR_HEADER, "<handshake/>", "</stream:stream>" }, "closed by the session manager" },
	{ { THEIR_HEADER, "<handshake/>", "<>" }, "what the session manager sends is not XML" },
	{ { THEIR_HEADER, "<handshake/>", "<a></a" "><!DOCTYPE" }, "what the session manager sends is not XML" },
};

START_TEST(refused)
{
	link_start(l);
	peer_accept();
	for (unsigned i = 0; i < COUNT(refusals[_i].answers) && refusals[_i].answers[i] != NULL; i++)
		peer_say(refusals[_i].answers[i]);
	ck_assert_str_eq(l->last_failure, refusals[_i].why);
	ck_assert_int_eq(l->state, LINK_DOWN);
	ck_assert_int_eq(l->watch.fd, -1);
	ck_assert(strchr(said, 'U') == NULL || strcmp(said, "GUSD") == 0);
	ck_assert_uint_eq(l->failures, 1);
	/* And again, as if nothing had been. */
	close(peer);
	try_again();
	bring_up();
}
END_TEST

START_TEST(silence_has_an_end)
{
	link_start(l);
	peer_accept();
	for (int i = 0; i < _i; i++)
		peer_say(i == 0 ? THEIR_HEADER : "<");
	ck_assert(timer_is_set(&l->step));
	timer_is_due(&loop, &l->step);
	turns();
	ck_assert_int_eq(l->state, LINK_DOWN);
	ck_assert_str_eq(l->last_failure, "no answer in time");
	ck_assert_int_eq(recv(peer, said, 0, MSG_DONTWAIT), 0);
	ck_assert_str_eq(said, "");
	close(peer);
	try_again();
	bring_up();
}
END_TEST

/* Nobody is there: tried again, later each time and with jitter, until somebody is. */
START_TEST(tried_again_later_and_later)
{
	static const unsigned pauses[] = { 250, 500, 1000, 2000, 4000, 8000, 15000, 15000, 15000, 15000, 15000 };

	close(listener);
	unlink(path);
	link_start(l);
	for (unsigned i = 0; i < COUNT(pauses); i++) {
		uint64_t pause;

		loop_turn(&loop);
		ck_assert_int_eq(l->state, LINK_DOWN);
		pause = l->retry.at - loop_now(&loop);
		/* The turn that has passed meanwhile is given ten seconds. */
		ck_assert_uint_ge(l->retry.at, pauses[i] / 2);
		ck_assert_msg(pause <= pauses[i] * 3 / 2, "%u: %u", i, (unsigned)pause);
		ck_assert_uint_eq(l->failures, i + 1);
		l->retry.at = loop_now(&loop);
	}
	listen_again();
	l->retry.at = loop_now(&loop);
	bring_up();
	/* Only a link that stays is a success. */
	ck_assert_uint_eq(l->failures, COUNT(pauses));
	l->up_since = loop_now(&loop) - 10001;
	close(peer);
	turns();
	ck_assert_uint_eq(l->failures, 1);
	ck_assert_uint_le(l->retry.at - loop_now(&loop), pauses[0] * 3 / 2);
}
END_TEST

/* One that comes up and goes again is no better. */
START_TEST(up_for_a_moment_is_no_success)
{
	static const unsigned pauses[] = { 250, 500, 1000, 2000, 4000, 8000, 15000, 15000 };

	link_start(l);
	for (unsigned i = 0; i < COUNT(pauses); i++) {
		bring_up();
		peer_close();
		ck_assert_uint_eq(l->failures, i + 1);
		ck_assert_uint_ge(l->retry.at, loop_now(&loop) + pauses[i] / 2 - 10);
		ck_assert_uint_le(l->retry.at, loop_now(&loop) + pauses[i] * 3 / 2);
		l->retry.at = loop_now(&loop);
		turns();
	}
}
END_TEST

START_TEST(addresses_are_read)
{
	static const struct {
		const char *text;
		bool good;
	} addresses[] = {
		{ "127.0.0.1:5347", true }, { "[::1]:5347", true }, { "::1:5347", true }, { "unix:/run/x", true }, { "127.0.0.1", false },
		{ "127.0.0.1:", false }, { ":5347", false }, { "", false }, { "[]:1", false }, { "127.0.0.1:no-such-service-x", false },
	};
	char long_path[256] = "unix:/";
	const char *why = NULL;

	for (unsigned i = 0; i < COUNT(addresses); i++) {
		ck_assert_msg(link_resolve(&l->addresses, addresses[i].text, &why) == addresses[i].good, "%s", addresses[i].text);
		if (addresses[i].good)
			ck_assert_uint_ge(l->addresses.count, 1);
		else
			ck_assert_ptr_nonnull(why);
	}
	memset(long_path + 6, 'x', 200);
	ck_assert(!link_resolve(&l->addresses, long_path, &why));
}
END_TEST

/* ---- what is sent ---- */

START_TEST(queued_before_it_is_up_goes_first)
{
	ck_assert(send_text("<one/>"));
	ck_assert(send_text("<two/>"));
	up();
	ck_assert(send_text("<three/>"));
	turns();
	expect("<one/><two/>\n<three/>\n");
	ck_assert_uint_eq(l->outbox.queued, 0);
	ck_assert(STAILQ_EMPTY(&l->outbox.queue));
}
END_TEST

/* Element number n, about `size` bytes long. */
static void
send_numbered(unsigned n, size_t size)
{
	char *text = malloc(size + 64);
	int length;

	ck_assert_ptr_nonnull(text);
	length = snprintf(text, 64, "<m n='%06u'>", n);
	memset(text + length, 'x', size);
	memcpy(text + length + size, "</m>", 5);
	ck_assert(send_text(text));
	free(text);
}

/* Reads elements of that size until the last; they follow each other without a gap. The number of the first. */
static unsigned
assert_consecutive(const char *text, size_t size, unsigned last)
{
	unsigned first, n;
	const char *at = text;

	ck_assert_int_eq(sscanf(at, "<m n='%6u'>", &first), 1);
	for (n = first; *at != '\0'; n++) {
		unsigned number = 0;

		ck_assert_msg(sscanf(at, "<m n='%6u'>", &number) == 1 && number == n, "%.20s is not %u", at, n);
		ck_assert_uint_eq(strspn(at + 14, "x"), size);
		at += 14 + size;
		ck_assert_int_eq(strncmp(at, "</m>", 4), 0);
		at += 4;
		at += strspn(at, "\n");
	}
	ck_assert_uint_eq(n, last + 1);
	return first;
}

/*
 * Cut in the middle of an element: that one comes again as a whole, behind those that were written and not read; those behind
 * it follow, in order.
 */
START_TEST(cut_in_the_middle_of_an_element)
{
	static const size_t sizes[] = { 50000, 777, 300000 };
	size_t size = sizes[_i];
	unsigned number = 0;
	int small = 4096;

	up();
	setsockopt(l->watch.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
	/* Several at once, so that a write ends in the middle of one. */
	do {
		for (unsigned i = 0; i < 20; i++)
			send_numbered(number++, size);
		turns();
	} while (l->outbox.head_written == 0);
	/* More than fit one write. */
	for (unsigned i = 0; i < 100; i++)
		send_numbered(number++, size);
	ck_assert_int_gt(peer_read(1000), 0);
	turns();
	peer_close();
	ck_assert_uint_eq(l->outbox.head_written, 0);
	ck_assert_int_eq(l->state, LINK_DOWN);
	send_numbered(number++, size);
	try_again();
	bring_up();
	peer_read_all();
	ck_assert_uint_le(assert_consecutive(text_of(&heard), size, number - 1), 1000 / size);
	ck_assert_uint_eq(l->outbox.queued, 0);
}
END_TEST

/* What breaks the link each time it is sent would keep it down for ever. */
START_TEST(packet_that_breaks_the_link_is_given_up)
{
	/* More than a socket takes. */
	static const size_t size = 3000000;

	send_numbered(0, size);
	send_numbered(1, 10);
	link_start(l);
	for (unsigned i = 0; i < 3; i++) {
		ck_assert_int_eq(strncmp((const char *)STAILQ_FIRST(&l->outbox.queue)->bytes, "<m n='000000'>", 14), 0);
		bring_up();
		ck_assert_uint_gt(l->outbox.head_written, 0);
		ck_assert_ptr_null(strstr(text_of(&lines), "given-up"));
		peer_close();
		ck_assert_uint_eq(l->outbox.head_written, 0);
		/* Losses in which it has no part do not count. */
		if (i < 2) {
			try_again();
			peer_accept();
			peer_close();
		}
		timer_is_due(&loop, &l->retry);
		turns();
	}
	ck_assert_ptr_nonnull(strstr(text_of(&lines), "error: link packet-given-up bytes=3000018 breaks=3"));
	ck_assert_uint_eq(l->outbox.queued, 10 + 18);
	bring_up();
	expect("<m n='000001'>xxxxxxxxxx</m>\n");
	ck_assert_uint_eq(l->outbox.queued, 0);
}
END_TEST

/* However much the kernel takes at once: all of it, once, in order, and a line feed behind the last. */
START_TEST(written_in_pieces)
{
	static const size_t sizes[] = { 0, 1, 2, 3, 24, 25, 26, 27, 28, 29, 75, 1000, 1637, 1638, 1639, 5000 };

	write_max = sizes[_i];
	up();
	/* 26 bytes each, and more of them than one write has room for. */
	for (unsigned i = 0; i < 200; i++)
		send_numbered(i, 8);
	turns();
	peer_read_all();
	ck_assert_uint_eq(assert_consecutive(text_of(&heard), 8, 199), 0);
	ck_assert_ptr_eq(strchr(text_of(&heard), '\n'), text_of(&heard) + 200 * 26);
	ck_assert_uint_eq(buffer_length(&heard), 200 * 26 + 1);
	ck_assert_uint_eq(l->outbox.queued, 0);
}
END_TEST

/* Read in small pieces, it is all there, every element once. */
START_TEST(slow_reader_gets_everything)
{
	int small = 4096;

	up();
	setsockopt(l->watch.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
	for (unsigned i = 0; i < 200; i++)
		send_numbered(i, 700);
	turns();
	while (peer_read(577) > 0)
		loop_turn(&loop);
	peer_read_all();
	ck_assert_uint_eq(assert_consecutive(text_of(&heard), 700, 199), 0);
}
END_TEST

START_TEST(flow_follows_the_queue)
{
	unsigned number = 0;

	/* Nobody may be read before it is up. */
	ck_assert(l->choked);
	up();
	ck_assert_str_eq(said, "GU");
	while (strcmp(said, "GU") == 0) {
		ck_assert_uint_lt(number, 1000);
		send_numbered(number++, 10000);
		turns();
	}
	ck_assert_str_eq(said, "GUS");
	ck_assert_uint_gt(l->outbox.queued, l->high);
	/* Not before it is half empty. */
	while (l->outbox.queued >= l->high / 2) {
		ck_assert_str_eq(said, "GUS");
		ck_assert_int_gt(peer_read(4096), 0);
		loop_turn(&loop);
	}
	ck_assert_str_eq(said, "GUSG");
	peer_read_all();
	ck_assert_str_eq(said, "GUSG");
	assert_consecutive(text_of(&heard), 10000, number - 1);
	/* What is on its way when it is cut is no reason to say it twice. */
	peer_close();
	ck_assert_str_eq(said, "GUSGSD");
}
END_TEST

START_TEST(up_again_with_too_much_queued)
{
	up();
	peer_close();
	ck_assert_str_eq(said, "GUSD");
	/* More than the kernel takes. */
	for (unsigned i = 0; i < 100; i++)
		send_numbered(i, 10000);
	ck_assert_str_eq(said, "GUSD");
	try_again();
	bring_up();
	ck_assert_str_eq(said, "GUSDSU");
	peer_read_all();
	ck_assert_str_eq(said, "GUSDSUG");
	assert_consecutive(text_of(&heard), 10000, 99);
}
END_TEST

/* It sends and sends, has it all sent back, and reads none of it. */
START_TEST(who_reads_nothing_is_given_up)
{
	unsigned number = 0;

	l->bound = 300000;
	up();
	while (l->state == LINK_UP) {
		ck_assert_uint_lt(number, 1000);
		ck_assert_uint_le(l->outbox.queued, l->bound);
		send_numbered(number++, 10000);
		turns();
	}
	ck_assert_int_eq(l->state, LINK_DOWN);
	ck_assert_str_eq(l->last_failure, "the session manager reads nothing");
	ck_assert_ptr_nonnull(strchr(said, 'D'));
	/* What was queued still is. */
	close(peer);
	try_again();
	bring_up();
	peer_read_all();
	assert_consecutive(text_of(&heard), 10000, number - 1);
	ck_assert_uint_eq(l->outbox.queued, 0);
}
END_TEST

/* What had come together while it was away is not held against it. */
START_TEST(who_reads_much_is_not_given_up)
{
	l->bound = 300000;
	for (unsigned i = 0; i < 300; i++)
		send_numbered(i, 10000);
	link_start(l);
	bring_up();
	for (unsigned i = 300; i < 400; i++) {
		ck_assert_int_gt(peer_read(20000), 0);
		turns();
		send_numbered(i, 10000);
		turns();
		ck_assert_int_eq(l->state, LINK_UP);
	}
	peer_read_all();
	ck_assert_uint_eq(assert_consecutive(text_of(&heard), 10000, 399), 0);
	ck_assert_int_eq(l->state, LINK_UP);
}
END_TEST

/* ---- what is read ---- */

START_TEST(longest_packet)
{
	char *text = malloc(100002);

	ck_assert_ptr_nonnull(text);
	memset(text, 'x', 100001);
	memcpy(text, "<a>", 3);
	memcpy(text + 100000 - _i - 4, "</a>", 5);
	up();
	/* Limit 100000: what is shorter by _i comes through. */
	for (size_t sent = 0, length = strlen(text); sent < length;) {
		ssize_t more = send(peer, text + sent, length - sent, MSG_NOSIGNAL | MSG_DONTWAIT);

		turns();
		sent += more > 0 ? (size_t)more : 0;
	}
	ck_assert_uint_eq(buffer_length(&packets), 100000 - (size_t)_i + 1);
	memset(text, 'y', 100001);
	memcpy(text, "<b>", 3);
	for (size_t sent = 0; sent < 100001 && l->state == LINK_UP;) {
		ssize_t more = send(peer, text + sent, 100001 - sent, MSG_NOSIGNAL | MSG_DONTWAIT);

		turns();
		sent += more > 0 ? (size_t)more : 0;
	}
	ck_assert_int_eq(l->state, LINK_DOWN);
	ck_assert_str_eq(l->last_failure, "a packet of the session manager is too long (packet-bytes)");
	free(text);
}
END_TEST

START_TEST(left_unread_and_read_again)
{
	up();
	link_read(l, false);
	peer_say("<a/>");
	peer_say("<b/>");
	ck_assert_str_eq(text_of(&packets), "");
	/* The other way goes on. */
	ck_assert(send_text("<c/>"));
	turns();
	expect("<c/>\n");
	link_read(l, true);
	turns();
	ck_assert_str_eq(text_of(&packets), "<a/>\n<b/>\n");
}
END_TEST

/* Nothing that a session manager wrote before it went is lost because we were not reading just then. */
START_TEST(left_unread_and_cut)
{
	up();
	link_read(l, false);
	peer_say("<a/>");
	peer_say("<b/>");
	peer_close();
	ck_assert_str_eq(text_of(&packets), "<a/>\n<b/>\n");
	ck_assert_int_eq(l->state, LINK_DOWN);
	ck_assert_str_eq(said, "GUSD");
}
END_TEST

static struct {
	struct job job;
	const char *text;
} last_words;

static void
on_last_words(struct job *job)
{
	(void)job;
	ck_assert_int_eq(send(peer, last_words.text, strlen(last_words.text), MSG_NOSIGNAL), (ssize_t)strlen(last_words.text));
	close(peer);
	peer = -1;
}

/* Nor because we had something to say ourselves, just then, to somebody who was gone. */
START_TEST(last_words_are_heard)
{
	up();
	if (_i == 1)
		link_read(l, false);
	last_words.text = "<a/><b/>";
	job_queue(&loop, &last_words.job, on_last_words);
	/* Written at the end of the same turn, behind them. */
	ck_assert(send_text("<c/>"));
	if (_i == 2)
		link_close(l);
	turns();
	ck_assert_str_eq(text_of(&packets), "<a/>\n<b/>\n");
	ck_assert_str_eq(said, _i == 2 ? "GUC" : "GUSD");
	if (_i == 2)
		return;
	/* And what we had to say is said to the next one. */
	try_again();
	bring_up();
	expect("<c/>\n");
}
END_TEST

/* It can be opened while packets are not wanted, and then does not read them. */
START_TEST(opened_while_left_unread)
{
	up();
	peer_close();
	link_read(l, false);
	try_again();
	bring_up();
	peer_say("<a/>");
	ck_assert_str_eq(text_of(&packets), "");
	link_read(l, true);
	turns();
	ck_assert_str_eq(text_of(&packets), "<a/>\n");
}
END_TEST

/* Why they do not want us any more is in the log, without what would forge a line. */
START_TEST(complains_and_is_lost)
{
	up();
	peer_say("<a/><stream:error>Conflict\nc2sd: link up</stream:error><b/></stream:stream>");
	ck_assert_str_eq(text_of(&packets), "<a/>\n");
	ck_assert_int_eq(l->state, LINK_DOWN);
	ck_assert_str_eq(l->last_failure, "ended by the session manager");
	ck_assert_str_eq(said, "GUSD");
	ck_assert_ptr_nonnull(strstr(text_of(&lines), "warning: link error-received text=\"<stream:error>"
	    "Conflict?c2sd: link up</stream:error>\"\n"));
	close(peer);
	try_again();
	bring_up();
}
END_TEST

/* ---- closing ---- */

START_TEST(closed_in_good_order)
{
	up();
	ck_assert(send_text("<last/>"));
	link_close(l);
	turns();
	peer_read_all();
	ck_assert_str_eq(text_of(&heard), "<last/></stream:stream>\n");
	ck_assert_int_eq(peer_read(1), 0);
	ck_assert_str_eq(said, "GU");
	peer_say("<late/></stream:stream>");
	peer_close();
	ck_assert_str_eq(text_of(&packets), "<late/>\n");
	ck_assert_str_eq(said, "GUC");
	ck_assert_int_eq(l->state, LINK_CLOSED);
	ck_assert(!timer_is_set(&l->retry));
}
END_TEST

START_TEST(closed_before_it_was_up)
{
	if (_i > 0) {
		link_start(l);
		turns();
	}
	if (_i > 1)
		peer_accept();
	link_close(l);
	ck_assert_str_eq(said, "C");
	turns();
	ck_assert_int_eq(l->state, LINK_CLOSED);
	ck_assert_int_eq(l->watch.fd, -1);
	ck_assert(!timer_is_set(&l->retry) && !timer_is_set(&l->step));
}
END_TEST

START_TEST(closing_does_not_wait_for_ever)
{
	up();
	for (unsigned i = 0; i < 100; i++)
		send_numbered(i, 10000);
	link_close(l);
	turns();
	ck_assert_ptr_null(strchr(said, 'C'));
	timer_is_due(&loop, &l->step);
	turns();
	ck_assert_ptr_nonnull(strchr(said, 'C'));
}
END_TEST

/* It has heard us, and only does not close. */
START_TEST(who_never_closes_is_left)
{
	up();
	link_read(l, false);
	link_close(l);
	turns();
	expect("</stream:stream>\n");
	ck_assert(timer_is_set(&l->step));
	ck_assert_uint_le(l->step.at - loop_now(&loop), 2000);
	/* Even what was not wanted before: it must go back, or be counted. */
	peer_say("<a/>");
	ck_assert_str_eq(text_of(&packets), "<a/>\n");
	ck_assert(!send_text("<b/>"));
	ck_assert_str_eq(said, "GU");
	timer_is_due(&loop, &l->step);
	turns();
	ck_assert_str_eq(said, "GUC");
}
END_TEST

START_TEST(cut_while_closing)
{
	up();
	for (unsigned i = 0; i < 100; i++)
		send_numbered(i, 10000);
	link_close(l);
	turns();
	peer_close();
	ck_assert_ptr_nonnull(strchr(said, 'C'));
	ck_assert(!timer_is_set(&l->retry));
}
END_TEST

/* ---- the embedded session manager's way ---- */

static int spawn_result;

static bool spawn_anew;

static int
spawn(struct link *link)
{
	int fds[2];

	link->anew = spawn_anew;
	if (spawn_result < 0)
		return spawn_result;
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	peer = fds[1];
	return fds[0];
}

START_TEST(started_by_ourselves)
{
	l->spawn = spawn;
	spawn_result = -EAGAIN;
	link_start(l);
	ck_assert_int_eq(l->state, LINK_DOWN);
	spawn_result = 0;
	try_again();
	expect(OUR_HEADER);
	peer_say(THEIR_HEADER);
	expect(OUR_PROOF);
	peer_say("<handshake/>");
	ck_assert_str_eq(said, "GU");
	/* It dies, and is started again. */
	peer_close();
	ck_assert_str_eq(said, "GUSD");
	try_again();
	expect(OUR_HEADER);
}
END_TEST

/* ---- acknowledgement ---- */

#define SM " xmlns='urn:xmpp:sm:3'"
#define ENABLE "<enable" SM " resume='true'/>\n"
#define ENABLED "<enabled" SM " id='s&amp;1' resume='true'/>"
#define ASK "<r" SM "/>\n"

/* As far as the answer to what is asked behind the handshake. */
static void
bring_to_enabling(const char *asked)
{
	peer_accept();
	expect(OUR_HEADER);
	peer_say(THEIR_HEADER);
	expect(OUR_PROOF);
	peer_say("<handshake/>");
	ck_assert_int_eq(l->state, LINK_ENABLING);
	expect(asked);
}

static void
up_acknowledged(void)
{
	l->acknowledge = true;
	link_start(l);
	bring_to_enabling(ENABLE);
	peer_say(ENABLED);
	ck_assert_int_eq(l->state, LINK_UP);
	ck_assert(l->ack.on);
}

/* What they have, as the attribute h of that element. */
static void
peer_say_number(const char *element, unsigned number)
{
	char text[200];

	snprintf(text, sizeof text, "<%s" SM " h='%u'/>", element, number);
	peer_say(text);
}

/* Cut, and as far as the question for a resumption; `h` of ours. */
static void
cut_and_resume(unsigned h)
{
	char asked[100];

	peer_close();
	ck_assert_str_eq(l->ack.id, "s&1");
	try_again();
	snprintf(asked, sizeof asked, "<resume" SM " previd='s&amp;1' h='%u'/>\n", h);
	bring_to_enabling(asked);
}

START_TEST(acknowledged_packets_are_forgotten)
{
	up_acknowledged();
	ck_assert(send_text("<one/>") && send_text("<two/>"));
	turns();
	expect("<one/><two/>" ASK);
	/* One question at a time. */
	ck_assert(send_text("<three/>"));
	turns();
	expect("<three/>\n");
	ck_assert_uint_eq(ack_waiting(&l->ack), 3);
	ck_assert_uint_eq(l->outbox.unacknowledged, strlen("<one/><two/><three/>"));
	peer_say("<a" SM " h='2'/>");
	ck_assert_uint_eq(l->outbox.unacknowledged, strlen("<three/>"));
	/* What came behind it is asked for by itself. */
	expect(ASK);
	peer_say("<a" SM " h='3'/>");
	expect("");
	ck_assert_uint_eq(link_backlog(l), 0);
	/* Theirs. */
	peer_say("<p/><q/><r" SM "/><s/><r" SM " sto='x'/>");
	expect("<a" SM " h='4'/>\n");
	ck_assert_str_eq(text_of(&packets), "<p/>\n<q/>\n<s/>\n<r" SM " sto='x'/>\n");
}
END_TEST

/* Ours, cut behind every byte: they say what they have got, and get the rest. */
START_TEST(cut_behind_every_byte_that_is_sent)
{
	static const char *const elements[] = { "<a/>", "<bb c='>'/>", "<d><e/></d>", "<f>text</f>" };
	char all[200] = "", left[200];
	size_t ends[COUNT(elements)];

	for (unsigned i = 0; i < COUNT(elements); i++) {
		strcat(all, elements[i]);
		ends[i] = strlen(all);
	}
	for (size_t cut = 0; cut <= strlen(all); cut++) {
		unsigned got = 0;

		up_acknowledged();
		for (unsigned i = 0; i < COUNT(elements); i++)
			ck_assert(send_text(elements[i]));
		turns();
		if (cut > 0)
			ck_assert_int_eq(peer_read(cut), (ssize_t)cut);
		while (got < COUNT(elements) && ends[got] <= cut)
			got++;
		cut_and_resume(0);
		ck_assert_str_eq(said, "GUSD");
		peer_say_number("resumed", got);
		ck_assert_int_eq(l->state, LINK_UP);
		/* They may have died of it: one by one at first. */
		for (unsigned few = 1; got < COUNT(elements); few *= 2) {
			left[0] = '\0';
			for (unsigned i = 0; i < few && got < COUNT(elements); i++)
				strcat(left, elements[got++]);
			expect(strcat(left, ASK));
			peer_say_number("a", got);
		}
		ck_assert_uint_eq(link_backlog(l), 0);
		ck_assert_uint_eq(losses, 0);
		teardown();
		setup();
	}
}
END_TEST

/* Theirs: what is whole is taken once, and the rest is what they send again. */
START_TEST(cut_behind_every_byte_that_comes)
{
	static const char all[] = "<a/><bb c='>'/><d><e/></d>\n<f>text</f>", taken[] = "<a/>\n<bb c='>'/>\n<d><e/></d>\n<f>text</f>\n";
	static const size_t ends[] = { 4, 15, 26, 38 };

	for (size_t cut = 0; cut < sizeof all; cut++) {
		unsigned got = 0;

		up_acknowledged();
		ck_assert_int_eq(send(peer, all, cut, MSG_NOSIGNAL), (ssize_t)cut);
		turns();
		while (got < COUNT(ends) && ends[got] <= cut)
			got++;
		cut_and_resume(got);
		peer_say("<resumed" SM " previd='s&amp;1' h='0'/>");
		peer_say(all + (got > 0 ? ends[got - 1] : 0));
		ck_assert_str_eq(text_of(&packets), taken);
		buffer_clear(&packets);
		peer_say("<r" SM "/>");
		expect("<a" SM " h='4'/>\n");
		ck_assert_uint_eq(losses, 0);
		teardown();
		setup();
	}
}
END_TEST

START_TEST(counters_go_round)
{
	up_acknowledged();
	l->ack.sent = l->ack.acknowledged = l->ack.received = UINT32_MAX - 1;
	for (unsigned i = 0; i < 5; i++)
		ck_assert(send_text("<x/>"));
	turns();
	buffer_clear(&heard);
	peer_say("<y/><y/><y/><r" SM "/><a" SM " h='1'/>");
	ck_assert_uint_eq(ack_waiting(&l->ack), 2);
	cut_and_resume(1);
	peer_say("<resumed" SM " h='2'/>");
	expect("<x/>" ASK);
	peer_say("<a" SM " h='3'/>");
	ck_assert_uint_eq(link_backlog(l), 0);
}
END_TEST

/* They do not know the stream any more: what they have not acknowledged comes again, at first one by one. */
START_TEST(not_resumed)
{
	up_acknowledged();
	for (unsigned i = 1; i <= 9; i++)
		send_numbered(i, 1);
	turns();
	peer_say("<a" SM " h='1'/>");
	cut_and_resume(0);
	ck_assert_uint_eq(losses, 0);
	/* It may know more than it had said. */
	peer_say("<failed" SM " h='2'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>");
	ck_assert_uint_eq(losses, 1);
	expect(ENABLE);
	peer_say("<enabled" SM " id='other' resume='true'/>");
	expect("<m n='000003'>x</m>" ASK);
	peer_say("<a" SM " h='1'/>");
	expect("<m n='000004'>x</m><m n='000005'>x</m>" ASK);
	peer_say("<a" SM " h='2'/>");
	/* One of two: there is room for one. */
	expect("<m n='000006'>x</m>" ASK);
	peer_say("<a" SM " h='4'/>");
	expect("<m n='000007'>x</m><m n='000008'>x</m><m n='000009'>x</m>" ASK);
	peer_say("<a" SM " h='7'/>");
	ck_assert_uint_eq(link_backlog(l), 0);
	ck_assert_str_eq(l->ack.id, "other");
}
END_TEST

/* The session manager has died, and the next one knows the stream, or does not. */
static void
die_and_come_back(bool resumes)
{
	peer_close();
	try_again();
	if (l->spawn == NULL)
		peer_accept();
	peer_say(THEIR_HEADER "<handshake/>");
	if (resumes) {
		peer_say("<resumed" SM " previd='s&amp;1' h='0'/>");
		return;
	}
	peer_say("<failed" SM "/>");
	peer_say(ENABLED);
}

/* What kills them each time is given up; what was with it is not. */
START_TEST(packet_that_kills_is_given_up)
{
	up_acknowledged();
	for (unsigned i = 1; i <= 3; i++)
		send_numbered(i, 1);
	turns();
	for (unsigned i = 0; i < 3; i++) {
		die_and_come_back(_i == 1);
		ck_assert_uint_eq(buffer_length(&given_up), 0);
		peer_read_all();
		ck_assert_ptr_nonnull(strstr(text_of(&heard), "<m n='000001'>"));
		ck_assert_ptr_null(strstr(text_of(&heard), "<m n='000002'>"));
		buffer_clear(&heard);
	}
	die_and_come_back(_i == 1);
	ck_assert_ptr_nonnull(strstr(text_of(&lines), "packet-given-up"));
	ck_assert_str_eq(text_of(&given_up), "m");
	ck_assert_uint_eq(l->given_up, 1);
	peer_read_all();
	ck_assert_ptr_nonnull(strstr(text_of(&heard), "<m n='000002'>"));
}
END_TEST

/* Likewise of one that says more often than it is asked what it has got: that is no answer. */
START_TEST(packet_that_kills_who_says_much_is_given_up)
{
	up_acknowledged();
	ck_assert(send_text("<a/>") && send_text("<b/>"));
	turns();
	for (unsigned i = 0; i < 4; i++) {
		ck_assert_uint_eq(buffer_length(&given_up), 0);
		peer_close();
		try_again();
		peer_accept();
		peer_say(THEIR_HEADER "<handshake/>");
		peer_say("<resumed" SM " previd='s&amp;1' h='0'/><a" SM " h='0'/>");
	}
	ck_assert_str_eq(text_of(&given_up), "a");
	peer_read_all();
	ck_assert_ptr_nonnull(strstr(text_of(&heard), "<b/>"));
}
END_TEST

/* Of the embedded one is known whether it has died: a link that breaks by itself is no fault of any packet. */
START_TEST(dead_or_only_cut)
{
	spawn_anew = _i == 1;
	spawn_result = 0;
	l->spawn = spawn;
	l->acknowledge = true;
	link_start(l);
	peer_say(THEIR_HEADER "<handshake/>");
	peer_say(ENABLED);
	ck_assert(send_text("<a/>"));
	turns();
	for (unsigned i = 0; i < 3; i++) {
		ck_assert_uint_eq(buffer_length(&given_up), 0);
		die_and_come_back(true);
		ck_assert_int_eq(l->state, LINK_UP);
	}
	ck_assert_str_eq(text_of(&given_up), _i == 1 ? "a" : "");
	if (_i == 0)
		ck_assert_uint_eq(l->outbox.window, 0);
	ck_assert_uint_eq(link_backlog(l), _i == 1 ? 0 : 4);
	ck_assert_uint_eq(losses, 0);
}
END_TEST

/* One that dies although it was not sent what it may have died of does not die of that. */
START_TEST(suspect_waits)
{
	up_acknowledged();
	ck_assert(send_text("<a/>") && send_text("<b/>"));
	turns();
	for (unsigned i = 0; i < 2; i++)
		die_and_come_back(true);
	ck_assert_uint_eq(l->outbox.waiting, 1);
	waits = true;
	for (unsigned i = 0; i < 5; i++) {
		die_and_come_back(true);
		ck_assert_int_eq(l->state, LINK_UP);
		ck_assert_uint_eq(l->outbox.waiting, 0);
		ck_assert_int_eq(link_backlog(l), 8);
	}
	ck_assert_uint_eq(buffer_length(&given_up), 0);
	ck_assert_uint_ge(l->ask.at - loop_now(&loop), 3000);
	ck_assert_ptr_nonnull(strstr(text_of(&lines), "link packet-suspected bytes=4 breaks=2"));
	peer_read_all();
	buffer_clear(&heard);
	waits = false;
	turns();
	expect("<a/>" ASK);
}
END_TEST

/* A connection on which time ran out, or that we end, was not ended by a packet. */
START_TEST(only_a_death_is_held_against_a_packet)
{
	up_acknowledged();
	ck_assert(send_text("<a/>"));
	turns();
	for (unsigned i = 0; i < 5; i++) {
		peer_say("<not xml");
		peer_say("<");
		ck_assert_int_eq(l->state, LINK_DOWN);
		die_and_come_back(true);
		ck_assert_int_eq(l->state, LINK_UP);
		ck_assert_uint_eq(link_backlog(l), 4);
	}
	ck_assert_str_eq(text_of(&given_up), "");
}
END_TEST

/* A link that has achieved something is tried again at once, however short it was up; else the pauses grow. */
START_TEST(who_achieves_something_is_not_waited_for)
{
	unsigned received = 0;

	up_acknowledged();
	for (unsigned i = 0; i < 50; i++) {
		bool works = _i == 0 || (_i == 1 && i % 2 == 0);

		memset(said, 0, sizeof said);
		if (works && i % 4 == 0) {
			peer_say("<p/>");
			received++;
		} else if (works) {
			ck_assert(send_text("<a/>"));
			turns();
			peer_say_number("a", l->ack.sent);
		}
		peer_close();
		if (_i < 2)
			ck_assert_uint_eq(l->failures, works ? 1 : 2);
		else
			ck_assert_uint_eq(l->failures, i + 1);
		try_again();
		peer_accept();
		peer_say(THEIR_HEADER "<handshake/>");
		peer_say_number("resumed", l->ack.acknowledged);
		ck_assert_int_eq(l->state, LINK_UP);
	}
	ck_assert_uint_eq(l->ack.received, received);
}
END_TEST

/* ---- TCP's rule ---- */

/* The peer's TCP has acknowledged so many bytes of what was sent behind the handshake when it resets the connection. */
static void
up_by_tcp(void)
{
	link_start(l);
	bring_up();
	l->is_unix = false;
	acknowledged = (int64_t)l->given;
}

static void
without_line_feeds(char *to, size_t size, const char *from)
{
	ck_assert_uint_lt(strlen(from), size);
	for (; *from != '\0'; from++) {
		if (*from != '\n')
			*to++ = *from;
	}
	*to = '\0';
}

/* What is known to have arrived is gone, and the rest comes again, once, in order. Cut behind every byte. */
START_TEST(tcp_says_what_has_arrived)
{
	static const char *const elements[] = { "<a/>", "<bb c='>'/>", "<d><e/></d>", "<f>text</f>" };
	/* With the line feeds behind the two that were written alone. */
	static const char all[] = "<a/>\n<bb c='>'/><d><e/></d>\n<f>text</f>\n";
	static const size_t ends[] = { 4, 16, 27, 39 };

	for (size_t cut = 0; cut < sizeof all; cut++) {
		unsigned got = 0;
		char left[100] = "", came[100];

		up_by_tcp();
		ck_assert(send_text(elements[0]));
		turns();
		ck_assert(send_text(elements[1]) && send_text(elements[2]));
		turns();
		ck_assert(send_text(elements[3]));
		turns();
		ck_assert_uint_eq(l->outbox.waiting, 4);
		ck_assert_uint_eq(link_backlog(l), 0);
		acknowledged += (int64_t)cut;
		peer_close();
		while (got < COUNT(ends) && ends[got] <= cut)
			got++;
		ck_assert_uint_eq(l->outbox.waiting, 0);
		acknowledged = -1;
		try_again();
		bring_up();
		while (got < COUNT(elements))
			strcat(left, elements[got++]);
		/* In small numbers at first, each with a line feed behind it. */
		peer_read_all();
		peer_read_all();
		without_line_feeds(came, sizeof came, text_of(&heard));
		ck_assert_str_eq(came, left);
		ck_assert_uint_eq(l->outbox.waiting, 0);
		ck_assert_uint_eq(losses, 1);
		teardown();
		setup();
	}
}
END_TEST

/* It is looked at from time to time, and not for ever. */
START_TEST(tcp_is_asked)
{
	up_by_tcp();
	ck_assert(send_text("<a/>") && send_text("<b/>"));
	turns();
	ck_assert_uint_eq(l->outbox.waiting, 2);
	ck_assert(timer_is_set(&l->ask));
	acknowledged += 4;
	turns();
	ck_assert_uint_eq(l->outbox.waiting, 1);
	ck_assert(timer_is_set(&l->ask));
	acknowledged += 4;
	turns();
	ck_assert_uint_eq(l->outbox.waiting, 0);
	ck_assert(!timer_is_set(&l->ask));
	/* Under load without a timer. */
	for (unsigned i = 0; i < 20; i++) {
		acknowledged = (int64_t)l->given;
		send_numbered(i, 30000);
		loop_turn(&loop);
		peer_read_all();
		ck_assert_uint_le(l->outbox.waiting, 4);
	}
}
END_TEST

/* What went again after the other end had closed may be what it closed for. */
START_TEST(packet_that_resets_is_given_up)
{
	up_by_tcp();
	ck_assert(send_text("<a/>") && send_text("<b/>"));
	turns();
	peer_close();
	for (unsigned i = 0; i < 3; i++) {
		ck_assert_uint_eq(buffer_length(&given_up), 0);
		acknowledged = -1;
		try_again();
		bring_up();
		l->is_unix = false;
		acknowledged = (int64_t)l->given - 5;
		turns();
		ck_assert_uint_eq(l->outbox.waiting, 1);
		peer_close();
	}
	ck_assert_str_eq(text_of(&given_up), "a");
	acknowledged = -1;
	try_again();
	bring_up();
	expect("<b/>\n");
}
END_TEST

/* A UNIX socket says what was not read, and says nothing any more when it was closed with something unread. */
START_TEST(unix_sockets_say_what_was_read)
{
	static const char *const again[] = { "", "<b/>\n", "<b/>\n", "<a/>\n<b/>\n" };

	up();
	ck_assert(send_text("<a/>"));
	turns();
	if (_i != 3)
		expect("<a/>\n");
	turns();
	ck_assert_uint_eq(l->outbox.waiting, _i == 3 ? 1 : 0);
	ck_assert(send_text("<b/>"));
	loop_turn(&loop);
	if (_i == 0)
		ck_assert_int_eq(peer_read(100), 5);
	else if (_i == 2)
		ck_assert_int_eq(peer_read(4), 4);
	ck_assert_uint_eq(l->outbox.waiting, _i == 3 ? 2 : 1);
	peer_close();
	ck_assert_uint_eq(l->outbox.waiting, 0);
	try_again();
	bring_up();
	expect(again[_i]);
}
END_TEST

/* What is looked at between the session manager's end and our hearing of it is no answer. */
START_TEST(unix_sockets_do_not_lie)
{
	up();
	ck_assert(send_text("<a/>"));
	loop_turn(&loop);
	close(peer);
	peer = -1;
	/* Nothing is unread any more: it was thrown away. */
	l->ask.fn(&l->ask);
	turns();
	ck_assert_int_eq(l->state, LINK_DOWN);
	try_again();
	bring_up();
	expect("<a/>\n");
}
END_TEST

/* Likewise of one that is too long to be sent whole, and kills before it is; and they are not there at once. */
START_TEST(packet_that_kills_in_the_middle_is_given_up)
{
	up_acknowledged();
	send_numbered(1, 3000000);
	send_numbered(2, 1);
	turns();
	for (unsigned i = 0; i < 3; i++) {
		ck_assert_uint_gt(l->outbox.head_written, 0);
		ck_assert_ptr_null(strstr(text_of(&lines), "packet-given-up"));
		peer_close();
		try_again();
		peer_accept();
		peer_close();
		try_again();
		peer_accept();
		peer_say(THEIR_HEADER "<handshake/>");
		peer_say("<failed" SM "/>");
		peer_say(ENABLED);
		turns();
	}
	ck_assert_ptr_nonnull(strstr(text_of(&lines), "packet-given-up"));
	peer_read_all();
	ck_assert_ptr_nonnull(strstr(text_of(&heard), "<m n='000002'>"));
}
END_TEST

/* Who is asked and has not handled anything yet is asked again, although nothing more may be written before. */
START_TEST(asked_again_when_nothing_was_handled)
{
	up_acknowledged();
	send_numbered(1, 1);
	send_numbered(2, 1);
	turns();
	cut_and_resume(0);
	peer_say("<failed" SM "/>");
	peer_say(ENABLED);
	peer_read_all();
	buffer_clear(&heard);
	peer_say("<a" SM " h='0'/>");
	expect(ASK);
	peer_say("<a" SM " h='1'/>");
	expect("<m n='000002'>x</m>" ASK);
}
END_TEST

static const char *const no_answers[] = { NULL, "<stream:error>unsupported</stream:error>" };

/* One that has acknowledged, and was replaced by one that cannot: the link is not kept down by that. */
START_TEST(resumption_that_nobody_answers_is_given_up)
{
	up_acknowledged();
	send_numbered(1, 1);
	turns();
	for (unsigned i = 0; i < 3; i++) {
		ck_assert_uint_eq(losses, 0);
		if (peer >= 0)
			peer_close();
		try_again();
		bring_to_enabling("<resume" SM " previd='s&amp;1' h='0'/>\n");
		if (no_answers[_i] != NULL)
			peer_say(no_answers[_i]);
		else
			timer_is_due(&loop, &l->step);
		turns();
		ck_assert_int_eq(l->state, LINK_DOWN);
	}
	ck_assert_uint_eq(losses, 1);
	close(peer);
	try_again();
	bring_up();
	expect("<m n='000001'>x</m>\n");
}
END_TEST

/* What they answer to the question, and what comes of it. */
static const struct {
	const char *answer;
	enum link_state state;
	bool on;
	const char *why;	/* in the log */
} answers[] = {
	{ "<enabled" SM "/>", LINK_UP, true, "acknowledged=yes" },
	{ "<message/>" ENABLED, LINK_UP, true, "acknowledged=yes" },
	{ "<failed" SM "/>", LINK_UP, false, "not-acknowledged reason=\"refused\"" },
	{ "<enable" SM " type='error'><error code='501'/></enable>", LINK_UP, false, "not-acknowledged reason=\"refused\"" },
	{ "<message/>", LINK_ENABLING, false, "" },
	{ "<resumed" SM " h='0'/>", LINK_DOWN, false, "resumes what was not" },
	{ "<a" SM " h='0'/>", LINK_DOWN, false, "out of place" },
	{ "<r" SM "/>", LINK_DOWN, false, "out of place" },
	{ "<resume" SM " h='0' previd='x'/>", LINK_DOWN, false, "out of place" },
	{ "<a" SM "/>", LINK_DOWN, false, "out of place" },
	{ "<stream:error>what</stream:error>", LINK_DOWN, false, "ended by the session manager" },
	{ "</stream:stream>", LINK_DOWN, false, "closed by the session manager" },
};

START_TEST(answers_to_the_question)
{
	l->acknowledge = true;
	link_start(l);
	bring_to_enabling(ENABLE);
	peer_say(answers[_i].answer);
	ck_assert_int_eq(l->state, answers[_i].state);
	ck_assert_int_eq(l->ack.on, answers[_i].on);
	ck_assert_msg(strstr(text_of(&lines), answers[_i].why) != NULL, "%s", text_of(&lines));
	if (l->state != LINK_DOWN)
		return;
	/* Who ended the link is not asked the next time, and it works. */
	close(peer);
	try_again();
	bring_up();
	ck_assert(!l->ack.on);
	ck_assert_ptr_nonnull(strstr(text_of(&lines), "ended the link when it was asked"));
}
END_TEST

START_TEST(silence_is_a_no)
{
	l->acknowledge = true;
	ck_assert(send_text("<one/>"));
	link_start(l);
	bring_to_enabling(ENABLE);
	timer_is_due(&loop, &l->step);
	turns();
	ck_assert_int_eq(l->state, LINK_UP);
	expect("<one/>\n");
	/* A packet without an address is what the master makes of it. */
	peer_say("<a" SM " h='1'/>");
	ck_assert_int_eq(l->state, LINK_UP);
	peer_say(ENABLED);
	ck_assert_str_eq(l->last_failure, "the session manager enables acknowledgement too late");
	ck_assert_uint_eq(losses, 1);
}
END_TEST

static const char *const nonsense[] = {
	"<a" SM " h='3'/>", "<a" SM " h='2'/><a" SM " h='1'/>", "<a" SM " h='x'/>", "<a" SM "/>", "<a" SM " h='4294967295'/>", ENABLED,
	"<enable" SM "/>", "<resumed" SM " h='0'/>", "<resume" SM " h='0' previd='s&amp;1'/>", "<failed" SM "/>",
};

/* Nothing can be resumed from there; nothing is lost either. */
START_TEST(counts_that_cannot_be)
{
	up_acknowledged();
	send_numbered(1, 1);
	send_numbered(2, 1);
	turns();
	peer_say(nonsense[_i]);
	ck_assert_int_eq(l->state, LINK_DOWN);
	ck_assert_uint_eq(losses, 1);
	ck_assert_str_eq(l->ack.id, "");
	close(peer);
	try_again();
	bring_to_enabling(ENABLE);
	peer_say(ENABLED);
	peer_read_all();
	/* But what they had acknowledged before. */
	ck_assert_int_eq(strstr(text_of(&heard), "<m n='000001'>x</m>") != NULL, _i != 1);
}
END_TEST

static const char *const wrong_resumptions[] = {
	"<resumed" SM " h='3'/>", "<resumed" SM " previd='other' h='0'/>", "<resumed" SM "/>", ENABLED, "<a" SM " h='1'/>",
};

START_TEST(resumptions_that_cannot_be)
{
	up_acknowledged();
	send_numbered(1, 1);
	turns();
	cut_and_resume(0);
	peer_say(wrong_resumptions[_i]);
	ck_assert_int_eq(l->state, LINK_DOWN);
	ck_assert_uint_eq(losses, 1);
	close(peer);
	try_again();
	bring_to_enabling(ENABLE);
	peer_say(ENABLED);
	expect("<m n='000001'>x</m>" ASK);
}
END_TEST

/* Sent and not acknowledged counts as much as not sent. */
START_TEST(flow_follows_what_is_not_acknowledged)
{
	up_acknowledged();
	for (unsigned i = 0; i < 11; i++) {
		send_numbered(i, 10000);
		turns();
		peer_read_all();
	}
	ck_assert_str_eq(said, "GUS");
	ck_assert_uint_eq(l->outbox.queued, 0);
	peer_say("<a" SM " h='5'/>");
	ck_assert_str_eq(said, "GUS");
	peer_say("<a" SM " h='8'/>");
	ck_assert_str_eq(said, "GUSG");
	/* Above the bound it is cut, but not while they cannot say so. */
	l->bound = 200000;
	link_read(l, false);
	for (unsigned i = 0; i < 30; i++) {
		send_numbered(i, 10000);
		turns();
		peer_read_all();
	}
	ck_assert_int_eq(l->state, LINK_UP);
	link_read(l, true);
	turns();
	ck_assert_int_eq(l->state, LINK_UP);
	send_numbered(0, 10000);
	turns();
	ck_assert_int_eq(l->state, LINK_DOWN);
	ck_assert_str_eq(l->last_failure, "the session manager acknowledges nothing");
}
END_TEST

/* An answer of the link's own waits for the end of the packet that was begun, and no longer. */
START_TEST(answer_between_packets)
{
	int small = 4096;

	up_acknowledged();
	setsockopt(l->watch.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
	for (unsigned i = 0; i < 40; i++)
		send_numbered(i, 20000);
	turns();
	ck_assert_uint_gt(l->outbox.head_written, 0);
	peer_say("<r" SM "/>");
	peer_read_all();
	ck_assert_ptr_nonnull(strstr(text_of(&heard), "<a" SM " h='0'/>\n" ASK "<m n='"));
}
END_TEST

/* What is asked behind that packet comes behind the answer, whatever of it there would be room for. */
START_TEST(answer_and_question)
{
	for (size_t room = 0; room < sizeof "<r" SM "/>\n"; room++) {
		up_acknowledged();
		write_left = 3;
		ck_assert(send_text("<one/>"));
		turns();
		ck_assert_uint_eq(l->outbox.head_written, 3);
		peer_say("<r" SM "/>");
		write_left = 3 + room;
		turns();
		write_left = SIZE_MAX;
		turns();
		expect("<one/><a" SM " h='0'/>\n<r" SM "/>\n");
		teardown();
		setup();
	}
}
END_TEST

START_TEST(goodbye_is_not_counted)
{
	up_acknowledged();
	ck_assert(send_text("<one/>"));
	link_close(l);
	turns();
	expect("<one/></stream:stream>\n");
	peer_say("<p/><a" SM " h='1'/></stream:stream>");
	peer_close();
	ck_assert_str_eq(said, "GUC");
	ck_assert_uint_eq(l->outbox.unacknowledged, 0);
}
END_TEST

/* How it opens, carries and ends. */
static void
add_link(TCase *tests)
{
	tcase_add_test(tests, proof_is_what_was_recorded);
	tcase_add_test(tests, opens);
	tcase_add_test(tests, opens_with_an_escaped_id);
	tcase_add_test(tests, opens_byte_by_byte);
	tcase_add_loop_test(tests, refused, 0, COUNT(refusals));
	tcase_add_loop_test(tests, silence_has_an_end, 0, 3);
	tcase_add_test(tests, tried_again_later_and_later);
	tcase_add_test(tests, up_for_a_moment_is_no_success);
	tcase_add_test(tests, addresses_are_read);
	tcase_add_test(tests, queued_before_it_is_up_goes_first);
	tcase_add_loop_test(tests, cut_in_the_middle_of_an_element, 0, 3);
	tcase_add_test(tests, packet_that_breaks_the_link_is_given_up);
	tcase_add_loop_test(tests, written_in_pieces, 0, 16);
	tcase_add_test(tests, slow_reader_gets_everything);
	tcase_add_test(tests, flow_follows_the_queue);
	tcase_add_test(tests, up_again_with_too_much_queued);
	tcase_add_test(tests, who_reads_nothing_is_given_up);
	tcase_add_test(tests, who_reads_much_is_not_given_up);
	tcase_add_loop_test(tests, longest_packet, 0, 2);
	tcase_add_test(tests, left_unread_and_read_again);
	tcase_add_test(tests, left_unread_and_cut);
	tcase_add_loop_test(tests, last_words_are_heard, 0, 3);
	tcase_add_test(tests, opened_while_left_unread);
	tcase_add_test(tests, complains_and_is_lost);
	tcase_add_test(tests, closed_in_good_order);
	tcase_add_loop_test(tests, closed_before_it_was_up, 0, 3);
	tcase_add_test(tests, closing_does_not_wait_for_ever);
	tcase_add_test(tests, who_never_closes_is_left);
	tcase_add_test(tests, cut_while_closing);
	tcase_add_test(tests, started_by_ourselves);
}

/* What has arrived, and what comes again. */
static void
add_arrival(TCase *tests)
{
	tcase_add_test(tests, acknowledged_packets_are_forgotten);
	tcase_add_test(tests, cut_behind_every_byte_that_is_sent);
	tcase_add_test(tests, cut_behind_every_byte_that_comes);
	tcase_add_test(tests, counters_go_round);
	tcase_add_test(tests, not_resumed);
	tcase_add_test(tests, packet_that_kills_in_the_middle_is_given_up);
	tcase_add_test(tests, asked_again_when_nothing_was_handled);
	tcase_add_loop_test(tests, resumption_that_nobody_answers_is_given_up, 0, COUNT(no_answers));
	tcase_add_loop_test(tests, packet_that_kills_is_given_up, 0, 2);
	tcase_add_loop_test(tests, dead_or_only_cut, 0, 2);
	tcase_add_test(tests, packet_that_kills_who_says_much_is_given_up);
	tcase_add_test(tests, suspect_waits);
	tcase_add_test(tests, only_a_death_is_held_against_a_packet);
	tcase_add_loop_test(tests, who_achieves_something_is_not_waited_for, 0, 3);
	tcase_add_test(tests, tcp_says_what_has_arrived);
	tcase_add_test(tests, tcp_is_asked);
	tcase_add_test(tests, packet_that_resets_is_given_up);
	tcase_add_loop_test(tests, unix_sockets_say_what_was_read, 0, 4);
	tcase_add_test(tests, unix_sockets_do_not_lie);
	tcase_add_loop_test(tests, answers_to_the_question, 0, COUNT(answers));
	tcase_add_test(tests, silence_is_a_no);
	tcase_add_loop_test(tests, counts_that_cannot_be, 0, COUNT(nonsense));
	tcase_add_loop_test(tests, resumptions_that_cannot_be, 0, COUNT(wrong_resumptions));
	tcase_add_test(tests, flow_follows_what_is_not_acknowledged);
	tcase_add_test(tests, answer_between_packets);
	tcase_add_test(tests, answer_and_question);
	tcase_add_test(tests, goodbye_is_not_counted);
}

int
main(void)
{
	Suite *suite = suite_create("link");
	TCase *tests = tcase_create("link");

	tcase_set_timeout(tests, 60);
	tcase_add_checked_fixture(tests, setup, teardown);
	add_link(tests);
	add_arrival(tests);
	suite_add_tcase(suite, tests);
	return tap_run(suite);
}
