package domain_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
)

func TestErrorsSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	require.EqualError(t, domain.Errorf(domain.Conflict, "CONFLICT", "%s is %d", "it", 7), "it is 7")
	require.EqualError(t, &domain.Error{Message: "the request is not valid", Faults: []domain.Fault{
		{Field: "name", Error: "is required"}, {Field: "url", Error: "is too long"},
	}}, "the request is not valid (name: is required; url: is too long)")
}

func TestKindOfErrors(t *testing.T) {
	t.Parallel()
	stale := domain.Errorf(domain.Stale, "PRECONDITION_FAILED", "it has changed")
	require.Equal(t, domain.Stale, domain.KindOf(stale))
	require.Equal(t, domain.Stale, domain.KindOf(fmt.Errorf("update delivery: %w", stale)))
	require.Equal(t, domain.Stale, domain.KindOf(errors.Join(errors.New("a"), stale)))
	require.Equal(t, domain.Internal, domain.KindOf(errors.New("connection refused")))
	require.Equal(t, domain.Internal, domain.KindOf(nil))
}
