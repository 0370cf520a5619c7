/*
 * client_purple: libpurple (Pidgin, Finch) behind the command language of driver.h.
 *
 * Its XMPP plugin is a whole client (roster, disco, vCards, pings), so it also sees everything that a user's client
 * would ask of the session manager. Without SASL mechanisms in the features it uses jabber:iq:auth.
 */
#include <glib.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <purple.h>

#include "driver.h"

struct client {
	struct driver_arguments arguments;
	GMainLoop *loop;
	PurpleAccount *account;
	bool online;
	bool quitting;
};

static struct client client;

/* ---- libpurple asks its user for an event loop; this is glib's ---- */

struct io_closure {
	PurpleInputFunction fn;
	gpointer data;
};

static gboolean
io_happened(GIOChannel *channel, GIOCondition condition, gpointer argument)
{
	struct io_closure *closure = argument;
	int what = 0;

	if (condition & (G_IO_IN | G_IO_HUP | G_IO_ERR))
		what |= PURPLE_INPUT_READ;
	if (condition & G_IO_OUT)
		what |= PURPLE_INPUT_WRITE;
	closure->fn(closure->data, g_io_channel_unix_get_fd(channel), (PurpleInputCondition)what);
	return TRUE;
}

static guint
io_add(gint fd, PurpleInputCondition condition, PurpleInputFunction fn, gpointer data)
{
	struct io_closure *closure = g_new0(struct io_closure, 1);
	GIOChannel *channel = g_io_channel_unix_new(fd);
	int what = G_IO_HUP | G_IO_ERR;
	guint id;

	closure->fn = fn;
	closure->data = data;
	if (condition & PURPLE_INPUT_READ)
		what |= G_IO_IN;
	if (condition & PURPLE_INPUT_WRITE)
		what |= G_IO_OUT;
	id = g_io_add_watch_full(channel, G_PRIORITY_DEFAULT, (GIOCondition)what, io_happened, closure, g_free);
	g_io_channel_unref(channel);
	return id;
}

static PurpleEventLoopUiOps loop_ops = {
	.timeout_add = g_timeout_add,
	.timeout_remove = g_source_remove,
	.input_add = io_add,
	.input_remove = g_source_remove,
	.timeout_add_seconds = g_timeout_add_seconds,
};

/* ---- what happens ---- */

static void
client_end(const char *reason)
{
	driver_closed(client.quitting ? "quit" : reason);
	g_main_loop_quit(client.loop);
}

static void
stanza_arrived(PurpleConnection *connection, xmlnode **stanza, gpointer unused)
{
	const char *from = xmlnode_get_attrib(*stanza, "from");
	xmlnode *body = xmlnode_get_child(*stanza, "body");
	char *text;

	(void)connection;
	(void)unused;
	if (strcmp((*stanza)->name, "presence") == 0)
		driver_presence(from, xmlnode_get_attrib(*stanza, "type"));
	if (strcmp((*stanza)->name, "message") != 0 || body == NULL)
		return;
	text = xmlnode_get_data(body);
	driver_message(from, text, xmlnode_get_child_with_namespace(*stanza, "delay", "urn:xmpp:delay") != NULL ||
	    xmlnode_get_child_with_namespace(*stanza, "x", "jabber:x:delay") != NULL);
	g_free(text);
}

static void
stanza_send(const struct driver_command *command)
{
	const char *name = command->verb == DRIVER_MESSAGE ? "message" : "presence";
	const char *type = command->verb == DRIVER_MESSAGE ? "chat" : command->type;
	xmlnode *stanza = xmlnode_new(name);
	char *text;

	if (type != NULL)
		xmlnode_set_attrib(stanza, "type", type);
	if (command->to != NULL)
		xmlnode_set_attrib(stanza, "to", command->to);
	if (command->text != NULL)
		xmlnode_insert_data(xmlnode_new_child(stanza, "body"), command->text, -1);
	text = xmlnode_to_str(stanza, NULL);
	purple_signal_emit(purple_connection_get_prpl(purple_account_get_connection(client.account)),
	    "jabber-sending-text", purple_account_get_connection(client.account), &text);
	if (text != NULL)
		PURPLE_PLUGIN_PROTOCOL_INFO(purple_connection_get_prpl(purple_account_get_connection(client.account)))->
		    send_raw(purple_account_get_connection(client.account), text, (int)strlen(text));
	g_free(text);
	xmlnode_free(stanza);
}

