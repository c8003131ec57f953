package webhooks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
)

// attempter makes the attempts that the subscriber hands out.
type attempter struct {
	cfg       Config
	queue     *subscriber
	endpoints *endpoints
	metrics   *metrics
	log       *slog.Logger
}

// handle makes one attempt and records what came of it. It fails only when that could not be
// recorded; then the lease expires and somebody attempts again.
func (a *attempter) handle(msg *message.Message) error {
	ctx := msg.Context()
	c, ok := ctx.Value(claimKey{}).(claim)
	if !ok {
		return fmt.Errorf("message %s is no claim", msg.UUID)
	}
	ctx = eventstore.WithMetadata(ctx, eventstore.Metadata{Actor: "attempter"})
	handOver, ep, body, err := a.prepare(ctx, c)
	if err != nil {
		a.queue.answered(c)
	}
	var at eventstore.Position
	switch {
	case errors.Is(err, errGone):
		at, err = a.record(ctx, c, domain.CancelDispatch{
			Dispatch: c.Dispatch, Delivery: handOver.Delivery, Destination: c.Destination, Reason: errGone.Error(),
		})
	case err != nil:
		a.queue.finish(c, 0)
		return fmt.Errorf("prepare dispatch %s: %w", c.Dispatch, err)
	default:
		at, err = a.attempt(ctx, c, handOver, ep, body)
	}
	if err != nil {
		a.queue.abandon(c)
		return fmt.Errorf("record dispatch %s: %w", c.Dispatch, err)
	}
	a.queue.finish(c, at)
	return nil
}

// prepare returns what the attempt needs. Its error is errGone when the destination is no
// more.
func (a *attempter) prepare(ctx context.Context, c claim) (handOver domain.CompanyQualified, ep endpoint, body []byte, err error) {
	if err := json.Unmarshal(c.Data, &handOver); err != nil {
		return handOver, ep, nil, fmt.Errorf("read hand-over: %w", err)
	}
	if ep, err = a.endpoints.load(ctx, c.Destination, c.Config); err != nil {
		return handOver, ep, nil, err
	}
	body, err = handOver.Payload(c.RecordedAt)
	return handOver, ep, body, err
}

// attempt makes the attempt and returns the position of its outcome.
func (a *attempter) attempt(ctx context.Context, c claim, handOver domain.CompanyQualified, ep endpoint, body []byte) (eventstore.Position, error) {
	ctx, span := a.begin(ctx, c, handOver, ep)
	r := request{dispatch: c.Dispatch, handOver: handOver.HandOver, attempt: c.attempt(), sequence: c.Sequence, body: body}
	r.trace = traceOf(ctx, r)
	got := a.cfg.Sender.send(ctx, ep, r)
	end(span, c, got)
	a.queue.answered(c)
	at, err := a.record(ctx, c, domain.RecordAttempt{
		Attempt: domain.Attempt{
			Dispatch: c.Dispatch, HandOver: handOver.HandOver, Delivery: handOver.Delivery, Destination: c.Destination,
			Config: ep.version, Number: c.attempt(), StartedAt: got.startedAt.UTC().Truncate(time.Microsecond),
			Microseconds: got.took.Microseconds(), RequestHeaders: got.sent, Status: got.status, ResponseHeaders: got.headers, ResponseBody: got.body,
		},
		Error: got.fault, RetryAfter: got.retryAfter, Retries: ep.Retries(a.cfg.Retries),
		Owed: new(handOver.OwedSince(c.RecordedAt).UTC()),
	})
	if err != nil {
		return 0, err
	}
	if at == 0 {
		a.lose(ctx, c)
		head, _ := a.cfg.Store.Mark("").Next() // the outcome that was first is no later
		return head, nil
	}
	if late := a.cfg.Now().Sub(c.leased) - time.Duration(ep.TimeoutSeconds)*time.Second; late > leaseMargin {
		a.metrics.lost.WithLabelValues(lostExpired).Inc()
	}
	a.tell(ctx, c, handOver, r, got)
	if got.status == http.StatusGone {
		err = a.disable(ctx, handOver.Delivery, ep.Destination)
	}
	return at, err
}

// record executes a command about the claimed dispatch, whose state the claim tells: as far as a
// command decides on it. Where somebody asked for a retry meanwhile, it is read again. It
// returns the position at which the read model will show what became of the dispatch.
func (a *attempter) record(ctx context.Context, c claim, cmd eventstore.Command[domain.Dispatch, domain.Event]) (eventstore.Position, error) {
	known := eventstore.Known[domain.Dispatch]{State: domain.Dispatch{Attempts: c.Attempts, Base: c.Base}, Version: c.Version}
	o := eventstore.ExecuteEach(ctx, a.cfg.Store, []eventstore.Plan[domain.Dispatch, domain.Event]{{Command: cmd, Known: known}})[0]
	return o.Commit.Position, o.Err
}

// disable holds what is owed to a destination that answered 410 Gone.
func (a *attempter) disable(ctx context.Context, delivery domain.DeliveryID, gone domain.Destination) error {
	_, err := eventstore.Execute(ctx, a.cfg.Store, domain.DisableDestination{
		Delivery: delivery, Destination: gone.ID, URL: gone.URL, Reason: "it answered 410 Gone",
	})
	return err
}

// lose reports an attempt whose outcome was refused, since that of another worker is in the log.
func (a *attempter) lose(ctx context.Context, c claim) {
	a.metrics.lost.WithLabelValues(lostRefused).Inc()
	a.log.LogAttrs(ctx, slog.LevelWarn, "attempt lost its lease",
		slog.String("dispatch", string(c.Dispatch)), slog.String("destination", string(c.Destination)), slog.Int("attempt", c.attempt()))
}

// tell reports an attempt that was recorded: in one line of the log, in the metrics, and to
// who asked for it.
func (a *attempter) tell(ctx context.Context, c claim, handOver domain.CompanyQualified, r request, got answer) {
	a.metrics.attempt(c, handOver, got)
	if a.cfg.Observe != nil {
		a.cfg.Observe(Report{
			HandOver: handOver, Destination: c.Destination, Dispatch: c.Dispatch, Attempt: c.attempt(),
			Status: got.status, Fault: got.fault, Took: got.took,
		})
	}
	if !a.log.Enabled(ctx, slog.LevelInfo) {
		return
	}
	attrs := make([]slog.Attr, 0, 11)
	attrs = append(attrs,
		slog.String("dispatch", string(c.Dispatch)), slog.String("hand_over", string(handOver.HandOver)),
		slog.String("delivery", string(handOver.Delivery)), slog.String("destination", string(c.Destination)),
		slog.String("company", string(handOver.CompanyID)), slog.Int("attempt", c.attempt()),
		slog.String("outcome", string(got.outcome())), slog.Int("status", got.status), slog.Duration("took", got.took),
		slog.String("trace", r.trace.ID()))
	if got.fault != "" {
		attrs = append(attrs, slog.String("error", got.fault))
	}
	a.log.LogAttrs(ctx, slog.LevelInfo, "attempt", attrs...)
}
