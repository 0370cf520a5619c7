/*
 * channel: what is sent on one end of a socketpair comes out at the other: batched, in pieces, with descriptors, without
 * room for descriptors; and every breach of the contract ends the channel with its name.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ipc/channel.h"
#include "tests/common/remains.h"
#include "tests/common/turn.h"
#include "tests/dialect/tap.h"
#include "tests/ipc/sample.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define RECEIVED_MAX 512

struct received {
	uint16_t type, flags;
	uint32_t slot;
	uint64_t serial;
	uint32_t length;
	uint8_t last;	/* byte of the body */
	ino_t inode;	/* of its descriptor; 0: none came */
};

/* One end with a channel on it. */
struct end {
	struct channel channel;
	struct received received[RECEIVED_MAX];
	unsigned count;
	unsigned ends, drained;
	enum channel_end how;
	enum contract_breach answer;	/* of on_frame */
};

static struct loop loop;
static struct end master, worker;

static ino_t
inode_of(int fd)
{
	struct stat status;

	return fd >= 0 && fstat(fd, &status) == 0 ? status.st_ino : 0;
}

static enum contract_breach
on_frame(struct channel *channel, const struct frame *frame, int fd)
{
	struct end *end = container_of(channel, struct end, channel);

	ck_assert_uint_lt(end->count, RECEIVED_MAX);
	end->received[end->count++] = (struct received){
		.type = frame->type, .flags = frame->flags, .slot = frame->slot, .serial = frame->serial,
		.length = frame->length, .last = frame->length > 0 ? frame->body[frame->length - 1] : 0,
		.inode = inode_of(fd),
	};
	if (fd >= 0)
		close(fd);
	return end->answer;
}

static void
on_end(struct channel *channel, enum channel_end how)
{
	struct end *end = container_of(channel, struct end, channel);

	end->ends++;
	end->how = how;
}

static void
on_drained(struct channel *channel)
{
	container_of(channel, struct end, channel)->drained++;
}

static void
end_open(struct end *end, int fd, enum contract_side side)
{
	*end = (struct end){ .channel = { .on_frame = on_frame, .on_end = on_end, .on_drained = on_drained } };
	ck_assert_int_eq(channel_init(&end->channel, &loop, fd, side), 0);
}

static void
pair_open(int fds[2])
{
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
}

/* Both ends are channels. */
static void
both_open(void)
{
	int fds[2];

	ck_assert_int_eq(loop_init(&loop), 0);
	pair_open(fds);
	end_open(&master, fds[0], CONTRACT_MASTER);
	end_open(&worker, fds[1], CONTRACT_WORKER);
}

static void
both_close(void)
{
	channel_deinit(&master.channel);
	channel_deinit(&master.channel);
	channel_deinit(&worker.channel);
	loop_deinit(&loop);
}

static void
send_sample(struct end *end, uint16_t type)
{
	struct buffer body = { 0 };

	sample_body(&body, type);
	channel_send(&end->channel, type, type, 1000u + type, &body);
	buffer_deinit(&body);
}

static void
greet(void)
{
	send_sample(&master, M2W_HELLO);
	send_sample(&master, M2W_SETTINGS);
	send_sample(&worker, W2M_HELLO);
	send_sample(&worker, W2M_READY);
	loop_turn(&loop);
	loop_turn(&loop);
	ck_assert_uint_eq(master.count, 2);
	ck_assert_uint_eq(worker.count, 2);
	master.count = worker.count = 0;
}

/* ---- frames ---- */

START_TEST(every_frame_arrives)
{
	for (uint16_t type = M2W_HELLO; type < FRAME_TYPE_COUNT; type++)
		send_sample(sample_sender(type) == CONTRACT_MASTER ? &master : &worker, type);
	loop_turn(&loop);
	loop_turn(&loop);
	ck_assert_uint_eq(worker.count, W2M_HELLO - M2W_HELLO);
	ck_assert_uint_eq(master.count, FRAME_TYPE_COUNT - W2M_HELLO);
	for (unsigned i = 0; i < worker.count; i++) {
		ck_assert_uint_eq(worker.received[i].type, M2W_HELLO + i);
		ck_assert_uint_eq(worker.received[i].slot, M2W_HELLO + i);
		ck_assert_uint_eq(worker.received[i].serial, 1000 + M2W_HELLO + i);
		ck_assert_uint_eq(worker.received[i].inode, 0);
	}
	for (unsigned i = 0; i < master.count; i++)
		ck_assert_uint_eq(master.received[i].type, W2M_HELLO + i);
	ck_assert_uint_eq(master.ends + worker.ends, 0);
	/* Who has nothing to say owns nothing. */
	ck_assert_ptr_null(master.channel.out.data);
	ck_assert_ptr_null(master.channel.in.data);
}
END_TEST

