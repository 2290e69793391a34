-- After how many seconds a pending approval of the board is refused because nobody decided; null: never.
ALTER TABLE boards ADD COLUMN approval_ttl_seconds integer
    CONSTRAINT boards_approval_ttl_check CHECK (approval_ttl_seconds BETWEEN 1 AND 31536000);
