/*
 * recovery_record: the records of recovery.h, as they are read. Each says what has become of one thing, so that those of a
 * session, read in order, make what it was; a record that cannot be, such as a second session of one client, shows that the
 * journal is not what it seems.
 */
#ifndef C2SD_SESSIOND_RECOVERY_RECORD_H
#define C2SD_SESSIOND_RECOVERY_RECORD_H

#include <stdint.h>

struct journal_record;
struct sessiond;
struct settings;

/* With their fields: n a number, t a text, b bytes. JOURNAL_VERSION changes with them. */
enum recovery_record {
	RECORD_COUNTS = 1,	/* nnnnnt: dropped, acknowledged, received, streams, push_serial, id of the stream */
	RECORD_OUTPUT,		/* b: whole elements that were sent */
	RECORD_SESSION,		/* ttt: id, bare JID, resource */
	RECORD_SESSION_END,	/* t: id, likewise below */
	RECORD_PRESENCE,	/* tnt: and priority + 128, the text */
	RECORD_PRESENCE_END,	/* t */
	RECORD_INTERESTED,	/* t */
	RECORD_DIRECTED,	/* tt: and to whom */
	RECORD_DIRECTED_END,	/* tt */
	RECORD_GUEST,		/* tttnnnnnbbttt: id, host, account or "", state, modern, failures, registrations, tls, bindings,
				 * and of its exchange mechanism, first message, nonce, or "" */
	RECORD_GUEST_END,	/* t */
	RECORD_PAGE,		/* ttnnnnn: account, reader, last, waiting, returned, stream, sent */
	RECORD_PAGE_END,	/* t: account */
};

/* 0, -EPROTO (it cannot be) or -ENOMEM. */
int recovery_record_replay(struct sessiond *sd, struct settings *settings, struct journal_record *record);

#endif
