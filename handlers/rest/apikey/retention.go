package apikey

import (
	"context"
	"fmt"

	"github.com/openprospect/delivery-ledger/domain"
)

// Retain has what is personal of an organisation be erased when it is so many days old; nil: never. It returns the organisation,
// and false when there is none.
func (k *Keys) Retain(ctx context.Context, id domain.OrganisationID, days *int) (Organisation, bool, error) {
	const query = `UPDATE organisations SET retention_days = $2, retention_applied_at = NULL WHERE id = $1 RETURNING ` + organisationColumns
	rows, _ := k.pool.Query(ctx, query, id, days) // one reports the error
	org, ok, err := one[Organisation](rows)
	if err != nil {
		return org, false, fmt.Errorf("set retention of %s: %w", id, err)
	}
	return org, ok, nil
}
