-- Times are microseconds since 1970 in UTC. Ids of messages, conversations, accounts, devices, envelopes, records and clients are blind
-- indexes, by which rows are found and which say nothing else; the true ones, and everything that is no row id, kind, state, time or
-- sequence number, is in the cell of the row, sealed before it gets here (chat/SPEC.md, "At rest"). A row is kept in the tree of its
-- primary key (WITHOUT ROWID): one tree fewer to write.

-- +goose Up

-- Whose database this is: one row.
CREATE TABLE owner (
    id      INTEGER PRIMARY KEY CHECK (id = 1),
    account BLOB NOT NULL CHECK (length(account) = 32),
    device  BLOB NOT NULL CHECK (length(device) BETWEEN 1 AND 64)
) STRICT;

CREATE TABLE conversation (
    id         BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 32),
    created_at INTEGER NOT NULL,
    cell       BLOB    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE message (
    row_id       BLOB    NOT NULL PRIMARY KEY CHECK (length(row_id) = 16),
    message_id   BLOB    NOT NULL UNIQUE CHECK (length(message_id) = 32),
    conversation BLOB    NOT NULL CHECK (length(conversation) = 32),
    kind         INTEGER NOT NULL CHECK (kind BETWEEN 0 AND 255),
    state        TEXT    NOT NULL CHECK (state IN ('queued', 'sent', 'delivered', 'read', 'failed', 'received')),
    trace        BLOB    NOT NULL,
    client_id    BLOB    NOT NULL,
    created_at   INTEGER NOT NULL,
    event_seq    INTEGER NOT NULL,
    cell         BLOB    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX message_page ON message (conversation, kind, row_id);
CREATE UNIQUE INDEX message_client ON message (conversation, client_id) WHERE length(client_id) > 0;
CREATE INDEX message_unread ON message (conversation, row_id) WHERE state = 'received' AND kind = 1;
CREATE INDEX message_queued ON message (created_at) WHERE state = 'queued' AND kind = 1;

CREATE TABLE outbox (
    device      BLOB NOT NULL CHECK (length(device) BETWEEN 1 AND 64),
    row_id      BLOB NOT NULL CHECK (length(row_id) = 16),
    account     BLOB NOT NULL CHECK (length(account) = 32),
    message_row BLOB NOT NULL CHECK (length(message_row) = 16),
    envelope_id BLOB NOT NULL CHECK (length(envelope_id) = 32),
    cell        BLOB NOT NULL,
    holders     BLOB NOT NULL,
    PRIMARY KEY (device, row_id)
) STRICT, WITHOUT ROWID;

-- Messages that wait until a device of an account can be written to; an empty device stands for any.
CREATE TABLE unaddressed (
    account     BLOB NOT NULL CHECK (length(account) = 32),
    device      BLOB NOT NULL CHECK (length(device) <= 64),
    message_row BLOB NOT NULL CHECK (length(message_row) = 16),
    PRIMARY KEY (account, device, message_row)
) STRICT, WITHOUT ROWID;

CREATE TABLE inbox_seen (
    envelope_id BLOB    NOT NULL PRIMARY KEY CHECK (length(envelope_id) = 32),
    seen_at     INTEGER NOT NULL,
    cell        BLOB    NOT NULL
) STRICT, WITHOUT ROWID;

-- Messages of conversations that were forgotten, so that a late copy is not shown again.
CREATE TABLE tombstone (
    message_id   BLOB    NOT NULL PRIMARY KEY CHECK (length(message_id) = 32),
    forgotten_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The conversation is all zeros where an event belongs to none; a conversation that is forgotten leaves its events empty.
CREATE TABLE event (
    seq          INTEGER PRIMARY KEY CHECK (seq > 0),
    type         TEXT    NOT NULL,
    created_at   INTEGER NOT NULL,
    conversation BLOB    NOT NULL CHECK (length(conversation) = 32),
    state        TEXT    NOT NULL CHECK (state IN ('', 'queued', 'sent', 'delivered', 'read', 'failed', 'received')),
    cell         BLOB    NOT NULL
) STRICT;

CREATE TABLE contact (
    account    BLOB    NOT NULL PRIMARY KEY CHECK (length(account) = 32),
    created_at INTEGER NOT NULL,
    cell       BLOB    NOT NULL
) STRICT, WITHOUT ROWID;

-- Accounts that want to be contacts, or were introduced or turned away.
CREATE TABLE request (
    account    BLOB    NOT NULL PRIMARY KEY CHECK (length(account) = 32),
    state      TEXT    NOT NULL CHECK (state IN ('pending', 'rejected')),
    created_at INTEGER NOT NULL,
    cell       BLOB    NOT NULL
) STRICT, WITHOUT ROWID;

-- Letters of accounts whose request waits for an answer. They show nowhere until then.
CREATE TABLE held (
    message_id  BLOB    NOT NULL PRIMARY KEY CHECK (length(message_id) = 32),
    envelope_id BLOB    NOT NULL UNIQUE CHECK (length(envelope_id) = 32),
    account     BLOB    NOT NULL CHECK (length(account) = 32),
    row_id      BLOB    NOT NULL CHECK (length(row_id) = 16),
    created_at  INTEGER NOT NULL,
    cell        BLOB    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX held_account ON held (account, row_id);

-- Pinned copies of directory records, and what the messenger notes of itself.
CREATE TABLE record (
    record_key BLOB    NOT NULL PRIMARY KEY,
    stored_at  INTEGER NOT NULL,
    cell       BLOB    NOT NULL
) STRICT, WITHOUT ROWID;

-- What two devices share to talk, and what a device keeps until somebody begins to.
CREATE TABLE session (
    id       BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    device   BLOB    NOT NULL CHECK (length(device) BETWEEN 1 AND 64),
    begun_at INTEGER NOT NULL,
    cell     BLOB    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX session_device ON session (device);

CREATE TABLE secret (
    kind       TEXT    NOT NULL,
    secret_key BLOB    NOT NULL CHECK (length(secret_key) BETWEEN 1 AND 64),
    cell       BLOB    NOT NULL,
    PRIMARY KEY (kind, secret_key)
) STRICT, WITHOUT ROWID;

-- Where other nodes were last seen; addrs holds one multiaddr a line.
CREATE TABLE peer (
    id      BLOB    NOT NULL PRIMARY KEY CHECK (length(id) BETWEEN 1 AND 64),
    addrs   BLOB    NOT NULL,
    seen_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX peer_seen ON peer (seen_at);
