package domain_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	. "github.com/openprospect/delivery-ledger/domain/domaintest" //nolint:revive // a test reads as the rule
)

var (
	hook = domain.Destination{
		ID: "dst_1", Type: domain.Webhook, Name: "CRM", URL: "https://your-api.com/webhooks/openprospect",
		AuthType: domain.AuthBearer, AuthSecret: "sec_1", SigningSecret: "sec_2",
		Headers: map[string]string{"X-Team": "7"}, TimeoutSeconds: 30, MaxInFlight: 8,
		RetrySchedule: domain.RetrySchedule{time.Second, time.Hour},
	}
	feed     = domain.Destination{ID: "dst_2", Type: domain.API, Name: "Warehouse"}
	added    = domain.DestinationAdded{Delivery: dcf, Destination: hook}
	fed      = domain.DestinationAdded{Delivery: dcf, Destination: feed}
	removed  = domain.DestinationRemoved{Delivery: dcf, Destination: hook.ID}
	disabled = domain.DestinationDisabled{Delivery: dcf, Destination: hook.ID, Reason: "it answered 410 Gone"}
)

func TestAddDestination(t *testing.T) {
	t.Parallel()
	add := domain.AddDestination{Delivery: dcf, Organisation: acme, Destination: hook}

	t.Run("all settings are kept", func(t *testing.T) {
		t.Parallel()
		When(t, Given(created), add).Then(added)
	})
	t.Run("what is not said has defaults", func(t *testing.T) {
		t.Parallel()
		add := add
		add.Destination = domain.Destination{ID: hook.ID, Type: domain.Webhook, URL: hook.URL}
		When(t, Given(created), add).Then(domain.DestinationAdded{Delivery: dcf, Destination: domain.Destination{
			ID: hook.ID, Type: domain.Webhook, URL: hook.URL,
			AuthType: domain.AuthNone, TimeoutSeconds: 15, Headers: map[string]string{},
		}})
	})
	t.Run("names of headers are written in one way", func(t *testing.T) {
		t.Parallel()
		add, added := add, added
		add.Destination.Headers = map[string]string{"x-tEAM": "7", "X-Source": "leads"}
		added.Destination.Headers = map[string]string{"X-Team": "7", "X-Source": "leads"}
		When(t, Given(created), add).Then(added)
	})
	t.Run("one that is pulled needs nothing more", func(t *testing.T) {
		t.Parallel()
		add := add
		add.Destination = feed
		When(t, Given(created), add).Then(fed)
	})
	t.Run("adding again adds nothing", func(t *testing.T) {
		t.Parallel()
		When(t, Given(created, added), add).Then()
		add := add
		add.Destination.URL = ""
		When(t, Given(created, added), add).Then()
	})
	t.Run("a paused delivery takes one", func(t *testing.T) {
		t.Parallel()
		When(t, Given(created, paused), add).Then(added)
	})
	t.Run("it begins enabled", func(t *testing.T) {
		t.Parallel()
		add := add
		add.Destination.DisabledReason = "of another"
		When(t, Given(created), add).Then(added)
	})
	t.Run("all faults are told at once", func(t *testing.T) {
		t.Parallel()
		add := add
		add.Destination = domain.Destination{
			ID: hook.ID, Type: domain.Webhook, Name: "two\nlines", URL: "ftp://your-api.com", AuthType: "digest",
			Headers: map[string]string{"Host": "elsewhere"}, TimeoutSeconds: 61, MaxInFlight: -1,
			RetrySchedule: domain.RetrySchedule{0},
		}
		When(t, Given(created), add).
			Faults("name", "url", "auth_type", "headers.Host", "timeout_seconds", "max_in_flight", "retry_schedule")
	})
}

