package domain

import (
	"crypto/sha256"
	"encoding/binary"
	"time"

	"github.com/google/uuid"
)

// A Seed makes IDs and secrets that come out the same each time, for work that may be done
// again after a crash hid what came of it. The nil Seed makes fresh ones.
type Seed struct {
	At     time.Time // by which the IDs sort
	Secret []byte    // which nobody may know, and which makes them unique
}

// OrganisationID returns the ID of the organisation that the work creates.
func (s *Seed) OrganisationID() OrganisationID {
	if s == nil {
		return NewOrganisationID()
	}
	return OrganisationID(s.id("org_"))
}

// KeyID returns the ID of the API key that the work creates.
func (s *Seed) KeyID() string {
	if s == nil {
		return NewKeyID()
	}
	return s.id("key_")
}

// DeliveryID returns the ID of the delivery that the work creates.
func (s *Seed) DeliveryID() DeliveryID {
	if s == nil {
		return NewDeliveryID()
	}
	return DeliveryID(s.id("dcf_"))
}

// DestinationID returns the ID of the destination that the work creates.
func (s *Seed) DestinationID() DestinationID {
	if s == nil {
		return NewDestinationID()
	}
	return DestinationID(s.id("dst_"))
}

// ReplayID returns the ID of the replay that the work starts.
func (s *Seed) ReplayID() ReplayID {
	if s == nil {
		return NewReplayID()
	}
	return ReplayID(s.id("rpl_"))
}

// RequalificationID returns the ID of the requalification that the work starts.
func (s *Seed) RequalificationID() RequalificationID {
	if s == nil {
		return NewRequalificationID()
	}
	return RequalificationID(s.id("rql_"))
}

// ErasureID returns the ID of the erasure that the work starts.
func (s *Seed) ErasureID() ErasureID {
	if s == nil {
		return NewErasureID()
	}
	return ErasureID(s.id("ers_"))
}

// SearchID returns the ID of a prospect search, for a delivery that names none.
func (s *Seed) SearchID() SearchID {
	if s == nil {
		return NewSearchID()
	}
	id := uuid.UUID(s.Bytes("search")[:16])
	return SearchID(versioned(id, 4).String())
}

// Bytes returns 32 bytes that nobody can guess, a function of the seed and of what they are
// for. The seed MUST NOT be nil.
func (s *Seed) Bytes(purpose string) []byte {
	h := sha256.New()
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(s.Secret)))) // a hash takes everything
	h.Write(s.Secret)
	h.Write([]byte(purpose))
	return h.Sum(nil)
}

// id is like [newID].
func (s *Seed) id(prefix string) string {
	const timeBytes = 6
	id := uuid.UUID(s.Bytes(prefix)[:16])
	milliseconds := binary.BigEndian.AppendUint64(nil, uint64(s.At.UnixMilli()))
	copy(id[:timeBytes], milliseconds[len(milliseconds)-timeBytes:])
	id = versioned(id, 7)
	return prefix + encoding.EncodeToString(id[:])
}

// versioned returns id marked as a UUID of that version.
func versioned(id uuid.UUID, version byte) uuid.UUID {
	id[6], id[8] = id[6]&0x0f|version<<4, id[8]&0x3f|0x80
	return id
}
