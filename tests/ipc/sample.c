#include "tests/ipc/sample.h"

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char *
unconst(const char *string)
{
	union {
		const char *read;
		char *write;
	} either = { string };

	return either.write;
}

void
sample_settings(struct settings *settings)
{
	*settings = (struct settings){
		.worker = 0x01020304,
		.nonce = unconst("nonce"),
		.name = unconst("foo-sockets"),
		.dialect = unconst("sfrom"),
		.notify = unconst("connections@foo.com"),
		.digest = true,
		.registration = false,
		.plain = true,
		.log_level = 2,
		.limits = { 4096, 10000, 32, 65536, 7, 262144, 10001, 101, 102, 60000, 0, 15000, 70000, 80000, 90000, 1048577,
		    4194304, 1001, 65537, 120000, 55, 65535, 524288 },
		.tls = { true, false, 13, unconst("ciphers"), unconst("suites"), unconst("groups"), 43200, 3 },
		.host_count = 2,
		.hosts = { unconst("foo.com"), unconst("") },
	};
}

static void
settings_body(struct buffer *body)
{
	struct settings settings;

	sample_settings(&settings);
	message_put_settings(body, &settings);
}

static void
client_body(struct buffer *body)
{
	struct newcomer newcomer = { .peer = { .address = IN6ADDR_LOOPBACK_INIT, .port = 5222 } };

	message_put_client(body, &newcomer);
}

static void
address_body(struct buffer *body)
{
	struct peer peer = { .address = IN6ADDR_LOOPBACK_INIT, .port = 5222 };

	message_put_address(body, &peer);
}

static void
sample_survey_clients(struct buffer *body)
{
	message_put_survey(body, 7);
	message_put_survey_client(body, 3, 1ull << 40);
	message_put_survey_client(body, 4, 1);
}

static void
sample_survey_reports(struct buffer *body)
{
	const struct client_report report = { 3, 1ull << 40, REPORT_SESSION, true, false, 5, 6, 7, 8, 9, 10, 13 };

	message_put_survey(body, 7);
	message_put_survey_report(body, &report);
}

void
sample_body(struct buffer *body, uint16_t type)
{
	const struct worker_counters counters = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 };
	uint8_t tickets[2 * TICKET_KEY_SIZE];

	for (size_t i = 0; i < sizeof tickets; i++)
		tickets[i] = (uint8_t)i;
	if (type == M2W_HELLO || type == W2M_HELLO)
		message_put_hello(body, CONTRACT_VERSION);
	else if (type == M2W_SETTINGS)
		settings_body(body);
	else if (type == M2W_CERTIFICATE)
		message_put_certificate(body, (const uint8_t *)"chain", 5, (const uint8_t *)"key", 3);
	else if (type == M2W_TICKETS)
		message_put_tickets(body, tickets, 2);
	else if (type == M2W_CLIENT)
		client_body(body);
	else if (type == W2M_ADDRESS)
		address_body(body);
	else if (type == M2W_ADMITTED)
		message_put_failures(body, 7);
	else if (type == M2W_CLOSE || type == M2W_CLOSE_ALL)
		message_put_reason(body, END_KICKED);
	else if (type == W2M_ENDED)
		message_put_end(body, &(struct client_end){ END_STREAM_ERROR, CONDITION_POLICY_VIOLATION, LIMIT_DEPTH });
	else if (type == M2W_PACKET || type == W2M_SETTLED || type == W2M_CONSUMED || type == M2W_RENEWED)
		message_put_number(body, 4711);
	else if (type == W2M_PONG)
		message_put_counters(body, &counters);
	else if (type == W2M_LOG)
		message_put_log(body, 1, "a line");
	else if (type == M2W_SURVEY)
		sample_survey_clients(body);
	else if (type == W2M_SURVEY)
		sample_survey_reports(body);
	else if (type == M2W_TRACE)
		message_put_switch(body, true);
	else if (type == W2M_TRACE)
		message_put_trace(body, &(struct trace_message){ .down = true, .lost = 2, .length = 4711 });
	if (type == M2W_PACKET || type == W2M_PACKET)
		buffer_append_string(body, "<presence/>");
	if (type == W2M_SESSION)
		buffer_append_string(body, "a@b/c");
}

void
sample_frame(struct buffer *frame, uint16_t type)
{
	struct buffer body = { 0 };
	struct frame header = { .type = type, .slot = type, .serial = 1000u + type };

	sample_body(&body, type);
	header.length = (uint32_t)buffer_length(&body);
	frame_encode_header(frame, &header);
	buffer_append(frame, buffer_bytes(&body), buffer_length(&body));
	buffer_deinit(&body);
}

enum contract_side
sample_sender(uint16_t type)
{
	return contract_name(type)[0] == 'M' ? CONTRACT_MASTER : CONTRACT_WORKER;
}

enum contract_phase
sample_phase(uint16_t type)
{
	if (type == M2W_HELLO || type == W2M_HELLO)
		return PHASE_NEW;
	if (type == M2W_SETTINGS || type == M2W_PING || type == W2M_READY || type == W2M_PONG || type == W2M_LOG ||
	    type == M2W_CERTIFICATE || type == M2W_TICKETS)
		return PHASE_SETUP;
	return PHASE_RUNNING;
}

bool
sample_limit_descriptors(rlim_t most)
{
	struct rlimit limit;
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		if (prlimit(getppid(), RLIMIT_NOFILE, NULL, &limit) < 0)
			_exit(1);
		limit.rlim_cur = most < limit.rlim_max ? most : limit.rlim_max;
		_exit(prlimit(getppid(), RLIMIT_NOFILE, &limit, NULL) < 0 ? 2 : 0);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}
