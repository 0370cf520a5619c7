#include "master/pool.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/log.h"
#include "common/spawn.h"

#define PING_INTERVAL 2000

/* doc/design.md, "Processes": a worker that does not answer for this long is killed. */
#define PING_LIMIT 10000

/* Nothing that a worker does takes as long. */
#define PONG_LATE 500

/* Dying within this time of its start makes the next pause longer. */
#define LIFE_SHORT 10000
#define PAUSE_FIRST 100
#define PAUSE_LAST 5000

/* What each line costs besides its text: time, roles. */
#define LOG_HEAD 64

/*
 * What a worker may log. At once: some 30,000 clients that come or go. For long: some 250 of them each second, or what fills
 * 5 GB a day.
 */
static const struct rate_limit log_limit = { .burst = 8 * 1024 * 1024, .per_second = 64 * 1024 };

static void worker_start(struct worker_process *worker);

static void
worker_kill(struct worker_process *worker)
{
	if (worker->pid > 0)
		kill(worker->pid, SIGKILL);
}

const char *
worker_state_name(const struct worker_process *worker)
{
	static const char *const names[] = { "absent", "starting", "ready", "ending" };

	return worker->state == WORKER_READY && worker->retiring ? "retiring" : names[worker->state];
}

bool
worker_takes_clients(const struct worker_process *worker)
{
	return worker->state == WORKER_READY && !worker->retiring;
}

bool
worker_answers(const struct worker_process *worker)
{
	return worker->state == WORKER_READY &&
	    (worker->pinged == 0 || loop_now(worker->pool->loop) - worker->pinged < PONG_LATE);
}

/* Forget the highest numbers when nothing of them is left. */
static void
pool_trim(struct pool *pool)
{
	while (pool->count > pool->wanted) {
		const struct worker_process *last = &pool->workers[pool->count - 1];

		if (last->state != WORKER_ABSENT || timer_is_set(&last->restart) || last->pid > 0 || last->previous > 0)
			return;
		pool->count--;
	}
}

static void
on_restart(struct timer *timer)
{
	struct worker_process *worker = container_of(timer, struct worker_process, restart);
	struct pool *pool = worker->pool;

	channel_deinit(&worker->channel);
	if (pool->ending)
		return;
	if (worker->number < pool->wanted)
		worker_start(worker);
	else
		pool_trim(pool);
}

static void
restart_later(struct worker_process *worker)
{
	struct loop *loop = worker->pool->loop;
	uint64_t pause = 0;

	worker->deaths = loop_now(loop) - worker->started < LIFE_SHORT ? worker->deaths + 1 : 0;
	if (worker->deaths > 1)
		pause = (uint64_t)PAUSE_FIRST << (worker->deaths < 12 ? worker->deaths - 2 : 10);
	if (pause > PAUSE_LAST)
		pause = PAUSE_LAST;
	timer_set(loop, &worker->restart, pause, on_restart);
	if (pause > 0)
		log_warning("worker %" PRIu32 " keeps-dying pause=%" PRIu64, worker->number, pause);
}

/* One that was broken into must not fill the disk. Said with each ping, so that this is bounded as well. */
static void
log_dropped_say(struct worker_process *worker)
{
	if (worker->log_dropped == 0)
		return;
	log_warning("worker %" PRIu32 " log-dropped lines=%" PRIu64 " reason=too-many", worker->number, worker->log_dropped);
	worker->log_dropped = 0;
}

static void
end_log(const struct worker_process *worker, enum channel_end end)
{
	if (end == CHANNEL_BREACH)
		log_error("worker %" PRIu32 " broke-contract breach=%s pid=%d", worker->number,
		    contract_breach_name(worker->channel.breach), (int)worker->channel_pid);
	else if (worker->state == WORKER_ENDING && end == CHANNEL_CLOSED)
		log_info("worker %" PRIu32 " ended starts=%u", worker->number, worker->starts);
	else if (!worker->pool->ending)
		log_warning("worker %" PRIu32 " gone pid=%d%s", worker->number, (int)worker->channel_pid,
		    end == CHANNEL_BROKEN ? " reason=no-memory" : "");
}

