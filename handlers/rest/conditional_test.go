package rest_test

import (
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

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

func TestIfMatchKeepsChangesOfAKeyFromBeingLost(t *testing.T) {
	t.Parallel()
	admin, f := setup(t)
	made := admin.call(t, http.StatusCreated, "POST", organisations+"/"+string(f.org)+"/keys", `{"name":"CRM","scopes":[]}`)
	path, seen := made.header.Get("Location"), made.header.Get("ETag")
	require.Equal(t, seen, admin.call(t, http.StatusOK, "GET", path, "").header.Get("ETag"))
	newer := admin.call(t, http.StatusOK, "PUT", path, `{"name":"1"}`, "If-Match", seen).header.Get("ETag")
	require.NotEqual(t, seen, newer)
	for _, stale := range []string{seen, `"none"`, "W/" + newer} {
		a := admin.call(t, http.StatusPreconditionFailed, "PUT", path, `{"name":"2"}`, "If-Match", stale)
		require.Equal(t, "PRECONDITION_FAILED", a.field(t, "code"), stale)
		admin.call(t, http.StatusPreconditionFailed, "DELETE", path, "", "If-Match", stale)
	}
	for _, method := range []string{"PUT", "DELETE"} {
		a := admin.call(t, http.StatusUnprocessableEntity, method, path, map[string]string{"PUT": `{"name":"2"}`}[method], "If-Match", "3")
		require.Equal(t, []string{"If-Match"}, a.faults(t))
	}
	now := admin.call(t, http.StatusOK, "GET", path, "")
	require.Equal(t, "1", now.field(t, "name"), "nothing was done")
	require.Equal(t, newer, now.header.Get("ETag"))

	newer = admin.call(t, http.StatusOK, "PUT", path, `{"expires_at":"2020-01-01T00:00:00Z"}`, "If-Match", `"x", `+newer).header.Get("ETag")
	admin.call(t, http.StatusPreconditionFailed, "PUT", path, `{"name":"2"}`, "If-None-Match", newer)
	admin.call(t, http.StatusOK, "PUT", path, `{"never_expires":true}`, "If-Match", "*")
	newer = admin.call(t, http.StatusOK, "GET", path, "").header.Get("ETag")
	admin.call(t, http.StatusNoContent, "DELETE", path, "", "If-Match", newer)
	admin.call(t, http.StatusNotFound, "DELETE", path, "", "If-Match", newer)
	admin.call(t, http.StatusNotFound, "PUT", path, `{}`, "If-Match", newer)
	require.NotEqual(t, newer, admin.call(t, http.StatusOK, "GET", path, "", "If-None-Match", newer).header.Get("ETag"))
}

func TestOfManyWhoSawTheSameKeyOneChangesIt(t *testing.T) {
	t.Parallel()
	admin, f := setup(t)
	made := admin.call(t, http.StatusCreated, "POST", organisations+"/"+string(f.org)+"/keys", `{"name":"CRM","scopes":[]}`)
	path, seen := made.header.Get("Location"), made.header.Get("ETag")
	var won atomic.Int64
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			a := admin.send(t, "PUT", path, `{"name":"`+strconv.Itoa(i)+`"}`, "If-Match", seen)
			switch a.status {
			case http.StatusOK:
				won.Add(1)
			case http.StatusPreconditionFailed:
			default:
				t.Errorf("%d: %s", a.status, a.body)
			}
		})
	}
	all.Wait()
	require.EqualValues(t, 1, won.Load())
}

func TestAdminWhoHasItGetsNoBody(t *testing.T) {
	t.Parallel()
	admin, _ := setup(t)
	org := admin.call(t, http.StatusCreated, "POST", organisations, `{"name":"Globex"}`)
	key := admin.call(t, http.StatusCreated, "POST", org.header.Get("Location")+"/keys", `{"name":"CRM","scopes":[]}`)
	for _, made := range []answer{org, key} {
		path, tag := made.header.Get("Location"), made.header.Get("ETag")
		require.NotEmpty(t, tag)
		a := admin.call(t, http.StatusNotModified, "GET", path, "", "If-None-Match", tag)
		require.Empty(t, a.body)
		require.Equal(t, tag, a.header.Get("ETag"))
		require.NotEmpty(t, admin.call(t, http.StatusOK, "GET", path, "", "If-None-Match", `"1"`).body)
	}
	require.NotEqual(t, org.header.Get("ETag"), admin.call(t, http.StatusCreated, "POST", organisations, `{"name":"Globex"}`).header.Get("ETag"))

	soon := admin.call(t, http.StatusCreated, "POST", org.header.Get("Location")+"/keys",
		`{"name":"CRM","scopes":[],"expires_at":"`+time.Now().Add(5*time.Second).Format(time.RFC3339Nano)+`"}`)
	require.Equal(t, "active", soon.field(t, "status"))
	require.Eventually(t, func() bool {
		a := admin.call(t, http.StatusOK, "GET", soon.header.Get("Location"), "")
		return a.field(t, "status") == "expired" && a.header.Get("ETag") != soon.header.Get("ETag")
	}, waitFor, tick, "a key that has expired is another to whoever looks at it")
}
