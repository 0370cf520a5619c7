/*
 * The dialect of jabberd 1.2 to jabberd14 1.6: everything of a client travels in <route/>, its login apart from its session
 * (doc/link.md, "route").
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dialect/answer.h"
#include "dialect/binding.h"
#include "dialect/dialect.h"
#include "dialect/edit.h"
#include "dialect/element.h"
#include "dialect/login.h"
#include "dialect/route_head.h"
#include "dialect/route_link.h"
#include "dialect/route_memo.h"
#include "dialect/sasl.h"
#include "dialect/stamp.h"
#include "dialect/wellformed.h"

/* For an iq before login that has no id: its answer is known by the id. The client sees it in the answer. */
#define LOGIN_ID "c2sd-login"

/* For our own question before a login: another, or a second answer to it would be taken for that to the login. */
#define FIELDS_ID "c2sd-fields"

/* Our own question for the roster: its answer is not for the client. */
#define ROSTER_ID "c2sd-roster"

/* Most that comes back and goes up again when a session has to be started anew; above it the client ends. */
#define HELD_MAX (256u * 1024)

/* dialect_client.stage. While the session manager is asked the client is not read (waits). */
enum stage {
	STAGE_NONE,	/* nothing is under way, or what leaves no trace: which fields, registration */
	STAGE_AUTH,	/* a login with jabber:iq:auth is */
	STAGE_START,	/* it has succeeded, and the session is asked for */
	STAGE_CHALLENGED,	/* of SASL: the client is to say its message */
	STAGE_FIELDS,	/* ... the session manager is asked how it wants the password */
	STAGE_PROOF,	/* ... and whether it is right */
	STAGE_KNOWN,	/* it was: the client has to bind a resource */
	STAGE_BIND,	/* the session is asked for, with that */
	STAGE_AGAIN,	/* in session: the session manager has forgotten it, and is asked for another */
};

/* ---- worker half: up ---- */

static void
append_stanza(struct buffer *up, const struct dialect_context *context, const char *address, struct range stanza)
{
	route_append(up, NULL, range_of_string(address), context->id, context->name);
	buffer_append_string(up, ">");
	buffer_append(up, stanza.at, stanza.length);
	buffer_append_string(up, "</route>");
}

/* The login's element as it goes up: with an id, and with our stream's id in the digest. */
static void
append_login(struct buffer *up, const struct element *element, const struct login *login, const char *stream_id)
{
	static const char *const id[] = { "id", NULL };
	static const char *const sid[] = { "sid", NULL };
	struct edit edit = edit_begin(up, element);
	struct element child = { 0 };

	edit_copy(&edit, range_end(element->name));
	if (login->id.at == NULL) {
		edit_put_attribute(up, "id", LOGIN_ID);
		edit_cut_attributes(&edit, element, id);
	}
	while (login->request == LOGIN_AUTH_SET && element_next_child(&login->query, &child)) {
		if (!range_equals(child.name, "digest"))
			continue;
		edit_copy(&edit, range_end(child.name));
		edit_put_attribute(up, "sid", stream_id);
		edit_cut_attributes(&edit, &child, sid);
	}
	edit_finish(&edit);
}

/*
 * One iq at a time, as in every dialect; `to` is whom it is about. What the client sends behind it is read when it is
 * answered.
 */
static int
ask(struct dialect_client *client, const struct dialect_context *context, const struct element *element,
    const struct login *login, const char *to, struct dialect_answer *answer)
{
	if (client->asked_id != NULL)
		return login_answer_error(login, LOGIN_ERROR_UNEXPECTED, answer->down);
	client->asked_id = login->id.at == NULL ? strdup(LOGIN_ID) : range_strdup_decoded(login->id);
	if (client->asked_id == NULL)
		return -ENOMEM;
	client->asked = client->waits = true;
	client->asked_login = login->request == LOGIN_AUTH_SET;
	client->stage = client->asked_login ? STAGE_AUTH : STAGE_NONE;
	route_append(answer->up, "auth", range_of_string(to), context->id, context->name);
	buffer_append_string(answer->up, ">");
	append_login(answer->up, element, login, context->stream_id);
	buffer_append_string(answer->up, "</route>");
	return answer->up->failed ? -ENOMEM : 0;
}

