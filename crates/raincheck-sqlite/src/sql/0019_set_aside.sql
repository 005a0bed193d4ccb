-- Jobs that were set aside because a row of theirs is not as it was written, and what is wrong with it.
CREATE TABLE set_aside (
  seq INTEGER PRIMARY KEY,    -- jobs.seq
  why TEXT NOT NULL,
  sum INTEGER
) STRICT;
