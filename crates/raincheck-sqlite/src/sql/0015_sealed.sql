-- Under which master key a secret is sealed; NULL where it lies in the clear.
ALTER TABLE ticket_key ADD COLUMN sealed_by TEXT;
ALTER TABLE key_pepper ADD COLUMN sealed_by TEXT;
ALTER TABLE signing_secrets ADD COLUMN sealed_by TEXT;