func TestChangeDestination(t *testing.T) {
	t.Parallel()
	change := func(id domain.DestinationID, f func(*domain.Destination)) domain.ChangeDestination {
		return domain.ChangeDestination{Delivery: dcf, Organisation: acme, Destination: id, Change: func(d domain.Destination) domain.Destination {
			f(&d)
			return d
		}}
	}
	changed := func(f func(*domain.Destination)) domain.DestinationChanged {
		d := hook
		f(&d)
		return domain.DestinationChanged{Delivery: dcf, Destination: d}
	}
	move := func(d *domain.Destination) { d.URL = "https://crm.your-api.com/v2/leads" }
	keep := func(*domain.Destination) {}

	t.Run("it starts from the settings that stand", func(t *testing.T) {
		t.Parallel()
		When(t, Given(created, added), change(hook.ID, move)).Then(changed(move))
		When(t, Given(created, added, changed(move)), change(hook.ID, keep)).Then(changed(move))
	})
	t.Run("defaults come back for what is taken away", func(t *testing.T) {
		t.Parallel()
		When(t, Given(created, added), change(hook.ID, func(d *domain.Destination) {
			d.AuthType, d.AuthSecret, d.TimeoutSeconds, d.Headers = "", "", 0, nil
		})).Then(changed(func(d *domain.Destination) {
			d.AuthType, d.AuthSecret, d.TimeoutSeconds, d.Headers = domain.AuthNone, "", 15, map[string]string{}
		}))
	})
	t.Run("any change enables", func(t *testing.T) {
		t.Parallel()
		When(t, Given(created, added, disabled), change(hook.ID, keep)).Then(changed(keep))
		require.Empty(t, Fold[domain.Delivery](t, Given(created, added, disabled, changed(keep))).Destinations[hook.ID].DisabledReason)
	})
	t.Run("it stays the destination that it is", func(t *testing.T) {
		t.Parallel()
		When(t, Given(created, added), change(hook.ID, func(d *domain.Destination) { d.ID = "dst_9" })).Then(changed(keep))
	})
	t.Run("the others stay as they are", func(t *testing.T) {
		t.Parallel()
		d := Fold[domain.Delivery](t, Given(created, added, fed, changed(move)))
		require.Equal(t, feed, d.Destinations[feed.ID])
		require.Len(t, d.Destinations, 2)
	})
	t.Run("its type cannot be changed", func(t *testing.T) {
		t.Parallel()
		pull := func(d *domain.Destination) { *d = domain.Destination{Type: domain.API, URL: d.URL} }
		push := func(d *domain.Destination) { d.Type = domain.Webhook }
		When(t, Given(created, added), change(hook.ID, pull)).Faults("type")
		When(t, Given(created, fed), change(feed.ID, push)).Faults("type")
		When(t, Given(created, added), change(hook.ID, func(d *domain.Destination) { d.Type = "" })).Faults("type")

		_, err := change(hook.ID, pull).Decide(Fold[domain.Delivery](t, Given(created, added)), Now())
		require.ErrorContains(t, err, "type: cannot be changed; add another destination")
	})
	t.Run("all faults are told at once", func(t *testing.T) {
		t.Parallel()
		When(t, Given(created, added), change(hook.ID, func(d *domain.Destination) {
			d.Type, d.URL, d.AuthSecret = domain.API, "", ""
		})).Faults("type", "url", "auth_token")
	})
	t.Run("one that is not there cannot be changed", func(t *testing.T) {
		t.Parallel()
		When(t, Given(created), change(hook.ID, keep)).Refused(domain.NotFound, "DESTINATION_NOT_FOUND")
		When(t, Given(created, added, removed), change(hook.ID, keep)).Refused(domain.NotFound, "DESTINATION_NOT_FOUND")
	})
}

func TestRemoveDestination(t *testing.T) {
	t.Parallel()
	remove := domain.RemoveDestination{Delivery: dcf, Organisation: acme, Destination: hook.ID}

	When(t, Given(created, added), remove).Then(removed)
	When(t, Given(created, added, disabled), remove).Then(removed)
	When(t, Given(created, added, removed), remove).Refused(domain.NotFound, "DESTINATION_NOT_FOUND")
	When(t, Given(created), remove).Refused(domain.NotFound, "DESTINATION_NOT_FOUND")
}

func TestDisableDestination(t *testing.T) {
	t.Parallel()
	disable := domain.DisableDestination{Delivery: dcf, Destination: hook.ID, URL: hook.URL, Reason: disabled.Reason}

	When(t, Given(created, added), disable).Then(disabled)
	When(t, Given(created, added, disabled), disable).Then()
	When(t, Given(created, added, removed), disable).Then()
	When(t, Given(created, added, deleted), disable).Then()
	When(t, Given(), disable).Then()
	elsewhere := disable
	elsewhere.URL = "https://old.your-api.com"
	When(t, Given(created, added), elsewhere).Then()
	anywhere := disable
	anywhere.URL = ""
	When(t, Given(created, added), anywhere).Then(disabled)

	d := Fold[domain.Delivery](t, Given(created, added, disabled))
	require.Equal(t, disabled.Reason, d.Destinations[hook.ID].DisabledReason)
	require.Empty(t, Fold[domain.Delivery](t, Given(created, disabled)).Destinations, "what is not there is not disabled into being")
}

