/* sample: a valid body for every type of frame, and descriptors that can be told apart. */
#ifndef C2SD_TESTS_IPC_SAMPLE_H
#define C2SD_TESTS_IPC_SAMPLE_H

#include <stdbool.h>
#include <sys/resource.h>

#include "ipc/message.h"

/* Append a body that fits the contract of that type. */
void sample_body(struct buffer *body, uint16_t type);

/* Append a whole frame with that body, for client (type, 1000 + type). */
void sample_frame(struct buffer *frame, uint16_t type);

/* Settings with every field set and different from its neighbours; the strings are constants: do not free. */
void sample_settings(struct settings *settings);

/* Who sends frames of that type, in which phase it may first be sent. */
enum contract_side sample_sender(uint16_t type);
enum contract_phase sample_phase(uint16_t type);

/* Set the limit of descriptors of this process from another one, so that it is the kernel that keeps it. */
bool sample_limit_descriptors(rlim_t most);

#endif
