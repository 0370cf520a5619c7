#include "ipc/message.h"

#include <arpa/inet.h>
#include <endian.h>
#include <stdlib.h>
#include <string.h>

/* What is left of a body that is being read; `bad` once a field was not there. */
struct reader {
	const uint8_t *at;
	size_t left;
	bool bad;
};

static struct reader
reader_of(const struct frame *frame)
{
	return (struct reader){ frame->body, frame->length, false };
}

static bool
reader_done(const struct reader *reader)
{
	return !reader->bad && reader->left == 0;
}

static const uint8_t *
reader_take(struct reader *reader, size_t length)
{
	const uint8_t *at = reader->at;

	if (reader->bad || reader->left < length) {
		reader->bad = true;
		return NULL;
	}
	reader->at += length;
	reader->left -= length;
	return at;
}

static uint64_t
get(struct reader *reader, size_t size)
{
	const uint8_t *at = reader_take(reader, size);
	uint64_t value = 0;

	for (size_t i = 0; at != NULL && i < size; i++)
		value |= (uint64_t)at[i] << (8 * i);
	return value;
}

static char *
get_string(struct reader *reader)
{
	size_t length = (size_t)get(reader, 2);
	const uint8_t *at = reader_take(reader, length);
	char *string;

	if (at == NULL || memchr(at, '\0', length) != NULL) {
		reader->bad = true;
		return NULL;
	}
	string = strndup((const char *)at, length);
	if (string == NULL)
		reader->bad = true;
	return string;
}

static void
put(struct buffer *body, uint64_t value, size_t size)
{
	uint64_t little = htole64(value);

	buffer_append(body, &little, size);
}

static void
put_string(struct buffer *body, const char *string)
{
	size_t length = string != NULL ? strnlen(string, UINT16_MAX) : 0;

	put(body, length, 2);
	buffer_append(body, string, length);
}

void
message_put_hello(struct buffer *body, uint32_t version)
{
	put(body, version, 4);
}

bool
message_get_hello(const struct frame *frame, uint32_t *version_r)
{
	struct reader reader = reader_of(frame);

	*version_r = (uint32_t)get(&reader, 4);
	return reader_done(&reader);
}

/* The fields of client_limits in their order on the wire. */
#define LIMITS_COUNT 23

static void
limits_fields(struct client_limits *limits, uint32_t *fields[LIMITS_COUNT])
{
	uint32_t *all[LIMITS_COUNT] = {
		&limits->header_bytes, &limits->login_bytes, &limits->login_elements, &limits->login_total_bytes,
		&limits->login_attempts, &limits->element_bytes, &limits->elements, &limits->depth, &limits->attributes,
		&limits->login_time, &limits->login_pause, &limits->handshake_time, &limits->idle_time,
		&limits->keepalive_time, &limits->stall_time, &limits->unsent_soft_bytes, &limits->unsent_bytes,
		&limits->settle_time, &limits->send_buffer_bytes, &limits->dead_time, &limits->clients, &limits->rate_bytes,
		&limits->burst_bytes,
	};

	memcpy(fields, all, sizeof all);
}

static void
put_tls(struct buffer *body, const struct tls_settings *tls)
{
	put(body, tls->required, 1);
	put(body, tls->ask_client_certificates, 1);
	put(body, tls->min_version, 1);
	put_string(body, tls->ciphers);
	put_string(body, tls->ciphersuites);
	put_string(body, tls->groups);
	put(body, tls->ticket_lifetime, 4);
	put(body, tls->certificate_count, 4);
}

static void
get_tls(struct reader *reader, struct tls_settings *tls_r)
{
	tls_r->required = get(reader, 1) != 0;
	tls_r->ask_client_certificates = get(reader, 1) != 0;
	tls_r->min_version = (uint8_t)get(reader, 1);
	tls_r->ciphers = get_string(reader);
	tls_r->ciphersuites = get_string(reader);
	tls_r->groups = get_string(reader);
	tls_r->ticket_lifetime = (uint32_t)get(reader, 4);
	tls_r->certificate_count = (uint32_t)get(reader, 4);
	reader->bad |= tls_r->certificate_count > 0 && tls_r->min_version != 12 && tls_r->min_version != 13;
	reader->bad |= tls_r->certificate_count > SETTINGS_CERTIFICATES_MAX;
}

