package webhooks

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/openprospect/delivery-ledger/domain"
)

// payload is what a destination gets (contract, section 7).
type payload struct {
	Event         string            `json:"event"`
	HandOver      domain.HandOverID `json:"delivery_id"`
	Timestamp     string            `json:"timestamp"`
	Configuration domain.DeliveryID `json:"delivery_configuration_id"`
	Data          payloadData       `json:"data"`
}

// payloadData is the company of a payload.
type payloadData struct {
	Company      json.RawMessage `json:"company"`
	Prospects    json.RawMessage `json:"prospects"`
	Score        int             `json:"qualification_score"`
	MatchReasons []string        `json:"match_reasons"`
}

// newBody returns the body of a hand-over's webhook. It is a function of the event and its
// time alone, so every attempt sends the same bytes.
func newBody(e domain.CompanyQualified, recordedAt time.Time) ([]byte, error) {
	return newPayload("delivery.company_qualified", e, recordedAt)
}

// newPayload returns the body of a webhook that tells of event.
func newPayload(event string, e domain.CompanyQualified, at time.Time) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // "Revenue > $10M" stays as it is
	err := enc.Encode(payload{
		Event:         event,
		HandOver:      e.HandOver,
		Timestamp:     at.UTC().Format("2006-01-02T15:04:05Z"),
		Configuration: e.Delivery,
		Data: payloadData{
			Company: e.Company, Prospects: e.Prospects, Score: e.Score, MatchReasons: e.MatchReasons,
		},
	})
	if err != nil {
		return nil, fmt.Errorf("write payload of %s: %w", e.HandOver, err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
