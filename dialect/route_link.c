#include "dialect/route_link.h"

#include <string.h>

#include "dialect/edit.h"
#include "dialect/login.h"
#include "dialect/notice.h"
#include "dialect/question.h"
#include "dialect/route_head.h"
#include "dialect/wellformed.h"

void
route_link_header(struct buffer *out, const char *name)
{
	buffer_append_string(out,
	    "<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams'");
	edit_put_attribute(out, "to", name);
	buffer_append_string(out, ">");
}

static enum packet_kind
kind_of(const struct route_head *head)
{
	if (route_head_is(head, "error"))
		return route_meaning_of(head)->over ? PACKET_DISCONNECT : PACKET_DATA;
	if (route_head_is(head, "session") && route_is_session_address(head->from))
		return PACKET_SESSION;
	if (route_head_is(head, "auth") && route_head_is_login(head))
		return PACKET_LOGIN;
	return PACKET_DATA;
}

/*
 * jabberd's router brings us whatever is addressed to our name, from whomever: a stanza without a route reaches no client, and
 * goes back as the error that it deserves.
 */
static void
read_stanza(struct packet *packet, const struct element *element, const struct route_head *head)
{
	packet->disconnect = route_head_is(head, "error") || route_head_is(head, "result");
	packet->expendable = packet->disconnect || !(range_equals(element->name, "message") || range_equals(element->name, "iq"));
}

static void
read_packet(struct packet *packet_r, const struct element *element, const struct route_head *head)
{
	struct address address;

	*packet_r = (struct packet){ .kind = PACKET_LOST };
	if (head->from.length > 0)
		packet_r->address = head->from;
	if (head->to.at == NULL || !address_read(&address, head->to))
		return;
	packet_r->name = address.host;
	packet_r->kind = PACKET_DATA;
	/* No id of ours has a resource, and nothing is sent to our name itself: neither is found, and both go back. */
	packet_r->id = address.user.at != NULL && address.resource.at == NULL && head->is_route ? address.user : head->to;
	if (!head->is_route) {
		read_stanza(packet_r, element, head);
		return;
	}
	packet_r->kind = kind_of(head);
	packet_r->asked = packet_r->kind == PACKET_SESSION;
	packet_r->disconnect = route_head_is(head, "error");
	/* An answer before login is for nobody else; one with no resource in its address, sent back, would end all of a user. */
	packet_r->expendable = route_head_is(head, "auth") || (!route_head_has_child(head) && !route_head_is(head, "session"));
}

void
route_link_read(struct packet *packet_r, const void *bytes, size_t length)
{
	struct element element;
	struct route_head head;

	*packet_r = (struct packet){ .kind = PACKET_LOST };
	if (!element_read_complete(&element, bytes, length))
		return;
	route_head_read(&head, &element);
	read_packet(packet_r, &element, &head);
	/* The worker will not believe it either: it must neither give anybody an address nor end a session. */
	if (packet_r->kind != PACKET_DATA && packet_r->kind != PACKET_LOST && wellformed_fault(bytes, length) != NULL) {
		packet_r->kind = PACKET_DATA;
		packet_r->asked = packet_r->expendable = false;
	}
}

static void
append_end_tag(struct buffer *out, struct range name)
{
	buffer_append_string(out, "</");
	buffer_append(out, name.at, name.length);
	buffer_append_string(out, ">");
}

static void
bounce_stanza(struct buffer *out, const struct element *element, const struct route_head *head)
{
	static const char *const replaced[] = { "to", "from", "type", NULL };
	struct edit edit = edit_begin(out, element);
	bool empty = element_is_empty_tag(element);

	edit_copy(&edit, range_end(element->name));
	edit_put_attribute_raw(out, "to", head->from);
	edit_put_attribute_raw(out, "from", head->to);
	edit_put_attribute(out, "type", "error");
	edit_cut_attributes(&edit, element, replaced);
	edit_copy(&edit, empty ? edit.end - strlen("/>") : range_end(element->content));
	if (empty)
		buffer_append_string(out, ">");
	buffer_append_string(out, "<error code='503' type='cancel'>"
	    "<service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>");
	if (empty)
		append_end_tag(out, element->name);
	else
		edit_finish(&edit);
}

