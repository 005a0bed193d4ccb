-- Inputs and results of at most 256 bytes without headers lie in the job's row: most jobs then touch one table less when
-- they come and one less when they end. Where `input` or `result_status` is NULL, `inputs` or `results` has a row.

ALTER TABLE jobs ADD COLUMN input_type TEXT;
ALTER TABLE jobs ADD COLUMN input BLOB;
ALTER TABLE jobs ADD COLUMN result_status INTEGER;
ALTER TABLE jobs ADD COLUMN result_type TEXT;
ALTER TABLE jobs ADD COLUMN result BLOB;