/* USER@HOST, or with a resource; NULL without memory. */
static char *
join(const char *user, const char *host, const char *resource)
{
	struct buffer text = { 0 };

	buffer_append_string(&text, user);
	buffer_append_string(&text, "@");
	buffer_append_string(&text, host);
	if (resource != NULL) {
		buffer_append_string(&text, "/");
		buffer_append_string(&text, resource);
	}
	buffer_append(&text, "", 1);
	if (text.failed) {
		buffer_deinit(&text);
		return NULL;
	}
	return (char *)text.data;
}

/* Whom is it about? 1 and an address that the caller frees; 0: no such address can be; or -ENOMEM. */
static int
subject(char **to_r, const struct dialect_client *client, const struct login_field *user, const struct login_field *resource)
{
	char *node, *part = NULL;
	int result;

	result = login_prepare(&node, user, LOGIN_NODE);
	if (result <= 0)
		return result;
	if (resource != NULL)
		result = login_prepare(&part, resource, LOGIN_RESOURCE);
	if (result == 1) {
		*to_r = join(node, client->host, part);
		result = *to_r == NULL ? -ENOMEM : 1;
	}
	free(node);
	free(part);
	return result;
}

static int
ask_about(struct dialect_client *client, const struct dialect_context *context, const struct element *element,
    const struct login *login, const struct login_field *resource, struct dialect_answer *answer)
{
	char *to = NULL;
	int result = subject(&to, client, &login->username, resource);

	if (result < 0)
		return result;
	if (result == 0)
		return login_answer_error(login, LOGIN_ERROR_NOT_ACCEPTABLE, answer->down);
	result = ask(client, context, element, login, to, answer);
	free(to);
	return result;
}

static int
log_in(struct dialect_client *client, const struct dialect_context *context, const struct element *element,
    const struct login *login, struct dialect_answer *answer)
{
	int result = login_is_acceptable(login);

	if (result < 0)
		return result;
	/* jabberd makes no session without one. */
	if (result == 0 || login->resource.count != 1)
		return login_answer_error(login, LOGIN_ERROR_NOT_ACCEPTABLE, answer->down);
	if (client->asked_id != NULL)
		return login_answer_error(login, LOGIN_ERROR_UNEXPECTED, answer->down);
	free(client->asked_user);
	client->asked_user = range_strdup_decoded(login->username.element.content);
	if (client->asked_user == NULL)
		return -ENOMEM;
	return ask_about(client, context, element, login, &login->resource, answer);
}

/* Which fields are there for this user? Without one there is nobody to ask about. */
static int
ask_fields(struct dialect_client *client, const struct dialect_context *context, const struct element *element,
    const struct login *login, struct dialect_answer *answer)
{
	if (login->id.length > LOGIN_ID_MAX || login->username.count > 1)
		return login_answer_error(login, LOGIN_ERROR_NOT_ACCEPTABLE, answer->down);
	if (login->username.count == 1)
		return ask_about(client, context, element, login, NULL, answer);
	login_answer_get(login, context->digest, answer->down);
	return answer->down->failed ? -ENOMEM : 0;
}

static int
enrol(struct dialect_client *client, const struct dialect_context *context, const struct element *element,
    struct login *login, struct dialect_answer *answer)
{
	if (!context->registration || client->registrations >= DIALECT_REGISTRATIONS_MAX)
		return login_answer_error(login, LOGIN_ERROR_NOT_ALLOWED, answer->down);
	if (login->id.length > LOGIN_ID_MAX)
		return login_answer_error(login, LOGIN_ERROR_NOT_ACCEPTABLE, answer->down);
	if (login->request == LOGIN_REGISTER_GET)
		return ask(client, context, element, login, client->host, answer);
	/* As with a login: of an account that cannot be there is nothing to ask. */
	if (!element_find_child(&login->query, "username", NULL, &login->username.element))
		return login_answer_error(login, LOGIN_ERROR_NOT_ACCEPTABLE, answer->down);
	if (client->asked_id == NULL)
		client->registrations++;
	return ask_about(client, context, element, login, NULL, answer);
}

/* ---- worker half: SASL ---- */

static void
answered(struct dialect_client *client)
{
	free(client->asked_id);
	client->asked_id = NULL;
	client->asked = client->waits = client->asked_login = false;
	client->stage = STAGE_NONE;
}

