/*
 * Lines, of which each may be an address or a network: what is read is written so that it is read again, holds its own
 * address, and, every second one denied, decides in a list as looking at all of them would.
 */
#include <string.h>

#include "common/address_list.h"
#include "tests/dialect/fuzz.h"

#define LINES_MAX 64

static struct prefix allow[LINES_MAX], deny[LINES_MAX];
static size_t allow_count, deny_count;

static void
read_line(const char *line)
{
	struct prefix prefix, again;
	char text[PREFIX_TEXT_SIZE];
	const char *why;

	if (!prefix_parse(&prefix, line, &why)) {
		must(why != NULL);
		return;
	}
	must(prefix.length <= PREFIX_LENGTH_MAX);
	must(strlen(prefix_format(&prefix, text)) < sizeof text);
	must(prefix_parse(&again, text, &why) && prefix_equals(&prefix, &again));
	if (allow_count <= deny_count && allow_count < LINES_MAX)
		allow[allow_count++] = prefix;
	else if (deny_count < LINES_MAX)
		deny[deny_count++] = prefix;
}

static const struct prefix *
longest(const struct prefix *prefixes, size_t count, const struct in6_addr *address)
{
	const struct prefix *best = NULL;

	for (size_t i = 0; i < count; i++) {
		if (prefix_covers(&prefixes[i], address) && (best == NULL || best->length < prefixes[i].length))
			best = &prefixes[i];
	}
	return best;
}

static bool
permits(const struct in6_addr *address)
{
	const struct prefix *allowed = longest(allow, allow_count, address), *denied = longest(deny, deny_count, address);

	if (allowed == NULL && denied == NULL)
		return allow_count == 0;
	return denied == NULL || (allowed != NULL && allowed->length > denied->length);
}

static void
check_list(void)
{
	struct address_list list;

	must(address_list_init(&list, allow, allow_count, deny, deny_count) == 0);
	for (size_t i = 0; i < allow_count; i++)
		must(address_list_permits(&list, &allow[i].address) == permits(&allow[i].address));
	for (size_t i = 0; i < deny_count; i++)
		must(address_list_permits(&list, &deny[i].address) == permits(&deny[i].address));
	address_list_deinit(&list);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	allow_count = deny_count = 0;
	while (size > 0) {
		const uint8_t *end = memchr(data, '\n', size);
		size_t length = end != NULL ? (size_t)(end - data) : size;
		char line[128];

		if (length < sizeof line) {
			memcpy(line, data, length);
			line[length] = '\0';
			read_line(line);
		}
		length += end != NULL;
		data += length;
		size -= length;
	}
	check_list();
	return 0;
}