static void
on_end(struct channel *channel, enum channel_end end)
{
	struct worker_process *worker = container_of(channel, struct worker_process, channel);
	struct pool *pool = worker->pool;
	bool expected = worker->state == WORKER_ENDING;

	end_log(worker, end);
	/* One that was told to end may still have something to tidy up. */
	if (!expected || end != CHANNEL_CLOSED)
		worker_kill(worker);
	log_dropped_say(worker);
	worker->state = WORKER_ABSENT;
	worker->pinged = 0;
	worker->unanswered = 0;
	worker->full = worker->retiring = worker->drained = false;
	timer_clear(pool->loop, &worker->retire);
	if (worker->leaving == 0)
		timer_clear(pool->loop, &worker->late);
	pool->on_dead(worker);
	if (pool->ending)
		return;
	if (expected || worker->number >= pool->wanted)
		timer_set(pool->loop, &worker->restart, 0, on_restart);
	else
		restart_later(worker);
}

/* ---- retiring ---- */

static void
on_too_late(struct timer *timer)
{
	struct worker_process *worker = container_of(timer, struct worker_process, late);

	log_error("worker %" PRIu32 " stuck pid=%d", worker->number, (int)worker->leaving);
	if (worker->leaving > 0)
		kill(worker->leaving, SIGKILL);
}

/* Our half of the channel is closed, so that what it still has to say (its log) is read before its own half ends. */
static void
worker_end(struct worker_process *worker)
{
	struct loop *loop = worker->pool->loop;

	channel_flush(&worker->channel);
	shutdown(worker->channel.watch.fd, SHUT_WR);
	worker->state = WORKER_ENDING;
	worker->pinged = 0;
	timer_clear(loop, &worker->retire);
	/* One that hangs on its way out would be there for ever, and whoever waits for it. There is time for one of them. */
	if (worker->leaving > 0)
		kill(worker->leaving, SIGKILL);
	worker->leaving = worker->pid;
	timer_set(loop, &worker->late, PING_LIMIT, on_too_late);
}

static bool
end_if_empty(struct worker_process *worker)
{
	const struct pool *pool = worker->pool;

	if (!worker->retiring || worker->state != WORKER_READY || (pool->clients != NULL && pool->clients(worker) > 0))
		return false;
	worker_end(worker);
	return true;
}

static void
on_retire(struct timer *timer)
{
	struct worker_process *worker = container_of(timer, struct worker_process, retire);
	struct buffer body = { 0 };

	log_info("worker %" PRIu32 " overdue clients=%" PRIu32, worker->number,
	    worker->pool->clients != NULL ? worker->pool->clients(worker) : 0);
	message_put_reason(&body, END_RETIRED);
	channel_send(&worker->channel, M2W_CLOSE_ALL, 0, 0, &body);
	buffer_deinit(&body);
}

static void
retire_timer_set(struct worker_process *worker)
{
	const struct pool *pool = worker->pool;
	uint64_t due = worker->retiring_since + (uint64_t)pool->retire * 1000, now = loop_now(pool->loop);

	if (pool->retire == 0)
		timer_clear(pool->loop, &worker->retire);
	else
		timer_set(pool->loop, &worker->retire, due > now ? due - now : 0, on_retire);
}

static void
worker_retire(struct worker_process *worker)
{
	struct loop *loop = worker->pool->loop;

	if (worker->state == WORKER_ABSENT)
		timer_set(loop, &worker->restart, 0, on_restart);
	else if (worker->state == WORKER_STARTING)
		worker_end(worker);
	if (worker->state != WORKER_READY || worker->retiring)
		return;
	worker->retiring = true;
	worker->retiring_since = loop_now(loop);
	if (end_if_empty(worker))
		return;
	log_info("worker %" PRIu32 " retiring clients=%" PRIu32, worker->number, worker->pool->clients(worker));
	retire_timer_set(worker);
}