START_TEST(a_turn_is_one_write)
{
	struct buffer body = { 0 };
	uint8_t bytes[4096];
	int fds[2];

	pair_open(fds);
	channel_deinit(&master.channel);
	end_open(&master, fds[0], CONTRACT_MASTER);
	for (unsigned i = 0; i < 20; i++)
		channel_send(&master.channel, M2W_PING, 0, i, NULL);
	message_put_number(&body, 1);
	channel_send_parts(&master.channel, M2W_PACKET, FRAME_FLAG_REPLACED, 3, 4, &body, "<x/>", 4);
	ck_assert_int_eq(recv(fds[1], bytes, sizeof bytes, 0), -1);
	loop_turn(&loop);
	ck_assert_int_eq(recv(fds[1], bytes, sizeof bytes, 0), 20 * FRAME_HEADER_SIZE + FRAME_HEADER_SIZE + 12);
	ck_assert_uint_eq(bytes[20 * FRAME_HEADER_SIZE + 6], FRAME_FLAG_REPLACED);
	ck_assert_mem_eq(bytes + 21 * FRAME_HEADER_SIZE + 8, "<x/>", 4);
	buffer_deinit(&body);
	close(fds[1]);
}
END_TEST

/* The worker's end stays, and the test writes what the master would. */
static int
raw_master(void)
{
	int fds[2];

	channel_deinit(&master.channel);
	channel_deinit(&worker.channel);
	pair_open(fds);
	end_open(&worker, fds[1], CONTRACT_WORKER);
	return fds[0];
}

static void
put_sample(int fd, uint16_t type)
{
	struct buffer frame = { 0 };

	sample_frame(&frame, type);
	ck_assert_int_eq(write(fd, buffer_bytes(&frame), buffer_length(&frame)), (ssize_t)buffer_length(&frame));
	buffer_deinit(&frame);
}

START_TEST(byte_by_byte)
{
	struct buffer frames = { 0 };
	int fd = raw_master();

	for (uint16_t type = M2W_HELLO; type < W2M_HELLO; type++)
		sample_frame(&frames, type);
	for (size_t i = 0; i < buffer_length(&frames); i++) {
		ck_assert_int_eq(write(fd, buffer_bytes(&frames) + i, 1), 1);
		loop_turn(&loop);
	}
	ck_assert_uint_eq(worker.count, W2M_HELLO - M2W_HELLO);
	for (unsigned i = 0; i < worker.count; i++)
		ck_assert_uint_eq(worker.received[i].type, M2W_HELLO + i);
	ck_assert_uint_eq(worker.ends, 0);
	buffer_deinit(&frames);
	close(fd);
}
END_TEST

static bool
worker_has(void *count)
{
	return worker.count == *(const unsigned *)count || worker.ends > 0;
}

/* The longest frames of all come through, whatever the size of a read. */
START_TEST(long_frames)
{
	unsigned wanted = 3;
	char *packet = malloc(FRAME_BODY_MAX);
	struct buffer body = { 0 };

	ck_assert_ptr_nonnull(packet);
	memset(packet, 'p', FRAME_BODY_MAX);
	greet();
	message_put_number(&body, 7);
	channel_send_parts(&master.channel, M2W_PACKET, 0, 1, 1, &body, packet, FRAME_BODY_MAX - 8);
	channel_send(&master.channel, M2W_PING, 0, 0, NULL);
	channel_send_parts(&master.channel, M2W_PACKET, 0, 1, 1, &body, packet, 65536 - FRAME_HEADER_SIZE - 8);
	ck_assert(loop_turn_until(&loop, worker_has, &wanted));
	ck_assert_uint_eq(worker.received[0].length, FRAME_BODY_MAX);
	ck_assert_uint_eq(worker.received[0].last, 'p');
	ck_assert_uint_eq(worker.received[1].type, M2W_PING);
	ck_assert_uint_eq(worker.received[2].length, 65536 - FRAME_HEADER_SIZE);
	buffer_deinit(&body);
	free(packet);
}
END_TEST

