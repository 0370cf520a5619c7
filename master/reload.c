#include "master/reload.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "master/master.h"
#include "master/router.h"

/* Longer lines are cut. */
#define LINE_MAX_LENGTH 768

/*
 * Of a worker when it is told not to read: its channel's high mark and what the sockets hold; and beside that the element
 * that it was at.
 */
#define WORKER_UNDER_WAY (2u * 1024 * 1024)

/* What a reload makes of the place of a listener. */
enum listener_fate {
	LISTENER_FREE,		/* nothing is there */
	LISTENER_OLD,		/* it is not in the new configuration */
	LISTENER_KEPT,
	LISTENER_NEW,		/* bound by this reload */
	LISTENER_YIELDED,	/* old, and closed to let a new one have its port */
};

/* One reload, until everything is in force or nothing. */
struct reload {
	struct master *master;
	struct reload_request *request;
	struct options *options;
	struct config_lines lines;	/* where everything stands in the file */
	struct link_addresses addresses;
	struct address_list networks;
	struct certificates certificates;
	enum listener_fate fates[LISTENER_PLACES];
	unsigned errors;
};

/* ---- what is said ---- */

static void __attribute__((format(printf, 2, 3)))
refuse(struct reload *reload, const char *format, ...)
{
	char line[LINE_MAX_LENGTH], quoted[LINE_MAX_LENGTH];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(line, sizeof line, format, arguments);
	va_end(arguments);
	reload->errors++;
	/* The number is there so that what was wrong before, and still is, is not only counted. */
	log_error("reload impossible number=%" PRIu64 " error=%s", reload->request->number,
	    log_quote(quoted, sizeof quoted, line));
	buffer_append_format(&reload->request->lines, "%s\n", line);
}

static void
on_error(const struct config_report *report, const char *file, int line, const char *what)
{
	char text[LINE_MAX_LENGTH];

	config_report_format(text, sizeof text, file, line, what);
	refuse(report->argument, "%s", text);
}

/* An option that is right by itself, and cannot be followed here and now. */
static void __attribute__((format(printf, 4, 5)))
refuse_option(struct reload *reload, const void *option, const void *section, const char *format, ...)
{
	char what[LINE_MAX_LENGTH], text[LINE_MAX_LENGTH];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(what, sizeof what, format, arguments);
	va_end(arguments);
	config_report_format(text, sizeof text, reload->master->source.file,
	    config_line(&reload->lines, option, section), what);
	refuse(reload, "%s", text);
}

/* What only a restart changes: no error, but somebody has written it for nothing. */
static void
on_kept(const struct config_report *report, const char *file, int line, const char *what)
{
	struct reload *reload = report->argument;
	char text[LINE_MAX_LENGTH], quoted[LINE_MAX_LENGTH];

	config_report_format(text, sizeof text, file, line, what);
	log_warning("reload incomplete number=%" PRIu64 " option=%s", reload->request->number,
	    log_quote(quoted, sizeof quoted, text));
	buffer_append_format(&reload->request->lines, "%s\n", text);
}

/* A certificate of before that stays because its files are bad. */
static void
on_certificate_kept(const struct config_report *report, const char *file, int line, const char *what)
{
	struct reload *reload = report->argument;
	char text[LINE_MAX_LENGTH], quoted[LINE_MAX_LENGTH];

	config_report_format(text, sizeof text, file, line, what);
	log_error("certificate kept number=%" PRIu64 " error=%s", reload->request->number,
	    log_quote(quoted, sizeof quoted, text));
	buffer_append_format(&reload->request->lines, "%s\n", text);
}

/* ---- listeners ---- */

static struct listener *
listener_of(struct master *master, const struct listen_options *listen)
{
	for (unsigned i = 0; i < master->listener_count; i++) {
		if (listener_is_at(&master->listeners[i], listen->address, (uint16_t)listen->port))
			return &master->listeners[i];
	}
	return NULL;
}

