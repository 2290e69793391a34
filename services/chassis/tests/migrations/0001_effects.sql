-- What the consumers of the tests did.
CREATE TABLE effects (
    n bigint GENERATED ALWAYS AS IDENTITY,
    consumer text NOT NULL,
    event_id uuid NOT NULL,
    label text NOT NULL
);
