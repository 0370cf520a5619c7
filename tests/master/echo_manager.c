/*
 * echo_manager: stands in for the embedded session manager: every line of its settings goes back as a line of its log,
 * an empty one as "end". Some hosts are orders.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define CONTROL 4
#define JOURNAL 5

/* How many processes have been asked that had this memory. */
static void
count(FILE *log)
{
	char number = 0;

	if (pread(JOURNAL, &number, 1, 0) < 0)
		fprintf(log, "error no memory\n");
	number++;
	if (pwrite(JOURNAL, &number, 1, 0) == 1)
		fprintf(log, "info process %d\n", number);
}

static void
order(FILE *log, const char *host)
{
	if (strcmp(host, "die") == 0) {
		fprintf(log, "error last words\n");
		fflush(log);
		_exit(3);
	}
	if (strcmp(host, "unavailable") == 0)
		_exit(EX_UNAVAILABLE);
	if (strcmp(host, "unloadable") == 0)
		_exit(127);
	if (strcmp(host, "levels") == 0)
		fprintf(log, "debug d\nwarning w x\nerror\nloud l\n\nerror \n");
	if (strcmp(host, "long") == 0)
		fprintf(log, "info %020000d\ninfo after\n", 0);
	if (strcmp(host, "count") == 0)
		count(log);
	if (strcmp(host, "hang-up") == 0) {
		close(CONTROL);
		fclose(log);
		pause();
	}
}

int
main(void)
{
	FILE *settings = fdopen(CONTROL, "r"), *log = fdopen(dup(CONTROL), "w");
	char line[4096];

	if (settings == NULL || log == NULL)
		return 2;
	while (fgets(line, sizeof line, settings) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		fprintf(log, "info %s\n", line[0] != '\0' ? line : "end");
		if (strncmp(line, "host=", 5) == 0)
			order(log, line + 5);
		fflush(log);
	}
	return 0;
}
