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

/* Dying within this time of its start makes the next pause longer. */
#define LIFE_SHORT 10000
#define PAUSE_FIRST 100
#define PAUSE_LAST 5000

static void worker_start(struct worker_process *worker);

static void
worker_kill(struct worker_process *worker)
{
	if (worker->pid > 0)
		kill(worker->pid, SIGKILL);
}

static void
on_restart(struct timer *timer)
{
	struct worker_process *worker = container_of(timer, struct worker_process, restart);

	channel_deinit(&worker->channel);
	if (!worker->pool->ending)
		worker_start(worker);
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
		log_warning("worker %" PRIu32 " keeps dying: started again in %" PRIu64 " ms", worker->number, pause);
}

static void
on_end(struct channel *channel, enum channel_end end)
{
	struct worker_process *worker = container_of(channel, struct worker_process, channel);

	if (end == CHANNEL_BREACH)
		log_error("worker %" PRIu32 " broke the contract breach=%s pid=%d: killed", worker->number,
		    contract_breach_name(channel->breach), (int)worker->pid);
	else if (!worker->pool->ending)
		log_warning("worker %" PRIu32 " gone pid=%d%s", worker->number, (int)worker->pid,
		    end == CHANNEL_BROKEN ? " reason=no-memory" : "");
	worker_kill(worker);
	worker->state = WORKER_ABSENT;
	worker->pinged = 0;
	worker->full = worker->full_said = false;
	worker->pool->on_dead(worker);
	if (!worker->pool->ending)
		restart_later(worker);
}

static void
send_settings(struct worker_process *worker)
{
	struct settings settings = worker->pool->settings;
	struct buffer body = { 0 };

	settings.worker = worker->number;
	message_put_settings(&body, &settings);
	channel_send(&worker->channel, M2W_SETTINGS, 0, 0, &body);
	buffer_deinit(&body);
}

static enum contract_breach
handle_ready(struct worker_process *worker)
{
	if (worker->state == WORKER_READY)
		return BREACH_NONE;
	worker->state = WORKER_READY;
	worker->after_stop = 0;
	if (worker->pool->stopped)
		channel_send(&worker->channel, M2W_STOP, 0, 0, NULL);
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
	for (char *p = line; *p != '\0'; p++) {
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
	}
	snprintf(role, sizeof role, "worker %" PRIu32, worker->number);
	log_relay((enum log_level)level, role, line);
	return BREACH_NONE;
}

static enum contract_breach
on_frame(struct channel *channel, const struct frame *frame, int fd)
{
	struct worker_process *worker = container_of(channel, struct worker_process, channel);

	(void)fd;	/* the contract lets no worker send one */
	if (frame->type == W2M_HELLO) {
		send_settings(worker);
		return BREACH_NONE;
	}
	if (frame->type == W2M_READY)
		return handle_ready(worker);
	if (frame->type == W2M_PONG)
		return handle_pong(worker, frame);
	if (frame->type == W2M_LOG)
		return handle_log(worker, frame);
	return worker->pool->on_frame(worker, frame);
}

static int
worker_spawn(struct worker_process *worker, int fds[2])
{
	char number[16];
	char name[] = "c2sd-worker";
	char *arguments[] = { name, number, NULL };
	pid_t pid;

	/* The one before is dead, but its end may not have been told yet. */
	if (worker->pid > 0)
		worker->previous = worker->pid;
	worker->pid = 0;
	snprintf(number, sizeof number, "%" PRIu32, worker->number);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
		return -errno;
	pid = spawn_program(worker->pool->program, arguments, &fds[1], 1);
	close(fds[1]);
	if (pid < 0) {
		close(fds[0]);
		return pid;
	}
	worker->pid = pid;
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
		log_error("worker %" PRIu32 " cannot be started program=%s: %s", worker->number, worker->pool->program,
		    strerror(-result));
		worker_kill(worker);
		restart_later(worker);
		return;
	}
	worker->state = WORKER_STARTING;
	worker->counters = (struct worker_counters){ 0 };
	message_put_hello(&body, CONTRACT_VERSION);
	channel_send(&worker->channel, M2W_HELLO, 0, 0, &body);
	buffer_deinit(&body);
	log_info("worker %" PRIu32 " started pid=%d", worker->number, (int)worker->pid);
}

static void
ping(struct worker_process *worker)
{
	uint64_t now = loop_now(worker->pool->loop);

	if (worker->state == WORKER_ABSENT)
		return;
	/* What it had no room for may have been a passing lack of memory. */
	worker->full = false;
	if (worker->state == WORKER_STARTING) {
		/* One that never says hello is as dead as one that never answers. */
		if (now - worker->started > PING_LIMIT)
			worker_kill(worker);
		return;
	}
	if (worker->pinged == 0) {
		worker->pinged = now;
		channel_send(&worker->channel, M2W_PING, 0, 0, NULL);
	} else if (now - worker->pinged > PING_LIMIT) {
		log_error("worker %" PRIu32 " does not answer pid=%d: killed", worker->number, (int)worker->pid);
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

bool
pool_reaped(struct pool *pool, pid_t pid, int status)
{
	for (uint32_t i = 0; i < pool->count; i++) {
		struct worker_process *worker = &pool->workers[i];

		if (worker->pid != pid && worker->previous != pid)
			continue;
		if (worker->pid == pid)
			worker->pid = 0;
		else
			worker->previous = 0;
		if (WIFSIGNALED(status) && !pool->ending)
			log_warning("worker %" PRIu32 " died pid=%d signal=%d", i, (int)pid, WTERMSIG(status));
		return true;
	}
	return false;
}

int
pool_start(struct pool *pool, struct loop *loop, uint32_t count)
{
	pool->loop = loop;
	pool->workers = calloc(count, sizeof pool->workers[0]);
	if (pool->workers == NULL)
		return -ENOMEM;
	pool->count = count;
	for (uint32_t i = 0; i < count; i++) {
		pool->workers[i] = (struct worker_process){ .pool = pool, .number = i, .channel.watch.fd = -1 };
		worker_start(&pool->workers[i]);
	}
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
		/* What it still had to be told, before the end of file tells it to end. */
		if (pool->workers[i].channel.loop != NULL)
			channel_flush(&pool->workers[i].channel);
		channel_deinit(&pool->workers[i].channel);
	}
}

void
pool_kill(struct pool *pool)
{
	for (uint32_t i = 0; i < pool->count; i++)
		worker_kill(&pool->workers[i]);
}

void
pool_deinit(struct pool *pool)
{
	pool_close(pool);
	free(pool->workers);
	*pool = (struct pool){ 0 };
}
