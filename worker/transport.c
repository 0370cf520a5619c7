#include "worker/transport.h"

#include <errno.h>
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
transport_shut(struct client *client)
{
	if (client->tls != NULL)
		tls_close(client->tls);
	/* What still comes is thrown away as it comes, and there may be many who wait for that. */
	tls_free(&client->tls);
	shutdown(client->watch.fd, SHUT_WR);
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
