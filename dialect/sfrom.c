/*
 * The dialect of jabberd in the year 2000: sto and sfrom on every packet, 510 for what is gone (README.SM.txt, the
 * founding document; doc/link.md, "sfrom").
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "dialect/answer.h"
#include "dialect/binding.h"
#include "dialect/dialect.h"
#include "dialect/edit.h"
#include "dialect/element.h"
#include "dialect/login.h"
#include "dialect/question.h"
#include "dialect/sasl.h"
#include "dialect/stamp.h"

/* For an iq before login that has no id: its answer is known by the id. The client sees it in the answer. */
#define LOGIN_ID "c2sd-login"
#define REGISTER_ID "c2sd-register"

/* Of the login that SASL has become. */
#define SASL_ID "c2sd-sasl"

/* How far SASL has come; a client that has never said anything of it stays at the first. */
enum stage {
	STAGE_NONE,
	STAGE_CHALLENGED,	/* it has to say its name and password in a <response/> */
	STAGE_ASKED,		/* they went up */
	STAGE_BINDING,		/* it was told of its success: it begins its stream anew, and binds a resource */
};

static void
sfrom_link_header(struct buffer *out, const char *name)
{
	/* No session manager of this dialect looks at the root; none was ever sent a name in it. */
	(void)name;
	buffer_append_string(out,
	    "<stream:stream xmlns='jabber:sockets' xmlns:stream='http://etherx.jabber.org/streams'>");
}

static void
read_packet(struct packet *packet_r, const struct element *element, const struct stamp *stamp)
{
	struct address address;

	stamp_packet(packet_r, element, stamp);
	if (packet_r->kind == PACKET_DATA && !packet_r->disconnect && range_equals(element->name, "iq") &&
	    range_decodes_to(stamp->type, "result") && address_read(&address, stamp->sfrom) && address.user.at != NULL)
		packet_r->kind = PACKET_LOGIN;
}

static void
sfrom_link_read(struct packet *packet_r, const void *bytes, size_t length)
{
	stamp_link_read(packet_r, bytes, length, read_packet);
}

static void
sfrom_link_end(struct buffer *out, const char *id, const char *name, const char *address, bool goodbye)
{
	(void)goodbye;
	stamp_append_end(out, id, name, address);
}

static void
sfrom_link_probe(struct buffer *out, const char *id, const char *name, const char *address, const char *probe)
{
	buffer_append_string(out, "<iq");
	edit_put_attribute(out, "sto", address);
	stamp_append_own_address(out, id, name);
	question_put(out, address, probe);
}

static enum probe_answer
sfrom_link_probe_answer(struct buffer *out, const void *bytes, size_t length, const char *probe)
{
	struct element element;
	struct packet packet;

	(void)out;
	if (!element_read_complete(&element, bytes, length) || !question_is_answered(&element, probe))
		return PROBE_NONE;
	sfrom_link_read(&packet, bytes, length);
	return packet.disconnect ? PROBE_GONE : PROBE_KNOWN;
}

static enum dialect_verdict
sfrom_link_verify(const void *bytes, size_t length, const char *id, const char *name, const char *address,
    struct range *to_r)
{
	struct element element;

	return stamp_is_genuine(&element, bytes, length, id, name, address, to_r) ? VERDICT_PACKET : VERDICT_FORGED;
}

static int
sfrom_client_header(struct dialect_client *client, const struct dialect_context *context,
    const struct dialect_header *header, struct dialect_answer *answer)
{
	(void)header;
	if (client->stage == STAGE_BINDING) {
		binding_put_features(answer->features);
		answer->effects = DIALECT_HEADER | DIALECT_FEATURES;
		return answer->features->failed ? -ENOMEM : 0;
	}
	if (context->plain)
		sasl_put_mechanisms(answer->features);
	login_put_features(answer->features, context->registration);
	answer->effects = DIALECT_HEADER | DIALECT_FEATURES;
	return answer->features->failed ? -ENOMEM : 0;
}

/* The session manager hashes with the sid that stands here: it is ours to say which stream this is. */
static void
set_sid(struct edit *edit, const struct element *query, const char *stream_id)
{
	static const char *const sid[] = { "sid", NULL };
	struct element child = { 0 };

	while (element_next_child(query, &child)) {
		if (!range_equals(child.name, "digest"))
			continue;
		edit_copy(edit, range_end(child.name));
		edit_put_attribute(edit->out, "sid", stream_id);
		edit_cut_attributes(edit, &child, sid);
	}
}