void
route_link_bounce(struct buffer *out, const void *bytes, size_t length)
{
	static const char *const replaced[] = { "to", "from", "type", "error", NULL };
	struct element element;
	struct address address;
	struct route_head head;
	struct edit edit;

	if (!element_read_complete(&element, bytes, length))
		return;
	route_head_read(&head, &element);
	/* What is no XML would cost a session manager the link that it comes back on. */
	if (head.from.at == NULL || !address_read(&address, head.from) || head.to.at == NULL || route_head_is(&head, "error") ||
	    wellformed_fault(bytes, length) != NULL)
		return;
	if (!head.is_route) {
		bounce_stanza(out, &element, &head);
		return;
	}
	/* To jabberd it would mean all sessions of that user. */
	if (address.user.at != NULL && address.resource.length == 0)
		return;
	edit = edit_begin(out, &element);
	edit_copy(&edit, range_end(element.name));
	edit_put_attribute(out, "type", "error");
	edit_put_attribute_raw(out, "to", head.from);
	edit_put_attribute_raw(out, "from", head.to);
	edit_cut_attributes(&edit, &element, replaced);
	edit_finish(&edit);
}

void
route_link_end(struct buffer *out, const char *id, const char *name, const char *address, bool goodbye)
{
	(void)goodbye;
	route_append(out, "error", range_of_string(address), id, name);
	buffer_append_string(out, "/>");
}

/* Nothing but to, from and type; and nothing but one stanza, or nothing at all. */
static bool
is_plain(const struct element *element, const struct route_head *head)
{
	struct attribute attribute = { 0 };
	unsigned count = 0;

	while (element_next_attribute(element, &attribute))
		count++;
	if (!head->is_route || head->error.at != NULL || head->to.at == NULL || head->from.at == NULL ||
	    count != 2u + (head->type.at != NULL))
		return false;
	if (!route_head_has_child(head))
		return element->content.length == 0;
	return ranges_equal(head->child.whole, element->content) && route_is_stanza(&head->child);
}

static bool
is_from(struct range from, const char *id, const char *name)
{
	struct address address;

	return address_read(&address, from) && address.user.at != NULL && range_decodes_to(address.user, id) &&
	    range_decodes_to(address.host, name) && address.resource.at == NULL;
}

/* An address with a resource for a login, and for nothing else: the answer is known by it (route_head_is_login). */
static bool
is_question(const struct route_head *head)
{
	struct address address;
	struct login login;

	if (!route_head_has_child(head) || !address_read(&address, head->to))
		return false;
	login_read(&login, &head->child);
	return login.request != LOGIN_NONE && (login.request == LOGIN_AUTH_SET) == (address.resource.at != NULL);
}

enum dialect_verdict
route_link_verify(const void *bytes, size_t length, const char *id, const char *name, const char *address,
    struct range *to_r)
{
	struct element element;
	struct route_head head;

	if (wellformed_fault(bytes, length) != NULL || !element_read_complete(&element, bytes, length))
		return VERDICT_FORGED;
	route_head_read(&head, &element);
	if (address != NULL && notice_is_genuine(&element, id, name, address, to_r))
		return VERDICT_NOTICE;
	if (!is_plain(&element, &head) || !is_from(head.from, id, name))
		return VERDICT_FORGED;
	if (route_head_is(&head, "session")) {
		*to_r = route_bare(head.to);
		return route_is_session_address(head.to) ? VERDICT_STARTS : VERDICT_FORGED;
	}
	if (route_head_is(&head, "auth"))
		return address == NULL && is_question(&head) ? VERDICT_PACKET : VERDICT_FORGED;
	if (head.type.at != NULL || !route_head_has_child(&head) || address == NULL || !range_decodes_to(head.to, address))
		return VERDICT_FORGED;
	return VERDICT_PACKET;
}

void
route_link_probe(struct buffer *out, const char *id, const char *name, const char *address, const char *probe)
{
	route_append(out, NULL, range_of_string(address), id, name);
	buffer_append_string(out, "><iq");
	question_put(out, address, probe);
	buffer_append_string(out, "</route>");
}

/*
 * An error has the question in it as it went up: its client's worker half starts the session again, as for a packet of the
 * client's own that came back, but must have nothing to send again.
 */
enum probe_answer
route_link_probe_answer(struct buffer *out, const void *bytes, size_t length, const char *probe)
{
	struct element element;
	struct route_head head;
	struct edit edit;

	if (!element_read_complete(&element, bytes, length))
		return PROBE_NONE;
	route_head_read(&head, &element);
	if (!head.is_route || head.several || !route_head_has_child(&head))
		return PROBE_NONE;
	if (head.type.at == NULL)
		return question_is_answered(&head.child, probe) ? PROBE_KNOWN : PROBE_NONE;
	if (!route_head_is(&head, "error") || !range_equals(head.child.name, "iq") ||
	    !element_attribute_is(&head.child, "id", probe))
		return PROBE_NONE;
	edit = edit_begin(out, &element);
	edit_cut(&edit, head.child.whole);
	edit_finish(&edit);
	return PROBE_AGAIN;
}
