#include "master/options.h"

#include <arpa/inet.h>
#include <bsd/stdlib.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/prefix.h"
#include "dialect/dialect.h"
#include "master/tls_names.h"

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
	{ "tls", CONFIG_CHOICE, 0, 0, "none|starttls|direct|both", "starttls", CONFIG_RELOAD,
	    offsetof(struct listen_options, tls), "how clients come to TLS" },
	{ "proxy", CONFIG_BOOLEAN, 0, 0, NULL, "no", CONFIG_RELOAD, offsetof(struct listen_options, proxy),
	    "only proxies connect, and say where the client comes from (PROXY protocol)" },
};

static const struct config_option proxy_table[] = {
	{ "address", CONFIG_STRING, 0, 0, NULL, NULL, CONFIG_REQUIRED | CONFIG_RELOAD | CONFIG_NETWORK,
	    offsetof(struct network_options, address), "address or network of proxies: 192.0.2.1, 2001:db8::/64" },
};

static const struct config_option host_table[] = {
	{ "", CONFIG_STRING, 0, 0, NULL, NULL, CONFIG_REQUIRED | CONFIG_RELOAD | CONFIG_DOMAIN,
	    offsetof(struct host_options, name),
	    "a host that the service answers for, as clients name it" },
};

static const struct config_option allow_table[] = {
	{ "address", CONFIG_STRING, 0, 0, NULL, NULL, CONFIG_REQUIRED | CONFIG_RELOAD | CONFIG_NETWORK,
	    offsetof(struct network_options, address), "an address, or a network like 192.0.2.0/24 or 2001:db8::/32" },
};

static const struct config_option deny_table[] = {
	{ "address", CONFIG_STRING, 0, 0, NULL, NULL, CONFIG_REQUIRED | CONFIG_RELOAD | CONFIG_NETWORK,
	    offsetof(struct network_options, address), "an address, or a network like 192.0.2.0/24 or 2001:db8::/32" },
};

static const struct config_option certificate_table[] = {
	{ "chain", CONFIG_STRING, 0, 0, NULL, NULL, CONFIG_REQUIRED | CONFIG_RELOAD | CONFIG_PATH,
	    offsetof(struct certificate_options, chain), "file (PEM) of the certificate and those that lead to its root" },
	{ "key", CONFIG_STRING, 0, 0, NULL, NULL, CONFIG_RELOAD | CONFIG_PATH, offsetof(struct certificate_options, key),
	    "file (PEM) of its private key; left out: that of the chain" },
};

static const struct config_option tls_table[] = {
	{ "required", CONFIG_BOOLEAN, 0, 0, NULL, "yes", CONFIG_RELOAD, IN(tls, required),
	    "nobody logs in without TLS, but where a listener has tls none" },
	{ "min", CONFIG_CHOICE, 0, 0, "1.2|1.3", "1.2", CONFIG_RELOAD, IN(tls, min), "lowest version" },
	{ "ciphers", CONFIG_STRING, 0, 0, NULL, NULL, CONFIG_RELOAD, IN(tls, ciphers), "of TLS 1.2, best first" },
	{ "ciphersuites", CONFIG_STRING, 0, 0, NULL, NULL, CONFIG_RELOAD, IN(tls, ciphersuites), "of TLS 1.3, best first" },
	{ "groups", CONFIG_STRING, 0, 0, NULL, NULL, CONFIG_RELOAD, IN(tls, groups), "for the exchange of keys, best first" },
	{ "client-certificates", CONFIG_CHOICE, 0, 0, "no|ask", "no", CONFIG_RELOAD, IN(tls, client_certificates),
	    "whether clients are asked for certificates of theirs" },
	{ "ticket-hours", CONFIG_NUMBER, 1, 168, NULL, "12", CONFIG_RELOAD, IN(tls, ticket_hours),
	    "how long a client may resume a session" },
	{ "expiry-days", CONFIG_NUMBER, 0, 365, NULL, "14", CONFIG_RELOAD, IN(tls, expiry_days),
	    "with less than so many days left a certificate is named in the log" },
};

