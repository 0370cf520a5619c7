#include "bench/crowd.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/descriptors.h"

#define EVENTS 256

static const char *const marks[] = {
	[STEP_STARTTLS] = "</stream:features>",
	[STEP_PROCEED] = "<proceed",
	[STEP_HEADER] = "</stream:features>",
	[STEP_LOGIN] = "id='login'",
	[STEP_ROSTER] = "id='roster'",
	[STEP_BYTE] = ".",
};

/* Who is ready stays. */
static bool
crowd_stays(const struct crowd *crowd)
{
	return crowd->task == CROWD_STAY || crowd->task == CROWD_HOLD;
}

static void client_connect(struct crowd *crowd, struct crowd_client *client);

static void
fail(const char *what)
{
	fprintf(stderr, "crowd: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void
fail_tls(const char *what)
{
	unsigned long error = ERR_get_error();

	fprintf(stderr, "crowd: %s: %s\n", what, error == 0 ? strerror(errno) : ERR_error_string(error, NULL));
	exit(1);
}

static void
client_say(const struct crowd_client *client, const char *text)
{
	size_t length = strlen(text);

	/* A socket that has only just been opened takes this much at once. */
	if (client->ssl != NULL && SSL_write(client->ssl, text, (int)length) != (int)length)
		fail_tls("SSL_write");
	if (client->ssl == NULL && send(client->fd, text, length, MSG_NOSIGNAL) != (ssize_t)length)
		fail("send");
}

static void
client_say_header(const struct crowd *crowd, const struct crowd_client *client)
{
	char text[256];

	snprintf(text, sizeof text, "<?xml version='1.0'?><stream:stream xmlns='jabber:client' "
	    "xmlns:stream='http://etherx.jabber.org/streams' to='%s' version='1.0' xml:lang='en'>", crowd->host);
	client_say(client, text);
}

static void
client_log_in(const struct crowd *crowd, const struct crowd_client *client)
{
	char text[256];

	snprintf(text, sizeof text, "<iq type='set' id='login'><query xmlns='jabber:iq:auth'><username>u%" PRIu32
	    "</username><password>secret</password><resource>r%" PRIu32 "</resource></query></iq>",
	    client->number / crowd->resources, client->number % crowd->resources);
	client_say(client, text);
}

/* ---- TLS ---- */

static int
on_session(SSL *ssl, SSL_SESSION *session)
{
	struct crowd_client *client = SSL_get_app_data(ssl);

	SSL_SESSION_free(client->session);
	client->session = session;
	return 1;
}

static SSL_CTX *
context_new(bool resume)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());

	if (context == NULL)
		fail_tls("SSL_CTX_new");
	SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
	SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_session_cache_mode(context,
	    resume ? SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE : SSL_SESS_CACHE_OFF);
	if (resume)
		SSL_CTX_sess_set_new_cb(context, on_session);
	return context;
}

static void
client_greet_tls(struct crowd *crowd, struct crowd_client *client)
{
	client->step = STEP_HANDSHAKE;
	client->ssl = SSL_new(crowd->context);
	if (client->ssl == NULL || SSL_set_fd(client->ssl, client->fd) != 1 ||
	    SSL_set_tlsext_host_name(client->ssl, (uintptr_t)crowd->host) != 1)
		fail_tls("SSL_new");
	SSL_set_app_data(client->ssl, client);
	SSL_set_connect_state(client->ssl);
	if (client->session != NULL && SSL_set_session(client->ssl, client->session) != 1)
		fail_tls("SSL_set_session");
}

/* True: it is done. */
static bool
client_shake(struct crowd *crowd, struct crowd_client *client)
{
	int result = SSL_do_handshake(client->ssl);

	if (result == 1) {
		crowd->resumed += SSL_session_reused(client->ssl) == 1;
		return true;
	}
	if (SSL_get_error(client->ssl, result) != SSL_ERROR_WANT_READ)
		fail_tls("handshake");
	return false;
}

/* ---- one client ---- */

static void
client_hang_up(struct crowd_client *client)
{
	if (client->ssl != NULL)
		SSL_shutdown(client->ssl);
	SSL_free(client->ssl);
	client->ssl = NULL;
	close(client->fd);
	client->fd = -1;
}

static void
crowd_next(struct crowd *crowd, struct crowd_client *place)
{
	if (crowd->started == crowd->count)
		return;
	place->number = crowd->first + crowd->started++;
	client_connect(crowd, place);
}

static void
client_is_ready(struct crowd *crowd, struct crowd_client *client)
{
	crowd->ready++;
	if (crowd_stays(crowd)) {
		client->step = STEP_IDLE;
		if (crowd->started < crowd->count)
			crowd_next(crowd, &crowd->clients[crowd->started]);
		return;
	}
	if (crowd->task == CROWD_LEAVE)
		client_say(client, "</stream:stream>");
	client_hang_up(client);
	crowd_next(crowd, client);
}

static void
client_begin_stream(struct crowd *crowd, struct crowd_client *client)
{
	bool speaks = crowd->task == CROWD_STAY || crowd->task == CROWD_LEAVE;

	client->step = speaks ? STEP_HEADER : STEP_BYTE;
	if (speaks)
		client_say_header(crowd, client);
}

