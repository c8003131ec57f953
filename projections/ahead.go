package projections

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/openprospect/delivery-ledger/eventstore"
)

// A readPage is the next part of the log, and what a projection makes of it.
type readPage struct {
	last       eventstore.Position
	statements *pgx.Batch // nil: nothing
	err        error
}

// readPage reads the first page after a position up to another.
func (p Projection) readPage(ctx context.Context, q eventstore.Querier, decoder Decoder, after, until eventstore.Position) readPage {
	page := readPage{last: min(after+rebuildPage, until)}
	entries, err := p.readRange(ctx, q, decoder, after+1, page.last)
	page.statements, page.err = p.statements(entries), err
	return page
}

// pagesAhead is how many pages are read while one is applied.
const pagesAhead = 2

// ahead reads the log after a position up to another in pages of a rebuild, some ahead of who takes them: so Postgres applies
// one while this process reads the next. The last page has an error when it could not be read. Where ctx is done there may be
// pages too few. Stop ends it, and must be called.
func (p Projection) ahead(ctx context.Context, pool *pgxpool.Pool, decoder Decoder, after, until eventstore.Position) (pages <-chan readPage, stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	out := make(chan readPage, pagesAhead-1)
	go func() {
		defer close(out)
		for at := after; at < until; {
			page := p.readPage(ctx, pool, decoder, at, until)
			select {
			case out <- page:
			case <-ctx.Done():
				return
			}
			if page.err != nil {
				return
			}
			at = page.last
		}
	}()
	return out, func() {
		cancel()
		for range out { // until it has ended
		}
	}
}
