package rest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/openprospect/delivery-ledger/eventstore"
	"github.com/openprospect/delivery-ledger/eventstore/proof"
	"github.com/openprospect/delivery-ledger/handlers/rest/apikey"
	"github.com/openprospect/delivery-ledger/projections"
)

// checkpoint asks for a signed state of the log over an event at least, and checks its signature.
func (f *fixtures) checkpoint(t *testing.T, c client, least eventstore.Position) proof.Checkpoint {
	t.Helper()
	a := c.call(t, http.StatusOK, "GET", "/api/v1/audit/checkpoint", "", "Ledger-Min-Position", fmt.Sprint(least))
	require.Equal(t, f.publicKey(t), a.field(t, "key"))
	opened := f.open(t, a.field(t, "checkpoint"))
	require.Equal(t, opened.Origin, a.field(t, "origin"))
	require.EqualValues(t, opened.Size, a.json(t)["size"])
	require.Equal(t, opened.Root.String(), a.field(t, "root_hash"))
	return opened
}

// publicKey returns that of what the ledger signs now.
func (f *fixtures) publicKey(t *testing.T) string {
	t.Helper()
	key, err := f.notary.Key(t.Context())
	require.NoError(t, err)
	return key
}

// open returns the checkpoint of a note that the ledger signed.
func (f *fixtures) open(t *testing.T, note string) proof.Checkpoint {
	t.Helper()
	keys, err := proof.ParseKeys(f.publicKey(t))
	require.NoError(t, err)
	opened, err := proof.OpenCheckpoint(note, keys)
	require.NoError(t, err)
	return opened
}

func TestTheNewestCheckpointIsShownAndSignedWhereItIsTooOld(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	require.Zero(t, f.checkpoint(t, c, 0).Size, "an empty log can be signed")
	c.createDelivery(t, `{"name":"CRM"}`)
	require.Zero(t, f.checkpoint(t, f.client(t, f.org), 0).Size, "any key may ask, and nobody is made to wait")
	require.Equal(t, int64(f.head(t)), f.checkpoint(t, c, f.head(t)).Size)
	require.Equal(t, []string{"Ledger-Min-Position"}, c.call(t, http.StatusUnprocessableEntity, "GET", "/api/v1/audit/checkpoint", "",
		"Ledger-Min-Position", "1000").faults(t))
}

func TestAllKeysAreListedWithTheirHandOvers(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	c.createDelivery(t, `{"name":"CRM"}`)
	first := f.publicKey(t)
	items := c.call(t, http.StatusOK, "GET", "/api/v1/audit/keys", "").items(t)
	require.Len(t, items, 1)
	require.Equal(t, first, items[0]["key"])
	require.NotContains(t, items[0], "checkpoint")
	handed, err := f.notary.Rotate(t.Context())
	require.NoError(t, err)
	items = f.client(t, f.org).call(t, http.StatusOK, "GET", "/api/v1/audit/keys", "").items(t)
	require.Len(t, items, 2, "any key may ask")
	require.Equal(t, f.publicKey(t), items[0]["key"])
	require.Equal(t, handed.Note, items[0]["checkpoint"])
	require.EqualValues(t, handed.Size, items[0]["size"])
	require.Equal(t, first, items[1]["key"])
	f.checkpoint(t, c, f.head(t))
}

func TestAProofHoldsByWhatIsInIt(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	delivery := c.createDelivery(t, `{"name":"CRM"}`)
	for i := range 3 {
		c.call(t, http.StatusOK, "POST", "/api/v1/deliveries/"+delivery+"/qualifications", company("comp_"+strconv.Itoa(i)))
	}
	for position := eventstore.Position(1); position <= f.head(t); position++ {
		a := c.call(t, http.StatusOK, "GET", fmt.Sprintf("/api/v1/audit/proof?position=%d", position), "")
		var got struct {
			Event struct {
				Position      eventstore.Position
				Version       eventstore.Version
				RecordedAt    time.Time `json:"recorded_at"`
				ID            uuid.UUID
				SchemaVersion int16 `json:"schema_version"`
				Stream, Type  string
				Data          string
				Metadata      string
			}
			Previous   []byte `json:"previous_hash"`
			Hash       []byte
			LeafIndex  int64            `json:"leaf_index"`
			TreeSize   int64            `json:"tree_size"`
			Path       tlog.RecordProof `json:"audit_path"`
			Checkpoint string
		}
		require.NoError(t, json.Unmarshal(a.body, &got))
		e := got.Event
		require.Equal(t, position, e.Position)
		require.Equal(t, int64(position)-1, got.LeafIndex)
		p := proof.RecordProof{
			Record: eventstore.Record{
				Position: e.Position, Version: e.Version, RecordedAt: e.RecordedAt, ID: e.ID, SchemaVersion: e.SchemaVersion, Stream: e.Stream,
				Type: e.Type, Data: json.RawMessage(e.Data), Metadata: json.RawMessage(e.Metadata), Hash: got.Hash,
			},
			Previous: got.Previous, Path: got.Path, Checkpoint: f.open(t, got.Checkpoint),
		}
		require.Equal(t, got.TreeSize, p.Checkpoint.Size)
		require.NoError(t, p.Check())
		p.Record.Data[2]++
		require.Error(t, p.Check())
	}
}

