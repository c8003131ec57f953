"""What a customer writes with Python's standard library: a nightly sync that goes on where the last one ended."""

import json
import os
import urllib.error
import urllib.request

BASE = os.environ["OPENPROSPECT_URL"] + "/api/v1"


def call(method, path, body=None):
    request = urllib.request.Request(
        BASE + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": "Bearer " + os.environ["OPENPROSPECT_API_KEY"], "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        text = response.read()
        return json.loads(text) if text else None


delivery = call("POST", "/deliveries", {"name": "Nightly", "schedule": "immediate"})["id"]
call("POST", f"/deliveries/{delivery}/destinations/", {"type": "api"})
sent = [{"company": {"id": f"comp_{n}", "name": f"Company {n}"}, "qualification_score": n} for n in range(1, 8)]
summary = call("POST", f"/deliveries/{delivery}/qualifications", sent)
assert (summary["accepted"], summary["duplicates"], summary["rejected"]) == (7, 0, 0), summary

companies, cursor = [], ""
for _ in range(5000):
    page = call("GET", f"/deliveries/{delivery}/companies?limit=3" + (f"&cursor={cursor}" if cursor else ""))
    companies += [item["id"] for item in page["items"]]
    cursor = page["next_cursor"] or cursor
    if len(companies) >= 7:
        break
assert companies == [f"comp_{n}" for n in range(1, 8)], companies
print("Pulled:", len(companies))

try:
    call("POST", "/deliveries", {"nam": "x"})
except urllib.error.HTTPError as error:
    problem = json.load(error)
    print(error.code, problem["code"], sorted(fault["field"] for fault in problem["details"]["validation_errors"]))

call("DELETE", f"/deliveries/{delivery}")
