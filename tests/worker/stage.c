#include "tests/worker/stage.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/ipc/sample.h"
#include "worker/login.h"
#include "worker/reply.h"

struct worker worker;
struct channel master;
struct settings settings;
struct got queue[256];
unsigned queue_count, queue_taken;
struct buffer lines;
bool master_ended;
uint64_t serial;
uint8_t newcomer_failures;


/* ---- the master's part ---- */

static enum contract_breach
on_frame(struct channel *channel, const struct frame *frame, int fd)
{
	struct got *got = &queue[queue_count];
	char line[1024];
	uint8_t level;

	(void)channel;
	ck_assert_int_eq(fd, -1);
	if (frame->type == W2M_LOG) {
		ck_assert(message_get_log(frame, &level, line, sizeof line));
		buffer_append_format(&lines, "%s\n", line);
		return BREACH_NONE;
	}
	ck_assert_uint_lt(queue_count, COUNT(queue));
	*got = (struct got){ .type = frame->type, .slot = frame->slot, .serial = frame->serial };
	buffer_append(&got->body, frame->body, frame->length);
	queue_count++;
	return BREACH_NONE;
}

static void
on_end(struct channel *channel, enum channel_end end)
{
	(void)channel;
	(void)end;
	master_ended = true;
}

void
turns(void)
{
	for (unsigned i = 0; i < 8; i++)
		loop_turn(&worker.loop);
}

bool
frame_is_there(void *argument)
{
	(void)argument;
	return queue_taken < queue_count;
}

/* The next frame of the worker's, which must be of this type. */
const struct got *
expect_frame(uint16_t type)
{
	ck_assert_msg(loop_turn_until(&worker.loop, frame_is_there, NULL), "no %s", contract_name(type));
	ck_assert_str_eq(contract_name(queue[queue_taken].type), contract_name(type));
	return &queue[queue_taken++];
}

/* All that has come is looked at no more. */
void
queue_forget(void)
{
	for (unsigned i = 0; i < queue_count; i++)
		buffer_deinit(&queue[i].body);
	queue_taken = queue_count = 0;
}

void
expect_no_frame(void)
{
	turns();
	ck_assert_msg(queue_taken == queue_count, "%s", contract_name(queue[queue_taken].type));
}

const char *
text_of(const struct buffer *buffer)
{
	struct buffer *bytes = (struct buffer *)(uintptr_t)buffer;

	buffer_append(bytes, "", 1);
	bytes->end--;
	return (const char *)buffer_bytes(bytes);
}

struct frame
frame_of(const struct got *got)
{
	return (struct frame){ .body = buffer_bytes(&got->body), .length = (uint32_t)buffer_length(&got->body) };
}

