#include "tests/dialect/recording.h"

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"

struct deviation {
	char *place;
	bool met;
};

static struct deviation *deviations;
static size_t deviation_count;
static unsigned tests, failures;

static FILE *
open_in(const char *folder, const char *name)
{
	char path[4096];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "r");
	if (file == NULL)
		err(1, "%s", path);
	return file;
}

static void
line_read(struct line *line, const char *name, char *text)
{
	int behind = 0;

	text[strcspn(text, "\n")] = '\0';
	if (strncmp(text, "## ", 3) == 0) {
		line->speaker = REMARK;
		behind = 3;
	} else if (sscanf(text, "SM->%*[ ]%n", &behind), behind > 0) {
		line->speaker = LINK_TO;
	} else if (sscanf(text, "<-JD%*[ ]%n", &behind), behind > 0) {
		line->speaker = LINK_FROM;
	} else if (sscanf(text, "->C2S%*[ ]%n", &behind), behind > 0) {
		line->speaker = LINK_TO;
	} else if (sscanf(text, "C2S->%*[ ]%n", &behind), behind > 0) {
		line->speaker = LINK_FROM;
	} else if (sscanf(text, "CLI%u->%*[ ]%n", &line->client, &behind), behind > 0) {
		line->speaker = CLIENT_FROM;
	} else if (sscanf(text, "<-CLI%u%*[ ]%n", &line->client, &behind), behind > 0) {
		line->speaker = CLIENT_TO;
	} else {
		errx(1, "%s:%u: who says this?", name, line->number);
	}
	line->text = strdup(text + behind);
}

void
recording_load(struct recording *recording_r, const char *folder, const char *name)
{
	FILE *file = open_in(folder, name);
	char *text = NULL;
	size_t size = 0;

	*recording_r = (struct recording){ .name = name };
	while (getline(&text, &size, file) > 0) {
		size_t count = recording_r->count++;

		recording_r->lines = realloc(recording_r->lines, recording_r->count * sizeof(*recording_r->lines));
		if (recording_r->lines == NULL)
			err(1, NULL);
		recording_r->lines[count] = (struct line){ .number = (unsigned)recording_r->count };
		line_read(&recording_r->lines[count], name, text);
	}
	free(text);
	fclose(file);
}

void
recording_free(struct recording *recording)
{
	for (size_t i = 0; i < recording->count; i++)
		free(recording->lines[i].text);
	free(recording->lines);
	*recording = (struct recording){ 0 };
}

void
line_replace(struct line *line, const char *old, const char *new_text)
{
	struct buffer out = { 0 };
	const char *at = line->text, *found;

	while ((found = strstr(at, old)) != NULL) {
		buffer_append(&out, at, (size_t)(found - at));
		buffer_append_string(&out, new_text);
		at = found + strlen(old);
	}
	buffer_append(&out, at, strlen(at) + 1);
	free(line->text);
	line->text = strdup((char *)buffer_bytes(&out));
	buffer_deinit(&out);
}

void
deviations_load(const char *folder)
{
	FILE *file = open_in(folder, "deviations");
	char *text = NULL;
	size_t size = 0;

	while (getline(&text, &size, file) > 0) {
		if (text[0] == '#' || text[0] == '\n')
			continue;
		deviations = realloc(deviations, (deviation_count + 1) * sizeof(*deviations));
		if (deviations == NULL)
			err(1, NULL);
		/* A deviation without a reason is a defect. */
		if (text[strcspn(text, " ")] == '\0')
			errx(1, "deviations: no reason: %s", text);
		deviations[deviation_count++] = (struct deviation){ .place = strndup(text, strcspn(text, " ")) };
	}
	free(text);
	fclose(file);
}

void
deviations_free(void)
{
	for (size_t i = 0; i < deviation_count; i++)
		free(deviations[i].place);
	free(deviations);
	deviations = NULL;
	deviation_count = 0;
}

static struct deviation *
find_deviation(const char *place)
{
	for (size_t i = 0; i < deviation_count; i++)
		if (strcmp(deviations[i].place, place) == 0)
			return &deviations[i];
	return NULL;
}

static void
report(bool good, const char *place, const char *what)
{
	printf("%s %u - %s%s%s\n", good ? "ok" : "not ok", ++tests, place, what[0] == '\0' ? "" : " ", what);
	if (!good)
		failures++;
}

void
deviation_report(const struct recording *recording, const struct line *line, const char *difference)
{
	struct deviation *deviation;
	char place[200];

	snprintf(place, sizeof(place), "%s:%u", recording->name, line->number);
	deviation = find_deviation(place);
	if (deviation == NULL) {
		report(difference == NULL, place, difference == NULL ? "" : difference);
		return;
	}
	deviation->met = true;
	report(difference != NULL, place, difference != NULL ? "deviates as listed" : "is listed and does not deviate");
}

bool
deviations_finish(void)
{
	for (size_t i = 0; i < deviation_count; i++)
		if (!deviations[i].met)
			report(false, deviations[i].place, "is listed and is no line that is compared");
	printf("1..%u\n", tests);
	return failures == 0;
}