START_TEST(full_and_drained)
{
	static const char packet[65536];
	struct buffer body = { 0 };
	unsigned wanted = 0;

	greet();
	message_put_number(&body, 7);
	while (!channel_is_full(&master.channel)) {
		channel_send_parts(&master.channel, M2W_PACKET, 0, 1, 1, &body, packet, sizeof packet);
		wanted++;
	}
	ck_assert_uint_gt(wanted, CHANNEL_HIGH / (sizeof packet + 64));
	ck_assert(master.channel.was_full);
	ck_assert(loop_turn_until(&loop, worker_has, &wanted));
	ck_assert_uint_eq(master.drained, 1);
	ck_assert(!master.channel.was_full);
	/* What never was full does not drain. */
	send_sample(&master, M2W_PING);
	loop_turn(&loop);
	ck_assert_uint_eq(master.drained, 1);
	buffer_deinit(&body);
}
END_TEST

/* ---- secrets ---- */

#define SECRET_SIZE 48

/* A frame with a secret at its end, whose type may be secret or not. */
static void
send_hidden(uint16_t type, size_t length, const uint8_t *hidden)
{
	struct buffer body = { 0 };
	uint8_t *place;

	if (contract_is_secret(type, 0))
		buffer_set_secret(&body);
	place = buffer_reserve(&body, length + SECRET_SIZE);
	ck_assert_ptr_nonnull(place);
	memset(place, 0, length);
	for (size_t i = 0; i < SECRET_SIZE; i++)
		place[length + i] = hidden[i] ^ 0xff;
	buffer_commit(&body, length + SECRET_SIZE);
	channel_send(&master.channel, type, 0, 0, &body);
	buffer_deinit(&body);
}

/* Between frames that are not, and too many for one write: both buffers grow and are moved with it in them. */
static void
send_hidden_among_others(uint16_t type, size_t length, const uint8_t *hidden)
{
	static const char packet[30000];
	struct buffer body = { 0 };
	unsigned wanted = 23;

	message_put_number(&body, 7);
	for (unsigned i = 0; i < 20; i++) {
		channel_send_parts(&master.channel, M2W_PACKET, 0, 1, 1, &body, packet, sizeof packet);
		if (i % 7 == 0)
			send_hidden(type, length, hidden);
	}
	ck_assert(loop_turn_until(&loop, worker_has, &wanted));
	ck_assert_uint_eq(worker.ends, 0);
	buffer_deinit(&body);
}

START_TEST(secrets_leave_nothing)
{
	static const size_t lengths[] = { 100, 20000, 28000 };
	uint8_t hidden[SECRET_SIZE];

	greet();
	remains_invent(hidden, sizeof hidden);
	send_hidden_among_others(M2W_CERTIFICATE, lengths[_i], hidden);
	ck_assert_uint_eq(remains_count(hidden, sizeof hidden), 0);
	/* The same, where nobody said that it is secret: the search would find it, where memory goes back to the heap. */
	if (_i > 0)
		return;
	worker.count = 0;
	send_hidden_among_others(M2W_PACKET, lengths[_i], hidden);
	ck_assert_uint_gt(remains_count(hidden, sizeof hidden), 0);
}
END_TEST

/* Half of it has come when the channel ends. */
START_TEST(half_a_secret_leaves_nothing)
{
	struct frame header = { .type = M2W_CERTIFICATE, .length = 1000 };
	uint8_t hidden[SECRET_SIZE];
	struct buffer bytes = { 0 };
	int fd = raw_master();

	remains_invent(hidden, sizeof hidden);
	put_sample(fd, M2W_HELLO);
	buffer_set_secret(&bytes);
	frame_encode_header(&bytes, &header);
	for (size_t i = 0; i < SECRET_SIZE; i++)
		buffer_append(&bytes, &(uint8_t){ hidden[i] ^ 0xff }, 1);
	ck_assert_int_eq(write(fd, buffer_bytes(&bytes), buffer_length(&bytes)), (ssize_t)buffer_length(&bytes));
	buffer_deinit(&bytes);
	loop_turn(&loop);
	ck_assert_uint_eq(remains_count(hidden, sizeof hidden), 1);
	close(fd);
	loop_turn(&loop);
	channel_deinit(&worker.channel);
	ck_assert_uint_eq(remains_count(hidden, sizeof hidden), 0);
}
END_TEST

