#include "worker/greeting.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "worker/login.h"
#include "worker/relay.h"
#include "worker/reply.h"
#include "worker/starttls.h"
#include "worker/worker.h"

/* The host that a header means: the one it names or, where it names none, the only one there is. */
static const char *
host_of(const struct settings *settings, const struct stream_header *header)
{
	if (header->to == NULL)
		return settings->host_count == 1 ? settings->hosts[0] : NULL;
	for (uint32_t i = 0; i < settings->host_count; i++) {
		if (strcasecmp(settings->hosts[i], header->to) == 0)
			return settings->hosts[i];
	}
	return NULL;
}

bool
greeting_host_is_gone(const struct client *client)
{
	const struct settings *settings = &client->worker->settings;

	for (uint32_t i = 0; i < settings->host_count; i++) {
		if (strcmp(settings->hosts[i], client->login->host) == 0)
			return false;
	}
	return true;
}

/*
 * No features follow a login with jabber:iq:auth, so these are told what holds from then on. What comes before it is
 * short, whatever is said: a client that kept to the limit of that time (XEP-0478 has one number) would keep to it for good.
 */
static void
append_features(const struct client *client, struct buffer *down)
{
	const struct client_limits *limits = &client->worker->settings.limits;
	char id[CLIENT_ID_SIZE], stream_id[17];
	struct dialect_context context = relay_context(client, id, stream_id);

	buffer_append_string(down, "<stream:features>");
	starttls_append_feature(client, down);
	if (!starttls_is_required(client)) {
		client->worker->dialect->client_features(down, &context);
		reply_limits(down, limits->element_bytes, limits->idle_time / 1000);
	}
	buffer_append_string(down, "</stream:features>");
}

bool
greeting_give(struct client *client, const struct stream_header *header)
{
	const char *host = host_of(&client->worker->settings, header);
	struct buffer *down;

	if (host == NULL) {
		client_end(client, END_STREAM_ERROR, CONDITION_HOST_UNKNOWN, NULL);
		return false;
	}
	/* Who gets no features can neither see that nor do anything about it. */
	if (!client_is_modern(client) && starttls_is_required(client)) {
		client_end(client, END_STREAM_ERROR, CONDITION_POLICY_VIOLATION, "TLS is required");
		return false;
	}
	down = output_get(client);
	if (!login_begin(client, host) || down == NULL) {
		client_broken(client);
		return false;
	}
	reply_header(down, client_is_modern(client), host, client->stream_id);
	client->header_sent = true;
	if (client_is_modern(client))
		append_features(client, down);
	output_queued(client);
	return true;
}

/* XEP-0205 4.6: what an element above the limit of its size is called, beyond the general policy-violation. */
static const char *
detail_of(const struct client *client)
{
	return client->limit == LIMIT_STANZA_BYTES || client->limit == LIMIT_LOGIN_BYTES ? "stanza-too-big" : NULL;
}

void
greeting_end(struct client *client, const char *text)
{
	enum stream_condition condition = (enum stream_condition)client->condition;
	struct buffer *down;

	if (client->mute || (!client->header_sent && condition == CONDITION_NONE))
		return;
	down = output_get(client);
	if (down == NULL)
		return;
	/* RFC 6120 4.9.1.2: an error before our header is preceded by one. */
	if (!client->header_sent)
		reply_header(down, client_is_modern(client), client->worker->settings.hosts[0], client->stream_id);
	client->header_sent = true;
	if (condition != CONDITION_NONE)
		reply_error(down, client_is_modern(client), condition, text, detail_of(client));
	reply_end(down);
	output_queued(client);
}
