#include "ipc/channel.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ipc/message.h"

/* One read, and the reads of one turn: a busy channel must not starve the others. */
#define READ_SIZE (64u * 1024)
#define READS_PER_TURN 8

/* ETOOMANYREFS: too many descriptors are under way in the kernel (unix(7)); the other process takes them shortly. */
#define RETRY_TIME 20

union descriptor_message {
	struct cmsghdr header;
	char space[CMSG_SPACE(sizeof(int))];
};

/* A hang-up is told in every turn to who still watches: the owner may take its time with channel_deinit. */
static void
descriptor_close(struct channel *channel)
{
	int fd = channel->watch.fd;

	watch_remove(channel->loop, &channel->watch);
	if (fd >= 0)
		close(fd);
}

static void
channel_end(struct channel *channel, enum channel_end end)
{
	if (channel->ended)
		return;
	channel->ended = true;
	descriptor_close(channel);
	channel->on_end(channel, end);
}

static void
breach_set(struct channel *channel, enum contract_breach breach)
{
	channel->breach = breach;
	channel_end(channel, CHANNEL_BREACH);
}

static int
queue_in_take(struct channel *channel)
{
	int fd;

	if (channel->count_in == 0)
		return -1;
	fd = channel->queue_in[0];
	channel->count_in--;
	memmove(channel->queue_in, channel->queue_in + 1, channel->count_in * sizeof channel->queue_in[0]);
	return fd;
}

static enum contract_breach
hello_check(const struct frame *frame)
{
	uint32_t version;

	if (!message_get_hello(frame, &version))
		return BREACH_BODY;
	return version == CONTRACT_VERSION ? BREACH_NONE : BREACH_VERSION;
}

static enum contract_breach
frame_receive(struct channel *channel, const struct frame *frame)
{
	enum contract_side sender = channel->side == CONTRACT_MASTER ? CONTRACT_WORKER : CONTRACT_MASTER;
	enum contract_breach breach = contract_check(frame, sender, channel->phase);

	if (breach != BREACH_NONE)
		return breach;
	if (channel->phase == PHASE_NEW && (breach = hello_check(frame)) != BREACH_NONE)
		return breach;
	channel->phase = contract_advance(channel->phase, frame->type);
	return channel->on_frame(channel, frame,
	    contract_carries_descriptor(frame->type) ? queue_in_take(channel) : -1);
}

/* Before the rest of it comes: the buffer grows for that. */
static void
secret_mark(struct channel *channel)
{
	const uint8_t *bytes = buffer_bytes(&channel->in);
	size_t length = buffer_length(&channel->in);

	if (contract_is_secret(frame_type(bytes, length), frame_flags(bytes, length)))
		buffer_set_secret(&channel->in);
}

static void
frames_parse(struct channel *channel)
{
	struct frame frame;
	size_t size;

	while (!channel->ended) {
		enum contract_breach breach;
		enum frame_result result;

		secret_mark(channel);
		result = frame_decode(buffer_bytes(&channel->in), buffer_length(&channel->in), &frame, &size);
		if (result == FRAME_MORE)
			break;
		breach = result == FRAME_TOO_LONG ? BREACH_TOO_LONG : frame_receive(channel, &frame);
		if (breach != BREACH_NONE) {
			breach_set(channel, breach);
			return;
		}
		buffer_consume(&channel->in, size);
	}
	buffer_release(&channel->in);
}

/* What came with one recvmsg: at most one descriptor, because each is sent by a sendmsg of its own. */
static bool
descriptors_receive(struct channel *channel, struct msghdr *message)
{
	struct cmsghdr *control = CMSG_FIRSTHDR(message);
	int fd = -1;

	if (control != NULL && control->cmsg_level == SOL_SOCKET && control->cmsg_type == SCM_RIGHTS &&
	    control->cmsg_len == CMSG_LEN(sizeof fd))
		memcpy(&fd, CMSG_DATA(control), sizeof fd);
	if (fd < 0 && (message->msg_flags & MSG_CTRUNC) == 0)
		return true;
	/* The master takes no descriptors (its message has no room for one, so the kernel has closed it). */
	if (channel->side == CONTRACT_MASTER || channel->count_in == CHANNEL_DESCRIPTORS) {
		if (fd >= 0)
			close(fd);
		breach_set(channel, BREACH_DESCRIPTOR);
		return false;
	}
	channel->queue_in[channel->count_in++] = fd;
	return true;
}

