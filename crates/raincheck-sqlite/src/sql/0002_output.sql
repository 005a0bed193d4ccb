-- What attempts emit while they run. A job's last row says where its numbers and its limits have got to.

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
  body         BLOB NOT NULL,
  PRIMARY KEY (job, n)
) STRICT, WITHOUT ROWID;

-- 1 from the first emission until all of it is deleted; jobs that never emit have no part in any of this.
ALTER TABLE jobs ADD COLUMN emitted INTEGER;

-- Forgotten jobs whose output is still to be deleted, which is done in slices.
CREATE INDEX jobs_emitted ON jobs (seq) WHERE emitted IS NOT NULL AND state >= 6;

-- The claim whose output is the result: then `body` is empty, so that nothing is stored twice.
ALTER TABLE results ADD COLUMN fence INTEGER;
