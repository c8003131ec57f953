package domain

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/openprospect/delivery-ledger/domain/rules"
)

// A DeliveryStatus says whether a delivery pushes.
type DeliveryStatus string

// The statuses of a delivery.
const (
	Active DeliveryStatus = "active"
	Paused DeliveryStatus = "paused" // records companies, pushes none
)

// maxName is the longest name of a delivery or destination, in characters.
const maxName = 200

// Delivery is what the events of one delivery add up to. The zero Delivery was never
// created. It is a value: Evolve never changes what an older copy shows.
type Delivery struct {
	ID           DeliveryID
	Organisation OrganisationID
	Name         string
	Status       DeliveryStatus
	Schedule     Schedule
	Timezone     Timezone // of the schedule
	Search       SearchID
	Profile      rules.Profile
	Destinations map[DestinationID]Destination
	Deleted      bool

	Revision  int64                   // the number of its events: its stream's version
	Revisions map[DestinationID]int64 // the delivery's when each destination last changed

	timetable *Timetable   // of schedule and time zone, where it takes time to make; see due
	judge     *rules.Judge // of the profile
}

// DeliveryStream names the stream that holds the delivery's events.
func DeliveryStream(id DeliveryID) string { return "delivery/" + string(id) }

// Exists reports whether the delivery was created and not deleted, and is org's.
func (d Delivery) Exists(org OrganisationID) bool {
	return d.ID != "" && !d.Deleted && d.Organisation == org
}

// destination returns the destination of that ID, of the delivery that org asked for by its
// own; or which of the two is not there.
func (d Delivery) destination(org OrganisationID, delivery DeliveryID, id DestinationID) (Destination, error) {
	if !d.Exists(org) {
		return Destination{}, errNoDelivery(delivery)
	}
	dst, ok := d.Destinations[id]
	if !ok {
		return dst, errNoDestination(id)
	}
	return dst, nil
}

// Evolve returns the delivery after event. Events that mean nothing to it are counted and
// leave it unchanged otherwise.
func (d Delivery) Evolve(event Event) Delivery {
	d.Revision++
	switch e := event.(type) {
	case DeliveryCreated:
		return Delivery{
			ID: e.Delivery, Organisation: e.Organisation, Name: e.Name,
			Status: e.Status, Search: e.Search, Revision: d.Revision, Profile: rules.Profile{Threshold: rules.DefaultThreshold},
		}.scheduled(e.Schedule, e.Timezone)
	case DeliveryUpdated:
		d.Name, d.Search = e.Name, e.Search
		d = d.scheduled(e.Schedule, e.Timezone)
	case RulesSet:
		d.Profile = rules.Profile{Rules: e.Rules, Threshold: e.Threshold, Version: d.Revision}
		d.judge = rules.NewJudge(d.Profile)
	case DeliveryPaused:
		d.Status = Paused
	case DeliveryResumed:
		d.Status = Active
	case DeliveryDeleted:
		d.Deleted = true
	case DestinationAdded:
		d = d.with(e.Destination)
	case DestinationChanged:
		d = d.with(e.Destination)
	case DestinationRemoved:
		d.Destinations = maps.Clone(d.Destinations)
		delete(d.Destinations, e.Destination)
		d.Revisions = maps.Clone(d.Revisions)
		delete(d.Revisions, e.Destination)
	case DestinationDisabled:
		if dst, ok := d.Destinations[e.Destination]; ok {
			dst.DisabledReason = e.Reason
			d = d.with(dst)
		}
	case DestinationEnabled:
		if dst, ok := d.Destinations[e.Destination]; ok {
			dst.DisabledReason = ""
			d = d.with(dst)
		}
	case SigningSecretRotated:
		if dst, ok := d.Destinations[e.Destination]; ok {
			d = d.with(dst.rotate(e))
		}
	}
	return d
}

// scheduled returns a copy of d on another schedule. What takes time to read is read once, and not
// for each company.
func (d Delivery) scheduled(schedule Schedule, timezone Timezone) Delivery {
	d.Schedule, d.Timezone, d.timetable = schedule, timezone, nil
	if timezone == "" && slices.Contains([]Schedule{Immediate, Hourly, Daily, Weekly}, schedule) {
		return d
	}
	timetable, err := NewTimetable(schedule, timezone)
	if err == nil { // else it is found out when something is handed over
		d.timetable = &timetable
	}
	return d
}

// due returns when what is handed over at a time comes due. Its error says that this build does not
// know the schedule or the time zone.
func (d Delivery) due(at time.Time) (time.Time, error) {
	if d.timetable != nil && d.timetable.of(d.Schedule, d.Timezone) {
		return d.timetable.Next(at), nil
	}
	timetable, err := NewTimetable(d.Schedule, d.Timezone)
	if err != nil {
		return time.Time{}, fmt.Errorf("read schedule of %s: %w", d.ID, err)
	}
	return timetable.Next(at), nil
}

// with returns a copy of d that has dst.
func (d Delivery) with(dst Destination) Delivery {
	d.Destinations = maps.Clone(d.Destinations)
	if d.Destinations == nil {
		d.Destinations = map[DestinationID]Destination{}
	}
	d.Destinations[dst.ID] = dst
	d.Revisions = maps.Clone(d.Revisions)
	if d.Revisions == nil {
		d.Revisions = map[DestinationID]int64{}
	}
	d.Revisions[dst.ID] = d.Revision
	return d
}

