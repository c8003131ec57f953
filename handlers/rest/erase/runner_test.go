package erase_test

import (
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/handlers/rest/erase"
	"github.com/openprospect/delivery-ledger/projections"
	"github.com/openprospect/delivery-ledger/projections/projectionstest"
)

func TestAnErasedProspectIsFoundNowhere(t *testing.T) {
	t.Parallel()
	b := setup(t)
	d, second, other := b.delivery(t, ours), b.delivery(t, ours), b.delivery(t, theirs)
	h := b.tell(t, d, "c1", 60, "jane", "john")
	b.tell(t, second, "c1", 60, "jane")
	alone := b.tell(t, d, "c2", 70, "john")
	b.tell(t, d, "c3", 10, "jane", "joan")
	b.tell(t, other, "c1", 60, "jane")
	answered := b.answer(t, d, h, "stored Secret jane")
	unanswered := b.answer(t, d, alone, "stored Secret john")
	require.Equal(t, map[domain.CompanyID]string{"c1": string(list("jane", "john")), "c2": string(list("john"))}, b.feed(t, d))
	require.NoError(t, projections.RebuildInto(t.Context(), b.pool, b.reader(), projections.Companies(), "report", 12))
	sound := b.everything(t)
	require.Contains(t, sound, "Secret jane", "read models hold it")
	for _, stream := range []string{domain.HandOverStream(d.ID, "c1"), domain.HandOverStream(d.ID, "c3"), domain.DispatchStream(answered)} {
		_, data := b.opened(t, stream)
		require.NotContains(t, data, "Secret")
		require.NotContains(t, data, "knows")
	}

	counted, err := erase.NewFinder(b.store, b.views, b.reader().Keyring).Count(t.Context(), ours, domain.ErasureSubject{Prospect: "jane"}, "")
	require.NoError(t, err)
	require.Equal(t, domain.ErasureCounts{Prospects: 2, Companies: 2, Events: 3}, counted)
	b.run(t)
	shown := b.await(t, b.start(t, domain.ErasureSubject{Prospect: "jane"}))
	require.Equal(t, counted, shown.Counts)
	require.True(t, shown.Applied)

	require.Equal(t, map[domain.CompanyID]string{"c1": string(list("john")), "c2": string(list("john"))}, b.feed(t, d))
	require.Equal(t, map[domain.CompanyID]string{"c1": "[]"}, b.feed(t, second))
	require.Equal(t, map[domain.CompanyID]string{"c1": string(list("jane"))}, b.feed(t, other), "another organisation's stays")
	event, _ := b.opened(t, domain.HandOverStream(d.ID, "c1"))
	require.Equal(t, string(list("john")), string(event.(domain.CompanyQualified).Prospects))
	event, _ = b.opened(t, domain.HandOverStream(d.ID, "c3"))
	require.Equal(t, string(list("joan")), string(event.(domain.CompanyDisqualified).Prospects))
	require.Empty(t, event.(domain.CompanyDisqualified).Attributes)
	event, _ = b.opened(t, domain.DispatchStream(answered))
	require.Empty(t, event.(domain.AttemptFailed).ResponseBody)
	event, _ = b.opened(t, domain.DispatchStream(unanswered))
	require.Equal(t, "stored Secret john", event.(domain.AttemptFailed).ResponseBody)
	b.sound(t)
	_, err = b.pool.Exec(t.Context(), `DELETE FROM companies WHERE delivery_id = $1`, other.ID) // which has a jane of its own
	require.NoError(t, err)
	_, err = b.pool.Exec(t.Context(), `DELETE FROM report.companies WHERE delivery_id = $1`, other.ID)
	require.NoError(t, err)
	require.NotContains(t, b.everything(t), "Secret jane")
}

func TestAnErasureByEMailAddressTellsItNowhere(t *testing.T) {
	t.Parallel()
	b := setup(t)
	d := b.delivery(t, ours)
	b.tell(t, d, "c1", 60, "jane", "john")
	b.tell(t, d, "c2", 60, "john")
	id := domain.NewErasureID()
	secret := domain.ErasureSecret(id)
	require.NoError(t, b.vault.Put(t.Context(), string(secret), "MAIL.jane@ACME.com"))
	execute(t, b, domain.StartErasure{ID: id, Organisation: ours, Subject: domain.ErasureSubject{Email: secret}})
	b.run(t)
	require.Equal(t, domain.ErasureCounts{Prospects: 1, Companies: 1, Events: 1}, b.await(t, id).Counts)
	require.Equal(t, map[domain.CompanyID]string{"c1": string(list("john")), "c2": string(list("john"))}, b.feed(t, d))
	b.sound(t)
	all := strings.ToLower(b.everything(t))
	require.NotContains(t, all, "mail.jane")
	_, err := b.vault.Open(t.Context(), string(secret))
	require.ErrorContains(t, err, "there is none")
}