static const struct config_option sasl_table[] = {
	{ "plain", CONFIG_CHOICE, 0, 0, "tls|always", "tls", CONFIG_RELOAD, IN(sasl, plain),
	    "where clients may log in with SASL PLAIN: inside TLS, or everywhere" },
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
	{ "name", CONFIG_STRING, 0, 0, NULL, "c2s.localhost", CONFIG_DOMAIN, IN(link, name), "our name on the link" },
	{ "type", CONFIG_CHOICE, 0, 0, "embedded|connect", "embedded", 0, IN(link, type),
	    "embedded: our own session manager; connect: the one at `address`" },
	{ "dialect", CONFIG_STRING, 0, 0, NULL, "auto", 0, IN(link, dialect),
	    "how it speaks: xmpp, sfrom, route; auto: xmpp with the embedded session manager, else sfrom" },
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
	{ "spread", CONFIG_NUMBER, 0, 86400, NULL, "30", CONFIG_RELOAD, IN(link, spread),
	    "seconds over which those are ended who were held too long, or forgotten" },
	{ "timeout", CONFIG_NUMBER, 1, 600, NULL, "10", CONFIG_RELOAD, IN(link, timeout),
	    "seconds for each step of connecting" },
	{ "packet-bytes", CONFIG_NUMBER, 1024, 16777216, NULL, "4194304", CONFIG_RELOAD, IN(link, packet_bytes),
	    "longest packet from the link" },
	{ "queue-bytes", CONFIG_NUMBER, 65536, 1073741824, NULL, "4194304", CONFIG_RELOAD, IN(link, queue_bytes),
	    "waiting for the link above this, clients are not read" },
	{ "acknowledge", CONFIG_CHOICE, 0, 0, "auto|yes|no", "auto", CONFIG_RELOAD, IN(link, acknowledge),
	    "both sides say what has arrived (XEP-0198); auto: with the embedded session manager only" },
	{ "notify", CONFIG_STRING, 0, 0, NULL, NULL, 0, IN(link, notify),
	    "JID that is told who logs in and out (dialect route)" },
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
	{ "login-total-bytes", CONFIG_NUMBER, 512, 16777216, NULL, "65536", CONFIG_RELOAD, IN(limits, login_total_bytes),
	    "everything before login" },
	{ "login-attempts", CONFIG_NUMBER, 1, 255, NULL, "6", CONFIG_RELOAD, IN(limits, login_attempts),
	    "refused logins of one connection" },
	{ "stanza-bytes", CONFIG_NUMBER, 10000, 8388608, NULL, "262144", CONFIG_RELOAD, IN(limits, stanza_bytes),
	    "an element after login" },
	{ "elements", CONFIG_NUMBER, 16, 1000000, NULL, "10000", CONFIG_RELOAD, IN(limits, elements),
	    "elements inside one element" },
	{ "depth", CONFIG_NUMBER, 8, 255, NULL, "100", CONFIG_RELOAD, IN(limits, depth), "elements inside each other" },
	{ "attributes", CONFIG_NUMBER, 8, 250, NULL, "100", CONFIG_RELOAD, IN(limits, attributes),
	    "attributes of one element" },
	{ "login-seconds", CONFIG_NUMBER, 1, 86400, NULL, "60", CONFIG_RELOAD, IN(limits, login_seconds),
	    "from connecting, or from the end of the handshake, to having logged in" },
	{ "login-pause-seconds", CONFIG_NUMBER, 1, 60, "none", "8", CONFIG_RELOAD, IN(limits, login_pause),
	    "most that the next login waits after failed ones" },
	{ "handshake-seconds", CONFIG_NUMBER, 1, 3600, NULL, "15", CONFIG_RELOAD, IN(limits, handshake_seconds),
	    "from connecting, or from <proceed/>, to the end of the TLS handshake" },
	{ "idle-seconds", CONFIG_NUMBER, 1, 4294967, "never", "never", CONFIG_RELOAD, IN(limits, idle_seconds),
	    "silence that ends a client" },
	{ "keepalive-seconds", CONFIG_NUMBER, 1, 86400, "never", "300", CONFIG_RELOAD, IN(limits, keepalive_seconds),
	    "silence after which white space is sent" },
	{ "stall-seconds", CONFIG_NUMBER, 1, 86400, NULL, "30", CONFIG_RELOAD, IN(limits, stall_seconds),
	    "a client for which more than unsent-soft-bytes wait and that takes nothing ends" },
	{ "unsent-soft-bytes", CONFIG_NUMBER, 4096, 268435456, NULL, "1048576", CONFIG_RELOAD, IN(limits, unsent_soft_bytes),
	    "what may wait for one client that takes nothing" },
	{ "unsent-bytes", CONFIG_NUMBER, 65536, 268435456, NULL, "33554432", CONFIG_RELOAD, IN(limits, unsent_bytes),
	    "most that may wait for one client" },
	{ "settle-seconds", CONFIG_NUMBER, 0, 60, NULL, "1", CONFIG_RELOAD, IN(limits, settle_seconds),
	    "after which no reset is expected for what a client has acknowledged" },
	{ "send-buffer-bytes", CONFIG_NUMBER, 4096, 16777216, "auto", "65536", CONFIG_RELOAD, IN(limits, send_buffer_bytes),
	    "what the kernel keeps on its way to one client; auto: as it thinks best" },
	{ "dead-seconds", CONFIG_NUMBER, 1, 86400, "never", "120", CONFIG_RELOAD, IN(limits, dead_seconds),
	    "a client whose machine acknowledges nothing for so long is lost" },
	{ "held-bytes", CONFIG_NUMBER, 1048576, 4294967295, NULL, "268435456", CONFIG_RELOAD, IN(limits, held_bytes),
	    "most that may wait for all; above it the link is not read" },
	{ "clients", CONFIG_NUMBER, 1, 1000000, "auto", "auto", CONFIG_RELOAD, IN(limits, clients),
	    "clients of one worker; auto: as many as it has descriptors" },
	{ "connections", CONFIG_NUMBER, 1, 10000000, "unlimited", "100000", CONFIG_RELOAD, IN(limits, connections),
	    "connections at a time; above it, who has waited for longest without logging in makes room" },
	{ "address-connections", CONFIG_NUMBER, 1, 10000000, "unlimited", "500", CONFIG_RELOAD,
	    IN(limits, address_connections), "connections of one address" },
	{ "network-connections", CONFIG_NUMBER, 1, 10000000, "unlimited", "2000", CONFIG_RELOAD,
	    IN(limits, network_connections), "connections of one network (/24 of IPv4, /64 of IPv6)" },
	{ "address-connections-per-second", CONFIG_NUMBER, 1, 1000000, "unlimited", "10", CONFIG_RELOAD,
	    IN(limits, address_per_second), "new connections of one address (IPv6: of one /64), for long" },
	{ "address-connections-burst", CONFIG_NUMBER, 1, 1000000, NULL, "500", CONFIG_RELOAD, IN(limits, address_burst),
	    "new connections of one address (IPv6: of one /64), at once" },
	{ "connections-per-second", CONFIG_NUMBER, 1, 1000000, "unlimited", "1000", CONFIG_RELOAD,
	    IN(limits, connections_per_second), "new connections in all, for long; above it they wait" },
	{ "connections-burst", CONFIG_NUMBER, 1, 1000000, NULL, "5000", CONFIG_RELOAD, IN(limits, connections_burst),
	    "new connections in all, at once" },
	{ "login-failures", CONFIG_NUMBER, 1, 1000000, "unlimited", "50", CONFIG_RELOAD, IN(limits, login_failures),
	    "recent failed logins from one address (IPv6: one /64), above which it is refused for a while" },
	{ "rate-bytes", CONFIG_NUMBER, 1024, 1073741824, "unlimited", "65536", CONFIG_RELOAD, IN(limits, rate_bytes),
	    "a second of one client; above it the client is not read for a while" },
	{ "burst-bytes", CONFIG_NUMBER, 65536, 1073741824, NULL, "524288", CONFIG_RELOAD, IN(limits, burst_bytes),
	    "of one client at once" },
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
	{ "proxy", proxy_table, COUNT(proxy_table), offsetof(struct options, proxies), sizeof(struct network_options),
	    PROXIES_MAX, offsetof(struct options, proxy_count), "who may say where a client comes from" },
	{ "host", host_table, COUNT(host_table), offsetof(struct options, hosts), sizeof(struct host_options),
	    SETTINGS_HOSTS_MAX, offsetof(struct options, host_count), "hosts of the service" },
	{ "allow", allow_table, COUNT(allow_table), offsetof(struct options, allow), sizeof(struct network_options),
	    NETWORKS_MAX, offsetof(struct options, allow_count), "who may connect, and nobody else" },
	{ "deny", deny_table, COUNT(deny_table), offsetof(struct options, deny), sizeof(struct network_options),
	    NETWORKS_MAX, offsetof(struct options, deny_count), "who may not connect" },
	{ "certificate", certificate_table, COUNT(certificate_table), offsetof(struct options, certificates),
	    sizeof(struct certificate_options), SETTINGS_CERTIFICATES_MAX, offsetof(struct options, certificate_count),
	    "certificates; the first is the default" },
	ONE(tls, tls_table, "how clients are encrypted"),
	ONE(sasl, sasl_table, "how clients log in"),
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

/* What no single option can say. */
struct check {
	const struct options *options;
	const char *file;
	const struct config_report *report;
	const struct config_lines *lines;
	int errors;
};

/* At the line of `option` (named by its place), of `section`, or of the root element. */
static void __attribute__((format(printf, 4, 5)))
check_fail(struct check *check, const void *option, const void *section, const char *format, ...)
{
	char what[256];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(what, sizeof what, format, arguments);
	va_end(arguments);
	check->report->fn(check->report, check->file, config_line(check->lines, option, section), what);
	check->errors++;
}

/* ---- listeners and hosts ---- */

/* An address of a listener, IPv4 as IPv6 has it; `any` is every address of `v4` or of both. */
struct numeric {
	struct in6_addr address;
	uint32_t scope;
	bool v4, any;
};

/* As listener_open understands it. */
static bool
numeric_parse(struct numeric *numeric_r, const char *text)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST }, *info;
	const struct sockaddr_in6 *six;
	struct in_addr four;

	if (text == NULL || getaddrinfo(text, NULL, &hints, &info) != 0)
		return false;
	*numeric_r = (struct numeric){ .v4 = info->ai_family == AF_INET };
	if (numeric_r->v4) {
		four = ((const struct sockaddr_in *)(const void *)info->ai_addr)->sin_addr;
		numeric_r->any = four.s_addr == htonl(INADDR_ANY);
		memcpy(&numeric_r->address.s6_addr[12], &four, sizeof four);
		memset(&numeric_r->address.s6_addr[10], 0xff, 2);
	} else {
		six = (const struct sockaddr_in6 *)(const void *)info->ai_addr;
		numeric_r->address = six->sin6_addr;
		numeric_r->scope = six->sin6_scope_id;
		numeric_r->any = IN6_IS_ADDR_UNSPECIFIED(&six->sin6_addr);
	}
	freeaddrinfo(info);
	return true;
}

