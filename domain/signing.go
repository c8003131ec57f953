package domain

import "time"

// Bounds of the time in which both secrets sign.
const (
	DefaultOverlap = 24 * time.Hour
	maxOverlap     = 7 * 24 * time.Hour
)

// RotateSigningSecret gives a destination another signing secret. For the time of the overlap
// the one that it replaces signs too; one that was replaced before signs no more.
type RotateSigningSecret struct {
	Delivery     DeliveryID
	Organisation OrganisationID
	Destination  DestinationID
	Secret       SecretID // the new one
	PublicKey    string   // of Secret; empty: that is no key pair
	Overlap      time.Duration
}

// Stream names the stream the command is about.
func (c RotateSigningSecret) Stream() string { return DeliveryStream(c.Delivery) }

// Decide returns what the rotation adds: nothing when the secret signs already.
func (c RotateSigningSecret) Decide(d Delivery, now time.Time) ([]Event, error) {
	dst, err := d.destination(c.Organisation, c.Delivery, c.Destination)
	switch {
	case err != nil:
		return nil, err
	case dst.Type != Webhook:
		return nil, errNotPushed(c.Destination)
	case dst.SigningSecret == c.Secret:
		return nil, nil
	}
	var f faults
	if c.Overlap < 0 || c.Overlap > maxOverlap {
		f.add("overlap_seconds", c.Overlap.Seconds(), "must be from 0 to %.0f", maxOverlap.Seconds())
	}
	if err := f.err(); err != nil {
		return nil, err
	}
	rotated := SigningSecretRotated{Delivery: c.Delivery, Destination: c.Destination, SigningSecret: c.Secret, PublicKey: c.PublicKey}
	if c.Overlap > 0 && dst.SigningSecret != "" {
		ends := now.Add(c.Overlap).UTC().Truncate(time.Microsecond)
		rotated.FormerSecret, rotated.FormerEnds = dst.SigningSecret, &ends
	}
	return []Event{rotated}, nil
}

// errNotPushed is returned for what only a webhook has or does.
func errNotPushed(id DestinationID) error {
	return Errorf(Conflict, "CONFLICT", "the destination %s is pulled: nothing is sent to it or signed", id)
}

// rotate returns d after e.
func (d Destination) rotate(e SigningSecretRotated) Destination {
	d.SigningSecret, d.PublicKey = e.SigningSecret, e.PublicKey
	d.FormerSecret, d.FormerEnds = e.FormerSecret, e.FormerEnds
	return d
}
