/*
 * options: prints the table of options, one a line, for schema.py and test_docs.py: element, name, type, lowest, highest,
 * word, default, reload or restart, required or optional, help, how often the element may stand, its help, with tabs
 * between; a dash where there is none.
 */
#include <stdio.h>

#include "master/options.h"

static const char *
text_of(const char *text)
{
	return text == NULL ? "-" : text;
}

static const char *
type_of(const struct config_option *option)
{
	switch (option->type) {
	case CONFIG_NUMBER:
		return "number";
	case CONFIG_BOOLEAN:
		return "boolean";
	case CONFIG_CHOICE:
		return "choice";
	case CONFIG_STRING:
		return (option->flags & CONFIG_PATH) != 0 ? "path" : (option->flags & CONFIG_DOMAIN) != 0 ? "domain" :
		    (option->flags & CONFIG_NETWORK) != 0 ? "network" : "string";
	}
	return "-";
}

static void
section_print(const struct config_section *section)
{
	for (size_t i = 0; i < section->option_count; i++) {
		const struct config_option *option = &section->options[i];

		printf("%s\t%s\t%s\t%u\t%u\t%s\t%s\t%s\t%s\t%s\t%zu\t%s\n", section->element, option->name, type_of(option),
		    option->min, option->max, text_of(option->word), text_of(option->fallback),
		    (option->flags & CONFIG_RELOAD) != 0 ? "reload" : "restart",
		    (option->flags & CONFIG_REQUIRED) != 0 ? "required" : "optional", option->help, section->max,
		    section->help);
	}
}

int
main(void)
{
	for (size_t i = 0; i < options_table.section_count; i++)
		section_print(&options_table.sections[i]);
	return 0;
}
