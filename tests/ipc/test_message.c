/* message: every body there and back; every truncation of it and one byte too many refused. */
#include <arpa/inet.h>
#include <string.h>

#include "tests/dialect/tap.h"
#include "tests/ipc/sample.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Decoders with one signature: what they decode is thrown away. */
static bool
try_hello(const struct frame *frame)
{
	uint32_t version;

	return message_get_hello(frame, &version);
}

static bool
try_settings(const struct frame *frame)
{
	struct settings settings;
	bool read = message_get_settings(frame, &settings);

	/* Refused, it owns nothing. */
	if (!read)
		ck_assert(settings.nonce == NULL && settings.hosts[0] == NULL && settings.host_count == 0);
	settings_deinit(&settings);
	return read;
}

static bool
try_client(const struct frame *frame)
{
	struct newcomer newcomer;

	return message_get_client(frame, &newcomer);
}

static bool
try_packet(const struct frame *frame)
{
	const uint8_t *bytes;
	uint64_t number;
	size_t length;

	return message_get_packet(frame, &number, &bytes, &length);
}

static bool
try_reason(const struct frame *frame)
{
	enum end_reason reason;

	return message_get_reason(frame, &reason);
}

static bool
try_end(const struct frame *frame)
{
	struct client_end end;

	return message_get_end(frame, &end);
}

static bool
try_number(const struct frame *frame)
{
	uint64_t number;

	return message_get_number(frame, &number);
}

static bool
try_counters(const struct frame *frame)
{
	struct worker_counters counters;

	return message_get_counters(frame, &counters);
}

static bool
try_log(const struct frame *frame)
{
	char line[16];
	uint8_t level;

	return message_get_log(frame, &level, line, sizeof line);
}

/* Whole rows only: the number of them is open. */
static bool
try_survey_clients(const struct frame *frame)
{
	struct survey survey;
	uint64_t serial;
	uint32_t slot;

	if (!message_get_survey_clients(frame, &survey))
		return false;
	while (survey_next_client(&survey, &slot, &serial))
		;
	ck_assert_uint_eq(survey.left, 0);
	return true;
}

static bool
try_survey_reports(const struct frame *frame)
{
	struct client_report report;
	struct survey survey;

	if (!message_get_survey_reports(frame, &survey))
		return false;
	while (survey_next_report(&survey, &report))
		;
	return survey.left == 0;
}

static bool
try_switch(const struct frame *frame)
{
	bool on;

	return message_get_switch(frame, &on);
}

static bool
try_trace(const struct frame *frame)
{
	struct trace_message trace;

	return message_get_trace(frame, &trace);
}

static bool
try_certificate(const struct frame *frame)
{
	const uint8_t *chain, *key;
	size_t chain_length, key_length;

	return message_get_certificate(frame, &chain, &chain_length, &key, &key_length);
}

static bool
try_tickets(const struct frame *frame)
{
	const uint8_t *keys;
	unsigned count;

	return message_get_tickets(frame, &keys, &count);
}

static bool
try_address(const struct frame *frame)
{
	struct peer peer;

	return message_get_address(frame, &peer);
}

static bool
try_failures(const struct frame *frame)
{
	uint8_t failures;

	return message_get_failures(frame, &failures) && failures == 7;
}

static const struct {
	uint16_t type;
	bool (*try)(const struct frame *frame);
	size_t open;	/* what is behind that many bytes may have any length; 0: nothing may be */
	size_t row;	/* likewise, but whole rows of that size */
} bodies[] = {
	{ M2W_HELLO, try_hello, 0, 0 },
	{ M2W_SETTINGS, try_settings, 0, 0 },
	{ M2W_CLIENT, try_client, 0, 0 },
	{ M2W_PACKET, try_packet, 8, 0 },
	{ M2W_CLOSE, try_reason, 0, 0 },
	{ W2M_ENDED, try_end, 0, 0 },
	{ W2M_SETTLED, try_number, 0, 0 },
	{ W2M_PONG, try_counters, 0, 0 },
	{ W2M_LOG, try_log, 1, 0 },
	{ M2W_SURVEY, try_survey_clients, 4, 12 },
	{ W2M_SURVEY, try_survey_reports, 4, 60 },
	{ M2W_TRACE, try_switch, 0, 0 },
	{ W2M_TRACE, try_trace, 10, 0 },
	{ W2M_ADDRESS, try_address, 0, 0 },
	{ M2W_ADMITTED, try_failures, 0, 0 },
	{ M2W_RENEWED, try_number, 0, 0 },
	{ M2W_CERTIFICATE, try_certificate, 0, 0 },
	{ M2W_TICKETS, try_tickets, TICKET_KEY_SIZE, TICKET_KEY_SIZE },
};