/* How does the session manager want the password of this user? */
static int
sasl_ask_fields(struct dialect_client *client, const struct dialect_context *context, struct buffer *up)
{
	char *to = join(client->asked_user, client->host, NULL);

	client->asked_id = strdup(FIELDS_ID);
	if (client->asked_id == NULL || to == NULL) {
		free(to);
		return -ENOMEM;
	}
	route_append(up, "auth", range_of_string(to), context->id, context->name);
	free(to);
	buffer_append_string(up, "><iq type='get' id='" FIELDS_ID "'><query xmlns='" LOGIN_NS_AUTH "'><username>");
	buffer_append_escaped(up, client->asked_user, strlen(client->asked_user));
	buffer_append_string(up, "</username></query></iq></route>");
	client->asked = client->waits = true;
	client->stage = STAGE_FIELDS;
	return up->failed ? -ENOMEM : 0;
}

static int
sasl_begin(struct dialect_client *client, const struct dialect_context *context, const struct element *element,
    struct dialect_answer *answer)
{
	struct sasl_login login;
	enum sasl_condition condition;
	int step = sasl_take(element, client->host, context->plain, client->stage == STAGE_CHALLENGED, &login, &condition,
	    answer->down);

	if (step == SASL_OTHER)
		return answer_not_authorized(answer, "log in first");
	client->stage = step == SASL_CHALLENGED ? STAGE_CHALLENGED : STAGE_NONE;
	if (step == SASL_FAILED || step == SASL_LOGIN) {
		free(client->asked_user);
		client->asked_user = login.user;
		login.user = NULL;
	}
	if (step == SASL_FAILED) {
		answer->effects = DIALECT_REFUSED;
		answer->failure = sasl_condition_name(condition);
	} else if (step == SASL_LOGIN) {
		dialect_client_wipe(client);
		client->secret = login.password;
		login.password = NULL;
		step = sasl_ask_fields(client, context, answer->up);
	}
	sasl_login_deinit(&login);
	return step < 0 ? step : 0;
}

/* The answer to a bind, whose id alone was kept. */
static int
answer_bind(const struct dialect_client *client, const char *jid, struct buffer *down)
{
	struct binding binding = { .request = BINDING_BIND };
	struct buffer id = { 0 };

	buffer_append_string(&id, "'");
	buffer_append_escaped(&id, client->asked_id, strlen(client->asked_id));
	buffer_append_string(&id, "'");
	if (!id.failed) {
		binding.id = (struct range){ (const char *)buffer_bytes(&id) + 1, buffer_length(&id) - 2 };
		if (jid != NULL)
			binding_put_result(&binding, jid, down);
		else
			binding_put_error(&binding, BINDING_ERROR_UNAVAILABLE, down);
	}
	down->failed |= id.failed;
	buffer_deinit(&id);
	return down->failed ? -ENOMEM : 0;
}

/* The full JID: the account as the session manager has called it, and the resource that was asked for. */
static char *
bound_jid(const struct dialect_client *client)
{
	struct buffer jid = { 0 };

	buffer_append(&jid, client->jid, strcspn(client->jid, "/"));
	buffer_append_string(&jid, "/");
	buffer_append(&jid, client->resource, strlen(client->resource) + 1);
	if (jid.failed) {
		buffer_deinit(&jid);
		return NULL;
	}
	return (char *)jid.data;
}

static int
bind_begin(struct dialect_client *client, const struct dialect_context *context, const struct binding *binding,
    char *resource, struct buffer *up)
{
	char *jid;

	free(client->resource);
	client->resource = resource != NULL ? resource : binding_invent_resource(context->id, context->stream_id);
	if (client->resource == NULL)
		return -ENOMEM;
	jid = bound_jid(client);
	client->asked_id = range_strdup_decoded(binding->id);
	if (jid == NULL || client->asked_id == NULL) {
		free(jid);
		return -ENOMEM;
	}
	route_append(up, "session", range_of_string(jid), context->id, context->name);
	buffer_append_string(up, "/>");
	free(client->jid);
	client->jid = jid;
	client->asked = client->waits = true;
	client->stage = STAGE_BIND;
	return up->failed ? -ENOMEM : 0;
}

static int
element_before_bind(struct dialect_client *client, const struct dialect_context *context, const struct element *element,
    struct dialect_answer *answer)
{
	struct binding binding;
	char *resource = NULL;
	int result = 0;

