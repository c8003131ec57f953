package domain

import (
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
)

// A DestinationType says how a destination gets its companies.
type DestinationType string

// The types of destinations.
const (
	Webhook DestinationType = "webhook" // pushed to a URL
	API     DestinationType = "api"     // pulled; nothing is dispatched
)

// Limits of a destination's settings.
const (
	DefaultTimeout = 15 // seconds
	maxTimeout     = 60
	maxURL         = 2048
	maxHeaders     = 20
	maxHeaderValue = 1024
	maxInFlight    = 1000
	minRateLimit   = 0.01 // requests in a second
	maxRateLimit   = 10_000
	maxRetries     = 20
	maxRetryWait   = 24 * time.Hour
)

// Destination is where a delivery's companies go. Its secrets are named, not held.
type Destination struct {
	ID             DestinationID     `json:"id"`
	Type           DestinationType   `json:"type"`
	Name           string            `json:"name,omitempty"`
	URL            string            `json:"url,omitempty"`
	AuthType       AuthType          `json:"auth_type,omitempty"`
	AuthSecret     SecretID          `json:"auth_secret,omitempty"` // see [AuthType.SecretField]
	Username       string            `json:"username,omitempty"`    // of basic
	HeaderName     string            `json:"header_name,omitempty"` // of header
	TokenURL       string            `json:"token_url,omitempty"`   // of oauth2, like the next two
	ClientID       string            `json:"client_id,omitempty"`
	Scope          string            `json:"scope,omitempty"`
	SigningSecret  SecretID          `json:"signing_secret,omitempty"`
	PublicKey      string            `json:"signing_public_key,omitempty"`    // of SigningSecret; empty: that is no key pair
	FormerSecret   SecretID          `json:"former_signing_secret,omitempty"` // signs too, until FormerEnds
	FormerEnds     *time.Time        `json:"former_signing_ends,omitempty"`
	Headers        map[string]string `json:"headers,omitempty"` // sent along; not secret
	TimeoutSeconds int               `json:"timeout_seconds,omitempty"`
	MaxInFlight    int               `json:"max_in_flight,omitempty"`         // 0: a fair share
	RateLimit      float64           `json:"rate_limit_per_second,omitempty"` // 0: none
	RetrySchedule  RetrySchedule     `json:"retry_schedule,omitempty"`        // empty: the ledger's
	Ordered        bool              `json:"ordered,omitempty"`               // a dispatch is attempted when those before it have ended
	Events         []WebhookEvent    `json:"events,omitempty"`                // that it is told of, in order; empty: companies alone
	DisabledReason string            `json:"-"`                               // of the state, not of an event
}

// TakesCompanies reports whether the destination is told of companies.
func (d Destination) TakesCompanies() bool {
	return d.Type == Webhook && (len(d.Events) == 0 || slices.Contains(d.Events, OnCompanyQualified))
}

// Retries returns the destination's schedule, or fallback when it has none of its own.
func (d Destination) Retries(fallback RetrySchedule) RetrySchedule {
	if len(d.RetrySchedule) == 0 {
		return fallback
	}
	return d.RetrySchedule
}

// errNoDestination is returned when a delivery has no such destination.
func errNoDestination(id DestinationID) error {
	return Errorf(NotFound, "DESTINATION_NOT_FOUND", "there is no destination %s", id)
}

// AddDestination gives a delivery one more destination.
type AddDestination struct {
	Delivery     DeliveryID
	Organisation OrganisationID
	Destination  Destination
}

// Stream names the stream the command is about.
func (c AddDestination) Stream() string { return DeliveryStream(c.Delivery) }

// Decide returns what the destination adds: nothing when the delivery has it already.
func (c AddDestination) Decide(d Delivery, _ time.Time) ([]Event, error) {
	if !d.Exists(c.Organisation) {
		return nil, errNoDelivery(c.Delivery)
	}
	if _, ok := d.Destinations[c.Destination.ID]; ok {
		return nil, nil
	}
	dst := c.Destination.normal()
	dst.DisabledReason = ""
	var f faults
	f.checkDestination(dst)
	if err := f.err(); err != nil {
		return nil, err
	}
	return []Event{DestinationAdded{Delivery: c.Delivery, Destination: dst}}, nil
}

// ChangeDestination replaces a destination's settings, but for its ID and type. Change
// gets the settings that stand and returns those wanted; it must be pure, as it may be
// called again.
type ChangeDestination struct {
	Delivery     DeliveryID
	Organisation OrganisationID
	Destination  DestinationID
	Change       func(Destination) Destination
}

