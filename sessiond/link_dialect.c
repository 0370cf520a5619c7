#include "sessiond/link_dialect.h"

#include <string.h>

const struct link_dialect *
link_dialect_find(const char *name)
{
	static const struct link_dialect *const dialects[] = { &link_dialect_sfrom, &link_dialect_xmpp };

	for (size_t i = 0; i < sizeof dialects / sizeof dialects[0]; i++) {
		if (strcmp(dialects[i]->name, name) == 0)
			return dialects[i];
	}
	return NULL;
}
