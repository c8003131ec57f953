package main

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
)

func TestEventsAreListedAndDescribed(t *testing.T) {
	t.Parallel()
	out, _, err := verb(t, "", "events", "list")
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	require.Len(t, lines, 1+len(domain.Schemas()))
	require.Regexp(t, `^TYPE +VERSION +RECORDED NOW +WHAT IT SAYS$`, lines[0])
	require.Regexp(t, `\ndelivery\.paused +1 +yes +delivery\.paused holds a delivery's pushes\. .*\n`, out)
	for _, s := range domain.Schemas() {
		words := []string{"events", "schema", s.Type}
		if !s.Current {
			words = append(words, "--version", strconv.Itoa(s.Version))
		}
		out, _, err := verb(t, "", words...)
		require.NoError(t, err)
		require.Equal(t, string(s.Document), out)
		require.True(t, json.Valid([]byte(out)))
	}
	_, _, err = verb(t, "", "events", "schema", "company.forgotten")
	require.ErrorContains(t, err, "there is no type of event company.forgotten; there are delivery.created, ")
	for _, version := range []string{"99", "-1"} {
		_, _, err = verb(t, "", "events", "schema", "delivery.paused", "--version="+version)
		require.ErrorContains(t, err, "delivery.paused has no version "+version+"; the last is 1")
	}
}