void
message_put_settings(struct buffer *body, const struct settings *settings)
{
	struct client_limits limits = settings->limits;
	uint32_t *fields[LIMITS_COUNT];

	limits_fields(&limits, fields);
	put(body, settings->worker, 4);
	put_string(body, settings->nonce);
	put_string(body, settings->name);
	put_string(body, settings->dialect);
	put_string(body, settings->notify);
	put(body, settings->digest, 1);
	put(body, settings->registration, 1);
	put(body, settings->plain, 1);
	put(body, settings->log_level, 1);
	for (unsigned i = 0; i < LIMITS_COUNT; i++)
		put(body, *fields[i], 4);
	put_tls(body, &settings->tls);
	put(body, settings->host_count, 4);
	for (uint32_t i = 0; i < settings->host_count; i++)
		put_string(body, settings->hosts[i]);
}

bool
message_get_settings(const struct frame *frame, struct settings *settings_r)
{
	struct reader reader = reader_of(frame);
	uint32_t *fields[LIMITS_COUNT];

	*settings_r = (struct settings){ .worker = (uint32_t)get(&reader, 4) };
	settings_r->nonce = get_string(&reader);
	settings_r->name = get_string(&reader);
	settings_r->dialect = get_string(&reader);
	settings_r->notify = get_string(&reader);
	settings_r->digest = get(&reader, 1) != 0;
	settings_r->registration = get(&reader, 1) != 0;
	settings_r->plain = get(&reader, 1) != 0;
	settings_r->log_level = (uint8_t)get(&reader, 1);
	limits_fields(&settings_r->limits, fields);
	for (unsigned i = 0; i < LIMITS_COUNT; i++)
		*fields[i] = (uint32_t)get(&reader, 4);
	get_tls(&reader, &settings_r->tls);
	settings_r->host_count = (uint32_t)get(&reader, 4);
	if (settings_r->host_count > SETTINGS_HOSTS_MAX) {
		settings_r->host_count = 0;
		reader.bad = true;
	}
	for (uint32_t i = 0; i < settings_r->host_count; i++)
		settings_r->hosts[i] = get_string(&reader);
	if (reader_done(&reader))
		return true;
	settings_deinit(settings_r);
	return false;
}

void
settings_deinit(struct settings *settings)
{
	free(settings->nonce);
	free(settings->name);
	free(settings->dialect);
	free(settings->notify);
	free(settings->tls.ciphers);
	free(settings->tls.ciphersuites);
	free(settings->tls.groups);
	for (uint32_t i = 0; i < settings->host_count; i++)
		free(settings->hosts[i]);
	*settings = (struct settings){ 0 };
}

static void
put_bytes(struct buffer *body, const uint8_t *bytes, size_t length)
{
	put(body, length, 4);
	buffer_append(body, bytes, length);
}

static const uint8_t *
get_bytes(struct reader *reader, size_t most, size_t *length_r)
{
	*length_r = (size_t)get(reader, 4);
	reader->bad |= *length_r == 0 || *length_r > most;
	return reader_take(reader, *length_r);
}

void
message_put_certificate(struct buffer *body, const uint8_t *chain, size_t chain_length, const uint8_t *key,
    size_t key_length)
{
	buffer_set_secret(body);
	put_bytes(body, chain, chain_length);
	put_bytes(body, key, key_length);
}

bool
message_get_certificate(const struct frame *frame, const uint8_t **chain_r, size_t *chain_length_r,
    const uint8_t **key_r, size_t *key_length_r)
{
	struct reader reader = reader_of(frame);

	*chain_r = get_bytes(&reader, CERTIFICATE_CHAIN_MAX, chain_length_r);
	*key_r = get_bytes(&reader, CERTIFICATE_KEY_MAX, key_length_r);
	return reader_done(&reader);
}

