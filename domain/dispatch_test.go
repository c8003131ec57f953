package domain_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/openprospect/delivery-ledger/domain"
	. "github.com/openprospect/delivery-ledger/domain/domaintest" //nolint:revive // a test reads as the rule
)

// attempt returns the n-th attempt, which the destination answered with status.
func attempt(n, status int) domain.Attempt {
	return domain.Attempt{
		Dispatch: "dsp_1", HandOver: "del_1", Delivery: dcf, Destination: "dst_1", Config: 2,
		Number: n, StartedAt: Now().Add(-time.Second), Microseconds: 187_420, Status: status,
	}
}

// succeed returns the n-th attempt as a success, and what it records.
func succeed(n int) (domain.RecordAttempt, domain.AttemptSucceeded) {
	a, owed := attempt(n, 200), new(Now().Add(-time.Minute))
	return domain.RecordAttempt{Attempt: a, Retries: domain.DefaultRetries, Owed: owed}, domain.AttemptSucceeded{Attempt: a, Owed: owed}
}

// fail returns the n-th attempt as a failure, and what it records: the next is due after
// wait.
func fail(n int, wait time.Duration) (domain.RecordAttempt, domain.AttemptFailed) {
	a := attempt(n, 503)
	return domain.RecordAttempt{Attempt: a, Error: "it answered 503", Retries: domain.DefaultRetries},
		domain.AttemptFailed{Attempt: a, Error: "it answered 503", Due: new(Now().Add(wait))}
}

// failedAfter ends the dispatch after n attempts.
func failedAfter(n int) domain.DispatchFailed {
	return domain.DispatchFailed{Dispatch: "dsp_1", Delivery: dcf, Destination: "dst_1", Attempts: n, HandOver: "del_1", Error: "it answered 503"}
}

var cancelled = domain.DispatchCancelled{Dispatch: "dsp_1", Delivery: dcf, Destination: "dst_1", Reason: "the destination was removed"}

func TestRecordAttempt(t *testing.T) {
	t.Parallel()
	success, succeeded := succeed(1)
	failure, failed := fail(1, time.Minute)

	t.Run("a success delivers", func(t *testing.T) {
		t.Parallel()
		When(t, Given(), success).Then(succeeded)
	})
	t.Run("a success may come late", func(t *testing.T) {
		t.Parallel()
		success, succeeded := succeed(2)
		When(t, Given(failed), success).Then(succeeded)
	})
	t.Run("a failure is tried again", func(t *testing.T) {
		t.Parallel()
		When(t, Given(), failure).Then(failed)
	})
	t.Run("the same outcome twice records nothing", func(t *testing.T) {
		t.Parallel()
		When(t, Given(failed), failure).Then()
		When(t, Given(succeeded), success).Then()
	})
	t.Run("another outcome of the same attempt records nothing", func(t *testing.T) {
		t.Parallel()
		When(t, Given(failed), success).Then()
	})
	t.Run("an outcome that comes late records nothing", func(t *testing.T) {
		t.Parallel()
		_, second := fail(2, 5*time.Minute)
		When(t, Given(failed, second), success).Then()
	})
	t.Run("nothing follows what is settled", func(t *testing.T) {
		t.Parallel()
		lateSuccess, _ := succeed(7)
		lateFailure, _ := fail(7, time.Hour)
		for _, settled := range [][]domain.Event{Given(succeeded), Given(failed, failedAfter(1)), Given(failed, cancelled), Given(cancelled)} {
			When(t, settled, lateSuccess).Then()
			When(t, settled, lateFailure).Then()
		}
	})
	t.Run("410 Gone fails at once", func(t *testing.T) {
		t.Parallel()
		failure, failed := failure, failed
		failure.Attempt.Status, failed.Attempt.Status, failed.Due = 410, 410, nil
		failure.RetryAfter = time.Hour
		When(t, Given(), failure).Then(failed, failedAfter(1))
	})
	t.Run("no answer at all is tried again", func(t *testing.T) {
		t.Parallel()
		failure, failed := failure, failed
		failure.Attempt.Status, failed.Attempt.Status = 0, 0
		When(t, Given(), failure).Then(failed)
	})
}

