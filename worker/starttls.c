#include "worker/starttls.h"

#include "dialect/element.h"
#include "worker/login.h"
#include "worker/worker.h"

#define NAMESPACE "urn:ietf:params:xml:ns:xmpp-tls"

bool
starttls_is_required(const struct client *client)
{
	return client->tls == NULL && client->listen_tls != LISTEN_TLS_NONE && client->worker->settings.tls.required;
}

bool
starttls_is_offered(const struct client *client)
{
	/* RFC 6120 5.3.4: TLS comes before SASL. What is known of who it is was said on the connection as it is. */
	if (client->tls != NULL || client->listen_tls == LISTEN_TLS_NONE || login_is_proved(client))
		return false;
	return tls_context_usable(client->worker->keys.context) || starttls_is_required(client);
}

void
starttls_append_feature(const struct client *client, struct buffer *down)
{
	if (!starttls_is_offered(client))
		return;
	buffer_append_string(down, "<starttls xmlns='" NAMESPACE "'");
	buffer_append_string(down, starttls_is_required(client) ? "><required/></starttls>" : "/>");
}

/* RFC 6120 5.4.2.2: the stream ends behind it. */
static void
refuse(struct client *client, const char *why)
{
	struct buffer *down = output_get(client);

	if (down == NULL) {
		client_broken(client);
		return;
	}
	buffer_append_string(down, "<failure xmlns='" NAMESPACE "'/>");
	output_queued(client);
	client_end(client, END_TLS_FAILED, CONDITION_NONE, why);
}

/* RFC 6120 5.3.3: in clear text nothing may follow; what does was not written by our client, or by one that is broken. */
static bool
something_follows(const struct client *client)
{
	size_t length;
	const void *bytes = stream_unread(client->intake->stream, &length);

	return !stream_is_whitespace(bytes, length);
}

static void
proceed(struct client *client)
{
	struct buffer *down = output_get(client);

	if (down == NULL) {
		client_broken(client);
		return;
	}
	buffer_append_string(down, "<proceed xmlns='" NAMESPACE "'/>");
	output_queued(client);
	client_fsm(client, CLIENT_STARTTLS, NULL);
}

static void
take_starttls(struct client *client)
{
	if (client->state != CLIENT_LOGIN || client->tls != NULL || login_is_proved(client))
		client_end(client, END_STREAM_ERROR, CONDITION_POLICY_VIOLATION, "<starttls/> at the wrong time");
	else if (something_follows(client))
		client_end(client, END_TLS_FAILED, CONDITION_POLICY_VIOLATION, "clear text behind <starttls/>");
	else if (client->login->asked_id != NULL)
		client_end(client, END_STREAM_ERROR, CONDITION_POLICY_VIOLATION, "<starttls/> before an answer has come");
	else if (!starttls_is_offered(client) || !tls_context_usable(client->worker->keys.context))
		refuse(client, "no TLS on offer");
	else
		proceed(client);
}

bool
starttls_take(struct client *client, const struct stream_event *event)
{
	struct element element;

	if (element_read_complete(&element, event->bytes, event->length) && element_attribute_is(&element, "xmlns", NAMESPACE)) {
		if (range_equals(element.name, "starttls"))
			take_starttls(client);
		else
			client_end(client, END_STREAM_ERROR, CONDITION_UNSUPPORTED_STANZA_TYPE, NULL);
		return true;
	}
	if (client->state != CLIENT_LOGIN || !starttls_is_required(client))
		return false;
	client_end(client, END_STREAM_ERROR, CONDITION_POLICY_VIOLATION, "TLS is required");
	return true;
}