/* The first `length` bytes of a body, in memory of exactly that size. */
static bool
try_cut(unsigned body, const struct buffer *bytes, size_t length)
{
	uint8_t *copy = malloc(length > 0 ? length : 1);
	struct frame frame = { .type = bodies[body].type, .body = copy, .length = (uint32_t)length };
	bool read;

	ck_assert_ptr_nonnull(copy);
	if (length > 0)
		memcpy(copy, buffer_bytes(bytes), length);
	read = bodies[body].try(&frame);
	free(copy);
	return read;
}

static bool
may_be_cut(unsigned body, size_t length)
{
	size_t open = bodies[body].open, row = bodies[body].row;

	return open > 0 && length >= open && (row == 0 || (length - open) % row == 0);
}

START_TEST(exactly_its_fields)
{
	unsigned body = (unsigned)_i;
	struct buffer bytes = { 0 };
	size_t length;

	sample_body(&bytes, bodies[body].type);
	length = buffer_length(&bytes);
	ck_assert(try_cut(body, &bytes, length));
	for (size_t cut = 0; cut < length; cut++)
		ck_assert_msg(try_cut(body, &bytes, cut) == may_be_cut(body, cut), "%zu", cut);
	buffer_append(&bytes, "", 1);
	ck_assert(try_cut(body, &bytes, length + 1) == may_be_cut(body, length + 1));
	buffer_deinit(&bytes);
}
END_TEST

static struct frame
frame_of(const struct buffer *body)
{
	return (struct frame){ .body = buffer_bytes(body), .length = (uint32_t)buffer_length(body) };
}

START_TEST(settings_come_back)
{
	struct settings before, after;
	struct buffer body = { 0 };
	struct frame frame;

	sample_settings(&before);
	message_put_settings(&body, &before);
	frame = frame_of(&body);
	ck_assert(message_get_settings(&frame, &after));
	ck_assert_uint_eq(after.worker, before.worker);
	ck_assert_str_eq(after.nonce, "nonce");
	ck_assert_str_eq(after.name, "foo-sockets");
	ck_assert_str_eq(after.dialect, "sfrom");
	ck_assert(after.digest && !after.registration && after.plain);
	ck_assert_uint_eq(after.log_level, 2);
	ck_assert_mem_eq(&after.limits, &before.limits, sizeof before.limits);
	ck_assert(after.tls.required && !after.tls.ask_client_certificates);
	ck_assert_uint_eq(after.tls.min_version, 13);
	ck_assert_str_eq(after.tls.ciphers, "ciphers");
	ck_assert_str_eq(after.tls.ciphersuites, "suites");
	ck_assert_str_eq(after.tls.groups, "groups");
	ck_assert_uint_eq(after.tls.ticket_lifetime, 43200);
	ck_assert_uint_eq(after.tls.certificate_count, 3);
	ck_assert_uint_eq(after.host_count, 2);
	ck_assert_str_eq(after.hosts[0], "foo.com");
	ck_assert_str_eq(after.hosts[1], "");
	ck_assert_ptr_null(after.hosts[2]);
	settings_deinit(&after);
	settings_deinit(&after);
	buffer_deinit(&body);
}
END_TEST

START_TEST(settings_with_all_hosts)
{
	struct settings settings, after;
	struct buffer body = { 0 };
	struct frame frame;

	sample_settings(&settings);
	settings.host_count = SETTINGS_HOSTS_MAX;
	for (unsigned i = 0; i < SETTINGS_HOSTS_MAX; i++)
		settings.hosts[i] = settings.name;
	message_put_settings(&body, &settings);
	frame = frame_of(&body);
	ck_assert(message_get_settings(&frame, &after));
	ck_assert_str_eq(after.hosts[SETTINGS_HOSTS_MAX - 1], settings.name);
	settings_deinit(&after);
	buffer_deinit(&body);
}
END_TEST