static void
listeners_sort(struct reload *reload)
{
	struct master *master = reload->master;

	for (unsigned i = 0; i < master->listener_count; i++) {
		const struct listener *listener = &master->listeners[i];

		reload->fates[i] = listener->watch.fd < 0 ? LISTENER_FREE : listener->inherited ? LISTENER_KEPT : LISTENER_OLD;
	}
	for (unsigned i = 0; i < reload->options->listener_count; i++) {
		struct listener *listener = listener_of(master, &reload->options->listeners[i]);

		if (listener != NULL)
			reload->fates[listener - master->listeners] = LISTENER_KEPT;
	}
}

/* There is always one: no configuration has more than half as many. */
static unsigned
place_find(struct reload *reload)
{
	struct master *master = reload->master;
	unsigned place = 0;

	while (place < master->listener_count && reload->fates[place] != LISTENER_FREE)
		place++;
	if (place == master->listener_count)
		master->listener_count++;
	return place;
}

/* Bound, and not served before everything else is right. 0 or a negative errno. */
static int
listener_bind(struct reload *reload, const struct listen_options *listen)
{
	unsigned place = place_find(reload);
	struct listener *listener = &reload->master->listeners[place];
	int result;

	*listener = (struct listener){ .watch.fd = -1 };
	result = listener_open(listener, listen->address, (uint16_t)listen->port, (int)listen->backlog);
	if (result == 0)
		result = master_listen(reload->master, listener);
	if (result < 0) {
		listener_close(listener);
		return result;
	}
	listener->proxy = listen->proxy;
	listener_pause(listener, true);
	reload->fates[place] = LISTENER_NEW;
	return 0;
}

/* Old listeners that have the port on another address (127.0.0.1, where :: comes) are closed. False: there is none. */
static bool
listeners_yield(struct reload *reload, uint32_t port)
{
	struct master *master = reload->master;
	bool yielded = false;

	for (unsigned i = 0; i < master->listener_count; i++) {
		if (reload->fates[i] != LISTENER_OLD || master->listeners[i].port != port)
			continue;
		listener_empty(&master->listeners[i]);
		listener_close(&master->listeners[i]);
		reload->fates[i] = LISTENER_YIELDED;
		yielded = true;
	}
	return yielded;
}

static bool
is_ours(const struct reload *reload, uint32_t port)
{
	for (unsigned i = 0; i < reload->master->listener_count; i++) {
		if (reload->fates[i] == LISTENER_OLD && reload->master->listeners[i].port == port)
			return true;
	}
	return false;
}

/* The old ones are only touched in the second round, when nothing else can go wrong any more. */
static void
listeners_bind(struct reload *reload, bool yield)
{
	struct master *master = reload->master;

	for (unsigned i = 0; i < reload->options->listener_count; i++) {
		const struct listen_options *listen = &reload->options->listeners[i];
		char name[LISTENER_NAME_SIZE];
		int result;

		if (listener_of(master, listen) != NULL)
			continue;
		result = listener_bind(reload, listen);
		if (result == -EADDRINUSE && yield && listeners_yield(reload, listen->port))
			result = listener_bind(reload, listen);
		else if (result == -EADDRINUSE && !yield && is_ours(reload, listen->port))
			continue;
		if (result < 0)
			refuse_option(reload, listen, listen, "listener %s: %s",
			    listener_name(name, listen->address, (uint16_t)listen->port), strerror(-result));
	}
}

/* As if nothing had been. */
static void
listeners_undo(struct reload *reload)
{
	struct master *master = reload->master;

	for (unsigned i = 0; i < master->listener_count; i++) {
		if (reload->fates[i] == LISTENER_NEW)
			listener_close(&master->listeners[i]);
	}
	for (unsigned i = 0; i < master->listener_count; i++) {
		struct listener *listener = &master->listeners[i];
		char address[sizeof listener->address];
		int result;

		if (reload->fates[i] != LISTENER_YIELDED)
			continue;
		memcpy(address, listener->address, sizeof address);
		result = listener_open(listener, address, listener->port, listener->backlog);
		if (result == 0)
			result = master_listen(master, listener);
		if (result < 0)
			refuse(reload, "listener %s: cannot be opened again: %s", listener->name, strerror(-result));
	}
}

