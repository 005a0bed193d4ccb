-- Batches, and their members among the jobs. A batch's key is the first half of its id, as a job's is.

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
) STRICT;

CREATE UNIQUE INDEX batches_key ON batches (namespace, key) WHERE key IS NOT NULL;
CREATE INDEX batches_live ON batches (state) WHERE state < 2;
CREATE INDEX batches_prune ON batches (prune_at) WHERE prune_at IS NOT NULL;

ALTER TABLE jobs ADD COLUMN batch INTEGER;        -- batches.seq
ALTER TABLE jobs ADD COLUMN batch_tail INTEGER;   -- batches.tail, so that a job's row tells its batch's id
ALTER TABLE jobs ADD COLUMN batch_index INTEGER;  -- which line it was, from 0
ALTER TABLE jobs ADD COLUMN batch_place INTEGER;  -- once it has ended: its place in the order of ends, from 1

-- Members newest first, and in the order in which they ended; jobs of no batch are in neither. A member's `expires_at`
-- stays NULL: it goes with its batch.
CREATE INDEX jobs_batch ON jobs (batch) WHERE batch IS NOT NULL;
CREATE UNIQUE INDEX jobs_batch_place ON jobs (batch, batch_place) WHERE batch_place IS NOT NULL;
