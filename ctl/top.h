/*
 * top: the clients with the most traffic, again and again on a terminal (q ends it), once where there is none.
 */
#ifndef C2SD_CTL_TOP_H
#define C2SD_CTL_TOP_H

#include <jansson.h>
#include <stdbool.h>

#define TOP_SECONDS 2
#define TOP_SECONDS_MAX 60

/* `filters` is a request for sessions, to which the caller may have added what chooses them. The exit code. */
int top_run(const char *path, json_t *filters, unsigned seconds, bool json);

#endif
