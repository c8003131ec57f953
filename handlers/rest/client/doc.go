// Package client calls the ledger's API from Go.
//
// It is generated from the contract, openapi.yaml: a method and the types of each operation.
// [New] adds what all calls have in common: the key, a user agent, and an [Error] for every
// answer that is no success, so that what a method returns without one is what was asked for:
//
//	c, err := client.New("http://127.0.0.1:8080", key, "crm-sync/1.0")
//	page, err := c.ListCompaniesWithResponse(ctx, delivery, &client.ListCompaniesParams{})
//	for _, company := range page.JSON200.Items { … }
//
// Nothing is tried again by itself; [Error.Temporary] says when that may help. A method whose
// name ends in WithBody sends a body as it comes: NDJSON of any length, companies byte by byte.
package client

//go:generate go tool -modfile=../../../.ci/tools/go.mod oapi-codegen -config oapi-codegen.yaml ../openapi.yaml