// Stream names the stream the command is about.
func (c ChangeDestination) Stream() string { return DeliveryStream(c.Delivery) }

// Decide returns what the change adds. It enables the destination if that was disabled.
func (c ChangeDestination) Decide(d Delivery, _ time.Time) ([]Event, error) {
	old, err := d.destination(c.Organisation, c.Delivery, c.Destination)
	if err != nil {
		return nil, err
	}
	dst := c.Change(old)
	var f faults
	if dst.Type != old.Type {
		f.add("type", dst.Type, "cannot be changed; add another destination")
		dst.Type = old.Type // the rest is judged as what it stays
	}
	dst = dst.normal()
	dst.ID, dst.DisabledReason = old.ID, ""
	if dst.SigningSecret != old.SigningSecret {
		dst.FormerSecret, dst.FormerEnds = "", nil // only a rotation lets two sign
	}
	f.checkDestination(dst)
	if err := f.err(); err != nil {
		return nil, err
	}
	return []Event{DestinationChanged{Delivery: c.Delivery, Destination: dst}}, nil
}

// RemoveDestination ends a destination.
type RemoveDestination struct {
	Delivery     DeliveryID
	Organisation OrganisationID
	Destination  DestinationID
}

// Stream names the stream the command is about.
func (c RemoveDestination) Stream() string { return DeliveryStream(c.Delivery) }

// Decide returns what the removal adds.
func (c RemoveDestination) Decide(d Delivery, _ time.Time) ([]Event, error) {
	if _, err := d.destination(c.Organisation, c.Delivery, c.Destination); err != nil {
		return nil, err
	}
	return []Event{DestinationRemoved{Delivery: c.Delivery, Destination: c.Destination}}, nil
}

// DisableDestination holds what is owed to a destination that answered 410 Gone.
type DisableDestination struct {
	Delivery    DeliveryID
	Destination DestinationID
	URL         string // that answered so; empty: whichever the destination has
	Reason      string
}

// Stream names the stream the command is about.
func (c DisableDestination) Stream() string { return DeliveryStream(c.Delivery) }

// Decide returns what disabling adds: nothing when the destination is gone or disabled, or
// has another URL by now.
func (c DisableDestination) Decide(d Delivery, _ time.Time) ([]Event, error) {
	dst, ok := d.Destinations[c.Destination]
	if !ok || d.Deleted || dst.DisabledReason != "" || c.URL != "" && c.URL != dst.URL {
		return nil, nil
	}
	return []Event{DestinationDisabled{Delivery: c.Delivery, Destination: c.Destination, Reason: c.Reason}}, nil
}

// EnableDestination lets go what is held for a destination that was disabled.
type EnableDestination struct {
	Delivery     DeliveryID
	Organisation OrganisationID
	Destination  DestinationID
	Replay       ReplayID // that is started with it; empty: none
}

// Stream names the stream the command is about.
func (c EnableDestination) Stream() string { return DeliveryStream(c.Delivery) }

// Decide returns what enabling adds: nothing when the destination is not disabled.
func (c EnableDestination) Decide(d Delivery, _ time.Time) ([]Event, error) {
	dst, err := d.destination(c.Organisation, c.Delivery, c.Destination)
	if err != nil || dst.DisabledReason == "" {
		return nil, err
	}
	return []Event{DestinationEnabled{Delivery: c.Delivery, Destination: c.Destination, Replay: c.Replay}}, nil
}

// normal returns d with defaults filled in and header names in canonical form. One that
// is there in several spellings keeps them, for checkHeaders to find.
func (d Destination) normal() Destination {
	if d.Type != Webhook {
		return d
	}
	if d.AuthType == "" {
		d.AuthType = AuthNone
	}
	if d.TimeoutSeconds == 0 {
		d.TimeoutSeconds = DefaultTimeout
	}
	spellings := make(map[string]int, len(d.Headers))
	for name := range d.Headers {
		spellings[textproto.CanonicalMIMEHeaderKey(name)]++
	}
	headers := make(map[string]string, len(d.Headers))
	for name, value := range d.Headers {
		if canonical := textproto.CanonicalMIMEHeaderKey(name); spellings[canonical] == 1 {
			name = canonical
		}
		headers[name] = value
	}
	d.Headers = headers
	d.HeaderName = textproto.CanonicalMIMEHeaderKey(d.HeaderName)
	d.Events = subscription(d.Events)
	return d
}