	binding_read(&binding, element, client->host);
	if (binding.request != BINDING_BIND || client->stage != STAGE_KNOWN)
		return answer_end(answer, CONDITION_NOT_AUTHORIZED, "bind a resource first");
	if (!binding.bad)
		result = binding_read_resource(&binding, &resource);
	if (result < 0)
		return result;
	if (result == 1)
		return bind_begin(client, context, &binding, resource, answer->up);
	binding_put_error(&binding, BINDING_ERROR_BAD_REQUEST, answer->down);
	return answer->down->failed ? -ENOMEM : 0;
}

static int
element_before_login(struct dialect_client *client, const struct dialect_context *context, const struct element *element,
    struct dialect_answer *answer)
{
	struct login login;

	/* Without a host there is nobody to ask. */
	if (client->host == NULL || client->host[0] == '\0')
		return answer_not_authorized(answer, "log in first");
	if (client->stage == STAGE_KNOWN || client->stage == STAGE_BIND)
		return element_before_bind(client, context, element, answer);
	if (!route_is_stanza(element) && client->asked_id == NULL)
		return sasl_begin(client, context, element, answer);
	login_read(&login, element);
	switch (login.request) {
	case LOGIN_AUTH_GET:
		return ask_fields(client, context, element, &login, answer);
	case LOGIN_AUTH_SET:
		return log_in(client, context, element, &login, answer);
	case LOGIN_REGISTER_GET:
	case LOGIN_REGISTER_SET:
		return enrol(client, context, element, &login, answer);
	case LOGIN_NONE:
		break;
	}
	return answer_not_authorized(answer, "log in first");
}

static int
write_memo(struct dialect_client *client, const struct route_memo *memo, struct dialect_answer *answer)
{
	char *text = route_memo_write(memo);

	if (text == NULL)
		return -ENOMEM;
	client->memo = text;
	answer->effects |= DIALECT_MEMO;
	return 0;
}

/* What of this stanza must be known if the session has to be started again? */
static int
note(struct dialect_client *client, const struct element *element, struct dialect_answer *answer)
{
	struct route_memo memo;

	if (!route_memo_read(&memo, client->memo) || !route_memo_note(&memo, element))
		return 0;
	return write_memo(client, &memo, answer);
}

/* Behind what waits already. */
static int
hold(struct dialect_client *client, struct range stanza, struct dialect_answer *answer)
{
	if (buffer_length(&client->held) + stanza.length > HELD_MAX)
		return answer_end(answer, CONDITION_RESOURCE_CONSTRAINT, "too much has to be sent again");
	buffer_append(&client->held, stanza.at, stanza.length);
	return client->held.failed ? -ENOMEM : 0;
}

/* jabberd knows neither. */
static int
answer_in_session(const struct binding *binding, struct buffer *down)
{
	if (binding->request == BINDING_BIND)
		binding_put_error(binding, BINDING_ERROR_NOT_ALLOWED, down);
	else if (binding->bad)
		binding_put_error(binding, BINDING_ERROR_BAD_REQUEST, down);
	else
		binding_put_result(binding, NULL, down);
	return down->failed ? -ENOMEM : 0;
}

static int
element_in_session(struct dialect_client *client, const struct dialect_context *context, const struct element *element,
    struct dialect_answer *answer)
{
	struct binding binding;

	if (!route_is_stanza(element))
		return answer_end(answer, CONDITION_UNSUPPORTED_STANZA_TYPE, "not a stanza");
	binding_read(&binding, element, client->address);
	if (binding.request != BINDING_NONE)
		return answer_in_session(&binding, answer->down);
	if (client->stage == STAGE_AGAIN)
		return hold(client, element->whole, answer);
	append_stanza(answer->up, context, client->address, element->whole);
	return answer->up->failed ? -ENOMEM : note(client, element, answer);
}

static int
route_client_element(struct dialect_client *client, const struct dialect_context *context, const char *bytes,
    size_t length, size_t name_end, struct dialect_answer *answer)
{
	struct element element;

	(void)name_end;
	if (!element_read_complete(&element, bytes, length))
		return -EINVAL;
	if (client->address != NULL)
		return element_in_session(client, context, &element, answer);
	return element_before_login(client, context, &element, answer);
}

