package domain

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"strings"

	"github.com/google/uuid"
)

// IDs are readable strings: a prefix that says what they name, and a part that makes
// them unique and sorts by time of creation. They are distinct types, so that one never
// stands in for another. Ours are made at the program's edges; the engine's are kept as
// given.
type (
	OrganisationID    string // org_…
	DeliveryID        string // dcf_…, a delivery configuration
	DestinationID     string // dst_…
	HandOverID        string // del_…, what webhooks call delivery_id (contract, section 1)
	DispatchID        string // dsp_…
	SecretID          string // sec_…
	ReplayID          string // rpl_…, a job that has dispatches attempted again
	RequalificationID string // rql_…, a job that judges companies again
	ErasureID         string // ers_…, of somebody from what an organisation was told
	ExclusionID       string // exc_…, of a value that an organisation excludes
	TestID            string // tst_…, a webhook sent for the sake of a test
	SearchID          string // the engine's prospect search; a UUID when we make it
	CompanyID         string // the engine's
)

// NewOrganisationID returns an ID that sorts after those made before it.
func NewOrganisationID() OrganisationID { return OrganisationID(newID("org_")) }

// NewDeliveryID returns an ID that sorts after those made before it.
func NewDeliveryID() DeliveryID { return DeliveryID(newID("dcf_")) }

// NewDestinationID returns an ID that sorts after those made before it.
func NewDestinationID() DestinationID { return DestinationID(newID("dst_")) }

// NewHandOverID returns an ID that sorts after those made before it.
func NewHandOverID() HandOverID { return HandOverID(newID("del_")) }

// NewSecretID returns an ID that sorts after those made before it.
func NewSecretID() SecretID { return SecretID(newID("sec_")) }

// NewReplayID returns an ID that sorts after those made before it.
func NewReplayID() ReplayID { return ReplayID(newID("rpl_")) }

// NewRequalificationID returns an ID that sorts after those made before it.
func NewRequalificationID() RequalificationID { return RequalificationID(newID("rql_")) }

// NewErasureID returns an ID that sorts after those made before it.
func NewErasureID() ErasureID { return ErasureID(newID("ers_")) }

// NewTestID returns an ID that sorts after those made before it.
func NewTestID() TestID { return TestID(newID("tst_")) }

// NewKeyID returns an API key's ID, which sorts after those made before it.
func NewKeyID() string { return newID("key_") }

// NewSearchID returns a fresh ID for a delivery that names no prospect search.
func NewSearchID() SearchID { return SearchID(uuid.NewString()) }

// DispatchIDFor returns the ID of the one dispatch of a hand-over to a destination. It
// is a function of its arguments, so that working out what is owed a second time names
// the same dispatches, and it sorts with the hand-over, so that fresh ones lie close
// together in an index.
func DispatchIDFor(h HandOverID, d DestinationID) DispatchID {
	const shared = 10 // characters of the hand-over's time, 50 bits
	_, unique, _ := strings.Cut(string(h), "_")
	sum := sha256.Sum256([]byte(string(h) + "/" + string(d)))
	return DispatchID("dsp_" + unique[:min(shared, len(unique))] + hex.EncodeToString(sum[:10]))
}

// encoding is Crockford's base 32 in lower case: no i, l, o or u, and in byte order.
var encoding = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// newID returns prefix and a UUIDv7 in 26 characters.
func newID(prefix string) string {
	id := uuid.Must(uuid.NewV7()) // fails only without a source of randomness
	return prefix + encoding.EncodeToString(id[:])
}
