package rest_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// hookURL begins the body of a webhook.
const hookURL = `{"type":"webhook","url":"https://a.com/x",`

// authentications are the types, with all that each needs.
var authentications = map[string]string{
	"none":   `"auth_type":"none"`,
	"bearer": `"auth_type":"bearer","auth_token":"s3cret"`,
	"basic":  `"auth_type":"basic","username":"me","password":"s3cret: yes"`,
	"header": `"auth_type":"header","header_name":"x-api-key","header_value":"s3cret"`,
	"oauth2": `"auth_type":"oauth2","token_url":"https://login.a.com/token","client_id":"me","client_secret":"s3cret","scope":"a b"`,
}

func TestEveryTypeOfAuthenticationIsTakenAndItsSecretIsNotShown(t *testing.T) {
	t.Parallel()
	c, f := setup(t)
	path := "/api/v1/deliveries/" + c.createDelivery(t, sampleDelivery) + "/destinations"
	for name, auth := range authentications {
		a := c.call(t, http.StatusCreated, "POST", path, hookURL+auth+`,"rate_limit_per_second":2.5}`)
		one := path + "/" + a.field(t, "id")
		for _, a := range []answer{
			a, c.call(t, http.StatusOK, "GET", one, ""), c.call(t, http.StatusOK, "GET", path, ""),
			c.call(t, http.StatusOK, "PUT", one, `{"timeout_seconds":20}`), // a secret that is absent is kept
		} {
			require.NotContains(t, string(a.body), "s3cret", name)
		}
		v := c.call(t, http.StatusOK, "GET", one, "").json(t)
		require.Equal(t, name, v["auth_type"])
		require.InDelta(t, 2.5, v["rate_limit_per_second"], 0)
		switch name {
		case "basic":
			require.Equal(t, "me", v["username"])
		case "header":
			require.Equal(t, "X-Api-Key", v["header_name"])
		case "oauth2":
			require.Equal(t, []any{"https://login.a.com/token", "me", "a b"}, []any{v["token_url"], v["client_id"], v["scope"]})
		}
		for other, wanted := range authentications {
			changed := c.call(t, http.StatusOK, "PUT", one, "{"+wanted+"}").json(t)
			require.Equal(t, other, changed["auth_type"])
			if other != "basic" {
				require.NotContains(t, changed, "username", "nothing of the former type is left")
			}
			if other != "none" && other != name { // the type alone is not enough to go back
				c.call(t, http.StatusOK, "PUT", one, `{"auth_type":"none"}`)
				c.call(t, http.StatusUnprocessableEntity, "PUT", one, `{"auth_type":"`+other+`"}`)
			}
		}
	}
	require.NotContains(t, f.everyEvent(t), "s3cret")
	require.NotContains(t, f.log.String(), "s3cret")
}

func TestWhatIsWrongWithAnAuthenticationIsNamed(t *testing.T) {
	t.Parallel()
	c, _ := setup(t)
	path := "/api/v1/deliveries/" + c.createDelivery(t, sampleDelivery) + "/destinations"
	one := path + "/" + c.call(t, http.StatusCreated, "POST", path, hookURL+authentications["basic"]+"}").field(t, "id")
	for body, fields := range map[string][]string{
		`"auth_type":"bearer"`:                      {"auth_token"},
		`"auth_type":"basic"`:                       {"username", "password"},
		`"auth_type":"header"`:                      {"header_name", "header_value"},
		`"auth_type":"oauth2"`:                      {"token_url", "client_id", "client_secret"},
		`"auth_token":"s3cret","password":"s3cret"`: {"auth_token", "password"},
		`"auth_type":"bearer","auth_token":"s3cret","client_secret":"s3cret"`:                             {"client_secret"},
		`"auth_type":"bearer","auth_token":"s3cret","username":"me"`:                                      {"username"},
		`"auth_type":"basic","username":"a:b","password":"s3cret\n"`:                                      {"username", "password"},
		`"auth_type":"header","header_name":"Host","header_value":"s3cret"`:                               {"header_name"},
		`"auth_type":"header","header_name":"x y","header_value":" s3cret"`:                               {"header_name", "header_value"},
		`"auth_type":"header","header_name":"x-a","header_value":"s3cret","headers":{"X-A":"1"}`:          {"header_name"},
		`"auth_type":"oauth2","token_url":"ftp://a","client_id":"me","client_secret":"s3cret"`:            {"token_url"},
		`"auth_type":"oauth2","token_url":"https://me:s3cret@a.com","client_id":"","client_secret":"x\t"`: {"token_url", "client_id", "client_secret"},
		`"rate_limit_per_second":0`:     {"rate_limit_per_second"},
		`"rate_limit_per_second":10001`: {"rate_limit_per_second"},
	} {
		a := c.call(t, http.StatusUnprocessableEntity, "POST", path, hookURL+body+"}")
		require.ElementsMatch(t, fields, a.faults(t), body)
		require.NotContains(t, string(a.body), "s3cret")
	}
	for body, fields := range map[string][]string{
		`{"auth_type":"header","header_name":"x-a"}`: {"header_value"},
		`{"auth_token":"s3cret"}`:                    {"auth_token"},
		`{"header_name":"X-A"}`:                      {"header_name"},
		`{"auth_type":"none","password":"s3cret"}`:   {"password"},
	} {
		a := c.call(t, http.StatusUnprocessableEntity, "PUT", one, body)
		require.ElementsMatch(t, fields, a.faults(t), body)
		require.NotContains(t, string(a.body), "s3cret")
	}
	c.call(t, http.StatusOK, "PUT", one, `{"password":"another"}`)
}
