#include "worker/greeting.h"

#include <bsd/stdlib.h>
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

void
greeting_header(struct client *client, const struct dialect_answer *answer)
{
	char *told[3] = { NULL, NULL, NULL }, stream_id[17];
	const struct range ranges[3] = { answer->header_id, answer->header_from, answer->header_lang };
	struct buffer *down = output_get(client);

	if (down == NULL || client->header_sent)
		return;
	for (unsigned i = 0; i < 3; i++)
		told[i] = ranges[i].at == NULL ? NULL : range_strdup_decoded(ranges[i]);
	reply_header(down, client_is_modern(client), told[1] != NULL ? told[1] : client->login->host,
	    told[0] != NULL ? told[0] : reply_stream_id(login_stream_id(client), stream_id), told[2] != NULL ? told[2] : "en");
	client->header_sent = true;
	for (unsigned i = 0; i < 3; i++)
		free(told[i]);
}

/* What a session manager says of it itself is not said again. */
static bool
says_limits(const struct buffer *features)
{
	static const char limits[] = "urn:xmpp:stream-limits:0";

	return buffer_length(features) > 0 &&
	    memmem(buffer_bytes(features), buffer_length(features), limits, sizeof limits - 1) != NULL;
}

/*
 * No features follow a login with jabber:iq:auth, so these tell what holds from then on. What comes before it is short,
 * whatever is said: a client that kept to the limit of that time (XEP-0478 has one number) would keep to it for good.
 */
void
greeting_features(struct client *client, const struct buffer *features)
{
	const struct client_limits *limits = &client->worker->settings.limits;
	struct buffer *down = output_get(client);

	/* A client of before RFC 3920 does not know what they are. */
	if (down == NULL || !client_is_modern(client))
		return;
	buffer_append_string(down, "<stream:features>");
	starttls_append_feature(client, down);
	if (features != NULL) {
		buffer_append(down, buffer_bytes(features), buffer_length(features));
		if (!says_limits(features))
			reply_limits(down, limits->element_bytes, limits->idle_time / 1000);
	}
	buffer_append_string(down, "</stream:features>");
}

/* A stream that is begun anew is one with the same host, also when that was taken away meanwhile: its session is there. */
static const char *
host_meant(const struct client *client, const struct stream_header *header)
{
	if (client->login == NULL)
		return host_of(&client->worker->settings, header);
	return header->to == NULL || strcasecmp(header->to, client->login->host) == 0 ? client->login->host : NULL;
}

bool
greeting_accept(struct client *client, const struct stream_header *header)
{
	const char *host = host_meant(client, header);

	if (host == NULL) {
		client_end(client, END_STREAM_ERROR, CONDITION_HOST_UNKNOWN,
		    client->login == NULL ? NULL : "not the host of the login");
		return false;
	}
	/* Who gets no features can neither see that nor do anything about it. */
	if (!client_is_modern(client) && starttls_is_required(client)) {
		client_end(client, END_STREAM_ERROR, CONDITION_POLICY_VIOLATION, "TLS is required");
		return false;
	}
	if (client->login != NULL || login_begin(client, host))
		return true;
	client_broken(client);
	return false;
}

void
greeting_give(struct client *client, const struct stream_header *header)
{
	static const struct dialect_answer ours = { .effects = DIALECT_HEADER };

	if (!starttls_is_required(client)) {
		relay_header(client, header);
		return;
	}
	if (output_get(client) == NULL) {
		client_broken(client);
		return;
	}
	greeting_header(client, &ours);
	greeting_features(client, NULL);
	output_queued(client);
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
	bool goodbye = client->reason == END_CLOSED && client->login != NULL;
	uint64_t number = login_stream_id(client);
	char stream_id[17];
	struct buffer *down;

	if (client->mute || (!client->header_sent && condition == CONDITION_NONE && !goodbye))
		return;
	down = output_get(client);
	if (down == NULL)
		return;
	/* Whose login has not begun has none; in a header there must be one, and never the same (RFC 6120 4.7.3). */
	if (number == 0)
		arc4random_buf(&number, sizeof number);
	/* RFC 6120 4.9.1.2: an end before our header is preceded by one. */
	if (!client->header_sent)
		reply_header(down, client_is_modern(client), goodbye ? client->login->host : client->worker->settings.hosts[0],
		    reply_stream_id(number, stream_id), "en");
	client->header_sent = true;
	if (condition != CONDITION_NONE && !client->told)
		reply_error(down, client_is_modern(client), condition, text, detail_of(client));
	reply_end(down);
	output_queued(client);
}
