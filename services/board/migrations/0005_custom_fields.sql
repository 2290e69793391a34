-- Custom fields: definitions of an organization, the boards that have them, and the values of tasks.

CREATE TABLE custom_fields (
    id uuid PRIMARY KEY,
    organization_id uuid NOT NULL,
    field_key text NOT NULL,
    label text NOT NULL,
    field_type text NOT NULL CONSTRAINT custom_fields_type_check
        CHECK (field_type IN ('text', 'text_long', 'integer', 'decimal', 'boolean', 'date', 'date_time', 'url', 'json')),
    ui_visibility text NOT NULL CONSTRAINT custom_fields_visibility_check CHECK (ui_visibility IN ('always', 'if_set', 'hidden')),
    validation_regex text,
    description text,
    required boolean NOT NULL,
    -- json, not jsonb: answered in the form it was given.
    default_value json,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT custom_fields_organization_key UNIQUE (organization_id, field_key)
);
CREATE INDEX custom_fields_organization_label ON custom_fields (organization_id, lower(label), field_key);

CREATE TABLE board_custom_fields (
    board_id uuid NOT NULL CONSTRAINT board_custom_fields_board_id_fkey REFERENCES boards ON DELETE CASCADE,
    custom_field_id uuid NOT NULL CONSTRAINT board_custom_fields_field_fkey REFERENCES custom_fields ON DELETE CASCADE,
    PRIMARY KEY (board_id, custom_field_id)
);
CREATE INDEX board_custom_fields_field ON board_custom_fields (custom_field_id);

CREATE TABLE task_custom_field_values (
    task_id uuid NOT NULL CONSTRAINT task_custom_field_values_task_id_fkey REFERENCES tasks ON DELETE CASCADE,
    -- A definition with values is not deleted.
    custom_field_id uuid NOT NULL CONSTRAINT task_custom_field_values_field_fkey REFERENCES custom_fields,
    -- The JSON null when the value was taken away: the default does not come back then.
    value json NOT NULL,
    PRIMARY KEY (task_id, custom_field_id)
);
CREATE INDEX task_custom_field_values_field ON task_custom_field_values (custom_field_id);
