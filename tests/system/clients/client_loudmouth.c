/*
 * client_loudmouth: loudmouth (used by mcabber) behind the command language of driver.h.
 *
 * It asks for jabber:iq:auth by itself: without a JID given to it, it opens a stream of before RFC 3920 (no version).
 */
#include <glib.h>
#include <loudmouth/loudmouth.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "driver.h"

struct client {
	struct driver_arguments arguments;
	GMainLoop *loop;
	LmConnection *connection;
	bool quitting;
};

static gboolean
input_arrived(GIOChannel *channel, GIOCondition condition, gpointer argument);

static void
client_end(struct client *client, const char *reason)
{
	driver_closed(client->quitting ? "quit" : reason);
	g_main_loop_quit(client->loop);
}

static LmHandlerResult
message_arrived(LmMessageHandler *handler, LmConnection *connection, LmMessage *message, gpointer argument)
{
	LmMessageNode *node = lm_message_get_node(message);
	LmMessageNode *body = lm_message_node_get_child(node, "body");
	bool delayed = lm_message_node_get_child(node, "delay") != NULL;
	const char *from = lm_message_node_get_attribute(node, "from");

	(void)handler;
	(void)connection;
	(void)argument;
	if (body != NULL)
		driver_message(from, lm_message_node_get_value(body), delayed);
	return LM_HANDLER_RESULT_REMOVE_MESSAGE;
}

static LmHandlerResult
presence_arrived(LmMessageHandler *handler, LmConnection *connection, LmMessage *message, gpointer argument)
{
	LmMessageNode *node = lm_message_get_node(message);

	(void)handler;
	(void)connection;
	(void)argument;
	driver_presence(lm_message_node_get_attribute(node, "from"), lm_message_node_get_attribute(node, "type"));
	return LM_HANDLER_RESULT_REMOVE_MESSAGE;
}

static void
connection_closed(LmConnection *connection, LmDisconnectReason reason, gpointer argument)
{
	(void)connection;
	client_end(argument, reason == LM_DISCONNECT_REASON_OK ? "quit" :
	    reason == LM_DISCONNECT_REASON_PING_TIME_OUT ? "timeout" :
	    reason == LM_DISCONNECT_REASON_HUP ? "hang-up" : "error");
}

static void
authenticated(LmConnection *connection, gboolean success, gpointer argument)
{
	struct client *client = argument;
	GIOChannel *channel;

	(void)connection;
	if (!success) {
		client_end(client, "not logged in");
		return;
	}
	driver_online(client->arguments.full_jid);
	channel = g_io_channel_unix_new(STDIN_FILENO);
	g_io_add_watch(channel, G_IO_IN | G_IO_HUP, input_arrived, client);
	g_io_channel_unref(channel);
}

static void
opened(LmConnection *connection, gboolean success, gpointer argument)
{
	struct client *client = argument;
	const struct driver_arguments *a = &client->arguments;

	if (!success || !lm_connection_authenticate(connection, a->user, a->password, a->resource, authenticated,
	    client, NULL, NULL))
		client_end(client, "cannot connect");
}

static void
presence_send(struct client *client, const struct driver_command *command)
{
	LmMessage *message = lm_message_new(command->to, LM_MESSAGE_TYPE_PRESENCE);

	if (command->type != NULL)
		lm_message_node_set_attribute(lm_message_get_node(message), "type", command->type);
	lm_connection_send(client->connection, message, NULL);
	lm_message_unref(message);
}

static void
message_send(struct client *client, const struct driver_command *command)
{
	LmMessage *message = lm_message_new_with_sub_type(command->to, LM_MESSAGE_TYPE_MESSAGE,
	    LM_MESSAGE_SUB_TYPE_CHAT);

	lm_message_node_add_child(lm_message_get_node(message), "body", command->text);
	lm_connection_send(client->connection, message, NULL);
	lm_message_unref(message);
}

static gboolean
input_arrived(GIOChannel *channel, GIOCondition condition, gpointer argument)
{
	struct client *client = argument;
	struct driver_command command;

	(void)channel;
	(void)condition;
	driver_feed();
	while (!client->quitting && driver_next(&command) != DRIVER_NOTHING) {
		if (command.verb == DRIVER_PRESENCE)
			presence_send(client, &command);
		else if (command.verb == DRIVER_MESSAGE)
			message_send(client, &command);
		else if (command.verb == DRIVER_QUIT)
			client->quitting = true;
	}
	if (client->quitting && lm_connection_is_open(client->connection))
		lm_connection_close(client->connection, NULL);
	if (client->quitting)
		client_end(client, "quit");
	return !client->quitting;
}

static void
handler_add(struct client *client, LmHandleMessageFunction fn, LmMessageType type)
{
	LmMessageHandler *handler = lm_message_handler_new(fn, client, NULL);

	lm_connection_register_message_handler(client->connection, handler, type, LM_HANDLER_PRIORITY_NORMAL);
	lm_message_handler_unref(handler);
}

/* Whatever is wrong with the certificate, it is not taken. */
static LmSSLResponse
certificate_wrong(LmSSL *ssl, LmSSLStatus status, gpointer argument)
{
	(void)ssl, (void)status, (void)argument;
	return LM_SSL_RESPONSE_STOP;
}

static void
tls_begin(const struct client *client)
{
	LmSSL *ssl;

	if (!client->arguments.starttls && !client->arguments.direct)
		return;
	ssl = lm_ssl_new(NULL, certificate_wrong, NULL, NULL);
	if (client->arguments.starttls)
		lm_ssl_use_starttls(ssl, TRUE, TRUE);
	if (client->arguments.authorities != NULL)
		lm_ssl_set_ca(ssl, client->arguments.authorities);
	lm_connection_set_ssl(client->connection, ssl);
	lm_ssl_unref(ssl);
}

int
main(int argc, char **argv)
{
	struct client client = { 0 };

	driver_start(&client.arguments, argc, argv);
	client.loop = g_main_loop_new(NULL, FALSE);
	client.connection = lm_connection_new(client.arguments.host);
	lm_connection_set_port(client.connection, client.arguments.port);
	lm_connection_set_jid(client.connection, client.arguments.jid);
	tls_begin(&client);
	lm_connection_set_disconnect_function(client.connection, connection_closed, &client, NULL);
	handler_add(&client, message_arrived, LM_MESSAGE_TYPE_MESSAGE);
	handler_add(&client, presence_arrived, LM_MESSAGE_TYPE_PRESENCE);
	if (lm_connection_open(client.connection, opened, &client, NULL, NULL))
		g_main_loop_run(client.loop);
	else
		driver_closed("cannot connect");
	lm_connection_unref(client.connection);
	g_main_loop_unref(client.loop);
	return client.quitting ? 0 : 1;
}
