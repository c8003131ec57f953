package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// A column is where a field of a company comes from.
type column struct {
	field     string // such as company.name, or prospect.email of the row's prospect
	kind      string // text, number, boolean or list
	separator string // of a list
	name      string // by the header
	at        int    // its place in a row
}

// A mapping names columns for fields. Their places are not known yet.
type mapping []column

// parseMapping reads entries of the form FIELD[:TYPE]=COLUMN.
func parseMapping(entries []string) (mapping, error) {
	var m mapping
	for _, entry := range entries {
		field, name, ok := strings.Cut(entry, "=")
		c, known := parseField(strings.TrimSpace(field))
		if c.name = strings.TrimSpace(name); !ok || !known || c.name == "" {
			return nil, fmt.Errorf("--map must be FIELD=COLUMN or FIELD:TYPE=COLUMN, the field company.…, prospect.…, attributes.…, "+
				"qualification_score or match_reasons, the type text, number, boolean, list or list(SEPARATOR): %q is not", entry)
		}
		m = append(m, c)
	}
	return m, nil
}

// parseField reads FIELD[:TYPE], and reports false for anything else.
func parseField(text string) (column, bool) {
	field, kind, typed := strings.Cut(text, ":")
	c := column{field: field, kind: "text", separator: ";"}
	root, rest, nested := strings.Cut(field, ".")
	switch {
	case field == "qualification_score":
		c.kind = "number"
	case field == "match_reasons":
		c.kind = "list"
	case !nested || !slices.Contains([]string{"company", "prospect", "attributes"}, root) || slices.Contains(strings.Split(rest, "."), ""):
		return c, false
	}
	if !typed {
		return c, true
	}
	if separator, ok := strings.CutPrefix(kind, "list("); ok {
		if separator, ok = strings.CutSuffix(separator, ")"); ok && separator != "" {
			kind, c.separator = "list", separator
		}
	}
	c.kind = kind
	return c, slices.Contains([]string{"text", "number", "boolean", "list"}, kind)
}

// bind returns the columns of a file with that header: those of the mapping, and those whose own names are
// fields. It also returns the names of those that no field comes from.
func (m mapping) bind(header []string, candidates bool) (columns []column, unused []string, err error) {
	taken := map[string]bool{}
	for _, c := range m {
		if c.at = slices.Index(header, c.name); c.at < 0 {
			return nil, nil, fmt.Errorf("--map names the column %s, and there is none: the columns are %s", c.name, strings.Join(header, ", "))
		}
		if slices.Contains(header[c.at+1:], c.name) {
			return nil, nil, fmt.Errorf("--map names the column %s, and there are several: rename all but one", c.name)
		}
		if !c.sendable(candidates) {
			return nil, nil, fmt.Errorf("--map names %s, which %s do not have", c.field, nouns(candidates))
		}
		taken[c.name] = true
		columns = append(columns, c)
	}
	for at, name := range header {
		c, known := parseField(name)
		mapped := slices.ContainsFunc(m, func(other column) bool { return other.field == c.field })
		if known && !mapped && !taken[name] && c.sendable(candidates) {
			c.name, c.at = name, at
			columns = append(columns, c)
		} else if !taken[name] {
			unused = append(unused, name)
		}
	}
	slices.SortFunc(columns, func(a, b column) int { return a.at - b.at })
	return columns, unused, checkColumns(columns, header, candidates)
}

// nouns returns what is sent, in words.
func nouns(candidates bool) string {
	if candidates {
		return "candidates"
	}
	return "qualified companies"
}

// sendable reports whether what is sent has the column's field.
func (c column) sendable(candidates bool) bool {
	switch root, _, _ := strings.Cut(c.field, "."); root {
	case "attributes":
		return candidates
	case "qualification_score", "match_reasons":
		return !candidates
	}
	return true
}

// checkColumns returns an error unless each field has one column, and those that must be there do.
func checkColumns(columns []column, header []string, candidates bool) error {
	required := []string{"company.id", "company.name"}
	if !candidates {
		required = append(required, "qualification_score")
	}
	for i, c := range columns {
		if strings.HasPrefix(c.field, "prospect.") && !slices.Contains(required, "prospect.id") {
			required = append(required, "prospect.id")
		}
		for _, other := range columns[:i] {
			if c.field == other.field || strings.HasPrefix(c.field, other.field+".") || strings.HasPrefix(other.field, c.field+".") {
				return fmt.Errorf("the columns %s and %s are for the same field: %s, %s", other.name, c.name, other.field, c.field)
			}
		}
	}
	for _, field := range required {
		if !slices.ContainsFunc(columns, func(c column) bool { return c.field == field }) {
			return fmt.Errorf("there is no column for %s: name one by --map %s=COLUMN; the columns are %s", field, field, strings.Join(header, ", "))
		}
	}
	return nil
}

// value returns what a cell that is not empty says or, in words, what would be right.
func (c column) value(cell string) (value any, wrong string) {
	trimmed := strings.TrimSpace(cell)
	switch c.kind {
	case "number":
		if !json.Valid([]byte(trimmed)) || !strings.ContainsRune("-0123456789", rune(trimmed[0])) {
			return nil, "must be a number such as 1200 or 0.5, with nothing between thousands and no unit"
		}
		return json.Number(trimmed), ""
	case "boolean":
		switch strings.ToLower(trimmed) {
		case "true", "yes", "1":
			return true, ""
		case "false", "no", "0":
			return false, ""
		}
		return nil, "must be true or false, yes or no, 1 or 0"
	case "list":
		list := []string{}
		for element := range strings.SplitSeq(cell, c.separator) {
			if element = strings.TrimSpace(element); element != "" {
				list = append(list, element)
			}
		}
		return list, ""
	}
	return cell, ""
}