/* Those whose clients were told to go are taken back, too: they serve who comes meanwhile. */
static void
worker_take_back(struct worker_process *worker)
{
	worker->retiring = worker->drained = false;
	timer_clear(worker->pool->loop, &worker->retire);
	log_info("worker %" PRIu32 " recalled clients=%" PRIu32, worker->number, worker->pool->clients(worker));
}

void
pool_retire_changed(struct pool *pool)
{
	for (uint32_t i = 0; i < pool->count; i++) {
		if (pool->workers[i].retiring && pool->workers[i].state == WORKER_READY)
			retire_timer_set(&pool->workers[i]);
	}
}

/* True while somebody serves, or will, who comes in. */
static bool
somebody_takes_clients(const struct pool *pool, const struct worker_process *except)
{
	for (uint32_t i = 0; i < pool->wanted; i++) {
		if (&pool->workers[i] != except && worker_takes_clients(&pool->workers[i]))
			return true;
	}
	return false;
}

int
pool_drain(struct pool *pool, uint32_t number)
{
	struct worker_process *worker = &pool->workers[number < pool->count ? number : 0];

	if (number < pool->count && worker->retiring)
		return -EALREADY;
	if (number >= pool->count || worker->state != WORKER_READY)
		return -ESRCH;
	if (!somebody_takes_clients(pool, worker))
		return -EBUSY;
	worker->drained = true;
	worker_retire(worker);
	return 0;
}

/* ---- settings ---- */

static void
send_certificates(struct worker_process *worker)
{
	const struct certificates *certificates = worker->pool->certificates;

	for (unsigned i = 0; certificates != NULL && i < certificates->count; i++) {
		const struct certificate *certificate = &certificates->entries[i].certificate;
		struct buffer body = { 0 };

		message_put_certificate(&body, buffer_bytes(&certificate->chain), buffer_length(&certificate->chain),
		    certificate->key.bytes, certificate->key.size);
		channel_send(&worker->channel, M2W_CERTIFICATE, 0, 0, &body);
		buffer_deinit(&body);
	}
}

static void
send_tickets(struct worker_process *worker)
{
	const struct tickets *tickets = worker->pool->tickets;
	struct buffer body = { 0 };

	if (tickets == NULL || tickets->count == 0)
		return;
	message_put_tickets(&body, tickets->keys.bytes, tickets->count);
	channel_send(&worker->channel, M2W_TICKETS, 0, 0, &body);
	buffer_deinit(&body);
}

static void
send_settings(struct worker_process *worker)
{
	struct settings settings = worker->pool->settings;
	struct buffer body = { 0 };

	worker->unanswered++;
	settings.worker = worker->number;
	settings.tls.certificate_count = worker->pool->certificates != NULL ? worker->pool->certificates->count : 0;
	send_certificates(worker);
	message_put_settings(&body, &settings);
	channel_send(&worker->channel, M2W_SETTINGS, 0, 0, &body);
	buffer_deinit(&body);
}

static enum contract_breach
handle_ready(struct worker_process *worker)
{
	/* Nobody has asked it. */
	if (worker->unanswered == 0)
		return BREACH_NONE;
	worker->unanswered--;
	if (worker->state == WORKER_STARTING) {
		worker->state = WORKER_READY;
		worker->after_stop = 0;
		if (worker->pool->stopped)
			channel_send(&worker->channel, M2W_STOP, 0, 0, NULL);
	}
	if (worker->state == WORKER_READY)
		worker->pool->on_ready(worker);
	return BREACH_NONE;
}

