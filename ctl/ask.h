/*
 * ask: one request to c2sd on its control socket (doc/control.md), and the lines of the answer.
 */
#ifndef C2SD_CTL_ASK_H
#define C2SD_CTL_ASK_H

#include <jansson.h>

/* Exit codes: c2sctl(1). */
enum {
	EXIT_OK = 0,
	EXIT_REFUSED = 1,	/* c2sd said no */
	EXIT_USAGE = 2,
	EXIT_ABSENT = 3,	/* no c2sd answers */
	EXIT_UNBALANCED = 4,	/* the counters of packets do not balance */
};

/* Say why on standard error, and exit. */
void ask_fail(int status, const char *format, ...) __attribute__((noreturn, format(printf, 2, 3)));

/*
 * Ask, and give each object of the answer but the last to `take`, with the line that it came in. Where `seconds` is not 0,
 * c2sd need not be there yet, and may take that long in all. EXIT_OK or, said on standard error, EXIT_REFUSED; exits where
 * nobody answers.
 */
int ask(const char *path, const json_t *request, long long seconds,
    void (*take)(const char *line, const json_t *object, void *argument), void *argument);

#endif
