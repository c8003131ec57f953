package rest

import (
	"context"

	"github.com/openprospect/delivery-ledger/domain"
)

// JudgeCandidates judges companies by the rules of deliveries, and hands over those that qualify: of
// one object, of an array, or of a stream of lines.
func (s *Server) JudgeCandidates(ctx context.Context, r JudgeCandidatesRequestObject) (JudgeCandidatesResponseObject, error) {
	h := &handOver{Server: s, organisation: organisation(ctx), id: r.DeliveryID, candidates: true, schema: s.contract.candidate, results: s.newResults()}
	var document []byte
	if r.Body == nil {
		document = r.JSONBody.union
	}
	return h.run(ctx, r.Body, document)
}

// decodeCandidate takes the fields of a candidate and returns what is wrong with their form. Case
// tells fields apart.
func (it *item) decodeCandidate(raw []byte) (faults []domain.Fault) {
	for name, value := range members(raw) {
		switch name {
		case "company":
			it.candidate.Company = value
		case "prospects":
			it.candidate.Prospects = value
		case "attributes":
			it.candidate.Attributes = value
		default:
			faults = append(faults, domain.Fault{Field: brief(name), Error: "is not a known field"})
		}
	}
	return faults
}
