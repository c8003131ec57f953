package rest_test

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/handlers/rest"
	"github.com/openprospect/delivery-ledger/projections"
)

const minPosition = "Ledger-Min-Position"

// hold keeps a read model where it is until the function that it returns is called.
func (f *fixtures) hold(tb testing.TB, model string) (release func()) {
	tb.Helper()
	tx, err := f.pool.Begin(tb.Context())
	require.NoError(tb, err)
	_, err = tx.Exec(tb.Context(), `SELECT FROM cursors WHERE name = $1 FOR UPDATE`, model)
	require.NoError(tb, err)
	return func() { _ = tx.Rollback(context.WithoutCancel(tb.Context())) } // a test whose lock stays fails
}

// rename gives a read model's tables other names, or their own again.
func (f *fixtures) rename(tb testing.TB, model projections.Projection, from, to string) {
	tb.Helper()
	for _, table := range model.Tables {
		_, err := f.pool.Exec(tb.Context(), `ALTER TABLE `+table+from+` RENAME TO `+table+to)
		require.NoError(tb, err)
	}
}

// reads returns the operations that read what a key may see.
func reads(t *testing.T, things map[string]string) []operation {
	t.Helper()
	var found []operation
	for _, op := range operations(t, things) {
		if op.method == http.MethodGet && !op.open {
			found = append(found, op)
		}
	}
	return found
}

func TestReadWaitsForThePositionThatItAsksFor(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	id := c.createDelivery(t, sampleDelivery)
	f.settled(t)
	release := f.hold(t, "companies")
	_, a := c.qualify(t, id, company("a"))
	position := a.header.Get("Ledger-Position")
	feed := "/api/v1/deliveries/" + id + "/companies"
	require.Empty(t, c.feed(t, id, ""), "who does not ask is not held up")

	for _, method := range []string{"GET", "HEAD"} {
		var released atomic.Bool
		time.AfterFunc(300*time.Millisecond, func() {
			released.Store(true)
			release()
		})
		a := c.call(t, http.StatusOK, method, feed, "", minPosition, position)
		require.True(t, released.Load(), "it waits")
		require.GreaterOrEqual(t, number(t, a.header.Get("Ledger-Position")), number(t, position), "it says how new it is")
		if method == "GET" {
			require.Len(t, a.items(t), 1)
			release = f.hold(t, "companies")
			_, a = c.qualify(t, id, company("b"))
			position = a.header.Get("Ledger-Position")
		}
	}
}

// number returns the whole number that text says.
func number(tb testing.TB, text string) int64 {
	tb.Helper()
	n, err := strconv.ParseInt(text, 10, 64)
	require.NoError(tb, err)
	return n
}

func TestReadWaitsForAWhileOnly(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	id := c.createDelivery(t, sampleDelivery)
	f.settled(t)
	before := c.call(t, http.StatusOK, "GET", "/api/v1/deliveries/"+id+"/companies", "").header.Get("Ledger-Position")
	defer f.hold(t, "companies")()
	_, a := c.qualify(t, id, company("a"))
	hasty := client{url: f.serve(t, func(cfg *rest.Config) { cfg.Patience = 200 * time.Millisecond }).URL, key: c.key}

	refused := hasty.call(t, http.StatusServiceUnavailable, "GET", "/api/v1/deliveries/"+id+"/companies", "", minPosition, a.header.Get("Ledger-Position"))
	require.Equal(t, "UNAVAILABLE", refused.field(t, "code"))
	require.Contains(t, refused.field(t, "message"), minPosition)
	require.Equal(t, "1", refused.header.Get("Retry-After"))
	c.call(t, http.StatusOK, "GET", "/api/v1/deliveries/"+id+"/companies", "", minPosition, before)
	c.call(t, http.StatusOK, "GET", "/api/v1/prospect-searches", "", minPosition, a.header.Get("Ledger-Position"))
}

func TestPositionsThatThereAreNot(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	things := c.things(t)
	f.settled(t)
	head, err := f.store.Head(t.Context())
	require.NoError(t, err)
	for _, op := range reads(t, things) {
		a := c.call(t, http.StatusOK, "GET", op.path, "", minPosition, strconv.FormatInt(int64(head), 10))
		if said := a.header.Get("Ledger-Position"); said != "" {
			require.Equal(t, int64(head), number(t, said), op.id)
		} else {
			require.Regexp(t, `/auth/|/audit/|/admin/`, op.path, "where it is made of nothing in the log")
		}
		c.call(t, http.StatusOK, "GET", op.path, "", minPosition, "0")
		for _, wrong := range []string{"x", "-1", "1.5", "", " ", "99999999999999999999", strconv.FormatInt(int64(head)+1, 10)} {
			a := c.call(t, http.StatusUnprocessableEntity, "GET", op.path, "", minPosition, wrong)
			require.Equal(t, []string{minPosition}, a.faults(t), "%s %q", op.id, wrong)
		}
	}
	a := c.call(t, http.StatusUnprocessableEntity, "GET", "/api/v1/deliveries?limit=0", "", minPosition, "x")
	require.ElementsMatch(t, []string{minPosition, "limit"}, a.faults(t), "all that is wrong is said at once")
	c.call(t, http.StatusCreated, "POST", "/api/v1/deliveries", sampleDelivery, minPosition, "x")
}

// TestReadWaitsForAllThatItIsMadeOf takes the read models away, one by one, to see which reads are
// made of them, and then holds them back: whoever is made of one waits for it.
func TestReadWaitsForAllThatItIsMadeOf(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	things := c.things(t)
	f.settled(t)
	hasty := client{url: f.serve(t, func(cfg *rest.Config) { cfg.Patience = 200 * time.Millisecond }).URL, key: c.key}
	for _, model := range projections.All() {
		made := map[string]bool{}
		f.rename(t, model, "", "_away")
		for _, op := range reads(t, things) {
			made[op.id] = c.send(t, "GET", op.path, "").status == http.StatusInternalServerError
		}
		f.rename(t, model, "_away", "")
		require.Contains(t, made, "listEvents")

		release := f.hold(t, model.Name)
		_, a := c.qualify(t, things["delivery_id"], company(model.Name))
		for _, op := range reads(t, things) {
			if made[op.id] {
				a := hasty.call(t, http.StatusServiceUnavailable, "GET", op.path, "", minPosition, a.header.Get("Ledger-Position"))
				require.Contains(t, a.field(t, "message"), minPosition, "%s is made of %s", op.id, model.Name)
			}
		}
		release()
		f.settled(t)
		require.Contains(t, strings.Join(mapTrue(made), " "), map[string]string{
			"deliveries": "listDeliveries", "companies": "listCompanies", "dispatches": "readDispatch", "history": "listEvents",
		}[model.Name])
	}
}

// mapTrue returns the keys of what is true.
func mapTrue(m map[string]bool) (keys []string) {
	for k, v := range m {
		if v {
			keys = append(keys, k)
		}
	}
	return keys
}