/* Every connection to `other` would be one to `one`, too. */
static bool
numeric_covers(const struct numeric *one, const struct numeric *other)
{
	if (one->any)
		return !one->v4 || other->v4;
	return IN6_ARE_ADDR_EQUAL(&one->address, &other->address) && one->scope == other->scope;
}

static bool
listeners_clash(struct check *check, const struct listen_options *one, const struct listen_options *other)
{
	struct numeric address, other_address;

	return one->port == other->port && !config_is_wrong(check->lines, &one->port) &&
	    !config_is_wrong(check->lines, &other->port) && numeric_parse(&address, one->address) &&
	    numeric_parse(&other_address, other->address) &&
	    (numeric_covers(&address, &other_address) || numeric_covers(&other_address, &address));
}

static void
check_listener(struct check *check, unsigned index)
{
	const struct listen_options *listener = &check->options->listeners[index], *other;
	struct numeric numeric;

	if (config_is_wrong(check->lines, &listener->address))
		return;
	if (!numeric_parse(&numeric, listener->address)) {
		check_fail(check, &listener->address, listener, "listen address: not a numeric address");
		return;
	}
	for (unsigned i = 0; i < index; i++) {
		other = &check->options->listeners[i];
		if (listeners_clash(check, listener, other)) {
			check_fail(check, &listener->address, listener, "listen: port %u is taken by the listener of line %d",
			    listener->port, config_line(check->lines, other, other));
			return;
		}
	}
}