/* What it waited for has come. */
static void
client_go_on(struct crowd *crowd, struct crowd_client *client)
{
	client->seen = 0;
	switch ((enum crowd_step)client->step) {
	case STEP_STARTTLS:
		client->step = STEP_PROCEED;
		client_say(client, "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
		break;
	case STEP_PROCEED:
		client_greet_tls(crowd, client);
		client_shake(crowd, client);
		break;
	case STEP_HEADER:
		client->step = STEP_LOGIN;
		client_log_in(crowd, client);
		break;
	case STEP_LOGIN:
		client->step = STEP_ROSTER;
		if (crowd->task == CROWD_STAY)
			client_say(client, "<presence/><iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq>");
		else
			client_is_ready(crowd, client);
		break;
	case STEP_ROSTER:
	case STEP_BYTE:
		client_is_ready(crowd, client);
		break;
	case STEP_CONNECT:
	case STEP_HANDSHAKE:
	case STEP_IDLE:
		break;
	}
}

/* Bytes that came; 0: none now. */
static size_t
client_receive(struct crowd_client *client, char *bytes, size_t size)
{
	ssize_t length;

	if (client->ssl == NULL) {
		length = recv(client->fd, bytes, size, MSG_DONTWAIT);
		if (length < 0 && errno == EAGAIN)
			return 0;
	} else {
		length = SSL_read(client->ssl, bytes, (int)size);
		if (length <= 0 && SSL_get_error(client->ssl, (int)length) == SSL_ERROR_WANT_READ)
			return 0;
	}
	if (length <= 0)
		fail_tls("a client was closed");
	return (size_t)length;
}

static void
client_hear(struct crowd *crowd, struct crowd_client *client)
{
	char bytes[CROWD_MARK_MAX + 8192];
	size_t seen = client->seen, length, mark;
	const char *wanted;

	memcpy(bytes, client->end, seen);
	length = client_receive(client, bytes + seen, sizeof bytes - seen);
	if (length == 0 || client->step == STEP_IDLE)
		return;
	seen += length;
	if (memmem(bytes, seen, "type='error'", 12) != NULL || memmem(bytes, seen, "stream:error", 12) != NULL) {
		fprintf(stderr, "crowd: refused: %.*s\n", (int)seen, bytes);
		exit(1);
	}
	wanted = marks[client->step];
	mark = strlen(wanted);
	if (memmem(bytes, seen, wanted, mark) != NULL) {
		client_go_on(crowd, client);
		return;
	}
	client->seen = (uint8_t)(seen < mark ? seen : mark - 1);
	memcpy(client->end, bytes + seen - client->seen, client->seen);
}

static void
on_ready(struct crowd *crowd, struct crowd_client *client)
{
	if (client->step == STEP_HANDSHAKE) {
		if (client_shake(crowd, client))
			client_begin_stream(crowd, client);
		return;
	}
	client_hear(crowd, client);
	/* What one record held and one read did not fetch; epoll does not know of it. */
	while (client->ssl != NULL && client->step != STEP_HANDSHAKE && SSL_pending(client->ssl) > 0)
		client_hear(crowd, client);
}

static void
client_open_socket(const struct crowd *crowd, struct crowd_client *client)
{
	int on = 1;

	client->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (client->fd < 0)
		fail("socket");
	/* Without it every bind would take a port that no other destination can use. */
	setsockopt(client->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
	setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	if (bind(client->fd, (const struct sockaddr *)&crowd->source, sizeof crowd->source) < 0)
		fail("bind");
	if (connect(client->fd, (const struct sockaddr *)&crowd->service, sizeof crowd->service) < 0)
		fail("connect");
	if (ioctl(client->fd, FIONBIO, &on) < 0)
		fail("ioctl");
}

static void
client_connect(struct crowd *crowd, struct crowd_client *client)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = client };

	client_open_socket(crowd, client);
	client->seen = 0;
	if (epoll_ctl(crowd->epoll_fd, EPOLL_CTL_ADD, client->fd, &event) < 0)
		fail("epoll_ctl");
	if (crowd->tls == CROWD_DIRECT) {
		client_greet_tls(crowd, client);
		client_shake(crowd, client);
	} else {
		client->step = crowd->tls == CROWD_STARTTLS ? STEP_STARTTLS : STEP_HEADER;
		client_say_header(crowd, client);
	}
}

/* ---- all of them ---- */

void
crowd_start(struct crowd *crowd)
{
	size_t places = crowd_stays(crowd) ? crowd->count : CROWD_UNDER_WAY;

	descriptors_all();
	crowd->clients = calloc(places, sizeof crowd->clients[0]);
	crowd->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (crowd->clients == NULL || crowd->epoll_fd < 0)
		fail("no memory or descriptors");
	if (crowd->tls != CROWD_PLAIN)
		crowd->context = context_new(crowd->resume);
	for (uint32_t i = 0; i < CROWD_UNDER_WAY; i++)
		crowd_next(crowd, &crowd->clients[i]);
}

void
crowd_run(struct crowd *crowd, void (*ready)(const struct crowd *crowd))
{
	struct epoll_event input = { .events = EPOLLIN, .data.ptr = NULL };
	bool told = false;

	if (crowd_stays(crowd) && epoll_ctl(crowd->epoll_fd, EPOLL_CTL_ADD, STDIN_FILENO, &input) < 0)
		fail("the input is no pipe");
	for (;;) {
		struct epoll_event events[EVENTS];
		int count = epoll_wait(crowd->epoll_fd, events, EVENTS, -1);

		if (count < 0 && errno != EINTR)
			fail("epoll_wait");
		for (int i = 0; i < count; i++) {
			if (events[i].data.ptr == NULL)
				return;
			on_ready(crowd, events[i].data.ptr);
		}
		if (!told && crowd->ready == crowd->count) {
			told = true;
			ready(crowd);
			if (!crowd_stays(crowd))
				return;
		}
	}
}