static void
listener_adopt(struct listener *listener, const struct listen_options *listen)
{
	listener_set_backlog(listener, (int)listen->backlog);
	listener->tls = (uint8_t)listen->tls;
	listener->proxy = listen->proxy;
}

static void
listeners_commit(struct reload *reload)
{
	struct master *master = reload->master;

	for (unsigned i = 0; i < master->listener_count; i++) {
		struct listener *listener = &master->listeners[i];

		if (reload->fates[i] == LISTENER_NEW) {
			log_info("listener %s open inherited=%s", listener->name, listener->inherited ? "yes" : "no");
			listener_pause(listener, arrivals_are_held(master));
		} else if (reload->fates[i] == LISTENER_OLD) {
			listener_empty(listener);
			listener_close(listener);
		}
		if (reload->fates[i] == LISTENER_OLD || reload->fates[i] == LISTENER_YIELDED)
			log_info("listener %s closed", listener->name);
	}
	for (unsigned i = 0; i < reload->options->listener_count; i++) {
		const struct listen_options *listen = &reload->options->listeners[i];
		struct listener *listener = listener_of(master, listen);

		if (listener != NULL)
			listener_adopt(listener, listen);
	}
}

/* ---- everything that can fail ---- */

static void
file_check(struct reload *reload)
{
	struct master *master = reload->master;
	struct config_report errors = { .fn = on_error, .argument = reload };
	struct config_report kept = { .fn = on_kept, .argument = reload };
	int result;

	if (master->ending) {
		refuse(reload, "the service ends");
		return;
	}
	if (master->source.file == NULL) {
		refuse(reload, "there is no file");
		return;
	}
	reload->options = calloc(1, sizeof *reload->options);
	result = reload->options == NULL ? -ENOMEM :
	    options_reload(reload->options, master->options, master->source.file, &errors, &kept,
	    &reload->lines);
	if (result < 0)
		refuse(reload, "%s", strerror(-result));
	if (result != 0)
		return;
	reload->options->foreground = master->source.foreground;
	if (master->source.verbose)
		reload->options->log.level = LOG_LEVEL_DEBUG;
}

static void
link_check(struct reload *reload)
{
	const struct options *options = reload->options;
	const char *why;

	if (options->link.type == LINK_TYPE_CONNECT && !link_resolve(&reload->addresses, options->link.address, &why))
		refuse_option(reload, &options->link.address, &options->link, "link address %s: %s", options->link.address, why);
}

static void
networks_check(struct reload *reload)
{
	int result = gate_lists(reload->options, &reload->networks);

	if (result < 0)
		refuse(reload, "%s", strerror(-result));
}

static bool
log_check(struct reload *reload)
{
	const struct options *options = reload->options;
	int result = log_prepare(options_log_target(options), options->log.file);

	if (result < 0)
		refuse_option(reload, &options->log.file, &options->log, "log file %s: %s", options->log.file,
		    strerror(-result));
	return result == 0;
}

static void
certificates_check(struct reload *reload)
{
	struct master *master = reload->master;
	struct config_report errors = { .fn = on_error, .argument = reload };
	struct config_report kept = { .fn = on_certificate_kept, .argument = reload };
	struct certificates_source source = { .file = master->source.file, .lines = &reload->lines, .errors = &errors,
		.kept = &kept };
	int result = certificates_read(&reload->certificates, &master->certificates, reload->options, &source);

	if (result < 0)
		refuse(reload, "%s", strerror(-result));
}

static bool
reload_prepare(struct reload *reload)
{
	bool log_is_open;

	file_check(reload);
	if (reload->errors > 0)
		return false;
	link_check(reload);
	networks_check(reload);
	certificates_check(reload);
	log_is_open = log_check(reload);
	listeners_sort(reload);
	listeners_bind(reload, false);
	if (reload->errors == 0)
		listeners_bind(reload, true);
	if (reload->errors == 0)
		return true;
	listeners_undo(reload);
	if (log_is_open)
		log_rollback();
	return false;
}

