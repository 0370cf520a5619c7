/*
 * config: an XML file read into a struct by a table.
 *
 * A section is an element below the root; an option is one of its attributes, or its text (name ""). One table holds
 * everything that is known of an option, so that checking, the sample file, the manual page and the printed
 * configuration cannot disagree: tests hold them against each other.
 *
 * All errors of a file are reported, not only the first, each with its line. Strings are allocated; config_free.
 */
#ifndef C2SD_COMMON_CONFIG_H
#define C2SD_COMMON_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum config_type {
	CONFIG_STRING,	/* char * */
	CONFIG_NUMBER,	/* uint32_t, min to max; `word` stands for 0 */
	CONFIG_BOOLEAN,	/* bool; yes or no */
	CONFIG_CHOICE,	/* uint32_t: the index in `word`, a list with | between */
};

/* What else is known of an option. */
enum {
	CONFIG_REQUIRED = 1,	/* it must stand in the file */
	CONFIG_RELOAD = 2,	/* a reload changes it; else only a restart does */
	CONFIG_SECRET = 4,	/* it is not shown */
	CONFIG_PATH = 8,	/* an absolute path: the service works in / when it is in the background */
};

struct config_option {
	const char *name;	/* of the attribute; "": the element's text */
	enum config_type type;
	uint32_t min, max;
	const char *word;
	const char *fallback;	/* the default, as it would be written; NULL: none */
	unsigned flags;		/* CONFIG_REQUIRED and so on */
	size_t offset;		/* in the section's struct */
	const char *help;	/* one line */
};

struct config_section {
	const char *element;
	const struct config_option *options;
	size_t option_count;
	size_t offset;		/* of the (first) section's struct in the target */
	size_t size;		/* of one */
	size_t max;		/* how many there may be; 1: the element may stand once */
	size_t count_offset;	/* where the number of them (unsigned) is stored, when max > 1 */
	const char *help;
};

struct config_table {
	const char *root;	/* name of the root element */
	const struct config_section *sections;
	size_t section_count;
};

/* Told of each error; `line` is 0 where there is none to name. */
struct config_report {
	void (*fn)(const struct config_report *report, const char *file, int line, const char *what);
	void *argument;
};

/*
 * Read `file` into `target` (zeroed by the caller). The number of errors (the target is then incomplete, and still to be
 * freed), or -ENOMEM.
 */
int config_load(const struct config_table *table, const char *file, void *target, const struct config_report *report);

/* Free the strings of a target. */
void config_free(const struct config_table *table, void *target);

#endif
