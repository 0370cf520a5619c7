/*
 * client_strophe: libstrophe (used by profanity) behind the command language of driver.h.
 *
 * XMPP_CONN_FLAG_LEGACY_AUTH makes it use jabber:iq:auth when the features list no SASL mechanism; CLIENT_LOGIN=default
 * leaves it to its defaults, which are SASL.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strophe.h>

#include "driver.h"

struct client {
	xmpp_ctx_t *context;
	xmpp_conn_t *connection;
	bool online;
	bool quitting;
	bool over;
};

static int
message_arrived(xmpp_conn_t *connection, xmpp_stanza_t *stanza, void *argument)
{
	char *body = xmpp_message_get_body(stanza);
	bool delayed = xmpp_stanza_get_child_by_ns(stanza, "urn:xmpp:delay") != NULL ||
	    xmpp_stanza_get_child_by_ns(stanza, "jabber:x:delay") != NULL;

	(void)argument;
	if (body != NULL) {
		driver_message(xmpp_stanza_get_from(stanza), body, delayed);
		xmpp_free(xmpp_conn_get_context(connection), body);
	}
	return 1;
}

static void
items_write(xmpp_stanza_t *query)
{
	xmpp_stanza_t *item;

	for (item = xmpp_stanza_get_children(query); item != NULL; item = xmpp_stanza_get_next(item))
		if (xmpp_stanza_is_tag(item))
			driver_item(xmpp_stanza_get_attribute(item, "jid"), xmpp_stanza_get_attribute(item, "subscription"),
			    xmpp_stanza_get_attribute(item, "name"));
}

/* The answer to a get, and pushes. */
static int
roster_arrived(xmpp_conn_t *connection, xmpp_stanza_t *stanza, void *argument)
{
	const char *type = xmpp_stanza_get_type(stanza);
	xmpp_stanza_t *answer;

	(void)argument;
	items_write(xmpp_stanza_get_child_by_ns(stanza, XMPP_NS_ROSTER));
	driver_roster_end(type == NULL || strcmp(type, "result") != 0);
	if (type != NULL && strcmp(type, "set") == 0) {
		answer = xmpp_iq_new(xmpp_conn_get_context(connection), "result", xmpp_stanza_get_id(stanza));
		xmpp_send(connection, answer);
		xmpp_stanza_release(answer);
	}
	return 1;
}

static int
presence_arrived(xmpp_conn_t *connection, xmpp_stanza_t *stanza, void *argument)
{
	(void)connection;
	(void)argument;
	driver_presence(xmpp_stanza_get_from(stanza), xmpp_stanza_get_type(stanza));
	return 1;
}

static const char *
reason_of_end(const struct client *client, int error, const xmpp_stream_error_t *stream_error)
{
	static char reason[256];

	if (client->quitting)
		return "quit";
	if (stream_error != NULL)
		snprintf(reason, sizeof(reason), "stream error %d %s", (int)stream_error->type,
		    stream_error->text == NULL ? "" : stream_error->text);
	else if (error != 0)
		snprintf(reason, sizeof(reason), "%s", strerror(error));
	else
		snprintf(reason, sizeof(reason), "%s", client->online ? "by the server" : "not logged in");
	return reason;
}

static void
connection_changed(xmpp_conn_t *connection, xmpp_conn_event_t event, int error, xmpp_stream_error_t *stream_error,
    void *argument)
{
	struct client *client = argument;

	if (event == XMPP_CONN_CONNECT) {
		client->online = true;
		xmpp_handler_add(connection, message_arrived, NULL, "message", NULL, NULL);
		xmpp_handler_add(connection, presence_arrived, NULL, "presence", NULL, NULL);
		xmpp_handler_add(connection, roster_arrived, XMPP_NS_ROSTER, "iq", NULL, NULL);
		driver_online(xmpp_conn_get_bound_jid(connection) != NULL ?
		    xmpp_conn_get_bound_jid(connection) : xmpp_conn_get_jid(connection));
	} else {
		client->over = true;
		driver_closed(reason_of_end(client, error, stream_error));
	}
}