static enum contract_breach
handle_pong(struct worker_process *worker, const struct frame *frame)
{
	if (!message_get_counters(frame, &worker->counters))
		return BREACH_BODY;
	worker->pinged = 0;
	worker->pool->on_pong(worker);
	return BREACH_NONE;
}

static enum contract_breach
handle_log(struct worker_process *worker, const struct frame *frame)
{
	char line[1024], role[32];
	uint8_t level;

	if (!message_get_log(frame, &level, line, sizeof line) || level > LOG_LEVEL_DEBUG)
		return BREACH_BODY;
	if (!rate_take(&worker->log_rate, &log_limit, loop_now(worker->pool->loop),
	    LOG_HEAD + frame->length)) {
		worker->log_dropped++;
		return BREACH_NONE;
	}
	snprintf(role, sizeof role, "worker %" PRIu32, worker->number);
	log_relay((enum log_level)level, role, line);
	return BREACH_NONE;
}

static enum contract_breach
on_frame(struct channel *channel, const struct frame *frame, int fd)
{
	struct worker_process *worker = container_of(channel, struct worker_process, channel);
	enum contract_breach breach;

	(void)fd;	/* the contract lets no worker send one */
	if (frame->type == W2M_HELLO) {
		if (worker->state == WORKER_STARTING) {
			send_tickets(worker);
			send_settings(worker);
		}
		return BREACH_NONE;
	}
	if (frame->type == W2M_READY)
		return handle_ready(worker);
	if (frame->type == W2M_PONG)
		return handle_pong(worker, frame);
	if (frame->type == W2M_LOG)
		return handle_log(worker, frame);
	breach = worker->pool->on_frame(worker, frame);
	if (breach == BREACH_NONE)
		end_if_empty(worker);
	return breach;
}

static int
worker_spawn(struct worker_process *worker, int fds[2])
{
	char number[16];
	char name[] = "c2sd-worker";
	char *arguments[] = { name, number, NULL };
	/* What it needs is memory alone; the system-call filter says the same, and is not there in every build. */
	struct spawn_limits limits = { .no_files = true, .no_processes = true, .memory = worker->pool->memory };
	pid_t pid;

	/* The one before is dead, but its end may not have been told yet. */
	if (worker->pid > 0)
		worker->previous = worker->pid;
	worker->pid = 0;
	snprintf(number, sizeof number, "%" PRIu32, worker->number);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
		return -errno;
	pid = spawn_program(worker->pool->program, arguments, &fds[1], 1, &limits);
	close(fds[1]);
	if (pid < 0) {
		close(fds[0]);
		return pid;
	}
	worker->pid = worker->channel_pid = pid;
	return 0;
}

static void
worker_start(struct worker_process *worker)
{
	struct buffer body = { 0 };
	int fds[2], result;

	worker->started = loop_now(worker->pool->loop);
	worker->starts++;
	result = worker_spawn(worker, fds);
	if (result == 0) {
		worker->channel = (struct channel){ .watch.fd = -1, .on_frame = on_frame, .on_end = on_end };
		result = channel_init(&worker->channel, worker->pool->loop, fds[0], CONTRACT_MASTER);
		if (result < 0)
			close(fds[0]);
	}
	if (result < 0) {
		log_error("worker %" PRIu32 " start-failed program=%s error=\"%s\"", worker->number, worker->pool->program,
		    strerror(-result));
		worker_kill(worker);
		restart_later(worker);
		return;
	}
	worker->state = WORKER_STARTING;
	worker->unanswered = 0;
	worker->counters = (struct worker_counters){ 0 };
	message_put_hello(&body, CONTRACT_VERSION);
	channel_send(&worker->channel, M2W_HELLO, 0, 0, &body);
	buffer_deinit(&body);
	log_info("worker %" PRIu32 " started pid=%d", worker->number, (int)worker->pid);
}