void
acknowledge(const struct person *person)
{
	int on = 1;

	turns();
	if (person->fd >= 0)
		setsockopt(person->fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
	deadlines_are_due(&worker.settle);
	turns();
}

void
expect_about(const struct person *person, uint16_t type)
{
	const struct got *got;

	if (type == W2M_SETTLED)
		acknowledge(person);
	got = expect_frame(type);

	ck_assert_uint_eq(got->slot, person->slot);
	ck_assert_uint_eq(got->serial, person->serial);
}

void
expect_ended(const struct person *person, enum end_reason reason)
{
	struct frame frame;
	struct client_end told;

	expect_about(person, W2M_ENDED);
	frame = frame_of(&queue[queue_taken - 1]);
	ck_assert(message_get_end(&frame, &told));
	ck_assert_str_eq(end_reason_name(told.reason), end_reason_name(reason));
	/* The place is free, and nothing of the client is left. */
	ck_assert_ptr_null(worker.clients[person->slot]);
	turns();
	ck_assert_ptr_nonnull(strstr(text_of(&lines), end_reason_name(reason)));
}

void
expect_number(const struct person *person, uint16_t type, uint64_t number)
{
	struct frame frame;
	uint64_t told;

	expect_about(person, type);
	frame = frame_of(&queue[queue_taken - 1]);
	ck_assert(message_get_number(&frame, &told));
	ck_assert_uint_eq(told, number);
}

void
expect_text(const struct person *person, uint16_t type, const char *text)
{
	expect_about(person, type);
	ck_assert_str_eq(text_of(&queue[queue_taken - 1].body), text);
}

void
tell_settings(void)
{
	struct buffer body = { 0 };

	message_put_settings(&body, &settings);
	channel_send(&master, M2W_SETTINGS, 0, 0, &body);
	buffer_deinit(&body);
	expect_frame(W2M_READY);
}

void
tell_packet(struct person *person, const char *packet, uint16_t flags)
{
	struct buffer body = { 0 };

	message_put_number(&body, ++person->number);
	channel_send_parts(&master, M2W_PACKET, flags, person->slot, person->serial, &body, packet, strlen(packet));
	buffer_deinit(&body);
}

void
tell_reason(const struct person *person, uint16_t type, enum end_reason reason)
{
	struct buffer body = { 0 };

	message_put_reason(&body, reason);
	channel_send(&master, type, person != NULL ? person->slot : 0, person != NULL ? person->serial : 0, &body);
	buffer_deinit(&body);
}

void
tell(uint16_t type)
{
	channel_send(&master, type, 0, 0, NULL);
	turns();
}

void
setup(void)
{
	struct buffer body = { 0 };
	int fds[2];

	queue_count = queue_taken = 0;
	master_ended = false;
	serial = 0;
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	ck_assert_int_eq(worker_init(&worker, fds[1]), 0);
	master = (struct channel){ .watch.fd = -1, .on_frame = on_frame, .on_end = on_end };
	ck_assert_int_eq(channel_init(&master, &worker.loop, fds[0], CONTRACT_MASTER), 0);
	sample_settings(&settings);
	/* Certificates would have to come before. */
	settings.tls = (struct tls_settings){ 0 };
	settings.worker = 3;
	settings.host_count = 1;
	settings.registration = true;
	settings.plain = false;
	settings.limits.clients = 3;
	settings.limits.rate_bytes = 0;
	settings.limits.settle_time = 0;
	settings.limits.send_buffer_bytes = 0;
	settings.limits.unsent_soft_bytes = 0;
	settings.tls = (struct tls_settings){ 0 };
	message_put_hello(&body, CONTRACT_VERSION);
	channel_send(&master, M2W_HELLO, 0, 0, &body);
	buffer_deinit(&body);
	expect_frame(W2M_HELLO);
	tell_settings();
}

void
teardown(void)
{
	channel_deinit(&master);
	worker_deinit(&worker);
	for (unsigned i = 0; i < queue_count; i++)
		buffer_deinit(&queue[i].body);
	buffer_deinit(&lines);
}

/* ---- the clients' part ---- */

void
tcp_pair(int fds[2])
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof address;
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(bind(listener, (const struct sockaddr *)&address, sizeof address), 0);
	ck_assert_int_eq(listen(listener, 1), 0);
	ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&address, &length), 0);
	fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(connect(fds[0], (const struct sockaddr *)&address, sizeof address), 0);
	fds[1] = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	ck_assert_int_ge(fds[1], 0);
	close(listener);
}

/* Hand a connection over as the master does. Its own answer is left for the caller. */
void
hand_over_as(struct person *person, uint32_t slot, const struct newcomer *newcomer)
{
	struct buffer body = { 0 };
	int fds[2];

	tcp_pair(fds);
	*person = (struct person){ .fd = fds[0], .slot = slot, .serial = ++serial };
	message_put_client(&body, newcomer);
	channel_send_descriptor(&master, M2W_CLIENT, slot, person->serial, &body, fds[1]);
	buffer_deinit(&body);
	turns();
	close(fds[1]);
}

void
hand_over(struct person *person, uint32_t slot)
{
	hand_over_as(person, slot, &(struct newcomer){ .peer = { .address = IN6ADDR_LOOPBACK_INIT, .port = 5222 },
	    .failures = newcomer_failures });
}

void
connect_client(struct person *person, uint32_t slot)
{
	hand_over(person, slot);
	expect_about(person, W2M_TAKEN);
}

void
leave(struct person *person)
{
	if (person->fd >= 0)
		close(person->fd);
	person->fd = -1;
	buffer_deinit(&person->heard);
}

struct client *
client_of(const struct person *person)
{
	struct client *client = worker.clients[person->slot];

	ck_assert_ptr_nonnull(client);
	ck_assert_uint_eq(client->serial, person->serial);
	return client;
}

