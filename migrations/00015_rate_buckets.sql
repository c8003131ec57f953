-- +goose Up

CREATE TABLE rate_buckets (
    destination_id text             COLLATE "C" PRIMARY KEY,
    tokens         double precision NOT NULL,
    filled_at      timestamptz      NOT NULL
) WITH (fillfactor = 50);

COMMENT ON TABLE  rate_buckets        IS 'What destinations with a rate limit were sent lately, over all processes. None: nothing.';
COMMENT ON COLUMN rate_buckets.tokens IS 'Requests that could be made at once when it was written; since then it has filled at the rate of the limit.';

-- +goose Down

DROP TABLE rate_buckets;
