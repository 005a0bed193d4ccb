-- By how much the clock was set, in all, while the store was open. From when what is finished may go (`expires_at` of jobs and
-- batches) is kept by the time without that, so that a clock that is set changes one row. One row, there once it was set.
CREATE TABLE clock_set (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    moved INTEGER NOT NULL,
    sum INTEGER NOT NULL
) STRICT;
