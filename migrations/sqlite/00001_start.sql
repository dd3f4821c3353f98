-- Times are microseconds since 1970 in UTC. What people or the network may have written (names, reasons, client ids) is kept as
-- bytes, so that no text is too strange to be stored. Sequence numbers of others use all 64 bits and wrap into negative numbers;
-- nothing orders by them. A row is kept in the tree of its primary key (WITHOUT ROWID): one tree fewer to write.

-- +goose Up

-- Whose database this is: one row.
CREATE TABLE owner (
    id      INTEGER PRIMARY KEY CHECK (id = 1),
    account BLOB NOT NULL CHECK (length(account) = 32),
    device  BLOB NOT NULL CHECK (length(device) BETWEEN 1 AND 64)
) STRICT;

CREATE TABLE conversation (
    id           BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 32),
    peer_account BLOB    NOT NULL CHECK (length(peer_account) = 32),
    last_seq     INTEGER NOT NULL,
    last_message BLOB    NOT NULL CHECK (length(last_message) = 32),
    heads        BLOB    NOT NULL CHECK (length(heads) % 32 = 0),
    created_at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE message (
    row_id       BLOB    NOT NULL PRIMARY KEY CHECK (length(row_id) = 16),
    message_id   BLOB    NOT NULL UNIQUE CHECK (length(message_id) = 32),
    conversation BLOB    NOT NULL CHECK (length(conversation) = 32),
    author       BLOB    NOT NULL CHECK (length(author) = 32),
    device       BLOB    NOT NULL CHECK (length(device) <= 64),
    kind         INTEGER NOT NULL CHECK (kind BETWEEN 0 AND 255),
    state        TEXT    NOT NULL CHECK (state IN ('queued', 'sent', 'delivered', 'read', 'failed', 'received')),
    reason       BLOB    NOT NULL,
    client_id    BLOB    NOT NULL,
    created_at   INTEGER NOT NULL,
    event_seq    INTEGER NOT NULL,
    content      BLOB    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX message_page ON message (conversation, kind, row_id);
CREATE UNIQUE INDEX message_client ON message (conversation, client_id) WHERE length(client_id) > 0;
CREATE INDEX message_unread ON message (conversation, row_id) WHERE state = 'received' AND kind = 1;
CREATE INDEX message_queued ON message (created_at) WHERE state = 'queued' AND kind = 1;

CREATE TABLE outbox (
    device      BLOB    NOT NULL CHECK (length(device) BETWEEN 1 AND 64),
    row_id      BLOB    NOT NULL CHECK (length(row_id) = 16),
    account     BLOB    NOT NULL CHECK (length(account) = 32),
    message_row BLOB    NOT NULL CHECK (length(message_row) = 16),
    content     BLOB    NOT NULL,
    session_id  BLOB    NOT NULL CHECK (length(session_id) = 16),
    chain_id    BLOB    NOT NULL CHECK (length(chain_id) = 8),
    envelope_id BLOB    NOT NULL CHECK (length(envelope_id) = 32),
    ack_tag     BLOB    NOT NULL CHECK (length(ack_tag) = 16),
    envelope    BLOB    NOT NULL,
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
    ack_tag     BLOB    NOT NULL CHECK (length(ack_tag) = 16),
    message_id  BLOB    NOT NULL CHECK (length(message_id) = 32),
    seen_at     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE event (
    seq          INTEGER PRIMARY KEY CHECK (seq > 0),
    type         TEXT    NOT NULL,
    created_at   INTEGER NOT NULL,
    conversation BLOB    NOT NULL CHECK (length(conversation) = 32),
    message_id   BLOB    NOT NULL CHECK (length(message_id) = 32),
    account      BLOB    NOT NULL CHECK (length(account) = 32),
    state        TEXT    NOT NULL CHECK (state IN ('', 'queued', 'sent', 'delivered', 'read', 'failed', 'received'))
) STRICT;

CREATE TABLE contact (
    account    BLOB    NOT NULL PRIMARY KEY CHECK (length(account) = 32),
    name       BLOB    NOT NULL,
    created_at INTEGER NOT NULL,
    blocked    INTEGER NOT NULL CHECK (blocked IN (0, 1)),
    trust      TEXT    NOT NULL CHECK (trust IN ('', 'verified', 'mismatch', 'doubted')),
    introducer BLOB    NOT NULL CHECK (length(introducer) = 32),
    token      BLOB    NOT NULL CHECK (length(token) = 16)
) STRICT, WITHOUT ROWID;

-- Accounts that want to be contacts, or were introduced or turned away; introduction holds what the introducer sent.
CREATE TABLE request (
    account      BLOB    NOT NULL PRIMARY KEY CHECK (length(account) = 32),
    state        TEXT    NOT NULL CHECK (state IN ('pending', 'rejected')),
    name         BLOB    NOT NULL,
    created_at   INTEGER NOT NULL,
    card         INTEGER NOT NULL CHECK (card IN (0, 1)),
    texts        INTEGER NOT NULL,
    claims       BLOB    NOT NULL CHECK (length(claims) = 32),
    introducer   BLOB    NOT NULL CHECK (length(introducer) = 32),
    introduction BLOB    NOT NULL
) STRICT, WITHOUT ROWID;

-- Letters of accounts whose request waits for an answer. They show nowhere until then.
CREATE TABLE held (
    message_id  BLOB    NOT NULL PRIMARY KEY CHECK (length(message_id) = 32),
    envelope_id BLOB    NOT NULL UNIQUE CHECK (length(envelope_id) = 32),
    account     BLOB    NOT NULL CHECK (length(account) = 32),
    device      BLOB    NOT NULL CHECK (length(device) BETWEEN 1 AND 64),
    row_id      BLOB    NOT NULL CHECK (length(row_id) = 16),
    ack_tag     BLOB    NOT NULL CHECK (length(ack_tag) = 16),
    created_at  INTEGER NOT NULL,
    content     BLOB    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX held_account ON held (account, row_id);

-- Pinned copies of directory records.
CREATE TABLE record (
    record_key BLOB    NOT NULL PRIMARY KEY,
    sequence   INTEGER NOT NULL,
    value      BLOB    NOT NULL,
    stored_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What two devices share to talk, and what a device keeps until somebody begins to.
CREATE TABLE session (
    id       BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    device   BLOB    NOT NULL CHECK (length(device) BETWEEN 1 AND 64),
    account  BLOB    NOT NULL CHECK (length(account) = 32),
    heard    BLOB    NOT NULL CHECK (length(heard) = 16),
    begun_at INTEGER NOT NULL,
    heals    INTEGER NOT NULL CHECK (heals IN (0, 1)),
    state    BLOB    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX session_device ON session (device);

CREATE TABLE secret (
    kind       TEXT NOT NULL,
    secret_key BLOB NOT NULL CHECK (length(secret_key) BETWEEN 1 AND 64),
    value      BLOB NOT NULL,
    PRIMARY KEY (kind, secret_key)
) STRICT, WITHOUT ROWID;

-- Where other nodes were last seen; addrs holds one multiaddr a line.
CREATE TABLE peer (
    id      BLOB    NOT NULL PRIMARY KEY CHECK (length(id) BETWEEN 1 AND 64),
    addrs   BLOB    NOT NULL,
    seen_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX peer_seen ON peer (seen_at);
