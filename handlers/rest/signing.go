package rest

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"strings"
	"time"

	"github.com/openprospect/delivery-ledger/domain"
)

// signingPrefix begins a signing secret (Standard Webhooks).
const signingPrefix = "whsec_"

// newSigningSecret returns a fresh signing secret, or that of seed.
func newSigningSecret(seed *domain.Seed) string {
	b := make([]byte, 32)
	if seed != nil {
		b = seed.Bytes(signingPrefix)
	} else {
		_, _ = rand.Read(b) // never fails
	}
	return signingPrefix + base64.StdEncoding.EncodeToString(b)
}

// signingFaults returns what is wrong with a signing secret, nil for none, of a type of destinations.
func signingFaults(t domain.DestinationType, secret *string) (faults []domain.Fault) {
	add := func(field, text string) { faults = append(faults, domain.Fault{Field: field, Error: text}) }
	if secret != nil {
		const least, most = 24, 64
		text, ok := strings.CutPrefix(*secret, signingPrefix)
		raw, err := base64.StdEncoding.DecodeString(text)
		switch {
		case t == domain.API:
			add("signing_secret", "an api destination is pulled and nothing is signed")
		case !ok || err != nil || len(raw) < least || len(raw) > most:
			add("signing_secret", "must be whsec_ and the base64 of 24 to 64 bytes")
		}
	}
	return faults
}

// RotateSecret gives a destination another signing secret.
func (s *Server) RotateSecret(ctx context.Context, r RotateSecretRequestObject) (RotateSecretResponseObject, error) {
	var b SecretRotation
	if r.Body != nil {
		b = *r.Body
	}
	var made string
	given := b.SigningSecret
	if given == nil {
		made = newSigningSecret(seed(ctx))
		given = &made
	}
	kept := secrets{}
	cmd := domain.RotateSigningSecret{
		Delivery: domain.DeliveryID(r.DeliveryID), Organisation: organisation(ctx), Destination: domain.DestinationID(r.DestinationID),
		Secret: kept.add(*given), Overlap: domain.DefaultOverlap,
	}
	if b.OverlapSeconds != nil {
		cmd.Overlap = time.Duration(*b.OverlapSeconds) * time.Second
	}
	_, faults, err := s.judge(ctx, ifMatch(ctx, cmd, cmd.Destination))
	if err != nil {
		return nil, err
	}
	if err := invalid(merge(faults, signingFaults(domain.Webhook, given))); err != nil {
		return nil, err
	}
	if err := s.keep(ctx, kept); err != nil {
		return nil, err
	}
	o, err := s.execute(ctx, ifMatch(ctx, cmd, cmd.Destination))
	if err != nil {
		return nil, err
	}
	d, err := s.destination(ctx, o, cmd.Destination, true)
	if err != nil {
		return nil, err
	}
	return RotateSecret200JSONResponse{Body: showSecretOnce(d, made), Headers: RotateSecret200ResponseHeaders{
		ETag: etag(d.Version), LedgerPosition: position(o.Commit),
	}}, nil
}
