/* contract: who may send which frame when and how long, row by row, written down a second time here. */
#include <string.h>

#include "tests/dialect/tap.h"
#include "tests/ipc/sample.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct row {
	uint16_t type;
	const char *name;
	enum contract_side sender;
	const char *phases;	/* of n(ew), s(etup), r(unning) */
	bool descriptor;
	uint32_t min, max;
	bool secret;
} rows[] = {
	{ M2W_HELLO, "M2W_HELLO", CONTRACT_MASTER, "n", false, 4, 4, false },
	{ M2W_SETTINGS, "M2W_SETTINGS", CONTRACT_MASTER, "sr", false, 16, 1 << 20, false },
	{ M2W_CLIENT, "M2W_CLIENT", CONTRACT_MASTER, "r", true, 21, 21, false },
	{ M2W_PACKET, "M2W_PACKET", CONTRACT_MASTER, "r", false, 9, FRAME_BODY_MAX, false },
	{ M2W_CLOSE, "M2W_CLOSE", CONTRACT_MASTER, "r", false, 1, 1, false },
	{ M2W_CLOSE_ALL, "M2W_CLOSE_ALL", CONTRACT_MASTER, "r", false, 1, 1, false },
	{ M2W_STOP, "M2W_STOP", CONTRACT_MASTER, "r", false, 0, 0, false },
	{ M2W_GO, "M2W_GO", CONTRACT_MASTER, "r", false, 0, 0, false },
	{ M2W_LOST, "M2W_LOST", CONTRACT_MASTER, "r", false, 0, 0, false },
	{ M2W_PING, "M2W_PING", CONTRACT_MASTER, "sr", false, 0, 0, false },
	{ M2W_SURVEY, "M2W_SURVEY", CONTRACT_MASTER, "r", false, 4, 4 + 128 * 12, false },
	{ M2W_TRACE, "M2W_TRACE", CONTRACT_MASTER, "r", false, 1, 1, false },
	{ M2W_CERTIFICATE, "M2W_CERTIFICATE", CONTRACT_MASTER, "sr", false, 10, 8 + 12000 + 16384, true },
	{ M2W_TICKETS, "M2W_TICKETS", CONTRACT_MASTER, "sr", false, 80, 240, true },
	{ M2W_ADMITTED, "M2W_ADMITTED", CONTRACT_MASTER, "r", false, 1, 1, false },
	{ M2W_RENEWED, "M2W_RENEWED", CONTRACT_MASTER, "r", false, 8, 8, false },
	{ W2M_HELLO, "W2M_HELLO", CONTRACT_WORKER, "n", false, 4, 4, false },
	{ W2M_READY, "W2M_READY", CONTRACT_WORKER, "sr", false, 0, 0, false },
	{ W2M_TAKEN, "W2M_TAKEN", CONTRACT_WORKER, "r", false, 0, 0, false },
	{ W2M_REFUSED, "W2M_REFUSED", CONTRACT_WORKER, "r", false, 0, 0, false },
	{ W2M_PACKET, "W2M_PACKET", CONTRACT_WORKER, "r", false, 1, FRAME_BODY_MAX, false },
	{ W2M_SESSION, "W2M_SESSION", CONTRACT_WORKER, "r", false, 1, 3072, false },
	{ W2M_SETTLED, "W2M_SETTLED", CONTRACT_WORKER, "r", false, 8, 8, false },
	{ W2M_CONSUMED, "W2M_CONSUMED", CONTRACT_WORKER, "r", false, 8, 8, false },
	{ W2M_ENDED, "W2M_ENDED", CONTRACT_WORKER, "r", false, 3, 3, false },
	{ W2M_PONG, "W2M_PONG", CONTRACT_WORKER, "sr", false, 76, 76, false },
	{ W2M_LOG, "W2M_LOG", CONTRACT_WORKER, "sr", false, 2, 2048, false },
	{ W2M_SURVEY, "W2M_SURVEY", CONTRACT_WORKER, "r", false, 4, 4 + 128 * 60, false },
	{ W2M_TRACE, "W2M_TRACE", CONTRACT_WORKER, "r", false, 10, 10 + 4096, false },
	{ W2M_ADDRESS, "W2M_ADDRESS", CONTRACT_WORKER, "r", false, 18, 18, false },
	{ W2M_LOGIN_FAILED, "W2M_LOGIN_FAILED", CONTRACT_WORKER, "r", false, 0, 0, false },
	{ W2M_RENEW, "W2M_RENEW", CONTRACT_WORKER, "r", false, 0, 0, false },
};

START_TEST(no_type_is_missing_here)
{
	ck_assert_uint_eq(COUNT(rows), FRAME_TYPE_COUNT - 1);
	for (unsigned i = 0; i < COUNT(rows); i++)
		ck_assert_uint_eq(rows[i].type, i + 1);
}
END_TEST