void
message_put_tickets(struct buffer *body, const uint8_t *keys, unsigned count)
{
	buffer_set_secret(body);
	buffer_append(body, keys, (size_t)count * TICKET_KEY_SIZE);
}

bool
message_get_tickets(const struct frame *frame, const uint8_t **keys_r, unsigned *count_r)
{
	*keys_r = frame->body;
	*count_r = frame->length / TICKET_KEY_SIZE;
	return frame->length % TICKET_KEY_SIZE == 0 && *count_r >= 1 && *count_r <= TICKET_KEYS_MAX;
}

static void
put_peer(struct buffer *body, const struct peer *peer)
{
	buffer_append(body, &peer->address, sizeof peer->address);
	put(body, peer->port, 2);
}

static void
get_peer(struct reader *reader, struct peer *peer_r)
{
	const uint8_t *address = reader_take(reader, sizeof peer_r->address);

	if (address != NULL)
		memcpy(&peer_r->address, address, sizeof peer_r->address);
	peer_r->port = (uint16_t)get(reader, 2);
}

void
message_put_client(struct buffer *body, const struct newcomer *newcomer)
{
	put_peer(body, &newcomer->peer);
	put(body, newcomer->tls, 1);
	put(body, newcomer->proxied, 1);
	put(body, newcomer->failures, 1);
}

bool
message_get_client(const struct frame *frame, struct newcomer *newcomer_r)
{
	struct reader reader = reader_of(frame);
	uint64_t proxied;

	*newcomer_r = (struct newcomer){ 0 };
	get_peer(&reader, &newcomer_r->peer);
	newcomer_r->tls = (uint8_t)get(&reader, 1);
	proxied = get(&reader, 1);
	newcomer_r->proxied = proxied != 0;
	newcomer_r->failures = (uint8_t)get(&reader, 1);
	return reader_done(&reader) && newcomer_r->tls < LISTEN_TLS_COUNT && proxied <= 1;
}

void
message_put_address(struct buffer *body, const struct peer *peer)
{
	put_peer(body, peer);
}

bool
message_get_address(const struct frame *frame, struct peer *peer_r)
{
	struct reader reader = reader_of(frame);

	get_peer(&reader, peer_r);
	return reader_done(&reader);
}

void
message_put_failures(struct buffer *body, uint8_t failures)
{
	put(body, failures, 1);
}

bool
message_get_failures(const struct frame *frame, uint8_t *failures_r)
{
	struct reader reader = reader_of(frame);

	*failures_r = (uint8_t)get(&reader, 1);
	return reader_done(&reader);
}

void
peer_from_sockaddr(struct peer *peer_r, const struct sockaddr_storage *address)
{
	*peer_r = (struct peer){ 0 };
	if (address->ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)address;

		peer_r->address = in6->sin6_addr;
		peer_r->port = ntohs(in6->sin6_port);
	} else if (address->ss_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)address;

		peer_r->address.s6_addr[10] = peer_r->address.s6_addr[11] = 0xff;
		memcpy(peer_r->address.s6_addr + 12, &in->sin_addr, 4);
		peer_r->port = ntohs(in->sin_port);
	}
}

const char *
peer_format(const struct peer *peer, char *text)
{
	if (IN6_IS_ADDR_V4MAPPED(&peer->address))
		inet_ntop(AF_INET, peer->address.s6_addr + 12, text, INET6_ADDRSTRLEN);
	else
		inet_ntop(AF_INET6, &peer->address, text, INET6_ADDRSTRLEN);
	return text;
}

bool
message_get_packet(const struct frame *frame, uint64_t *number_r, const uint8_t **bytes_r, size_t *length_r)
{
	struct reader reader = reader_of(frame);

	*number_r = get(&reader, 8);
	*bytes_r = reader.at;
	*length_r = reader.left;
	return !reader.bad;
}

