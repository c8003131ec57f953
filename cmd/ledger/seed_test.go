package main

import (
	_ "embed"
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/migrations/testdb"
)

// The samples of the documentation that customers have, as printed there.
var (
	//go:embed testdata/seed/requests.txt
	seedRequests string
	//go:embed testdata/seed/payload.json
	seedPayload string
)

// The samples, in the order of the page.
const (
	addDestinationFirst = iota
	fetchCompanies
	fetchCompaniesSince
	listDeliveries
	createDelivery
	addDestination
	readDelivery
	updateDelivery
	deleteDelivery
	seedSamples
)

// seed returns the samples with a base address, a key, an ID and the address of a receiver put
// in; all else is as printed.
func seed(tb testing.TB, base, key, id, receiver string) []curl {
	tb.Helper()
	samples := curls(tb, strings.NewReplacer(
		"https://api.openprospect.io", base, "${OPENPROSPECT_API_KEY}", key, "https://your-api.com/webhooks/openprospect", receiver,
		"/deliveries/123/", "/deliveries/"+id+"/", "{id}", id, "{prospect_search_id}", id,
	).Replace(seedRequests))
	require.Len(tb, samples, seedSamples)
	return samples
}

func TestSamplesOfTheDocumentationRunAsPrinted(t *testing.T) {
	t.Parallel()
	database := testdb.URL(t)
	key := newKey(t, database)
	p := serve(t, database, encryptionKey())
	r := newReceiver(t, ok)

	for _, add := range []int{addDestinationFirst, addDestination} {
		made := seed(t, p.base, key, "", r.url)[createDelivery].send(t, http.StatusCreated)
		require.Equal(t, "CRM Sync", made["name"])
		require.Equal(t, "active", made["status"])
		require.Equal(t, "immediate", made["schedule"])
		id := made["id"].(string)
		samples := seed(t, p.base, key, id, r.url)

		destination := samples[add].send(t, http.StatusCreated)
		require.Equal(t, "webhook", destination["type"])
		require.Equal(t, r.url, destination["url"])
		require.NotContains(t, destination, "auth_token", "secrets are write-only")

		list := samples[listDeliveries].send(t, http.StatusOK)
		require.Equal(t, id, list["items"].([]any)[0].(map[string]any)["id"], "newest first")
		detail := samples[readDelivery].send(t, http.StatusOK)
		require.Equal(t, destination["id"], detail["destinations"].([]any)[0].(map[string]any)["id"])

		for _, fetch := range []int{fetchCompanies, fetchCompaniesSince} {
			page := samples[fetch].send(t, http.StatusOK)
			require.Empty(t, page["items"])
			require.EqualValues(t, 50, page["limit"])
		}

		updated := samples[updateDelivery].send(t, http.StatusOK)
		require.Equal(t, "CRM Sync (Updated)", updated["name"])
		require.Equal(t, "paused", updated["status"])
		require.Equal(t, "immediate", updated["schedule"], "what the sample leaves out keeps its value")
		samples[deleteDelivery].send(t, http.StatusNoContent)
		samples[readDelivery].send(t, http.StatusNotFound)
		samples[deleteDelivery].send(t, http.StatusNotFound)
	}
}

func TestReceiverGetsThePayloadOfTheDocumentation(t *testing.T) {
	t.Parallel()
	database := testdb.URL(t)
	key := newKey(t, database)
	p := serve(t, database, encryptionKey())
	r := newReceiver(t, ok)
	id := seed(t, p.base, key, "", r.url)[createDelivery].send(t, http.StatusCreated)["id"].(string)
	samples := seed(t, p.base, key, id, r.url)
	samples[addDestination].send(t, http.StatusCreated)

	var printed map[string]any
	require.NoError(t, json.Unmarshal([]byte(seedPayload), &printed))
	data, err := json.Marshal(printed["data"])
	require.NoError(t, err)
	before := time.Now().Truncate(time.Second)
	p.at(key).must(t, http.StatusOK, http.MethodPost, "/api/v1/deliveries/"+id+"/qualifications", string(data))

	got := r.await(t, 1)[0]
	require.Equal(t, "/webhooks/openprospect", got.path)
	require.Equal(t, "Bearer your-secret-token", got.header.Get("Authorization"))
	require.Equal(t, "application/json", got.header.Get("Content-Type"))
	for _, name := range []string{"Webhook-Id", "Webhook-Timestamp", "Webhook-Signature", "User-Agent", "Traceparent"} {
		require.NotEmpty(t, got.header.Get(name), name)
	}
	require.Equal(t, "1", got.header.Get("Ledger-Attempt"))
	require.Equal(t, "1", got.header.Get("Ledger-Sequence"))

	var payload map[string]any
	require.NoError(t, json.Unmarshal([]byte(got.body), &payload))
	require.Subset(t, keysOf(payload), keysOf(printed), "a field of the documentation is missing")
	require.Equal(t, printed["event"], payload["event"])
	require.Equal(t, printed["data"], payload["data"])
	require.Regexp(t, "^del_", payload["delivery_id"])
	at, err := time.Parse("2006-01-02T15:04:05Z", payload["timestamp"].(string))
	require.NoError(t, err, "the time has whole seconds")
	require.WithinRange(t, at, before, time.Now())

	var item map[string]any
	require.Eventually(t, func() bool {
		items := samples[fetchCompanies].send(t, http.StatusOK)["items"].([]any)
		if len(items) == 1 {
			item = items[0].(map[string]any)
		}
		return item["status"] == "delivered"
	}, patience, 10*time.Millisecond)
	require.Equal(t, payload["delivery_id"], item["delivery_id"], "pushed and pulled under one ID")
	require.Equal(t, "comp_xyz789", item["id"])
}

func TestCommandsOfTheREADMEDeliverToAReceiver(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	database := testdb.URL(t)
	key := newKey(t, database)
	p := serve(t, database, encryptionKey())
	r := newReceiver(t, ok)
	fill := func(id, dispatch string) []curl {
		return curls(t, strings.NewReplacer(
			"$URL", p.base, "$KEY", key, "{id}", id, "{dispatch}", dispatch, "{position}", "1", "{size}", "1", "http://127.0.0.1:3000/webhooks/openprospect", r.url,
		).Replace(string(readme)))
	}
	id := fill("", "")[0].send(t, http.StatusCreated)["id"].(string)
	fill(id, "")[1].send(t, http.StatusCreated)
	fill(id, "")[2].send(t, http.StatusOK)
	got := r.await(t, 1)[0]
	require.Equal(t, "Bearer your-secret-token", got.header.Get("Authorization"))
	asking := fill(id, got.header.Get("Webhook-Id"))[3:]
	require.NotEmpty(t, asking)
	for _, ask := range asking {
		ask.send(t, http.StatusOK)
	}
}

// keysOf returns the names of an object's members.
func keysOf[V any](object map[string]V) (names []string) {
	for name := range object {
		names = append(names, name)
	}
	return names
}