static int
route_client_header(struct dialect_client *client, const struct dialect_context *context,
    const struct dialect_header *header, struct dialect_answer *answer)
{
	(void)header;
	answer->effects = DIALECT_HEADER | DIALECT_FEATURES;
	if (client->stage == STAGE_KNOWN) {
		binding_put_features(answer->features);
		return answer->features->failed ? -ENOMEM : 0;
	}
	if (context->plain)
		sasl_put_mechanisms(answer->features);
	login_put_features(answer->features, context->registration);
	return answer->features->failed ? -ENOMEM : 0;
}

/* ---- worker half: down ---- */

static void
append_start(struct buffer *up, const struct dialect_context *context, struct range jid, struct range child)
{
	route_append(up, "session", jid, context->id, context->name);
	if (child.length == 0) {
		buffer_append_string(up, "/>");
		return;
	}
	buffer_append_string(up, ">");
	buffer_append(up, child.at, child.length);
	buffer_append_string(up, "</route>");
}

/* The password was right. The answer travels with the question for the session, and comes back with its answer. */
static int
start_session(struct dialect_client *client, const struct dialect_context *context, const struct route_head *head,
    struct dialect_answer *answer)
{
	free(client->jid);
	client->jid = range_strdup_decoded(head->from);
	if (client->jid == NULL)
		return -ENOMEM;
	client->stage = STAGE_START;
	append_start(answer->up, context, range_of_string(client->jid), route_is_stanza(&head->child) ? head->child.whole : (struct range){ 0 });
	return answer->up->failed ? -ENOMEM : 0;
}

static bool
is_answer(const struct dialect_client *client, const struct element *iq)
{
	struct range id;

	return client->asked_id != NULL && range_equals(iq->name, "iq") && element_attribute(iq, "id", &id) &&
	    range_decodes_to(id, client->asked_id);
}

static int
deliver(const struct element *stanza, struct dialect_answer *answer)
{
	buffer_append(answer->down, stanza->whole.at, stanza->whole.length);
	answer->effects |= DIALECT_DELIVERED;
	return answer->down->failed ? -ENOMEM : 0;
}

static int
sasl_failed(struct dialect_client *client, enum sasl_condition condition, const char *name, struct dialect_answer *answer)
{
	dialect_client_wipe(client);
	answered(client);
	sasl_put_failure(answer->down, condition);
	answer->effects |= DIALECT_REFUSED;
	answer->failure = name;
	return answer->down->failed ? -ENOMEM : 0;
}

/* The password goes up as a digest wherever the session manager takes one. */
static int
sasl_prove(struct dialect_client *client, const struct dialect_context *context, const struct element *iq,
    struct dialect_answer *answer)
{
	struct element query, field;
	bool digest, password;
	char *to;

	if (!element_find_child(iq, "query", LOGIN_NS_AUTH, &query))
		return sasl_failed(client, SASL_TEMPORARY_AUTH_FAILURE, "undefined-condition", answer);
	digest = element_find_child(&query, "digest", NULL, &field);
	password = element_find_child(&query, "password", NULL, &field);
	if (!digest && !password)
		return sasl_failed(client, SASL_TEMPORARY_AUTH_FAILURE, "undefined-condition", answer);
	free(client->asked_id);
	client->asked_id = strdup(LOGIN_ID);
	free(client->resource);
	client->resource = binding_invent_resource(context->id, context->stream_id);
	to = client->resource == NULL || client->asked_id == NULL ? NULL : join(client->asked_user, client->host, client->resource);
	if (to == NULL)
		return -ENOMEM;
	buffer_set_secret(answer->up);
	route_append(answer->up, "auth", range_of_string(to), context->id, context->name);
	free(to);
	buffer_append_string(answer->up, "><iq type='set' id='" LOGIN_ID "'>");
	sasl_put_query(answer->up, client->asked_user, client->secret, client->resource, digest ? context->stream_id : NULL);
	buffer_append_string(answer->up, "</iq></route>");
	dialect_client_wipe(client);
	client->stage = STAGE_PROOF;
	return answer->up->failed ? -ENOMEM : 0;
}

static int
take_sasl_answer(struct dialect_client *client, const struct dialect_context *context, const struct route_head *head,
    struct dialect_answer *answer)
{
	const char *name = dialect_error_name(head->child.whole.at, head->child.whole.length);