/* A header that anybody may send is worse than none; and one that nobody may send lets nobody in. */
static void
check_proxies(struct check *check)
{
	for (unsigned i = 0; i < check->options->listener_count && check->options->proxy_count == 0; i++) {
		const struct listen_options *listener = &check->options->listeners[i];

		if (listener->proxy)
			check_fail(check, &listener->proxy, listener, "listen proxy: needs a <proxy address=\"...\"/> that says which "
			    "proxies are to be trusted");
	}
}

static void
check_host(struct check *check, unsigned index)
{
	const struct host_options *host = &check->options->hosts[index], *other;

	for (unsigned i = 0; i < index && host->name != NULL; i++) {
		other = &check->options->hosts[i];
		if (other->name != NULL && strcasecmp(host->name, other->name) == 0) {
			check_fail(check, host, host, "host: stands in line %d already", config_line(check->lines, other, other));
			return;
		}
	}
}

/* ---- networks ---- */

/* The entry of the other or the same list, before `end`, that says the same network; NULL: none. */
static const struct network_options *
network_find(const struct network_options *networks, unsigned end, const struct prefix *prefix)
{
	for (unsigned i = 0; i < end; i++) {
		struct prefix other;
		const char *why;

		if (networks[i].address != NULL && prefix_parse(&other, networks[i].address, &why) &&
		    prefix_equals(&other, prefix))
			return &networks[i];
	}
	return NULL;
}

