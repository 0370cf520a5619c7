/*
 * control_command: what may be asked on the control socket (doc/control.md): one table, and a file for each group.
 */
#ifndef C2SD_MASTER_CONTROL_COMMAND_H
#define C2SD_MASTER_CONTROL_COMMAND_H

#include "master/control_connection.h"

struct certificates;

struct control_command {
	const char *name;
	void (*start)(struct control_connection *connection, const json_t *request);
};

/* As JSON, which is UTF-8, and what came from the network need not be. */
json_t *control_command_text(const char *text, size_t length);

/* NULL: there is none of that name. */
const struct control_command *control_command_find(const char *name);

/* A member of the request; NULL where it is missing or no string. */
const char *control_command_string(const json_t *request, const char *name);

/* control_report.c: how things are */
void control_report_status(struct control_connection *connection, const json_t *request);
void control_report_workers(struct control_connection *connection, const json_t *request);
void control_report_wait(struct control_connection *connection, const json_t *request);
void control_report_config(struct control_connection *connection, const json_t *request);

/* control_certificates.c: those in force, for status */
json_t *control_certificates_json(const struct certificates *certificates);

/* control_sessions.c: the clients, with what their workers know of them */
void control_sessions_list(struct control_connection *connection, const json_t *request);

/* True for user@host, user@host/resource or host of a session's address. */
bool control_sessions_match(const char *address, const char *wanted);

/* control_trace.c: what a client sends and gets */
void control_trace_start(struct control_connection *connection, const json_t *request);

/* control_order.c: do something now */
void control_order_kick(struct control_connection *connection, const json_t *request);
void control_order_drain(struct control_connection *connection, const json_t *request);
void control_order_loglevel(struct control_connection *connection, const json_t *request);
void control_order_reload(struct control_connection *connection, const json_t *request);

/* control_account.c: accounts, which are the embedded session manager's business */
void control_account_user(struct control_connection *connection, const json_t *request);

#endif
