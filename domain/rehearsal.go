package domain

import "github.com/openprospect/delivery-ledger/domain/rules"

// A Rehearsal is what judging a candidate would come to, and why.
type Rehearsal struct {
	rules.Judgement
	Excluded *Excluded       // what disqualifies the company, whatever the rules say; nil: nothing does
	Sights   [][]rules.Sight // for each rule, what it looked at
}

// Rehearse returns what the command would decide of a company that never came before. Like for Decide,
// the candidate must have passed [Candidate.Check], and the delivery must have rules.
func (c JudgeCandidate) Rehearse() (Rehearsal, error) {
	seen, judged, err := c.judge()
	if err != nil {
		return Rehearsal{}, err
	}
	return Rehearsal{Judgement: judged, Excluded: c.Excluded, Sights: c.Delivery.Profile.Sights(seen)}, nil
}

// Rehearsed returns the delivery with which org may rehearse: as it would be with those rules and that
// threshold, nil: those it has. The rules must have passed the check of such that are saved. A profile that
// the delivery does not have has no version.
func (d Delivery) Rehearsed(org OrganisationID, id DeliveryID, list *[]rules.Rule, threshold *int) (Delivery, error) {
	if !d.Exists(org) {
		return Delivery{}, errNoDelivery(id)
	}
	profile := change(d.Profile, list, threshold)
	if profile.Threshold != d.Profile.Threshold || !sameRules(profile.Rules, d.Profile.Rules) {
		profile.Version = 0
		d.Profile, d.judge = profile, rules.NewJudge(profile)
	}
	if !d.Judges() {
		return Delivery{}, ErrNoRules(string(id))
	}
	return d, nil
}
