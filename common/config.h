/*
 * config: an XML file read into a struct by a table.
 *
 * A section is an element below the root; an option is one of its attributes, or its text (name ""). One table holds
 * everything that is known of an option, so that checking, the sample file, the manual page and the printed
 * configuration cannot disagree: tests hold them against each other.
 *
 * All errors of a file are reported, not only the first, each with its line, and the lines can be asked for afterwards,
 * for what no single option can say. Strings are allocated; config_free.
 */
#ifndef C2SD_COMMON_CONFIG_H
#define C2SD_COMMON_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"

/* No string is longer, or has control characters in it. */
#define CONFIG_STRING_MAX 1023

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
	CONFIG_DOMAIN = 16,	/* becomes part of addresses: RFC 7622 3.2 has some characters in no domain */
	CONFIG_NETWORK = 32,	/* an IP address or a network of them (common/prefix) */
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

/* "FILE:LINE: what", or "FILE: what" where there is no line to name; cut to `size`. */
void config_report_format(char *text_r, size_t size, const char *file, int line, const char *what);

/* Where in a file that was read things stood. Zeroed memory is empty; config_lines_free. */
struct config_lines {
	struct buffer places;
	int root;		/* line of the root element; 0: there is none, the file could not be read */
};

/*
 * Read `file` into `target` (zeroed by the caller). The number of errors (what is wrong or missing has its default then;
 * the target is still to be freed), or -ENOMEM. `lines` (NULL: nobody asks) is emptied and filled.
 */
int config_load(const struct config_table *table, const char *file, void *target, const struct config_report *report,
    struct config_lines *lines);

/*
 * The line of an option, which is named by the place of its value in the target, or else of its section (the place of
 * its struct), or else of the root element.
 */
int config_line(const struct config_lines *lines, const void *option, const void *section);

/* Does the file itself say it? Else it has its default. */
bool config_is_set(const struct config_lines *lines, const void *option);

/* This option was reported already: whoever compares it with others would only confuse. */
bool config_is_wrong(const struct config_lines *lines, const void *option);

void config_lines_free(struct config_lines *lines);

/* Free the strings of a target. */
void config_free(const struct config_table *table, void *target);

/*
 * Append the target as XML that config_load reads: every option of every section, defaults included. config_print
 * shows stars for secrets. 0, or -ENOMEM.
 */
int config_print(const struct config_table *table, const void *target, struct buffer *xml);
int config_print_secrets(const struct config_table *table, const void *target, struct buffer *xml);

/* Do two targets say different things for an option? Of a section that may come again: in any of them, or in number. */
bool config_option_differs(const struct config_section *section, const struct config_option *option, const void *one,
    const void *other);

/*
 * Before `next` takes the place of `running`: what only a restart changes goes back to what runs, and is reported, with
 * the line where the file says otherwise (0 without `lines`). The number of such options, or -ENOMEM.
 */
int config_inherit(const struct config_table *table, void *next, const void *running, const char *file,
    const struct config_lines *lines, const struct config_report *report);

#endif