static void
ping(struct worker_process *worker)
{
	uint64_t now = loop_now(worker->pool->loop), since;

	if (worker->state == WORKER_ABSENT || worker->state == WORKER_ENDING)
		return;
	log_dropped_say(worker);
	/* What it had no room for may have been a passing lack of memory. */
	worker->full = false;
	/* One that never says hello is as dead as one that never answers. */
	since = worker->state == WORKER_STARTING ? worker->started : worker->pinged;
	if (since == 0) {
		worker->pinged = now;
		channel_send(&worker->channel, M2W_PING, 0, 0, NULL);
	} else if (now - since > PING_LIMIT) {
		log_error("worker %" PRIu32 " unresponsive pid=%d", worker->number, (int)worker->pid);
		worker_kill(worker);
	}
}

static void
on_ping(struct timer *timer)
{
	struct pool *pool = container_of(timer, struct pool, ping);

	for (uint32_t i = 0; i < pool->count; i++)
		ping(&pool->workers[i]);
	timer_set(pool->loop, &pool->ping, PING_INTERVAL, on_ping);
}

uint32_t
pool_ping(struct pool *pool)
{
	for (uint32_t i = 0; i < pool->count; i++) {
		struct worker_process *worker = &pool->workers[i];

		if (worker->state != WORKER_READY)
			continue;
		if (worker->pinged == 0)
			worker->pinged = loop_now(pool->loop);
		channel_send(&worker->channel, M2W_PING, 0, 0, NULL);
	}
	return pool_ready(pool);
}

uint32_t
pool_ready(const struct pool *pool)
{
	uint32_t ready = 0;

	for (uint32_t i = 0; i < pool->count; i++)
		ready += pool->workers[i].state == WORKER_READY;
	return ready;
}

bool
pool_is_ready(const struct pool *pool)
{
	for (uint32_t i = 0; i < pool->wanted; i++) {
		if (pool->workers[i].state != WORKER_READY)
			return false;
	}
	return true;
}

/* One that has not said hello yet gets everything when it has. */
static bool
is_settled_with(const struct worker_process *worker)
{
	return worker->state == WORKER_READY || (worker->state == WORKER_STARTING && worker->unanswered > 0);
}

void
pool_settings_changed(struct pool *pool)
{
	pool->generation++;
	for (uint32_t i = 0; i < pool->count; i++) {
		struct worker_process *worker = &pool->workers[i];

		if (is_settled_with(worker))
			send_settings(worker);
	}
}

void
pool_tickets_changed(struct pool *pool)
{
	for (uint32_t i = 0; i < pool->count; i++) {
		if (is_settled_with(&pool->workers[i]))
			send_tickets(&pool->workers[i]);
	}
}

bool
pool_has_taken(const struct pool *pool, uint64_t generation)
{
	for (uint32_t i = 0; i < pool->count; i++) {
		const struct worker_process *worker = &pool->workers[i];

		if (worker->state == WORKER_STARTING && worker->unanswered == 0)
			return false;
		/* It was sent the settings of each generation since its first: what is unanswered are the latest ones. */
		if ((worker->state == WORKER_STARTING || worker->state == WORKER_READY) &&
		    pool->generation - worker->unanswered < generation)
			return false;
	}
	return true;
}

void
pool_broadcast(struct pool *pool, uint16_t type, const struct buffer *body)
{
	if (type == M2W_STOP || type == M2W_GO) {
		if (pool->stopped == (type == M2W_STOP))
			return;
		pool->stopped = type == M2W_STOP;
	}
	for (uint32_t i = 0; i < pool->count; i++) {
		if (type == M2W_STOP)
			pool->workers[i].after_stop = 0;
		if (pool->workers[i].state == WORKER_READY)
			channel_send(&pool->workers[i].channel, type, 0, 0, body);
	}
}

