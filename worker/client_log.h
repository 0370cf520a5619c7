/*
 * client_log: the lines of a client's life in the log: logged-in, login-failed, ended. doc/log.md describes them and
 * etc/fail2ban reads them.
 */
#ifndef C2SD_WORKER_CLIENT_LOG_H
#define C2SD_WORKER_CLIENT_LOG_H

#include "ipc/condition.h"

struct client;
struct client_message;

/* It has a session now. */
void client_log_login(const struct client *client);

/* The session manager's answer refuses its login. */
void client_log_refusal(const struct client *client, const struct client_message *message);

/* It ends, for client->reason. `condition`: what it was told, or CONDITION_NONE; `text` may be NULL. */
void client_log_end(const struct client *client, enum stream_condition condition, const char *text);

#endif