static enum contract_breach
check(uint16_t type, uint32_t length, enum contract_side sender, enum contract_phase phase)
{
	struct frame frame = { .type = type, .length = length };

	return contract_check(&frame, sender, phase);
}

START_TEST(row_by_row)
{
	const struct row *row = &rows[_i];
	enum contract_side other = row->sender == CONTRACT_MASTER ? CONTRACT_WORKER : CONTRACT_MASTER;
	static const char phases[] = "nsr";

	ck_assert_str_eq(contract_name(row->type), row->name);
	ck_assert(contract_carries_descriptor(row->type) == row->descriptor);
	ck_assert(contract_is_secret(row->type, 0) == row->secret);
	ck_assert(contract_is_secret(row->type, FRAME_FLAG_SECRET) == (row->secret || row->type == W2M_PACKET));
	for (unsigned phase = PHASE_NEW; phase <= PHASE_RUNNING; phase++) {
		enum contract_phase now = (enum contract_phase)phase;

		ck_assert_int_eq(check(row->type, row->min, other, now), BREACH_WRONG_SIDE);
		if (strchr(row->phases, phases[phase]) == NULL) {
			ck_assert_int_eq(check(row->type, row->min, row->sender, now), BREACH_WRONG_PHASE);
			continue;
		}
		ck_assert_int_eq(check(row->type, row->min, row->sender, now), BREACH_NONE);
		ck_assert_int_eq(check(row->type, row->max, row->sender, now), BREACH_NONE);
		ck_assert_int_eq(check(row->type, row->max + 1, row->sender, now), BREACH_LENGTH);
		if (row->min > 0)
			ck_assert_int_eq(check(row->type, row->min - 1, row->sender, now), BREACH_LENGTH);
	}
}
END_TEST

START_TEST(samples_fit)
{
	struct buffer body = { 0 };

	sample_body(&body, (uint16_t)_i);
	ck_assert_int_eq(check((uint16_t)_i, (uint32_t)buffer_length(&body), sample_sender((uint16_t)_i),
	    sample_phase((uint16_t)_i)), BREACH_NONE);
	buffer_deinit(&body);
}
END_TEST

START_TEST(others_are_unknown)
{
	static const uint16_t types[] = { 0, FRAME_TYPE_COUNT, FRAME_TYPE_COUNT + 1, 0x100 + M2W_HELLO, UINT16_MAX };

	for (unsigned i = 0; i < COUNT(types); i++) {
		ck_assert_int_eq(check(types[i], 0, CONTRACT_MASTER, PHASE_RUNNING), BREACH_UNKNOWN_TYPE);
		ck_assert_int_eq(check(types[i], 0, CONTRACT_WORKER, PHASE_NEW), BREACH_UNKNOWN_TYPE);
		ck_assert_str_eq(contract_name(types[i]), "?");
		ck_assert(!contract_carries_descriptor(types[i]));
	}
}
END_TEST

START_TEST(phases_follow_each_other)
{
	ck_assert_int_eq(contract_advance(PHASE_NEW, M2W_HELLO), PHASE_SETUP);
	ck_assert_int_eq(contract_advance(PHASE_NEW, W2M_HELLO), PHASE_SETUP);
	ck_assert_int_eq(contract_advance(PHASE_SETUP, M2W_SETTINGS), PHASE_RUNNING);
	ck_assert_int_eq(contract_advance(PHASE_SETUP, W2M_READY), PHASE_RUNNING);
	ck_assert_int_eq(contract_advance(PHASE_RUNNING, M2W_SETTINGS), PHASE_RUNNING);
	ck_assert_int_eq(contract_advance(PHASE_SETUP, M2W_PING), PHASE_SETUP);
	ck_assert_int_eq(contract_advance(PHASE_RUNNING, M2W_CLIENT), PHASE_RUNNING);
}
END_TEST

START_TEST(breaches_have_names)
{
	for (int breach = BREACH_NONE; breach < BREACH_COUNT; breach++) {
		ck_assert_ptr_nonnull(contract_breach_name((enum contract_breach)breach));
		for (int other = BREACH_NONE; other < breach; other++)
			ck_assert_str_ne(contract_breach_name((enum contract_breach)breach),
			    contract_breach_name((enum contract_breach)other));
	}
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("contract");
	TCase *tests = tcase_create("contract");

	tcase_add_test(tests, no_type_is_missing_here);
	tcase_add_loop_test(tests, row_by_row, 0, COUNT(rows));
	tcase_add_loop_test(tests, samples_fit, M2W_HELLO, FRAME_TYPE_COUNT);
	tcase_add_test(tests, others_are_unknown);
	tcase_add_test(tests, phases_follow_each_other);
	tcase_add_test(tests, breaches_have_names);
	suite_add_tcase(suite, tests);
	return tap_run(suite);
}
