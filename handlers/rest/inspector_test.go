package rest_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// nested returns lists that lie within each other so many levels deep.
func nested(levels int) string { return strings.Repeat("[", levels) + strings.Repeat("]", levels) }

// companyWith returns a qualification of a company with more fields.
func companyWith(fields string) string {
	return `{"company":{"id":"a","name":"b",` + fields + `},"qualification_score":1}`
}

func TestNamesThatComeTwice(t *testing.T) {
	t.Parallel()
	c, _ := setup(t)
	delivery := "/api/v1/deliveries/" + c.createDelivery(t, sampleDelivery)
	many := make([]string, 20)
	for i := range many {
		many[i] = fmt.Sprintf(`"k%d":0`, i)
	}
	twenty := strings.Join(many, ",")
	const twice, folded = "is given more than once", "in case alone"
	for name, tc := range map[string]struct {
		path, body, text string
		fields           []string
	}{
		"of a delivery":                  {"/api/v1/deliveries", `{"name":"a","name":"b"}`, twice, []string{"name"}},
		"in an escape":                   {"/api/v1/deliveries", `{"name":"a","n\u0061me":"b"}`, twice, []string{"name"}},
		"in another case":                {"/api/v1/deliveries", `{"name":"a","NAME":"b"}`, folded, []string{"NAME"}},
		"unknown":                        {"/api/v1/deliveries", `{"name":"a","x":1,"x":1}`, twice, []string{"x"}},
		"of a map":                       {delivery + "/destinations", `{"type":"webhook","url":"https://a.com","headers":{"X-A":"1","X-A":"2"}}`, twice, []string{"headers.X-A"}},
		"three times":                    {"/api/v1/deliveries", `{"name":"a","name":"b","name":"c"}`, twice, []string{"name"}},
		"beside other faults":            {"/api/v1/deliveries", `{"status":"on","status":"off","name":""}`, "", []string{"status", "name"}},
		"of a key":                       {"/api/v1/admin/organisations", `{"name":"a","name":"a"}`, twice, []string{"name"}},
		"of a qualification":             {delivery + "/qualifications", `{"company":{"id":"a","name":"b"},"Qualification_score":1,"qualification_score":1}`, "", []string{"qualification_score", "Qualification_score"}},
		"of a company":                   {delivery + "/qualifications", companyWith(`"id":"c"`), twice, []string{"company.id"}},
		"of a company, in another case":  {delivery + "/qualifications", companyWith(`"size":1,"Size":2`), folded, []string{"company.Size"}},
		"of a company, with a Kelvin":    {delivery + "/qualifications", companyWith("\"k\":1,\"\u212a\":2"), folded, []string{"company.\u212a"}},
		"of a company with many":         {delivery + "/qualifications", companyWith(twenty + `,"k7":1`), twice, []string{"company.k7"}},
		"of a company with many, folded": {delivery + "/qualifications", companyWith(twenty + ",\"\u212a19\":1"), folded, []string{"company.\u212a19"}},
		"of a prospect":                  {delivery + "/qualifications", `{"company":{"id":"a","name":"b"},"prospects":[{"id":"p"},{"id":"q","ID":"r"}],"qualification_score":1}`, folded, []string{"prospects.1.ID"}},
		"of what is passed on":           {delivery + "/qualifications", companyWith(`"deep":{"a":[0,{"b":1,"b":2}]}`), twice, []string{"company.deep.a.1.b"}},
		"several at once":                {delivery + "/qualifications", companyWith(`"x":{"a":1,"a":2},"y":{"b":1,"b":2}`), twice, []string{"company.x.a", "company.y.b"}},
		"a long one":                     {delivery + "/qualifications", companyWith(`"` + strings.Repeat("é", 300) + `":{"a":1,"a":2}`), twice, []string{"company." + strings.Repeat("é", 50) + "….a"}},
	} {
		t.Run(name, func(t *testing.T) {
			a := c.call(t, http.StatusUnprocessableEntity, "POST", tc.path, tc.body)
			require.ElementsMatch(t, tc.fields, a.faults(t), "%s", a.body)
			require.Contains(t, string(a.body), tc.text)
		})
	}
	// What we do not define is passed on as it is, also names in two cases.
	c.call(t, http.StatusOK, "POST", delivery+"/qualifications", companyWith(`"deep":{"a":1,"A":2},`+twenty))
	c.call(t, http.StatusCreated, "POST", delivery+"/destinations", `{"type":"webhook","url":"https://a.com","headers":{"X-A":"1"}}`)

	var worst strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&worst, `"%d":1,"%d":1,`, i, i)
	}
	a := c.call(t, http.StatusUnprocessableEntity, "POST", delivery+"/qualifications", companyWith(worst.String()+`"z":1`))
	require.Len(t, a.faults(t), 10, "an answer is not much longer than what is wrong")
}

func TestBodiesThatAreNestedDeep(t *testing.T) {
	t.Parallel()
	c, _ := setup(t)
	qualifications := "/api/v1/deliveries/" + c.createDelivery(t, sampleDelivery) + "/qualifications"
	c.call(t, http.StatusOK, "POST", qualifications, companyWith(`"x":`+nested(62)))
	c.call(t, http.StatusUnprocessableEntity, "POST", "/api/v1/deliveries", `{"name":`+nested(63)+`}`)
	for path, body := range map[string]string{
		qualifications: companyWith(`"x":` + nested(63)), "/api/v1/deliveries": `{"name":` + nested(64) + `}`,
	} {
		a := c.call(t, http.StatusBadRequest, "POST", path, body)
		require.Equal(t, "INVALID_REQUEST", a.field(t, "code"))
		require.Contains(t, a.field(t, "message"), "64 levels")
	}
	for _, body := range []string{nested(5000), strings.Repeat(`{"a":`, 5000) + "1" + strings.Repeat("}", 5000)} {
		require.Equal(t, "INVALID_REQUEST", c.call(t, http.StatusBadRequest, "POST", "/api/v1/deliveries", body).field(t, "code"))
	}
	require.Equal(t, "INVALID_JSON", c.call(t, http.StatusBadRequest, "POST", qualifications, nested(5000)+"]").field(t, "code"))
}

func TestItemThatIsAmissHarmsNoOther(t *testing.T) {
	t.Parallel()
	c, _ := setup(t)
	id := c.createDelivery(t, sampleDelivery)
	items := func(series string) []string {
		return []string{
			company(series + "0"), companyWith(`"x":` + nested(5000)), company(series + "2"), companyWith(`"x":{"a":1,"a":2}`),
			nested(5000), company(series + "5"), companyWith(`"Id":"c"`),
		}
	}
	want := []string{"accepted", "rejected", "accepted", "rejected", "rejected", "accepted", "rejected"}
	array, a := c.qualify(t, id, "["+strings.Join(items("a"), ",")+"]")
	require.Equal(t, want, array.outcomes())
	codes := []any{}
	for _, item := range a.items(t) {
		if fault, ok := item["error"].(map[string]any); ok {
			codes = append(codes, fault["code"])
		}
	}
	require.Equal(t, []any{"INVALID_REQUEST", "VALIDATION_ERROR", "INVALID_REQUEST", "VALIDATION_ERROR"}, codes)
	require.Contains(t, string(a.body), `"field":"company.x.a"`)

	lines, a := c.qualify(t, id, strings.Join(items("b"), "\n"), ndjson...)
	require.Equal(t, want, lines.outcomes())
	require.Contains(t, string(a.body), `"field":"company.x.a"`)
}
