-- The rules of deliveries, by which candidates are judged.

-- +goose Up
ALTER TABLE deliveries
	ADD COLUMN rules           json     NOT NULL DEFAULT '[]',
	ADD COLUMN threshold       smallint NOT NULL DEFAULT 50,
	ADD COLUMN profile_version bigint   NOT NULL DEFAULT 0; -- of the delivery when it was given them; 0: it was not

-- +goose Down
ALTER TABLE deliveries
	DROP COLUMN rules,
	DROP COLUMN threshold,
	DROP COLUMN profile_version;
