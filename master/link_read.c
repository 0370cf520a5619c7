#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "master/link_parts.h"

#define READ_SIZE (64u * 1024)
#define READS_PER_TURN 4

/* What is shown in the log of a stream error. */
#define TEXT_LOGGED 300

static void
take_event(struct link *link, const struct splitter_event *event)
{
	struct link_message message = { .bytes = buffer_bytes(&link->in) + event->skip, .length = event->length };

	switch (event->type) {
	case SPLITTER_MORE:
		break;
	case SPLITTER_HEADER:
		link_fsm(link, LINK_EVENT_HEADER, &message);
		break;
	case SPLITTER_ELEMENT:
		link_fsm(link, LINK_EVENT_ELEMENT, &message);
		break;
	case SPLITTER_END:
		link_closed(link, "closed by the session manager");
		break;
	case SPLITTER_BROKEN:
		link_fail(link, "what the session manager sends is not XML");
		break;
	case SPLITTER_TOO_LONG:
		link_fail(link, "a packet of the session manager is too long (packet-bytes)");
		break;
	}
}

static void
events_take(struct link *link)
{
	struct splitter_event event;

	while (link->watch.fd >= 0) {
		splitter_next(&link->splitter, buffer_bytes(&link->in), buffer_length(&link->in), &event);
		take_event(link, &event);
		/* A failure has emptied the buffer. */
		if (buffer_length(&link->in) >= event.skip + event.length)
			buffer_consume(&link->in, event.skip + event.length);
		if (event.type == SPLITTER_MORE)
			break;
	}
	buffer_release(&link->in);
}

/* True when more may be waiting. */
bool
link_read_once(struct link *link)
{
	uint8_t *place = buffer_reserve(&link->in, READ_SIZE);
	ssize_t length;

	if (place == NULL) {
		link_fail(link, "out of memory");
		return false;
	}
	length = recv(link->watch.fd, place, READ_SIZE, MSG_DONTWAIT);
	if (length > 0) {
		buffer_commit(&link->in, (size_t)length);
		events_take(link);
		return (size_t)length == READ_SIZE;
	}
	if (length < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (length == 0) {
		link_closed(link, "closed by the session manager");
	} else if (errno == ECONNRESET) {
		link->reset = true;
		link_closed(link, strerror(ECONNRESET));
	} else {
		link_fail(link, strerror(errno));
	}
	return false;
}

/* `over`: nothing will follow what the kernel holds. It is read even if we are full, or it would be lost. */
static void
link_readable(struct link *link, bool over)
{
	for (unsigned i = 0; i < READS_PER_TURN && link->watch.fd >= 0 && (over || !link_is_unread(link)); i++) {
		if (!link_read_once(link))
			return;
	}
}

void
link_on_ready(struct watch *watch, uint32_t events)
{
	struct link *link = container_of(watch, struct link, watch);

	if (link->state == LINK_CONNECTING) {
		int error = 0;
		socklen_t length = sizeof error;

		getsockopt(watch->fd, SOL_SOCKET, SO_ERROR, &error, &length);
		if (error != 0)
			link_fail(link, strerror(error));
		else
			link_fsm(link, LINK_EVENT_CONNECTED, NULL);
		return;
	}
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		link_readable(link, (events & (EPOLLHUP | EPOLLERR)) != 0);
	if ((events & EPOLLOUT) != 0 && watch->fd >= 0)
		link_flush(link);
}

void
link_read(struct link *link, bool on)
{
	if (link->unread == !on)
		return;
	link->unread = !on;
	/* What they could not acknowledge meanwhile is no fault of theirs. */
	if (on && link->backlog < link_backlog(link))
		link->backlog = link_backlog(link);
	if (link->watch.fd >= 0 && link->state >= LINK_HEADER)
		link_wants(link, link_has_unsent(link));
}

/*
 * What the session manager complains of, for the operator: it is about to close. False: it is something else, or has a sto
 * and is said to a client.
 */
bool
link_is_stream_error(const struct link_message *message)
{
	static const char begin[] = "<stream:error";
	char text[TEXT_LOGGED], quoted[TEXT_LOGGED];
	struct element element;
	struct range sto;

	/* Every packet comes by here. */
	if (message->length < sizeof begin || memcmp(message->bytes, begin, sizeof begin - 1) != 0)
		return false;
	/* With an address it is for a client. */
	if (!element_read_complete(&element, message->bytes, message->length) ||
	    !range_equals(element.name, "stream:error") || element_attribute(&element, "sto", &sto))
		return false;
	snprintf(text, sizeof text, "%.*s", (int)(message->length < sizeof text ? message->length : sizeof text),
	    (const char *)message->bytes);
	log_warning("link error-received text=%s", log_quote(quoted, sizeof quoted, text));
	return true;
}
