package rest_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/eventstore"
)

// zipped is the header of a body in gzip.
var zipped = []string{"Content-Encoding", "gzip"}

// zip returns text in gzip.
func zip(tb testing.TB, text string) string {
	tb.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := io.WriteString(w, text)
	require.NoError(tb, err)
	require.NoError(tb, w.Close())
	return b.String()
}

func TestBodiesMayComeInGzip(t *testing.T) {
	t.Parallel()
	c, _ := setup(t)
	for _, op := range operations(t, c.things(t)) {
		if op.body == "" {
			continue
		}
		for _, coding := range []string{"gzip", "GZIP", "x-gzip", "identity, gzip"} {
			a := c.send(t, op.method, op.path, zip(t, op.body), "Content-Encoding", coding)
			require.Less(t, a.status, 300, "%s: %s", op.id, a.body)
		}
		a := c.send(t, op.method, op.path, op.body, "Content-Encoding", "identity")
		require.Less(t, a.status, 300, "%s: %s", op.id, a.body)
		for _, coding := range []string{"br", "deflate", "compress", "gzip, gzip", "gzip,br", "*"} {
			a := c.call(t, http.StatusUnsupportedMediaType, op.method, op.path, op.body, "Content-Encoding", coding)
			require.Equal(t, "gzip", a.header.Get("Accept-Encoding"), "RFC 7694")
		}
		a = c.call(t, http.StatusUnsupportedMediaType, op.method, op.path, zip(t, op.body), append(zipped, "Content-Type", "text/csv")...)
		require.Empty(t, a.header.Get("Accept-Encoding"), "the coding is not at fault")
		a = c.call(t, http.StatusUnprocessableEntity, op.method, op.path, zip(t, `{"no_such_field":1}`), zipped...)
		require.Contains(t, a.faults(t), "no_such_field")
		c.call(t, http.StatusBadRequest, op.method, op.path, zip(t, `{`), zipped...)
	}
}

func TestBrokenGzip(t *testing.T) {
	t.Parallel()
	c, _ := setup(t)
	delivery := c.createDelivery(t, sampleDelivery)
	whole := zip(t, company("a"))
	wrongSum := []byte(whole)
	wrongSum[len(wrongSum)-8] ^= 1
	for _, body := range []string{company("a"), whole[:5], whole[:len(whole)/2], whole[:len(whole)-1], string(wrongSum), whole + "more", " "} {
		for _, mediaType := range []string{"application/json", "application/x-ndjson"} {
			for _, key := range [][]string{nil, {"Idempotency-Key", "a"}} {
				header := append(append([]string{"Content-Type", mediaType}, zipped...), key...)
				a := c.call(t, http.StatusBadRequest, "POST", "/api/v1/deliveries/"+delivery+"/qualifications", body, header...)
				require.Equal(t, "INVALID_REQUEST", a.field(t, "code"))
				require.Contains(t, a.field(t, "message"), "gzip")
			}
		}
	}
	s, _ := c.qualify(t, delivery, zip(t, `[`)+zip(t, company("b")+`]`), zipped...)
	require.Equal(t, 1, s.Accepted, "of several members it says all (RFC 1952)")
}

func TestBoundsAreThoseOfTheDecodedBody(t *testing.T) {
	t.Parallel()
	c, _ := setup(t)
	const most = 10 << 20
	padded := func(size int) string { return sampleDelivery + strings.Repeat(" ", size-len(sampleDelivery)) }
	for _, key := range [][]string{nil, {"Idempotency-Key", "a"}} {
		c.call(t, http.StatusCreated, "POST", "/api/v1/deliveries", zip(t, padded(most)), append(key, zipped...)...)
	}
	for _, key := range [][]string{nil, {"Idempotency-Key", "b"}} {
		a := c.call(t, http.StatusRequestEntityTooLarge, "POST", "/api/v1/deliveries", zip(t, padded(most+1)), append(key, zipped...)...)
		require.Equal(t, "PAYLOAD_TOO_LARGE", a.field(t, "code"))
		// Whoever expanded it further would see that it is broken.
		bomb := zip(t, padded(most+1<<20))
		c.call(t, http.StatusRequestEntityTooLarge, "POST", "/api/v1/deliveries", bomb[:len(bomb)-100], append(key, zipped...)...)
	}
}

func TestStreamInGzipIsTakenAsItComes(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	id := c.createDelivery(t, sampleDelivery)
	r, w := io.Pipe()
	answered := make(chan answer, 1)
	go func() {
		answered <- c.stream(t, "/api/v1/deliveries/"+id+"/qualifications", r, zipped...)
	}()
	zip := gzip.NewWriter(w)
	for i := range 500 {
		_, err := fmt.Fprintln(zip, company(strconv.Itoa(i)))
		require.NoError(t, err)
	}
	require.NoError(t, zip.Flush())
	require.Eventually(t, func() bool {
		head, err := f.store.Head(t.Context())
		return err == nil && head == eventstore.Position(501)
	}, waitFor, tick, "what has come is handed over before the end")
	_, err := io.WriteString(w, "this is no gzip")
	require.NoError(t, err)
	require.NoError(t, w.Close())
	a := <-answered
	require.Equal(t, http.StatusBadRequest, a.status, "%s", a.body)
	f.settled(t)
	require.EqualValues(t, 500, c.call(t, http.StatusOK, "GET", "/api/v1/deliveries/"+id+"/companies", "").json(t)["total"], "what was in is in")
}

func TestRepeatMayComeInAnotherCoding(t *testing.T) {
	t.Parallel()
	c, _ := setup(t)
	key := []string{"Idempotency-Key", "a"}
	first := c.call(t, http.StatusCreated, "POST", "/api/v1/deliveries", zip(t, sampleDelivery), append(key, zipped...)...)
	again := c.call(t, http.StatusCreated, "POST", "/api/v1/deliveries", sampleDelivery, key...)
	require.Equal(t, "true", again.header.Get("Idempotency-Replayed"))
	require.Equal(t, first.body, again.body)
	c.call(t, http.StatusConflict, "POST", "/api/v1/deliveries", zip(t, `{"name":"another"}`), append(key, zipped...)...)
}