/* ---- descriptors ---- */

/* A new pipe's descriptor, its other end closed: no two are the same. */
static int
any_descriptor(void)
{
	int fds[2];

	ck_assert_int_eq(pipe(fds), 0);
	close(fds[1]);
	return fds[0];
}

static void
send_descriptor(int fd, uint64_t serial)
{
	struct buffer body = { 0 };

	sample_body(&body, M2W_CLIENT);
	ck_assert(channel_can_send_descriptor(&master.channel));
	channel_send_descriptor(&master.channel, M2W_CLIENT, 1, serial, &body, fd);
	buffer_deinit(&body);
}

/* Between the descriptors, `packet` bytes of other frames. */
static void
many_descriptors(size_t packet)
{
	int fds[CHANNEL_DESCRIPTORS];
	struct buffer body = { 0 };
	unsigned wanted = CHANNEL_DESCRIPTORS;
	char *bytes = calloc(1, packet + 1);

	ck_assert_ptr_nonnull(bytes);
	message_put_number(&body, 7);
	for (unsigned i = 0; i < CHANNEL_DESCRIPTORS; i++) {
		fds[i] = any_descriptor();
		send_descriptor(fds[i], i);
		if (packet > 0 && i % 3 != 0) {
			channel_send_parts(&master.channel, M2W_PACKET, 0, 1, i, &body, bytes, packet);
			wanted++;
		}
	}
	ck_assert(!channel_can_send_descriptor(&master.channel));
	ck_assert(loop_turn_until(&loop, worker_has, &wanted));
	for (unsigned i = 0; i < worker.count; i++) {
		const struct received *received = &worker.received[i];

		ck_assert_uint_eq(received->inode, received->type == M2W_CLIENT ? inode_of(fds[received->serial]) : 0);
	}
	ck_assert(channel_can_send_descriptor(&master.channel));
	for (unsigned i = 0; i < CHANNEL_DESCRIPTORS; i++)
		close(fds[i]);
	buffer_deinit(&body);
	free(bytes);
}

START_TEST(descriptors_stay_with_their_frames)
{
	static const size_t packets[] = { 0, 1, 5000, 70000 };

	greet();
	many_descriptors(packets[_i]);
	worker.count = 0;
	many_descriptors(packets[_i]);
}
END_TEST

START_TEST(descriptors_through_a_narrow_socket)
{
	int one = 1;

	greet();
	ck_assert_int_eq(setsockopt(master.channel.watch.fd, SOL_SOCKET, SO_SNDBUF, &one, sizeof one), 0);
	many_descriptors(20000);
}
END_TEST

static unsigned
open_descriptors(void)
{
	unsigned count = 0;

	for (int fd = 0; fd < 256; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static int
lowest_free_descriptor(void)
{
	int fd = dup(0);

	close(fd);
	return fd;
}

/* A process of its own, because its limit stays low for a while. */
static int
without_room(void)
{
	int fds[5];
	unsigned wanted = 5, before = open_descriptors();

	for (unsigned i = 0; i < 5; i++)
		fds[i] = any_descriptor();
	for (unsigned i = 0; i < 2; i++)
		send_descriptor(fds[i], i);
	if (!sample_limit_descriptors((rlim_t)lowest_free_descriptor()))
		return 1;
	channel_flush(&master.channel);
	while (worker.count < 2 && worker.ends == 0)
		loop_turn(&loop);
	if (!sample_limit_descriptors(1024))
		return 2;
	for (unsigned i = 2; i < 5; i++)
		send_descriptor(fds[i], i);
	if (!loop_turn_until(&loop, worker_has, &wanted) || worker.ends != 0)
		return 3;
	for (unsigned i = 0; i < 5; i++) {
		if (worker.received[i].serial != i || worker.received[i].inode != (i < 2 ? 0 : inode_of(fds[i])))
			return 10 + (int)i;
		close(fds[i]);
	}
	if (open_descriptors() != before)
		return 4;
	both_close();
	return 0;
}

/* More under way than the user may have: the kernel wants the sender to wait (unix(7)). */
static int
too_many_under_way(void)
{
	unsigned wanted = CHANNEL_DESCRIPTORS;
	int fd = any_descriptor();

	if (!sample_limit_descriptors((rlim_t)lowest_free_descriptor() + 8))
		return 1;
	if (geteuid() == 0 && setresuid(65534, 65534, 65534) < 0)
		return 2;
	for (unsigned i = 0; i < CHANNEL_DESCRIPTORS; i++)
		send_descriptor(fd, i);
	channel_flush(&master.channel);
	if (!timer_is_set(&master.channel.retry))
		return 3;
	if (!loop_turn_until(&loop, worker_has, &wanted) || worker.ends != 0)
		return 4;
	for (unsigned i = 0; i < CHANNEL_DESCRIPTORS; i++) {
		if (worker.received[i].serial != i || worker.received[i].inode != inode_of(fd))
			return 5;
	}
	close(fd);
	both_close();
	return 0;
}

static void
in_child(int (*fn)(void))
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0)
		_exit(fn());
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(status == 0, "status %d", WEXITSTATUS(status));
}

