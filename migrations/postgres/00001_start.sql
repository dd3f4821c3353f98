-- Times are microseconds since 1970 in UTC. Ids of messages, conversations, accounts, devices, envelopes, records and clients are blind
-- indexes, by which rows are found and which say nothing else; the true ones, and everything that is no row id, kind, state, time or
-- sequence number, is in the cell of the row, sealed before it gets here (chat/SPEC.md, "At rest").

-- +goose Up

-- Whose database this is: one row.
CREATE TABLE owner (
    id      BIGINT PRIMARY KEY CHECK (id = 1),
    account BYTEA  NOT NULL CHECK (octet_length(account) = 32),
    device  BYTEA  NOT NULL CHECK (octet_length(device) BETWEEN 1 AND 64)
);

CREATE TABLE conversation (
    id         BYTEA  NOT NULL PRIMARY KEY CHECK (octet_length(id) = 32),
    created_at BIGINT NOT NULL,
    cell       BYTEA  NOT NULL
);

CREATE TABLE message (
    row_id       BYTEA  NOT NULL PRIMARY KEY CHECK (octet_length(row_id) = 16),
    message_id   BYTEA  NOT NULL UNIQUE CHECK (octet_length(message_id) = 32),
    conversation BYTEA  NOT NULL CHECK (octet_length(conversation) = 32),
    kind         BIGINT NOT NULL CHECK (kind BETWEEN 0 AND 255),
    state        TEXT   NOT NULL CHECK (state IN ('queued', 'sent', 'delivered', 'read', 'failed', 'received')),
    trace        BYTEA  NOT NULL,
    client_id    BYTEA  NOT NULL,
    created_at   BIGINT NOT NULL,
    event_seq    BIGINT NOT NULL,
    cell         BYTEA  NOT NULL
);

CREATE INDEX message_page ON message (conversation, kind, row_id);
CREATE UNIQUE INDEX message_client ON message (conversation, client_id) WHERE length(client_id) > 0;
CREATE INDEX message_unread ON message (conversation, row_id) WHERE state = 'received' AND kind = 1;
CREATE INDEX message_queued ON message (created_at) WHERE state = 'queued' AND kind = 1;

CREATE TABLE outbox (
    device      BYTEA NOT NULL CHECK (octet_length(device) BETWEEN 1 AND 64),
    row_id      BYTEA NOT NULL CHECK (octet_length(row_id) = 16),
    account     BYTEA NOT NULL CHECK (octet_length(account) = 32),
    message_row BYTEA NOT NULL CHECK (octet_length(message_row) = 16),
    envelope_id BYTEA NOT NULL CHECK (octet_length(envelope_id) = 32),
    cell        BYTEA NOT NULL,
    holders     BYTEA NOT NULL,
    PRIMARY KEY (device, row_id)
);

-- Messages that wait until a device of an account can be written to; an empty device stands for any.
CREATE TABLE unaddressed (
    account     BYTEA  NOT NULL CHECK (octet_length(account) = 32),
    device      BYTEA  NOT NULL CHECK (octet_length(device) <= 64),
    message_row BYTEA  NOT NULL CHECK (octet_length(message_row) = 16),
    PRIMARY KEY (account, device, message_row)
);

CREATE TABLE inbox_seen (
    envelope_id BYTEA  NOT NULL PRIMARY KEY CHECK (octet_length(envelope_id) = 32),
    seen_at     BIGINT NOT NULL,
    cell        BYTEA  NOT NULL
);

-- Messages of conversations that were forgotten, so that a late copy is not shown again.
CREATE TABLE tombstone (
    message_id   BYTEA  NOT NULL PRIMARY KEY CHECK (octet_length(message_id) = 32),
    forgotten_at BIGINT NOT NULL
);

-- The conversation is all zeros where an event belongs to none; a conversation that is forgotten leaves its events empty.
CREATE TABLE event (
    seq          BIGINT PRIMARY KEY CHECK (seq > 0),
    type         TEXT   NOT NULL,
    created_at   BIGINT NOT NULL,
    conversation BYTEA  NOT NULL CHECK (octet_length(conversation) = 32),
    state        TEXT   NOT NULL CHECK (state IN ('', 'queued', 'sent', 'delivered', 'read', 'failed', 'received')),
    cell         BYTEA  NOT NULL
);

CREATE TABLE contact (
    account    BYTEA  NOT NULL PRIMARY KEY CHECK (octet_length(account) = 32),
    created_at BIGINT NOT NULL,
    cell       BYTEA  NOT NULL
);

-- Accounts that want to be contacts, or were introduced or turned away.
CREATE TABLE request (
    account    BYTEA  NOT NULL PRIMARY KEY CHECK (octet_length(account) = 32),
    state      TEXT    NOT NULL CHECK (state IN ('pending', 'rejected')),
    created_at BIGINT NOT NULL,
    cell       BYTEA  NOT NULL
);

-- Letters of accounts whose request waits for an answer. They show nowhere until then.
CREATE TABLE held (
    message_id  BYTEA  NOT NULL PRIMARY KEY CHECK (octet_length(message_id) = 32),
    envelope_id BYTEA  NOT NULL UNIQUE CHECK (octet_length(envelope_id) = 32),
    account     BYTEA  NOT NULL CHECK (octet_length(account) = 32),
    row_id      BYTEA  NOT NULL CHECK (octet_length(row_id) = 16),
    created_at  BIGINT NOT NULL,
    cell        BYTEA  NOT NULL
);

CREATE INDEX held_account ON held (account, row_id);

-- Pinned copies of directory records, and what the messenger notes of itself.
CREATE TABLE record (
    record_key BYTEA  NOT NULL PRIMARY KEY,
    stored_at  BIGINT NOT NULL,
    cell       BYTEA  NOT NULL
);

-- What two devices share to talk, and what a device keeps until somebody begins to.
CREATE TABLE session (
    id       BYTEA  NOT NULL PRIMARY KEY CHECK (octet_length(id) = 16),
    device   BYTEA  NOT NULL CHECK (octet_length(device) BETWEEN 1 AND 64),
    begun_at BIGINT NOT NULL,
    cell     BYTEA  NOT NULL
);

CREATE INDEX session_device ON session (device);

CREATE TABLE secret (
    kind       TEXT    NOT NULL,
    secret_key BYTEA  NOT NULL CHECK (octet_length(secret_key) BETWEEN 1 AND 64),
    cell       BYTEA  NOT NULL,
    PRIMARY KEY (kind, secret_key)
);

-- Where other nodes were last seen; addrs holds one multiaddr a line.
CREATE TABLE peer (
    id      BYTEA  NOT NULL PRIMARY KEY CHECK (octet_length(id) BETWEEN 1 AND 64),
    addrs   BYTEA  NOT NULL,
    seen_at BIGINT NOT NULL
);

CREATE INDEX peer_seen ON peer (seen_at);
