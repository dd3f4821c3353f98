-- Times are microseconds since 1970 in UTC. A box is sealed before it gets here, and nothing says who has deposited it. Keys begin with the
-- owner, as in the twin of this file. A row is kept in the tree of its primary key (WITHOUT ROWID): one tree fewer to write.

-- +goose Up

-- A migration notes its version once: of two hosts that run it at once, the second has to undo all of its own.
CREATE UNIQUE INDEX mailbox_version_once ON mailbox_version (version_id);

-- Whose mailboxes these are, and what is in them: boxes and bytes are those of the owner's rows in mailbox_box.
CREATE TABLE mailbox (
    owner     BLOB    NOT NULL PRIMARY KEY CHECK (length(owner) BETWEEN 1 AND 64),
    boxes     INTEGER NOT NULL CHECK (boxes >= 0),
    bytes     INTEGER NOT NULL CHECK (bytes >= 0),
    opened_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The lanes by which an owner lets others deposit at a host; 32 zeros are the open lane, which each host has that the owner uses.
CREATE TABLE mailbox_lane (
    owner BLOB    NOT NULL CHECK (length(owner) BETWEEN 1 AND 64),
    host  BLOB    NOT NULL CHECK (length(host) BETWEEN 1 AND 64),
    lane  BLOB    NOT NULL CHECK (length(lane) = 32),
    class INTEGER NOT NULL CHECK (class BETWEEN 0 AND 2),
    PRIMARY KEY (owner, host, lane)
) STRICT, WITHOUT ROWID;

-- What is kept of each lane, at whichever host it came in. A lane that is closed keeps its row until its boxes are gone.
CREATE TABLE mailbox_use (
    owner BLOB    NOT NULL CHECK (length(owner) BETWEEN 1 AND 64),
    lane  BLOB    NOT NULL CHECK (length(lane) = 32),
    boxes INTEGER NOT NULL CHECK (boxes > 0),
    bytes INTEGER NOT NULL CHECK (bytes >= 0),
    PRIMARY KEY (owner, lane)
) STRICT, WITHOUT ROWID;

-- The id of a row begins with the microsecond of its deposit. A box is on lease where leased_until is to come.
CREATE TABLE mailbox_box (
    owner        BLOB    NOT NULL CHECK (length(owner) BETWEEN 1 AND 64),
    row_id       BLOB    NOT NULL CHECK (length(row_id) = 16),
    deposit_id   BLOB    NOT NULL CHECK (length(deposit_id) = 16),
    lane         BLOB    NOT NULL CHECK (length(lane) = 32),
    bytes        INTEGER NOT NULL CHECK (bytes = length(box)),
    leased_by    BLOB    NOT NULL CHECK (length(leased_by) <= 64),
    leased_until INTEGER NOT NULL,
    box          BLOB    NOT NULL,
    PRIMARY KEY (owner, row_id)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX mailbox_box_deposit ON mailbox_box (owner, deposit_id);

-- One row, which is never changed. Whoever is about to take room that belongs to no owner locks it first, and then counts.
CREATE TABLE mailbox_room (
    id INTEGER PRIMARY KEY CHECK (id = 1)
) STRICT;

INSERT INTO mailbox_room (id) VALUES (1);
