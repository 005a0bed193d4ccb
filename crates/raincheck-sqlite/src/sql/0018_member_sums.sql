-- A member's batch and line come into the sum of whose it is, its place among those that have ended into that of its steps.
-- A row that is not as it was written stays recognisable as such.
UPDATE jobs SET asked_sum = jobs_sum(seq, tail, queue, batch, batch_tail, batch_index, job_group, options)
  WHERE batch IS NOT NULL AND asked_sum = jobs_sum(seq, tail, queue, job_group, options);
UPDATE jobs SET sum = jobs_sum(seq, state, priority, version, attempt, fence, cancelling, run_at, started_at, finished_at,
    expires_at, batch_place, lease, settled)
  WHERE batch_place IS NOT NULL AND sum = jobs_sum(seq, state, priority, version, attempt, fence, cancelling, run_at, started_at,
    finished_at, expires_at, lease, settled);
