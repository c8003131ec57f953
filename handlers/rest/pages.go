package rest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"net/url"

	"github.com/openprospect/delivery-ledger/domain"
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

// A listing is a list as a request asks for it: which page, and where it goes on.
type listing struct {
	projections.Page
	url   *url.URL // as it was asked for
	owner domain.OrganisationID
}

// newListing returns what a list's parameters ask for, or all that is wrong with them.
func newListing(ctx context.Context, limit *Limit, offset *Offset, cursor *Cursor) (listing, error) {
	l := listing{
		Page: projections.Page{Limit: value(limit), Offset: value(offset)}, // validation has entered defaults
		url:  requestFrom(ctx).url, owner: organisation(ctx),
	}
	if cursor == nil {
		return l, nil
	}
	var faults []domain.Fault
	if l.Offset != 0 {
		faults = append(faults, domain.Fault{Field: "offset", Error: "cannot be given along with cursor"})
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(*cursor)
	last, ok := bytes.CutPrefix(b, l.tag())
	if err != nil || !ok || len(last) == 0 || !isText(string(last)) {
		faults = append(faults, domain.Fault{Field: "cursor", Error: "is no cursor of this list with these filters", Provided: said("cursor", *cursor)})
	}
	l.After = string(last)
	return l, invalid(faults)
}

// listCursorVersion begins the cursors of lists, which differ from those of feeds.
const listCursorVersion = 2

// tag tells lists apart, and one list with other filters.
func (l listing) tag() []byte {
	filters := l.url.Query()
	for _, name := range []string{"limit", "offset", "cursor"} {
		filters.Del(name)
	}
	sum := sha256.Sum256([]byte(string(l.owner) + "\n" + l.url.Path + "\n" + filters.Encode()))
	return append([]byte{listCursorVersion}, sum[:8]...)
}

// next returns the cursor that goes on after the item of that key, and the Link header's value
// that leads there. Of the last page there is neither.
func (l listing) next(more bool, key string) (cursor, link *string) {
	if !more {
		return nil, nil
	}
	text := base64.RawURLEncoding.EncodeToString(append(l.tag(), key...))
	return &text, nextPage(l.url, text)
}

// nextPage returns the Link header's value that leads from the page at u to the one that cursor
// begins: with all parameters but those that cursor stands for.
func nextPage(u *url.URL, cursor string) *string {
	query := u.Query()
	query.Del("offset")
	query.Del("delivered_since")
	query.Set("cursor", cursor)
	link := "<" + u.EscapedPath() + "?" + query.Encode() + `>; rel="next"`
	return &link
}

// lastKey returns the key of a list's last item, "" when there is none.
func lastKey[T any](list projections.List[T], key func(T) string) string {
	if len(list.Items) == 0 {
		return ""
	}
	return key(list.Items[len(list.Items)-1])
}

// Paths of the API.
const basePath = "/api/v1"

func deliveriesPath() string                { return basePath + "/deliveries" }
func deliveryPath(id string) string         { return deliveriesPath() + "/" + url.PathEscape(id) }
func replaysPath(id string) string          { return deliveryPath(id) + "/replays" }
func requalificationsPath(id string) string { return deliveryPath(id) + "/requalifications" }
func destinationsPath(id string) string     { return deliveryPath(id) + "/destinations" }
