#include "worker/client_log.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>

#include "common/log.h"
#include "dialect/wellformed.h"
#include "worker/client.h"
#include "worker/origin.h"
#include "worker/worker.h"

/* What is shown of an account and of an explanation. */
#define ACCOUNT_LOGGED 400
#define TEXT_LOGGED 200

/* Longest name of a host (RFC 1035 2.3.4), more or less. */
#define NAME_LOGGED 300

static const char *
tls_name(const struct client *client)
{
	return tls_version_name(client->tls == NULL ? 0 : tls_version(client->tls));
}

void
client_log_end(const struct client *client, const char *text)
{
	enum stream_condition condition = (enum stream_condition)client->condition;
	enum end_limit limit = (enum end_limit)client->limit;
	char id[CLIENT_ID_SIZE], address[INET6_ADDRSTRLEN], account[ACCOUNT_LOGGED], quoted[TEXT_LOGGED];

	if (origin_is_check(client)) {
		log_debug("%s client checked address=%s port=%u", client_id(client, id), peer_format(&client->peer, address),
		    client->peer.port);
		return;
	}
	log_info("%s client ended reason=%s%s%s%s%s%s%s address=%s port=%u in=%" PRIu64 " out=%" PRIu64
	    " packets_in=%" PRIu32 " packets_out=%" PRIu32 " seconds=%" PRIu64 " tls=%s account=%s",
	    client_id(client, id), end_reason_name((enum end_reason)client->reason),
	    limit == LIMIT_NONE ? "" : " limit=", limit == LIMIT_NONE ? "" : end_limit_name(limit),
	    condition == CONDITION_NONE ? "" : " condition=", condition == CONDITION_NONE ? "" : condition_name(condition),
	    text == NULL ? "" : " text=", text == NULL ? "" : log_quote(quoted, sizeof quoted, text),
	    peer_format(&client->peer, address), client->peer.port,
	    client->bytes_in, client->bytes_out, client->packets_in, client->packets_out,
	    (loop_now(&client->worker->loop) - client->since) / 1000, tls_name(client),
	    log_quote(account, sizeof account, client->address));
}

void
client_log_login(const struct client *client)
{
	char id[CLIENT_ID_SIZE], address[INET6_ADDRSTRLEN], account[ACCOUNT_LOGGED];

	log_info("%s client logged-in account=%s address=%s port=%u tls=%s", client_id(client, id),
	    log_quote(account, sizeof account, client->address), peer_format(&client->peer, address),
	    client->peer.port, tls_name(client));
}

void
client_log_secured(const struct client *client)
{
	const struct tls_facts *facts = tls_facts(client->tls);
	char id[CLIENT_ID_SIZE], sni[NAME_LOGGED];

	log_debug("%s client secured tls=%s cipher=%s sni=%s resumed=%s", client_id(client, id), tls_name(client), facts->cipher,
	    log_quote(sni, sizeof sni, facts->sni), facts->resumed ? "yes" : "no");
}

void
client_log_throttled(const struct client *client)
{
	char id[CLIENT_ID_SIZE], address[INET6_ADDRSTRLEN], account[ACCOUNT_LOGGED];

	log_info("%s client throttled address=%s port=%u in=%" PRIu64 " seconds=%" PRIu64 " account=%s", client_id(client, id),
	    peer_format(&client->peer, address), client->peer.port, client->bytes_in,
	    (loop_now(&client->worker->loop) - client->since) / 1000, log_quote(account, sizeof account, client->address));
}

/* The number of the attempt is there so that no two lines are the same, which would be folded into one. */
void
client_log_refusal(const struct client *client, const char *condition)
{
	char id[CLIENT_ID_SIZE], address[INET6_ADDRSTRLEN], account[ACCOUNT_LOGGED], quoted[ACCOUNT_LOGGED];

	snprintf(account, sizeof account, "%s@%s", client->login->asked_user == NULL ? "" : client->login->asked_user,
	    client->login->host);
	log_info("%s client login-failed address=%s port=%u account=%s reason=%s attempt=%u", client_id(client, id),
	    peer_format(&client->peer, address), client->peer.port, log_quote(quoted, sizeof quoted, account),
	    condition, client->refusals);
}

void
client_log_unreadable(const struct client *client, const struct client_message *message)
{
	const char *fault = wellformed_fault(message->bytes, message->length);
	char id[CLIENT_ID_SIZE];

	log_warning("%s client packet-unreadable bytes=%zu reason=\"%s\"", client_id(client, id), message->length,
	    fault != NULL ? fault : "no address");
}
