#include "worker/handshake.h"

#include <errno.h>

#include "worker/client_log.h"
#include "worker/transport.h"
#include "worker/worker.h"

/* RFC 8446 5.1: the type of a record that holds a handshake, which every ClientHello begins with. */
#define RECORD_HANDSHAKE 0x16

/* White space that is stepped over at once, where it is forgiven. */
#define LOOK_SIZE 64

void
handshake_fail(struct client *client, enum end_reason reason, const char *why)
{
	/* One that has begun is counted where it ends, whoever ends it. */
	client->worker->counters.handshakes_failed += client->state == CLIENT_PREFACE;
	client_end(client, reason, CONDITION_NONE, why);
}

/* Of a client that has asked for TLS its login is still there: it says which host the certificate is for. */
static bool
has_asked(const struct client *client)
{
	return client->login != NULL;
}

/* How many of the bytes that wait are white space that was sent between <starttls/> and the handshake. */
static size_t
forgiven(const struct client *client, const uint8_t *bytes, size_t length)
{
	size_t blank = 0;

	while (has_asked(client) && blank < length && stream_is_whitespace(bytes + blank, 1))
		blank++;
	return blank;
}

static void
decide(struct client *client, uint8_t first)
{
	if (first == RECORD_HANDSHAKE)
		client_fsm(client, CLIENT_TLS_COMES, NULL);
	else if (has_asked(client))
		handshake_fail(client, END_TLS_FAILED, "clear text behind <starttls/>");
	else if (client->listen_tls == LISTEN_TLS_DIRECT)
		handshake_fail(client, END_TLS_FAILED, "begins with no handshake");
	else
		client_fsm(client, CLIENT_STREAM_COMES, NULL);
}

void
handshake_look(struct client *client)
{
	uint8_t bytes[LOOK_SIZE];
	ssize_t length = transport_peek(client, bytes, sizeof bytes);
	size_t blank;

	if (length == 0)
		client_fsm(client, CLIENT_HUNG_UP, NULL);
	else if (length < 0 && length != -EAGAIN)
		client_lose(client, END_LOST);
	if (length <= 0)
		return;
	blank = forgiven(client, bytes, (size_t)length);
	if (blank > 0 && transport_read(client, bytes, blank) != (ssize_t)blank)
		client_lose(client, END_LOST);
	else if (blank < (size_t)length)
		decide(client, bytes[blank]);
}

bool
handshake_begin(struct client *client)
{
	struct tls_context *context = client->worker->keys.context;

	if (!tls_context_usable(context)) {
		handshake_fail(client, END_TLS_FAILED, "no certificate");
		return false;
	}
	client->tls = tls_new(context, client->watch.fd, has_asked(client) ? client->login->host : NULL);
	if (client->tls == NULL)
		client_broken(client);
	return client->tls != NULL;
}

static void
succeed(struct client *client)
{
	struct worker_counters *counters = &client->worker->counters;

	counters->handshakes++;
	counters->resumed += tls_facts(client->tls)->resumed;
	client_log_secured(client);
	client_fsm(client, CLIENT_SECURED, NULL);
}

void
handshake_go_on(struct client *client)
{
	int progress = transport_handshake(client);

	client->wants_write = progress == TLS_WANTS_WRITE;
	switch (progress) {
	case TLS_WANTS_READ:
	case TLS_WANTS_WRITE:
		client_wants(client);
		return;
	case TLS_READY:
		succeed(client);
		return;
	case TLS_FAILED:
		handshake_fail(client, END_TLS_FAILED, tls_error(client->tls));
		return;
	case TLS_CLOSED:
		client_lose(client, END_LOST);
		return;
	default:
		client_broken(client);
	}
}
