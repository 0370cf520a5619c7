#include "common/config.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/document.h"
#include "common/prefix.h"

/* One reading of one file. */
struct load {
	const struct config_table *table;
	const char *file;
	char *target;
	const struct config_report *report;
	struct config_lines *lines;	/* NULL: nobody asks */
	int errors;
	bool no_memory;
};

static void __attribute__((format(printf, 3, 4)))
load_error(struct load *load, int line, const char *format, ...)
{
	char what[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(what, sizeof what, format, arguments);
	va_end(arguments);
	load->errors++;
	load->report->fn(load->report, load->file, line, what);
}

/* ---- lines ---- */

struct place {
	const void *place;	/* in the target */
	int line;
	bool is_option;		/* and not a section */
	bool wrong;
};

static void
place_keep(struct load *load, const void *place, int line, bool is_option, bool wrong)
{
	struct place one = { .place = place, .line = line, .is_option = is_option, .wrong = wrong };

	if (load->lines != NULL)
		buffer_append(&load->lines->places, &one, sizeof one);
}

/* The last one: a section has the same place as its first option, and is kept before it. */
static const struct place *
place_find(const struct config_lines *lines, const void *place)
{
	const struct place *places = (const struct place *)(const void *)buffer_bytes(&lines->places);

	for (size_t i = buffer_length(&lines->places) / sizeof *places; i > 0; i--) {
		if (places[i - 1].place == place)
			return &places[i - 1];
	}
	return NULL;
}

int
config_line(const struct config_lines *lines, const void *option, const void *section)
{
	const struct place *place = place_find(lines, option);

	if (place == NULL)
		place = place_find(lines, section);
	return place != NULL ? place->line : lines->root;
}

bool
config_is_set(const struct config_lines *lines, const void *option)
{
	const struct place *place = place_find(lines, option);

	return place != NULL && place->is_option;
}

bool
config_is_wrong(const struct config_lines *lines, const void *option)
{
	const struct place *place = place_find(lines, option);

	return place != NULL && place->wrong;
}

void
config_lines_free(struct config_lines *lines)
{
	buffer_deinit(&lines->places);
	lines->root = 0;
}

/* ---- values ---- */

static bool
number_parse(const struct config_option *option, const char *text, uint32_t *number_r)
{
	unsigned long value;
	char *end;

	if (option->word != NULL && strcmp(text, option->word) == 0) {
		*number_r = 0;
		return true;
	}
	if (text[0] < '0' || text[0] > '9')
		return false;
	errno = 0;
	value = strtoul(text, &end, 10);
	if (errno != 0 || *end != '\0' || value < option->min || value > option->max)
		return false;
	*number_r = (uint32_t)value;
	return true;
}

/* The index of `text` among words with | between; -1: it is none of them. */
static int
choice_parse(const char *words, const char *text)
{
	size_t length = strlen(text);

	for (int i = 0; words != NULL; i++) {
		const char *end = strchr(words, '|');
		size_t word_length = end != NULL ? (size_t)(end - words) : strlen(words);

		if (word_length == length && strncmp(words, text, length) == 0)
			return i;
		words = end != NULL ? end + 1 : NULL;
	}
	return -1;
}

/* What is wrong with a string; NULL: nothing. */
static const char *
string_complaint(const struct config_option *option, const char *text)
{
	struct prefix prefix;
	const char *why;

	if ((option->flags & CONFIG_PATH) != 0 && text[0] != '/')
		return "not an absolute path";
	if (text[0] == '\0')
		return "empty";
	if (strlen(text) > CONFIG_STRING_MAX)
		return "too long";
	for (const char *p = text; *p != '\0'; p++) {
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return "has control characters";
	}
	if ((option->flags & CONFIG_DOMAIN) != 0 && strpbrk(text, "@/\"'<>& ") != NULL)
		return "has characters that no name of a host has";
	if ((option->flags & CONFIG_NETWORK) != 0 && !prefix_parse(&prefix, text, &why))
		return why;
	return NULL;
}

static void
value_error(struct load *load, int line, const struct config_section *section, const struct config_option *option,
    const char *text)
{
	const char *separator = option->name[0] != '\0' ? " " : "";
	const char *or_word = option->word != NULL ? option->word : "";

	switch (option->type) {
	case CONFIG_NUMBER:
		load_error(load, line, "%s%s%s: not a number from %u to %u%s%s", section->element, separator, option->name,
		    option->min, option->max, option->word != NULL ? " or " : "", or_word);
		break;
	case CONFIG_BOOLEAN:
		load_error(load, line, "%s%s%s: neither yes nor no", section->element, separator, option->name);
		break;
	case CONFIG_CHOICE:
		load_error(load, line, "%s%s%s: none of %s", section->element, separator, option->name, or_word);
		break;
	case CONFIG_STRING:
		load_error(load, line, "%s%s%s: %s", section->element, separator, option->name,
		    string_complaint(option, text));
		break;
	}
}

static bool
string_store(struct load *load, const struct config_option *option, char **place, const char *text)
{
	if (string_complaint(option, text) != NULL)
		return false;
	free(*place);
	*place = strdup(text);
	load->no_memory |= *place == NULL;
	return true;
}

static bool
boolean_parse(const char *text, bool *value_r)
{
	bool yes = strcmp(text, "yes") == 0;

	if (!yes && strcmp(text, "no") != 0)
		return false;
	*value_r = yes;
	return true;
}

static bool
value_store(struct load *load, const struct config_option *option, char *base, const char *text)
{
	void *place = base + option->offset;
	int choice;

	switch (option->type) {
	case CONFIG_STRING:
		return string_store(load, option, place, text);
	case CONFIG_NUMBER:
		return number_parse(option, text, place);
	case CONFIG_BOOLEAN:
		return boolean_parse(text, place);
	case CONFIG_CHOICE:
		choice = choice_parse(option->word, text);
		if (choice >= 0)
			*(uint32_t *)place = (uint32_t)choice;
		return choice >= 0;
	}
	return false;
}

/* ---- sections ---- */

static void
defaults_store(struct load *load, const struct config_section *section, char *base)
{
	for (size_t i = 0; i < section->option_count; i++) {
		if (section->options[i].fallback != NULL)
			value_store(load, &section->options[i], base, section->options[i].fallback);
	}
}

static const struct config_option *
option_find(const struct config_section *section, const char *name)
{
	for (size_t i = 0; i < section->option_count; i++) {
		if (strcmp(section->options[i].name, name) == 0)
			return &section->options[i];
	}
	return NULL;
}

static void
option_load(struct load *load, const struct config_section *section, const struct config_option *option, char *base,
    int line, const char *text)
{
	bool stored = value_store(load, option, base, text);

	place_keep(load, base + option->offset, line, true, !stored);
	if (!stored)
		value_error(load, line, section, option, text);
}

static void
attribute_load(struct load *load, const struct config_section *section, char *base, const xmlAttr *attribute)
{
	const char *name = (const char *)attribute->name;
	/* An option with no name is the element's text, and no attribute has no name. */
	const struct config_option *option = attribute->ns == NULL ? option_find(section, name) : NULL;
	int line = document_attribute_line(attribute);
	xmlChar *value;

	if (option == NULL) {
		load_error(load, line, "%s: unknown attribute %s", section->element, name);
		return;
	}
	value = xmlNodeListGetString(attribute->doc, attribute->children, 1);
	option_load(load, section, option, base, line, value != NULL ? (const char *)value : "");
	xmlFree(value);
}

static char *
text_trim(char *text)
{
	char *end;

	text += strspn(text, " \t\r\n");
	end = text + strlen(text);
	while (end > text && strchr(" \t\r\n", end[-1]) != NULL)
		*--end = '\0';
	return text;
}

static void
content_load(struct load *load, const struct config_section *section, char *base, xmlNode *node)
{
	const struct config_option *option = option_find(section, "");
	xmlChar *content = xmlNodeGetContent(node);
	char *text = content != NULL ? text_trim((char *)content) : NULL;
	int line = document_node_line(node);

	if (xmlFirstElementChild(node) != NULL)
		load_error(load, document_node_line(xmlFirstElementChild(node)), "%s: has elements in it", section->element);
	else if (option != NULL)
		option_load(load, section, option, base, line, text != NULL ? text : "");
	else if (text != NULL && text[0] != '\0')
		load_error(load, line, "%s: text where none belongs", section->element);
	xmlFree(content);
}

static void
required_check(struct load *load, const struct config_section *section, const xmlNode *node)
{
	for (size_t i = 0; i < section->option_count; i++) {
		const struct config_option *option = &section->options[i];

		if ((option->flags & CONFIG_REQUIRED) != 0 && option->name[0] != '\0' &&
		    xmlHasProp(node, (const xmlChar *)option->name) == NULL)
			load_error(load, document_node_line(node), "%s: attribute %s is missing", section->element,
			    option->name);
	}
}

/* Where the next section of this kind goes; NULL (reported) when there are too many. */
static char *
section_place(struct load *load, const struct config_section *section, const xmlNode *node, unsigned *seen)
{
	char *base = load->target + section->offset;

	if (*seen == section->max) {
		load_error(load, document_node_line(node), section->max == 1 ? "%s: stands twice" : "%s: too many",
		    section->element);
		return NULL;
	}
	base += *seen * section->size;
	*seen += 1;
	if (section->max > 1) {
		*(unsigned *)(void *)(load->target + section->count_offset) = *seen;
		defaults_store(load, section, base);
	}
	return base;
}

static void
section_load(struct load *load, xmlNode *node, unsigned *seen)
{
	for (size_t i = 0; i < load->table->section_count; i++) {
		const struct config_section *section = &load->table->sections[i];
		char *base;

		if (node->ns != NULL || strcmp(section->element, (const char *)node->name) != 0)
			continue;
		base = section_place(load, section, node, &seen[i]);
		if (base == NULL)
			return;
		place_keep(load, base, document_node_line(node), false, false);
		for (const xmlAttr *attribute = node->properties; attribute != NULL; attribute = attribute->next)
			attribute_load(load, section, base, attribute);
		content_load(load, section, base, node);
		required_check(load, section, node);
		return;
	}
	load_error(load, document_node_line(node), "unknown element %s", (const char *)node->name);
}

/* Nothing but elements belongs into the root element, and nothing into its tag. */
static void
root_check(struct load *load, const xmlNode *root)
{
	int line = document_node_line(root);
	bool has_text = false;

	if (root->ns != NULL || strcmp((const char *)root->name, load->table->root) != 0)
		load_error(load, line, "the root element is %s, not %s", (const char *)root->name, load->table->root);
	for (const xmlAttr *attribute = root->properties; attribute != NULL; attribute = attribute->next)
		load_error(load, document_attribute_line(attribute), "%s: unknown attribute %s", load->table->root,
		    (const char *)attribute->name);
	for (const xmlNode *node = root->children; node != NULL; node = node->next) {
		if (node->type == XML_ELEMENT_NODE)
			line = document_node_line(node);
		has_text = node->type != XML_ELEMENT_NODE && node->type != XML_COMMENT_NODE && node->type != XML_PI_NODE &&
		    !xmlIsBlankNode(node);
		if (has_text)
			load_error(load, line, "%s: text where none belongs", load->table->root);
	}
}

static void
root_load(struct load *load, xmlNode *root)
{
	unsigned *seen = calloc(load->table->section_count, sizeof *seen);

	if (seen == NULL) {
		load->no_memory = true;
		return;
	}
	if (load->lines != NULL)
		load->lines->root = document_node_line(root);
	root_check(load, root);
	for (xmlNode *node = xmlFirstElementChild(root); node != NULL; node = xmlNextElementSibling(node))
		section_load(load, node, seen);
	free(seen);
}

static void
file_load(struct load *load)
{
	struct document document;

	if (document_read(&document, load->file) < 0)
		load->no_memory = true;
	else if (document.tree == NULL)
		load_error(load, document.line, "%s", document.error);
	else
		root_load(load, xmlDocGetRootElement(document.tree));
	document_deinit(&document);
}

int
config_load(const struct config_table *table, const char *file, void *target, const struct config_report *report,
    struct config_lines *lines)
{
	struct load load = { .table = table, .file = file, .target = target, .report = report, .lines = lines };

	if (lines != NULL)
		config_lines_free(lines);
	for (size_t i = 0; i < table->section_count; i++) {
		if (table->sections[i].max == 1)
			defaults_store(&load, &table->sections[i], load.target + table->sections[i].offset);
	}
	file_load(&load);
	load.no_memory |= lines != NULL && lines->places.failed;
	return load.no_memory ? -ENOMEM : load.errors;
}

void
config_report_format(char *text_r, size_t size, const char *file, int line, const char *what)
{
	if (line > 0)
		snprintf(text_r, size, "%s:%d: %s", file, line, what);
	else
		snprintf(text_r, size, "%s: %s", file, what);
}

static void
section_free(const struct config_section *section, char *base)
{
	for (size_t i = 0; i < section->option_count; i++) {
		char **place = (char **)(void *)(base + section->options[i].offset);

		if (section->options[i].type != CONFIG_STRING)
			continue;
		free(*place);
		*place = NULL;
	}
}

void
config_free(const struct config_table *table, void *target)
{
	for (size_t i = 0; i < table->section_count; i++) {
		const struct config_section *section = &table->sections[i];

		for (size_t k = 0; k < section->max; k++)
			section_free(section, (char *)target + section->offset + k * section->size);
	}
}
