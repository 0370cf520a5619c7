#include "master/options.h"

#include <stdio.h>
#include <string.h>

#include "dialect/dialect.h"

/* What the embedded session manager is made for: see LINK_ELEMENT_MAX and LINK_ANSWER_MAX there. */
#define EMBEDDED_STANZA_MAX 524288
#define EMBEDDED_PACKET_MIN 4194304

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define IN(section, field) (offsetof(struct options, section.field) - offsetof(struct options, section))

static const struct config_option listen_table[] = {
	{ "address", CONFIG_STRING, 0, 0, NULL, "::", false, offsetof(struct listen_options, address),
	    "address to listen on; :: is every address, IPv4 included" },
	{ "port", CONFIG_NUMBER, 1, 65535, NULL, "5222", false, offsetof(struct listen_options, port), "port" },
	{ "backlog", CONFIG_NUMBER, 1, 65535, NULL, "1024", false, offsetof(struct listen_options, backlog),
	    "connections that the kernel keeps until they are accepted" },
};

static const struct config_option host_table[] = {
	{ "", CONFIG_STRING, 0, 0, NULL, NULL, true, offsetof(struct host_options, name),
	    "a host that the service answers for, as clients name it" },
};

static const struct config_option user_table[] = {
	{ "name", CONFIG_STRING, 0, 0, NULL, C2SD_USER, false, IN(user, name), "who every process becomes when started as root" },
	{ "group", CONFIG_STRING, 0, 0, NULL, NULL, false, IN(user, group), "its group; left out: the user's own" },
};

static const struct config_option workers_table[] = {
	{ "count", CONFIG_NUMBER, 1, WORKERS_MAX, "auto", "auto", false, IN(workers, count), "worker processes; auto: one a core" },
	{ "program", CONFIG_STRING, 0, 0, NULL, C2SD_LIBEXECDIR "/c2sd-worker", false, IN(workers, program), "what they execute" },
};

static const struct config_option link_table[] = {
	{ "name", CONFIG_STRING, 0, 0, NULL, "c2s.localhost", false, IN(link, name), "our name on the link" },
	{ "type", CONFIG_CHOICE, 0, 0, "embedded|connect", "embedded", false, IN(link, type),
	    "embedded: our own session manager; connect: the one at `address`" },
	{ "dialect", CONFIG_STRING, 0, 0, NULL, "sfrom", false, IN(link, dialect), "how it speaks" },
	{ "address", CONFIG_STRING, 0, 0, NULL, NULL, false, IN(link, address), "HOST:PORT, [IPV6]:PORT or unix:PATH" },
	{ "secret", CONFIG_STRING, 0, 0, NULL, NULL, false, IN(link, secret), "what both sides know" },
	{ "digest", CONFIG_BOOLEAN, 0, 0, NULL, "no", false, IN(link, digest), "the session manager can check digests" },
	{ "registration", CONFIG_BOOLEAN, 0, 0, NULL, "yes", false, IN(link, registration), "clients may register (type connect)" },
	{ "hold", CONFIG_NUMBER, 1, 86400, NULL, "300", false, IN(link, hold), "seconds that clients are kept without a link" },
	{ "timeout", CONFIG_NUMBER, 1, 600, NULL, "10", false, IN(link, timeout), "seconds for each step of connecting" },
	{ "packet-bytes", CONFIG_NUMBER, 1024, 16777216, NULL, "4194304", false, IN(link, packet_bytes), "longest packet from the link" },
	{ "queue-bytes", CONFIG_NUMBER, 65536, 1073741824, NULL, "4194304", false, IN(link, queue_bytes),
	    "waiting for the link above this, clients are not read" },
};

static const struct config_option sessiond_table[] = {
	{ "program", CONFIG_STRING, 0, 0, NULL, C2SD_LIBEXECDIR "/c2sd-sessiond", false, IN(sessiond, program), "what is executed" },
	{ "database", CONFIG_STRING, 0, 0, NULL, C2SD_STATEDIR "/c2sd.db", false, IN(sessiond, database),
	    "accounts, rosters and offline messages" },
	{ "registration", CONFIG_BOOLEAN, 0, 0, NULL, "no", false, IN(sessiond, registration), "anybody may make an account" },
	{ "offline", CONFIG_NUMBER, 0, 1000000, NULL, "1000", false, IN(sessiond, offline), "offline messages kept for an account" },
};

static const struct config_option control_table[] = {
	{ "socket", CONFIG_STRING, 0, 0, NULL, C2SD_RUNDIR "/control", false, IN(control, socket), "where c2sctl finds us" },
};

