#include "master/link.h"

#include <bsd/stdlib.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/log.h"

#define READ_SIZE (64u * 1024)
#define READS_PER_TURN 4

/* Reads of a link that broke: more than any socket holds. */
#define READS_LAST 256
#define WRITE_VECTORS 64

/* Pauses before another try, in milliseconds; doubled from the first to the last, each with jitter of a half. */
#define RETRY_FIRST 250
#define RETRY_LAST 15000

/* A link that stayed up for less was no success: the pauses go on growing. */
#define UP_LONG 10000

/* A packet in which the link broke as often as this is what breaks it. */
#define BREAKS_MAX 3

/* For the session manager's end, after ours. */
#define CLOSE_TIME 2000

/* What is shown in the log of a stream error. */
#define TEXT_LOGGED 300

/* What comes with an event. */
struct link_message {
	const char *why;		/* LINK_EVENT_FAILED */
	const uint8_t *bytes;		/* LINK_EVENT_HEADER, LINK_EVENT_ELEMENT */
	size_t length;
};

static void link_fsm(struct link *link, enum link_event event, const struct link_message *message);
static bool read_once(struct link *link);

static void
link_fail(struct link *link, const char *why)
{
	struct link_message message = { .why = why };

	link_fsm(link, LINK_EVENT_FAILED, &message);
}

const char *
link_state_name(enum link_state state)
{
	static const char *const names[] = { "down", "connecting", "header", "handshake", "up", "closed" };

	return names[state];
}

bool
link_proof(const char *id, const char *secret, char *proof)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned length = 0;
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	bool done = context != NULL && EVP_DigestInit_ex(context, EVP_sha1(), NULL) == 1 &&
	    EVP_DigestUpdate(context, id, strlen(id)) == 1 && EVP_DigestUpdate(context, secret, strlen(secret)) == 1 &&
	    EVP_DigestFinal_ex(context, digest, &length) == 1;

	EVP_MD_CTX_free(context);
	for (unsigned i = 0; done && i < length; i++)
		snprintf(proof + 2 * i, 3, "%02x", digest[i]);
	return done;
}

/* ---- where it is ---- */

static bool
resolve_unix(struct link_addresses *addresses, const char *path)
{
	struct sockaddr_un *address = (struct sockaddr_un *)(void *)&addresses->list[0].address;

	if (strlen(path) >= sizeof address->sun_path)
		return false;
	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	memcpy(address->sun_path, path, strlen(path));
	addresses->list[0].length = sizeof *address;
	addresses->count = 1;
	return true;
}

/* "host:port" or "[v6]:port" taken apart; false: it is neither. */
static bool
host_and_port(const char *text, char *host, size_t size, const char **port_r)
{
	const char *colon = strrchr(text, ':');
	size_t length;

	if (colon == NULL || colon[1] == '\0')
		return false;
	*port_r = colon + 1;
	length = (size_t)(colon - text);
	if (length >= 2 && text[0] == '[' && text[length - 1] == ']') {
		text++;
		length -= 2;
	}
	if (length == 0 || length >= size)
		return false;
	memcpy(host, text, length);
	host[length] = '\0';
	return true;
}

bool
link_resolve(struct link_addresses *addresses, const char *address, const char **why_r)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list;
	char host[256];
	const char *port;
	int error;

	*why_r = "not HOST:PORT, [IPV6]:PORT or unix:PATH";
	if (strncmp(address, "unix:", 5) == 0)
		return resolve_unix(addresses, address + 5);
	if (!host_and_port(address, host, sizeof host, &port))
		return false;
	error = getaddrinfo(host, port, &hints, &list);
	if (error != 0) {
		*why_r = gai_strerror(error);
		return false;
	}
	addresses->count = 0;
	for (struct addrinfo *one = list; one != NULL && addresses->count < LINK_ADDRESSES_MAX; one = one->ai_next) {
		memcpy(&addresses->list[addresses->count].address, one->ai_addr, one->ai_addrlen);
		addresses->list[addresses->count++].length = one->ai_addrlen;
	}
	freeaddrinfo(list);
	return true;
}

/* ---- states ---- */

