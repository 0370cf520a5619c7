#include "master/admission.h"

#include <errno.h>
#include <string.h>

#include "common/loop.h"

/* Networks that are counted, and what is one source: see the header. */
#define NETWORK_IPV4 (PREFIX_LENGTH_IPV4 + 24)
#define NETWORK_IPV6 64

/* After so many half-lives nothing is left of any number. */
#define HALF_LIVES_MAX 32

/* A past that is quiet is not kept for longer, however slowly its new connections are forgotten. */
#define QUIET_MAX 3600000

/* How many pasts are looked at with each event, so that there are never many that are over. */
#define EXPIRE_STEPS 2

/* For less it is not worth to stop accepting. */
#define PAUSE_MIN 20

/* Connections of an address or of a network. */
struct connection_count {
	struct prefix_node node;
	uint32_t connections;
};

/* What is known of a source besides who is connected. */
struct past {
	struct prefix_node node;
	TAILQ_ENTRY(past) entry;	/* quiet or failed */
	TAILQ_ENTRY(past) refusal;	/* refused, while `said` is set */
	struct rate rate;
	struct in6_addr address;	/* the last that was refused */
	uint64_t since;			/* when it came to the end of its queue */
	uint64_t said;			/* when its refusals were said last; 0: there are none */
	uint64_t failed_since;		/* when the number of failures was last halved, or began */
	uint32_t failures;
	uint32_t refusals;		/* not said yet */
	uint8_t verdict;
	bool forgiven;			/* since it was last halved */
	bool has_failed;		/* it stands in `failed` */
};

static struct prefix
network_of(const struct in6_addr *address)
{
	return prefix_around(address, IN6_IS_ADDR_V4MAPPED(address) ? NETWORK_IPV4 : NETWORK_IPV6);
}

static struct prefix
source_of(const struct in6_addr *address)
{
	return prefix_around(address, IN6_IS_ADDR_V4MAPPED(address) ? PREFIX_LENGTH_MAX : NETWORK_IPV6);
}

int
admission_init(struct admission *admission)
{
	int result;

	*admission = (struct admission){ 0 };
	slab_init(&admission->count_slab, sizeof(struct connection_count));
	slab_init(&admission->past_slab, sizeof(struct past));
	TAILQ_INIT(&admission->quiet);
	TAILQ_INIT(&admission->failed);
	TAILQ_INIT(&admission->refused);
	result = prefix_table_init(&admission->counts);
	return result < 0 ? result : prefix_table_init(&admission->pasts);
}

void
admission_configure(struct admission *admission, const struct admission_limits *limits, struct address_list *lists)
{
	admission->limits = *limits;
	address_list_deinit(&admission->lists);
	admission->lists = *lists;
	*lists = (struct address_list){ 0 };
}

/* ---- connections ---- */

static struct connection_count *
count_find(const struct admission *admission, const struct prefix *prefix)
{
	struct prefix_node *node = prefix_table_find(&admission->counts, prefix);

	return node == NULL ? NULL : container_of(node, struct connection_count, node);
}

static bool
is_reached(const struct admission *admission, const struct prefix *prefix, uint32_t limit)
{
	const struct connection_count *count = limit > 0 ? count_find(admission, prefix) : NULL;

	return count != NULL && count->connections >= limit;
}

/* False without memory. */
static bool
count_up(struct admission *admission, const struct prefix *prefix)
{
	struct connection_count *count = count_find(admission, prefix);

	if (count == NULL) {
		count = slab_new(&admission->count_slab);
		if (count == NULL)
			return false;
		count->node.prefix = *prefix;
		prefix_table_add(&admission->counts, &count->node);
	}
	count->connections++;
	return true;
}

static void
count_down(struct admission *admission, const struct prefix *prefix)
{
	struct connection_count *count = count_find(admission, prefix);

	if (count == NULL || --count->connections > 0)
		return;
	prefix_table_remove(&admission->counts, &count->node);
	slab_free(&admission->count_slab, count);
}

void
admission_left(struct admission *admission, const struct in6_addr *address)
{
	struct prefix alone = prefix_around(address, PREFIX_LENGTH_MAX), network = network_of(address);

	count_down(admission, &alone);
	count_down(admission, &network);
}

/* ---- pasts ---- */

