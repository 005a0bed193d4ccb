CREATE TABLE queues (
  id          INTEGER PRIMARY KEY,
  namespace   TEXT NOT NULL,
  name        TEXT NOT NULL,
  settings    TEXT,                -- as written, JSON; NULL once the queue was deleted (its finished jobs stay)
  managed     INTEGER NOT NULL,    -- defined by flags or a file
  paused_at   INTEGER,
  created_at  INTEGER NOT NULL, callback_gone_at INTEGER, sum INTEGER,
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
, emitted INTEGER, input_type TEXT, input BLOB, result_status INTEGER, result_type TEXT, result BLOB, batch INTEGER, batch_tail INTEGER, batch_index INTEGER, batch_place INTEGER, sum INTEGER, asked_sum INTEGER, history_sum INTEGER, input_sum INTEGER, result_sum INTEGER, result_at INTEGER) STRICT;

CREATE INDEX jobs_queue ON jobs (queue);

CREATE INDEX jobs_failed ON jobs (queue) WHERE state = 3;

CREATE INDEX jobs_group ON jobs (job_group) WHERE job_group IS NOT NULL;

CREATE INDEX jobs_expiry ON jobs (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE inputs (
  seq          INTEGER PRIMARY KEY,
  content_type TEXT,
  headers      TEXT,               -- [[name, value], …], JSON
  body         BLOB NOT NULL
, sum INTEGER) STRICT;

CREATE TABLE results (
  seq          INTEGER PRIMARY KEY,
  status       INTEGER NOT NULL,
  content_type TEXT,
  headers      TEXT,
  body         BLOB NOT NULL
, fence INTEGER, sum INTEGER) STRICT;

CREATE TABLE idempotency (
  queue       INTEGER NOT NULL,
  key         TEXT NOT NULL,
  seq         INTEGER NOT NULL,
  fingerprint BLOB NOT NULL, sum INTEGER,
  PRIMARY KEY (queue, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE tags (
  tag TEXT NOT NULL,
  seq INTEGER NOT NULL, sum INTEGER,
  PRIMARY KEY (tag, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE output (
  job          INTEGER NOT NULL,   -- jobs.seq
  n            INTEGER NOT NULL,   -- within the job, over all attempts
  fence        INTEGER NOT NULL,   -- the claim that emitted it
  attempt      INTEGER NOT NULL,
  seq          INTEGER NOT NULL,   -- within the claim, from 0
  stream       INTEGER NOT NULL,   -- 0 output, 1 log
  at           INTEGER NOT NULL,
  output_bytes INTEGER NOT NULL,   -- of this claim up to this row
  log_bytes    INTEGER NOT NULL,   -- the same
  former_bytes INTEGER NOT NULL,   -- what earlier claims emitted and is still kept
  body         BLOB NOT NULL, sum INTEGER,
  PRIMARY KEY (job, n)
) STRICT, WITHOUT ROWID;

CREATE TABLE signing_secrets (
  namespace TEXT NOT NULL,
  secret    BLOB NOT NULL,
  since     INTEGER,             -- of the present secret: since when it is
  until     INTEGER              -- of a former secret: until when it signs beside the present one
, sealed_by TEXT, sum INTEGER) STRICT;

CREATE INDEX signing_secrets_namespace ON signing_secrets (namespace);

CREATE TABLE uniques (
  queue INTEGER NOT NULL,
  value TEXT NOT NULL,
  seq   INTEGER NOT NULL, sum INTEGER,
  PRIMARY KEY (queue, value)
) STRICT, WITHOUT ROWID;

CREATE TABLE attached_keys (
  seq INTEGER NOT NULL,
  key TEXT NOT NULL, sum INTEGER,
  PRIMARY KEY (seq, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE deliveries (
  seq     INTEGER NOT NULL,
  source  INTEGER NOT NULL,        -- 0 the job's own callback, 1 its queue's
  next_at INTEGER,                 -- when it is tried next; NULL once it was taken or given up
  body    TEXT NOT NULL, sum INTEGER,           -- the rest, JSON
  PRIMARY KEY (seq, source)
) STRICT, WITHOUT ROWID;

CREATE INDEX deliveries_due ON deliveries (next_at, seq, source) WHERE next_at IS NOT NULL;

CREATE TABLE ticket_key (
  id     INTEGER PRIMARY KEY CHECK (id = 1),
  secret BLOB NOT NULL
, sealed_by TEXT, sum INTEGER) STRICT;

CREATE TABLE batches (
  seq         INTEGER PRIMARY KEY,
  tail        INTEGER NOT NULL,
  namespace   TEXT NOT NULL,
  state       INTEGER NOT NULL,    -- 0 open, 1 sealed, 2 done; 7 pruned
  cancelling  INTEGER NOT NULL,    -- a cancel was asked for
  cancel_from INTEGER,             -- while members are being cancelled: the jobs.seq up to which they are
  open_until  INTEGER,             -- while it is open: when it is cancelled
  finished_at INTEGER,
  expires_at  INTEGER,             -- when the batch, or its tombstone, may go
  prune_at    INTEGER,             -- the same; later where members were found that may not go yet
  lines       INTEGER NOT NULL,
  rejected    INTEGER NOT NULL,
  succeeded   INTEGER NOT NULL,
  failed      INTEGER NOT NULL,
  cancelled   INTEGER NOT NULL,
  expired     INTEGER NOT NULL,
  settings    TEXT NOT NULL,       -- how long it is kept, whom it tells, JSON
  refusals    TEXT NOT NULL,       -- the first rejected lines, JSON
  key         TEXT,                -- its idempotency key
  fingerprint BLOB
, sum INTEGER, asked_sum INTEGER, refusals_sum INTEGER) STRICT;

CREATE UNIQUE INDEX batches_key ON batches (namespace, key) WHERE key IS NOT NULL;

CREATE INDEX batches_live ON batches (state) WHERE state < 2;

CREATE INDEX batches_prune ON batches (prune_at) WHERE prune_at IS NOT NULL;

CREATE INDEX jobs_batch ON jobs (batch) WHERE batch IS NOT NULL;

CREATE UNIQUE INDEX jobs_batch_place ON jobs (batch, batch_place) WHERE batch_place IS NOT NULL;

CREATE TABLE api_keys (
  n          INTEGER PRIMARY KEY,  -- the order in which they were made
  id         TEXT NOT NULL UNIQUE,
  namespace  TEXT NOT NULL,
  name       TEXT NOT NULL,
  scopes     TEXT NOT NULL,        -- words, separated by spaces
  queues     TEXT NOT NULL,        -- patterns, separated by spaces; none where it is for all queues
  created_at INTEGER NOT NULL,
  expires_at INTEGER,
  used_at    INTEGER,              -- last, to the minute or so
  digest     BLOB NOT NULL
, sum INTEGER) STRICT;

CREATE TABLE key_pepper (
  id     INTEGER PRIMARY KEY CHECK (id = 1),
  secret BLOB NOT NULL
, sealed_by TEXT, sum INTEGER) STRICT;

CREATE TABLE rates (
  queue     INTEGER NOT NULL,    -- queues.id
  job_group TEXT NOT NULL,       -- '' for the queue's own rate
  arrival   INTEGER NOT NULL,    -- GCRA's theoretical arrival time: nanoseconds since 1970
  PRIMARY KEY (queue, job_group)
) STRICT, WITHOUT ROWID;

CREATE TABLE groups (
  queue     INTEGER NOT NULL,    -- queues.id
  job_group TEXT NOT NULL,
  settings  TEXT NOT NULL, sum INTEGER,       -- as written, JSON
  PRIMARY KEY (queue, job_group)
) STRICT, WITHOUT ROWID;

CREATE TABLE acts (
  n          INTEGER PRIMARY KEY,      -- the order in which they were recorded
  id         INTEGER NOT NULL UNIQUE,  -- random: an act has one row
  at         INTEGER NOT NULL,
  namespace  TEXT NOT NULL,
  actor      TEXT NOT NULL,            -- a key's id, or 'local'
  address    TEXT,
  action     TEXT NOT NULL,
  target     TEXT NOT NULL,
  request_id TEXT NOT NULL,
  refused    TEXT                      -- the code that says why; NULL where it was done
, sum INTEGER) STRICT;

CREATE INDEX acts_namespace ON acts (namespace, n);

CREATE INDEX acts_refused ON acts (n) WHERE refused IS NOT NULL;

CREATE TABLE set_back (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    ids INTEGER NOT NULL,
    at INTEGER NOT NULL,
    sum INTEGER NOT NULL
) STRICT;

CREATE TABLE set_aside (
  seq INTEGER PRIMARY KEY,    -- jobs.seq
  why TEXT NOT NULL,
  sum INTEGER
) STRICT;

CREATE TABLE clock_set (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    moved INTEGER NOT NULL,
    sum INTEGER NOT NULL
) STRICT;

CREATE INDEX jobs_emitted ON jobs (seq) WHERE emitted = 2;
