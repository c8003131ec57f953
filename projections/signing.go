package projections

import (
	"time"

	"github.com/openprospect/delivery-ledger/domain"
)

// withSigning is a destination's config with the secrets of a rotation, $2.
const withSigning = `(config::jsonb - 'former_signing_secret' - 'former_signing_ends' - 'signing_public_key' || $2::jsonb)::json`

// signing is what of a destination's config names the secrets that sign.
type signing struct {
	Secret     domain.SecretID `json:"signing_secret"`
	PublicKey  string          `json:"signing_public_key,omitempty"`
	Former     domain.SecretID `json:"former_signing_secret,omitempty"`
	FormerEnds *time.Time      `json:"former_signing_ends,omitempty"`
}

// signingOf returns what a rotation makes of a config.
func signingOf(e domain.SigningSecretRotated) signing {
	return signing{Secret: e.SigningSecret, PublicKey: e.PublicKey, Former: e.FormerSecret, FormerEnds: e.FormerEnds}
}
