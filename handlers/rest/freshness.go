package rest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/projections"
)

// minPosition is the header of a request for an answer that is at least as new as a position.
const minPosition = "Ledger-Min-Position"

// readModels are the read models that the answers of reading operations are made of. Those of an
// operation that does not stand here are made of all.
var readModels = map[string][]projections.Projection{
	"validateAuth":          {},
	"listDeliveries":        {projections.Deliveries()},
	"readDelivery":          {projections.Deliveries(), projections.Dispatches()},
	"listDestinations":      {projections.Deliveries()},
	"readDestination":       {projections.Deliveries()},
	"readDestinationHealth": {projections.Deliveries(), projections.Dispatches()},
	"listCompanies":         {projections.Deliveries(), projections.Companies(), projections.Dispatches()},
	"listProspectSearches":  {projections.Deliveries()},
	"listEvents":            {projections.Deliveries(), projections.Dispatches(), projections.History()},
	"listDispatches":        {projections.Deliveries(), projections.Dispatches()},
	"readDispatch":          {projections.Deliveries(), projections.Dispatches()},
	"readStats":             {projections.Deliveries(), projections.Dispatches(), projections.Stats(), projections.Daily()},
	"readTotals":            {projections.Dispatches(), projections.Stats(), projections.Daily()},
	"listReplays":           {projections.Deliveries(), projections.Dispatches(), projections.Replays()},
	"readReplay":            {projections.Deliveries(), projections.Dispatches(), projections.Replays()},
	"listRequalifications":  {projections.Deliveries(), projections.Dispatches(), projections.Requalifications()},
	"readRequalification":   {projections.Deliveries(), projections.Dispatches(), projections.Requalifications()},
	"listErasures":          {projections.Erasures()},
	"readErasure":           {projections.Erasures()},
	"listExclusions":        {projections.Deliveries()},
	"readExclusion":         {projections.Deliveries()},
	"readCheckpoint":        {},
	"proveEvent":            {projections.Deliveries(), projections.Dispatches()},
	"proveConsistency":      {},
	"explainCompany":        {projections.Dispatches()},
	"listOrganisations":     {},
	"readOrganisation":      {},
	"listKeys":              {},
	"readKey":               {},
}

// madeOf returns the read models that the answer to an operation is made of.
func madeOf(op *operation) []projections.Projection {
	if models, ok := readModels[op.id]; ok {
		return models
	}
	return projections.All()
}

// isRead reports whether a request only reads.
func isRead(r *http.Request) bool { return r.Method == http.MethodGet || r.Method == http.MethodHead }

// positionFaults returns what is wrong with a reading request's minPosition, whatever the log holds.
func positionFaults(r *http.Request) []domain.Fault {
	given := r.Header.Values(minPosition)
	if !isRead(r) || len(given) == 0 {
		return nil
	}
	if n, err := strconv.ParseInt(given[0], 10, 64); err != nil || n < 0 || len(given) > 1 {
		return []domain.Fault{{Field: minPosition, Error: "must be a place in the log, a whole number from 0, given once", Provided: said(minPosition, given[0])}}
	}
	return nil
}

// catchUp lets a reading request wait until what its answer is made of is as new as it asks for,
// and notes in the answer's header how new that is. The request must have no positionFaults.
func (s *Server) catchUp(c echo.Context, op *operation) error {
	r := c.Request()
	if !isRead(r) {
		return nil
	}
	models := madeOf(op)
	if given := r.Header.Get(minPosition); given != "" {
		n, _ := strconv.ParseInt(given, 10, 64) // it has no faults
		if err := s.await(r.Context(), minPosition, models, eventstore.Position(n)); err != nil {
			return err
		}
	}
	if at := s.shown(models); at > 0 {
		c.Response().Header().Set("Ledger-Position", strconv.FormatInt(int64(at), 10))
	}
	return nil
}

// await waits until read models show the event at pos, which a field of the request asks for, for a while. It refuses a
// position that the log does not have.
func (s *Server) await(ctx context.Context, field string, models []projections.Projection, pos eventstore.Position) error {
	waiting, cancel := context.WithTimeout(ctx, s.cfg.Patience)
	defer cancel()
	if head := s.cfg.Store.Mark(""); head.At() < pos {
		at, err := s.cfg.Store.Head(waiting)
		if err != nil {
			return err
		}
		head.Raise(at)
		if at < pos {
			return invalid([]domain.Fault{{
				Field: field, Error: fmt.Sprintf("is beyond the end of the log, which is at %d", at), Provided: int64(pos),
			}})
		}
	}
	for _, m := range models {
		err := s.cfg.Store.Await(waiting, m.Name, pos)
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
			return &refusal{
				status: http.StatusServiceUnavailable, code: "UNAVAILABLE",
				message: fmt.Sprintf("what is shown has not come to %s %d yet: try again", field, pos),
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// shown returns the position up to which read models show everything, as far as this process
// knows; 0 for none.
func (s *Server) shown(models []projections.Projection) (least eventstore.Position) {
	for i, m := range models {
		if at := s.cfg.Store.Mark(m.Name).At(); i == 0 || at < least {
			least = at
		}
	}
	return least
}
