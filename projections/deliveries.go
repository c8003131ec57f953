package projections

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/domain/rules"
	"github.com/openprospect/delivery-ledger/eventstore"
)

// Deliveries keeps what customers configured: a row for each delivery that was not deleted,
// and for each destination of one; what their organisations exclude; and what lists of them tell in total.
func Deliveries() Projection {
	return Projection{
		Name:    "deliveries",
		Version: 1,
		Tables:  []string{"deliveries", "destinations", "delivery_totals", "searches", "exclusions", "exclusion_totals"},
		Types: types(domain.DeliveryCreated{}, domain.DeliveryUpdated{}, domain.RulesSet{}, domain.DeliveryPaused{}, domain.DeliveryResumed{},
			domain.DeliveryDeleted{}, domain.DestinationAdded{}, domain.DestinationChanged{}, domain.DestinationRemoved{},
			domain.DestinationDisabled{}, domain.DestinationEnabled{}, domain.SigningSecretRotated{}, domain.ExclusionAdded{}, domain.ExclusionRemoved{}),
		Rest: atLeisure,
		Apply: func(batch *pgx.Batch, page []Entry) {
			for _, entry := range page { // rare: no need to go by sets
				applyToDeliveries(batch, entry)
			}
			applyToExclusions(batch, page)
		},
	}
}

// applyToDeliveries queues what one event changes.
func applyToDeliveries(batch *pgx.Batch, entry Entry) {
	const (
		create = `
			INSERT INTO deliveries (id, organisation_id, name, status, schedule, timezone, prospect_search_id, version, created_at, updated_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)`
		update = `
			UPDATE deliveries SET name = $2, schedule = $3, timezone = $4, prospect_search_id = $5, version = $6, updated_at = $7 WHERE id = $1`
		judge        = `UPDATE deliveries SET rules = $2, threshold = $3, profile_version = $4, version = $4, updated_at = $5 WHERE id = $1`
		status       = `UPDATE deliveries SET status = $2, version = $3, updated_at = $4 WHERE id = $1`
		touch        = `UPDATE deliveries SET version = $2, updated_at = $3, destinations = destinations + $4 WHERE id = $1`
		remove       = `DELETE FROM deliveries WHERE id = $1`
		clear        = `DELETE FROM destinations WHERE delivery_id = $1`
		addTarget    = `INSERT INTO destinations (id, delivery_id, config, version, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $5)`
		changeTarget = `UPDATE destinations SET config = $2, disabled_reason = '', version = $3, updated_at = $4 WHERE id = $1`
		stopTarget   = `UPDATE destinations SET disabled_reason = $2, version = $3, updated_at = $4 WHERE id = $1`
		rotateTarget = `UPDATE destinations SET config = ` + withSigning + `, version = $3, updated_at = $4 WHERE id = $1`
		removeTarget = `DELETE FROM destinations WHERE id = $1`
	)
	version, at := entry.Version, entry.RecordedAt
	switch e := entry.Event.(type) {
	case domain.DeliveryCreated:
		batch.Queue(create, e.Delivery, e.Organisation, e.Name, e.Status, e.Schedule, e.Timezone, e.Search, version, at)
		batch.Queue(joinTotals, e.Delivery)
	case domain.DeliveryUpdated:
		batch.Queue(leaveTotals, e.Delivery)
		batch.Queue(update, e.Delivery, e.Name, e.Schedule, e.Timezone, e.Search, version, at)
		batch.Queue(joinTotals, e.Delivery)
	case domain.RulesSet:
		batch.Queue(judge, e.Delivery, e.Rules, e.Threshold, version, at)
	case domain.DeliveryPaused:
		batch.Queue(leaveTotals, e.Delivery)
		batch.Queue(status, e.Delivery, domain.Paused, version, at)
		batch.Queue(joinTotals, e.Delivery)
	case domain.DeliveryResumed:
		batch.Queue(leaveTotals, e.Delivery)
		batch.Queue(status, e.Delivery, domain.Active, version, at)
		batch.Queue(joinTotals, e.Delivery)
	case domain.DeliveryDeleted:
		batch.Queue(leaveTotals, e.Delivery)
		batch.Queue(clear, e.Delivery)
		batch.Queue(remove, e.Delivery)
	case domain.DestinationAdded:
		batch.Queue(addTarget, e.Destination.ID, e.Delivery, e.Destination, version, at)
		batch.Queue(touch, e.Delivery, version, at, 1)
	case domain.DestinationChanged:
		batch.Queue(changeTarget, e.Destination.ID, e.Destination, version, at)
		batch.Queue(touch, e.Delivery, version, at, 0)
	case domain.DestinationRemoved:
		batch.Queue(removeTarget, e.Destination)
		batch.Queue(touch, e.Delivery, version, at, -1)
	case domain.DestinationDisabled:
		batch.Queue(stopTarget, e.Destination, e.Reason, version, at)
		batch.Queue(touch, e.Delivery, version, at, 0)
	case domain.DestinationEnabled:
		batch.Queue(stopTarget, e.Destination, "", version, at)
		batch.Queue(touch, e.Delivery, version, at, 0)
	case domain.SigningSecretRotated:
		batch.Queue(rotateTarget, e.Destination, signingOf(e), version, at)
		batch.Queue(touch, e.Delivery, version, at, 0)
	}
}

