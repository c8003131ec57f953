package webhooks

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
)

// A Tester sends destinations a webhook by which their owners see that they work: a
// delivery.test about a company that does not exist. It is safe for concurrent use.
type Tester struct {
	store  *eventstore.Store
	vault  Vault
	sender *Sender
}

// NewTester returns a tester that sends as attempts are sent.
func NewTester(store *eventstore.Store, vault Vault, sender *Sender) *Tester {
	return &Tester{store: store, vault: vault, sender: sender}
}

// recordTimeout bounds the recording of a test that was made.
const recordTimeout = 5 * time.Second

// Test sends d, of that delivery, one webhook, and records what came of it, also when ctx ends
// meanwhile. It takes as long as the destination's time-out at most. A test that fails is tested all
// the same: an error means that nothing could be sent, or what came of it could not be recorded.
func (t *Tester) Test(ctx context.Context, delivery domain.DeliveryID, d domain.Destination) (domain.DestinationTested, eventstore.Commit, error) {
	ep, err := open(ctx, t.vault, d, t.sender.now)
	if err != nil {
		return domain.DestinationTested{}, eventstore.Commit{}, fmt.Errorf("test destination %s: %w", d.ID, err)
	}
	id, handOver := domain.NewTestID(), sampleHandOver(delivery)
	body, err := domain.NewPayload("delivery.test", handOver, t.sender.now())
	if err != nil {
		return domain.DestinationTested{}, eventstore.Commit{}, err
	}
	ctx = context.WithoutCancel(ctx)
	r := request{dispatch: domain.DispatchID(id), origin: string(handOver.HandOver), attempt: 1, body: body}
	r.trace = traceOf(ctx, r)
	got := t.sender.send(ctx, ep, r)
	ctx, cancel := context.WithTimeout(ctx, recordTimeout)
	defer cancel()
	tested := domain.DestinationTested{
		Test: id, Delivery: delivery, Destination: d.ID,
		StartedAt: got.startedAt.UTC().Truncate(time.Microsecond), Microseconds: got.took.Microseconds(),
		Status: got.status, ResponseHeaders: got.headers, ResponseBody: got.body, Error: got.fault,
	}
	o, err := eventstore.Execute(ctx, t.store, domain.RecordTest(tested))
	if err != nil {
		return tested, o.Commit, fmt.Errorf("record test of destination %s: %w", d.ID, err)
	}
	return tested, o.Commit, nil
}

// sampleHandOver returns the hand-over that a test tells of: one of its own, of the company in
// the documentation.
func sampleHandOver(delivery domain.DeliveryID) domain.CompanyQualified {
	return domain.CompanyQualified{
		HandOver: domain.NewHandOverID(), Delivery: delivery, CompanyID: "comp_xyz789",
		Company: json.RawMessage(`{"id":"comp_xyz789","name":"Acme Corp","domain":"acme.com","industry":"Software","size":"50-200",` +
			`"location":"San Francisco, CA","linkedin_url":"https://linkedin.com/company/acme-corp","technologies":["HubSpot","AWS","React"]}`),
		Prospects: json.RawMessage(`[{"id":"pros_456def","first_name":"Jane","last_name":"Doe","title":"CTO",` +
			`"email":"jane.doe@acme.com","linkedin_url":"https://linkedin.com/in/janedoe"}]`),
		Score: 85, MatchReasons: []string{"Uses HubSpot", "Revenue > $10M", "Decision Maker found"},
	}
}
