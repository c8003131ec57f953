package domain

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
)

// payload is what a destination gets (contract, section 7).
type payload struct {
	Event         string      `json:"event"`
	HandOver      HandOverID  `json:"delivery_id"`
	Timestamp     string      `json:"timestamp"`
	Configuration DeliveryID  `json:"delivery_configuration_id"`
	Data          payloadData `json:"data"`
}

// payloadData is the company of a payload.
type payloadData struct {
	Company      json.RawMessage `json:"company"`
	Prospects    json.RawMessage `json:"prospects"`
	Score        int             `json:"qualification_score"`
	MatchReasons []string        `json:"match_reasons"`
}

// Payload returns the body of the hand-over's webhook. It is a function of the event and the time at which
// it was recorded alone, so every attempt sends the same bytes, and whoever asks for them later sees them.
func (e CompanyQualified) Payload(recordedAt time.Time) ([]byte, error) {
	return NewPayload("delivery.company_qualified", e, recordedAt)
}

// NewPayload returns the body of a webhook that tells of event.
func NewPayload(event string, e CompanyQualified, at time.Time) ([]byte, error) {
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
