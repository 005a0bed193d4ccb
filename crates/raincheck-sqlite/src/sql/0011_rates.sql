-- Where the rates of queues stand: written at most once a transaction, and only where a rate is set. A row whose instant
-- has passed says nothing and is deleted.

CREATE TABLE rates (
  queue     INTEGER NOT NULL,    -- queues.id
  job_group TEXT NOT NULL,       -- '' for the queue's own rate
  arrival   INTEGER NOT NULL,    -- GCRA's theoretical arrival time: nanoseconds since 1970
  PRIMARY KEY (queue, job_group)
) STRICT, WITHOUT ROWID;