// A Delivery is a configured delivery as customers see it.
type Delivery struct {
	ID        domain.DeliveryID     `db:"id"`
	Name      string                `db:"name"`
	Status    domain.DeliveryStatus `db:"status"`
	Schedule  domain.Schedule       `db:"schedule"`
	Timezone  domain.Timezone       `db:"timezone"`
	Search    domain.SearchID       `db:"prospect_search_id"`
	Rules     []rules.Rule          `db:"rules"`
	Threshold int                   `db:"threshold"`
	Profile   int64                 `db:"profile_version"`
	Version   eventstore.Version    `db:"version"`
	CreatedAt time.Time             `db:"created_at"`
	UpdatedAt time.Time             `db:"updated_at"`
}

// DeliveryOf returns a delivery as the read model shows it once it has come to its last event. It was created and last updated at
// those times.
func DeliveryOf(d domain.Delivery, created, updated time.Time) Delivery {
	return Delivery{
		ID: d.ID, Name: d.Name, Status: d.Status, Search: d.Search, Schedule: d.Schedule, Timezone: d.Timezone,
		Rules: d.Profile.Rules, Threshold: d.Profile.Threshold, Profile: d.Profile.Version,
		Version: eventstore.Version(d.Revision), CreatedAt: created, UpdatedAt: updated,
	}
}

// A Destination is a delivery's destination as customers see it.
type Destination struct {
	domain.Destination
	Delivery  domain.DeliveryID
	Version   eventstore.Version
	CreatedAt time.Time
	UpdatedAt time.Time
}

const deliveryColumns = `id, name, status, schedule, timezone, prospect_search_id, rules, threshold, profile_version, version, created_at, updated_at`

// Delivery returns org's delivery named id, or a NotFound error.
func (v *Views) Delivery(ctx context.Context, org domain.OrganisationID, id domain.DeliveryID) (Delivery, error) {
	const query = `SELECT ` + deliveryColumns + ` FROM deliveries WHERE id = $1 AND organisation_id = $2`
	rows, _ := v.pool.Query(ctx, query, id, org) // CollectExactlyOneRow reports the error
	d, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Delivery])
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return d, domain.Errorf(domain.NotFound, "DELIVERY_NOT_FOUND", "there is no delivery %s", id)
	case err != nil:
		return d, fmt.Errorf("view delivery %s: %w", id, err)
	}
	return d, nil
}

