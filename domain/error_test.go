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
	absent := domain.Errorf(domain.NotFound, "DELIVERY_NOT_FOUND", "there is none")
	require.Equal(t, domain.NotFound, domain.KindOf(absent))
	require.Equal(t, domain.NotFound, domain.KindOf(fmt.Errorf("update delivery: %w", absent)))
	require.Equal(t, domain.NotFound, domain.KindOf(errors.Join(errors.New("a"), absent)))
	require.Equal(t, domain.Internal, domain.KindOf(errors.New("connection refused")))
	require.Equal(t, domain.Internal, domain.KindOf(nil))
}
