package webhooks

import (
	"context"
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
	failures  pacer // of recording them
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
	w, ep, err := a.prepare(ctx, c)
	if err != nil {
		a.queue.answered(c)
	}
	var at eventstore.Position
	switch {
	case errors.Is(err, errGone):
		at, err = a.record(ctx, c, domain.CancelDispatch{
			Dispatch: c.Dispatch, Delivery: c.Delivery, Destination: c.Destination, Reason: errGone.Error(),
		})
	case err != nil:
		a.queue.finish(c, 0)
		return fmt.Errorf("prepare dispatch %s: %w", c.Dispatch, err)
	default:
		at, err = a.attempt(ctx, c, w, ep)
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
func (a *attempter) prepare(ctx context.Context, c claim) (w webhook, ep endpoint, err error) {
	if ep, err = a.endpoints.load(ctx, c.Destination, c.Config); err != nil {
		return w, ep, err
	}
	w, err = a.webhook(ctx, c)
	return w, ep, err
}

// attempt makes the attempt and returns the position of its outcome.
func (a *attempter) attempt(ctx context.Context, c claim, w webhook, ep endpoint) (eventstore.Position, error) {
	ctx, span := a.begin(ctx, c, w, ep)
	r := request{dispatch: c.Dispatch, origin: w.origin, attempt: c.attempt(), sequence: c.Sequence, body: w.body}
	r.trace = traceOf(ctx, r)
	got := a.cfg.Sender.send(ctx, ep, r)
	end(span, c, got)
	if got.fault != "" {
		a.failures.wait(a.queue.stopped)
	}
	a.queue.answered(c)
	at, err := a.record(ctx, c, domain.RecordAttempt{
		Attempt: domain.Attempt{
			Dispatch: c.Dispatch, HandOver: w.company.HandOver, Event: w.event, Delivery: c.Delivery, Destination: c.Destination,
			Config: ep.version, Number: c.attempt(), StartedAt: got.startedAt.UTC().Truncate(time.Microsecond),
			Microseconds: got.took.Microseconds(), RequestHeaders: got.sent, Status: got.status, ResponseHeaders: got.headers, ResponseBody: got.body,
			Organisation: c.Organisation,
		},
		Error: got.fault, RetryAfter: got.retryAfter, Retries: ep.Retries(a.cfg.Retries),
		Owed: w.owed,
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
	a.tell(ctx, c, w, r, got)
	if got.status == http.StatusGone {
		err = a.disable(ctx, c.Delivery, ep.Destination)
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
func (a *attempter) tell(ctx context.Context, c claim, w webhook, r request, got answer) {
	a.metrics.attempt(w, got)
	if a.cfg.Observe != nil {
		a.cfg.Observe(Report{
			HandOver: w.company, Event: w.event, Destination: c.Destination, Dispatch: c.Dispatch, Attempt: c.attempt(),
			Status: got.status, Fault: got.fault, Took: got.took,
		})
	}
	if !a.log.Enabled(ctx, slog.LevelInfo) {
		return
	}
	attrs := make([]slog.Attr, 0, 11)
	attrs = append(attrs,
		slog.String("dispatch", string(c.Dispatch)), w.attr(),
		slog.String("delivery", string(c.Delivery)), slog.String("destination", string(c.Destination)), slog.Int("attempt", c.attempt()),
		slog.String("outcome", string(got.outcome())), slog.Int("status", got.status), slog.Duration("took", got.took),
		slog.String("trace", r.trace.ID()))
	if got.fault != "" {
		attrs = append(attrs, slog.String("error", got.fault))
	}
	a.log.LogAttrs(ctx, slog.LevelInfo, "attempt", attrs...)
}
