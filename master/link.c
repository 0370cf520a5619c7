#include "master/link.h"

#include <bsd/stdlib.h>
#include <errno.h>
#include <inttypes.h>
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

/* For the session manager's end, after ours. */
#define CLOSE_TIME 2000

/* A stream whose resumption was left without an answer as often as this is given up: nobody may know it any more. */
#define UNANSWERED_MAX 3

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
static void not_enabled(struct link *link, const char *why);
static void stream_lost(struct link *link);

/* There was a stream that can be resumed; on a connection that counts: this one can be. */
static bool
can_resume(const struct link *link)
{
	return link->ack.id[0] != '\0';
}

static void
link_fail(struct link *link, const char *why)
{
	struct link_message message = { .why = why };

	link_fsm(link, LINK_EVENT_FAILED, &message);
}

const char *
link_state_name(enum link_state state)
{
	static const char *const names[] = { "down", "connecting", "header", "handshake", "enabling", "up", "closed" };

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

/*
 * The session manager has answered before, and does not when it is asked to resume, or complains of that: it may be another
 * one by now, which would never let the link come up. (That the link breaks says nothing.)
 */
static void
not_answered(struct link *link)
{
	if (link->state == LINK_ENABLING && can_resume(link) && ++link->unanswered >= UNANSWERED_MAX)
		stream_lost(link);
}

static void
on_step_timeout(struct timer *timer)
{
	struct link *link = container_of(timer, struct link, step);

	if (link->state == LINK_CLOSED) {
		link->on_closed(link);
	} else if (link->state == LINK_ENABLING && !can_resume(link)) {
		not_enabled(link, "no answer in time");
	} else {
		not_answered(link);
		link_fail(link, "no answer in time");
	}
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
	outbox_cut(&link->outbox, link->ack.on || can_resume(link));
	ack_suspend(&link->ack);
	link->answer_due = false;
}

/* What was sent and not acknowledged is sent again, to a session manager that does not know the stream any more. */
static void
stream_lost(struct link *link)
{
	if (ack_waiting(&link->ack) > 0)
		log_info("link not-resumed again=%" PRIu32, ack_waiting(&link->ack));
	ack_forget(&link->ack);
	outbox_requeue(&link->outbox, link->blamed, true);
	link->blamed = false;
	link->unanswered = 0;
	link->on_lost(link);
}

static void
link_failed(struct link *link, const char *why)
{
	bool was_up = link->state == LINK_UP;
	/* It lives, and has worked, if not for long: no reason to wait longer. */
	bool progress = link->resumed && link->ack.acknowledged + link->ack.received != link->begun;

	/* Who does not want to be asked may say so by closing. One that has answered before is known to want it. */
	if (link->state == LINK_ENABLING)
		link->unasked = link->spawn == NULL && !can_resume(link);
	if (was_up)
		log_warning("link lost reason=\"%s\"", why);
	else
		log_warning("link not-open reason=\"%s\"", why);
	link->last_failure = why;
	if (was_up && (progress || loop_now(link->loop) - link->up_since > UP_LONG))
		link->failures = 0;
	link_disconnect(link);
	change_state(link, LINK_DOWN);
	retry_later(link);
	if (was_up) {
		link->choked = true;
		link->on_flow(link, false);
		link->on_down(link);
		if (!can_resume(link))
			stream_lost(link);
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
	bool ask = link->ack.on && !link->ack.asked && link->state == LINK_UP, last;
	struct iovec vectors[WRITE_VECTORS + 1];
	struct msghdr message = { .msg_iov = vectors };
	char *end = ask ? request : line_feed;
	size_t packets;
	ssize_t length;

	/* Something of the link's own waits for the end of the packet that was begun. */
	message.msg_iovlen = outbox_gather(&link->outbox, &link->ack, vectors,
	    buffer_length(&link->prelude) > 0 ? 1 : WRITE_VECTORS, &packets, &last);
	if (last || ask)
		vectors[message.msg_iovlen++] = (struct iovec){ end, strlen(end) };
	length = sendmsg(link->watch.fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (length <= 0)
		return length;
	outbox_written(&link->outbox, &link->ack, (size_t)length < packets ? (size_t)length : packets);
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

	if (length > 0)
		buffer_consume(&link->prelude, (size_t)length);
	return length;
}

static bool
has_unsent(const struct link *link)
{
	return buffer_length(&link->prelude) > 0 ||
	    ((link->state == LINK_UP || link->state == LINK_CLOSED) && outbox_has_more(&link->outbox, &link->ack));
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

/* Who takes nothing; not who cannot acknowledge because we do not read it. */
static const char *
why_given_up(const struct link *link)
{
	size_t bytes = is_unread(link) ? link->outbox.queued : link_backlog(link);

	if (link->state != LINK_UP || link->bound == 0 || bytes <= link->bound || bytes <= link->backlog)
		return NULL;
	return link->outbox.queued > link->outbox.unacknowledged ? "the session manager reads nothing" :
	    "the session manager acknowledges nothing";
}

static void
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
	while (has_unsent(link)) {
		bool between = buffer_length(&link->prelude) > 0 && link->outbox.head_written == 0;
		ssize_t length = between ? write_prelude(link) : write_queue(link);

		if (length < 0 && errno == EAGAIN)
			break;
		if (length < 0 && errno != EINTR) {
			link_broke(link, errno);
			return;
		}
	}
	why = why_given_up(link);
	if (why != NULL) {
		link_fail(link, why);
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
	if (link->state == LINK_CLOSED || !outbox_add(&link->outbox, bytes, length, true))
		return false;
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
	/* What they could not acknowledge meanwhile is no fault of theirs. */
	if (on && link->backlog < link_backlog(link))
		link->backlog = link_backlog(link);
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
	link->backlog = link_backlog(link);
	link->begun = link->ack.acknowledged + link->ack.received;
	log_info("link up name=%s dialect=%s acknowledged=%s", link->name, link->dialect->name, link->ack.on ? "yes" : "no");
	link->choked = link->backlog > link->high;
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
	/* With an address it is for a client. */
	if (!element_read_complete(&element, message->bytes, message->length) ||
	    !range_equals(element.name, "stream:error") || element_attribute(&element, "sto", &sto))
		return false;
	snprintf(text, sizeof text, "%.*s", (int)(message->length < sizeof text ? message->length : sizeof text),
	    (const char *)message->bytes);
	log_warning("link error-received text=%s", log_quote(quoted, sizeof quoted, text));
	return true;
}

/* The session manager works without; what was asked for is not waited for any more. */
static void
not_enabled(struct link *link, const char *why)
{
	log_warning("link not-acknowledged reason=\"%s\"", why);
	step_up(link);
}

static void
step_enable(struct link *link)
{
	bool asks = link->acknowledge && !link->unasked;

	if (!asks && can_resume(link))
		stream_lost(link);
	link->resumed = false;
	if (!link->acknowledge) {
		step_up(link);
		return;
	}
	if (!asks) {
		link->unasked = false;
		not_enabled(link, "it ended the link when it was asked");
		return;
	}
	change_state(link, LINK_ENABLING);
	step_begins(link);
	if (can_resume(link))
		ack_write_resume(&link->prelude, &link->ack);
	else
		ack_write_enable(&link->prelude);
	buffer_append(&link->prelude, "\n", 1);
	job_queue(link->loop, &link->flush, on_flush);
}

/* What they say of our counters cannot be: there is nothing that could be resumed from there. */
static void
counts_broken(struct link *link, const char *why)
{
	bool resuming = link->state == LINK_ENABLING && can_resume(link);

	if (resuming)
		stream_lost(link);
	link->ack.id[0] = '\0';
	link_fail(link, why);
	/* That was no answer to the question. */
	if (resuming)
		link->unasked = false;
}

static void
stream_resumed(struct link *link, const struct ack_element *element)
{
	uint32_t fresh;

	if (element->id.at != NULL && !range_decodes_to(element->id, link->ack.id)) {
		counts_broken(link, "the session manager resumes another stream");
		return;
	}
	if (!ack_resume(&link->ack, element->h, &fresh)) {
		counts_broken(link, "the session manager acknowledges what was not sent");
		return;
	}
	outbox_acknowledged(&link->outbox, fresh);
	log_info("link resumed acknowledged=%" PRIu32 " again=%zu", fresh, link->outbox.unacknowledged);
	outbox_requeue(&link->outbox, link->blamed, false);
	link->blamed = false;
	link->unanswered = 0;
	link->resumed = true;
	link->resumptions++;
	step_up(link);
}

static void
stream_refused(struct link *link, const struct ack_element *element)
{
	uint32_t fresh;

	if (!can_resume(link)) {
		not_enabled(link, "refused");
		return;
	}
	if (element->counted && ack_take(&link->ack, element->h, &fresh))
		outbox_acknowledged(&link->outbox, fresh);
	stream_lost(link);
	step_enable(link);
}

static void
enabling_answer(struct link *link, const struct link_message *message)
{
	struct ack_element element;

	ack_read(&element, message->bytes, message->length);
	switch (element.kind) {
	case ACK_NONE:
		/* One that does not know what it was asked may go on as if nothing had been. */
		if (is_stream_error(message)) {
			not_answered(link);
			link_fail(link, "ended by the session manager");
		} else {
			link->on_packet(link, message->bytes, message->length);
		}
		break;
	case ACK_ENABLED:
		if (can_resume(link)) {
			counts_broken(link, "the session manager enables what was to be resumed");
			break;
		}
		ack_begin(&link->ack, element.resume ? element.id : (struct range){ 0 });
		step_up(link);
		break;
	case ACK_RESUMED:
		if (can_resume(link))
			stream_resumed(link, &element);
		else
			link_fail(link, "the session manager resumes what was not");
		break;
	case ACK_ENABLE:	/* sent back, as an error most likely */
	case ACK_FAILED:
		stream_refused(link, &element);
		break;
	case ACK_RESUME:
	case ACK_REQUEST:
	case ACK_ANSWER:
	case ACK_GARBLED:
		counts_broken(link, "the session manager acknowledges out of place");
		break;
	}
}

static void
acknowledged(struct link *link, uint32_t h)
{
	uint32_t fresh;

	link->ack.asked = false;
	if (!ack_take(&link->ack, h, &fresh)) {
		counts_broken(link, "the session manager acknowledges what was not sent");
		return;
	}
	outbox_acknowledged(&link->outbox, fresh);
	/* Else it is asked for behind the next packet; where none may be written before an answer, there is no next one. */
	if (!outbox_has_more(&link->outbox, &link->ack) && ack_should_ask(&link->ack) && link->state == LINK_UP) {
		ack_write_request(&link->prelude, &link->ack);
		buffer_append(&link->prelude, "\n", 1);
	}
	job_queue(link->loop, &link->flush, on_flush);
}

static void
counts_arrived(struct link *link, const struct ack_element *element)
{
	switch (element->kind) {
	case ACK_REQUEST:
		link->answer_due = true;
		job_queue(link->loop, &link->flush, on_flush);
		break;
	case ACK_ANSWER:
		acknowledged(link, element->h);
		break;
	case ACK_NONE:
	case ACK_ENABLE:
	case ACK_ENABLED:
	case ACK_RESUME:
	case ACK_RESUMED:
	case ACK_FAILED:
	case ACK_GARBLED:
		counts_broken(link, "the session manager acknowledges out of place");
		break;
	}
}

/* It is acknowledged when on_packet has taken it. */
static void
packet_arrived(struct link *link, const struct link_message *message)
{
	struct ack_element element = { 0 };

	if (link->acknowledge || link->ack.on)
		ack_read(&element, message->bytes, message->length);
	if (element.kind != ACK_NONE && link->ack.on) {
		counts_arrived(link, &element);
		return;
	}
	if (element.kind == ACK_ENABLED) {
		link_fail(link, "the session manager enables acknowledgement too late");
		return;
	}
	if (link->ack.on)
		link->ack.received++;
	link->on_packet(link, message->bytes, message->length);
}

static void
handshake_answer(struct link *link, const struct link_message *message)
{
	struct element element;

	if (element_read_complete(&element, message->bytes, message->length) && range_equals(element.name, "handshake"))
		step_enable(link);
	else if (is_stream_error(message))
		link_fail(link, "refused by the session manager: wrong secret or name");
	else
		link_fail(link, "the session manager answers our proof with something else");
}

static void
link_say_goodbye(struct link *link)
{
	static const char end[] = "</stream:stream>";
	bool said = link->state == LINK_UP && outbox_add(&link->outbox, end, strlen(end), false);

	timer_clear(link->loop, &link->retry);
	change_state(link, LINK_CLOSED);
	if (!said) {
		link_disconnect(link);
		link->on_closed(link);
		return;
	}
	/* Nobody waits for anything any more. */
	link->outbox.window = 0;
	job_queue(link->loop, &link->flush, on_flush);
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
		else if (link->state == LINK_ENABLING)
			enabling_answer(link, message);
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
		if (is_stream_error(message)) {
			link->blamed = link->ack.on;
			link_fail(link, "ended by the session manager");
		} else {
			packet_arrived(link, message);
		}
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
	case LINK_ENABLING:
		fsm_connecting(link, event, message);
		break;
	case LINK_UP:
		fsm_up(link, event, message);
		break;
	case LINK_CLOSED:
		if (event == LINK_EVENT_ELEMENT)
			packet_arrived(link, message);
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
	outbox_init(&link->outbox);
}

void
link_deinit(struct link *link)
{
	if (link->loop == NULL)
		return;
	link_disconnect(link);
	timer_clear(link->loop, &link->retry);
	job_cancel(link->loop, &link->flush);
	outbox_deinit(&link->outbox);
	link->loop = NULL;
}
