package domaintest_test

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/domain/domaintest"
)

var (
	paused  = domain.DeliveryPaused{Delivery: "dcf_1"}
	resumed = domain.DeliveryResumed{Delivery: "dcf_1"}
)

func TestWhenTellsRulesThatHold(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		decide decide
		judge  func(domaintest.Outcome)
		says   string // why it fails; empty: it holds
	}{
		"events as expected":   {adds(paused), func(o domaintest.Outcome) { o.Then(paused) }, ""},
		"other events":         {adds(resumed), func(o domaintest.Outcome) { o.Then(paused) }, "Not equal"},
		"one event too many":   {adds(paused, paused), func(o domaintest.Outcome) { o.Then(paused) }, "Not equal"},
		"nothing as expected":  {adds(), func(o domaintest.Outcome) { o.Then() }, ""},
		"something, not none":  {adds(paused), func(o domaintest.Outcome) { o.Then() }, "Should be empty"},
		"refused, not decided": {refuses("url"), func(o domaintest.Outcome) { o.Then() }, "Received unexpected error"},
		"decided, not refused": {adds(paused), func(o domaintest.Outcome) { o.Refused(domain.Invalid, "VALIDATION_ERROR") }, "error"},
		"refused as expected":  {refuses("url"), func(o domaintest.Outcome) { o.Refused(domain.Invalid, "VALIDATION_ERROR") }, ""},
		"refused otherwise":    {refuses("url"), func(o domaintest.Outcome) { o.Refused(domain.NotFound, "VALIDATION_ERROR") }, "Not equal"},
		"faults in any order":  {refuses("url", "name"), func(o domaintest.Outcome) { o.Faults("name", "url") }, ""},
		"one fault not found":  {refuses("url"), func(o domaintest.Outcome) { o.Faults("name", "url") }, "elements differ"},
		"one fault too many":   {refuses("url", "name"), func(o domaintest.Outcome) { o.Faults("url") }, "elements differ"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			said := judge(func(r *recorder) { c.judge(domaintest.When(r, domaintest.Given(), c.decide)) })
			require.Contains(t, said, c.says)
			require.Equal(t, c.says == "", said == "", said)
		})
	}
}

func TestWhenFindsWhatIsNotPure(t *testing.T) {
	t.Parallel()
	calls := 0
	for name, c := range map[string]struct {
		command domaintest.Command[ledger]
		says    string
	}{
		"deciding counts its calls": {decide(func(ledger) ([]domain.Event, error) {
			calls++
			return []domain.Event{domain.DeliveryPaused{Delivery: domain.DeliveryID(strconv.Itoa(calls))}}, nil
		}), "deciding again gives the same events"},
		"deciding changes the state": {decide(func(l ledger) ([]domain.Event, error) {
			l.seen["decided"] = true
			return nil, nil
		}), "deciding does not change the state"},
		"folding changes an earlier state": {adds(resumed), "folding does not change the earlier state"},
		"a refusal adds events": {decide(func(ledger) ([]domain.Event, error) {
			return []domain.Event{paused}, domain.Errorf(domain.Conflict, "CONFLICT", "no")
		}), "what is refused adds nothing"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			said := judge(func(r *recorder) { domaintest.When(r, domaintest.Given(paused), c.command) })
			require.Contains(t, said, c.says)
		})
	}
}

// ledger is a state whose copies share a map: it opens with DeliveryPaused, and folds
// everything else in the wrong way.
type ledger struct{ seen map[string]bool }

func (l ledger) Evolve(event domain.Event) ledger {
	if l.seen == nil {
		l.seen = map[string]bool{}
	}
	if event != domain.Event(paused) {
		l.seen[event.EventType()] = true
	}
	return l
}

// decide is a command that is a function.
type decide func(ledger) ([]domain.Event, error)

func (decide) Stream() string { return "delivery/dcf_1" }

func (d decide) Decide(l ledger, _ time.Time) ([]domain.Event, error) { return d(l) }

// adds returns a command that adds events.
func adds(events ...domain.Event) decide {
	return func(ledger) ([]domain.Event, error) { return events, nil }
}

// refuses returns a command that finds fault with fields.
func refuses(fields ...string) decide {
	refusal := &domain.Error{Kind: domain.Invalid, Code: "VALIDATION_ERROR", Message: "no"}
	for _, field := range fields {
		refusal.Faults = append(refusal.Faults, domain.Fault{Field: field, Error: "is wrong"})
	}
	return func(ledger) ([]domain.Event, error) { return nil, refusal }
}

// recorder is a test that writes down why it failed.
type recorder struct{ said string }

// failed is what a recorder panics with, to stop as a test does.
type failed struct{}

func (r *recorder) Helper()                           {}
func (r *recorder) FailNow()                          { panic(failed{}) }
func (r *recorder) Errorf(format string, args ...any) { r.said += fmt.Sprintf(format, args...) }

// judge returns what a test that runs f says when it fails.
func judge(f func(*recorder)) (said string) {
	r := &recorder{}
	defer func() {
		if p := recover(); p != nil && p != (failed{}) {
			panic(p)
		}
		said = r.said
	}()
	f(r)
	return r.said
}
