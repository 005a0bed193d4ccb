-- Results beside their jobs' rows lie in the order in which they came, so that each page is filled after the other: `result_at` is such a
-- one's `results.seq`, above 2^60 and thus no job's, and `result_sum` the checksum of that. Where it is NULL, a result of an
-- earlier version lies at its job's own `seq`.
ALTER TABLE jobs ADD COLUMN result_at INTEGER;
