#include "worker/origin.h"

#include <errno.h>
#include <string.h>

#include "worker/client.h"
#include "worker/proxy.h"
#include "worker/transport.h"
#include "worker/worker.h"

static void
send_address(struct client *client)
{
	struct buffer body = { 0 };

	message_put_address(&body, &client->peer);
	channel_send(&client->worker->channel, W2M_ADDRESS, client->slot, client->serial, &body);
	buffer_deinit(&body);
}

static bool
peers_are_equal(const struct peer *one, const struct peer *other)
{
	return one->port == other->port && memcmp(&one->address, &other->address, sizeof one->address) == 0;
}

/* Version 1 has no LOCAL: haproxy's health checks name the proxy's own end of the connection. */
static void
take_peer(struct client *client, const struct peer *peer)
{
	client->is_check = peers_are_equal(&client->peer, peer);
	if (client->is_check)
		return;
	client->peer = *peer;
	send_address(client);
	/* A login that came in the same segment would be read before anybody knows how many of that address have failed. */
	unread_begin(client, UNREAD_ASKED);
}

/* The bytes are there: they were looked at. False: the connection was lost in between. */
static bool
take_header(struct client *client, size_t length)
{
	uint8_t bytes[PROXY_HEADER_MAX];

	return transport_read(client, bytes, length) == (ssize_t)length;
}

static bool
take(struct client *client, const uint8_t *bytes, size_t length)
{
	struct proxy_header header;

	client->is_check = false;
	switch (proxy_parse(bytes, length, &header)) {
	case PROXY_MORE:
		client->half_header = true;
		return false;
	case PROXY_PEER:
		take_peer(client, &header.peer);
		break;
	case PROXY_LOCAL:
		client->is_check = true;
		break;
	case PROXY_UNKNOWN:
		break;
	case PROXY_FAILED:
		client_end(client, END_PROXY_FAILED, CONDITION_NONE, proxy_fault_name(header.fault));
		return false;
	}
	client->proxied = client->half_header = false;
	if (take_header(client, header.length))
		return true;
	client_lose(client, END_LOST);
	return false;
}

bool
origin_read(struct client *client)
{
	static uint8_t bytes[PROXY_HEADER_MAX];
	ssize_t length = transport_peek(client, bytes, sizeof bytes);

	if (length > 0)
		return take(client, bytes, (size_t)length);
	if (length == 0)
		client_fsm(client, CLIENT_HUNG_UP, NULL);
	else if (length != -EAGAIN)
		client_lose(client, END_LOST);
	return false;
}

void
origin_admitted(struct client *client, uint8_t failures)
{
	client->failures = failures;
	if (client->unread == UNREAD_ASKED)
		client_resume(client);
}

bool
origin_is_check(const struct client *client)
{
	return client->is_check && client->bytes_in == 0 && client->reason == END_LOST;
}