static void
edit_children(struct edit *edit, const struct element *element, const struct login *login, const char *stream_id)
{
	struct element child = { 0 };

	while (element_next_child(element, &child)) {
		if (range_equals(child.name, "error"))
			stamp_cut_510(edit, &child);
		else if (login != NULL && login->request == LOGIN_AUTH_SET && child.whole.at == login->query.whole.at)
			set_sid(edit, &child, stream_id);
	}
}

static const char *
invented_id(const struct login *login)
{
	return login->request == LOGIN_AUTH_SET ? LOGIN_ID : REGISTER_ID;
}

/* Append the client's element as it goes up. `login`: it is one, or a registration, and gets an id if it has none. */
static int
send_up(const struct dialect_context *context, const struct element *element, size_t name_end, const char *sto,
    const struct login *login, struct buffer *up)
{
	static const char *const stamps_and_id[] = { "sto", "sfrom", "id", NULL };
	bool invented = login != NULL && login->id.at == NULL;
	struct edit edit = edit_begin(up, element);

	edit_copy(&edit, element->whole.at + name_end);
	edit_put_attribute(up, "sto", sto);
	stamp_append_own_address(up, context->id, context->name);
	if (invented)
		edit_put_attribute(up, "id", invented_id(login));
	edit_cut_attributes(&edit, element, invented ? stamps_and_id : stamp_names);
	if (login != NULL || stamp_may_hold_error(element))
		edit_children(&edit, element, login, context->stream_id);
	edit_finish(&edit);
	return up->failed ? -ENOMEM : 0;
}

/*
 * One iq at a time. A positive answer to a login is the session: two under way could become two sessions. And whoever
 * has not logged in must not keep the session manager busy with more than he waits for.
 */
static int
ask(struct dialect_client *client, const struct dialect_context *context, const struct element *element,
    size_t name_end, const struct login *login, struct dialect_answer *answer)
{
	if (client->asked_id != NULL)
		return login_answer_error(login, LOGIN_ERROR_UNEXPECTED, answer->down);
	client->asked_id = login->id.at == NULL ? strdup(invented_id(login)) : range_strdup_decoded(login->id);
	if (client->asked_id == NULL)
		return -ENOMEM;
	client->asked = true;
	client->asked_login = login->request == LOGIN_AUTH_SET;
	if (client->asked_login) {
		free(client->asked_user);
		client->asked_user = range_strdup_decoded(login->username.element.content);
		if (client->asked_user == NULL)
			return -ENOMEM;
	}
	if (login->request == LOGIN_REGISTER_SET)
		client->registrations++;
	return send_up(context, element, name_end, client->host, login, answer->up);
}

/* ---- SASL ---- */

static int
set_asked_user(struct dialect_client *client, const char *user)
{
	free(client->asked_user);
	client->asked_user = user == NULL ? NULL : strdup(user);
	return user != NULL && client->asked_user == NULL ? -ENOMEM : 0;
}

/* The client sees none of it, not even the resource that stands here: it is told that when it binds. */
static int
send_login(struct dialect_client *client, const struct dialect_context *context, const struct sasl_login *login,
    struct buffer *up)
{
	char *resource = binding_invent_resource(context->id, context->stream_id);

	client->asked_id = strdup(SASL_ID);
	if (resource == NULL || client->asked_id == NULL) {
		free(resource);
		return -ENOMEM;
	}
	buffer_append_string(up, "<iq");
	edit_put_attribute(up, "sto", client->host);
	stamp_append_own_address(up, context->id, context->name);
	buffer_append_string(up, " type='set' id='" SASL_ID "'>");
	sasl_put_query(up, login->user, login->password, resource, context->digest ? context->stream_id : NULL);
	buffer_append_string(up, "</iq>");
	free(resource);
	client->asked = client->waits = true;
	client->stage = STAGE_ASKED;
	return up->failed ? -ENOMEM : 0;
}

static int
fail(struct dialect_client *client, const char *failure, struct dialect_answer *answer)
{
	client->stage = STAGE_NONE;
	answer->effects = DIALECT_REFUSED;
	answer->failure = failure;
	return answer->down->failed ? -ENOMEM : 0;
}

/* There is one. While a registration is not answered there cannot be another question. */
static int
take_login(struct dialect_client *client, const struct dialect_context *context, const struct sasl_login *login,
    struct dialect_answer *answer)
{
	if (client->asked_id == NULL)
		return send_login(client, context, login, answer->up);
	sasl_put_failure(answer->down, SASL_TEMPORARY_AUTH_FAILURE);
	return fail(client, sasl_condition_name(SASL_TEMPORARY_AUTH_FAILURE), answer);
}

