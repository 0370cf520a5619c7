/* The dialect of jabberd in the year 2000 (README.SM.txt; doc/link.md). */
#include "sessiond/link_dialect.h"

#include "sessiond/packet.h"
#include "sessiond/sessiond.h"

static void
sfrom_header(struct buffer *out, const char *id, const char *name)
{
	(void)name;
	buffer_append_format(out, "<?xml version='1.0'?><stream:stream "
	    "xmlns:stream='http://etherx.jabber.org/streams' id='%s' xmlns='jabberd:sockets'>", id);
}

static void
sfrom_fault(struct buffer *out, enum stream_condition condition, const char *text)
{
	(void)condition;
	buffer_append_format(out, "<stream:error>%s</stream:error>", text);
}

/* link-protocol 1.3. Anything but iq is dropped as the original did. */
static void
sfrom_without_session(struct sessiond *sd, struct packet *packet, enum node_result result)
{
	const struct node *stanza = packet->stanza;
	enum stanza_error error;

	if (packet->host == NULL)
		return;
	if (packet->lost || !settings_has_host(sd->settings, packet->host)) {
		packet_bounce(sd, packet);
		return;
	}
	if (result != NODE_READ) {
		packet_unread(sd, packet, result);
		return;
	}
	if (!node_is(stanza, "iq", NULL) || (!node_has(stanza, "type", "get") && !node_has(stanza, "type", "set")))
		return;
	error = packet_ask(sd, packet);
	if (error != 0)
		packet_refuse(sd, packet, error, NULL);
}

static enum stanza_error
sfrom_in_session(struct sessiond *sd, struct packet *packet)
{
	(void)sd;
	(void)packet;
	return STANZA_BAD_REQUEST;
}

static void
sfrom_end(struct sessiond *sd, const char *id, const char *address, enum stream_condition condition, const char *text)
{
	(void)condition;
	(void)text;
	packet_send_510(sd, id, address);
}

const struct link_dialect link_dialect_sfrom = {
	.name = "sfrom",
	.header = sfrom_header,
	.fault = sfrom_fault,
	.without_session = sfrom_without_session,
	.in_session = sfrom_in_session,
	.end = sfrom_end,
};
