#include "dialect/prepare.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <stringprep.h>

/* Room that stringprep has for working: what it maps to may be longer than what it began with. */
#define ROOM (4 * PREPARE_PART_MAX)

static int
prepare(const char *text, const Stringprep_profile *profile, char **prepared_r)
{
	char room[ROOM];
	int result;

	if (prepared_r != NULL)
		*prepared_r = NULL;
	if (strlen(text) > PREPARE_PART_MAX)
		return 0;
	strcpy(room, text);
	result = stringprep(room, sizeof(room), 0, profile);
	if (result == STRINGPREP_MALLOC_ERROR)
		return -ENOMEM;
	if (result != STRINGPREP_OK || room[0] == '\0' || strlen(room) > PREPARE_PART_MAX)
		return 0;
	if (prepared_r != NULL && (*prepared_r = strdup(room)) == NULL)
		return -ENOMEM;
	return 1;
}

int
prepare_node(const char *text, char **prepared_r)
{
	return prepare(text, stringprep_xmpp_nodeprep, prepared_r);
}

int
prepare_resource(const char *text, char **prepared_r)
{
	return prepare(text, stringprep_xmpp_resourceprep, prepared_r);
}