/* An enum sasl_step, or -ENOMEM. */
static int
take_sasl(struct dialect_client *client, const struct dialect_context *context, const struct element *element,
    struct dialect_answer *answer)
{
	enum sasl_condition condition;
	struct sasl_login login;
	int step = sasl_take(element, client->host, context->plain, client->stage == STAGE_CHALLENGED, &login, &condition,
	    answer->down), result = 0;

	if (step == SASL_FAILED || step == SASL_LOGIN)
		result = set_asked_user(client, login.user);
	if (step == SASL_CHALLENGED)
		client->stage = STAGE_CHALLENGED;
	else if (step == SASL_FAILED && result == 0)
		result = fail(client, sasl_condition_name(condition), answer);
	else if (step == SASL_LOGIN && result == 0)
		result = take_login(client, context, &login, answer);
	sasl_login_deinit(&login);
	return result < 0 ? result : step;
}

/* ---- from the client ---- */

static int
element_before_login(struct dialect_client *client, const struct dialect_context *context,
    const struct element *element, size_t name_end, struct dialect_answer *answer)
{
	struct buffer *down = answer->down;
	struct login login;
	int result;

	/* Without a host there is nobody to ask. */
	if (client->host == NULL || client->host[0] == '\0')
		return answer_not_authorized(answer, "log in first");
	result = take_sasl(client, context, element, answer);
	if (result != SASL_OTHER)
		return result < 0 ? result : 0;
	login_read(&login, element);
	switch (login.request) {
	case LOGIN_AUTH_GET:
		/* To this session manager a get is an attempt to log in. */
		login_answer_get(&login, context->digest, down);
		return down->failed ? -ENOMEM : 0;
	case LOGIN_AUTH_SET:
		result = login_is_acceptable(&login);
		if (result < 0)
			return result;
		if (result == 0)
			return login_answer_error(&login, LOGIN_ERROR_NOT_ACCEPTABLE, down);
		return ask(client, context, element, name_end, &login, answer);
	case LOGIN_REGISTER_GET:
	case LOGIN_REGISTER_SET:
		if (!context->registration || client->registrations >= DIALECT_REGISTRATIONS_MAX)
			return login_answer_error(&login, LOGIN_ERROR_NOT_ALLOWED, down);
		if (login.id.length > LOGIN_ID_MAX)
			return login_answer_error(&login, LOGIN_ERROR_NOT_ACCEPTABLE, down);
		return ask(client, context, element, name_end, &login, answer);
	case LOGIN_NONE:
	default:
		return answer_not_authorized(answer, "log in first");
	}
}

/* It has a session, and does not know yet what it is called there: that is the resource, whatever it asks for (RFC 6120 7.7). */
static int
element_before_bind(struct dialect_client *client, const struct element *element, struct dialect_answer *answer)
{
	struct binding binding;

	binding_read(&binding, element, client->address);
	if (binding.request != BINDING_BIND)
		return answer_not_authorized(answer, "bind a resource first");
	if (binding.bad) {
		binding_put_error(&binding, BINDING_ERROR_BAD_REQUEST, answer->down);
		return answer->down->failed ? -ENOMEM : 0;
	}
	binding_put_result(&binding, client->address, answer->down);
	answer->effects = DIALECT_BOUND;
	return answer->down->failed ? -ENOMEM : 0;
}

/* What a session manager of this dialect would not know. */
static bool
answer_in_session(const struct dialect_client *client, const struct element *element, struct buffer *down)
{
	struct binding binding;

	binding_read(&binding, element, client->address);
	if (binding.request == BINDING_NONE)
		return false;
	if (binding.bad)
		binding_put_error(&binding, BINDING_ERROR_BAD_REQUEST, down);
	else if (binding.request == BINDING_BIND)
		binding_put_error(&binding, BINDING_ERROR_NOT_ALLOWED, down);
	else
		binding_put_result(&binding, NULL, down);
	return true;
}

static int
sfrom_client_element(struct dialect_client *client, const struct dialect_context *context, const char *bytes,
    size_t length, size_t name_end, struct dialect_answer *answer)
{
	struct element element;

	if (!element_read_complete(&element, bytes, length))
		return -EINVAL;
	if (client->stage == STAGE_BINDING)
		return element_before_bind(client, &element, answer);
	if (client->address != NULL && answer_in_session(client, &element, answer->down))
		return answer->down->failed ? -ENOMEM : 0;
	if (client->address != NULL)
		return send_up(context, &element, name_end, client->address, NULL, answer->up);
	return element_before_login(client, context, &element, name_end, answer);
}