/* Valgrind shares our descriptors, and cannot go on without one for itself. */
static bool
under_valgrind(void)
{
	const char *preload = getenv("LD_PRELOAD");

	return preload != NULL && strstr(preload, "vgpreload") != NULL;
}

START_TEST(no_room_for_a_descriptor)
{
	greet();
	if (!under_valgrind())
		in_child(without_room);
}
END_TEST

START_TEST(too_many_descriptors_under_way)
{
	greet();
	if (!under_valgrind())
		in_child(too_many_under_way);
}
END_TEST

static void
put_with_descriptor(int fd, const struct buffer *frame, int descriptor)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec iov = { .iov_base = buffer_bytes(frame), .iov_len = buffer_length(frame) };
	struct msghdr message = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control,
	};

	control.header.cmsg_level = SOL_SOCKET;
	control.header.cmsg_type = SCM_RIGHTS;
	control.header.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&control.header), &descriptor, sizeof descriptor);
	ck_assert_int_eq(sendmsg(fd, &message, 0), (ssize_t)iov.iov_len);
}

START_TEST(frame_without_its_descriptor)
{
	int fd = raw_master();

	put_sample(fd, M2W_HELLO);
	put_sample(fd, M2W_SETTINGS);
	put_sample(fd, M2W_CLIENT);
	loop_turn(&loop);
	ck_assert_uint_eq(worker.count, 3);
	ck_assert_uint_eq(worker.received[2].inode, 0);
	close(fd);
}
END_TEST

/* What came and was not delivered is closed. */
START_TEST(descriptor_of_half_a_frame)
{
	struct buffer frame = { 0 };
	int fd = raw_master(), sent;
	unsigned before = open_descriptors();

	put_sample(fd, M2W_HELLO);
	put_sample(fd, M2W_SETTINGS);
	sample_frame(&frame, M2W_CLIENT);
	frame.end--;
	sent = any_descriptor();
	put_with_descriptor(fd, &frame, sent);
	close(sent);
	loop_turn(&loop);
	loop_turn(&loop);
	ck_assert_uint_eq(worker.channel.count_in, 1);
	ck_assert_uint_eq(open_descriptors(), before + 1);
	channel_deinit(&worker.channel);
	close(fd);
	ck_assert_uint_eq(open_descriptors(), before - 2);
	buffer_deinit(&frame);
}
END_TEST

/* ---- breaches ---- */

