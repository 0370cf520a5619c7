/*
 * store: the SQLite file under accounts, rosters, offline messages and private storage.
 *
 * One transaction per turn of the loop: the first store_execute of a turn begins it, store_commit ends it before the
 * turn's answers leave (sessiond_turn). Any failure, of reading or of writing, sets `failed`: nothing further is done
 * in this turn, which ends with the packet under way; store_commit rolls back and says so, and the answers of what had
 * written are replaced (link.h).
 */
#ifndef C2SD_SESSIOND_STORE_H
#define C2SD_SESSIOND_STORE_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* name, SQL. Parameters are bound in order by store_query and store_execute. */
#define STORE_STATEMENTS(X) \
	X(ACCOUNT_ADD, "INSERT INTO account (jid, salt, iterations, stored_sha1, server_sha1, stored_sha256, " \
	    "server_sha256) VALUES (?, ?, ?, ?, ?, ?, ?)") \
	X(ACCOUNT_CHANGE, "UPDATE account SET salt = ?, iterations = ?, stored_sha1 = ?, server_sha1 = ?, " \
	    "stored_sha256 = ?, server_sha256 = ? WHERE jid = ?") \
	X(ACCOUNT_READ, "SELECT salt, iterations, stored_sha1, server_sha1, stored_sha256, server_sha256 FROM account WHERE jid = ?") \
	X(ACCOUNT_DELETE, "DELETE FROM account WHERE jid = ?") \
	X(ACCOUNT_LIST, "SELECT jid FROM account ORDER BY jid") \
	X(ROSTER_LIST, "SELECT contact, name, state, listed, groups, request FROM roster WHERE account = ? " \
	    "ORDER BY contact") \
	X(ROSTER_READ, "SELECT contact, name, state, listed, groups, request FROM roster WHERE account = ? " \
	    "AND contact = ?") \
	X(ROSTER_WRITE, "INSERT OR REPLACE INTO roster (account, contact, name, state, listed, groups, request) " \
	    "VALUES (?, ?, ?, ?, ?, ?, ?)") \
	X(ROSTER_DELETE, "DELETE FROM roster WHERE account = ? AND contact = ?") \
	X(ROSTER_COUNT, "SELECT count(*) FROM roster WHERE account = ?") \
	X(OFFLINE_ADD, "INSERT INTO offline (id, account, stanza) VALUES (?, ?, ?)") \
	X(OFFLINE_LAST, "SELECT seq FROM sqlite_sequence WHERE name = 'offline'") \
	X(OFFLINE_COUNT, "SELECT waiting FROM account WHERE jid = ?") \
	X(OFFLINE_LIST, "SELECT id, stanza FROM offline WHERE account = ? AND id > ? ORDER BY id") \
	X(OFFLINE_DELETE, "DELETE FROM offline WHERE account = ? AND id <= ?") \
	X(OFFLINE_EXISTS, "SELECT count(*) FROM offline WHERE id = ? AND account = ?") \
	X(PRIVATE_READ, "SELECT data FROM private WHERE account = ? AND key = ?") \
	X(PRIVATE_WRITE, "INSERT OR REPLACE INTO private (account, key, data) VALUES (?, ?, ?)") \
	X(PRIVATE_COUNT, "SELECT count(*) FROM private WHERE account = ? AND key <> ?") \
	X(TURN_READ, "SELECT number FROM turn") \
	X(TURN_WRITE, "INSERT OR REPLACE INTO turn (one, number) VALUES (1, ?)")

#define STORE_ENUM(name, sql) STORE_##name,
enum store_statement {
	STORE_STATEMENTS(STORE_ENUM)
	STORE_STATEMENT_COUNT
};
#undef STORE_ENUM

#define STORE_SECRET_SIZE 32

struct store {
	sqlite3 *db;
	unsigned char secret[STORE_SECRET_SIZE];	/* of this file, made with it */
	sqlite3_stmt *statements[STORE_STATEMENT_COUNT];
	bool writing;	/* a transaction is open */
	bool failed;	/* something of this turn went wrong */
	bool touched;	/* written to, or failed, since the owner cleared it: the packet under way depends on it */
};

/* A run of bytes to be bound as a BLOB. */
struct store_bytes {
	const void *at;
	size_t length;
};

/* Open or create; a file of another schema is refused. 0, or a negative errno (-EPROTO: another schema), logged. */
int store_open(struct store *store, const char *path) __attribute__((warn_unused_result));
void store_close(struct store *store);

/*
 * A statement that is ready for store_row. `format` says what follows: t a string or NULL (const char *), i a number
 * (long long), b a const struct store_bytes *. What is bound must live until the last store_row. One run of a statement
 * at a time: no reading of the same kind from within a reading.
 */
sqlite3_stmt *store_query(struct store *store, enum store_statement which, const char *format, ...);

/* True while there is a row; afterwards the statement is at rest. */
bool store_row(struct store *store, sqlite3_stmt *statement);

/* Leave a reading early. */
void store_rest(sqlite3_stmt *statement);

/* Write. Begins the turn's transaction. Failure is found in store->failed. */
void store_execute(struct store *store, enum store_statement which, const char *format, ...);

/* The first column of the first row, 0 where there is none. */
long long store_number(struct store *store, enum store_statement which, const char *format, ...);

/* A column's text or NULL, valid until the next store_row. */
const char *store_text(sqlite3_stmt *statement, int column);

/* The number that the last transaction wrote that wrote one (recovery.h); 0: none did. */
uint64_t store_turn(struct store *store);

/* End the turn's transaction. 0, or -EIO: nothing of this turn was written. */
int store_commit(struct store *store) __attribute__((warn_unused_result));

#endif
