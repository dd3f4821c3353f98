-- Times are microseconds since 1970 in UTC. What people or the network may have written (names, reasons, client ids) is kept as
-- bytes, so that no text is too strange to be stored. Sequence numbers of others use all 64 bits and wrap into negative numbers;
-- nothing orders by them.

-- +goose Up

-- Whose database this is: one row.
CREATE TABLE owner (
    id      BIGINT PRIMARY KEY CHECK (id = 1),
    account BYTEA  NOT NULL CHECK (octet_length(account) = 32),
    device  BYTEA  NOT NULL CHECK (octet_length(device) BETWEEN 1 AND 64)
);

CREATE TABLE conversation (
    id           BYTEA  NOT NULL PRIMARY KEY CHECK (octet_length(id) = 32),
    peer_account BYTEA  NOT NULL CHECK (octet_length(peer_account) = 32),
    last_seq     BIGINT NOT NULL,
    last_message BYTEA  NOT NULL CHECK (octet_length(last_message) = 32),
    heads        BYTEA  NOT NULL CHECK (octet_length(heads) % 32 = 0),
    created_at   BIGINT NOT NULL
);

CREATE TABLE message (
    row_id       BYTEA  NOT NULL PRIMARY KEY CHECK (octet_length(row_id) = 16),
    message_id   BYTEA  NOT NULL UNIQUE CHECK (octet_length(message_id) = 32),
    conversation BYTEA  NOT NULL CHECK (octet_length(conversation) = 32),
    author       BYTEA  NOT NULL CHECK (octet_length(author) = 32),
    device       BYTEA  NOT NULL CHECK (octet_length(device) <= 64),
    kind         BIGINT NOT NULL CHECK (kind BETWEEN 0 AND 255),
    state        TEXT   NOT NULL CHECK (state IN ('queued', 'sent', 'delivered', 'read', 'failed', 'received')),
    reason       BYTEA  NOT NULL,
    client_id    BYTEA  NOT NULL,
    created_at   BIGINT NOT NULL,
    event_seq    BIGINT NOT NULL,
    content      BYTEA  NOT NULL
);

CREATE INDEX message_page ON message (conversation, kind, row_id);
CREATE UNIQUE INDEX message_client ON message (conversation, client_id) WHERE length(client_id) > 0;
CREATE INDEX message_unread ON message (conversation, row_id) WHERE state = 'received' AND kind = 1;
CREATE INDEX message_queued ON message (created_at) WHERE state = 'queued' AND kind = 1;

CREATE TABLE outbox (
    device      BYTEA  NOT NULL CHECK (octet_length(device) BETWEEN 1 AND 64),
    row_id      BYTEA  NOT NULL CHECK (octet_length(row_id) = 16),
    account     BYTEA  NOT NULL CHECK (octet_length(account) = 32),
    message_row BYTEA  NOT NULL CHECK (octet_length(message_row) = 16),
    content     BYTEA  NOT NULL,
    session_id  BYTEA  NOT NULL CHECK (octet_length(session_id) = 16),
    chain_id    BYTEA  NOT NULL CHECK (octet_length(chain_id) = 8),
    envelope_id BYTEA  NOT NULL CHECK (octet_length(envelope_id) = 32),
    ack_tag     BYTEA  NOT NULL CHECK (octet_length(ack_tag) = 16),
    envelope    BYTEA  NOT NULL,
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
    ack_tag     BYTEA  NOT NULL CHECK (octet_length(ack_tag) = 16),
    message_id  BYTEA  NOT NULL CHECK (octet_length(message_id) = 32),
    seen_at     BIGINT NOT NULL
);

CREATE TABLE event (
    seq          BIGINT PRIMARY KEY CHECK (seq > 0),
    type         TEXT   NOT NULL,
    created_at   BIGINT NOT NULL,
    conversation BYTEA  NOT NULL CHECK (octet_length(conversation) = 32),
    message_id   BYTEA  NOT NULL CHECK (octet_length(message_id) = 32),
    account      BYTEA  NOT NULL CHECK (octet_length(account) = 32),
    state        TEXT   NOT NULL CHECK (state IN ('', 'queued', 'sent', 'delivered', 'read', 'failed', 'received'))
);

