package rest_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// sampleRules have the reasons of the product's documentation.
const sampleRules = `[
	{"name":"hubspot","reason":"Uses HubSpot","when":{"field":"company.technologies","op":"contains","value":"HubSpot"},"weight":40},
	{"name":"revenue","reason":"Revenue > $10M","when":{"field":"company.revenue","op":"gt","value":10000000},"weight":30},
	{"name":"decision maker","reason":"Decision Maker found","required":true,"weight":30,
	 "when":{"any":[{"expression":"prospects.exists(p, p.title == 'CTO')"},{"not":{"field":"company.ceo","op":"absent"}}]}}
]`

func TestRulesAreShownAndKept(t *testing.T) {
	t.Parallel()
	c, _ := setup(t)
	var path string
	shows := func(a answer, rules string, threshold, version float64) {
		t.Helper()
		shown := a.json(t)
		require.JSONEq(t, rules, encode(t, shown["rules"]))
		require.InDelta(t, threshold, shown["threshold"], 0)
		require.InDelta(t, version, shown["profile_version"], 0)
		if path != "" {
			require.Equal(t, shown["rules"], c.call(t, http.StatusOK, "GET", path, "").json(t)["rules"])
			require.Equal(t, shown["rules"], c.call(t, http.StatusOK, "GET", "/api/v1/deliveries", "").items(t)[0]["rules"])
		}
	}
	shows(c.call(t, http.StatusCreated, "POST", "/api/v1/deliveries", `{"name":"none"}`), `[]`, 50, 0)
	created := c.call(t, http.StatusCreated, "POST", "/api/v1/deliveries", `{"name":"a","threshold":70,"rules":`+sampleRules+`}`)
	path = "/api/v1/deliveries/" + created.field(t, "id")
	require.Equal(t, `"2"`, created.header.Get("ETag"))
	shows(created, sampleRules, 70, 2)
	shows(c.call(t, http.StatusOK, "PUT", path, `{"name":"b"}`), sampleRules, 70, 2)
	shows(c.call(t, http.StatusOK, "PUT", path, `{"rules":`+sampleRules+`}`), sampleRules, 70, 2)
	shows(c.call(t, http.StatusOK, "PUT", path, `{"threshold":0}`), sampleRules, 0, 4)
	shows(c.call(t, http.StatusOK, "PUT", path, `{"rules":[]}`), `[]`, 0, 5)
	require.Equal(t, "delivery.rules_set", c.call(t, http.StatusOK, "GET", path+"/events?limit=1", "", minPosition, "6").items(t)[0]["type"])
}

func TestFaultsOfRulesNameRuleAndPlace(t *testing.T) {
	t.Parallel()
	c, _ := setup(t)
	path := "/api/v1/deliveries/" + c.createDelivery(t, sampleDelivery)
	const body = `{"name":"","threshold":101,"rules":[
		{"name":"a","when":{"field":"company.x","op":"gt","value":"7"},"wieght":2},
		{"when":{"any":[{"field":"company.x","op":"matches","value":"("},{"expression":"company.x >"}]}},
		{"name":"c","when":{"not":{"field":"name","op":"is"}},"weight":0}
	]}`
	want := []string{
		"name", "threshold", "rules.0.wieght", "rules.0.when.value", "rules.1.name", "rules.1.when.any.0.value", "rules.1.when.any.1.expression",
		"rules.2.weight", "rules.2.when.not.field", "rules.2.when.not.op",
	}
	for method, path := range map[string]string{"POST": "/api/v1/deliveries", "PUT": path} {
		a := c.call(t, http.StatusUnprocessableEntity, method, path, body)
		var problem struct {
			Details struct {
				Faults []struct{ Field, Error string } `json:"validation_errors"`
			}
		}
		require.NoError(t, json.Unmarshal(a.body, &problem))
		var fields []string
		for _, f := range problem.Details.Faults {
			fields = append(fields, f.Field)
			if strings.HasPrefix(f.Field, "rules.0") {
				require.Contains(t, f.Error, `(rule "a")`)
			}
		}
		require.ElementsMatch(t, want, fields, method)
	}
}
