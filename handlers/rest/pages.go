package rest

import (
	"net/url"
	"strconv"

	"github.com/openprospect/delivery-ledger/projections"
)

// value returns what p points to, or the zero value.
func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// optional returns a pointer to v, or nil when v is the zero value.
func optional[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

// page returns the page that a list's parameters ask for; validation has entered defaults.
func page(limit *Limit, offset *Offset) projections.Page {
	return projections.Page{Limit: value(limit), Offset: value(offset)}
}

// hasMore reports whether a list goes on after a page of n items.
func hasMore(p projections.Page, n int, total int64) bool { return p.Offset+int64(n) < total }

// nextLink returns the Link header's value that leads to the page after p, nil when a page of
// n items is the last one.
func nextLink(path string, query url.Values, p projections.Page, n int, total int64) *string {
	if !hasMore(p, n, total) {
		return nil
	}
	query.Set("limit", strconv.Itoa(p.Limit))
	query.Set("offset", strconv.FormatInt(p.Offset+int64(n), 10))
	return linkTo(path, query)
}

// linkTo returns a Link header's value to the next page.
func linkTo(path string, query url.Values) *string {
	link := "<" + path + "?" + query.Encode() + `>; rel="next"`
	return &link
}

// Paths of the API.
const basePath = "/api/v1"

func deliveriesPath() string            { return basePath + "/deliveries" }
func deliveryPath(id string) string     { return deliveriesPath() + "/" + url.PathEscape(id) }
func destinationsPath(id string) string { return deliveryPath(id) + "/destinations" }
