#include "tests/master/stage.h"

#include <arpa/inet.h>
#include <bsd/string.h>
#include <check.h>
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/log.h"
#include "master/router.h"
#include "tests/common/turn.h"

#define PATIENCE 20000
#define TURNS 6

struct puppet {
	int fd;
	struct buffer in;
	size_t heard;		/* length of the frame that was given out last */
	int fds[CHANNEL_DESCRIPTORS * 2];	/* came, and their frames did not yet */
	unsigned fd_count;
};

const char *stage_puppet;
char stage_control[64];
size_t puppet_breath = SIZE_MAX;
struct master stage;
struct options stage_options;

static struct puppet puppets[STAGE_WORKERS_MAX];
static int manager = -1, door = -1;
static char door_path[64], puppet_path[80];
static struct buffer lines, text, heard;

static const char *
text_of(struct buffer *buffer)
{
	buffer_append(buffer, "", 1);
	ck_assert(!buffer->failed);
	buffer->end--;
	return (const char *)buffer_bytes(buffer);
}

static void
sink(enum log_level level, const char *role, const char *line, void *argument)
{
	(void)role;
	(void)argument;
	buffer_append_format(&lines, "%s: %s\n", log_level_name(level), line);
}

const char *
stage_log(void)
{
	return text_of(&lines);
}

void
stage_log_clear(void)
{
	buffer_clear(&lines);
}

void
stage_turns(void)
{
	for (unsigned i = 0; i < TURNS; i++)
		loop_turn(&stage.loop);
}

void
stage_assert_balance(void)
{
	const struct keeper *keeper = &stage.keeper;
	size_t held = 0;
	uint64_t packets = 0;

	ck_assert(packet_counters_balance(&keeper->total));
	for (uint32_t worker = 0; worker < stage.directory.workers; worker++) {
		const struct slot_table *table = &stage.directory.tables[worker];
		uint64_t kept_here = 0;

		ck_assert(packet_counters_balance(&keeper->workers[worker]));
		for (uint32_t slot = 0; slot < table->size; slot++) {
			const struct kept *kept;

			if (table->entries[slot] == NULL)
				continue;
			held += table->entries[slot]->held;
			STAILQ_FOREACH(kept, &table->entries[slot]->kept, entry)
				kept_here++;
		}
		ck_assert_uint_eq(keeper->workers[worker].of[FATE_HELD], kept_here);
		packets += kept_here;
	}
	ck_assert_uint_eq(keeper->held_bytes, held);
	ck_assert_uint_eq(keeper->total.of[FATE_HELD], packets);
	ck_assert(outbox_balances(&stage.link.outbox));
	ck_assert_uint_eq(stage.link.outbox.counters.in, keeper->total.of[FATE_UP]);
}

/* ---- puppets come in ---- */

/* One message with at most one descriptor; -1 in *fd_r: none. */
static ssize_t
receive(int from, void *bytes, size_t size, int *fd_r)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { .iov_base = bytes, .iov_len = size };
	struct msghdr message = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control,
	};
	ssize_t length = recvmsg(from, &message, MSG_CMSG_CLOEXEC);

	*fd_r = -1;
	if (length > 0 && CMSG_FIRSTHDR(&message) != NULL)
		memcpy(fd_r, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof *fd_r);
	return length;
}

/* The next puppet that hands in its channel. */
static void
admit(void)
{
	struct pollfd come = { .fd = door, .events = POLLIN };
	char number[16] = "";
	int visitor, fd, *place;

	ck_assert_msg(poll(&come, 1, PATIENCE) == 1, "nobody comes:\n%s", stage_log());
	visitor = accept4(door, NULL, NULL, SOCK_CLOEXEC);
	ck_assert_int_ge(visitor, 0);
	ck_assert_int_gt(receive(visitor, number, sizeof number - 1, &fd), 0);
	ck_assert_int_ge(fd, 0);
	/* Not before the puppet has let go of it: else our closing it would end nothing. */
	ck_assert_int_eq(recv(visitor, number + sizeof number - 1, 1, 0), 0);
	close(visitor);
	place = strcmp(number, "manager") == 0 ? &manager : &puppets[strtoul(number, NULL, 10) % STAGE_WORKERS_MAX].fd;
	if (*place >= 0)
		close(*place);
	*place = fd;
}

static void
greet(uint32_t worker)
{
	struct buffer body = { 0 };

	message_put_hello(&body, CONTRACT_VERSION);
	puppet_say(worker, W2M_HELLO, buffer_bytes(&body), buffer_length(&body));
	buffer_deinit(&body);
	puppet_say(worker, W2M_READY, NULL, 0);
	stage_turns();
	ck_assert_int_eq(stage.pool.workers[worker].state, WORKER_READY);
	puppet_forget(worker);
}

