/*
 * channel: one end of the socketpair between master and worker: frames in, frames out, descriptors with them.
 *
 * Frames that are sent in a turn of the loop are written together at its end. A descriptor travels with its frame: the
 * write that carries it begins at that frame, so the kernel hands the two over together, and the receiver keeps
 * descriptors in a queue until their frames have been parsed. A descriptor that the receiving process had no room for
 * is lost in the kernel (MSG_CTRUNC) while its frame arrives: the frame is then delivered with descriptor -1.
 *
 * Frames that the contract calls secret leave nothing behind: both buffers are wiped wherever such a frame was (buffer.h).
 *
 * The reader checks every frame against the contract before anybody sees it.
 *
 * Overflow: the channel itself has no bound. Each side bounds what it puts in: the master by what it keeps (keeper.h), a
 * worker by not reading clients while channel_is_full().
 */
#ifndef C2SD_IPC_CHANNEL_H
#define C2SD_IPC_CHANNEL_H

#include "common/buffer.h"
#include "common/loop.h"
#include "ipc/contract.h"

/* Above this much unsent a worker stops reading its clients; below half of it, it goes on. */
#define CHANNEL_HIGH (1024u * 1024)

/* Descriptors in one direction at a time; more wait at the sender. */
#define CHANNEL_DESCRIPTORS 64

enum channel_end {
	CHANNEL_CLOSED,		/* the other process has closed its end */
	CHANNEL_BREACH,		/* it sent what the contract does not allow: `breach` */
	CHANNEL_BROKEN,		/* we are: no memory, or the socket failed */
};

struct channel_descriptor {
	uint64_t offset;	/* where in all that was ever sent its frame begins */
	int fd;
};

struct channel {
	struct watch watch;
	struct loop *loop;
	enum contract_side side;	/* who we are */
	enum contract_phase phase;	/* of what we receive */
	enum contract_breach breach;
	struct buffer in, out;
	uint64_t sent;			/* bytes ever written */
	struct job flush;
	struct timer retry;
	struct channel_descriptor queue_out[CHANNEL_DESCRIPTORS];
	unsigned count_out;
	int queue_in[CHANNEL_DESCRIPTORS];
	unsigned count_in;
	bool ended;

	/*
	 * A frame that fits the contract has come, its version (hellos) already checked. `fd` is -1 unless one came with it;
	 * the callee owns it. The body is valid during the call. A breach that only the callee can see is returned.
	 */
	enum contract_breach (*on_frame)(struct channel *channel, const struct frame *frame, int fd);
	/*
	 * Nothing more will come, and the descriptor is closed; called once, from the loop. The owner calls channel_deinit,
	 * now or later.
	 */
	void (*on_end)(struct channel *channel, enum channel_end end);
	/* What was unsent has shrunk below half of CHANNEL_HIGH after having been above it; may be NULL. */
	void (*on_drained)(struct channel *channel);
	bool was_full;
	/*
	 * There is no memory for what has to be read or sent. True: some was given back, and it is tried once more; may be
	 * NULL.
	 */
	bool (*on_pinch)(struct channel *channel);
};

/* Take over `fd` (a connected UNIX stream socket, non-blocking); the callbacks are set by the owner before. 0 or errno. */
int channel_init(struct channel *channel, struct loop *loop, int fd, enum contract_side side)
    __attribute__((warn_unused_result));

/* Closes the descriptor, and those that were received and not yet delivered. May be called twice. */
void channel_deinit(struct channel *channel);

/*
 * Have room for a frame with so long a body. False: no memory; then nothing has happened, and who wanted to send it can
 * think of something else.
 */
bool channel_make_room(struct channel *channel, size_t length);

/*
 * Queue a frame. `slot` and `serial` name the client (0, 0: none). Without memory the channel is ended by on_end at the
 * end of the turn.
 */
void channel_send(struct channel *channel, uint16_t type, uint32_t slot, uint64_t serial, const struct buffer *body);

/* Likewise, with flags, and a second part of the body that need not be copied into the first. */
void channel_send_parts(struct channel *channel, uint16_t type, uint16_t flags, uint32_t slot, uint64_t serial,
    const struct buffer *body, const void *more, size_t more_length);

/* True while another descriptor may be sent. */
bool channel_can_send_descriptor(const struct channel *channel);

/*
 * Likewise, with a descriptor, which stays the caller's and must stay open until the other side has answered for it:
 * channel_can_send_descriptor must have been true.
 */
void channel_send_descriptor(struct channel *channel, uint16_t type, uint32_t slot, uint64_t serial,
    const struct buffer *body, int fd);

/* True while that descriptor waits to be sent: nobody can have answered for it yet. */
bool channel_is_sending(const struct channel *channel, int fd);

bool channel_is_full(const struct channel *channel);

/* Write now what can be written; for the end of a process. */
void channel_flush(struct channel *channel);

#endif
