#include "worker/connection.h"

#include <errno.h>

#include "common/base64.h"
#include "worker/client.h"

/* NULL where there is nothing. `buffer` remembers a failed allocation. */
static const char *
text_of(struct buffer *buffer, const void *bytes, size_t length)
{
	if (bytes == NULL || length == 0)
		return NULL;
	buffer_set_secret(buffer);
	base64_encode(buffer, bytes, length);
	buffer_append(buffer, "", 1);
	return (const char *)buffer_bytes(buffer);
}

static int
read_tls(struct connection *connection, struct tls *tls)
{
	struct dialect_connection *told = &connection->facts;
	const struct tls_facts *facts = tls_facts(tls);

	if (facts == NULL)
		return 0;
	if (tls_bind(tls) < 0)
		return -ENOMEM;
	told->tls = tls_version_name(facts->version);
	told->cipher = facts->cipher;
	told->sni = facts->sni;
	if (facts->has_exporter)
		told->exporter = text_of(&connection->exporter, facts->exporter, sizeof facts->exporter);
	told->end_point = text_of(&connection->end_point, facts->end_point, facts->end_point_length);
	told->certificate = text_of(&connection->certificate, facts->certificate, facts->certificate_length);
	return connection->exporter.failed || connection->end_point.failed || connection->certificate.failed ? -ENOMEM : 0;
}

int
connection_read(struct connection *connection_r, const struct client *client)
{
	*connection_r = (struct connection){
		.facts = { .port = client->peer.port, .transport = "tcp" },
	};
	connection_r->facts.ip = peer_format(&client->peer, connection_r->ip);
	return client->tls == NULL ? 0 : read_tls(connection_r, client->tls);
}

void
connection_deinit(struct connection *connection)
{
	buffer_deinit(&connection->exporter);
	buffer_deinit(&connection->end_point);
	buffer_deinit(&connection->certificate);
}