static void
presence_send(struct client *client, const struct driver_command *command)
{
	xmpp_stanza_t *stanza = xmpp_presence_new(client->context);

	if (command->type != NULL)
		xmpp_stanza_set_type(stanza, command->type);
	if (command->to != NULL)
		xmpp_stanza_set_to(stanza, command->to);
	xmpp_send(client->connection, stanza);
	xmpp_stanza_release(stanza);
}

static void
message_send(struct client *client, const struct driver_command *command)
{
	xmpp_stanza_t *stanza = xmpp_message_new(client->context, "chat", command->to, NULL);

	xmpp_message_set_body(stanza, command->text);
	xmpp_send(client->connection, stanza);
	xmpp_stanza_release(stanza);
}

static void
roster_send(struct client *client, const struct driver_command *command)
{
	xmpp_stanza_t *iq = xmpp_iq_new(client->context, command->to == NULL ? "get" : "set", "roster");
	xmpp_stanza_t *query = xmpp_stanza_new(client->context);
	xmpp_stanza_t *item;

	xmpp_stanza_set_name(query, "query");
	xmpp_stanza_set_ns(query, XMPP_NS_ROSTER);
	if (command->to != NULL) {
		item = xmpp_stanza_new(client->context);
		xmpp_stanza_set_name(item, "item");
		xmpp_stanza_set_attribute(item, "jid", command->to);
		xmpp_stanza_set_attribute(item, "name", command->text);
		xmpp_stanza_add_child_ex(query, item, 0);
	}
	xmpp_stanza_add_child_ex(iq, query, 0);
	xmpp_send(client->connection, iq);
	xmpp_stanza_release(iq);
}

static void
commands_obey(struct client *client)
{
	struct driver_command command;

	driver_feed();
	while (!client->quitting && driver_next(&command) != DRIVER_NOTHING) {
		if (command.verb == DRIVER_PRESENCE)
			presence_send(client, &command);
		else if (command.verb == DRIVER_MESSAGE)
			message_send(client, &command);
		else if (command.verb == DRIVER_ROSTER)
			roster_send(client, &command);
		else if (command.verb == DRIVER_QUIT)
			client->quitting = true;
	}
	if (client->quitting)
		xmpp_disconnect(client->connection);
}

int
main(int argc, char **argv)
{
	struct driver_arguments arguments;
	struct client client = { 0 };

	driver_start(&arguments, argc, argv);
	xmpp_initialize();
	client.context = xmpp_ctx_new(NULL, getenv("CLIENT_DEBUG") == NULL ? NULL :
	    xmpp_get_default_logger(XMPP_LEVEL_DEBUG));
	client.connection = xmpp_conn_new(client.context);
	xmpp_conn_set_jid(client.connection, arguments.full_jid);
	xmpp_conn_set_pass(client.connection, arguments.password);
	xmpp_conn_set_flags(client.connection, (arguments.defaults ? 0 : XMPP_CONN_FLAG_LEGACY_AUTH) |
	    (arguments.starttls ? XMPP_CONN_FLAG_MANDATORY_TLS : arguments.direct ? XMPP_CONN_FLAG_LEGACY_SSL :
	    XMPP_CONN_FLAG_DISABLE_TLS));
	if (arguments.authorities != NULL)
		xmpp_conn_set_cafile(client.connection, arguments.authorities);
	if (xmpp_connect_client(client.connection, arguments.host, arguments.port, connection_changed, &client) != 0) {
		driver_closed("cannot connect");
		client.over = true;
	}
	while (!client.over) {
		xmpp_run_once(client.context, 10);
		if (client.online && !client.quitting && !client.over)
			commands_obey(&client);
	}
	xmpp_conn_release(client.connection);
	xmpp_ctx_free(client.context);
	xmpp_shutdown();
	return client.quitting ? 0 : 1;
}
