-- +goose Up

-- Read model "history": the audit trail of each delivery.

CREATE TABLE history (
    delivery_id text   COLLATE "C" NOT NULL,
    number      bigint NOT NULL,
    position    bigint NOT NULL,
    type_number bigint NOT NULL,
    type        text   COLLATE "C" NOT NULL,

    PRIMARY KEY (delivery_id, number)
);
CREATE UNIQUE INDEX history_of_type ON history (delivery_id, type, type_number);

COMMENT ON TABLE  history             IS 'Where in the log the events of each delivery are. Rows are only added, at the right edge of both indexes.';
COMMENT ON COLUMN history.number      IS 'Place among the delivery''s events: 1, 2, 3, … without a gap, so that an offset is a look-up and the last one the total.';
COMMENT ON COLUMN history.type_number IS 'Place among those of the same type, likewise.';

-- Dispatches by delivery. Nothing in the first ever changes; the second has no row while all goes well.

CREATE INDEX dispatches_of_delivery ON dispatches (delivery_id, position);
CREATE INDEX dispatches_lost ON dispatches (delivery_id, position) WHERE status IN ('failed', 'cancelled');

-- +goose Down

DROP INDEX dispatches_lost;
DROP INDEX dispatches_of_delivery;
DROP TABLE history;
