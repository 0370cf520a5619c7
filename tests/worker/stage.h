/*
 * stage: a whole worker in this process, with the test as its master at one end and as its clients at the other. Time never
 * passes: what would take time is made due.
 */
#ifndef C2SD_TESTS_WORKER_STAGE_H
#define C2SD_TESTS_WORKER_STAGE_H

#include "tests/common/turn.h"
#include "tests/dialect/tap.h"
#include "worker/worker.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define HEADER "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='foo.com'"
#define MODERN HEADER " version='1.0'>"
#define OLD HEADER ">"
#define OF_ALL "<register xmlns='http://jabber.org/features/iq-register'/>" \
	"<auth xmlns='http://jabber.org/features/iq-auth'/><limits xmlns='urn:xmpp:stream-limits:0'>"
#define FEATURES "<stream:features>" OF_ALL
#define SECURE_FEATURES "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>" \
	"<mechanism>PLAIN</mechanism></mechanisms>" OF_ALL
#define LOGIN "<iq type='set' id='a1'><query xmlns='jabber:iq:auth'><username>alice</username>" \
	"<password>pw</password><resource>r</resource></query></iq>"
#define END "</stream:stream>"
#define STREAMS "urn:ietf:params:xml:ns:xmpp-streams"

/* One frame from the worker. */
struct got {
	uint16_t type;
	uint32_t slot;
	uint64_t serial;
	struct buffer body;
};

/* A client: our end of its connection, and what it has heard. */
struct person {
	int fd;
	uint32_t slot;
	uint64_t serial;
	uint64_t number;	/* of the last packet it was sent */
	struct buffer heard;
};

/* All of one test's. */
extern struct worker worker;
extern struct channel master;
extern struct settings settings;
extern struct got queue[256];
extern unsigned queue_count, queue_taken;
extern struct buffer lines;		/* of the worker's log */
extern bool master_ended;
extern uint64_t serial;
extern uint8_t newcomer_failures;	/* of the next one's address */

void turns(void);
bool frame_is_there(void *argument);

/* The next frame of the worker's, which must be of this type. */
const struct got *expect_frame(uint16_t type);

/* All that has come is looked at no more. */
void queue_forget(void);
void expect_no_frame(void);
const char *text_of(const struct buffer *buffer);
struct frame frame_of(const struct got *got);
void expect_about(const struct person *person, uint16_t type);
void expect_ended(const struct person *person, enum end_reason reason);
void expect_number(const struct person *person, uint16_t type, uint64_t number);
void expect_text(const struct person *person, uint16_t type, const char *text);
void tell_settings(void);
void tell_packet(struct person *person, const char *packet, uint16_t flags);
void tell_reason(const struct person *person, uint16_t type, enum end_reason reason);
void tell(uint16_t type);
void setup(void);
void teardown(void);
void tcp_pair(int fds[2]);

/* Hand a connection over as the master does. Its own answer is left for the caller. */
void hand_over_as(struct person *person, uint32_t slot, const struct newcomer *newcomer);
void hand_over(struct person *person, uint32_t slot);
void connect_client(struct person *person, uint32_t slot);
void leave(struct person *person);
struct client *client_of(const struct person *person);
void say(const struct person *person, const char *text);

/* Likewise, and the worker has read it: a network may take its time, even this one. */
void say_all(const struct person *person, const char *text);

/* Its TCP says what has come, and the worker looks; whatever there is. */
void acknowledge(const struct person *person);

/* Everything that has come; 0 when the connection has ended. */
ssize_t listen_to(struct person *person);

/* For loop_turn_until: so much has been heard, or all there will be. */
struct hearing {
	struct person *person;
	size_t length;
	bool ended;
};
bool has_heard(void *argument);

void expect_heard(struct person *person, const char *text);

/* The worker has closed its half, and said this before. */
void expect_hung_up_after(struct person *person, const char *word);

/* The worker has closed its half. */
void expect_hung_up(struct person *person);
void expect_header(struct person *person, bool modern);
void open_stream(struct person *person, uint32_t slot, bool modern);
void stamped(char text[1024], const struct person *person, const char *before, const char *sto, const char *after);

/* A packet of the session manager's for that client. */
void answer(struct person *person, const char *before, const char *sfrom, const char *after, uint16_t flags);

/* The answer was used up, and there is a session: in whatever order. */
void expect_session(const struct person *person, const char *address);
void log_in(struct person *person, uint32_t slot, bool modern);
const char *error_of(char text[1024], const char *condition, const char *words);

#endif
