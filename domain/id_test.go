package domain_test

import (
	"slices"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
)

func TestIDsSayWhatTheyNameAndSortByCreation(t *testing.T) {
	t.Parallel()
	for prefix, create := range map[string]func() string{
		"org_": func() string { return string(domain.NewOrganisationID()) },
		"dcf_": func() string { return string(domain.NewDeliveryID()) },
		"dst_": func() string { return string(domain.NewDestinationID()) },
		"del_": func() string { return string(domain.NewHandOverID()) },
		"sec_": func() string { return string(domain.NewSecretID()) },
		"key_": domain.NewKeyID,
	} {
		t.Run(prefix, func(t *testing.T) {
			t.Parallel()
			ids := make([]string, 5000) // over several milliseconds, the unit of their time
			for i := range ids {
				ids[i] = create()
			}
			require.Regexp(t, "^"+prefix+"[0-9a-hjkmnp-tv-z]{26}$", ids[0])
			require.Len(t, ids[len(ids)-1], len(ids[0]))
			require.True(t, slices.IsSorted(ids))
			require.Len(t, slices.Compact(ids), 5000)
		})
	}
}

func TestSearchIDIsAUUID(t *testing.T) {
	t.Parallel()
	id := domain.NewSearchID()
	require.NoError(t, uuid.Validate(string(id)))
	require.NotEqual(t, id, domain.NewSearchID())
}

func TestDispatchIDIsOneForAHandOverAndADestination(t *testing.T) {
	t.Parallel()
	h, d := domain.NewHandOverID(), domain.NewDestinationID()
	id := domain.DispatchIDFor(h, d)

	require.Equal(t, id, domain.DispatchIDFor(h, d))
	require.NotEqual(t, id, domain.DispatchIDFor(h, domain.NewDestinationID()))
	require.NotEqual(t, id, domain.DispatchIDFor(domain.NewHandOverID(), d))
	require.Equal(t, "dsp_"+string(h)[len("del_"):][:10], string(id)[:14], "it has the time of its hand-over")
	require.Len(t, id, 34)
}

// Receivers deduplicate on the dispatch's ID and read models work it out in SQL: as a
// function it is for ever.
func TestDispatchIDStaysTheSame(t *testing.T) {
	t.Parallel()
	for want, of := range map[domain.DispatchID][2]string{
		"dsp_06h0ha9t4n4cdbcd28a8352618d608": {"del_06h0ha9t4nv6zetza2f8ayzykm", "dst_06h0ha9t4ntpf983gmjax4f7d0"},
		"dsp_01k0abcdef1b2c2801843b51ed5209": {"del_01k0abcdefghjkmnpqrstvwxyz", "dst_01k0abcdefghjkmnpqrstvwxyz"},
		"dsp_1424451cea0a38284f4e1":          {"del_1", "dst_1"},
	} {
		require.Equal(t, want, domain.DispatchIDFor(domain.HandOverID(of[0]), domain.DestinationID(of[1])))
	}
}
