package rest_test

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/eventstore"
)

// A past is what a delivery was shown as when a position was the log's last.
type past struct {
	position int
	shown    map[string]any // nil: it was not there
}

// changes are what a test does to a delivery and its destination, at these paths: method, path and body.
func changes(path, destination string) [][3]string {
	return [][3]string{
		{"PUT", path, `{"name":"Renamed","schedule":"0 9 * * 1-5","timezone":"Europe/Berlin"}`},
		{"PUT", path, `{"rules":[{"name":"a","when":{"field":"company.name","op":"exists"}}],"threshold":70}`},
		{"POST", path + "/qualifications", company("comp_1")},
		{"PUT", destination, `{"headers":{"X-A":"1"},"retry_schedule":[60,300],"events":["delivery.company_qualified","dispatch.failed"]}`},
		{"POST", path + "/destinations", `{"type":"api","name":"Pulled"}`},
		{"POST", destination + "/rotate-secret", `{}`},
		{"PUT", path, `{"status":"paused"}`},
		{"PUT", destination, `{"ordered":true,"url":"https://a.com/y"}`},
		{"DELETE", destination, ``},
		{"PUT", path, `{"status":"active","prospect_search_id":"another"}`},
	}
}

// now returns what is shown of a delivery once the log is shown up to a position.
func (c client) now(t *testing.T, path string, position int) past {
	t.Helper()
	shown := c.call(t, http.StatusOK, "GET", path, "", "Ledger-Min-Position", strconv.Itoa(position)).json(t)
	delete(shown, "counts")
	return past{position, shown}
}

func TestADeliveryAsOfAMomentIsWhatWasShownThen(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	head := func() int {
		at, err := f.store.Head(t.Context())
		require.NoError(t, err)
		return int(at)
	}
	c.createDelivery(t, `{"name":"Another"}`)
	pasts := []past{{0, nil}, {head(), nil}}
	path := "/api/v1/deliveries/" + c.createDelivery(t, `{"name":"CRM Sync"}`)
	pasts = append(pasts, c.now(t, path, head()))
	added := c.call(t, http.StatusCreated, "POST", path+"/destinations", `{"type":"webhook","url":"https://a.com/x","auth_type":"bearer","auth_token":"hidden"}`)
	pasts = append(pasts, c.now(t, path, head()))
	for _, change := range changes(path, path+"/destinations/"+added.json(t)["id"].(string)) {
		a := c.send(t, change[0], change[1], change[2])
		require.Less(t, a.status, 300, string(a.body))
		pasts = append(pasts, c.now(t, path, head()))
	}
	c.call(t, http.StatusNoContent, "DELETE", path, "")
	pasts = append(pasts, past{head(), nil})

	stranger := f.foreigner(t)
	for _, was := range pasts {
		moments := []string{strconv.Itoa(was.position)}
		records, err := eventstore.ReadPage(t.Context(), f.pool, eventstore.Position(was.position), eventstore.Position(was.position))
		require.NoError(t, err)
		for _, rec := range records {
			moments = append(moments, rec.RecordedAt.UTC().Format(time.RFC3339Nano))
		}
		for _, moment := range moments {
			asked := path + "?as_of=" + moment
			stranger.call(t, http.StatusNotFound, "GET", asked, "")
			if was.shown == nil {
				require.Equal(t, "DELIVERY_NOT_FOUND", c.call(t, http.StatusNotFound, "GET", asked, "").json(t)["code"])
				continue
			}
			a := c.call(t, http.StatusOK, "GET", asked, "")
			require.Equal(t, was.shown, a.json(t), "as of %s", moment)
			c.call(t, http.StatusNotModified, "GET", asked, "", "If-None-Match", a.header.Get("ETag"))
		}
	}
}

func TestAMomentThatIsNoneOrYetToComeIsRefused(t *testing.T) {
	t.Parallel()
	c, _ := setup(t)
	path := "/api/v1/deliveries/" + c.createDelivery(t, `{"name":"CRM Sync"}`)
	for moment, want := range map[string]string{
		"noon":                      "a moment is a position of the log such as 1200, or a time such as 2026-01-31T12:00:00Z",
		"-1":                        "a moment is a position of the log such as 1200, or a time such as 2026-01-31T12:00:00Z",
		"1000":                      "position 1000, and the log ends at 1: it is yet to come",
		"2999-01-01T00:00:00Z":      "time 2999-01-01T00:00:00Z: it is yet to come",
		"2025-01-01T00:00:00+01:00": "a moment is a position of the log such as 1200, or a time such as 2026-01-31T12:00:00Z", // + is a space
	} {
		faults := c.call(t, http.StatusUnprocessableEntity, "GET", path+"?as_of="+moment, "").json(t)["details"].(map[string]any)["validation_errors"].([]any)
		require.Len(t, faults, 1)
		require.Equal(t, "as_of", faults[0].(map[string]any)["field"])
		require.Equal(t, want, faults[0].(map[string]any)["error"])
	}
}
