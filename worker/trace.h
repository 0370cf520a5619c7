/*
 * trace: show the master what a client sends and gets (M2W_TRACE, doc/ipc.md), its secrets masked before they leave the
 * worker. Costs a client that is not traced one look at a flag.
 *
 * Overflow: what does not fit the channel is not shown, but counted.
 */
#ifndef C2SD_WORKER_TRACE_H
#define C2SD_WORKER_TRACE_H

#include <stdbool.h>
#include <stddef.h>

struct client;

void trace_switch(struct client *client, bool on);

/* It has sent this. */
void trace_up(struct client *client, const char *bytes, size_t length);

/* What was put into its output since the last call is complete. */
void trace_down(struct client *client);

#endif
