package rest

import (
	"bytes"
	"cmp"
	"context"
	"fmt"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/domain/rules"
)

// maxSamples is how many candidates a test of rules takes.
const maxSamples = 100

// TestRules tells what candidates would come to under the rules of a delivery, or under proposed ones.
func (s *Server) TestRules(ctx context.Context, r TestRulesRequestObject) (TestRulesResponseObject, error) {
	h := &handOver{Server: s, organisation: organisation(ctx), id: r.DeliveryID, candidates: true, schema: s.contract.candidate}
	samples, err := h.samples(r.Body.Candidates.union)
	if err != nil {
		return nil, err
	}
	known, err := s.current(ctx, domain.DeliveryID(h.id))
	if err != nil {
		return nil, err
	}
	d, err := known.State.Rehearsed(h.organisation, domain.DeliveryID(h.id), readRules(r.Body.Rules), r.Body.Threshold)
	if err != nil {
		return nil, err
	}
	if err := h.lookUp(ctx, samples); err != nil {
		return nil, err
	}
	summary := RulesTestSummary{Items: make([]RulesTestResult, 0, len(samples)), ProfileVersion: optional(d.Profile.Version)}
	for _, it := range samples {
		if it.fault != nil {
			summary.add(RulesTestResult{
				Index: it.index, CompanyID: optional(string(it.company)), Outcome: WouldBeRejected, Error: itemError(newRefusal(it.fault)),
			})
			continue
		}
		result, err := rehearse(d, it)
		if err != nil {
			return nil, err
		}
		summary.add(result)
	}
	return TestRules200JSONResponse{Body: summary}, nil
}

// samples returns the candidates in a JSON array, or the one that there is instead.
func (h *handOver) samples(list []byte) (samples []*item, err error) {
	if list = bytes.TrimSpace(list); list[0] == '{' {
		list = fmt.Appendf(nil, "[%s]", list)
	}
	items, err := h.items(list)
	if err != nil {
		return nil, err
	}
	for it := range items {
		if samples = append(samples, it); len(samples) > maxSamples {
			return nil, invalid([]domain.Fault{{Field: "candidates", Error: fmt.Sprintf("must have at most %d items", maxSamples)}})
		}
	}
	return samples, nil
}

// rehearse returns what would come of an item that is valid.
func rehearse(d domain.Delivery, it *item) (RulesTestResult, error) {
	result := RulesTestResult{Index: it.index, CompanyID: optional(string(it.company))}
	told, err := domain.JudgeCandidate{Delivery: d, CompanyID: it.company, Candidate: it.candidate, Excluded: it.excluded}.Rehearse()
	if err != nil {
		return result, err
	}
	switch {
	case told.Excluded != nil:
		result.Outcome, result.Exclusion = WouldBeExcluded, showExcluded(*told.Excluded)
	case told.Qualified:
		result.Outcome = WouldQualify
	default:
		result.Outcome = WouldBeDisqualified
	}
	verdicts := make([]RuleVerdict, len(told.Verdicts))
	for i, v := range told.Verdicts {
		rule := d.Profile.Rules[i]
		verdicts[i] = RuleVerdict{
			Rule: v.Rule, Weight: cmp.Or(rule.Weight, 1), Required: rule.Required, Met: v.Met, Error: optional(v.Error), Saw: showSights(told.Sights[i]),
		}
	}
	result.QualificationScore, result.Threshold = &told.Score, &d.Profile.Threshold
	result.MatchReasons, result.Verdicts = &told.Reasons, &verdicts
	return result, nil
}

// showSights returns as the API shows it what a rule looked at.
func showSights(sights []rules.Sight) []RuleSight {
	shown := make([]RuleSight, len(sights))
	for i, s := range sights {
		shown[i] = RuleSight{Field: s.Field, Values: s.Values, More: s.More}
	}
	return shown
}

// add adds a result.
func (s *RulesTestSummary) add(result RulesTestResult) {
	s.Items = append(s.Items, result)
	switch result.Outcome {
	case WouldQualify:
		s.Qualified++
	case WouldBeDisqualified:
		s.Disqualified++
	case WouldBeExcluded:
		s.Excluded++
	case WouldBeRejected:
		s.Rejected++
	}
}
