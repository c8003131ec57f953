package rest

import (
	"fmt"
	"net/http"
	"net/url"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
)

// preflightAge is for how many seconds a browser may keep what a preflight answered.
const preflightAge = 600

// checkOrigins refuses what no browser sends as Origin. "*" stands for all.
func checkOrigins(origins []string) error {
	for _, origin := range origins {
		u, err := url.Parse(origin)
		if origin != "*" && (err != nil || origin != u.Scheme+"://"+u.Host || u.Scheme == "" || u.Host == "") {
			return fmt.Errorf("origin %q must be * or as https://app.example.com, without a path", origin)
		}
	}
	return nil
}

// cors lets pages of the configured origins call the API from browsers (WHATWG Fetch, CORS
// protocol). Without credentials: the API knows its callers by the header Authorization, which a
// page sets itself. Answers to who is no page say that pages get others, lest a cache mix them up.
func (s *Server) cors() echo.MiddlewareFunc {
	fromPages := middleware.CORSWithConfig(middleware.CORSConfig{
		AllowOrigins: s.cfg.Origins,
		AllowMethods: []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete},
		AllowHeaders: []string{
			"Authorization", "Content-Encoding", "Content-Type", idempotencyKey, "If-Match", "If-None-Match", minPosition,
			"Traceparent", "Tracestate", echo.HeaderXRequestID,
		},
		ExposeHeaders: []string{
			"ETag", "Link", "Location", "Ledger-Position", "Retry-After", idempotencyReplayed, echo.HeaderXRequestID,
			"RateLimit", "RateLimit-Policy", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset",
		},
		MaxAge: preflightAge,
	})
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		toPages := fromPages(next)
		return func(c echo.Context) error {
			if c.Request().Header.Get(echo.HeaderOrigin) != "" {
				return toPages(c)
			}
			c.Response().Header().Add(echo.HeaderVary, echo.HeaderOrigin)
			return next(c)
		}
	}
}