func TestEnableDestination(t *testing.T) {
	t.Parallel()
	enable := domain.EnableDestination{Delivery: dcf, Organisation: acme, Destination: hook.ID}
	enabled := domain.DestinationEnabled{Delivery: dcf, Destination: hook.ID}

	When(t, Given(created, added, disabled), enable).Then(enabled)
	When(t, Given(created, added), enable).Then()
	When(t, Given(created, added, disabled, enabled), enable).Then()
	When(t, Given(created, paused, added, disabled), enable).Then(enabled)
	When(t, Given(created, added, disabled, removed), enable).Refused(domain.NotFound, "DESTINATION_NOT_FOUND")
	When(t, Given(created, added, disabled, deleted), enable).Refused(domain.NotFound, "DELIVERY_NOT_FOUND")
	foreign := enable
	foreign.Organisation = rival
	When(t, Given(created, added, disabled), foreign).Refused(domain.NotFound, "DELIVERY_NOT_FOUND")

	require.Equal(t, hook, Fold[domain.Delivery](t, Given(created, added, disabled, enabled)).Destinations[hook.ID])
	require.Empty(t, Fold[domain.Delivery](t, Given(created, enabled)).Destinations, "what is not there is not enabled into being")
}

func TestFaultsOfDestinations(t *testing.T) {
	t.Parallel()
	type headers = map[string]string
	many := headers{}
	for i := range 21 {
		many[fmt.Sprintf("X-%d", i)] = "x"
	}
	for name, c := range map[string]struct {
		spoil  func(*domain.Destination)
		faults []string // none: it is accepted
	}{
		"no type":      {func(d *domain.Destination) { d.Type = "" }, []string{"type"}},
		"unknown type": {func(d *domain.Destination) { d.Type = "queue" }, []string{"type"}},
		"no name":      {func(d *domain.Destination) { d.Name = "" }, nil},
		"long name":    {func(d *domain.Destination) { d.Name = strings.Repeat("x", 201) }, []string{"name"}},

		"plain http":          {func(d *domain.Destination) { d.URL = "http://your-api.com" }, nil},
		"scheme in capitals":  {func(d *domain.Destination) { d.URL = "HTTPS://your-api.com" }, nil},
		"port and query":      {func(d *domain.Destination) { d.URL = "https://your-api.com:8443/a?b=c&d=%2F" }, nil},
		"an address":          {func(d *domain.Destination) { d.URL = "https://[2001:db8::1]:8443/" }, nil},
		"longest url":         {func(d *domain.Destination) { d.URL = longURL(2048) }, nil},
		"url too long":        {func(d *domain.Destination) { d.URL = longURL(2049) }, []string{"url"}},
		"no url":              {func(d *domain.Destination) { d.URL = "" }, []string{"url"}},
		"relative url":        {func(d *domain.Destination) { d.URL = "/webhooks" }, []string{"url"}},
		"url of no scheme":    {func(d *domain.Destination) { d.URL = "//your-api.com/webhooks" }, []string{"url"}},
		"ftp":                 {func(d *domain.Destination) { d.URL = "ftp://your-api.com/in" }, []string{"url"}},
		"javascript":          {func(d *domain.Destination) { d.URL = "javascript:alert(1)" }, []string{"url"}},
		"url of no host":      {func(d *domain.Destination) { d.URL = "https:///webhooks" }, []string{"url"}},
		"url of a port alone": {func(d *domain.Destination) { d.URL = "https://:8443/webhooks" }, []string{"url"}},
		"password in the url": {func(d *domain.Destination) { d.URL = "https://me:secret@your-api.com" }, []string{"url"}},
		"user in the url":     {func(d *domain.Destination) { d.URL = "https://me@your-api.com" }, []string{"url"}},
		"fragment":            {func(d *domain.Destination) { d.URL = "https://your-api.com/#inbox" }, []string{"url"}},
		"blank in the url":    {func(d *domain.Destination) { d.URL = " https://your-api.com" }, []string{"url"}},
		"line end in the url": {func(d *domain.Destination) { d.URL = "https://your-api.com/\r\nHost:x" }, []string{"url"}},

		"no auth":              {func(d *domain.Destination) { d.AuthType, d.AuthSecret = domain.AuthNone, "" }, nil},
		"none with a token":    {func(d *domain.Destination) { d.AuthType = domain.AuthNone }, []string{"auth_token"}},
		"a token without type": {func(d *domain.Destination) { d.AuthType = "" }, []string{"auth_token"}},
		"bearer and no token":  {func(d *domain.Destination) { d.AuthSecret = "" }, []string{"auth_token"}},
		"unknown auth":         {func(d *domain.Destination) { d.AuthType = "digest" }, []string{"auth_type"}},

		"reserved header":         {func(d *domain.Destination) { d.Headers = headers{"Authorization": "x"} }, []string{"headers.Authorization"}},
		"reserved in small":       {func(d *domain.Destination) { d.Headers = headers{"webhook-signature": "x"} }, []string{"headers.Webhook-Signature"}},
		"reserved in capitals":    {func(d *domain.Destination) { d.Headers = headers{"CONTENT-TYPE": "x"} }, []string{"headers.Content-Type"}},
		"reserved, of any case":   {func(d *domain.Destination) { d.Headers = headers{"lEDGER-aTTEMPT": "x"} }, []string{"headers.Ledger-Attempt"}},
		"header of no name":       {func(d *domain.Destination) { d.Headers = headers{"": "x"} }, []string{"headers."}},
		"header with a blank":     {func(d *domain.Destination) { d.Headers = headers{"X Team": "x"} }, []string{"headers.X Team"}},
		"header with a colon":     {func(d *domain.Destination) { d.Headers = headers{"X-Team:": "x"} }, []string{"headers.X-Team:"}},
		"header value of lines":   {func(d *domain.Destination) { d.Headers = headers{"X-Team": "7\r\nHost: x"} }, []string{"headers.X-Team"}},
		"header value with nul":   {func(d *domain.Destination) { d.Headers = headers{"X-Team": "7\x00"} }, []string{"headers.X-Team"}},
		"longest header value":    {func(d *domain.Destination) { d.Headers = headers{"X-Team": strings.Repeat("x", 1024)} }, nil},
		"header value too long":   {func(d *domain.Destination) { d.Headers = headers{"X-Team": strings.Repeat("x", 1025)} }, []string{"headers.X-Team"}},
		"empty header value":      {func(d *domain.Destination) { d.Headers = headers{"X-Team": ""} }, nil},
		"two bad headers":         {func(d *domain.Destination) { d.Headers = headers{"Te": "x", "Host": "x", "X-Team": "x"} }, []string{"headers.Host", "headers.Te"}},
		"too many headers":        {func(d *domain.Destination) { d.Headers = many }, []string{"headers"}},
		"header twice":            {func(d *domain.Destination) { d.Headers = headers{"X-Team": "7", "x-team": "8"} }, []string{"headers.x-team"}},
		"header in capitals also": {func(d *domain.Destination) { d.Headers = headers{"X-Team": "7", "X-TEAM": "8"} }, []string{"headers.X-TEAM"}},
		"header twice, not right": {func(d *domain.Destination) { d.Headers = headers{"X-TEAM": "7", "x-team": "8"} }, []string{"headers.X-TEAM", "headers.x-team"}},

		"shortest timeout":    {func(d *domain.Destination) { d.TimeoutSeconds = 1 }, nil},
		"longest timeout":     {func(d *domain.Destination) { d.TimeoutSeconds = 60 }, nil},
		"timeout too long":    {func(d *domain.Destination) { d.TimeoutSeconds = 61 }, []string{"timeout_seconds"}},
		"negative timeout":    {func(d *domain.Destination) { d.TimeoutSeconds = -1 }, []string{"timeout_seconds"}},
		"a fair share":        {func(d *domain.Destination) { d.MaxInFlight = 0 }, nil},
		"most in flight":      {func(d *domain.Destination) { d.MaxInFlight = 1000 }, nil},
		"too many in flight":  {func(d *domain.Destination) { d.MaxInFlight = 1001 }, []string{"max_in_flight"}},
		"negative in flight":  {func(d *domain.Destination) { d.MaxInFlight = -1 }, []string{"max_in_flight"}},
		"the ledger's waits":  {func(d *domain.Destination) { d.RetrySchedule = nil }, nil},
		"most and long waits": {func(d *domain.Destination) { d.RetrySchedule = waits(20, 24*time.Hour) }, nil},
		"too many waits":      {func(d *domain.Destination) { d.RetrySchedule = waits(21, time.Minute) }, []string{"retry_schedule"}},
		"shortest wait":       {func(d *domain.Destination) { d.RetrySchedule = waits(1, time.Second) }, nil},
		"wait too short":      {func(d *domain.Destination) { d.RetrySchedule = waits(1, time.Second-1) }, []string{"retry_schedule"}},
		"wait too long":       {func(d *domain.Destination) { d.RetrySchedule = waits(1, 24*time.Hour+1) }, []string{"retry_schedule"}},
		"negative wait":       {func(d *domain.Destination) { d.RetrySchedule = waits(1, -time.Hour) }, []string{"retry_schedule"}},
		"two bad waits":       {func(d *domain.Destination) { d.RetrySchedule = waits(2, 0) }, []string{"retry_schedule"}},

		"in order":              {func(d *domain.Destination) { d.Ordered = true }, nil},
		"pulled, in order":      {func(d *domain.Destination) { *d = feed; d.Ordered = true }, []string{"ordered"}},
		"pulled, with a url":    {func(d *domain.Destination) { *d = feed; d.URL = hook.URL }, []string{"url"}},
		"pulled, with a token":  {func(d *domain.Destination) { *d = feed; d.AuthSecret = "sec_1" }, []string{"auth_type"}},
		"pulled, with bearer":   {func(d *domain.Destination) { *d = feed; d.AuthType = domain.AuthBearer }, []string{"auth_type"}},
		"pulled, with none":     {func(d *domain.Destination) { *d = feed; d.AuthType = domain.AuthNone }, nil},
		"pulled, all at once":   {func(d *domain.Destination) { d.Type, d.Name = domain.API, "\t" }, []string{"name", "url", "auth_type"}},
		"no type, a bad name":   {func(d *domain.Destination) { d.Type, d.Name = "", "\t" }, []string{"name", "type"}},
		"pulled, with no extra": {func(d *domain.Destination) { *d = feed }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := hook
			c.spoil(&d)
			outcome := When(t, Given(created), domain.AddDestination{Delivery: dcf, Organisation: acme, Destination: d})
			if c.faults == nil {
				outcome.Then(domain.DestinationAdded{Delivery: dcf, Destination: d})
				return
			}
			outcome.Faults(c.faults...)
		})
	}
}