/* ---- what follows from the options ---- */

static struct client_limits
limits_of(const struct options *options)
{
	return (struct client_limits){
		.header_bytes = options->limits.header_bytes,
		.login_bytes = options->limits.login_bytes,
		.login_elements = options->limits.login_elements,
		.login_total_bytes = options->limits.login_total_bytes,
		.login_attempts = options->limits.login_attempts,
		.element_bytes = options->limits.stanza_bytes,
		.elements = options->limits.elements,
		.depth = options->limits.depth,
		.attributes = options->limits.attributes,
		.login_time = options->limits.login_seconds * 1000,
		.login_pause = options->limits.login_pause * 1000,
		.handshake_time = options->limits.handshake_seconds * 1000,
		.idle_time = options->limits.idle_seconds * 1000,
		.keepalive_time = options->limits.keepalive_seconds * 1000,
		.stall_time = options->limits.stall_seconds * 1000,
		.unsent_soft_bytes = options->limits.unsent_soft_bytes,
		.unsent_bytes = options->limits.unsent_bytes,
		.settle_time = options->limits.settle_seconds * 1000,
		.send_buffer_bytes = options->limits.send_buffer_bytes,
		.dead_time = options->limits.dead_seconds * 1000,
		.clients = options->limits.clients,
		.rate_bytes = options->limits.rate_bytes,
		.burst_bytes = options->limits.burst_bytes,
	};
}

/* How many certificates there are is the pool's to say, which sends them. */
static struct tls_settings
tls_settings_of(const struct options *options)
{
	return (struct tls_settings){
		.required = options->tls.required,
		.ask_client_certificates = options->tls.client_certificates != 0,
		.min_version = options->tls.min == 0 ? 12 : 13,
		.ciphers = options->tls.ciphers,
		.ciphersuites = options->tls.ciphersuites,
		.groups = options->tls.groups,
		.ticket_lifetime = options->tls.ticket_hours * 3600,
	};
}

static void
settings_apply(struct master *master)
{
	const struct options *options = master->options;
	struct settings *settings = &master->pool.settings;
	bool embedded = options->link.type == LINK_TYPE_EMBEDDED;

	settings->name = options->link.name;
	settings->dialect = options_dialect(options);
	settings->digest = !embedded && options->link.digest;
	settings->notify = options->link.notify;
	settings->registration = embedded ? options->sessiond.registration : options->link.registration;
	settings->plain = options->sasl.plain != 0;
	settings->log_level = (uint8_t)options->log.level;
	settings->limits = limits_of(options);
	settings->tls = tls_settings_of(options);
	settings->host_count = options->host_count;
	for (unsigned i = 0; i < options->host_count; i++)
		settings->hosts[i] = options->hosts[i].name;
}

/*
 * What may wait for the link before the session manager is given up. In this order: what clients may send, what they have sent
 * and workers have on the way when they are told to stop, and all that is kept, which may come back with an error in it.
 */
static size_t
link_bound(const struct master *master, const struct options *options)
{
	size_t under_way = WORKER_UNDER_WAY + options->limits.stanza_bytes;

	return (size_t)options->link.queue_bytes + under_way * options_worker_count(options, master->source.workers) +
	    2 * (size_t)options->limits.held_bytes;
}

void
reload_apply(struct master *master)
{
	const struct options *options = master->options;
	bool embedded = options->link.type == LINK_TYPE_EMBEDDED;

	settings_apply(master);
	master->pool.program = options->workers.program;
	master->pool.memory = (uint64_t)options->workers.memory_mib << 20;
	master->pool.retire = options->workers.retire;
	master->keeper.held_max = options->limits.held_bytes;
	master->link.name = options->link.name;
	master->link.secret = embedded ? master->embedded.secret : options->link.secret;
	master->link.timeout = options->link.timeout * 1000;
	master->link.dead = options->limits.dead_seconds * 1000;
	spread_change(&master->spread, (uint64_t)options->link.spread * 1000);
	master->link.high = options->link.queue_bytes;
	master->link.bound = link_bound(master, options);
	master->link.acknowledge = options_acknowledge(options);
	master->embedded.options = options;
	proxies_apply(&master->proxies, options);
	master->certificates.options = options;
	tickets_set_period(&master->tickets, (uint64_t)options->tls.ticket_hours * HOUR);
}