static gboolean
input_arrived(GIOChannel *channel, GIOCondition condition, gpointer unused)
{
	struct driver_command command;

	(void)channel;
	(void)condition;
	(void)unused;
	driver_feed();
	while (!client.quitting && driver_next(&command) != DRIVER_NOTHING) {
		if (command.verb == DRIVER_PRESENCE || command.verb == DRIVER_MESSAGE)
			stanza_send(&command);
		else if (command.verb == DRIVER_QUIT)
			client.quitting = true;
	}
	if (client.quitting) {
		purple_account_disconnect(client.account);
		client_end("quit");
	}
	return !client.quitting;
}

static void
signed_on(PurpleConnection *connection, gpointer unused)
{
	GIOChannel *channel = g_io_channel_unix_new(STDIN_FILENO);

	(void)unused;
	client.online = true;
	driver_online(purple_connection_get_display_name(connection));
	g_io_add_watch(channel, G_IO_IN | G_IO_HUP, input_arrived, NULL);
	g_io_channel_unref(channel);
}

static void
connection_failed(PurpleConnection *connection, PurpleConnectionError error, const char *text, gpointer unused)
{
	(void)connection;
	(void)error;
	(void)unused;
	client_end(client.online ? text : "not logged in");
}

static bool
purple_begin(const char *folder)
{
	purple_util_set_user_dir(folder);
	purple_debug_set_enabled(g_getenv("CLIENT_DEBUG") != NULL);
	purple_eventloop_set_ui_ops(&loop_ops);
	if (!purple_core_init("c2sd-test"))
		return false;
	purple_set_blist(purple_blist_new());
	purple_prefs_load();
	return purple_plugins_find_with_id("prpl-jabber") != NULL;
}

static void
account_make(void)
{
	const struct driver_arguments *a = &client.arguments;

	client.account = purple_account_new(a->full_jid, "prpl-jabber");
	purple_account_set_password(client.account, a->password);
	purple_account_set_string(client.account, "connect_server", a->host);
	purple_account_set_int(client.account, "port", a->port);
	purple_account_set_string(client.account, "connection_security", "opportunistic_tls");
	purple_account_set_bool(client.account, "auth_plain_in_clear", TRUE);
	purple_accounts_add(client.account);
}

static void
signals_connect(void)
{
	static int handle;
	PurplePlugin *jabber = purple_plugins_find_with_id("prpl-jabber");

	purple_signal_connect(purple_connections_get_handle(), "signed-on", &handle, G_CALLBACK(signed_on), NULL);
	purple_signal_connect(purple_connections_get_handle(), "connection-error", &handle,
	    G_CALLBACK(connection_failed), NULL);
	purple_signal_connect(jabber, "jabber-receiving-xmlnode", &handle, G_CALLBACK(stanza_arrived), NULL);
}

int
main(int argc, char **argv)
{
	char *folder = g_dir_make_tmp("client_purple.XXXXXX", NULL);

	driver_start(&client.arguments, argc, argv);
	client.loop = g_main_loop_new(NULL, FALSE);
	if (folder == NULL || !purple_begin(folder)) {
		driver_closed("no libpurple with XMPP");
		return 2;
	}
	account_make();
	signals_connect();
	purple_account_set_enabled(client.account, "c2sd-test", TRUE);
	purple_savedstatus_activate(purple_savedstatus_new(NULL, PURPLE_STATUS_AVAILABLE));
	g_main_loop_run(client.loop);
	return client.quitting ? 0 : 1;
}
