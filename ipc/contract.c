#include "ipc/contract.h"

#define IN_NEW (1u << PHASE_NEW)
#define IN_SETUP (1u << PHASE_SETUP)
#define IN_RUNNING (1u << PHASE_RUNNING)

/* The shortest and longest bodies follow from message.h. */
static const struct contract_row {
	const char *name;
	enum contract_side sender;
	uint8_t phases;
	bool descriptor;
	uint32_t min, max;
	bool secret;
} rows[FRAME_TYPE_COUNT] = {
	[M2W_HELLO] = { "M2W_HELLO", CONTRACT_MASTER, IN_NEW, false, 4, 4, false },
	[M2W_SETTINGS] = { "M2W_SETTINGS", CONTRACT_MASTER, IN_SETUP | IN_RUNNING, false, 16, 1024 * 1024, false },
	[M2W_CLIENT] = { "M2W_CLIENT", CONTRACT_MASTER, IN_RUNNING, true, 21, 21, false },
	[M2W_PACKET] = { "M2W_PACKET", CONTRACT_MASTER, IN_RUNNING, false, 9, FRAME_BODY_MAX, false },
	[M2W_CLOSE] = { "M2W_CLOSE", CONTRACT_MASTER, IN_RUNNING, false, 1, 1, false },
	[M2W_CLOSE_ALL] = { "M2W_CLOSE_ALL", CONTRACT_MASTER, IN_RUNNING, false, 1, 1, false },
	[M2W_STOP] = { "M2W_STOP", CONTRACT_MASTER, IN_RUNNING, false, 0, 0, false },
	[M2W_GO] = { "M2W_GO", CONTRACT_MASTER, IN_RUNNING, false, 0, 0, false },
	[M2W_LOST] = { "M2W_LOST", CONTRACT_MASTER, IN_RUNNING, false, 0, 0, false },
	[M2W_PING] = { "M2W_PING", CONTRACT_MASTER, IN_SETUP | IN_RUNNING, false, 0, 0, false },
	[M2W_SURVEY] = { "M2W_SURVEY", CONTRACT_MASTER, IN_RUNNING, false, 4, 1540, false },
	[M2W_TRACE] = { "M2W_TRACE", CONTRACT_MASTER, IN_RUNNING, false, 1, 1, false },
	[M2W_CERTIFICATE] = { "M2W_CERTIFICATE", CONTRACT_MASTER, IN_SETUP | IN_RUNNING, false, 10, 28392, true },
	[M2W_TICKETS] = { "M2W_TICKETS", CONTRACT_MASTER, IN_SETUP | IN_RUNNING, false, 80, 240, true },
	[M2W_ADMITTED] = { "M2W_ADMITTED", CONTRACT_MASTER, IN_RUNNING, false, 1, 1, false },
	[M2W_RENEWED] = { "M2W_RENEWED", CONTRACT_MASTER, IN_RUNNING, false, 8, 8, false },

	[W2M_HELLO] = { "W2M_HELLO", CONTRACT_WORKER, IN_NEW, false, 4, 4, false },
	[W2M_READY] = { "W2M_READY", CONTRACT_WORKER, IN_SETUP | IN_RUNNING, false, 0, 0, false },
	[W2M_TAKEN] = { "W2M_TAKEN", CONTRACT_WORKER, IN_RUNNING, false, 0, 0, false },
	[W2M_REFUSED] = { "W2M_REFUSED", CONTRACT_WORKER, IN_RUNNING, false, 0, 0, false },
	[W2M_PACKET] = { "W2M_PACKET", CONTRACT_WORKER, IN_RUNNING, false, 1, FRAME_BODY_MAX, false },
	[W2M_SESSION] = { "W2M_SESSION", CONTRACT_WORKER, IN_RUNNING, false, 1, CONTRACT_ADDRESS_MAX, false },
	[W2M_SETTLED] = { "W2M_SETTLED", CONTRACT_WORKER, IN_RUNNING, false, 8, 8, false },
	[W2M_CONSUMED] = { "W2M_CONSUMED", CONTRACT_WORKER, IN_RUNNING, false, 8, 8, false },
	[W2M_ENDED] = { "W2M_ENDED", CONTRACT_WORKER, IN_RUNNING, false, 3, 3, false },
	[W2M_PONG] = { "W2M_PONG", CONTRACT_WORKER, IN_SETUP | IN_RUNNING, false, 76, 76, false },
	[W2M_LOG] = { "W2M_LOG", CONTRACT_WORKER, IN_SETUP | IN_RUNNING, false, 2, 2048, false },
	[W2M_SURVEY] = { "W2M_SURVEY", CONTRACT_WORKER, IN_RUNNING, false, 4, 7684, false },
	[W2M_TRACE] = { "W2M_TRACE", CONTRACT_WORKER, IN_RUNNING, false, 10, 4106, false },
	[W2M_ADDRESS] = { "W2M_ADDRESS", CONTRACT_WORKER, IN_RUNNING, false, 18, 18, false },
	[W2M_LOGIN_FAILED] = { "W2M_LOGIN_FAILED", CONTRACT_WORKER, IN_RUNNING, false, 0, 0, false },
	[W2M_RENEW] = { "W2M_RENEW", CONTRACT_WORKER, IN_RUNNING, false, 0, 0, false },
};

