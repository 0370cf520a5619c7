/* The other half of config.h: what a target says, as a file, and beside another target. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/config.h"

#define COLUMNS 100

/* Stands for a secret; c2sd would take it for one. */
#define STARS "***"

static const char *
section_at(const struct config_section *section, const void *target, unsigned which)
{
	return (const char *)target + section->offset + which * section->size;
}

static unsigned
section_count(const struct config_section *section, const void *target)
{
	return section->max == 1 ? 1 : *(const unsigned *)(const void *)((const char *)target + section->count_offset);
}

static const char *
string_at(const struct config_option *option, const char *base)
{
	return *(char *const *)(const void *)(base + option->offset);
}

static uint32_t
number_at(const struct config_option *option, const char *base)
{
	return *(const uint32_t *)(const void *)(base + option->offset);
}

static bool
boolean_at(const struct config_option *option, const char *base)
{
	return *(const bool *)(const void *)(base + option->offset);
}

/* ---- printing ---- */

/* The word of that number in a list with | between. */
static void
choice_append(struct buffer *text, const char *words, uint32_t which)
{
	for (; which > 0 && strchr(words, '|') != NULL; which--)
		words = strchr(words, '|') + 1;
	buffer_append(text, words, strcspn(words, "|"));
}

static void
value_append(struct buffer *text, const struct config_option *option, const char *base, bool secrets)
{
	uint32_t number;

	switch (option->type) {
	case CONFIG_STRING:
		if (!secrets && (option->flags & CONFIG_SECRET) != 0)
			buffer_append_string(text, STARS);
		else
			buffer_append_escaped(text, string_at(option, base), strlen(string_at(option, base)));
		break;
	case CONFIG_NUMBER:
		number = number_at(option, base);
		if (number == 0 && option->word != NULL)
			buffer_append_string(text, option->word);
		else
			buffer_append_format(text, "%" PRIu32, number);
		break;
	case CONFIG_BOOLEAN:
		buffer_append_string(text, boolean_at(option, base) ? "yes" : "no");
		break;
	case CONFIG_CHOICE:
		choice_append(text, option->word, number_at(option, base));
		break;
	}
}

/* Attributes go on the next line when this one is full: nothing of the output is for machines only. */
static void
attributes_append(struct buffer *xml, const struct config_section *section, const char *base, bool secrets)
{
	size_t line = buffer_length(xml) - strlen(section->element) - 3;

	for (size_t i = 0; i < section->option_count; i++) {
		const struct config_option *option = &section->options[i];

		if (option->name[0] == '\0' || (option->type == CONFIG_STRING && string_at(option, base) == NULL))
			continue;
		if (buffer_length(xml) - line > COLUMNS) {
			buffer_append_string(xml, "\n   ");
			line = buffer_length(xml) - 3;
		}
		buffer_append_format(xml, " %s=\"", option->name);
		value_append(xml, option, base, secrets);
		buffer_append_string(xml, "\"");
	}
}

static const struct config_option *
text_option(const struct config_section *section)
{
	for (size_t i = 0; i < section->option_count; i++) {
		if (section->options[i].name[0] == '\0')
			return &section->options[i];
	}
	return NULL;
}

/* A section whose text is missing is not there: its element would be an error. */
static void
section_append(struct buffer *xml, const struct config_section *section, const char *base, bool secrets)
{
	const struct config_option *text = text_option(section);

	if (text != NULL && text->type == CONFIG_STRING && string_at(text, base) == NULL)
		return;
	buffer_append_format(xml, "  <%s", section->element);
	attributes_append(xml, section, base, secrets);
	if (text != NULL) {
		buffer_append_string(xml, ">");
		value_append(xml, text, base, secrets);
		buffer_append_format(xml, "</%s>\n", section->element);
	} else {
		buffer_append_string(xml, "/>\n");
	}
}

static int
target_append(const struct config_table *table, const void *target, struct buffer *xml, bool secrets)
{
	buffer_append_format(xml, "<%s>\n", table->root);
	for (size_t i = 0; i < table->section_count; i++) {
		const struct config_section *section = &table->sections[i];

		for (unsigned which = 0; which < section_count(section, target); which++)
			section_append(xml, section, section_at(section, target, which), secrets);
	}
	buffer_append_format(xml, "</%s>\n", table->root);
	return xml->failed ? -ENOMEM : 0;
}

int
config_print(const struct config_table *table, const void *target, struct buffer *xml)
{
	return target_append(table, target, xml, false);
}

int
config_print_secrets(const struct config_table *table, const void *target, struct buffer *xml)
{
	return target_append(table, target, xml, true);
}

/* ---- comparing ---- */

static bool
strings_differ(const char *one, const char *other)
{
	return one == NULL || other == NULL ? one != other : strcmp(one, other) != 0;
}

static bool
value_differs(const struct config_option *option, const char *one, const char *other)
{
	switch (option->type) {
	case CONFIG_STRING:
		return strings_differ(string_at(option, one), string_at(option, other));
	case CONFIG_BOOLEAN:
		return boolean_at(option, one) != boolean_at(option, other);
	case CONFIG_NUMBER:
	case CONFIG_CHOICE:
		return number_at(option, one) != number_at(option, other);
	}
	return false;
}

bool
config_option_differs(const struct config_section *section, const struct config_option *option, const void *one,
    const void *other)
{
	unsigned count = section_count(section, one);

	if (count != section_count(section, other))
		return true;
	for (unsigned i = 0; i < count; i++) {
		if (value_differs(option, section_at(section, one, i), section_at(section, other, i)))
			return true;
	}
	return false;
}

/* False: no memory. */
static bool
value_copy(const struct config_option *option, char *to, const char *from)
{
	char **string = (char **)(void *)(to + option->offset), *copy = NULL;

	if (option->type != CONFIG_STRING) {
		memcpy(to + option->offset, from + option->offset,
		    option->type == CONFIG_BOOLEAN ? sizeof(bool) : sizeof(uint32_t));
		return true;
	}
	if (string_at(option, from) != NULL) {
		copy = strdup(string_at(option, from));
		if (copy == NULL)
			return false;
	}
	free(*string);
	*string = copy;
	return true;
}

static int
option_inherit(const struct config_section *section, const struct config_option *option, void *next,
    const void *running, const char *file, const struct config_lines *lines, const struct config_report *report)
{
	char *base = (char *)next + section->offset;
	char what[256];

	if ((option->flags & CONFIG_RELOAD) != 0 || section->max > 1 ||
	    !config_option_differs(section, option, next, running))
		return 0;
	if (!value_copy(option, base, (const char *)running + section->offset))
		return -ENOMEM;
	snprintf(what, sizeof what, "%s%s%s: changed only by a restart", section->element,
	    option->name[0] != '\0' ? " " : "", option->name);
	report->fn(report, file, lines != NULL ? config_line(lines, base + option->offset, base) : 0, what);
	return 1;
}

int
config_inherit(const struct config_table *table, void *next, const void *running, const char *file,
    const struct config_lines *lines, const struct config_report *report)
{
	int total = 0;

	for (size_t i = 0; i < table->section_count; i++) {
		const struct config_section *section = &table->sections[i];

		for (size_t k = 0; k < section->option_count; k++) {
			int result = option_inherit(section, &section->options[k], next, running, file, lines, report);

			if (result < 0)
				return result;
			total += result;
		}
	}
	return total;
}
