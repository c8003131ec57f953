package domain_test

import (
	"maps"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/openprospect/delivery-ledger/domain"
	. "github.com/openprospect/delivery-ledger/domain/domaintest" //nolint:revive // a test reads as the rule
)

// model is a delivery as a mutable thing: what two organisations that give any commands
// in any order should see.
type model struct {
	created, deleted bool
	settings         map[string]string
	destinations     map[domain.DestinationID]string // their URL
	disabled         map[domain.DestinationID]bool
}

func TestDeliveryIsAsAPlainModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var log []domain.Event
		m := model{settings: map[string]string{}, destinations: map[domain.DestinationID]string{}, disabled: map[domain.DestinationID]bool{}}

		// do gives command and holds its refusal against code; none: it succeeds.
		do := func(command Command[domain.Delivery], code string) {
			state := Fold[domain.Delivery](t, log)
			events, err := command.Decide(state, Now())
			if code == "" {
				When(t, log, command).Then(events...)
			} else {
				When(t, log, command).Refused(domain.KindOf(err), code)
			}
			log = append(log, events...)
		}
		// reach returns the code with which org is refused a destination, or the delivery
		// when it asks for none.
		reach := func(org domain.OrganisationID, id domain.DestinationID) string {
			if !m.created || m.deleted || org != acme {
				return "DELIVERY_NOT_FOUND"
			}
			if _, ok := m.destinations[id]; !ok && id != "" {
				return "DESTINATION_NOT_FOUND"
			}
			return ""
		}
		caller := rapid.SampledFrom([]domain.OrganisationID{acme, acme, acme, acme, rival})
		text := rapid.SampledFrom([]string{"a", "b", "c"})
		id := rapid.SampledFrom([]domain.DestinationID{"dst_1", "dst_2", "dst_3"})
		status := rapid.SampledFrom([]domain.DeliveryStatus{domain.Active, domain.Paused})
		url := rapid.SampledFrom([]string{"", "https://a.example", "https://b.example", "http://c.example"})

		t.Repeat(map[string]func(*rapid.T){
			"create": func(t *rapid.T) {
				name, status := text.Draw(t, "name"), status.Draw(t, "status")
				do(domain.CreateDelivery{ID: dcf, Organisation: acme, Name: name, Status: status, Search: search}, "")
				if !m.created {
					m.created, m.settings = true, map[string]string{"name": name, "status": string(status), "search": string(search)}
				}
			},
			"update": func(t *rapid.T) {
				org := caller.Draw(t, "caller")
				update := domain.UpdateDelivery{ID: dcf, Organisation: org}
				wanted := map[string]string{}
				if name := text.Draw(t, "name"); rapid.Bool().Draw(t, "with name") {
					update.Name, wanted["name"] = &name, name
				}
				if status := status.Draw(t, "status"); rapid.Bool().Draw(t, "with status") {
					update.Status, wanted["status"] = &status, string(status)
				}
				if search := text.Draw(t, "search"); rapid.Bool().Draw(t, "with search") {
					update.Search, wanted["search"] = new(domain.SearchID(search)), search
				}
				code := reach(org, "")
				do(update, code)
				if code == "" {
					maps.Copy(m.settings, wanted)
				}
			},
			"delete": func(t *rapid.T) {
				if rapid.IntRange(0, 4).Draw(t, "seldom") > 0 {
					t.Skip("most deliveries live on")
				}
				org := caller.Draw(t, "caller")
				code := reach(org, "")
				do(domain.DeleteDelivery{ID: dcf, Organisation: org}, code)
				m.deleted = m.deleted || code == ""
			},
			"add": func(t *rapid.T) {
				org, id, url := caller.Draw(t, "caller"), id.Draw(t, "id"), url.Draw(t, "url")
				_, there := m.destinations[id]
				code := reach(org, "")
				if code == "" && !there && url == "" {
					code = "VALIDATION_ERROR"
				}
				do(domain.AddDestination{Delivery: dcf, Organisation: org, Destination: webhook(id, url)}, code)
				if code == "" && !there {
					m.destinations[id] = url
				}
			},
			"change": func(t *rapid.T) {
				org, id, url := caller.Draw(t, "caller"), id.Draw(t, "id"), url.Draw(t, "url")
				code := reach(org, id)
				if code == "" && url == "" {
					code = "VALIDATION_ERROR"
				}
				do(domain.ChangeDestination{Delivery: dcf, Organisation: org, Destination: id, Change: func(d domain.Destination) domain.Destination {
					d.URL = url
					return d
				}}, code)
				if code == "" {
					m.destinations[id] = url
					delete(m.disabled, id)
				}
			},
			"remove": func(t *rapid.T) {
				org, id := caller.Draw(t, "caller"), id.Draw(t, "id")
				code := reach(org, id)
				do(domain.RemoveDestination{Delivery: dcf, Organisation: org, Destination: id}, code)
				if code == "" {
					delete(m.destinations, id)
					delete(m.disabled, id)
				}
			},
			"disable": func(t *rapid.T) {
				id := id.Draw(t, "id")
				do(domain.DisableDestination{Delivery: dcf, Destination: id, Reason: "gone"}, "")
				if reach(acme, id) == "" {
					m.disabled[id] = true
				}
			},
			"enable": func(t *rapid.T) {
				org, id := caller.Draw(t, "caller"), id.Draw(t, "id")
				code := reach(org, id)
				do(domain.EnableDestination{Delivery: dcf, Organisation: org, Destination: id}, code)
				if code == "" {
					delete(m.disabled, id)
				}
			},
			"": func(t *rapid.T) { requireModel(t, m, Fold[domain.Delivery](t, log)) },
		})
	})
}

// requireModel fails t where d is not as m.
func requireModel(t *rapid.T, m model, d domain.Delivery) {
	t.Helper()
	require.Equal(t, m.created && !m.deleted, d.Exists(acme))
	require.False(t, d.Exists(rival))
	if m.created {
		settings := map[string]string{"name": d.Name, "status": string(d.Status), "search": string(d.Search)}
		require.Equal(t, m.settings, settings)
	}
	require.Len(t, d.Destinations, len(m.destinations))
	for id, url := range m.destinations {
		want := webhook(id, url)
		if m.disabled[id] {
			want.DisabledReason = "gone"
		}
		require.Equal(t, want, d.Destinations[id])
	}
}

// webhook returns a destination with all that has a default.
func webhook(id domain.DestinationID, url string) domain.Destination {
	return domain.Destination{
		ID: id, Type: domain.Webhook, URL: url,
		AuthType: domain.AuthNone, TimeoutSeconds: domain.DefaultTimeout, Headers: map[string]string{},
	}
}
