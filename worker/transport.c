#include "worker/transport.h"

#include <errno.h>
#include <sys/socket.h>

#include "worker/client.h"

/* What is thrown away in one turn. */
#define DISCARD_SIZE 16384

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
	return outcome(recv(client->watch.fd, bytes, size, MSG_DONTWAIT));
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

	return outcome(recv(client->watch.fd, bytes, sizeof bytes, MSG_DONTWAIT));
}

void
transport_shut(struct client *client)
{
	shutdown(client->watch.fd, SHUT_WR);
}