	if (!element_attribute_is(&head->child, "type", "result"))
		return sasl_failed(client, sasl_condition_of(name), name, answer);
	if (client->stage == STAGE_FIELDS)
		return sasl_prove(client, context, &head->child, answer);
	if (!route_head_is_login(head))
		return sasl_failed(client, SASL_TEMPORARY_AUTH_FAILURE, "undefined-condition", answer);
	free(client->jid);
	client->jid = range_strdup_decoded(head->from);
	if (client->jid == NULL)
		return -ENOMEM;
	answered(client);
	client->stage = STAGE_KNOWN;
	sasl_put_success(answer->down);
	answer->effects |= DIALECT_RESTART;
	return answer->down->failed ? -ENOMEM : 0;
}

static int
take_auth(struct dialect_client *client, const struct dialect_context *context, const struct route_head *head,
    struct dialect_answer *answer)
{
	bool login = client->stage == STAGE_AUTH;

	if (!route_head_has_child(head) || !is_answer(client, &head->child))
		return 0;
	if (client->stage == STAGE_FIELDS || client->stage == STAGE_PROOF)
		return take_sasl_answer(client, context, head, answer);
	if (client->stage != STAGE_NONE && !login)
		return 0;
	if (login && route_head_is_login(head))
		return start_session(client, context, head, answer);
	if (!element_attribute_is(&head->child, "type", "error")) {
		/* A login that has succeeded, for nobody: no session can be made of it. */
		if (login)
			return answer_unreadable(answer);
		answered(client);
		return deliver(&head->child, answer);
	}
	if (login) {
		answer->effects |= DIALECT_REFUSED;
		answer->failure = dialect_error_name(head->child.whole.at, head->child.whole.length);
	}
	answered(client);
	return deliver(&head->child, answer);
}

/* 1.2 and 1.6 send back what came with the question; who does not is helped. */
static void
append_login_answer(const struct dialect_client *client, const struct route_head *head, struct buffer *down)
{
	if (route_head_has_child(head) && !head->several && is_answer(client, &head->child) &&
	    element_attribute_is(&head->child, "type", "result")) {
		buffer_append(down, head->child.whole.at, head->child.whole.length);
		return;
	}
	buffer_append_string(down, "<iq type='result'");
	edit_put_attribute(down, "id", client->asked_id);
	buffer_append_string(down, "/>");
}

static int
session_started(struct dialect_client *client, const struct route_head *head, struct dialect_answer *answer)
{
	struct route_memo memo = { .jid = range_of_string(client->jid) };
	int result = stamp_take_address(client, head->from);

	if (result < 0)
		return result;
	if (client->stage == STAGE_START)
		append_login_answer(client, head, answer->down);
	else if (answer_bind(client, client->jid, answer->down) < 0)
		return -ENOMEM;
	answered(client);
	answer->effects |= DIALECT_LOGGED_IN | DIALECT_BOUND;
	result = write_memo(client, &memo, answer);
	return answer->down->failed ? -ENOMEM : result;
}

static void
append_held(struct buffer *up, const struct dialect_context *context, const struct dialect_client *client)
{
	const char *at = (const char *)buffer_bytes(&client->held), *end = at + buffer_length(&client->held);
	struct element stanza;

	while (at < end && element_read(&stanza, at, (size_t)(end - at))) {
		append_stanza(up, context, client->address, stanza.whole);
		at = range_end(stanza.whole);
	}
}

/* It is as it was before: the session manager knows again what the client has said. */
static int
session_started_again(struct dialect_client *client, const struct dialect_context *context, const struct route_head *head,
    struct dialect_answer *answer)
{
	static const char roster[] = "<iq type='get' id='" ROSTER_ID "'><query xmlns='jabber:iq:roster'/></iq>";
	struct route_memo memo;
	int result;

	if (!route_memo_read(&memo, client->memo))
		return -EINVAL;
	free(client->address);
	client->address = NULL;
	result = stamp_take_address(client, head->from);
	if (result < 0)
		return result;
	if (memo.roster)
		append_stanza(answer->up, context, client->address, range_of_string(roster));
	if (memo.presence.length > 0)
		append_stanza(answer->up, context, client->address, memo.presence);
	append_held(answer->up, context, client);
	answered(client);
	memo.swallow = memo.roster;
	answer->effects |= DIALECT_LOGGED_IN | DIALECT_BOUND | DIALECT_SEVERAL;
	result = write_memo(client, &memo, answer);
	return answer->up->failed ? -ENOMEM : result;
}

