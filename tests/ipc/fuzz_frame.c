/*
 * What the other process sends, whatever it is: the frames in it are found, checked, and their bodies read, from both
 * sides; and a frame that is accepted is written as it was read.
 */
#include <string.h>

#include "ipc/message.h"
#include "tests/dialect/fuzz.h"

static void
read_settings(const struct frame *frame)
{
	struct settings settings;
	struct buffer again = { 0 };

	if (message_get_settings(frame, &settings)) {
		message_put_settings(&again, &settings);
		must(buffer_length(&again) == frame->length);
		must(settings.host_count <= SETTINGS_HOSTS_MAX);
	}
	settings_deinit(&settings);
	buffer_deinit(&again);
}

static void
read_secrets(const struct frame *frame)
{
	const uint8_t *chain, *key;
	size_t chain_length, key_length;
	unsigned count;

	if (message_get_certificate(frame, &chain, &chain_length, &key, &key_length))
		must(chain_length + key_length + 8 == frame->length && key + key_length == frame->body + frame->length);
	if (message_get_tickets(frame, &key, &count))
		must(count >= 1 && count <= TICKET_KEYS_MAX && count * TICKET_KEY_SIZE == frame->length);
}

static void
read_log(const struct frame *frame)
{
	char line[64];
	uint8_t level;

	if (message_get_log(frame, &level, line, sizeof line))
		must(strnlen(line, sizeof line) < sizeof line);
}

/* Bodies of one number, one reason, one address are exactly as long as the contract says. */
static void
read_fixed(const struct frame *frame)
{
	struct worker_counters counters;
	enum end_reason reason;
	struct client_end end;
	struct newcomer newcomer;
	uint64_t number;
	uint32_t version;

	must(message_get_number(frame, &number) == (frame->length == 8));
	must(message_get_hello(frame, &version) == (frame->length == 4));
	must(message_get_counters(frame, &counters) == (frame->length == 76));
	if (message_get_client(frame, &newcomer))
		must(frame->length == 21 && newcomer.tls < LISTEN_TLS_COUNT);
	if (message_get_reason(frame, &reason))
		must(frame->length == 1 && strcmp(end_reason_name(reason), "?") != 0);
	if (message_get_end(frame, &end))
		must(frame->length == 3 && strcmp(end_reason_name(end.reason), "?") != 0 &&
		    strcmp(end_limit_name(end.limit), "?") != 0 && end.condition < CONDITION_COUNT);
}

static void
read_packet(const struct frame *frame)
{
	const uint8_t *bytes;
	uint64_t number;
	size_t length;

	if (message_get_packet(frame, &number, &bytes, &length))
		must(length + 8 == frame->length && bytes == frame->body + 8);
}

static void
read_survey(const struct frame *frame)
{
	struct client_report report;
	struct survey survey;
	uint64_t serial;
	unsigned count = 0;
	uint32_t slot;

	if (message_get_survey_clients(frame, &survey)) {
		while (survey_next_client(&survey, &slot, &serial))
			count++;
		must(survey.left == 0 && count * 12 + 4 == frame->length);
	}
	count = 0;
	if (message_get_survey_reports(frame, &survey)) {
		while (survey_next_report(&survey, &report)) {
			must(strcmp(report_state_name(report.state), "?") != 0);
			count++;
		}
		must(count * 59 + 4 + survey.left == frame->length);
	}
}

static void
read_trace(const struct frame *frame)
{
	struct trace_message trace;
	bool on;

	if (message_get_trace(frame, &trace))
		must(trace.text_length + 10 == frame->length);
	if (message_get_switch(frame, &on))
		must(frame->length == 1);
}

static void
check_frame(const struct frame *frame, const uint8_t *bytes)
{
	struct buffer again = { 0 };
	bool accepted = false;

	frame_encode_header(&again, frame);
	must(memcmp(buffer_bytes(&again), bytes, FRAME_HEADER_SIZE) == 0);
	buffer_deinit(&again);
	for (unsigned phase = PHASE_NEW; phase <= PHASE_RUNNING; phase++) {
		bool by_master = contract_check(frame, CONTRACT_MASTER, (enum contract_phase)phase) == BREACH_NONE;
		bool by_worker = contract_check(frame, CONTRACT_WORKER, (enum contract_phase)phase) == BREACH_NONE;

		must(!by_master || !by_worker);
		accepted |= by_master || by_worker;
	}
	if (accepted)
		must(strcmp(contract_name(frame->type), "?") != 0);
	/* The decoders must cope with bodies of any type: it is the caller who looks at the type. */
	read_settings(frame);
	read_secrets(frame);
	read_log(frame);
	read_fixed(frame);
	read_packet(frame);
	read_survey(frame);
	read_trace(frame);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct frame frame;
	size_t used;

	while (frame_decode(data, size, &frame, &used) == FRAME_COMPLETE) {
		must(used <= size && used == FRAME_HEADER_SIZE + (size_t)frame.length);
		must(frame.body == data + FRAME_HEADER_SIZE);
		check_frame(&frame, data);
		data += used;
		size -= used;
	}
	return 0;
}
