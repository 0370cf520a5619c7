/*
 * The route dialect with any packet. Whatever the splitter calls an element can be bounced once at most, and reaches a client as
 * one element; whatever a client sends, at any stage of its login, goes up as what the master believes, or not at all.
 */
#include <errno.h>
#include <string.h>

#include "dialect/dialect.h"
#include "dialect/route_memo.h"
#include "dialect/splitter.h"
#include "dialect/wellformed.h"
#include "tests/dialect/fuzz.h"

/* Of dialect/route.c: before there is a session all but the last, in session none and the last. */
#define STAGE_LAST 8

/* Nothing is asked then. */
#define STAGE_CHALLENGED 3
#define STAGE_KNOWN 6

static const struct dialect_context context = {
	.id = "i", .name = "s", .stream_id = "1", .digest = true, .registration = true, .plain = true,
};

static void
client_init(struct dialect_client *client, unsigned stage, bool session)
{
	*client = (struct dialect_client){
		.host = strdup("h"), .asked_id = stage == STAGE_CHALLENGED || stage == STAGE_KNOWN ? NULL : strdup("1"), .asked_user = strdup("a"), .secret = strdup("p"), .resource = strdup("r"),
		.jid = strdup("a@h/r"), .stage = (uint8_t)stage, .asked = true,
		.address = session ? strdup("a@h/5") : NULL, .memo = session ? strdup("-+-0a@h/r\n<presence/>") : NULL,
	};
}

/* All that went up is believed. */
static void
check_up(const struct buffer *up, const char *before, const char *after)
{
	const char *at = (const char *)buffer_bytes(up), *end = at + buffer_length(up);
	struct element element;
	struct range to;

	while (at < end) {
		must(element_read(&element, at, (size_t)(end - at)) && element.whole.at == at);
		must(dialect_route.link_verify(at, element.whole.length, "i", "s", before, &to) != VERDICT_FORGED ||
		    (after != NULL && dialect_route.link_verify(at, element.whole.length, "i", "s", after, &to) != VERDICT_FORGED));
		at = range_end(element.whole);
	}
}

static void
check_call(bool packet, const char *bytes, size_t length, unsigned stage, bool session)
{
	struct buffer up = { 0 }, down = { 0 }, features = { 0 };
	struct dialect_answer answer = { .up = &up, .down = &down, .features = &features };
	struct dialect_client client;
	struct element element;
	char *memo, *before;
	int result;

	client_init(&client, stage, session);
	memo = client.memo;
	before = session ? strdup(client.address) : NULL;
	must(element_read_complete(&element, bytes, length));
	result = packet ? dialect_route.client_packet(&client, &context, bytes, length, &answer) :
	    dialect_route.client_element(&client, &context, bytes, length, 1 + element.name.length, &answer);
	must(result == 0 || result == -EPROTO || (result == -EMSGSIZE && length > DIALECT_ADDRESS_MAX));
	if (result == 0 && (packet || wellformed_fault(bytes, length) == NULL))
		check_up(&up, before, client.address);
	if (result == 0 && packet && buffer_length(&down) > 0)
		must(wellformed_fault(buffer_bytes(&down), buffer_length(&down)) == NULL);
	if (client.memo != memo)
		free(memo);
	free(before);
	buffer_deinit(&up);
	buffer_deinit(&down);
	buffer_deinit(&features);
	dialect_client_deinit(&client);
}

static void
check_bounce(const char *bytes, size_t length)
{
	const struct range all = { bytes, length };
	struct packet packet, bounced;
	struct buffer out = { 0 }, again = { 0 };

	dialect_route.link_read(&packet, bytes, length);
	must_lie_within(packet.id, all);
	must_lie_within(packet.name, all);
	must_lie_within(packet.address, all);
	dialect_route.link_bounce(&out, bytes, length);
	if (buffer_length(&out) > 0) {
		must(wellformed_fault(buffer_bytes(&out), buffer_length(&out)) == NULL);
		dialect_route.link_read(&bounced, buffer_bytes(&out), buffer_length(&out));
		must(bounced.disconnect);
		dialect_route.link_bounce(&again, buffer_bytes(&out), buffer_length(&out));
		must(buffer_length(&again) == 0);
	}
	buffer_deinit(&out);
	buffer_deinit(&again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct splitter splitter = { .element_max = SIZE_MAX, .depth = 1 };
	struct splitter_event event;
	const char *bytes = (const char *)data;

	while (splitter_next(&splitter, bytes, size, &event) == SPLITTER_ELEMENT) {
		bytes += event.skip;
		check_bounce(bytes, event.length);
		for (unsigned stage = 0; stage < STAGE_LAST; stage++) {
			check_call(true, bytes, event.length, stage, false);
			check_call(false, bytes, event.length, stage, false);
		}
		for (unsigned stage = 0; stage <= STAGE_LAST; stage += STAGE_LAST) {
			check_call(true, bytes, event.length, stage, true);
			check_call(false, bytes, event.length, stage, true);
		}
		bytes += event.length;
		size -= event.skip + event.length;
	}
	return 0;
}
