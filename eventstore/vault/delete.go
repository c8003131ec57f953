package vault

import (
	"context"
	"fmt"
)

// Delete forgets the secret kept under id, if there is one. No event that counts may name it any more.
func (v *Vault) Delete(ctx context.Context, id string) error {
	const query = `DELETE FROM secrets WHERE id = $1`
	if _, err := v.pool.Exec(ctx, query, id); err != nil {
		return fmt.Errorf("delete secret %s: %w", id, err)
	}
	return nil
}
