package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/openprospect/delivery-ledger/migrations/testdb"
)

// page is a page of a feed.
type page struct {
	Items []struct {
		ID          string `json:"id"`
		DeliveredAt string `json:"delivered_at"`
	} `json:"items"`
	Total      int    `json:"total"`
	NextCursor string `json:"next_cursor"`
}

// page returns a page of a feed.
func (c client) page(ctx context.Context, feed string, query url.Values) (page, error) {
	var p page
	status, _, answer, err := c.do(ctx, http.MethodGet, "/api/v1/deliveries/"+feed+"/companies?"+query.Encode(), "", "")
	if err != nil {
		return p, err
	}
	if status != http.StatusOK {
		return p, fmt.Errorf("%d %s", status, answer)
	}
	return p, json.Unmarshal(answer, &p)
}

// sync pulls a feed in pages of seven, as a customer does who comes again and again, until a
// page is empty that was asked for after the feed was complete. It asks for what next says
// comes after the page before.
func (c client) sync(ctx context.Context, feed string, complete *atomic.Bool, next func(page, url.Values)) (companies []string, err error) {
	query := url.Values{"limit": {"7"}}
	seen := map[string]bool{}
	for {
		last := complete.Load()
		p, err := c.page(ctx, feed, query)
		switch {
		case err != nil:
			return companies, err
		case len(p.Items) > 0:
			for _, item := range p.Items {
				if seen[item.ID] {
					return companies, fmt.Errorf("%s comes twice, after %d companies, at %v", item.ID, len(companies), query)
				}
				seen[item.ID] = true
				companies = append(companies, item.ID)
			}
			next(p, query)
		case last:
			return companies, nil
		}
	}
}

// bySince asks for what was delivered after the last company.
func bySince(p page, query url.Values) {
	query.Set("delivered_since", p.Items[len(p.Items)-1].DeliveredAt)
}

// byCursor asks for what the last page says is next.
func byCursor(p page, query url.Values) { query.Set("cursor", p.NextCursor) }

// ingest sends companies from several writers, 50 in a request, as arrays and as lines.
func (c client) ingest(ctx context.Context, delivery string, writers, each int) error {
	const batch = 50
	g, ctx := errgroup.WithContext(ctx)
	for w := range writers {
		g.Go(func() error {
			for from := w * each; from < (w+1)*each; from += batch {
				items := make([]string, batch)
				for i := range items {
					items[i] = qualification(company(from + i))
				}
				contentType, body := "application/json", "["+strings.Join(items, ",")+"]"
				if w%2 == 1 {
					contentType, body = "application/x-ndjson", strings.Join(items, "\n")
				}
				status, _, answer, err := c.do(ctx, http.MethodPost, "/api/v1/deliveries/"+delivery+"/qualifications", contentType, body)
				if err != nil {
					return err
				}
				if status != http.StatusOK || !strings.HasPrefix(string(answer), fmt.Sprintf(`{"accepted":%d,`, batch)) {
					return fmt.Errorf("%d %s", status, answer)
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// awaitTotal waits until a feed has so many companies, and then sets complete.
func (c client) awaitTotal(ctx context.Context, feed string, total int, complete *atomic.Bool) error {
	for {
		p, err := c.page(ctx, feed, url.Values{"limit": {"1"}})
		if err != nil || p.Total == total {
			complete.Store(err == nil)
			return err
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("the feed shows %d of %d companies: %w", p.Total, total, ctx.Err())
		}
	}
}

// company returns the ID of company n.
func company(n int) string { return fmt.Sprintf("comp_%06d", n) }

func TestPullDuringIngestSkipsNothingAndRepeatsNothing(t *testing.T) {
	t.Parallel()
	writers, each := 8, shorter(2500)
	database := testdb.URL(t)
	c := serve(t, database, encryptionKey()).at(newKey(t, database))
	delivery := c.must(t, http.StatusCreated, http.MethodPost, "/api/v1/deliveries", `{"name":"Warehouse"}`)["id"].(string)

	var complete atomic.Bool
	var since, cursor []string
	ctx, cancel := context.WithTimeout(t.Context(), 4*patience) // some 6,000 requests, on a machine that may be busy
	defer cancel()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) { since, err = c.sync(ctx, delivery, &complete, bySince); return err })
	g.Go(func() (err error) { cursor, err = c.sync(ctx, delivery, &complete, byCursor); return err })
	g.Go(func() error { return c.ingest(ctx, delivery, writers, each) })
	g.Go(func() error { return c.awaitTotal(ctx, delivery, writers*each, &complete) })
	require.NoError(t, g.Wait())

	want := make([]string, writers*each)
	for n := range want {
		want[n] = company(n)
	}
	require.Equal(t, since, cursor, "both ways tell the same, in the same order")
	slices.Sort(since)
	require.Equal(t, want, since, "each company once")
}
