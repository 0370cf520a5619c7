#include <errno.h>
#include <string.h>
#include <sys/uio.h>

#include "master/link_parts.h"

/* Reads of a link that broke: more than any socket holds. */
#define READS_LAST 256
#define WRITE_VECTORS 64

/* While it is being opened there are no packets yet, and the answers are wanted. */
bool
link_is_unread(const struct link *link)
{
	return link->unread && link->state == LINK_UP;
}

void
link_wants(struct link *link, bool unsent)
{
	uint32_t events = link_is_unread(link) ? 0 : EPOLLIN;

	watch_change(link->loop, &link->watch, events | (unsent ? EPOLLOUT : 0));
}

static void
flow_check(struct link *link)
{
	if (link->state != LINK_UP)
		return;
	if (!link->choked && link_backlog(link) > link->high) {
		link->choked = true;
		link->on_flow(link, false);
	} else if (link->choked && link_backlog(link) < link->high / 2) {
		link->choked = false;
		link->on_flow(link, true);
	}
}

/*
 * Expat 2.5 may withhold an element until more bytes come (baselines): the end of a batch is followed by some. On a link
 * with acknowledgement they ask for it, unless that was done and is not answered yet; and so does what is no end.
 */
static ssize_t
write_queue(struct link *link)
{
	static char request[] = "<r xmlns='" ACK_NS "'/>\n", *const line_feed = request + sizeof request - 2;
	bool ask = link->ack.on && !link->ack.asked && link->state == LINK_UP;
	bool waits = buffer_length(&link->prelude) > 0, last;
	struct iovec vectors[WRITE_VECTORS + 1];
	struct msghdr message = { .msg_iov = vectors };
	char *end = ask ? request : line_feed;
	size_t packets;
	ssize_t length;

	/* Something of the link's own waits for the end of the packet that was begun, and what is asked comes behind it. */
	message.msg_iovlen = outbox_gather(&link->outbox, vectors, waits ? 1 : WRITE_VECTORS, &packets, &last);
	if ((last || ask) && !waits)
		vectors[message.msg_iovlen++] = (struct iovec){ end, strlen(end) };
	length = sendmsg(link->watch.fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (length <= 0)
		return length;
	outbox_written(&link->outbox, &link->ack, link->given, (size_t)length < packets ? (size_t)length : packets);
	link->given += (size_t)length;
	if ((last || ask) && (size_t)length >= packets) {
		link->ack.asked = link->ack.asked || ask;
		buffer_append_string(&link->prelude, end + ((size_t)length - packets));
	}
	return length;
}

static ssize_t
write_prelude(struct link *link)
{
	ssize_t length = send(link->watch.fd, buffer_bytes(&link->prelude), buffer_length(&link->prelude),
	    MSG_NOSIGNAL | MSG_DONTWAIT);

	if (length > 0) {
		buffer_consume(&link->prelude, (size_t)length);
		link->given += (size_t)length;
	}
	return length;
}

bool
link_has_unsent(const struct link *link)
{
	return buffer_length(&link->prelude) > 0 ||
	    ((link->state == LINK_UP || link->state == LINK_CLOSED) && outbox_has_more(&link->outbox));
}

/* The stream's end was queued behind everything else; theirs follows. */
static void
closing_written(struct link *link)
{
	if (link->shut)
		return;
	link->shut = true;
	shutdown(link->watch.fd, SHUT_WR);
}

/* Nothing can be written any more; what they had written before they closed is still read. */
static void
link_broke(struct link *link, int error)
{
	for (unsigned i = 0; i < READS_LAST && link->watch.fd >= 0 && link_read_once(link); i++)
		;
	if (link->watch.fd < 0)
		return;
	if (error == EPIPE || error == ECONNRESET)
		link_closed(link, error == EPIPE ? "closed by the session manager" : strerror(error));
	else
		link_fail(link, strerror(error));
}

/* Who takes nothing; not who cannot acknowledge because we do not read it. */
static const char *
why_given_up(const struct link *link)
{
	size_t bytes = link_is_unread(link) ? link->outbox.queued : link_backlog(link);

	if (link->state != LINK_UP || link->bound == 0 || bytes <= link->bound || bytes <= link->backlog)
		return NULL;
	return !link->ack.on || link->outbox.queued > link->outbox.unacknowledged ? "the session manager reads nothing" :
	    "the session manager acknowledges nothing";
}

void
link_flush(struct link *link)
{
	const char *why;

	if (link->watch.fd < 0 || link->state == LINK_CONNECTING || link->state == LINK_DOWN)
		return;
	if (link->answer_due && link->state == LINK_UP) {
		ack_write_answer(&link->prelude, &link->ack);
		buffer_append(&link->prelude, "\n", 1);
		link->answer_due = false;
	}
	while (link_has_unsent(link)) {
		bool between = buffer_length(&link->prelude) > 0 && link->outbox.head_written == 0;
		ssize_t length = between ? write_prelude(link) : write_queue(link);

		if (length < 0 && errno == EAGAIN)
			break;
		if (length < 0 && errno != EINTR) {
			link_broke(link, errno);
			return;
		}
	}
	link_tcp_follow(link);
	why = why_given_up(link);
	if (why != NULL) {
		link_fail(link, why);
		return;
	}
	link_wants(link, link_has_unsent(link));
	flow_check(link);
	if (link->state == LINK_CLOSED && !link_has_unsent(link))
		closing_written(link);
}

static void
on_flush(struct job *job)
{
	link_flush(container_of(job, struct link, flush));
}

void
link_flush_later(struct link *link)
{
	job_queue(link->loop, &link->flush, on_flush);
}

bool
link_send(struct link *link, uint64_t from, const void *bytes, size_t length)
{
	if (link->state == LINK_CLOSED || !outbox_add(&link->outbox, from, bytes, length, true)) {
		outbox_refuse(&link->outbox);
		return false;
	}
	link_flush_later(link);
	return true;
}
