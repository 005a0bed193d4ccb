-- Webhooks that finished jobs make. A row lives as long as its job.

CREATE TABLE deliveries (
  seq     INTEGER NOT NULL,
  source  INTEGER NOT NULL,        -- 0 the job's own callback, 1 its queue's
  next_at INTEGER,                 -- when it is tried next; NULL once it was taken or given up
  body    TEXT NOT NULL,           -- the rest, JSON
  PRIMARY KEY (seq, source)
) STRICT, WITHOUT ROWID;

CREATE INDEX deliveries_due ON deliveries (next_at, seq, source) WHERE next_at IS NOT NULL;

ALTER TABLE queues ADD COLUMN callback_gone_at INTEGER;  -- since when the queue's receiver wants nothing more (410)
