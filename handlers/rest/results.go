package rest

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/openprospect/delivery-ledger/eventstore"
)

// results are the answer with what came of each item. They are kept as the JSON that they become, in
// memory that does not grow with their number. Who has them must write or close them.
type results struct {
	items                          spool
	most                           int64 // bytes of items
	now                            func() time.Time
	accepted, duplicates, rejected int
	disqualified                   int
	unlisted                       int // of these
	position                       eventstore.Position
}

// newResults returns an answer without results.
func (s *Server) newResults() *results { return &results{most: s.cfg.MaxListed, now: s.now} }

// add adds a result. Once one has found no room in the list, those after it are counted alone as well.
func (r *results) add(result QualificationResult) error {
	switch result.Outcome {
	case Accepted:
		r.accepted++
	case Duplicate:
		r.duplicates++
	case Disqualified:
		r.disqualified++
	case Rejected:
		r.rejected++
	}
	if r.unlisted > 0 {
		r.unlisted++
		return nil
	}
	b, err := json.Marshal(result)
	if err != nil {
		return err
	}
	if r.items.size > 0 {
		b = append([]byte{','}, b...)
	}
	if r.items.size+int64(len(b)) > r.most {
		r.unlisted++
		return nil
	}
	_, err = r.items.Write(b)
	return err
}

// close gives up the answer.
func (r *results) close() error { return r.items.Close() }

// VisitQualifyCompaniesResponse writes the answer.
func (r *results) VisitQualifyCompaniesResponse(w http.ResponseWriter) error { return r.write(w) }

// VisitJudgeCandidatesResponse writes the answer.
func (r *results) VisitJudgeCandidatesResponse(w http.ResponseWriter) error { return r.write(w) }

// write writes the answer, and gives it up.
func (r *results) write(w http.ResponseWriter) error {
	b := strconv.AppendInt([]byte(`{"accepted":`), int64(r.accepted), 10)
	b = strconv.AppendInt(append(b, `,"duplicates":`...), int64(r.duplicates), 10)
	b = strconv.AppendInt(append(b, `,"disqualified":`...), int64(r.disqualified), 10)
	b = strconv.AppendInt(append(b, `,"rejected":`...), int64(r.rejected), 10)
	if r.unlisted > 0 {
		b = strconv.AppendInt(append(b, `,"unlisted":`...), int64(r.unlisted), 10)
	}
	b = append(b, `,"items":[`...)
	w.Header().Set("Content-Type", jsonType)
	if r.position != 0 {
		w.Header().Set("Ledger-Position", strconv.FormatInt(int64(r.position), 10))
	}
	w.WriteHeader(http.StatusOK)
	to := patientAnswer{w, r.now}
	_, err1 := to.Write(b)
	_, err2 := r.items.WriteTo(to)
	_, err3 := to.Write([]byte("]}\n"))
	return errors.Join(err1, err2, err3, r.close())
}