/* A network that stands twice may be a slip of the pen, one that is allowed and denied surely is. */
static void
check_network(struct check *check, const struct network_options *networks, unsigned index, const char *element)
{
	const struct options *options = check->options;
	const struct network_options *network = &networks[index], *other;
	struct prefix prefix;
	const char *why;

	if (network->address == NULL || !prefix_parse(&prefix, network->address, &why))
		return;
	other = network_find(networks, index, &prefix);
	if (other == NULL && networks == options->deny)
		other = network_find(options->allow, options->allow_count, &prefix);
	if (other != NULL)
		check_fail(check, &network->address, network, "%s address: stands in line %d already", element,
		    config_line(check->lines, other, other));
}

/* ---- TLS ---- */

static bool
certificates_equal(const struct certificate_options *one, const struct certificate_options *other)
{
	return one->chain != NULL && other->chain != NULL && strcmp(one->chain, other->chain) == 0 &&
	    (one->key == NULL || other->key == NULL ? one->key == other->key : strcmp(one->key, other->key) == 0);
}

static void
check_certificate(struct check *check, unsigned index)
{
	const struct certificate_options *certificate = &check->options->certificates[index], *other;

	for (unsigned i = 0; i < index; i++) {
		other = &check->options->certificates[i];
		if (certificates_equal(certificate, other)) {
			check_fail(check, certificate, certificate, "certificate: stands in line %d already",
			    config_line(check->lines, other, other));
			return;
		}
	}
}

static void
check_names(struct check *check, char *const *list, const char *option, const char *what,
    bool (*wrong)(const char *list, char *name_r, size_t size))
{
	char name[64];

	if (*list != NULL && !config_is_wrong(check->lines, list) && wrong(*list, name, sizeof name))
		check_fail(check, list, &check->options->tls, "tls %s: %s: %s", option, name, what);
}

static void
check_tls(struct check *check)
{
	const struct options *options = check->options;

	for (unsigned i = 0; i < options->certificate_count; i++)
		check_certificate(check, i);
	check_names(check, &options->tls.ciphers, "ciphers", "no cipher of TLS 1.2 that can be used",
	    tls_names_wrong_cipher);
	check_names(check, &options->tls.ciphersuites, "ciphersuites", "no suite of TLS 1.3", tls_names_wrong_suite);
	check_names(check, &options->tls.groups, "groups", "no group that OpenSSL has here", tls_names_wrong_group);
}

