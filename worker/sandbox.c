#include "worker/sandbox.h"

#include <errno.h>
#include <linux/futex.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <seccomp.h>
#include <signal.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Conditions for the arguments of one rule; all of them have to hold. */
#define CONDITIONS_MAX 3

struct rule {
	int number;
	unsigned count;
	struct scmp_arg_cmp conditions[CONDITIONS_MAX];
};

/* For the int at that place: what stands in the register's upper half is nobody's business, the kernel's neither. */
static struct scmp_arg_cmp
is(unsigned place, uint32_t value)
{
	return (struct scmp_arg_cmp){ .arg = place, .op = SCMP_CMP_MASKED_EQ, .datum_a = UINT32_MAX, .datum_b = value };
}

static struct scmp_arg_cmp
has(unsigned place, uint32_t bits)
{
	return (struct scmp_arg_cmp){ .arg = place, .op = SCMP_CMP_MASKED_EQ, .datum_a = bits, .datum_b = bits };
}

static struct scmp_arg_cmp
has_not(unsigned place, uint32_t bits)
{
	return (struct scmp_arg_cmp){ .arg = place, .op = SCMP_CMP_MASKED_EQ, .datum_a = bits, .datum_b = 0 };
}

static struct scmp_arg_cmp
is_null(unsigned place)
{
	return (struct scmp_arg_cmp){ .arg = place, .op = SCMP_CMP_EQ, .datum_a = 0 };
}

#define ALWAYS(name) { SCMP_SYS(name), 0, { { 0 } } }
#define IF(name, ...) { SCMP_SYS(name), COUNT(((struct scmp_arg_cmp[]){ __VA_ARGS__ })), { __VA_ARGS__ } }

/* The filter tries it before those of lower priority. */
static int
rule_add(scmp_filter_ctx context, const struct rule *rule, uint8_t priority)
{
	int result = seccomp_rule_add_array(context, SCMP_ACT_ALLOW, rule->number, rule->count, rule->conditions);

	return result < 0 ? result : seccomp_syscall_priority(context, rule->number, priority);
}

/* What is asked for most often stands first, and is tried first. */
static int
rules_add(scmp_filter_ctx context, int channel)
{
	const struct rule rules[] = {
		/* The loop. */
		ALWAYS(epoll_wait),
		ALWAYS(epoll_pwait),		/* what epoll_wait is on newer architectures */
		ALWAYS(epoll_ctl),
		/* Clients: recv and send without an address, so that nothing is sent to somebody else. */
		IF(recvfrom, is_null(4)),
		IF(sendto, is_null(4)),
		IF(ioctl, is(1, SIOCOUTQ)),	/* what they have not acknowledged */
		/* Frames, and the clients' descriptors with them. */
		IF(recvmsg, is(0, (uint32_t)channel)),
		IF(sendmsg, is(0, (uint32_t)channel)),
		/* Memory: malloc, free, the parser's and ours; never a file's, never to be executed. */
		ALWAYS(brk),
		IF(mmap, has_not(2, PROT_EXEC), has(3, MAP_ANONYMOUS)),
		ALWAYS(munmap),
		ALWAYS(mremap),
		ALWAYS(madvise),
		IF(mprotect, has_not(2, PROT_EXEC)),
		/* Where these do not stay in the process: a machine whose clock the vDSO cannot read. */
		ALWAYS(clock_gettime),
		ALWAYS(gettimeofday),
		ALWAYS(time),			/* OpenSSL: how old a ticket is */
		/* A client comes, and goes. */
		IF(setsockopt, is(1, IPPROTO_TCP), is(2, TCP_NODELAY)),
		IF(setsockopt, is(1, IPPROTO_TCP), is(2, TCP_USER_TIMEOUT)),
		IF(setsockopt, is(1, SOL_SOCKET), is(2, SO_SNDBUF)),
		IF(setsockopt, is(1, SOL_SOCKET), is(2, SO_LINGER)),
		IF(shutdown, is(1, SHUT_WR)),
		ALWAYS(close),
		/* arc4random: the ids of streams. */
		ALWAYS(getrandom),
		/* pthread_once and the locks of the C library, of which nobody waits for any. */
		IF(futex, is(1, FUTEX_WAKE_PRIVATE)),
		IF(futex, is(1, FUTEX_WAIT_PRIVATE)),
		/* abort and assert: the last words, and the signal, for nobody but us. */
		IF(write, is(0, STDERR_FILENO)),
		IF(writev, is(0, STDERR_FILENO)),
		ALWAYS(rt_sigprocmask),
		ALWAYS(getpid),
		ALWAYS(gettid),
		IF(tgkill, is(0, (uint32_t)getpid()), is(2, SIGABRT)),
		/* The end. */
		ALWAYS(exit_group),
		/* What some of the above are called where a word has 32 bits; libseccomp passes over them elsewhere. */
		ALWAYS(recv),
		ALWAYS(send),
		IF(mmap2, has_not(2, PROT_EXEC), has(3, MAP_ANONYMOUS)),
		ALWAYS(clock_gettime64),
		IF(futex_time64, is(1, FUTEX_WAKE_PRIVATE)),
		IF(futex_time64, is(1, FUTEX_WAIT_PRIVATE)),
	};
	int result = 0;

	for (size_t i = 0; i < COUNT(rules) && result == 0; i++)
		result = rule_add(context, &rules[i], (uint8_t)(UINT8_MAX - i));
	return result;
}

bool
sandbox_is_built(void)
{
	return true;
}

int
sandbox_enter(int channel)
{
	scmp_filter_ctx context = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int result;

	if (context == NULL)
		return -ENOMEM;
	/* Other architectures of the same machine (32 bits, x32) have other numbers: nothing of them. */
	result = seccomp_attr_set(context, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	if (result == 0)
		result = rules_add(context, channel);
	if (result == 0)
		result = seccomp_load(context);
	seccomp_release(context);
	return result;
}