static void
change_state(struct link *link, enum link_state state)
{
	log_debug("link changed from=%s to=%s", link_state_name(link->state), link_state_name(state));
	link->state = state;
}

static void
on_step_timeout(struct timer *timer)
{
	struct link *link = container_of(timer, struct link, step);

	if (link->state == LINK_CLOSED)
		link->on_closed(link);
	else
		link_fail(link, "no answer in time");
}

static void
step_begins(struct link *link)
{
	timer_set(link->loop, &link->step, link->timeout, on_step_timeout);
}

static void
on_retry(struct timer *timer)
{
	link_fsm(container_of(timer, struct link, retry), LINK_EVENT_TRY, NULL);
}

static void
retry_later(struct link *link)
{
	unsigned doubled = link->failures < 8 ? link->failures : 8;
	uint32_t pause = RETRY_FIRST << doubled;

	if (pause > RETRY_LAST)
		pause = RETRY_LAST;
	link->failures++;
	timer_set(link->loop, &link->retry, pause / 2 + arc4random_uniform(pause), on_retry);
}

/* The link was lost in the middle of the first packet: that may be because of the packet. */
static void
head_broke(struct link *link)
{
	struct link_packet *head = STAILQ_FIRST(&link->queue);

	if (link->head_written == 0 || head == NULL || ++head->breaks < BREAKS_MAX)
		return;
	log_error("link packet-given-up bytes=%zu breaks=%u", head->length, head->breaks);
	STAILQ_REMOVE_HEAD(&link->queue, entry);
	link->queued -= head->length;
	free(head);
}

static void
link_disconnect(struct link *link)
{
	int fd = link->watch.fd;

	timer_clear(link->loop, &link->step);
	watch_remove(link->loop, &link->watch);
	if (fd >= 0)
		close(fd);
	buffer_deinit(&link->in);
	buffer_deinit(&link->prelude);
	splitter_init(&link->splitter, link->splitter.element_max);
	head_broke(link);
	/* A part of it was never an element: it is written again as a whole. */
	link->head_written = 0;
}

static void
link_failed(struct link *link, const char *why)
{
	bool was_up = link->state == LINK_UP;

	if (was_up)
		log_warning("link lost reason=\"%s\"", why);
	else
		log_warning("link not-open reason=\"%s\"", why);
	link->last_failure = why;
	if (was_up && loop_now(link->loop) - link->up_since > UP_LONG)
		link->failures = 0;
	link_disconnect(link);
	change_state(link, LINK_DOWN);
	retry_later(link);
	if (was_up) {
		link->choked = true;
		link->on_flow(link, false);
		link->on_down(link);
	}
}

/* ---- writing ---- */

/* While it is being opened there are no packets yet, and the answers are wanted. */
static bool
is_unread(const struct link *link)
{
	return link->unread && link->state == LINK_UP;
}

static void
link_wants(struct link *link, bool unsent)
{
	uint32_t events = is_unread(link) ? 0 : EPOLLIN;

	watch_change(link->loop, &link->watch, events | (unsent ? EPOLLOUT : 0));
}

static void
flow_check(struct link *link)
{
	if (link->state != LINK_UP)
		return;
	if (!link->choked && link->queued > link->high) {
		link->choked = true;
		link->on_flow(link, false);
	} else if (link->choked && link->queued < link->high / 2) {
		link->choked = false;
		link->on_flow(link, true);
	}
}

static void
queue_written(struct link *link, size_t length)
{
	struct link_packet *packet;

	while (length > 0 && (packet = STAILQ_FIRST(&link->queue)) != NULL) {
		size_t rest = packet->length - link->head_written;

		if (length < rest) {
			link->head_written += length;
			return;
		}
		length -= rest;
		STAILQ_REMOVE_HEAD(&link->queue, entry);
		link->queued -= packet->length;
		link->head_written = 0;
		free(packet);
	}
}

