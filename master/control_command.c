#include "master/control_command.h"

#include <string.h>

static const struct control_command commands[] = {
	{ "status", control_report_status },
	{ "wait", control_report_wait },
	{ "workers", control_report_workers },
	{ "sessions", control_sessions_list },
	{ "trace", control_trace_start },
	{ "config", control_report_config },
	{ "kick", control_order_kick },
	{ "drain", control_order_drain },
	{ "loglevel", control_order_loglevel },
	{ "reload", control_order_reload },
	{ "user", control_account_user },
};

const struct control_command *
control_command_find(const char *name)
{
	for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	}
	return NULL;
}

const char *
control_command_string(const json_t *request, const char *name)
{
	return json_string_value(json_object_get(request, name));
}

json_t *
control_command_text(const char *text, size_t length)
{
	json_t *string = json_stringn(text, length);
	struct buffer plain = { 0 };

	if (string != NULL || length == 0)
		return string;
	buffer_append(&plain, text, length);
	for (size_t i = 0; !plain.failed && i < length; i++) {
		if (buffer_bytes(&plain)[i] >= 0x80)
			buffer_bytes(&plain)[i] = '?';
	}
	string = plain.failed ? NULL : json_stringn((const char *)buffer_bytes(&plain), length);
	buffer_deinit(&plain);
	return string;
}