void
say(const struct person *person, const char *text)
{
	ck_assert_int_eq(send(person->fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

struct saying {
	const struct person *person;
	uint64_t total;
};

static bool
was_read(void *argument)
{
	const struct saying *saying = argument;

	return client_of(saying->person)->bytes_in >= saying->total;
}

/* Likewise, and the worker has read it: a network may take its time, even this one. */
void
say_all(const struct person *person, const char *text)
{
	struct saying saying = { person, client_of(person)->bytes_in + strlen(text) };

	say(person, text);
	ck_assert(loop_turn_until(&worker.loop, was_read, &saying));
}

/* Everything that has come; 0 when the connection has ended. */
ssize_t
listen_to(struct person *person)
{
	ssize_t length;

	do {
		uint8_t *place = buffer_reserve(&person->heard, 65536);

		ck_assert_ptr_nonnull(place);
		length = recv(person->fd, place, 65536, MSG_DONTWAIT);
		if (length > 0)
			buffer_commit(&person->heard, (size_t)length);
	} while (length > 0);
	return length;
}

bool
has_heard(void *argument)
{
	struct hearing *hearing = argument;

	hearing->ended = listen_to(hearing->person) == 0;
	return hearing->ended || buffer_length(&hearing->person->heard) >= hearing->length;
}

void
expect_heard(struct person *person, const char *text)
{
	struct hearing hearing = { .person = person, .length = strlen(text) };

	(void)!loop_turn_until(&worker.loop, has_heard, &hearing);
	ck_assert_str_eq(text_of(&person->heard), text);
	buffer_clear(&person->heard);
}

/* The worker has closed its half, and said this before. */
void
expect_hung_up_after(struct person *person, const char *word)
{
	struct hearing hearing = { .person = person, .length = SIZE_MAX };

	ck_assert(loop_turn_until(&worker.loop, has_heard, &hearing));
	ck_assert_ptr_nonnull(strstr(text_of(&person->heard), word));
}

/* The worker has closed its half. */
void
expect_hung_up(struct person *person)
{
	struct hearing hearing = { .person = person, .length = SIZE_MAX };

	ck_assert(loop_turn_until(&worker.loop, has_heard, &hearing));
	ck_assert_str_eq(text_of(&person->heard), "");
}

void
expect_header(struct person *person, bool modern)
{
	char expected[1024], limits[128], idle[64] = "", id[17];

	turns();
	if (settings.limits.idle_time > 0)
		snprintf(idle, sizeof idle, "<idle-seconds>%u</idle-seconds>", settings.limits.idle_time / 1000);
	snprintf(limits, sizeof limits, "<max-bytes>%u</max-bytes>%s</limits></stream:features>",
	    settings.limits.element_bytes, idle);
	snprintf(expected, sizeof expected, "<?xml version='1.0'?><stream:stream xmlns='jabber:client' "
	    "xmlns:stream='http://etherx.jabber.org/streams' id='%s' from='foo.com'%s%s",
	    reply_stream_id(login_stream_id(client_of(person)), id), modern ? " version='1.0' xml:lang='en'>" FEATURES : ">",
	    modern ? limits : "");
	expect_heard(person, expected);
}

void
open_stream(struct person *person, uint32_t slot, bool modern)
{
	connect_client(person, slot);
	say(person, modern ? MODERN : OLD);
	expect_header(person, modern);
}

void
stamped(char text[1024], const struct person *person, const char *before, const char *sto, const char *after)
{
	snprintf(text, 1024, "%s sto='%s' sfrom='nonce.3.%u.%u@foo-sockets'%s", before, sto, person->slot,
	    (unsigned)person->serial, after);
}

/* A packet of the session manager's for that client. */
void
answer(struct person *person, const char *before, const char *sfrom, const char *after, uint16_t flags)
{
	char text[1024];

	snprintf(text, sizeof text, "%s sto='nonce.3.%u.%u@foo-sockets' sfrom='%s'%s", before, person->slot,
	    (unsigned)person->serial, sfrom, after);
	tell_packet(person, text, flags);
}

/* The answer was used up, and there is a session: in whatever order. */
void
expect_session(const struct person *person, const char *address)
{
	ck_assert(loop_turn_until(&worker.loop, frame_is_there, NULL));
	if (queue[queue_taken].type == W2M_SESSION) {
		expect_text(person, W2M_SESSION, address);
		expect_number(person, W2M_CONSUMED, 1);
	} else {
		expect_number(person, W2M_CONSUMED, 1);
		expect_text(person, W2M_SESSION, address);
	}
}

void
log_in(struct person *person, uint32_t slot, bool modern)
{
	char expected[1024];

	open_stream(person, slot, modern);
	say(person, LOGIN);
	stamped(expected, person, "<iq", "foo.com", &LOGIN[3]);
	expect_text(person, W2M_PACKET, expected);
	answer(person, "<iq type='result' id='a1'", "alice@foo.com/r", "/>", 0);
	expect_session(person, "alice@foo.com/r");
	expect_heard(person, "<iq type='result' id='a1'/>");
}

const char *
error_of(char text[1024], const char *condition, const char *words)
{
	snprintf(text, 1024, "<stream:error><%s xmlns='" STREAMS "'/>%s%s%s</stream:error>" END, condition,
	    words != NULL ? "<text xmlns='" STREAMS "' xml:lang='en'>" : "", words != NULL ? words : "",
	    words != NULL ? "</text>" : "");
	return text;
}
