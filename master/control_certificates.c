#include <string.h>
#include <time.h>

#include "master/control_command.h"
#include "master/master.h"

static json_t *
text_json(const char *text)
{
	return text != NULL ? control_command_text(text, strlen(text)) : json_null();
}

static json_t *
names_json(const struct certificate *certificate)
{
	json_t *names = json_array();

	for (const char *name = certificate_name_first(certificate); name != NULL;
	    name = certificate_name_next(certificate, name))
		json_array_append_new(names, text_json(name));
	return names;
}

static json_t *
doubts_json(unsigned doubts)
{
	json_t *names = json_array();

	for (unsigned doubt = 1; doubt < CERTIFICATE_DOUBT_END; doubt <<= 1) {
		if ((doubts & doubt) != 0)
			json_array_append_new(names, json_string(certificate_doubt_name((enum certificate_doubt)doubt)));
	}
	return names;
}

json_t *
control_certificates_json(const struct certificates *certificates)
{
	json_t *list = json_array();
	time_t now = time(NULL);
	char until[CERTIFICATE_TIME_SIZE];

	for (unsigned i = 0; i < certificates->count; i++) {
		const struct certificate_entry *entry = &certificates->entries[i];
		const struct certificate *certificate = &entry->certificate;

		json_array_append_new(list, json_pack("{s:o, s:o, s:o, s:s, s:I, s:o, s:o}",
		    "file", text_json(entry->chain_file),
		    "key", text_json(entry->key_file != NULL ? entry->key_file : entry->chain_file),
		    "names", names_json(certificate), "not_after", certificate_not_after(certificate, until),
		    "days_left", (json_int_t)certificate_days_left(certificate, now),
		    "doubts", doubts_json(certificate_doubts(certificate, now, certificates->options->tls.expiry_days)),
		    "kept", text_json(entry->complaint)));
	}
	return list;
}