static struct past *
past_find(const struct admission *admission, const struct in6_addr *address)
{
	struct prefix source = source_of(address);
	struct prefix_node *node = prefix_table_find(&admission->pasts, &source);

	return node == NULL ? NULL : container_of(node, struct past, node);
}

static struct past_queue *
queue_of(struct admission *admission, const struct past *past)
{
	return past->has_failed ? &admission->failed : &admission->quiet;
}

/* To the end of the queue where it belongs now. */
static void
past_queue(struct admission *admission, struct past *past, bool has_failed, uint64_t now)
{
	TAILQ_REMOVE(queue_of(admission, past), past, entry);
	past->has_failed = has_failed;
	past->since = now;
	TAILQ_INSERT_TAIL(queue_of(admission, past), past, entry);
}

static void
unsaid_add(struct admission *admission, uint64_t now, uint32_t refusals)
{
	if (admission->unsaid == 0)
		admission->unsaid_since = now;
	admission->unsaid += refusals;
}

static void
past_forget(struct admission *admission, struct past *past, uint64_t now)
{
	if (past->said != 0) {
		TAILQ_REMOVE(&admission->refused, past, refusal);
		unsaid_add(admission, now, past->refusals);
	}
	TAILQ_REMOVE(queue_of(admission, past), past, entry);
	prefix_table_remove(&admission->pasts, &past->node);
	slab_free(&admission->past_slab, past);
}

/* How long one without failed logins is kept: until as many may come at once as ever. */
static uint64_t
quiet_time(const struct admission *admission)
{
	const struct rate_limit *rate = &admission->limits.address_rate;
	uint64_t time = rate->per_second > 0 ? ((uint64_t)rate->burst * 1000) / rate->per_second + 1 : 0;

	return time > QUIET_MAX ? QUIET_MAX : time < ADMISSION_REFUSAL_TIME ? ADMISSION_REFUSAL_TIME : time;
}

/* Half of them for each half-life that is over; always less than twice the limit, which a reload may have made smaller. */
static void
failures_decay(const struct admission *admission, struct past *past, uint64_t now)
{
	uint64_t halvings = (now - past->failed_since) / ADMISSION_FAILURE_HALF_LIFE;
	uint32_t limit = admission->limits.login_failures;

	if (limit > 0 && past->failures >= 2 * limit)
		past->failures = 2 * limit - 1;
	if (halvings == 0)
		return;
	past->failures = halvings < HALF_LIVES_MAX ? past->failures >> halvings : 0;
	past->failed_since += halvings * ADMISSION_FAILURE_HALF_LIFE;
	past->forgiven = false;
}

/* Those of the failed queue are looked at once in a half-life, until nothing is left. False: nothing was to be done. */
static bool
expire_one(struct admission *admission, uint64_t now)
{
	struct past *past = TAILQ_FIRST(&admission->quiet);

	if (past != NULL && now - past->since >= quiet_time(admission)) {
		/* As long as refusals are said of it, or may have to be, it is not over. */
		if (past->said != 0)
			past_queue(admission, past, false, now);
		else
			past_forget(admission, past, now);
		return true;
	}
	past = TAILQ_FIRST(&admission->failed);
	if (past == NULL || now - past->since < ADMISSION_FAILURE_HALF_LIFE)
		return false;
	failures_decay(admission, past, now);
	past_queue(admission, past, past->failures > 0, now);
	return true;
}

static void
expire_some(struct admission *admission, uint64_t now)
{
	for (unsigned i = 0; i < EXPIRE_STEPS; i++)
		expire_one(admission, now);
}

/* The past of a source, a new one where there is none; NULL without memory. */
static struct past *
past_get(struct admission *admission, uint64_t now, const struct in6_addr *address)
{
	struct past *past = past_find(admission, address);

	if (past != NULL) {
		if (!past->has_failed)
			past_queue(admission, past, false, now);
		return past;
	}
	if (admission->pasts.count >= ADMISSION_PASTS_MAX)
		past_forget(admission, TAILQ_EMPTY(&admission->quiet) ? TAILQ_FIRST(&admission->failed) :
		    TAILQ_FIRST(&admission->quiet), now);
	past = slab_new(&admission->past_slab);
	if (past == NULL)
		return NULL;
	past->node.prefix = source_of(address);
	past->since = now;
	prefix_table_add(&admission->pasts, &past->node);
	TAILQ_INSERT_TAIL(&admission->quiet, past, entry);
	return past;
}

