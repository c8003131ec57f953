package rest_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/handlers/rest"
)

// faulty is a line with a hundred faults, so that its result takes some 7 KiB.
var faulty = `{"company":{"id":"a","name":"x"},"prospects":[{}` + strings.Repeat(`,{}`, 99) + `]}` + "\n"

func TestLongAnswerIsWhole(t *testing.T) {
	t.Parallel()
	c, _ := setup(t)
	id := c.createDelivery(t, judgedDelivery)
	for name, n := range map[string]int{"partly on disk": 500, "too large to be kept": 4000} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for range 2 {
				s, a := c.judge(t, id, strings.Repeat(faulty, n), append(ndjson, "Idempotency-Key", name)...)
				require.Equal(t, []int{n, n}, []int{s.Rejected, len(s.Items)})
				for i := range s.Items {
					require.Equal(t, i, s.Items[i].Index)
				}
				require.NotContains(t, string(a.body[:200]), "unlisted")
			}
			again := c.call(t, http.StatusOK, "POST", "/api/v1/deliveries/"+id+"/candidates", strings.Repeat(faulty, n),
				append(ndjson, "Idempotency-Key", name)...)
			require.Equal(t, n == 500, again.header.Get("Idempotency-Replayed") == "true", "a longer one is made again")
		})
	}
}

func TestWhatAnAnswerListsIsBounded(t *testing.T) {
	t.Parallel()
	c, _ := setup(t, func(cfg *rest.Config) { cfg.MaxListed = 10_000 })
	id := c.createDelivery(t, judgedDelivery)
	lines := candidate("a", true) + "\n" + strings.Repeat(faulty, 10) + candidate("b", true) + "\n" + candidate("c", false)
	s, a := c.judge(t, id, lines, ndjson...)
	require.Equal(t, []string{"accepted", "rejected"}, s.outcomes(), "none is left out that comes before another")
	require.Equal(t, []int{2, 1, 10}, []int{s.Accepted, s.Disqualified, s.Rejected}, "all are counted")
	require.InDelta(t, 11, a.json(t)["unlisted"], 0)
	require.Less(t, len(a.body), 10_200)
}

func TestFaultsOfAnItemAreBounded(t *testing.T) {
	t.Parallel()
	c, _ := setup(t)
	id := c.createDelivery(t, judgedDelivery)
	var line strings.Builder
	line.WriteString(`{"company":{"id":"a","name":"x"}`)
	for i := range 5000 {
		fmt.Fprintf(&line, `,"%d%s":1`, i, strings.Repeat("y", 150))
	}
	_, a := c.judge(t, id, line.String()+"}", ndjson...)
	var got struct {
		Items []struct {
			Error struct {
				Details struct {
					Faults []struct{ Field, Error string } `json:"validation_errors"`
				}
			}
		}
	}
	require.NoError(t, json.Unmarshal(a.body, &got))
	faults := got.Items[0].Error.Details.Faults
	require.Len(t, faults, 101)
	require.Equal(t, "body has 4900 further faults", faults[100].Field+" "+faults[100].Error)
	require.Less(t, len(a.body), 20_000)
}

func TestSpoolGivesBackWhatWasWritten(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for _, size := range []int{0, 1000, rest.SpoolMemory, 5*rest.SpoolMemory + 7} {
		var s rest.Spool
		var want bytes.Buffer
		for want.Len() < size {
			part := bytes.Repeat([]byte{byte(random.Uint32())}, min(1+random.IntN(rest.SpoolMemory/2), size-want.Len()))
			want.Write(part)
			n, err := s.Write(part)
			require.NoError(t, err)
			require.Equal(t, len(part), n)
			require.LessOrEqual(t, s.InMemory(), rest.SpoolMemory)
		}
		var got bytes.Buffer
		n, err := s.WriteTo(&got)
		require.NoError(t, err)
		require.Equal(t, int64(size), n)
		require.True(t, bytes.Equal(want.Bytes(), got.Bytes()))
		require.NoError(t, s.Close())
		require.NoError(t, s.Close())
	}
}