static const struct contract_row *
row_find(uint16_t type)
{
	return type < FRAME_TYPE_COUNT && rows[type].name != NULL ? &rows[type] : NULL;
}

enum contract_breach
contract_check(const struct frame *frame, enum contract_side sender, enum contract_phase phase)
{
	const struct contract_row *row = row_find(frame->type);

	if (row == NULL)
		return BREACH_UNKNOWN_TYPE;
	if (row->sender != sender)
		return BREACH_WRONG_SIDE;
	if ((row->phases & (1u << phase)) == 0)
		return BREACH_WRONG_PHASE;
	if (frame->length < row->min || frame->length > row->max)
		return BREACH_LENGTH;
	return BREACH_NONE;
}

enum contract_phase
contract_advance(enum contract_phase phase, uint16_t type)
{
	if (type == M2W_HELLO || type == W2M_HELLO)
		return PHASE_SETUP;
	if (type == M2W_SETTINGS || type == W2M_READY)
		return PHASE_RUNNING;
	return phase;
}

bool
contract_carries_descriptor(uint16_t type)
{
	const struct contract_row *row = row_find(type);

	return row != NULL && row->descriptor;
}

bool
contract_is_secret(uint16_t type, uint16_t flags)
{
	const struct contract_row *row = row_find(type);

	return row != NULL && (row->secret || (type == W2M_PACKET && (flags & FRAME_FLAG_SECRET) != 0));
}

const char *
contract_name(uint16_t type)
{
	const struct contract_row *row = row_find(type);

	return row != NULL ? row->name : "?";
}

const char *
contract_breach_name(enum contract_breach breach)
{
	static const char *const names[] = {
		[BREACH_NONE] = "none",
		[BREACH_UNKNOWN_TYPE] = "unknown-type",
		[BREACH_WRONG_SIDE] = "wrong-side",
		[BREACH_WRONG_PHASE] = "wrong-phase",
		[BREACH_LENGTH] = "wrong-length",
		[BREACH_VERSION] = "other-version",
		[BREACH_BODY] = "bad-body",
		[BREACH_CLIENT] = "not-its-client",
		[BREACH_TOO_LONG] = "too-long",
		[BREACH_DESCRIPTOR] = "unexpected-descriptor",
		[BREACH_FORGED] = "forged-packet",
		[BREACH_FLOW] = "ignores-stop",
		[BREACH_ADDRESS] = "unasked-address",
		[BREACH_RENEWAL] = "untimely-renewal",
	};

	return names[breach];
}