static int
take_session(struct dialect_client *client, const struct dialect_context *context, const struct route_head *head,
    struct dialect_answer *answer)
{
	struct route_memo memo;

	if (!route_is_session_address(head->from))
		return answer_unreadable(answer);
	if (client->stage == STAGE_START || client->stage == STAGE_BIND)
		return route_is_of_account(head->from, client->jid) ? session_started(client, head, answer) : -EPROTO;
	if (client->stage != STAGE_AGAIN)
		return answer_unreadable(answer);
	if (!route_memo_read(&memo, client->memo) || !route_is_of_account(head->from, client->address))
		return -EPROTO;
	return session_started_again(client, context, head, answer);
}

/* Something of the session has come: it works. */
static int
session_works(struct dialect_client *client, struct route_memo *memo, struct dialect_answer *answer)
{
	if (memo->starts == 0)
		return 0;
	memo->starts = 0;
	return write_memo(client, memo, answer);
}

static bool
is_our_roster(const struct route_memo *memo, const struct element *stanza)
{
	return memo->swallow && range_equals(stanza->name, "iq") && element_attribute_is(stanza, "id", ROSTER_ID) &&
	    !element_attribute_is(stanza, "type", "set") && !element_attribute_is(stanza, "type", "get");
}

static int
take_data(struct dialect_client *client, const struct dialect_context *context, const struct route_head *head,
    struct dialect_answer *answer)
{
	struct route_memo memo = { 0 };
	int result;

	if (!route_head_has_child(head))
		return 0;
	if (client->address == NULL && (client->stage == STAGE_START || client->stage == STAGE_BIND) &&
	    route_is_of_account(head->from, client->jid)) {
		answer->effects = DIALECT_HELD;
		return 0;
	}
	if (client->address == NULL || !route_is_of_account(head->from, client->address))
		return answer_unreadable(answer);
	if (client->stage == STAGE_NONE && route_memo_read(&memo, client->memo)) {
		result = session_works(client, &memo, answer);
		if (result < 0)
			return result;
		if (is_our_roster(&memo, &head->child))
			return 0;
	}
	stamp_deliver(answer->down, &head->child, context->modern ? memo.jid : (struct range){ 0 });
	answer->effects |= DIALECT_DELIVERED;
	return answer->down->failed ? -ENOMEM : 0;
}

/* ---- worker half: errors ---- */

/* The session could not be had. The client is told so in the answer that it waits for, and may try again. */
static int
session_refused(struct dialect_client *client, struct dialect_answer *answer)
{
	if (client->stage == STAGE_BIND) {
		int result = answer_bind(client, NULL, answer->down);

		answered(client);
		client->stage = STAGE_KNOWN;
		return result;
	}
	buffer_append_string(answer->down, "<iq type='error'");
	edit_put_attribute(answer->down, "id", client->asked_id);
	buffer_append_string(answer->down, "><error code='500' type='wait'>"
	    "<internal-server-error xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>");
	answered(client);
	answer->effects |= DIALECT_REFUSED;
	answer->failure = "internal-server-error";
	return answer->down->failed ? -ENOMEM : 0;
}

/* What was sent came back: it goes up again when there is a session again. */
static int
hold_returned(struct dialect_client *client, const struct route_head *head, struct dialect_answer *answer)
{
	if (!route_head_has_child(head))
		return 0;
	return head->several || !route_is_stanza(&head->child) ? answer_unreadable(answer) : hold(client, head->child.whole, answer);
}

static int
start_again(struct dialect_client *client, const struct dialect_context *context, const struct route_head *head,
    struct dialect_answer *answer)
{
	struct route_memo memo;
	int result;

	if (!route_memo_read(&memo, client->memo) || memo.too_long || memo.starts >= ROUTE_MEMO_STARTS_MAX)
		return answer_end(answer, CONDITION_INTERNAL_SERVER_ERROR, "Invalid Session");
	result = hold_returned(client, head, answer);
	if (result < 0 || answer->effects != 0)
		return result;
	memo.starts++;
	client->memo = route_memo_write(&memo);
	append_start(answer->up, context, memo.jid, (struct range){ 0 });
	if (client->memo == NULL || answer->up->failed) {
		buffer_deinit(&client->held);
		return -ENOMEM;
	}
	client->stage = STAGE_AGAIN;
	client->asked = client->waits = true;
	answer->effects = DIALECT_MEMO | DIALECT_KEEP;
	return 0;
}

