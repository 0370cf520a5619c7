/* outbox: whatever happens to a link in whatever order, what was to go is acknowledged, waits, or is lost with a word. */
#include <stdlib.h>
#include <string.h>

#include "dialect/ack.h"
#include "master/outbox.h"
#include "tests/dialect/tap.h"

#define STEPS 3000

static struct outbox outbox;
static struct ack ack;
static uint64_t given;		/* bytes, on this connection */

/* xorshift: the same each time. */
static unsigned
next(unsigned *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

static uint64_t
elements(const struct outbox_queue *queue)
{
	const struct outbox_packet *packet;
	uint64_t count = 0;

	STAILQ_FOREACH(packet, queue, entry)
		count += packet->counted;
	return count;
}

static void
assert_law(void)
{
	ck_assert(outbox_balances(&outbox));
	ck_assert_uint_eq(outbox.counters.waiting, elements(&outbox.queue) + elements(&outbox.sent));
}

static void
write_some(unsigned dice)
{
	struct iovec vectors[4];
	size_t bytes;
	bool end;

	if (outbox_gather(&outbox, vectors, 4, &bytes, &end) == 0)
		return;
	bytes = dice % 2 == 0 ? bytes : dice % bytes;
	outbox_written(&outbox, &ack, given, bytes);
	given += bytes;
}

static void
cut(unsigned dice)
{
	struct outbox_packet *packet;

	outbox_cut(&outbox);
	outbox_requeue(&outbox, dice % 3 == 0, dice % 3 == 1);
	given = 0;
	while ((packet = outbox_take_given_up(&outbox)) != NULL)
		outbox_packet_free(packet);
}

static void
step(unsigned dice)
{
	unsigned more = dice >> 8;

	switch (dice % 16) {
	case 0:
		cut(more);
		break;
	case 1:
		outbox_refuse(&outbox);
		break;
	case 2:
	case 3:
		outbox_acknowledged(&outbox, more % (outbox.waiting + 1));
		break;
	case 4:
	case 5:
		outbox_arrived(&outbox, more % (given + 1));
		break;
	case 6:
	case 7:
	case 8:
	case 9:
	case 10:
		write_some(more);
		break;
	default:
		ck_assert(outbox_add(&outbox, more, "<message><body>any</body></message>", 1 + more % 34, more % 50 != 0));
	}
}

START_TEST(always_in_balance)
{
	unsigned state = (unsigned)_i * 2654435761u + 1;

	ack.on = _i % 2 == 0;
	for (unsigned i = 0; i < STEPS; i++) {
		step(next(&state));
		assert_law();
	}
	ck_assert_uint_gt(outbox.counters.acknowledged, 0);
	ck_assert_uint_gt(outbox.counters.lost, 0);
	ck_assert_uint_gt(outbox.counters.again, 0);
}
END_TEST

START_TEST(imbalance_is_seen)
{
	outbox_refuse(&outbox);
	ck_assert(outbox_balances(&outbox));
	outbox.counters.in++;
	ck_assert(!outbox_balances(&outbox));
}
END_TEST

static void
setup(void)
{
	outbox_init(&outbox);
	ack = (struct ack){ 0 };
	given = 0;
}

static void
teardown(void)
{
	outbox_deinit(&outbox);
}

int
main(void)
{
	Suite *suite = suite_create("outbox");
	TCase *tests = tcase_create("outbox");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_loop_test(tests, always_in_balance, 0, 20);
	tcase_add_test(tests, imbalance_is_seen);
	suite_add_tcase(suite, tests);
	return tap_run(suite);
}
