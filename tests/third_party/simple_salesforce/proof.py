"""Drives the Salesforce emulator with simple-salesforce.

Arguments: host and port, session id, path of the signing key, id of an opportunity that was changed
more than a minute ago, id of one that was deleted then. The library insists on https, so an adapter below it speaks
plain http to the loopback address, for the login host too. Prints one line per proven behaviour.
"""

import datetime
import sys

import requests
from requests.adapters import HTTPAdapter
from simple_salesforce import Salesforce
from simple_salesforce.exceptions import (
    SalesforceExpiredSession,
    SalesforceMalformedRequest,
    SalesforceMoreThanOneRecord,
    SalesforceResourceNotFound,
)

HOST, SESSION_ID, KEY_FILE, KEPT, GONE = sys.argv[1:6]
REFERRAL = "Referral_Identifier__c"


class PlainHttp(HTTPAdapter):
    """Sends what the library addresses to https over http."""

    def send(self, request, **options):
        request.url = request.url.replace("https://login.salesforce.com", f"http://{HOST}", 1)
        request.url = request.url.replace("https://", "http://", 1)
        return super().send(request, **options)


def plain_session():
    session = requests.Session()
    session.mount("https://", PlainHttp())
    return session


def connect(session_id):
    return Salesforce(session_id=session_id, instance=HOST, session=plain_session(), version="66.0")


def login():
    force = Salesforce(
        username="integration@contoso.example",
        consumer_key="sandbox-consumer-key",
        privatekey_file=KEY_FILE,
        session=plain_session(),
        version="66.0",
    )
    assert force.session_id.startswith("00D"), force.session_id
    assert force.Lead.describe()["name"] == "Lead"
    proven("login by signed assertion")


def proven(what):
    print(f"proven: {what}")


def refused(kind, call):
    try:
        call()
    except kind as problem:
        return problem
    raise AssertionError(f"expected {kind.__name__}")


def deal(**more):
    return {"Name": "Contoso deal", "StageName": "Prospecting", "CloseDate": "2026-12-31", **more}


def rows(force):
    made = force.Opportunity.create(deal())
    assert made["success"] is True and made["errors"] == []
    assert force.Opportunity.get(made["id"])["Name"] == "Contoso deal"
    assert force.Opportunity.update(made["id"], {"Amount": 12.5}) == 204
    assert force.Opportunity.get(made["id"])["Amount"] == 12.5
    assert force.Opportunity.delete(made["id"]) == 204
    refused(SalesforceResourceNotFound, lambda: force.Opportunity.get(made["id"]))
    problem = refused(SalesforceMalformedRequest, lambda: force.Opportunity.create({}))
    assert problem.content[0]["errorCode"] == "REQUIRED_FIELD_MISSING"
    proven("create, get, update, delete, errors")


def upsert(force):
    assert force.Lead.upsert(f"{REFERRAL}/ref-1", {"LastName": "Buyer", "Company": "Fabrikam"}) == 201
    assert force.Lead.upsert(f"{REFERRAL}/ref-1", {"Title": "CTO"}) == 200
    assert force.Lead.get_by_custom_id(REFERRAL, "ref-1")["Title"] == "CTO"
    proven("upsert by external id")


def several(force):
    rows = [deal(Description="twice"), deal(Description="twice")]
    for row in rows:
        force.Opportunity.create({**row, "Ambiguous__c": "same"})
    refused(
        SalesforceMoreThanOneRecord,
        lambda: force.Opportunity.upsert("Ambiguous__c/same", {"Amount": 1}),
    )
    proven("an ambiguous external id is a 300")


def queries(force):
    for number in range(7):
        force.Opportunity.create(deal(Name=f"Page {number}"))
    soql = "SELECT Id, Name FROM Opportunity WHERE Name LIKE 'Page%' ORDER BY Name"
    first = force.query(soql)
    assert (first["totalSize"], first["done"], len(first["records"])) == (7, False, 3)
    second = force.query_more(first["nextRecordsUrl"], identifier_is_url=True)
    assert len(second["records"]) == 3
    names = [row["Name"] for row in force.query_all_iter(soql)]
    assert names == [f"Page {number}" for number in range(7)]
    problem = refused(SalesforceMalformedRequest, lambda: force.query("SELECT Nothing FROM Lead"))
    assert problem.content[0]["errorCode"] == "INVALID_FIELD"
    proven("query, query_more, query_all_iter")


def collections(force):
    records = [{"attributes": {"type": "Opportunity"}, **deal(Name=f"Row {at}")} for at in range(3)]
    records.append({"attributes": {"type": "Opportunity"}, "Name": "no stage"})
    path = "composite/sobjects"
    made = force.restful(path, method="POST", json={"allOrNone": False, "records": records})
    assert [one["success"] for one in made] == [True, True, True, False]
    assert made[3]["errors"][0]["statusCode"] == "REQUIRED_FIELD_MISSING"
    ids = [one["id"] for one in made[:3]]
    changes = [{"attributes": {"type": "Opportunity"}, "id": one, "NextStep": "call"} for one in ids]
    changed = force.restful(path, method="PATCH", json={"records": changes})
    assert all(one["success"] for one in changed)
    gone = force.restful(path, params={"ids": ",".join(ids)}, method="DELETE")
    assert all(one["success"] for one in gone)
    proven("collections: create, update, delete")


def tooling(force):
    field = {"FullName": "Lead.Proof__c", "Metadata": {"type": "Text", "label": "Proof", "length": 10}}
    made = force.toolingexecute("sobjects/CustomField", method="POST", data=field)
    assert made["success"] is True and made["id"].startswith("00N")
    soql = "SELECT Id FROM CustomField WHERE DeveloperName = 'Proof'"
    found = force.toolingexecute("query", params={"q": soql})
    assert found["records"][0]["Id"] == made["id"]
    proven("tooling")


def metadata(force):
    fields = {field["name"]: field for field in force.Opportunity.describe()["fields"]}
    assert fields[REFERRAL]["externalId"] is True
    assert any(one["name"] == "Lead" for one in force.describe()["sobjects"])
    assert force.limits()["DailyApiRequests"]["Remaining"] > 0
    assert force.api_usage["api-usage"].used > 0
    proven("describe, limits, usage header")


def changes(force):
    now = datetime.datetime.now(datetime.timezone.utc)
    hour = datetime.timedelta(hours=1)
    updated = force.Opportunity.updated(now - hour, now + hour)
    assert updated["ids"] == [KEPT] and updated["latestDateCovered"].endswith("+0000")
    deleted = force.Opportunity.deleted(now - hour, now + hour)
    assert [record["id"] for record in deleted["deletedRecords"]] == [GONE]
    proven("updated and deleted")


def main():
    force = connect(SESSION_ID)
    changes(force)
    rows(force)
    upsert(force)
    several(force)
    queries(force)
    collections(force)
    metadata(force)
    tooling(force)
    login()
    stranger = connect("00D000000000062!wrong")
    refused(SalesforceExpiredSession, stranger.limits)
    proven("an unknown session")


main()