static const struct breach_case {
	enum contract_side victim;
	uint16_t before[3];		/* samples that come first; 0: no more */
	uint16_t type;
	uint32_t length;		/* as its header says */
	const char *body;
	enum contract_breach breach;
} breaches[] = {
	{ CONTRACT_MASTER, { 0 }, W2M_READY, 0, "", BREACH_WRONG_PHASE },
	{ CONTRACT_MASTER, { 0 }, W2M_LOG, 2, "\1x", BREACH_WRONG_PHASE },
	{ CONTRACT_MASTER, { 0 }, M2W_HELLO, 4, "\1\0\0\0", BREACH_WRONG_SIDE },
	{ CONTRACT_MASTER, { 0 }, W2M_HELLO, 4, "\1\0\0\0", BREACH_VERSION },
	{ CONTRACT_MASTER, { 0 }, W2M_HELLO, 4, "\2\0\0\1", BREACH_VERSION },
	{ CONTRACT_MASTER, { 0 }, W2M_HELLO, 3, "\1\0\0", BREACH_LENGTH },
	{ CONTRACT_MASTER, { 0 }, 0, 0, "", BREACH_UNKNOWN_TYPE },
	{ CONTRACT_MASTER, { 0 }, FRAME_TYPE_COUNT, 0, "", BREACH_UNKNOWN_TYPE },
	{ CONTRACT_MASTER, { 0 }, W2M_HELLO, FRAME_BODY_MAX + 1, "", BREACH_TOO_LONG },
	{ CONTRACT_MASTER, { 0 }, 0xffff, 0xffffffff, "", BREACH_TOO_LONG },
	{ CONTRACT_MASTER, { W2M_HELLO }, W2M_HELLO, 4, "\2\0\0\0", BREACH_WRONG_PHASE },
	{ CONTRACT_MASTER, { W2M_HELLO }, W2M_TAKEN, 0, "", BREACH_WRONG_PHASE },
	{ CONTRACT_MASTER, { W2M_HELLO, W2M_READY }, W2M_HELLO, 4, "\2\0\0\0", BREACH_WRONG_PHASE },
	{ CONTRACT_MASTER, { W2M_HELLO, W2M_READY }, W2M_TAKEN, 1, "x", BREACH_LENGTH },
	{ CONTRACT_MASTER, { W2M_HELLO, W2M_READY }, W2M_PACKET, 0, "", BREACH_LENGTH },
	{ CONTRACT_MASTER, { W2M_HELLO, W2M_READY }, M2W_PACKET, 9, "12345678x", BREACH_WRONG_SIDE },
	{ CONTRACT_WORKER, { 0 }, M2W_HELLO, 4, "\0\0\0\0", BREACH_VERSION },
	{ CONTRACT_WORKER, { 0 }, M2W_CLIENT, 21, "123456789012345678901", BREACH_WRONG_PHASE },
	{ CONTRACT_WORKER, { M2W_HELLO }, M2W_STOP, 0, "", BREACH_WRONG_PHASE },
	{ CONTRACT_WORKER, { M2W_HELLO, M2W_SETTINGS }, W2M_PONG, 0, "", BREACH_WRONG_SIDE },
	{ CONTRACT_WORKER, { M2W_HELLO, M2W_SETTINGS }, M2W_PACKET, 8, "12345678", BREACH_LENGTH },
};

/* A new channel on that side, and the test on the other. */
static struct end *
raw_peer(enum contract_side victim, int *fd_r)
{
	struct end *end = victim == CONTRACT_MASTER ? &master : &worker;
	int fds[2];

	channel_deinit(&master.channel);
	channel_deinit(&worker.channel);
	pair_open(fds);
	end_open(end, fds[0], victim);
	*fd_r = fds[1];
	return end;
}

static void
assert_ended(const struct end *end, enum channel_end how, enum contract_breach breach)
{
	struct epoll_event event;

	ck_assert_uint_eq(end->ends, 1);
	ck_assert_int_eq(end->how, how);
	ck_assert_str_eq(contract_breach_name(end->channel.breach), contract_breach_name(breach));
	/* Whatever its owner does next, and when: an ended channel does not keep the loop from sleeping. */
	ck_assert_int_eq(epoll_wait(loop.epoll_fd, &event, 1, 0), 0);
}

START_TEST(breach_ends_the_channel)
{
	const struct breach_case *c = &breaches[_i];
	struct frame header = { .type = c->type, .length = c->length };
	struct buffer bytes = { 0 };
	unsigned before = 0;
	struct end *end;
	int fd;

	end = raw_peer(c->victim, &fd);
	for (; before < COUNT(c->before) && c->before[before] != 0; before++)
		sample_frame(&bytes, c->before[before]);
	frame_encode_header(&bytes, &header);
	if (c->length < 64)
		buffer_append(&bytes, c->body, c->length);
	/* What comes behind a breach is not looked at. */
	sample_frame(&bytes, c->victim == CONTRACT_MASTER ? W2M_LOG : M2W_PING);
	ck_assert_int_eq(write(fd, buffer_bytes(&bytes), buffer_length(&bytes)), (ssize_t)buffer_length(&bytes));
	loop_turn(&loop);
	ck_assert_uint_eq(end->count, before);
	close(fd);
	loop_turn(&loop);
	assert_ended(end, CHANNEL_BREACH, c->breach);
	buffer_deinit(&bytes);
}
END_TEST

