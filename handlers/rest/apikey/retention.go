package apikey

import (
	"context"
	"fmt"
)

// Retain has what is personal of the organisation of that ID, or the oldest of that name, be erased when it is so many days old; nil: never.
func (k *Keys) Retain(ctx context.Context, nameOrID string, days *int) (Organisation, error) {
	const query = `UPDATE organisations SET retention_days = $2, retention_applied_at = NULL WHERE id = $1`
	org, ok, err := k.Organisation(ctx, nameOrID)
	if err != nil {
		return org, err
	}
	if !ok {
		return org, fmt.Errorf("there is no organisation %s", nameOrID)
	}
	if _, err := k.pool.Exec(ctx, query, org.ID, days); err != nil {
		return org, fmt.Errorf("set retention of %s: %w", org.ID, err)
	}
	return org, nil
}