void
admission_deinit(struct admission *admission)
{
	struct past *past;

	while (admission->pasts.buckets != NULL && ((past = TAILQ_FIRST(&admission->quiet)) != NULL ||
	    (past = TAILQ_FIRST(&admission->failed)) != NULL))
		past_forget(admission, past, 0);
	for (size_t i = 0; i < admission->counts.bucket_count; i++) {
		while (admission->counts.buckets != NULL && admission->counts.buckets[i] != NULL) {
			struct prefix_node *node = admission->counts.buckets[i];

			admission->counts.buckets[i] = node->next;
			slab_free(&admission->count_slab, container_of(node, struct connection_count, node));
		}
	}
	prefix_table_deinit(&admission->counts);
	prefix_table_deinit(&admission->pasts);
	slab_deinit(&admission->count_slab);
	slab_deinit(&admission->past_slab);
	address_list_deinit(&admission->lists);
	*admission = (struct admission){ 0 };
}

/* ---- who comes ---- */

static enum admission_verdict
rate_judge(struct admission *admission, uint64_t now, const struct in6_addr *address)
{
	struct past *past;

	if (admission->limits.address_rate.per_second == 0)
		return ADMISSION_GRANTED;
	past = past_get(admission, now, address);
	if (past == NULL)
		return ADMISSION_FULL;
	return rate_take(&past->rate, &admission->limits.address_rate, now, 1) ? ADMISSION_GRANTED : ADMISSION_RATE;
}

static enum admission_verdict
judge(struct admission *admission, uint64_t now, const struct in6_addr *address)
{
	const struct admission_limits *limits = &admission->limits;
	struct prefix alone = prefix_around(address, PREFIX_LENGTH_MAX), network = network_of(address);

	if (!address_list_permits(&admission->lists, address))
		return ADMISSION_DENIED;
	if (limits->login_failures > 0 && admission_failures(admission, now, address) >= limits->login_failures)
		return ADMISSION_FAILURES;
	if (is_reached(admission, &alone, limits->address_connections))
		return ADMISSION_ADDRESS;
	if (is_reached(admission, &network, limits->network_connections))
		return ADMISSION_NETWORK;
	return rate_judge(admission, now, address);
}

enum admission_verdict
admission_arrived(struct admission *admission, uint64_t now, const struct in6_addr *address)
{
	struct prefix alone = prefix_around(address, PREFIX_LENGTH_MAX), network = network_of(address);
	enum admission_verdict verdict;

	expire_some(admission, now);
	verdict = judge(admission, now, address);
	if (verdict != ADMISSION_GRANTED)
		return verdict;
	if (!count_up(admission, &alone))
		return ADMISSION_FULL;
	if (!count_up(admission, &network)) {
		count_down(admission, &alone);
		return ADMISSION_FULL;
	}
	admission->verdicts[ADMISSION_GRANTED]++;
	return ADMISSION_GRANTED;
}

void
admission_passed(struct admission *admission, uint64_t now)
{
	rate_take(&admission->rate, &admission->limits.rate, now, 1);
}

uint32_t
admission_pause(const struct admission *admission, uint64_t now)
{
	const struct rate_limit *limit = &admission->limits.rate;
	struct rate rate = admission->rate;

	if (limit->per_second == 0 || rate_take(&rate, limit, now, 1))
		return 0;
	return limit->per_second > 1000 / PAUSE_MIN ? PAUSE_MIN : 1000 / limit->per_second + 1;
}

/* ---- what is said of refusals ---- */

static const struct rate_limit line_limit = { .burst = ADMISSION_LINES_BURST, .per_second = ADMISSION_LINES_RATE };

bool
admission_refused(struct admission *admission, uint64_t now, const struct in6_addr *address,
    enum admission_verdict verdict)
{
	struct past *past = past_get(admission, now, address);
	bool say;

	admission->verdicts[verdict]++;
	if (past == NULL) {
		unsaid_add(admission, now, 1);
		return false;
	}
	past->address = *address;
	past->verdict = (uint8_t)verdict;
	say = past->said == 0 && rate_take(&admission->lines, &line_limit, now, 1);
	past->refusals += !say && past->refusals < UINT32_MAX;
	if (past->said == 0) {
		past->said = now > 0 ? now : 1;
		TAILQ_INSERT_TAIL(&admission->refused, past, refusal);
	}
	return say;
}