static const struct config_option limits_table[] = {
	{ "header-bytes", CONFIG_NUMBER, 256, 1048576, NULL, "4096", false, IN(limits, header_bytes), "stream header" },
	{ "login-bytes", CONFIG_NUMBER, 256, 1048576, NULL, "10000", false, IN(limits, login_bytes), "an element before login" },
	{ "login-elements", CONFIG_NUMBER, 4, 1000000, NULL, "32", false, IN(limits, login_elements),
	    "elements inside one element before login" },
	{ "stanza-bytes", CONFIG_NUMBER, 10000, 8388608, NULL, "262144", false, IN(limits, stanza_bytes), "an element after login" },
	{ "elements", CONFIG_NUMBER, 16, 1000000, NULL, "10000", false, IN(limits, elements), "elements inside one element" },
	{ "depth", CONFIG_NUMBER, 8, 10000, NULL, "100", false, IN(limits, depth), "elements inside each other" },
	{ "attributes", CONFIG_NUMBER, 8, 10000, NULL, "100", false, IN(limits, attributes), "attributes of one element" },
	{ "login-seconds", CONFIG_NUMBER, 1, 86400, NULL, "60", false, IN(limits, login_seconds), "from connecting to having logged in" },
	{ "idle-seconds", CONFIG_NUMBER, 1, 4294967, "never", "never", false, IN(limits, idle_seconds), "silence that ends a client" },
	{ "keepalive-seconds", CONFIG_NUMBER, 1, 86400, "never", "300", false, IN(limits, keepalive_seconds),
	    "silence after which white space is sent" },
	{ "stall-seconds", CONFIG_NUMBER, 1, 86400, NULL, "60", false, IN(limits, stall_seconds), "a client that reads nothing ends" },
	{ "unsent-bytes", CONFIG_NUMBER, 65536, 268435456, NULL, "4194304", false, IN(limits, unsent_bytes),
	    "most that may wait for one client" },
	{ "held-bytes", CONFIG_NUMBER, 1048576, 4294967295, NULL, "268435456", false, IN(limits, held_bytes),
	    "most that may wait for all; above it the link is not read" },
	{ "clients", CONFIG_NUMBER, 1, 1000000, "auto", "auto", false, IN(limits, clients),
	    "clients of one worker; auto: as many as it has descriptors" },
};

static const struct config_option log_table[] = {
	{ "level", CONFIG_CHOICE, 0, 0, "error|warning|info|debug", "info", false, IN(log, level), "what is written to the log" },
};

#define ONE(section, table, help) \
	{ #section, table, COUNT(table), offsetof(struct options, section), 0, 1, 0, help }

static const struct config_section sections[] = {
	{ "listen", listen_table, COUNT(listen_table), offsetof(struct options, listeners), sizeof(struct listen_options),
	    LISTENERS_MAX, offsetof(struct options, listener_count), "where clients connect" },
	{ "host", host_table, COUNT(host_table), offsetof(struct options, hosts), sizeof(struct host_options),
	    SETTINGS_HOSTS_MAX, offsetof(struct options, host_count), "hosts of the service" },
	ONE(user, user_table, "who we are"),
	ONE(workers, workers_table, "processes that own clients"),
	ONE(link, link_table, "the session manager"),
	ONE(sessiond, sessiond_table, "the embedded session manager"),
	ONE(control, control_table, "c2sctl"),
	ONE(limits, limits_table, "what bounds a client"),
	ONE(log, log_table, "the log"),
};

const struct config_table options_table = { "c2sd", sections, COUNT(sections) };

static int
complain(const struct config_report *report, const char *file, const char *what)
{
	report->fn(report, file, 0, what);
	return 1;
}

/* It becomes part of addresses: RFC 7622 3.2 has none of these in a domain. */
static int
name_check(const char *name, const char *what, const char *file, const struct config_report *report)
{
	char text[128];

	if (name == NULL || strpbrk(name, "@/\"'<>& \t\r\n") == NULL)
		return 0;
	snprintf(text, sizeof text, "%s has characters that no name of a host has", what);
	return complain(report, file, text);
}

/* The service works in / when it is in the background. */
static int
path_check(const char *path, const char *what, const char *file, const struct config_report *report)
{
	char text[128];

	if (path[0] == '/')
		return 0;
	snprintf(text, sizeof text, "%s is not an absolute path", what);
	return complain(report, file, text);
}

/* What no single option can say. */
static int
options_check(const struct options *options, const char *file, const struct config_report *report)
{
	int errors = 0;

	if (options->listener_count == 0)
		errors += complain(report, file, "no <listen/>: no client could connect");
	if (options->host_count == 0)
		errors += complain(report, file, "no <host/>: no client could log in");
	if (options->link.type == LINK_TYPE_CONNECT && options->link.address == NULL)
		errors += complain(report, file, "link: type connect needs an address");
	if (options->link.type == LINK_TYPE_CONNECT && options->link.secret == NULL)
		errors += complain(report, file, "link: type connect needs a secret");
	if (options->link.dialect != NULL && dialect_find(options->link.dialect) == NULL)
		errors += complain(report, file, "link: no dialect of that name");
	errors += name_check(options->link.name, "link: name", file, report);
	for (unsigned i = 0; i < options->host_count; i++)
		errors += name_check(options->hosts[i].name, "host", file, report);
	if (options->limits.held_bytes / 4 < options->limits.unsent_bytes)
		errors += complain(report, file, "limits: held-bytes, for all clients, must be four times unsent-bytes, for one");
	errors += path_check(options->control.socket, "control: socket", file, report);
	errors += path_check(options->workers.program, "workers: program", file, report);
	errors += path_check(options->sessiond.program, "sessiond: program", file, report);
	errors += path_check(options->sessiond.database, "sessiond: database", file, report);
	if (options->link.type == LINK_TYPE_EMBEDDED && options->link.packet_bytes < EMBEDDED_PACKET_MIN)
		errors += complain(report, file, "link: packet-bytes is below 4194304: the embedded session manager's packets may "
		    "be as long");
	if (options->link.type == LINK_TYPE_EMBEDDED && options->limits.stanza_bytes > EMBEDDED_STANZA_MAX)
		errors += complain(report, file, "limits: stanza-bytes is above 524288, the most that the embedded session "
		    "manager takes");
	return errors;
}

int
options_load(struct options *options, const char *file, const struct config_report *report)
{
	int result;

	*options = (struct options){ 0 };
	result = config_load(&options_table, file, options, report);
	return result != 0 ? result : options_check(options, file, report);
}

void
options_free(struct options *options)
{
	config_free(&options_table, options);
	*options = (struct options){ 0 };
}
