/*
 * client_log: the lines of a client's life in the log: logged-in, login-failed, throttled, ended. doc/log.md describes them and
 * etc/fail2ban reads them.
 */
#ifndef C2SD_WORKER_CLIENT_LOG_H
#define C2SD_WORKER_CLIENT_LOG_H

struct client;
struct client_message;

/* Its TLS handshake is done. */
void client_log_secured(const struct client *client);

/* It has a session now. */
void client_log_login(const struct client *client);

/* A login of its was refused, with this condition. */
void client_log_refusal(const struct client *client, const char *condition);

/* The session manager sent it what cannot be delivered: not well-formed, or without an address. */
void client_log_unreadable(const struct client *client, const struct client_message *message);

/* It is not read because it has sent too much; once for each client. */
void client_log_throttled(const struct client *client);

/* It ends, for client->reason, having been told client->condition. `text` may be NULL. */
void client_log_end(const struct client *client, const char *text);

#endif
