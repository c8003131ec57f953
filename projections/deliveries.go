package projections

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
)

// Deliveries keeps what customers configured: a row for each delivery that was not deleted,
// and for each destination of one.
func Deliveries() Projection {
	return Projection{
		Name:    "deliveries",
		Version: 1,
		Tables:  []string{"deliveries", "destinations"},
		Types: types(domain.DeliveryCreated{}, domain.DeliveryUpdated{}, domain.DeliveryPaused{}, domain.DeliveryResumed{},
			domain.DeliveryDeleted{}, domain.DestinationAdded{}, domain.DestinationChanged{}, domain.DestinationRemoved{},
			domain.DestinationDisabled{}, domain.DestinationEnabled{}, domain.SigningSecretRotated{}),
		Apply: func(batch *pgx.Batch, page []Entry) {
			for _, entry := range page { // rare: no need to go by sets
				applyToDeliveries(batch, entry)
			}
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
		status       = `UPDATE deliveries SET status = $2, version = $3, updated_at = $4 WHERE id = $1`
		touch        = `UPDATE deliveries SET version = $2, updated_at = $3 WHERE id = $1`
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
	case domain.DeliveryUpdated:
		batch.Queue(update, e.Delivery, e.Name, e.Schedule, e.Timezone, e.Search, version, at)
	case domain.DeliveryPaused:
		batch.Queue(status, e.Delivery, domain.Paused, version, at)
	case domain.DeliveryResumed:
		batch.Queue(status, e.Delivery, domain.Active, version, at)
	case domain.DeliveryDeleted:
		batch.Queue(clear, e.Delivery)
		batch.Queue(remove, e.Delivery)
	case domain.DestinationAdded:
		batch.Queue(addTarget, e.Destination.ID, e.Delivery, e.Destination, version, at)
		batch.Queue(touch, e.Delivery, version, at)
	case domain.DestinationChanged:
		batch.Queue(changeTarget, e.Destination.ID, e.Destination, version, at)
		batch.Queue(touch, e.Delivery, version, at)
	case domain.DestinationRemoved:
		batch.Queue(removeTarget, e.Destination)
		batch.Queue(touch, e.Delivery, version, at)
	case domain.DestinationDisabled:
		batch.Queue(stopTarget, e.Destination, e.Reason, version, at)
		batch.Queue(touch, e.Delivery, version, at)
	case domain.DestinationEnabled:
		batch.Queue(stopTarget, e.Destination, "", version, at)
		batch.Queue(touch, e.Delivery, version, at)
	case domain.SigningSecretRotated:
		batch.Queue(rotateTarget, e.Destination, signingOf(e), version, at)
		batch.Queue(touch, e.Delivery, version, at)
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
	Version   eventstore.Version    `db:"version"`
	CreatedAt time.Time             `db:"created_at"`
	UpdatedAt time.Time             `db:"updated_at"`
}

// A Destination is a delivery's destination as customers see it.
type Destination struct {
	domain.Destination
	Delivery  domain.DeliveryID
	Version   eventstore.Version
	CreatedAt time.Time
	UpdatedAt time.Time
}

// A Search is a prospect search that deliveries are bound to.
type Search struct {
	ID     domain.SearchID       `db:"id"`
	Name   string                `db:"name"`   // of the oldest delivery bound to it
	Status domain.DeliveryStatus `db:"status"` // active while one of them is
	Oldest domain.DeliveryID     `db:"oldest"` // of them, by which searches are listed
}

const deliveryColumns = `id, name, status, schedule, timezone, prospect_search_id, version, created_at, updated_at`

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
		count = `SELECT count(*) FROM deliveries WHERE organisation_id = $1 AND ($2 = '' OR status = $2)`
		query = `
			SELECT ` + deliveryColumns + `
			FROM deliveries
			WHERE organisation_id = $1 AND ($2 = '' OR status = $2) AND ($3 = '' OR id < $3)
			ORDER BY id DESC
			LIMIT $4 OFFSET $5`
	)
	return listOf(ctx, v, "deliveries", count, query, pgx.RowToStructByName[Delivery], page, org, status)
}

// Searches returns a page of the prospect searches that org's deliveries are bound to, in
// the order in which they first were.
func (v *Views) Searches(ctx context.Context, org domain.OrganisationID, page Page) (List[Search], error) {
	const (
		count = `SELECT count(DISTINCT prospect_search_id) FROM deliveries WHERE organisation_id = $1`
		query = `
			SELECT prospect_search_id AS id, (array_agg(name ORDER BY id))[1] AS name,
				CASE WHEN bool_or(status = 'active') THEN 'active' ELSE 'paused' END AS status,
				min(id) AS oldest
			FROM deliveries
			WHERE organisation_id = $1
			GROUP BY prospect_search_id
			HAVING $2 = '' OR min(id) > $2
			ORDER BY min(id)
			LIMIT $3 OFFSET $4`
	)
	return listOf(ctx, v, "prospect searches", count, query, pgx.RowToStructByName[Search], page, org)
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
		count = `SELECT count(*) FROM destinations WHERE delivery_id = $1`
		query = `SELECT ` + destinationColumns + ` FROM destinations WHERE delivery_id = $1 AND ($2 = '' OR id > $2) ORDER BY id LIMIT $3 OFFSET $4`
	)
	return listOf(ctx, v, "destinations", count, query, scanDestination, page, delivery)
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
