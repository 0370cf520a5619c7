#include "master/gate.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "common/log.h"
#include "master/master.h"
#include "master/router.h"

/* At most one line in this time that accepting waits, or that all places are taken. */
#define SAY_AGAIN 60000

/* Whoever has to go is among so many of the oldest, or nobody does: others are on their way to or from a worker. */
#define WAITING_LOOK 64

/* So long anybody may take to log in before he has to make room. */
#define GRACE 2000

/* ---- what is said ---- */

static void
notice_log(const struct admission_notice *notice)
{
	char address[INET6_ADDRSTRLEN];

	if (notice->verdict == ADMISSION_GRANTED)
		log_warning("refusals unsaid times=%" PRIu64 " seconds=%" PRIu64, notice->times, notice->seconds);
	else
		log_warning("address %s refused-again reason=%s times=%" PRIu64 " seconds=%" PRIu64,
		    peer_format(&(struct peer){ .address = notice->address }, address),
		    admission_verdict_name(notice->verdict), notice->times, notice->seconds);
}

static void on_notices(struct timer *timer);

/* Whatever has happened: the timer is set for what is due next. */
static void
notices_wait(struct master *master)
{
	struct gate *gate = &master->gate;
	uint64_t due = admission_due(&gate->admission), now = loop_now(&master->loop);

	if (due != UINT64_MAX && (!timer_is_set(&gate->notices) || due < gate->notices.at))
		timer_set(&master->loop, &gate->notices, due > now ? due - now : 0, on_notices);
}

static void
on_notices(struct timer *timer)
{
	struct master *master = container_of(timer, struct master, gate.notices);
	struct admission_notice notice;

	while (admission_next(&master->gate.admission, loop_now(&master->loop), &notice))
		notice_log(&notice);
	notices_wait(master);
}

/* True at most once in SAY_AGAIN. */
static bool
is_news(const struct master *master, uint64_t *said)
{
	uint64_t now = loop_now(&master->loop);

	if (*said != 0 && now - *said < SAY_AGAIN)
		return false;
	*said = now;
	return true;
}

void
gate_refuse(struct master *master, const struct peer *peer, enum admission_verdict verdict)
{
	struct gate *gate = &master->gate;
	char address[INET6_ADDRSTRLEN];

	if (admission_refused(&gate->admission, loop_now(&master->loop), &peer->address, verdict))
		log_warning("address %s refused reason=%s", peer_format(peer, address), admission_verdict_name(verdict));
	notices_wait(master);
}

/* ---- configuration ---- */

int
gate_init(struct gate *gate)
{
	return admission_init(&gate->admission);
}

void
gate_deinit(struct master *master)
{
	timer_clear(&master->loop, &master->gate.notices);
	timer_clear(&master->loop, &master->gate.pause);
	timer_clear(&master->loop, &master->gate.grace);
	admission_deinit(&master->gate.admission);
}

int
gate_lists(const struct options *options, struct address_list *lists_r)
{
	struct prefix allow[NETWORKS_MAX], deny[NETWORKS_MAX];
	size_t allow_count = options_networks(allow, options->allow, options->allow_count);
	size_t deny_count = options_networks(deny, options->deny, options->deny_count);

	return address_list_init(lists_r, allow, allow_count, deny, deny_count);
}

/* Those who are denied now, and are inside. */
static void
expel(struct master *master)
{
	const struct address_list *lists = &master->gate.admission.lists;

	if (lists->count == 0)
		return;
	for (struct entry *entry = NULL; (entry = directory_next(&master->directory, entry)) != NULL;) {
		if (entry->counted && !address_list_permits(lists, &entry->peer.address))
			router_close(master, entry, END_REFUSED);
	}
}

void
gate_configure(struct master *master, struct address_list *lists)
{
	const struct options *options = master->options;
	struct admission_limits limits = {
		.address_connections = options->limits.address_connections,
		.network_connections = options->limits.network_connections,
		.address_rate = { options->limits.address_burst, options->limits.address_per_second },
		.rate = { options->limits.connections_burst, options->limits.connections_per_second },
		.login_failures = options->limits.login_failures,
	};

	admission_configure(&master->gate.admission, &limits, lists);
	expel(master);
}

/* ---- making room ---- */

/* The one that has waited for longest and is in a worker's hands; `useful`: in those of one that takes clients. */
static struct entry *
oldest(const struct master *master, bool useful)
{
	struct entry *entry;
	unsigned looked = 0;

	TAILQ_FOREACH(entry, &master->directory.waiting, waiting) {
		if (entry->fd < 0 && (!useful || worker_takes_clients(&master->pool.workers[entry->worker])))
			return entry;
		if (++looked == WAITING_LOOK)
			break;
	}
	return NULL;
}

static bool
workers_are_full(const struct master *master)
{
	bool any = false;

	for (uint32_t i = 0; i < master->pool.count; i++) {
		const struct worker_process *worker = &master->pool.workers[i];

		if (!worker_takes_clients(worker))
			continue;
		if (!worker->full)
			return false;
		any = true;
	}
	return any;
}

