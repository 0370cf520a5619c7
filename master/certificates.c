#include "master/certificates.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"

#define DAY (24ull * 3600 * 1000)

/* A path, what is wrong with its file, and what becomes of that. */
#define TEXT_MAX 1400

static bool
same_file(const char *one, const char *other)
{
	return one == NULL || other == NULL ? one == other : strcmp(one, other) == 0;
}

/* Its place; -1: there is none with those files. */
static int
entry_find(const struct certificates *certificates, const char *chain_file, const char *key_file)
{
	for (unsigned i = 0; certificates != NULL && i < certificates->count; i++) {
		const struct certificate_entry *entry = &certificates->entries[i];

		if (same_file(entry->chain_file, chain_file) && same_file(entry->key_file, key_file))
			return (int)i;
	}
	return -1;
}

static void
entry_deinit(struct certificate_entry *entry)
{
	certificate_deinit(&entry->certificate);
	free(entry->chain_file);
	free(entry->key_file);
	free(entry->complaint);
	*entry = (struct certificate_entry){ .kept = -1 };
}

/* Where in the file it stands: an option that is not there is its element. */
static int
line_of(const struct certificates_source *source, const struct certificate_options *options, bool of_key)
{
	return config_line(source->lines, of_key ? &options->key : &options->chain, options);
}

/* 1: it is an error; 0: the one of before stays; -ENOMEM. */
static int
entry_refuse(struct certificate_entry *entry, const struct certificate_options *options,
    const struct certificate_error *error, const struct certificates_source *source)
{
	char text[TEXT_MAX];
	int line = line_of(source, options, error->of_key);

	snprintf(text, sizeof text, "certificate %s %s: %s%s", error->of_key ? "key" : "chain",
	    error->of_key ? options->key : options->chain, error->text,
	    entry->kept >= 0 ? "; the certificate that was read before stays" : "");
	if (entry->kept < 0) {
		source->errors->fn(source->errors, source->file, line, text);
		return 1;
	}
	source->kept->fn(source->kept, source->file, line, text);
	entry->complaint = strdup(text);
	return entry->complaint == NULL ? -ENOMEM : 0;
}

static int
entry_read(struct certificate_entry *entry, const struct certificates *running, const struct certificate_options *options,
    const struct certificates_source *source)
{
	struct certificate_error error;
	int result;

	*entry = (struct certificate_entry){ .kept = -1 };
	entry->chain_file = strdup(options->chain);
	entry->key_file = options->key != NULL ? strdup(options->key) : NULL;
	if (entry->chain_file == NULL || (options->key != NULL && entry->key_file == NULL))
		return -ENOMEM;
	result = certificate_read(&entry->certificate, options->chain, options->key, &error);
	if (result != -EINVAL)
		return result;
	certificate_deinit(&entry->certificate);
	entry->kept = entry_find(running, options->chain, options->key);
	return entry_refuse(entry, options, &error, source);
}

/* A listener that offers what nobody could take. */
static int
listeners_check(const struct options *options, const struct certificates_source *source)
{
	int errors = 0;

	for (unsigned i = 0; i < options->listener_count && options->certificate_count == 0; i++) {
		const struct listen_options *listener = &options->listeners[i];

		if (listener->tls == LISTEN_TLS_NONE)
			continue;
		source->errors->fn(source->errors, source->file, config_line(source->lines, &listener->tls, listener),
		    "listen tls: there is no <certificate/>: make one (c2sctl cert), or do without (tls=\"none\")");
		errors++;
	}
	return errors;
}

int
certificates_read(struct certificates *set, const struct certificates *running, const struct options *options,
    const struct certificates_source *source)
{
	int errors = listeners_check(options, source);

	for (unsigned i = 0; i < options->certificate_count; i++) {
		int result = 0;

		/* It was reported as missing. */
		if (options->certificates[i].chain == NULL)
			continue;
		result = entry_read(&set->entries[set->count++], running, &options->certificates[i], source);
		if (result < 0)
			return result;
		errors += result;
	}
	return errors;
}

static void
entry_log(const struct certificate_entry *entry)
{
	const struct certificate *certificate = &entry->certificate;
	char file[1100], names[512], until[CERTIFICATE_TIME_SIZE];
	struct buffer list = { 0 };

	for (const char *name = certificate_name_first(certificate); name != NULL;
	    name = certificate_name_next(certificate, name))
		buffer_append_format(&list, "%s%s", buffer_length(&list) > 0 ? " " : "", name);
	buffer_append(&list, "", 1);
	log_info("certificate loaded file=%s names=%s days=%ld not_after=%s", log_quote(file, sizeof file, entry->chain_file),
	    log_quote(names, sizeof names, list.failed ? "" : (const char *)buffer_bytes(&list)),
	    certificate_days_left(certificate, time(NULL)), certificate_not_after(certificate, until));
	buffer_deinit(&list);
}

