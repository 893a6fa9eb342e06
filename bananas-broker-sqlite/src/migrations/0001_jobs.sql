-- Facts about the file itself.
CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- One row per job. Conditions are chains of OR, not IN: SQLite evaluates them at every write, and for a list it
-- builds a temporary table each time.
-- Times are microseconds since 1970-01-01 UTC. The view job_list shows ids and times readably.
CREATE TABLE jobs (
    seq              INTEGER PRIMARY KEY,
    id               BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
    queue            TEXT NOT NULL,
    task             TEXT NOT NULL,
    state            TEXT NOT NULL CHECK (state = 'ready' OR state = 'running' OR state = 'succeeded'
        OR state = 'scheduled' OR state = 'retrying' OR state = 'dead' OR state = 'cancelled' OR state = 'expired'),
    priority         INTEGER NOT NULL CHECK (priority BETWEEN 0 AND 100),
    track            TEXT NOT NULL CHECK (track = 'full' OR track = 'none' OR track = 'outcome'),
    epoch            INTEGER NOT NULL DEFAULT 0,
    failed_attempts  INTEGER NOT NULL DEFAULT 0,
    crashes          INTEGER NOT NULL DEFAULT 0,
    copy             INTEGER NOT NULL DEFAULT 0,
    owner            BLOB,
    claimed_copy     INTEGER NOT NULL DEFAULT 0,
    claimed_delivery INTEGER NOT NULL DEFAULT 0,
    run_at           INTEGER,
    expires_at       INTEGER,
    cancel_requested INTEGER NOT NULL DEFAULT 0,
    created_at       INTEGER NOT NULL,
    started_at       INTEGER,
    finished_at      INTEGER,
    reason           TEXT,
    batch            BLOB,
    note             TEXT,
    errors           TEXT,
    result           BLOB,
    body             BLOB NOT NULL
) STRICT;

-- Only what is in motion is indexed; within one priority the rowid, seq, is the order.
CREATE INDEX jobs_ready ON jobs (queue, priority DESC) WHERE state = 'ready' AND crashes = 0;
CREATE INDEX jobs_suspect ON jobs (queue, priority DESC) WHERE state = 'ready' AND crashes > 0;
CREATE INDEX jobs_due ON jobs (queue, run_at) WHERE state = 'scheduled' OR state = 'retrying';
CREATE INDEX jobs_running ON jobs (owner, cancel_requested) WHERE state = 'running';
CREATE INDEX jobs_finished ON jobs (finished_at) WHERE state = 'succeeded' OR state = 'cancelled' OR state = 'expired';
CREATE INDEX jobs_dead ON jobs (finished_at) WHERE state = 'dead';
CREATE INDEX jobs_published ON jobs (queue, batch) WHERE state = 'ready' AND batch IS NOT NULL;

-- How many jobs of a queue are in a state; kept exact by every transaction.
CREATE TABLE counts (
    queue TEXT NOT NULL,
    state TEXT NOT NULL,
    jobs  INTEGER NOT NULL,
    PRIMARY KEY (queue, state)
) STRICT, WITHOUT ROWID;

-- Worker processes. lease_until and lease_us are microseconds on the clock of the boot named by lease_boot.
CREATE TABLE owners (
    id          BLOB PRIMARY KEY CHECK (length(id) = 16),
    host        TEXT NOT NULL,
    boot_id     TEXT NOT NULL,
    pid         INTEGER NOT NULL,
    pid_started INTEGER NOT NULL,
    lease_boot  TEXT NOT NULL,
    lease_until INTEGER NOT NULL,
    lease_us    INTEGER NOT NULL,
    gone        INTEGER NOT NULL DEFAULT 0,
    renewed_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Publication batches that the broker has not confirmed yet; owner is JSON.
CREATE TABLE batches (
    id        BLOB PRIMARY KEY CHECK (length(id) = 16),
    owner     TEXT NOT NULL,
    opened_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE unique_keys (
    queue      TEXT NOT NULL,
    key        TEXT NOT NULL,
    id         BLOB NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (queue, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX unique_keys_expired ON unique_keys (expires_at);

-- The broker's side: queues of opaque messages.
CREATE TABLE queues (
    name        TEXT PRIMARY KEY,
    incarnation TEXT NOT NULL,
    created_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE messages (
    seq         INTEGER PRIMARY KEY,
    queue       TEXT NOT NULL,
    state       TEXT NOT NULL CHECK (state = 'ready' OR state = 'leased' OR state = 'delayed' OR state = 'dead'),
    id          BLOB,
    priority    INTEGER NOT NULL CHECK (priority BETWEEN 0 AND 100),
    not_before  INTEGER,
    due_at      INTEGER,
    key         TEXT,
    deliveries  INTEGER NOT NULL DEFAULT 0,
    token       INTEGER,
    consumer    BLOB,
    lease_boot  TEXT,
    lease_until INTEGER,
    lease_us    INTEGER,
    reason      TEXT,
    properties  TEXT,
    body        BLOB NOT NULL
) STRICT;
CREATE INDEX messages_ready ON messages (queue, priority DESC) WHERE state = 'ready';
CREATE INDEX messages_delayed ON messages (queue, due_at) WHERE state = 'delayed';
CREATE INDEX messages_leased ON messages (queue, lease_until) WHERE state = 'leased';
CREATE INDEX messages_held ON messages (consumer) WHERE state = 'leased';
CREATE INDEX messages_dead ON messages (queue) WHERE state = 'dead';

-- For people.
CREATE VIEW job_list AS SELECT
    substr(lower(hex(id)), 1, 8) || '-' || substr(lower(hex(id)), 9, 4) || '-' || substr(lower(hex(id)), 13, 4)
        || '-' || substr(lower(hex(id)), 17, 4) || '-' || substr(lower(hex(id)), 21) AS id,
    queue, task, state, priority, failed_attempts, crashes,
    datetime(created_at / 1000000, 'unixepoch') AS created,
    datetime(run_at / 1000000, 'unixepoch') AS due,
    datetime(started_at / 1000000, 'unixepoch') AS started,
    datetime(finished_at / 1000000, 'unixepoch') AS finished,
    reason, note, json_extract(errors, '$[#-1].message') AS last_error,
    CAST(result AS TEXT) AS result, CAST(body AS TEXT) AS body
FROM jobs;
