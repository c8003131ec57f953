package domain

import (
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

// Payload returns the body of the hand-over's webhook. It is a function of the event, in the clear, and the time at
// which it was recorded alone, so every attempt sends the same bytes, and whoever asks for them later sees them, as long as nothing
// of them is erased.
func (e CompanyQualified) Payload(recordedAt time.Time) ([]byte, error) {
	return NewPayload(string(OnCompanyQualified), e, recordedAt)
}

// NewPayload returns the body of a webhook that tells of event. It fails for one that is sealed.
func NewPayload(event string, e CompanyQualified, at time.Time) ([]byte, error) {
	if e.Key != 0 {
		return nil, fmt.Errorf("hand-over %s: write payload: its prospects are sealed", e.HandOver)
	}
	body, err := marshal(payload{
		Event:         event,
		HandOver:      e.HandOver,
		Timestamp:     stamp(at),
		Configuration: e.Delivery,
		Data: payloadData{
			Company: e.Company, Prospects: e.Prospects, Score: e.Score, MatchReasons: e.MatchReasons,
		},
	})
	if err != nil {
		return nil, fmt.Errorf("hand-over %s: %w", e.HandOver, err)
	}
	return body, nil
}
