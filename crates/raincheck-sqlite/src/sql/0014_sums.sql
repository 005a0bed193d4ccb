-- Checksums (CRC-32), so that a byte that a disk changed is never taken for what was promised; NULL where none was made.

ALTER TABLE jobs ADD COLUMN sum INTEGER;          -- what each step changes
ALTER TABLE jobs ADD COLUMN asked_sum INTEGER;    -- whose job it is, and its options
ALTER TABLE jobs ADD COLUMN history_sum INTEGER;
ALTER TABLE jobs ADD COLUMN input_sum INTEGER;
ALTER TABLE jobs ADD COLUMN result_sum INTEGER;
ALTER TABLE inputs ADD COLUMN sum INTEGER;
ALTER TABLE results ADD COLUMN sum INTEGER;
ALTER TABLE output ADD COLUMN sum INTEGER;
