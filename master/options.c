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
	{ "address", CONFIG_STRING, 0, 0, NULL, "::", CONFIG_RELOAD, offsetof(struct listen_options, address),
	    "address to listen on; :: is every address, IPv4 included" },
	{ "port", CONFIG_NUMBER, 1, 65535, NULL, "5222", CONFIG_RELOAD, offsetof(struct listen_options, port), "port" },
	{ "backlog", CONFIG_NUMBER, 1, 65535, NULL, "1024", CONFIG_RELOAD, offsetof(struct listen_options, backlog),
	    "connections that the kernel keeps until they are accepted" },
};

static const struct config_option host_table[] = {
	{ "", CONFIG_STRING, 0, 0, NULL, NULL, CONFIG_REQUIRED | CONFIG_RELOAD, offsetof(struct host_options, name),
	    "a host that the service answers for, as clients name it" },
};

static const struct config_option user_table[] = {
	{ "name", CONFIG_STRING, 0, 0, NULL, C2SD_USER, 0, IN(user, name),
	    "who every process becomes when started as root" },
	{ "group", CONFIG_STRING, 0, 0, NULL, NULL, 0, IN(user, group), "its group; left out: the user's own" },
};

static const struct config_option workers_table[] = {
	{ "count", CONFIG_NUMBER, 1, WORKERS_MAX, "auto", "auto", CONFIG_RELOAD, IN(workers, count),
	    "worker processes; auto: one a core" },
	{ "program", CONFIG_STRING, 0, 0, NULL, C2SD_LIBEXECDIR "/c2sd-worker", CONFIG_RELOAD | CONFIG_PATH,
	    IN(workers, program), "what they execute" },
	{ "retire", CONFIG_NUMBER, 1, 604800, "never", "3600", CONFIG_RELOAD, IN(workers, retire),
	    "seconds after which a worker that is not wanted any more ends its last clients" },
	{ "memory", CONFIG_NUMBER, 64, 1048576, "unlimited", "unlimited", CONFIG_RELOAD, IN(workers, memory_mib),
	    "MiB of address space that one may have" },
};

static const struct config_option link_table[] = {
	{ "name", CONFIG_STRING, 0, 0, NULL, "c2s.localhost", 0, IN(link, name), "our name on the link" },
	{ "type", CONFIG_CHOICE, 0, 0, "embedded|connect", "embedded", 0, IN(link, type),
	    "embedded: our own session manager; connect: the one at `address`" },
	{ "dialect", CONFIG_STRING, 0, 0, NULL, "sfrom", 0, IN(link, dialect), "how it speaks" },
	{ "address", CONFIG_STRING, 0, 0, NULL, NULL, CONFIG_RELOAD, IN(link, address),
	    "HOST:PORT, [IPV6]:PORT or unix:PATH" },
	{ "secret", CONFIG_STRING, 0, 0, NULL, NULL, CONFIG_RELOAD | CONFIG_SECRET, IN(link, secret),
	    "what both sides know" },
	{ "digest", CONFIG_BOOLEAN, 0, 0, NULL, "no", CONFIG_RELOAD, IN(link, digest),
	    "the session manager can check digests" },
	{ "registration", CONFIG_BOOLEAN, 0, 0, NULL, "yes", CONFIG_RELOAD, IN(link, registration),
	    "clients may register (type connect)" },
	{ "hold", CONFIG_NUMBER, 1, 86400, NULL, "300", CONFIG_RELOAD, IN(link, hold),
	    "seconds that clients are kept without a link" },
	{ "timeout", CONFIG_NUMBER, 1, 600, NULL, "10", CONFIG_RELOAD, IN(link, timeout),
	    "seconds for each step of connecting" },
	{ "packet-bytes", CONFIG_NUMBER, 1024, 16777216, NULL, "4194304", CONFIG_RELOAD, IN(link, packet_bytes),
	    "longest packet from the link" },
	{ "queue-bytes", CONFIG_NUMBER, 65536, 1073741824, NULL, "4194304", CONFIG_RELOAD, IN(link, queue_bytes),
	    "waiting for the link above this, clients are not read" },
};

static const struct config_option sessiond_table[] = {
	{ "program", CONFIG_STRING, 0, 0, NULL, C2SD_LIBEXECDIR "/c2sd-sessiond", CONFIG_RELOAD | CONFIG_PATH,
	    IN(sessiond, program), "what is executed" },
	{ "database", CONFIG_STRING, 0, 0, NULL, C2SD_STATEDIR "/c2sd.db", CONFIG_PATH, IN(sessiond, database),
	    "accounts, rosters and offline messages" },
	{ "registration", CONFIG_BOOLEAN, 0, 0, NULL, "no", CONFIG_RELOAD, IN(sessiond, registration),
	    "anybody may make an account" },
	{ "offline", CONFIG_NUMBER, 0, 1000000, NULL, "1000", CONFIG_RELOAD, IN(sessiond, offline),
	    "offline messages kept for an account" },
};