/* The count of hosts stands right before them; `hosts` of them follow in truth. */
static bool
settings_with_count(uint32_t count, uint32_t hosts)
{
	struct settings settings, after;
	struct buffer body = { 0 };
	struct frame frame;
	bool read;

	sample_settings(&settings);
	settings.host_count = 0;
	message_put_settings(&body, &settings);
	body.end -= 4;
	for (unsigned i = 0; i < 4; i++)
		buffer_append(&body, &(uint8_t){ (uint8_t)(count >> 8 * i) }, 1);
	for (uint32_t i = 0; i < hosts; i++)
		buffer_append(&body, "\1\0h", 3);
	frame = frame_of(&body);
	read = message_get_settings(&frame, &after);
	settings_deinit(&after);
	buffer_deinit(&body);
	return read;
}

START_TEST(settings_lie_about_hosts)
{
	ck_assert(settings_with_count(3, 3));
	ck_assert(!settings_with_count(2, 3));
	ck_assert(!settings_with_count(4, 3));
	ck_assert(!settings_with_count(SETTINGS_HOSTS_MAX + 1, SETTINGS_HOSTS_MAX + 1));
	ck_assert(!settings_with_count(UINT32_MAX, 3));
}
END_TEST

static bool
settings_with_tls(uint8_t version, uint32_t certificates)
{
	struct settings settings, after;
	struct buffer body = { 0 };
	struct frame frame;
	bool read;

	sample_settings(&settings);
	settings.tls = (struct tls_settings){ .min_version = version, .certificate_count = certificates };
	message_put_settings(&body, &settings);
	frame = frame_of(&body);
	read = message_get_settings(&frame, &after);
	if (read)
		ck_assert_str_eq(after.tls.groups, "");
	settings_deinit(&after);
	buffer_deinit(&body);
	return read;
}

START_TEST(settings_make_sense_of_tls)
{
	ck_assert(settings_with_tls(0, 0));
	ck_assert(settings_with_tls(12, 1));
	ck_assert(settings_with_tls(13, SETTINGS_CERTIFICATES_MAX));
	ck_assert(!settings_with_tls(13, SETTINGS_CERTIFICATES_MAX + 1));
	ck_assert(!settings_with_tls(0, 1));
	ck_assert(!settings_with_tls(11, 1));
	ck_assert(!settings_with_tls(14, 1));
}
END_TEST

START_TEST(certificates_come_back)
{
	struct buffer body = { 0 };
	const uint8_t *chain, *key;
	size_t chain_length, key_length;
	struct frame frame;

	sample_body(&body, M2W_CERTIFICATE);
	ck_assert(body.secret);
	frame = frame_of(&body);
	ck_assert(message_get_certificate(&frame, &chain, &chain_length, &key, &key_length));
	ck_assert(chain_length == 5 && key_length == 3);
	ck_assert_mem_eq(chain, "chain", 5);
	ck_assert_mem_eq(key, "key", 3);
	buffer_deinit(&body);
}
END_TEST

static bool
certificate_of(size_t chain_length, size_t key_length)
{
	static const uint8_t bytes[CERTIFICATE_CHAIN_MAX + CERTIFICATE_KEY_MAX];	/* whichever of them is longer */
	struct buffer body = { 0 };
	struct frame frame;
	bool read;

	message_put_certificate(&body, bytes, chain_length, bytes, key_length);
	frame = frame_of(&body);
	read = try_certificate(&frame);
	buffer_deinit(&body);
	return read;
}

START_TEST(certificates_are_bounded)
{
	ck_assert(certificate_of(CERTIFICATE_CHAIN_MAX, CERTIFICATE_KEY_MAX));
	ck_assert(!certificate_of(CERTIFICATE_CHAIN_MAX + 1, 1));
	ck_assert(!certificate_of(1, CERTIFICATE_KEY_MAX + 1));
	ck_assert(!certificate_of(0, 1));
	ck_assert(!certificate_of(1, 0));
}
END_TEST

