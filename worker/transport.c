#include "worker/transport.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "worker/worker.h"

/* What is thrown away in one turn. */
#define DISCARD_SIZE 16384

/* What OpenSSL holds for a handshake, more or less (measured: bench). */
#define HANDSHAKE_MEMORY 40000

/* What has come from the network is what counts, whatever it means. */
static ssize_t
received(struct client *client, ssize_t length)
{
	if (length > 0)
		karma_charge(&client->karma, &client->worker->karma, loop_now(&client->worker->loop), (size_t)length);
	return length;
}

static ssize_t
outcome(ssize_t length)
{
	if (length >= 0)
		return length;
	return errno == EINTR ? -EAGAIN : -errno;
}

ssize_t
transport_read(struct client *client, void *bytes, size_t size)
{
	uint64_t before;
	ssize_t length;

	if (client->tls == NULL)
		return outcome(received(client, recv(client->watch.fd, bytes, size, MSG_DONTWAIT)));
	before = tls_received(client->tls);
	length = tls_read(client->tls, bytes, size);
	received(client, (ssize_t)(tls_received(client->tls) - before));
	return length;
}

int
transport_handshake(struct client *client)
{
	uint64_t before = tls_received(client->tls);
	int progress = tls_handshake(client->tls);

	received(client, (ssize_t)(tls_received(client->tls) - before));
	return progress;
}

bool
transport_has_more(const struct client *client)
{
	return client->tls != NULL && tls_has_more(client->tls);
}

bool
transport_reads_when_writable(const struct client *client)
{
	return client->tls != NULL && tls_read_wants_write(client->tls);
}

bool
transport_has_ended(const struct client *client)
{
	/* Without a word of TLS: because TCP has ended. */
	return client->tls == NULL || tls_error(client->tls) != NULL;
}

ssize_t
transport_peek(struct client *client, void *bytes, size_t size)
{
	return outcome(recv(client->watch.fd, bytes, size, MSG_PEEK | MSG_DONTWAIT));
}

ssize_t
transport_write(struct client *client, const void *bytes, size_t length)
{
	if (client->tls != NULL)
		return tls_write(client->tls, bytes, length);
	return outcome(send(client->watch.fd, bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT));
}

ssize_t
transport_discard(struct client *client)
{
	static char bytes[DISCARD_SIZE];

	return outcome(received(client, recv(client->watch.fd, bytes, sizeof bytes, MSG_DONTWAIT)));
}

void
transport_tune(const struct client *client)
{
	const struct client_limits *limits = &client->worker->settings.limits;
	int size = (int)limits->send_buffer_bytes;
	unsigned time = limits->dead_time;

	/* Fails on what is no TCP socket, and that is no matter. */
	if (size > 0)
		setsockopt(client->watch.fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
	setsockopt(client->watch.fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &time, sizeof time);
}

uint64_t
transport_sent(const struct client *client)
{
	return client->tls == NULL ? client->bytes_out : tls_sent(client->tls);
}

uint64_t
transport_unacknowledged(const struct client *client)
{
	int length;

	if (ioctl(client->watch.fd, SIOCOUTQ, &length) < 0 || length <= 0)
		return 0;
	/* A FIN counts as one, and is acknowledged last. */
	return (uint64_t)length - client->shut;
}

void
transport_reset(const struct client *client)
{
	static const struct linger now = { .l_onoff = 1, .l_linger = 0 };

	setsockopt(client->watch.fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

bool
transport_stands(const struct client *client)
{
	char byte;

	/* Of no byte nothing is sent, but the kernel looks whether any could be. */
	if (!client->shut)
		return send(client->watch.fd, "", 0, MSG_NOSIGNAL | MSG_DONTWAIT) == 0;
	return recv(client->watch.fd, &byte, sizeof byte, MSG_PEEK | MSG_DONTWAIT) >= 0 || errno == EAGAIN;
}

uint64_t
transport_shut(struct client *client)
{
	uint64_t sent;

	if (client->tls != NULL)
		tls_close(client->tls);
	sent = transport_sent(client);
	/* What still comes is thrown away as it comes, and there may be many who wait for that. */
	tls_free(&client->tls);
	/* Without a FIN none is counted (transport_unacknowledged). */
	if (shutdown(client->watch.fd, SHUT_WR) < 0 && sent > 0)
		sent--;
	return sent;
}

size_t
transport_memory(const struct client *client)
{
	return (client->state == CLIENT_HANDSHAKE ? HANDSHAKE_MEMORY : 0) + (client->tls == NULL ? 0 : tls_held(client->tls));
}

void
transport_free(struct client *client)
{
	tls_free(&client->tls);
}