// Every attempt sets these itself (contract, section 7), or HTTP does.
func TestHeadersThatADestinationCannotSet(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"Authorization", "Connection", "Content-Encoding", "Content-Length", "Content-Type", "Expect", "Host",
		"Ledger-Attempt", "Ledger-Sequence", "Te", "Traceparent", "Tracestate", "Trailer", "Transfer-Encoding", "Upgrade", "User-Agent",
		"Webhook-Id", "Webhook-Signature", "Webhook-Timestamp",
	} {
		for _, spelling := range []string{name, strings.ToLower(name), strings.ToUpper(name)} {
			d := hook
			d.Headers = map[string]string{spelling: "x"}
			add := domain.AddDestination{Delivery: dcf, Organisation: acme, Destination: d}
			When(t, Given(created), add).Faults("headers." + name)
		}
	}
}

func TestFaultsTellNoSecret(t *testing.T) {
	t.Parallel()
	d := hook
	d.URL, d.Headers = "https://me:hunter2@your-api.com", map[string]string{"Authorization": "hunter2", "X-Key": "hunter2\n"}
	_, err := domain.AddDestination{Delivery: dcf, Organisation: acme, Destination: d}.
		Decide(Fold[domain.Delivery](t, Given(created)), Now())
	Faults(t, err, "url", "headers.Authorization", "headers.X-Key")
	require.NotContains(t, encode(t, err), "hunter2")
	require.NotContains(t, err.Error(), "hunter2")
}

func TestRetriesOfADestination(t *testing.T) {
	t.Parallel()
	require.Equal(t, hook.RetrySchedule, hook.Retries(domain.DefaultRetries))
	require.Equal(t, domain.DefaultRetries, domain.Destination{}.Retries(domain.DefaultRetries))
	require.Equal(t, domain.DefaultRetries, domain.Destination{RetrySchedule: domain.RetrySchedule{}}.Retries(domain.DefaultRetries))
}

// longURL returns a URL of n characters.
func longURL(n int) string {
	const host = "https://your-api.com/"
	return host + strings.Repeat("x", n-len(host))
}

// waits returns a schedule of n waits.
func waits(n int, wait time.Duration) domain.RetrySchedule {
	s := make(domain.RetrySchedule, n)
	for i := range s {
		s[i] = wait
	}
	return s
}
