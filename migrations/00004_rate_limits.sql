-- +goose Up

ALTER TABLE api_keys
    ADD COLUMN tier           text NOT NULL DEFAULT 'enterprise' CHECK (tier IN ('free', 'pro', 'enterprise')),
    ADD COLUMN limit_per_hour bigint,
    ADD CHECK (limit_per_hour IS NULL OR limit_per_hour > 0 AND tier = 'enterprise');

COMMENT ON COLUMN api_keys.limit_per_hour IS 'Requests an hour of a key of the tier enterprise; NULL: any number. The other tiers have theirs.';

CREATE TABLE rate_windows (
    key_id  text        COLLATE "C" PRIMARY KEY REFERENCES api_keys ON DELETE CASCADE,
    number  bigint      NOT NULL,
    ends_at timestamptz NOT NULL,
    taken   bigint      NOT NULL,
    block   bigint      NOT NULL
) WITH (fillfactor = 50);

COMMENT ON TABLE  rate_windows        IS 'The last hour of each limited key, begun by its first request after the hour before. Written once for a block of requests.';
COMMENT ON COLUMN rate_windows.number IS 'Tells the key''s windows apart.';
COMMENT ON COLUMN rate_windows.taken  IS 'Requests that processes have been given, used or not. Never more than the limit that was asked with.';
COMMENT ON COLUMN rate_windows.block  IS 'Requests that the last process to ask was given.';

CREATE INDEX api_keys_of_organisation ON api_keys (organisation_id, id);

-- +goose Down

DROP INDEX api_keys_of_organisation;
DROP TABLE rate_windows;
ALTER TABLE api_keys DROP COLUMN limit_per_hour, DROP COLUMN tier;
