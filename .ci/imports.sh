#!/usr/bin/env bash
# Holds who may import whom, with nothing but go list. The depguard rules of .golangci.yml say the same inside an editor.
set -euo pipefail
cd "$(dirname "$0")/.."

edges='{{range .Imports}}{{$.ImportPath}} {{.}} code{{"\n"}}{{end}}{{range .TestImports}}{{$.ImportPath}} {{.}} test{{"\n"}}{{end}}{{range .XTestImports}}{{$.ImportPath}} {{.}} test{{"\n"}}{{end}}'

go list -f "$edges" ./... | awk -v module="$(go list -m)/" '
  # A room is one of the folders that the README names; a package of no room may import nothing of ours.
  function room(path) { sub(module, "", path); match(path, /^(handlers\/|cmd\/)?[^\/]+/); return substr(path, 1, RLENGTH) }
  function refuse()   { if (!told[$1 $2]++) print $1 " must not import " $2; refused = 1 }
  BEGIN {
    may["domain"] = " domain "; may["eventstore"] = " eventstore "; may["migrations"] = " migrations "
    may["projections"] = may["domain"] may["eventstore"] " projections "
    may["handlers/rest"] = may["projections"] " handlers/rest "
    may["handlers/webhooks"] = may["projections"] " handlers/webhooks "
    may["cmd/ledger"] = may["handlers/rest"] may["handlers/webhooks"] may["migrations"] " cmd/ledger "
  }
  NF < 3 { next }
  index($2, module) == 1 {
    testdb = $2 == module "migrations/testdb"
    if (testdb ? $3 != "test" : !index(may[room($1)], " " room($2) " ")) refuse()
  }
  room($1) == "domain" && $2 ~ /^(net\/http|github.com\/(jackc\/pgx|labstack\/echo|ThreeDotsLabs)(\/|$))/ { refuse() }
  $2 ~ /^github.com\/labstack\/echo/ && room($1) != "handlers/rest" { refuse() }
  $2 ~ /^github.com\/ThreeDotsLabs\// && room($1) !~ /^(eventstore|handlers\/webhooks|cmd\/ledger)$/ && $1 !~ /\/projectionstest$/ { refuse() }
  END { exit refused }
'
