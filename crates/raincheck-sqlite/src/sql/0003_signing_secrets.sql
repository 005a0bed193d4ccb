-- What namespaces sign their pushes and webhooks with.

CREATE TABLE signing_secrets (
  namespace TEXT NOT NULL,
  secret    BLOB NOT NULL,
  since     INTEGER,             -- of the present secret: since when it is
  until     INTEGER              -- of a former secret: until when it signs beside the present one
) STRICT;

CREATE INDEX signing_secrets_namespace ON signing_secrets (namespace);
