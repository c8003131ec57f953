-- +goose Up

-- What lists of deliveries tell in total, kept rather than counted.

CREATE TABLE delivery_totals (
    organisation_id text   COLLATE "C" PRIMARY KEY,
    active          bigint NOT NULL,
    paused          bigint NOT NULL,
    searches        bigint NOT NULL
);

COMMENT ON TABLE delivery_totals IS 'Of the read model "deliveries": how many each organisation has by status, and how many prospect searches they are bound to.';

CREATE TABLE searches (
    organisation_id    text   COLLATE "C" NOT NULL,
    prospect_search_id text   COLLATE "C" NOT NULL,
    oldest             text   COLLATE "C" NOT NULL,
    active             bigint NOT NULL,
    paused             bigint NOT NULL,

    PRIMARY KEY (organisation_id, prospect_search_id)
);
CREATE INDEX searches_of_organisation ON searches (organisation_id, oldest);

COMMENT ON TABLE  searches        IS 'Of the read model "deliveries": prospect searches that deliveries are bound to, with the number of those by status.';
COMMENT ON COLUMN searches.oldest IS 'Of the deliveries bound to it: whose name it shows, and by which searches are listed.';

ALTER TABLE deliveries ADD COLUMN destinations bigint NOT NULL DEFAULT 0;

COMMENT ON COLUMN deliveries.destinations IS 'How many it has.';

CREATE INDEX deliveries_by_status ON deliveries (organisation_id, status, id);
DROP INDEX deliveries_of_search;
CREATE INDEX deliveries_of_search ON deliveries (prospect_search_id, organisation_id, id);

-- By status first: few failed dispatches are found at once also among many cancelled ones.

DROP INDEX dispatches_lost;
CREATE INDEX dispatches_lost ON dispatches (delivery_id, status, position) WHERE status IN ('failed', 'cancelled');

UPDATE deliveries d SET destinations = (SELECT count(*) FROM destinations t WHERE t.delivery_id = d.id);

INSERT INTO searches (organisation_id, prospect_search_id, oldest, active, paused)
SELECT organisation_id, prospect_search_id, min(id), count(*) FILTER (WHERE status = 'active'), count(*) FILTER (WHERE status = 'paused')
FROM deliveries
GROUP BY organisation_id, prospect_search_id;

INSERT INTO delivery_totals (organisation_id, active, paused, searches)
SELECT organisation_id, count(*) FILTER (WHERE status = 'active'), count(*) FILTER (WHERE status = 'paused'), count(DISTINCT prospect_search_id)
FROM deliveries
GROUP BY organisation_id;

-- +goose Down

DROP INDEX dispatches_lost;
CREATE INDEX dispatches_lost ON dispatches (delivery_id, position) WHERE status IN ('failed', 'cancelled');
DROP INDEX deliveries_of_search;
CREATE INDEX deliveries_of_search ON deliveries (prospect_search_id);
DROP INDEX deliveries_by_status;
ALTER TABLE deliveries DROP COLUMN destinations;
DROP TABLE searches;
DROP TABLE delivery_totals;