static int
take_error_in_session(struct dialect_client *client, const struct dialect_context *context, const struct route_head *head,
    struct dialect_answer *answer)
{
	const struct route_meaning *meaning = route_meaning_of(head);
	bool unknown = strcmp(meaning->text, "Invalid Session") == 0;
	struct route_memo memo;

	/* Nothing in it: the master has asked, because the link was lost, and with it perhaps our question for a session. */
	if (client->stage == STAGE_AGAIN && unknown && range_decodes_to(head->from, client->address))
		return route_head_has_child(head) ? hold_returned(client, head, answer) : start_again(client, context, head, answer);
	if (client->stage == STAGE_AGAIN && route_memo_read(&memo, client->memo) && memo.jid.length > 0 &&
	    range_decodes_to_bytes(head->from, memo.jid.at, memo.jid.length))
		return answer_end(answer, meaning->within, meaning->told);
	/* Of a session that was this client's before, or never. */
	if (!range_decodes_to(head->from, client->address)) {
		if (!unknown || !route_head_has_child(head) || !route_is_of_account(head->from, client->address) || !route_is_stanza(&head->child))
			return 0;
		/* By now the master may know another address already, and would not believe this one. */
		if (client->stage == STAGE_AGAIN)
			return hold_returned(client, head, answer);
		append_stanza(answer->up, context, client->address, head->child.whole);
		return answer->up->failed ? -ENOMEM : 0;
	}
	if (unknown)
		return start_again(client, context, head, answer);
	return answer_end(answer, meaning->within, meaning->told);
}

/* It comes from where the session was asked for, with nothing but what the question had in it. */
static bool
is_refusal(const struct dialect_client *client, const struct route_head *head)
{
	return range_decodes_to(head->from, client->jid) && (!route_head_has_child(head) || range_equals(head->child.name, "iq"));
}

static int
take_error(struct dialect_client *client, const struct dialect_context *context, const struct route_head *head,
    struct dialect_answer *answer)
{
	const struct route_meaning *meaning = route_meaning_of(head);

	if (head->from.at == NULL)
		return answer_unreadable(answer);
	if (client->address != NULL)
		return take_error_in_session(client, context, head, answer);
	/* Nothing was asked: it cannot be about this client. */
	if (!client->asked)
		return 0;
	if (client->stage == STAGE_START || client->stage == STAGE_BIND)
		return is_refusal(client, head) ? session_refused(client, answer) : 0;
	if (client->stage == STAGE_FIELDS || client->stage == STAGE_PROOF)
		return sasl_failed(client, SASL_TEMPORARY_AUTH_FAILURE, condition_name(meaning->before), answer);
	return answer_end(answer, meaning->before, meaning->told);
}

static int
route_client_packet(struct dialect_client *client, const struct dialect_context *context, const char *bytes,
    size_t length, struct dialect_answer *answer)
{
	struct element element;
	struct route_head head;

	/* Its parser would end the client's stream, and the next client that gets it would be ended as well. */
	if (wellformed_fault(bytes, length) != NULL || !element_read_complete(&element, bytes, length))
		return answer_unreadable(answer);
	route_head_read(&head, &element);
	if (!head.is_route || head.several)
		return answer_unreadable(answer);
	if (head.type.at == NULL)
		return take_data(client, context, &head, answer);
	if (route_head_is(&head, "auth"))
		return take_auth(client, context, &head, answer);
	if (route_head_is(&head, "session"))
		return take_session(client, context, &head, answer);
	if (route_head_is(&head, "error"))
		return take_error(client, context, &head, answer);
	return answer_unreadable(answer);
}

const struct dialect dialect_route = {
	.name = "route",
	.link_header = route_link_header,
	.link_read = route_link_read,
	.link_verify = route_link_verify,
	.link_bounce = route_link_bounce,
	.link_end = route_link_end,
	.link_probe = route_link_probe,
	.link_probe_answer = route_link_probe_answer,
	.client_header = route_client_header,
	.client_element = route_client_element,
	.client_packet = route_client_packet,
};
