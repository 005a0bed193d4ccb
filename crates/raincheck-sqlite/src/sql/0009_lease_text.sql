-- A lease's nonce is written as 24 hexadecimal digits, half as long as the list of its bytes: each claim writes it.

UPDATE jobs
SET lease = json_set(lease, '$.nonce',
  (SELECT group_concat(printf('%02x', value), '') FROM json_each(lease, '$.nonce')))
WHERE lease IS NOT NULL;
