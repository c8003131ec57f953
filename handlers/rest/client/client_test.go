package client_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/handlers/rest/client"
)

// setup returns a client of a server that gives one answer to all requests, and the requests
// that it got.
func setup(t *testing.T, status int, body string, header ...string) (*client.ClientWithResponses, <-chan *http.Request) {
	t.Helper()
	got := make(chan *http.Request, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got <- r
		w.Header().Set("Content-Type", "application/json")
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(server.Close)
	c, err := client.New(server.URL+"/behind/", "lnc_test_key", "crm-sync/1.0")
	require.NoError(t, err)
	return c, got
}

func TestCallCarriesKeyAndUserAgent(t *testing.T) {
	t.Parallel()
	c, got := setup(t, http.StatusOK, `{"valid": true, "scopes": ["companies:read"]}`)
	info, err := c.ValidateAuthWithResponse(t.Context(), nil)
	require.NoError(t, err)
	require.Equal(t, []string{"companies:read"}, info.JSON200.Scopes)
	r := <-got
	require.Equal(t, "Bearer lnc_test_key", r.Header.Get("Authorization"))
	require.Equal(t, "crm-sync/1.0", r.Header.Get("User-Agent"))
	require.Equal(t, "/behind/api/v1/auth/validate", r.URL.Path)
}

func TestAnswerThatIsNoSuccessIsAnError(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		status    int
		body      string
		header    []string
		text      string
		code      string
		temporary bool
		wait      time.Duration
	}{
		"problem": {
			status: 404, body: `{"code": "DELIVERY_NOT_FOUND", "message": "there is no delivery x", "status": 404, "title": "Not Found", "type": "about:blank"}`,
			text: "404 Not Found: there is no delivery x", code: "DELIVERY_NOT_FOUND",
		},
		"faults": {
			status: 422, body: `{"code": "VALIDATION_ERROR", "message": "no", "details": {"validation_errors": [{"field": "name", "error": "is empty"}, {"field": "x", "error": "is unknown"}]}}`,
			text: "422 Unprocessable Entity: name is empty; x is unknown", code: "VALIDATION_ERROR",
		},
		"away": {
			status: 503, body: `{"code": "UNAVAILABLE", "message": "try again"}`, header: []string{"Retry-After", "7"},
			text: "503 Service Unavailable: try again", code: "UNAVAILABLE", temporary: true, wait: 7 * time.Second,
		},
		"of something between": {status: 502, body: "<p>bad</p>\n", text: "502 Bad Gateway: <p>bad</p>", temporary: true},
		"nothing":              {status: 401, text: "401 Unauthorized"},
		"endless":              {status: 500, body: strings.Repeat("x", 3<<20), text: "500 Internal Server Error: " + strings.Repeat("x", 1<<10)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, _ := setup(t, tc.status, tc.body, tc.header...)
			_, err := c.ReadDeliveryWithResponse(t.Context(), "x", nil)
			var refused *client.Error
			require.ErrorAs(t, err, &refused)
			require.Equal(t, tc.text, refused.Error())
			require.Equal(t, tc.status, refused.Status)
			require.Equal(t, tc.code, refused.Problem.Code)
			require.Equal(t, tc.temporary, refused.Temporary())
			require.Equal(t, tc.wait, refused.RetryAfter)
		})
	}
}

func TestConnectionThatIsRefusedIsNoAnswer(t *testing.T) {
	t.Parallel()
	c, err := client.New("http://127.0.0.1:1", "key", "test")
	require.NoError(t, err)
	_, err = c.ValidateAuthWithResponse(t.Context(), nil)
	require.ErrorContains(t, err, "connection refused")
	require.NotErrorAs(t, err, new(*client.Error))
}
