-- A job's key is the first 60 bits of its id (milliseconds and counter), so that rows lie in the order they came and
-- the id needs no index of its own; the other 62 bits are in `tail`. Times are milliseconds since 1970.

CREATE TABLE queues (
  id          INTEGER PRIMARY KEY,
  namespace   TEXT NOT NULL,
  name        TEXT NOT NULL,
  settings    TEXT,                -- as written, JSON; NULL once the queue was deleted (its finished jobs stay)
  managed     INTEGER NOT NULL,    -- defined by flags or a file
  paused_at   INTEGER,
  created_at  INTEGER NOT NULL,
  UNIQUE (namespace, name)
) STRICT;

CREATE TABLE jobs (
  seq         INTEGER PRIMARY KEY,
  tail        INTEGER NOT NULL,
  queue       INTEGER NOT NULL,
  state       INTEGER NOT NULL,    -- 0 waiting, 1 running, 2 succeeded, 3 failed, 4 cancelled, 5 expired; tombstones: 6 deleted, 7 pruned
  priority    INTEGER NOT NULL,
  version     INTEGER NOT NULL,
  attempt     INTEGER NOT NULL,
  fence       INTEGER NOT NULL,
  cancelling  INTEGER NOT NULL,    -- a cancel was asked for
  run_at      INTEGER NOT NULL,
  started_at  INTEGER,
  finished_at INTEGER,
  expires_at  INTEGER,             -- when a finished job, or its tombstone, may go
  job_group   TEXT,
  options     TEXT,                -- what the submitter asked, JSON
  lease       TEXT,                -- while running, JSON
  history     TEXT,                -- attempts, error, retries, JSON
  settled     BLOB,                -- nonce (12 bytes) and digest (16) of the last settlement
  idempotency TEXT                 -- the job's idempotency key: its row there dies with this one
) STRICT;

-- For listings, newest first: every index ends in the rowid, which is `seq`.
CREATE INDEX jobs_queue ON jobs (queue);
CREATE INDEX jobs_failed ON jobs (queue) WHERE state = 3;
CREATE INDEX jobs_group ON jobs (job_group) WHERE job_group IS NOT NULL;

-- For pruning.
CREATE INDEX jobs_expiry ON jobs (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE inputs (
  seq          INTEGER PRIMARY KEY,
  content_type TEXT,
  headers      TEXT,               -- [[name, value], …], JSON
  body         BLOB NOT NULL
) STRICT;

CREATE TABLE results (
  seq          INTEGER PRIMARY KEY,
  status       INTEGER NOT NULL,
  content_type TEXT,
  headers      TEXT,
  body         BLOB NOT NULL
) STRICT;

CREATE TABLE idempotency (
  queue       INTEGER NOT NULL,
  key         TEXT NOT NULL,
  seq         INTEGER NOT NULL,
  fingerprint BLOB NOT NULL,
  PRIMARY KEY (queue, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE tags (
  tag TEXT NOT NULL,
  seq INTEGER NOT NULL,
  PRIMARY KEY (tag, seq)
) STRICT, WITHOUT ROWID;
