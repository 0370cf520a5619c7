/*
 * options: the configuration of c2sd, and the one table of all its options (common/config.h).
 */
#ifndef C2SD_MASTER_OPTIONS_H
#define C2SD_MASTER_OPTIONS_H

#include "common/config.h"
#include "common/log.h"
#include "common/prefix.h"
#include "ipc/message.h"

#define LISTENERS_MAX 32
#define WORKERS_MAX 256
#define PROXIES_MAX 64
#define NETWORKS_MAX 256	/* that are allowed, and that are denied */

enum link_type {
	LINK_TYPE_EMBEDDED,	/* our own session manager, over a socketpair */
	LINK_TYPE_CONNECT,	/* somebody else's, over TCP or a UNIX socket */
};

enum link_acknowledge {
	LINK_ACKNOWLEDGE_AUTO,
	LINK_ACKNOWLEDGE_YES,
	LINK_ACKNOWLEDGE_NO,
};

struct listen_options {
	char *address;
	uint32_t port;
	uint32_t backlog;
	uint32_t tls;		/* enum listen_tls */
	bool proxy;		/* every connection begins with a PROXY header */
};

/* An address or a network (common/prefix). */
struct network_options {
	char *address;
};

struct host_options {
	char *name;
};

struct certificate_options {
	char *chain;
	char *key;		/* NULL: in the chain's file */
};

struct options {
	struct listen_options listeners[LISTENERS_MAX];
	unsigned listener_count;
	struct network_options proxies[PROXIES_MAX];
	unsigned proxy_count;
	struct host_options hosts[SETTINGS_HOSTS_MAX];
	unsigned host_count;
	struct network_options allow[NETWORKS_MAX], deny[NETWORKS_MAX];
	unsigned allow_count, deny_count;
	struct certificate_options certificates[SETTINGS_CERTIFICATES_MAX];
	unsigned certificate_count;
	struct {
		bool required;
		uint32_t min;			/* the index in "1.2|1.3" */
		char *ciphers, *ciphersuites, *groups;
		uint32_t client_certificates;	/* the index in "no|ask" */
		uint32_t ticket_hours;
		uint32_t expiry_days;
	} tls;
	struct {
		uint32_t plain;			/* the index in "tls|always" */
	} sasl;
	struct {
		char *name, *group;
	} user;
	struct {
		uint32_t count;		/* 0: one a core */
		char *program;
		uint32_t retire;	/* seconds; 0: never */
		uint32_t memory_mib;	/* 0: unlimited */
	} workers;
	struct {
		char *name;
		uint32_t type;		/* enum link_type */
		char *dialect;		/* options_dialect */
		char *address;
		char *secret;
		bool digest;
		bool registration;
		uint32_t hold;		/* seconds */
		uint32_t spread;	/* seconds */
		uint32_t timeout;	/* seconds */
		uint32_t packet_bytes;
		uint32_t queue_bytes;
		char *notify;		/* NULL: nobody */
		uint32_t acknowledge;	/* enum link_acknowledge; options_acknowledge */
	} link;
	struct {
		char *program;
		char *database;
		bool registration;
		uint32_t offline;
	} sessiond;
	struct {
		char *socket;
	} control;
	struct {
		char *file;
	} pid;
	struct {
		uint32_t header_bytes, login_bytes, login_elements, login_total_bytes, login_attempts;
		uint32_t stanza_bytes, elements, depth, attributes;
		uint32_t login_seconds, login_pause, handshake_seconds, idle_seconds, keepalive_seconds, stall_seconds;
		uint32_t settle_seconds, dead_seconds, send_buffer_bytes, unsent_soft_bytes;
		uint32_t unsent_bytes, held_bytes, clients;
		uint32_t connections, address_connections, network_connections;	/* at a time; 0: unlimited */
		uint32_t connections_per_second, connections_burst;		/* new ones; 0: unlimited */
		uint32_t address_per_second, address_burst;
		uint32_t login_failures;	/* 0: unlimited */
		uint32_t rate_bytes, burst_bytes;
	} limits;
	struct {
		uint32_t level;		/* enum log_level */
		uint32_t target;	/* enum log_target */
		char *file;
	} log;
	bool foreground;		/* of the command line: the log goes to standard error */
};

extern const struct config_table options_table;

/*
 * Read and check a file. The number of errors, each reported, or -ENOMEM. options_free in any case.
 *
 * options_reload: to take the place of `running`. What only a restart changes stays as it runs, and each such option of
 * the file is told to `kept`; that is no error. Where everything stands is in `lines`, as long as `options` stays in its
 * place; config_lines_free in any case.
 */
int options_load(struct options *options, const char *file, const struct config_report *report);
int options_reload(struct options *options, const struct options *running, const char *file,
    const struct config_report *report, const struct config_report *kept, struct config_lines *lines);
void options_free(struct options *options);

/* Where the log goes: never LOG_TARGET_AUTO. */
enum log_target options_log_target(const struct options *options);

/* The dialect's name: never "auto". Lives as long as the options. */
char *options_dialect(const struct options *options);

/* Is acknowledgement asked for on the link? */
bool options_acknowledge(const struct options *options);

/* How many workers there are to be: as the command line says (0: it does not), else the file, else one a core. */
uint32_t options_worker_count(const struct options *options, uint32_t argument);

/* Read the networks of options that were checked; `prefixes_r` has room for `count`. How many there are. */
size_t options_networks(struct prefix *prefixes_r, const struct network_options *networks, unsigned count);

#endif
