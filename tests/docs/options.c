/*
 * options: prints the table of options, one a line, for test_docs.py: element, name, type, lowest, highest, word,
 * default, reload or restart, help, with tabs between; a dash where there is none.
 */
#include <stdio.h>

#include "master/options.h"

static const char *
text_of(const char *text)
{
	return text == NULL ? "-" : text;
}

static void
section_print(const struct config_section *section)
{
	static const char *const types[] = {
		[CONFIG_STRING] = "string",
		[CONFIG_NUMBER] = "number",
		[CONFIG_BOOLEAN] = "boolean",
		[CONFIG_CHOICE] = "choice",
	};

	for (size_t i = 0; i < section->option_count; i++) {
		const struct config_option *option = &section->options[i];

		printf("%s\t%s\t%s\t%u\t%u\t%s\t%s\t%s\t%s\n", section->element, option->name, types[option->type], option->min,
		    option->max, text_of(option->word), text_of(option->fallback),
		    (option->flags & CONFIG_RELOAD) != 0 ? "reload" : "restart", option->help);
	}
}

int
main(void)
{
	for (size_t i = 0; i < options_table.section_count; i++)
		section_print(&options_table.sections[i]);
	return 0;
}
