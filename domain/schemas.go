package domain

import (
	"embed"
	"encoding/json"
	"fmt"
)

//go:generate go test -run ^TestEverySchemaSaysWhatIsStored$ -count 1 . -args -update

// schemas are JSON Schemas (draft 2020-12) of the data of events, a file for each version of a type.
//
//go:embed schemas
var schemas embed.FS

// A Schema says what the data of an event type's version is.
type Schema struct {
	Type        string
	Version     int
	Current     bool   // what is recorded now is of that version
	Description string // of the event
	Document    json.RawMessage
}

// Schemas returns those of all types in the order of [Events], each type's versions from 1 on. What was
// recorded under a version fits its schema for ever; schemas gain optional fields, and lose nothing.
func Schemas() []Schema {
	var list []Schema
	for _, event := range Events() {
		list = append(list, SchemasOf(event.EventType())...)
	}
	return list
}

// SchemasOf returns those of one type, from version 1 on; none when there is no such type.
func SchemasOf(eventType string) []Schema {
	var list []Schema
	for _, event := range Events() {
		if event.EventType() != eventType {
			continue
		}
		last := len(Versions(event))
		for version := 1; version <= last; version++ {
			list = append(list, readSchema(eventType, version, version == last))
		}
	}
	return list
}

// readSchema returns a schema from its file, which is there and good: a test says so.
func readSchema(eventType string, version int, current bool) Schema {
	s := Schema{Type: eventType, Version: version, Current: current}
	s.Document, _ = schemas.ReadFile(fmt.Sprintf("schemas/%s.v%d.json", eventType, version))
	var about struct{ Description string }
	_ = json.Unmarshal(s.Document, &about)
	s.Description = about.Description
	return s
}
