-- What tickets for jobs are signed with: one row, written when the first ticket is given out.
CREATE TABLE ticket_key (
  id     INTEGER PRIMARY KEY CHECK (id = 1),
  secret BLOB NOT NULL
) STRICT;
