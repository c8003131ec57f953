package rest

import (
	"compress/gzip"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path"

	"github.com/labstack/echo/v4"
	"github.com/swaggest/swgui/v5/static"
)

// docsFiles are the page that shows the contract, and what starts Swagger UI in it.
//
//go:embed docs
var docsFiles embed.FS

// docsPolicy lets the page load what this server has, and nothing else. Swagger UI sets
// styles of single elements, and its pictures are data.
const docsPolicy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; " +
	"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// docsTypes are the types of the files, by the ends of their names.
var docsTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".png":  "image/png",
}

// addDocs adds the page that shows the contract, and the files that it loads.
func (s *Server) addDocs(r router) {
	r.GET("/docs", func(c echo.Context) error { return sendDocs(c, "index.html") })
	r.GET("/docs/:asset", func(c echo.Context) error { return sendDocs(c, c.Param("asset")) })
}

// sendDocs answers with a file: one of ours, or one of Swagger UI's.
func sendDocs(c echo.Context, name string) error {
	mediaType, ok := docsTypes[path.Ext(name)]
	if !ok {
		return echo.ErrNotFound
	}
	file, zipped, err := openDocs(name)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid) {
		return echo.ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("open file of the docs: %w", err)
	}
	defer file.Close()
	header := c.Response().Header()
	header.Set("Content-Security-Policy", docsPolicy)
	header.Set(echo.HeaderXContentTypeOptions, "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cache-Control", "no-cache")
	var content io.Reader = file
	switch {
	case zipped && acceptsGzip(c.Request().Header):
		header.Set(echo.HeaderContentEncoding, "gzip")
	case zipped:
		if content, err = gzip.NewReader(file); err != nil {
			return fmt.Errorf("open file of the docs: %w", err)
		}
	}
	return c.Stream(http.StatusOK, mediaType, content)
}

// openDocs opens a file by its name, and reports whether it is kept in gzip.
func openDocs(name string) (file fs.File, zipped bool, err error) {
	if file, err = docsFiles.Open("docs/" + name); !errors.Is(err, fs.ErrNotExist) {
		return file, false, err
	}
	if file, err = static.FS.Open(name); !errors.Is(err, fs.ErrNotExist) {
		return file, false, err
	}
	file, err = static.FS.Open(name + ".gz")
	return file, true, err
}
