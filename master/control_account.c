#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "master/control_command.h"
#include "master/master.h"

/* For an answer of the session manager's, which hashes a password meanwhile. */
#define ANSWER_TIMEOUT 10000

static void
on_answer_timeout(struct timer *timer)
{
	control_connection_refuse(container_of(timer, struct control_connection, timeout), "the session manager does not answer");
}

/* The question of `user` commands (doc/link.md, "Accounts"). */
static void
user_question(struct buffer *packet, const struct control_connection *connection, const char *action, const char *name,
    const char *host, const char *password)
{
	buffer_append_format(packet, "<iq type='set' id='%" PRIu64 "' sto='", connection->question);
	buffer_append_escaped(packet, host, strlen(host));
	buffer_append_string(packet, "' sfrom='");
	buffer_append_escaped(packet, connection->control->master->link.name, strlen(connection->control->master->link.name));
	buffer_append_format(packet, "'><user xmlns='urn:x-c2sd:admin:0' action='%s' name='", action);
	buffer_append_escaped(packet, name, strlen(name));
	if (password != NULL) {
		buffer_append_string(packet, "' password='");
		buffer_append_escaped(packet, password, strlen(password));
	}
	buffer_append_string(packet, "'/></iq>");
}

static bool
is_action(const char *action)
{
	static const char *const actions[] = { "add", "del", "passwd", "list" };

	for (size_t i = 0; action != NULL && i < sizeof actions / sizeof actions[0]; i++) {
		if (strcmp(action, actions[i]) == 0)
			return true;
	}
	return false;
}

/* XML has no way to carry them all, and folds the others (XML 1.0 2.2 and 3.3.3). */
static bool
has_control_characters(const char *text)
{
	for (const unsigned char *p = (const unsigned char *)text; text != NULL && *p != '\0'; p++) {
		if (*p < 0x20 || *p == 0x7f)
			return true;
	}
	return false;
}

static bool
is_our_host(const struct master *master, const char *host)
{
	for (unsigned i = 0; i < master->options->host_count; i++) {
		if (strcmp(master->options->hosts[i].name, host) == 0)
			return true;
	}
	return false;
}

void
control_account_user(struct control_connection *connection, const json_t *request)
{
	struct master *master = connection->control->master;
	const char *action = control_command_string(request, "action"), *name = control_command_string(request, "name");
	const char *host = control_command_string(request, "host");
	struct buffer packet = { 0 };

	if (host == NULL)
		host = master->options->hosts[0].name;
	if (master->link.spawn == NULL) {
		control_connection_refuse(connection, "accounts are kept by the session manager at the other end of the link");
	} else if (!is_action(action) || !is_our_host(master, host)) {
		control_connection_refuse(connection, "unknown action or host");
	} else if (has_control_characters(name) || has_control_characters(control_command_string(request, "password"))) {
		control_connection_refuse(connection, "control characters in a name or password");
	} else {
		connection->question = ++connection->control->questions;
		user_question(&packet, connection, action, name != NULL ? name : "", host, control_command_string(request, "password"));
		timer_set(&master->loop, &connection->timeout, ANSWER_TIMEOUT, on_answer_timeout);
		if (!master_send(master, &packet))
			control_connection_refuse(connection, "the link is not up");
		if (buffer_length(&packet) > 0)
			explicit_bzero(buffer_bytes(&packet), buffer_length(&packet));
		buffer_deinit(&packet);
	}
}

/* Names come bare, from the host that was asked. */
static void
say_user(struct control_connection *connection, struct range name, struct range host)
{
	struct buffer jid = { 0 };

	range_append_decoded(&jid, name);
	buffer_append(&jid, "@", 1);
	range_append_decoded(&jid, host);
	control_connection_say(connection, json_pack("{s:s%}", "name", buffer_bytes(&jid), buffer_length(&jid)));
	buffer_deinit(&jid);
}

static void
say_users(struct control_connection *connection, const struct element *iq, const struct element *users)
{
	struct element user = { 0 };
	struct range name, host;

	if (!element_attribute(iq, "sfrom", &host))
		return;
	while (element_next_child(users, &user)) {
		if (element_attribute(&user, "name", &name))
			say_user(connection, name, host);
	}
}

static void
say_error(struct control_connection *connection, const struct element *iq)
{
	struct element error, text;
	char *reason = NULL;

	if (element_find_child(iq, "error", NULL, &error) && element_find_child(&error, "text", NULL, &text))
		reason = range_strdup_decoded(text.content);
	control_connection_refuse(connection, reason != NULL ? reason : "refused by the session manager");
	free(reason);
}

static struct control_connection *
connection_of(struct control *control, const struct element *iq)
{
	struct control_connection *connection;
	char id[24];

	TAILQ_FOREACH(connection, &control->connections, entry) {
		snprintf(id, sizeof id, "%" PRIu64, connection->question);
		if (connection->question != 0 && element_attribute_is(iq, "id", id))
			return connection;
	}
	return NULL;
}

void
control_answer(struct control *control, const void *bytes, size_t length)
{
	struct control_connection *connection;
	struct element iq, users;

	if (!element_read_complete(&iq, bytes, length))
		return;
	connection = connection_of(control, &iq);
	if (connection == NULL)
		return;
	if (!element_attribute_is(&iq, "type", "result")) {
		say_error(connection, &iq);
		return;
	}
	if (element_find_child(&iq, "users", NULL, &users))
		say_users(connection, &iq, &users);
	control_connection_done(connection);
}
