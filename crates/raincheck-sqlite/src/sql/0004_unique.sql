-- Who holds a unique value. A row belongs to the job that holds the value now and goes when that lets go of it; jobs
-- without one never touch this table.
CREATE TABLE uniques (
  queue INTEGER NOT NULL,
  value TEXT NOT NULL,
  seq   INTEGER NOT NULL,
  PRIMARY KEY (queue, value)
) STRICT, WITHOUT ROWID;

-- Idempotency keys of requests that attached themselves to a job of another request. The job's own key is in its row;
-- these die with it as well.
CREATE TABLE attached_keys (
  seq INTEGER NOT NULL,
  key TEXT NOT NULL,
  PRIMARY KEY (seq, key)
) STRICT, WITHOUT ROWID;