void
certificates_take(struct certificates *running, struct certificates *set)
{
	for (unsigned i = 0; i < set->count; i++) {
		struct certificate_entry *entry = &set->entries[i];
		int old = entry_find(running, entry->chain_file, entry->key_file);

		if (entry->kept >= 0) {
			entry->certificate = running->entries[entry->kept].certificate;
			running->entries[entry->kept].certificate = (struct certificate){ 0 };
			entry->kept = -1;
		} else if (old < 0 || !certificate_equals(&running->entries[old].certificate, &entry->certificate)) {
			entry_log(entry);
		}
	}
	for (unsigned i = 0; i < running->count; i++)
		entry_deinit(&running->entries[i]);
	memcpy(running->entries, set->entries, sizeof running->entries);
	running->count = set->count;
	*set = (struct certificates){ 0 };
}

/* ---- what is doubtful ---- */

static bool
host_is_covered(const struct certificates *certificates, const char *host)
{
	for (unsigned i = 0; i < certificates->count; i++) {
		if (certificate_covers(&certificates->entries[i].certificate, host))
			return true;
	}
	return false;
}

void
certificates_review(const struct certificates *set, const struct options *options, const struct certificates_source *source)
{
	char text[TEXT_MAX];

	for (unsigned i = 0; i < set->count; i++) {
		const struct certificate_entry *entry = &set->entries[i];
		unsigned doubts = certificate_doubts(&entry->certificate, time(NULL), options->tls.expiry_days);

		for (unsigned doubt = 1; doubt < CERTIFICATE_DOUBT_END; doubt <<= 1) {
			if ((doubts & doubt) == 0)
				continue;
			snprintf(text, sizeof text, "warning: certificate %s: %s", entry->chain_file,
			    certificate_doubt_text((enum certificate_doubt)doubt));
			source->errors->fn(source->errors, source->file,
			    line_of(source, &options->certificates[i], doubt == CERTIFICATE_EXPOSED), text);
		}
	}
	for (unsigned i = 0; i < options->host_count && set->count > 0; i++) {
		if (host_is_covered(set, options->hosts[i].name))
			continue;
		snprintf(text, sizeof text, "warning: host %s: no certificate is for it", options->hosts[i].name);
		source->errors->fn(source->errors, source->file,
		    config_line(source->lines, &options->hosts[i], &options->hosts[i]), text);
	}
}

static void
doubts_log(const struct certificates *certificates)
{
	time_t now = time(NULL);
	char file[1100], until[CERTIFICATE_TIME_SIZE];

	for (unsigned i = 0; i < certificates->count; i++) {
		const struct certificate_entry *entry = &certificates->entries[i];
		unsigned doubts = certificate_doubts(&entry->certificate, now, certificates->options->tls.expiry_days);

		for (unsigned doubt = 1; doubt < CERTIFICATE_DOUBT_END; doubt <<= 1) {
			if ((doubts & doubt) != 0)
				log_warning("certificate doubtful file=%s reason=%s days=%ld not_after=%s",
				    log_quote(file, sizeof file, entry->chain_file),
				    certificate_doubt_name((enum certificate_doubt)doubt),
				    certificate_days_left(&entry->certificate, now), certificate_not_after(&entry->certificate, until));
		}
	}
}

static void
hosts_log(const struct certificates *certificates)
{
	const struct options *options = certificates->options;
	char host[1100];

	for (unsigned i = 0; i < options->host_count && certificates->count > 0; i++) {
		if (!host_is_covered(certificates, options->hosts[i].name))
			log_warning("certificate missing host=%s", log_quote(host, sizeof host, options->hosts[i].name));
	}
}

static void
on_daily(struct timer *timer)
{
	struct certificates *certificates = container_of(timer, struct certificates, daily);

	certificates_watch(certificates, certificates->loop);
}

void
certificates_watch(struct certificates *certificates, struct loop *loop)
{
	certificates->loop = loop;
	doubts_log(certificates);
	hosts_log(certificates);
	timer_set(loop, &certificates->daily, DAY, on_daily);
}

void
certificates_deinit(struct certificates *certificates)
{
	for (unsigned i = 0; i < certificates->count; i++)
		entry_deinit(&certificates->entries[i]);
	if (certificates->loop != NULL)
		timer_clear(certificates->loop, &certificates->daily);
	certificates->count = 0;
	certificates->loop = NULL;
}
