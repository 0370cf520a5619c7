/*
 * control_connection: one visitor of the control socket: its request's line, the lines of its answer.
 *
 * A command is a function that is given the request. It answers with control_connection_say, any number of times, and
 * then once with _done or _refuse, at once or later: until then it says by the callbacks below what it waits for. What it
 * has to remember hangs on `work`, and is given back in `on_gone`. The connection frees itself at the end of a turn.
 */
#ifndef C2SD_MASTER_CONTROL_CONNECTION_H
#define C2SD_MASTER_CONTROL_CONNECTION_H

#include <jansson.h>

#include "ipc/message.h"
#include "master/control.h"

/* Lines of a long answer are produced while less than this waits to be read. */
#define CONTROL_CHUNK (64u * 1024)

enum control_state {
	CONTROL_REQUEST,	/* its line is not complete */
	CONTROL_ANSWER,		/* the command is at it */
	CONTROL_COMPLETE,	/* everything was said; it is freed when that is written */
};

struct control_connection {
	TAILQ_ENTRY(control_connection) entry;
	struct control *control;
	struct watch watch;
	struct job flush;
	struct buffer in, out;
	enum control_state state;
	bool ended;			/* the other side has said all it will say */
	bool closed;

	/* The command's; each may be NULL. None but on_gone is called once the answer is complete. */
	void *work;
	void (*on_room)(struct control_connection *connection);		/* less than a chunk waits to be read */
	void (*on_notice)(struct control_connection *connection);	/* control_notice() */
	void (*on_ended)(struct control_connection *connection, const struct entry *entry);
	void (*on_renewed)(struct control_connection *connection, const struct entry *entry, uint64_t before);
	void (*on_trace)(struct control_connection *connection, const struct entry *entry, const struct trace_message *trace);
	enum contract_breach (*on_survey)(struct control_connection *connection, uint32_t worker, struct survey *survey);
	uint32_t survey;		/* the one whose answer on_survey is for; 0: none */
	void (*on_gone)(struct control_connection *connection);		/* it is being freed */
	struct timer timeout;		/* cleared when the answer is complete */
	bool late;			/* it has waited for long enough: without what has not come by now */
	uint64_t question;		/* to the session manager; 0: none */
};

/* Take over the descriptor of a visitor. False, without memory: it is still the caller's. */
bool control_connection_open(struct control *control, int fd);
void control_connection_free(struct control_connection *connection);

/* One line of the answer; takes the object over, which may be NULL (no memory). */
void control_connection_say(struct control_connection *connection, json_t *object);

/* The last line. */
void control_connection_done(struct control_connection *connection);
void control_connection_refuse(struct control_connection *connection, const char *error);

#endif
