package rest_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/eventstore"
)

// A result is what the API says of one item.
type result struct {
	Index         int    `json:"index"`
	Company       string `json:"company_id"`
	Outcome       string `json:"outcome"`
	HandOver      string `json:"delivery_id"`
	Configuration string `json:"delivery_configuration_id"`
	Error         struct{ Code string }
}

// A summary is what the API says of a request to hand companies over.
type summary struct {
	Accepted, Duplicates, Disqualified, Rejected int
	Items                                        []result
}

// outcomes returns the items' outcomes, in order.
func (s summary) outcomes() (all []string) {
	for i := range s.Items {
		all = append(all, s.Items[i].Outcome)
	}
	return all
}

// qualify hands companies over and returns what came of it.
func (c client) qualify(tb testing.TB, id, body string, header ...string) (summary, answer) {
	tb.Helper()
	a := c.call(tb, http.StatusOK, "POST", "/api/v1/deliveries/"+id+"/qualifications", body, header...)
	var s summary
	require.NoError(tb, json.Unmarshal(a.body, &s))
	return s, a
}

// ndjson is the header of a stream.
var ndjson = []string{"Content-Type", "application/x-ndjson"}

func TestCompanyIsHandedOverOnce(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	id := c.createDelivery(t, sampleDelivery)

	first, a := c.qualify(t, id, company("comp_1"))
	require.Equal(t, summary{Accepted: 1, Items: []result{{Company: "comp_1", Outcome: "accepted", HandOver: first.Items[0].HandOver}}}, first)
	require.Regexp(t, `^del_`, first.Items[0].HandOver)
	require.Equal(t, "2", a.header.Get("Ledger-Position"))

	second, a := c.qualify(t, id, company("comp_1"))
	require.Equal(t, summary{Duplicates: 1, Items: []result{{Company: "comp_1", Outcome: "duplicate", HandOver: first.Items[0].HandOver}}}, second)
	require.Empty(t, a.header.Get("Ledger-Position"), "nothing was recorded")

	records, err := f.store.ReadStream(t.Context(), domain.HandOverStream(domain.DeliveryID(id), "comp_1"))
	require.NoError(t, err)
	require.Len(t, records, 1)
	require.Contains(t, string(records[0].Data), `Revenue > $10M`, "kept as it was sent")
}

func TestArrayIsJudgedItemByItem(t *testing.T) {
	t.Parallel()
	c, _ := setup(t)
	id := c.createDelivery(t, sampleDelivery)
	s, _ := c.qualify(t, id, ` [ `+strings.Join([]string{
		company("a"), company("b"), company("a"), `{"company":{"id":"c"}}`, `7`, company("d"), `{"x":1}`,
	}, " , ")+` ] `)
	require.Equal(t, []string{"accepted", "accepted", "duplicate", "rejected", "rejected", "accepted", "rejected"}, s.outcomes())
	require.Equal(t, s.Items[0].HandOver, s.Items[2].HandOver)
	require.Equal(t, []int{3, 1, 3}, []int{s.Accepted, s.Duplicates, s.Rejected})
	require.Equal(t, "VALIDATION_ERROR", s.Items[3].Error.Code)

	s, _ = c.qualify(t, id, `[]`)
	require.Empty(t, s.Items)
}

func TestStreamOfLines(t *testing.T) {
	t.Parallel()
	c, _ := setup(t)
	id := c.createDelivery(t, sampleDelivery)
	lines := []string{
		company("a"), "", "{", company("b") + "\r", `"` + strings.Repeat("x", 1<<20) + `"`, company("a"), "{\"company\":\"\xff\"}", company("c"),
	}
	s, _ := c.qualify(t, id, strings.Join(lines, "\n"), ndjson...)
	require.Equal(t, []string{"accepted", "rejected", "accepted", "rejected", "duplicate", "rejected", "accepted"}, s.outcomes())
	require.Equal(t, "INVALID_JSON", s.Items[1].Error.Code)
	require.Equal(t, "PAYLOAD_TOO_LARGE", s.Items[3].Error.Code)
	for i := range s.Items {
		require.Equal(t, i, s.Items[i].Index)
	}

	s, _ = c.qualify(t, id, "\n\n", ndjson...)
	require.Empty(t, s.Items)

	var many bytes.Buffer // more than the 10 MiB that other bodies may have, and more than a chunk
	const n = 1200
	for i := range n {
		fmt.Fprintf(&many, `{"company":{"id":"m%d","name":"x","about":"%s"},"qualification_score":1}`+"\n", i%1100, strings.Repeat("y", 10_000))
	}
	s, a := c.qualify(t, id, many.String(), ndjson...)
	require.Equal(t, []int{1100, 100}, []int{s.Accepted, s.Duplicates})
	require.Equal(t, strconv.Itoa(1+3+1100), a.header.Get("Ledger-Position"))
}

