/*
 * fold: lines of the log that repeat are counted instead of written.
 *
 * The first of a kind is written at once. The same again within FOLD_TIME, whatever was written in between, is only
 * counted; when the time is over one more line says how often it came. Goes on and on: one line each FOLD_TIME. The same
 * is what has the same level, role and text: a line that differs in a number differs.
 *
 * Pure: the time is passed in. Bounded: FOLD_LINES different lines are remembered, of these the one is forgotten first that
 * was seen last the longest ago and has not been repeated. (What comes less than once in FOLD_LINES lines is not what fills
 * a log.) When all of them have been repeated, the oldest count is said before its time.
 */
#ifndef C2SD_COMMON_FOLD_H
#define C2SD_COMMON_FOLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/sink.h"

#define FOLD_LINES 64
#define FOLD_TIME 30000
#define FOLD_ROLE_MAX 32

struct folded {
	uint64_t hash;		/* to find it; the text decides */
	uint64_t since;		/* when it was written last */
	uint64_t seen;
	uint64_t count;		/* of those that came since and were not written */
	int level;
	bool used;
	char role[FOLD_ROLE_MAX];
	char line[SINK_LINE_MAX];
};

struct fold {
	struct folded lines[FOLD_LINES];
};

/* What is told of a line whose repeats were counted. */
struct fold_notice {
	int level;
	char role[FOLD_ROLE_MAX];
	char line[SINK_LINE_MAX];	/* the line, and behind it "repeated=N seconds=N" */
};

/*
 * A line has come. True: it is to be written. When there is no room to remember it a count may be due before: `*due_r` is
 * set and `notice_r` is to be written first. Times are in milliseconds and do not go back.
 */
bool fold_line(struct fold *fold, uint64_t now, int level, const char *role, const char *line,
    struct fold_notice *notice_r, bool *due_r);

/* The next count whose time is over: true, and to be called again. At the end of the process with `now` UINT64_MAX. */
bool fold_next(struct fold *fold, uint64_t now, struct fold_notice *notice_r);

/* When fold_next has something to say, if nothing else comes; UINT64_MAX: never. */
uint64_t fold_due(const struct fold *fold);

#endif
