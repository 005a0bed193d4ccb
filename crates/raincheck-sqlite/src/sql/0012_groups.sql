-- What is written for single groups of a queue.

CREATE TABLE groups (
  queue     INTEGER NOT NULL,    -- queues.id
  job_group TEXT NOT NULL,
  settings  TEXT NOT NULL,       -- as written, JSON
  PRIMARY KEY (queue, job_group)
) STRICT, WITHOUT ROWID;