CREATE TABLE contact (
    account    BYTEA  NOT NULL PRIMARY KEY CHECK (octet_length(account) = 32),
    name       BYTEA  NOT NULL,
    created_at BIGINT NOT NULL,
    blocked    BIGINT NOT NULL CHECK (blocked IN (0, 1)),
    trust      TEXT   NOT NULL CHECK (trust IN ('', 'verified', 'mismatch', 'doubted')),
    introducer BYTEA  NOT NULL CHECK (octet_length(introducer) = 32),
    token      BYTEA  NOT NULL CHECK (octet_length(token) = 16)
);

-- Accounts that want to be contacts, or were introduced or turned away; introduction holds what the introducer sent.
CREATE TABLE request (
    account      BYTEA  NOT NULL PRIMARY KEY CHECK (octet_length(account) = 32),
    state        TEXT   NOT NULL CHECK (state IN ('pending', 'rejected')),
    name         BYTEA  NOT NULL,
    created_at   BIGINT NOT NULL,
    card         BIGINT NOT NULL CHECK (card IN (0, 1)),
    texts        BIGINT NOT NULL,
    claims       BYTEA  NOT NULL CHECK (octet_length(claims) = 32),
    introducer   BYTEA  NOT NULL CHECK (octet_length(introducer) = 32),
    introduction BYTEA  NOT NULL
);

-- Letters of accounts whose request waits for an answer. They show nowhere until then.
CREATE TABLE held (
    message_id  BYTEA  NOT NULL PRIMARY KEY CHECK (octet_length(message_id) = 32),
    envelope_id BYTEA  NOT NULL UNIQUE CHECK (octet_length(envelope_id) = 32),
    account     BYTEA  NOT NULL CHECK (octet_length(account) = 32),
    device      BYTEA  NOT NULL CHECK (octet_length(device) BETWEEN 1 AND 64),
    row_id      BYTEA  NOT NULL CHECK (octet_length(row_id) = 16),
    ack_tag     BYTEA  NOT NULL CHECK (octet_length(ack_tag) = 16),
    created_at  BIGINT NOT NULL,
    content     BYTEA  NOT NULL
);

CREATE INDEX held_account ON held (account, row_id);

-- Pinned copies of directory records.
CREATE TABLE record (
    record_key BYTEA  NOT NULL PRIMARY KEY,
    sequence   BIGINT NOT NULL,
    value      BYTEA  NOT NULL,
    stored_at  BIGINT NOT NULL
);

-- What two devices share to talk, and what a device keeps until somebody begins to.
CREATE TABLE session (
    id       BYTEA   NOT NULL PRIMARY KEY CHECK (octet_length(id) = 16),
    device   BYTEA   NOT NULL CHECK (octet_length(device) BETWEEN 1 AND 64),
    account  BYTEA   NOT NULL CHECK (octet_length(account) = 32),
    heard    BYTEA   NOT NULL CHECK (octet_length(heard) = 16),
    begun_at BIGINT  NOT NULL,
    heals    BIGINT  NOT NULL CHECK (heals IN (0, 1)),
    state    BYTEA   NOT NULL
);

CREATE INDEX session_device ON session (device);

CREATE TABLE secret (
    kind       TEXT NOT NULL,
    secret_key BYTEA NOT NULL CHECK (octet_length(secret_key) BETWEEN 1 AND 64),
    value      BYTEA NOT NULL,
    PRIMARY KEY (kind, secret_key)
);

-- Where other nodes were last seen; addrs holds one multiaddr a line.
CREATE TABLE peer (
    id      BYTEA  NOT NULL PRIMARY KEY CHECK (octet_length(id) BETWEEN 1 AND 64),
    addrs   BYTEA  NOT NULL,
    seen_at BIGINT NOT NULL
);

CREATE INDEX peer_seen ON peer (seen_at);
