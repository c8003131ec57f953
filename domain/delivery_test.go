package domain_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	. "github.com/openprospect/delivery-ledger/domain/domaintest" //nolint:revive // a test reads as the rule
	"github.com/openprospect/delivery-ledger/domain/rules"
)

const (
	acme   domain.OrganisationID = "org_acme"
	rival  domain.OrganisationID = "org_rival"
	dcf    domain.DeliveryID     = "dcf_1"
	search domain.SearchID       = "search-1"
)

var (
	created = domain.DeliveryCreated{
		Delivery: dcf, Organisation: acme, Name: "Insurers in Zürich",
		Status: domain.Active, Schedule: domain.Immediate, Search: search,
	}
	paused  = domain.DeliveryPaused{Delivery: dcf}
	resumed = domain.DeliveryResumed{Delivery: dcf}
	deleted = domain.DeliveryDeleted{Delivery: dcf}
)

func TestCreateDelivery(t *testing.T) {
	t.Parallel()
	create := domain.CreateDelivery{ID: dcf, Organisation: acme, Name: created.Name, Search: search}

	t.Run("it is active and immediate unless told otherwise", func(t *testing.T) {
		t.Parallel()
		When(t, Given(), create).Then(created)
	})
	t.Run("it may begin paused and on a schedule", func(t *testing.T) {
		t.Parallel()
		create, created := create, created
		create.Status, create.Schedule = domain.Paused, domain.Weekly
		created.Status, created.Schedule = domain.Paused, domain.Weekly
		When(t, Given(), create).Then(created)
	})
	t.Run("creating again adds nothing", func(t *testing.T) {
		t.Parallel()
		When(t, Given(created), create).Then()
	})
	t.Run("creating again with other values adds nothing", func(t *testing.T) {
		t.Parallel()
		create := create
		create.Name, create.Status = "", "asleep"
		When(t, Given(created), create).Then()
	})
	t.Run("creating again after its end does not bring it back", func(t *testing.T) {
		t.Parallel()
		When(t, Given(created, deleted), create).Then()
	})
	t.Run("all faults are told at once", func(t *testing.T) {
		t.Parallel()
		create := domain.CreateDelivery{ID: dcf, Organisation: acme, Status: "asleep", Schedule: "yearly"}
		When(t, Given(), create).Faults("name", "status", "schedule", "prospect_search_id")
	})
}

func TestNamesOfDeliveries(t *testing.T) {
	t.Parallel()
	for name, ok := range map[string]bool{
		"x":                      true,
		strings.Repeat("ü", 200): true,
		strings.Repeat("ü", 201): false,
		"":                       false,
		"two\nlines":             false,
		"nul\x00":                false,
		"not UTF-8 \xff":         false,
		"บริษัท ช้างเผือก 🐘": true,
	} {
		create := domain.CreateDelivery{ID: dcf, Organisation: acme, Name: name, Search: search}
		if created := created; ok {
			created.Name = name
			When(t, Given(), create).Then(created)
		} else {
			When(t, Given(), create).Faults("name")
		}
	}
}

