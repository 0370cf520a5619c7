/*
 * recording: the lines of a recorded conversation, and the list of places where c2sd does something else on purpose.
 *
 * A line of a recording begins with who is speaking: "SM-> " to the session manager's link or from the program that
 * plays it, "<-JD " the other way ("->C2S " and "C2S-> " where the socket manager was recorded), "CLI1-> " from a client, "<-CLI1 " to it, "## " a remark. A line of the list of
 * deviations is "FILE:LINE reason"; lines that begin with # are remarks.
 */
#ifndef C2SD_TESTS_DIALECT_RECORDING_H
#define C2SD_TESTS_DIALECT_RECORDING_H

#include <stdbool.h>
#include <stddef.h>

enum speaker {
	REMARK,
	LINK_TO,	/* SM-> */
	LINK_FROM,	/* <-JD */
	CLIENT_FROM,	/* CLI1-> */
	CLIENT_TO,	/* <-CLI1 */
};

struct line {
	enum speaker speaker;
	unsigned number;
	unsigned client;
	char *text;
};

struct recording {
	const char *name;
	struct line *lines;
	size_t count;
};

/* Ends the program when the file cannot be read or has a line that is none of these. */
void recording_load(struct recording *recording_r, const char *folder, const char *name);
void recording_free(struct recording *recording);

/* Replace a text in a line. */
void line_replace(struct line *line, const char *old, const char *new_text);

/* Load the list. Every deviation must be met once: see deviation_report. */
void deviations_load(const char *folder);
void deviations_free(void);

/*
 * Say in TAP whether the line was as it should be: `difference` is NULL where nothing differed, or says what did.
 */
void deviation_report(const struct recording *recording, const struct line *line, const char *difference);

/* Listed lines that were never reported, and the plan of TAP. True when all was as it should be. */
bool deviations_finish(void);

#endif
