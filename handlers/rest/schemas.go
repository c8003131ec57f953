package rest

import (
	"context"
	"net/http"

	"github.com/openprospect/delivery-ledger/domain"
)

// ListEventTypes shows the types of events, and the versions of their data.
func (s *Server) ListEventTypes(context.Context, ListEventTypesRequestObject) (ListEventTypesResponseObject, error) {
	schemas := domain.Schemas()
	list := EventTypeList{Items: make([]EventType, len(schemas)), Total: len(schemas)}
	for i, schema := range schemas {
		list.Items[i] = EventType{Type: schema.Type, Version: schema.Version, Current: schema.Current, Description: schema.Description}
	}
	return ListEventTypes200JSONResponse{Body: list}, nil
}

// ReadEventType shows the schema of a version of a type of event.
func (s *Server) ReadEventType(_ context.Context, r ReadEventTypeRequestObject) (ReadEventTypeResponseObject, error) {
	versions := domain.SchemasOf(r.EventType)
	if len(versions) == 0 {
		return nil, domain.Errorf(domain.NotFound, "ENTITY_NOT_FOUND", "there is no type of event %s", r.EventType)
	}
	version := len(versions)
	if r.Params.Version != nil {
		version = *r.Params.Version
	}
	if version > len(versions) {
		return nil, domain.Errorf(domain.NotFound, "ENTITY_NOT_FOUND", "%s has no version %d", r.EventType, version)
	}
	return schemaDocument(versions[version-1].Document), nil
}

// A schemaDocument is a JSON Schema, as it is written.
type schemaDocument []byte

// VisitReadEventTypeResponse writes the document.
func (d schemaDocument) VisitReadEventTypeResponse(w http.ResponseWriter) error {
	w.Header().Set("Content-Type", "application/schema+json")
	w.WriteHeader(http.StatusOK)
	_, err := w.Write(d)
	return err
}