static const struct config_option control_table[] = {
	{ "socket", CONFIG_STRING, 0, 0, NULL, C2SD_RUNDIR "/control", CONFIG_PATH, IN(control, socket),
	    "where c2sctl finds us" },
};

static const struct config_option pid_table[] = {
	{ "file", CONFIG_STRING, 0, 0, NULL, C2SD_RUNDIR "/c2sd.pid", CONFIG_PATH, IN(pid, file),
	    "process id of the master while it is in the background" },
};

static const struct config_option limits_table[] = {
	{ "header-bytes", CONFIG_NUMBER, 256, 1048576, NULL, "4096", CONFIG_RELOAD, IN(limits, header_bytes),
	    "stream header" },
	{ "login-bytes", CONFIG_NUMBER, 256, 1048576, NULL, "10000", CONFIG_RELOAD, IN(limits, login_bytes),
	    "an element before login" },
	{ "login-elements", CONFIG_NUMBER, 4, 1000000, NULL, "32", CONFIG_RELOAD, IN(limits, login_elements),
	    "elements inside one element before login" },
	{ "stanza-bytes", CONFIG_NUMBER, 10000, 8388608, NULL, "262144", CONFIG_RELOAD, IN(limits, stanza_bytes),
	    "an element after login" },
	{ "elements", CONFIG_NUMBER, 16, 1000000, NULL, "10000", CONFIG_RELOAD, IN(limits, elements),
	    "elements inside one element" },
	{ "depth", CONFIG_NUMBER, 8, 10000, NULL, "100", CONFIG_RELOAD, IN(limits, depth), "elements inside each other" },
	{ "attributes", CONFIG_NUMBER, 8, 10000, NULL, "100", CONFIG_RELOAD, IN(limits, attributes),
	    "attributes of one element" },
	{ "login-seconds", CONFIG_NUMBER, 1, 86400, NULL, "60", CONFIG_RELOAD, IN(limits, login_seconds),
	    "from connecting to having logged in" },
	{ "idle-seconds", CONFIG_NUMBER, 1, 4294967, "never", "never", CONFIG_RELOAD, IN(limits, idle_seconds),
	    "silence that ends a client" },
	{ "keepalive-seconds", CONFIG_NUMBER, 1, 86400, "never", "300", CONFIG_RELOAD, IN(limits, keepalive_seconds),
	    "silence after which white space is sent" },
	{ "stall-seconds", CONFIG_NUMBER, 1, 86400, NULL, "60", CONFIG_RELOAD, IN(limits, stall_seconds),
	    "a client that reads nothing ends" },
	{ "unsent-bytes", CONFIG_NUMBER, 65536, 268435456, NULL, "4194304", CONFIG_RELOAD, IN(limits, unsent_bytes),
	    "most that may wait for one client" },
	{ "held-bytes", CONFIG_NUMBER, 1048576, 4294967295, NULL, "268435456", CONFIG_RELOAD, IN(limits, held_bytes),
	    "most that may wait for all; above it the link is not read" },
	{ "clients", CONFIG_NUMBER, 1, 1000000, "auto", "auto", CONFIG_RELOAD, IN(limits, clients),
	    "clients of one worker; auto: as many as it has descriptors" },
};

static const struct config_option log_table[] = {
	{ "level", CONFIG_CHOICE, 0, 0, "error|warning|info|debug", "info", CONFIG_RELOAD, IN(log, level),
	    "what is written to the log" },
	{ "target", CONFIG_CHOICE, 0, 0, "auto|syslog|stderr|file", "auto", CONFIG_RELOAD, IN(log, target),
	    "where it goes; auto: standard error in the foreground, else syslog" },
	{ "file", CONFIG_STRING, 0, 0, NULL, C2SD_LOGDIR "/c2sd.log", CONFIG_RELOAD | CONFIG_PATH, IN(log, file),
	    "the file of target file" },
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
	ONE(pid, pid_table, "the file of the process id"),
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

enum log_target
options_log_target(const struct options *options)
{
	if (options->log.target != LOG_TARGET_AUTO)
		return (enum log_target)options->log.target;
	return options->foreground ? LOG_TARGET_STDERR : LOG_TARGET_SYSLOG;
}
