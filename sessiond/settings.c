#include "sessiond/settings.h"

#include <bsd/stdlib.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sessiond/jid.h"

/* RFC 5802 asks for at least 4096. */
#define ITERATIONS 4096
#define OFFLINE_DEFAULT 1000
#define OFFLINE_BYTES_DEFAULT (4 * 1024 * 1024)
#define OFFLINE_LIMIT 1000000

static int
string_set(char **place, const char *value)
{
	free(*place);
	*place = strdup(value);
	return *place == NULL ? -ENOMEM : 0;
}

static int
host_add(struct settings *settings, const char *value)
{
	char host[JID_PART_SIZE];

	if (settings->host_count == SETTINGS_HOSTS_MAX || !jid_prepare_domain(host, value))
		return -EINVAL;
	if (settings_has_host(settings, host))
		return 0;
	settings->hosts[settings->host_count] = strdup(host);
	if (settings->hosts[settings->host_count] == NULL)
		return -ENOMEM;
	settings->host_count++;
	return 0;
}

static int
registration_set(struct settings *settings, const char *value)
{
	settings->registration = strcmp(value, "yes") == 0;
	return settings->registration || strcmp(value, "no") == 0 ? 0 : -EINVAL;
}

static int
acknowledge_set(struct settings *settings, const char *value)
{
	settings->acknowledge = strcmp(value, "yes") == 0;
	return settings->acknowledge || strcmp(value, "no") == 0 ? 0 : -EINVAL;
}

static int
dialect_set(struct settings *settings, const char *value)
{
	settings->dialect = link_dialect_find(value);
	return settings->dialect == NULL ? -EINVAL : 0;
}

static int
plain_set(struct settings *settings, const char *value)
{
	settings->plain_always = strcmp(value, "always") == 0;
	return settings->plain_always || strcmp(value, "tls") == 0 ? 0 : -EINVAL;
}

static int
offline_max_set(struct settings *settings, const char *value)
{
	const char *wrong;

	settings->offline_max = (unsigned)strtonum(value, 0, OFFLINE_LIMIT, &wrong);
	return wrong == NULL ? 0 : -EINVAL;
}

static int
offline_bytes_set(struct settings *settings, const char *value)
{
	const char *wrong;

	settings->offline_bytes = (unsigned)strtonum(value, 1, UINT32_MAX, &wrong);
	return wrong == NULL ? 0 : -EINVAL;
}

static int
setting_read(struct settings *settings, const char *key, const char *value)
{
	if (*value == '\0')
		return -EINVAL;
	if (strcmp(key, "host") == 0)
		return host_add(settings, value);
	if (strcmp(key, "name") == 0)
		return string_set(&settings->name, value);
	if (strcmp(key, "secret") == 0)
		return string_set(&settings->secret, value);
	if (strcmp(key, "database") == 0)
		return string_set(&settings->database, value);
	if (strcmp(key, "registration") == 0)
		return registration_set(settings, value);
	if (strcmp(key, "acknowledge") == 0)
		return acknowledge_set(settings, value);
	if (strcmp(key, "dialect") == 0)
		return dialect_set(settings, value);
	if (strcmp(key, "plain") == 0)
		return plain_set(settings, value);
	if (strcmp(key, "offline-max") == 0)
		return offline_max_set(settings, value);
	if (strcmp(key, "offline-bytes") == 0)
		return offline_bytes_set(settings, value);
	if (strcmp(key, "log-level") == 0)
		return log_level_find(value, strlen(value), &settings->log_level) ? 0 : -EINVAL;
	return -EINVAL;
}

int
settings_read(struct settings *settings_r, char *text, unsigned *line_r)
{
	char *line;
	char *value;
	int error;

	*settings_r = (struct settings){
		.dialect = &link_dialect_sfrom, .offline_max = OFFLINE_DEFAULT,
		.offline_bytes = OFFLINE_BYTES_DEFAULT, .log_level = LOG_LEVEL_INFO,
		.iterations = ITERATIONS,
	};
	*line_r = 0;
	while ((line = strsep(&text, "\n")) != NULL) {
		++*line_r;
		if (*line == '\0')
			continue;
		value = strchr(line, '=');
		if (value == NULL)
			return -EINVAL;
		*value++ = '\0';
		error = setting_read(settings_r, line, value);
		if (error < 0)
			return error;
	}
	*line_r = 0;
	return settings_r->host_count > 0 && settings_r->name != NULL && settings_r->secret != NULL &&
	    settings_r->database != NULL ? 0 : -EINVAL;
}

void
settings_deinit(struct settings *settings)
{
	for (unsigned i = 0; i < settings->host_count + settings->closed_count; i++)
		free(settings->hosts[i]);
	if (settings->secret != NULL)
		explicit_bzero(settings->secret, strlen(settings->secret));
	free(settings->name);
	free(settings->secret);
	free(settings->database);
	*settings = (struct settings){ 0 };
}

static bool
hosts_have(char *const hosts[], unsigned count, const char *host)
{
	for (unsigned i = 0; i < count; i++) {
		if (strcmp(hosts[i], host) == 0)
			return true;
	}
	return false;
}

bool
settings_is_open(const struct settings *settings, const char *host)
{
	return hosts_have(settings->hosts, settings->host_count, host);
}

bool
settings_has_host(const struct settings *settings, const char *host)
{
	return hosts_have(settings->hosts, settings->host_count + settings->closed_count, host);
}

bool
settings_keep_host(struct settings *settings, const char *host)
{
	unsigned all = settings->host_count + settings->closed_count;

	if (all == 2 * SETTINGS_HOSTS_MAX || settings_has_host(settings, host))
		return true;
	settings->hosts[all] = strdup(host);
	if (settings->hosts[all] == NULL)
		return false;
	settings->closed_count++;
	return true;
}

/* What `next` serves, and behind it what it does not; the strings that are not wanted stay in `next`. */
static void
hosts_change(struct settings *settings, struct settings *next)
{
	struct settings old = *settings;
	unsigned all = next->host_count;

	for (unsigned i = 0; i < old.host_count + old.closed_count && all < 2 * SETTINGS_HOSTS_MAX; i++) {
		if (hosts_have(next->hosts, all, old.hosts[i]))
			continue;
		next->hosts[all++] = old.hosts[i];
		old.hosts[i] = NULL;
	}
	memcpy(settings->hosts, next->hosts, sizeof settings->hosts);
	settings->host_count = next->host_count;
	settings->closed_count = all - next->host_count;
	memcpy(next->hosts, old.hosts, sizeof next->hosts);
	next->host_count = old.host_count;
	next->closed_count = old.closed_count;
}

void
settings_change(struct settings *settings, struct settings *next)
{
	hosts_change(settings, next);
	settings->registration = next->registration;
	settings->plain_always = next->plain_always;
	settings->acknowledge = next->acknowledge;
	settings->offline_max = next->offline_max;
	settings->offline_bytes = next->offline_bytes;
	settings->log_level = next->log_level;
}
