package webhooks_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/openprospect/delivery-ledger/domain"
	"github.com/openprospect/delivery-ledger/handlers/webhooks"
)

func TestEachTypeOfAuthenticationTellsWhoIsCalling(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := newReceiver(t, ok)
	for header, c := range map[string]struct {
		value  string
		change func(*domain.Destination)
	}{
		"X-Api-Key": {"k3y", func(d *domain.Destination) {
			d.AuthType, d.HeaderName, d.AuthSecret = domain.AuthHeader, "x-api-key", b.secret(t, "k3y")
		}},
		"Authorization": {"Basic b3BlbnByb3NwZWN0OnBhOnNz", func(d *domain.Destination) {
			d.AuthType, d.Username, d.AuthSecret = domain.AuthBasic, "openprospect", b.secret(t, "pa:ss")
		}},
	} {
		dst := destination(r.URL)
		c.change(&dst)
		d := b.delivery(t, dst)
		require.Empty(t, b.test(t, d, dst.ID, b.cfg.Sender).Error)
		got := r.all()
		require.Equal(t, []string{c.value}, got[len(got)-1].header[header])
	}
}

// A tokenServer is the token endpoint of an identity provider.
type tokenServer struct {
	*httptest.Server
	mu      sync.Mutex
	issued  int
	seconds int    // for which a token is good; 0: it does not say
	refuse  string // the code of the error with which it refuses
	forms   []string
}

// newTokenServer starts a token endpoint.
func newTokenServer(t *testing.T) *tokenServer {
	t.Helper()
	s := &tokenServer{}
	s.Server = httptest.NewServer(http.HandlerFunc(s.answer))
	t.Cleanup(s.Close)
	return s
}

// answer gives a token, or refuses to.
func (s *tokenServer) answer(w http.ResponseWriter, req *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = req.ParseForm()
	id, secret, _ := req.BasicAuth()
	s.forms = append(s.forms, id+" "+secret+" "+req.PostForm.Get("grant_type")+" "+req.PostForm.Get("scope"))
	w.Header().Set("Content-Type", "application/json")
	if s.refuse != "" {
		w.WriteHeader(http.StatusUnauthorized)
		_ = json.NewEncoder(w).Encode(map[string]string{"error": s.refuse, "error_description": "not with " + secret})
		return
	}
	s.issued++
	token := map[string]any{"access_token": "token-" + strconv.Itoa(s.issued), "token_type": "Bearer"}
	if s.seconds > 0 {
		token["expires_in"] = s.seconds
	}
	_ = json.NewEncoder(w).Encode(token)
}

// set changes how the server answers.
func (s *tokenServer) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// oauth2 returns a destination that takes the tokens of s.
func (b *bundle) oauth2(t *testing.T, url string, s *tokenServer) domain.Destination {
	t.Helper()
	dst := destination(url)
	dst.AuthType, dst.AuthSecret = domain.AuthOAuth2, b.secret(t, "cl13nt-s3cret")
	dst.TokenURL, dst.ClientID, dst.Scope = s.URL, "openprospect", "leads:write leads:read"
	return dst
}

// authorizations returns the Authorization of all requests.
func authorizations(got []received) (all []string) {
	for _, g := range got {
		all = append(all, g.header.Get("Authorization"))
	}
	return all
}

func TestAccessTokenIsKeptUntilShortlyBeforeItsEnd(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r, s := newReceiver(t, ok), newTokenServer(t)
	s.set(func() { s.seconds = 3600 })
	d := b.delivery(t, b.oauth2(t, r.URL, s))
	b.work(t)
	b.qualify(t, d, "comp_1")
	r.await(t, 1)
	b.qualify(t, d, "comp_2")
	require.Equal(t, []string{"Bearer token-1", "Bearer token-1"}, authorizations(r.await(t, 2)))
	require.Equal(t, []string{"openprospect cl13nt-s3cret client_credentials leads:write leads:read"}, s.forms)

	brief := newTokenServer(t)
	brief.set(func() { brief.seconds = 1 })
	r2 := newReceiver(t, ok)
	d = b.delivery(t, b.oauth2(t, r2.URL, brief))
	b.qualify(t, d, "comp_1")
	first := r2.await(t, 1)[0].at
	require.Eventually(t, func() bool { return time.Since(first) > time.Second }, patience, 10*time.Millisecond)
	b.qualify(t, d, "comp_2")
	require.Equal(t, []string{"Bearer token-1", "Bearer token-2"}, authorizations(r2.await(t, 2)))
}

func TestAccessTokenThatIsRefusedIsRenewedWithinTheAttempt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := newTokenServer(t)
	good := "Bearer token-1"
	var mu sync.Mutex
	r := newReceiver(t, ok)
	take := r.Config.Handler
	r.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if req.Header.Get("Authorization") != good {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		take.ServeHTTP(w, req)
	})
	d := b.delivery(t, b.oauth2(t, r.URL, s))
	b.work(t)
	b.qualify(t, d, "comp_1")
	r.await(t, 1)
	mu.Lock()
	good = "Bearer token-2"
	mu.Unlock()
	b.qualify(t, d, "comp_2")
	got := r.await(t, 2)[1]
	require.Equal(t, "1", got.header.Get("Ledger-Attempt"), "it is one attempt")
	require.Equal(t, 1, b.dispatch(t, string(got.id()), domain.Delivered).Attempts)
}

