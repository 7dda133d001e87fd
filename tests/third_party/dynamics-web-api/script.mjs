// Runs the published client `dynamics-web-api` against the sandbox and checks every result itself.
// Usage: node script.mjs URL TENANT CLIENT_ID CLIENT_SECRET
import assert from "node:assert/strict";
import { DynamicsWebApi } from "dynamics-web-api";

const [url, tenant, clientId, clientSecret] = process.argv.slice(2);

async function token() {
  const answer = await fetch(`${url}/${tenant}/oauth2/v2.0/token`, {
    method: "POST",
    body: new URLSearchParams({
      grant_type: "client_credentials",
      client_id: clientId,
      client_secret: clientSecret,
      scope: `${url}/.default`,
    }),
  });
  assert.equal(answer.status, 200);
  return (await answer.json()).access_token;
}

const api = new DynamicsWebApi({
  serverUrl: `${url}/`,
  dataApi: { version: "9.2" },
  onTokenRefresh: token,
});

const who = await api.callFunction("WhoAmI");
assert.match(who.UserId, /^[0-9a-f-]{36}$/);

// Create: the id comes out of OData-EntityId; a representation carries the row.
const account = await api.create({ collection: "accounts", data: { name: "Contoso" } });
assert.match(account, /^[0-9a-f-]{36}$/);
const created = await api.create({
  collection: "opportunities",
  data: {
    name: "Żółw & Söhne",
    estimatedvalue: 1250.5,
    "customerid_account@odata.bind": `accounts(${account})`,
  },
  returnRepresentation: true,
  select: ["name", "estimatedvalue", "_customerid_value"],
});
assert.equal(created.name, "Żółw & Söhne");
assert.equal(created.estimatedvalue, 1250.5);
assert.equal(created._customerid_value, account);

// Upsert by alternate key: first makes, then changes the same row.
const key = "pc_referralidentifier='11111111-2222-4333-8444-555555555555'";
const upsert = (name) =>
  api.upsert({
    collection: "opportunities",
    key,
    data: { name },
    returnRepresentation: true,
    select: ["name", "pc_referralidentifier"],
  });
const first = await upsert("First");
const second = await upsert("Second");
assert.equal(first.opportunityid, second.opportunityid);
assert.equal(second.name, "Second");
assert.equal(second.pc_referralidentifier, "11111111-2222-4333-8444-555555555555");

// A conditional update with a stale version resolves to false.
const stale = await api.update({
  collection: "opportunities",
  key: second.opportunityid,
  ifmatch: first["@odata.etag"],
  data: { name: "Third" },
});
assert.equal(stale, false);
const absent = await api.upsert({
  collection: "opportunities",
  key: second.opportunityid,
  ifnonematch: "*",
  data: { name: "Third" },
});
assert.equal(absent, null);

// Pages, filters, expansion and formatted values.
const page = await api.retrieveMultiple({
  collection: "opportunities",
  select: ["name"],
  orderBy: ["name asc"],
  maxPageSize: 1,
  count: true,
});
assert.equal(page.value.length, 1);
assert.equal(page["@odata.count"], 2);
const next = await api.retrieveMultiple({ collection: "opportunities", maxPageSize: 1 }, page.oDataNextLink);
assert.equal(next.value.length, 1);
assert.notEqual(next.value[0].opportunityid, page.value[0].opportunityid);
assert.equal(next.oDataNextLink, undefined);
const filtered = await api.retrieveMultiple({
  collection: "opportunities",
  select: ["name", "statecode"],
  filter: `name eq 'Żółw & Söhne' and customerid_account/name eq 'contoso'`,
  expand: [{ property: "customerid_account", select: ["name"] }],
  includeAnnotations: "*",
});
assert.equal(filtered.value.length, 1);
assert.equal(filtered.value[0].customerid_account.name, "Contoso");
assert.equal(filtered.value[0].statecode_Formatted, "Open");

// The change feed: everything, then nothing, then a change and a deletion.
const track = (link) =>
  api.retrieveMultiple(
    { collection: "opportunities", select: ["name", "statecode"], trackChanges: true },
    link,
  );
const all = await track();
assert.equal(all.value.length, 2);
assert.ok(all.oDataDeltaLink.startsWith(`${url}/api/data/v9.2/`));
const nothing = await track(all.oDataDeltaLink);
assert.deepEqual(nothing.value, []);
await api.update({ collection: "opportunities", key: created.opportunityid, data: { name: "Renamed" } });
await api.deleteRecord({ collection: "opportunities", key: second.opportunityid });
const changes = await track(nothing.oDataDeltaLink);
assert.equal(changes.value.length, 2);
assert.equal(changes.value[0].name, "Renamed");
assert.equal(changes.value[1].id, second.opportunityid);
assert.equal(changes.value[1].reason, "deleted");