static ssize_t
write_queue(struct link *link)
{
	static char line_feed[] = "\n";
	struct iovec vectors[WRITE_VECTORS + 1];
	struct msghdr message = { .msg_iov = vectors };
	struct link_packet *packet;
	size_t skip = link->head_written, packets = 0;
	ssize_t length;

	STAILQ_FOREACH(packet, &link->queue, entry) {
		if (message.msg_iovlen == WRITE_VECTORS)
			break;
		vectors[message.msg_iovlen++] = (struct iovec){ packet->bytes + skip, packet->length - skip };
		packets += packet->length - skip;
		skip = 0;
	}
	/* Expat 2.5 may withhold an element until more bytes come (baselines): the end of a batch is followed by some. */
	if (packet == NULL)
		vectors[message.msg_iovlen++] = (struct iovec){ line_feed, 1 };
	length = sendmsg(link->watch.fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (length > 0)
		queue_written(link, (size_t)length);
	/* All but the line feed. */
	if (packet == NULL && length == (ssize_t)packets)
		buffer_append(&link->prelude, line_feed, 1);
	return length;
}

static ssize_t
write_prelude(struct link *link)
{
	ssize_t length = send(link->watch.fd, buffer_bytes(&link->prelude), buffer_length(&link->prelude),
	    MSG_NOSIGNAL | MSG_DONTWAIT);

	if (length > 0)
		buffer_consume(&link->prelude, (size_t)length);
	return length;
}

static bool
has_unsent(const struct link *link)
{
	return buffer_length(&link->prelude) > 0 ||
	    ((link->state == LINK_UP || link->state == LINK_CLOSED) && !STAILQ_EMPTY(&link->queue));
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
	for (unsigned i = 0; i < READS_LAST && link->watch.fd >= 0 && read_once(link); i++)
		;
	if (link->watch.fd >= 0)
		link_fail(link, error == EPIPE ? "closed by the session manager" : strerror(error));
}

static void
link_flush(struct link *link)
{
	if (link->watch.fd < 0 || link->state == LINK_CONNECTING || link->state == LINK_DOWN)
		return;
	while (has_unsent(link)) {
		ssize_t length = buffer_length(&link->prelude) > 0 ? write_prelude(link) : write_queue(link);

		if (length < 0 && errno == EAGAIN)
			break;
		if (length < 0 && errno != EINTR) {
			link_broke(link, errno);
			return;
		}
	}
	if (link->state == LINK_UP && link->bound > 0 && link->queued > link->bound && link->queued > link->backlog) {
		link_fail(link, "the session manager reads nothing");
		return;
	}
	link_wants(link, has_unsent(link));
	flow_check(link);
	if (link->state == LINK_CLOSED && !has_unsent(link))
		closing_written(link);
}

static void
on_flush(struct job *job)
{
	link_flush(container_of(job, struct link, flush));
}

bool
link_send(struct link *link, const void *bytes, size_t length)
{
	struct link_packet *packet = link->state == LINK_CLOSED ? NULL : malloc(sizeof *packet + length);

	if (packet == NULL)
		return false;
	packet->length = length;
	packet->breaks = 0;
	memcpy(packet->bytes, bytes, length);
	STAILQ_INSERT_TAIL(&link->queue, packet, entry);
	link->queued += length;
	job_queue(link->loop, &link->flush, on_flush);
	return true;
}

/* ---- reading ---- */

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
		link_fail(link, "closed by the session manager");
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
static bool
read_once(struct link *link)
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
	if (length == 0)
		link_fail(link, "closed by the session manager");
	else if (errno != EAGAIN && errno != EINTR)
		link_fail(link, strerror(errno));
	return false;
}

/* `over`: nothing will follow what the kernel holds. It is read even if we are full, or it would be lost. */
static void
link_readable(struct link *link, bool over)
{
	for (unsigned i = 0; i < READS_PER_TURN && link->watch.fd >= 0 && (over || !is_unread(link)); i++) {
		if (!read_once(link))
			return;
	}
}

static void
on_ready(struct watch *watch, uint32_t events)
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
	if (link->watch.fd >= 0 && link->state >= LINK_HEADER)
		link_wants(link, has_unsent(link));
}

/* ---- steps ---- */

static void
link_adopt(struct link *link, int fd, uint32_t events)
{
	int result = watch_add(link->loop, &link->watch, fd, events, on_ready);

	if (result == 0)
		return;
	close(fd);
	link_fail(link, strerror(-result));
}