// Deliveries returns a page of org's deliveries, newest first; when status is given, only
// those that have it.
func (v *Views) Deliveries(ctx context.Context, org domain.OrganisationID, status domain.DeliveryStatus, page Page) (List[Delivery], error) {
	const (
		total = `SELECT coalesce((SELECT active + paused FROM delivery_totals WHERE organisation_id = $1), 0)`
		query = `
			SELECT ` + deliveryColumns + `
			FROM deliveries
			WHERE organisation_id = $1 AND id < $2
			ORDER BY id DESC
			LIMIT $3 OFFSET $4`
		totalOf = `
			SELECT coalesce((SELECT CASE $2 WHEN 'active' THEN active ELSE paused END FROM delivery_totals WHERE organisation_id = $1), 0)`
		queryOf = `
			SELECT ` + deliveryColumns + `
			FROM deliveries
			WHERE organisation_id = $1 AND status = $2 AND id < $3
			ORDER BY id DESC
			LIMIT $4 OFFSET $5`
	)
	page.After = cmp.Or(page.After, pastAll)
	if status == "" {
		return listOf(ctx, v, "deliveries", total, query, pgx.RowToStructByName[Delivery], page, org)
	}
	return listOf(ctx, v, "deliveries", totalOf, queryOf, pgx.RowToStructByName[Delivery], page, org, status)
}

// DeliveriesOf returns org's deliveries that id names: the delivery of that ID, or all that
// are bound to the prospect search of that ID, oldest first.
func (v *Views) DeliveriesOf(ctx context.Context, org domain.OrganisationID, id string) ([]domain.DeliveryID, error) {
	const query = `
		SELECT id FROM deliveries WHERE id = $2 AND organisation_id = $1
		UNION
		SELECT id FROM deliveries WHERE prospect_search_id = $2 AND organisation_id = $1
		ORDER BY id`
	rows, _ := v.pool.Query(ctx, query, org, id) // CollectRows reports the error
	ids, err := pgx.CollectRows(rows, pgx.RowTo[domain.DeliveryID])
	if err != nil {
		return nil, fmt.Errorf("view deliveries of %s: %w", id, err)
	}
	return ids, nil
}

const destinationColumns = `delivery_id, config, disabled_reason, version, created_at, updated_at`

// scanDestination reads a row of destinationColumns.
func scanDestination(row pgx.CollectableRow) (d Destination, err error) {
	var config json.RawMessage
	var disabled string
	if err := row.Scan(&d.Delivery, &config, &disabled, &d.Version, &d.CreatedAt, &d.UpdatedAt); err != nil {
		return d, err
	}
	err = json.Unmarshal(config, &d.Destination)
	d.DisabledReason = disabled
	return d, err
}

// Destinations returns a page of a delivery's destinations, oldest first.
func (v *Views) Destinations(ctx context.Context, delivery domain.DeliveryID, page Page) (List[Destination], error) {
	const (
		total = `SELECT coalesce((SELECT destinations FROM deliveries WHERE id = $1), 0)`
		query = `SELECT ` + destinationColumns + ` FROM destinations WHERE delivery_id = $1 AND id > $2 ORDER BY id LIMIT $3 OFFSET $4`
	)
	return listOf(ctx, v, "destinations", total, query, scanDestination, page, delivery)
}

// Destination returns a delivery's destination named id, or a NotFound error.
func (v *Views) Destination(ctx context.Context, delivery domain.DeliveryID, id domain.DestinationID) (Destination, error) {
	const query = `SELECT ` + destinationColumns + ` FROM destinations WHERE id = $1 AND delivery_id = $2`
	rows, _ := v.pool.Query(ctx, query, id, delivery) // CollectExactlyOneRow reports the error
	d, err := pgx.CollectExactlyOneRow(rows, scanDestination)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return d, domain.Errorf(domain.NotFound, "DESTINATION_NOT_FOUND", "there is no destination %s", id)
	case err != nil:
		return d, fmt.Errorf("view destination %s: %w", id, err)
	}
	return d, nil
}