/* buffer_reserve, and once more when the owner could do something about it. */
static uint8_t *
room_make(struct channel *channel, struct buffer *buffer, size_t length)
{
	uint8_t *place = buffer_reserve(buffer, length);

	if (place == NULL && channel->on_pinch != NULL && channel->on_pinch(channel)) {
		buffer->failed = false;
		place = buffer_reserve(buffer, length);
	}
	return place;
}

/* True when more may be waiting. */
static bool
channel_read(struct channel *channel)
{
	union descriptor_message control;
	struct iovec iov = { .iov_len = READ_SIZE };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t length;

	if (channel->side == CONTRACT_WORKER) {
		message.msg_control = &control;
		message.msg_controllen = sizeof control;
	}
	iov.iov_base = room_make(channel, &channel->in, READ_SIZE);
	if (iov.iov_base == NULL) {
		channel_end(channel, CHANNEL_BROKEN);
		return false;
	}
	length = recvmsg(channel->watch.fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	if (length > 0) {
		buffer_commit(&channel->in, (size_t)length);
		return descriptors_receive(channel, &message) && (size_t)length == READ_SIZE;
	}
	if (length < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	channel_end(channel, CHANNEL_CLOSED);
	return false;
}

static void
on_ready(struct watch *watch, uint32_t events)
{
	struct channel *channel = container_of(watch, struct channel, watch);

	if (events & EPOLLOUT)
		job_queue(channel->loop, &channel->flush, channel->flush.fn);
	if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0)
		return;
	for (unsigned i = 0; i < READS_PER_TURN && !channel->ended; i++) {
		bool more = channel_read(channel);

		frames_parse(channel);
		if (!more)
			return;
	}
}

/* Write up to the next frame that has a descriptor of its own. */
static ssize_t
channel_write(struct channel *channel)
{
	union descriptor_message control = { 0 };
	struct iovec iov = { .iov_base = buffer_bytes(&channel->out), .iov_len = buffer_length(&channel->out) };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
	const struct channel_descriptor *next = channel->count_out > 0 ? &channel->queue_out[0] : NULL;

	if (next != NULL && next->offset == channel->sent) {
		message.msg_control = &control;
		message.msg_controllen = sizeof control;
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.header), &next->fd, sizeof(int));
		next = channel->count_out > 1 ? next + 1 : NULL;
	}
	if (next != NULL)
		iov.iov_len = (size_t)(next->offset - channel->sent);
	return sendmsg(channel->watch.fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void
channel_written(struct channel *channel, size_t length)
{
	if (channel->count_out > 0 && channel->queue_out[0].offset == channel->sent) {
		channel->count_out--;
		memmove(channel->queue_out, channel->queue_out + 1, channel->count_out * sizeof channel->queue_out[0]);
	}
	channel->sent += length;
	buffer_consume(&channel->out, length);
	if (channel->was_full && buffer_length(&channel->out) < CHANNEL_HIGH / 2) {
		channel->was_full = false;
		if (channel->on_drained != NULL)
			channel->on_drained(channel);
	}
}

static void
on_retry(struct timer *timer)
{
	channel_flush(container_of(timer, struct channel, retry));
}

void
channel_flush(struct channel *channel)
{
	uint32_t wanted = EPOLLIN;

	/* `failed` is the job's to see: what is in there ends in the middle of a frame. */
	if (channel->ended || channel->out.failed || timer_is_set(&channel->retry))
		return;
	while (buffer_length(&channel->out) > 0) {
		ssize_t length = channel_write(channel);

		if (length >= 0) {
			channel_written(channel, (size_t)length);
		} else if (errno == EAGAIN) {
			wanted |= EPOLLOUT;
			break;
		} else if (errno == ETOOMANYREFS) {
			timer_set(channel->loop, &channel->retry, RETRY_TIME, on_retry);
			break;
		} else if (errno != EINTR) {
			/* What it had written before it closed is still to be read: the reading side ends us. */
			buffer_clear(&channel->out);
			channel->count_out = 0;
			break;
		}
	}
	buffer_release(&channel->out);
	watch_change(channel->loop, &channel->watch, wanted);
}

static void
on_flush(struct job *job)
{
	struct channel *channel = container_of(job, struct channel, flush);

	if (channel->out.failed)
		channel_end(channel, CHANNEL_BROKEN);
	channel_flush(channel);
}

int
channel_init(struct channel *channel, struct loop *loop, int fd, enum contract_side side)
{
	channel->loop = loop;
	channel->side = side;
	channel->phase = PHASE_NEW;
	channel->breach = BREACH_NONE;
	channel->flush.fn = on_flush;
	return watch_add(loop, &channel->watch, fd, EPOLLIN, on_ready);
}

void
channel_deinit(struct channel *channel)
{
	if (channel->loop == NULL)
		return;
	while (channel->count_in > 0) {
		int received = queue_in_take(channel);

		if (received >= 0)
			close(received);
	}
	job_cancel(channel->loop, &channel->flush);
	timer_clear(channel->loop, &channel->retry);
	descriptor_close(channel);
	buffer_deinit(&channel->in);
	buffer_deinit(&channel->out);
	channel->count_out = 0;
	channel->ended = true;
	channel->loop = NULL;
}

bool
channel_make_room(struct channel *channel, size_t length)
{
	bool failed = channel->out.failed;
	bool made = channel->ended || (!failed && room_make(channel, &channel->out, FRAME_HEADER_SIZE + length) != NULL);

	channel->out.failed = failed;
	return made;
}

void
channel_send_parts(struct channel *channel, uint16_t type, uint16_t flags, uint32_t slot, uint64_t serial,
    const struct buffer *body, const void *more, size_t more_length)
{
	size_t length = body == NULL ? 0 : buffer_length(body);
	struct frame frame = { .type = type, .flags = flags, .slot = slot, .serial = serial,
		.length = (uint32_t)(length + more_length) };

	if (channel->ended || channel->loop == NULL)
		return;
	if (contract_is_secret(type, flags))
		buffer_set_secret(&channel->out);
	channel->out.failed |= !channel_make_room(channel, frame.length);
	frame_encode_header(&channel->out, &frame);
	if (length > 0)
		buffer_append(&channel->out, buffer_bytes(body), length);
	buffer_append(&channel->out, more, more_length);
	channel->out.failed |= body != NULL && body->failed;
	channel->was_full |= channel_is_full(channel);
	job_queue(channel->loop, &channel->flush, on_flush);
}

void
channel_send(struct channel *channel, uint16_t type, uint32_t slot, uint64_t serial, const struct buffer *body)
{
	channel_send_parts(channel, type, 0, slot, serial, body, NULL, 0);
}

bool
channel_can_send_descriptor(const struct channel *channel)
{
	return channel->count_out < CHANNEL_DESCRIPTORS;
}

void
channel_send_descriptor(struct channel *channel, uint16_t type, uint32_t slot, uint64_t serial,
    const struct buffer *body, int fd)
{
	channel->queue_out[channel->count_out++] = (struct channel_descriptor){
		.offset = channel->sent + buffer_length(&channel->out),
		.fd = fd,
	};
	channel_send(channel, type, slot, serial, body);
}

bool
channel_is_full(const struct channel *channel)
{
	return buffer_length(&channel->out) > CHANNEL_HIGH;
}

bool
channel_is_sending(const struct channel *channel, int fd)
{
	for (unsigned i = 0; i < channel->count_out; i++) {
		if (channel->queue_out[i].fd == fd)
			return true;
	}
	return false;
}