static void
connect_socket(struct link *link)
{
	const struct link_address *address = &link->addresses.list[link->failures % link->addresses.count];
	int fd = socket(address->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1, error = 0;

	if (fd < 0) {
		link_fail(link, strerror(errno));
		return;
	}
	/* Batched by turn: Nagle would only add its 40 ms. Not for UNIX sockets, where it fails and is not needed. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
	if (connect(fd, (const struct sockaddr *)&address->address, address->length) < 0 && errno != EINPROGRESS)
		error = errno;
	if (error != 0) {
		close(fd);
		link_fail(link, strerror(error));
		return;
	}
	link_adopt(link, fd, EPOLLOUT);
}

static void
connect_embedded(struct link *link)
{
	int fd = link->spawn(link);

	if (fd < 0)
		link_fail(link, strerror(-fd));
	else
		link_adopt(link, fd, EPOLLOUT);
}

static void
step_connect(struct link *link)
{
	change_state(link, LINK_CONNECTING);
	step_begins(link);
	if (link->spawn != NULL)
		connect_embedded(link);
	else
		connect_socket(link);
}

static void
step_header(struct link *link)
{
	change_state(link, LINK_HEADER);
	step_begins(link);
	link->dialect->link_header(&link->prelude, link->name);
	link_wants(link, true);
	job_queue(link->loop, &link->flush, on_flush);
}

/* The id of their header, its entities resolved; NULL: there is none (or no memory). The caller frees it. */
static char *
header_id(const struct link_message *message)
{
	const char *at = (const char *)message->bytes;
	size_t name = 1;
	struct element header = { .tag = { at, message->length } };
	struct range id;

	while (name < message->length && strchr(" \t\r\n/>", at[name]) == NULL)
		name++;
	header.name = (struct range){ at + 1, name - 1 };
	return element_attribute(&header, "id", &id) ? range_strdup_decoded(id) : NULL;
}

static void
step_handshake(struct link *link, const struct link_message *message)
{
	char *id = header_id(message), proof[41];
	bool proved = id != NULL && link_proof(id, link->secret, proof);

	free(id);
	if (!proved) {
		link_fail(link, "the session manager's header has no id");
		return;
	}
	change_state(link, LINK_HANDSHAKE);
	step_begins(link);
	buffer_append_format(&link->prelude, "<handshake>%s</handshake>", proof);
	job_queue(link->loop, &link->flush, on_flush);
}

static void
step_up(struct link *link)
{
	timer_clear(link->loop, &link->step);
	change_state(link, LINK_UP);
	link->last_failure = NULL;
	link->up_since = loop_now(link->loop);
	link->backlog = link->queued;
	log_info("link up name=%s dialect=%s", link->name, link->dialect->name);
	link->choked = link->queued > link->high;
	link->on_flow(link, !link->choked);
	link->on_up(link);
	job_queue(link->loop, &link->flush, on_flush);
}

/*
 * What the session manager complains of, for the operator: it is about to close. False: it is something else, or has a sto
 * and is said to a client.
 */
static bool
is_stream_error(const struct link_message *message)
{
	static const char begin[] = "<stream:error";
	char text[TEXT_LOGGED], quoted[TEXT_LOGGED];
	struct element element;
	struct range sto;

	/* Every packet comes by here. */
	if (message->length < sizeof begin || memcmp(message->bytes, begin, sizeof begin - 1) != 0)
		return false;
	if (!element_read_complete(&element, message->bytes, message->length) ||
	    !range_equals(element.name, "stream:error") || element_attribute(&element, "sto", &sto))
		return false;
	snprintf(text, sizeof text, "%.*s", (int)(message->length < sizeof text ? message->length : sizeof text),
	    (const char *)message->bytes);
	log_warning("link error-received text=%s", log_quote(quoted, sizeof quoted, text));
	return true;
}

static void
handshake_answer(struct link *link, const struct link_message *message)
{
	struct element element;

	if (element_read_complete(&element, message->bytes, message->length) && range_equals(element.name, "handshake"))
		step_up(link);
	else if (is_stream_error(message))
		link_fail(link, "refused by the session manager: wrong secret or name");
	else
		link_fail(link, "the session manager answers our proof with something else");
}

static void
link_say_goodbye(struct link *link)
{
	bool said = link->state == LINK_UP && link_send(link, "</stream:stream>", strlen("</stream:stream>"));

	timer_clear(link->loop, &link->retry);
	change_state(link, LINK_CLOSED);
	if (!said) {
		link_disconnect(link);
		link->on_closed(link);
		return;
	}
	timer_set(link->loop, &link->step, CLOSE_TIME, on_step_timeout);
}

/* What is queued stays queued, and nobody will take it. */
static void
link_lost_for_good(struct link *link)
{
	if (link->watch.fd < 0)
		return;
	link_disconnect(link);
	link->on_closed(link);
}

static void
fsm_connecting(struct link *link, enum link_event event, const struct link_message *message)
{
	switch (event) {
	case LINK_EVENT_CONNECTED:
		step_header(link);
		break;
	case LINK_EVENT_HEADER:
		if (link->state == LINK_HEADER)
			step_handshake(link, message);
		break;
	case LINK_EVENT_ELEMENT:
		if (link->state == LINK_HANDSHAKE)
			handshake_answer(link, message);
		break;
	case LINK_EVENT_FAILED:
		link_failed(link, message->why);
		break;
	case LINK_EVENT_CLOSE:
		link_say_goodbye(link);
		break;
	case LINK_EVENT_TRY:
		break;
	}
}

static void
fsm_up(struct link *link, enum link_event event, const struct link_message *message)
{
	switch (event) {
	case LINK_EVENT_ELEMENT:
		if (is_stream_error(message))
			link_fail(link, "ended by the session manager");
		else
			link->on_packet(link, message->bytes, message->length);
		break;
	case LINK_EVENT_FAILED:
		link_failed(link, message->why);
		break;
	case LINK_EVENT_CLOSE:
		link_say_goodbye(link);
		break;
	case LINK_EVENT_TRY:
	case LINK_EVENT_CONNECTED:
	case LINK_EVENT_HEADER:
		break;
	}
}

static void
link_fsm(struct link *link, enum link_event event, const struct link_message *message)
{
	switch (link->state) {
	case LINK_DOWN:
		if (event == LINK_EVENT_TRY)
			step_connect(link);
		else if (event == LINK_EVENT_CLOSE)
			link_say_goodbye(link);
		break;
	case LINK_CONNECTING:
	case LINK_HEADER:
	case LINK_HANDSHAKE:
		fsm_connecting(link, event, message);
		break;
	case LINK_UP:
		fsm_up(link, event, message);
		break;
	case LINK_CLOSED:
		if (event == LINK_EVENT_ELEMENT)
			link->on_packet(link, message->bytes, message->length);
		else if (event == LINK_EVENT_FAILED)
			link_lost_for_good(link);
		break;
	}
}

void
link_start(struct link *link)
{
	link_fsm(link, LINK_EVENT_TRY, NULL);
}

void
link_close(struct link *link)
{
	link_fsm(link, LINK_EVENT_CLOSE, NULL);
}

void
link_changed(struct link *link, size_t element_max)
{
	link->splitter.element_max = element_max;
	link->last_failure = NULL;
	if (link->state != LINK_DOWN || !timer_is_set(&link->retry))
		return;
	link->failures = 0;
	timer_set(link->loop, &link->retry, 0, on_retry);
}

void
link_init(struct link *link, struct loop *loop, size_t element_max)
{
	link->loop = loop;
	link->watch.fd = -1;
	link->state = LINK_DOWN;
	link->choked = true;
	splitter_init(&link->splitter, element_max);
	STAILQ_INIT(&link->queue);
}

void
link_deinit(struct link *link)
{
	struct link_packet *packet;

	if (link->loop == NULL)
		return;
	link_disconnect(link);
	timer_clear(link->loop, &link->retry);
	job_cancel(link->loop, &link->flush);
	while ((packet = STAILQ_FIRST(&link->queue)) != NULL) {
		STAILQ_REMOVE_HEAD(&link->queue, entry);
		free(packet);
	}
	link->loop = NULL;
}