func TestProofsAreOfOnesOwnEvents(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	delivery := c.createDelivery(t, `{"name":"CRM"}`)
	foreign := f.foreigner(t)
	own := f.head(t) + 1
	foreign.createDelivery(t, `{"name":"Theirs"}`)
	none := foreign.call(t, http.StatusNotFound, "GET", "/api/v1/audit/proof?position=1000000", "").said(t, nil)
	require.Equal(t, none, foreign.call(t, http.StatusNotFound, "GET", "/api/v1/audit/proof?position=1", "").said(t, nil), "another's is as if it were absent")
	foreign.call(t, http.StatusOK, "GET", fmt.Sprintf("/api/v1/audit/proof?position=%d", own), "")
	c.call(t, http.StatusNotFound, "GET", fmt.Sprintf("/api/v1/audit/proof?position=%d", own), "")
	c.call(t, http.StatusOK, "POST", "/api/v1/exclusions", `{"kind":"domain","value":"example.com"}`)
	excluded := fmt.Sprintf("/api/v1/audit/proof?position=%d", f.head(t))
	c.call(t, http.StatusOK, "GET", excluded, "")
	foreign.call(t, http.StatusNotFound, "GET", excluded, "")
	c.call(t, http.StatusNoContent, "DELETE", "/api/v1/deliveries/"+delivery, "")
	f.shown(t, projections.Dispatches())
	c.call(t, http.StatusOK, "GET", "/api/v1/audit/proof?position=1", "")
	f.client(t, f.org, apikey.DeliveriesRead).call(t, http.StatusForbidden, "GET", "/api/v1/audit/proof?position=1", "")
	for _, query := range []string{"", "?position=0", "?position=x", "?position=1&position=2", "?position=99999999999999999999"} {
		require.Equal(t, []string{"position"}, c.call(t, http.StatusUnprocessableEntity, "GET", "/api/v1/audit/proof"+query, "").faults(t), query)
	}
}

func TestCheckpointsAreShownToBeOfOneLog(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	var kept []proof.Checkpoint
	for range 4 {
		c.createDelivery(t, `{"name":"CRM"}`)
		kept = append(kept, f.checkpoint(t, c, f.head(t)))
	}
	for i, from := range kept {
		for _, to := range append(kept[i:], proof.Checkpoint{}) {
			path := fmt.Sprintf("/api/v1/audit/consistency?from=%d", from.Size)
			if to.Size > 0 {
				path += fmt.Sprintf("&to=%d", to.Size)
			} else {
				to = kept[len(kept)-1]
			}
			a := c.call(t, http.StatusOK, "GET", path, "")
			var got struct {
				Path       tlog.TreeProof `json:"consistency_path"`
				Checkpoint string
				From, To   int64
			}
			require.NoError(t, json.Unmarshal(a.body, &got))
			require.Equal(t, to.Note, got.Checkpoint)
			require.Equal(t, []int64{from.Size, to.Size}, []int64{got.From, got.To})
			require.NoError(t, proof.TreeProof{From: from, To: f.open(t, got.Checkpoint), Path: got.Path}.Check())
		}
	}
	head := f.head(t)
	c.createDelivery(t, `{"name":"CRM"}`)
	require.EqualValues(t, head+1, c.call(t, http.StatusOK, "GET", fmt.Sprintf("/api/v1/audit/consistency?from=%d", head+1), "").json(t)["to"])
	for query, field := range map[string]string{"": "from", "?from=0": "from", "?from=1000000": "from", "?from=2&to=1": "to", "?from=1&to=0": "to"} {
		require.Equal(t, []string{field}, c.call(t, http.StatusUnprocessableEntity, "GET", "/api/v1/audit/consistency"+query, "").faults(t), query)
	}
	require.Equal(t, "ENTITY_NOT_FOUND", c.call(t, http.StatusNotFound, "GET", "/api/v1/audit/consistency?from=1&to=1000000", "").field(t, "code"))
}

func TestARewrittenLogIsNotVouchedFor(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	c.createDelivery(t, `{"name":"CRM"}`)
	f.checkpoint(t, c, 1)
	_, err := f.pool.Exec(t.Context(), `SET session_replication_role = replica; UPDATE events SET hash = sha256('x') WHERE position = 1; RESET session_replication_role`)
	require.NoError(t, err)
	for _, path := range []string{"proof?position=1", "consistency?from=1"} {
		require.Equal(t, "INTERNAL", c.call(t, http.StatusInternalServerError, "GET", "/api/v1/audit/"+path, "").field(t, "code"))
	}
	require.Contains(t, f.log.String(), "history was rewritten")
}
