package rest

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"strings"
	"time"

	"github.com/openprospect/delivery-ledger/domain"
)

// Prefixes of what signs, and of what verifies (Standard Webhooks).
const (
	signingPrefix = "whsec_"
	privatePrefix = "whsk_"
	publicPrefix  = "whpk_"
)

// A signer is what signs for a destination.
type signer struct {
	text   string // to be kept
	public string // whpk_ and a public key, if text is a private one
	shown  string // text, if it was made here and whoever verifies needs it
}

// newSigner returns a fresh signer, or that of seed.
func newSigner(seed *domain.Seed, scheme SignatureScheme) signer {
	prefix := signingPrefix
	if scheme == V1A {
		prefix = privatePrefix
	}
	b := make([]byte, ed25519.SeedSize)
	if seed != nil {
		b = seed.Bytes(prefix)
	} else {
		_, _ = rand.Read(b) // never fails
	}
	if scheme != V1A {
		text := prefix + base64.StdEncoding.EncodeToString(b)
		return signer{text: text, shown: text}
	}
	key := ed25519.NewKeyFromSeed(b)
	return signer{
		text:   prefix + base64.StdEncoding.EncodeToString(key),
		public: publicPrefix + base64.StdEncoding.EncodeToString(key[ed25519.SeedSize:]), // its second half
	}
}

// signerOf returns the signer of a secret that may be given, or else a fresh one.
func signerOf(seed *domain.Seed, given *string, scheme SignatureScheme) signer {
	if given != nil {
		return signer{text: *given}
	}
	return newSigner(seed, scheme)
}

// schemeOf returns the scheme in which a destination's webhooks are signed; "" if they are not.
func schemeOf(d domain.Destination) SignatureScheme {
	switch {
	case d.SigningSecret == "":
		return ""
	case d.PublicKey != "":
		return V1A
	}
	return V1
}

// schemeFaults returns what is wrong with a scheme that may be given, beside a secret that may be.
func schemeFaults(t domain.DestinationType, scheme *SignatureScheme, secret *string) []domain.Fault {
	switch {
	case scheme == nil:
		return nil
	case t == domain.API:
		return []domain.Fault{{Field: "signature", Error: "an api destination is pulled and nothing is signed"}}
	case *scheme == V1A && secret != nil:
		return []domain.Fault{{Field: "signing_secret", Error: "is of signature v1: the key of v1a is made by the ledger"}}
	}
	return nil
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
	scheme, err := s.rotatedScheme(ctx, r, b)
	if err != nil {
		return nil, err
	}
	signer := signerOf(seed(ctx), b.SigningSecret, scheme)
	kept := secrets{}
	cmd := domain.RotateSigningSecret{
		Delivery: domain.DeliveryID(r.DeliveryID), Organisation: organisation(ctx), Destination: domain.DestinationID(r.DestinationID),
		Secret: kept.add(signer.text), PublicKey: signer.public, Overlap: domain.DefaultOverlap,
	}
	if b.OverlapSeconds != nil {
		cmd.Overlap = time.Duration(*b.OverlapSeconds) * time.Second
	}
	_, faults, err := s.judge(ctx, ifMatch(ctx, cmd, cmd.Destination))
	if err != nil {
		return nil, err
	}
	faults = merge(faults, append(signingFaults(domain.Webhook, b.SigningSecret), schemeFaults(domain.Webhook, b.Signature, b.SigningSecret)...))
	if err := invalid(faults); err != nil {
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
	return RotateSecret200JSONResponse{Body: showSecretOnce(d, signer.shown), Headers: RotateSecret200ResponseHeaders{
		ETag: etag(d.Version), LedgerPosition: position(o.Commit),
	}}, nil
}

// rotatedScheme returns the scheme of what signs after a rotation: the one that is asked for, v1 where
// a secret is given, or the one that stands.
func (s *Server) rotatedScheme(ctx context.Context, r RotateSecretRequestObject, b SecretRotation) (SignatureScheme, error) {
	switch {
	case b.Signature != nil:
		return *b.Signature, nil
	case b.SigningSecret != nil:
		return V1, nil
	}
	stream := domain.DeliveryStream(domain.DeliveryID(r.DeliveryID))
	s.deliveries.Forget(stream)
	known, err := s.deliveries.Load(ctx, stream)
	if err != nil {
		return "", err
	}
	return schemeOf(known.State.Destinations[domain.DestinationID(r.DestinationID)]), nil
}