func TestSearchStandsForItsDeliveries(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	const search = "d4e5f6"
	active := c.createDelivery(t, `{"name":"a","prospect_search_id":"`+search+`"}`)
	paused := c.createDelivery(t, `{"name":"b","status":"paused","prospect_search_id":"`+search+`"}`)
	gone := c.createDelivery(t, `{"name":"c","prospect_search_id":"`+search+`"}`)
	c.call(t, http.StatusNoContent, "DELETE", "/api/v1/deliveries/"+gone, "")
	f.foreigner(t).createDelivery(t, `{"name":"d","prospect_search_id":"`+search+`"}`)

	s, _ := c.qualify(t, search, company("x"))
	require.Equal(t, 2, s.Accepted)
	require.Equal(t, []string{active, paused}, []string{s.Items[0].Configuration, s.Items[1].Configuration})
	require.NotEqual(t, s.Items[0].HandOver, s.Items[1].HandOver)

	s, _ = c.qualify(t, active, company("x"))
	require.Equal(t, 1, s.Duplicates)
	require.Empty(t, s.Items[0].Configuration)
	a := c.call(t, http.StatusNotFound, "POST", "/api/v1/deliveries/"+gone+"/qualifications", company("x"))
	require.Equal(t, "PROSPECT_SEARCH_NOT_FOUND", a.field(t, "code"))
}

func TestSameCompanyFromManyCallers(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	id := c.createDelivery(t, sampleDelivery)
	const callers = 50
	results := make([]summary, callers)
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() { results[i], _ = c.qualify(t, id, company("comp_1")) })
	}
	wg.Wait()
	var accepted, duplicates int
	handOvers := map[string]bool{}
	for _, s := range results {
		accepted += s.Accepted
		duplicates += s.Duplicates
		handOvers[s.Items[0].HandOver] = true
	}
	require.Equal(t, []int{1, callers - 1, 1}, []int{accepted, duplicates, len(handOvers)})
	require.Eventually(t, func() bool { return len(c.feed(t, id, "")) == 1 }, waitFor, tick)
	var events int
	require.NoError(t, f.pool.QueryRow(t.Context(), `SELECT count(*) FROM events WHERE type = 'company.qualified'`).Scan(&events))
	require.Equal(t, 1, events)
}

func TestQualificationsSeeChangesOfOtherProcesses(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	other := c
	other.url = f.serve(t).URL
	id := c.createDelivery(t, sampleDelivery)
	c.qualify(t, id, company("a"))
	other.call(t, http.StatusOK, "PUT", "/api/v1/deliveries/"+id, `{"schedule":"daily"}`)
	c.qualify(t, id, company("b"))
	known, err := f.store.ReadStream(t.Context(), domain.HandOverStream(domain.DeliveryID(id), "b"))
	require.NoError(t, err)
	require.Contains(t, string(known[0].Data), `"due"`, "decided on the schedule as it is now")

	other.call(t, http.StatusNoContent, "DELETE", "/api/v1/deliveries/"+id, "")
	a := c.call(t, http.StatusNotFound, "POST", "/api/v1/deliveries/"+id+"/qualifications", company("c"))
	require.Equal(t, "DELIVERY_NOT_FOUND", a.field(t, "code"))
	head, err := f.store.Head(t.Context())
	require.NoError(t, err)
	require.Equal(t, eventstore.Position(5), head)
}

func TestDeliveryChangesWhileCompaniesQualify(t *testing.T) {
	t.Parallel()
	c, _ := setup(t)
	id := c.createDelivery(t, sampleDelivery)
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 25 {
				s, _ := c.qualify(t, id, company(fmt.Sprintf("c%d-%d", w, i)))
				require.Equal(t, 1, s.Accepted)
			}
		})
	}
	for i := range 20 {
		c.call(t, http.StatusOK, "PUT", "/api/v1/deliveries/"+id, `{"name":"`+strconv.Itoa(i)+`"}`)
	}
	wg.Wait()
}

func TestHalfOfAPairIsNoJSON(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	id := c.createDelivery(t, sampleDelivery)
	half := strings.Replace(company("comp_1"), "Acme Corp", `Acme \ud800 Corp`, 1)
	whole := strings.Replace(company("comp_2"), "Acme Corp", `Acme \ud83e\udd84 Corp`, 1)
	s, _ := c.qualify(t, id, half+"\n"+whole, ndjson...)
	require.Equal(t, []string{"rejected", "accepted"}, s.outcomes())
	require.Equal(t, "INVALID_JSON", s.Items[0].Error.Code)
	a := c.call(t, http.StatusBadRequest, "POST", "/api/v1/deliveries/"+id+"/qualifications", half)
	require.Equal(t, "INVALID_JSON", a.field(t, "code"))
	require.NotContains(t, f.log.String(), `"level":"ERROR"`)
}
