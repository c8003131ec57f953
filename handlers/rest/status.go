package rest

import (
	"encoding/json"
	"net/http"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// A ReadyReport says whether the process can do its work: when every check is passed.
type ReadyReport struct{ Checks []ReadyCheck }

// A ReadyCheck is one thing that the process needs, or does.
type ReadyCheck struct {
	Name       string   `json:"name"` // such as "database", "follower companies", "attempts"
	OK         bool     `json:"ok"`
	Lag        *int64   `json:"lag,omitempty"`         // events that a follower has not come to
	LagSeconds *float64 `json:"lag_seconds,omitempty"` // for which the first of them has been in the log
	Busy       *int     `json:"busy,omitempty"`        // attempts under way
	Limit      *int     `json:"limit,omitempty"`       // attempts under way at most
	Fault      string   `json:"fault,omitempty"`       // why it is not passed
}

// Ready reports whether every check is passed.
func (r ReadyReport) Ready() bool {
	for _, c := range r.Checks {
		if !c.OK {
			return false
		}
	}
	return true
}

// addStatus adds the routes for those who run the ledger.
func (s *Server) addStatus(r router) {
	r.GET("/healthz", func(c echo.Context) error {
		return c.JSONBlob(http.StatusOK, []byte(`{"status":"ok"}`+"\n"))
	})
	r.GET("/readyz", s.checkReadiness)
	r.GET("/metrics", echo.WrapHandler(promhttp.HandlerFor(s.cfg.Metrics, promhttp.HandlerOpts{DisableCompression: true})))
}

// addContract adds the route that shows the contract.
func (s *Server) addContract(r router) {
	r.GET("/openapi.json", func(c echo.Context) error {
		return c.JSONBlob(http.StatusOK, s.contract.json)
	})
}

// checkReadiness answers with a line for each check.
func (s *Server) checkReadiness(c echo.Context) error {
	report := s.cfg.Ready(c.Request().Context())
	status := http.StatusOK
	if !report.Ready() {
		status = http.StatusServiceUnavailable
		c.Response().Header().Set(echo.HeaderRetryAfter, "1")
	}
	body := []byte(`{"ready":`)
	body = append(body, map[bool]string{true: "true", false: "false"}[report.Ready()]...)
	body = append(body, `,"checks":[`...)
	for i, check := range report.Checks {
		if i > 0 {
			body = append(body, ',')
		}
		line, _ := json.Marshal(check) // texts and numbers always marshal
		body = append(append(body, '\n'), line...)
	}
	return c.JSONBlob(status, append(body, "\n]}\n"...))
}