static void
door_open(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	snprintf(door_path, sizeof door_path, "stage-door.%d", (int)getpid());
	snprintf(stage_control, sizeof stage_control, "stage-control.%d", (int)getpid());
	strlcpy(address.sun_path, door_path, sizeof address.sun_path);
	unlink(door_path);
	door = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_ge(door, 0);
	ck_assert_int_eq(bind(door, (const struct sockaddr *)&address, sizeof address), 0);
	ck_assert_int_eq(listen(door, 64), 0);
	/* The puppet finds the door by the name under which it is executed. */
	snprintf(puppet_path, sizeof puppet_path, "%s.puppet", door_path);
	unlink(puppet_path);
	ck_assert_int_eq(symlink(stage_puppet, puppet_path), 0);
}

static void
options_fill(uint32_t held_max)
{
	static char name[] = STAGE_NAME, dialect[] = "sfrom", host[] = STAGE_HOST, database[] = "/nonexistent";

	stage_options = (struct options){
		.hosts[0].name = host, .host_count = 1, .workers.program = puppet_path,
		.link = {
			.name = name, .type = LINK_TYPE_EMBEDDED, .dialect = dialect, .hold = 1000, .timeout = 1000,
			.packet_bytes = FRAME_BODY_MAX - 64, .queue_bytes = 100000, .acknowledge = LINK_ACKNOWLEDGE_NO,
		},
		.sessiond = { .program = puppet_path, .database = database },
		.limits.held_bytes = held_max,
	};
}

void
stage_open(uint32_t workers, uint32_t held_max)
{
	ck_assert_uint_le(workers, STAGE_WORKERS_MAX);
	log_init("master", LOG_LEVEL_INFO);
	log_set_sink(sink, NULL);
	for (uint32_t i = 0; i < STAGE_WORKERS_MAX; i++)
		puppets[i] = (struct puppet){ .fd = -1 };
	options_fill(held_max);
	door_open();
	stage = (struct master){ 0 };
	ck_assert(master_bind(&stage, &stage_options));
	ck_assert_int_eq(control_open(&stage.control, stage_control, geteuid(), getegid()), 0);
	ck_assert_int_eq(master_start(&stage, workers), 0);
	/* All workers and the session manager. */
	for (uint32_t i = 0; i < workers + 1; i++)
		admit();
	for (uint32_t i = 0; i < workers; i++)
		greet(i);
}

static void
puppet_clear(struct puppet *puppet)
{
	while (puppet->fd_count > 0)
		close(puppet->fds[--puppet->fd_count]);
	if (puppet->fd >= 0)
		close(puppet->fd);
	puppet->fd = -1;
	puppet->heard = 0;
	buffer_deinit(&puppet->in);
}

void
stage_close(void)
{
	for (uint32_t i = 0; i < STAGE_WORKERS_MAX; i++)
		puppet_clear(&puppets[i]);
	master_deinit(&stage);
	if (manager >= 0)
		close(manager);
	close(door);
	unlink(door_path);
	unlink(puppet_path);
	manager = door = -1;
	log_set_sink(log_sink_stderr, NULL);
	buffer_deinit(&lines);
	buffer_deinit(&text);
	buffer_deinit(&heard);
}

/* ---- workers speak and hear ---- */