// Winning by the action; a plain update to Won is refused.
await assert.rejects(
  api.update({ collection: "opportunities", key: created.opportunityid, data: { statecode: 1, statuscode: 3 } }),
  (error) => error.code === "0x80100005" && error.status === 400,
);
await api.callAction({
  actionName: "WinOpportunity",
  action: {
    Status: 3,
    OpportunityClose: {
      subject: "Won",
      actualrevenue: 900,
      "opportunityid@odata.bind": `opportunities(${created.opportunityid})`,
    },
  },
});
const won = await api.retrieve({
  collection: "opportunities",
  key: created.opportunityid,
  select: ["statecode", "statuscode", "actualvalue"],
});
assert.deepEqual([won.statecode, won.statuscode, won.actualvalue], [1, 3, 900]);

// Qualifying a lead.
const lead = await api.create({
  collection: "leads",
  data: { subject: "Fabrikam wants help", lastname: "Buyer", companyname: "Fabrikam", estimatedamount: 10 },
});
const qualified = await api.callAction({
  collection: "leads",
  key: lead,
  actionName: "Microsoft.Dynamics.CRM.QualifyLead",
  action: { CreateAccount: true, CreateContact: true, CreateOpportunity: true, Status: 3 },
});
assert.equal(qualified.value.length, 3);
const deal = qualified.value.find((row) => row.opportunityid);
const opportunity = await api.retrieve({
  collection: "opportunities",
  key: deal.opportunityid,
  select: ["name", "estimatedvalue", "_originatingleadid_value"],
});
assert.equal(opportunity.name, "Fabrikam wants help");
assert.equal(opportunity.estimatedvalue, 10);
assert.equal(opportunity._originatingleadid_value, lead);

// A batch: a read, and a change set whose second part points to its first.
api.startBatch();
api.retrieve({ collection: "accounts", key: account, select: ["name"] });
api.create({ collection: "contacts", data: { lastname: "Buyer" }, contentId: "1" });
api.create({ collection: "opportunities", data: { name: "In a batch", "parentcontactid@odata.bind": "$1" } });
const [read, contact, inBatch] = await api.executeBatch();
assert.equal(read.name, "Contoso");
const linked = await api.retrieve({
  collection: "opportunities",
  key: inBatch,
  select: ["_parentcontactid_value"],
});
assert.equal(linked._parentcontactid_value, contact);

// A batch whose change set fails leaves nothing behind.
const before = await api.count({ collection: "opportunities" });
api.startBatch();
api.create({ collection: "opportunities", data: { name: "Lost" } });
api.create({ collection: "opportunities", data: { name: "x".repeat(301) } });
await assert.rejects(api.executeBatch());
assert.equal(await api.count({ collection: "opportunities" }), before);

// Definitions.
const attribute = await api.retrieveAttribute({
  entityKey: "LogicalName='opportunity'",
  attributeKey: "LogicalName='statuscode'",
  castType: "Microsoft.Dynamics.CRM.StatusAttributeMetadata",
  expand: [{ property: "OptionSet" }],
});
assert.equal(attribute.OptionSet.Options.length, 5);
const tracked = await api.retrieveEntities({
  select: ["LogicalName", "EntitySetName"],
  filter: "ChangeTrackingEnabled eq true",
});
assert.deepEqual(tracked.value.map((table) => table.EntitySetName), ["leads", "opportunities"]);
const text = (label) => ({ LocalizedLabels: [{ Label: label, LanguageCode: 1033 }] });
const note = {
  "@odata.type": "Microsoft.Dynamics.CRM.StringAttributeMetadata",
  SchemaName: "pc_Note",
  MaxLength: 20,
  FormatName: { Value: "Text" },
  RequiredLevel: { Value: "None" },
  DisplayName: text("Note"),
};
const entityKey = "LogicalName='opportunity'";
await api.createAttribute({ entityKey, data: note });
await assert.rejects(
  api.createAttribute({ entityKey, data: note }),
  (error) => error.code === "0x80047013",
);
await assert.rejects(track(changes.oDataDeltaLink), (error) => error.code === "0x80044352");
await api.update({ collection: "opportunities", key: inBatch, data: { pc_note: "new column" } });

console.log("all checks passed");
