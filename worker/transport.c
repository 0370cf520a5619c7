#include "worker/transport.h"

#include <errno.h>
#include <sys/socket.h>

#include "worker/worker.h"

/* What is thrown away in one turn. */
#define DISCARD_SIZE 16384

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
	return outcome(received(client, recv(client->watch.fd, bytes, size, MSG_DONTWAIT)));
}

ssize_t
transport_peek(struct client *client, void *bytes, size_t size)
{
	return outcome(recv(client->watch.fd, bytes, size, MSG_PEEK | MSG_DONTWAIT));
}

ssize_t
transport_write(struct client *client, const void *bytes, size_t length)
{
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
	shutdown(client->watch.fd, SHUT_WR);
}