START_TEST(tickets_come_back)
{
	uint8_t keys[(TICKET_KEYS_MAX + 1) * TICKET_KEY_SIZE] = { 1, 2, 3 };
	struct buffer body = { 0 };
	const uint8_t *got;
	struct frame frame;
	unsigned count;

	for (unsigned i = 0; i <= TICKET_KEYS_MAX + 1; i++) {
		buffer_clear(&body);
		message_put_tickets(&body, keys, i);
		ck_assert(body.secret);
		frame = frame_of(&body);
		ck_assert(message_get_tickets(&frame, &got, &count) == (i >= 1 && i <= TICKET_KEYS_MAX));
		if (i == 0 || i > TICKET_KEYS_MAX)
			continue;
		ck_assert_uint_eq(count, i);
		ck_assert_mem_eq(got, keys, i * TICKET_KEY_SIZE);
	}
	buffer_deinit(&body);
}
END_TEST

START_TEST(strings_hold_no_zero)
{
	struct settings after;
	struct buffer body = { 0 };
	struct frame frame;

	sample_body(&body, M2W_SETTINGS);
	/* The first string's second letter. */
	buffer_bytes(&body)[7] = '\0';
	frame = frame_of(&body);
	ck_assert(!message_get_settings(&frame, &after));
	buffer_deinit(&body);
}
END_TEST

START_TEST(peers_come_back)
{
	static const char *const texts[] = { "192.0.2.7", "2001:db8::1", "::1", "::" };
	struct sockaddr_storage address = { 0 };
	struct sockaddr_in *in = (void *)&address;
	struct sockaddr_in6 *in6 = (void *)&address;
	char text[INET6_ADDRSTRLEN];
	struct buffer body = { 0 };
	struct newcomer before = { .tls = _i % LISTEN_TLS_COUNT, .proxied = _i % 2, .failures = 255 }, after;
	struct frame frame;

	if (_i == 0) {
		in->sin_family = AF_INET;
		in->sin_port = htons(50123);
		ck_assert_int_eq(inet_pton(AF_INET, texts[0], &in->sin_addr), 1);
	} else {
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(50123);
		ck_assert_int_eq(inet_pton(AF_INET6, texts[_i], &in6->sin6_addr), 1);
	}
	peer_from_sockaddr(&before.peer, &address);
	message_put_client(&body, &before);
	frame = frame_of(&body);
	ck_assert(message_get_client(&frame, &after));
	ck_assert_str_eq(peer_format(&after.peer, text), texts[_i]);
	ck_assert_uint_eq(after.peer.port, 50123);
	ck_assert(after.tls == before.tls && after.proxied == before.proxied && after.failures == 255);
	/* Neither a kind of listener that there is not, nor a half of a proxy. */
	buffer_bytes(&body)[18] = LISTEN_TLS_COUNT;
	ck_assert(!message_get_client(&frame, &after));
	buffer_bytes(&body)[18] = LISTEN_TLS_NONE;
	buffer_bytes(&body)[19] = 2;
	ck_assert(!message_get_client(&frame, &after));
	buffer_deinit(&body);
}
END_TEST

START_TEST(reasons_come_back)
{
	struct buffer body = { 0 };
	enum end_reason reason;
	struct frame frame;

	for (int i = 0; i < 256; i++) {
		buffer_clear(&body);
		message_put_reason(&body, (enum end_reason)i);
		frame = frame_of(&body);
		ck_assert(message_get_reason(&frame, &reason) == (i < END_REASON_COUNT));
		if (i < END_REASON_COUNT)
			ck_assert_int_eq((int)reason, i);
		ck_assert((strcmp(end_reason_name((enum end_reason)i), "?") == 0) == (i >= END_REASON_COUNT));
	}
	buffer_deinit(&body);
}
END_TEST