void
puppet_say_at(uint32_t worker, uint32_t slot, uint64_t serial, uint16_t type, const void *body, size_t length)
{
	struct frame frame = { .type = type, .slot = slot, .serial = serial, .length = (uint32_t)length };
	struct buffer bytes = { 0 };

	frame_encode_header(&bytes, &frame);
	buffer_append(&bytes, body, length);
	while (buffer_length(&bytes) > 0 && puppet_breath > 0) {
		size_t most = buffer_length(&bytes) < puppet_breath ? buffer_length(&bytes) : puppet_breath;
		ssize_t sent = send(puppets[worker].fd, buffer_bytes(&bytes), most, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (sent > 0) {
			buffer_consume(&bytes, (size_t)sent);
			puppet_breath -= (size_t)sent;
		} else if (errno == EAGAIN) {
			loop_turn(&stage.loop);
		} else {
			break;	/* killed while it spoke */
		}
	}
	buffer_deinit(&bytes);
}

void
puppet_say(uint32_t worker, uint16_t type, const void *body, size_t length)
{
	puppet_say_at(worker, 0, 0, type, body, length);
}

void
puppet_say_of(const struct entry *entry, uint16_t type, const void *body, size_t length)
{
	puppet_say_at(entry->worker, entry->slot, entry->serial, type, body, length);
}

void
puppet_say_number(const struct entry *entry, uint16_t type, uint64_t number)
{
	struct buffer body = { 0 };

	message_put_number(&body, number);
	puppet_say_of(entry, type, buffer_bytes(&body), buffer_length(&body));
	buffer_deinit(&body);
}

void
puppet_say_ended(const struct entry *entry)
{
	struct buffer body = { 0 };

	message_put_end(&body, &(struct client_end){ .reason = END_CLOSED });
	puppet_say_of(entry, W2M_ENDED, buffer_bytes(&body), buffer_length(&body));
	buffer_deinit(&body);
}

static void
puppet_read(struct puppet *puppet)
{
	ssize_t length;

	do {
		uint8_t *place = buffer_reserve(&puppet->in, 65536);
		int fd;

		ck_assert_ptr_nonnull(place);
		length = receive(puppet->fd, place, 65536, &fd);
		if (length > 0)
			buffer_commit(&puppet->in, (size_t)length);
		if (fd >= 0) {
			ck_assert_uint_lt(puppet->fd_count, sizeof puppet->fds / sizeof puppet->fds[0]);
			puppet->fds[puppet->fd_count++] = fd;
		}
	} while (length > 0);
}

bool
puppet_hear(uint32_t worker, struct frame *frame_r, int *fd_r)
{
	struct puppet *puppet = &puppets[worker];
	enum frame_result result;

	if (puppet->heard > 0)
		buffer_consume(&puppet->in, puppet->heard);
	puppet->heard = 0;
	puppet_read(puppet);
	*fd_r = -1;
	do {
		buffer_consume(&puppet->in, puppet->heard);
		puppet->heard = 0;
		result = frame_decode(buffer_bytes(&puppet->in), buffer_length(&puppet->in), frame_r, &puppet->heard);
		ck_assert_int_ne(result, FRAME_TOO_LONG);
	} while (result == FRAME_COMPLETE && frame_r->type == M2W_PING);
	if (result != FRAME_COMPLETE) {
		puppet->heard = 0;
		return false;
	}
	if (frame_r->type == M2W_CLIENT && puppet->fd_count > 0) {
		*fd_r = puppet->fds[0];
		memmove(puppet->fds, puppet->fds + 1, --puppet->fd_count * sizeof puppet->fds[0]);
	}
	return true;
}

void
puppet_forget(uint32_t worker)
{
	struct frame frame;
	int fd;

	while (puppet_hear(worker, &frame, &fd)) {
		if (fd >= 0)
			close(fd);
	}
}

bool
puppet_is_told_to_end(uint32_t worker)
{
	char byte;

	puppet_forget(worker);
	return recv(puppets[worker].fd, &byte, 1, MSG_DONTWAIT) == 0;
}

void
puppet_die(uint32_t worker)
{
	puppet_clear(&puppets[worker]);
	stage_turns();
}

void
puppet_replace(uint32_t worker)
{
	puppet_clear(&puppets[worker]);
	timer_is_due(&stage.loop, &stage.pool.workers[worker].restart);
	stage_turns();
	while (puppets[worker].fd < 0)
		admit();
	greet(worker);
}

/* ---- clients ---- */

int
client_connect(void)
{
	struct newcomer newcomer = { .peer.port = 50123 };
	int fds[2];

	ck_assert_int_eq(inet_pton(AF_INET6, "::ffff:192.0.2.7", &newcomer.peer.address), 1);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	arrivals_add(&stage, fds[0], &newcomer);
	stage_turns();
	return fds[1];
}

struct entry *
client_take(uint32_t worker)
{
	struct entry *entry;
	struct frame frame;
	int fd;

	ck_assert(puppet_hear(worker, &frame, &fd));
	ck_assert_int_eq(frame.type, M2W_CLIENT);
	ck_assert_int_ge(fd, 0);
	close(fd);
	entry = directory_at(&stage.directory, worker, frame.slot, frame.serial);
	ck_assert_ptr_nonnull(entry);
	puppet_say_of(entry, W2M_TAKEN, NULL, 0);
	stage_turns();
	ck_assert_int_eq(entry->fd, -1);
	return entry;
}

struct entry *
client_new(uint32_t worker)
{
	bool full[STAGE_WORKERS_MAX];
	struct entry *entry;

	for (uint32_t i = 0; i < stage.pool.count; i++) {
		full[i] = stage.pool.workers[i].full;
		stage.pool.workers[i].full = i != worker;
	}
	close(client_connect());
	for (uint32_t i = 0; i < stage.pool.count; i++)
		stage.pool.workers[i].full = full[i];
	entry = client_take(worker);
	/* As if it had: what that was does not matter. */
	entry->spoke = true;
	return entry;
}

struct entry *
client_login(uint32_t worker, const char *address)
{
	struct entry *entry = client_new(worker);
	struct buffer escaped = { 0 };

	buffer_append_escaped(&escaped, address, strlen(address));
	manager_send("<iq type='result' id='login' sto='%s' sfrom='%.*s'/>", id_of(entry), (int)buffer_length(&escaped),
	    (const char *)buffer_bytes(&escaped));
	buffer_deinit(&escaped);
	puppet_say_of(entry, W2M_SESSION, address, strlen(address));
	puppet_say_number(entry, W2M_CONSUMED, entry->numbers);
	stage_turns();
	ck_assert(entry->confirmed);
	puppet_forget(worker);
	return entry;
}

const char *
id_of(const struct entry *entry)
{
	static char ids[8][DIRECTORY_ID_SIZE + sizeof STAGE_NAME];
	static unsigned last;
	char *id = ids[last++ % 8];

	directory_id(&stage.directory, entry, id);
	strlcat(id, "@" STAGE_NAME, sizeof ids[0]);
	return id;
}

/* ---- the link ---- */

static void __attribute__((format(printf, 1, 0)))
format_text(const char *format, va_list arguments)
{
	char *formatted;

	ck_assert_int_ge(vasprintf(&formatted, format, arguments), 0);
	buffer_clear(&text);
	buffer_append_string(&text, formatted);
	free(formatted);
}

void
manager_send(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	format_text(format, arguments);
	va_end(arguments);
	router_from_link(&stage, buffer_bytes(&text), buffer_length(&text));
	stage_turns();
}

const char *
manager_queue(void)
{
	const struct outbox_packet *packet;

	buffer_clear(&text);
	STAILQ_FOREACH(packet, &stage.link.outbox.queue, entry) {
		buffer_append(&text, packet->bytes, packet->length);
		buffer_append(&text, "\n", 1);
	}
	return text_of(&text);
}

const char *
manager_hear(void)
{
	ssize_t length;

	buffer_clear(&heard);
	do {
		uint8_t *place = buffer_reserve(&heard, 65536);

		stage_turns();
		ck_assert_ptr_nonnull(place);
		length = recv(manager, place, 65536, MSG_DONTWAIT);
		if (length > 0)
			buffer_commit(&heard, (size_t)length);
	} while (length > 0);
	return text_of(&heard);
}

static void
say_all(const struct buffer *bytes)
{
	for (size_t sent = 0; sent < buffer_length(bytes);) {
		ssize_t more = send(manager, buffer_bytes(bytes) + sent, buffer_length(bytes) - sent, MSG_NOSIGNAL | MSG_DONTWAIT);

		ck_assert(more > 0 || errno == EAGAIN);
		sent += more > 0 ? (size_t)more : 0;
		stage_turns();
	}
	stage_turns();
}

void
manager_say(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	format_text(format, arguments);
	va_end(arguments);
	say_all(&text);
}

/* Not as long as the end of the one before has not been told. */
static bool
is_started(void *argument)
{
	(void)argument;
	timer_is_due(&stage.loop, &stage.link.retry);
	return stage.link.state != LINK_DOWN;
}

const char *
manager_take(void)
{
	struct link *link = &stage.link;
	struct outbox_packet *packet;
	const char *all = manager_queue();

	while ((packet = STAILQ_FIRST(&link->outbox.queue)) != NULL) {
		STAILQ_REMOVE_HEAD(&link->outbox.queue, entry);
		link->outbox.queued -= packet->length;
		link->outbox.counters.waiting -= packet->counted;
		link->outbox.counters.acknowledged += packet->counted;
		free(packet);
	}
	return all;
}

void
manager_up(void)
{
	if (manager < 0)
		ck_assert(loop_turn_until(&stage.loop, is_started, NULL));
	while (manager < 0)
		admit();
	ck_assert_ptr_nonnull(strstr(manager_hear(), "<stream:stream"));
	manager_say("<stream:stream xmlns:stream='http://etherx.jabber.org/streams' id='1' xmlns='jabberd:sockets'>");
	ck_assert_ptr_nonnull(strstr(manager_hear(), "<handshake>"));
	manager_say("<handshake/>");
	ck_assert_int_eq(stage.link.state, LINK_UP);
}

void
manager_die(void)
{
	close(manager);
	manager = -1;
	stage_turns();
}
