package rest

import (
	"context"
	"time"

	"github.com/openprospect/delivery-ledger/domain"
)

// sendsWebhook is the operation that takes a destination's time.
const sendsWebhook = "testDestination"

// longestTest is how long a destination may take to answer a test, at most.
const longestTest = 60 * time.Second

// TestDestination sends a destination a test, and answers with what came of it.
func (s *Server) TestDestination(ctx context.Context, r TestDestinationRequestObject) (TestDestinationResponseObject, error) {
	delivery := domain.DeliveryID(r.DeliveryID)
	dst, err := s.tested(ctx, delivery, domain.DestinationID(r.DestinationID))
	if err != nil {
		return nil, err
	}
	test, commit, err := s.cfg.Tester.Test(ctx, delivery, dst)
	if err != nil {
		return nil, err
	}
	shown := DestinationTest{
		ID: string(test.Test), DestinationID: string(test.Destination), Success: test.Error == "", StartedAt: test.StartedAt,
		DurationMs: float64(test.Microseconds) / 1000, Status: optional(test.Status),
		ResponseBody: optional(test.ResponseBody), Error: optional(test.Error),
	}
	if len(test.ResponseHeaders) > 0 {
		shown.ResponseHeaders = &test.ResponseHeaders
	}
	return TestDestination200JSONResponse{Body: shown, Headers: TestDestination200ResponseHeaders{LedgerPosition: position(commit)}}, nil
}

// tested returns the destination that is to be tested, as it stands.
func (s *Server) tested(ctx context.Context, delivery domain.DeliveryID, id domain.DestinationID) (domain.Destination, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Patience)
	defer cancel()
	stream := domain.DeliveryStream(delivery)
	s.deliveries.Forget(stream)
	known, err := s.deliveries.Load(ctx, stream)
	if err != nil {
		return domain.Destination{}, err
	}
	return known.State.Tested(organisation(ctx), delivery, id)
}
