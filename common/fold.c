#include "common/fold.h"

#include <bsd/string.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Room for " repeated=N seconds=N". */
#define TAIL_MAX 64

static uint64_t
hash_string(uint64_t hash, const char *string)
{
	/* FNV-1a. Who makes collisions gains nothing: the text is compared. */
	for (const unsigned char *p = (const unsigned char *)string; *p != '\0'; p++)
		hash = (hash ^ *p) * UINT64_C(1099511628211);
	return hash;
}

static struct folded *
folded_find(struct fold *fold, uint64_t hash, int level, const char *role, const char *line)
{
	for (unsigned i = 0; i < FOLD_LINES; i++) {
		struct folded *folded = &fold->lines[i];

		if (folded->used && folded->hash == hash && folded->level == level && strcmp(folded->role, role) == 0 &&
		    strcmp(folded->line, line) == 0)
			return folded;
	}
	return NULL;
}

/* Is `a` to be forgotten before `b`? */
static bool
folded_is_worse(const struct folded *a, const struct folded *b)
{
	if (a->used != b->used)
		return !a->used;
	if ((a->count > 0) != (b->count > 0))
		return a->count == 0;
	return a->count > 0 ? a->since < b->since : a->seen < b->seen;
}

static struct folded *
folded_worst(struct fold *fold)
{
	struct folded *worst = &fold->lines[0];

	for (unsigned i = 1; i < FOLD_LINES; i++) {
		if (folded_is_worse(&fold->lines[i], worst))
			worst = &fold->lines[i];
	}
	return worst;
}

static void
notice_make(struct fold_notice *notice, const struct folded *folded)
{
	char tail[TAIL_MAX];

	snprintf(tail, sizeof tail, " repeated=%" PRIu64 " seconds=%" PRIu64, folded->count,
	    (folded->seen - folded->since + 999) / 1000);
	strlcpy(notice->line, folded->line, sizeof notice->line - strlen(tail));
	strlcat(notice->line, tail, sizeof notice->line);
	strlcpy(notice->role, folded->role, sizeof notice->role);
	notice->level = folded->level;
}

bool
fold_line(struct fold *fold, uint64_t now, int level, const char *role, const char *line,
    struct fold_notice *notice_r, bool *due_r)
{
	uint64_t hash = hash_string(hash_string(UINT64_C(14695981039346656037), role), line);
	struct folded *folded;

	*due_r = false;
	/* What does not fit cannot be compared. */
	if (strlen(role) >= FOLD_ROLE_MAX || strlen(line) >= SINK_LINE_MAX)
		return true;
	folded = folded_find(fold, hash, level, role, line);
	if (folded != NULL && (folded->count > 0 || now - folded->since < FOLD_TIME)) {
		folded->count++;
		folded->seen = now;
		return false;
	}
	if (folded == NULL)
		folded = folded_worst(fold);
	if (folded->used && folded->count > 0) {
		notice_make(notice_r, folded);
		*due_r = true;
	}
	*folded = (struct folded){ .hash = hash, .since = now, .seen = now, .level = level, .used = true };
	strlcpy(folded->role, role, sizeof folded->role);
	strlcpy(folded->line, line, sizeof folded->line);
	return true;
}

bool
fold_next(struct fold *fold, uint64_t now, struct fold_notice *notice_r)
{
	for (unsigned i = 0; i < FOLD_LINES; i++) {
		struct folded *folded = &fold->lines[i];

		if (!folded->used || folded->count == 0 || (now != UINT64_MAX && now - folded->since < FOLD_TIME))
			continue;
		notice_make(notice_r, folded);
		folded->count = 0;
		folded->since = now;
		return true;
	}
	return false;
}

uint64_t
fold_due(const struct fold *fold)
{
	uint64_t due = UINT64_MAX;

	for (unsigned i = 0; i < FOLD_LINES; i++) {
		const struct folded *folded = &fold->lines[i];

		if (folded->used && folded->count > 0 && folded->since + FOLD_TIME < due)
			due = folded->since + FOLD_TIME;
	}
	return due;
}