bool
gate_has_place(const struct master *master)
{
	uint32_t most = master->options->limits.connections;
	const struct directory *directory = &master->directory;

	return most == 0 || (directory->count - directory->leaving < most && directory->leaving < most);
}

bool
gate_is_full(const struct master *master)
{
	return !gate_has_place(master) && TAILQ_EMPTY(&master->directory.waiting);
}

static void
on_grace_over(struct timer *timer)
{
	arrivals_retry(container_of(timer, struct master, gate.grace));
}

/* Who has just come has a right to some time. False: nobody can be told to go now. */
static bool
crowd_out(struct master *master, struct entry *entry)
{
	uint64_t age;

	if (is_news(master, &master->gate.full_said))
		log_warning("clients full clients=%" PRIu32 " sessions=%zu", master->directory.count,
		    master->directory.session_count);
	if (entry == NULL)
		return false;
	age = loop_now(&master->loop) - entry->since;
	if (age < GRACE) {
		timer_set(&master->loop, &master->gate.grace, GRACE - age, on_grace_over);
		return false;
	}
	router_close(master, entry, END_CROWDED);
	return true;
}

bool
gate_make_way(struct master *master)
{
	const struct directory *directory = &master->directory;
	bool full = workers_are_full(master);

	if (!full && gate_has_place(master))
		return false;
	/* Those who go already make room for as many. */
	while (full && directory->crowded < master->arrival_count && crowd_out(master, oldest(master, true)))
		;
	if (!gate_has_place(master) && directory->leaving < master->options->limits.connections)
		crowd_out(master, oldest(master, false));
	return !full && gate_has_place(master);
}

/* ---- who comes ---- */

static void
on_pause_over(struct timer *timer)
{
	arrivals_check(container_of(timer, struct master, gate.pause));
}

static void
pace(struct master *master)
{
	struct gate *gate = &master->gate;
	uint64_t now = loop_now(&master->loop);
	uint32_t pause;

	admission_passed(&gate->admission, now);
	pause = admission_pause(&gate->admission, now);
	if (pause == 0 || timer_is_set(&gate->pause))
		return;
	gate->pauses++;
	if (is_news(master, &gate->pause_said))
		log_warning("connections delayed per_second=%" PRIu32, gate->admission.limits.rate.per_second);
	timer_set(&master->loop, &gate->pause, pause, on_pause_over);
	arrivals_check(master);
}

/* Everything that depends on where somebody comes from. */
static enum admission_verdict
judge(struct master *master, const struct peer *peer)
{
	enum admission_verdict verdict;

	verdict = admission_arrived(&master->gate.admission, loop_now(&master->loop), &peer->address);
	notices_wait(master);
	return verdict;
}

bool
gate_enter(struct master *master, const struct peer *peer, bool proxied)
{
	enum admission_verdict verdict = proxied ? ADMISSION_GRANTED : judge(master, peer);

	if (verdict == ADMISSION_GRANTED && gate_is_full(master)) {
		verdict = ADMISSION_FULL;
		if (!proxied)
			gate_left(master, peer);
	}
	if (verdict != ADMISSION_GRANTED) {
		gate_refuse(master, peer, verdict);
		return false;
	}
	pace(master);
	return true;
}

void
gate_left(struct master *master, const struct peer *peer)
{
	admission_left(&master->gate.admission, &peer->address);
}

void
gate_identified(struct master *master, struct entry *entry)
{
	enum admission_verdict verdict = judge(master, &entry->peer);

	entry->counted = verdict == ADMISSION_GRANTED;
	if (entry->counted)
		return;
	gate_refuse(master, &entry->peer, verdict);
	router_close(master, entry, END_REFUSED);
}

/* ---- logins ---- */

/* Each is an answer that the master has kept, and still keeps: so a worker cannot make them up. */
enum contract_breach
gate_login_failed(struct master *master, struct entry *entry)
{
	if (entry->confirmed || STAILQ_EMPTY(&entry->kept) || entry->failures >= entry->numbers ||
	    entry->failures == UINT8_MAX)
		return BREACH_CLIENT;
	entry->failures++;
	if (!entry->counted)
		return BREACH_NONE;
	if (admission_login_failed(&master->gate.admission, loop_now(&master->loop), &entry->peer.address))
		router_close(master, entry, END_LOGIN_FAILED);
	notices_wait(master);
	return BREACH_NONE;
}

void
gate_logged_in(struct master *master, const struct entry *entry)
{
	if (entry->counted)
		admission_login_succeeded(&master->gate.admission, loop_now(&master->loop), &entry->peer.address);
}

uint8_t
gate_failures(const struct master *master, const struct peer *peer)
{
	uint32_t failures = admission_failures(&master->gate.admission, loop_now(&master->loop), &peer->address);

	return failures < UINT8_MAX ? (uint8_t)failures : UINT8_MAX;
}
