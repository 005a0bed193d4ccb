-- Checksums of the other tables, made by `row_sum` over the columns that `sum.rs` names; NULL in rows of earlier versions.
ALTER TABLE queues ADD COLUMN sum INTEGER;
ALTER TABLE groups ADD COLUMN sum INTEGER;
ALTER TABLE idempotency ADD COLUMN sum INTEGER;
ALTER TABLE attached_keys ADD COLUMN sum INTEGER;
ALTER TABLE uniques ADD COLUMN sum INTEGER;
ALTER TABLE tags ADD COLUMN sum INTEGER;
ALTER TABLE deliveries ADD COLUMN sum INTEGER;
ALTER TABLE api_keys ADD COLUMN sum INTEGER;
ALTER TABLE acts ADD COLUMN sum INTEGER;
ALTER TABLE signing_secrets ADD COLUMN sum INTEGER;
ALTER TABLE key_pepper ADD COLUMN sum INTEGER;
ALTER TABLE ticket_key ADD COLUMN sum INTEGER;
ALTER TABLE batches ADD COLUMN sum INTEGER;           -- how far it is
ALTER TABLE batches ADD COLUMN asked_sum INTEGER;     -- whose it is, what was asked
ALTER TABLE batches ADD COLUMN refusals_sum INTEGER;