/* The time of the oldest line is over: true when there were more since. */
static bool
refusals_say(struct admission *admission, struct past *past, uint64_t now, struct admission_notice *notice_r)
{
	bool say = past->refusals > 0 && rate_take(&admission->lines, &line_limit, now, 1);

	*notice_r = (struct admission_notice){
		.address = past->address, .verdict = (enum admission_verdict)past->verdict, .times = past->refusals,
		.seconds = (now - past->said) / 1000,
	};
	TAILQ_REMOVE(&admission->refused, past, refusal);
	if (past->refusals == 0) {
		past->said = 0;
		return false;
	}
	if (!say)
		unsaid_add(admission, now, past->refusals);
	past->refusals = 0;
	past->said = now;
	TAILQ_INSERT_TAIL(&admission->refused, past, refusal);
	return say;
}

bool
admission_next(struct admission *admission, uint64_t now, struct admission_notice *notice_r)
{
	struct past *past;

	while ((past = TAILQ_FIRST(&admission->refused)) != NULL && now - past->said >= ADMISSION_REFUSAL_TIME) {
		if (refusals_say(admission, past, now, notice_r))
			return true;
	}
	while (expire_one(admission, now))
		;
	if (admission->unsaid == 0 || now - admission->unsaid_since < ADMISSION_REFUSAL_TIME)
		return false;
	*notice_r = (struct admission_notice){
		.times = admission->unsaid, .seconds = (now - admission->unsaid_since) / 1000,
	};
	admission->unsaid = 0;
	return true;
}

uint64_t
admission_due(const struct admission *admission)
{
	const struct past *refused = TAILQ_FIRST(&admission->refused), *quiet = TAILQ_FIRST(&admission->quiet);
	const struct past *failed = TAILQ_FIRST(&admission->failed);
	uint64_t times[] = {
		refused != NULL ? refused->said + ADMISSION_REFUSAL_TIME : UINT64_MAX,
		quiet != NULL ? quiet->since + quiet_time(admission) : UINT64_MAX,
		failed != NULL ? failed->since + ADMISSION_FAILURE_HALF_LIFE : UINT64_MAX,
		admission->unsaid > 0 ? admission->unsaid_since + ADMISSION_REFUSAL_TIME : UINT64_MAX,
	};
	uint64_t due = UINT64_MAX;

	for (size_t i = 0; i < sizeof times / sizeof times[0]; i++)
		due = times[i] < due ? times[i] : due;
	return due;
}

/* ---- logins ---- */

bool
admission_login_failed(struct admission *admission, uint64_t now, const struct in6_addr *address)
{
	uint32_t limit = admission->limits.login_failures;
	struct past *past;

	expire_some(admission, now);
	past = past_get(admission, now, address);
	if (past == NULL)
		return false;
	failures_decay(admission, past, now);
	if (past->failures == 0) {
		past->failed_since = now;
		past->forgiven = false;
	}
	/* One less than twice the limit: half of them is below it. */
	past->failures += past->failures < (limit == 0 ? UINT32_MAX : 2 * limit - 1);
	past_queue(admission, past, true, now);
	return limit > 0 && past->failures >= limit;
}

void
admission_login_succeeded(struct admission *admission, uint64_t now, const struct in6_addr *address)
{
	struct past *past = past_find(admission, address);

	if (past == NULL)
		return;
	failures_decay(admission, past, now);
	if (past->forgiven)
		return;
	past->failures /= 2;
	past->forgiven = past->failures > 0;
}

uint32_t
admission_failures(const struct admission *admission, uint64_t now, const struct in6_addr *address)
{
	struct past *past = past_find(admission, address);

	if (past == NULL)
		return 0;
	failures_decay(admission, past, now);
	return past->failures;
}

const char *
admission_verdict_name(enum admission_verdict verdict)
{
	static const char *const names[ADMISSION_VERDICT_COUNT] = {
		[ADMISSION_GRANTED] = "granted",
		[ADMISSION_DENIED] = "denied",
		[ADMISSION_FAILURES] = "failures",
		[ADMISSION_ADDRESS] = "address",
		[ADMISSION_NETWORK] = "network",
		[ADMISSION_RATE] = "rate",
		[ADMISSION_FULL] = "full",
		[ADMISSION_UNTRUSTED] = "untrusted",
	};

	return (unsigned)verdict < ADMISSION_VERDICT_COUNT ? names[verdict] : "?";
}