void
message_put_reason(struct buffer *body, enum end_reason reason)
{
	put(body, reason, 1);
}

bool
message_get_reason(const struct frame *frame, enum end_reason *reason_r)
{
	struct reader reader = reader_of(frame);
	uint64_t reason = get(&reader, 1);

	*reason_r = (enum end_reason)reason;
	return reader_done(&reader) && reason < END_REASON_COUNT;
}

void
message_put_end(struct buffer *body, const struct client_end *end)
{
	put(body, end->reason, 1);
	put(body, end->condition, 1);
	put(body, end->limit, 1);
}

bool
message_get_end(const struct frame *frame, struct client_end *end_r)
{
	struct reader reader = reader_of(frame);

	end_r->reason = (enum end_reason)get(&reader, 1);
	end_r->condition = (enum stream_condition)get(&reader, 1);
	end_r->limit = (enum end_limit)get(&reader, 1);
	return reader_done(&reader) && end_r->reason < END_REASON_COUNT && end_r->condition < CONDITION_COUNT &&
	    end_r->limit < END_LIMIT_COUNT;
}

void
message_put_number(struct buffer *body, uint64_t number)
{
	put(body, number, 8);
}

bool
message_get_number(const struct frame *frame, uint64_t *number_r)
{
	struct reader reader = reader_of(frame);

	*number_r = get(&reader, 8);
	return reader_done(&reader);
}

void
message_put_counters(struct buffer *body, const struct worker_counters *counters)
{
	put(body, counters->bytes_in, 8);
	put(body, counters->bytes_out, 8);
	put(body, counters->packets_in, 8);
	put(body, counters->packets_out, 8);
	put(body, counters->throttles, 8);
	put(body, counters->handshakes, 8);
	put(body, counters->resumed, 8);
	put(body, counters->handshakes_failed, 8);
	put(body, counters->parsers, 4);
	put(body, counters->buffers, 4);
	put(body, counters->throttled, 4);
}

bool
message_get_counters(const struct frame *frame, struct worker_counters *counters_r)
{
	struct reader reader = reader_of(frame);

	counters_r->bytes_in = get(&reader, 8);
	counters_r->bytes_out = get(&reader, 8);
	counters_r->packets_in = get(&reader, 8);
	counters_r->packets_out = get(&reader, 8);
	counters_r->throttles = get(&reader, 8);
	counters_r->handshakes = get(&reader, 8);
	counters_r->resumed = get(&reader, 8);
	counters_r->handshakes_failed = get(&reader, 8);
	counters_r->parsers = (uint32_t)get(&reader, 4);
	counters_r->buffers = (uint32_t)get(&reader, 4);
	counters_r->throttled = (uint32_t)get(&reader, 4);
	return reader_done(&reader);
}

void
message_put_log(struct buffer *body, uint8_t level, const char *line)
{
	put(body, level, 1);
	buffer_append_string(body, line);
}

bool
message_get_log(const struct frame *frame, uint8_t *level_r, char *line, size_t size)
{
	struct reader reader = reader_of(frame);
	size_t length;

	*level_r = (uint8_t)get(&reader, 1);
	length = reader.left < size ? reader.left : size - 1;
	if (reader.bad)
		return false;
	memcpy(line, reader.at, length);
	line[length] = '\0';
	return true;
}

/* ---- surveys ---- */

#define SURVEY_CLIENT_SIZE 12
#define SURVEY_REPORT_SIZE 60

void
message_put_survey(struct buffer *body, uint32_t number)
{
	put(body, number, 4);
}

void
message_put_survey_client(struct buffer *body, uint32_t slot, uint64_t serial)
{
	put(body, slot, 4);
	put(body, serial, 8);
}

