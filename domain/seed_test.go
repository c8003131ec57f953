package domain_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
)

func TestASeedMakesTheSameIDsEachTime(t *testing.T) {
	t.Parallel()
	now := time.Now()
	seed := func(at time.Time, secret string) *domain.Seed { return &domain.Seed{At: at, Secret: []byte(secret)} }
	a, again, b := seed(now, "a"), seed(now, "a"), seed(now, "b")
	require.Equal(t, a.OrganisationID(), again.OrganisationID())
	require.Equal(t, a.KeyID(), again.KeyID())
	require.Equal(t, a.DeliveryID(), again.DeliveryID())
	require.Equal(t, a.DestinationID(), again.DestinationID())
	require.Equal(t, a.SearchID(), again.SearchID())
	require.Equal(t, a.Bytes("x"), again.Bytes("x"))
	require.NotEqual(t, a.OrganisationID(), b.OrganisationID())
	require.NotEqual(t, a.KeyID(), b.KeyID())
	require.NotEqual(t, a.DeliveryID(), b.DeliveryID())
	require.NotEqual(t, a.SearchID(), b.SearchID())
	require.NotEqual(t, a.Bytes("x"), a.Bytes("y"))

	require.Len(t, a.DeliveryID(), len(domain.NewDeliveryID()), "they look like any other")
	require.Regexp(t, "^org_", a.OrganisationID())
	require.Regexp(t, "^key_", a.KeyID())
	require.Less(t, a.DeliveryID(), seed(now.Add(time.Millisecond), "a").DeliveryID(), "and sort by time")
	id, err := uuid.Parse(string(a.SearchID()))
	require.NoError(t, err)
	require.EqualValues(t, 4, id.Version())

	var none *domain.Seed
	fresh := map[any]bool{}
	for range 2 {
		fresh[none.DeliveryID()], fresh[none.DestinationID()], fresh[none.SearchID()] = true, true, true
		fresh[none.OrganisationID()], fresh[none.KeyID()] = true, true
	}
	require.Len(t, fresh, 10)
}
