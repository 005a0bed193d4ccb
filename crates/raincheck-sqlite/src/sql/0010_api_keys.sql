-- API keys: what they allow, and of their secrets a digest.
CREATE TABLE api_keys (
  n          INTEGER PRIMARY KEY,  -- the order in which they were made
  id         TEXT NOT NULL UNIQUE,
  namespace  TEXT NOT NULL,
  name       TEXT NOT NULL,
  scopes     TEXT NOT NULL,        -- words, separated by spaces
  queues     TEXT NOT NULL,        -- patterns, separated by spaces; none where it is for all queues
  created_at INTEGER NOT NULL,
  expires_at INTEGER,
  used_at    INTEGER,              -- last, to the minute or so
  digest     BLOB NOT NULL
) STRICT;

-- What keys are hashed with: one row, written when the first key is made or checked.
CREATE TABLE key_pepper (
  id     INTEGER PRIMARY KEY CHECK (id = 1),
  secret BLOB NOT NULL
) STRICT;