func TestUpdateDelivery(t *testing.T) {
	t.Parallel()
	update := domain.UpdateDelivery{ID: dcf, Organisation: acme}
	renamed := domain.DeliveryUpdated{Delivery: dcf, Name: "Banks", Schedule: created.Schedule, Search: search}

	t.Run("what is absent keeps its value", func(t *testing.T) {
		t.Parallel()
		update := update
		update.Name = new("Banks")
		When(t, Given(created), update).Then(renamed)
	})
	t.Run("all may change together", func(t *testing.T) {
		t.Parallel()
		update := update
		update.Name, update.Schedule, update.Search = new("Banks"), new(domain.Daily), new(domain.SearchID("search-2"))
		When(t, Given(created), update).
			Then(domain.DeliveryUpdated{Delivery: dcf, Name: "Banks", Schedule: domain.Daily, Search: "search-2"})
	})
	t.Run("it starts from the last change, not from the creation", func(t *testing.T) {
		t.Parallel()
		update := update
		update.Schedule = new(domain.Hourly)
		When(t, Given(created, renamed), update).
			Then(domain.DeliveryUpdated{Delivery: dcf, Name: "Banks", Schedule: domain.Hourly, Search: search})
	})
	t.Run("no field adds nothing", func(t *testing.T) {
		t.Parallel()
		When(t, Given(created), update).Then()
	})
	t.Run("the values that stand add nothing", func(t *testing.T) {
		t.Parallel()
		update := update
		update.Name, update.Status = new(created.Name), new(domain.Active)
		update.Schedule, update.Search = new(domain.Immediate), new(search)
		When(t, Given(created), update).Then()
	})
	t.Run("paused holds", func(t *testing.T) {
		t.Parallel()
		update := update
		update.Status = new(domain.Paused)
		When(t, Given(created), update).Then(paused)
		When(t, Given(created, paused), update).Then()
	})
	t.Run("active lets go", func(t *testing.T) {
		t.Parallel()
		update := update
		update.Status = new(domain.Active)
		When(t, Given(created, paused), update).Then(resumed)
		When(t, Given(created, paused, resumed), update).Then()
	})
	t.Run("values come before the status, which may let go what follows them", func(t *testing.T) {
		t.Parallel()
		update := update
		update.Name, update.Status = new("Banks"), new(domain.Active)
		When(t, Given(created, paused), update).Then(renamed, resumed)
		update.Status = new(domain.Paused)
		When(t, Given(created), update).Then(renamed, paused)
	})
	t.Run("all faults are told at once", func(t *testing.T) {
		t.Parallel()
		update := update
		update.Name, update.Status = new(""), new(domain.DeliveryStatus("asleep"))
		update.Schedule, update.Search = new(domain.Schedule("yearly")), new(domain.SearchID("two words"))
		When(t, Given(created), update).Faults("name", "status", "schedule", "prospect_search_id")
	})
}

func TestDeleteDelivery(t *testing.T) {
	t.Parallel()
	remove := domain.DeleteDelivery{ID: dcf, Organisation: acme}

	t.Run("it ends", func(t *testing.T) {
		t.Parallel()
		When(t, Given(created), remove).Then(deleted)
	})
	t.Run("it ends once", func(t *testing.T) {
		t.Parallel()
		When(t, Given(created, deleted), remove).Refused(domain.NotFound, "DELIVERY_NOT_FOUND")
	})
}

// What another organisation owns is absent to the caller, like what never was and what
// has ended.
func TestNoCommandReachesADeliveryThatIsNotTheCallers(t *testing.T) {
	t.Parallel()
	same := func(d domain.Destination) domain.Destination { return d }
	commands := func(org domain.OrganisationID) []Command[domain.Delivery] {
		return []Command[domain.Delivery]{
			domain.UpdateDelivery{ID: dcf, Organisation: org, Name: new("")},
			domain.DeleteDelivery{ID: dcf, Organisation: org},
			domain.AddDestination{Delivery: dcf, Organisation: org, Destination: domain.Destination{ID: "dst_2"}},
			domain.AddDestination{Delivery: dcf, Organisation: org, Destination: hook},
			domain.ChangeDestination{Delivery: dcf, Organisation: org, Destination: hook.ID, Change: same},
			domain.RemoveDestination{Delivery: dcf, Organisation: org, Destination: hook.ID},
		}
	}
	for _, c := range commands(rival) {
		When(t, Given(created, added), c).Refused(domain.NotFound, "DELIVERY_NOT_FOUND")
	}
	for _, c := range commands(acme) {
		When(t, Given(), c).Refused(domain.NotFound, "DELIVERY_NOT_FOUND")
		When(t, Given(created, added, deleted), c).Refused(domain.NotFound, "DELIVERY_NOT_FOUND")
	}
	for _, c := range commands("") {
		When(t, Given(), c).Refused(domain.NotFound, "DELIVERY_NOT_FOUND")
	}
	create := domain.CreateDelivery{ID: dcf, Organisation: rival, Name: "Banks", Search: search}
	When(t, Given(created), create).Refused(domain.NotFound, "DELIVERY_NOT_FOUND")
	When(t, Given(created, deleted), create).Refused(domain.NotFound, "DELIVERY_NOT_FOUND")
}

