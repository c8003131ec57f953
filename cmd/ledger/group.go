package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// A group is the rows of a company, as they become one record.
type group struct {
	record
	columns   []column
	width     int            // cells of the header
	fields    map[string]any // by root
	given     map[int]given  // by place, of what all rows share
	prospects []any
	long      bool
}

// given is a cell, and the line of its row.
type given struct {
	cell string
	line int
}

// add adds a row. What is not the prospect's must be the same in all, or empty.
func (g *group) add(r row) {
	g.last = r.last
	if g.long || len(g.raw)+len(r.raw) > maxLine {
		if !g.long {
			g.faults = []flaw{{Error: "the company has more than 1 MiB of rows"}}
		}
		g.long, g.raw = true, nil
		return
	}
	g.raw = append(g.raw, r.raw...)
	if len(r.cells) != g.width {
		g.fail(r.line, flaw{Error: fmt.Sprintf("must have %d cells, as the header has, and has %d: is a delimiter missing, or a cell with one not in quotes?",
			g.width, len(r.cells))})
		return
	}
	prospect := map[string]any{}
	for _, c := range g.columns {
		cell := r.cells[c.at]
		if strings.TrimSpace(cell) == "" {
			continue
		}
		path, own := strings.CutPrefix(c.field, "prospect.")
		if own {
			g.put(prospect, c, path, cell, r.line)
		} else if before, ok := g.given[c.at]; !ok {
			g.given[c.at] = given{cell, r.line}
			g.put(g.fields, c, path, cell, r.line)
		} else if before.cell != cell {
			g.fail(r.line, flaw{Column: c.name, Field: c.field, Provided: said(cell), Error: fmt.Sprintf(
				"differs from line %d: the rows of a company must agree, or leave the cell empty", before.line)})
		}
	}
	if len(prospect) > 0 {
		g.prospects = append(g.prospects, prospect)
		g.record.prospects = append(g.record.prospects, r.line)
	}
}

// put sets the value of a cell in an object.
func (g *group) put(object map[string]any, c column, path, cell string, line int) {
	value, wrong := c.value(cell)
	if wrong != "" {
		g.fail(line, flaw{Column: c.name, Field: c.field, Error: wrong, Provided: said(cell)})
		return
	}
	names := strings.Split(path, ".")
	for _, name := range names[:len(names)-1] {
		inner, ok := object[name].(map[string]any)
		if !ok {
			inner = map[string]any{}
			object[name] = inner
		}
		object = inner
	}
	object[names[len(names)-1]] = value
}

// fail notes a flaw in a line.
func (g *group) fail(line int, f flaw) {
	if line != g.line {
		f.Line = line
	}
	g.faults = append(g.faults, f)
}

// longestSaid is the length of a cell up to which it is repeated beside a flaw.
const longestSaid = 100

// said returns a cell if it may be repeated, else nil.
func said(cell string) any {
	if len(cell) > longestSaid {
		return nil
	}
	return cell
}

// finish returns the company as it is sent.
func (g *group) finish() (record, error) {
	if len(g.faults) > 0 {
		return g.record, nil
	}
	if len(g.prospects) > 0 {
		g.fields["prospects"] = g.prospects
	}
	var body bytes.Buffer
	line := json.NewEncoder(&body)
	line.SetEscapeHTML(false) // as it was
	if err := line.Encode(g.fields); err != nil {
		return record{}, fmt.Errorf("write company of line %d: %w", g.line, err)
	}
	g.body = bytes.TrimSpace(body.Bytes())
	return g.record, nil
}