func TestFailureOfTheTokenEndpointIsTheAttemptsAndIsNamed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r, s := newReceiver(t, ok), newTokenServer(t)
	dst := b.oauth2(t, r.URL, s)
	d := b.delivery(t, dst)
	s.set(func() { s.refuse = "invalid_client" })
	tested := b.test(t, d, dst.ID, b.cfg.Sender)
	require.Equal(t, "the token endpoint gave no token: it answered 401 Unauthorized invalid_client", tested.Error)
	require.Zero(t, tested.Status)
	s.set(func() { s.refuse = "not with cl13nt-s3cret" })
	require.NotContains(t, b.test(t, d, dst.ID, b.cfg.Sender).Error, "cl13nt-s3cret")
	require.Contains(t, b.test(t, d, dst.ID, webhooks.NewSender(webhooks.Route{Guard: webhooks.NewGuard(false)}, "test")).Error, webhooks.ErrForbidden.Error(),
		"it is guarded like every other address")
	s.Close()
	require.Equal(t, "the token endpoint gave no token: the connection was refused", b.test(t, d, dst.ID, b.cfg.Sender).Error)
	require.Empty(t, r.all())
}

// all returns what was asked for so far.
func (s *tokenServer) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.forms...)
}

// behind puts the server's answers behind a gate.
func (s *tokenServer) behind(g *gate) {
	answer := s.Config.Handler
	s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		g.pass()
		answer.ServeHTTP(w, req)
	})
}

func TestAttemptsAtATimeShareOneRequestForAToken(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r, s, gate := newReceiver(t, ok), newTokenServer(t), newGate()
	defer gate.open()
	s.behind(gate)
	d := b.delivery(t, b.oauth2(t, r.URL, s))
	b.qualify(t, d, names(30)...) // before anybody works: all are begun at once
	b.work(t)
	require.Eventually(t, func() bool { return gate.holding() == 1 }, patience, time.Millisecond)
	gate.open()
	for _, told := range authorizations(r.await(t, 30)) {
		require.Equal(t, "Bearer token-1", told)
	}
	require.Equal(t, 1, gate.peak())
	require.Len(t, s.all(), 1)
}

func TestAttemptsThatWaitedForATokenInVainShareTheFailure(t *testing.T) {
	t.Parallel()
	s, gate := newTokenServer(t), newGate()
	defer gate.open()
	s.set(func() { s.refuse = "invalid_client" })
	s.behind(gate)
	var reads atomic.Int64
	clock := func() time.Time { return time.Unix(reads.Add(1), 0) }
	tokens := webhooks.NewTokens(domain.Destination{TokenURL: s.URL, ClientID: "openprospect"}, "cl13nt-s3cret", clock)
	const attempts = 30
	failures := make(chan error, attempts)
	for range attempts {
		go func() { failures <- tokens.Take(t.Context(), s.Client()) }()
	}
	require.Eventually(t, func() bool { return gate.holding() == 1 && reads.Load() == attempts+1 }, patience, time.Millisecond)
	gate.open()
	for range attempts {
		require.ErrorContains(t, <-failures, "invalid_client")
	}
	asked := len(s.all()) // in each of the two ways in which a secret is told
	require.LessOrEqual(t, asked, 2)
	require.ErrorContains(t, tokens.Take(t.Context(), s.Client()), "invalid_client")
	require.Greater(t, len(s.all()), asked, "who comes later asks again")
}

func TestTokensOfOneDestinationNeverReachAnother(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := newTokenServer(t)
	first, second, changed := newReceiver(t, ok), newReceiver(t, ok), newReceiver(t, ok)
	one, two := b.oauth2(t, first.URL, s), b.oauth2(t, second.URL, s) // of one client at one provider
	d := b.delivery(t, one, two)
	b.work(t)
	b.qualify(t, d, "comp_1")
	told := append(authorizations(first.await(t, 1)), authorizations(second.await(t, 1))...)
	require.ElementsMatch(t, []string{"Bearer token-1", "Bearer token-2"}, told)
	b.qualify(t, d, "comp_2")
	require.Equal(t, told[0], authorizations(first.await(t, 2))[1])
	require.Equal(t, told[1], authorizations(second.await(t, 2))[1])

	b.change(t, d, one.ID, func(dst *domain.Destination) { dst.URL = changed.URL })
	b.settle(t)
	b.qualify(t, d, "comp_3")
	require.Equal(t, []string{"Bearer token-3"}, authorizations(changed.await(t, 1)), "nor does a token go where its destination was changed to")
}

func TestTokenEndpointIsNotFollowedElsewhereAndItsAnswersEnd(t *testing.T) {
	t.Parallel()
	b := setup(t)
	elsewhere := newTokenServer(t)
	for want, answer := range map[string]http.HandlerFunc{
		"the token endpoint gave no token: it answered 307 Temporary Redirect": func(w http.ResponseWriter, req *http.Request) {
			http.Redirect(w, req, elsewhere.URL, http.StatusTemporaryRedirect)
		},
		"the token endpoint gave no token: no complete answer within 1s": drips,
		"the token endpoint gave no token: server response missing access_token": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(`{"secret":"cl13nt-s3cret"}`))
		},
	} {
		s := newTokenServer(t)
		s.Config.Handler = answer
		dst := b.oauth2(t, "http://nobody.invalid/", s)
		if strings.Contains(want, "within 1s") {
			dst.TimeoutSeconds = 1
		}
		d := b.delivery(t, dst)
		require.Equal(t, want, b.test(t, d, dst.ID, b.cfg.Sender).Error)
	}
	require.Empty(t, elsewhere.all())
}