/* Each of its three parts is checked. */
START_TEST(ends_come_back)
{
	static const unsigned counts[] = { END_REASON_COUNT, CONDITION_COUNT, END_LIMIT_COUNT };
	struct client_end end;
	uint8_t body[3];
	struct frame frame = { .body = body, .length = sizeof body };

	for (unsigned part = 0; part < COUNT(body); part++) {
		for (unsigned i = 0; i < 256; i++) {
			memset(body, 0, sizeof body);
			body[part] = (uint8_t)i;
			ck_assert(message_get_end(&frame, &end) == (i < counts[part]));
			if (i < counts[part])
				ck_assert_uint_eq(part == 0 ? end.reason : part == 1 ? (unsigned)end.condition : end.limit, i);
			ck_assert(part != 2 || (strcmp(end_limit_name((enum end_limit)i), "?") == 0) == (i >= END_LIMIT_COUNT));
		}
	}
}
END_TEST

START_TEST(numbers_come_back)
{
	static const uint64_t numbers[] = { 0, 1, 255, 256, UINT32_MAX, 1ull << 32, UINT64_MAX };
	struct worker_counters before = { 1, 1ull << 40, UINT64_MAX, 7, 8, 1ull << 41, 9, 10, 11, 12, UINT32_MAX }, after;
	struct buffer body = { 0 }, again = { 0 };
	struct frame frame;
	uint64_t number;

	for (unsigned i = 0; i < COUNT(numbers); i++) {
		buffer_clear(&body);
		message_put_number(&body, numbers[i]);
		frame = frame_of(&body);
		ck_assert(message_get_number(&frame, &number));
		ck_assert_uint_eq(number, numbers[i]);
	}
	buffer_clear(&body);
	message_put_counters(&body, &before);
	frame = frame_of(&body);
	ck_assert(message_get_counters(&frame, &after));
	ck_assert(after.packets_in == UINT64_MAX && after.throttles == 8 && after.buffers == 12 && after.throttled == UINT32_MAX);
	message_put_counters(&again, &after);
	ck_assert_mem_eq(buffer_bytes(&again), buffer_bytes(&body), buffer_length(&body));
	buffer_deinit(&body);
	buffer_deinit(&again);
}
END_TEST

START_TEST(packets_come_back)
{
	struct buffer body = { 0 };
	const uint8_t *bytes;
	struct frame frame;
	uint64_t number;
	size_t length;

	sample_body(&body, M2W_PACKET);
	frame = frame_of(&body);
	ck_assert(message_get_packet(&frame, &number, &bytes, &length));
	ck_assert_uint_eq(number, 4711);
	ck_assert_uint_eq(length, strlen("<presence/>"));
	ck_assert_mem_eq(bytes, "<presence/>", length);
	buffer_deinit(&body);
}
END_TEST

START_TEST(lines_are_cut)
{
	char line[8];
	struct buffer body = { 0 };
	struct frame frame;
	uint8_t level;

	message_put_log(&body, 3, "1234567");
	frame = frame_of(&body);
	ck_assert(message_get_log(&frame, &level, line, sizeof line));
	ck_assert_uint_eq(level, 3);
	ck_assert_str_eq(line, "1234567");
	buffer_append_string(&body, "89");
	frame = frame_of(&body);
	ck_assert(message_get_log(&frame, &level, line, sizeof line));
	ck_assert_str_eq(line, "1234567");
	buffer_deinit(&body);
}
END_TEST