void
message_put_survey_report(struct buffer *body, const struct client_report *report)
{
	put(body, report->slot, 4);
	put(body, report->serial, 8);
	put(body, report->state, 1);
	put(body, report->paused, 1);
	put(body, report->throttled, 1);
	put(body, report->unsent, 4);
	put(body, report->idle, 8);
	put(body, report->bytes_in, 8);
	put(body, report->bytes_out, 8);
	put(body, report->packets_in, 8);
	put(body, report->packets_out, 8);
	put(body, report->tls, 1);
}

static bool
get_survey(const struct frame *frame, size_t size, struct survey *survey_r)
{
	struct reader reader = reader_of(frame);

	survey_r->number = (uint32_t)get(&reader, 4);
	survey_r->at = reader.at;
	survey_r->left = reader.left;
	return !reader.bad && reader.left % size == 0 && reader.left / size <= SURVEY_MAX;
}

bool
message_get_survey_clients(const struct frame *frame, struct survey *survey_r)
{
	return get_survey(frame, SURVEY_CLIENT_SIZE, survey_r);
}

bool
message_get_survey_reports(const struct frame *frame, struct survey *survey_r)
{
	return get_survey(frame, SURVEY_REPORT_SIZE, survey_r);
}

bool
survey_next_client(struct survey *survey, uint32_t *slot_r, uint64_t *serial_r)
{
	struct reader reader = { survey->at, survey->left, false };

	*slot_r = (uint32_t)get(&reader, 4);
	*serial_r = get(&reader, 8);
	survey->at = reader.at;
	survey->left = reader.left;
	return !reader.bad;
}

bool
survey_next_report(struct survey *survey, struct client_report *report_r)
{
	struct reader reader = { survey->at, survey->left, false };
	uint64_t state;

	*report_r = (struct client_report){ .slot = (uint32_t)get(&reader, 4), .serial = 0 };
	report_r->serial = get(&reader, 8);
	state = get(&reader, 1);
	report_r->state = (enum report_state)state;
	report_r->paused = get(&reader, 1) != 0;
	report_r->throttled = get(&reader, 1) != 0;
	report_r->unsent = (uint32_t)get(&reader, 4);
	report_r->idle = get(&reader, 8);
	report_r->bytes_in = get(&reader, 8);
	report_r->bytes_out = get(&reader, 8);
	report_r->packets_in = get(&reader, 8);
	report_r->packets_out = get(&reader, 8);
	report_r->tls = (uint8_t)get(&reader, 1);
	if (reader.bad || state >= REPORT_STATE_COUNT)
		return false;
	survey->at = reader.at;
	survey->left = reader.left;
	return true;
}

const char *
report_state_name(enum report_state state)
{
	static const char *const names[] = { "opening", "login", "session", "closing", "handshake" };

	return state < REPORT_STATE_COUNT ? names[state] : "?";
}

const char *
tls_version_name(unsigned version)
{
	return version == 13 ? "TLSv1.3" : version == 12 ? "TLSv1.2" : "none";
}

/* ---- traces ---- */

void
message_put_switch(struct buffer *body, bool on)
{
	put(body, on, 1);
}

bool
message_get_switch(const struct frame *frame, bool *on_r)
{
	struct reader reader = reader_of(frame);
	uint64_t on = get(&reader, 1);

	*on_r = on != 0;
	return reader_done(&reader) && on <= 1;
}

void
message_put_trace(struct buffer *body, const struct trace_message *trace)
{
	put(body, trace->down, 1);
	put(body, trace->cut, 1);
	put(body, trace->lost, 4);
	put(body, trace->length, 4);
}

bool
message_get_trace(const struct frame *frame, struct trace_message *trace_r)
{
	struct reader reader = reader_of(frame);
	uint64_t down = get(&reader, 1), cut = get(&reader, 1);

	trace_r->down = down != 0;
	trace_r->cut = cut != 0;
	trace_r->lost = (uint32_t)get(&reader, 4);
	trace_r->length = (uint32_t)get(&reader, 4);
	trace_r->text = (const char *)reader.at;
	trace_r->text_length = reader.left;
	return !reader.bad && down <= 1 && cut <= 1;
}
