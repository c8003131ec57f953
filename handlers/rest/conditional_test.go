package rest_test

import (
	"net/http"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
)

func TestIfMatchKeepsChangesFromBeingLost(t *testing.T) {
	t.Parallel()
	c, _ := setup(t)
	delivery := c.createDelivery(t, sampleDelivery)
	one := "/api/v1/deliveries/" + delivery
	destination := one + "/destinations/" + c.call(t, http.StatusCreated, "POST", one+"/destinations", sampleDestination).field(t, "id")
	for path, change := range map[string]func(int) string{
		one:         func(i int) string { return `{"name":"` + strconv.Itoa(i) + `"}` },
		destination: func(i int) string { return `{"name":"` + strconv.Itoa(i) + `"}` },
	} {
		seen := c.call(t, http.StatusOK, "GET", path, "").header.Get("ETag")
		newer := c.call(t, http.StatusOK, "PUT", path, change(1), "If-Match", seen).header.Get("ETag")
		require.NotEqual(t, seen, newer)
		require.Equal(t, newer, c.call(t, http.StatusOK, "GET", path, "").header.Get("ETag"))
		for _, stale := range []string{seen, `"none"`, "W/" + newer, seen + ", W/" + newer} {
			a := c.call(t, http.StatusPreconditionFailed, "PUT", path, change(2), "If-Match", stale)
			require.Equal(t, "PRECONDITION_FAILED", a.field(t, "code"), stale)
			c.call(t, http.StatusPreconditionFailed, "DELETE", path, "", "If-Match", stale)
		}
		require.Equal(t, "1", c.call(t, http.StatusOK, "GET", path, "").field(t, "name"), "nothing was done")
		for _, broken := range []string{"3", "", `"a`, `"a" "b"`, `*, "a"`} {
			a := c.call(t, http.StatusUnprocessableEntity, "PUT", path, change(2), "If-Match", broken)
			require.Equal(t, []string{"If-Match"}, a.faults(t), broken)
		}
		newer = c.call(t, http.StatusOK, "PUT", path, change(3), "If-Match", `"x", W/"y" ,`+newer).header.Get("ETag")
		newer = c.call(t, http.StatusOK, "PUT", path, change(3), "If-Match", newer).header.Get("ETag")
		c.call(t, http.StatusOK, "PUT", path, change(4), "If-Match", "*")
		c.call(t, http.StatusPreconditionFailed, "PUT", path, change(5), "If-None-Match", "*")
		c.call(t, http.StatusOK, "PUT", path, change(5), "If-None-Match", newer)
	}
	for _, path := range []string{destination, one} {
		tag := c.call(t, http.StatusOK, "GET", path, "").header.Get("ETag")
		c.call(t, http.StatusNoContent, "DELETE", path, "", "If-Match", tag)
		c.call(t, http.StatusNotFound, "DELETE", path, "", "If-Match", tag)
		c.call(t, http.StatusNotFound, "PUT", path, `{}`, "If-Match", "*")
	}
}

func TestOfManyWhoSawTheSameOneChangesIt(t *testing.T) {
	t.Parallel()
	c, _ := setup(t)
	path := "/api/v1/deliveries/" + c.createDelivery(t, sampleDelivery)
	for round := range 5 {
		tag := c.call(t, http.StatusOK, "GET", path, "").header.Get("ETag")
		const callers = 16
		var answers [callers]answer
		var all sync.WaitGroup
		for i := range callers {
			all.Go(func() {
				answers[i] = c.send(t, "PUT", path, `{"name":"`+strconv.Itoa(round*callers+i)+`"}`, "If-Match", tag)
			})
		}
		all.Wait()
		var won int
		for _, a := range answers {
			if a.status == http.StatusOK {
				won++
			} else {
				require.Equal(t, http.StatusPreconditionFailed, a.status, "%s", a.body)
			}
		}
		require.Equal(t, 1, won)
	}
}

func TestReaderWhoHasItGetsNoBody(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	delivery := c.createDelivery(t, sampleDelivery)
	one := "/api/v1/deliveries/" + delivery
	destination := one + "/destinations/" + c.call(t, http.StatusCreated, "POST", one+"/destinations", sampleDestination).field(t, "id")
	for _, path := range []string{one, destination} {
		tag := c.call(t, http.StatusOK, "GET", path, "").header.Get("ETag")
		for _, seen := range []string{tag, "W/" + tag, `"x", ` + tag, "*"} {
			for _, encoding := range []string{"gzip", "identity"} {
				a := c.call(t, http.StatusNotModified, "GET", path, "", "If-None-Match", seen, "Accept-Encoding", encoding)
				require.Empty(t, a.body)
				require.Equal(t, tag, a.header.Get("ETag"))
				require.Empty(t, a.header.Get("Content-Type"))
				require.Equal(t, "Accept-Encoding", a.header.Get("Vary"))
			}
			c.call(t, http.StatusNotModified, "HEAD", path, "", "If-None-Match", seen)
		}
		for _, other := range []string{`"x"`, "nonsense", ""} {
			require.NotEmpty(t, c.call(t, http.StatusOK, "GET", path, "", "If-None-Match", other).body)
		}
	}
	c.call(t, http.StatusNotFound, "GET", "/api/v1/deliveries/dcf_absent", "", "If-None-Match", "*")
	require.NotEmpty(t, c.call(t, http.StatusOK, "GET", "/api/v1/deliveries", "", "If-None-Match", "*").body, "it has no tag")

	// What a delivery owes changes without the delivery: a reader must see it, a writer need not.
	tag := c.call(t, http.StatusOK, "GET", one, "").header.Get("ETag")
	c.qualify(t, delivery, company("comp_1"))
	f.settled(t)
	a := c.call(t, http.StatusOK, "GET", one, "", "If-None-Match", tag)
	require.NotEqual(t, tag, a.header.Get("ETag"))
	require.EqualValues(t, 1, a.json(t)["counts"].(map[string]any)[string(domain.Pending)])
	c.call(t, http.StatusNotModified, "GET", one, "", "If-None-Match", a.header.Get("ETag"))
	c.call(t, http.StatusOK, "PUT", one, `{"name":"a"}`, "If-Match", a.header.Get("ETag"))
}
