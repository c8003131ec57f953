-- +goose Up

-- Dispatches of hand-overs that their destination was not owed at the time: see the event "dispatch.backfilled".

ALTER TABLE dispatches ADD COLUMN source bigint;
CREATE INDEX dispatches_backfilled ON dispatches (destination_id, source) WHERE source IS NOT NULL;

COMMENT ON COLUMN dispatches.position IS 'Where in the log it came to be owed: of the event that it tells of, unless source says another.';
COMMENT ON COLUMN dispatches.source   IS 'Of a dispatch that was back-filled: position of the hand-over''s event, which holds what is sent. Else null.';

ALTER TABLE replays ADD COLUMN backfill boolean NOT NULL DEFAULT false;

COMMENT ON COLUMN replays.backfill IS 'The job makes new dispatches to a destination, and has none attempted again.';

-- +goose Down

ALTER TABLE replays DROP COLUMN backfill;
DELETE FROM dispatches WHERE source IS NOT NULL;
DROP INDEX dispatches_backfilled;
ALTER TABLE dispatches DROP COLUMN source;
COMMENT ON COLUMN dispatches.position IS 'Of the event that it tells of, which holds what is sent.';
