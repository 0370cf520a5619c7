/*
 * crowd: many XMPP clients in one process, without any library but OpenSSL: as little work of their own as can be, so that
 * a benchmark measures the other side.
 *
 * Client number i (first <= i < first + count) is u<i / resources>@host/r<i % resources>, with the password `secret`. At
 * most UNDER_WAY of them log in at a time, by jabber:iq:auth (XEP-0078): what a login costs the session manager is not
 * what is measured. Of the answers only what marks them is looked at. Whatever goes wrong ends the process.
 */
#ifndef C2SD_BENCH_CROWD_H
#define C2SD_BENCH_CROWD_H

#include <netinet/in.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>

#define CROWD_UNDER_WAY 64

/* Longest part of an answer that marks it. */
#define CROWD_MARK_MAX 32

enum crowd_tls {
	CROWD_PLAIN,
	CROWD_STARTTLS,
	CROWD_DIRECT,
};

enum crowd_task {
	CROWD_STAY,		/* log in, say that one is there, fetch the roster, and do nothing */
	CROWD_LEAVE,		/* log in and leave, one after the other in UNDER_WAY places */
	CROWD_HANDSHAKE,	/* shake hands, read one byte and leave (handshakes.c) */
	CROWD_HOLD,		/* the same, and stay */
};

enum crowd_step {
	STEP_CONNECT,		/* CROWD_DIRECT: shake hands at once */
	STEP_STARTTLS,		/* the header was sent, in clear */
	STEP_PROCEED,		/* <starttls/> was sent */
	STEP_HANDSHAKE,
	STEP_HEADER,		/* the header was sent */
	STEP_LOGIN,		/* the login was sent */
	STEP_ROSTER,		/* presence and the request for the roster were sent */
	STEP_BYTE,		/* CROWD_HANDSHAKE, CROWD_HOLD: the byte is waited for */
	STEP_IDLE,
};

struct crowd_client {
	int fd;
	uint32_t number;
	uint8_t step;			/* enum crowd_step */
	uint8_t seen;			/* bytes of the end of what came that are kept */
	char end[CROWD_MARK_MAX];	/* so that a mark may be cut anywhere */
	SSL *ssl;
	SSL_SESSION *session;		/* to be resumed by the next in this place */
};

struct crowd {
	int epoll_fd;
	struct sockaddr_in service;
	struct sockaddr_in source;
	const char *host;
	uint32_t first, count, resources;
	enum crowd_tls tls;
	enum crowd_task task;
	bool resume;
	SSL_CTX *context;
	uint32_t started, ready, resumed;
	struct crowd_client *clients;	/* who stays has a place of its own; else there are UNDER_WAY */
};

/* Open everything. */
void crowd_start(struct crowd *crowd);

/* Until all are ready, and those that stay until the standard input has ended; `ready` is called when they are. */
void crowd_run(struct crowd *crowd, void (*ready)(const struct crowd *crowd));

#endif
