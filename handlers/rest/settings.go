package rest

import (
	"context"
	"time"

	"github.com/openprospect/delivery-ledger/domain"
)

// change returns d with what b gives, and with the secrets of those names if they are given.
func change(d domain.Destination, b DestinationChange, auth map[domain.AuthType]domain.SecretID, signing domain.SecretID) domain.Destination {
	if b.Type != nil {
		d.Type = domain.DestinationType(*b.Type)
	}
	d = settings(d, b)
	if secret := auth[d.AuthType]; secret != "" {
		d.AuthSecret = secret
	}
	if signing != "" {
		d.SigningSecret, d.PublicKey = signing, ""
	}
	return d
}

// settings returns d with the settings that b gives, but for its type and secrets.
func settings(d domain.Destination, b DestinationChange) domain.Destination {
	if b.URL != nil {
		d.URL = *b.URL
	}
	if b.Name != nil {
		d.Name = *b.Name
	}
	d = changeAuth(d, b)
	if b.Headers != nil {
		d.Headers = *b.Headers
	}
	if b.TimeoutSeconds != nil {
		d.TimeoutSeconds = *b.TimeoutSeconds
	}
	if b.MaxInFlight != nil {
		d.MaxInFlight = *b.MaxInFlight
	}
	if b.RateLimitPerSecond != nil {
		d.RateLimit = *b.RateLimitPerSecond
	}
	if b.Ordered != nil {
		d.Ordered = *b.Ordered
	}
	if b.Events != nil {
		d.Events = make([]domain.WebhookEvent, len(*b.Events))
		for i, event := range *b.Events {
			d.Events[i] = domain.WebhookEvent(event)
		}
	}
	if b.RetrySchedule != nil {
		d.RetrySchedule = make(domain.RetrySchedule, len(*b.RetrySchedule))
		for i, seconds := range *b.RetrySchedule {
			d.RetrySchedule[i] = time.Duration(seconds * float64(time.Second)).Round(time.Millisecond)
		}
	}
	return d
}

// settingFaults returns what is wrong with settings that the domain does not see: secrets,
// which events only name, and where a URL leads.
func (s *Server) settingFaults(d domain.Destination, b DestinationChange) []domain.Fault {
	faults := append(s.authFaults(d, b), signingFaults(d.Type, b.SigningSecret)...)
	if b.URL != nil && d.Type == domain.Webhook {
		if err := s.cfg.CheckURL(*b.URL); err != nil {
			faults = append(faults, domain.Fault{Field: "url", Error: err.Error()})
		}
	}
	return faults
}

// secrets are texts to be kept out of the log, by the names that events give them.
type secrets map[domain.SecretID]string

// add adds a text and returns its name.
func (s secrets) add(text string) domain.SecretID {
	id := domain.NewSecretID()
	s[id] = text
	return id
}

// keep puts secrets in the vault, where they must be before an event names them.
func (s *Server) keep(ctx context.Context, all secrets) error {
	for id, text := range all {
		if err := s.cfg.Vault.Put(ctx, string(id), text); err != nil {
			return err
		}
	}
	return nil
}
