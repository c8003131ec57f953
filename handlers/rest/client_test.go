package rest_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	goclient "github.com/openprospect/delivery-ledger/handlers/rest/client"
)

func TestGoClientTakesADeliveryThroughItsLife(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	ledger, err := goclient.New(c.url, c.key, "test")
	require.NoError(t, err)
	made, err := ledger.CreateDeliveryWithResponse(t.Context(), nil, goclient.NewDelivery{Name: "CRM Sync"})
	require.NoError(t, err)
	id := made.JSON201.ID
	webhook := "https://your-api.com/webhooks/openprospect"
	destination, err := ledger.CreateDestinationWithResponse(t.Context(), id, nil, goclient.NewDestination{Type: goclient.Webhook, URL: &webhook})
	require.NoError(t, err)
	require.Regexp(t, "^whsec_", *destination.JSON201.SigningSecret)

	lines := strings.NewReader(company("comp_1") + "\n" + company("comp_2") + "\n" + company("comp_1") + "\n{}\n")
	summary, err := ledger.QualifyCompaniesWithBodyWithResponse(t.Context(), id, nil, "application/x-ndjson", lines)
	require.NoError(t, err)
	require.Equal(t, []int{2, 1, 1}, []int{summary.JSON200.Accepted, summary.JSON200.Duplicates, summary.JSON200.Rejected})
	require.Contains(t, summary.JSON200.Items[3].Error.Error(), "qualification_score is required")

	f.settled(t)
	limit := 1
	page, err := ledger.ListCompaniesWithResponse(t.Context(), id, &goclient.ListCompaniesParams{Limit: &limit})
	require.NoError(t, err)
	require.Equal(t, "comp_1", *page.JSON200.Items[0].ID)
	next, err := ledger.ListCompaniesWithResponse(t.Context(), id, &goclient.ListCompaniesParams{Cursor: &page.JSON200.NextCursor})
	require.NoError(t, err)
	require.Equal(t, "comp_2", *next.JSON200.Items[0].ID)

	_, err = ledger.DeleteDeliveryWithResponse(t.Context(), id, nil)
	require.NoError(t, err)
	_, err = ledger.ReadDeliveryWithResponse(t.Context(), id, nil)
	var refused *goclient.Error
	require.ErrorAs(t, err, &refused)
	require.Equal(t, http.StatusNotFound, refused.Status)
	require.Equal(t, "DELIVERY_NOT_FOUND", refused.Problem.Code)
}