/* ---- from the old to the new ---- */

static void
options_swap(struct master *master, struct options *options)
{
	struct options *old = master->options;

	master->options = options;
	reload_apply(master);
	/* Nothing points into it any more. */
	if (master->options_are_ours) {
		options_free(old);
		free(old);
	}
	master->options_are_ours = true;
}

static void
reload_commit(struct reload *reload)
{
	struct master *master = reload->master;
	struct options *options = reload->options;

	log_commit();
	listeners_commit(reload);
	certificates_take(&master->certificates, &reload->certificates);
	options_swap(master, options);
	gate_configure(master, &reload->networks);
	certificates_watch(&master->certificates, &master->loop);
	log_set_level((enum log_level)options->log.level);
	/* Before the workers: who logs in at a new host is known there. */
	embedded_settings_changed(&master->embedded);
	master_hold_changed(master);
	if (options->link.type == LINK_TYPE_CONNECT)
		master->link.addresses = reload->addresses;
	link_changed(&master->link, options->link.packet_bytes);
	router_check_room(master);
	/* Whoever is started by this is told the new settings at once, the others afterwards. */
	pool_resize(&master->pool, options_worker_count(options, master->source.workers));
	pool_retire_changed(&master->pool);
	pool_settings_changed(&master->pool);
}

void
reload_start(struct master *master, struct reload_request *request)
{
	struct reload reload = { .master = master, .request = request };
	char quoted[LINE_MAX_LENGTH];

	request->lines = (struct buffer){ 0 };
	request->waiting = false;
	service_reloading(&master->service);
	request->number = ++master->reload_count;
	log_info("reload begun number=%" PRIu64 " file=%s", request->number,
	    log_quote(quoted, sizeof quoted, master->source.file));
	if (reload_prepare(&reload)) {
		reload_commit(&reload);
		request->generation = master->pool.generation;
		request->waiting = true;
		TAILQ_INSERT_TAIL(&master->reloads, request, entry);
	} else if (reload.options != NULL) {
		options_free(reload.options);
		free(reload.options);
	}
	if (request->waiting) {
		reload_check(master);
	} else {
		log_error("reload refused number=%" PRIu64 " errors=%u", request->number, reload.errors);
		if (TAILQ_EMPTY(&master->reloads))
			service_ready(&master->service);
		request->done(request, false);
	}
	address_list_deinit(&reload.networks);
	certificates_deinit(&reload.certificates);
	config_lines_free(&reload.lines);
}

/* ---- who waits ---- */

static void
request_done(struct master *master, struct reload_request *request)
{
	TAILQ_REMOVE(&master->reloads, request, entry);
	request->waiting = false;
	request->done(request, true);
}

void
reload_check(struct master *master)
{
	struct reload_request *request;

	while ((request = TAILQ_FIRST(&master->reloads)) != NULL &&
	    pool_has_taken(&master->pool, request->generation)) {
		log_info("reload done number=%" PRIu64 " workers=%" PRIu32 " hosts=%u listeners=%u", request->number,
		    master->pool.wanted, master->options->host_count, master->options->listener_count);
		if (TAILQ_NEXT(request, entry) == NULL)
			service_ready(&master->service);
		request_done(master, request);
	}
}

void
reload_request_deinit(struct master *master, struct reload_request *request)
{
	if (request->waiting)
		TAILQ_REMOVE(&master->reloads, request, entry);
	request->waiting = false;
	buffer_deinit(&request->lines);
}

void
reload_deinit(struct master *master)
{
	struct reload_request *request;

	while (master->options != NULL && (request = TAILQ_FIRST(&master->reloads)) != NULL)
		request_done(master, request);
	if (master->options_are_ours) {
		options_free(master->options);
		free(master->options);
	}
	master->options = NULL;
	master->options_are_ours = false;
}
