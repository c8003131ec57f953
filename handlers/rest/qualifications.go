package rest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
)

// Bounds of a chunk of qualifications, which is decided on one read and committed in one go.
const (
	chunkPlans = 500     // hand-overs
	chunkBytes = 4 << 20 // of items, so that a stream of long ones takes no more memory
)

// QualifyCompanies hands companies over: of one object, of an array, or of a stream of lines.
func (s *Server) QualifyCompanies(ctx context.Context, r QualifyCompaniesRequestObject) (QualifyCompaniesResponseObject, error) {
	h := &handOver{Server: s, organisation: organisation(ctx), id: r.DeliveryID, schema: s.contract.qualification, results: s.newResults()}
	var document []byte
	if r.Body == nil {
		document = r.JSONBody.union
	}
	return h.run(ctx, r.Body, document)
}

// run hands over what a stream contains or, where there is none, a document.
func (h *handOver) run(ctx context.Context, stream io.Reader, document []byte) (*results, error) {
	if err := h.load(ctx); err != nil {
		return nil, err
	}
	var err error
	if stream != nil {
		err = h.lines(ctx, stream)
	} else {
		err = h.document(ctx, document)
	}
	if err != nil {
		return nil, errors.Join(err, h.results.close())
	}
	return h.results, nil
}

// A handOver is a request to hand companies over.
type handOver struct {
	*Server
	organisation domain.OrganisationID
	id           string            // of a delivery or of a prospect search
	targets      []*target         // the deliveries that it names
	several      bool              // when there were more than one
	candidates   bool              // what is sent is to be judged first
	schema       *openapi3.Schema  // of an item
	unexcluded   *eventstore.Guard // that the organisation has not begun to exclude; nil: it has
	ruleless     bool              // when one of them has no rules to judge candidates by; it is no target then
	results      *results
}

// A target is a delivery to hand companies over under, as it is known.
type target struct {
	stream string
	gone   bool // deleted, or without rules for candidates, since the request began
	eventstore.Known[domain.Delivery]
}

// load finds the targets. It fails with a NotFound error when there is none.
func (h *handOver) load(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, h.cfg.Patience)
	defer cancel()
	h.targets = nil
	if strings.HasPrefix(h.id, "dcf_") { // nothing need be read that is not in the cache
		if err := h.add(ctx, domain.DeliveryID(h.id)); err != nil || len(h.targets) > 0 {
			return err
		}
	}
	ids, err := h.cfg.Views.DeliveriesOf(ctx, h.organisation, h.id)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := h.add(ctx, id); err != nil {
			return err
		}
	}
	h.several = len(h.targets) > 1
	if len(h.targets) == 0 && h.ruleless {
		return domain.ErrNoRules(h.id)
	}
	if len(h.targets) == 0 {
		return domain.Errorf(domain.NotFound, "PROSPECT_SEARCH_NOT_FOUND", "there is no prospect search or delivery %s", h.id)
	}
	return nil
}

// add adds the delivery of that ID to the targets, if it exists.
func (h *handOver) add(ctx context.Context, id domain.DeliveryID) error {
	stream := domain.DeliveryStream(id)
	known, err := h.deliveries.Load(ctx, stream)
	if err == nil && known.State.Exists(h.organisation) && !h.takes(known.State) {
		h.ruleless = true
	} else if err == nil && known.State.Exists(h.organisation) {
		h.targets = append(h.targets, &target{stream: stream, Known: known})
	}
	return err
}

// takes reports whether what is sent can be handed over under d.
func (h *handOver) takes(d domain.Delivery) bool {
	return d.Exists(h.organisation) && (!h.candidates || d.Judges())
}

// document hands over what a JSON document contains. A single object that is not valid is an
// error, as nothing else could be accepted.
func (h *handOver) document(ctx context.Context, body []byte) error {
	body = bytes.TrimSpace(body)
	if bytes.HasPrefix(body, []byte("[")) {
		return h.list(ctx, body)
	}
	named, err := inspect(body, h.schema)
	switch {
	case err != nil:
		return err
	case body[0] != '{':
		return invalid([]domain.Fault{{Field: "body", Error: "must be an object or a list of objects"}})
	}
	it := h.item(0, body, named)
	if it.fault != nil {
		return it.fault
	}
	return h.commit(ctx, []*item{it})
}

// list hands over what a JSON array contains.
func (h *handOver) list(ctx context.Context, body []byte) error {
	items, err := h.items(body)
	if err != nil {
		return err
	}
	var c chunk
	for it, size := range items {
		if c.add(it, size); c.full(len(h.targets)) {
			if err := h.commit(ctx, c.take()); err != nil {
				return err
			}
		}
	}
	return h.commit(ctx, c.take())
}

// lines hands over what a stream of lines contains, chunk by chunk.
func (h *handOver) lines(ctx context.Context, body io.Reader) error {
	var c chunk
	reader := newLineReader(body)
	for n := 0; ; n++ {
		line, err := reader.next()
		switch {
		case errors.Is(err, io.EOF):
			return h.commit(ctx, c.take())
		case errors.Is(err, errLongLine):
			c.add(&item{index: n, fault: errLongLine}, 0)
		case err != nil:
			return unreadable(err)
		default:
			c.add(h.line(n, line), len(line))
		}
		if c.full(len(h.targets)) {
			if err := h.commit(ctx, c.take()); err != nil {
				return err
			}
		}
	}
}

// line returns the item in a line of a stream, which it does not keep.
func (h *handOver) line(index int, line []byte) *item {
	named, err := inspect(line, h.schema)
	if err != nil {
		return &item{index: index, fault: err}
	}
	return h.item(index, bytes.Clone(line), named)
}

// A chunk gathers items to be committed in one go.
type chunk struct {
	items []*item
	bytes int
}

// add adds an item of that size.
func (c *chunk) add(it *item, size int) {
	c.items = append(c.items, it)
	c.bytes += size
}

// full reports whether the chunk is to be committed under so many deliveries.
func (c *chunk) full(targets int) bool {
	return len(c.items)*targets >= chunkPlans || c.bytes >= chunkBytes
}

// take empties the chunk and returns what was in it.
func (c *chunk) take() []*item {
	items := c.items
	*c = chunk{}
	return items
}
