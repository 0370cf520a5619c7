/*
 * The sfrom dialect with any packet. Whatever the splitter calls an element can be bounced, once, and reaches a client
 * without stamps; whatever a client sends goes up as one element, stamped, and never as a 510.
 */
#include <errno.h>
#include <string.h>

#include "common/buffer.h"
#include "dialect/dialect.h"
#include "dialect/splitter.h"
#include "dialect/wellformed.h"
#include "tests/dialect/call.h"
#include "tests/dialect/fuzz.h"

static const struct dialect_context context = {
	.id = "i", .name = "s", .stream_id = "1", .digest = true, .registration = true,
};

/* One element and nothing else. */
static void
must_be_one_element(const struct buffer *buffer)
{
	struct splitter splitter = { .element_max = SIZE_MAX, .depth = 1 };
	struct splitter_event event;

	must(splitter_next(&splitter, buffer_bytes(buffer), buffer_length(buffer), &event) == SPLITTER_ELEMENT);
	must(event.skip == 0 && event.length == buffer_length(buffer));
}

static void
check_bounce(const char *bytes, size_t length)
{
	const struct range all = { bytes, length };
	struct packet packet, bounced;
	struct buffer out = { 0 };

	dialect_sfrom.link_read(&packet, bytes, length);
	must_lie_within(packet.id, all);
	must_lie_within(packet.name, all);
	must_lie_within(packet.address, all);
	must_lie_within(packet.from, all);
	dialect_sfrom.link_bounce(&out, bytes, length);
	must((buffer_length(&out) > 0) == (packet.address.at != NULL && wellformed_fault(bytes, length) == NULL));
	if (buffer_length(&out) > 0) {
		must_be_one_element(&out);
		must(wellformed_fault(buffer_bytes(&out), buffer_length(&out)) == NULL);
		dialect_sfrom.link_read(&bounced, buffer_bytes(&out), buffer_length(&out));
		must(bounced.disconnect);
		must(packet.kind == PACKET_LOST || packet.kind == PACKET_OWN || bounced.address.at != NULL);
		must(ranges_equal(packet.from, bounced.from));
	}
	buffer_deinit(&out);
}

static void
client_init(struct dialect_client *client, const char *login_id, const char *address)
{
	*client = (struct dialect_client){
		.host = strdup("h"), .asked_id = login_id == NULL ? NULL : strdup(login_id), .asked_login = true,
		.address = address == NULL ? NULL : strdup(address),
	};
}

static void
check_delivery(const char *bytes, size_t length, const char *login_id, const char *address)
{
	struct dialect_client client;
	struct buffer down = { 0 };
	struct element element;
	struct range value;
	int outcome;

	client_init(&client, login_id, address);
	outcome = call_packet(&dialect_sfrom, &client, &context, bytes, length, &down);
	must(outcome >= CALL_DELIVERED || (outcome == -EMSGSIZE && length > DIALECT_ADDRESS_MAX));
	if (outcome >= 0 && outcome != CALL_ENDED && outcome != CALL_UNREADABLE) {
		must_be_one_element(&down);
		must(element_read_complete(&element, buffer_bytes(&down), buffer_length(&down)));
		must(wellformed_fault(buffer_bytes(&down), buffer_length(&down)) == NULL);
		must(!element_attribute(&element, "sto", &value) && !element_attribute(&element, "sfrom", &value));
	}
	must((outcome == CALL_LOGGED_IN) == (address == NULL && client.address != NULL));
	must(outcome != CALL_LOGGED_IN || client.asked_id == NULL);
	buffer_deinit(&down);
	dialect_client_deinit(&client);
}

static void
check_sending(const char *bytes, size_t length, const char *login_id, const char *address)
{
	struct buffer up = { 0 }, down = { 0 };
	struct dialect_client client;
	struct element element;
	struct packet packet;
	int outcome;

	must(element_read_complete(&element, bytes, length));
	client_init(&client, login_id, address);
	outcome = call_element(&dialect_sfrom, &client, &context, bytes, length, 1 + element.name.length, &up, &down);
	must(outcome >= 0 && outcome < CALL_DELIVERED);
	must((outcome == CALL_SENT) == (buffer_length(&up) > 0));
	must((outcome == CALL_ANSWERED) == (buffer_length(&down) > 0));
	must(address == NULL || outcome == CALL_SENT);
	if (outcome == CALL_SENT) {
		must_be_one_element(&up);
		must(element_read_complete(&element, buffer_bytes(&up), buffer_length(&up)));
		must(element_attribute_is(&element, "sto", address == NULL ? "h" : address));
		must(element_attribute_is(&element, "sfrom", "i@s"));
		dialect_sfrom.link_read(&packet, buffer_bytes(&up), buffer_length(&up));
		must(!packet.disconnect);
	}
	if (outcome == CALL_ANSWERED)
		must_be_one_element(&down);
	buffer_deinit(&up);
	buffer_deinit(&down);
	dialect_client_deinit(&client);
}

static void
check_unsplit(const uint8_t *data, size_t size)
{
	struct dialect_client client;
	struct buffer out = { 0 };
	struct packet packet;

	client_init(&client, "1", NULL);
	dialect_sfrom.link_read(&packet, data, size);
	dialect_sfrom.link_bounce(&out, data, size);
	must(call_packet(&dialect_sfrom, &client, &context, (const char *)data, size, &out) >= CALL_DELIVERED ||
	    size > DIALECT_ADDRESS_MAX);
	buffer_deinit(&out);
	dialect_client_deinit(&client);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct splitter splitter = { .element_max = SIZE_MAX, .depth = 1 };
	struct splitter_event event;
	const char *bytes = (const char *)data;

	check_unsplit(data, size);
	while (splitter_next(&splitter, bytes, size, &event) == SPLITTER_ELEMENT) {
		bytes += event.skip;
		check_bounce(bytes, event.length);
		check_delivery(bytes, event.length, "1", NULL);
		check_delivery(bytes, event.length, NULL, "a@h/r");
		check_sending(bytes, event.length, NULL, NULL);
		check_sending(bytes, event.length, "1", NULL);
		check_sending(bytes, event.length, NULL, "a@h/r");
		bytes += event.length;
		size -= event.skip + event.length;
	}
	return 0;
}