func TestAnErasureByCompanyIsOfAllThatWasToldOfIt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	d, second := b.delivery(t, ours), b.delivery(t, ours)
	b.tell(t, d, "c1", 10, "jane", "john")
	b.tell(t, d, "c1", 60, "jane")
	b.tell(t, second, "c1", 60, "joan")
	b.tell(t, d, "c2", 60, "jane")
	b.run(t)
	shown := b.await(t, b.start(t, domain.ErasureSubject{Company: "c1"}))
	require.Equal(t, domain.ErasureCounts{Prospects: 3, Companies: 1, Events: 3}, shown.Counts)
	require.Equal(t, map[domain.CompanyID]string{"c1": "[]", "c2": string(list("jane"))}, b.feed(t, d), "in another company she stays")
	require.Equal(t, map[domain.CompanyID]string{"c1": "[]"}, b.feed(t, second))
	b.sound(t)

	b.tell(t, d, "c3", 60, "jane")
	b.tell(t, second, "c1", 60, "joan") // was handed over: nothing comes of it
	again := b.delivery(t, ours)
	b.tell(t, again, "c1", 60, "joan")
	require.Equal(t, string(list("joan")), b.feed(t, again)["c1"], "who is told of again is there again")
	require.Zero(t, b.await(t, b.start(t, domain.ErasureSubject{Company: "nobody"})).Counts)
	b.sound(t)
}

func TestWhatWasRecordedInTheClearIsShownNoMore(t *testing.T) {
	t.Parallel()
	b := setup(t)
	d := b.delivery(t, ours)
	before := *b
	before.store = projectionstest.NewStore(t, b.pool) // as it was before there were keys
	h := before.tell(t, d, "c1", 60, "jane", "john")
	before.tell(t, d, "c2", 10, "jane")
	answered := before.answer(t, d, h, "stored Secret jane")
	b.tell(t, d, "c3", 60, "jane")
	b.run(t)
	shown := b.await(t, b.start(t, domain.ErasureSubject{Prospect: "jane"}))
	require.Equal(t, domain.ErasureCounts{Prospects: 3, Companies: 3, Events: 3, InClear: 2}, shown.Counts)
	require.Equal(t, map[domain.CompanyID]string{"c1": string(list("john")), "c3": "[]"}, b.feed(t, d))
	event, data := b.opened(t, domain.HandOverStream(d.ID, "c1"))
	require.Equal(t, string(list("john")), string(event.(domain.CompanyQualified).Prospects))
	require.Contains(t, data, "Secret jane", "the log cannot forget it")
	event, _ = b.opened(t, domain.HandOverStream(d.ID, "c2"))
	require.Equal(t, "[]", string(event.(domain.CompanyDisqualified).Prospects))
	require.Empty(t, event.(domain.CompanyDisqualified).Attributes)
	event, _ = b.opened(t, domain.DispatchStream(answered))
	require.Empty(t, event.(domain.AttemptFailed).ResponseBody)
	b.sound(t)
}

// Companies come from two processes, both with keys in memory, while prospects among them are erased by runners that are killed at
// every instant that comes by chance. Whatever came when: what is read is what a rebuild makes.
func TestErasuresUnderLoadLeaveWhatARebuildMakes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	d := b.delivery(t, ours)
	processes := []*bundle{b, b.another(t)}
	done := make(chan struct{})
	var writers sync.WaitGroup
	rest := sync.OnceFunc(func() {
		close(done)
		writers.Wait()
	})
	defer rest() // also when the test fails, or its database would be waited for without end
	for n, p := range processes {
		writers.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				default:
				}
				company := domain.CompanyID([]string{"a", "b"}[n] + time.Now().Format("150405.000000000"))
				h := p.tell(t, d, company, 40+i%3*10, []string{"p1", "p2", "p3", "p4"}[:1+i%4]...)
				if h.ID != "" && i%5 == 0 {
					p.answer(t, d, h, "stored Secret p1")
				}
				p.settle(t) // no faster than can be followed
			}
		})
	}
	kills, within := 0, 200*time.Millisecond
	for _, id := range []domain.ErasureID{
		b.start(t, domain.ErasureSubject{Prospect: "p1"}), b.start(t, domain.ErasureSubject{Prospect: "p3"}),
	} {
		for ; ; kills++ {
			stop := processes[kills%2].run(t)
			<-time.After(rand.N(within)) // the instant
			stop()
			within += within / 5 // on a slow machine an erasure takes many of the first
			if shown, err := b.views.Erasure(t.Context(), ours, id); err == nil && shown.Status == domain.ErasureDone {
				break
			}
			require.Less(t, kills, 50)
		}
	}
	rest()
	b.tell(t, d, "last", 60, "p1", "p2", "p3", "p4")
	b.run(t)
	b.sound(t)
	for _, id := range []string{"p1", "p2", "p3", "p4"} {
		shown := b.await(t, b.start(t, domain.ErasureSubject{Prospect: id}))
		require.Positive(t, shown.Counts.Events)
	}
	b.sound(t)
	require.NoError(t, projections.Rebuild(t.Context(), b.pool, b.reader(), projections.Companies()))
	b.sound(t)
	require.NotContains(t, b.everything(t), "Secret")
}

func TestWithoutKeysNothingIsBuilt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.tell(t, b.delivery(t, ours), "c1", 60, "jane")
	b.settle(t)
	require.ErrorContains(t, projections.Rebuild(t.Context(), b.pool, b.store.Registry(), projections.Companies()), "there is no key")
	_, err := projections.Compare(t.Context(), b.pool, b.store.Registry(), projections.Companies())
	require.ErrorContains(t, err, "there is no key")
	require.NoError(t, projections.Rebuild(t.Context(), b.pool, b.store.Registry(), projections.Dispatches()))
	_, err = eventstore.Verify(t.Context(), b.pool, func(_, _ eventstore.Position) {})
	require.NoError(t, err)
}
