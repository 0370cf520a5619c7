#include "dialect/dialect.h"

#include <stdlib.h>
#include <string.h>

static const struct dialect *const dialects[] = { &dialect_sfrom };

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
	if (packet->kind != PACKET_DISCONNECT || !range_decodes_to(packet->address, address))
		return false;
	return packet->from.at == NULL || range_decodes_to(packet->from, address) ||
	    range_decodes_to_bytes(packet->from, address, strcspn(address, "/"));
}

void
dialect_client_deinit(struct dialect_client *client)
{
	free(client->host);
	free(client->asked_id);
	free(client->address);
	*client = (struct dialect_client){ 0 };
}
