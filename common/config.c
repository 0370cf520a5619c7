#include "common/config.h"

#include <errno.h>
#include <libxml/parser.h>
#include <libxml/tree.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One reading of one file. */
struct load {
	const struct config_table *table;
	const char *file;
	char *target;
	const struct config_report *report;
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

static void
value_error(struct load *load, int line, const struct config_section *section, const struct config_option *option)
{
	const char *separator = option->name[0] != '\0' ? " " : "";
	const char *or_word = option->word != NULL ? option->word : "";

	if (option->type == CONFIG_NUMBER)
		load_error(load, line, "%s%s%s: not a number from %u to %u%s%s", section->element, separator, option->name,
		    option->min, option->max, option->word != NULL ? " or " : "", or_word);
	else if (option->type == CONFIG_BOOLEAN)
		load_error(load, line, "%s%s%s: neither yes nor no", section->element, separator, option->name);
	else if (option->type == CONFIG_CHOICE)
		load_error(load, line, "%s%s%s: none of %s", section->element, separator, option->name, or_word);
	else if ((option->flags & CONFIG_PATH) != 0)
		load_error(load, line, "%s%s%s: not an absolute path", section->element, separator, option->name);
	else
		load_error(load, line, "%s%s%s: empty", section->element, separator, option->name);
}

static bool
string_store(struct load *load, const struct config_option *option, char **place, const char *text)
{
	free(*place);
	*place = strdup(text);
	load->no_memory |= *place == NULL;
	return (option->flags & CONFIG_PATH) != 0 ? text[0] == '/' : text[0] != '\0';
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
		*(bool *)place = strcmp(text, "yes") == 0;
		return *(bool *)place || strcmp(text, "no") == 0;
	case CONFIG_CHOICE:
		choice = choice_parse(option->word, text);
		*(uint32_t *)place = choice < 0 ? 0 : (uint32_t)choice;
		return choice >= 0;
	}
	return false;
}

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
option_load(struct load *load, const struct config_section *section, char *base, int line, const char *name,
    const char *text)
{
	const struct config_option *option = option_find(section, name);

	if (option == NULL)
		load_error(load, line, "%s: unknown attribute %s", section->element, name);
	else if (!value_store(load, option, base, text))
		value_error(load, line, section, option);
}

static void
attributes_load(struct load *load, const struct config_section *section, char *base, const xmlNode *node)
{
	for (xmlAttr *attribute = node->properties; attribute != NULL; attribute = attribute->next) {
		xmlChar *value = xmlNodeListGetString(node->doc, attribute->children, 1);

		option_load(load, section, base, (int)node->line, (const char *)attribute->name,
		    value != NULL ? (const char *)value : "");
		xmlFree(value);
	}
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
	xmlChar *content = xmlNodeGetContent(node);
	char *text = content != NULL ? text_trim((char *)content) : NULL;

	if (xmlFirstElementChild(node) != NULL)
		load_error(load, (int)node->line, "%s: has elements in it", section->element);
	else if (option_find(section, "") != NULL)
		option_load(load, section, base, (int)node->line, "", text != NULL ? text : "");
	else if (text != NULL && text[0] != '\0')
		load_error(load, (int)node->line, "%s: text where none belongs", section->element);
	xmlFree(content);
}

static void
required_check(struct load *load, const struct config_section *section, const xmlNode *node)
{
	for (size_t i = 0; i < section->option_count; i++) {
		const struct config_option *option = &section->options[i];

		if ((option->flags & CONFIG_REQUIRED) != 0 && option->name[0] != '\0' && xmlHasProp(node, (const xmlChar *)option->name) == NULL)
			load_error(load, (int)node->line, "%s: attribute %s is missing", section->element, option->name);
	}
}

/* Where the next section of this kind goes; NULL (reported) when there are too many. */
static char *
section_place(struct load *load, const struct config_section *section, const xmlNode *node, unsigned *seen)
{
	char *base = load->target + section->offset;

	if (*seen == section->max) {
		load_error(load, (int)node->line, section->max == 1 ? "%s: stands twice" : "%s: too many", section->element);
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

		if (strcmp(section->element, (const char *)node->name) != 0)
			continue;
		base = section_place(load, section, node, &seen[i]);
		if (base == NULL)
			return;
		attributes_load(load, section, base, node);
		content_load(load, section, base, node);
		required_check(load, section, node);
		return;
	}
	load_error(load, (int)node->line, "unknown element %s", (const char *)node->name);
}

static void
root_load(struct load *load, xmlNode *root)
{
	unsigned *seen = calloc(load->table->section_count, sizeof *seen);

	if (seen == NULL) {
		load->no_memory = true;
		return;
	}
	if (strcmp((const char *)root->name, load->table->root) != 0)
		load_error(load, (int)root->line, "the root element is %s, not %s", (const char *)root->name, load->table->root);
	for (xmlNode *node = xmlFirstElementChild(root); node != NULL; node = xmlNextElementSibling(node))
		section_load(load, node, seen);
	free(seen);
}

static void
document_load(struct load *load)
{
	xmlParserCtxt *context = xmlNewParserCtxt();
	xmlDoc *document;

	if (context == NULL) {
		load->no_memory = true;
		return;
	}
	document = xmlCtxtReadFile(context, load->file, NULL, XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
	if (document == NULL) {
		const xmlError *error = xmlCtxtGetLastError(context);
		char message[256] = "cannot be read";

		if (error != NULL && error->message != NULL)
			snprintf(message, sizeof message, "%s", error->message);
		load_error(load, error != NULL ? error->line : 0, "%s", text_trim(message));
	} else {
		root_load(load, xmlDocGetRootElement(document));
		xmlFreeDoc(document);
	}
	xmlFreeParserCtxt(context);
}

int
config_load(const struct config_table *table, const char *file, void *target, const struct config_report *report)
{
	struct load load = { .table = table, .file = file, .target = target, .report = report };

	for (size_t i = 0; i < table->section_count; i++) {
		if (table->sections[i].max == 1)
			defaults_store(&load, &table->sections[i], load.target + table->sections[i].offset);
	}
	document_load(&load);
	return load.no_memory ? -ENOMEM : load.errors;
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