// The contract, section 7: five retries, six attempts in all.
func TestRetriesAreThosePromised(t *testing.T) {
	t.Parallel()
	var log []domain.Event
	for i, wait := range []time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour, 6 * time.Hour} {
		failure, failed := fail(i+1, wait)
		When(t, log, failure).Then(failed)
		log = append(log, failed)
		require.Equal(t, domain.Dispatch{Attempts: i + 1, Status: domain.Retrying}, Fold[domain.Dispatch](t, log))
	}
	failure, failed := fail(6, 0)
	failed.Due = nil
	When(t, log, failure).Then(failed, failedAfter(6))
	require.Equal(t, domain.Dispatch{Attempts: 6, Status: domain.Failed}, Fold[domain.Dispatch](t, append(log, failed, failedAfter(6))))
}

func TestRetriesOfADestinationsOwnSchedule(t *testing.T) {
	t.Parallel()
	own := domain.RetrySchedule{10 * time.Second}

	first, failed := fail(1, 10*time.Second)
	first.Retries = own
	When(t, Given(), first).Then(failed)

	second, failedAgain := fail(2, 0)
	second.Retries, failedAgain.Due = own, nil
	When(t, Given(failed), second).Then(failedAgain, failedAfter(2))

	t.Run("one that was shortened meanwhile ends the dispatch", func(t *testing.T) {
		t.Parallel()
		failure, failedLast := fail(4, 0)
		_, third := fail(3, time.Hour)
		failure.Retries, failedLast.Due = own, nil
		When(t, Given(third), failure).Then(failedLast, failedAfter(4))
	})
	t.Run("one without waits has a single attempt", func(t *testing.T) {
		t.Parallel()
		failure, failed := fail(1, 0)
		failure.Retries, failed.Due = nil, nil
		When(t, Given(), failure).Then(failed, failedAfter(1))
	})
}

func TestRetryAfterIsHonoured(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ asked, wait time.Duration }{
		"longer than the schedule":  {time.Hour, time.Hour},
		"shorter than the schedule": {time.Second, time.Minute},
		"as the schedule":           {time.Minute, time.Minute},
		"a day":                     {24 * time.Hour, 24 * time.Hour},
		"over a day":                {24*time.Hour + 1, 24 * time.Hour},
		"a year":                    {365 * 24 * time.Hour, 24 * time.Hour},
		"in the past":               {-time.Hour, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			failure, failed := fail(1, c.wait)
			failure.RetryAfter = c.asked
			When(t, Given(), failure).Then(failed)
		})
	}
	t.Run("not after the last attempt", func(t *testing.T) {
		t.Parallel()
		_, fifth := fail(5, 6*time.Hour)
		failure, failed := fail(6, 0)
		failure.RetryAfter, failed.Due = time.Hour, nil
		When(t, Given(fifth), failure).Then(failed, failedAfter(6))
	})
}

func TestCancelDispatch(t *testing.T) {
	t.Parallel()
	cancel := domain.CancelDispatch(cancelled)
	_, succeeded := succeed(1)
	_, failed := fail(1, time.Minute)

	When(t, Given(), cancel).Then(cancelled)
	When(t, Given(failed), cancel).Then(cancelled)
	When(t, Given(cancelled), cancel).Then()
	When(t, Given(succeeded), cancel).Then()
	When(t, Given(failed, failedAfter(1)), cancel).Then()
	require.Equal(t, domain.Dispatch{Attempts: 1, Status: domain.Cancelled}, Fold[domain.Dispatch](t, Given(failed, cancelled)))
}

func TestSettled(t *testing.T) {
	t.Parallel()
	for status, settled := range map[domain.DispatchStatus]bool{
		"": false, domain.Pending: false, domain.Retrying: false, domain.Held: false,
		domain.Delivered: true, domain.Failed: true, domain.Cancelled: true,
	} {
		require.Equal(t, settled, domain.Dispatch{Status: status}.Settled(), "%q", status)
	}
}

func TestCommandsOnADispatchShareItsStream(t *testing.T) {
	t.Parallel()
	success, _ := succeed(1)
	require.Equal(t, "dispatch/dsp_1", success.Stream())
	require.Equal(t, "dispatch/dsp_1", domain.CancelDispatch(cancelled).Stream())
}

