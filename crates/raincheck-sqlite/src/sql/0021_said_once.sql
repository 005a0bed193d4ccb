-- A lease and an attempt leave out of their JSON what the columns say: when the job was first claimed and when it ended, a term from
-- then, and of an attempt that it was the first and succeeded. What is there stays as it is, and is read as well; an earlier
-- program would not read what is written from here on.

-- Forgotten jobs whose output is still to be deleted are marked as such (2), so that the index is none of a job's that ends.
DROP INDEX jobs_emitted;
UPDATE jobs SET emitted = 2 WHERE emitted IS NOT NULL AND state >= 6;
CREATE INDEX jobs_emitted ON jobs (seq) WHERE emitted = 2;
