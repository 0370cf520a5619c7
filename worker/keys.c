#include "worker/keys.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "common/log.h"

int
keys_init(struct keys *keys)
{
	keys->tickets = tls_tickets_new();
	return keys->tickets == NULL ? -ENOMEM : 0;
}

enum contract_breach
keys_certificate(struct keys *keys, const struct frame *frame)
{
	const uint8_t *chain, *key;
	size_t chain_length, key_length;

	if (!message_get_certificate(frame, &chain, &chain_length, &key, &key_length) ||
	    keys->arrived_count == SETTINGS_CERTIFICATES_MAX)
		return BREACH_BODY;
	buffer_set_secret(&keys->arrived);
	buffer_append(&keys->arrived, &frame->length, sizeof frame->length);
	buffer_append(&keys->arrived, frame->body, frame->length);
	keys->arrived_count++;
	return BREACH_NONE;
}

enum contract_breach
keys_tickets(struct keys *keys, const struct frame *frame)
{
	const uint8_t *bytes;
	unsigned count;

	if (!message_get_tickets(frame, &bytes, &count))
		return BREACH_BODY;
	tls_tickets_set(keys->tickets, bytes, count);
	return BREACH_NONE;
}

/* The next one of those that have come, which are well-formed. */
static void
arrived_take(struct keys *keys, struct frame *frame_r)
{
	*frame_r = (struct frame){ .type = M2W_CERTIFICATE };
	memcpy(&frame_r->length, buffer_bytes(&keys->arrived), sizeof frame_r->length);
	frame_r->body = buffer_bytes(&keys->arrived) + sizeof frame_r->length;
}

static void
unusable_log(uint32_t number, const char *error)
{
	char quoted[256];

	log_error("certificate unusable number=%" PRIu32 " error=%s", number, log_quote(quoted, sizeof quoted, error));
}

static void
arrived_add(struct keys *keys, struct tls_context *context)
{
	const uint8_t *chain, *key;
	size_t chain_length, key_length;
	struct frame frame;

	for (uint32_t i = 0; i < keys->arrived_count; i++) {
		arrived_take(keys, &frame);
		message_get_certificate(&frame, &chain, &chain_length, &key, &key_length);
		if (tls_context_add(context, chain, chain_length, key, key_length) < 0)
			unusable_log(i + 1, tls_context_error(context));
		buffer_consume(&keys->arrived, sizeof frame.length + frame.length);
	}
}

static void
context_make(struct keys *keys, const struct tls_settings *settings)
{
	struct tls_context *context = keys->arrived.failed ? NULL : tls_context_new(settings, keys->tickets);

	if (context == NULL) {
		unusable_log(0, strerror(keys->arrived.failed ? ENOMEM : errno));
		return;
	}
	arrived_add(keys, context);
	if (tls_context_usable(context)) {
		tls_context_free(&keys->context);
		keys->context = context;
	} else {
		tls_context_free(&context);
	}
}

enum contract_breach
keys_settings(struct keys *keys, const struct tls_settings *settings)
{
	if (settings->certificate_count != keys->arrived_count)
		return BREACH_BODY;
	if (settings->certificate_count == 0)
		tls_context_free(&keys->context);
	else
		context_make(keys, settings);
	buffer_deinit(&keys->arrived);
	keys->arrived_count = 0;
	return BREACH_NONE;
}

void
keys_deinit(struct keys *keys)
{
	tls_context_free(&keys->context);
	tls_tickets_free(&keys->tickets);
	buffer_deinit(&keys->arrived);
	keys->arrived_count = 0;
}
