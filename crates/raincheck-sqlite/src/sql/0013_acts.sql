-- What administrators did, and what they were refused.
CREATE TABLE acts (
  n          INTEGER PRIMARY KEY,      -- the order in which they were recorded
  id         INTEGER NOT NULL UNIQUE,  -- random: an act has one row
  at         INTEGER NOT NULL,
  namespace  TEXT NOT NULL,
  actor      TEXT NOT NULL,            -- a key's id, or 'local'
  address    TEXT,
  action     TEXT NOT NULL,
  target     TEXT NOT NULL,
  request_id TEXT NOT NULL,
  refused    TEXT                      -- the code that says why; NULL where it was done
) STRICT;

CREATE INDEX acts_namespace ON acts (namespace, n);
CREATE INDEX acts_refused ON acts (n) WHERE refused IS NOT NULL;