START_TEST(breach_that_the_owner_sees)
{
	struct end *end;
	int fd;

	end = raw_peer(CONTRACT_MASTER, &fd);
	put_sample(fd, W2M_HELLO);
	put_sample(fd, W2M_READY);
	loop_turn(&loop);
	end->answer = BREACH_CLIENT;
	put_sample(fd, W2M_TAKEN);
	put_sample(fd, W2M_TAKEN);
	loop_turn(&loop);
	ck_assert_uint_eq(end->count, 3);
	close(fd);
	loop_turn(&loop);
	assert_ended(end, CHANNEL_BREACH, BREACH_CLIENT);
}
END_TEST

START_TEST(descriptor_for_the_master)
{
	struct buffer frame = { 0 };
	struct end *end;
	unsigned before;
	int fd, sent;

	end = raw_peer(CONTRACT_MASTER, &fd);
	before = open_descriptors();
	sample_frame(&frame, W2M_HELLO);
	sent = any_descriptor();
	put_with_descriptor(fd, &frame, sent);
	close(sent);
	loop_turn(&loop);
	close(fd);
	loop_turn(&loop);
	assert_ended(end, CHANNEL_BREACH, BREACH_DESCRIPTOR);
	ck_assert_uint_eq(end->count, 0);
	ck_assert_uint_eq(open_descriptors(), before - 2);
	buffer_deinit(&frame);
}
END_TEST

/* ---- the end ---- */

START_TEST(what_was_written_before_the_end_is_read)
{
	struct end *end;
	int fd;

	end = raw_peer(CONTRACT_MASTER, &fd);
	put_sample(fd, W2M_HELLO);
	put_sample(fd, W2M_READY);
	close(fd);
	/* It does not get in the way that nothing can be sent any more. */
	send_sample(end, M2W_HELLO);
	loop_turn(&loop);
	loop_turn(&loop);
	loop_turn(&loop);
	ck_assert_uint_eq(end->count, 2);
	assert_ended(end, CHANNEL_CLOSED, BREACH_NONE);
	send_sample(end, M2W_SETTINGS);
	channel_flush(&end->channel);
	loop_turn(&loop);
	ck_assert_uint_eq(buffer_length(&end->channel.out), 0);
}
END_TEST

START_TEST(without_memory_it_is_broken)
{
	struct buffer body = { .failed = true };

	greet();
	channel_send(&master.channel, M2W_SETTINGS, 0, 0, &body);
	send_sample(&master, M2W_PING);
	/* Nothing of the frame that is not complete goes out, nor of those behind it. */
	channel_flush(&master.channel);
	loop_turn(&loop);
	loop_turn(&loop);
	ck_assert_uint_eq(worker.count, 0);
	ck_assert_uint_eq(master.ends, 1);
	ck_assert_int_eq(master.how, CHANNEL_BROKEN);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("channel");
	TCase *tests = tcase_create("channel");

	tcase_set_timeout(tests, 120);
	tcase_add_checked_fixture(tests, both_open, both_close);
	tcase_add_test(tests, every_frame_arrives);
	tcase_add_test(tests, a_turn_is_one_write);
	tcase_add_test(tests, byte_by_byte);
	tcase_add_test(tests, long_frames);
	tcase_add_loop_test(tests, secrets_leave_nothing, 0, 3);
	tcase_add_test(tests, half_a_secret_leaves_nothing);
	tcase_add_test(tests, full_and_drained);
	tcase_add_loop_test(tests, descriptors_stay_with_their_frames, 0, 4);
	tcase_add_test(tests, descriptors_through_a_narrow_socket);
	tcase_add_test(tests, no_room_for_a_descriptor);
	tcase_add_test(tests, too_many_descriptors_under_way);
	tcase_add_test(tests, frame_without_its_descriptor);
	tcase_add_test(tests, descriptor_of_half_a_frame);
	tcase_add_loop_test(tests, breach_ends_the_channel, 0, COUNT(breaches));
	tcase_add_test(tests, breach_that_the_owner_sees);
	tcase_add_test(tests, descriptor_for_the_master);
	tcase_add_test(tests, what_was_written_before_the_end_is_read);
	tcase_add_test(tests, without_memory_it_is_broken);
	suite_add_tcase(suite, tests);
	return tap_run(suite);
}