func TestDeliveryIsWhatItsEventsAddUpTo(t *testing.T) {
	t.Parallel()
	updated := domain.DeliveryUpdated{Delivery: dcf, Name: "Banks", Schedule: domain.Daily, Search: "search-2"}
	require.Equal(t, domain.Delivery{
		ID: dcf, Organisation: acme, Name: "Banks", Status: domain.Paused, Schedule: domain.Daily, Search: "search-2",
		Profile:      rules.Profile{Threshold: 50},
		Destinations: map[domain.DestinationID]domain.Destination{hook.ID: hook},
		Revision:     4, Revisions: map[domain.DestinationID]int64{hook.ID: 2},
	}, Fold[domain.Delivery](t, Given(created, added, updated, paused)))
	require.True(t, Fold[domain.Delivery](t, Given(created)).Exists(acme))
	require.False(t, Fold[domain.Delivery](t, Given(created)).Exists(rival))
	require.False(t, Fold[domain.Delivery](t, Given(created, deleted)).Exists(acme))
	require.False(t, domain.Delivery{}.Exists(""))
}

// Every command that changes a delivery meets the others on one stream, so that of two
// at once one decides again.
func TestCommandsOnADeliveryShareItsStream(t *testing.T) {
	t.Parallel()
	for _, c := range []Command[domain.Delivery]{
		domain.CreateDelivery{ID: dcf},
		domain.UpdateDelivery{ID: dcf},
		domain.DeleteDelivery{ID: dcf},
		domain.AddDestination{Delivery: dcf},
		domain.ChangeDestination{Delivery: dcf},
		domain.RemoveDestination{Delivery: dcf},
		domain.DisableDestination{Delivery: dcf},
	} {
		require.Equal(t, "delivery/dcf_1", c.Stream(), "%T", c)
	}
}

func TestScheduleOfADelivery(t *testing.T) {
	t.Parallel()
	const nine = domain.Schedule("0 9 * * *")
	create := domain.CreateDelivery{ID: dcf, Organisation: acme, Name: "Banks", Schedule: nine, Timezone: "Europe/Berlin", Search: search}
	berlin := domain.DeliveryCreated{
		Delivery: dcf, Organisation: acme, Name: "Banks", Status: domain.Active, Schedule: nine, Timezone: "Europe/Berlin", Search: search,
	}
	When(t, Given(), create).Then(berlin)
	update := domain.UpdateDelivery{ID: dcf, Organisation: acme, Timezone: new(domain.Timezone("Asia/Tokyo"))}
	tokyo := domain.DeliveryUpdated{Delivery: dcf, Name: "Banks", Schedule: nine, Timezone: "Asia/Tokyo", Search: search}
	When(t, Given(berlin), update).Then(tokyo)
	When(t, Given(berlin, tokyo), update).Then()
	update.Timezone = new(domain.Timezone("UTC"))
	utc := domain.DeliveryUpdated{Delivery: dcf, Name: "Banks", Schedule: nine, Search: search}
	When(t, Given(berlin), update).Then(utc)
	When(t, Given(berlin, utc), update).Then()

	for _, c := range []struct {
		log []domain.Event
		due time.Time
	}{
		{Given(berlin), time.Date(2026, time.March, 5, 8, 0, 0, 0, time.UTC)},
		{Given(berlin, tokyo), time.Date(2026, time.March, 5, 0, 0, 0, 0, time.UTC)},
		{Given(berlin, utc), time.Date(2026, time.March, 5, 9, 0, 0, 0, time.UTC)},
	} {
		command, qualified := qualify()
		command.Delivery, qualified.Due = Fold[domain.Delivery](t, c.log), &c.due // on Wednesday, 4 March 2026, 9:30
		When(t, Given(), command).Then(qualified)
	}
}