START_TEST(surveys_come_back)
{
	const struct client_report before = { 3, 1ull << 40, REPORT_CLOSING, true, true, UINT32_MAX, UINT64_MAX, 7, 8, 9, 10, 12 };
	struct client_report after;
	struct buffer body = { 0 };
	struct survey survey;
	struct frame frame;
	uint64_t serial;
	uint32_t slot;

	sample_body(&body, M2W_SURVEY);
	frame = frame_of(&body);
	ck_assert(message_get_survey_clients(&frame, &survey));
	ck_assert_uint_eq(survey.number, 7);
	ck_assert(survey_next_client(&survey, &slot, &serial) && slot == 3 && serial == 1ull << 40);
	ck_assert(survey_next_client(&survey, &slot, &serial) && slot == 4 && serial == 1);
	ck_assert(!survey_next_client(&survey, &slot, &serial));
	buffer_clear(&body);
	message_put_survey(&body, UINT32_MAX);
	message_put_survey_report(&body, &before);
	frame = frame_of(&body);
	ck_assert(message_get_survey_reports(&frame, &survey));
	ck_assert_uint_eq(survey.number, UINT32_MAX);
	ck_assert(survey_next_report(&survey, &after));
	ck_assert(after.slot == 3 && after.serial == 1ull << 40 && after.state == REPORT_CLOSING && after.paused && after.throttled);
	ck_assert(after.unsent == UINT32_MAX && after.idle == UINT64_MAX && after.bytes_in == 7 && after.bytes_out == 8);
	ck_assert(after.packets_in == 9 && after.packets_out == 10 && after.tls == 12);
	ck_assert(!survey_next_report(&survey, &after) && survey.left == 0);
	/* A state that there is not. */
	buffer_bytes(&body)[16] = REPORT_STATE_COUNT;
	ck_assert(message_get_survey_reports(&frame, &survey));
	ck_assert(!survey_next_report(&survey, &after) && survey.left > 0);
	buffer_deinit(&body);
}
END_TEST

START_TEST(surveys_are_bounded)
{
	struct buffer body = { 0 };
	struct survey survey;
	struct frame frame;

	message_put_survey(&body, 1);
	for (unsigned i = 0; i < SURVEY_MAX; i++)
		message_put_survey_client(&body, i, i);
	frame = frame_of(&body);
	ck_assert(message_get_survey_clients(&frame, &survey));
	message_put_survey_client(&body, 0, 0);
	frame = frame_of(&body);
	ck_assert(!message_get_survey_clients(&frame, &survey));
	buffer_deinit(&body);
}
END_TEST

START_TEST(traces_come_back)
{
	const struct trace_message before = { .down = true, .cut = true, .lost = 3, .length = UINT32_MAX };
	struct trace_message after;
	struct buffer body = { 0 };
	struct frame frame;
	bool on = false;

	message_put_trace(&body, &before);
	buffer_append_string(&body, "<a/>");
	frame = frame_of(&body);
	ck_assert(message_get_trace(&frame, &after));
	ck_assert(after.down && after.cut && after.lost == 3 && after.length == UINT32_MAX && after.text_length == 4);
	ck_assert_mem_eq(after.text, "<a/>", 4);
	for (unsigned i = 0; i < 2; i++) {
		buffer_bytes(&body)[i] = 2;
		ck_assert(!message_get_trace(&frame, &after));
		buffer_bytes(&body)[i] = 0;
		ck_assert(message_get_trace(&frame, &after));
	}
	for (unsigned i = 0; i < 3; i++) {
		buffer_clear(&body);
		buffer_append(&body, &(uint8_t){ (uint8_t)i }, 1);
		frame = frame_of(&body);
		ck_assert(message_get_switch(&frame, &on) == (i < 2));
		ck_assert(i == 2 || on == (i == 1));
	}
	buffer_deinit(&body);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("message");
	TCase *tests = tcase_create("message");

	tcase_add_loop_test(tests, exactly_its_fields, 0, COUNT(bodies));
	tcase_add_test(tests, settings_come_back);
	tcase_add_test(tests, settings_with_all_hosts);
	tcase_add_test(tests, settings_lie_about_hosts);
	tcase_add_test(tests, settings_make_sense_of_tls);
	tcase_add_test(tests, certificates_come_back);
	tcase_add_test(tests, certificates_are_bounded);
	tcase_add_test(tests, tickets_come_back);
	tcase_add_test(tests, strings_hold_no_zero);
	tcase_add_loop_test(tests, peers_come_back, 0, 4);
	tcase_add_test(tests, reasons_come_back);
	tcase_add_test(tests, ends_come_back);
	tcase_add_test(tests, numbers_come_back);
	tcase_add_test(tests, packets_come_back);
	tcase_add_test(tests, lines_are_cut);
	tcase_add_test(tests, surveys_come_back);
	tcase_add_test(tests, surveys_are_bounded);
	tcase_add_test(tests, traces_come_back);
	suite_add_tcase(suite, tests);
	return tap_run(suite);
}