// Whatever the destination answers, and however often workers report it: a dispatch has
// at most one attempt more than its schedule has waits, each due after the one before,
// and ends once.
func TestDispatchAlwaysEnds(t *testing.T) {
	t.Parallel()
	wait := rapid.Int64Range(int64(time.Second), int64(24*time.Hour))
	rapid.Check(t, func(t *rapid.T) {
		var schedule domain.RetrySchedule
		for _, ns := range rapid.SliceOfN(wait, 0, 8).Draw(t, "schedule") {
			schedule = append(schedule, time.Duration(ns))
		}
		var log []domain.Event
		now, settled := Now(), false
		for !settled {
			before := Fold[domain.Dispatch](t, log)
			report := domain.RecordAttempt{
				Attempt:    attempt(before.Attempts+1, rapid.SampledFrom([]int{0, 200, 404, 410, 429, 503}).Draw(t, "status")),
				RetryAfter: time.Duration(rapid.Int64Range(-1, int64(48*time.Hour)).Draw(t, "retry after")),
				Retries:    schedule,
			}
			if report.Attempt.Status != 200 {
				report.Error = "it did not answer 200"
			}
			events, err := report.Decide(before, now)
			require.NoError(t, err)
			log = append(log, events...)
			after := Fold[domain.Dispatch](t, log)
			require.Equal(t, before.Attempts+1, after.Attempts)
			require.LessOrEqual(t, after.Attempts, len(schedule)+1)

			// Any report that is late is of no effect.
			report.Attempt.Number = rapid.IntRange(-1, after.Attempts).Draw(t, "late")
			late, err := report.Decide(after, now)
			require.NoError(t, err)
			require.Empty(t, late)

			settled = after.Settled()
			ended := failedAfter(after.Attempts)
			ended.Error = report.Error
			require.Equal(t, after.Status == domain.Failed, events[len(events)-1] == domain.Event(ended))
			due := dueOf(events)
			require.Equal(t, settled, due == nil, "what is not settled is due, what is settled is not")
			if due != nil {
				require.False(t, due.Before(now.Add(schedule[after.Attempts-1])), "no attempt comes before its wait")
				require.False(t, due.After(now.Add(24*time.Hour)), "no attempt comes later than a day")
				now = due.Add(time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "lag")))
			}
		}
		next := domain.RecordAttempt{Attempt: attempt(len(log)+1, 200), Retries: schedule}
		events, err := next.Decide(Fold[domain.Dispatch](t, log), now)
		require.NoError(t, err)
		require.Empty(t, events)
	})
}

// dueOf returns when the next attempt is due, and nil when none is.
func dueOf(events []domain.Event) *time.Time {
	i := slices.IndexFunc(events, func(e domain.Event) bool { return e.EventType() == "attempt.failed" })
	if i < 0 {
		return nil
	}
	return events[i].(domain.AttemptFailed).Due
}

func TestWhatIsOwedIsCancelledWithItsDestinationUnlessAnAttemptUnderWaySucceeds(t *testing.T) {
	t.Parallel()
	owed := domain.Dispatch{Attempts: 1, Status: domain.Retrying}
	gone := owed.Abandoned()
	require.Equal(t, domain.Dispatch{Attempts: 1, Status: domain.Cancelled}, gone)
	failed := gone.Evolve(domain.AttemptFailed{Attempt: domain.Attempt{Number: 2}}).Evolve(domain.DispatchFailed{Attempts: 2})
	require.Equal(t, domain.Dispatch{Attempts: 2, Status: domain.Cancelled}, failed)
	require.Equal(t, domain.Delivered, gone.Evolve(domain.AttemptSucceeded{Attempt: domain.Attempt{Number: 2}}).Status)
	for _, ended := range []domain.DispatchStatus{domain.Delivered, domain.Failed, domain.Cancelled} {
		require.Equal(t, ended, domain.Dispatch{Status: ended}.Abandoned().Status)
	}
	require.Equal(t, domain.Cancelled, domain.Dispatch{}.Abandoned().Status)
}

func TestAHandOverHasTheStatusOfWhatIsUnderWayThenOfWhatWentWrong(t *testing.T) {
	t.Parallel()
	order := []domain.DispatchStatus{domain.Retrying, domain.Pending, domain.Held, domain.Failed, domain.Delivered, domain.Cancelled}
	for i, status := range order {
		rest := slices.Clone(order[i:])
		slices.Reverse(rest)
		require.Equal(t, status, domain.StatusOf(rest))
	}
	require.Equal(t, domain.Delivered, domain.StatusOf(nil), "nothing is pushed")
}
