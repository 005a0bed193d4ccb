-- Ids only grow, so after the clock was set back they are made ahead of it, and the newest does not tell any more what time it
-- was. One row, there while that is so: the time of the newest id, and the time it was by the clock, as far as is known.
CREATE TABLE set_back (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    ids INTEGER NOT NULL,
    at INTEGER NOT NULL,
    sum INTEGER NOT NULL
) STRICT;
