package domain_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	. "github.com/openprospect/delivery-ledger/domain/domaintest" //nolint:revive // a test reads as the rule
)

// retry asks for the dispatch to be retried, of a delivery that has its destination.
func retry() domain.RetryDispatch {
	return domain.RetryDispatch{Dispatch: "dsp_1", Destination: "dst_1", Delivery: domain.Delivery{
		ID: dcf, Organisation: acme, Destinations: map[domain.DestinationID]domain.Destination{"dst_1": {ID: "dst_1"}},
	}}
}

// retriedAfter is what retrying records after n attempts.
func retriedAfter(n int) domain.DispatchRetried {
	return domain.DispatchRetried{Dispatch: "dsp_1", Delivery: dcf, Destination: "dst_1", Attempts: n}
}

func TestRetryDispatch(t *testing.T) {
	t.Parallel()
	_, succeeded := succeed(1)
	_, failed := fail(1, time.Minute)

	t.Run("what has ended is owed again", func(t *testing.T) {
		t.Parallel()
		When(t, Given(succeeded), retry()).Then(retriedAfter(1))
		When(t, Given(failed, failedAfter(1)), retry()).Then(retriedAfter(1))
		When(t, Given(cancelled), retry()).Then(retriedAfter(0))
		require.Equal(t, domain.Dispatch{Attempts: 1, Base: 1, Status: domain.Pending}, Fold[domain.Dispatch](t, Given(succeeded, retriedAfter(1))))
	})
	t.Run("what is owed is due now", func(t *testing.T) {
		t.Parallel()
		When(t, Given(), retry()).Then(retriedAfter(0))
		When(t, Given(failed), retry()).Then(retriedAfter(1))
	})
	t.Run("asking twice is asking once, until it is attempted", func(t *testing.T) {
		t.Parallel()
		When(t, Given(succeeded, retriedAfter(1)), retry()).Then()
		_, second := fail(2, time.Minute)
		When(t, Given(succeeded, retriedAfter(1), second), retry()).Then(retriedAfter(2))
	})
	t.Run("nothing goes to a destination that is gone", func(t *testing.T) {
		t.Parallel()
		elsewhere, over := retry(), retry()
		elsewhere.Destination, over.Delivery.Deleted = "dst_2", true
		for _, refused := range []domain.RetryDispatch{elsewhere, over} {
			for _, given := range [][]domain.Event{Given(), Given(succeeded), Given(cancelled)} {
				When(t, given, refused).Refused(domain.Conflict, "CONFLICT")
			}
		}
	})
}

func TestReplayRetriesWhatHasEnded(t *testing.T) {
	t.Parallel()
	_, succeeded := succeed(1)
	_, failed := fail(1, time.Minute)
	replay, replayed := retry(), retriedAfter(1)
	replay.Replay, replayed.Replay = "rpl_1", "rpl_1"
	When(t, Given(succeeded), replay).Then(replayed)
	for _, owed := range [][]domain.Event{Given(), Given(failed), Given(succeeded, retriedAfter(1)), Given(succeeded, replayed)} {
		When(t, owed, replay).Then()
	}
	When(t, Given(succeeded, replayed), retry()).Then(retriedAfter(1)) // whoever asks for this one need not wait for the job's others
}

func TestRetriesAreCountedAnewWhereTheDispatchWasRetried(t *testing.T) {
	t.Parallel()
	_, first := fail(1, time.Minute)
	log := Given(first, failedAfter(1), retriedAfter(1))
	for i, wait := range domain.DefaultRetries {
		failure, failed := fail(i+2, wait)
		When(t, log, failure).Then(failed)
		log = append(log, failed)
	}
	failure, failed := fail(7, 0)
	failed.Due = nil
	When(t, log, failure).Then(failed, failedAfter(7))
}

// An attempt that was under way when somebody asked for another is that attempt.
func TestOutcomeThatComesAfterTheRetryCounts(t *testing.T) {
	t.Parallel()
	_, first := fail(1, time.Minute)
	success, succeeded := succeed(2)
	succeeded.Owed = nil // since when it was owed first is no time to deliver
	failure, failed := fail(2, time.Minute)
	When(t, Given(first, retriedAfter(1)), success).Then(succeeded)
	When(t, Given(first, retriedAfter(1)), failure).Then(failed)

	late, _ := succeed(1) // of a worker that had lost its lease
	When(t, Given(first, failedAfter(1), retriedAfter(1)), late).Then()
}