// checkDestination notes all that is wrong with a destination's settings.
func (f *faults) checkDestination(d Destination) {
	f.checkName("name", d.Name, 0)
	switch d.Type {
	case API:
		f.checkPullOnly(d)
	case Webhook:
		f.checkURL("url", d.URL)
		f.checkAuth(d)
		f.checkHeaders(d.Headers)
		if d.TimeoutSeconds < 1 || d.TimeoutSeconds > maxTimeout {
			f.add("timeout_seconds", d.TimeoutSeconds, "must be from 1 to %d", maxTimeout)
		}
		if d.MaxInFlight < 0 || d.MaxInFlight > maxInFlight {
			f.add("max_in_flight", d.MaxInFlight, "must be from 1 to %d", maxInFlight)
		}
		if d.RateLimit != 0 && !(d.RateLimit >= minRateLimit && d.RateLimit <= maxRateLimit) {
			f.add("rate_limit_per_second", d.RateLimit, "must be from %g to %d", minRateLimit, maxRateLimit)
		}
		f.checkRetries(d.RetrySchedule)
		f.checkEvents(d.Events)
	default:
		f.add("type", d.Type, "must be webhook or api")
	}
}

// checkPullOnly notes settings that only a webhook has.
func (f *faults) checkPullOnly(d Destination) {
	if d.URL != "" {
		f.add("url", nil, "an api destination is pulled and has no url")
	}
	if d.AuthType != "" && d.AuthType != AuthNone || d.AuthSecret != "" {
		f.add("auth_type", d.AuthType, "an api destination is pulled and has no authentication of its own")
	}
	if d.Ordered {
		f.add("ordered", true, "an api destination is pulled, always in order")
	}
	if len(d.Events) > 0 {
		f.add("events", d.Events, "an api destination is pulled and is told of nothing")
	}
	for _, s := range d.authSettings() {
		if s.value != "" {
			f.add(s.field, nil, "an api destination is pulled and has no authentication of its own")
		}
	}
}

// checkURL notes what keeps raw from being called.
func (f *faults) checkURL(field, raw string) {
	u, err := url.Parse(raw)
	switch {
	case raw == "":
		f.add(field, nil, "is required for a webhook")
	case len(raw) > maxURL:
		f.add(field, nil, "must have at most %d characters", maxURL)
	case err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https":
		f.add(field, nil, "must be an absolute http or https URL")
	case u.User != nil:
		f.add(field, nil, "must not contain a user or password: use auth_type")
	case u.Fragment != "":
		f.add(field, nil, "must not contain a fragment")
	}
}

// reserved are the headers that every attempt sets itself.
var reserved = []string{
	"Authorization", "Connection", "Content-Encoding", "Content-Length", "Content-Type", "Expect", "Host",
	"Ledger-Attempt", "Ledger-Sequence", "Te", "Traceparent", "Tracestate", "Trailer", "Transfer-Encoding", "Upgrade", "User-Agent",
	"Webhook-Id", "Webhook-Signature", "Webhook-Timestamp",
}

// checkHeaders notes headers that cannot be sent along.
func (f *faults) checkHeaders(headers map[string]string) {
	if len(headers) > maxHeaders {
		f.add("headers", len(headers), "must be at most %d", maxHeaders)
	}
	for name, value := range headers {
		field := "headers." + name
		switch {
		case !httpguts.ValidHeaderFieldName(name):
			f.add(field, nil, "is not a header name")
		case slices.Contains(reserved, textproto.CanonicalMIMEHeaderKey(name)):
			f.add(field, nil, "is set by the ledger")
		case name != textproto.CanonicalMIMEHeaderKey(name):
			f.add(field, nil, "is given twice: case does not tell headers apart")
		case !httpguts.ValidHeaderFieldValue(value) || len(value) > maxHeaderValue:
			f.add(field, nil, "must be a header value of at most %d characters", maxHeaderValue)
		}
	}
	slices.SortFunc(*f, func(a, b Fault) int { return strings.Compare(a.Field, b.Field) })
}

// checkRetries notes a schedule that is too long or waits too long.
func (f *faults) checkRetries(s RetrySchedule) {
	if len(s) > maxRetries {
		f.add("retry_schedule", len(s), "must have at most %d waits", maxRetries)
	}
	for _, wait := range s {
		if wait < time.Second || wait > maxRetryWait {
			f.add("retry_schedule", wait.Seconds(), "each wait must be from 1 to %d seconds", int(maxRetryWait.Seconds()))
			return
		}
	}
}
