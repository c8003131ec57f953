package rest_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// story returns the types and the sentences of what happened to a company.
func (c client) story(tb testing.TB, company, position string) (types, sentences []string) {
	tb.Helper()
	for _, item := range c.call(tb, http.StatusOK, "GET", "/api/v1/companies/"+company+"/explanation", "", minPosition, position).items(tb) {
		types, sentences = append(types, item["type"].(string)), append(sentences, item["sentence"].(string))
	}
	return types, sentences
}

func TestWhatHappenedToACompanyIsTold(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	things := c.things(t)
	delivery, dispatch, destination := things["delivery_id"], things["dispatch_id"], things["destination_id"]
	f.attempted(t, things, "I'm a teapot")
	c.call(t, http.StatusOK, "POST", "/api/v1/dispatches/"+dispatch+"/retry", "")
	f.attempted(t, things, "")

	other := c.createDelivery(t, judgedDelivery)
	c.judge(t, other, `{"company":{"id":"comp_of_things","name":"x","domain":"www.acme.com"}}`)
	excluded := c.exclude(t, "domain", "acme.com", "domain", "unrelated.test")[0]
	_, last := c.judge(t, other, `{"company":{"id":"comp_of_things","name":"x","domain":"www.acme.com"}}`)
	c.call(t, http.StatusNoContent, "DELETE", exclusionsPath+"/"+excluded, "")
	c.call(t, http.StatusNoContent, "DELETE", "/api/v1/deliveries/"+other, "")

	types, sentences := c.story(t, "comp_of_things", last.header.Get("Ledger-Position"))
	require.Equal(t, []string{
		"company.qualified", "attempt.failed", "dispatch.failed", "dispatch.retried", "attempt.succeeded", "company.disqualified",
		"exclusion.added", "company.disqualified", "exclusion.removed",
	}, types, "also under deliveries that were deleted")
	for i, parts := range [][]string{
		{"Received as qualified under " + delivery, "a score of 85: Uses HubSpot; Revenue > $10M. It goes to " + destination + " (" + dispatch + ")."},
		{"Attempt 1 of " + dispatch + " to " + destination, "I'm a teapot. No further attempt is due."},
		{"failed for good after 1 attempts"},
		{"Somebody asked for " + dispatch},
		{"Delivered: attempt 2 of " + dispatch},
		{"Received as a candidate under " + other, "with a score of 0 (hubspot: not met; ", "decision maker: not met"},
		{"The exclusion " + excluded + " was added, of the domain acme.com: A customer already."},
		{"Received under " + other + " and disqualified, since the domain acme.com is excluded: A customer already."},
		{"The exclusion " + excluded + " was removed."},
	} {
		for _, part := range parts {
			require.Contains(t, sentences[i], part)
		}
	}

	path := "/api/v1/companies/comp_of_things/explanation"
	first := c.call(t, http.StatusOK, "GET", path, "").items(t)[0]
	require.Equal(t, delivery, first["delivery_configuration_id"])
	require.Regexp(t, `^del_`, first["delivery_id"])
	require.Equal(t, excluded, c.call(t, http.StatusOK, "GET", path+"?offset=7", "").items(t)[0]["exclusion_id"])

	var paged []string
	for next := path + "?limit=2"; next != ""; {
		a := c.call(t, http.StatusOK, "GET", next, "")
		require.EqualValues(t, len(types), a.json(t)["total"])
		for _, item := range a.items(t) {
			paged = append(paged, item["sentence"].(string))
		}
		next, _, _ = strings.Cut(strings.TrimPrefix(a.header.Get("Link"), "<"), ">")
	}
	require.Equal(t, sentences, paged)
	require.Empty(t, c.call(t, http.StatusOK, "GET", path+"?offset=100", "").items(t))
}

func TestWhatHappenedToACompanyIsToldToItsOrganisationAlone(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	c.things(t)
	foreign := f.foreigner(t)
	path := "/api/v1/companies/comp_of_things/explanation"
	require.Equal(t, "ENTITY_NOT_FOUND", foreign.call(t, http.StatusNotFound, "GET", path, "").field(t, "code"))
	_, a := foreign.qualify(t, foreign.createDelivery(t, sampleDelivery), company("comp_of_things"))
	types, sentences := foreign.story(t, "comp_of_things", a.header.Get("Ledger-Position"))
	require.Equal(t, []string{"company.qualified"}, types, "of a company of the same ID, its own")
	require.Contains(t, sentences[0], "It goes to no webhook; it can be pulled.")

	c.exclude(t, "company", "comp/never")
	types, _ = c.story(t, "comp%2Fnever", "0")
	require.Equal(t, []string{"exclusion.added"}, types)
	c.call(t, http.StatusNotFound, "GET", "/api/v1/companies/comp_unknown/explanation", "")
}
