package rest

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/projections"
)

// ListCompanies shows a page of a feed, as it is or as it was.
func (s *Server) ListCompanies(ctx context.Context, r ListCompaniesRequestObject) (ListCompaniesResponseObject, error) {
	at, err := s.feedMoment(ctx, r.Params)
	if err != nil {
		return nil, err
	}
	views, err := s.viewsAt(ctx, at, projections.Companies(), projections.Dispatches())
	if err != nil {
		return nil, err
	}
	feed, err := views.Feed(ctx, organisation(ctx), r.DeliveryID)
	if err != nil {
		return nil, err
	}
	page := projections.FeedPage{Limit: value(r.Params.Limit), Offset: value(r.Params.Offset)}
	prefix := feedPrefix(feed, at)
	switch {
	case r.Params.Cursor != nil:
		after, ok := parseCursor(prefix, *r.Params.Cursor)
		if !ok {
			return nil, invalid([]domain.Fault{{Field: "cursor", Error: "is no cursor of this feed", Provided: said("cursor", *r.Params.Cursor)}})
		}
		page.After = after
	case r.Params.DeliveredSince != nil:
		// Times in the ledger are whole microseconds: what is after t is after t less the rest.
		page.After, err = views.NumberAt(ctx, feed, r.Params.DeliveredSince.Truncate(time.Microsecond))
		if err != nil {
			return nil, err
		}
	}
	list, err := views.Companies(ctx, feed, page)
	if err != nil {
		return nil, err
	}
	return newCompaniesPage(requestFrom(ctx).url, prefix, page, list), nil
}

// feedMoment returns the position as of which a feed is asked for, by as_of or by the cursor, and refuses two ways to say
// that, or where a page begins; nil: as it is.
func (s *Server) feedMoment(ctx context.Context, p ListCompaniesParams) (*eventstore.Position, error) {
	at, err := s.moment(ctx, p.AsOf)
	faults, err := faultsIn(err)
	if err != nil {
		return nil, err
	}
	if p.Cursor == nil {
		return at, invalid(faults)
	}
	if p.DeliveredSince != nil {
		faults = append(faults, domain.Fault{Field: "delivered_since", Error: "cannot be given along with cursor"})
	}
	if value(p.Offset) != 0 {
		faults = append(faults, domain.Fault{Field: "offset", Error: "cannot be given along with cursor"})
	}
	carried := cursorMoment(*p.Cursor)
	if at != nil && (carried == nil || *carried != *at) {
		faults = append(faults, domain.Fault{Field: "cursor", Error: "is of this feed as of another moment", Provided: said("cursor", *p.Cursor)})
	} else if carried != nil {
		head, err := s.cfg.Store.Head(ctx)
		if err != nil {
			return nil, err
		}
		if *carried > head {
			faults = append(faults, domain.Fault{Field: "cursor", Error: "is no cursor of this feed", Provided: said("cursor", *p.Cursor)})
		}
	}
	return carried, invalid(faults)
}

// A companiesPage is the answer with a page of a feed.
type companiesPage struct {
	body []byte
	link *string
}

// newCompaniesPage returns the answer with the companies of list. Prefix begins the feed's cursors.
func newCompaniesPage(asked *url.URL, prefix []byte, page projections.FeedPage, list projections.List[projections.Company]) companiesPage {
	read := page.Offset + int64(len(list.Items)) // of those beyond After
	total := max(list.Total, 0)
	last := page.After + min(page.Offset, total)
	if len(list.Items) > 0 {
		last = list.Items[len(list.Items)-1].Number
		total = max(total, read) // some came in since they were counted
	}
	next, more := newCursor(prefix, last), read < total

	b := append(make([]byte, 0, 1024*(1+len(list.Items))), `{"items":[`...)
	for i, c := range list.Items {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendCompany(b, c)
	}
	b = strconv.AppendInt(append(b, `],"total":`...), total, 10)
	b = strconv.AppendInt(append(b, `,"limit":`...), int64(page.Limit), 10)
	b = strconv.AppendInt(append(b, `,"offset":`...), page.Offset, 10)
	b = strconv.AppendBool(append(b, `,"has_more":`...), more)
	b = append(append(append(b, `,"next_cursor":"`...), next...), "\"}\n"...)
	answer := companiesPage{body: b}
	if more {
		answer.link = nextPage(asked, next)
	}
	return answer
}

// VisitListCompaniesResponse writes the answer.
func (p companiesPage) VisitListCompaniesResponse(w http.ResponseWriter) error {
	w.Header().Set("Content-Type", jsonType)
	if p.link != nil {
		w.Header().Set("Link", *p.link)
	}
	w.WriteHeader(http.StatusOK)
	_, err := w.Write(p.body)
	return err
}

// microseconds is how delivered_at is written: as exact as it is compared.
const microseconds = "2006-01-02T15:04:05.000000Z"

// appendCompany appends an item of a feed: the company's own fields as the engine sent them,
// and ours.
func appendCompany(b []byte, c projections.Company) []byte {
	b = append(b, '{')
	for name, value := range members(c.Company) {
		if isOurs(name) {
			continue
		}
		quoted, _ := json.Marshal(name) // texts always marshal
		b = append(append(append(append(b, quoted...), ':'), value...), ',')
	}
	b = append(append(b, `"prospects":`...), c.Prospects...)
	b = strconv.AppendInt(append(b, `,"qualification_score":`...), int64(c.Score), 10)
	b = append(append(b, `,"match_reasons":`...), c.Reasons...)
	b = c.DeliveredAt.UTC().AppendFormat(append(b, `,"delivered_at":"`...), microseconds)
	b = append(append(b, `","delivery_id":"`...), c.HandOver...)
	b = append(append(b, `","status":"`...), c.Status...)
	return append(b, `"}`...)
}

// isOurs reports whether an item has a field of that name that is not the company's.
func isOurs(name string) bool {
	switch name {
	case "prospects", "qualification_score", "match_reasons", "delivered_at", "delivery_id", "status":
		return true
	}
	return false
}

// ListProspectSearches shows a page of the searches that the caller's deliveries are bound to.
func (s *Server) ListProspectSearches(ctx context.Context, r ListProspectSearchesRequestObject) (ListProspectSearchesResponseObject, error) {
	p, err := newListing(ctx, r.Params.Limit, r.Params.Offset, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	list, err := s.cfg.Views.Searches(ctx, organisation(ctx), p.Page)
	if err != nil {
		return nil, err
	}
	items := make([]ProspectSearch, len(list.Items))
	for i, search := range list.Items {
		items[i] = ProspectSearch{ID: string(search.ID), Name: search.Name, Status: DeliveryStatus(search.Status)}
	}
	cursor, link := p.next(list.More, lastKey(list, func(s projections.Search) string { return string(s.Oldest) }))
	return ListProspectSearches200JSONResponse{
		Body: ProspectSearchPage{
			Items: items, Total: list.Total, Limit: p.Limit, Offset: p.Offset, HasMore: list.More, NextCursor: cursor,
		},
		Headers: ListProspectSearches200ResponseHeaders{Link: link},
	}, nil
}