/* ---- the rest ---- */

static bool
port_is_valid(const char *text)
{
	const char *error;

	return strtonum(text, 1, 65535, &error) > 0 && error == NULL;
}

/* What link_resolve takes, without asking anybody. */
static bool
link_address_is_valid(const char *address)
{
	const char *colon = strrchr(address, ':');
	size_t length;

	if (strncmp(address, "unix:", 5) == 0)
		return address[5] == '/' && strlen(address + 5) < sizeof((struct sockaddr_un *)0)->sun_path;
	if (colon == NULL || colon == address || !port_is_valid(colon + 1))
		return false;
	length = (size_t)(colon - address);
	if (address[0] == '[')
		return length > 2 && address[length - 1] == ']';
	return memchr(address, ':', length) == NULL;
}

static void
check_dialect(struct check *check)
{
	const struct options *options = check->options;
	const char *name;

	/* Without memory, or with a value that was found wrong before. */
	if (options->link.dialect == NULL)
		return;
	name = options_dialect(options);
	if (dialect_find(name) == NULL)
		check_fail(check, &options->link.dialect, &options->link, "link dialect: no dialect of that name");
	else if (options->link.type == LINK_TYPE_EMBEDDED && strcmp(name, "route") == 0 &&
	    !config_is_wrong(check->lines, &options->link.type))
		check_fail(check, &options->link.dialect, &options->link,
		    "link dialect: the embedded session manager does not speak this one");
	if (options->link.notify != NULL && strcmp(name, "route") != 0)
		check_fail(check, &options->link.notify, &options->link, "link notify: the dialect is not route");
}

static void
check_link(struct check *check)
{
	const struct options *options = check->options;
	bool connects = options->link.type == LINK_TYPE_CONNECT;

	check_dialect(check);
	if (options->link.address != NULL && !link_address_is_valid(options->link.address))
		check_fail(check, &options->link.address, &options->link,
		    "link address: not HOST:PORT, [IPV6]:PORT or unix:PATH");
	if (config_is_wrong(check->lines, &options->link.type))
		return;
	if (connects && options->link.address == NULL && !config_is_wrong(check->lines, &options->link.address))
		check_fail(check, NULL, &options->link, "link: type connect needs an address");
	if (connects && options->link.secret == NULL && !config_is_wrong(check->lines, &options->link.secret))
		check_fail(check, NULL, &options->link, "link: type connect needs a secret");
	if (!connects && options->link.packet_bytes < EMBEDDED_PACKET_MIN)
		check_fail(check, &options->link.packet_bytes, &options->link, "link packet-bytes: below %u: the embedded "
		    "session manager's packets may be as long", EMBEDDED_PACKET_MIN);
	if (!connects && options->limits.stanza_bytes > EMBEDDED_STANZA_MAX)
		check_fail(check, &options->limits.stanza_bytes, &options->limits, "limits stanza-bytes: above %u, the most that "
		    "the embedded session manager takes", EMBEDDED_STANZA_MAX);
}

/* What is allowed by one option must get through the other. */
static void
check_not_below(struct check *check, const uint32_t *option, uint32_t least, const char *complaint)
{
	if (*option < least && !config_is_wrong(check->lines, option))
		check_fail(check, option, &check->options->limits, "%s %u", complaint, least);
}

static void
check_limits(struct check *check)
{
	const struct options *options = check->options;

	if (options->limits.held_bytes / 4 < options->limits.unsent_bytes &&
	    !config_is_wrong(check->lines, &options->limits.held_bytes) &&
	    !config_is_wrong(check->lines, &options->limits.unsent_bytes))
		check_fail(check, &options->limits.held_bytes, &options->limits.unsent_bytes,
		    "limits held-bytes: for all clients; must be four times unsent-bytes, for one");
	if (!config_is_wrong(check->lines, &options->limits.header_bytes) &&
	    !config_is_wrong(check->lines, &options->limits.login_bytes))
		check_not_below(check, &options->limits.login_total_bytes,
		    options->limits.header_bytes + options->limits.login_bytes,
		    "limits login-total-bytes: below header-bytes and login-bytes together:");
	if (options->limits.rate_bytes > 0 && !config_is_wrong(check->lines, &options->limits.stanza_bytes))
		check_not_below(check, &options->limits.burst_bytes, options->limits.stanza_bytes,
		    "limits burst-bytes: below stanza-bytes, so that one stanza would be too much:");
}

