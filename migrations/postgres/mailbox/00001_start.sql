-- Times are microseconds since 1970 in UTC. A box is sealed before it gets here, and nothing says who has deposited it. Keys begin with the
-- owner, so that owners do not stand in each other's way where rows are spread over several machines.

-- +goose Up

-- A migration notes its version once: of two hosts that run it at once, the second has to undo all of its own.
CREATE UNIQUE INDEX mailbox_version_once ON mailbox_version (version_id);

-- Whose mailboxes these are, and what is in them: boxes and bytes are those of the owner's rows in mailbox_box.
CREATE TABLE mailbox (
    owner     BYTEA  NOT NULL PRIMARY KEY CHECK (octet_length(owner) BETWEEN 1 AND 64),
    boxes     BIGINT NOT NULL CHECK (boxes >= 0),
    bytes     BIGINT NOT NULL CHECK (bytes >= 0),
    opened_at BIGINT NOT NULL
);

-- The lanes by which an owner lets others deposit at a host; 32 zeros are the open lane, which each host has that the owner uses.
CREATE TABLE mailbox_lane (
    owner BYTEA  NOT NULL CHECK (octet_length(owner) BETWEEN 1 AND 64),
    host  BYTEA  NOT NULL CHECK (octet_length(host) BETWEEN 1 AND 64),
    lane  BYTEA  NOT NULL CHECK (octet_length(lane) = 32),
    class BIGINT NOT NULL CHECK (class BETWEEN 0 AND 2),
    PRIMARY KEY (owner, host, lane)
);

-- What is kept of each lane, at whichever host it came in. A lane that is closed keeps its row until its boxes are gone.
CREATE TABLE mailbox_use (
    owner BYTEA  NOT NULL CHECK (octet_length(owner) BETWEEN 1 AND 64),
    lane  BYTEA  NOT NULL CHECK (octet_length(lane) = 32),
    boxes BIGINT NOT NULL CHECK (boxes > 0),
    bytes BIGINT NOT NULL CHECK (bytes >= 0),
    PRIMARY KEY (owner, lane)
);

-- The id of a row begins with the microsecond of its deposit. A box is on lease where leased_until is to come.
CREATE TABLE mailbox_box (
    owner        BYTEA  NOT NULL CHECK (octet_length(owner) BETWEEN 1 AND 64),
    row_id       BYTEA  NOT NULL CHECK (octet_length(row_id) = 16),
    deposit_id   BYTEA  NOT NULL CHECK (octet_length(deposit_id) = 16),
    lane         BYTEA  NOT NULL CHECK (octet_length(lane) = 32),
    bytes        BIGINT NOT NULL CHECK (bytes = octet_length(box)),
    leased_by    BYTEA  NOT NULL CHECK (octet_length(leased_by) <= 64),
    leased_until BIGINT NOT NULL,
    box          BYTEA  NOT NULL,
    PRIMARY KEY (owner, row_id)
);

CREATE UNIQUE INDEX mailbox_box_deposit ON mailbox_box (owner, deposit_id);

-- One row, which is never changed. Whoever is about to take room that belongs to no owner locks it first, and then counts.
CREATE TABLE mailbox_room (
    id BIGINT PRIMARY KEY CHECK (id = 1)
);

INSERT INTO mailbox_room (id) VALUES (1);
