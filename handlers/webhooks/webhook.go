package webhooks

import (
	"context"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
)

// A webhook is what a claim sends.
type webhook struct {
	event   domain.WebhookEvent     // operational, that it tells of; empty: of a company
	company domain.CompanyQualified // that it tells of; of an operational event: none
	origin  string                  // names what all attempts are a trace of: the hand-over, or else the dispatch
	owed    *time.Time              // since when; nil: how long that is means nothing
	body    []byte
}

// webhook returns what c sends.
func (a *attempter) webhook(ctx context.Context, c claim) (webhook, error) {
	event, err := a.cfg.Store.Registry().Decode(eventstore.Record{
		Position: c.Position, Type: c.Type, SchemaVersion: c.Schema, RecordedAt: c.RecordedAt, Data: c.Data,
	})
	if err != nil {
		return webhook{}, err
	}
	opened, err := a.cfg.Keyring.Open(ctx, c.Position, event.(domain.Event))
	if err != nil {
		return webhook{}, err
	}
	company, ok := opened.(domain.CompanyQualified)
	if !ok {
		return newNotice(opened, c)
	}
	body, err := company.Payload(c.RecordedAt)
	w := webhook{company: company, origin: string(company.HandOver), body: body}
	if !c.Backfilled {
		w.owed = new(company.OwedSince(c.RecordedAt).UTC())
	}
	return w, err
}

// newNotice returns what c sends of an operational event.
func newNotice(event domain.Event, c claim) (webhook, error) {
	body, err := domain.PayloadOf(event, c.RecordedAt)
	return webhook{event: domain.WebhookEvent(c.Type), origin: string(c.Dispatch), owed: new(c.RecordedAt.UTC()), body: body}, err
}

// attr says in the log what is sent.
func (w webhook) attr() slog.Attr {
	if w.event != "" {
		return slog.String("event", string(w.event))
	}
	return slog.Group("", slog.String("hand_over", string(w.company.HandOver)), slog.String("company", string(w.company.CompanyID)))
}

// attribute says in a span what is sent.
func (w webhook) attribute() attribute.KeyValue {
	if w.event != "" {
		return attribute.String("ledger.event", string(w.event))
	}
	return attribute.String("ledger.hand_over", string(w.company.HandOver))
}
