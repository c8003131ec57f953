package rest_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/handlers/rest"
)

func TestPanicTellsNothing(t *testing.T) {
	t.Parallel()
	c, f := setup(t, func(cfg *rest.Config) { cfg.CheckURL = func(string) error { panic("the inside") } })
	a := c.call(t, http.StatusInternalServerError, "POST", "/api/v1/deliveries/"+c.createDelivery(t, sampleDelivery)+"/destinations", sampleDestination)
	require.Equal(t, "INTERNAL", a.field(t, "code"))
	require.NotContains(t, string(a.body), "inside")
	require.Contains(t, f.log.String(), "the inside", "it is in the log")
	c.call(t, http.StatusOK, "GET", "/api/v1/deliveries", "")
}

func TestServeLetsRequestsUnderWayEnd(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	id := c.createDelivery(t, sampleDelivery)
	server, err := rest.New(f.config())
	require.NoError(t, err)
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	c.url = "http://" + listener.Addr().String()
	ctx, stop := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- server.Serve(ctx, listener, waitFor) }()

	r, w := io.Pipe()
	answered := make(chan answer, 1)
	go func() { answered <- c.stream(t, "/api/v1/deliveries/"+id+"/qualifications", r) }()
	_, err = io.WriteString(w, company("a")+"\n")
	require.NoError(t, err)
	blank := strings.Repeat(" ", 1<<16-1) + "\n"
	for range 256 { // more than connections buffer: once it is taken, the handler reads
		_, err = io.WriteString(w, blank)
		require.NoError(t, err)
	}
	stop()
	require.Eventually(t, func() bool {
		_, err := new(net.Dialer).DialContext(t.Context(), "tcp", listener.Addr().String())
		return err != nil
	}, waitFor, tick, "no more are accepted")
	_, err = io.WriteString(w, company("b")+"\n")
	require.NoError(t, err)
	require.NoError(t, w.Close())
	a := <-answered
	require.Equal(t, http.StatusOK, a.status, "%s", a.body)
	require.Contains(t, string(a.body), `"accepted":2`)
	require.NoError(t, <-stopped)
}

func TestServerNeedsItsParts(t *testing.T) {
	t.Parallel()
	_, err := rest.New(rest.Config{})
	require.ErrorContains(t, err, "required")
}

func TestContractIsShown(t *testing.T) {
	t.Parallel()
	c, _ := setup(t)
	a := client{url: c.url}.call(t, http.StatusOK, "GET", "/openapi.json", "")
	require.Equal(t, "3.0.3", a.json(t)["openapi"])
	require.NotContains(t, strings.ToLower(string(a.body)), "x-go-")
}