static int
take_address(struct dialect_client *client, struct range raw)
{
	int result = stamp_take_address(client, raw);

	if (result < 0)
		return result;
	free(client->asked_user);
	client->asked_user = NULL;
	return 0;
}

static bool
is_answer(const struct dialect_client *client, const struct element *element, const struct stamp *stamp)
{
	return client->asked_id != NULL && client->address == NULL && range_equals(element->name, "iq") &&
	    range_decodes_to(stamp->id, client->asked_id);
}

/* Is it the answer to what was asked before login? A result from the host alone makes no session: no login's answer. */
static int
settle_answer(struct dialect_client *client, const struct element *element, const struct stamp *stamp,
    const struct packet *packet, struct dialect_answer *answer)
{
	bool failed = range_decodes_to(stamp->type, "error");
	int result = 0;

	answer->effects = DIALECT_DELIVERED;
	if (!is_answer(client, element, stamp))
		return 0;
	if (!failed && !(client->asked_login ? packet->kind == PACKET_LOGIN : range_decodes_to(stamp->type, "result")))
		return 0;
	if (client->asked_login && !failed)
		result = take_address(client, packet->address);
	if (result < 0)
		return result;
	if (client->asked_login)
		answer->effects = failed ? DIALECT_REFUSED : DIALECT_LOGGED_IN | DIALECT_BOUND;
	if (failed)
		answer->failure = dialect_error_name(element->whole.at, element->whole.length);
	free(client->asked_id);
	client->asked_id = NULL;
	client->asked = false;
	return 0;
}

/*
 * Nothing reaches who does not know whether it is logged in, or as whom, but the answer to its login. A result without an address
 * makes no session.
 */
static int
settle_sasl(struct dialect_client *client, const struct element *element, const struct stamp *stamp,
    const struct packet *packet, struct dialect_answer *answer)
{
	bool failed = range_decodes_to(stamp->type, "error");
	const char *failure;

	answer->effects = DIALECT_HELD;
	if (!is_answer(client, element, stamp) || !(failed || range_decodes_to(stamp->type, "result")))
		return 0;
	free(client->asked_id);
	client->asked_id = NULL;
	client->asked = client->waits = false;
	if (packet->kind == PACKET_LOGIN) {
		sasl_put_success(answer->down);
		client->stage = STAGE_BINDING;
		answer->effects = DIALECT_LOGGED_IN | DIALECT_RESTART;
		return answer->down->failed ? -ENOMEM : take_address(client, packet->address);
	}
	failure = dialect_error_name(element->whole.at, element->whole.length);
	sasl_put_failure(answer->down, sasl_condition_of(failure));
	return fail(client, failure, answer);
}

static int
sfrom_client_packet(struct dialect_client *client, const struct dialect_context *context, const char *bytes,
    size_t length, struct dialect_answer *answer)
{
	struct element element;
	struct packet packet;
	struct stamp stamp;
	struct range jid = { 0 };
	int result;

	if (!stamp_arrive(&element, &stamp, &packet, bytes, length, read_packet))
		return answer_unreadable(answer);
	if (stamp_ends(&packet, client))
		return answer_end(answer, CONDITION_UNDEFINED_CONDITION, "Disconnected");
	if (client->stage >= STAGE_ASKED)
		return settle_sasl(client, &element, &stamp, &packet, answer);
	result = settle_answer(client, &element, &stamp, &packet, answer);
	if (result < 0)
		return result;
	if (context->modern && client->address != NULL)
		jid = (struct range){ client->address, strlen(client->address) };
	stamp_deliver(answer->down, &element, jid);
	return answer->down->failed ? -ENOMEM : 0;
}

const struct dialect dialect_sfrom = {
	.name = "sfrom",
	.link_header = sfrom_link_header,
	.link_read = sfrom_link_read,
	.link_verify = sfrom_link_verify,
	.link_bounce = stamp_bounce,
	.link_answer = stamp_answer,
	.link_end = sfrom_link_end,
	.link_probe = sfrom_link_probe,
	.silence_ends = true,
	.link_probe_answer = sfrom_link_probe_answer,
	.client_header = sfrom_client_header,
	.client_element = sfrom_client_element,
	.client_packet = sfrom_client_packet,
};
