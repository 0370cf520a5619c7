/*
 * Whatever a client sends or gets: what the operator is shown of it stays in its room, masking it again changes nothing,
 * and where libxml2 reads the text as XML, it reads what is shown as XML too and finds no secret in it.
 */
#include <libxml/parser.h>
#include <libxml/tree.h>
#include <string.h>

#include "tests/dialect/fuzz.h"
#include "worker/mask.h"

#define ROOM 100000

static bool
is_secret(const char *name)
{
	static const char *const names[] = {
		"password", "passwd", "pass", "secret", "old-password", "new-password", "digest", "hash", "sequence", "token",
		"key", "auth", "challenge", "response", "success", "initial-response", "additional-data", "task-data",
	};

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		if (strcasecmp(name, names[i]) == 0)
			return true;
	}
	return false;
}

/* Libxml2 keeps the name of what it did not find a namespace for with its prefix. */
static const char *
local_name(const xmlNode *node)
{
	const char *name = (const char *)node->name, *colon = strrchr(name, ':');

	return colon == NULL ? name : colon + 1;
}

static void
check_node(const xmlNode *node)
{
	for (; node != NULL; node = node->next) {
		if (node->type != XML_ELEMENT_NODE)
			continue;
		if (is_secret(local_name(node)) && node->children != NULL) {
			must(node->children->next == NULL && node->children->type == XML_TEXT_NODE);
			must(strcmp((const char *)node->children->content, "***") == 0);
		}
		check_node(node->children);
	}
}

static xmlDoc *
parse(const void *bytes, size_t length)
{
	return xmlReadMemory(bytes, (int)length, NULL, "UTF-8", XML_PARSE_NOERROR | XML_PARSE_NOWARNING | XML_PARSE_NONET);
}

/* Declarations, which are not shown; and what libxml2 takes for the end. */
static bool
is_beyond_us(const uint8_t *data, size_t size)
{
	return memchr(data, '\0', size) != NULL || memmem(data, size, "<!", 2) != NULL || memmem(data, size, "<?", 2) != NULL;
}

static void
check_meaning(const uint8_t *data, size_t size, const struct buffer *shown, bool cut)
{
	xmlDoc *before = parse(data, size), *after;

	if (before != NULL && !is_beyond_us(data, size)) {
		must(!cut);
		after = parse(buffer_bytes(shown), buffer_length(shown));
		must(after != NULL);
		check_node(xmlDocGetRootElement(after));
		xmlFreeDoc(after);
	}
	if (before != NULL)
		xmlFreeDoc(before);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buffer shown = { 0 }, again = { 0 }, little = { 0 };
	bool cut;

	if (size > ROOM / 4)
		return 0;
	cut = mask_append(&shown, (const char *)data, size, ROOM);
	mask_append(&little, (const char *)data, size, size / 2);
	must(buffer_length(&little) <= size / 2 && buffer_length(&little) <= buffer_length(&shown));
	if (buffer_length(&little) > 0)
		must(memcmp(buffer_bytes(&little), buffer_bytes(&shown), buffer_length(&little)) == 0);
	if (buffer_length(&shown) > 0 && !cut) {
		mask_append(&again, (const char *)buffer_bytes(&shown), buffer_length(&shown), ROOM);
		must(buffer_length(&again) == buffer_length(&shown));
		must(memcmp(buffer_bytes(&again), buffer_bytes(&shown), buffer_length(&again)) == 0);
	}
	check_meaning(data, size, &shown, cut);
	buffer_deinit(&shown);
	buffer_deinit(&again);
	buffer_deinit(&little);
	return 0;
}
