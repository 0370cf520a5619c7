#include "dialect/dialect.h"

#include <stdlib.h>
#include <string.h>

static const struct dialect *const dialects[] = { &dialect_sfrom, &dialect_route, &dialect_xmpp };

const struct dialect *
dialect_find(const char *name)
{
	for (size_t i = 0; i < sizeof(dialects) / sizeof(dialects[0]); i++)
		if (strcmp(dialects[i]->name, name) == 0)
			return dialects[i];
	return NULL;
}

bool
dialect_ends_session(const struct packet *packet, const char *address)
{
	if (packet->kind == PACKET_DISCONNECT && packet->certain)
		return true;
	if (packet->kind != PACKET_DISCONNECT || !range_decodes_to(packet->address, address))
		return false;
	return packet->from.at == NULL || range_decodes_to(packet->from, address) ||
	    range_decodes_to_bytes(packet->from, address, strcspn(address, "/"));
}

/* The conditions that there are, and the code of before that stands for them: the first of several. */
static const struct {
	const char *code;
	const char *name;
} conditions[] = {
	{ "302", "redirect" },
	{ "400", "bad-request" },
	{ "401", "not-authorized" },
	{ "402", "payment-required" },
	{ "403", "forbidden" },
	{ "404", "item-not-found" },
	{ "405", "not-allowed" },
	{ "406", "not-acceptable" },
	{ "407", "registration-required" },
	{ "408", "remote-server-timeout" },
	{ "409", "conflict" },
	{ "500", "internal-server-error" },
	{ "501", "feature-not-implemented" },
	{ "502", "service-unavailable" },
	{ "503", "service-unavailable" },
	{ "504", "remote-server-timeout" },
	{ "510", "service-unavailable" },
	{ "", "gone" },
	{ "", "jid-malformed" },
	{ "", "policy-violation" },
	{ "", "recipient-unavailable" },
	{ "", "remote-server-not-found" },
	{ "", "resource-constraint" },
	{ "", "subscription-required" },
	{ "", "unexpected-request" },
};

#define CONDITIONS (sizeof(conditions) / sizeof(conditions[0]))

static const char *
error_condition(const struct element *error)
{
	struct element child = { 0 };
	struct range code;

	while (element_next_child(error, &child))
		for (size_t i = 0; i < CONDITIONS; i++)
			if (range_equals(child.name, conditions[i].name))
				return conditions[i].name;
	if (!element_attribute(error, "code", &code) || code.length == 0)
		return NULL;
	for (size_t i = 0; i < CONDITIONS; i++)
		if (range_decodes_to(code, conditions[i].code))
			return conditions[i].name;
	return NULL;
}

const char *
dialect_error_name(const void *bytes, size_t length)
{
	struct element element, child = { 0 };
	const char *name = NULL;

	if (!element_read_complete(&element, bytes, length))
		return "undefined-condition";
	while (name == NULL && element_next_child(&element, &child))
		if (range_equals(child.name, "error"))
			name = error_condition(&child);
	return name != NULL ? name : "undefined-condition";
}

void
dialect_client_wipe(struct dialect_client *client)
{
	if (client->secret != NULL)
		explicit_bzero(client->secret, strlen(client->secret));
	free(client->secret);
	client->secret = NULL;
}

void
dialect_client_deinit(struct dialect_client *client)
{
	dialect_client_wipe(client);
	buffer_deinit(&client->held);
	free(client->memo);
	free(client->jid);
	free(client->resource);
	free(client->host);
	free(client->asked_id);
	free(client->asked_user);
	free(client->address);
	*client = (struct dialect_client){ 0 };
}
