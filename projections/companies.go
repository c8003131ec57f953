package projections

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
)

// Companies keeps the pull feed: a row for each hand-over. A row has a number in the feed of
// its delivery and, if the search did not have the company before, one in the feed of its
// search. Numbers are dense and never change, so a page of a feed is a range of an index
// however deep it lies, and the length of a feed is its last number.
func Companies() Projection {
	const insert = `
		WITH page AS (
			SELECT *,
				row_number() OVER (PARTITION BY delivery_id ORDER BY position) AS delivery_turn,
				row_number() OVER (PARTITION BY prospect_search_id, company_id ORDER BY position) = 1
					AND (
						SELECT count(*) FROM companies c
						WHERE c.prospect_search_id = p.prospect_search_id AND c.company_id = p.company_id AND c.search_number IS NOT NULL
					) = 0 AS first_in_search -- not EXISTS, which is planned as a scan of the whole table
			FROM unnest($1::bigint[], $2::timestamptz[], $3::text[], $4::text[], $5::text[], $6::text[], $7::smallint[], $8::json[], $9::json[], $10::json[])
				AS p(position, delivered_at, delivery_id, prospect_search_id, handover_id, company_id, score, company, prospects, match_reasons)
		),
		delivery_ends AS MATERIALIZED (
			SELECT d.delivery_id, coalesce((SELECT c.delivery_number FROM companies c WHERE c.delivery_id = d.delivery_id ORDER BY c.delivery_number DESC LIMIT 1), 0) AS last
			FROM (SELECT DISTINCT delivery_id FROM page) AS d
		),
		search_ends AS MATERIALIZED (
			SELECT s.prospect_search_id, coalesce((
					SELECT c.search_number FROM companies c
					WHERE c.prospect_search_id = s.prospect_search_id AND c.search_number IS NOT NULL
					ORDER BY c.search_number DESC LIMIT 1
				), 0) AS last
			FROM (SELECT DISTINCT prospect_search_id FROM page) AS s
		)
		INSERT INTO companies (
			delivery_id, delivery_number, prospect_search_id, search_number,
			position, delivered_at, score, handover_id, company_id, company, prospects, match_reasons
		)
		SELECT p.delivery_id, d.last + p.delivery_turn, p.prospect_search_id,
			CASE WHEN p.first_in_search
				THEN s.last + row_number() OVER (PARTITION BY p.prospect_search_id, p.first_in_search ORDER BY p.position)
			END,
			p.position, p.delivered_at, p.score, p.handover_id, p.company_id, p.company, p.prospects, p.match_reasons
		FROM page p
		JOIN delivery_ends d USING (delivery_id)
		JOIN search_ends s USING (prospect_search_id)`
	return Projection{
		Name:     "companies",
		Version:  1,
		Tables:   []string{"companies"},
		Types:    types(domain.CompanyQualified{}, domain.ErasureApplied{}, domain.RetentionApplied{}),
		Personal: true,
		Cites:    erasedPositions,
		Rest:     atLeisure,
		Apply: func(batch *pgx.Batch, page []Entry) {
			if c := newCompanyColumns(page); len(c.positions) > 0 {
				batch.Queue(insert, c.positions, c.times, c.deliveries, c.searches, c.handOvers, c.ids, c.scores,
					c.companies, c.prospects, c.reasons)
			}
			scrub(batch, page)
		},
	}
}

// erasedPositions returns where the companies of a feed are recorded of which an event erases prospects.
func erasedPositions(event domain.Event) (positions []eventstore.Position) {
	if e, ok := event.(domain.ErasureApplied); ok {
		for _, erased := range e.Erased {
			if erased.Number > 0 {
				positions = append(positions, eventstore.Position(erased.Position))
			}
		}
	}
	return positions
}