static void
report_death(const struct worker_process *worker, pid_t pid, int status)
{
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
		log_error("worker %" PRIu32 " died pid=%d signal=%d reason=\"a system call that its sandbox forbids; the kernel's log "
		    "says which\"", worker->number, (int)pid, SIGSYS);
	else if (WIFSIGNALED(status))
		log_warning("worker %" PRIu32 " died pid=%d signal=%d", worker->number, (int)pid, WTERMSIG(status));
	else if (WEXITSTATUS(status) != 0)
		log_warning("worker %" PRIu32 " ended pid=%d status=%d", worker->number, (int)pid, WEXITSTATUS(status));
}

static void
reaped(struct worker_process *worker, pid_t pid)
{
	if (worker->pid == pid)
		worker->pid = 0;
	else
		worker->previous = 0;
	if (worker->leaving != pid)
		return;
	worker->leaving = 0;
	timer_clear(worker->pool->loop, &worker->late);
}

bool
pool_reaped(struct pool *pool, pid_t pid, int status)
{
	for (uint32_t i = 0; i < pool->count; i++) {
		struct worker_process *worker = &pool->workers[i];

		if (worker->pid != pid && worker->previous != pid)
			continue;
		reaped(worker, pid);
		if (!pool->ending)
			report_death(worker, pid, status);
		pool_trim(pool);
		return true;
	}
	return false;
}

/* The next number comes into use; it may have been in use before. */
static void
worker_add(struct pool *pool)
{
	struct worker_process *worker = &pool->workers[pool->count];

	if (worker->pool == NULL)
		*worker = (struct worker_process){ .pool = pool, .number = pool->count, .channel.watch.fd = -1 };
	pool->count++;
}

static void
worker_want(struct worker_process *worker)
{
	if (worker->state == WORKER_ABSENT && !timer_is_set(&worker->restart))
		worker_start(worker);
	else if (worker->state == WORKER_READY && worker->retiring && !worker->drained)
		worker_take_back(worker);
}

void
pool_resize(struct pool *pool, uint32_t wanted)
{
	pool->wanted = wanted;
	while (pool->count < wanted)
		worker_add(pool);
	for (uint32_t i = 0; i < pool->count; i++) {
		if (i < wanted)
			worker_want(&pool->workers[i]);
		else
			worker_retire(&pool->workers[i]);
	}
	/* The operator had one drained, and now wants none but that. */
	for (uint32_t i = 0; i < wanted && !somebody_takes_clients(pool, NULL); i++) {
		if (pool->workers[i].retiring && pool->workers[i].state == WORKER_READY)
			worker_take_back(&pool->workers[i]);
	}
}

int
pool_start(struct pool *pool, struct loop *loop, uint32_t count)
{
	pool->loop = loop;
	pool->workers = calloc(WORKERS_MAX, sizeof pool->workers[0]);
	if (pool->workers == NULL)
		return -ENOMEM;
	pool->generation = 1;
	pool_resize(pool, count);
	timer_set(loop, &pool->ping, PING_INTERVAL, on_ping);
	return 0;
}

void
pool_close(struct pool *pool)
{
	if (pool->loop == NULL)
		return;
	pool->ending = true;
	timer_clear(pool->loop, &pool->ping);
	for (uint32_t i = 0; i < pool->count; i++) {
		timer_clear(pool->loop, &pool->workers[i].restart);
		timer_clear(pool->loop, &pool->workers[i].retire);
		timer_clear(pool->loop, &pool->workers[i].late);
		/* What it still had to be told, before the end of file tells it to end. */
		if (pool->workers[i].channel.loop != NULL)
			channel_flush(&pool->workers[i].channel);
		channel_deinit(&pool->workers[i].channel);
	}
}

void
pool_kill(struct pool *pool)
{
	for (uint32_t i = 0; i < pool->count; i++) {
		worker_kill(&pool->workers[i]);
		if (pool->workers[i].previous > 0)
			kill(pool->workers[i].previous, SIGKILL);
	}
}

void
pool_deinit(struct pool *pool)
{
	pool_close(pool);
	free(pool->workers);
	*pool = (struct pool){ 0 };
}
