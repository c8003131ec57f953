package projections

import (
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/openprospect/delivery-ledger/domain"
)

// Daily keeps for analysts what each delivery does by the day: what [Stats] counts, in a table of the same shape, the
// companies that were disqualified, and in another table how often what happened for which reason.
//
// Customers and engines choose the texts of reasons, so only so many of a day have rows of their own: the first of them, in
// the order of the log. What comes first on a day is the same wherever the log is cut into pages, as what is most frequent
// would not be until the day has ended.
func Daily() Projection {
	table := newStatsTable("daily", "day", "date", 24*time.Hour, counters)
	return Projection{
		Name:    "daily",
		Version: 1,
		Tables:  []string{"daily", "reasons", "daily_targets", "daily_rules"},
		Types: types(domain.RulesSet{}, domain.DestinationAdded{}, domain.DestinationRemoved{}, domain.DeliveryDeleted{},
			domain.CompanyQualified{}, domain.CompanyDisqualified{}, domain.DispatchBackfilled{},
			domain.AttemptSucceeded{}, domain.AttemptFailed{}, domain.DispatchFailed{}),
		Rest: atLeisure,
		Apply: func(batch *pgx.Batch, page []Entry) {
			sums, given := table.run(), newReasonRun()
			flush := func() {
				sums.flush(batch)
				given.flush(batch)
			}
			for _, entry := range page {
				if sums.count(entry) {
					given.add(entry)
					continue
				}
				flush()
				table.applyToTargets(batch, entry)
				applyToRules(batch, entry)
			}
			flush()
		},
	}
}

// applyToRules queues what an event of configuration says of rules.
func applyToRules(batch *pgx.Batch, entry Entry) {
	const set = `INSERT INTO daily_rules (delivery_id, version, required) VALUES ($1, $2, $3)`
	if e, ok := entry.Event.(domain.RulesSet); ok {
		required := []string{}
		for _, rule := range e.Rules {
			if rule.Required {
				required = append(required, shortReason(rule.Name))
			}
		}
		batch.Queue(set, e.Delivery, entry.Version, required)
	}
}