// scrub queues what a page erases of rows that are there. Prospects are then those that the log still tells, which is what a row
// would get that is made now; one that lost all stays without.
func scrub(batch *pgx.Batch, page []Entry) {
	const (
		some = `
			UPDATE companies c
			SET prospects = n.prospects
			FROM unnest($2::bigint[], $3::json[]) AS n(number, prospects)
			WHERE c.delivery_id = $1 AND c.delivery_number = n.number AND c.prospects::text <> '[]'`
		all = `UPDATE companies SET prospects = '[]' WHERE delivery_id = $1 AND delivery_number > $2 AND delivery_number <= $3`
	)
	for _, entry := range page {
		switch e := entry.Event.(type) {
		case domain.ErasureApplied:
			left := make(map[int64]string, len(entry.Cited))
			for _, cited := range entry.Cited {
				left[int64(cited.Position)] = string(cited.Event.(domain.CompanyQualified).Prospects)
			}
			var numbers []int64
			var prospects []string
			for _, erased := range e.Erased {
				if text, ok := left[erased.Position]; ok {
					numbers, prospects = append(numbers, erased.Number), append(prospects, text)
				}
			}
			if len(numbers) > 0 {
				batch.Queue(some, e.Delivery, numbers, prospects)
			}
		case domain.RetentionApplied:
			for _, feed := range e.Feeds {
				batch.Queue(all, feed.Delivery, feed.After, feed.Until)
			}
		}
	}
}

// companyColumns are hand-overs turned on their side, as the insert wants them.
type companyColumns struct {
	positions                     []int64
	times                         []time.Time
	deliveries, searches          []string
	handOvers, ids                []string
	scores                        []int16
	companies, prospects, reasons []string
}

// newCompanyColumns returns the columns of the hand-overs in a page.
func newCompanyColumns(page []Entry) (c companyColumns) {
	for _, entry := range page {
		e, ok := entry.Event.(domain.CompanyQualified)
		if !ok {
			continue
		}
		reasons, _ := json.Marshal(e.MatchReasons) // texts always marshal
		c.positions = append(c.positions, int64(entry.Position))
		c.times = append(c.times, entry.RecordedAt)
		c.deliveries = append(c.deliveries, string(e.Delivery))
		c.searches = append(c.searches, searchKey(e.Organisation, e.Search))
		c.handOvers = append(c.handOvers, string(e.HandOver))
		c.ids = append(c.ids, string(e.CompanyID))
		c.scores = append(c.scores, int16(e.Score))
		c.companies = append(c.companies, string(e.Company))
		c.prospects = append(c.prospects, string(e.Prospects))
		c.reasons = append(c.reasons, string(reasons))
	}
	return c
}

// A Company is a row of the pull feed.
type Company struct {
	Number      int64                 `db:"number"` // in the feed
	DeliveredAt time.Time             `db:"delivered_at"`
	HandOver    domain.HandOverID     `db:"handover_id"`
	Delivery    domain.DeliveryID     `db:"delivery_id"`
	Score       int                   `db:"score"`
	Company     json.RawMessage       `db:"company"`
	Prospects   json.RawMessage       `db:"prospects"`
	Reasons     json.RawMessage       `db:"match_reasons"`
	Status      domain.DispatchStatus `db:"status"`
}

// A Feed is what companies are pulled from: an organisation's prospect search, in which a
// company stands once, or a delivery.
type Feed struct {
	Delivery     domain.DeliveryID // else of the search
	Search       domain.SearchID
	Organisation domain.OrganisationID // of the search
}

// searchKey names a search in the table. Customers choose which search a delivery is bound to,
// so its ID alone would let one read, and number, what is another's.
func searchKey(org domain.OrganisationID, id domain.SearchID) string {
	return string(org) + "/" + string(id)
}

// Feed returns the feed that id names for org: of the delivery of that ID, or of the search
// that one of org's deliveries is, or was when it handed a company over, bound to. It fails
// with a NotFound error when there is none.
func (v *Views) Feed(ctx context.Context, org domain.OrganisationID, id string) (Feed, error) {
	const query = `
		SELECT
			EXISTS (SELECT FROM deliveries WHERE id = $2 AND organisation_id = $1),
			EXISTS (SELECT FROM deliveries WHERE prospect_search_id = $2 AND organisation_id = $1)
				OR EXISTS (SELECT FROM companies WHERE prospect_search_id = $3 AND search_number = 1)`
	var delivery, search bool
	if err := v.pool.QueryRow(ctx, query, org, id, searchKey(org, domain.SearchID(id))).Scan(&delivery, &search); err != nil {
		return Feed{}, fmt.Errorf("view feed %s: %w", id, err)
	}
	switch {
	case delivery:
		return Feed{Delivery: domain.DeliveryID(id)}, nil
	case search:
		return Feed{Search: domain.SearchID(id), Organisation: org}, nil
	}
	return Feed{}, domain.Errorf(domain.NotFound, "PROSPECT_SEARCH_NOT_FOUND", "there is no prospect search or delivery %s", id)
}

