#include "dialect/notice.h"

#include "dialect/dialect.h"
#include "dialect/edit.h"

#define NOTICE_NS "http://amessage.info/protocol/connectionstate"

static void
put_text(struct buffer *out, const char *name, const char *text)
{
	buffer_append_format(out, "<%s>", name);
	buffer_append_escaped(out, text, strlen(text));
	buffer_append_format(out, "</%s>", name);
}

void
notice_put_login(struct buffer *out, const char *to, const char *id, const char *name, const char *jid,
    const struct dialect_connection *connection)
{
	buffer_append_string(out, "<message");
	edit_put_attribute(out, "to", to);
	buffer_append_string(out, " from='");
	buffer_append_escaped(out, id, strlen(id));
	buffer_append_string(out, "@");
	buffer_append_escaped(out, name, strlen(name));
	buffer_append_string(out, "'><update xmlns='" NOTICE_NS "'>");
	put_text(out, "jid", jid);
	buffer_append_string(out, "<login/>");
	put_text(out, "ip", connection->ip);
	if (connection->tls != NULL) {
		buffer_append_string(out, "<tls>");
		put_text(out, "version", connection->tls);
		if (connection->cipher != NULL)
			put_text(out, "cipher", connection->cipher);
		buffer_append_string(out, "</tls>");
	}
	buffer_append_string(out, "</update></message>");
}

static bool
is_from(const struct element *element, const char *id, const char *name)
{
	struct address address;
	struct range from;

	return element_attribute(element, "from", &from) && address_read(&address, from) && address.user.at != NULL &&
	    range_decodes_to(address.user, id) && range_decodes_to(address.host, name) && address.resource.at == NULL;
}

static bool
has_two_attributes(const struct element *element)
{
	struct attribute attribute = { 0 };
	unsigned count = 0;

	while (element_next_attribute(element, &attribute))
		count++;
	return count == 2;
}

/* The <login/>, behind the JID. */
static bool
find_login(const struct element *message, struct element *jid_r, struct element *login_r)
{
	struct element update;

	return element_find_child(message, "update", NOTICE_NS, &update) &&
	    ranges_equal(update.whole, message->content) && element_find_child(&update, "jid", NULL, jid_r) &&
	    element_find_child(&update, "login", NULL, login_r) && element_is_empty_tag(login_r);
}

bool
notice_is_genuine(const struct element *element, const char *id, const char *name, const char *address,
    struct range *to_r)
{
	struct element jid, login;
	struct address account;

	return element->whole.length <= NOTICE_MAX && range_equals(element->name, "message") && has_two_attributes(element) &&
	    is_from(element, id, name) && element_attribute(element, "to", to_r) && find_login(element, &jid, &login) &&
	    address_read(&account, jid.content) && account.user.at != NULL &&
	    range_decodes_to_bytes((struct range){ jid.content.at, (size_t)(range_end(account.host) - jid.content.at) },
	    address, strcspn(address, "/"));
}

void
notice_put_logout(struct buffer *out, const void *bytes, size_t length)
{
	struct element element, jid, login;
	struct edit edit;

	if (!element_read_complete(&element, bytes, length) || !find_login(&element, &jid, &login))
		return;
	edit = edit_begin(out, &element);
	edit_cut(&edit, login.whole);
	buffer_append_string(out, "<logout/>");
	edit_finish(&edit);
}