// errNoDelivery is returned when a delivery is absent, or not the caller's (contract,
// section 2).
func errNoDelivery(id DeliveryID) error {
	return Errorf(NotFound, "DELIVERY_NOT_FOUND", "there is no delivery %s", id)
}

// CreateDelivery opens a delivery. Empty Status, Schedule and Timezone mean Active, Immediate and UTC;
// nil Rules and Threshold none and [rules.DefaultThreshold].
type CreateDelivery struct {
	ID           DeliveryID
	Organisation OrganisationID
	Name         string
	Status       DeliveryStatus
	Schedule     Schedule
	Timezone     Timezone
	Search       SearchID
	Rules        *[]rules.Rule
	Threshold    *int
}

// Stream names the stream the command is about.
func (c CreateDelivery) Stream() string { return DeliveryStream(c.ID) }

// Decide returns what opening the delivery adds: nothing when it is open already.
func (c CreateDelivery) Decide(d Delivery, _ time.Time) ([]Event, error) {
	if d.ID != "" && d.Organisation != c.Organisation {
		return nil, errNoDelivery(c.ID)
	}
	if d.ID != "" {
		return nil, nil
	}
	if c.Status == "" {
		c.Status = Active
	}
	if c.Schedule == "" {
		c.Schedule = Immediate
	}
	profile := change(rules.Profile{Threshold: rules.DefaultThreshold}, c.Rules, c.Threshold)
	if err := checkDelivery(c.Name, c.Status, c.Schedule, c.Timezone, c.Search, profile); err != nil {
		return nil, err
	}
	events := []Event{DeliveryCreated{
		Delivery: c.ID, Organisation: c.Organisation, Name: c.Name,
		Status: c.Status, Schedule: c.Schedule, Timezone: c.Timezone.canonical(), Search: c.Search,
	}}
	if len(profile.Rules) > 0 || profile.Threshold != rules.DefaultThreshold {
		events = append(events, RulesSet{Delivery: c.ID, Rules: profile.Rules, Threshold: profile.Threshold})
	}
	return events, nil
}

// UpdateDelivery changes a delivery. A nil field keeps its value.
type UpdateDelivery struct {
	ID           DeliveryID
	Organisation OrganisationID
	Name         *string
	Status       *DeliveryStatus
	Schedule     *Schedule
	Timezone     *Timezone
	Search       *SearchID
	Rules        *[]rules.Rule
	Threshold    *int
}

// Stream names the stream the command is about.
func (c UpdateDelivery) Stream() string { return DeliveryStream(c.ID) }

// Decide returns what the change adds: nothing when all is as asked for.
func (c UpdateDelivery) Decide(d Delivery, _ time.Time) ([]Event, error) {
	if !d.Exists(c.Organisation) {
		return nil, errNoDelivery(c.ID)
	}
	name, status, search := or(c.Name, d.Name), or(c.Status, d.Status), or(c.Search, d.Search)
	schedule, timezone := or(c.Schedule, d.Schedule), or(c.Timezone, d.Timezone).canonical()
	profile := change(d.Profile, c.Rules, c.Threshold)
	judged := profile
	if c.Rules == nil {
		judged.Rules = nil // they were checked when they were set
	}
	if err := checkDelivery(name, status, schedule, timezone, search, judged); err != nil {
		return nil, err
	}

	var events []Event
	if name != d.Name || schedule != d.Schedule || timezone != d.Timezone || search != d.Search {
		events = append(events, DeliveryUpdated{Delivery: c.ID, Name: name, Schedule: schedule, Timezone: timezone, Search: search})
	}
	if profile.Threshold != d.Profile.Threshold || !sameRules(profile.Rules, d.Profile.Rules) {
		events = append(events, RulesSet{Delivery: c.ID, Rules: profile.Rules, Threshold: profile.Threshold})
	}
	switch {
	case status == d.Status:
	case status == Paused:
		events = append(events, DeliveryPaused{Delivery: c.ID})
	default:
		events = append(events, DeliveryResumed{Delivery: c.ID})
	}
	return events, nil
}

// DeleteDelivery ends a delivery.
type DeleteDelivery struct {
	ID           DeliveryID
	Organisation OrganisationID
}

// Stream names the stream the command is about.
func (c DeleteDelivery) Stream() string { return DeliveryStream(c.ID) }

// Decide returns what the deletion adds.
func (c DeleteDelivery) Decide(d Delivery, _ time.Time) ([]Event, error) {
	if !d.Exists(c.Organisation) {
		return nil, errNoDelivery(c.ID)
	}
	return []Event{DeliveryDeleted{Delivery: c.ID}}, nil
}

// checkDelivery returns all that is wrong with a delivery's settings.
func checkDelivery(name string, status DeliveryStatus, schedule Schedule, timezone Timezone, search SearchID, profile rules.Profile) error {
	var f faults
	f.checkName("name", name, 1)
	if status != Active && status != Paused {
		f.add("status", status, "must be active or paused")
	}
	if schedule == "" {
		f.add("schedule", schedule, "%s", errNoSchedule)
	}
	f.checkTimetable(schedule, timezone)
	f.checkExternalID("prospect_search_id", string(search))
	f.checkProfile(profile)
	return f.err()
}

// or returns what p points to, or fallback when p is nil.
func or[T any](p *T, fallback T) T {
	if p == nil {
		return fallback
	}
	return *p
}