/* One that the file does not name is where it was installed, and is missed when it is started. */
static void
check_program(struct check *check, char *const *program, const void *section, const char *name)
{
	if (config_is_set(check->lines, program) && !config_is_wrong(check->lines, program) && access(*program, X_OK) < 0)
		check_fail(check, program, section, "%s program: cannot be executed: %s", name, strerror(errno));
}

/* Each complaint stands at the line of its option, and none comes from one that was found wrong before. */
static int
options_check(const struct options *options, const char *file, const struct config_report *report,
    const struct config_lines *lines)
{
	struct check check = { .options = options, .file = file, .report = report, .lines = lines };

	if (options->listener_count == 0)
		check_fail(&check, NULL, NULL, "no <listen/>: no client could connect");
	if (options->host_count == 0)
		check_fail(&check, NULL, NULL, "no <host/>: no client could log in");
	for (unsigned i = 0; i < options->listener_count; i++)
		check_listener(&check, i);
	for (unsigned i = 0; i < options->host_count; i++)
		check_host(&check, i);
	check_proxies(&check);
	for (unsigned i = 0; i < options->allow_count; i++)
		check_network(&check, options->allow, i, "allow");
	for (unsigned i = 0; i < options->deny_count; i++)
		check_network(&check, options->deny, i, "deny");
	check_tls(&check);
	check_link(&check);
	check_program(&check, &options->workers.program, &options->workers, "workers");
	if (options->link.type == LINK_TYPE_EMBEDDED && !config_is_wrong(lines, &options->link.type))
		check_program(&check, &options->sessiond.program, &options->sessiond, "sessiond");
	check_limits(&check);
	return check.errors;
}

int
options_reload(struct options *options, const struct options *running, const char *file,
    const struct config_report *report, const struct config_report *kept, struct config_lines *lines)
{
	int result, errors;

	*options = (struct options){ 0 };
	errors = config_load(&options_table, file, options, report, lines);
	result = errors < 0 ? errors : 0;
	/* With it the rest must make sense: what stays belongs to what is checked. */
	if (result == 0 && running != NULL && lines->root > 0)
		result = config_inherit(&options_table, options, running, file, lines, kept);
	if (result >= 0)
		result = errors + (lines->root > 0 ? options_check(options, file, report, lines) : 0);
	return result;
}

int
options_load(struct options *options, const char *file, const struct config_report *report)
{
	struct config_lines lines = { 0 };
	int result = options_reload(options, NULL, file, report, NULL, &lines);

	config_lines_free(&lines);
	return result;
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

char *
options_dialect(const struct options *options)
{
	static char xmpp[] = "xmpp", sfrom[] = "sfrom";

	if (strcmp(options->link.dialect, "auto") != 0)
		return options->link.dialect;
	return options->link.type == LINK_TYPE_EMBEDDED ? xmpp : sfrom;
}

bool
options_acknowledge(const struct options *options)
{
	if (options->link.acknowledge == LINK_ACKNOWLEDGE_AUTO)
		return options->link.type == LINK_TYPE_EMBEDDED;
	return options->link.acknowledge == LINK_ACKNOWLEDGE_YES;
}

uint32_t
options_worker_count(const struct options *options, uint32_t argument)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	if (argument > 0)
		return argument;
	if (options->workers.count > 0)
		return options->workers.count;
	return cores < 1 ? 1 : cores > WORKERS_MAX ? WORKERS_MAX : (uint32_t)cores;
}

size_t
options_networks(struct prefix *prefixes_r, const struct network_options *networks, unsigned count)
{
	size_t read = 0;
	const char *why;

	for (unsigned i = 0; i < count; i++)
		read += networks[i].address != NULL && prefix_parse(&prefixes_r[read], networks[i].address, &why);
	return read;
}