// FeedPage says which part of a feed is wanted.
type FeedPage struct {
	After  int64 // number of the last company seen; 0: from the start
	Limit  int
	Offset int64 // companies to skip beyond After
}

// Companies returns a page of a feed, oldest first. Total counts the companies beyond After.
// The cost does not depend on where the page lies.
func (v *Views) Companies(ctx context.Context, feed Feed, page FeedPage) (List[Company], error) {
	_, _, last := feed.sql()
	var list List[Company]
	var batch pgx.Batch
	batch.Queue(last, feed.id()).QueryRow(func(row pgx.Row) error { return row.Scan(&list.Total) })
	batch.Queue(feed.rows(companyStatus), feed.id(), page.After+page.Offset, page.Limit).Query(func(rows pgx.Rows) (err error) {
		list.Items, err = pgx.CollectRows(rows, pgx.RowToStructByName[Company])
		return err
	})
	if err := v.pool.SendBatch(ctx, &batch).Close(); err != nil {
		return list, fmt.Errorf("view companies of %s: %w", feed.id(), err)
	}
	list.Total = max(0, list.Total-page.After)
	return list, nil
}

// NumberAt returns the number of the last company of a feed that was delivered at or before
// t, 0 when there is none. It halves the feed until it is found: both numbers and times
// rise.
func (v *Views) NumberAt(ctx context.Context, feed Feed, t time.Time) (int64, error) {
	at, err := v.lastNumber(ctx, feed, `c.delivered_at`, t)
	if err != nil {
		return 0, fmt.Errorf("find %s in feed %s: %w", t.Format(time.RFC3339Nano), feed.id(), err)
	}
	return at, nil
}

// lastNumber returns the number of the last company of a feed in which column, which rises with the numbers, is not
// above most; 0 when there is none.
func (v *Views) lastNumber(ctx context.Context, feed Feed, column string, most any) (int64, error) {
	key, number, last := feed.sql()
	query := `
		WITH RECURSIVE search AS (
			SELECT 0::bigint AS low, (` + last + `) AS high
			UNION ALL
			SELECT CASE WHEN before THEN middle ELSE low END, CASE WHEN before THEN high ELSE middle - 1 END
			FROM (
				SELECT low, high, (low + high + 1) / 2 AS middle, (
						SELECT ` + column + ` <= $2 FROM companies c
						WHERE c.` + key + ` = $1 AND c.` + number + ` = (low + high + 1) / 2
					) AS before
				FROM search
				WHERE low < high
			) AS probe
		)
		SELECT low FROM search WHERE low = high`
	rows, _ := v.pool.Query(ctx, query, feed.id(), most) // CollectExactlyOneRow reports the error
	return pgx.CollectExactlyOneRow(rows, pgx.RowTo[int64])
}

// rows returns the query for the companies of the feed of parameter 1 that follow the one of a number, parameter 2, so
// many as parameter 3 says. Status is that of a company.
func (f Feed) rows(status string) string {
	key, number, _ := f.sql()
	return `
		SELECT c.` + number + ` AS number, c.delivered_at, c.handover_id, c.delivery_id, c.score, c.company, c.prospects, c.match_reasons,
			` + status + ` AS status
		FROM companies c
		WHERE c.` + key + ` = $1 AND c.` + number + ` > $2 AND c.` + number + ` <= $2 + $3
		ORDER BY c.` + number
}

// id returns the feed's ID.
func (f Feed) id() string {
	if f.Delivery != "" {
		return string(f.Delivery)
	}
	return searchKey(f.Organisation, f.Search)
}

// sql returns the columns of the feed's ID and numbers, and a query for its last number.
func (f Feed) sql() (key, number, last string) {
	if f.Delivery != "" {
		return "delivery_id", "delivery_number",
			`SELECT coalesce((SELECT delivery_number FROM companies WHERE delivery_id = $1 ORDER BY delivery_number DESC LIMIT 1), 0)`
	}
	return "prospect_search_id", "search_number",
		`SELECT coalesce((
			SELECT search_number FROM companies WHERE prospect_search_id = $1 AND search_number IS NOT NULL ORDER BY search_number DESC LIMIT 1
		), 0)`
}
